"""What happens to the process: kills, standing still, a clock that jumps, too little memory."""

import os
import resource
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from .. import sale as sales
from ..disks import NotHere
from ..play import say
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
    sale.serves_again(time.monotonic())
    return sale.close(f"SIGSTOP for {pause_s} s, then SIGCONT")


# A hold that a clock which is believed would let lapse, or keep for ever.
HOLD_TTL_S = 300
JUMPS_S = (7_200, -3_600, 172_800, -86_400, 0)


def clock(bench, sale, said_time):
    """Jumps of the machine's clock, as this process sees it."""
    performance, token, reservation = hold_for(sale, HOLD_TTL_S)
    for jump in JUMPS_S:
        said_time.write_text(f"{jump:+d}\n")
        sale.go_on(bench.either(4, 1.5))
    kept = sale.server.ask("GET", f"/v1/reservations/{reservation['reservation_id']}", token=token)
    sale.lines.append((f"a hold of {HOLD_TTL_S} s, made before", kept["state"], kept["state"] == "held"))
    held = sale.server.ask("GET", f"/v1/performances/{performance}/availability")["seats"]["held"]
    sale.lines.append(("and its place", ", ".join(held), held == ["A-1-1"]))
    jumps = ", ".join(f"{jump / 3_600:+.0f} h" for jump in JUMPS_S)
    return sale.close(f"the clock jumps to {jumps} of the time that it is")


def hold_for(sale, ttl_s):
    """Somebody holds a place of a performance of their own."""
    server, key = sale.server, sale.stage.key
    new = {
        "starts_at": "2099-12-31T19:00:00Z",
        "hold_ttl_s": ttl_s,
        "prices": {"R": 100},
        "chart": {"sections": [{"section": "A", "rows": [{"row": "1", "grade": "R", "seat_count": 2}]}]},
    }
    path = f"/v1/concerts/{sale.stage.facts['concerts'][0]}/performances"
    performance = server.ask("POST", path, new, key)["performance_id"]
    user = server.ask("POST", "/v1/users", {"email": "patient@example.com", "password": "correct horse battery"})
    token = user["session"]["token"]
    held = server.ask("POST", f"/v1/performances/{performance}/reservations", {"seats": ["A-1-1"]}, token)
    sale.load.held[held["reservation_id"]] = held["points"]
    sale.load.accounts += 1
    return performance, token, held


def faketime():
    """libfaketime's library; installed where it can be."""
    for _ in range(2):
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        if found:
            return str(found[0])
        if not shutil.which("apt-get") or os.geteuid() != 0:
            break
        say("installing libfaketime")
        own = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", "libfaketime"]):
            subprocess.run(["apt-get", *arguments], env=own, stdout=subprocess.DEVNULL)
    raise NotHere("libfaketime is missing; install the package libfaketime")


def memory(bench, sale):
    """It may take so much more, and no more; and somebody makes large houses until it has."""
    pid, spare = sale.server.pid, bench.either(256, 64) * MEGABYTE
    data = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmData"))
    limit = int(data.split()[1]) * 1024 + spare
    resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
    begun, houses = time.monotonic(), 0
    while sale.server.process.poll() is None:
        if time.monotonic() > begun + sales.ENDS_WITHIN_S:
            raise Failed("the limit is never reached")
        try:
            sale.stage.performances(1, rows=1, seats_per_row=100_000)
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
def with_a_clock(bench, folder):
    """The server's clock is what a file says."""
    said_time = folder.with_name("clock")
    folder.parent.mkdir(parents=True, exist_ok=True)
    said_time.write_text("+0\n")
    environment = {
        "LD_PRELOAD": faketime(),
        "FAKETIME_TIMESTAMP_FILE": str(said_time),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    yield Place(environment=environment, more=said_time)


FAULTS = [
    Fault("kill", "kill -9", kill),
    Fault("stop", "a process that stands still", stopped),
    Fault("clock", "a clock that jumps", clock, with_a_clock),
    Fault("memory", "too little memory", memory),
]
