// The page: one connection, several rooms of which one is open, and what the
// user does with them.
import {Composer} from "./composer.js"
import {explain} from "./explain.js"
import {List} from "./list.js"
import {Members} from "./members.js"
import {Socket} from "./phoenix.js"
import {Room} from "./room.js"
import {avatar, el, nameOf, rowsOf} from "./rows.js"
import {load, save} from "./store.js"
import {action, display, sayTyping, tooLong} from "./text.js"

const $ = selector => document.querySelector(selector)
const home = "main", maxName = 256, maxRoom = 249 // bytes, as docs/protocol.md has them

let me, socket, rooms = new Map(), open, drawing, closeTimer, reason = "", firstLost = 0, asked = 0
const narrow = matchMedia("(max-width: 759px)"), wide = matchMedia("(min-width: 1100px)")

const room = () => rooms.get(open)
const rows = rowsOf(room, {
  retry: entry => room().outbox.retry(entry),
  discard: entry => room().outbox.drop(entry),
  edit: entry => { room().outbox.drop(entry); composer.edit(entry.body) },
  older: () => room().scrollBack(),
})
const list = new List($("#log"), $("#log ol"), {...rows, onScroll: scrolled})
const members = new Members($("#people"))
const composer = new Composer($("#compose"), {
  say(text) {
    room().mark = undefined
    room().outbox.say(text)
    list.toEnd()
  },
  typing: typing => room()?.type(typing),
})

// Entering

function askName(problem = "") {
  $("#slow").hidden = $("#chat").hidden = true
  $("#enter").hidden = false
  $("#where").textContent = `You are about to join “${display(linked() ?? open ?? load("open", home))}”.`
  $("#name").value = me ?? ""
  $("#name-problem").textContent = problem
  $("#name").focus()
  document.title = "Aristochat"
}

$("#enter form").addEventListener("submit", event => {
  event.preventDefault()
  const name = $("#name").value.trim()
  const problem = name ? tooLong("name", name, maxName) : "Please enter a name."
  $("#name-problem").textContent = problem
  if (problem) return $("#name").focus()
  save("name", name)
  begin(name)
})

function begin(name) {
  me = name
  socket?.disconnect()
  $("#slow").hidden = $("#enter").hidden = true
  $("#chat").hidden = false
  $("#me").replaceChildren(avatar(me), nameOf(me))
  const url = new URL("socket", document.baseURI)
  url.protocol = url.protocol.replace("http", "ws")
  socket = new Socket(url.href, {params: {username: me}})
  socket.onState = connection
  for (const old of rooms.values()) old.leave()
  const names = new Set(load("rooms", [home]))
  const wanted = linked()
  if (wanted !== undefined) names.add(wanted)
  rooms = new Map()
  open = undefined
  for (const name of names) add(name)
  socket.connect()
  const last = load("open", home)
  enter(wanted ?? (rooms.has(last) ? last : rooms.keys().next().value), "replace")
}

// linked is the room of the address, /?room=NAME.
function linked() {
  const name = new URL(location).searchParams.get("room")?.trim()
  return name && !tooLong("name", name, maxRoom) ? name : undefined
}

// Rooms

function add(name) {
  const known = rooms.get(name)
  if (known) return known
  const added = new Room(socket, name, me, {changed: draw, attended, heard})
  rooms.set(name, added)
  save("rooms", [...rooms.keys()])
  added.join()
  return added
}

// enter opens a room; how says what becomes of the address: "push", "replace" or
// nothing.
function enter(name, how) {
  if (room()) room().mark = undefined
  open = name
  composer.open(name)
  $("#chat").classList.toggle("nowhere", name === undefined)
  if (name !== undefined) {
    save("open", name)
    const url = new URL(location)
    url.searchParams.set("room", name)
    if (how && url.href !== location.href) history[`${how}State`](null, "", url)
    list.show(withTop(room()), room().unread ? room().mark : undefined)
    if (matchMedia("(pointer: fine)").matches) composer.text.focus()
  } else {
    list.show([])
  }
  panel()
  draw()
}

