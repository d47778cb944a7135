// A proxy as people meet it who need long-polling: it has no idea who belongs
// where, and websockets do not get through.
import {once} from "node:events"
import {createServer, request} from "node:http"

// startProxy gives requests to the edges in turn. A websocket's is destroyed, or
// swallowed: then nothing ever answers it.
export async function startProxy(t, edges, {upgrades: fate}) {
  const proxy = {
    requests: edges.map(() => 0),
    methods: new Set(),
    upgrades: 0,
    hanging: 0,          // swallowed upgrades for which the browser still waits
    tokens: new Map(),   // the newest token that each user asked with
    beginAt: undefined,  // the edge for requests without a token, if not any
  }
  let next = 0
  const server = createServer((req, res) => {
    const params = new URL(req.url, "http://proxy").searchParams
    const token = params.get("token")
    const i = token ? next++ % edges.length : proxy.beginAt ?? next++ % edges.length
    if (token && req.method === "GET") proxy.tokens.set(params.get("username"), token)
    proxy.requests[i]++
    proxy.methods.add(req.method)
    const out = request({
      port: edges[i].port, host: "127.0.0.1", method: req.method, path: req.url, headers: req.headers, agent: false,
    }, answer => {
      res.writeHead(answer.statusCode, answer.headers)
      answer.on("error", () => res.destroy())
      answer.pipe(res)
    })
    out.on("error", () => res.headersSent ? res.destroy() : res.writeHead(502).end())
    res.on("close", () => out.destroy())
    req.pipe(out)
  })
  server.on("upgrade", (req, socket) => {
    proxy.upgrades++
    socket.on("error", () => {})
    if (fate === "destroyed") return socket.destroy()
    proxy.hanging++
    socket.on("end", () => socket.destroy())
    socket.on("close", () => proxy.hanging--)
    socket.resume()
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  proxy.url = `ws://127.0.0.1:${server.address().port}/socket`
  return proxy
}
