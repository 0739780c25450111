"""The faults: what happens to a server while people buy.

- `bench`: what all are made of
- `process`, `disk`, `outside`: the faults of each kind"""

import time

from .. import sale as sales
from ..play import say
from . import disk, outside, process
from .bench import Bench

__all__ = ["Bench", "FAULTS", "play"]
FAULTS = [*process.FAULTS, *disk.FAULTS, *outside.FAULTS]


def play(fault, bench):
    """Runs a fault and saves what came of it; the result."""
    say(f"{fault.name}: {fault.title}")
    begun, folder = time.monotonic(), sales.folder_of(fault.name)
    with fault.place(bench, folder) as place:
        sale = None
        try:
            sale = sales.Sale(bench.program, fault.name, place)
            found = fault.run(bench, sale, *([] if place.more is None else [place.more]))
        finally:
            if sale:
                sale.abandon()
    found |= {"title": fault.title, "order": FAULTS.index(fault)}
    sales.saved(found, begun, bench.short)
    return found
