"""Rivals in turns with Onsale: what a round of each comes to, and the ratios of all rounds."""

import json
import os
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from . import result
from .k6 import LOAD, TARGET
from .play import say
from .process import machine
from .server import Failed

ROUNDS = 3
CLIENTS = 64
# More than one client of PostgreSQL uses up in a round.
SEATS_PER_CLIENT = 8_000
USERS = 10_000
SQL = LOAD / "rivals.d"
DATABASE = "onsale_rivals"
# (what, ours, rival's, at least, of several rounds)
RATIOS = [
    ("hold over HTTP : PostgreSQL's hold", "hold_durable", "postgres_hold", 5.0),
    ("purchase (hold and pay) over HTTP : PostgreSQL's pay alone", "purchase", "postgres_pay", 2.0),
    ("join over HTTP : Redis ZADD, fsync always", "join_durable", "redis_zadd_fsync", 0.7),
    ("rank over HTTP : Redis ZRANK", "rank_poll", "redis_zrank", 0.8),
    ("log : plain file with fdatasync, 1 event at a time", "log_append_1", "raw_fdatasync_1", 0.5),
    ("log : plain file with fdatasync, 100 events", "log_append_100", "raw_fdatasync_100", 0.5),
    ("log : plain file with fdatasync, 1,000 events", "log_append_1000", "raw_fdatasync_1000", 0.5),
]


def need(command, package):
    if shutil.which(command):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise Failed(f"{command} is missing; install the package {package}")
    say(f"installing {package}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", package]):
        if subprocess.run(["apt-get", *arguments], env=environment, stdout=subprocess.DEVNULL).returncode != 0:
            raise Failed(f"cannot install {package}")


class Postgres:
    """The services' PostgreSQL, up for one round, with tables of its own."""

    def services(self, act):
        """Of our own, also where the environment names another one, as in ./test."""
        command = [str(LOAD.parent / "scripts" / "services"), "--dir", str(TARGET / "services"), act, "postgres"]
        environment = {**os.environ, "ONSALE_SERVICES_OWN": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    def __enter__(self):
        up = self.services("up")
        found = re.search(r"@([0-9.]+):(\d+)/", up.stdout)
        if up.returncode != 0 or not found:
            raise Failed(f"PostgreSQL does not start:\n{up.stderr}")
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        self.pgbench = shutil.which("pgbench") or str(programs[-1] / "pgbench")
        self.connection = ["-h", found[1], "-p", found[2], "-U", "postgres"]
        self.sql("DROP DATABASE IF EXISTS " + DATABASE, "onsale")
        self.sql("CREATE DATABASE " + DATABASE, "onsale")
        self.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", *self.values("-v"), "-f", str(SQL / "schema.sql"), DATABASE])
        return self

    def values(self, flag):
        values = {"clients": CLIENTS, "seats": SEATS_PER_CLIENT, "users": USERS}
        return [part for name, value in values.items() for part in (flag, f"{name}={value}")]

    def sql(self, statement, database=DATABASE):
        return self.run(["psql", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement, database])

    def run(self, command):
        done = subprocess.run([command[0], *self.connection, *command[1:]], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{command[0]}: {done.stderr.strip()}")
        return done.stdout

    def rate(self, script, seconds):
        """Transactions/s of a script: prepared statements, as many connections as Onsale's client has."""
        self.sql("CHECKPOINT")
        command = [
            self.pgbench,
            "-n",
            "-M",
            "prepared",
            "-c",
            str(CLIENTS),
            "-j",
            "2",
            "-T",
            str(max(1, round(seconds))),
        ]
        out = self.run([*command, *self.values("-D"), "-D", "n=0", "-f", str(SQL / script), DATABASE])
        return float(re.search(r"tps = ([0-9.]+)", out)[1])

    def __exit__(self, *_):
        self.services("down")


def onsale(program, names, seconds, quick):
    """Figures of `onsale benchmark`, by name, and whether its books hold."""
    folder = TARGET / "rivals"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        program,
        "benchmark",
        "--json",
        "--only",
        ",".join(names),
        "--seconds",
        str(seconds),
        "--data",
        str(folder),
    ]
    done = subprocess.run(command + (["--quick"] if quick else []), capture_output=True, text=True)
    if not done.stdout.strip():
        raise Failed(f"onsale benchmark: {done.stderr.strip()}")
    found = json.loads(done.stdout.splitlines()[-1])
    if not found["books"]["ok"]:
        raise Failed("the books of onsale benchmark do not hold")
    return {figure["name"]: figure["value"] for figure in found["figures"]}


def one_round(program, seconds, quick):
    """One round of everybody, one after the other."""
    rates = {}
    with Postgres() as postgres:
        rates["postgres_hold"] = postgres.rate("hold.sql", seconds)
        rates["postgres_pay"] = postgres.rate("pay.sql", seconds)
    rates |= onsale(program, ["hold_durable", "purchase"], seconds, quick)
    rates |= onsale(program, ["join_durable", "redis_zadd_fsync", "rank_poll", "redis_zrank"], seconds, quick)
    rates |= onsale(program, [name for _, *names, _ in RATIOS[4:] for name in names], seconds / 2, quick)
    return rates


def measure(program, seconds, quick):
    """Three rounds, of a quick run one; what load/rivals saves and shows."""
    count = 1 if quick else ROUNDS
    need("redis-server", "redis-server")
    need("redis-benchmark", "redis-tools")
    need("psql", "postgresql")
    begun, rounds = time.monotonic(), []
    for number in range(count):
        say(f"round {number + 1} of {count}")
        rounds.append(one_round(program, seconds, quick))
    ratios, rates, ok = [], [], True
    for what, ours, rival, at_least in RATIOS:
        all_rounds = sorted(one[ours] / one[rival] for one in rounds if one.get(ours) and one.get(rival))
        if not all_rounds:
            raise Failed(f"{what}: nothing was measured")
        holds = statistics.median(all_rounds) >= at_least
        ok = ok and holds
        spread = f"{all_rounds[0]:.2f} – {all_rounds[-1]:.2f}"
        ratios.append(
            [what, f"{statistics.median(all_rounds):.2f}", spread, f"≥ {at_least}", "pass" if holds else "FAIL"]
        )
    for name in dict.fromkeys(name for _, ours, rival, _ in RATIOS for name in (rival, ours)):
        values = sorted(one[name] for one in rounds if one.get(name))
        rates.append([name, f"{statistics.median(values):,.0f}/s", f"{values[0]:,.0f} – {values[-1]:,.0f}"])
    return {
        "scenario": "rivals",
        "machine": machine(),
        "commit": result.commit(),
        "ok": ok,
        "seconds": time.monotonic() - begun,
        "at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "tables": [
            {
                "title": f"Ratios, medians of {count} rounds" if count > 1 else "Ratios, of one round",
                "head": ["ours : theirs", "ratio", "spread", "to reach", "verdict"],
                "rows": ratios,
            },
            {"title": f"Rates, {CLIENTS} connections", "head": ["figure", "median", "spread"], "rows": rates},
        ],
    }
