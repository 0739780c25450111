/**
 * What this device keeps of somebody's place, by queue.
 * @typedef {object} Place
 * @property {string} [key] says who joins until there is a token: the same key finds the same place
 * @property {string} [token] the waiting token
 * @property {string} [entry] the entry's id
 * @property {import('./server.js').Entry} [last] what was told last
 * @property {number} [at] when, by the server's clock, ms
 * @property {number} [start] people before them when they came
 * @property {number} [least] the fewest people before them so far: the bar never goes back
 * @property {string} [shop] where the admission leads to
 * @property {boolean} [came] whether they have gone in
 * @property {boolean} [manual] whether they go in by hand
 * @property {boolean} [tells] whether they want to be told
 */

const queue = document.documentElement.dataset.queue ?? ''
const NAME = `onsale.queue.${queue}`

/** @type {string | null} where there is no storage: as long as the page is open */
let memory = null

/** @returns {Place} */
export function place() {
  try {
    return JSON.parse(localStorage.getItem(NAME) ?? memory ?? '{}')
  } catch {
    return memory === null ? {} : JSON.parse(memory)
  }
}

/** @param {Place} more @returns {Place} */
export function keep(more) {
  const text = JSON.stringify({ ...place(), ...more })
  memory = text
  try {
    localStorage.setItem(NAME, text)
  } catch {
    // Full or forbidden: then it is kept as long as the page is open.
  }
  return JSON.parse(text)
}

/** Forgets the place; what somebody chose stays, unless `all`. @param {boolean} all */
export function forget(all) {
  const { manual, tells } = place()
  memory = null
  try {
    localStorage.removeItem(NAME)
  } catch {
    // There was nothing kept.
  }
  if (!all) keep({ manual, tells })
}

/** Calls back when another tab has changed the place. @param {() => void} changed */
export function watch(changed) {
  addEventListener('storage', (event) => {
    if (event.key === NAME || event.key === null) {
      memory = null
      changed()
    }
  })
}
