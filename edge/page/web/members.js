// Who is here: the list beside a room.
import {avatar, el, nameOf} from "./rows.js"
import {display} from "./text.js"

const shown = 200 // names in the page; rooms may have more

export class Members {
  #drawn   // what the list shows, so as not to make it again
  #pages   // of a room that is only counted: {room, names, next, failed}

  constructor(panel) {
    this.list = panel.querySelector("ul")
    this.note = panel.querySelector("p")
    this.more = el("button", {className: "small", onclick: () => this.#fetch(this.#pages)}, "Show more")
    panel.append(this.more)
  }

  // draw shows a room's members, if the panel is open.
  draw(room, open) {
    if (!open || !room) return
    const counted = room.count !== undefined
    if (counted && this.#pages?.room !== room) {
      this.#pages = {room, names: [], next: null}
      this.#fetch(this.#pages)
    }
    if (!counted) this.#pages = undefined
    const all = counted ? this.#pages.names : [...room.presence.state.keys()].sort((a, b) => a.localeCompare(b))
    const names = all.slice(0, counted ? all.length : shown)
    this.more.hidden = !counted || this.#pages.next === undefined
    const rest = room.people - names.length
    this.note.textContent = this.#pages?.failed ? "The list could not be fetched." : rest > 0 ? `and ${rest.toLocaleString()} more` : ""
    const drawn = JSON.stringify([room.me, names])
    if (drawn === this.#drawn) return
    this.#drawn = drawn
    this.list.replaceChildren(...names.map(name => {
      const label = nameOf(name)
      if (name === room.me) label.append(el("span", {className: "you"}, " (you)"))
      return el("li", {title: display(name)}, avatar(name), label)
    }))
  }

  async #fetch(pages) {
    this.more.disabled = true
    try {
      const {presences, next} = await pages.room.list(pages.next)
      pages.names.push(...Object.keys(presences))
      pages.next = next ?? undefined
      pages.failed = false
    } catch {
      pages.failed = true
    }
    this.more.disabled = false
    pages.room.changed()
  }
}
