// A real Chromium, and what every page in it is held to: no message of the content policy, nothing that axe finds.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const modules = join(process.env.ONSALE_TEST_BROWSER, 'node_modules', 'x')
const require = createRequire(modules)
const { chromium } = require('playwright-core')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

/** Where pictures go, if anybody wants them. */
const pictures = process.env.ONSALE_TEST_PICTURES
if (pictures) mkdirSync(pictures, { recursive: true })

export const phone = { width: 390, height: 780 }
export const desktop = { width: 1280, height: 800 }

const browser = await chromium.launch({ executablePath: process.env.ONSALE_TEST_CHROMIUM ?? '/usr/bin/chromium' })

/** Somebody's browser, with nothing kept in it. */
export async function visitor({ viewport = phone, locale = 'en-US', ...more } = {}) {
  const context = await browser.newContext({ viewport, locale, reducedMotion: 'reduce', ...more })
  const violations = []
  await context.exposeFunction('violated', (what) => violations.push(what))
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      globalThis.violated(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`)
    })
  })
  const page = await context.newPage()
  const errors = []
  page.on('pageerror', (error) => errors.push(String(error)))
  return { context, page, violations, errors, scripts: more.javaScriptEnabled ?? true }
}

/** Waits until the page is at this stage. */
export async function stage(page, name) {
  await page.waitForFunction((name) => document.documentElement.dataset.stage === name, name, { timeout: 20_000 })
}

function examine(page) {
  return page.evaluate(`${axe}
    axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })`)
}

/** A page without scripts looks again by itself: then what was asked of it is asked once more. */
async function settled(ask) {
  for (let tries = 0; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (tries > 5 || !/navigat/.test(String(error))) throw error
    }
  }
}

/** axe is a script: where none run it looks at a copy of the page, in a browser that runs them. */
async function examineCopy(page) {
  const html = (await settled(() => page.content())).replace(/<script.*?<\/script>|<\/?noscript>/gs, '')
  const context = await browser.newContext({ viewport: page.viewportSize() })
  const copy = await context.newPage()
  await copy.goto(new URL('/q/copy', page.url()).href)
  await copy.setContent(html)
  const found = await examine(copy)
  await context.close()
  return found
}

/** What the page must be, whatever it shows; and a picture of it. */
export async function check({ page, violations, errors, scripts }, name) {
  const wide = await settled(() => page.evaluate(() => document.documentElement.scrollWidth - innerWidth))
  assert.ok(wide <= 0, `${name}: ${wide} px wider than the screen`)
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`) })
  const { violations: found } = scripts ? await examine(page) : await examineCopy(page)
  const told = found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
  assert.deepEqual(told, [], `${name}: axe`)
  assert.deepEqual(violations, [], `${name}: content policy`)
  assert.deepEqual(errors, [], `${name}: errors`)
  console.log(`ok ${name}`)
}

export async function end() {
  await browser.close()
}
