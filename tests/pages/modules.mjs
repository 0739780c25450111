// What the page computes, without a browser.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { hearDate, serverNow } from '../../crates/api/pages/clock.js'
import { followed, isDue, placeOf } from '../../crates/api/pages/line.js'
import { between, ranked } from '../../crates/api/pages/rank.js'
import { backOffMs, isInLine, progress, stageOf } from '../../crates/api/pages/stage.js'

const entry = { state: 'waiting', rank: 500, place: 600, ticket: 7, queue_state: 'open', opens_at: null, eta: null }

function stages() {
  const table = [
    [{}, 'waiting'],
    [{ rank: 199 }, 'near'],
    [{ eta: { earliest_s: 10, latest_s: 59 } }, 'near'],
    [{ eta: { earliest_s: 10, latest_s: 60 } }, 'waiting'],
    [{ rank: null, opens_at: '2099-01-01T00:00:00Z' }, 'before'],
    [{ rank: null }, 'before'],
    [{ queue_state: 'paused' }, 'paused'],
    [{ queue_state: 'closed' }, 'closed'],
    [{ state: 'admitted', queue_state: 'closed' }, 'turn'],
    [{ state: 'active' }, 'inside'],
    [{ state: 'finished' }, 'done'],
    [{ state: 'expired' }, 'missed'],
    [{ state: 'left' }, 'left'],
    [{ state: 'blocked' }, 'blocked'],
  ]
  for (const [given, stage] of table) {
    assert.equal(stageOf({ ...entry, ...given }, false, false), stage, JSON.stringify(given))
    // Who waits has nothing to wait for, unless the queue says something that matters more; who is in is in.
    const soldOut = isInLine(stage) && stage !== 'paused' ? 'sold_out' : stage
    assert.equal(stageOf({ ...entry, ...given }, false, true), soldOut, JSON.stringify(given))
  }
  assert.equal(stageOf({ ...entry, state: 'expired' }, true, false), 'ended')
  assert.deepEqual([progress(0, 0), progress(100, 100), progress(100, 25), progress(100, 0)], [1, 0, 0.75, 1])
  for (let failures = 0; failures < 100; failures++) {
    const ms = backOffMs(failures)
    assert.ok(ms >= 1000 && ms <= 30_000, `${failures}: ${ms}`)
  }
}

function ranks() {
  const me = { place: 10, rank: 10, version: 5 }
  const line = { version: 8, frontier: 0, first: 0, samples: null }
  const moves = [
    [5, 0, -1],
    [6, 3, -1],
    [7, 10, -1],
    [8, 9, -2],
  ]
  assert.deepEqual(ranked(me, { ...line, moves }), { place: 10, rank: 7, version: 8 })
  const samples = [
    [0, 0],
    [8, 4],
    [16, 12],
  ]
  assert.equal(ranked(me, { ...line, samples }).rank, 6)
  assert.equal(ranked(me, { ...line, frontier: 11, first: 2, moves }).rank, 2)
  assert.equal(ranked({ place: null, rank: null, version: 0 }, { ...line, moves }).rank, null)
  assert.deepEqual(
    [0, 8, 12, 40].map((at) => between(samples, at)),
    [0, 4, 8, 36],
  )
  assert.equal(between([], 3), undefined)
}

async function lines() {
  const line = {
    queue_state: 'open',
    opened: true,
    opens_at: null,
    waiting: 900,
    frontier: 200,
    notice: null,
    draw: null,
  }
  line.samples = [
    [200, 0],
    [1000, 800],
  ]
  const eta = { earliest_s: 500, latest_s: 1000 }
  const found = followed({ ...entry, eta }, line, 600)
  assert.deepEqual([found.rank, found.waiting, found.eta.latest_s], [400, 900, 800])
  assert.equal(followed({ ...entry, rank: 0, place: -1 }, line, -1).rank, 0)
  assert.deepEqual(
    [isDue(line, 199), isDue(line, 200), isDue(line, -1), isDue(line, null)],
    [true, false, false, false],
  )

  // A draw as the server makes it: everybody finds their place, exactly where there are marks enough.
  const [seed, sealed] = ['ab'.repeat(32), 'cd'.repeat(32)]
  const hash = (ticket) =>
    createHash('sha256')
      .update(Buffer.from(seed + sealed, 'hex'))
      .update(String(ticket))
      .digest()
  const order = Array.from({ length: 500 }, (_, index) => index + 1).sort((a, b) => Buffer.compare(hash(a), hash(b)))
  const marks = order.map((ticket) => hash(ticket).readUInt32BE())
  line.draw = { seed, sealed, last_ticket: 500, drawn: 500, marks }
  for (const [place, ticket] of order.entries()) assert.equal(await placeOf(ticket, line), place)
  assert.equal(await placeOf(503, line), 502)
  assert.equal(await placeOf(7, { ...line, opened: false }), null)
  assert.equal(await placeOf(7, { ...line, draw: null }), 6)
  const coarse = marks.filter((_, index) => index % 10 === 0)
  for (const [place, ticket] of order.entries()) {
    const near = await placeOf(ticket, { ...line, draw: { ...line.draw, marks: coarse } })
    assert.ok(Math.abs(near - place) <= 10, `${near} is not ${place}`)
  }
}

function clocks() {
  const error = () => serverNow() - Date.now()
  // The server is ten minutes ahead of us; each answer was on the way for 100 ms.
  for (const at of [1_000_000_000_000, 1_000_000_000_730, 1_000_000_001_400]) {
    const date = new Date(Math.floor((at + 600_000) / 1000) * 1000).toUTCString()
    hearDate(date, at - 50, at + 50)
  }
  assert.ok(Math.abs(error() - 600_000) < 400, String(error()))
  hearDate(null, 0, 0)
  // Our clock was set.
  hearDate(new Date(2_000_000_000_000).toUTCString(), 1_999_999_999_900, 2_000_000_000_000)
  assert.ok(Math.abs(error()) < 1_000, String(error()))
}

stages()
ranks()
await lines()
clocks()
for (const what of ['stages', 'ranks', 'lines', 'clocks']) console.log(`ok ${what}`)
