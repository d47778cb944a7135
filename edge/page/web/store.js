// What the page remembers. Where the browser lets nothing be stored, or nothing
// more, it is remembered until the page is closed.
const memory = new Map()

export function load(key, otherwise) {
  try {
    // Of what is not there it is null, also where null had to be remembered.
    return JSON.parse(memory.get(key) ?? localStorage.getItem(`aristochat:${key}`)) ?? otherwise
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
