// What the page computes, without a browser.
import assert from "node:assert/strict"
import {test} from "node:test"
import {Heights} from "../../edge/page/web/list.js"
import {applyDiff, backoff, decode, encode, Presence, reconnectSteps} from "../../edge/page/web/phoenix.js"
import {Outbox} from "../../edge/page/web/outbox.js"
import {load, save} from "../../edge/page/web/store.js"
import {bytes, day, display, hue, initials, parts, sayTyping, tooLong} from "../../edge/page/web/text.js"

const person = (...refs) => ({metas: refs.map(phx_ref => ({phx_ref}))})
const refsOf = state => Object.fromEntries([...state].map(([key, {metas}]) => [key, metas.map(meta => meta.phx_ref).join()]))

test("each delay is any time up to its step, and the last step repeats", () => {
  assert.equal(backoff(reconnectSteps, 0, () => 0.5), 5)
  assert.equal(backoff(reconnectSteps, 9, () => 1), 5000)
  assert.equal(backoff(reconnectSteps, 1000, () => 0.1), 500)
  assert.equal(backoff(reconnectSteps, 3, () => 0), 0)
})

test("presence: joins before leaves, a meta is its ref, and who has none left is gone", () => {
  const state = new Map(Object.entries({ann: person("1"), bob: person("2")}))
  applyDiff(state, {joins: {ann: person("3"), cyd: person("4")}, leaves: {}})
  assert.deepEqual(refsOf(state), {ann: "1,3", bob: "2", cyd: "4"})
  applyDiff(state, {joins: {ann: person("3")}, leaves: {bob: person("2"), nobody: person("9")}}) // told twice
  assert.deepEqual(refsOf(state), {ann: "1,3", cyd: "4"})
  applyDiff(state, {joins: {ann: person("5")}, leaves: {ann: person("1", "3")}}) // an update never empties
  assert.deepEqual(refsOf(state), {ann: "5", cyd: "4"})
  applyDiff(state, {joins: JSON.parse(`{"__proto__": {"metas": [{"phx_ref": "6"}]}}`), leaves: {}})
  assert.equal(state.size, 3)
})

test("presence: diffs wait for the state of each join", () => {
  const handlers = {}
  let changes = 0
  const presence = new Presence({on: (event, handler) => { handlers[event] = handler }}, () => changes++)
  handlers.presence_diff({joins: {ann: person("1"), bob: person("2")}, leaves: {}})
  assert.equal(changes, 0)
  handlers.presence_state({ann: person("1")})
  assert.deepEqual(refsOf(presence.state), {ann: "1", bob: "2"})
  presence.rejoined()
  handlers.presence_diff({joins: {}, leaves: {bob: person("2")}})
  handlers.presence_state({bob: person("2"), cyd: person("3")})
  assert.deepEqual(refsOf(presence.state), {cyd: "3"})
  assert.equal(changes, 2)
})

test("frames: what is none is refused", () => {
  const frame = {joinRef: "1", ref: "2", topic: "rooms:a", event: "chat_msg", payload: {body: "hi"}}
  assert.deepEqual(decode(encode(frame)), frame)
  for (const bad of ["", "hello", "{}", "[]", "[1,2,3,4,5]", `[null,null,"t","e"]`, `[null,null,"t","phx_reply",7]`]) {
    assert.throws(() => decode(bad), SyntaxError, bad)
  }
})

test("frames: binary pushes, replies and broadcasts are read", () => {
  const bytesOf = (kind, words, ...data) => new Uint8Array([kind, ...words.map(w => w.length), ...Buffer.from(words.join("")), ...data]).buffer
  const read = buffer => {
    const {payload, ...rest} = decode(buffer)
    return {...rest, payload: payload instanceof ArrayBuffer ? [...new Uint8Array(payload)] : {...payload, response: [...new Uint8Array(payload.response)]}}
  }
  assert.deepEqual(read(bytesOf(0, ["1", "t", "e"], 7, 8)), {joinRef: "1", ref: null, topic: "t", event: "e", payload: [7, 8]})
  assert.deepEqual(read(bytesOf(1, ["1", "2", "t", "ok"], 9)), {joinRef: "1", ref: "2", topic: "t", event: "phx_reply", payload: {status: "ok", response: [9]}})
  assert.deepEqual(read(bytesOf(2, ["t", "e"])), {joinRef: null, ref: null, topic: "t", event: "e", payload: []})
  for (const bad of [[], [3, 1], [2, 9, 9, 1], [0, 1]]) assert.throws(() => decode(new Uint8Array(bad).buffer), SyntaxError)
})

