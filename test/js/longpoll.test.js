import assert from "node:assert/strict"
import {once} from "node:events"
import {createServer, request} from "node:http"
import {describe, test} from "node:test"
import {startEdges} from "./edge.js"
import {clients, enter} from "./member.js"

const secret = ["--secret", "known to both of these edges"]

// The client of 1.2.1 long-polls with XMLHttpRequest only, which Node has not.
for (const client of clients.filter(({name}) => name !== "phoenix-1.2.1")) {
  describe(client.name, () => {
    const longPoll = {transport: client.LongPoll}

    test("two people chat, each request through another edge", async t => {
      const edges = await startEdges(t, ...secret)
      const edge = await startBalancer(t, edges)
      const [a, b] = await enter(t, "rooms:lobby",
        {client, edge, username: "ann", options: longPoll},
        {client, edge, username: "bob", options: longPoll})
      await a.say("hello")
      await b.hears("hello")
      await b.say("grüße, 世界 👋 \u2028")
      await a.hears("grüße, 世界 👋 \u2028")
      assert.deepEqual(a.heard.entries.map(said), ["ann: hello", "bob: grüße, 世界 👋 \u2028"])
      assert.deepEqual(b.heard.entries.map(said), a.heard.entries.map(said))
      assert.deepEqual([a, b].map(member => member.closes.entries), [[], []])
      assert.ok(edge.requests.every(n => n > 2), `requests of the edges: ${edge.requests}`)
    })

    test("150 things said at once arrive in order", async t => {
      const edge = await startBalancer(t, await startEdges(t, ...secret))
      const [a, b] = await enter(t, "rooms:lobby",
        {client, edge, username: "ann", options: longPoll},
        {client, edge, username: "bob"})
      const bodies = Array.from({length: 150}, (_, n) => `${n}`)
      await Promise.all(bodies.map(body => a.say(body)))
      for (const member of [a, b]) {
        await member.heard.count(bodies.length)
        assert.deepEqual(member.heard.entries.map(m => m.body), bodies)
      }
    })

    test("where websockets are blocked the client falls back, and remembers", async t => {
      const edge = await startBalancer(t, await startEdges(t, ...secret), {blocked: true})
      const kept = new Map()
      const options = {longPollFallbackMs: 300, sessionStorage: {getItem: k => kept.get(k), setItem: (k, v) => kept.set(k, v)}}
      const [a, b] = await enter(t, "rooms:lobby", {client, edge, username: "ann", options}, {client, edge, username: "bob", options})
      await a.say("hello")
      await b.hears("hello")
      assert.equal(kept.get("phx:fallback:LongPoll"), "true")
      assert.ok(edge.upgrades > 0)
    })

    test("where they are not, it stays", async t => {
      const edge = await startBalancer(t, await startEdges(t, ...secret))
      const [a] = await enter(t, "rooms:lobby", {client, edge, username: "ann", options: {longPollFallbackMs: 60_000}})
      await a.say("hello")
      await a.hears("hello")
      assert.deepEqual(edge.requests, [0, 0])
    })

    test("who loses its session comes back and misses nothing", async t => {
      const edges = await startEdges(t, ...secret)
      const edge = await startBalancer(t, edges)
      const where = {history: 0} // sent as it is at each join
      edge.only(1)
      const [a] = await enter(t, "rooms:lobby", {client, edge, username: "ann", joinParams: where, options: longPoll})
      const {last_seq: since, epoch} = a.joins.entries[0]
      Object.assign(where, {since, epoch})
      a.channel.on("chat_msg", ({seq}) => { where.since = seq })
      const [b] = await enter(t, "rooms:lobby", {client, edge: edges[0], username: "bob"})
      await b.say("one")
      await a.hears("one")

      edge.only(0) // the owner is the other
      await b.say("two")
      await a.hears("two")
      await edges[1].stop("SIGKILL")
      await b.say("three")
      await a.joins.count(2)
      const {recovered, messages} = a.joins.entries[1]
      await b.say("four")
      await a.hears("four")

      assert.equal(recovered, true)
      assert.deepEqual(messages.map(m => m.body), ["three"])
      assert.deepEqual(a.heard.entries.map(m => m.body), ["one", "two", "four"])
      assert.deepEqual(a.closes.entries, [3410])
    })
  })
}

function said({username, body}) { return `${username}: ${body}` }

// startBalancer starts a proxy in front of edges, to which it gives requests in
// turn. Websockets get to the first of them, or nowhere if they are blocked.
async function startBalancer(t, edges, {blocked = false} = {}) {
  const balancer = {requests: edges.map(() => 0), upgrades: 0, only(i) { fixed = i }}
  let fixed, next = 0
  const forward = (req, port, answered) => request({
    port, host: "127.0.0.1", method: req.method, path: req.url, headers: req.headers, agent: false,
  }, answered)
  const server = createServer((req, res) => {
    const i = fixed ?? next++ % edges.length
    balancer.requests[i]++
    const out = forward(req, edges[i].port, answer => {
      res.writeHead(answer.statusCode, answer.headers)
      answer.on("error", () => res.destroy())
      answer.pipe(res)
    })
    out.on("error", () => res.headersSent ? res.destroy() : res.writeHead(502).end())
    res.on("close", () => out.destroy())
    req.pipe(out)
  })
  server.on("upgrade", (req, socket) => {
    balancer.upgrades++
    socket.on("error", () => {})
    if (blocked) return socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    const out = forward(req, edges[0].port)
    out.on("error", () => socket.destroy())
    out.on("upgrade", (answer, upstream) => {
      const headers = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers.join("")}\r\n`)
      upstream.on("error", () => socket.destroy())
      upstream.pipe(socket).pipe(upstream)
    })
    out.end()
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  balancer.url = `ws://127.0.0.1:${server.address().port}/socket`
  return balancer
}
