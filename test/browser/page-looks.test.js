// How the page looks, and whether everybody can use it. SHOTS=DIR keeps pictures.
import assert from "node:assert/strict"
import {createRequire} from "node:module"
import {readFile} from "node:fs/promises"
import {join} from "node:path"
import {startEdge} from "../js/edge.js"
import {phone, story} from "./visitor.js"

process.setMaxListeners(0) // each edge has one

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

// usable asks axe whether anything of weight is wrong.
async function usable(page, what) {
  await page.evaluate(axe)
  const {violations} = await page.evaluate(() => axe.run(document, {resultTypes: ["violations"]}))
  assert.deepEqual(violations.filter(({impact}) => impact === "serious" || impact === "critical")
    .map(({id, nodes}) => [id, ...nodes.slice(0, 3).map(({html, failureSummary}) => `${html} ${failureSummary}`)]), [], what)
  if (process.env.SHOTS) await page.screenshot({path: join(process.env.SHOTS, `${what}.png`)})
}

for (const [device, options] of [["desktop", {viewport: {width: 1280, height: 800}}], ["phone", phone]]) {
  story(`on a ${device}, light and dark, it is usable`, async ({t, visit, member}) => {
    const edge = await startEdge(t, "--history", "memory")
    const url = `http://127.0.0.1:${edge.port}/`
    const mira = await member(edge.port, "Mira Okafor"), jon = await member(edge.port, "jon")
    const elsewhere = await member(edge.port, "jon", "release")
    await mira.say("Good morning! Edge 3 was restarted at 06:40, and nobody noticed.")
    await mira.say("As it should be.")
    await jon.say("I noticed. In the log, that is: its clients were back after 40 ms.")
    await (await member(edge.port, "Sam de Vries")).say("The numbers are in https://example.com/reports/restart (the second table is the one to read).")
    const ann = await visit(url, "Ann Lee", {...options, reducedMotion: "reduce", trouble: true})
    const {page} = ann
    for (const [room, people] of [["release", "2 here"], ["coffee", "1 here"]]) {
      if (device === "phone") await page.locator("#show-rooms").click()
      await page.locator("#add").fill(room)
      await page.locator("#add").press("Enter")
      await ann.shows("#show-people, #people h2", people) // what is said before that is not unread
    }
    await page.goBack()
    await page.goBack()
    await ann.shows("#room h2", "main")
    await ann.say("Do we write it up? I can take the part about presence.\nAnd what happens when two edges go at once.")
    await jon.say("Yes please. I would begin with the picture: one order, one path, one way to repair it.")
    await elsewhere.say("rc2 is out")
    await elsewhere.say("tagging now")
    await ann.shows(device === "phone" ? "#show-rooms .badge" : ".unread .badge", "2")
    await ann.seesTyping("Mira Okafor is typing…", () => mira.channel.push("typing", {typing: true}))
    await ann.lacks(".fate")
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({colorScheme})
      await usable(page, `${device}-${colorScheme}`)
      if (device === "phone") {
        for (const panel of ["rooms", "people"]) {
          await page.locator(`#show-${panel}`).click()
          await usable(page, `${device}-${colorScheme}-${panel}`)
          await page.keyboard.press("Escape")
          assert.equal(await page.evaluate(() => document.activeElement.id), `show-${panel}`)
        }
      }
    }
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it is wider than the window")

    await edge.stop("SIGKILL")
    await ann.say("Said while the server is away.")
    await ann.shows("#banner", "The server cannot be reached.")
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({colorScheme})
      await usable(page, `${device}-lost-${colorScheme}`)
    }
    await page.evaluate(() => localStorage.clear())
  })
}

story("with the keyboard alone one enters, writes, changes rooms and leaves them", async ({t, visit}) => {
  const edge = await startEdge(t, "--history", "memory")
  const ann = await visit(`http://127.0.0.1:${edge.port}/`, "ann")
  const {page} = ann
  const focused = () => page.evaluate(() => document.activeElement.ariaLabel || document.activeElement.id || document.activeElement.textContent)
  assert.equal(await focused(), "Message")
  await page.keyboard.type("hello")
  await page.keyboard.press("Enter")
  await ann.sees("hello")
  for (const want of ["Messages in main", "rename", "Join", "add", "Leave main", "main"]) {
    await page.keyboard.press("Shift+Tab")
    if (await focused() === "Rooms") await page.keyboard.press("Shift+Tab")
    if (/here$/.test(await focused())) await page.keyboard.press("Shift+Tab")
    assert.equal(await focused(), want)
  }
  // A word that is being composed is not sent by the Enter that ends it.
  await page.locator("#text").focus()
  const cdp = await page.context().newCDPSession(page)
  await cdp.send("Input.imeSetComposition", {text: "にほん", selectionStart: 3, selectionEnd: 3})
  await page.evaluate(() => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true})))
  await cdp.send("Input.insertText", {text: "日本"})
  assert.equal(await page.locator("#text").inputValue(), "日本")
  await page.keyboard.press("Enter")
  await ann.sees("hello", "日本")
})
