// A person in a room, in a page of Chromium and in Node alike. This is the client
// of the README, with nothing that would hide a message that comes twice.
const patience = 120_000 // ms in which one message has to be said
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

export class Person {
  heard = []   // every message, in the order in which it came
  joins = []   // the answer to each join, the first and the later ones
  closes = []  // the code of each close of the connection
  repeats = 0  // how often something had to be said again
  changed = () => {}

  constructor({Socket, Presence, LongPoll}, {url, username, room, history = 20, ...options}) {
    this.LongPoll = LongPoll
    this.username = username
    this.socket = new Socket(url, {params: {username}, ...options})
    this.socket.onClose(({code}) => this.closes.push(code))
    let since, epoch
    this.channel = this.socket.channel(`rooms:${room}`, () => epoch ? {since, epoch} : {history})
    this.presence = new Presence(this.channel)
    const hear = message => {
      since = message.seq
      this.heard.push(message)
      this.changed()
    }
    this.channel.on("chat_msg", hear)
    this.channel.on("history", page => page.messages.forEach(hear))
    this.channel.join().receive("ok", answer => {
      answer.messages.forEach(hear)
      since = answer.last_seq
      epoch = answer.epoch
      this.joins.push(answer)
    })
    this.presence.onSync(() => this.changed())
    this.socket.connect()
  }

  // say returns when the message is stored, however often it takes to say it.
  async say(body) {
    const client_id = crypto.randomUUID(), end = Date.now() + patience
    for (;; this.repeats++) {
      if (Date.now() > end) throw new Error(`${this.username} cannot say ${body}: nobody answers`)
      const {status, response} = await new Promise(resolve => {
        const push = this.channel.push("chat_msg", {body, client_id}, 3000)
        for (const status of ["ok", "error", "timeout"]) {
          push.receive(status, response => resolve({status, response}))
        }
      })
      if (status === "ok") return
      if (status === "error") {
        if (!response.retry_after_ms) throw new Error(`${this.username} cannot say ${body}: ${response.reason}`)
        await sleep(response.retry_after_ms)
      }
    }
  }

  // talk says several things, one after the other.
  async talk(bodies, pause = 0) {
    for (const body of bodies) {
      await this.say(body)
      await sleep(pause)
    }
  }

  // state is what a test looks at.
  state() {
    return {
      joins: this.joins.map(({recovered, messages}) => ({recovered, missed: messages.length})),
      closes: this.closes,
      repeats: this.repeats,
      longPolls: this.socket.transport === this.LongPoll,
      who: this.presence.list((name, {metas}) => `${name}:${metas.length}`).sort().join(" "),
      heard: this.heard.map(({seq, username, body}) => `${seq} ${username}: ${body}`),
    }
  }
}
