// Where one writes. A draft is kept for each room until it is said.
import {load, save} from "./store.js"
import {tooLong} from "./text.js"

const maxBody = 16384 // bytes: DefaultMaxBody of edge/rooms; other servers say so themselves

export class Composer {
  #room
  #kept // the draft as it was kept last: another tab may have another one
  #saving

  // say(text) and typing(bool) are called as the user writes.
  constructor(form, {say, typing}) {
    Object.assign(this, {form, say, typing})
    this.text = form.querySelector("textarea")
    this.problem = form.querySelector("[role=alert]")
    form.addEventListener("submit", event => {
      event.preventDefault()
      this.#submit()
    })
    this.text.addEventListener("keydown", event => {
      // Enter also ends the composition of a word, in Safari with the code 229.
      if (event.key !== "Enter" || event.shiftKey || event.altKey || event.isComposing || event.keyCode === 229) return
      event.preventDefault()
      this.#submit()
    })
    this.text.addEventListener("input", () => {
      this.#fit()
      this.problem.textContent = ""
      this.text.ariaInvalid = null
      this.typing(this.text.value.trim() !== "")
      clearTimeout(this.#saving)
      this.#saving = setTimeout(() => this.#keep(), 300)
    })
    addEventListener("pagehide", () => this.#keep())
    document.addEventListener("visibilitychange", () => this.#keep())
  }

  // open shows the draft of a room; undefined if there is none.
  open(room) {
    this.#keep()
    this.#room = room
    this.problem.textContent = ""
    this.#set(this.#kept = room === undefined ? "" : load(`draft:${room}`, ""))
  }

  // edit puts a text back, before what is there.
  edit(text) {
    this.#set(this.text.value ? `${text}\n${this.text.value}` : text)
    this.text.focus()
  }

  #submit() {
    const text = this.text.value
    if (!text.trim() || this.#room === undefined) return
    const problem = tooLong("message", text, maxBody)
    if (problem) {
      this.problem.textContent = `${problem} Shorten it, or send it in parts.`
      this.text.ariaInvalid = "true"
      return
    }
    this.#set("")
    this.say(text)
    this.text.focus()
  }

  #set(text) {
    this.text.value = text
    this.text.ariaInvalid = null
    this.problem.textContent = ""
    this.#fit()
    this.#keep()
  }

  #keep() {
    clearTimeout(this.#saving)
    const {value} = this.text
    if (value === this.#kept || this.#room === undefined) return
    this.#kept = value
    save(`draft:${this.#room}`, value || undefined)
  }

  // fit makes the field as high as its text, up to what CSS allows, where CSS
  // cannot do it alone.
  #fit() {
    if (CSS.supports("field-sizing", "content")) return
    this.text.style.height = "auto"
    this.text.style.height = `${this.text.scrollHeight}px`
  }
}
