import { between } from './rank.js'

/**
 * What everybody is told, as `GET /v1/queues/{id}/line` documents it.
 * @typedef {object} PublicLine
 * @property {'open' | 'paused' | 'closed'} queue_state
 * @property {boolean} opened
 * @property {string | null} opens_at
 * @property {number} waiting
 * @property {number | null} frontier
 * @property {[number, number][]} samples
 * @property {{ seed: string, sealed: string, last_ticket: number, drawn: number, marks: number[] | null } | null} draw
 * @property {string | null} notice
 * @property {{ from: number, to: number } | null} prices
 * @property {number | null} seats_left
 * @property {boolean} sold_out
 * @property {{ min: number, max: number }} poll_after_ms
 */

/**
 * Where somebody who waits stands, from what everybody is told.
 * @param {import('./server.js').Entry} entry
 * @param {PublicLine} line
 * @param {number | null} place theirs, as far as it is known
 * @returns {import('./server.js').Entry}
 */
export function followed(entry, line, place) {
  const now = { ...entry, waiting: line.waiting, queue_state: line.queue_state, opens_at: line.opens_at }
  // Before there is an order there are no ranks; of those who were put first only their own entry tells.
  if (!line.opened || place === null || place < 0) return now
  const rank = between(line.samples, place) ?? entry.rank
  const shorter = rank !== null && entry.rank ? rank / entry.rank : 1
  const eta = entry.eta && {
    earliest_s: Math.round(entry.eta.earliest_s * shorter),
    latest_s: Math.round(entry.eta.latest_s * shorter),
  }
  return { ...now, rank, eta }
}

/** Whether it was their turn, unless they came back later. @param {PublicLine} line @param {number | null} place */
export function isDue(line, place) {
  return place !== null && place >= 0 && line.frontier !== null && place < line.frontier
}

/**
 * The place of a ticket, to within a few where many were drawn; null where this browser cannot tell.
 * @param {number} ticket
 * @param {PublicLine} line
 */
export async function placeOf(ticket, line) {
  if (!line.opened) return null
  if (!line.draw) return ticket - 1
  const { seed, sealed, last_ticket, drawn, marks } = line.draw
  if (ticket > last_ticket) return drawn + ticket - last_ticket - 1
  // Without TLS browsers have no hashes: then the entry tells, a moment later.
  if (!marks || !globalThis.crypto?.subtle) return null
  const hex = (seed + sealed).match(/../g) ?? []
  const bytes = new Uint8Array([...hex.map((two) => parseInt(two, 16)), ...new TextEncoder().encode(String(ticket))])
  const lot = new DataView(await crypto.subtle.digest('SHA-256', bytes)).getUint32(0)
  const at = (/** @type {number} */ index) => Math.floor((index * drawn) / marks.length)
  /** @type {[number, number][]} */
  const places = [
    [0, 0],
    ...marks.map((mark, index) => /** @type {[number, number]} */ ([mark, at(index)])),
    [2 ** 32, drawn],
  ]
  return Math.min(drawn - 1, between(places, lot) ?? 0)
}
