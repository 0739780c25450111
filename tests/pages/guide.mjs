// Step 4 of docs/guides/gate.md, "In ten minutes": somebody with a browser opens the shop. Whoever runs this has done the others.
import assert from 'node:assert/strict'
import { check, end, stage, visitor } from './browser.mjs'
import { ask } from './organizer.mjs'

const { ONSALE_TEST_SITE: site, ONSALE_TEST_QUEUE: queue } = process.env
const page = `${site}/q/${queue}`
const inShop = async (tab, path) => {
  await tab.waitForURL(site + path)
  const seen = JSON.parse(await tab.locator('pre').textContent())
  assert.deepEqual([seen.shop, seen.path], [true, path])
  return seen
}

try {
  const someone = await visitor()
  const seen = []
  someone.page.on('framenavigated', (frame) => seen.push(frame.url()))
  await someone.page.goto(`${site}/tickets`)
  await someone.page.waitForURL(page)
  console.log('ok a browser that opens the shop sees the page of the queue')
  const shop = await inShop(someone.page, '/')
  assert.equal(shop.headers['onsale-entry'].length, 1)
  assert.deepEqual(
    seen.filter((address) => address.includes('onsale_admission')),
    [],
    'no address that the browser shows has the admission',
  )
  console.log('ok and after a moment the shop, at the address without anything behind it')
  await someone.page.goto(`${site}/tickets?tour=7`)
  await inShop(someone.page, '/tickets?tour=7')

  await ask('PATCH', `/v1/queues/${queue}`, { state: 'paused' })
  const late = await visitor({ locale: 'ko-KR' })
  await late.page.goto(`${site}/tickets`)
  await late.page.waitForURL(page)
  await stage(late.page, 'paused')
  await check(late, 'guide-paused')
  await someone.page.reload()
  await inShop(someone.page, '/tickets?tour=7')
  console.log('ok nobody is let in while the queue is paused, and who is in stays in')
  await ask('PATCH', `/v1/queues/${queue}`, { state: 'open' })
  await inShop(late.page, '/')
  console.log('ok and goes on with it')
} finally {
  await end()
}
