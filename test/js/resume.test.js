import assert from "node:assert/strict"
import {test} from "node:test"
import {startEdge, startEdges} from "./edge.js"
import {clients, enter} from "./member.js"

for (const client of clients) {
  test(`${client.name}: who was away gets what was missed, in order and once`, async t => {
    const [first, second] = await startEdges(t)
    const where = {history: 0} // sent as it is at each join
    const [a, b] = await enter(t, "rooms:lobby",
      {client, edge: first, username: "ann"},
      {client, edge: second, username: "bob", joinParams: where})
    const {last_seq: since, epoch} = b.joins.entries[0]
    Object.assign(where, {since, epoch})
    b.channel.on("chat_msg", ({seq}) => { where.since = seq })

    await a.say("one")
    await b.hears("one")
    await second.stop("SIGKILL")
    await a.say("two")
    await a.say("three")
    await second.start()
    await b.joins.count(2)
    const {recovered, messages} = b.joins.entries[1]
    await a.say("four")
    await Promise.all([a, b].map(member => member.hears("four")))

    assert.equal(recovered, true)
    assert.deepEqual(messages.map(m => m.body), ["two", "three"])
    assert.deepEqual(b.heard.entries.map(m => m.body), ["one", "four"])

    const seqs = [b.heard.entries[0], ...messages, b.heard.entries[1]].map(m => m.seq)
    assert.deepEqual(seqs, a.heard.entries.map(m => m.seq))
  })

  test(`${client.name}: who is new asks for the last messages`, async t => {
    const edge = await startEdge(t)
    const [a] = await enter(t, "rooms:lobby", {client, edge, username: "ann"})
    for (const body of ["one", "two", "three"]) await a.say(body)
    const [b] = await enter(t, "rooms:lobby", {client, edge, username: "bob", joinParams: {history: 2}})
    assert.deepEqual(b.joins.entries[0].messages.map(m => m.body), ["two", "three"])
  })
}
