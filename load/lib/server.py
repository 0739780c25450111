"""An Onsale of one's own: started on a fresh folder, asked over HTTP, stopped in order."""

import http.client
import json
import os
import re
import resource
import secrets
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

READY_WITHIN_S = 60
STOP_WITHIN_S = 30
# Its callers are quicker than people, and all come from one address: limits would be measured, and so would be what a password
# costs on purpose (15 ms of a core with the default; the report says so).
ARGS = [
    "--limit-user-per-minute",
    "0",
    "--limit-key-per-minute",
    "0",
    "--limit-sign-in-per-minute",
    "0",
    "--streams-per-address-max",
    "100000",
    "--password-memory-kib",
    "64",
    "--password-passes",
    "1",
]


class Failed(Exception):
    """What the user must be told, in one line."""


class Server:
    """A running server. As a context it is stopped at the end."""

    def __init__(
        self, binary, folder, args=(), cores=None, memory_bytes=None, data=None, environment=None, before=None
    ):
        """`cores`: those that it may run on; `memory_bytes`: of its data segment and everything mapped for itself; `data`: a
        folder elsewhere, or one that is there; `environment`: more of it; `before`: goes on where that one ended, at the same
        address."""
        self.binary, self.folder = str(binary), Path(folder)
        self.data = Path(data or self.folder / "data")
        if before is None and (data is None or not self.data.is_relative_to(self.folder)):
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.output = self.folder / "server.out"
        self.operator_key = before.operator_key if before else "opk_" + secrets.token_urlsafe(36)
        listen = before.address if before else "127.0.0.1:0"
        command = [self.binary, "serve", "--data", str(self.data), "--listen", listen, *ARGS, *args]
        # Nothing that is set for another server counts here.
        own = {name: value for name, value in os.environ.items() if not name.startswith("ONSALE_")}
        own |= {"ONSALE_OPERATOR_KEY": self.operator_key, **(environment or {})}

        def confine():
            # Ctrl-C reaches load/run alone, which then stops its server in order.
            os.setsid()
            if cores:
                os.sched_setaffinity(0, cores)
            if memory_bytes:
                resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))

        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=own, preexec_fn=confine
            )
        self.pid = self.process.pid
        try:
            self.address = self._wait_until_ready()
        except BaseException:
            self.process.kill()
            raise
        self.url = "http://" + self.address
        self._connections = threading.local()

    def _wait_until_ready(self):
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until and self.process.poll() is None:
            found = re.search(r"listening on http://([0-9.:]+)", self.output.read_text(errors="replace"))
            if found:
                connection = http.client.HTTPConnection(found[1], timeout=10)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return found[1]
            time.sleep(0.02)
        raise Failed(f"the server does not start:\n{self.last_words()}")

    def last_words(self):
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-12:])

    def ask(self, method, path, body=None, token=None, key=None, expect=(200, 201)):
        """One request; its answer's JSON, or text where it is none."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = "Bearer " + token
        if key:
            headers["Idempotency-Key"] = key
        if not hasattr(self._connections, "one"):
            self._connections.one = http.client.HTTPConnection(self.address, timeout=60)
        connection, content = self._connections.one, None if body is None else json.dumps(body)
        try:
            connection.request(method, path, content, headers)
            reply = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            # The server closes what was idle for long.
            if method != "GET":
                raise
            connection.close()
            connection.request(method, path, content, headers)
            reply = connection.getresponse()
        text = reply.read().decode()
        if reply.status not in expect:
            raise Failed(f"{method} {path}: {reply.status} {text}")
        return json.loads(text) if "json" in reply.headers.get("Content-Type", "") else text

    def metrics(self):
        """Names with labels, and values, of /metrics."""
        for line in self.ask("GET", "/metrics").splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                yield name, float(value)

    def request_buckets(self):
        """The histograms of its own request times: {"METHOD route": {upper bound in s: count up to there}}, all statuses."""
        found = {}
        for name, value in self.metrics():
            if not name.startswith("onsale_http_request_seconds_bucket{"):
                continue
            labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
            buckets = found.setdefault(f"{labels['method']} {labels['route']}", {})
            bound = float(labels["le"].replace("+Inf", "inf"))
            buckets[bound] = buckets.get(bound, 0) + value
        return found

    def stop(self):
        """SIGTERM; it must end in order."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("the server did not stop in time") from None
        if code != 0:
            raise Failed(f"the server ended with {code}:\n{self.last_words()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
