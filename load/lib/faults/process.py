"""What happens to the process: kills, standing still, a clock that jumps, too little memory."""

import resource
import shutil
import signal
import struct
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from .. import sale as sales
from ..disks import NotHere
from ..k6 import LOAD
from ..server import Failed
from .bench import MEGABYTE, Fault, Place


def kill(bench, sale):
    for _ in range(bench.kills):
        bench.wait_a_moment(sale)
        killed = sale.kill()
        sale.start_again()
        sale.serves_again(killed)
    return sale.close(f"kill -9, {bench.kills} times, and started again (seed {bench.seed})")


def stopped(bench, sale):
    pause_s = bench.either(10, 2)
    sale.server.process.send_signal(signal.SIGSTOP)
    time.sleep(pause_s)
    sale.server.process.send_signal(signal.SIGCONT)
    sale.serves_again(time.monotonic(), anew=False)
    return sale.close(f"SIGSTOP for {pause_s} s, then SIGCONT")


# A hold whose time is up once the clock leaps. What the buyers hold and their sessions must outlast the leaps.
HOLD_TTL_S = 300
JUMPS_S = (2_400, -3_600, 3_000, -86_400, 0)


def clock(bench, sale, jump_to):
    """Jumps of the machine's clock, as this process sees it."""
    performance, token, reservation = hold_for(sale, HOLD_TTL_S)
    for jump in JUMPS_S:
        jump_to(jump)
        sale.go_on(bench.either(4, 1.5))
    kept = sale.server.ask("GET", f"/v1/reservations/{reservation['reservation_id']}", token=token)
    sale.lines.append((f"a hold of {HOLD_TTL_S} s, made before", kept["state"], kept["state"] == "expired"))
    held = sale.server.ask("GET", f"/v1/performances/{performance}/availability")["seats"]["held"]
    sale.lines.append(("its place is held by", ", ".join(held) or "nobody", held == []))
    jumps = ", ".join(f"{jump / 60:+.0f} min" for jump in JUMPS_S)
    return sale.close(f"the clock jumps to {jumps} of the time that it is")


def open_house(sale, seats, **more):
    """A performance of its own, of one row."""
    new = {
        "starts_at": "2099-12-31T19:00:00Z",
        "prices": {"R": 100},
        "chart": {"sections": [{"section": "A", "rows": [{"row": "1", "grade": "R", "seats": seats}]}]},
        **more,
    }
    path = f"/v1/concerts/{sale.stage.facts['concerts'][0]}/performances"
    return sale.server.ask("POST", path, new, sale.stage.key)["performance_id"]


def hold_for(sale, ttl_s):
    """Somebody holds a place of a performance of their own."""
    server, performance = sale.server, open_house(sale, ["1", "2"], hold_ttl_s=ttl_s)
    user = server.ask("POST", "/v1/users", {"email": "patient@example.com", "password": "correct horse battery"})
    token = user["session"]["token"]
    held = server.ask("POST", f"/v1/performances/{performance}/reservations", {"seats": ["A-1-1"]}, token)
    sale.load.held[held["reservation_id"]] = held["points"]
    sale.load.accounts += 1
    return performance, token, held


def jumping_clock(folder):
    """tests/crash/clock.c, built: a library that moves a process's clock."""
    library = folder / "clock.so"
    source = LOAD.parent / "tests" / "crash" / "clock.c"
    if not shutil.which("cc"):
        raise NotHere("there is no C compiler (cc), which the library needs that moves the clock")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    return library


def memory(bench, sale):
    """It may take so much more, and no more; and somebody makes large houses until it has."""
    pid, spare = sale.server.pid, bench.either(256, 64) * MEGABYTE
    data = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmData"))
    limit = int(data.split()[1]) * 1024 + spare
    resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
    # Each seat by a name of its own: that takes room.
    begun, houses, seats = time.monotonic(), 0, [f"s{number}" for number in range(100_000)]
    while sale.server.process.poll() is None:
        if time.monotonic() > begun + sales.ENDS_WITHIN_S:
            raise Failed("the limit is never reached")
        try:
            open_house(sale, seats)
            houses += 1
        except (Failed, OSError, ValueError):
            # Refused for want of memory, or it has ended.
            time.sleep(0.05)
    ended = time.monotonic()
    code, said = sale.ended()
    sale.start_again()
    sale.serves_again(ended)
    happened = f"memory is limited to {limit / MEGABYTE:,.0f} MB (RLIMIT_DATA) and used up; it is started again without"
    return sale.close(happened, f"{houses} large houses later it ended with {code}, “{said}”")


@contextmanager
def without_tables(bench, folder):
    """Read models of houses that are large on purpose would take minutes, and are not what this is about."""
    # And a GiB would be set aside from the start, all of which would have to be filled.
    yield Place(args=("--read-models", "off"), environment={"MIMALLOC_ARENA_RESERVE": "8192"})


@contextmanager
def with_a_clock(bench, folder):
    """The server's clock is what a file says."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    added = folder.with_name("clock")
    with open(added, "wb", buffering=0) as file:

        def jump(seconds):
            file.seek(0)
            file.write(struct.pack("<q", seconds))

        jump(0)
        environment = {"LD_PRELOAD": str(jumping_clock(folder.parent)), "JUMPING_CLOCK": str(added)}
        yield Place(environment=environment, more=jump)


FAULTS = [
    Fault("kill", "kill -9", kill),
    Fault("stop", "a process that stands still", stopped),
    Fault("clock", "a clock that jumps", clock, with_a_clock),
    Fault("memory", "too little memory", memory, without_tables),
]
