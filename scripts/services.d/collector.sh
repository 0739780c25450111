# What receives traces in tests: Python with OpenTelemetry's own protobufs and gRPC. Sourced by scripts/services. Nothing runs
# here: tests start a receiver each. Versions are those of tests/traces/requirements.txt.
collector=$cache/collector
collector_requirements=$repository/tests/traces/requirements.txt

collector_up() {
    cmp -s "$collector_requirements" "$collector/installed" && return
    need python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv python3-venv
    echo "fetching OpenTelemetry's protobufs" >&2
    rm -rf "$collector"
    python3 -m venv "$collector"
    "$collector/bin/pip" install --quiet --disable-pip-version-check -r "$collector_requirements" ||
        fail "cannot install OpenTelemetry's protobufs"
    cp "$collector_requirements" "$collector/installed"
}

collector_down() { :; }

collector_env() { printf 'export ONSALE_TEST_COLLECTOR=%q\n' "$collector/bin/python"; }
