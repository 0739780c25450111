"""What happens to the disk: power cuts, full, failing and slow ones."""

import subprocess
import time
from contextlib import contextmanager

from .. import sale as sales
from ..disks import Forgetful, Tmpfs
from ..server import Failed
from .bench import MEGABYTE, Fault, Place

SLOW_SYNC_MS = 500
# sysexits' EX_IOERR: the log cannot be written.
EXIT_LOG_FAILED = 74
# What a disk of its own is too small for.
OWN_DISK = ("--read-models", "off", "--journal-bytes", str(MEGABYTE))
# Every now and then the log is read for a snapshot.
READS = ("--snapshot-events", "2000")


def power(bench, sale, disk):
    cuts, forgotten = bench.either(30, 4), 0
    for _ in range(cuts):
        bench.wait_a_moment(sale)
        cut = sale.kill()
        forgotten += disk.cut_power(bench.random.randrange(1 << 32))
        sale.start_again()
        sale.serves_again(cut)
    if not forgotten:
        raise Failed("everything was synced at every cut, which proves nothing")
    told = f"{forgotten:,} writes and names were not synced"
    return sale.close(f"the power is cut {cuts} times (seed {bench.seed})", told)


def ends_and_goes_on(sale, repair):
    """Waits until it stops by itself, as it must, and starts it again on what was repaired; what it said."""
    code, said = sale.ended()
    if code != EXIT_LOG_FAILED:
        raise Failed(f"the server ended with {code} and not with {EXIT_LOG_FAILED}: {said}")
    repair()
    repaired = time.monotonic()
    sale.start_again()
    sale.serves_again(repaired)
    return f"exit {code}, “{said.removeprefix('onsale: ')}”"


def full(_, sale, disk):
    # Buyers fill it.
    told = ends_and_goes_on(sale, lambda: disk.grow("2g"))
    return sale.close("the disk is full; somebody makes room and starts it again", told)


def failing(what, title):
    def run(bench, sale, disk):
        disk.trouble(what)

        def repair():
            disk.trouble()
            # What a failed write or sync has left of it, nobody knows.
            disk.cut_power(bench.random.randrange(1 << 32))

        told = ends_and_goes_on(sale, repair)
        return sale.close(f"each {title} fails (EIO); the disk is repaired and it is started again", told)

    return run


def unreadable(bench, sale, disk):
    disk.trouble("reads")
    until = time.monotonic() + bench.either(10, 4)
    while time.monotonic() < until and sale.server.process.poll() is None:
        time.sleep(0.05)
    told = "it went on, and told 503 to who was new"
    if sale.server.process.poll() is not None:
        told = ends_and_goes_on(sale, disk.trouble)
    else:
        disk.trouble()
    return sale.close("each read fails (EIO), then the disk is repaired", told)


def slow_sync(bench, sale, disk):
    disk.trouble(f"slow={SLOW_SYNC_MS}")
    begun = time.monotonic()
    sale.go_on(bench.either(20, 4))
    seen = sale.load.seen(begun, time.monotonic())
    disk.trouble()
    told = f"{seen['rate']:,.0f} writes/s, the slowest answered after {sales.seconds(seen['slowest_s'])}"
    return sale.close(f"each fsync takes {SLOW_SYNC_MS} ms", told)


@contextmanager
def own_disk(make, folder, args):
    """A server's data on a disk that is there as long as it is."""
    mounted = folder.with_name(folder.name + "-disk")
    if mounted.exists():
        # Of a run that was killed.
        if mounted.is_mount():
            subprocess.run(["umount", str(mounted)], check=True)
        mounted.rmdir()
    disk = make(mounted)
    try:
        yield Place(args=OWN_DISK + args, data=disk.folder / "data", more=disk)
    finally:
        disk.close()
        mounted.rmdir()


def forgetful(args=()):
    return lambda bench, folder: own_disk(Forgetful, folder, args)


def small(bench, folder):
    return own_disk(lambda mounted: Tmpfs(mounted, bench.either(48, 12) * MEGABYTE), folder, ())


FAULTS = [
    Fault("power", "power cuts", power, forgetful()),
    Fault("full", "a full disk", full, small),
    Fault("eio-write", "a disk that cannot be written", failing("writes", "write"), forgetful()),
    Fault("eio-sync", "a disk that cannot be synced", failing("syncs", "fsync"), forgetful()),
    Fault("eio-read", "a disk that cannot be read", unreadable, forgetful(READS)),
    Fault("slow-sync", "a slow disk", slow_sync, forgetful()),
]
