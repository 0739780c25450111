"""What all faults are made of."""

import os
import random
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

MEGABYTE = 1 << 20
# Between two kills or cuts somebody buys for a random part of this, s.
BETWEEN_S = 0.4
# Of 50,000 places: what is sold in some minutes, with room.
PERFORMANCES = 12


@dataclass
class Place:
    """What a server is started with, and what a fault needs besides."""

    args: tuple = ()
    data: Path | None = None
    environment: dict | None = None
    performances: int = PERFORMANCES
    more: Any = None


@contextmanager
def anywhere(bench, folder):
    yield Place()


@dataclass
class Fault:
    name: str
    title: str
    # With the bench, the sale, and what its place has for it.
    run: Callable
    place: Callable = anywhere


class Bench:
    """The program, how long, and (for some) the servers outside."""

    def __init__(self, program, short, kills, outside):
        """`outside`: makes Kafka and PostgreSQL when they are wanted."""
        self.program, self.short, self.outside = program, short, outside
        self.kills = kills or self.either(200, 10)
        # One that was printed can be given again.
        self.seed = int(os.environ.get("ONSALE_SEED") or random.randrange(1 << 32))
        self.random = random.Random(self.seed)

    def either(self, full, short):
        return short if self.short > 1 else full

    def wait_a_moment(self, sale):
        sale.go_on(self.random.uniform(0, BETWEEN_S))
