import { alertPerson, allowAlerts } from './alerts.js'
import { serverNow } from './clock.js'
import { forget, keep, place, watch } from './keep.js'
import { followed, isDue, placeOf } from './line.js'
import { ranked } from './rank.js'
import { ask, follow, Refusal } from './server.js'
import { backOffMs, isInLine, isOver, stageOf } from './stage.js'
import { closeHandover, goesByItself, prepare, show, showHandover, showsHandover } from './view.js'
import { say } from './words.js'

/** Somebody goes in by themselves after that, ms. */
const GO_AFTER_MS = 3_000
/** After a stream that broke, or was refused, it is not tried again for so long, ms. */
const STREAM_PAUSE_MS = 30_000
/** What everybody is told is asked for in that time, ms: an hour of it stays below 300 KB. */
const LINE_MS = { min: 15_000, max: 20_000 }
/** A stream is worth its bytes this near to the turn. */
const STREAM_PEOPLE = 50
const STREAM_S = 180
/** So often somebody tries again as the server has told them. */
const TOLD_TRIES = 8
/** Whether the phone has come is asked for in that time, ms. */
const HANDOVER_MS = 2_000
/** Timers of browsers hold no longer times, ms. */
const TIMER_MS_MAX = 300_000

/** When everybody's document says that it was somebody's turn, they look themselves, but not more often than that, ms. */
const LOOK_EVERY_MS = 10_000

const queuePath = `/v1/queues/${document.documentElement.dataset.queue}`
const entries = `${queuePath}/entries`
/** @type {import('./stage.js').Stage} */
let stage = 'start'
/** @type {import('./server.js').Entry | undefined} */
let entry
let version = 0
let failures = 0
/** @type {{ busy: boolean, nextAt: number } | null} */
let offline = null
/** @type {number | null} */
let goingAt = null
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer
let nextAt = 0
/** @type {AbortController | null} */
let stream = null
let streamFrom = 0
let asking = false
let lookedAt = 0
/** @type {ReturnType<typeof setTimeout> | undefined} */
let lineTimer
/** What the organizer tells everybody. @type {string | null} */
let notice = null
/** What everybody was told last, of what there is to buy above all. @type {import('./line.js').PublicLine | undefined} */
let line

/** What came with the link, behind the `#`: who somebody is, and where they go later. It is gone from the address at once. */
const link = new URLSearchParams(location.hash.slice(1))
if (location.hash) history.replaceState(null, '', location.pathname + location.search)

function draw() {
  show({ stage, entry, place: place(), offline, goingAt, notice, line })
}

/** @param {number} ms */
function later(ms) {
  clearTimeout(timer)
  nextAt = Date.now() + ms
  timer = setTimeout(look, Math.min(ms, TIMER_MS_MAX))
}

/** Looks where somebody stands, and again when they were told to. */
async function look() {
  if (Date.now() < nextAt - 500) return later(nextAt - Date.now())
  if (asking) return
  asking = true
  try {
    const { token, entry: id } = place()
    const found = token && !link.size ? await ask('GET', `${entries}/${id}`, { token }) : await join(token)
    failures = 0
    offline = null
    lookedAt = Date.now()
    take(found)
    if (!isOver(stage)) later(found.poll_after_ms)
  } catch (error) {
    failed(error)
  } finally {
    asking = false
  }
}

/** Meanwhile what everybody is told is enough, and the same bytes for all. @param {number} ms */
function lineLater(ms) {
  clearTimeout(lineTimer)
  lineTimer = setTimeout(lookAtLine, ms)
}

async function lookAtLine() {
  lineTimer = undefined
  if (document.hidden || !entry || !looksAtLine()) return
  try {
    const known = entry.place !== null
    /** @type {import('./line.js').PublicLine} */
    const told = await ask('GET', `${queuePath}/line${known ? '?marks=false' : ''}`)
    line = told
    failures = 0
    offline = null
    const { min, max } = told.poll_after_ms
    const from = Math.max(min, LINE_MS.min)
    lineLater(from + Math.random() * (Math.max(max, LINE_MS.max) - from))
    // A stream is ahead of it.
    if (stream) return take(entry)
    notice = told.notice
    const place = known ? entry.place : await placeOf(entry.ticket, told)
    if (isDue(told, place) && Date.now() - lookedAt > LOOK_EVERY_MS) later(Math.random() * 1000)
    take(followed(entry, told, place))
  } catch (error) {
    // Where somebody stands is asked next; the line is looked at again once that was answered.
    later(lost(error))
    draw()
  }
}

