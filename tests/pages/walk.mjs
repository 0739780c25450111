// Walks through every state of the queue's page, with scripts.
import assert from 'node:assert/strict'
import { check, desktop, end, phone, stage, visitor } from './browser.mjs'
import { closeShop, queue, shopOrigin, url, visits } from './shop.mjs'

const text = (page, id) => page.locator(`#${id}`).textContent()
const kept = (page, id) => page.evaluate((id) => JSON.parse(localStorage.getItem(`onsale.queue.${id}`)), id)
const soon = (ms) => new Date(Date.now() + ms).toISOString()
/** What a page says of this, among its facts. */
const fact = (page, term) => page.locator('#facts > div', { hasText: term }).locator('dd')
/** The page looks where it stands, as when its time has come. */
const lookAgain = (page) => page.evaluate(() => dispatchEvent(new Event('online')))

async function before() {
  const { page: path, sells } = await queue({ opens_at: soon(3_600_000) })
  await sells()
  for (const [name, options] of [
    ['before-phone', {}],
    ['before-desktop-dark', { viewport: desktop, colorScheme: 'dark' }],
    ['before-ko', { locale: 'ko-KR' }],
  ]) {
    const someone = await visitor(options)
    await someone.page.goto(path)
    await stage(someone.page, 'before')
    assert.match(await text(someone.page, 'number'), /^(59:\d\d|1:00:00)$/)
    const korean = name === 'before-ko'
    assert.equal(await someone.page.evaluate(() => document.documentElement.lang), korean ? 'ko' : 'en')
    const prices = fact(someone.page, korean ? '가격' : 'Prices')
    await prices.waitFor()
    assert.equal(await prices.textContent(), korean ? '99,000~165,000포인트' : '99,000 to 165,000 points')
    assert.equal(await fact(someone.page, korean ? '남은 좌석' : 'Seats left').count(), 0, 'nobody shows it')
    await check(someone, name)
    const download = someone.page.waitForEvent('download')
    await someone.page.locator('#calendar').click()
    assert.equal((await download).suggestedFilename(), 'opening.ics')
    await someone.context.close()
  }
}

/** One person, from joining to the shop and back. */
async function wholeWay() {
  const { page: path, id, crowd, admit, become, complete, tell } = await queue()
  await crowd(250)
  const someone = await visitor()
  const { page, context } = someone
  await page.goto(path)
  await stage(page, 'waiting')
  assert.equal(await text(page, 'number'), '250')
  await check(someone, 'waiting-phone')
  const { entry, token } = await kept(page, id)

  // The same place after a reload, in a second tab, and in each language.
  await page.reload()
  await stage(page, 'waiting')
  const second = await context.newPage()
  await second.goto(path)
  await stage(second, 'waiting')
  for (const tab of [page, second]) assert.equal((await kept(tab, id)).entry, entry)
  await second.close()
  await page.getByRole('button', { name: '한국어' }).click()
  assert.equal(await text(page, 'title'), '대기 중입니다')
  await check(someone, 'waiting-ko')
  await page.setViewportSize({ width: 320, height: 640 })
  await check(someone, 'waiting-ko-320')
  await page.getByRole('button', { name: 'English' }).click()
  await page.setViewportSize({ width: 1920, height: 1080 })
  await page.emulateMedia({ colorScheme: 'dark' })
  await check(someone, 'waiting-wall-dark')
  await page.emulateMedia({ colorScheme: 'light' })
  await page.setViewportSize(phone)

  await tell('We are back in ten minutes. <b>Your place is kept.</b>')
  await lookAgain(page)
  await page.locator('#notice').waitFor()
  assert.equal(await text(page, 'notice'), 'We are back in ten minutes. <b>Your place is kept.</b>')
  await become('paused')
  await lookAgain(page)
  await stage(page, 'paused')
  await check(someone, 'paused')
  await become('open')
  await lookAgain(page)
  await stage(page, 'waiting')

  // Away, and back: the last place with its time, and the same one afterwards.
  await context.setOffline(true)
  await lookAgain(page)
  await page.locator('#offline').waitFor()
  assert.match(await text(page, 'lost'), /Your place is kept\. Last seen at \d/)
  assert.equal(await text(page, 'number'), '250')
  await check(someone, 'offline')
  await page.locator('#retry').click()
  assert.ok(await page.locator('#offline').isVisible(), 'nobody can be reached yet')
  await context.setOffline(false)
  await page.locator('#offline').waitFor({ state: 'hidden' })
  assert.equal((await kept(page, id)).entry, entry)

  // Nearer: the server tells by itself from now on.
  await admit(205)
  await tell(null)
  await lookAgain(page)
  await stage(page, 'near')
  assert.equal(await text(page, 'number'), '45')
  await check(someone, 'near')
  await page.locator('#notice').waitFor({ state: 'hidden' })
  await admit(25)
  await page.waitForFunction(() => document.getElementById('number').textContent === '20')
  assert.ok(await page.evaluate(() => document.getElementById('bar').value >= 0.91))

  await admit(21)
  await stage(page, 'turn')
  await page.locator('#auto').uncheck()
  assert.match(await text(page, 'number'), /^[12]:\d\d$/)
  assert.equal(await text(page, 'assertive'), 'It is your turn')
  await check(someone, 'turn')
  await page.locator('#go').click()
  await page.waitForURL(/seats/)
  const visit = visits.at(-1)
  assert.match(visit.url, /^\/seats\?tour=7&onsale_admission=ey/)
  assert.equal(visit.referer, undefined, 'the shop is not told where they waited')

  await page.goto(path)
  await stage(page, 'inside')
  await check(someone, 'inside')
  await page.locator('#go').click()
  await page.waitForURL(/seats/)
  await complete(entry)
  await page.goto(path)
  await stage(page, 'done')
  await check(someone, 'done')

  // Again is a new place, at the end.
  await page.locator('#again').click()
  await stage(page, 'near')
  const anew = await kept(page, id)
  assert.ok(anew.entry !== entry && anew.token !== token)
  await page.locator('#forget').click()
  await stage(page, 'forgotten')
  assert.equal(await kept(page, id), null)
  await check(someone, 'forgotten')
  await context.close()
}

