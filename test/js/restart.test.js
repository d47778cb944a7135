import assert from "node:assert/strict"
import {describe, test} from "node:test"
import {startEdge} from "./edge.js"
import {clients, enter} from "./member.js"

const ways = [
  {name: "stops in order", signal: "SIGTERM", exit: 0, close: 1012},
  {name: "is killed", signal: "SIGKILL", exit: null, close: 1006},
]

for (const client of clients) {
  describe(client.name, () => {
    for (const way of ways) {
      test(`an edge that ${way.name} and starts again has its members back`, async t => {
        const edge = await startEdge(t)
        const [a, b] = await enter(t, "rooms:lobby",
          {client, edge, username: "ann"}, {client, edge, username: "bob"})
        await a.say("before")
        await b.hears("before")

        assert.equal(await edge.stop(way.signal), way.exit)
        await Promise.all([a, b].map(member => member.closes.count(1)))
        assert.deepEqual([a, b].map(member => member.closes.entries[0]), [way.close, way.close])

        const typed = a.say("typed meanwhile")
        await edge.start()
        await typed
        await a.hears("typed meanwhile")

        await Promise.all([a, b].map(member => member.joins.count(2)))
        await b.say("after")
        await a.hears("after")
        await a.say("and after that")
        await b.hears("and after that")
      })
    }
  })
}
