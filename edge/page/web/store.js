// What the page remembers. Where the browser lets nothing be stored, or nothing
// more, it is remembered until the page is closed.
const memory = new Map()

export function load(key, otherwise) {
  try {
    const text = memory.get(key) ?? localStorage.getItem(`aristochat:${key}`)
    return text === null ? otherwise : JSON.parse(text)
  } catch {
    return otherwise
  }
}

// save stores a value, or nothing any more if it is undefined.
export function save(key, value) {
  const name = `aristochat:${key}`
  memory.delete(key)
  try {
    if (value === undefined) localStorage.removeItem(name)
    else localStorage.setItem(name, JSON.stringify(value))
  } catch {
    memory.set(key, JSON.stringify(value ?? null))
  }
}
