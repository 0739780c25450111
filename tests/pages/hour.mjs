// What an hour's wait costs: the page's own script against a real server, with a clock that does not wait.
import assert from 'node:assert/strict'
import { Agent, request } from 'node:http'
import { gunzipSync, gzipSync } from 'node:zlib'
import { Page, pageScript } from './client.mjs'
import { closeShop, queue, url } from './shop.mjs'

/** pages.md */
const BYTES_MAX = 300_000
const HOUR_MS = 3_600_000
/** Numbers are as long as those of so many people. */
const PEOPLE = 1_000_000
const HERE = 250

/** Goes on when it is told to. */
class Clock {
  now = Date.now()
  timers = new Map()
  last = 0
  Date = ((clock) =>
    class extends Date {
      constructor(...given) {
        super(...(given.length ? given : [clock.now]))
      }
      static now() {
        return clock.now
      }
    })(this)

  put(call, ms, every) {
    this.timers.set(++this.last, { call, at: this.now + ms, every })
    return this.last
  }
  setTimeout = (call, ms) => this.put(call, ms)
  setInterval = (call, ms) => this.put(call, ms, ms)
  clearTimeout = (timer) => this.timers.delete(timer)

  /** Runs what is due until then, each with all that follows from it. */
  async run(until, settled) {
    for (;;) {
      const [[id, timer]] = [...this.timers].sort(([, one], [, other]) => one.at - other.at)
      if (timer.at > until) break
      this.now = timer.at
      if (timer.every) timer.at += timer.every
      else this.timers.delete(id)
      timer.call()
      await settled()
    }
    this.now = until
  }
}

let [requests, received, sent, asking] = [0, 0, 0, 0]
const agent = new Agent({ keepAlive: true, maxSockets: 1 })
/** Of names and values in turn: behind a name stand a colon and a space, behind a value an end of line, and there is a first line. */
const heads = (lines) =>
  lines.reduce((bytes, line) => bytes + Buffer.byteLength(line) + 2, 'HTTP/1.1 200 OK'.length + 4)

/** Numbers of a queue of so many, as far as a body has them. */
function ofMany(body) {
  const by = PEOPLE / HERE
  const many = (number) => (typeof number === 'number' ? Math.round(number * by) : number)
  const text = JSON.parse(body)
  for (const name of ['waiting', 'rank', 'place', 'ticket', 'frontier', 'admitted_ever', 'version']) {
    if (text[name] !== undefined) text[name] = many(text[name])
  }
  text.samples = text.samples?.map(([place, rank]) => [many(place), many(rank)])
  return JSON.stringify(text)
}

/** As `fetch`, and counts what goes over the wire. */
async function ask(to, { method, headers = {}, body }) {
  asking += 1
  try {
    const told = { ...headers, 'Accept-Encoding': 'gzip' }
    const answer = await new Promise((answered, failed) => {
      request(to, { method, headers: told, agent }, answered).on('error', failed).end(body)
    })
    const chunks = []
    for await (const chunk of answer) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    const zipped = answer.headers['content-encoding'] === 'gzip'
    const text = zipped ? gunzipSync(bytes) : bytes
    const many = ofMany(text)
    requests += 1
    received +=
      heads(answer.rawHeaders) + Math.max(bytes.length, zipped ? gzipSync(many, { level: 1 }).length : many.length)
    sent += heads(Object.entries(told).flat()) + Buffer.byteLength(body ?? '')
    return new Response(text, { status: answer.statusCode, headers: { ...answer.headers, 'content-encoding': '' } })
  } finally {
    asking -= 1
  }
}

const moment = () => new Promise((later) => setImmediate(later))
async function settled() {
  do await moment()
  while (asking > 0)
  // What it does with the answer.
  await moment()
}

const { id, crowd } = await queue({ policy: { rate: { count: 1, interval_s: 60 } } })
await crowd(HERE)
const clock = new Clock()
const page = new Page(await pageScript(url, id), { server: { url }, id, clock, ask })
await clock.run(clock.now + 5_000, settled)
assert.equal(page.stage, 'waiting', page.stage)
const [from, loaded] = [clock.now, received]
await clock.run(from + HOUR_MS, settled)
assert.equal(page.stage, 'waiting', page.stage)
assert.ok(requests > 100, `${requests} requests are no hour`)
assert.ok(received <= BYTES_MAX, `${received} bytes`)
console.log(
  `ok an hour: ${received} bytes came in ${requests} answers, ${loaded} of them at first; ${sent} bytes of our own went`,
)
page.close()
agent.destroy()
closeShop()
