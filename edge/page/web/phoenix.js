// A client of Phoenix Channels, for any Phoenix server: websocket, protocol
// version 2.0.0. It sends JSON, and reads JSON and binary frames, whose payload is
// an ArrayBuffer. It has no dependency and touches no page.
//
//   const socket = new Socket("wss://example.com/socket", {params: {token}})
//   const channel = socket.channel("rooms:lobby", () => ({since}))
//   channel.on("chat_msg", message => …)
//   channel.onJoin = answer => …
//   socket.connect()
//   channel.join()
//   await channel.push("chat_msg", {body: "hi"})
//
// It differs from phoenix.js in this: each delay is any time up to the step, so
// that a crowd does not come back at once; a push is a promise, and one to a
// channel that is not joined fails at once rather than waiting.

const vsn = "2.0.0"

// The steps of phoenix.js, in ms. The last one repeats.
export const reconnectSteps = [10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000]
export const rejoinSteps = [1000, 2000, 5000, 10000]

// backoff is how long to wait after so many tries in vain: full jitter.
export function backoff(steps, tries, random = Math.random) {
  return random() * steps[Math.min(tries, steps.length - 1)]
}

export class Socket {
  state = "idle"     // "idle", "connecting", "open" or "waiting" for the next try
  // lost is {why, code} of the last loss, until the server answers again: "closed"
  // by the server, with a code, or by the network; "unreachable": it never opened,
  // and browsers do not tell more; "timeout": it did not open in time; "silent": a
  // heartbeat was not answered; "garbage": something came that is no frame.
  lost = undefined
  nextTry = 0        // when, in ms since 1970, if state is "waiting"
  onState = () => {} // called after each change of state

  #channels = new Map()
  #ref = 0
  #tries = 0
  #ws
  #timer // the one thing that is waited for: to open, to beat, to try again
  #beat  // the ref of the heartbeat that has no answer yet

  // endpoint is the URL without "/websocket". params are an object, or a function
  // that is called at each connect. authToken goes where Phoenix 1.8 expects it.
  constructor(endpoint, {params = {}, authToken, transport = globalThis.WebSocket, timeout = 10000, heartbeat = 30000} = {}) {
    Object.assign(this, {endpoint, params, authToken, transport, timeout, heartbeat})
  }

  channel(topic, params = {}) { return new Channel(this, topic, params) }

