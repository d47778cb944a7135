import assert from "node:assert/strict"
import {spawn} from "node:child_process"
import {once} from "node:events"
import {connect, createServer} from "node:net"
import {suite, test} from "node:test"
import {fileURLToPath} from "node:url"
import {freePort, startEdge} from "./edge.js"
import {clients} from "./member.js"
import {watch} from "./who.js"

const binary = fileURLToPath(new URL("../../bin/nats-server", import.meta.url))

// A Route is the only way between two NATS servers, and can be cut.
class Route {
  #sockets = new Set()

  static async to(t, port) {
    const route = new Route()
    route.server = createServer(from => {
      const on = connect(port, "127.0.0.1")
      for (const [a, b] of [[from, on], [on, from]]) {
        route.#sockets.add(a)
        a.pipe(b)
        a.on("error", () => {}).on("close", () => { b.destroy(); route.#sockets.delete(a) })
      }
      if (route.isCut) from.destroy()
    }).listen(0, "127.0.0.1")
    await once(route.server, "listening")
    t.after(() => { route.server.close(); route.cut() })
    return route
  }

  get url() { return `nats://127.0.0.1:${this.server.address().port}` }

  cut() {
    this.isCut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  heal() { this.isCut = false }
}

async function startNATS(t, name, port, clusterPort, ...args) {
  const server = spawn(binary, ["-n", name, "-a", "127.0.0.1", "-p", port, "--cluster_name", "chat",
    "--cluster", `nats://127.0.0.1:${clusterPort}`, "--no_advertise", ...args].map(String), {stdio: "ignore"})
  server.on("exit", code => { if (code) console.error(`nats-server ${name} ended with ${code}`) })
  t.after(() => { server.kill("SIGKILL") })
}

// The cluster of NATS servers falls apart: on either side the others are gone
// after a while, and back once it heals.
suite("through a split", {concurrency: true}, () => {
  for (const client of clients) {
    test(`${client.name}: who is there`, async t => {
      const [portA, portB, clusterA, clusterB] = await Promise.all([freePort(), freePort(), freePort(), freePort()])
      const route = await Route.to(t, clusterA)
      await startNATS(t, "a", portA, clusterA)
      await startNATS(t, "b", portB, clusterB, "--routes", route.url)
      const [first, second] = await Promise.all([portA, portB].map(port =>
        startEdge(t, "--nats", `nats://127.0.0.1:${port}`, "--history", "off")))
      const ann = await watch(t, {client, edge: first, username: "ann"})
      const bob = await watch(t, {client, edge: second, username: "bob"})
      for (const member of [ann, bob]) await member.sees("ann:1 bob:1")

      route.cut()
      await Promise.all([ann.sees("ann:1"), bob.sees("bob:1")])
      const cat = await watch(t, {client, edge: second, username: "cat"})
      await bob.sees("bob:1 cat:1")

      route.heal()
      await Promise.all([ann, bob, cat].map(member => member.sees("ann:1 bob:1 cat:1")))
      assert.equal(ann.closes.entries.length, 0)
    })
  }
})
