"""Checks what is for users with Docker, Prometheus and Grafana, without them: called by deploy/check.

compose.yaml fits the Compose schema (deploy/compose-spec.schema.json is that of compose-go 2.4.7, Apache-2.0); what it mounts is
there; versions and settings are those of scripts/services; settings of Onsale and figures in dashboards and alerts exist; dashboards are
those that their program makes; each alert has tests and a page.
"""

import json
import os
import pathlib
import re
import subprocess
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
check(sorted(services) == ["alertmanager", "grafana", "kafka", "onsale", "postgres", "prometheus"], f"services: {sorted(services)}")
for name, service in services.items():
    for volume in service.get("volumes", []):
        source = re.sub(r"\$\{[^}]*\}", "/given", volume).split(":")[0]
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

# Figures that exist: the reference is made of the code.
figures = set(re.findall(r"^\| `([a-z_]+)` \|", text("docs/reference/metrics.md"), re.M)) | {"up", "ALERTS"}


def check_figures(where, expression):
    for name in re.findall(r"(?<![\w\"])(?:onsale|process)_[a-z_]+", re.sub(r'"(?:[^"\\\\]|\\\\.)*"', '""', expression)):
        known = name in figures or re.sub(r"_(bucket|sum|count)$", "", name) in figures
        check(known, f"{where}: there is no figure {name}")


# Dashboards: those that dashboards.py makes, and each panel asks for something.
sys.path.insert(0, str(root / "deploy/grafana"))
import dashboards  # noqa: E402

for name in dashboards.DASHBOARDS:
    path = f"deploy/grafana/dashboards/{name}.json"
    there = (root / path).exists() and text(path) == dashboards.text(name)
    check(there, f"{path} is not what deploy/grafana/dashboards.py makes: run it")
for path in (root / "deploy/grafana/dashboards").glob("*.json"):
    dashboard = json.loads(path.read_text())
    check(path.stem in dashboards.DASHBOARDS, f"{path.name} is none of deploy/grafana/dashboards.py")
    taken = set()
    for panel in dashboard["panels"]:
        where = f"{path.name}, {panel['title']}"
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        check(not cells & taken and at["x"] + at["w"] <= 24, f"{where} lies over another panel")
        taken |= cells
        check(panel["targets"], f"{where} asks for nothing")
        for target in panel["targets"]:
            check_figures(where, target["expr"])
home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].rsplit("/", 1)[1]
check((root / "deploy/grafana/dashboards" / home).exists(), f"Grafana's home is {home}, which is not there")

# Alerts: each has a page that says what to do, a test in which it fires and one in which it does not.
rules = sorted(path for path in (root / "deploy/alerts").glob("*.yml") if not path.stem.endswith("_test"))
prometheus = yaml.safe_load(text("deploy/prometheus.yml"))
listed = sorted(prometheus["rule_files"])
check(listed == [f"alerts/{path.name}" for path in rules], f"deploy/prometheus.yml reads {listed}")
pages = {path.stem for path in (root / "docs/runbooks").glob("*.md")} - {"README"}
overview = text("docs/runbooks/README.md")
alerts = {}
for path in rules:
    tests = yaml.safe_load(path.with_name(f"{path.stem}_test.yml").read_text())
    check(tests["rule_files"] == [path.name], f"{path.stem}_test.yml tests {tests['rule_files']}")
    cases = [case for test in tests["tests"] for case in test["alert_rule_test"]]
    for group in yaml.safe_load(path.read_text())["groups"]:
        for rule in group["rules"]:
            name, severity = rule["alert"], rule["labels"]["severity"]
            alerts[name] = severity
            check_figures(f"{path.name}, {name}", rule["expr"])
            check(severity in ("critical", "warning"), f"{name}: severity {severity}")
            check(rule["annotations"]["summary"], f"{name} has no summary")
            page = f"https://onsale.dev/book/runbooks/{name}.html"
            check(rule["annotations"]["runbook_url"] == page, f"{name}: its runbook_url is not {page}")
            check(name in pages, f"{name}: there is no docs/runbooks/{name}.md")
            check(f"| [{name}]({name}.md) | {severity} |" in overview, f"docs/runbooks/README.md does not list {name}, {severity}")
            fires = {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == name}
            check(fires == {True, False}, f"{path.stem}_test.yml: {name} is to fire in one test, and not in another")
for page in sorted(pages - set(alerts)):
    check(False, f"docs/runbooks/{page}.md is about no alert")
inhibited = re.findall(r"alertname !?= (\w+)", text("deploy/alertmanager.yml"))
check(set(inhibited) <= set(alerts), f"deploy/alertmanager.yml knows {sorted(set(inhibited) - set(alerts))}")
for path in ["deploy/alertmanager.yml", "deploy/prometheus.yml", *map(str, (root / "deploy/grafana").rglob("*.yaml"))]:
    yaml.safe_load(text(path))


# The same by the programs that read them.
def run(*command):
    done = subprocess.run(list(map(str, command)), cwd=root / "deploy", capture_output=True, text=True)
    check(done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


programs = os.environ.get("ONSALE_TEST_PROMETHEUS")
if programs:
    promtool, amtool = pathlib.Path(programs) / "promtool", pathlib.Path(programs) / "amtool"
    run(promtool, "check", "config", "prometheus.yml")
    for path in rules:
        run(promtool, "test", "rules", f"alerts/{path.stem}_test.yml")
    run(amtool, "check-config", "alertmanager.yml")
else:
    check(False, "ONSALE_TEST_PROMETHEUS names no folder with promtool and amtool: call deploy/check")

for what in wrong:
    print(what, file=sys.stderr)
sys.exit(1 if wrong else 0)
