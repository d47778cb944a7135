// A room: what was said, what is still to be sent, who is here. It speaks
// docs/protocol.md, and does without what a server does not have.
import {Presence} from "./phoenix.js"
import {Outbox} from "./outbox.js"
import {load, save} from "./store.js"

const firstPage = 50, page = 100 // messages
const most = 20000               // that are kept here; older ones are fetched again

export class Room {
  items = []            // what is known, in order: {kind: "message", …} and {kind: "notice", text}
  state = "joining"     // or "joined", "refused", "closed"
  refusal = ""          // why, if refused
  older = "none"        // of what came before items: "more", "loading", "failed", "end" or "none" to be had
  unread = 0
  mark = undefined      // the key of the first item that is new to the reader
  typing = new Map()    // name to the timer that forgets it
  count = undefined     // how many are here, if they are too many to be listed
  history = false       // whether the server remembers

  #epoch
  #since = 0
  #first = 0            // the oldest seq that is known
  #recent = new Set()   // client ids and authors of what came, against repeats
  #keys = 0
  #read
  #catchingUp = false
  #typingWorks = true
  #typed = 0

  // changed is called after each change; attended says whether the newest message
  // is before the reader's eyes; heard gets each message that is new.
  constructor(socket, name, me, {changed, attended, heard}) {
    Object.assign(this, {name, me, changed, attended, heard})
    this.#read = load(`read:${name}`)
    const channel = this.channel = socket.channel(`rooms:${name}`,
      () => this.#epoch ? {since: this.#since, epoch: this.#epoch} : {history: firstPage})
    this.presence = new Presence(channel, () => {
      if (this.presence.state.size) this.count = undefined
      changed()
    })
    this.outbox = new Outbox(this)
    channel.on("chat_msg", message => this.#add([message], {live: true}))
    channel.on("history", page => {
      this.#add(page.messages)
      this.#since = page.last_seq || this.#since
      if (!page.more) this.#caughtUp()
      changed()
    })
    channel.on("typing", ({username, typing, ttl_ms: ttl}) => this.#types(String(username), typing, ttl))
    channel.on("presence_count", ({count}) => {
      this.count = count
      changed()
    })
    channel.onJoin = answer => this.#joined(answer)
    channel.onRefuse = answer => this.#refused(answer)
    channel.onLose = () => {
      this.state = "joining"
      if (this.older === "loading") this.older = "more"
      changed()
    }
    channel.onClose = () => {
      this.state = "closed"
      changed()
    }
  }

  join() {
    this.state = "joining"
    this.channel.join()
    this.changed()
  }

  leave() {
    this.channel.leave()
    for (const timer of this.typing.values()) clearTimeout(timer)
    this.outbox.end()
  }

  // ready: what was missed is there, and messages can be sent.
  get ready() { return this.state === "joined" && !this.#catchingUp }

  // all is what the reader sees, in order.
  get all() { return this.outbox.entries.length ? [...this.items, ...this.outbox.entries] : this.items }

  get people() { return this.count ?? this.presence.state.size }

  // Seen: the reader has the newest message before the eyes.
  seen() {
    if (this.unread) {
      this.unread = 0
      this.changed()
    }
    if (this.#epoch && this.#read?.seq !== this.#since) {
      this.#read = {seq: this.#since, epoch: this.#epoch}
      save(`read:${this.name}`, this.#read)
    }
    if (this.items.length > most) { // from the far end, where nobody looks
      this.items.splice(0, this.items.length - most * 3 / 4)
      this.#first = this.items.find(item => item.seq)?.seq ?? this.#first
      if (this.history) this.older = "more"
      this.changed()
    }
  }

  // scrollBack fetches what came before items.
  async scrollBack() {
    if (!["more", "failed"].includes(this.older) || this.state !== "joined") return
    const epoch = this.#epoch
    this.older = "loading"
    this.changed()
    try {
      const answer = await this.channel.push("history", {before: this.#first, limit: page})
      if (this.#epoch !== epoch) return // of a store that is gone
      this.items.unshift(...answer.messages.map(message => this.#item(message)))
      this.#first = answer.first_seq || this.#first
      this.older = answer.more ? "more" : "end"
    } catch (err) {
      if (this.older === "loading") this.older = err.kind === "lost" ? "more" : "failed"
    }
    this.changed()
  }

  // type tells the others that the user types, or no longer does. A server that
  // does not know who is here would not know the event either, and might end the
  // channel for it.
  type(typing) {
    if (!this.#typingWorks || this.state !== "joined" || !(this.history || this.people)) return
    if (typing ? Date.now() - this.#typed < 3000 : !this.#typed) return
    this.#typed = typing ? Date.now() : 0
    this.channel.push("typing", {typing}).catch(({kind}) => { if (kind === "refused") this.#typingWorks = false })
  }

  // list asks for names of a room that is only counted.
  list(after) { return this.channel.push("presence_list", {...after && {after}, limit: 100}) }

  #joined(answer) {
    this.state = "joined"
    this.refusal = ""
    this.presence.rejoined()
    this.history = Array.isArray(answer?.messages)
    if (this.history) this.#remember(answer)
    else this.outbox.unsure()
    this.#catchingUp = this.history && answer.more === true
    if (!this.#catchingUp) this.#caughtUp()
    this.changed()
  }

  #remember({messages, epoch, recovered, first_seq: first, last_seq: last}) {
    const resumed = this.#epoch === epoch
    if (this.#epoch && !resumed) {
      this.items = []
      this.#recent.clear()
      this.#note("What was said before is gone: the server has another store now.")
    } else if (resumed && recovered === false) {
      this.#note("Messages are missing here: the server no longer keeps them.")
    }
    if (recovered === false) this.outbox.unsure()
    if (!resumed) {
      this.#since = 0
      this.#first = first
      this.#epoch = epoch
      this.older = first ? "more" : "end"
    }
    this.#add(messages, {first: !resumed})
    this.#since = Math.max(this.#since, last ?? 0)
  }

  #caughtUp() {
    this.#catchingUp = false
    this.outbox.resume()
  }

  #refused(answer) {
    this.state = "refused"
    this.refusal = String(answer?.reason ?? "the server gave no reason")
    // Some things pass; what is wrong with the room itself does not.
    if (!answer?.retry_after_ms && this.refusal !== "join crashed") this.channel.leave()
    this.changed()
  }

  #item({seq, at, username, body, client_id: id}) {
    username = String(username ?? "")
    const mine = username === this.me
    return {
      kind: "message", key: seq ?? `n${++this.#keys}`, seq, username, mine, id,
      at: Date.parse(at) || Date.now(),
      body: typeof body === "string" ? body : JSON.stringify(body) ?? "",
    }
  }

  #note(text) { this.items.push({kind: "notice", key: `n${++this.#keys}`, text}) }

  // add takes messages in the order of the server, and drops what is known.
  #add(messages, {live = false, first = false} = {}) {
    for (const message of messages) {
      if (message.seq <= this.#since) continue
      if (message.seq) this.#since = message.seq
      const item = this.#item(message)
      if (this.#repeated(item)) continue
      if (this.outbox.arrived(item) && item.id) item.key = item.id // and so it stays the same row
      this.items.push(item)
      clearTimeout(this.typing.get(item.username))
      this.typing.delete(item.username)
      const isNew = first ? this.#read?.epoch === this.#epoch && item.seq > this.#read.seq : !this.attended(this)
      if (isNew && !item.mine && !this.unread++) this.mark = item.key
      if (live) this.heard(this, item)
    }
    this.changed()
  }

  // repeated tells what was said again since its sender could not know that it
  // had arrived, where no server took care of that.
  #repeated({id, username}) {
    if (!id) return false
    const key = `${id} ${username}`
    if (this.#recent.has(key)) return true
    this.#recent.add(key)
    if (this.#recent.size > 1000) this.#recent.delete(this.#recent.values().next().value)
    return false
  }

  // where is how far the reader's knowledge goes, and in which store.
  get where() { return {since: this.#since, epoch: this.#epoch} }

  // has looks for a message of the user's that was said at where or later.
  async has(id, {since, epoch}) {
    if (epoch !== this.#epoch) return false // it went with the store
    for (let before;;) {
      const answer = await this.channel.push("history", {...before && {before}, limit: 200})
      if (answer.messages.some(message => message.client_id === id && message.username === this.me)) return true
      before = answer.first_seq
      if (!answer.more || before <= since) return false
    }
  }

  // settle makes an item of what the server has acknowledged and will not number.
  settle({id, body}) { this.#add([{body, username: this.me, client_id: id}]) }

  #types(name, typing, ttl = 6000) {
    clearTimeout(this.typing.get(name))
    this.typing.delete(name)
    if (typing && name !== this.me) {
      this.typing.set(name, setTimeout(() => this.#types(name, false), ttl))
    }
    this.changed()
  }
}
