// A shop in Express behind a queue. Put it before everything else:
//   app.use(admitted({ server: "https://queue.example.com", queue: "…" }));
import { gatekeeper, headersOf } from "./admission.mjs";

export function admitted(options) {
  const decide = gatekeeper(options);
  return async (request, response, next) => {
    const answer = await decide(request.originalUrl, request.get("cookie"));
    if (answer.pass) return next();
    response.status(answer.status).set(headersOf(answer)).end();
  };
}