  // connect begins, or cuts a wait short.
  connect() {
    if (this.state === "open" || this.state === "connecting") return
    clearTimeout(this.#timer)
    const params = typeof this.params === "function" ? this.params() : this.params
    const url = `${this.endpoint}/websocket?${new URLSearchParams({...params, vsn})}`
    const protocols = this.authToken === undefined ? [] :
      ["phoenix", `base64url.bearer.phx.${btoa(this.authToken).replace(/=+$/, "")}`]
    const ws = this.#ws = new this.transport(url, protocols)
    ws.binaryType = "arraybuffer"
    let opened = false
    ws.onopen = () => {
      opened = true
      this.#wait(this.heartbeat, () => this.check())
      this.#become("open")
      for (const channel of this.#channels.values()) channel.opened()
    }
    ws.onmessage = ({data}) => this.#receive(data)
    ws.onclose = ({code}) => this.#lose(opened ? "closed" : "unreachable", code)
    ws.onerror = () => {} // a close follows
    this.#wait(this.timeout, () => this.#lose("timeout"))
    this.#become("connecting")
  }

  // disconnect ends it for good, until connect.
  disconnect() {
    this.#drop()
    this.lost = undefined
    this.#tries = 0
    this.#become("idle")
    for (const channel of this.#channels.values()) channel.lost()
  }

  // check asks the server whether it is still there, and gives it so many ms. Call
  // it when the machine may have slept.
  check(patience = this.timeout) {
    if (this.state === "waiting") return this.connect()
    if (this.state !== "open") return
    this.#beat = this.send(null, "phoenix", "heartbeat", {})
    this.#wait(patience, () => this.#lose("silent"))
  }

  #wait(ms, then) {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, ms)
  }

  #become(state) {
    this.state = state
    this.onState()
  }

  #drop() {
    clearTimeout(this.#timer)
    this.#beat = undefined
    const ws = this.#ws
    if (!ws) return
    this.#ws = undefined
    ws.onopen = ws.onmessage = ws.onclose = null // a close may take long where nobody answers
    ws.close()
  }

  #lose(why, code) {
    this.#drop()
    this.lost = {why, code}
    const ms = backoff(reconnectSteps, this.#tries++)
    this.nextTry = Date.now() + ms
    this.#wait(ms, () => this.connect())
    this.#become("waiting")
    for (const channel of this.#channels.values()) channel.lost()
  }

  #receive(data) {
    let frame
    try {
      frame = decode(data)
    } catch {
      return this.#lose("garbage")
    }
    this.#tries = 0 // it does speak; to have opened says nothing yet
    this.lost = undefined
    if (frame.ref !== null && frame.ref === this.#beat) {
      this.#beat = undefined
      this.#wait(this.heartbeat, () => this.check())
    }
    this.#channels.get(frame.topic)?.receive(frame)
  }

  // The rest is for channels.

  add(channel) {
    this.#channels.get(channel.topic)?.leave()
    this.#channels.set(channel.topic, channel)
  }

  remove(channel) {
    if (this.#channels.get(channel.topic) === channel) this.#channels.delete(channel.topic)
  }

  // send returns the ref of what it sent. A join's joinRef is that ref.
  send(joinRef, topic, event, payload) {
    const ref = String(++this.#ref)
    this.#ws.send(encode({joinRef: event === "phx_join" ? ref : joinRef, ref, topic, event, payload}))
    return ref
  }
}

// A PushError says why a push has no answer "ok": kind is "refused" (response is
// the server's), "timeout", or "lost": the channel was not joined, or ended
// before an answer came.
export class PushError extends Error {
  constructor(kind, response) {
    super(response?.reason ?? kind)
    this.kind = kind
    this.response = response
  }
}

export class Channel {
  state = "closed"         // "closed", "joining", "joined" or "errored"
  onJoin = () => {}        // (answer) each time it is joined
  onRefuse = () => {}      // (answer) a join was refused; it is tried again, unless this calls leave
  onLose = () => {}        // () it was joined and no longer is; it is joined again
  onClose = () => {}       // () the server ended it for good

  #handlers = new Map()
  #pushes = new Map() // ref to {resolve, reject, timer}
  #joinRef
  #tries = 0
  #timer

  // params are an object, or a function that is called at each join.
  constructor(socket, topic, params) {
    Object.assign(this, {socket, topic, params})
  }

  // on calls handler with the payload of each such event.
  on(event, handler) {
    this.#handlers.set(event, [...this.#handlers.get(event) ?? [], handler])
    return this
  }

  // join joins as soon as the socket is open, and again whenever that is needed.
  join() {
    if (this.state !== "closed") return
    this.socket.add(this)
    this.state = "errored"
    if (this.socket.state === "open") this.#join()
  }

  // leave ends it for good, whether the server answers or not.
  leave() {
    if (this.state === "joined" || this.state === "joining") {
      this.socket.send(this.#joinRef, this.topic, "phx_leave", {})
    }
    this.#end("closed")
    this.socket.remove(this)
  }

  // push returns what the server answers "ok" with, or throws a PushError.
  async push(event, payload, timeout = this.socket.timeout) {
    if (this.state !== "joined") throw new PushError("lost")
    return new Promise((resolve, reject) => {
      const ref = this.socket.send(this.#joinRef, this.topic, event, payload)
      const timer = setTimeout(() => {
        this.#pushes.delete(ref)
        reject(new PushError("timeout"))
      }, timeout)
      this.#pushes.set(ref, {resolve, reject, timer})
    })
  }

  #join() {
    clearTimeout(this.#timer)
    this.state = "joining"
    const params = typeof this.params === "function" ? this.params() : this.params
    const ref = this.#joinRef = this.socket.send(null, this.topic, "phx_join", params)
    this.#timer = setTimeout(() => { // the server may still be at it
      this.socket.send(ref, this.topic, "phx_leave", {})
      this.#end("errored")
      this.#joinLater()
    }, this.socket.timeout)
  }

  #joinLater(atLeast = 0) {
    const ms = Math.max(atLeast, backoff(rejoinSteps, this.#tries++))
    this.#timer = setTimeout(() => this.#join(), ms)
  }

  #end(state) {
    clearTimeout(this.#timer)
    this.state = state
    this.#joinRef = undefined
    const pushes = [...this.#pushes.values()]
    this.#pushes.clear()
    for (const {reject, timer} of pushes) {
      clearTimeout(timer)
      reject(new PushError("lost"))
    }
  }

  // The rest is for the socket.

  opened() {
    this.#tries = 0
    this.#join()
  }

  lost() {
    const was = this.state
    this.#end("errored")
    if (was === "joined") this.onLose()
  }

  receive({joinRef, ref, event, payload}) {
    if (joinRef && joinRef !== this.#joinRef) return // of an earlier life
    if (event === "phx_reply") {
      if (ref === this.#joinRef && this.state === "joining") return this.#joined(payload)
      const push = this.#pushes.get(ref)
      if (!push) return
      this.#pushes.delete(ref)
      clearTimeout(push.timer)
      return payload.status === "ok" ? push.resolve(payload.response) : push.reject(new PushError("refused", payload.response))
    }
    if (event === "phx_error") {
      this.lost()
      return this.#joinLater()
    }
    if (event === "phx_close") {
      this.#end("closed")
      this.socket.remove(this)
      return this.onClose()
    }
    for (const handler of this.#handlers.get(event) ?? []) handler(payload)
  }

  #joined({status, response}) {
    clearTimeout(this.#timer)
    if (status === "ok") {
      this.state = "joined"
      this.#tries = 0
      return this.onJoin(response)
    }
    this.#end("errored")
    this.#joinLater(response?.retry_after_ms)
    this.onRefuse(response)
  }
}

// Presence keeps who is in a channel: a Map from key to {metas, …}, complete
// after each change. Until the first state of a join has come, diffs wait.
export class Presence {
  state = new Map()
  #waiting = [] // diffs, or undefined once the state is there

  constructor(channel, changed) {
    channel.on("presence_state", state => {
      this.state = new Map(Object.entries(state))
      for (const diff of this.#waiting ?? []) applyDiff(this.state, diff)
      this.#waiting = undefined
      changed()
    })
    channel.on("presence_diff", diff => {
      if (this.#waiting) return this.#waiting.push(diff)
      applyDiff(this.state, diff)
      changed()
    })
  }

  // rejoined is to be called at each join: what is known is old, until the server
  // tells it anew.
  rejoined() { this.#waiting = [] }
}

// applyDiff changes a presence state as phoenix.js does: joins first, a meta is
// its phx_ref, and who has no meta left is gone.
export function applyDiff(state, {joins, leaves}) {
  const refs = metas => new Set(metas.map(meta => meta.phx_ref))
  for (const [key, joined] of Object.entries(joins)) {
    const known = refs(joined.metas)
    const stay = (state.get(key)?.metas ?? []).filter(meta => !known.has(meta.phx_ref))
    state.set(key, {...joined, metas: [...stay, ...joined.metas]})
  }
  for (const [key, left] of Object.entries(leaves)) {
    const current = state.get(key)
    if (!current) continue
    const gone = refs(left.metas)
    const metas = current.metas.filter(meta => !gone.has(meta.phx_ref))
    if (metas.length) state.set(key, {...current, metas})
    else state.delete(key)
  }
}

export function encode({joinRef, ref, topic, event, payload}) {
  return JSON.stringify([joinRef, ref, topic, event, payload])
}

// decode throws if data is no frame of Phoenix.
export function decode(data) {
  if (typeof data !== "string") return decodeBinary(data)
  const frame = JSON.parse(data)
  const text = word => word === null || typeof word === "string"
  if (!Array.isArray(frame) || frame.length !== 5) throw new SyntaxError("no frame")
  const [joinRef, ref, topic, event, payload] = frame
  if (!text(joinRef) || !text(ref) || typeof topic !== "string" || typeof event !== "string") throw new SyntaxError("no frame")
  if (typeof payload !== "object" && event.startsWith("phx_")) throw new SyntaxError("no payload")
  return {joinRef, ref, topic, event, payload: payload ?? {}}
}

const kinds = [["joinRef", "topic", "event"], ["joinRef", "ref", "topic", "event"], ["topic", "event"]] // push, reply, broadcast

function decodeBinary(data) {
  const bytes = new Uint8Array(data), words = kinds[bytes[0]]
  if (!words) throw new SyntaxError("no frame")
  let at = 1 + words.length
  const frame = {joinRef: null, ref: null}
  words.forEach((word, i) => {
    const end = at + bytes[1 + i]
    if (!(end <= bytes.length)) throw new SyntaxError("a frame cut short")
    frame[word] = new TextDecoder().decode(bytes.subarray(at, end))
    at = end
  })
  const payload = data.slice(at)
  return bytes[0] === 1 ?
    {...frame, event: "phx_reply", payload: {status: frame.event, response: payload}} :
    {...frame, payload}
}
