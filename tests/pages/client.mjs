// The queue's page without a browser: its script as the server sends it, and as much of a browser around it as that uses. So
// thousands of pages fit into one process, and an hour into a second.
import { request } from 'node:http'

/** The script of a queue's page, ready to be run as often as there are pages. */
export async function pageScript(url, id) {
  const page = await (await fetch(`${url}/q/${id}`)).text()
  const [path] = page.match(/\/q\/assets\/\w+\.js/)
  const script = await (await fetch(url + path)).text()
  // The texts come first, in a line of their own: all pages share them.
  const texts = script.slice(0, script.indexOf('\n'))
  return new Function(`'use strict'\n${texts}\nreturn function (${BROWSER}) {\n${script.slice(texts.length)}\n}`)()
}

/** What it finds around itself. What is not named here is Node's own. */
const BROWSER = [
  'document',
  'localStorage',
  'location',
  'history',
  'navigator',
  'window',
  'addEventListener',
  'fetch',
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'Date',
]

/** As much of `fetch` as pages use, at a third of its price. Streams of events are `fetch`'s own. @param {Agent} agent */
export function cheapFetch(agent) {
  return async (to, { method, headers = {}, body, signal }) => {
    if (to.endsWith('/events')) return fetch(to, { headers, signal })
    const answer = await new Promise((answered, failed) => {
      request(to, { method, headers, agent, signal }, answered).on('error', failed).end(body)
    })
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) text += chunk
    return {
      ok: answer.statusCode < 300,
      status: answer.statusCode,
      headers: { get: (name) => answer.headers[name.toLowerCase()] ?? null },
      json: async () => JSON.parse(text),
    }
  }
}

/** Time as it is. */
export const realClock = {
  Date,
  setTimeout: (call, ms) => setTimeout(call, ms),
  clearTimeout: (timer) => clearTimeout(timer),
  setInterval: (call, ms) => setInterval(call, ms),
}

class Element {
  hidden = false
  textContent = ''
  dataset = {}
  children = []
  listeners = {}
  addEventListener(name, call) {
    this.listeners[name] = call
  }
  setAttribute() {}
  append(...children) {
    this.children.push(...children)
  }
  replaceChildren(...children) {
    this.children = children
  }
  showModal() {
    this.open = true
  }
  close() {
    this.open = false
  }
}

/** Somebody's page; what `storage` keeps outlives it, as a browser's does. */
export class Page {
  /**
   * @param {Function} script
   * @param {{ server: { url: string }, id: string, storage?: Map<string, string>, clock?: typeof realClock, ask?: typeof fetch }} of
   */
  constructor(script, { server, id, storage = new Map(), clock = realClock, ask = fetch }) {
    Object.assign(this, {
      id,
      storage,
      elements: new Map(),
      listeners: {},
      timers: new Set(),
      closed: new AbortController(),
    })
    const root = Object.assign(new Element(), { dataset: { queue: id, texts: '{}' } })
    this.root = root
    const document = {
      documentElement: root,
      title: 'Queue',
      hidden: false,
      getElementById: (name) => this.element(name),
      createElement: () => new Element(),
      createElementNS: () => new Element(),
      addEventListener: () => {},
    }
    const localStorage = {
      getItem: (name) => storage.get(name) ?? null,
      setItem: (name, text) => storage.set(name, text),
      removeItem: (name) => storage.delete(name),
    }
    const navigator = { languages: ['en'] }
    const location = { hash: '', pathname: `/q/${id}`, search: '', origin: server.url, assign: () => {} }
    const listen = (name, call) => (this.listeners[name] = call)
    const keptTimer = (timer) => (this.timers.add(timer), timer)
    const endTimer = (timer) => (this.timers.delete(timer), clock.clearTimeout(timer))
    this.clearTimeout = endTimer
    script(
      document,
      localStorage,
      location,
      { replaceState: () => {} },
      navigator,
      {},
      listen,
      (path, { signal, ...more }) =>
        ask(server.url + path, {
          ...more,
          signal: signal ? AbortSignal.any([signal, this.closed.signal]) : this.closed.signal,
        }),
      (call, ms) => keptTimer(clock.setTimeout(call, ms)),
      endTimer,
      (call, ms) => keptTimer(clock.setInterval(call, ms)),
      clock.Date,
    )
  }

  element(name) {
    if (!this.elements.has(name)) this.elements.set(name, new Element())
    return this.elements.get(name)
  }

  get stage() {
    return this.root.dataset.stage
  }

  get isOffline() {
    return !this.element('offline').hidden
  }

  /** What this device keeps. */
  get kept() {
    return JSON.parse(this.storage.get(`onsale.queue.${this.id}`) ?? '{}')
  }

  /** Who they are, and where they stand as they see it. */
  get place() {
    const { entry, token, last } = this.kept
    return { entry, token, ticket: last?.ticket, number: this.element('number').textContent }
  }

  /** As when a browser finds its network again. */
  online() {
    this.listeners.online()
  }

  /** The tab is gone. */
  close() {
    this.closed.abort()
    for (const timer of this.timers) this.clearTimeout(timer)
  }
}
