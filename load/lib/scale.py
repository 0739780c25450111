"""Large things: made, then a server on them, and what it takes. What HTTP would make in hours is made by `onsale fill`."""

import itertools
import json
import resource
import shutil
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import k6, process, report, result
from .play import SHORT as SHORT_RUN
from .play import say
from .server import Failed, Server
from .stage import Stage

SHORT = 100
PLACES, PERFORMANCES, PEOPLE, STREAMS, EVENTS = 100_000, 10_000, 10_000_000, 20_000, 20_000_000
# Buyers of the crowd beside the streams, and its seats.
BUYERS, SEATS = 5_000, 2_000
# What a crowd of buyers and its server open besides.
FILES_BESIDE = 2_000
# The sizes of a log at which the same sale is measured, as shares of the largest.
GROWTH = (0.05, 0.25, 1.0)
SLOWER_MAX = 1.2
# On a folder that was filled they would be made first, for minutes, beside what is measured; and what they have not got is
# not archived.
NO_READ_MODELS = ("--read-models", "off")
READY_MAX_S, STEP_S = 60, 10
JOINS = 2_000
# More than one asks, and fewer than keep a core busy: a latency, not a throughput.
CALLERS = 2
# Nobody signs up twice, also on a folder that was bought from before.
FIRST_ACCOUNT = itertools.count(0, CALLERS)
FREE_BYTES_PER_EVENT, FREE_BYTES_PER_PERSON = 350, 1_200


class Lines:
    """What was found, with what is to be reached; a small run decides nothing by its times."""

    def __init__(self, by):
        self.by, self.rows = by, []

    def add(self, what, value, reach="", ok=None, always=False):
        ok = ok if always or self.by == 1 else None
        self.rows.append({"what": what, "value": value, "reach": reach, "ok": ok})
        say(f"  {what}: {value}")


def mb(count):
    return f"{count / 1e6:,.0f} MB"


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def told(program, *arguments):
    """The JSON object that a tool ends with."""
    ran = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    try:
        return json.loads(ran.stdout.splitlines()[-1]), ran.returncode
    except (IndexError, ValueError):
        raise Failed(f"onsale {arguments[0]}: {ran.stderr.strip().splitlines()[-1:]}") from None


def verify(program, data, lines):
    found, code = told(program, "verify", data, "--json")
    events = found.get("counts", {}).get("events", 0)
    lines.add(
        "the books", f"hold, {events:,} events" if code == 0 else str(found.get("violation")), "hold", code == 0, True
    )


def memory(server):
    return process.status(server.pid)["memory_bytes"]


def timed(ask, *arguments, **named):
    begun = time.monotonic()
    answer = ask(*arguments, **named)
    return (time.monotonic() - begun) * 1000, answer


def share(values, at):
    return sorted(values)[min(len(values) - 1, int(len(values) * at))]


def ms(values):
    return f"p50 {statistics.median(values):.2f} ms, p99 {share(values, 0.99):.2f} ms"


def restarted(program, folder, data, lines, what):
    """A server on a folder that is there; how long its start took, and what it takes then."""
    begun = time.monotonic()
    server = Server(program, folder, NO_READ_MODELS, data=data)
    seconds = time.monotonic() - begun
    lines.add(f"{what}: start", f"{seconds:.1f} s", f"< {READY_MAX_S} s", seconds < READY_MAX_S)
    lines.add(f"{what}: memory after the start", mb(memory(server)))
    return server


def buy_for(stage, seconds):
    """Some who hold a seat and pay, one after the other, for so long: the times of both, ms."""
    stage.accounts(CALLERS, first=next(FIRST_ACCOUNT))
    performances = stage.facts["performances"]
    until = time.monotonic() + seconds

    def caller(number):
        times, user, seat = [], stage.users[number], 0
        while time.monotonic() < until:
            wish = {"best_available": {"count": 1}}
            path = f"/v1/performances/{performances[(seat * CALLERS + number) % len(performances)]}/reservations"
            seat += 1
            took, held = timed(stage.server.ask, "POST", path, wish, user["token"])
            paid = f"/v1/reservations/{held['reservation_id']}/payment"
            took += timed(stage.server.ask, "POST", paid, {}, user["token"])[0]
            times.append(took)
            # Nobody may have more than a hundred places.
            stage.server.ask("DELETE", f"/v1/reservations/{held['reservation_id']}", token=user["token"])
        return times

    with ThreadPoolExecutor(CALLERS) as pool:
        return [took for times in pool.map(caller, range(CALLERS)) for took in times]


