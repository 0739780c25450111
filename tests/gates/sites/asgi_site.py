"""A shop in plain ASGI behind examples/admission/admission_asgi.py."""

import json
import os

from admission_asgi import Admitted


async def shop(scope, receive, send):
    if scope["type"] != "http":
        return
    query = scope["query_string"].decode()
    body = json.dumps({"shop": True, "path": scope["path"] + (f"?{query}" if query else "")})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})


app = Admitted(
    shop,
    server=os.environ["ONSALE"],
    queue=os.environ["ONSALE_QUEUE"],
    on_error=os.environ.get("ON_ERROR", "closed"),
)