/** With the keyboard alone: by itself into the shop, unless it is switched off. */
async function byKeyboard() {
  const { page: path, admit } = await queue()
  const someone = await visitor()
  const { page } = someone
  await page.goto(path)
  await stage(page, 'near')
  const focused = () => page.evaluate(() => document.activeElement.id)
  const tabTo = async (id) => {
    for (let presses = 0; presses < 12 && (await focused()) !== id; presses++) await page.keyboard.press('Tab')
    assert.equal(await focused(), id)
  }
  await tabTo('leave')
  await page.keyboard.press('Enter')
  assert.equal(await focused(), 'leave_no')
  await check(someone, 'leave')
  await page.keyboard.press('Escape')
  assert.equal(await focused(), 'leave')
  await admit(1)
  await stage(page, 'turn')
  assert.match(await text(page, 'soon'), /Going in by itself in [123] s\./)
  await page.waitForURL(/seats/)
  await page.goto(path)
  await stage(page, 'inside')
  await someone.context.close()
}

async function endings() {
  const { page: path, id, admit, block, become } = await queue({ claim_ttl_s: 1, session_ttl_s: 1 })
  const someone = await visitor()
  const { page, context } = someone
  await page.goto(path)
  await stage(page, 'near')
  await page.evaluate((id) => {
    const name = `onsale.queue.${id}`
    localStorage.setItem(name, JSON.stringify({ ...JSON.parse(localStorage.getItem(name)), manual: true }))
  }, id)
  await admit(1)
  await stage(page, 'missed')
  await check(someone, 'missed')

  await page.locator('#again').click()
  await stage(page, 'near')
  await page.locator('#leave').click()
  await page.locator('#leave_yes').click()
  await stage(page, 'left')
  await check(someone, 'left')

  await page.locator('#again').click()
  await stage(page, 'near')
  const { entry } = await kept(page, id)
  await block(entry)
  await stage(page, 'blocked')
  assert.ok((await text(page, 'code')).endsWith(entry))
  assert.ok(!(await page.content()).includes('too many tabs'), 'the reason is nobody’s business')
  await check(someone, 'blocked')
  await context.close()

  const other = await visitor({ colorScheme: 'dark' })
  await other.page.goto(path)
  await stage(other.page, 'near')
  await become('closed')
  await lookAgain(other.page)
  await stage(other.page, 'closed')
  await check(other, 'closed-dark')
  await other.context.close()
  const late = await visitor()
  await late.page.goto(path)
  await stage(late.page, 'closed')
  await late.page.goto(`${url}/q/${'0'.repeat(8)}-0000-4000-8000-${'0'.repeat(12)}`)
  await stage(late.page, 'unknown')
  await check(late, 'unknown')
  await late.page.goto(url)
  await check(late, 'home')
  await late.context.close()
}

