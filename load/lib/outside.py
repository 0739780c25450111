"""Kafka and PostgreSQL of one's own, each behind a toxiproxy that slows down, cuts and resets what goes through."""

import json
import os
import re
import subprocess
import urllib.request

from .k6 import LOAD, TARGET
from .play import say
from .server import Failed

SERVICES = LOAD.parent / "scripts" / "services"


class Outside:
    """As a context: up at the beginning; at the end down, and nothing of it is left."""

    def __enter__(self):
        say("starting Kafka, PostgreSQL and toxiproxy")
        try:
            self.env = self.services("up")
            toxiproxy = self.env["ONSALE_TEST_TOXIPROXY"]
            self.kafka, self.kafka_proxied = self.env["ONSALE_TEST_KAFKA"], self.env["ONSALE_TEST_KAFKA_PROXY"]
            self.postgres = self.env["ONSALE_TEST_POSTGRES"]
            address = re.search(r"@([0-9.:]+)/", self.postgres)[1]
            behind = self.env["ONSALE_TEST_KAFKA_BEHIND"]
            self.proxies = {
                "kafka": Proxy(toxiproxy, "kafka", behind, self.kafka_proxied),
                "postgres": Proxy(toxiproxy, "postgres", address, "127.0.0.1:0"),
            }
            self.postgres_proxied = self.postgres.replace(address, self.proxies["postgres"].address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def services(self, act, *names):
        command = [str(SERVICES), "--dir", str(TARGET / "outside"), act, *names]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "ONSALE_SERVICES_OWN": "1"})
        if done.returncode != 0:
            raise Failed(f"scripts/services {act}: {done.stderr.strip()}")
        return dict(re.findall(r"(ONSALE_TEST_\w+)=(\S+)", done.stdout))

    def __exit__(self, *_):
        self.services("wipe")


class Proxy:
    def __init__(self, api, name, upstream, listen):
        self.path = f"http://{api}/proxies"
        made = self._tell("POST", "", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})
        self.path += f"/{name}"
        self.address = made["listen"]

    def _tell(self, method, path, body=None):
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.path + path, content, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            text = reply.read()
        return json.loads(text) if text else {}

    def poison(self, kind, stream, **attributes):
        """Does something to what goes through, in one direction."""
        self._tell("POST", "/toxics", {"name": kind, "type": kind, "stream": stream, "attributes": attributes})

    def heal(self, kind):
        self._tell("DELETE", f"/toxics/{kind}")
