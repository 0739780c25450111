"""The chart, by helm and by Kubernetes' own schemas: deploy/check --all.

- `helm lint` and `helm template` for each set of values in deploy/helm/sets; what comes out is what deploy/helm/golden has.
- Every object fits the schema of its kind, of each version of Kubernetes in VERSIONS; those of Prometheus' operator fit its
  own definitions.
- Rules and dashboards are those of deploy; the binary knows every setting that the chart gives it.
- Values that make no sense are refused, with a word about which.

    chart.py BINARY HELM OPERATOR       OPERATOR is the folder of prometheus-operator's source
    UPDATE_GOLDEN=1                     writes deploy/helm/golden anew
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jsonschema_rs
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
HELM = ROOT / "deploy/helm"
# The oldest that the chart takes, and a late one.
VERSIONS = ["1.25", "1.33"]
# `=` alone is a text, which the library has forgotten.
yaml.SafeLoader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)
REFUSED = [
    ("operatorKey.existingSecret=", "operatorKey.existingSecret"),
    ("image.digest=latest", "digest"),
    ("replicas=3", "replicas"),
    ("settings.operator_key=opk_x", "operator_key"),
    ("persistence.size=big", "size"),
    ("kafka.brokers=k:9092,kafka.sasl.mechanism=PLAIN", "kafka.sasl.username"),
    ("ingress.enabled=true", "ingress.host"),
    ("podDisruptionBudget.maxUnavailable=2", "maxUnavailable"),
]


def helm(program, *arguments, version=VERSIONS[-1]):
    done = subprocess.run([program, *map(str, arguments), "--kube-version", f"{version}.0"], capture_output=True, text=True)
    # It says that rules and dashboards are links to where they are kept; in a package they are files.
    said = "\n".join(line for line in done.stderr.splitlines() if "found symbolic link" not in line)
    return done.returncode, done.stdout, said


def template(program, *arguments, version=VERSIONS[-1]):
    code, out, said = helm(program, "template", "tickets", HELM / "onsale", "--namespace", "sale", *arguments, version=version)
    assert code == 0, said
    return out


def objects(text):
    return [found for found in yaml.safe_load_all(text) if found]


def shortened(text):
    """Without what is compared with its own file."""
    found = objects(text)
    for one in found:
        if one["kind"] == "ConfigMap":
            one["data"] = {name: "as in deploy/grafana/dashboards" for name in one["data"]}
        if one["kind"] == "PrometheusRule":
            one["spec"]["groups"] = [f"{group['name']}, as in deploy/alerts" for group in one["spec"]["groups"]]
    return yaml.safe_dump_all(found, sort_keys=False, width=120)


def check_golden(name, text):
    path = HELM / "golden" / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    committed = path.read_text() if path.exists() else ""
    assert committed == text, f"{path.relative_to(ROOT)} is not what the chart gives: UPDATE_GOLDEN=1"


def check_kept_elsewhere(found):
    """Whether rules and dashboards are there, if any is, and as they are kept."""
    boards = {name: text for one in found if one["kind"] == "ConfigMap" for name, text in one["data"].items()}
    if boards:
        kept = {path.name: json.loads(path.read_text()) for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}
        assert {name: json.loads(text) for name, text in boards.items()} == kept, "dashboards"
    for rules in (one for one in found if one["kind"] == "PrometheusRule"):
        kept = [group for path in sorted((ROOT / "deploy/alerts").glob("*.yml")) if not path.stem.endswith("_test")
                for group in yaml.safe_load(path.read_text())["groups"]]
        assert rules["spec"]["groups"] == kept, "rules"


def definitions(operator):
    """Schemas of the operator's kinds."""
    schemas = {}
    for path in (operator / "example/prometheus-operator-crd").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        for version in crd["spec"]["versions"]:
            name = f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]
            schemas[name] = jsonschema_rs.validator_for(closed(version["schema"]["openAPIV3Schema"]))
    return schemas


def closed(schema):
    """What the API server drops is a mistake here."""
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) if isinstance(value, dict) else value for key, value in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        made["properties"] = {name: closed(value) for name, value in schema["properties"].items()}
        # `metadata` and the like are of every object.
        if schema["properties"].get("metadata") != {"type": "object"}:
            made.setdefault("additionalProperties", False)
    if isinstance(schema.get("items"), dict):
        made["items"] = closed(schema["items"])
    return made


def check_schemas(found, version, of_operator):
    for one in found:
        validator = of_operator.get((one["apiVersion"], one["kind"]))
        if validator:
            wrong = [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(one)]
            assert not wrong, f"{one['kind']}: {wrong}"
        else:
            kubernetes_validate.validate(one, version, strict=True)


def check_settings(binary, found):
    """Whether the server takes what the container is given, with files of this machine for those of the secrets."""
    container = next(one for one in found if one["kind"] == "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        env = {name: value for name, value in os.environ.items() if not name.startswith("ONSALE_")}
        for given in container["env"]:
            value = given.get("value", "postgres://onsale:onsale@db/onsale")
            if value.startswith("/run/secrets/onsale/"):
                path = folder / value.removeprefix("/run/secrets/onsale/")
                path.parent.mkdir(exist_ok=True)
                path.write_text("opk_a-key-that-is-long-enough-for-a-trial\n")
                value = str(path)
            env[given["name"]] = value
        if "ONSALE_TLS_KEY" in env:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-subj", "/CN=localhost", "-keyout", env["ONSALE_TLS_KEY"], "-out", env["ONSALE_TLS_CERTIFICATE"]],
                           check=True, capture_output=True)
        done = subprocess.run([binary, "config", "--check"], env=env, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, f"onsale config --check: {done.stderr}"


def main(binary, program, operator):
    of_operator = definitions(operator)
    sets = sorted((HELM / "sets").glob("*.yaml"))
    count = 0
    for values in sets:
        code, out, said = helm(program, "lint", "--strict", HELM / "onsale", "-f", values)
        assert code == 0, out + said
        for version in VERSIONS:
            found = objects(template(program, "-f", values, version=version))
            check_schemas(found, version, of_operator)
            count += len(found)
        check_kept_elsewhere(found)
        check_settings(binary, found)
        check_golden(values.stem, shortened(template(program, "-f", values)))
    for path in (HELM / "golden").glob("*.yaml"):
        assert path.stem in {values.stem for values in sets}, f"{path.name} is of no set of values"
    for given, word in REFUSED:
        code, _, said = helm(program, "template", "tickets", HELM / "onsale", "--set", "operatorKey.existingSecret=x", "--set", given)
        assert code != 0 and word in said, f"--set {given}: {said or 'taken'}"
    print(f"chart: {len(sets)} sets of values as in golden, {count} objects fit Kubernetes {' and '.join(VERSIONS)}, "
          f"{len(REFUSED)} wrong values refused")


if __name__ == "__main__":
    main(*map(lambda path: pathlib.Path(path).resolve(), sys.argv[1:4]))