/** A link from the shop: who somebody is stands behind the `#`, and nowhere else, and not for long. */
async function link() {
  const { page: path, id } = await queue()
  const { page, context } = await visitor()
  const urls = []
  page.on('request', (request) => urls.push(request.url()))
  await page.goto(`${path}#t=no-such-identity`)
  await stage(page, 'refused')
  assert.equal(page.url(), path)
  assert.equal((await kept(page, id))?.entry, undefined)
  await page.goto(`${path}#x=1`)
  await page.reload()
  await stage(page, 'near')
  const { token } = await kept(page, id)
  assert.ok(token.startsWith('wqt_'))
  assert.deepEqual(
    urls.filter((one) => /no-such-identity|wqt_/.test(one.replace(/#.*/, ''))),
    [],
  )
  await context.close()
}

/** To a phone: the same place there, and this page says so. */
async function toPhone() {
  const { page: path, id, crowd } = await queue()
  await crowd(210)
  const someone = await visitor({ viewport: desktop })
  const { page, context } = someone
  await page.goto(path)
  await stage(page, 'waiting')
  const { entry } = await kept(page, id)
  await page.locator('#move').click()
  await page.locator('#qr svg').waitFor()
  await check(someone, 'to-phone')
  const there = await visitor({ locale: 'ko-KR' })
  const way = await page.locator('#link').getAttribute('href')
  assert.ok(way.startsWith(`${path}#m=`))
  await there.page.goto(way)
  await stage(there.page, 'waiting')
  assert.equal((await kept(there.page, id)).entry, entry)
  assert.equal(there.page.url(), path)
  await stage(page, 'moved')
  assert.equal(await kept(page, id), null)
  await check(someone, 'moved')
  // Once is once.
  const late = await visitor()
  await late.page.goto(way)
  await stage(late.page, 'lapsed')
  await check(late, 'lapsed')
  for (const one of [context, there.context, late.context]) await one.close()
}

/** Nothing is left to buy, and something comes back. */
async function soldOut() {
  const { page: path, crowd, admit, sells, look: set } = await queue()
  await set({ show_seats_left: true })
  const { sellOut, comeBack } = await sells()
  await crowd(210)
  const someone = await visitor()
  const { page, context } = someone
  await page.goto(path)
  await stage(page, 'waiting')
  await fact(page, 'Seats left').waitFor()
  assert.equal(await fact(page, 'Seats left').textContent(), '1,280')
  await check(someone, 'seats-left')
  await sellOut()
  await lookAgain(page)
  await stage(page, 'sold_out')
  assert.equal(await text(page, 'title'), 'Sold out')
  assert.ok(await page.locator('#leave').isVisible(), 'what can be done now')
  assert.equal(await fact(page, 'Seats left').count(), 0)
  await check(someone, 'sold-out')
  await page.getByRole('button', { name: '한국어' }).click()
  assert.equal(await text(page, 'title'), '매진되었습니다')
  await page.emulateMedia({ colorScheme: 'dark' })
  await check(someone, 'sold-out-ko-dark')
  await page.emulateMedia({ colorScheme: 'light' })
  await page.getByRole('button', { name: 'English' }).click()
  await comeBack(2)
  await lookAgain(page)
  await stage(page, 'waiting')
  assert.equal(await fact(page, 'Seats left').textContent(), '2')

  // Close to the turn, where the server tells by itself, what is left is looked at, too.
  await admit(200)
  await lookAgain(page)
  await stage(page, 'near')
  await sellOut()
  await stage(page, 'sold_out')
  await comeBack(1)
  await stage(page, 'near')
  await admit(11)
  await stage(page, 'turn')
  await context.close()
}

/** No room: the server says so once fifty million have joined, so here its answer is given for it. */
async function full() {
  const { page: path, id } = await queue()
  const someone = await visitor({ locale: 'ko-KR' })
  const { page, context } = someone
  const problem = { type: 'https://onsale.dev/problems/queue-full', title: 'The queue is full', status: 409 }
  const answer = { status: 409, contentType: 'application/problem+json', body: JSON.stringify(problem) }
  const joins = `**/v1/queues/${id}/entries`
  await page.route(joins, (route) => route.fulfill(answer))
  await page.goto(path)
  await stage(page, 'full')
  assert.equal(await text(page, 'title'), '대기열이 가득 찼습니다')
  await check(someone, 'full-ko')
  await page.getByRole('button', { name: 'English' }).click()
  assert.equal(await text(page, 'title'), 'The queue is full')
  await check(someone, 'full')
  // There is room again.
  await page.unroute(joins)
  await page.reload()
  await stage(page, 'near')
  await context.close()
}

/** An organizer who means harm: whatever they write is text, and where links lead is https. */
async function hostile() {
  const markup = '<img src=x onerror="document.title=1"><svg onload="document.title=2"></svg>'
  const { page: path, tell, look: set } = await queue({ name: `${markup}Tour` })
  await set({
    texts: { en: { near_lead: `${markup}{time}` } },
    links: [{ label: '<b>Help</b>', url: 'https://help.example/?a="><script>'.replace(/["<>]/g, encodeURIComponent) }],
  })
  await tell(markup)
  const someone = await visitor()
  const { page, context } = someone
  await page.goto(path)
  await stage(page, 'near')
  await page.locator('#notice').waitFor()
  assert.equal(await text(page, 'notice'), markup)
  assert.equal(await text(page, 'lead'), markup)
  assert.equal(await page.locator('header .name').textContent(), `${markup}Tour`)
  assert.equal(await page.locator('img, svg, main b').count(), 0)
  assert.match(await page.title(), /Tour$/)
  await check(someone, 'hostile')
  await context.close()
}

/** In a frame of a site that the organizer names, and of no other. */
async function framed() {
  const { page: path, look: set } = await queue()
  const shown = async (origin) => {
    const someone = await visitor({ viewport: desktop })
    await someone.page.goto(`${origin}/frame?${encodeURIComponent(path)}`)
    const frame = someone.page.frames()[1]
    return { someone, frame }
  }
  const blocked = async (origin) => {
    const { someone, frame } = await shown(origin)
    // Where the machine is busy the outer page has loaded before that.
    await frame.waitForURL(/^chrome-error:/, { waitUntil: 'commit' })
    await someone.context.close()
  }
  await blocked(shopOrigin)
  await set({ frame_ancestors: [shopOrigin] })
  await blocked(shopOrigin.replace('127.0.0.1', 'localhost'))
  const { someone, frame } = await shown(shopOrigin)
  await frame.waitForFunction(() => document.documentElement.dataset.stage === 'near')
  await check(someone, 'framed')
  await someone.context.close()
}

/** An organizer's own look, in light and dark. */
async function look() {
  const { page: path, crowd, look: set } = await queue({ name: 'Harbour Nights' })
  await crowd(210)
  const someone = await visitor({ viewport: desktop })
  const { page, context } = someone
  await page.goto(path)
  await stage(page, 'waiting')
  const logo = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 470, height: 80 })
    const pen = canvas.getContext('2d')
    pen.fillStyle = '#c2410c'
    pen.beginPath()
    pen.arc(40, 40, 30, 0, 7)
    pen.fill()
    pen.font = 'bold 44px sans-serif'
    pen.fillText('Harbour Nights', 86, 56)
    return canvas.toDataURL('image/png').split(',')[1]
  })
  const [accent, on_accent] = ['#c2410c', '#ffffff']
  await set({
    logo: { data: logo },
    colors: {
      light: { ground: '#fff7ed', card: '#ffffff', text: '#1c1917', accent, on_accent },
      dark: { ground: '#1c1310', card: '#29201c', text: '#fff7ed', accent: '#fb923c', on_accent: '#1c1310' },
    },
    texts: { en: { waiting_lead: 'Thank you for your patience. Doors open at seven; there is no need to hurry.' } },
    links: [
      { label: 'Tickets and prices', url: 'https://harbour.example/tickets' },
      { label: 'Help', url: 'https://harbour.example/help' },
    ],
  })
  await page.reload()
  await stage(page, 'waiting')
  assert.match(await text(page, 'lead'), /^Thank you for your patience/)
  assert.ok(await page.locator('.logo').evaluate((logo) => logo.naturalWidth === 470 && logo.alt === 'Harbour Nights'))
  await check(someone, 'look')
  await page.emulateMedia({ colorScheme: 'dark' })
  await check(someone, 'look-dark')
  await context.close()
}

try {
  await look()
  await toPhone()
  await before()
  await wholeWay()
  // What mostly waits waits together.
  await Promise.all([byKeyboard(), endings(), link(), soldOut(), full(), framed(), hostile()])
} finally {
  await end()
  closeShop()
}
