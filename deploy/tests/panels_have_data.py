"""Each panel of each dashboard shows something: Prometheus (Debian's) looks at a server on which a crowd buys, and answers the
query of every panel.

Two servers: one that a crowd goes through, and one that speaks TLS, for the certificate. The first also
ships a backup and, with ONSALE_TEST_KAFKA, publishes.

    panels_have_data.py BINARY
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from processes import OPERATOR_KEY, ROOT, Onsale, Prometheus, free_port, wait_for

# What Grafana puts in: it takes four scrapes at least.
GIVEN = {"$__rate_interval": "10s", "$instance": ".+"}
CROWD = ["--buyers", "400", "--seats", "120", "--queue", "--seed", "1"]

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: onsale
    static_configs: [{{targets: ["127.0.0.1:{plain}"]}}]
  - job_name: with-tls
    scheme: https
    tls_config: {{insecure_skip_verify: true}}
    static_configs: [{{targets: ["127.0.0.1:{tls}"]}}]
"""


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", "/CN=localhost", "-keyout", "tls.key", "-out", "tls.crt"],
                   cwd=folder, check=True, capture_output=True)
    return ["--tls-certificate", folder / "tls.crt", "--tls-key", folder / "tls.key"]


def queries():
    """(dashboard, panel, expression) of each."""
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for name, value in GIVEN.items():
                    expression = expression.replace(name, value)
                assert "$" not in expression, f"{path.name}, {panel['title']}: what is to be put in for {expression}?"
                yield path.name, panel["title"], expression


def kafka():
    broker = os.environ.get("ONSALE_TEST_KAFKA")
    return ["--kafka", broker, "--kafka-prefix", f"panels-{os.getpid()}"] if broker else []


def unanswered(prometheus, asked, times):
    """Those of the queries that have no number at any of the times."""
    missing = []
    for where, panel, expression in asked:
        numbers = (value for at in times for _, value in prometheus.query(expression, at))
        if not any(math.isfinite(value) for value in numbers):
            missing.append(f"{where}, {panel}: {expression}")
    return missing


def check_outputs(prometheus):
    """Each output is told by itself, and goes on."""
    expected = {"read_models", "backup"} | ({"kafka"} if kafka() else set())
    up = {labels["output"]: value for labels, value in prometheus.query('onsale_output_up{job="onsale"}')}
    assert up == dict.fromkeys(expected, 1), up
    sent = {labels["output"]: value for labels, value in prometheus.query('onsale_output_position{job="onsale"}')}
    assert all(sent[name] > 0 for name in expected), sent


def main(binary):
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        plain, tls = free_port(), free_port()
        with Onsale(binary, folder, plain, *kafka(), "--backup-to", folder / "backup") as server, \
                Onsale(binary, folder, tls, *certificate(folder), name="with-tls", scheme="https"), \
                Prometheus(folder, CONFIG.format(plain=plain, tls=tls)) as prometheus:
            wait_for("both are seen", lambda: sum(value for _, value in prometheus.query("up")) == 2)
            start = time.time()
            crowd = subprocess.run([binary, "crowd", "--url", server.url, "--operator-key", OPERATOR_KEY, *CROWD],
                                   capture_output=True, text=True, timeout=60)
            assert crowd.returncode == 0, crowd.stdout + crowd.stderr
            time.sleep(3)
            asked = list(queries())
            end = time.time()
            # During the crowd and right after it: some things are over when it is.
            times = [start + part * (end - start) for part in (0.5, 0.75, 1.0)]
            check_outputs(prometheus)
            missing = unanswered(prometheus, asked, times)
    assert not missing, "panels without data:\n" + "\n".join(missing)
    outputs = "with Kafka" if kafka() else "without Kafka"
    print(f"panels have data: {len(asked)} queries of {len({where for where, *_ in asked})} dashboards, {outputs}; "
          f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
