import assert from "node:assert/strict"
import {test} from "node:test"
import {startEdges} from "./edge.js"
import {clients, enter} from "./member.js"

test("members on two edges see all messages in the same order", async t => {
  const each = 20
  const people = (await startEdges(t)).flatMap((edge, i) =>
    clients.map(client => ({client, edge, username: `${client.name} on ${i}`})))
  const members = await enter(t, "rooms:lobby", ...people)

  // All at once, so that there is an order to agree on.
  await Promise.all(members.map(async member => {
    for (let n = 0; n < each; n++) await member.say(`${n}`)
  }))

  await Promise.all(members.map(member => member.heard.count(each * members.length)))
  const [inOrder, ...others] = members.map(member => member.heard.entries.map(m => `${m.username}: ${m.body}`))
  for (const other of others) assert.deepEqual(other, inOrder)
  for (const {username} of people) {
    const own = inOrder.filter(line => line.startsWith(username))
    assert.deepEqual(own, Array.from({length: each}, (_, n) => `${username}: ${n}`))
  }
})

for (const client of clients) {
  test(`${client.name}: an edge that dies takes nobody else along, and its members come back`, async t => {
    const [first, second] = await startEdges(t)
    const [a, b, c] = await enter(t, "rooms:lobby",
      {client, edge: first, username: "ann"},
      {client, edge: first, username: "bob"},
      {client, edge: second, username: "cid"})
    await c.say("here I am")
    await a.hears("here I am")

    await second.stop("SIGKILL")
    await c.closes.count(1)
    await a.say("he is gone")
    await b.hears("he is gone")

    await second.start()
    await c.joins.count(2)
    await c.say("back again")
    await Promise.all([a, b, c].map(member => member.hears("back again")))
    await a.say("welcome")
    await c.hears("welcome")
    assert.deepEqual([a, b].map(member => member.closes.entries), [[], []])
  })
}
