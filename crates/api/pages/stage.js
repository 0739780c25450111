/**
 * What a page shows, by what the server told.
 * @typedef {'start' | 'before' | 'waiting' | 'near' | 'paused' | 'turn' | 'inside' | 'missed' | 'ended' | 'left' | 'done'
 *   | 'sold_out' | 'closed' | 'full' | 'blocked' | 'unknown' | 'forgotten' | 'moved' | 'lapsed' | 'refused'} Stage
 */

/** So few people, or so little time, is near. */
const NEAR_PEOPLE = 200
const NEAR_S = 60

/**
 * @param {import('./server.js').Entry} entry
 * @param {boolean} came whether they have gone in
 * @param {boolean} isSoldOut whether there is nothing to go in for
 * @returns {Stage}
 */
export function stageOf(entry, came, isSoldOut) {
  switch (entry.state) {
    case 'admitted':
      return 'turn'
    case 'active':
      return 'inside'
    case 'finished':
      return 'done'
    case 'expired':
      return came ? 'ended' : 'missed'
    case 'left':
    case 'blocked':
      return entry.state
  }
  if (entry.queue_state !== 'open') return entry.queue_state
  if (isSoldOut) return 'sold_out'
  if (entry.opens_at !== null || entry.rank === null) return 'before'
  const soon = entry.eta !== null && entry.eta.latest_s < NEAR_S
  return entry.rank < NEAR_PEOPLE || soon ? 'near' : 'waiting'
}

/** Whether somebody has a place and waits with it. @param {Stage} stage */
export function isInLine(stage) {
  return ['before', 'waiting', 'near', 'paused', 'sold_out'].includes(stage)
}

/** Whether there is nothing more to ask about. @param {Stage} stage */
export function isOver(stage) {
  return ['missed', 'ended', 'left', 'done', 'closed', 'unknown', 'forgotten', 'moved', 'lapsed', 'refused'].includes(
    stage,
  )
}

/**
 * From none to all of the way, and never back.
 * @param {number} start people before them when they came
 * @param {number} least the fewest so far
 */
export function progress(start, least) {
  return start > 0 ? Math.min(1, Math.max(0, 1 - least / start)) : 1
}

/** How long to wait after so many tries that failed, ms: 1 s to 30 s, each its own. @param {number} failures */
export function backOffMs(failures) {
  const most = Math.min(30_000, 1000 * 2 ** failures)
  return Math.round(1000 + Math.random() * (most - 1000))
}
