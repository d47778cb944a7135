// Chats on a server that runs somewhere, with the official client: over two
// websockets and by long-polling. It fails if an acknowledged message was lost,
// came twice or in another order to anyone, whatever happened meanwhile:
//
//   node smoke.js http://localhost:4000 [SECONDS, or a FILE: as long as it is there]
import {randomUUID} from "node:crypto"
import {existsSync} from "node:fs"
import {createRequire} from "node:module"
import {setTimeout as sleep} from "node:timers/promises"
import WebSocket from "ws"

const {Socket, LongPoll} = createRequire(import.meta.url)("phoenix")

const [base = "http://localhost:4000", duration = "3"] = process.argv.slice(2)
const topic = `rooms:smoke-${randomUUID().slice(0, 8)}`
const patience = 30_000

class Person {
  heard = []   // the client_id of each message
  acked = []   // of those that this person said
  faults = []
  retries = 0
  reconnects = 0
  silence = 0  // the longest time without an acknowledgement, in ms
  where = {history: 0}

  constructor(name, transport) {
    this.name = name
    this.socket = new Socket(new URL("/socket", base).href, {
      transport,
      params: {username: name},
      reconnectAfterMs: tries => Math.min(100 * 2 ** tries, 2000) * (0.5 + Math.random()),
      rejoinAfterMs: tries => Math.min(100 * 2 ** tries, 2000) * (0.5 + Math.random()),
    })
    this.socket.onClose(() => { this.reconnects++ })
    this.socket.connect()
    this.channel = this.socket.channel(topic, () => this.where)
    this.channel.on("chat_msg", m => this.hear(m))
    this.channel.on("history", page => page.messages.forEach(m => this.hear(m)))
  }

  join() {
    return new Promise((resolve, reject) => {
      setTimeout(reject, patience, new Error(`${this.name} could not join ${topic} at ${base}`)).unref()
      this.channel.join().receive("ok", ({recovered, reason, messages = [], last_seq, epoch}) => {
        if (this.where.epoch && !recovered) this.faults.push(`not recovered: ${reason}`)
        messages.forEach(m => this.hear(m))
        Object.assign(this.where, {epoch, since: this.where.since ?? last_seq})
        resolve()
      })
    })
  }

  hear({seq, client_id}) {
    if (seq <= this.where.since) this.faults.push(`message ${seq} came after ${this.where.since}`)
    this.where.since = seq
    this.heard.push(client_id)
  }

  // say returns once the message is stored, however often that takes.
  async say(body) {
    const client_id = randomUUID(), start = Date.now()
    while (!await this.push("chat_msg", {body, client_id})) {
      if (Date.now() - start > patience) throw new Error(`${this.name}: nothing was acknowledged for ${patience / 1000} s`)
      this.retries++
      await sleep(200)
    }
    this.acked.push(client_id)
    this.silence = Math.max(this.silence, Date.now() - start)
  }

  push(event, payload) {
    return new Promise(resolve => {
      setTimeout(resolve, 5000, false).unref() // a push of a channel that is away waits
      this.channel.push(event, payload, 4000)
        .receive("ok", () => resolve(true))
        .receive("error", () => resolve(false))
        .receive("timeout", () => resolve(false))
    })
  }
}

const people = [new Person("ann", WebSocket), new Person("bob", WebSocket), new Person("cyd", LongPoll)]
await Promise.all(people.map(p => p.join()))

const end = Date.now() + 1000 * Number(duration)
const talking = Number.isNaN(end) ? () => existsSync(duration) : () => Date.now() < end
await Promise.all(people.map(async person => {
  do {
    await person.say(`at ${new Date().toISOString()}`)
    await sleep(50)
  } while (talking())
}))

const acked = people.flatMap(p => p.acked)
const missing = p => acked.filter(id => !p.heard.includes(id)).length
for (let i = 0; people.some(missing) && i < patience / 100; i++) await sleep(100)

let failed = false
for (const p of people) {
  const faults = [...p.faults]
  if (missing(p)) faults.push(`${missing(p)} of ${acked.length} messages are missing`)
  if (new Set(p.heard).size !== p.heard.length) faults.push(`${p.heard.length - new Set(p.heard).size} messages came twice`)
  if (p.heard.join() !== people[0].heard.join()) faults.push(`not the order that ${people[0].name} has`)
  failed ||= faults.length > 0
  console.log(`${p.name}: said ${p.acked.length}, heard ${p.heard.length}, reconnects ${p.reconnects}, said again ${p.retries}, longest wait ${p.silence} ms${faults.map(f => `\n  ${f}`).join("")}`)
}
console.log(failed ? "FAILED" : `ok: ${acked.length} messages, none lost, none twice, one order`)
process.exit(failed ? 1 : 0)
