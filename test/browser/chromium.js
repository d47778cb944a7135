// The browser of a test file: Debian's Chromium, with a profile of its own, which
// goes when it is closed.
import {mkdtemp, rm} from "node:fs/promises"
import {tmpdir} from "node:os"
import {join} from "node:path"
import {after, before} from "node:test"
import {setTimeout as sleep} from "node:timers/promises"
import {chromium} from "playwright-core"

export let browser
let home

before(async () => {
  home = await mkdtemp(join(tmpdir(), "browser-"))
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    timeout: 90_000,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--disable-smooth-scrolling", // what the wheel moves has moved
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"], // it calls nobody else
    env: {...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home},
  })
})

after(async () => {
  await browser?.close()
  await rm(home, {recursive: true, force: true, maxRetries: 10, retryDelay: 200}) // its helpers may still write
})

// patience is how long anything is waited for, in ms: a machine may be slow, or
// busy with other things.
export const patience = 60_000

export async function until(what, done, found = () => "") {
  const end = Date.now() + patience
  while (!await done()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}: ${JSON.stringify(await found())}`)
    await sleep(50)
  }
}

// load goes to an address, or loads the page again if there is none. When the
// network of the machine changes, as when a container starts, Chromium gives up
// what it fetches, from 127.0.0.1 too: then it is loaded once more.
export async function load(page, url) {
  let changed
  const note = request => { changed ||= networkChanged.test(request.failure()?.errorText) }
  page.on("requestfailed", note)
  do {
    changed = false
    await (url ? page.goto(url) : page.reload()).catch(err => {
      if (!networkChanged.test(err.message)) throw err
      changed = true
    })
  } while (changed)
  page.off("requestfailed", note)
}

export const networkChanged = /net::ERR_NETWORK_CHANGED/
