"""What figures belong to: the machine, and the versions of all that took part."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from .k6 import BINARY, LOAD, TARGET

# Name, how it is asked, and where in the answer the version stands.
PROGRAMS = [
    ("k6", [str(BINARY), "version"], r"v([0-9.]+)"),
    ("Redis", ["redis-server", "--version"], r"v=([0-9.]+)"),
    ("PostgreSQL", ["psql", "--version"], r"([0-9.]+)"),
    ("Java", ["java", "-version"], r'"([^"]+)"'),
    ("Rust", ["rustc", "--version"], r"([0-9.]+)"),
]
KAFKA = re.compile(r"^kafka_version=(.+)", re.M)


def asked(command, pattern):
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True, cwd=LOAD)
    found = re.search(pattern, done.stdout + done.stderr)
    return found and found[1]


def system():
    """The operating system, and the file system that was written to."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        name = platform.system()
    TARGET.mkdir(parents=True, exist_ok=True)
    device = os.stat(TARGET).st_dev
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    number = f"{os.major(device)}:{os.minor(device)}"
    kind = next((fields[fields.index("-") + 1] for fields in mounts if fields[2] == number), "unknown")
    return f"{name}, Linux {platform.release()}, {kind}"


def versions():
    """Those of everything that is installed here."""
    found = [(name, asked(command, pattern)) for name, command, pattern in PROGRAMS]
    kafka = KAFKA.search((LOAD.parent / "scripts" / "services.d" / "kafka.sh").read_text())
    found += [("Kafka", kafka and kafka[1]), ("Python", platform.python_version())]
    return ", ".join(f"{name} {version}" for name, version in found if version)


def commit():
    """Of this folder, and whether something in it is not committed."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=LOAD, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (
        " and changes that are not committed" if changed else ""
    )


def lines(machine):
    """For the top of a report."""
    memory = machine["memory_bytes"] / 2**30
    return [
        f"Machine: {machine['cores']} cores, {machine['cpu']}, {memory:.0f} GiB; {system()}.",
        f"Onsale at commit {commit()}; {versions()}.",
    ]
