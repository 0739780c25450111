// An organizer, who asks the server as any program does.
import assert from 'node:assert/strict'

export const url = process.env.ONSALE_TEST_URL
const key = process.env.ONSALE_TEST_ORGANIZER

/** Asks the server; the answer's JSON. */
export async function ask(method, path, body, token = key) {
  const headers = { ...(token && { Authorization: `Bearer ${token}` }) }
  if (body) headers['Content-Type'] = 'application/json'
  const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) })
  const text = await answer.text()
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
  return text && JSON.parse(text)
}