function leave(name) {
  const names = [...rooms.keys()], at = names.indexOf(name)
  rooms.get(name).leave()
  rooms.delete(name)
  save("rooms", [...rooms.keys()])
  if (open === name) enter(names[at + 1] ?? names[at - 1], "push")
  else draw()
}

addEventListener("popstate", () => {
  const name = linked()
  if (name === undefined || socket === undefined) return
  add(name)
  enter(name)
})

$("#rooms form").addEventListener("submit", event => {
  event.preventDefault()
  const name = $("#add").value.trim()
  const problem = name ? tooLong("name", name, maxRoom) : "Which room? Enter its name."
  $("#add-problem").textContent = problem
  if (problem) return $("#add").focus()
  $("#add").value = ""
  add(name)
  enter(name, "push")
})

$("#add").addEventListener("input", () => { $("#add-problem").textContent = "" })
$("#rename").addEventListener("click", () => {
  socket.disconnect()
  askName()
})

// The connection

async function connection() {
  const {state, lost} = socket
  draw()
  if (state !== "waiting") return
  firstLost ||= Date.now()
  if (Date.now() - asked < 2000) return
  asked = Date.now()
  const of = socket
  const {text, refused} = await explain(lost, `${new URL("socket/websocket", document.baseURI)}?${new URLSearchParams({vsn: "2.0.0", username: me})}`)
  if (of !== socket || socket.state === "open" || socket.state === "idle") return
  reason = text
  draw()
  if (refused) {
    socket.disconnect()
    askName(text)
  }
}

function drawBanner() {
  clearTimeout(closeTimer)
  const {state, nextTry, lost} = socket
  // A try that has opened is no success yet if nothing has ever come by it.
  const well = state === "open" && !lost || state === "idle"
  if (well) [firstLost, reason] = [0, ""]
  const brief = !firstLost || Date.now() - firstLost < 700 // it comes back before one could read it
  $("#banner").hidden = well || brief
  if (well) return
  setText($("#banner p"), reason || "Connecting…")
  const seconds = Math.ceil((nextTry - Date.now()) / 1000)
  setText($("#countdown"), state === "waiting" && seconds > 0 ? `Next try in ${seconds} s.` : "Trying…")
  closeTimer = setTimeout(drawBanner, 250)
}

$("#banner button").addEventListener("click", () => socket.check())
addEventListener("online", () => socket?.check())
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !socket) return
  socket.check(5000)
  scrolled()
  draw()
})

// What is to be seen

function attended(which) { return which === room() && !document.hidden && list.atEnd }

function heard(which, {mine, username, body}) {
  if (which !== room() || mine) return
  const news = $("#news"), does = action(body)
  news.append(el("p", {}, `${display(username)}${does ? ` ${does}` : `: ${body}`}`.slice(0, 600)))
  while (news.children.length > 5) news.firstChild.remove()
}

function scrolled() {
  if (!room()) return
  if (attended(room())) room().seen()
  if (list.nearTop && room().older === "more") room().scrollBack()
  drawLatest()
}

const withTop = ({older, all}) => older === "none" ? all : [{kind: "top", key: "top"}, ...all]

// draw shows what has changed, soon: a hidden page has no frames.
function draw() {
  drawing ??= document.hidden ? setTimeout(drawNow, 200) : requestAnimationFrame(drawNow)
}

function drawNow() {
  drawing = undefined
  const now = room()
  drawRooms()
  drawBanner()
  drawLatest()
  document.title = title()
  if (!now) return
  setText($("#room h2"), display(now.name))
  const people = now.people
  $("#show-people").hidden = people === 0 || wide.matches
  for (const count of ["#show-people", "#people h2"]) setText($(count), `${people.toLocaleString()} here`)
  $("#people").classList.toggle("none", people === 0)
  members.draw(now, people > 0 && (wide.matches || $("#chat").dataset.panel === "people"))
  setText($("#typing"), sayTyping([...now.typing.keys()]))
  $("#log").ariaLabel = `Messages in ${display(now.name)}`
  composer.text.placeholder = `Message ${display(now.name)}`
  const trouble = now.state === "refused" ? `The server refuses the room “${display(now.name)}”: ${now.refusal}.` :
    now.state === "closed" ? "The server has closed this room." : ""
  $("#trouble").hidden = !trouble
  setText($("#trouble p"), trouble)
  list.update(withTop(now))
  requestAnimationFrame(scrolled)
}

