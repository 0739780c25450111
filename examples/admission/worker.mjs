// A site behind a queue, by a worker before it: any runtime that has `fetch` handlers (Cloudflare, Deno, Bun, …). Of its
// environment it needs ONSALE (where Onsale is), ONSALE_QUEUE (the queue's id) and SHOP (where the site itself is).
import { gatekeeper, headersOf } from "./admission.mjs";

let decide;

export default {
  async fetch(request, env) {
    decide ??= gatekeeper({ server: env.ONSALE, queue: env.ONSALE_QUEUE, on_error: env.ON_ERROR });
    const answer = await decide(request.url, request.headers.get("cookie") ?? "");
    if (!answer.pass) return new Response(null, { status: answer.status, headers: headersOf(answer) });
    const { pathname, search } = new URL(request.url);
    return fetch(new Request(env.SHOP + pathname + search, request));
  },
};
