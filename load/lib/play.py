"""Plays a scenario from an empty folder to checked books."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from . import books, k6, report, result
from .server import Failed, Server
from .stage import Stage

# A short run: its rates, people and times are those of the shape divided by this.
SHORT = 20
REPOSITORY = k6.LOAD.parent
ONE_CORE_BYTES = 1 << 30


def main_of(tool, main):
    """Runs a tool's main as its process: what fails in one line, and a run that is ended leaves no server behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    k6.TARGET.mkdir(parents=True, exist_ok=True)
    with open(k6.TARGET / "lock", "w") as lock:
        try:
            # Two at once would measure each other, and share folders.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"{tool}: another run is under way in {k6.TARGET}")
        try:
            sys.exit(main())
        except Failed as failed:
            sys.exit(f"{tool}: {failed}")
        except KeyboardInterrupt:
            sys.exit(130)


def say(text):
    print(text, file=sys.stderr, flush=True)


def binary():
    """The server's program: ONSALE_BINARY, or this repository's release build, built now if it is not up to date."""
    given = os.environ.get("ONSALE_BINARY")
    if given:
        if not os.access(given, os.X_OK):
            raise Failed(f"ONSALE_BINARY={given}: there is no such program")
        return os.path.abspath(given)
    say("building the release binary")
    built = subprocess.run(
        [
            "cargo",
            "build",
            "--release",
            "--locked",
            "--features",
            "kafka-tls",
            "--bin",
            "onsale",
            "--message-format",
            "json-render-diagnostics",
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    programs = [json.loads(line).get("executable") for line in built.stdout.splitlines() if '"executable"' in line]
    programs = [program for program in programs if program]
    if built.returncode != 0 or not programs:
        raise Failed("cargo build --release failed")
    return programs[-1]


def play(scenario, program, short=1, report=None):
    """Runs it and saves what came of it; the result. `report`: which it is a part of, where that is not the one of `short`."""
    say(f"{scenario.name}: {scenario.title}")
    begun = time.monotonic()
    folder = k6.TARGET / "run" / scenario.name
    everywhere = sorted(os.sched_getaffinity(0))
    confined, note = {}, ""
    # The others are k6's, where there are others.
    k6_cores = everywhere[1:] or everywhere
    if scenario.one_core:
        confined = {"cores": everywhere[:1], "memory_bytes": ONE_CORE_BYTES}
        note = f"The server: core {everywhere[0]} alone, 1 GiB of memory (RLIMIT_DATA); k6: core {k6_cores[0]}."
    with Server(program, folder, **confined) as server:
        stage = Stage(server)
        scenario.setup(stage, short)
        run = k6.Run(
            scenario.script,
            scenario.mode,
            stage,
            server,
            folder,
            short,
            cores=k6_cores if scenario.one_core else None,
            environment=scenario.environment,
        )
        server.stop()
        lines, events = books.check(program, server.data, run, scenario.watched)
    found = result.of(scenario, run, lines, events, short, time.monotonic() - begun, note)
    result.save(found, report or short)
    if not result.holds(found):
        say("what k6 said last:\n" + "\n".join(run.log.splitlines()[-5:]))
    else:
        shutil.rmtree(folder)
    return found


def tell(found):
    """The verdict of one scenario, for a terminal."""
    table = report.summary([found])
    table.title, table.head = found["title"], table.head[1:5]
    table.rows = [row[1:5] for row in table.rows]
    print(table.text(), flush=True)


def finish(found, short, strict):
    """Writes the report; the exit code."""
    for path in report.write(short):
        print(f"report: {path}")
    if not all(map(result.holds, found)):
        print("the books DO NOT HOLD, or requests failed")
        return 1
    late = [one["scenario"] for one in found if result.is_short_of_a_target(one)]
    print("the books hold" + (f"; short of a target: {', '.join(late)}" if late else ""))
    return 1 if strict and late else 0
