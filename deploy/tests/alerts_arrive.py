"""A server is killed, and the message is there: at a URL that is shaped like Slack's, and in a mailbox. Then it is started again,
and that is told, too.

Prometheus and Alertmanager are Debian's; the configurations are those of deploy, with addresses of this machine and shorter waits.

    alerts_arrive.py BINARY
"""

import base64
import email
import email.policy
import http.server
import json
import pathlib
import queue
import re
import shutil
import socketserver
import sys
import tempfile
import threading
import time

from processes import PROGRAMS, ROOT, Onsale, Process, Prometheus, fetch, free_port, wait_for

RUNBOOK = "https://onsale.dev/book/runbooks/OnsaleDown.html"
PASSWORD = "the mailbox's password"


class Slack(http.server.BaseHTTPRequestHandler):
    """An incoming webhook: takes JSON at its own path, answers `ok`."""

    path_known = "/services/T000/B000/a-token"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        known = self.path == self.path_known
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"ok" if known else b"no_service")
        if known:
            self.server.messages.put(json.loads(body))

    def log_message(self, *_):
        pass


class Mail(socketserver.StreamRequestHandler):
    """An SMTP server (RFC 5321) that wants a name and a password (RFC 4954)."""

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        signed_in, to = False, []
        self.say("220 mail.test ESMTP")
        while line := self.rfile.readline():
            line = line.decode().strip()
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                self.say("250-mail.test")
                self.say("250 AUTH PLAIN LOGIN")
            elif verb == "AUTH":
                signed_in = self.sign_in(line)
                self.say("235 2.7.0 welcome" if signed_in else "535 5.7.8 wrong name or password")
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            elif not signed_in:
                self.say("530 5.7.0 sign in first")
            elif verb == "MAIL":
                to = []
                self.say("250 2.1.0 ok")
            elif verb == "RCPT":
                to.append(re.search(r"<(.*)>", line)[1])
                self.say("250 2.1.5 ok")
            elif verb == "DATA":
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line[1:] if line.startswith(b".") else line)
                self.say("250 2.0.0 taken")
                self.server.messages.put((to, email.message_from_bytes(b"".join(lines), policy=email.policy.default)))
            else:
                self.say("250 2.0.0 ok")

    def sign_in(self, line):
        words = line.split(" ")
        if words[1].upper() == "PLAIN":
            _, user, password = base64.b64decode(words[2]).decode().split("\0")
        else:
            self.say("334 " + base64.b64encode(b"Username:").decode())
            user = base64.b64decode(self.rfile.readline()).decode()
            self.say("334 " + base64.b64encode(b"Password:").decode())
            password = base64.b64decode(self.rfile.readline()).decode()
        return (user, password) == ("onsale@example.com", PASSWORD)


def receive(server):
    server.messages = queue.Queue()
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def put(text, *pairs):
    """`text` with each first one of a pair replaced; it is an error where one is not there."""
    for old, new in pairs:
        assert old in text, f"{old!r} is not there any more"
        text = text.replace(old, new)
    return text


def prometheus_config(folder, server_port, alertmanager_port):
    rules = folder / "alerts"
    rules.mkdir()
    for path in (ROOT / "deploy/alerts").glob("*.yml"):
        if not path.stem.endswith("_test"):
            shutil.copy(path, rules)
    # What the unit tests hold against time is not waited for here.
    sale = rules / "sale.yml"
    sale.write_text(put(sale.read_text(), ("for: 30s", "for: 2s")))
    return put((ROOT / "deploy/prometheus.yml").read_text(), ("onsale:8080", f"127.0.0.1:{server_port}"),
               ("alertmanager:9093", f"127.0.0.1:{alertmanager_port}"), ("scrape_interval: 5s", "scrape_interval: 1s"),
               ("evaluation_interval: 5s", "evaluation_interval: 1s"))


def alertmanager(folder, port, slack, mail):
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "slack-url").write_text(f"http://127.0.0.1:{slack.server_address[1]}{Slack.path_known}")
    (secrets / "smtp-password").write_text(PASSWORD)
    config = put((ROOT / "deploy/alertmanager.yml").read_text(), ("/etc/alertmanager/secrets", str(secrets)),
                 ("/etc/alertmanager/templates", str(ROOT / "deploy/alertmanager")),
                 ("mail.example.com:587", f"127.0.0.1:{mail.server_address[1]}\n  smtp_require_tls: false"),
                 ("group_wait: 10s", "group_wait: 1s"), ("group_interval: 1m", "group_interval: 1s"))
    path = folder / "alertmanager.yml"
    path.write_text(config)
    return Process(folder, "alertmanager", PROGRAMS / "prometheus-alertmanager", f"--config.file={path}",
                   f"--storage.path={folder}/alertmanager-data", f"--web.listen-address=127.0.0.1:{port}",
                   "--cluster.listen-address=", "--log.level=warn",
                   ready=lambda: fetch(f"http://127.0.0.1:{port}/-/ready"))


def told(slack, mail, word, within_s=40):
    """Both messages, when they say it."""
    posted = slack.messages.get(timeout=within_s)
    to, letter = mail.messages.get(timeout=within_s)
    said = posted["attachments"][0]
    title = f"[{word}] Onsale does not answer: nobody can buy"
    assert said["title"] == title, posted
    assert posted["channel"] == "#onsale" and said["title_link"] == RUNBOOK, posted
    assert said["color"] == ("good" if word == "over" else "danger"), posted
    assert to == ["on-call@example.com"] and letter["Subject"] == title and letter["From"] == "onsale@example.com", letter
    text = letter.get_body(("plain",)).get_content()
    for text in [text, said["text"]]:
        assert "OnsaleDown (critical)" in text and RUNBOOK in text, text


def main(binary):
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        slack = receive(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slack))
        mail = receive(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail))
        port, to = free_port(), free_port()
        with Onsale(binary, folder, port) as server, alertmanager(folder, to, slack, mail), \
                Prometheus(folder, prometheus_config(folder, port, to)) as prometheus:
            wait_for("Prometheus sees the server", lambda: [value for _, value in prometheus.query("up") if value == 1])
            time.sleep(2)
            assert slack.messages.empty() and mail.messages.empty(), "there is nothing to tell yet"
            killed = time.monotonic()
            server.kill()
            told(slack, mail, "critical")
            arrived = time.monotonic() - killed
            with Onsale(binary, folder, port):
                told(slack, mail, "over")
        slack.shutdown()
        mail.shutdown()
    print(f"alerts arrive: Slack and e-mail {arrived:.1f} s after the server was killed (of shortened waits), and when it was "
          f"back; {time.monotonic() - begun:.0f} s in all")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
