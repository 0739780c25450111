// A shop in Next.js behind a queue: this file as `middleware.js`, with admission.mjs beside it; ONSALE is where Onsale is,
// ONSALE_QUEUE the queue's id.
import { NextResponse } from "next/server";
import { gatekeeper, headersOf } from "./admission.mjs";

const decide = gatekeeper({
  server: process.env.ONSALE,
  queue: process.env.ONSALE_QUEUE,
  on_error: process.env.ON_ERROR,
});

export async function middleware(request) {
  const answer = await decide(request.url, request.headers.get("cookie") ?? "");
  if (answer.pass) return NextResponse.next();
  // Next.js wants whole URLs, and believes to be called as it listens: the browser knows better.
  const { host, "x-forwarded-proto": proto = "http" } = Object.fromEntries(request.headers);
  const location = answer.location && new URL(answer.location, `${proto}://${host}`).href;
  return new NextResponse(null, { status: answer.status, headers: headersOf({ ...answer, location }) });
}

// Everything but what pages are made of.
export const config = { matcher: "/((?!_next/).*)" };
