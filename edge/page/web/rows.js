// The rows of the list: messages and notices as elements. Everything that came
// from others goes through textContent.
import {action, clock, day, display, hue, initials, moment, parts, sameDay} from "./text.js"

// el makes an element: properties, then children.
export function el(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props)
  element.append(...children)
  return element
}

// avatar is a name's initials in its colour. It says nothing that the name beside
// it does not.
export function avatar(name) {
  const element = el("span", {className: "avatar", ariaHidden: "true"}, initials(name))
  element.style.setProperty("--hue", hue(name))
  return element
}

export function nameOf(name) {
  const element = el("bdi", {className: "name"}, display(name))
  element.style.setProperty("--hue", hue(name))
  return element
}

export function rowsOf(room, actions) {
  const begins = (items, i) => { // whether the author is to be told again
    const item = items[i], before = items[i - 1]
    return before?.kind !== "message" || before.username !== item.username || item.key === room().mark ||
      item.at - before.at > 300_000 || !sameDay(item.at, before.at)
  }
  const dayOf = (items, i) => {
    const item = items[i], before = items[i - 1]
    return item.kind === "message" && !(before?.at && sameDay(item.at, before.at)) ? day(item.at) : ""
  }

  // version changes when the row of items[i] would look otherwise.
  function version(items, i) {
    const item = items[i]
    if (item.kind !== "message") return item.kind === "top" ? room().older : ""
    return [begins(items, i), dayOf(items, i), item.key === room().mark, item.status && [item.status, item.reason, room().ready]].join()
  }

  function row(items, i) {
    const item = items[i]
    if (item.kind === "top") return top()
    if (item.kind === "notice") return el("li", {className: "row notice"}, item.text)
    const line = el("li", {className: "row message"})
    const label = dayOf(items, i)
    if (label) line.append(el("h3", {className: "day"}, label))
    if (item.key === room().mark) line.append(el("p", {className: "mark"}, "New"))
    const begin = begins(items, i)
    const time = el("time", {dateTime: new Date(item.at).toISOString(), title: moment(item.at)}, clock(item.at))
    const name = nameOf(item.username)
    if (item.mine) name.append(el("span", {className: "you"}, " (you)"))
    const head = el("div", {className: begin ? "head" : "head follows"}, name, " ", time)
    const does = action(item.body)
    const body = el("div", {className: does ? "body does" : "body", dir: "auto"}, ...does ? ["* ", nameOf(item.username), " "] : [],
      ...parts(does ?? item.body).map(({text, href}) => href ? el("a", {href, target: "_blank", rel: "noopener noreferrer"}, text) : text))
    const text = el("div", {className: item.status && item.status !== "stored" ? "text pending" : "text"}, ...begin ? [avatar(item.username)] : [], head, body)
    if (item.mine) text.classList.add("mine")
    if (begin) text.classList.add("begins")
    const fate = fateOf(item)
    if (fate) text.append(fate)
    line.append(text)
    return line
  }

  function fateOf(item) {
    if (item.status === "waiting" || item.status === "sending") {
      return el("div", {className: "fate"},
        item.reason ? `Not sent yet: ${item.reason}.` : room().ready ? "Sending…" : "Will be sent when the connection is back.")
    }
    if (item.status !== "failed") return undefined
    const button = (text, act) => el("button", {className: "small", onclick: () => act(item)}, text)
    return el("div", {className: "fate failed"},
      el("span", {}, item.unsure ? `It may not have been sent: ${item.reason}.` : `Not sent: ${item.reason}.`), " ",
      button("Try again", actions.retry), " ", button("Edit", actions.edit), " ", button("Discard", actions.discard))
  }

  function top() {
    const {older, name} = room()
    const li = el("li", {className: "row top"})
    if (older === "failed") {
      li.append("Older messages could not be fetched. ", el("button", {className: "small", onclick: actions.older}, "Try again"))
    } else if (older === "end") {
      li.append("This is as far back as ", el("bdi", {}, display(name)), " goes.")
    } else {
      li.append("Fetching older messages…")
    }
    return li
  }

  return {row, version}
}
