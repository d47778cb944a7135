// The official clients, and a person in a room who uses one.
import {createRequire} from "node:module"
import {setTimeout as sleep} from "node:timers/promises"
import WebSocket from "ws"

const require = createRequire(import.meta.url)

// The newest client; the one of the version that we take for our measure, which
// does not come back after a close with 1000; the one of the seed's days, which
// speaks V1.
export const clients = ["phoenix", "phoenix-1.8.12", "phoenix-1.2.1"].map(name => ({name, ...require(name)}))

const patience = 60_000 // ms for anything to come: a machine may be slow

// A Member is in the room that it entered last.
export class Member {
  joins = new Log()  // the answer to each join, the first and the later ones
  heard = new Log()  // the payload of each chat_msg
  frames = new Log() // all frames
  closes = new Log() // the code of each close of the connection

  constructor(t, {client, edge, topic, username, joinParams, options}) {
    this.socket = new client.Socket(edge.url, {
      transport: WebSocket,
      params: username === undefined ? {} : {username},
      timeout: patience,
      // 1.2.1 also joins again after this time, answered or not, and cannot tell
      // that a close is meant for the first of two joins: it gets time to be answered.
      reconnectAfterMs: () => this.socket.isConnected() ? 20_000 : 200,
      rejoinAfterMs: () => 200,
      ...options,
    })
    this.socket.onMessage(frame => this.frames.add(frame))
    this.socket.onClose(({code}) => this.closes.add(code))
    this.socket.connect()
    t.after(() => this.disconnect())
    this.enter(topic, joinParams)
  }

  enter(topic, params = {}) {
    this.channel = this.socket.channel(topic, params)
    this.channel.on("chat_msg", payload => this.heard.add(payload))
  }

  // join returns when the server has let the member in. The client itself tries
  // again where it cannot right now.
  join() {
    const push = this.channel.join()
    push.receive("ok", response => this.joins.add(response))
    return reply(push, ({retry_after_ms: later}) => later > 0)
  }

  // push waits, and says it again, where the server cannot take it right now.
  async push(event, payload) {
    for (;;) {
      try {
        return await reply(this.channel.push(event, payload))
      } catch (err) {
        if (!err.response?.retry_after_ms) throw err
        await sleep(err.response.retry_after_ms)
      }
    }
  }

  say(body) { return this.push("chat_msg", {body, client_id: crypto.randomUUID()}) }
  leave() { return reply(this.channel.leave()) }

  hears(body) { return this.heard.until(`"${body}" is heard`, heard => heard.some(m => m.body === body)) }

  disconnect() {
    // A client whose heartbeat was just not answered may have yet to decide that it
    // connects again: 1.8.12 does when the old connection is closed, or after 1.5 s.
    this.socket.connect = () => {}
    this.socket.disconnect()
    // 1.2.1 forgets its timers.
    clearInterval(this.socket.heartbeatTimer)
    this.socket.reconnectTimer.reset()
    this.channel.rejoinTimer.reset()
  }
}

// enter brings people into one room, who have joined when it returns.
export async function enter(t, topic, ...people) {
  const members = people.map(person => new Member(t, {topic, ...person}))
  await Promise.all(members.map(member => member.join()))
  return members
}

// A Refusal is an "error" reply.
export class Refusal extends Error {
  constructor(response) {
    super(`refused: ${JSON.stringify(response)}`)
    this.response = response
  }
}

function reply(push, passes = () => false) {
  return new Promise((resolve, reject) => push
    .receive("ok", resolve)
    .receive("error", response => { if (!passes(response)) reject(new Refusal(response)) })
    .receive("timeout", () => reject(new Error("no reply in time"))))
}

// A Log keeps what arrives, in order, and can be awaited.
class Log {
  entries = []
  #waiting = new Set()

  add(entry) {
    this.entries.push(entry)
    for (const check of this.#waiting) check()
  }

  // until waits for what is done, and says what was found if it waits in vain.
  until(what, done, found = () => this.entries) {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!done(this.entries)) return
        this.#waiting.delete(check)
        clearTimeout(timer)
        resolve(this.entries)
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(check)
        reject(new Error(`waited in vain until ${what}: ${JSON.stringify(found())}`))
      }, patience)
      this.#waiting.add(check)
      check()
    })
  }

  count(n) { return this.until(`there are ${n}`, entries => entries.length >= n) }
}
