// What the page says and does when the server lost something: some of the past,
// all of it, or for a while the store itself.
import assert from "node:assert/strict"
import {rm} from "node:fs/promises"
import {describe} from "node:test"
import {startEdge, startEdges} from "../js/edge.js"
import {load} from "./chromium.js"
import {startGate} from "./gate.js"
import {story} from "./visitor.js"

process.setMaxListeners(0) // each edge has one

describe("the page, when the server lost something", {concurrency: 2}, () => {
  story("what the server no longer keeps is told to be missing, where it is missing", async ({t, visit, member}) => {
    const edge = await startEdge(t, "--history-messages", "10")
    let port = edge.port
    const gate = await startGate(t, () => port)
    const ann = await visit(gate.url, "ann", {trouble: true})
    const bob = await member(edge.port, "bob")
    await bob.say("before")
    await ann.sees("before")
    port = undefined
    gate.cut()
    const missed = Array.from({length: 25}, (_, i) => `missed ${i}`)
    for (const text of missed) await bob.say(text)
    await edge.stop("SIGKILL") // else it still has them at hand
    await edge.start()
    port = edge.port
    await ann.sees(...missed.slice(15))
    assert.deepEqual(await ann.page.locator("#log").locator(".body, .notice").allInnerTexts(),
      ["before", "Messages are missing here: the server no longer keeps them.", ...missed.slice(15)])
    await ann.say("after")
    await ann.sees("missed 24", "after")
  })

  story("a server with another store: what was said is gone, what is typed is not", async ({t, visit}) => {
    const edge = await startEdge(t)
    const ann = await visit(`http://127.0.0.1:${edge.port}/`, "ann", {trouble: true})
    await ann.say("of the old store")
    await ann.sees("of the old store")
    await edge.stop("SIGKILL")
    await ann.shows("#banner", "Try now") // what is said into a lost connection might have arrived
    await ann.say("said meanwhile")
    await ann.shows(".fate", "Will be sent when the connection is back.")
    await rm(edge.data, {recursive: true})
    await edge.start()
    await ann.shows(".notice", "What was said before is gone: the server has another store now.")
    await ann.sees("said meanwhile")
    await load(ann.page)
    await ann.sees("said meanwhile")
    assert.deepEqual(await ann.bodies(), ["said meanwhile"])
  })

  story("while the store is away messages wait, in their order, and then appear once", async ({t, visit, member}) => {
    const [first, second] = await startEdges(t) // the first has the store
    const ann = await visit(`http://127.0.0.1:${second.port}/`, "ann", {trouble: true})
    await ann.say("before")
    await ann.sees("before")
    await first.stop("SIGKILL")
    await ann.say("one")
    await ann.say("two")
    await ann.shows(".fate", "Not sent yet: the server cannot store it right now.")
    await first.start()
    await ann.sees("before", "one", "two")
    const bob = await member(first.port, "bob")
    await ann.say("three")
    await bob.hears(1)
    assert.deepEqual(bob.heard.map(({body}) => body), ["three"])
    await load(ann.page)
    await ann.sees("before", "one", "two", "three")
    assert.equal((await ann.bodies()).length, 4)
  })
})
