import { serverNow } from './clock.js'
import { isInLine, progress } from './stage.js'
import { count, duration, languageNow, languages, say, speak, timeOfDay } from './words.js'

/**
 * All that is shown.
 * @typedef {object} Shown
 * @property {import('./stage.js').Stage} stage
 * @property {import('./server.js').Entry} [entry]
 * @property {import('./keep.js').Place} place
 * @property {{ busy: boolean, nextAt: number } | null} offline while the server cannot be reached; `nextAt` by our clock
 * @property {string | null} notice what the organizer tells everybody
 * @property {import('./line.js').PublicLine} [line] what everybody was told last
 * @property {number | null} goingAt when they go in by themselves, by our clock
 */

/** Between two polite announcements, ms. */
const SAY_EVERY_MS = 60_000
/** Seconds before the end at which it is said. */
const LAST_S = [60, 30, 10]

/** @param {string} id @returns {any} */
const the = (id) => document.getElementById(id)
const queueName = document.title

/** @type {Shown} */
let shown
let saidAt = 0
let saidLast = Infinity
/** @type {string | undefined} */
let saidStage

/** @param {string} id @param {string | null} text null hides it */
function put(id, text) {
  const element = the(id)
  element.hidden = text === null
  // Only what changes: screen readers and selections are left alone.
  if (text !== null && element.textContent !== text) element.textContent = text
}

/** What is told in words: of this stage, its title and what stands below. */
function words() {
  const { stage, entry } = shown
  const until = entry?.session_expires_at ? timeOfDay(Date.parse(entry.session_expires_at)) : ''
  put('title', say(`${stage}_title`))
  put('lead', stage === 'inside' && !until ? null : say(`${stage}_lead`, { time: until }))
  put('notice', shown.notice)
  put('code', stage === 'blocked' && entry ? `${say('blocked_code')}\n${entry.entry_id}` : null)
}

/** @param {import('./server.js').Entry} entry */
function eta({ eta }) {
  if (!eta) return say('eta_unknown')
  const [from, to] = [Math.floor(eta.earliest_s / 60), Math.ceil(eta.latest_s / 60)]
  return to <= 1 ? say('eta_soon') : say('eta_range', { from: count(Math.max(1, from)), to: count(to) })
}

/** @param {{ from: number, to: number }} range */
function prices({ from, to }) {
  return say(from === to ? 'price' : 'price_range', { from: count(from), to: count(to) })
}

/** The number that matters, and what it counts. @returns {[string, string] | null} */
function figure() {
  const { stage, entry } = shown
  if (!entry) return null
  const left = (/** @type {string | null | undefined} */ at) => (at ? Date.parse(at) - serverNow() : null)
  switch (stage) {
    case 'before': {
      const ms = left(entry.opens_at)
      return ms !== null && ms > 0 ? [duration(ms), say('before_unit')] : [say('drawing'), '']
    }
    case 'waiting':
    case 'near':
    case 'paused': {
      if (entry.rank === null) return null
      return [count(entry.rank), say(entry.rank === 1 ? 'waiting_unit_one' : 'waiting_unit')]
    }
    case 'turn': {
      const ms = left(entry.admission?.expires_at)
      return ms === null ? null : [duration(ms), say('turn_unit')]
    }
    case 'inside': {
      const ms = left(entry.session_expires_at)
      return ms === null ? null : [duration(ms), say('inside_unit')]
    }
  }
  return null
}

/** @param {[string, string | null][]} rows */
function facts(rows) {
  const list = the('facts')
  const text = rows.flatMap(([term, value]) => (value === null ? [] : [[term, value]]))
  list.hidden = text.length === 0
  const flat = text.flat()
  if (flat.join('\n') === list.dataset.text) return
  list.dataset.text = flat.join('\n')
  list.replaceChildren(
    ...text.map(([term, value]) => {
      const [row, dt, dd] = ['div', 'dt', 'dd'].map((name) => document.createElement(name))
      dt.textContent = term
      dd.textContent = value
      row.append(dt, dd)
      return row
    }),
  )
}

function details() {
  const { stage, entry, place, line } = shown
  const inLine = entry && ['waiting', 'near', 'paused'].includes(stage)
  const waits = entry && isInLine(stage)
  const moved = inLine && entry.rank !== null ? Math.max(0, (place.start ?? 0) - (place.least ?? 0)) : 0
  const opens = stage === 'before' && entry?.opens_at
  facts([
    [say('before_at'), opens ? timeOfDay(Date.parse(opens)) : null],
    [say('eta'), inLine && stage !== 'paused' ? eta(entry) : null],
    [say('moved'), moved > 0 ? count(moved) : null],
    [say('all'), waits ? count(entry.waiting) : null],
    [say('number'), waits ? count(entry.ticket) : null],
    [say('prices'), waits && line?.prices ? prices(line.prices) : null],
    [say('seats_left'), waits && line?.seats_left ? count(line.seats_left) : null],
  ])
  const bar = the('bar')
  bar.hidden = !inLine || entry.rank === null
  bar.value = progress(place.start ?? 0, place.least ?? 0)
}

function actions() {
  const { stage, entry, place } = shown
  const turn = stage === 'turn'
  const shop = turn ? entry?.admission?.redirect_url : stage === 'inside' ? place.shop : null
  put('go', turn || shop ? say(turn ? 'go' : 'back') : null)
  the('manually').hidden = !turn
  the('auto').checked = !place.manual
  put(
    'again',
    ['missed', 'ended', 'left', 'done', 'forgotten', 'moved', 'lapsed'].includes(stage) ? say('again') : null,
  )
  const inLine = isInLine(stage)
  put('tell', inLine ? say(place.tells ? 'telling' : 'tell') : null)
  the('tell').disabled = place.tells ?? false
  put('move', inLine ? say('move') : null)
  put('calendar', stage === 'before' && entry?.opens_at ? say('calendar') : null)
  put('leave', inLine || turn ? say('leave') : null)
  put('forget', stage === 'forgotten' || !place.entry ? null : say('forget'))
}

