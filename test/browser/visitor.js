// Who visits the web page, and who else is in the room.
import assert from "node:assert/strict"
import {tmpdir} from "node:os"
import {join} from "node:path"
import {test} from "node:test"
import {setTimeout as sleep} from "node:timers/promises"
import WebSocket from "ws"
import {Socket} from "../../edge/page/web/phoenix.js"
import {browser, load, networkChanged, patience, until} from "./chromium.js"

export const phone = {viewport: {width: 390, height: 844}, deviceScaleFactor: 2, hasTouch: true, isMobile: true}

// What a browser itself writes to the console when a server is gone. Pages
// cannot prevent it.
const networkTrouble = /WebSocket connection to .* failed|Failed to load resource|net::ERR_/

// story is a test with visitors of the page. Nothing may be wrong in a page until
// the end: no error, no violation of its policy; with trouble, the network may.
// If it fails it leaves pictures.
export function story(name, body) {
  test(name, async t => {
    const closers = [], mishaps = []
    const stage = {
      t, closers,
      visit: (...args) => visit(stage, mishaps, ...args),
      member: (...args) => member(stage, ...args),
    }
    let failed = true
    try {
      await body(stage)
      failed = false
    } finally {
      for (const close of closers.reverse()) {
        try {
          await close(failed)
        } catch (err) {
          console.error("closing:", err) // and the test's own error is told
        }
      }
      if (failed && mishaps.length) console.error(mishaps)
    }
    assert.deepEqual(mishaps, [])
  })
}

// visit opens the page and enters a name.
async function visit({closers}, mishaps, url, name, {trouble = false, ...options} = {}) {
  const context = await browser.newContext({locale: "en-GB", ...options})
  const page = await context.newPage()
  page.setDefaultTimeout(patience)
  const mishap = text => mishaps.push(`${name}: ${text}`)
  page.on("pageerror", err => mishap(err.stack))
  page.on("dialog", dialog => {
    mishap(`a dialog: ${dialog.message()}`)
    dialog.dismiss()
  })
  page.on("console", message => {
    if (message.type() !== "error" && message.type() !== "warning") return
    if (networkChanged.test(message.text())) return
    if (!trouble || !networkTrouble.test(message.text())) mishap(message.text())
  })
  const troubles = []
  page.on("requestfailed", request => troubles.push(`${request.url()}: ${request.failure()?.errorText}`))
  page.on("response", response => { if (response.status() >= 400) troubles.push(`${response.url()}: ${response.status()}`) })
  closers.push(async failed => {
    if (failed) {
      if (troubles.length) console.error(name, troubles.slice(0, 20))
      const path = join(tmpdir(), `page-${name.replace(/\W+/g, "-")}-${process.pid}.png`)
      await page.screenshot({path}).then(() => console.error(`a picture of the page: ${path}`), () => {})
    }
    await context.close()
  })
  const visitor = new Visitor(page, context, name)
  await load(page, url)
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

  // presses clicks a button, if it is there. It may go by itself meanwhile.
  async presses(selector) {
    const button = this.page.locator(selector)
    if (await button.isVisible()) await button.click({timeout: 5000}).catch(() => {})
  }

  // seesTyping waits until this is told; type is done again and again, for what is
  // typed is told once, and forgotten after 6 s.
  seesTyping(text, type) {
    const line = this.page.locator("#typing")
    return until(`${this.name} sees that ${text}`, async () => {
      await type()
      return await line.innerText() === text
    }, () => line.innerText())
  }

  // shows waits until a text is to be seen in one of these elements.
  async shows(selector, text) {
    const all = this.page.locator(selector), wanted = all.filter({hasText: text, visible: true})
    await until(`${this.name}'s ${selector} shows ${text}`, async () => await wanted.count() > 0, () => all.allInnerTexts())
  }

  // lacks waits until there is no such element to be seen.
  async lacks(selector) {
    const all = this.page.locator(selector).filter({visible: true})
    await until(`${this.name} sees no ${selector}`, async () => await all.count() === 0, () => all.allInnerTexts())
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
async function member({closers}, port, name, room = "main") {
  const socket = new Socket(`ws://127.0.0.1:${port}/socket`, {params: {username: name}, transport: WebSocket})
  const channel = socket.channel(`rooms:${room}`)
  const heard = []
  channel.on("chat_msg", message => heard.push(message))
  closers.push(() => socket.disconnect())
  let joined = false, refused
  channel.onJoin = () => { joined = true }
  channel.onRefuse = answer => { refused = answer }
  channel.join()
  socket.connect()
  await until(`${name} joins ${room}`, () => joined, () => ({refused, lost: socket.lost}))
  let n = 0
  return {
    heard, channel,
    leave() { socket.disconnect() },
    // say says it again where the server cannot store it right now.
    async say(body) {
      const payload = {body, client_id: `${name} ${n++} ${process.pid}`}
      for (;;) {
        try {
          return await channel.push("chat_msg", payload, patience)
        } catch (err) {
          if (!err.response?.retry_after_ms) throw err
          await sleep(err.response.retry_after_ms)
        }
      }
    },
    hears(count) { return until(`${name} hears ${count} messages`, () => heard.length >= count, () => heard.map(({body}) => body)) },
  }
}