/** Streams tell all but what there is to buy. */
const looksAtLine = () => isInLine(stage) && (!stream || line === undefined || line.prices !== null)

/** The same person has the same place: by the token, by what the shop says of them, or by a key that is kept before it is used. */
async function join(/** @type {string | undefined} */ token) {
  const identity = link.get('t') ?? undefined
  const { key } = place().key ? place() : keep({ key: crypto.getRandomValues(new Uint32Array(4)).join('-') })
  const body = link.has('to') ? { redirect_url: link.get('to') } : {}
  const code = link.get('m')
  const joined = code
    ? await ask('POST', `${queuePath}/handover`, { body: { code } })
    : await ask('POST', entries, { token: identity ?? token, key: identity ? undefined : key, body })
  for (const name of [...link.keys()]) link.delete(name)
  const { waiting_token, ...found } = joined
  if (found.entry_id !== place().entry) forget(false)
  keep({ key, token: waiting_token, entry: found.entry_id })
  return found
}

/** @param {import('./server.js').Entry} found */
function take(found) {
  const before = stage
  const { start, least } = place()
  entry = found
  stage = stageOf(found, place().came ?? false, line?.sold_out ?? false)
  if (found.rank !== null) {
    keep({ start: Math.max(start ?? 0, found.rank), least: Math.min(least ?? Infinity, found.rank) })
  }
  keep({ last: found, at: serverNow() })
  if (found.state === 'active') keep({ came: true })
  if (found.admission?.redirect_url) keep({ shop: found.admission.redirect_url })
  if (stage === 'turn' && before !== 'turn') turn()
  if (stage === 'near' && before === 'waiting') navigator.vibrate?.(100)
  if (stage !== 'turn') goingAt = null
  if (isClose(found)) void watchClosely()
  else stream?.abort()
  if (looksAtLine() && lineTimer === undefined) lineLater(Math.random() * 3000)
  draw()
}

/** @param {import('./server.js').Entry} entry */
function isClose({ rank, eta }) {
  if (stage === 'turn') return true
  return stage === 'near' && rank !== null && (rank < STREAM_PEOPLE || (eta !== null && eta.earliest_s < STREAM_S))
}

function turn() {
  if (place().tells) alertPerson(say('turn_title'))
  if (place().manual) return
  goingAt = Date.now() + GO_AFTER_MS
  setTimeout(() => goingAt !== null && goesByItself() && void go(), GO_AFTER_MS)
}

/** Near the turn the server tells by itself. */
async function watchClosely() {
  if (stream || Date.now() < streamFrom) return
  const control = (stream = new AbortController())
  const { token = '', entry: id } = place()
  try {
    await follow(`${entries}/${id}/events`, token, control.signal, (name, data, at) => {
      if (name === 'entry') {
        version = at
        take(data)
      } else if (name === 'line' && entry) {
        notice = data.notice
        const me = ranked({ place: entry.place, rank: entry.rank, version }, data)
        version = me.version
        take({ ...entry, rank: me.rank, waiting: data.waiting })
      } else if (name === 'end') {
        streamFrom = data.reconnect ? 0 : Infinity
      }
      // The stream is the sign of life; when it is silent, it is looked after.
      later(20_000)
    })
  } catch (error) {
    streamFrom = Date.now() + Math.max(STREAM_PAUSE_MS, error instanceof Refusal ? error.retryMs : 0)
  } finally {
    if (stream === control) stream = null
    if (!isOver(stage)) later(control.signal.aborted ? (entry?.poll_after_ms ?? 5000) : backOffMs(1))
  }
}

