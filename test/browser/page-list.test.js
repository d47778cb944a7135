// A long room, in a browser: the page holds what is in sight, and nothing jumps.
import assert from "node:assert/strict"
import {startEdge} from "../js/edge.js"
import {until} from "./chromium.js"
import {story} from "./visitor.js"

process.setMaxListeners(0) // each edge has one

const text = i => `message ${i} ${"and some more words ".repeat(i * 7 % 11)}`

story("10,000 messages stay smooth", async ({t, visit, member}) => {
  const edge = await startEdge(t, "--history", "memory")
  const ann = await visit(`http://127.0.0.1:${edge.port}/`, "ann")
  const members = await Promise.all(Array.from({length: 10}, (_, i) => member(edge.port, `member ${i}`)))
  await ann.page.evaluate(() => {
    window.longest = 0
    new PerformanceObserver(list => { for (const {duration} of list.getEntries()) window.longest = Math.max(window.longest, duration) }).observe({type: "longtask"})
  })
  await Promise.all(members.map(async (member, m) => {
    for (let i = 0; i < 1000; i += 100) { // 100 under way at a time
      await Promise.all(Array.from({length: 100}, (_, j) => member.say(text(m * 1000 + i + j))))
    }
  }))
  await members[0].say("the last one")
  await ann.shows(".body", "the last one")
  await until("the end is in sight", async () => (await ann.where()).toEnd < 5, () => ann.where())
  const receiving = await ann.page.evaluate(() => [window.longest, window.longest = 0][0])

  // The wheel, up and down, for some thousands of pixels; then from end to end.
  const frames = await ann.page.evaluate(async () => {
    const log = document.querySelector("#log"), times = []
    let most = 0
    const step = async by => {
      const begin = performance.now()
      log.scrollTop += by
      await new Promise(requestAnimationFrame)
      times.push(performance.now() - begin)
      most = Math.max(most, document.querySelectorAll("*").length)
    }
    const middle = () => times.sort((a, b) => a - b)[times.length >> 1]
    for (let i = 0; i < 30; i++) await step(0) // what a frame takes here and now
    const still = middle()
    times.length = 0
    for (let i = 0; i < 60; i++) await step(-300)
    for (let i = 0; i < 20; i++) await step(-log.scrollHeight / 25)
    for (let i = 0; i < 60; i++) await step(300)
    return {still, median: middle(), slow: times[Math.floor(times.length * 0.95)], most, height: log.scrollHeight}
  })
  const scrolling = await ann.page.evaluate(() => window.longest)
  t.diagnostic(`longest task: ${receiving} ms receiving, ${scrolling} ms scrolling; a frame takes ${frames.median.toFixed(1)} ms (${frames.still.toFixed(1)} if nothing moves), 95 of 100 take less than ${frames.slow.toFixed(1)}; at most ${frames.most} nodes`)
  assert.ok(frames.height > 200_000, `the list is ${frames.height} px high`)
  assert.ok(frames.most < 1500, `${frames.most} nodes in the page`)
  // What makes it smooth is what was just asserted. The clock only finds what is
  // slow by orders, such as work for each of 10,000 rows in each frame; a machine
  // that does other things is slow too, and then so is a frame in which nothing moves.
  assert.ok(frames.median < 150 + 5 * frames.still, "scrolling is slow")
  await ann.page.keyboard.press("Escape")
  await until("the end is in sight again", async () => (await ann.where()).toEnd < 5, () => ann.where())
})

story("scrolling up fetches the past and keeps its place; what comes meanwhile waits", async ({t, visit, member}) => {
  const edge = await startEdge(t, "--history", "memory")
  const bob = await member(edge.port, "bob")
  for (let i = 0; i < 250; i += 50) await Promise.all(Array.from({length: 50}, (_, j) => bob.say(text(i + j))))
  const ann = await visit(`http://127.0.0.1:${edge.port}/`, "ann")
  await ann.shows(".body", "message 249")
  const {page} = ann
  const first = async () => Number((await ann.where()).text?.match(/\d+/)?.[0])

  await page.locator("#log").hover()
  for (let before = await first(), n = 0; before > 0; n++) {
    assert.ok(n < 300, `still at ${before}`)
    // Without rows above there is nowhere to go: they come soon, and nothing moves.
    await until("what is above is there", () => page.evaluate(() =>
      document.querySelector("#log").scrollTop > 600 || /as far back/.test(document.querySelector(".top")?.textContent)))
    await page.mouse.wheel(0, -1200)
    let now
    await until("it scrolls up", async () => (now = await first()) < before || now === 0, () => [before, now])
    assert.ok(before - now < 80, `it jumps from ${before} to ${now}`)
    before = now
  }
  await ann.shows(".top", "This is as far back as main goes.")

  // All of it, once, in order.
  const seen = []
  for (let n = 0; n < 300 && (await ann.where()).toEnd > 5; n++) {
    for (const body of await ann.bodies()) {
      const i = Number(body.match(/\d+/)[0])
      if (seen.at(-1) === undefined || i > seen.at(-1)) seen.push(i)
    }
    const {toEnd} = await ann.where()
    await page.mouse.wheel(0, 500)
    await until("it scrolls down", async () => (await ann.where()).toEnd < toEnd, () => ann.where())
  }
  assert.deepEqual(seen.slice(0, 245), Array.from({length: 245}, (_, i) => i))

  // Scrolled up, nothing moves, and what is new is counted and marked.
  await page.mouse.wheel(0, -2000)
  await ann.shows("#latest", "↓ Latest")
  const place = await ann.where()
  await bob.say("new one")
  await bob.say("new two")
  await ann.shows("#latest", "↓ 2 new messages")
  const {text: same, y} = await ann.where()
  assert.deepEqual([same, y], [place.text, place.y])
  await page.locator("#latest").click()
  await ann.shows(".mark + .text .body", "new one")
  await ann.lacks("#latest")
  await ann.lacks(".badge")
})
