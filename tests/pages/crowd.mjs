// Many pages wait, driven by the page's own script, while they are loaded again and the server is killed. Whoever runs this
// kills it when told to, and says where the new one is.
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Page, cheapFetch, pageScript, realClock } from './client.mjs'
import { closeShop, queue, url } from './shop.mjs'

const PEOPLE = Number(process.env.ONSALE_TEST_PEOPLE)
const RELOADS = Number(process.env.ONSALE_TEST_RELOADS)
/** From when there is a server again: pages.md. */
const BACK_MS = 10_000
/** For what should be over in a moment. */
const PATIENCE_MS = 60_000
/** Pages that are loaded at the same time. */
const TOGETHER = 50

const server = { url }
// One an hour: the first has gone in, and nobody else does. Whoever waits for long asks seldom.
const { id, crowd } = await queue({ policy: { rate: { count: 1, interval_s: 3_600 } } })
await crowd(1)
const script = await pageScript(url, id)
/** The second's hand only draws; on so many faces that is most of the work, and nobody sees it. */
const clock = { ...realClock, setInterval: () => undefined }
const cheap = cheapFetch(new Agent({ keepAlive: true, maxSockets: 500 }))
const pages = []
/** Whose page had an answer from the server that is there now. */
const answered = new Set()

function open(one, storage) {
  const ask = async (...request) => {
    const answer = await cheap(...request)
    answered.add(one)
    return answer
  }
  pages[one] = new Page(script, { server, id, storage, clock, ask })
}

const inLine = (page) => ['waiting', 'near'].includes(page.stage) && page.element('number').textContent !== ''

async function until(what, holds) {
  const from = Date.now()
  while (!holds()) {
    assert.ok(
      Date.now() - from < PATIENCE_MS,
      `${what}: ${pages.filter((page) => !inLine(page)).length} are not in line`,
    )
    await sleep(20)
  }
  return Date.now() - from
}

/** Loads so many pages of different people again, some at a time; each is at its place. */
async function reload(count, before) {
  for (let done = 0; done < count; done += TOGETHER) {
    const some = Array.from({ length: Math.min(TOGETHER, count - done) }, (_, index) => (done + index) % PEOPLE)
    for (const one of some) {
      pages[one].close()
      open(one, pages[one].storage)
    }
    await until('loaded again', () => some.every((one) => inLine(pages[one])))
    for (const one of some) assert.deepEqual(pages[one].place, before[one], `${one} after a reload`)
  }
}

while (pages.length < PEOPLE) {
  const some = Math.min(TOGETHER, PEOPLE - pages.length)
  for (let one = 0; one < some; one++) open(pages.length)
  await until('joined', () => pages.slice(-some).every(inLine))
}
const before = pages.map((page) => page.place)
assert.equal(new Set(before.map(({ entry }) => entry)).size, PEOPLE)
assert.deepEqual(
  before.map(({ number }) => Number(number.replaceAll(',', ''))).sort((one, other) => one - other),
  Array.from({ length: PEOPLE }, (_, rank) => rank),
)
console.log(`ok ${PEOPLE} pages wait`)
await reload(RELOADS / 2, before)
console.log(`ok ${RELOADS / 2} reloads`)

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
console.log('kill')
await answers.next()
const killed = Date.now()
for (const page of pages) page.online()
answered.clear()
// Where a start takes less than a second most would not have looked before it.
const lost = () => pages.filter((page) => page.isOffline).length
await until('offline', () => lost() > PEOPLE / 2)
const offline = lost()
console.log('start')
server.url = (await answers.next()).value
const started = Date.now()
await until('back', () => pages.every((page, one) => answered.has(one) && !page.isOffline && inLine(page)))
const [sinceKill, sinceStart] = [Date.now() - killed, Date.now() - started]
for (const [one, page] of pages.entries()) assert.deepEqual(page.place, before[one], `${one} after the kill`)
const back = `${sinceKill} ms after the kill, ${sinceStart} ms after the start`
console.log(`ok ${PEOPLE} pages are back ${back}; ${offline} had found nobody`)
assert.ok(sinceStart < BACK_MS, `${sinceStart} ms`)
await reload(RELOADS / 2, before)
console.log(`ok ${RELOADS / 2} reloads after it`)
closeShop()
process.exit()
