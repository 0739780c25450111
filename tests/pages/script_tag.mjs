// examples/admission/onsale-gate.js on a page of another site, as its first lines say.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { end, stage, visitor } from './browser.mjs'
import { closeShop, queue, url } from './shop.mjs'

const gate = readFileSync(new URL('../../examples/admission/onsale-gate.js', import.meta.url))
const site = `http://127.0.0.1:${process.env.ONSALE_TEST_SITE_PORT}`
const { id, page: path, admit, complete } = await queue({ redirect_urls: [`${site}/seats?tour=7`] })

/** What each page of the site says of Onsale. */
const tags = {
  '/seats': `data-server="${url}" data-queue="${id}"`,
  // Nobody listens there.
  '/away': `data-server="http://127.0.0.1:1" data-queue="${id}"`,
  '/away-open': `data-server="http://127.0.0.1:1" data-queue="${id}" data-on-error="open"`,
  '/elsewhere': `data-server="${url}" data-queue="${id}" data-page="${site}/lobby"`,
}
const asked = []
const shop = createServer((request, response) => {
  const [file] = request.url.split('?')
  asked.push({ file, referer: request.headers.referer })
  if (file === '/onsale-gate.js') return response.setHeader('Content-Type', 'text/javascript').end(gate)
  const tag = tags[file] ? `<script src="onsale-gate.js" ${tags[file]}></script>` : ''
  // Browsers ask ahead for pictures, before the script has run.
  const body = `<h1>Seats</h1><img src="http://localhost:${shop.address().port}/pixel" alt="">`
  response.setHeader('Content-Type', 'text/html').end(`<!doctype html><title>Site</title>${tag}${body}`)
})
await new Promise((listening) => shop.listen(process.env.ONSALE_TEST_SITE_PORT, listening))

const seats = (page) => page.locator('h1', { hasText: 'Seats' })
const kept = (page) => page.evaluate((id) => JSON.parse(localStorage.getItem(`onsale.queue.${id}`)), id)

/** Through the queue and in; then it is over. */
async function honest() {
  const { page, context } = await visitor()
  await page.goto(`${site}/seats?tour=7`)
  await page.waitForURL(path)
  await stage(page, 'near')
  const { entry } = await kept(page)
  await admit(1)
  await page.waitForURL(`${site}/seats?tour=7`)
  await seats(page).waitFor({ state: 'visible' })
  console.log('ok let in, at the address without the admission')
  const image = asked.findLast(({ file }) => file === '/pixel')
  assert.equal(image.referer, `${site}/`, 'another site is not told the admission')
  await page.reload()
  await seats(page).waitFor({ state: 'visible' })
  await page.goto(`${site}/seats?tour=8`)
  await seats(page).waitFor({ state: 'visible' })
  // Of another tab the queue's page knows that they are in.
  const tab = await context.newPage()
  await tab.goto(`${site}/seats?tour=7`)
  await tab.waitForURL(path)
  await stage(tab, 'inside')
  await complete(entry)
  await page.reload()
  await page.waitForURL(path)
  await stage(page, 'done')
  console.log('ok sent back when the session is over')
  await context.close()
}

async function others() {
  const { page, context } = await visitor()
  await page.goto(`${site}/seats?tour=7&onsale_admission=eyJhbGciOiJub25lIn0.e30.`)
  await page.waitForURL(path)
  await page.goto(`${site}/elsewhere`)
  await page.waitForURL(`${site}/lobby`)
  console.log('ok strangers and forgers are sent to the queue')
  const failed = page.waitForEvent('requestfailed', (request) => request.url().includes('/gate'))
  await page.goto(`${site}/away`)
  await failed
  await page.waitForTimeout(200)
  assert.ok(await seats(page).isHidden(), 'closed while Onsale is away')
  await page.goto(`${site}/away-open`)
  await seats(page).waitFor({ state: 'visible' })
  console.log('ok closed or open while Onsale is away, as it is told')
  await context.close()

  // As its first lines say: it keeps nobody out.
  const without = await visitor({ javaScriptEnabled: false })
  await without.page.goto(`${site}/seats`)
  assert.ok(await seats(without.page).isVisible())
  console.log('ok bypassed by who switches scripts off, as it says')
  await without.context.close()
}

try {
  await honest()
  await others()
} finally {
  await end()
  closeShop()
  shop.closeAllConnections()
  shop.close()
}
