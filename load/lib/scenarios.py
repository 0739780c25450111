"""The scenarios: how each is set up, what was published about it, and what is to be reached."""

from dataclasses import dataclass, field
from typing import Callable

from . import stage as stages
from .server import Failed


@dataclass
class Target:
    """A line of the verdict: a figure that must stay below a limit (with `at_most` 0: be nothing; with none it is only told)."""

    what: str
    # Of a k6 metric: `p95`, `max`, … of a trend, `total` of what is counted or of all times together.
    metric: str
    figure: str
    at_most: float | None
    unit: str = "ms"
    # The requests with this name; all of them, unless given.
    name: str = ""
    # Must hold whatever machine, build and size: a run that misses it has failed.
    always: bool = False


@dataclass
class Scenario:
    name: str
    title: str
    script: str
    mode: str
    shape: str
    # What its predecessors said of theirs; RTT: over a network, whose own 41-45 ms are in it.
    published: str
    targets: list
    setup: Callable
    # Everybody waits on a stream: admitted = notified.
    watched: bool = False
    one_core: bool = False
    # Small, it would show nothing that another one does not.
    only_full: bool = False
    environment: dict = field(default_factory=dict)


def latency(label, limit, figure="p95", name=""):
    return Target(label, "http_req_duration", figure, limit, "ms", name)


FAILED = Target("requests that failed", "http_req_failed", "total", 0, "", always=True)
DROPPED = Target("arrivals dropped", "dropped_iterations", "total", 0, "")
BROKEN = Target("streams that broke", "streams_broken", "total", 0, "", always=True)


def line(stage, short):
    """A queue that is opened by hand: everybody waits."""
    stage.queue(stages.MANUAL)


