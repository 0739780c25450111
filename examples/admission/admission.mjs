// Whether a request may pass: by the admission that somebody brings back from the queue, checked here, without asking Onsale.
// Its public keys are fetched once and kept for a day. Needs a standard library: npm install jose
//
// What it cannot know is that somebody was blocked, or is done, before their time here is over: it lets them pass for
// `session_s` after the admission. A gate that asks knows (docs/guides/gate.md).
import { createRemoteJWKSet, jwtVerify } from "jose";

const PARAMETER = "onsale_admission";
const DAY_MS = 24 * 3600 * 1000;
const LEEWAY_S = 30; // this machine's clock may be off

/**
 * Makes what decides about requests.
 * @param {object} options
 * @param {string} options.server where Onsale is, https://queue.example.com
 * @param {string} options.queue the queue's id
 * @param {string} [options.page] where people wait; the queue's own page, unless given
 * @param {string} [options.issuer] as `queue.issuer` of the server says
 * @param {number} [options.session_s] how long somebody may stay
 * @param {"open" | "closed"} [options.on_error] who passes while the keys cannot be had: everybody or nobody
 */
export function gatekeeper({ server, queue, page, issuer = "onsale", session_s = 900, on_error = "closed" }) {
  const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", server), {
    cacheMaxAge: DAY_MS, // a new key is fetched when it is first seen
    timeoutDuration: 3000,
  });
  const cookie = `__Host-onsale-admission-${queue}`;
  page ??= `${server}/q/${queue}`;

  async function key(header, token) {
    return keys(header, token).catch((error) => {
      throw error.code === "ERR_JWKS_NO_MATCHING_KEY" ? error : new Unavailable(error.message);
    });
  }

  /** Whether a token is an admission to this queue, or was one at most so many seconds ago. */
  async function isGood(token, ago_s) {
    const claims = { algorithms: ["EdDSA"], typ: "admission+jwt", issuer, audience: queue };
    const options = { ...claims, clockTolerance: LEEWAY_S + ago_s, requiredClaims: ["sub", "jti", "exp"] };
    return jwtVerify(token, key, options).then(
      () => true,
      (error) => {
        if (error instanceof Unavailable) throw error;
        return false;
      },
    );
  }

  async function decide(url, cookies) {
    const asked = new URL(url, "https://site");
    const given = asked.searchParams.getAll(PARAMETER);
    asked.searchParams.delete(PARAMETER);
    // Always on this site: two slashes would be another one.
    const clean = asked.pathname.replace(/^\/+/, "/") + asked.search;
    if (given.length === 1 && (await isGood(given[0], 0))) {
      const attributes = `Path=/; Max-Age=${session_s}; HttpOnly; Secure; SameSite=Lax`;
      return { status: 302, location: clean, cookie: `${cookie}=${given[0]}; ${attributes}` };
    }
    const pairs = cookies.split(";").map((pair) => pair.trim().split("="));
    const held = pairs.find(([name]) => name === cookie)?.[1];
    if (!held || !(await isGood(held, session_s))) return { status: 302, location: page };
    return given.length ? { status: 302, location: clean } : { pass: true };
  }

  /** What becomes of a request: `{ pass: true }`, or the status and headers of the answer to it. */
  return async (url, cookies = "") => {
    try {
      return await decide(url, cookies);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      return on_error === "open" ? { pass: true } : { status: 503 };
    }
  };
}

class Unavailable extends Error {}

/** The headers of an answer that is of one browser and of one instant. */
export function headersOf({ location, cookie }) {
  const always = { "Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer" };
  const there = location ? { Location: location } : { "Retry-After": "5" };
  return { ...always, ...there, ...(cookie && { "Set-Cookie": cookie }) };
}
