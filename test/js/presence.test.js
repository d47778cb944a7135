import assert from "node:assert/strict"
import {test} from "node:test"
import {startEdges} from "./edge.js"
import {clients} from "./member.js"
import {watch} from "./who.js"

for (const client of clients) {
  test(`${client.name}: who is there, on two edges`, async t => {
    const [first, second] = await startEdges(t)
    const ann = await watch(t, {client, edge: first, username: "ann"})
    await ann.sees("ann:1")
    const bob = await watch(t, {client, edge: second, username: "bob"}, {device: "phone"})
    const twin = await watch(t, {client, edge: second, username: "ann"})
    for (const member of [ann, bob, twin]) await member.sees("ann:2 bob:1")
    assert.equal(ann.metas("bob")[0].device, "phone")

    await bob.push("presence", {status: "away"})
    await ann.frames.until("bob is away", () => ann.metas("bob")[0]?.status === "away", () => ann.metas("bob"))
    assert.equal(ann.who(), "ann:2 bob:1")

    // The connection is lost and made again.
    bob.socket.conn.close()
    await bob.joins.count(2)
    for (const member of [ann, bob, twin]) await member.sees("ann:2 bob:1")

    await twin.leave()
    for (const member of [ann, bob]) await member.sees("ann:1 bob:1")

    // The edge dies; who is on it comes back when it does.
    await second.stop("SIGKILL")
    await ann.sees("ann:1")
    await second.start()
    await bob.joins.count(3)
    for (const member of [ann, bob]) await member.sees("ann:1 bob:1")
  })
}

test("clients of all versions see the same people", async t => {
  const edges = await startEdges(t)
  const people = []
  for (const [i, client] of clients.entries()) {
    people.push(await watch(t, {client, edge: edges[i % 2], username: `user-${i}`}))
  }
  const all = clients.map((_, i) => `user-${i}:1`).join(" ")
  for (const member of people) await member.sees(all)

  // Who is on an edge that is shut down comes back on the other one, and is
  // never missed.
  const [watcher, mover] = people
  const missed = []
  watcher.socket.onMessage(() => { if (!watcher.who().includes("user-1:")) missed.push(watcher.who()) })
  mover.socket.endPoint = mover.socket.endPoint.replace(edges[1].url, edges[0].url)
  await edges[1].stop("SIGTERM")
  await mover.joins.count(2)
  await mover.sees(all)
  await watcher.sees(all)
  assert.deepEqual(missed, [])
})
