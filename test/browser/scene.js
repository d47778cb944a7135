// People in one room: in pages of a real browser, and in Node.
import assert from "node:assert/strict"
import {once} from "node:events"
import {readFile} from "node:fs/promises"
import {createServer} from "node:http"
import {tmpdir} from "node:os"
import {join} from "node:path"
import {after, before, test} from "node:test"
import {fileURLToPath} from "node:url"
import * as phoenix from "phoenix"
import WebSocket from "ws"
import {startEdges} from "../js/edge.js"
import {browser, load, patience, until} from "./chromium.js"
import {Person} from "./person.js"
import {startProxy} from "./proxy.js"

const room = "lobby"
const secret = "known to both of these edges"

// site serves the page, on another origin than the edges.
const files = {
  "/": ["index.html", "text/html"],
  "/person.js": ["person.js", "text/javascript"],
  "/phoenix.mjs": ["node_modules/phoenix/priv/static/phoenix.mjs", "text/javascript"],
}
const site = createServer(async (req, res) => {
  const [file, type] = files[req.url] ?? []
  if (!file) return res.writeHead(404).end()
  res.writeHead(200, {"Content-Type": type}).end(await readFile(fileURLToPath(new URL(file, import.meta.url))))
})
process.setMaxListeners(0) // each edge of a file has one

before(async () => {
  site.listen(0, "127.0.0.1")
  await once(site, "listening")
})

after(() => {
  site.close()
  site.closeAllConnections()
})

// play is a test with two edges behind a proxy. If it fails it leaves a picture.
export function play(name, options, body) {
  test(name, async t => {
    const edges = await startEdges(t, "--secret", secret, "--allow-origin", "any")
    const scene = new Scene(t, edges, await startProxy(t, edges, options))
    try {
      await body(scene, t)
      assert.deepEqual(scene.mishaps, [])
    } catch (err) {
      await scene.picture(name)
      throw err
    }
  })
}

class Scene {
  people = []
  mishaps = [] // errors that nobody caught in a page

  constructor(t, edges, proxy) {
    this.t = t
    this.edges = edges
    this.proxy = proxy
  }

  // tab opens a page in a browser context of its own, behind the proxy.
  async tab(username, options) {
    const context = await browser.newContext()
    this.t.after(() => context.close())
    const page = await context.newPage()
    page.setDefaultTimeout(patience)
    page.on("pageerror", err => this.mishaps.push(`${username}: ${err.stack}`))
    const tab = new Tab(page, {url: this.proxy.url, username, room, longPollFallbackMs: 1000, ...options})
    this.people.push(tab)
    await tab.enter()
    return tab
  }

  // member joins from Node, over a websocket to the edge itself.
  async member(username, edge) {
    const person = await this.join(username, edge)
    this.people.push(person)
    return person
  }

  async join(username, edge, history) {
    const person = new Person(phoenix, {url: edge.url, username, room, history, transport: WebSocket})
    this.t.after(() => person.socket.disconnect())
    await until(`${username} joins`, () => person.joins.length > 0, () => person.state())
    return person
  }

  states() { return Promise.all(this.people.map(person => person.state())) }

  // all waits until the state of each person is as wanted.
  all(what, wanted) { return until(what, async () => (await this.states()).every(wanted), () => this.states()) }

  // hear waits until everybody has heard so many messages, and returns them.
  // They are the same for all, which is what the room keeps.
  async hear(count) {
    await this.all(`all hear ${count} messages`, ({heard}) => heard.length >= count)
    const reader = await this.join("reader", this.edges[0], 200)
    const {heard: kept} = reader.state()
    reader.socket.disconnect()
    for (const {heard} of await this.states()) assert.deepEqual(heard, kept)
    assert.equal(new Set(kept).size, kept.length)
    return kept.map(line => line.replace(/^\d+ /, ""))
  }

  async picture(name) {
    const tab = this.people.find(person => person instanceof Tab)
    const path = join(tmpdir(), `browser-${name.replace(/\W+/g, "-")}-${process.pid}.png`)
    try {
      await tab?.page.screenshot({path, fullPage: true})
      console.error(`a picture of the page: ${path}`)
      const {requests, upgrades, hanging} = this.proxy
      console.error(JSON.stringify({people: await this.states(), proxy: {requests, upgrades, hanging}}, null, 1))
    } catch (err) {
      console.error(`no picture of the page: ${err.message}`)
    }
  }
}

// A Tab is a person in a page.
class Tab {
  constructor(page, who) {
    this.page = page
    this.who = who
  }

  // enter loads the page, or loads it again.
  async enter() {
    await load(this.page, `http://127.0.0.1:${site.address().port}/`)
    await this.page.waitForFunction(() => "enter" in window)
    await this.page.evaluate(who => enter(who), this.who)
    await until(`${this.who.username} joins`, async () => (await this.state()).joins.length > 0, () => this.state())
  }

  state() { return this.page.evaluate(() => person.state()) }
  say(body) { return this.page.evaluate(body => person.say(body), body) }
  talk(bodies, pause) { return this.page.evaluate(([bodies, pause]) => person.talk(bodies, pause), [bodies, pause]) }
}
