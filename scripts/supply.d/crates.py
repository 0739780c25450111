"""The crates that a build of this repository takes, as cargo resolves them for each target of deny.toml."""

import json
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DENY = tomllib.loads((REPOSITORY / "deny.toml").read_text())
LOCK = REPOSITORY / "Cargo.lock"


@dataclass
class Crate:
    """`kinds`: what it is needed for, `normal`, `build` or `dev`; `needs`: the ids of those it takes itself, by kind."""

    package: dict
    kinds: set = field(default_factory=set)
    needs: dict = field(default_factory=lambda: {"normal": set(), "build": set(), "dev": set()})

    @property
    def name(self):
        return f"{self.package['name']} {self.package['version']}"

    @property
    def is_ours(self):
        return self.package["source"] is None and Path(self.package["manifest_path"]).is_relative_to(REPOSITORY)


def of_all_targets():
    """All crates by id, and the id of our own."""
    crates, root = {}, None
    for target in DENY["graph"]["targets"]:
        found = metadata(target)
        root = found["resolve"]["root"]
        packages = {package["id"]: package for package in found["packages"]}
        for node in found["resolve"]["nodes"]:
            crate = crates.setdefault(node["id"], Crate(packages[node["id"]]))
            for needed in node["deps"]:
                for kind in needed["dep_kinds"]:
                    crate.needs[kind["kind"] or "normal"].add(needed["pkg"])
    mark(crates, root)
    return crates, root


def metadata(target):
    features = ",".join(DENY["graph"]["features"])
    command = [
        "cargo",
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--features",
        features,
        "--filter-platform",
        target,
    ]
    return json.loads(subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True).stdout)


def mark(crates, root):
    """Says of each crate what it is needed for. What a build dependency needs is needed for building, whatever it is there."""
    crates[root].kinds.add("normal")
    begin = [(one, kind) for kind, all_of in crates[root].needs.items() for one in all_of]
    while begin:
        one, kind = begin.pop()
        if kind in crates[one].kinds:
            continue
        crates[one].kinds.add(kind)
        begin += [(other, kind) for other in crates[one].needs["normal"]]
        begin += [(other, "dev" if kind == "dev" else "build") for other in crates[one].needs["build"]]


def checksums():
    """SHA-256 of each crate's file, by name and version."""
    packages = tomllib.loads(LOCK.read_text())["package"]
    return {(one["name"], one["version"]): one["checksum"] for one in packages if "checksum" in one}
