// An edge in a process of its own, as an operator runs it.
import {spawn} from "node:child_process"
import {once} from "node:events"
import {mkdtemp, rm} from "node:fs/promises"
import {createServer} from "node:net"
import {tmpdir} from "node:os"
import {join} from "node:path"
import {setTimeout as sleep} from "node:timers/promises"
import {fileURLToPath} from "node:url"

const binary = process.env.EDGE_BIN ?? fileURLToPath(new URL("../../bin/edge", import.meta.url))

const patience = 60_000 // ms for an edge to start, or to stop

// startEdge starts an edge that ends with the test or suite of t. It has NATS
// embedded unless args say otherwise.
export async function startEdge(t, ...args) {
  const edge = new Edge(await freePort(), await mkdtemp(join(tmpdir(), "edge-")), args)
  t.after(async () => {
    await edge.stop("SIGKILL")
    await rm(edge.data, {recursive: true, force: true})
  })
  await edge.start()
  return edge
}

// startEdges starts two edges, the second on the NATS of the first.
export async function startEdges(t, ...args) {
  const nats = `127.0.0.1:${await freePort()}`
  const first = await startEdge(t, "--nats-listen", nats, ...args)
  return [first, await startEdge(t, "--nats", `nats://${nats}`, ...args)]
}

class Edge {
  constructor(port, data, args) {
    this.port = port
    this.data = data
    this.args = args
    this.log = ""
    process.on("exit", code => {
      this.process.kill("SIGKILL")
      if (code) process.stderr.write(`--- edge :${port}\n${this.log}`)
    })
  }

  get url() { return `ws://127.0.0.1:${this.port}/socket` }

  // start returns when the edge answers. It has the port and the data of the
  // start before.
  async start() {
    const own = this.args.includes("--nats") || this.args.includes("--history=off") ? [] : ["--data", this.data]
    this.process = spawn(binary, ["--listen", `127.0.0.1:${this.port}`, ...own, ...this.args])
    this.exited = once(this.process, "exit")
    for (const output of [this.process.stdout, this.process.stderr]) {
      output.on("data", text => { this.log += text })
    }
    for (const end = Date.now() + patience; !await this.answers();) {
      const {exitCode, signalCode} = this.process
      if (exitCode !== null || signalCode !== null) {
        throw new Error(`the edge ended with ${exitCode ?? signalCode}: ${this.log}`)
      }
      if (Date.now() > end) throw new Error(`the edge is not ready after ${patience / 1000} s: ${this.log}`)
      await sleep(20)
    }
  }

  async answers() {
    try {
      const ready = await fetch(`http://127.0.0.1:${this.port}/readyz`, {signal: AbortSignal.timeout(patience)})
      return ready.ok
    } catch {
      return false
    }
  }

  // stop returns the exit code, or null if the edge was ended by the signal itself,
  // or had to be killed since it did not end.
  async stop(signal) {
    this.process.kill(signal)
    const late = setTimeout(() => this.process.kill("SIGKILL"), patience)
    const [code] = await this.exited
    clearTimeout(late)
    return code
  }
}

// freePort returns a port on which nobody listens. Each test process has a hundred
// of its own, below those that the system gives to whoever asks for any: so a
// server that is about to start, or to start again, still finds its port free.
export async function freePort() {
  const first = await (ports ??= reserve())
  for (let tries = 1; tries < 100; tries++) {
    const port = first + 1 + given++ % 99
    const server = await listen(port)
    if (!server) continue
    await new Promise(closed => server.close(closed))
    return port
  }
  throw new Error(`no port is free from ${first} on`)
}

let ports, given = 0

// reserve finds a hundred ports that no other test process has: whoever listens on
// the first of them, as long as it lives.
async function reserve() {
  for (let tries = 0; tries < 120; tries++) {
    const first = 20_000 + (process.pid + tries) % 120 * 100
    const server = await listen(first)
    if (!server) continue
    server.unref()
    return first
  }
  throw new Error("all ports for tests are taken")
}

// listen returns the server that listens on the port, or nothing if it is taken.
function listen(port) {
  return new Promise(resolve => {
    const server = createServer().on("error", () => resolve())
    server.listen(port, "127.0.0.1", () => resolve(server))
  })
}