def places(program, folder, by, lines):
    count = PLACES // by
    with Server(program, folder) as server:
        stage, before = Stage(server), memory(server)
        seats = 40 if by > 1 else 100
        took, _ = timed(stage.performances, 1, rows=max(1, count // seats), seats_per_row=seats)
        lines.add(f"a performance of {count:,} places: made in", f"{took:.0f} ms")
        lines.add("memory for it", mb(memory(server) - before))
        path = f"/v1/performances/{stage.facts['performances'][0]}/availability"
        took, _ = timed(server.ask, "GET", path)
        lines.add("its availability", f"{took:.1f} ms")
        times = buy_for(stage, STEP_S if by == 1 else 2)
        lines.add("hold the best seat and pay", ms(times), "p99 < 50 ms", share(times, 0.99) < 50)
        server.stop()
    verify(program, server.data, lines)


def performances(program, folder, by, lines):
    count = PERFORMANCES // by
    with Server(program, folder) as server:
        stage = Stage(server)
        took, _ = timed(stage.performances, count, rows=50, seats_per_row=40)
        lines.add(f"{count:,} performances of 2,000 places: made in", f"{took / 1000:.1f} s")
        lines.add("memory with them", mb(memory(server)))
        times = buy_for(stage, STEP_S if by == 1 else 2)
        lines.add("hold the best seat and pay, in all in turn", ms(times), "p99 < 50 ms", share(times, 0.99) < 50)
        server.stop()
    with restarted(program, folder, server.data, lines, f"{count:,} performances") as server:
        server.stop()
    verify(program, server.data, lines)


def people(program, folder, by, lines):
    count = PEOPLE // by
    data, made = filled(program, folder, "--waiting", count, count * FREE_BYTES_PER_PERSON, lines, "people in a queue")
    with restarted(program, folder, data, lines, f"{count:,} people in a queue") as server:
        lines.add("memory at most", mb(process.status(server.pid)["memory_peak_bytes"]))
        path, joins, polls = f"/v1/queues/{made['queue_id']}/entries", [], []
        for _ in range(JOINS if by == 1 else JOINS // 10):
            took, entry = timed(server.ask, "POST", path)
            joins.append(took)
            own = f"{path}/{entry['entry_id']}"
            polls.append(timed(server.ask, "GET", own, token=entry["waiting_token"])[0])
        lines.add("join behind all of them", ms(joins), "p99 < 20 ms", share(joins, 0.99) < 20)
        lines.add("ask for one's rank", ms(polls), "p99 < 10 ms", share(polls, 0.99) < 10)
        server.stop()
    verify(program, data, lines)


def files_for(wanted):
    """How many files and sockets a program that is started from here may have open: as many as are wanted, if that may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (ValueError, OSError):
            return hard
    return wanted


def streams(program, folder, by, lines):
    count, buyers = STREAMS // by, max(20, BUYERS // by)
    # The crowd has one end of each stream, its server the other.
    files = files_for(count + FILES_BESIDE)
    possible = files - FILES_BESIDE
    if possible < count:
        lines.add("streams that open files allow", f"{possible:,} (ulimit -Hn: {files:,})", f"{count:,}", False, True)
        count = max(20, possible)
    arguments = ["crowd", "--json", "--watchers", count, "--seed", 1]
    arguments += ["--buyers", buyers, "--seats", max(20, SEATS // by)]
    found, code = told(program, *arguments)
    figures = {one["name"]: one for one in found.get("figures", [])}
    lines.add(
        f"{count:,} streams of availability and a crowd of {buyers:,}", f"{found['seconds']:.1f} s"
    )
    for name, one in figures.items():
        if one.get("value") is not None:
            lines.add(name, f"{one['value']:,.1f} {one['unit']}")
    books = found.get("books", {})
    lines.add("the books", "hold" if code == 0 else json.dumps(books), "hold", code == 0, True)


def events(program, folder, by, lines):
    found = []
    for part in GROWTH:
        count = int(EVENTS * part) // by
        what = f"{count:,} events"
        data, _ = filled(program, folder, "--events", count, count * FREE_BYTES_PER_EVENT, lines, "events")
        lines.add(f"{what}: log on disk, by event", f"{size_of(data / 'log' / 'sled') / count:,.0f} bytes")
        with restarted(program, folder, data, lines, what) as server:
            found.append(latency(server, by, lines, what))
            server.stop()
    median, tail = (found[-1][at] / found[0][at] for at in range(2))
    beside = f"{int(EVENTS * GROWTH[0]) // by:,}"
    lines.add(f"{what}: median against {beside}", f"{median:.2f}", f"≤ {SLOWER_MAX}", median <= SLOWER_MAX)
    # Of some thousand sales the slowest hundredth differs by a fifth from run to run, too.
    lines.add(f"{what}: p99 against {beside}", f"{tail:.2f}")
    verify(program, data, lines)
    archived(program, folder, data, by, lines)


def latency(server, by, lines, what):
    stage = Stage(server)
    stage.performances(8, rows=50, seats_per_row=40)
    times = buy_for(stage, STEP_S if by == 1 else 2)
    lines.add(f"{what}: hold and pay", ms(times))
    return statistics.median(times), share(times, 0.99)


def archived(program, folder, data, by, lines):
    """The same log with its events in archive files."""
    before = size_of(data)
    found, code = told(program, "archive", "--json", "--keep-days", 0, "--data", data, *NO_READ_MODELS)
    count = found.get("archived_events", 0)
    lines.add(
        "archived", f"{count:,} events in {found['seconds']:.1f} s", "all but the last", code == 0 and count > 0, True
    )
    if count == 0:
        return
    files = sum(one["file_bytes"] for one in found["files"])
    lines.add("archive files, by event", f"{files / max(1, count):,.0f} bytes")
    lines.add("data folder without them", f"{mb(size_of(data) - files)}, was {mb(before)}")
    shutil.move(data / "log" / "archive", folder / "away")
    with restarted(program, folder, data, lines, "archived, files away") as server:
        latency(server, by, lines, "archived, files away")
        server.stop()
    shutil.move(folder / "away", data / "log" / "archive")
    verify(program, data, lines)


def filled(program, folder, kind, count, room, lines, what):
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < room:
        raise Failed(
            f"{count:,} {what} need {room / 1e9:.0f} GB of disk, {free / 1e9:.0f} GB are free: --by makes them fewer"
        )
    found, _ = told(program, "fill", data, kind, count)
    lines.add(f"{count:,} {what}: made without HTTP in", f"{found['seconds']:.0f} s")
    return data, found


PARTS = {"places": places, "performances": performances, "people": people, "streams": streams, "events": events}


def measure(parts, by, program):
    """Measures, saves; a part that is not asked for keeps what an earlier run found."""
    short = SHORT_RUN if by > 1 else 1
    found = result.saved(short).get("scale", {"scenario": "scale", "parts": {}})
    for name in parts:
        say(f"scale: {name}")
        folder, lines = k6.TARGET / "scale" / name, Lines(by)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            PARTS[name](program, folder, by, lines)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        at, commit = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()), result.commit()
        found["parts"][name] = {"by": by, "at": at, "commit": commit, "rows": lines.rows}
        found |= {"machine": process.machine(), "at": at, "commit": commit}
    result.save(found, short)
    return found


def tell(found, parts):
    measured = {"parts": {name: found["parts"][name] for name in parts}}
    for table in report.tables_of_scale(measured):
        print(table.text(), flush=True)


def is_good(found, parts):
    return all(row["ok"] is not False for name in parts for row in found["parts"][name]["rows"])