function title() {
  const unread = [...rooms.values()].reduce((sum, {unread}) => sum + unread, 0)
  return `${unread ? `(${unread}) ` : ""}${room() ? `${display(open)} – ` : ""}Aristochat`
}

function drawRooms() {
  const items = [...rooms.values()].map(({name, unread, state}) => {
    const button = el("button", {className: "room", onclick: () => enter(name, "push")}, el("bdi", {}, display(name)))
    if (name === open) button.ariaCurrent = "page"
    if (state === "refused" || state === "closed") button.append(el("span", {className: "refused", title: "not joined"}, "!"))
    if (unread) button.append(el("span", {className: "badge"}, unread > 999 ? "999+" : String(unread), el("span", {className: "unseen"}, " new messages")))
    return el("li", {className: unread ? "unread" : ""}, button,
      el("button", {className: "icon leave", ariaLabel: `Leave ${display(name)}`, title: "Leave", onclick: () => leave(name)}, "✕"))
  })
  const old = $("#rooms ul"), fresh = el("ul", {}, ...items)
  if (old.innerHTML !== fresh.innerHTML) {
    const focused = [...old.querySelectorAll("button")].indexOf(document.activeElement)
    old.replaceChildren(...items)
    old.querySelectorAll("button")[focused]?.focus()
  }
  const elsewhere = [...rooms.values()].reduce((sum, {name, unread}) => sum + (name === open ? 0 : unread), 0)
  const badge = $("#show-rooms .badge")
  badge.hidden = !elsewhere
  setText(badge, elsewhere ? `${elsewhere}` : "")
  $("#show-rooms").ariaLabel = elsewhere ? `Rooms, ${elsewhere} new messages` : "Rooms"
}

function drawLatest() {
  const now = room(), latest = $("#latest")
  latest.hidden = !now || list.atEnd
  if (now) setText(latest, now.unread ? `↓ ${now.unread.toLocaleString()} new message${now.unread > 1 ? "s" : ""}` : "↓ Latest")
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

// Panels and keys

// panel slides one in where they have no place beside the room: "rooms", "people"
// or none.
function panel(which = "") {
  $("#chat").dataset.panel = which
  $("#show-rooms").ariaExpanded = String(which === "rooms")
  $("#show-people").ariaExpanded = String(which === "people")
  $("#room").inert = which !== "" && (narrow.matches || which === "people" && !wide.matches)
  if (which) $(`#${which} .close`).focus()
  draw()
}

$("#show-rooms").addEventListener("click", () => panel("rooms"))
$("#show-people").addEventListener("click", () => panel("people"))
for (const close of document.querySelectorAll(".close, #scrim")) {
  close.addEventListener("click", () => {
    const was = $("#chat").dataset.panel
    panel()
    if (was) $(`#show-${was}`).focus()
  })
}
narrow.addEventListener("change", () => panel())
wide.addEventListener("change", () => panel())
$("#latest").addEventListener("click", () => {
  list.toEnd()
  composer.text.focus({preventScroll: true})
})
$("#trouble button").addEventListener("click", () => room().join())

addEventListener("keydown", event => {
  if ($("#chat").hidden || event.isComposing) return
  if (event.key === "Escape") {
    if ($("#chat").dataset.panel) $("#scrim").click()
    else list.toEnd()
  } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown") && rooms.size > 1) {
    event.preventDefault()
    const names = [...rooms.keys()], step = event.key === "ArrowUp" ? -1 : 1
    enter(names[(names.indexOf(open) + step + names.length) % names.length], "push")
  }
})

// Where the keyboard of a phone covers the page instead of shrinking it.
visualViewport?.addEventListener("resize", () => {
  document.documentElement.style.setProperty("--height", `${visualViewport.height}px`)
  scrollTo(0, 0)
})

me = load("name")
if (me) begin(me)
else askName()
