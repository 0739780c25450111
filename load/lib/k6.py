"""k6: built from Go modules with our own part (load/k6), run, and what it measured."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from .process import Samples
from .server import Failed

LOAD = Path(__file__).resolve().parent.parent
TARGET = LOAD.parent / "target" / "load"
SOURCE = LOAD / "k6"
BINARY = TARGET / "k6"
# What go.mod asks for; an older Go from 1.21 on fetches it by itself.
GO_MIN = (1, 21)
GO_IS_MISSING = (
    "Go 1.21 or later, which builds it, is missing: https://go.dev/dl (Debian 13: apt-get install golang-go)"
)


def go():
    """The Go that is installed, or None where it is missing or too old to build k6."""
    for candidate in [shutil.which("go"), "/usr/local/go/bin/go"]:
        if candidate and Path(candidate).exists():
            version = subprocess.run([candidate, "env", "GOVERSION"], capture_output=True, text=True, cwd="/").stdout
            numbers = version.strip().removeprefix("go").split(".")[:2]
            if len(numbers) == 2 and tuple(int("".join(filter(str.isdigit, n)) or 0) for n in numbers) >= GO_MIN:
                return candidate
    return None


def is_built():
    """Whether k6 is there, made of what the sources are now."""
    sources = [*SOURCE.glob("*.go"), SOURCE / "go.mod", SOURCE / "go.sum"]
    return BINARY.exists() and all(source.stat().st_mtime <= BINARY.stat().st_mtime for source in sources)


def add_if_possible(parser):
    parser.add_argument("--if-possible", action="store_true", help="where k6 cannot be built, say so and exit with 0")


def is_left_out(tool, arguments):
    """Whether there is no k6, and nobody insists; then it is said."""
    left_out = arguments.if_possible and not is_built() and not go()
    if left_out:
        print(f"{tool}: NOT RUN: there is no k6, and {GO_IS_MISSING}")
    return left_out


def build(say):
    """Builds k6 unless it is there. From nothing that takes about four minutes of processor time."""
    if is_built():
        return
    compiler = go()
    if not compiler:
        raise Failed(GO_IS_MISSING)
    say("building k6 (four minutes of processor time, once)")
    TARGET.mkdir(parents=True, exist_ok=True)
    command = [compiler, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(BINARY), "."]
    built = subprocess.run(command, cwd=SOURCE, env={**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false"})
    if built.returncode != 0:
        raise Failed("k6 cannot be built")
    BINARY.touch()


class Run:
    """One run of a script against a server: what k6 and the server measured."""

    def __init__(self, script, mode, stage, server, folder, short=1, cores=None, environment=None):
        """`short`: by how much the shape is made smaller."""
        folder = Path(folder)
        (folder / "stage.json").write_text(json.dumps(stage.facts))
        (folder / "users.json").write_text(json.dumps(stage.users or [{}]))
        self.output = folder / "k6.json"
        command = [
            str(BINARY),
            "run",
            "--quiet",
            "--summary-mode",
            "disabled",
            "--no-thresholds",
            "--address",
            "",
            "--out",
            f"onsale={self.output}",
        ]
        values = {
            "STAGE": folder / "stage.json",
            "USERS": folder / "users.json",
            "MODE": mode,
            "SHORT": short,
            **(environment or {}),
        }
        for name, value in values.items():
            command += ["-e", f"{name}={value}"]
        # Nothing goes out of this machine, and the garbage of thousands of virtual users is collected less often.
        own = {
            "K6_NO_USAGE_REPORT": "true",
            "K6_AUTO_EXTENSION_RESOLUTION": "false",
            "GOGC": "400",
            "K6_NO_COLOR": "true",
        }
        before = server.request_buckets()
        with open(folder / "k6.out", "wb") as out:
            process = subprocess.Popen(
                [*command, str(LOAD / script)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **own},
                preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
            )
            try:
                samples = Samples(server, process.pid)
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = code = os.waitstatus_to_exitcode(status)
            except BaseException:
                process.kill()
                raise
        self.samples, self.cpu = samples.end()
        self.cpu["k6_s"] = used.ru_utime + used.ru_stime
        self.log = (folder / "k6.out").read_text(errors="replace")
        if code != 0 or not self.output.exists():
            raise Failed(f"k6 ended with {code}:\n" + "\n".join(self.log.splitlines()[-12:]))
        if server.process.poll() is not None:
            raise Failed(f"the server ended during the run:\n{server.last_words()}")
        found = json.loads(self.output.read_text())
        self.started_ms, self.metrics = found["started_ms"], found["metrics"]
        self.buckets = difference(before, server.request_buckets())
        self.notes = [line.split(" ") for line in Path(f"{self.output}.notes").read_text().splitlines()]

    def find(self, metric, name=""):
        return next((one for one in self.metrics if one["metric"] == metric and one["name"] == name), None)

    def all(self, metric):
        return [one for one in self.metrics if one["metric"] == metric]

    def total(self, metric):
        return sum(one["total"] for one in self.all(metric))

    def noted(self, act):
        """(id, number) of each act that was acknowledged."""
        return [(note[1], int(note[2])) for note in self.notes if note[0] == act]


def difference(before, after):
    """What was counted between two readings, routes without a request left out."""
    found = {}
    for route, buckets in after.items():
        counted = {bound: count - before.get(route, {}).get(bound, 0) for bound, count in buckets.items()}
        if counted[float("inf")] > 0:
            found[route] = counted
    return found


def quantile_s(buckets, share):
    """The bound that `share` of what a histogram counted is below, interpolated within its bucket, s."""
    wanted, below, count_below = share * buckets[float("inf")], 0.0, 0.0
    for bound in sorted(buckets):
        if buckets[bound] >= wanted:
            if bound == float("inf") or buckets[bound] == count_below:
                return below
            return below + (bound - below) * (wanted - count_below) / (buckets[bound] - count_below)
        below, count_below = bound, buckets[bound]
    return below
