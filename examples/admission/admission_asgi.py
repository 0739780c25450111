"""A site behind a queue, as ASGI middleware (Starlette, FastAPI, Django, …), checked here, without asking Onsale.

    pip install "pyjwt[crypto]"
    app = Admitted(app, server="https://queue.example.com", queue="…")

Its public keys are fetched once and kept for a day. What it cannot know is that somebody was blocked, or is done, before their
time here is over: it lets them pass for `session_s` after the admission. A gate that asks knows (docs/guides/gate.md).
"""

import asyncio
import time
from urllib.parse import parse_qsl

import jwt

PARAMETER = "onsale_admission"
DAY_S = 24 * 3600
LEEWAY_S = 30  # this machine's clock may be off
UNKNOWN_KEY_EVERY_S = 30  # who makes up names of keys does not have Onsale asked all the time


class Unavailable(Exception):
    """The keys cannot be had."""


class Admitted:
    def __init__(self, app, server, queue, page=None, issuer="onsale", session_s=900, on_error="closed"):
        if on_error not in ("open", "closed"):
            raise ValueError("on_error is open (everybody passes while the keys cannot be had) or closed (nobody)")
        self.app, self.queue, self.issuer = app, queue, issuer
        self.page = page or f"{server}/q/{queue}"
        self.session_s, self.on_error = session_s, on_error
        self.keys = jwt.PyJWKClient(f"{server}/.well-known/jwks.json", lifespan=DAY_S, timeout=3)
        self.cookie = f"__Host-onsale-admission-{queue}"
        self.asked_at = -UNKNOWN_KEY_EVERY_S

    def key(self, kid):
        """The key of that name; blocks while keys are fetched."""
        try:
            for refresh in (False, True):
                if refresh and time.monotonic() - self.asked_at < UNKNOWN_KEY_EVERY_S:
                    break
                if refresh:
                    self.asked_at = time.monotonic()
                found = [key for key in self.keys.get_signing_keys(refresh) if key.key_id == kid]
                if found:
                    return found[0]
        except jwt.PyJWKClientError as error:
            raise Unavailable from error
        raise jwt.InvalidTokenError("no such key")

    def is_good(self, token, ago_s):
        """Whether a token is an admission to this queue, or was one at most so many seconds ago."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != "admission+jwt" or header.get("alg") != "EdDSA":
                return False
            key, require = self.key(header.get("kid")), ["sub", "jti", "exp"]
            jwt.decode(token, key, algorithms=["EdDSA"], audience=self.queue, issuer=self.issuer,
                       leeway=LEEWAY_S + ago_s, options={"require": require})
            return True
        except jwt.PyJWTError:
            return False

    def decide(self, path, query, cookies):
        """None to pass; otherwise where to go, and the cookie to take along."""
        pairs = [(pair, parse_qsl(pair, keep_blank_values=True)) for pair in query.split("&") if pair]
        given = [parsed[0][1] for _, parsed in pairs if parsed and parsed[0][0] == PARAMETER]
        others = "&".join(pair for pair, parsed in pairs if not parsed or parsed[0][0] != PARAMETER)
        # Always on this site: two slashes would be another one.
        clean = "/" + path.lstrip("/\\") + ("?" + others if others else "")
        if len(given) == 1 and self.is_good(given[0], 0):
            attributes = f"Path=/; Max-Age={self.session_s}; HttpOnly; Secure; SameSite=Lax"
            return clean, f"{self.cookie}={given[0]}; {attributes}"
        if self.cookie not in cookies or not self.is_good(cookies[self.cookie], self.session_s):
            return self.page, None
        return (clean, None) if given else None

    async def __call__(self, scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        sent = ";".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie")
        cookies = dict(pair.strip().partition("=")[::2] for pair in sent.split(";"))
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        try:
            answer = await asyncio.to_thread(self.decide, path, scope["query_string"].decode("latin-1"), cookies)
        except Unavailable:
            answer = None if self.on_error == "open" else (None, None)
        if answer is None:
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        location, cookie = answer
        headers = {"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"}
        headers.update({"Location": location} if location else {"Retry-After": "5"}, **({"Set-Cookie": cookie} if cookie else {}))
        await send({"type": "http.response.start", "status": 302 if location else 503,
                    "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]})
        await send({"type": "http.response.body"})