test("store: where the browser keeps nothing, what was taken back is as if it had never been", t => {
  const own = Object.getOwnPropertyDescriptor(globalThis, "localStorage")
  Object.defineProperty(globalThis, "localStorage", {configurable: true, get() { throw new Error("blocked") }})
  t.after(() => own ? Object.defineProperty(globalThis, "localStorage", own) : delete globalThis.localStorage)
  assert.deepEqual(load("outbox:main", []), [])
  save("outbox:main", ["hi"])
  assert.deepEqual(load("outbox:main", []), ["hi"])
  save("outbox:main", undefined)
  assert.deepEqual(load("outbox:main", []), [])
})

test("outbox: two tabs keep what they could not send beside each other", () => {
  const room = {name: "tabs", me: "ann", ready: false, changed() {}}
  const first = new Outbox(room), second = new Outbox(room)
  const kept = () => new Outbox(room).entries.map(({body}) => body)
  first.say("one")
  second.say("two")
  assert.deepEqual(kept(), ["one", "two"])
  new Outbox({...room, me: "bob"}).say("bob's")
  assert.deepEqual(kept(), ["one", "two"])
  first.drop(first.entries[0])
  assert.deepEqual(kept(), ["two"])
  second.drop(second.entries[0])
  assert.deepEqual(kept(), [])
})

test("rows: what is measured counts, the rest is guessed, and rows are found by height", () => {
  const heights = new Heights()
  const keys = Array.from({length: 1000}, (_, i) => i)
  heights.lay(keys)
  assert.equal(heights.total, 48 * 1000)
  assert.ok(heights.measured(0, 100))
  assert.ok(heights.measured(1, 20))
  assert.ok(!heights.measured(1, 20.01))
  heights.lay(keys)
  assert.equal(heights.guess, 60)
  assert.equal(heights.total, 60 * 1000)
  assert.deepEqual([-5, 0, 99.9, 100, 119, 120, 180, 1e9].map(y => heights.at(y)), [0, 0, 0, 1, 1, 2, 3, 999])
  for (let i = 0; i < keys.length; i++) assert.equal(heights.at(heights.top(i)), i)
  heights.lay([])
  assert.deepEqual([heights.total, heights.at(10)], [0, 0])
})

test("links are http and https, without the sentence around them", () => {
  const links = text => parts(text).filter(({href}) => href).map(({text}) => text)
  assert.deepEqual(links("see https://a.example/b, (http://c.example/d_(e)) and HTTPS://F.example!"),
    ["https://a.example/b", "http://c.example/d_(e)", "HTTPS://F.example"])
  assert.deepEqual(links("“https://a.example/b”, ‘https://c.example.’ «https://d.example» `https://e.example`"),
    ["https://a.example/b", "https://c.example", "https://d.example", "https://e.example"])
  assert.deepEqual(links("javascript:alert(1) data:text/html,x ftp://a.example //a.example https:// https://[ a@b.example"), [])
  assert.deepEqual(links("https://a.example/\u202Egnp.exe"), ["https://a.example/"])
  for (const text of ["", "https://a.example", "x https://a.example. y", "<b>\n\u2028"]) {
    assert.equal(parts(text).map(({text}) => text).join(""), text)
  }
})

test("names can be shown on one line and have initials and a colour", () => {
  assert.equal(display("a\u202Eb\nc"), "a b c")
  assert.equal(display(" \u200f "), "(no name)")
  assert.deepEqual(["ann", "Ann Lee", "Jan van der Berg", "林 wei", "👩‍👩‍👧 x", "!!!"].map(initials), ["A", "AL", "JB", "林W", "X", "!"])
  assert.ok(["", "ann", "林"].every(name => hue(name) >= 0 && hue(name) < 360 && hue(name) === hue(name)))
  assert.deepEqual([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(sayTyping),
    ["", "a is typing…", "a and b are typing…", "Several people are typing…"])
  assert.deepEqual([bytes("é"), tooLong("name", "é", 2), tooLong("name", "éa", 2) !== ""], [2, "", true])
})

test("days are called by their names", () => {
  const now = new Date(2026, 0, 1, 9).getTime()
  assert.equal(day(now, now), "Today")
  assert.equal(day(new Date(2025, 11, 31, 23).getTime(), now), "Yesterday")
  assert.match(day(new Date(2025, 11, 30).getTime(), now), /2025/)
})
