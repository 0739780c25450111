// What a runtime of workers does with examples/admission/worker.mjs: it calls `fetch` with each request and the environment.
import { createServer } from "node:http";
import worker from "./worker.mjs";

createServer(async (incoming, outgoing) => {
  const request = new Request(`http://${incoming.headers.host}${incoming.url}`, {
    method: incoming.method,
    headers: incoming.headers,
  });
  const answer = await worker.fetch(request, process.env);
  outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
  outgoing.end(Buffer.from(await answer.arrayBuffer()));
}).listen(Number(process.env.PORT), "127.0.0.1");
