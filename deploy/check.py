"""Checks what is for users with Docker, without Docker: called by ./test.

compose.yaml fits the Compose schema (deploy/compose-spec.schema.json is that of compose-go 2.4.7, Apache-2.0); what it mounts is
there; versions and settings are those of scripts/services; settings of Onsale and figures in dashboards and alerts exist.
"""

import json
import pathlib
import re
import sys

import jsonschema_rs
import yaml

root = pathlib.Path(__file__).resolve().parent.parent
wrong = []


def check(fits, what):
    if not fits:
        wrong.append(what)


def text(path):
    return (root / path).read_text()


compose = yaml.safe_load(text("compose.yaml"))
schema = json.loads(text("deploy/compose-spec.schema.json"))
for error in jsonschema_rs.validator_for(schema).iter_errors(compose):
    check(False, f"compose.yaml, {'/'.join(map(str, error.instance_path))}: {error.message}")

services = compose["services"]
check(sorted(services) == ["grafana", "kafka", "onsale", "postgres", "prometheus"], f"services: {sorted(services)}")
for name, service in services.items():
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            check((root / source).exists(), f"{name} mounts {source}, which is not there")
        elif not source.startswith("/"):
            check(source in compose["volumes"], f"{name} uses volume {source}, which is not declared")
    dockerfile = service.get("build", {}).get("dockerfile")
    check(dockerfile is None or (root / dockerfile).exists(), f"{name} is built by {dockerfile}, which is not there")

# Kafka: the version, and every setting that is no address.
script = text("scripts/services.d/kafka.sh")
version = re.search(r"^kafka_version=(\S+)$", script, re.M)[1]
check(services["kafka"]["image"] == f"apache/kafka:{version}", f"Kafka is {version} in scripts/services")
names = text("scripts/services.d/kafka.jars")
check(f"kafka_2.13-{version}.jar" in names, f"kafka.jars does not name Kafka {version}")
settings = re.search(r"<<SETTINGS\n(.*?)\nSETTINGS", script, re.S)[1]
here = dict(line.split("=", 1) for line in settings.splitlines())
there = {name[6:].lower().replace("_", "."): str(value) for name, value in services["kafka"]["environment"].items()}
addresses = re.compile(r"listener|quorum|log\.dirs|heap\.opts|controlled\.shutdown")
for setting in sorted(set(here) | set(there)):
    if not addresses.search(setting):
        check(here.get(setting) == there.get(setting), f"{setting}: {there.get(setting)} in compose.yaml, {here.get(setting)} in scripts/services")

# PostgreSQL: the major version that the scripts take from Debian, where they name one.
postgres = root / "scripts/services.d/postgres.sh"
major = re.search(r"postgresql[-/](\d+)", postgres.read_text()) if postgres.exists() else None
image = services["postgres"]["image"]
check(major is None or image.startswith(f"postgres:{major[1]}"), f"{image}, but scripts/services has another version")
here = set(re.findall(r"-c ([a-z_]+=[0-9A-Za-z]+)(?=[ \"])", re.search(r"local settings=.*", postgres.read_text())[0]))
there = set(services["postgres"]["command"][2::2])
check(here == there, f"PostgreSQL: {sorted(there)} in compose.yaml, {sorted(here)} in scripts/services")

# Onsale: settings that exist.
known = set(re.findall(r"ONSALE_[A-Z_]+", text("onsale.example.toml")))
for name in services["onsale"]["environment"]:
    check(name in known, f"{name} is no setting of Onsale")
for name in ["ONSALE_KAFKA", "ONSALE_POSTGRES"]:
    there = name in services["onsale"]["environment"]
    check(there or name not in known, f"compose.yaml does not set {name}")

# Figures that exist.
metrics = set(re.findall(r'"(onsale_[a-z_]+)"', text("crates/api/src/ops/metrics.rs")))
dashboard = text("deploy/grafana/dashboards/onsale.json")
json.loads(dashboard)
for path in ["deploy/alerts.yml", "deploy/prometheus.yml", *map(str, (root / "deploy/grafana").rglob("*.yaml"))]:
    yaml.safe_load(text(path))
for name in re.findall(r"onsale_[a-z_]+", dashboard + text("deploy/alerts.yml")):
    check(name in metrics or re.sub(r"_(bucket|sum|count)$", "", name) in metrics, f"there is no figure {name}")

for what in wrong:
    print(what, file=sys.stderr)
sys.exit(1 if wrong else 0)
