/** @typedef {keyof typeof import('./words/en.json')} Word */

const CHOICE = 'onsale.language'

/** @returns {string} */
function chosen() {
  /** @type {string | null} */
  let kept = null
  try {
    kept = localStorage.getItem(CHOICE)
  } catch {
    // Then the browser's languages say.
  }
  const wanted = [kept, ...navigator.languages].map((tag) => tag?.split('-')[0] ?? '')
  return wanted.find((tag) => tag in LANGUAGES) ?? 'en'
}

let language = chosen()

export const languages = () => Object.keys(LANGUAGES)
export const languageNow = () => language

/** @param {string} tag */
export function speak(tag) {
  language = tag
  try {
    localStorage.setItem(CHOICE, tag)
  } catch {
    // Then it is so as long as the page is open.
  }
}

/** What the organizer says otherwise, by language. @type {Record<string, Partial<Record<Word, string>>>} */
const own = JSON.parse(document.documentElement.dataset.texts ?? '{}')

/** @param {Word} word @param {Record<string, string | number>} [values] */
export function say(word, values = {}) {
  const text = own[language]?.[word] ?? LANGUAGES[language][word]
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''))
}

/** @param {number} number */
export const count = (number) => number.toLocaleString(language)

/** By what they are made of: making one takes long, and the time is said each second. @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map()

/** The time of day, and the day where it is another. @param {number} ms @param {boolean} [seconds] */
export function timeOfDay(ms, seconds = false) {
  const at = new Date(ms)
  const today = at.toDateString() === new Date().toDateString()
  const timeStyle = seconds ? 'medium' : 'short'
  const name = `${language} ${timeStyle} ${today}`
  const format =
    formats.get(name) ?? new Intl.DateTimeFormat(language, { ...(today ? {} : { dateStyle: 'medium' }), timeStyle })
  formats.set(name, format)
  return format.format(at)
}

/** `1:02:03`, or with days before it. @param {number} ms */
export function duration(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000))
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0')
  const [days, hours] = [Math.floor(s / 86_400), Math.floor(s / 3600) % 24]
  const rest = `${hours || days ? two(Math.floor(s / 60) % 60) : Math.floor(s / 60) % 60}:${two(s % 60)}`
  const day = () => new Intl.NumberFormat(language, { style: 'unit', unit: 'day', unitDisplay: 'long' }).format(days)
  return (days ? `${day()} ` : '') + (hours || days ? `${hours}:` : '') + rest
}
