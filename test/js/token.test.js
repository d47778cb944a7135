import assert from "node:assert/strict"
import {after, test} from "node:test"
import {startEdge} from "./edge.js"
import {clients, Member} from "./member.js"

const edge = await startEdge({after})

// As with Phoenix, where nothing is done with a token no subprotocol is agreed
// upon, and it is for the client to break off.
for (const client of clients.filter(({name}) => name !== "phoenix-1.2.1")) {
  test(`${client.name}: a token that nobody asks for is not accepted silently`, async t => {
    const member = new Member(t, {client, edge, topic: "rooms:lobby", options: {authToken: "secret"}})
    const error = await new Promise(resolve => member.socket.onError(resolve))
    assert.match(error.message, /no subprotocol/)
    assert.equal(member.socket.isConnected(), false)
  })
}
