// The web page, in a browser, before two edges.
import assert from "node:assert/strict"
import {spawn} from "node:child_process"
import {once} from "node:events"
import {createServer} from "node:http"
import {describe} from "node:test"
import {fileURLToPath} from "node:url"
import {WebSocketServer} from "ws"
import {freePort, startEdge, startEdges} from "../js/edge.js"
import {load, until} from "./chromium.js"
import {startGate} from "./gate.js"
import {story} from "./visitor.js"

process.setMaxListeners(0) // each edge has one

describe("the page", {concurrency: 2}, () => {
  story("two people chat across two edges, see each other, and see who types", async ({t, visit, member}) => {
    const [first, second] = await startEdges(t)
    const ann = await visit(`http://127.0.0.1:${first.port}/`, "ann")
    const bob = await visit(`http://127.0.0.1:${second.port}/`, "bob")
    await Promise.all([ann.shows("#people", "2 here"), bob.shows("#people", "2 here")])
    await ann.say("hello bob")
    await bob.sees("hello bob")
    await ann.seesTyping("bob is typing…", () => bob.page.locator("#text").fill("hi"))
    await bob.page.keyboard.press("Shift+Enter")
    await bob.page.locator("#text").pressSequentially("ann")
    await bob.page.keyboard.press("Enter")
    await ann.sees("hello bob", "hi\nann")
    await until("bob types no more", async () => await ann.page.locator("#typing").innerText() === "") // of what was typed last, more may have been on its way
    assert.deepEqual(await ann.page.locator("#people li .name").allInnerTexts(), ["ann (you)", "bob"])
    assert.equal(await ann.page.locator("#news").innerText(), "bob: hi ann")

    // The name and the room are remembered, what was said is there again.
    await load(ann.page)
    await ann.sees("hello bob", "hi\nann")
    assert.equal(await ann.page.locator(".row .mine").count(), 1)
    assert.deepEqual(await ann.context.cookies(), [])
  })

  story("an edge is killed: the page goes to the other one, and nothing is missing or double", async ({t, visit, member}) => {
    const edges = await startEdges(t)
    const [first, second] = edges
    let port = second.port
    const gate = await startGate(t, () => port)
    const ann = await visit(gate.url, "ann", {trouble: true, viewport: {width: 800, height: 2000}})
    const bob = await member(first.port, "bob")
    await ann.say("before")
    await ann.sees("before")
    let n = 0
    const talk = (async () => { for (; n < 30; n++) await bob.say(`bob ${n}`) })()
    await until("ann hears bob", async () => (await ann.bodies()).length > 5, () => ann.bodies())
    port = first.port
    await second.stop("SIGKILL")
    await ann.say("said while nobody was there")
    await talk
    await bob.say("the end")
    await ann.shows(".body", "the end")
    await ann.shows(".row:not(:has(.fate)) .body", "said while nobody was there")
    // Ann's page may come back before or after bob has ended.
    await bob.hears(33)
    assert.equal(bob.heard.length, 33)
    await until("ann hears everything", async () => (await ann.bodies()).length >= 33, () => ann.bodies())
    assert.deepEqual(await ann.bodies(), bob.heard.map(({body}) => body))
  })

  story("what strangers write stays text, and links are links", async ({t, visit, member}) => {
    const edge = await startEdge(t, "--history", "memory")
    const evil = `<img src=x onerror="alert('got you')">`
    const bob = await member(edge.port, evil)
    const ann = await visit(`http://127.0.0.1:${edge.port}/`, "ann")
    await bob.say(`${evil}<script>alert(1)</script> see https://example.com/a_(b)?c=d&e. javascript:alert(1) <https://x.example>`)
    await ann.sees(`${evil}<script>alert(1)</script> see https://example.com/a_(b)?c=d&e. javascript:alert(1) <https://x.example>`)
    assert.equal(await ann.page.locator("#log .name").first().textContent(), evil)
    await ann.shows("#people li", evil)
    assert.deepEqual(await ann.page.locator("#log a").evaluateAll(links => links.map(a => [a.href, a.textContent, a.rel, a.target])), [
      ["https://example.com/a_(b)?c=d&e", "https://example.com/a_(b)?c=d&e", "noopener noreferrer", "_blank"],
      ["https://x.example/", "https://x.example", "noopener noreferrer", "_blank"],
    ])
    assert.equal(await ann.page.locator("#chat img, #chat script").count(), 0)
  })

  story("who writes /me is seen to act, and the name is no more than a name", async ({t, visit, member}) => {
    const edge = await startEdge(t, "--history", "memory")
    const bob = await member(edge.port, "http://bob.example")
    const ann = await visit(`http://127.0.0.1:${edge.port}/`, "ann")
    await ann.shows("#people", "2 here") // only what comes later is news
    await bob.say("/me waves at https://ann.example")
    await bob.say("/mean")
    await ann.say("/me waves back")
    await ann.sees("* http://bob.example waves at https://ann.example", "/mean", "* ann waves back")
    assert.deepEqual(await ann.page.locator(".does").evaluateAll(all => all.map(body => [body.querySelector(".name").textContent, body.querySelector("a")?.href])),
      [["http://bob.example", "https://ann.example/"], ["ann", undefined]])
    assert.equal(await ann.page.locator("#news p").first().textContent(), "http://bob.example waves at https://ann.example")
  })

  story("a link opens its room, rooms count what is unread, and the back button goes back", async ({t, visit, member}) => {
    const edge = await startEdge(t, "--history", "memory")
    const ann = await visit(`http://127.0.0.1:${edge.port}/?room=caf%C3%A9%20%23%2F%3F`, "ann")
    await ann.shows("h2", "café #/?")
    await ann.shows("#people", "1 here") // and she is in main too, which she joined first
    const bob = await member(edge.port, "bob", "main")
    await ann.page.locator("#text").fill("half a thought")
    await bob.say("one")
    await bob.say("two")
    await ann.shows(".unread .badge", "2")
    await until("the title tells", async () => await ann.page.title() === "(2) café #/? – Aristochat", () => ann.page.title())
    await ann.page.keyboard.press("Alt+ArrowUp")
    await ann.sees("one", "two")
    await ann.shows(".mark", "New")
    assert.equal(new URL(ann.page.url()).searchParams.get("room"), "main")
    assert.equal(await ann.page.locator("#text").inputValue(), "")
    await ann.page.goBack()
    await ann.shows("h2", "café #/?")
    assert.equal(await ann.page.locator("#text").inputValue(), "half a thought")
    assert.equal(await ann.page.locator("[aria-current] bdi").innerText(), "café #/?")

    await ann.page.locator("#add").fill("third")
    await ann.page.keyboard.press("Enter")
    await ann.shows("h2", "third")
    await load(ann.page)
    const roomNames = () => ann.page.locator("nav li .room bdi").allInnerTexts()
    await until("three rooms are remembered", async () => (await roomNames()).length === 3, roomNames)
    await load(ann.page, `http://127.0.0.1:${edge.port}/?room=caf%C3%A9%20%23%2F%3F`)
    await until("the draft is kept", async () => await ann.page.locator("#text").inputValue() === "half a thought", () => ann.page.locator("#text").inputValue())
    await ann.page.getByRole("button", {name: "Leave third"}).click()
    await until("two rooms are left", async () => (await roomNames()).length === 2, roomNames)
    assert.deepEqual(await roomNames(), ["main", "café #/?"])

    // Who has left every room sees none.
    for (const room of ["café #/?", "main"]) await ann.page.getByRole("button", {name: `Leave ${room}`}).click()
    await ann.lacks("#room h2, #people, #text")
  })

  story("a message whose answer is lost is sent again and appears once", async ({t, visit, member}) => {
    const edge = await startEdge(t, "--history", "memory")
    const gate = await startGate(t, () => edge.port)
    const ann = await visit(gate.url, "ann", {trouble: true})
    const bob = await member(edge.port, "bob")
    await ann.shows("#people", "2 here")
    const now = ["one", "two", "three", "four"]

    // The edge has it, the answer never comes, the connection goes.
    gate.hold()
    await ann.say("one")
    await bob.hears(1)
    await ann.shows(".fate", "Sending…")
    gate.cut()
    await ann.sees("one")

    // The page was closed before the answer came.
    gate.hold()
    await ann.say("two")
    await bob.hears(2)
    await load(ann.page)
    await ann.sees("one", "two")

    // The server is slow: the page gives up, the user tries again, then both are answered.
    await ann.shows("#people", "2 here")
    gate.hold()
    await ann.page.clock.install()
    await ann.say("three")
    await bob.hears(3)
    await ann.page.clock.runFor(11_000)
    await ann.shows(".fate", "It may not have been sent: the server did not answer.")
    await ann.page.getByRole("button", {name: "Try again"}).last().click()
    gate.release()
    await ann.sees("one", "two", "three")

    // The same, an hour later: the edge has long forgotten the message's id.
    gate.hold()
    await ann.say("four")
    await bob.hears(4)
    await ann.page.clock.runFor(11_000)
    await ann.shows(".fate", "It may not have been sent")
    gate.cut()
    await ann.sees(...now)
    await bob.say("five")
    await ann.sees(...now, "five")
    await bob.hears(5)
    assert.deepEqual(await ann.bodies(), [...now, "five"])
    assert.deepEqual(bob.heard.map(({body}) => body), [...now, "five"])
  })

  story("where text is too long, or a name, it says so and keeps it", async ({t, visit}) => {
    const edge = await startEdge(t, "--history", "memory")
    const ann = await visit(`http://127.0.0.1:${edge.port}/`, "ann", {trouble: true})
    const {page} = ann
    const huge = "é".repeat(524_288)
    await page.locator("#text").fill(huge)
    await page.keyboard.press("Enter")
    await ann.shows("#text-problem", "This message is too long: 1,048,576 bytes, and 16,384 are allowed.")
    assert.equal(await page.locator("#text").inputValue(), huge)
    await ann.say("short")
    await ann.sees("short")

    await page.locator("#add").fill("ü".repeat(125))
    await page.keyboard.press("Enter")
    await ann.shows("#add-problem", "This name is too long: 250 bytes, and 249 are allowed.")
    await page.getByRole("button", {name: "Change"}).click()
    await ann.shows("#where", "main")
    await page.locator("#name").fill("ü".repeat(129))
    await page.keyboard.press("Enter")
    await ann.shows("#name-problem", "This name is too long: 258 bytes, and 256 are allowed.")

    // A name that only the server refuses: as if the page knew no limit.
    await page.evaluate(name => localStorage.setItem("aristochat:name", JSON.stringify(name)), "ü".repeat(129))
    await load(page)
    await ann.shows("#name-problem", "The server refuses you under this name.")
    await page.locator("#name").fill("anna")
    await page.keyboard.press("Enter")
    await ann.sees("short")

    // The longest name of a room, in one word, makes nothing wider or higher.
    const height = () => page.locator("#text").evaluate(text => text.offsetHeight)
    const line = await height()
    await page.locator("#add").fill("w".repeat(249))
    await page.keyboard.press("Enter")
    await ann.shows(".top", "This is as far back as www")
    assert.equal(await height(), line)
    assert.equal(await page.locator("#log").evaluate(log => log.scrollWidth - log.clientWidth), 0)
  })

  story("a room that the server refuses says why; the others go on", async ({t, visit}) => {
    const edge = await startEdge(t, "--history", "memory")
    const gate = await startGate(t, () => edge.port)
    const ann = await visit(gate.url, "ann")
    await ann.page.evaluate(() => localStorage.setItem("aristochat:rooms", JSON.stringify(["main", ...Array.from({length: 98}, (_, i) => `room ${i}`)])))
    await load(ann.page)
    for (const i of [98, 99]) { // the last one is one more than a connection may have
      await ann.page.locator("#add").fill(`room ${i}`)
      await ann.page.locator("#add").press("Enter")
    }
    await ann.shows("#trouble", "The server refuses the room “room 99”: too many channels joined.")
    await ann.page.getByRole("button", {name: "Leave room 3", exact: true}).click()
    await until("room 99 is joined", async () => { // the server may take the join before it has done with the leave
      await ann.presses("#trouble button")
      return await ann.page.locator("#people h2").innerText() === "1 here"
    }, () => ann.page.locator("#trouble").innerText())
    await ann.say("in after all")
    await ann.sees("in after all")
  })

  story("who runs no history and knows neither presence nor acknowledgements is talked to all the same", async ({t, visit}) => {
    const edge = await startEdge(t, "--history=off")
    const fixture = await startFixture(t)
    for (const port of [fixture, edge.port]) {
      const gate = await startGate(t, path => path.startsWith("/socket") ? port : edge.port)
      const ann = await visit(gate.url, "ann", {trouble: true})
      const bob = await visit(gate.url, "bob", {trouble: true})
      await ann.say("I am here") // who is not, hears nothing, ever
      await ann.sees("I am here")
      await bob.say("anybody?")
      await Promise.all([ann, bob].map(who => who.sees("anybody?")))
      await ann.page.locator("#text").pressSequentially("yes", {delay: 20})
      await ann.page.keyboard.press("Enter")
      await ann.page.locator("#text").pressSequentially("yes")
      await ann.page.keyboard.press("Enter")
      await Promise.all([ann.sees("yes", "yes"), bob.sees("yes", "yes")])
      assert.equal(await ann.page.locator("#show-people").isVisible(), false)
      if (port === fixture) assert.equal(await ann.page.locator("#people").isVisible(), false)
      else await ann.shows("#people", "2 here")
      gate.cut() // what was said just before is not known to be sent
      await until("both are back", () => gate.tunnels.size === 2, () => gate.tunnels.size)
      await ann.say("back")
      await ann.sees("yes", "yes", "back")
    }
  })

  story("a server that is gone, is none, or talks nonsense is told from another", async ({t, visit}) => {
    const edge = await startEdge(t, "--history", "memory")
    let answer
    const strange = createServer((req, res) => res.writeHead(answer).end())
    const sockets = new WebSocketServer({server: strange})
    sockets.on("connection", ws => ws.send("<html>hello</html>"))
    sockets.shouldHandle = () => answer === 101
    strange.listen(0, "127.0.0.1")
    await once(strange, "listening")
    t.after(() => { strange.close(); strange.closeAllConnections() })
    let lost = false
    const gate = await startGate(t, () => lost ? strange.address().port : edge.port)
    const ann = await visit(gate.url, "ann", {trouble: true})
    await ann.page.locator("#text").fill("half a thought")
    lost = true
    for (const [status, text] of [
      [101, "What answers here does not speak Phoenix Channels."],
      [404, "There is no chat at this address."],
      [400, "a proxy lets no websocket through"],
      [503, "The server starts or stops right now."],
      [500, "The server answers with an error (500)."],
    ]) {
      answer = status
      gate.cut()
      await until(`it says ${text}`, async () => {
        await ann.presses("#banner button") // or it tries in 5 s
        return (await ann.page.locator("#banner").innerText()).includes(text)
      }, () => ann.page.locator("#banner").innerText())
    }
    await ann.shows("#countdown", /Next try in \d s\./)
    lost = false
    await ann.presses("#banner button") // or it has come back by itself
    await ann.lacks("#banner")
    assert.equal(await ann.page.locator("#text").inputValue(), "half a thought")
    await ann.page.locator("#text").press("Enter")
    await ann.sees("half a thought")
  })

  story("a tab without a draft leaves that of another tab alone", async ({t, visit}) => {
    const edge = await startEdge(t, "--history", "memory")
    const url = `http://127.0.0.1:${edge.port}/`
    const ann = await visit(url, "ann")
    const other = await ann.context.newPage()
    await load(other, url)
    await other.locator("#text").waitFor()
    await ann.page.locator("#text").fill("half a thought")
    await until("the draft is kept", () => other.evaluate(() => localStorage.getItem("aristochat:draft:main") !== null))
    await load(other) // it is hidden, and shown
    assert.equal(await other.locator("#text").inputValue(), "half a thought")
  })

  story("where nothing can be stored it works all the same", async ({t, visit}) => {
    const edge = await startEdge(t, "--history", "memory")
    const ann = await visit(`http://127.0.0.1:${edge.port}/`, "ann")
    await ann.page.addInitScript(() => Object.defineProperty(window, "localStorage", {get() { throw new DOMException("denied", "SecurityError") }}))
    await load(ann.page)
    await ann.enter()
    await ann.say("hello")
    await ann.sees("hello")
  })
})

// startFixture starts the ancestor's channel, as an Elixir server has it, and
// returns its port.
async function startFixture(t) {
  const port = await freePort()
  const fixture = spawn(fileURLToPath(new URL("../../bin/fixture", import.meta.url)), ["--listen", `127.0.0.1:${port}`], {stdio: "ignore"})
  t.after(() => fixture.kill("SIGKILL"))
  await until("the fixture listens", () => fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false))
  return port
}
