// Checks an admission with a standard library (npm install jose), as a site does when people come back from the queue.
//   node verify.mjs https://onsale.example.com QUEUE_ID TOKEN [ISSUER]
import { createRemoteJWKSet, jwtVerify } from "jose";

const [server, queue, token, issuer = "onsale"] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", server));
const { payload } = await jwtVerify(token, keys, {
  algorithms: ["EdDSA"],
  typ: "admission+jwt",
  issuer,
  audience: queue,
  clockTolerance: 30, // s: this machine's clock may be off
  requiredClaims: ["sub", "jti", "exp"],
});
// payload.sub is who it is, payload.jti the entry to claim: POST /v1/queues/{queue}/entries/{jti}/claim
console.log(JSON.stringify(payload));
