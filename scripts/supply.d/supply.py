"""Called by scripts/supply, which says what this does."""

import shutil
import subprocess
import sys
from pathlib import Path

import check
import sbom
from crates import REPOSITORY, of_all_targets


def main():
    match sys.argv[1:]:
        case ["sbom"]:
            return write(REPOSITORY / "target" / "onsale.cdx.json")
        case ["sbom", path]:
            return write(Path(path))
        case ["check"]:
            return held_against_deny_toml()
    print("supply: sbom [FILE], or check", file=sys.stderr)
    return 2


def write(path):
    crates, root = of_all_targets()
    text, count = sbom.of(crates, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"{path}: {count} components, valid CycloneDX {sbom.VERSION.to_version()}")
    return 0


def held_against_deny_toml():
    if shutil.which("cargo-deny"):
        # Without a network the list of advisories cannot be fetched: then the rest is checked all the same.
        whole = subprocess.run(["cargo", "deny", "check"], cwd=REPOSITORY, capture_output=True, text=True)
        if whole.returncode == 0 or "failed to fetch advisory database" not in whole.stderr:
            print(whole.stdout + whole.stderr, end="")
            return whole.returncode
        rest = subprocess.run(["cargo", "deny", "check", "licenses", "bans", "sources"], cwd=REPOSITORY)
        print("known vulnerabilities: NOT CHECKED: the list of advisories cannot be fetched here")
        return rest.returncode
    crates, _ = of_all_targets()
    wrong = check.licences(crates) + check.sources(crates) + check.wildcards(crates)
    for line in wrong:
        print(line)
    print("licences, sources, bans: " + (f"{len(wrong)} WRONG" if wrong else f"ok ({len(crates)} crates)"))
    print("known vulnerabilities: NOT CHECKED: cargo-deny is not installed (cargo install --locked cargo-deny)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