/** @param {unknown} error */
function failed(error) {
  const slug = error instanceof Refusal ? error.slug : ''
  const isLost = ['unauthenticated', 'not-found'].includes(slug)
  if (isLost && place().token && !link.size) {
    // The token is of a place that is not there any more: of another installation, say.
    forget(false)
    return later(0)
  }
  const refused = {
    'queue-closed': 'closed',
    'not-found': 'unknown',
    'redirect-not-allowed': 'refused',
    'queue-full': 'full',
  }
  const lapsed = slug === 'not-found' && link.has('m') ? 'lapsed' : undefined
  const known =
    lapsed ?? /** @type {import('./stage.js').Stage | undefined} */ (refused[/** @type {'queue-full'} */ (slug)])
  const isNo = error instanceof Refusal && error.status < 500 && error.status !== 429
  if (known || isNo) {
    stage = known ?? 'refused'
    offline = null
    if (stage === 'full') later(30_000 + Math.random() * 30_000)
    return draw()
  }
  const ms = lost(error)
  const { last, came } = place()
  if (!entry && last) {
    entry = last
    stage = stageOf(last, came ?? false, false)
  }
  later(ms)
  draw()
}

/**
 * The server cannot be reached, or has too much to do: when to try again, ms from now. Who has a place was told when, so that
 * they are back in time and not all at once; when that has failed often, more and more seldom.
 * @param {unknown} error
 */
function lost(error) {
  const told = failures < TOLD_TRIES ? place().last?.retry_after_ms : undefined
  const usual = told ? told.min + Math.random() * (told.max - told.min) : backOffMs(failures)
  failures++
  const ms = Math.max(usual, error instanceof Refusal ? error.retryMs : 0)
  offline = { busy: error instanceof Refusal, nextAt: Date.now() + ms }
  return ms
}

/** Into the shop, with the admission; the time there begins. */
async function go() {
  const { token, entry: id, shop } = place()
  goingAt = null
  if (stage === 'turn') {
    try {
      take(await ask('POST', `${entries}/${id}/claim`, { token, body: {}, keepalive: true }))
    } catch (error) {
      // Whoever cannot be reached now learns of it from the shop; a no is looked at.
      if (error instanceof Refusal && error.status < 500) return later(0)
    }
  }
  if (shop) location.assign(shop)
}

async function leave() {
  const { token, entry: id } = place()
  try {
    take(await ask('DELETE', `${entries}/${id}`, { token }))
  } catch (error) {
    failed(error)
  }
}

/** To a phone, by a code that counts once. This page lets go of the place once it was taken. */
async function move() {
  const { token, entry: id } = place()
  const path = `${entries}/${id}/handover`
  try {
    showHandover(await ask('POST', path, { token, body: { page_url: location.origin + location.pathname } }))
    while (showsHandover()) {
      await new Promise((wake) => setTimeout(wake, HANDOVER_MS))
      if (!(await ask('GET', path, { token })).taken) continue
      closeHandover()
      letGo('moved')
    }
  } catch (error) {
    closeHandover()
    if (!(error instanceof Refusal)) failed(error)
  }
}

function again() {
  for (const name of [...link.keys()]) link.delete(name)
  forget(false)
  stage = 'start'
  entry = undefined
  version = 0
  draw()
  later(0)
}

/** This device has the place no more. @param {'forgotten' | 'moved'} why */
function letGo(why) {
  stream?.abort()
  clearTimeout(timer)
  forget(true)
  stage = why
  entry = undefined
  draw()
}

prepare({
  go: () => void go(),
  again,
  leave_yes: () => void leave(),
  forget: () => letGo('forgotten'),
  move: () => void move(),
  retry: () => later(0),
  tell: () => void allowAlerts().then(() => (keep({ tells: true }), draw())),
  auto: () => {
    keep({ manual: !goesByItself() })
    if (!goesByItself()) goingAt = null
    draw()
  },
})
watch(() => {
  if (place().entry !== entry?.entry_id) later(Math.random() * 500)
})
addEventListener('online', () => {
  later(Math.random() * 1000)
  lineLater(Math.random() * 1000)
})
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return
  if (Date.now() >= nextAt) void look()
  else if (lineTimer === undefined) lineLater(0)
})
addEventListener('pageshow', (event) => event.persisted && later(0))
draw()
later(0)
