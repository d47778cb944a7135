import assert from "node:assert/strict"
import {describe} from "node:test"
import {until} from "./chromium.js"
import {play} from "./scene.js"

// Both at a time: mostly they wait for who gives up.
describe("where no websocket gets through", {concurrency: 2}, () => {
  for (const upgrades of ["destroyed", "swallowed"]) {
    play(`where a websocket is ${upgrades} a page falls back, chats, and sees who is there`, {upgrades}, async scene => {
      const {edges, proxy} = scene
      // With a token each request is one that the browser asks leave for.
      const options = upgrades === "swallowed" ? {authToken: "secret"} : {}
      const ann = await scene.tab("ann", options)
      const bob = await scene.tab("bob", options)
      const cyd = await scene.member("cyd", edges[1])

      await ann.say("hello")
      await bob.say("grüße, 世界 👋 \u2028 <b>\"\\</b>")
      await cyd.say("hi")
      assert.deepEqual(await scene.hear(3), ["ann: hello", "bob: grüße, 世界 👋 \u2028 <b>\"\\</b>", "cyd: hi"])
      await scene.all("all see all", ({who}) => who === "ann:1 bob:1 cyd:1")

      assert.deepEqual((await scene.states()).map(({longPolls}) => longPolls), [true, true, false])
      assert.deepEqual((await scene.states()).map(({closes}) => closes), [[], [], []])
      assert.ok(proxy.upgrades >= 2, `${proxy.upgrades} upgrades`)
      await until("the browser gives up its websockets", () => proxy.hanging === 0, () => proxy.hanging)
      assert.ok(proxy.requests.every(n => n >= 4), `requests of the edges: ${proxy.requests}`)
      assert.ok(["GET", "POST", "OPTIONS"].every(m => proxy.methods.has(m)), `methods: ${[...proxy.methods]}`)

      // The page is loaded again: it tries no websocket any more, and has the past.
      const tried = proxy.upgrades
      await ann.enter()
      await cyd.say("welcome back")
      assert.equal((await scene.hear(4)).at(-1), "cyd: welcome back")
      assert.equal(proxy.upgrades, tried)

      // Nobody tells the edges that a page is gone; they find out.
      await bob.page.close()
      scene.people = scene.people.filter(person => person !== bob)
      await scene.all("ann is there once, and bob is not", ({who}) => who === "ann:1 cyd:1")
    })
  }
})
