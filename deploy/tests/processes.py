"""What the tests of deploy start: each with files and a port of its own, and gone when the test ends, however it ends."""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPERATOR_KEY = "opk_the-key-of-the-tests-operator"
PATIENCE_S = 60
# Of Debian, as scripts/services unpacks them.
PROGRAMS = pathlib.Path(os.environ.get("ONSALE_TEST_PROMETHEUS", ""))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def wait_for(what, look, within_s=PATIENCE_S, ended=lambda: False):
    """What `look` gives as soon as that is something; an error when time is up, or there is nothing to wait for any more."""
    until = time.monotonic() + within_s
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            found = look()
            if found:
                return found
        assert not ended(), f"{what}: it has ended"
        assert time.monotonic() <= until, f"{what}: not within {within_s} s"
        time.sleep(0.1)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A program that runs in the background, with what it says in a file."""

    def __init__(self, folder, name, *command, ready, env=None):
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                env={**os.environ, **(env or {})}, preexec_fn=die_with_parent)
        try:
            wait_for(f"{name} is ready", ready, ended=lambda: self.process.poll() is not None)
        except AssertionError:
            self.__exit__(AssertionError)
            raise

    def said(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.kill()
        if kind is not None:
            print(f"--- the end of {self.log.name}\n{self.said()[-3000:]}", flush=True)


class Onsale(Process):
    """A server that is ready."""

    def __init__(self, binary, folder, port, *arguments, name="onsale", scheme="http"):
        env = {"ONSALE_OPERATOR_KEY": OPERATOR_KEY}
        self.url = f"{scheme}://127.0.0.1:{port}"
        cheap = ["--password-memory-kib", "8", "--password-passes", "1"]
        open_ = ["--limit-user-per-minute", "0", "--limit-key-per-minute", "0", "--limit-sign-in-per-minute", "0"]
        super().__init__(folder, name, binary, "serve", "--listen", f"127.0.0.1:{port}", "--data", folder / f"{name}-data",
                         *cheap, *open_, *arguments, env=env, ready=lambda: f"listening on {self.url}" in self.said())


class Prometheus(Process):
    """Prometheus with a configuration, and its answers."""

    def __init__(self, folder, config):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        (folder / "prometheus.yml").write_text(config)
        super().__init__(folder, "prometheus", PROGRAMS / "prometheus", f"--config.file={folder}/prometheus.yml",
                         f"--storage.tsdb.path={folder}/prometheus-data", f"--web.listen-address=127.0.0.1:{port}",
                         "--log.level=warn", ready=lambda: fetch(f"{self.url}/-/ready"))

    def query(self, expression, at=None):
        """The values now, or at a time; each is (labels, number)."""
        asked = {"query": expression, **({} if at is None else {"time": at})}
        try:
            answer = json.loads(fetch(f"{self.url}/api/v1/query?{urllib.parse.urlencode(asked)}"))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from error
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]
