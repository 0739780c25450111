"""People in a queue, checked by programs that are not ours: examples/admission/ in Node and in Python, and the draw as
docs/guides/queue.md has it.  python admission.py http://127.0.0.1:8080 README.md NODE_FOLDER, with ONSALE_TEST_OPERATOR set
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request

url, readme, node = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
examples = pathlib.Path(__file__).resolve().parent.parent / "examples/admission"


def ask(method: str, path: str, token: str = "", body: object = None):
    request = urllib.request.Request(url + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(request, data) as answer:
        return json.load(answer)


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


organizer = ask("POST", "/v1/organizers", os.environ["ONSALE_TEST_OPERATOR"], {"name": "Queue"})["key"]["secret"]
queue = ask("POST", "/v1/queues", organizer, {"name": "Tour", "policy": {"manual": True}})["queue_id"]
joined = ask("POST", f"/v1/queues/{queue}/entries", organizer, {"visitor": "v-1"})
ask("POST", f"/v1/queues/{queue}/admissions", organizer, {"count": 1})
entry = f"/v1/queues/{queue}/entries/{joined['entry_id']}"
token = ask("GET", entry, joined["waiting_token"])["admission"]["token"]

# Where the libraries are, imports are found.
shutil.copy(examples / "verify.mjs", node / "verify.mjs")
# The same on a machine whose clock is off by so many seconds.
(node / "skew.mjs").write_text("const now = Date.now, off = 1000 * process.env.SKEW_S;\n"
    "globalThis.Date = class extends Date { constructor(...a) { super(...(a.length ? a : [now() + off])); }\n"
    "  static now() { return now() + off; } };\n")
skew = "import datetime as d, os, runpy, sys, jwt.api_jwt as j\n" \
    "class Skewed(d.datetime):\n" \
    "    @classmethod\n" \
    "    def now(cls, tz=None): return d.datetime.now(tz) + d.timedelta(seconds=int(os.environ['SKEW_S']))\n" \
    "j.datetime = Skewed\n" \
    "sys.argv = sys.argv[1:]\n" \
    "runpy.run_path(sys.argv[0])\n"
skewed = {
    "Node": ["node", "--import", str(node / "skew.mjs"), str(node / "verify.mjs")],
    "Python": [sys.executable, "-c", skew, str(examples / "verify.py")],
}
programs = {"Node": ["node", str(node / "verify.mjs")], "Python": [sys.executable, str(examples / "verify.py")]}
head, claims, signature = token.split(".")
forged = ".".join([head, claims[:-1] + ("A" if claims[-1] != "A" else "B"), signature])
other = ask("POST", "/v1/queues", organizer, {"name": "Other", "policy": {"manual": True}})["queue_id"]


def check() -> None:
    for name, program in programs.items():
        right = run(*program, url, queue, token)
        if right.returncode != 0 or json.loads(right.stdout)["sub"] != "v-1":
            raise SystemExit(f"{name} does not take an admission: {right.stdout}{right.stderr}")
        for what, arguments in {
            "an altered token": [url, queue, forged],
            "a token of another queue": [url, other, token],
            "a token of another issuer": [url, queue, token, "somebody"],
        }.items():
            if run(*program, *arguments).returncode == 0:
                raise SystemExit(f"{name} takes {what}")


check()
# It is good from 30 s before its admission to `claim_ttl_s` (120 s) and a few seconds after; checkers add 30 s.
for name, program in skewed.items():
    for seconds in (-90, -50, -20, -1, 0, 1, 60, 140, 180):
        taken = -90 < seconds < 180
        os.environ["SKEW_S"] = str(seconds)
        answer = run(*program, url, queue, token)
        if (answer.returncode == 0) != taken:
            what = "refuses" if taken else "takes"
            raise SystemExit(f"{name}, {seconds} s off, {what} a fresh admission: {answer.stdout}{answer.stderr}")
ask("POST", "/v1/signing-keys/rotation", os.environ["ONSALE_TEST_OPERATOR"], {})
check()

# The draw, by the lines that docs/guides/queue.md has for it.
opens_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
body = {"name": "Draw", "policy": {"manual": True}, "opens_at": opens_at}
drawn = ask("POST", "/v1/queues", organizer, body)["queue_id"]
for number in range(50):
    ask("POST", f"/v1/queues/{drawn}/entries", organizer, {"visitor": f"v-{number}"})
for _ in range(100):
    draw = ask("GET", f"/v1/queues/{drawn}/draw")
    if draw["seed"]:
        break
    time.sleep(0.1)
block = re.search(r"```python\n(# draw\.py.*?)```", readme.read_text(), re.S)
if not block:
    raise SystemExit("docs/guides/queue.md does not show how a draw is checked")
(node / "draw.py").write_text(block[1])
(node / "draw.json").write_text(json.dumps(draw))
right = run(sys.executable, str(node / "draw.py"), str(node / "draw.json"))
if right.returncode != 0 or len(draw["order"]) != 50:
    raise SystemExit(f"the draw is wrong: {right.stdout}{right.stderr}")
draw["order"][0], draw["order"][1] = draw["order"][1], draw["order"][0]
(node / "draw.json").write_text(json.dumps(draw))
if run(sys.executable, str(node / "draw.py"), str(node / "draw.json")).returncode == 0:
    raise SystemExit("a draw that was tampered with is not found")
print("admissions and a draw were checked")
