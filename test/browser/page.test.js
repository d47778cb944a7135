// The web page, in a browser, before two edges.
import assert from "node:assert/strict"
import {describe, test} from "node:test"
import {startEdge, startEdges} from "../js/edge.js"
import {until} from "./chromium.js"
import {startGate} from "./gate.js"
import {member, visit} from "./visitor.js"

process.setMaxListeners(0) // each edge has one

describe("the page", {concurrency: 3}, () => {
  test("two people chat across two edges, see each other, and see who types", async t => {
    const [first, second] = await startEdges(t)
    const ann = await visit(t, `http://127.0.0.1:${first.port}/`, "ann")
    const bob = await visit(t, `http://127.0.0.1:${second.port}/`, "bob")
    await Promise.all([ann.shows("#people", "2 here"), bob.shows("#people", "2 here")])
    await ann.say("hello bob")
    await bob.sees("hello bob")
    await bob.page.locator("#text").pressSequentially("hi")
    await ann.shows("#typing", "bob is typing…")
    await bob.page.keyboard.press("Shift+Enter")
    await bob.page.locator("#text").pressSequentially("ann")
    await bob.page.keyboard.press("Enter")
    await ann.sees("hello bob", "hi\nann")
    assert.equal(await ann.page.locator("#typing").innerText(), "")
    assert.deepEqual(await ann.page.locator("#people li .name").allInnerTexts(), ["ann (you)", "bob"])
    assert.equal(await ann.page.locator("#news").innerText(), "bob: hi ann")

    // The name and the room are remembered, what was said is there again.
    await ann.page.reload()
    await ann.sees("hello bob", "hi\nann")
    assert.equal(await ann.page.locator(".row .mine").count(), 1)
    assert.deepEqual(await ann.context.cookies(), [])
  })

  test("an edge is killed: the page goes to the other one, and nothing is missing or double", async t => {
    const edges = await startEdges(t)
    const [first, second] = edges
    let port = second.port
    const gate = await startGate(t, () => port)
    const ann = await visit(t, gate.url, "ann", {trouble: true})
    const bob = await member(t, first.port, "bob")
    await ann.say("before")
    await ann.sees("before")
    let n = 0
    const talk = (async () => { for (; n < 30; n++) await bob.say(`bob ${n}`) })()
    await until("ann hears bob", async () => (await ann.bodies()).length > 5)
    port = first.port
    await second.stop("SIGKILL")
    await ann.say("said while nobody was there")
    await talk
    await bob.say("the end")
    await ann.shows(".body", "the end")
    await ann.shows(".row:not(:has(.fate)) .body", "said while nobody was there")
    const kept = ["before", ...bob.heard.filter(({username}) => username !== "ann" || true).map(({body}) => body)]
    await until("the page has what bob heard", async () => (await ann.bodies()).length >= 33, () => ann.bodies())
    assert.deepEqual(await ann.bodies(), kept.slice(kept.lastIndexOf("before")))
  })

  test("what strangers write stays text, and links are links", async t => {
    const edge = await startEdge(t, "--history", "memory")
    const evil = `<img src=x onerror="alert('got you')">`
    const bob = await member(t, edge.port, evil)
    const ann = await visit(t, `http://127.0.0.1:${edge.port}/`, "ann")
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

  test("a link opens its room, rooms count what is unread, and the back button goes back", async t => {
    const edge = await startEdge(t, "--history", "memory")
    const ann = await visit(t, `http://127.0.0.1:${edge.port}/?room=caf%C3%A9%20%23%2F%3F`, "ann")
    await ann.shows("h2", "café #/?")
    const bob = await member(t, edge.port, "bob", "main")
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
    await ann.page.reload()
    await until("three rooms are remembered", async () => await ann.page.locator("nav li").count() === 3)
    await ann.page.goto(`http://127.0.0.1:${edge.port}/?room=caf%C3%A9%20%23%2F%3F`)
    await until("the draft is kept", async () => await ann.page.locator("#text").inputValue() === "half a thought")
    await ann.page.getByRole("button", {name: "Leave third"}).click()
    assert.equal(await ann.page.locator("nav li").count(), 2)
  })

  test("a message whose answer is lost is sent again and appears once", async t => {
    const edge = await startEdge(t, "--history", "memory")
    const gate = await startGate(t, () => edge.port)
    const ann = await visit(t, gate.url, "ann", {trouble: true})
    const bob = await member(t, edge.port, "bob")
    await ann.shows("#people", "2 here")
    const now = ["one", "two", "three", "four"]

    // The edge has it, the answer never comes, the connection goes.
    gate.hold()
    await ann.say("one")
    await until("bob has it", () => bob.heard.length === 1)
    await ann.shows(".fate", "Sending…")
    gate.cut()
    await ann.sees("one")

    // The page was closed before the answer came.
    gate.hold()
    await ann.say("two")
    await until("bob has it", () => bob.heard.length === 2)
    await ann.page.reload()
    await ann.sees("one", "two")

    // The server is slow: the page gives up, the user tries again, then both are answered.
    await ann.shows("#people", "2 here")
    gate.hold()
    await ann.page.clock.install()
    await ann.say("three")
    await until("bob has it", () => bob.heard.length === 3)
    await ann.page.clock.runFor(11_000)
    await ann.shows(".fate", "It may not have been sent: the server did not answer.")
    await ann.page.getByRole("button", {name: "Try again"}).last().click()
    gate.release()
    await until("three is there", async () => {
      await ann.page.clock.runFor(100)
      return (await ann.bodies()).length === 3 && await ann.page.locator(".fate").count() === 0
    })

    // The same, an hour later: the edge has long forgotten the message's id.
    gate.hold()
    await ann.say("four")
    await until("bob has it", () => bob.heard.length === 4)
    await ann.page.clock.runFor(11_000)
    await ann.shows(".fate", "It may not have been sent")
    gate.cut()
    await until("four is there", async () => {
      await ann.page.clock.runFor(500)
      return (await ann.bodies()).length === 4 && await ann.page.locator(".fate").count() === 0
    })
    await bob.say("five")
    await until("all is there once", async () => {
      await ann.page.clock.runFor(100)
      return (await ann.bodies()).length === 5
    })
    assert.deepEqual(await ann.bodies(), [...now, "five"])
    assert.deepEqual(bob.heard.map(({body}) => body), [...now, "five"])
  })

  test("what the server refuses says why, and no text is lost", async t => {
    const edge = await startEdge(t, "--history", "memory")
    const ann = await visit(t, `http://127.0.0.1:${edge.port}/`, "a".repeat(257))
      .catch(() => undefined)
    assert.equal(ann, undefined)
  })
})