def house(stage, short):
    stage.accounts(50)
    stage.performances(1, rows=500, seats_per_row=100)
    stage.performances(1, rows=10, seats_per_row=max(1, 100 // short))


def visit(stage, short):
    stage.queue(stages.AT_ONCE)
    stage.accounts(150)
    stage.performances(small(20, short), gated=True)


def crowd(stage, short):
    stage.queue(stages.MANUAL)
    stage.accounts(small(1000, short))
    stage.performances(small(10, short))


def sale(performances):
    def setup(stage, short):
        stage.queue(stages.AT_ONCE)
        stage.performances(small(performances, short), gated=True)

    return setup


def small(number, short):
    return max(1, round(number / short))


PUSH = [
    latency("joins, p95", None, name="join"),
    latency("admit, p95", None, name="admit"),
    Target("push, p95", "push_duration", "p95", 50),
    DROPPED,
    FAILED,
    BROKEN,
]

SCENARIOS = [
    Scenario(
        "s0a",
        "S0-A: a burst of joins",
        "s0.js",
        "burst",
        "arrivals from 300/s: 10 s → 300, 15 s → 150, 15 s → 100, 60 s → 50, 50 s → 30, 30 s → 0; one join each",
        "84.4 requests/s, avg 50 ms, p95 63 ms, p99 108 ms (RTT), none failed; the first, cold run: p95 1 s",
        [latency("joins, p95", 5), DROPPED, FAILED],
        line,
    ),
    Scenario(
        "s0b",
        "S0-B: how many can join",
        "s0.js",
        "capacity",
        "arrivals from 100/s: 5 s → 10, 30 s → 50, 10 s → 100, 5 s → 200, 5 s → 300, 30 s → 1,000, 60 s → 2,000",
        "986 joins/s, avg 32.5 ms, p95 135 ms, 789 dropped",
        [latency("joins, p95", 10), DROPPED, FAILED],
        line,
    ),
    Scenario(
        "s0c",
        "S0-C: join, wait on a stream, be let in",
        "s0.js",
        "push",
        "arrivals from 300/s: 10 s → 300, 40 s → 180, 60 s → 50, 20 s → 0; from the tenth second on 100 are let in each second",
        "22,744 joins, push p95 98 ms, admit p95 144 ms, 6,755 dropped; an earlier design lost 5,300 admissions",
        PUSH,
        line,
        watched=True,
    ),
    Scenario(
        "s0c-heavy",
        "S0-C, heavy",
        "s0.js",
        "heavy",
        "arrivals from 300/s: 20 s → 400, 40 s → 250, 60 s → 50, 20 s → 0; otherwise as S0-C",
        "as S0-C",
        PUSH,
        line,
        watched=True,
        only_full=True,
    ),
    Scenario(
        "s1-sequential",
        "S1: 1,000 times 3 places, one after the other",
        "s1.js",
        "sequential",
        "1,000 × the best 3 places of 50,000",
        "79 s in all",
        [latency("all together", None, "sum", "hold"), latency("slowest", None, "max", "hold"), FAILED],
        house,
    ),
    Scenario(
        "s1-concurrent",
        "S1: 1,000 times 3 places, all at once",
        "s1.js",
        "concurrent",
        "1,000 × the best 3 places of 50,000 at one instant; then the same of 1,000",
        "slowest 3,058 ms (1 replica), 277 ms (5 replicas)",
        [
            latency("slowest", 50, "max", "hold"),
            latency("slowest of 1,000 that ask for nothing (GET /livez)", None, "max", "nothing"),
            FAILED,
        ],
        house,
    ),
    *[
        Scenario(
            f"s2-{people}",
            f"S2: {people} people on one core and 1 GB",
            "s2.js",
            str(people),
            f"{people} people for 5 min: token, poll at most 3 times, schedule, seats, hold and pay, 1 s between",
            "avg 1.02 s, p95 9.21 s, max 10.21 s, 25 requests/s; its authors' own target: p95 < 2 s",
            [latency("all requests, p95", 10), FAILED],
            visit,
            one_core=True,
            only_full=people == 50,
        )
        for people in (50, 150)
    ],
    Scenario(
        "s3-1-l",
        "S3-1 L: balance, by many people",
        "s3.js",
        "balance-L",
        "people 5 s each → 200, 400, 600, 800, 1,000; 30 s 1,000; 5 s → 0; 1 s between",
        "p95 24 ms",
        [latency("p95", None), FAILED],
        crowd,
        only_full=True,
    ),
    Scenario(
        "s3-1-p",
        "S3-1 P: balance, at a rate",
        "s3.js",
        "balance-P",
        "arrivals from 10/s: 10 s → 1,000, 20 s → 2,000, 30 s → 1,000, 10 s → 4,000",
        "p95 469 ms",
        [latency("p95", 10), DROPPED, FAILED],
        crowd,
    ),
    Scenario(
        "s3-2-l",
        "S3-2 L: join and ask where one stands, by many people",
        "s3.js",
        "queue-L",
        "as S3-1 L",
        "p95 620 ms, 591 requests/s",
        [latency("p95", 10), FAILED],
        crowd,
        only_full=True,
    ),
    Scenario(
        "s3-2-p",
        "S3-2 P: join and ask where one stands, at a rate",
        "s3.js",
        "queue-P",
        "as S3-1 P; two requests each",
        "p95 2.82 s",
        [latency("p95", 10), DROPPED, FAILED],
        crowd,
    ),
    Scenario(
        "s3-3-l",
        "S3-3 L: list, schedules, seat map, select, reserve",
        "s3.js",
        "buy-L",
        "as S3-1 L; everybody wants one of the first 20 free seats",
        "415 requests/s, avg 810 ms, p95 4.83 s, max 16.4 s, and thousands of reservations of one seat were accepted",
        [latency("p95", 20), FAILED],
        crowd,
    ),
    Scenario(
        "s4-load",
        "S4 load: from sign-up to seat",
        "s4.js",
        "load",
        "people 15 s → 150, 15 s 150, 15 s → 0; 1 s between steps",
        "p95 16 ms, max 111 ms",
        [latency("p95", 5), FAILED],
        sale(10),
    ),
    Scenario(
        "s4-endurance",
        "S4 endurance",
        "s4.js",
        "endurance",
        "150 people for 4 min",
        "p95 27 ms, max 802 ms",
        [latency("p95", None), FAILED],
        sale(20),
        only_full=True,
    ),
    Scenario(
        "s4-stress",
        "S4 stress",
        "s4.js",
        "stress",
        "people → 600 within 100 s",
        "p95 37 ms, max 523 ms, 11 failed",
        [latency("p95", 5), FAILED],
        sale(20),
    ),
    Scenario(
        "s4-peak",
        "S4 peak",
        "s4.js",
        "peak",
        "people 30 → 600 → 30 → 600",
        "p95 14 ms, max 214 ms",
        [latency("p95", 5), FAILED],
        sale(20),
    ),
]


def soak(seconds):
    """S4 at 60 % of its endurance run's people, for so long."""
    return Scenario(
        "soak",
        "Soak: S4 at 60 % load",
        "s4.js",
        "soak",
        f"90 people for {seconds // 60} min",
        "",
        [latency("p95", None), FAILED],
        sale(max(2, round(seconds * 0.0075))),
        environment={"SOAK_S": seconds},
    )


def chosen(names, short=False):
    """The scenarios that were asked for, by how their names begin. Without names: all, or one of each kind of a short run."""
    for name in names:
        if not any(one.name.startswith(name) for one in SCENARIOS):
            raise Failed(f"there is no scenario {name}; there are: " + " ".join(one.name for one in SCENARIOS))
    if not names:
        return [one for one in SCENARIOS if not (short and one.only_full)]
    return [one for one in SCENARIOS if any(one.name.startswith(name) for name in names)]
