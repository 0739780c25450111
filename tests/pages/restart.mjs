// The server is killed while people wait. Whoever runs this kills it when told to, and says where the new one is.
import assert from 'node:assert/strict'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { check, end, stage, visitor } from './browser.mjs'
import { closeShop, queue, url } from './shop.mjs'

/** From the kill on: pages.md. */
const BACK_MS = 10_000
const RELOADS = 20

/** One address for both servers. */
let port = new URL(url).port
const front = createServer((client) => {
  const server = connect(port, '127.0.0.1')
  for (const [one, other] of [
    [client, server],
    [server, client],
  ]) {
    one.pipe(other)
    one.on('error', () => other.destroy())
    one.on('close', () => other.destroy())
  }
})
await new Promise((listening) => front.listen(0, '127.0.0.1', listening))

const { id } = await queue()
const path = `http://127.0.0.1:${front.address().port}/q/${id}`
const people = []
for (let person = 0; person < 4; person++) {
  const someone = await visitor()
  await someone.page.goto(path)
  await stage(someone.page, 'near')
  people.push(someone)
}
const where = ({ page }) =>
  page.evaluate((id) => {
    const { entry, token } = JSON.parse(localStorage.getItem(`onsale.queue.${id}`))
    return { entry, token, number: document.getElementById('number').textContent }
  }, id)
const before = await Promise.all(people.map(where))
assert.deepEqual(
  before.map(({ number }) => number),
  ['0', '1', '2', '3'],
)
for (let reload = 0; reload < RELOADS; reload++) {
  await people[1].page.reload()
  await stage(people[1].page, 'near')
}
assert.deepEqual(await where(people[1]), before[1])
console.log('ok reloads')

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
console.log('kill')
await answers.next()
await Promise.all(people.map(({ page }) => page.locator('#offline').waitFor()))
await check(people[0], 'killed')
console.log('start')
port = new URL((await answers.next()).value).port
const since = Date.now()
await Promise.all(people.map(({ page }) => page.locator('#offline').waitFor({ state: 'hidden' })))
const took = Date.now() - since
assert.deepEqual(await Promise.all(people.map(where)), before)
assert.ok(took < BACK_MS, `${took} ms`)
console.log(`ok back after ${took} ms`)
await end()
front.close()
closeShop()
process.exit()
