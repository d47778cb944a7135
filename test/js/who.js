import {Member} from "./member.js"

// watch enters a room and keeps, with the client's own Presence, who is there:
// a list such as "ann:1 bob:2", names and how often they are present.
export async function watch(t, person, joinParams) {
  const member = new Member(t, {topic: "rooms:lobby", joinParams, ...person})
  const {Presence} = person.client
  let list
  if (person.client.name === "phoenix-1.2.1") { // functions only, and no state of their own
    let state = {}
    member.channel.on("presence_state", s => { state = Presence.syncState(state, s) })
    member.channel.on("presence_diff", d => { state = Presence.syncDiff(state, d) })
    list = () => state
  } else {
    const presence = new Presence(member.channel)
    list = () => presence.state
  }
  member.who = () => Object.entries(list()).map(([name, {metas}]) => `${name}:${metas.length}`).sort().join(" ")
  member.metas = name => list()[name]?.metas ?? []
  member.sees = want => member.frames.until(`${person.username} sees ${want}`, () => member.who() === want, member.who)
  await member.join()
  return member
}
