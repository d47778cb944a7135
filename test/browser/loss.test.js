import assert from "node:assert/strict"
import {describe} from "node:test"
import {until} from "./chromium.js"
import {play} from "./scene.js"

const lines = (name, n) => Array.from({length: n}, (_, i) => `${name} says ${i}`)

const losses = [
  {name: "its edge is killed and starts again", owner: 1, lose: killAndStart},
  {name: "its edge is killed, with the NATS of all, and starts again", owner: 0, lose: killAndStart},
  {name: "the session is ended", owner: 1, lose: end},
  {name: "its edge stops in order and starts again", owner: 1, lose: stopAndStart},
]

// Three at a time: mostly they wait for edges to see who is gone.
describe("a page that loses its session comes back, and nothing is missing or double", {concurrency: 3}, () => {
  for (const {name, owner, lose} of losses) {
    play(name, {upgrades: "destroyed"}, async (scene, t) => {
      const {proxy, edges} = scene
      proxy.beginAt = owner
      const ann = await scene.tab("ann")
      proxy.beginAt = 1 - owner
      const bob = await scene.tab("bob")
      const cyd = await scene.member("cyd", edges[1 - owner])
      proxy.beginAt = undefined
      await scene.all("all see all", ({who}) => who === "ann:1 bob:1 cyd:1")

      const n = 50
      const people = [ann, bob, cyd], names = ["ann", "bob", "cyd"]
      const talks = Promise.all(people.map((person, i) => person.talk(lines(names[i], n), 40)))
      talks.catch(() => {}) // awaited below
      await until("they talk", () => cyd.heard.length >= n, () => scene.states())
      await lose(scene, owner)
      await talks

      const all = await scene.hear(3 * n)
      for (const name of names) {
        assert.deepEqual(all.filter(line => line.startsWith(`${name}: `)), lines(name, n).map(body => `${name}: ${body}`))
      }
      assert.equal(all.length, 3 * n)
      await until("ann comes back", async () => (await ann.state()).joins.length > 1, () => scene.states())
      for (const {joins} of await scene.states()) {
        assert.ok(joins.slice(1).every(({recovered}) => recovered), `joins: ${JSON.stringify(joins)}`)
      }
      await scene.all("everybody is there once", ({who}) => who === "ann:1 bob:1 cyd:1")
      for (const [i, {joins, closes, repeats}] of (await scene.states()).entries()) {
        t.diagnostic(`${names[i]}: closes ${closes}, messages at joins ${joins.map(({missed}) => missed)}, said again ${repeats}`)
      }
    })
  }

  play("the network is gone for a while", {upgrades: "swallowed"}, async scene => {
    const ann = await scene.tab("ann")
    const cyd = await scene.member("cyd", scene.edges[0])
    await ann.say("before")
    await scene.all("all hear it", ({heard}) => heard.length === 1)
    await ann.page.context().setOffline(true)
    await until("ann's connection is lost", async () => (await ann.state()).closes.length > 0, () => ann.state())
    await cyd.talk(lines("cyd", 5))
    const said = ann.say("typed meanwhile")
    await ann.page.context().setOffline(false)
    await said
    const all = await scene.hear(7)
    assert.deepEqual(all.slice(1), [...lines("cyd", 5).map(body => `cyd: ${body}`), "ann: typed meanwhile"])
    assert.deepEqual((await ann.state()).joins[1], {recovered: true, missed: 5})
    await scene.all("everybody is there once", ({who}) => who === "ann:1 cyd:1")
  })
})

async function killAndStart({edges}, owner) {
  await edges[owner].stop("SIGKILL")
  await edges[owner].start()
}

async function stopAndStart({edges}, owner) {
  await edges[owner].stop("SIGTERM")
  await edges[owner].start()
}

// end sends for ann what ends a session: something that is no message.
async function end({proxy}) {
  const url = new URL("socket/longpoll", proxy.url.replace("ws://", "http://"))
  url.search = new URLSearchParams({vsn: "2.0.0", username: "ann", token: proxy.tokens.get("ann")})
  const answer = await fetch(url, {method: "POST", headers: {"Content-Type": "application/x-ndjson"}, body: "[no message"})
  assert.deepEqual(await answer.json(), {status: 410})
}
