// What stands around the page: the organizer, who asks the server as any program does, and the shop that people come to.
import { createServer } from 'node:http'
import { ask, url } from './organizer.mjs'

export { url } from './organizer.mjs'

/** A shop: what it was asked for, newest last. */
export const visits = []
const shop = createServer((request, response) => {
  if (request.url !== '/favicon.ico') visits.push({ url: request.url, referer: request.headers.referer })
  // A page of the shop's that shows another one in a frame.
  const framed = request.url.startsWith('/frame?') && decodeURIComponent(request.url.slice('/frame?'.length))
  const frame = framed ? `<iframe title="Queue" width="390" height="700" src="${framed}"></iframe>` : ''
  const page = `<!doctype html><html lang="en"><title>Shop</title><main><h1>Shop</h1>${frame}</main></html>`
  response.setHeader('Content-Type', 'text/html').end(page)
})
await new Promise((listening) => shop.listen(0, '127.0.0.1', listening))
export const shopUrl = `http://127.0.0.1:${shop.address().port}/seats?tour=7`
export const shopOrigin = new URL(shopUrl).origin

const rows = ['1', '2'].map((row) => ({ row, grade: 'VIP', seat_count: 40 }))
const chart = {
  sections: [{ section: 'A', rows }],
  areas: [{ area: 'Floor', grade: 'R', capacity: 1_200 }],
}
const seats = rows.flatMap(({ row }) => Array.from({ length: 40 }, (_, seat) => `A-${row}-${seat + 1}`))

export async function queue(more = {}) {
  const body = { name: 'Autumn Tour 2026', redirect_urls: [shopUrl], policy: { manual: true }, ...more }
  const { queue_id: id } = await ask('POST', '/v1/queues', body)
  const path = `/v1/queues/${id}`
  const others = []
  const crowd = async (count) => {
    for (let done = 0; done < count; done += 25) {
      const batch = Math.min(25, count - done)
      const joined = Array.from({ length: batch }, () => ask('POST', `${path}/entries`, {}, null))
      others.push(...(await Promise.all(joined)))
    }
  }
  /** Whoever says nothing for long is passed over: on a slow machine they say something first. */
  const admit = async (count) => {
    await Promise.all(others.map((one) => ask('GET', `${path}/entries/${one.entry_id}`, undefined, one.waiting_token)))
    return ask('POST', `${path}/admissions`, { count })
  }
  /** A performance behind the queue, with places for 1,280 people. */
  const sells = async () => {
    const tour = { title: 'Autumn Tour', artist: 'The Band', venue: 'Hall' }
    const { concert_id: concert } = await ask('POST', '/v1/concerts', tour)
    const terms = { starts_at: '2099-01-01T19:00:00Z', prices: { VIP: 165_000, R: 99_000 }, chart, queue_id: id }
    const { performance_id } = await ask('POST', `/v1/concerts/${concert}/performances`, terms)
    const performance = `/v1/performances/${performance_id}`
    const floor = (blocked) => ask('POST', `${performance}/area-blocks`, { areas: [{ area: 'Floor', blocked }] })
    const places = 1_200 + seats.length
    return {
      /** Nothing is left; what the organizer takes out of the sale is as gone as what is sold. */
      sellOut: async () => {
        await ask('POST', `${performance}/seat-blocks`, { seats })
        await floor(1_200)
      },
      /** So many places are free again; all of them at most. */
      comeBack: async (count) => {
        if (count === places) await ask('POST', `${performance}/seat-unblocks`, { seats })
        await floor(1_200 - Math.min(count, 1_200))
      },
    }
  }
  return {
    id,
    page: `${url}/q/${id}`,
    sells,
    crowd,
    admit,
    become: (state) => ask('PATCH', path, { state }),
    look: (look) => ask('PUT', `${path}/page`, look),
    tell: (notice) => ask('PUT', `${path}/notice`, { notice }),
    block: (entry) => ask('PUT', `${path}/entries/${entry}/block`, { reason: 'too many tabs' }),
    complete: (entry) => ask('POST', `${path}/entries/${entry}/completion`, {}),
  }
}

export function closeShop() {
  shop.closeAllConnections()
  shop.close()
}
