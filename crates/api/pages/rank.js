/** The rank that follows from what everybody is told, as docs/guides/queue.md says. */

/**
 * @typedef {{ place: number | null, rank: number | null, version: number }} Ranked
 * @typedef {object} Line
 * @property {number} version
 * @property {number | null} frontier
 * @property {number} first
 * @property {[number, number, number][]} [moves]
 * @property {[number, number][] | null} samples
 */

/** @param {Ranked} me @param {Line} line @returns {Ranked} */
export function ranked(me, line) {
  let { place, rank, version } = me
  if (place !== null && rank !== null) {
    for (const [at, behind, by] of line.moves ?? []) if (at > version && behind < place) rank += by
    if (line.samples && place >= 0) rank = between(line.samples, place) ?? rank
    if (place >= 0 && (line.frontier === null || place < line.frontier)) rank = line.first
  }
  return { place, rank, version: Math.max(version, line.version) }
}

/**
 * On the line through the samples around `at`.
 * @param {[number, number][]} samples
 * @param {number} at
 */
export function between(samples, at) {
  if (samples.length < 2) return samples[0]?.[1]
  const found = samples.findIndex(([place]) => place >= at)
  const after = found < 0 ? samples.length - 1 : Math.max(1, found)
  const [[from, low], [to, high]] = [samples[after - 1], samples[after]]
  return to === from ? high : Math.max(0, Math.round(low + ((high - low) * (at - from)) / (to - from)))
}
