// A room of so many that the server only counts them.
import assert from "node:assert/strict"
import {startEdge} from "../js/edge.js"
import {until} from "./chromium.js"
import {story} from "./visitor.js"

story("a crowd is counted, and listed by pages; when it is small again it is listed as ever", async ({t, visit, member}) => {
  const edge = await startEdge(t, "--history=off", "--admit-rate", "10000")
  const name = i => `person ${String(i).padStart(3, "0")}`
  const crowd = [await member(edge.port, name(0))]
  let count
  crowd[0].channel.on("presence_count", payload => { count = payload.count })
  while (crowd.length < 520) crowd.push(...await Promise.all(Array.from({length: Math.min(40, 520 - crowd.length)}, (_, i) => member(edge.port, name(crowd.length + i)))))
  await until("all are counted", () => count === 520, () => count)
  const ann = await visit(`http://127.0.0.1:${edge.port}/`, "ann")
  const {page} = ann
  const names = () => page.locator("#people li .name").allInnerTexts()
  const all = ["ann (you)", ...crowd.map((_, i) => name(i))]
  await ann.shows("#people h2", "521 here")
  for (const shown of [100, 200, 300, 400, 500, 521]) {
    await until(`${shown} names are listed`, async () => (await names()).length === shown, async () => (await names()).length)
    assert.equal(await page.locator("#people > p").innerText(), shown < 521 ? `and ${521 - shown} more` : "")
    if (shown < 521) await page.getByRole("button", {name: "Show more"}).click()
  }
  assert.deepEqual(await names(), all)
  assert.equal(await page.getByRole("button", {name: "Show more"}).isVisible(), false)

  for (const {leave} of crowd.slice(150)) leave()
  await ann.shows("#people h2", "151 here")
  await until("the rest is listed", async () => (await names()).length === 151, names)
  assert.deepEqual(await names(), all.slice(0, 151))
})