/** What changes by the second. */
function tick() {
  if (!shown) return
  const { stage, entry, place, offline, goingAt } = shown
  const found = figure()
  the('figure').hidden = found === null
  if (found) {
    put('number', found[0])
    put('unit', found[1])
  }
  const soon = goingAt === null ? null : Math.max(1, Math.ceil((goingAt - Date.now()) / 1000))
  put('soon', soon === null ? null : say('turn_soon', { seconds: soon }))
  the('offline').hidden = offline === null
  if (offline) {
    const time = place.at ? timeOfDay(place.at, true) : null
    const seconds = Math.max(1, Math.ceil((offline.nextAt - Date.now()) / 1000))
    put('lost', time ? say(offline.busy ? 'busy' : 'offline', { time }) : say('offline_new'))
    put('retry_in', say('retry_in', { seconds }))
  }
  const number = found && ['waiting', 'near', 'turn', 'before'].includes(stage) ? `${found[0]} · ` : ''
  const title = `${stage === 'turn' ? `${say('turn_title')} · ` : ''}${number}${queueName}`
  if (document.title !== title) document.title = title
  lastSeconds(entry)
}

/** The end of the time to come is said at once. @param {import('./server.js').Entry} [entry] */
function lastSeconds(entry) {
  const at = shown.stage === 'turn' ? entry?.admission?.expires_at : null
  if (!at) return
  const left = Math.ceil((Date.parse(at) - serverNow()) / 1000)
  const mark = LAST_S.findLast((seconds) => left <= seconds)
  if (mark === undefined || mark >= saidLast || left <= 0) return
  saidLast = mark
  put('assertive', say('say_last', { seconds: mark }))
}

/** Says politely where they stand; their turn at once. */
function announce() {
  const { stage, entry } = shown
  if (stage === 'turn' && saidStage !== 'turn') {
    saidLast = Infinity
    put('assertive', say('turn_title'))
  }
  const isNew = saidStage !== undefined && saidStage !== stage
  const rank = entry && ['waiting', 'near'].includes(stage) ? entry.rank : null
  const now = Date.now()
  if (stage !== 'turn' && (isNew || (rank !== null && now - saidAt >= SAY_EVERY_MS))) {
    saidAt = now
    const times = entry?.eta && {
      from: count(Math.floor(entry.eta.earliest_s / 60)),
      to: count(Math.ceil(entry.eta.latest_s / 60)),
    }
    const where = rank === null ? '' : say('say_rank', { rank: count(rank), eta: times ? say('say_eta', times) : '' })
    put('polite', `${isNew ? say(`${stage}_title`) : ''} ${where}`.trim())
  }
  if (saidStage === undefined) saidAt = now
  saidStage = stage
}

function labels() {
  document.documentElement.lang = languageNow()
  put('auto_label', say('auto'))
  put('retry', say('retry'))
  put('leave_sure', say('leave_sure'))
  put('leave_yes', say('leave_yes'))
  put('leave_no', say('leave_no'))
  the('languages').setAttribute('aria-label', say('languages'))
  for (const button of the('languages').children) {
    button.setAttribute('aria-pressed', String(button.dataset.tag === languageNow()))
  }
}

/** The way to a phone, until it is closed. @param {{ link: string, qr: { size: number, path: string } }} handover */
export function showHandover({ link, qr }) {
  put('move_title', say('move_title'))
  put('move_lead', say('move_lead'))
  put('move_link', say('move_link'))
  put('close', say('close'))
  put('link', link)
  the('link').href = link
  const make = (/** @type {string} */ name, /** @type {Record<string, string>} */ attributes) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name)
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
    return element
  }
  const side = qr.size + 8
  const svg = make('svg', { viewBox: `-4 -4 ${side} ${side}`, role: 'img', 'aria-label': 'QR' })
  svg.append(make('path', { d: qr.path, fill: '#000' }))
  the('qr').replaceChildren(svg)
  the('phone').showModal()
}

/** Whether it is still open. */
export const showsHandover = () => the('phone').open
export const closeHandover = () => the('phone').close()

/** @param {Shown} now */
export function show(now) {
  shown = now
  document.documentElement.dataset.stage = now.stage
  words()
  details()
  actions()
  tick()
  announce()
}

/** The page's parts that do not change, and the second's hand. @param {Record<string, () => void>} clicks by id */
export function prepare(clicks) {
  for (const [id, click] of Object.entries(clicks)) the(id).addEventListener('click', click)
  for (const tag of languages()) {
    const button = document.createElement('button')
    button.textContent = LANGUAGES[tag].language
    button.lang = tag
    button.dataset.tag = tag
    button.addEventListener('click', () => {
      speak(tag)
      labels()
      if (shown) show(shown)
    })
    the('languages').append(button)
  }
  the('leave').addEventListener('click', () => the('sure').showModal())
  the('close').addEventListener('click', () => the('phone').close())
  for (const id of ['leave_yes', 'leave_no']) the(id).addEventListener('click', () => the('sure').close())
  labels()
  the('page').hidden = false
  setInterval(tick, 1000)
}

/** Whether they go in by themselves. */
export const goesByItself = () => the('auto').checked
