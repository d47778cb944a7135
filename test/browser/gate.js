// A gate before several servers, of one origin: what a load balancer is to a
// page. Who answers is decided anew for each request.
import {once} from "node:events"
import {createServer, request} from "node:http"
import {connect} from "node:net"

// startGate asks route(path) for the port to pass a request to; where there is none
// nobody answers. Websockets may be held: then what the server says waits, and may
// be lost.
export async function startGate(t, route) {
  const gate = {
    route,
    tunnels: new Set(),   // {client, server} of each websocket
    hold() { for (const {server} of gate.tunnels) server.pause() },
    release() { for (const {server} of gate.tunnels) server.resume() },
    cut() {
      for (const {client} of gate.tunnels) client.destroy()
      gate.tunnels.clear()
    },
  }
  const server = createServer((req, res) => {
    const port = gate.route(req.url)
    if (!port) return req.destroy()
    const out = request({host: "127.0.0.1", port, path: req.url, method: req.method, headers: req.headers, agent: false}, answer => {
      res.writeHead(answer.statusCode, answer.headers)
      answer.on("error", () => res.destroy())
      answer.pipe(res)
    })
    out.on("error", () => res.headersSent ? res.destroy() : res.writeHead(502).end())
    req.pipe(out)
  })
  server.on("upgrade", (req, client) => {
    const port = gate.route(req.url)
    if (!port) return client.destroy()
    const server = connect(port, "127.0.0.1")
    const tunnel = {client, server}
    gate.tunnels.add(tunnel)
    for (const [socket, other] of [[client, server], [server, client]]) {
      socket.on("error", () => {})
      socket.on("close", () => {
        gate.tunnels.delete(tunnel)
        other.destroy()
      })
    }
    const headers = req.rawHeaders.map((text, i) => i % 2 ? `: ${text}\r\n` : text).join("")
    server.write(`${req.method} ${req.url} HTTP/1.1\r\n${headers}\r\n`)
    client.on("data", data => server.write(data))
    server.on("data", data => client.write(data))
    server.on("end", () => client.end())
    client.on("end", () => server.end())
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.after(() => {
    gate.cut()
    server.close()
    server.closeAllConnections()
  })
  gate.url = `http://127.0.0.1:${server.address().port}/`
  return gate
}
