/** The server's clock, as far as its answers tell: what it says and what ours says, ms. */
let least = -Infinity
let most = Infinity

/**
 * An answer's `Date`: a whole second, and the answer was made within it, between sending and receiving.
 * @param {string | null} date
 * @param {number} sent
 * @param {number} received
 */
export function hearDate(date, sent, received) {
  const at = Date.parse(date ?? '')
  if (Number.isNaN(at)) return
  const [low, high] = [at - received, at + 1000 - sent]
  least = Math.max(least, low)
  most = Math.min(most, high)
  // Somebody has set a clock meanwhile: only the last answer counts.
  if (least > most) [least, most] = [low, high]
}

/** The server's time, ms. */
export function serverNow() {
  return Date.now() + (Number.isFinite(least) ? Math.round((least + most) / 2) : 0)
}
