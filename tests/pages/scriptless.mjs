// The same without scripts: forms, and pages that the server makes.
import assert from 'node:assert/strict'
import { check, desktop, end, visitor } from './browser.mjs'
import { closeShop, queue, visits } from './shop.mjs'

const heading = (page) => page.locator('h1').textContent()

async function wholeWay(options, titles) {
  const { page: path, crowd, admit, become } = await queue()
  await crowd(210)
  const someone = await visitor({ javaScriptEnabled: false, ...options })
  const { page, context } = someone
  const look = async (title) => {
    await page.goto(`${path}/mine`)
    assert.equal(await heading(page), title)
  }
  await page.goto(path)
  const name = `scriptless${options.locale === 'ko-KR' ? '-ko' : ''}`
  await check(someone, `${name}-join`)
  await page.locator('form[action$="/join"] button').click()
  assert.equal(page.url(), `${path}/mine`)
  assert.equal(await heading(page), titles.waiting)
  assert.equal(await page.locator('.number').textContent(), '210')
  await check(someone, `${name}-waiting`)
  const [cookie] = await context.cookies()
  assert.ok(
    cookie.httpOnly && cookie.sameSite === 'Lax' && cookie.path === new URL(path).pathname,
    JSON.stringify(cookie),
  )

  // Joining again, in another tab, say, is the same place.
  await page.goto(path)
  await page.locator('form[action$="/join"] button').click()
  assert.equal(await page.locator('.number').textContent(), '210')
  await become('paused')
  await look(titles.paused)
  await become('open')
  await admit(100)
  await look(titles.near)
  await admit(111)
  await look(titles.turn)
  await check(someone, `${name}-turn`)
  await page.locator('form[action$="/go"] button').click()
  await page.waitForURL(/seats/)
  assert.match(visits.at(-1).url, /onsale_admission=ey/)
  assert.equal(visits.at(-1).referer, undefined)
  await look(titles.inside)
  await context.close()
}

async function leaving() {
  const { page: path } = await queue({ opens_at: new Date(Date.now() + 3_600_000).toISOString() })
  const someone = await visitor({ javaScriptEnabled: false, viewport: desktop, colorScheme: 'dark' })
  const { page, context } = someone
  await page.goto(path)
  await page.locator('form[action$="/join"] button').click()
  assert.equal(await heading(page), 'The queue opens soon')
  await check(someone, 'scriptless-before-dark')
  await page.locator('form[action$="/leave"] button').click()
  assert.equal(await heading(page), 'You left the line')
  await page.locator('form[action$="/join"] button').click()
  assert.equal(await heading(page), 'The queue opens soon')
  await context.close()
}

/** What there is to buy, and that there is nothing; in both languages. */
async function soldOut() {
  const opens_at = new Date(Date.now() + 3_600_000).toISOString()
  const { page: path, sells, look: set } = await queue({ opens_at })
  await set({ show_seats_left: true })
  const { sellOut, comeBack } = await sells()
  const people = [
    [
      'en-US',
      { before: 'The queue opens soon', over: 'Sold out' },
      /Prices ?99,000 to 165,000 points ?Seats left ?1,280$/,
    ],
    [
      'ko-KR',
      { before: '곧 대기열이 열립니다', over: '매진되었습니다' },
      /가격 ?99,000~165,000포인트 ?남은 좌석 ?1,280$/,
    ],
  ]
  for (const [locale, titles, told] of people) {
    const someone = await visitor({ javaScriptEnabled: false, locale })
    const { page, context } = someone
    const look = async (title) => {
      await page.goto(`${path}/mine`)
      assert.equal(await heading(page), title)
    }
    const facts = async () => (await page.locator('dl').textContent()).replace(/\s+/g, ' ')
    const name = locale === 'ko-KR' ? 'scriptless-ko' : 'scriptless'
    await page.goto(path)
    await page.locator('form[action$="/join"] button').click()
    assert.equal(await heading(page), titles.before)
    assert.match(await facts(), told)
    await check(someone, `${name}-prices`)
    await sellOut()
    await look(titles.over)
    assert.ok(await page.locator('form[action$="/leave"] button').isVisible(), 'what can be done now')
    await check(someone, `${name}-sold-out`)
    await comeBack(1_280)
    await look(titles.before)
    await context.close()
  }
}

try {
  await soldOut()
  await wholeWay(
    {},
    {
      waiting: 'You are in line',
      paused: 'The queue is paused',
      near: 'It is almost your turn',
      turn: 'It is your turn',
      inside: 'You are in',
    },
  )
  await wholeWay(
    { locale: 'ko-KR' },
    {
      waiting: '대기 중입니다',
      paused: '대기열이 일시 중지되었습니다',
      near: '곧 내 차례입니다',
      turn: '내 차례입니다',
      inside: '입장했습니다',
    },
  )
  await leaving()
} finally {
  await end()
  closeShop()
}
