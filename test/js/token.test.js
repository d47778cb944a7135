import assert from "node:assert/strict"
import {after, test} from "node:test"
import {startEdge} from "./edge.js"
import {clients, Member} from "./member.js"

const edge = await startEdge({after})

// Authentication is off: who has a token is let in like everybody else.
for (const client of clients.filter(({name}) => name !== "phoenix-1.2.1")) {
  test(`${client.name}: a client with a token connects and chats`, async t => {
    const member = new Member(t, {client, edge, topic: "rooms:lobby", options: {authToken: "secret"}})
    await member.join()
    await member.say("hello")
    await member.hears("hello")
  })
}
