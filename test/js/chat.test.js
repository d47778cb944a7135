import assert from "node:assert/strict"
import {after, describe, test} from "node:test"
import {startEdge} from "./edge.js"
import {clients, enter, Member, Refusal} from "./member.js"

const edge = await startEdge({after})

let rooms = 0
const newRoom = () => `rooms:room-${++rooms}`

for (const client of clients) {
  describe(client.name, () => {
    const ann = {client, edge, username: "ann"}
    const bob = {client, edge, username: "bob"}

    test("two people chat", async t => {
      const [a, b] = await enter(t, newRoom(), ann, bob)

      await a.say("hello")
      await b.hears("hello")
      await b.say("hello yourself")

      for (const member of [a, b]) {
        await member.heard.count(2)
        assert.deepEqual(member.heard.entries.map(said), ["ann: hello", "bob: hello yourself"])
      }
    })

    test("text arrives as it was sent", async t => {
      const bodies = ["grüße, 世界 👋", `<b>"&amp;"</b> \\ / \u2028`, "a\nb\tc"]
      const [a, b] = await enter(t, newRoom(), ann, bob)
      for (const body of bodies) await a.say(body)
      await b.heard.count(bodies.length)
      assert.deepEqual(b.heard.entries.map(m => m.body), bodies)
    })

    test("a name is the connection's, not the message's", async t => {
      const [a] = await enter(t, newRoom(), ann)
      await a.push("chat_msg", {body: "hi", username: "bob", status: ""})
      await a.hears("hi")
      assert.deepEqual(a.heard.entries.map(said), ["ann: hi"])
    })

    test("who has no name gets a number", async t => {
      const [a] = await enter(t, newRoom(), {client, edge})
      await a.say("hi")
      await a.hears("hi")
      assert.match(a.heard.entries[0].username, /^[1-9]\d{0,4}$/)
    })

    test("a message without a body is refused and the room goes on", async t => {
      const [a] = await enter(t, newRoom(), ann)
      for (const payload of [{}, {body: 7}, {body: " \n"}]) {
        await assert.rejects(a.push("chat_msg", payload), refusal => {
          assert.ok(refusal instanceof Refusal, String(refusal))
          assert.equal(typeof refusal.response.reason, "string")
          return true
        })
      }
      await a.say("still here")
      await a.hears("still here")
      assert.equal(a.heard.entries.length, 1)
    })

    test("a topic that nobody serves refuses the join", async t => {
      const member = new Member(t, {...ann, topic: "lobby"})
      await assert.rejects(member.join(), refusal => {
        assert.deepEqual(refusal.response, {reason: "unmatched topic"})
        return true
      })
    })

    test("who left hears nothing, and may come back", async t => {
      const room = newRoom()
      const [a, b] = await enter(t, room, ann, bob)
      await b.leave() // the clients do not wait for the server
      await b.frames.until("the server closes it", frames => frames.some(frame => frame.event === "phx_close"))
      await a.say("behind his back")
      await a.hears("behind his back") // accepted is not yet delivered

      b.enter(room)
      await b.join()
      await a.say("to his face")
      await b.hears("to his face")
      assert.deepEqual(b.heard.entries.map(m => m.body), ["to his face"])
    })

    test("rooms are apart, also on one connection", async t => {
      const [hers, his, theirs] = [newRoom(), newRoom(), newRoom()]
      const [a, b] = [...await enter(t, hers, ann), ...await enter(t, his, bob)]
      for (const member of [a, b]) {
        member.enter(theirs)
        await member.join()
      }

      const [c] = await enter(t, hers, {client, edge, username: "cid"})
      await c.say("in hers")
      await Promise.all([a, c].map(member => member.hears("in hers")))
      await b.say("in theirs")
      await Promise.all([a, b].map(member => member.hears("in theirs")))

      const chat = member => member.frames.entries
        .filter(frame => frame.event === "chat_msg")
        .map(frame => [frame.topic, frame.payload.body])
      assert.deepEqual(chat(a), [[hers, "in hers"], [theirs, "in theirs"]])
      assert.deepEqual(chat(b), [[theirs, "in theirs"]])
      assert.deepEqual(chat(c), [[hers, "in hers"]])
    })

    test("heartbeats keep the connection", async t => {
      const [a] = await enter(t, newRoom(), {...ann, options: {heartbeatIntervalMs: 100}})
      // Clients close a connection whose heartbeat is not answered before the next
      // one is due. So may a busy machine; five in a row it must answer some day.
      let inRow = 0
      a.socket.onClose(() => { inRow = 0 })
      a.socket.onMessage(({topic, payload}) => { if (topic === "phoenix" && payload.status === "ok") inRow++ })
      await a.frames.until("five heartbeats in a row are answered", () => inRow >= 5, () => a.closes.entries)
    })
  })
}

test("clients of all versions share a room", async t => {
  const members = await enter(t, newRoom(), ...clients.map(client => ({client, edge, username: client.name})))
  for (const member of members) await member.say("hi")
  for (const member of members) {
    await member.heard.count(members.length)
    assert.deepEqual(member.heard.entries.map(said), clients.map(({name}) => `${name}: hi`))
  }
})

function said({username, body}) { return `${username}: ${body}` }
