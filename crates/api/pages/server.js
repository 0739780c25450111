import { hearDate } from './clock.js'

/**
 * Somebody in a queue, as `GET /v1/queues/{id}/entries/{entry}` tells.
 * @typedef {object} Entry
 * @property {string} entry_id
 * @property {number} ticket
 * @property {'waiting' | 'admitted' | 'active' | 'finished' | 'expired' | 'left' | 'blocked'} state
 * @property {number | null} rank
 * @property {number | null} place
 * @property {number} waiting
 * @property {{ earliest_s: number, latest_s: number } | null} eta
 * @property {number} poll_after_ms
 * @property {{ min: number, max: number }} [retry_after_ms] when there is no answer
 * @property {'open' | 'paused' | 'closed'} queue_state
 * @property {string | null} opens_at
 * @property {{ expires_at: string, redirect_url: string | null } | null} admission
 * @property {string | null} session_expires_at
 */

/** Longer than that nobody waits for an answer, ms. */
const PATIENCE_MS = 15_000

/** The server's no: its status, its reason's slug, and when it makes sense to try again, ms. */
export class Refusal extends Error {
  /** @param {number} status @param {string} slug @param {number} retryMs */
  constructor(status, slug, retryMs) {
    super(slug)
    this.status = status
    this.slug = slug
    this.retryMs = retryMs
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{ token?: string, key?: string, body?: object, keepalive?: boolean }} [more]
 * @returns {Promise<any>}
 */
export async function ask(method, path, { token, key, body, keepalive } = {}) {
  /** @type {Record<string, string>} */
  const headers = {}
  if (token) headers.Authorization = `Bearer ${token}`
  if (key) headers['Idempotency-Key'] = key
  if (body) headers['Content-Type'] = 'application/json'
  const sent = Date.now()
  const answer = await fetch(path, {
    method,
    headers,
    body: body && JSON.stringify(body),
    keepalive,
    // Caches on the way may answer; what this browser has kept is older than that.
    cache: 'no-cache',
    signal: AbortSignal.timeout(PATIENCE_MS),
  })
  // What caches may keep is of another second.
  if (answer.headers.get('Cache-Control') === 'no-store') hearDate(answer.headers.get('Date'), sent, Date.now())
  if (!answer.ok) throw await refusal(answer)
  return answer.json()
}

/** @param {Response} answer */
async function refusal(answer) {
  const problem = await answer.json().catch(() => ({}))
  const slug =
    String(problem.type ?? '')
      .split('/')
      .pop() ?? ''
  return new Refusal(answer.status, slug, 1000 * Number(answer.headers.get('Retry-After') ?? 0))
}

/**
 * Follows server-sent events until they end. Not by EventSource: that would put the token into the address.
 * @param {string} path
 * @param {string} token
 * @param {AbortSignal} signal
 * @param {(name: string, data: any, id: number) => void} tell
 */
export async function follow(path, token, signal, tell) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` }, signal })
  if (!answer.ok) throw await refusal(answer)
  if (!answer.body) return
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const events = (text + value).split('\n\n')
    text = events.pop() ?? ''
    for (const event of events) {
      const field = (/** @type {string} */ name) => event.match(new RegExp(`^${name}: (.*)$`, 'm'))?.[1]
      const data = field('data')
      if (data) tell(field('event') ?? '', JSON.parse(data), Number(field('id') ?? 0))
    }
  }
}
