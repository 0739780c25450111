"""Checks an admission with a standard library (pip install "pyjwt[crypto]"), as a site does when people come back.

    python verify.py https://onsale.example.com QUEUE_ID TOKEN [ISSUER]
"""

import json
import sys

import jwt

server, queue, token = sys.argv[1:4]
issuer = sys.argv[4] if len(sys.argv) > 4 else "onsale"
if jwt.get_unverified_header(token).get("typ") != "admission+jwt":
    raise SystemExit("this is no admission")
key = jwt.PyJWKClient(f"{server}/.well-known/jwks.json").get_signing_key_from_jwt(token)
payload = jwt.decode(
    token,
    key,
    algorithms=["EdDSA"],
    audience=queue,
    issuer=issuer,
    leeway=30,  # this machine's clock may be off
    options={"require": ["sub", "jti", "exp"]},
)
# payload["sub"] is who it is, payload["jti"] the entry to claim: POST /v1/queues/{queue}/entries/{jti}/claim
print(json.dumps(payload))
