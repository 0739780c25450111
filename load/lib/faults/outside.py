"""What happens to Kafka and PostgreSQL: stopped, slow, cut off. Selling may not notice."""

import os
import subprocess
import time
from contextlib import contextmanager

from .. import sale as sales
from ..sale import plain_environment
from ..server import Failed
from .bench import Fault, Place

# Whatever else is the matter, somebody buys at least this often.
SELLS_WITHIN_S = 2.0


def outside(name, what, harm, heal):
    """Something that the log goes out to is harmed while people buy, and healed."""

    def run(bench, sale, place):
        servers, own = place
        proxy = servers.proxies[name]
        begun = time.monotonic()
        harm(servers, proxy)
        sale.go_on(bench.either(10, 3))
        output = {"kafka": "kafka", "postgres": "read_models"}[name]
        meanwhile = sale.outputs()[output]
        heal(servers, proxy)
        healed = time.monotonic()
        wait_for_output(sale, output, meanwhile["position"])
        told = (
            f"then {meanwhile['status']}, {meanwhile['lag_events']:,} events behind; "
            f"goes on {sales.seconds(time.monotonic() - healed)} after it was over"
        )
        # Selling may not have noticed.
        gap_s = sale.load.seen(begun, healed)["longest_gap_s"]
        sale.lines.append(("longest without a sale meanwhile", sales.seconds(gap_s), gap_s < SELLS_WITHIN_S))
        flags = ("--postgres", servers.postgres, "--postgres-schema", own)
        found = sale.close(what, told, flags)
        found["books"].append(from_kafka(sale, servers, own))
        return found

    return run


def wait_for_output(sale, name, position):
    until = time.monotonic() + sales.CAUGHT_UP_WITHIN_S
    while time.monotonic() < until:
        now = sale.outputs()[name]
        if now["status"] != "failing" and now["position"] > position:
            return
        time.sleep(0.02)
    raise Failed(f"{name} is not gone on with: {sale.outputs()}")


def from_kafka(sale, servers, prefix):
    """Whether tables that are made of nothing but what is in Kafka equal the log: a line of the books."""
    tables = sale.folder / "from-kafka.sqlite"
    place = ["--from", "kafka", "--kafka", servers.kafka, "--kafka-prefix", prefix, "--sqlite", str(tables)]
    made = subprocess.run(
        [sale.program, "rebuild", "--all", *place], capture_output=True, text=True, env=plain_environment()
    )
    if made.returncode != 0:
        return {"what": "tables made from Kafka", "value": made.stderr.strip()[-400:], "ok": False}
    _, value, ok = sales.tables_equal(sale.program, sale.server.data, ("--sqlite", str(tables)))
    return {"what": "tables made from Kafka", "value": value, "ok": ok}


def slow(stream):
    def harm(_, proxy):
        proxy.poison("latency", stream, latency=300, jitter=100)

    return harm, lambda _, proxy: proxy.heal("latency")


def reset(stream):
    """Cut off after some bytes, again and again, also in the middle of what is said."""

    def harm(_, proxy):
        proxy.poison("limit_data", stream, bytes=3_000)

    return harm, lambda _, proxy: proxy.heal("limit_data")


def down(name):
    return lambda servers, _: servers.services("down", name), lambda servers, _: servers.services("up", name)


TROUBLES = [
    ("stopped", "{} is stopped, and started again", down),
    ("slow", "each packet from {} takes 300 ms longer", lambda _: slow("downstream")),
    ("reset", "connections to {} break off after 3,000 bytes", lambda _: reset("downstream")),
]


@contextmanager
def beside(bench, folder):
    """A server that publishes to Kafka and keeps tables in PostgreSQL, both through something that can be in the way."""
    servers, own = bench.outside(), f"faults_{os.getpid()}_{folder.name.replace('-', '_')}"
    args = ("--kafka", servers.kafka_proxied, "--kafka-prefix", own)
    args += ("--postgres", servers.postgres_proxied, "--postgres-schema", own)
    yield Place(args=args, performances=2, more=(servers, own))


FAULTS = [
    Fault(f"{name}-{kind}", f"{called} {kind}", outside(name, what.format(called), *make(name)), beside)
    for name, called in (("kafka", "Kafka"), ("postgres", "PostgreSQL"))
    for kind, what, make in TROUBLES
]
