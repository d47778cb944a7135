// What the user has said in a room and the server has not yet shown. It is sent
// one after the other, in order, kept across reloads, and never arrives twice:
// each message has an id that the server knows again for two minutes; after that
// the room's past is searched before it is sent again.
import {load, save} from "./store.js"

const forgets = 100_000 // ms; the server's two minutes, less what a message may be under way
const patience = 60_000 // ms in which a server that cannot store may recover

const newID = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, "0")).join("")

export class Outbox {
  // Each entry is a message with a status: "waiting" to be sent, "sending" (it may
  // have arrived), "stored" (it will be shown), or "failed" with a reason; unsure
  // says that it may have arrived all the same.
  entries = []

  #ids = new Set() // of all entries that were ever here; others are of other tabs
  #sending // the entry whose answer is awaited
  #timer

  constructor(room) {
    this.room = room
    for (const {id, me, body, reason, ...rest} of load(`outbox:${room.name}`, [])) {
      if (me !== room.me) continue
      const status = reason ? "failed" : rest.tried ? "sending" : "waiting"
      Object.assign(this.#push(id, body), {...rest, reason, status})
    }
  }

  say(body) {
    this.#push(newID(), body)
    this.#keep()
    this.#next()
  }

  // retry is for the user.
  retry(entry) {
    if (entry.status !== "failed") return
    Object.assign(entry, {status: "waiting", reason: ""})
    this.#next()
  }

  drop(entry) {
    this.entries = this.entries.filter(other => other !== entry)
    this.#keep()
    if (this.#sending === entry) this.#sending = undefined
    this.#next()
  }

  // arrived: the server shows this message. It returns whether it was here. A
  // server without history may not repeat the id.
  arrived({mine, id, body}) {
    const entry = mine && this.entries.find(entry => id || this.room.history ?
      entry.id === id : entry.status !== "waiting" && entry.body === body)
    if (entry) this.drop(entry)
    return Boolean(entry)
  }

  // unsure: what was being sent may have arrived without our seeing it.
  unsure() {
    for (const entry of this.entries) {
      if (entry.status === "sending") this.#fail(entry, "not known whether it was sent", true)
    }
  }

  // resume: everything that had arrived has been shown.
  resume() {
    clearTimeout(this.#timer)
    this.#sending = undefined
    for (const entry of this.entries) {
      if (entry.status === "sending") entry.status = "waiting"
    }
    this.#next()
  }

  end() { clearTimeout(this.#timer) }

  #push(id, body) {
    const entry = {kind: "message", key: id, id, body, username: this.room.me, mine: true, at: Date.now(), status: "waiting", reason: ""}
    this.entries.push(entry)
    this.#ids.add(id)
    return entry
  }

  #keep() {
    const key = `outbox:${this.room.name}`
    const kept = load(key, []).filter(({id}) => !this.#ids.has(id))
    for (const {id, body, tried, where, status, reason, unsure} of this.entries) {
      if (status !== "stored") kept.push({id, body, tried, where, unsure, reason: status === "failed" ? reason : "", me: this.room.me})
    }
    save(key, kept.length ? kept : undefined)
  }

  #fail(entry, reason, unsure = false) {
    Object.assign(entry, {status: "failed", reason, unsure})
    this.#keep()
  }

  #next() {
    this.room.changed()
    if (this.#sending || !this.room.ready) return
    const entry = this.entries.find(({status}) => status === "waiting")
    if (entry) this.#send(entry)
  }

  async #send(entry) {
    this.#sending = entry
    entry.status = "sending"
    const again = this.room.history && Date.now() - entry.tried > forgets // false the first time
    entry.tried ??= Date.now()
    entry.where ??= this.room.where
    this.#keep()
    let answer, err
    try {
      if (again && await this.room.has(entry.id, entry.where)) return this.drop(entry)
      answer = await this.room.channel.push("chat_msg", {body: entry.body, client_id: entry.id})
    } catch (caught) {
      err = caught
    }
    if (this.#sending !== entry) return // it was shown meanwhile, or the channel lives anew
    if (err?.kind === "lost") return // the next join tells
    this.#sending = undefined
    const reason = err?.response?.reason
    if (!err && answer?.seq) {
      entry.status = "stored"
      this.#keep()
    } else if (!err) {
      this.room.settle(entry)
    } else if (err.kind === "timeout") {
      this.#fail(entry, "the server did not answer", true)
    } else if (err.response?.retry_after_ms && Date.now() - entry.tried < patience) {
      entry.reason = "the server cannot store it right now"
      entry.unsure = reason === "unknown"
      this.#sending = entry // nothing overtakes it
      this.#timer = setTimeout(() => {
        if (this.#sending !== entry) return
        this.#sending = undefined
        entry.status = "waiting"
        this.#next()
      }, err.response.retry_after_ms)
    } else {
      this.#fail(entry, String(reason ?? "the server refused it"), reason === "unknown")
    }
    this.#next()
  }
}
