// Words on the page, as pure functions: what strangers wrote stays text.

export const bytes = text => new TextEncoder().encode(text).length

// tooLong says so, if a text has more than so many bytes.
export function tooLong(what, text, most) {
  const size = bytes(text)
  return size > most ? `This ${what} is too long: ${size.toLocaleString()} bytes, and ${most.toLocaleString()} are allowed.` : ""
}

// Characters that paint over, reorder or hide what stands around them.
const unseemly = /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu

// display is a name as it can be shown: on one line, and not empty.
export const display = name => name.replace(unseemly, " ").trim() || "(no name)"

// action is what somebody does, of a message as of XEP-0245; undefined if it is none.
export const action = body => body.startsWith("/me ") ? body.slice(4) : undefined

// parts cuts a text at its links: {text}, or {text, href} for http and https.
export function parts(text) {
  const found = []
  let at = 0
  for (const {0: match, index} of text.matchAll(/\bhttps?:\/\/[^\s<>"\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]+/giu)) {
    const link = trimmed(match)
    let href
    try {
      href = new URL(link).href
    } catch {
      continue
    }
    if (index > at) found.push({text: text.slice(at, index)})
    found.push({text: link, href})
    at = index + link.length
  }
  if (at < text.length) found.push({text: text.slice(at)})
  return found
}

// trimmed is a link without the punctuation of the sentence around it.
function trimmed(link) {
  for (;;) {
    const last = link.at(-1), open = {")": "(", "]": "[", "}": "{"}[last]
    const count = c => link.split(c).length
    if (!/[.,;:!?'*_)\]}…”’»`]/.test(last) || open && count(open) >= count(last)) return link
    link = link.slice(0, -1)
  }
}

// hue is a name's own colour, as an angle: one of 24 that can be told apart.
export function hue(name) {
  let hash = 2166136261
  for (const c of name) hash = Math.imul(hash ^ c.codePointAt(0), 16777619)
  return ((hash ^ hash >>> 15) >>> 0) % 24 * 15
}

// initials are one or two letters that stand for a name.
export function initials(name) {
  const words = display(name).match(/[\p{L}\p{N}]+/gu) ?? [display(name)]
  const first = word => [...new Intl.Segmenter().segment(word)][0].segment
  return (words.length > 1 ? first(words[0]) + first(words.at(-1)) : first(words[0])).toUpperCase()
}

// sayTyping tells who types.
export function sayTyping(names) {
  const shown = names.map(display)
  switch (shown.length) {
    case 0: return ""
    case 1: return `${shown[0]} is typing…`
    case 2: return `${shown[0]} and ${shown[1]} are typing…`
  }
  return "Several people are typing…"
}

const clocks = new Intl.DateTimeFormat(undefined, {hour: "2-digit", minute: "2-digit"})
const moments = new Intl.DateTimeFormat(undefined, {dateStyle: "full", timeStyle: "medium"})
const days = new Intl.DateTimeFormat(undefined, {weekday: "long", day: "numeric", month: "long"})
const years = new Intl.DateTimeFormat(undefined, {dateStyle: "long"})

export const clock = at => clocks.format(at)
export const moment = at => moments.format(at)
export const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString()

export function day(at, now = Date.now()) {
  const yesterday = new Date(now)
  yesterday.setDate(yesterday.getDate() - 1)
  if (sameDay(at, now)) return "Today"
  if (sameDay(at, yesterday)) return "Yesterday"
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? days.format(at) : years.format(at)
}
