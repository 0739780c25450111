"""A server that sells while something happens to it, and what became of everything that it acknowledged."""

import os
import shutil
import statistics
import subprocess
import time

from . import books, k6, result
from .buyers import BUYERS, Load
from .process import machine
from .server import Failed, Server
from .stage import Stage

# Places of a performance.
ROWS, SEATS = 50, 1_000
# Answers before anything happens, and how long the load is then looked at.
WARM_ANSWERS = 500
BEFORE_S = 1.5
ENDS_WITHIN_S = 120
CAUGHT_UP_WITHIN_S = 120
# How a line begins that says why it ends: its own, or its allocator's.
LAST_WORDS = ("onsale: ", "memory allocation of")


class Sale:
    """`again_s`: how long it took, each time, until somebody bought again."""

    def __init__(self, program, name, place):
        """`place`: of the faults', with what the server is started with."""
        self.program, self.name, self.folder = program, name, folder_of(name)
        self.args, self.environment = list(place.args), place.environment
        self.again_s, self.lines = [], []
        self.server = Server(program, self.folder, self.args, data=place.data, environment=place.environment)
        try:
            self.stage = Stage(self.server)
            self.stage.performances(place.performances, rows=ROWS, seats_per_row=SEATS)
            # Before anybody buys, all that there is to buy is in the tables.
            self._wait_until_caught_up()
            self.load = Load(self.server, self.stage.facts, ROWS, SEATS)
            self.load.wait_for_answers(0, WARM_ANSWERS)
            begun = time.monotonic()
            self.go_on(BEFORE_S)
        except BaseException:
            self.abandon()
            raise
        self.before = self.load.seen(begun, time.monotonic())
        self.begun = time.monotonic()

    def go_on(self, seconds):
        """They buy on for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.load.look()
            time.sleep(min(0.05, max(0.0, until - time.monotonic())))

    def kill(self):
        """As a power cut would; the instant of it."""
        at = time.monotonic()
        self.server.process.kill()
        self.server.process.wait()
        return at

    def ended(self):
        """Waits until it has ended by itself; how, and what it said last about it."""
        try:
            code = self.server.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"the server goes on after {ENDS_WITHIN_S} s") from None
        said = self.server.output.read_text(errors="replace").splitlines()
        return code, next((line for line in said if line.startswith(LAST_WORDS)), "")

    def start_again(self, **confined):
        """On what is there, at the same address."""
        self.server = Server(
            self.program,
            self.folder,
            self.args,
            data=self.server.data,
            environment=self.environment,
            before=self.server,
            **confined,
        )

    def serves_again(self, since, anew=True):
        """Notes how long after `since` somebody bought again; `anew`: of a process that was started since."""
        self.again_s.append(self.load.wait_for_answers(since, anew=anew) - since)

    def close(self, happened, told="", flags=()):
        """Lets everybody finish, stops the server in order, compares; the fault's result. `flags`: how `onsale verify` is to
        compare the read models; none: it is not."""
        ended = time.monotonic()
        self.load.wait_for_answers(ended, WARM_ANSWERS)
        seen = self.load.seen(self.begun, ended)
        self.load.stop()
        if flags:
            self._wait_until_caught_up()
        self.server.stop()
        self.lines += compare(self.program, self.server.data, self.load)
        if flags:
            self.lines.append(tables_equal(self.program, self.server.data, flags))
        return self._result(happened, told, seen)

    def _result(self, happened, told, seen):
        trouble = ", ".join(f"{count:,} × {what}" for what, count in sorted(seen["trouble"].items()))
        saw = f"{seen['answers']:,} writes; {trouble or 'no trouble'}; nothing for {seconds(seen['longest_gap_s'])} at most"
        again = "never stopped"
        if len(self.again_s) == 1:
            again = seconds(self.again_s[0])
        elif self.again_s:
            again = f"{seconds(statistics.median(self.again_s))}, at most {seconds(max(self.again_s))}"
        return {
            "scenario": f"fault-{self.name}",
            "happened": happened + (f": {told}" if told else ""),
            "load": f"{self.before['rate']:,.0f} writes/s by {BUYERS} buyers",
            "saw": saw,
            "again": again,
            "books": [{"what": what, "value": str(value), "ok": ok} for what, value, ok in self.lines],
            "verdict": [],
            "series": self.load.series(),
            "machine": machine(),
            "commit": result.commit(),
            "at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        }

    def outputs(self):
        """What `/readyz?verbose` says of all that the log goes out to."""
        return {one["name"]: one for one in self.server.ask("GET", "/readyz?verbose")["outputs"]}

    def _wait_until_caught_up(self):
        until = time.monotonic() + CAUGHT_UP_WITHIN_S
        while any(one["lag_events"] or one["status"] != "ok" for one in self.outputs().values()):
            if time.monotonic() > until:
                raise Failed(f"what the log goes out to does not catch up: {self.outputs()}")
            time.sleep(0.05)

    def abandon(self):
        """Nothing of it goes on."""
        if self.server.process.poll() is None:
            self.server.process.kill()
            self.server.process.wait()
        if hasattr(self, "load"):
            self.load.ending = True


def folder_of(name):
    return k6.TARGET / "run" / f"fault-{name}"


def seconds(value):
    return f"{1000 * value:,.0f} ms" if value < 1 else f"{value:.1f} s"


class Everything(books.Log):
    """With those who signed up."""

    def __init__(self, binary, data):
        self.accounts = 0
        super().__init__(binary, data)

    def _AccountCreated(self, _, data):
        self.accounts += 1


def compare(program, data, load):
    """The books: what was acknowledged is there, and nothing else is: everybody asked until they were told."""
    found, _ = books.verified(program, data)
    log = Everything(program, data)
    broken = [name for name, value in found.items() if name != "ok" and value]
    lines = [
        ("onsale verify: broken rules", ", ".join(broken) or "none", found.get("ok") is True),
        ("places with two owners", len(log.twice), not log.twice),
    ]
    for what, told, there in (("holds", load.held, log.held), ("payments", load.paid, log.paid)):
        lines.append((what, f"{len(told):,} / {len(there):,}", told == there and bool(told)))
    for what, told, there in (("sign-ups", load.accounts, log.accounts), ("points charged", load.charged, log.charged)):
        lines.append((what, f"{told:,} / {there:,}", told == there))
    return lines


def tables_equal(program, data, flags):
    """Whether read models equal the log."""
    done = subprocess.run(
        [program, "verify", str(data), "--read-models", *flags], capture_output=True, text=True, env=plain_environment()
    )
    equal = done.returncode == 0 and "equal the log" in done.stderr
    return "read models", "equal the log" if equal else done.stderr.strip()[-400:], equal


def plain_environment():
    """Without what is set for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ONSALE_")}


def saved(found, begun, short):
    """Keeps a fault's result for the report; what was on disk goes where the books hold."""
    found |= {"short": short, "seconds": time.monotonic() - begun}
    result.save(found, short)
    if result.holds(found):
        shutil.rmtree(k6.TARGET / "run" / found["scenario"], ignore_errors=True)
