import assert from "node:assert/strict"
import {execFile} from "node:child_process"
import {existsSync} from "node:fs"
import {test} from "node:test"
import {fileURLToPath} from "node:url"
import {promisify} from "node:util"
import {freePort, startEdge} from "./edge.js"
import {clients, Member} from "./member.js"

// The nats command, which .ci/run installs.
const binary = fileURLToPath(new URL("../../bin/nats", import.meta.url))

// docs/nats.md promises it to the letter.
test("what the nats command publishes appears in the room", {skip: !existsSync(binary) && "bin/nats is missing"}, async t => {
  const address = `127.0.0.1:${await freePort()}`
  const edge = await startEdge(t, "--nats-listen", address)
  const ann = new Member(t, {client: clients[0], edge, topic: "rooms:lobby", username: "ann"})
  await ann.join()
  const said = {body: "hi", username: "bot"}
  await promisify(execFile)(binary, ["--server", address, "--timeout", "30s", "pub", "chat.in.rooms.lobby", JSON.stringify(said)])
  const [{seq, at, ...rest}] = await ann.hears("hi")
  assert.deepEqual(rest, said)
  assert.ok(Number.isSafeInteger(seq) && seq > 0, `seq is ${seq}`)
  assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000, `at is ${at}`)
})
