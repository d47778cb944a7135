// Who visits the web page, and who else is in the room.
import assert from "node:assert/strict"
import {tmpdir} from "node:os"
import {join} from "node:path"
import WebSocket from "ws"
import {Socket} from "../../edge/page/web/phoenix.js"
import {browser, until} from "./chromium.js"

export const phone = {viewport: {width: 390, height: 844}, deviceScaleFactor: 2, hasTouch: true, isMobile: true}

// What a browser itself writes to the console when a server is gone. Pages
// cannot prevent it.
const networkTrouble = /WebSocket connection to .* failed|Failed to load resource|net::ERR_/

// visit opens the page and enters a name. Nothing may be wrong in it until the end
// of the test: no error, no violation of its policy; with trouble, the network may.
export async function visit(t, url, name, {trouble = false, ...options} = {}) {
  const context = await browser.newContext({locale: "en-GB", ...options})
  const page = await context.newPage()
  const mishaps = []
  page.on("pageerror", err => mishaps.push(err.stack))
  page.on("dialog", dialog => {
    mishaps.push(`a dialog: ${dialog.message()}`)
    dialog.dismiss()
  })
  page.on("console", message => {
    if (message.type() !== "error" && message.type() !== "warning") return
    if (!trouble || !networkTrouble.test(message.text())) mishaps.push(message.text())
  })
  t.after(async () => {
    if (!t.passed) await page.screenshot({path: join(tmpdir(), `page-${name.replace(/\W+/g, "-")}-${process.pid}.png`)}).catch(() => {})
    await context.close()
    assert.deepEqual(mishaps, [], `in the page of ${name}`)
  })
  const visitor = new Visitor(page, context, name)
  await page.goto(url)
  await visitor.enter()
  return visitor
}

class Visitor {
  constructor(page, context, name) {
    Object.assign(this, {page, context, name})
  }

  async enter() {
    await this.page.locator("#name").fill(this.name)
    await this.page.keyboard.press("Enter")
    await this.page.locator("#text").waitFor()
  }

  async say(text) {
    await this.page.locator("#text").fill(text)
    await this.page.keyboard.press("Enter")
  }

  // bodies are the texts of the messages that are in the page.
  bodies() { return this.page.locator("#log .body").allInnerTexts() }

  // sees waits until these are the last messages and none is under way.
  async sees(...texts) {
    await until(`${this.name} sees ${texts}`,
      async () => JSON.stringify((await this.bodies()).slice(-texts.length)) === JSON.stringify(texts) && await this.page.locator(".fate").count() === 0,
      async () => [await this.bodies(), await this.page.locator(".fate").allInnerTexts()])
  }

  shows(selector, text) {
    return this.page.locator(selector).filter({hasText: text}).first().waitFor()
  }

  // where is how far the reader is from the end, and a message in sight with its
  // place.
  where() {
    return this.page.evaluate(() => {
      const log = document.querySelector("#log"), top = log.getBoundingClientRect().top
      const row = [...log.querySelectorAll(".row.message")].find(row => row.getBoundingClientRect().top >= top)
      return {
        toEnd: log.scrollHeight - log.clientHeight - log.scrollTop,
        text: row?.querySelector(".body").textContent, y: row && Math.round(row.getBoundingClientRect().top - top),
        rows: log.querySelectorAll(".row").length, nodes: document.querySelectorAll("*").length,
      }
    })
  }
}

// member is in a room without a page, by the page's own phoenix.js.
export async function member(t, port, name, room = "main") {
  const socket = new Socket(`ws://127.0.0.1:${port}/socket`, {params: {username: name}, transport: WebSocket})
  const channel = socket.channel(`rooms:${room}`)
  const heard = []
  channel.on("chat_msg", message => heard.push(message))
  t.after(() => socket.disconnect())
  await new Promise(resolve => {
    channel.onJoin = resolve
    channel.join()
    socket.connect()
  })
  let n = 0
  return {heard, channel, say: body => channel.push("chat_msg", {body, client_id: `${name} ${n++} ${process.pid}`}, 30_000)}
}
