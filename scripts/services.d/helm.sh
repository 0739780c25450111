# helm, Kubernetes' schemas and those of Prometheus' operator: what deploy/check --all holds the chart against. Sourced by
# scripts/services. helm is built from source by Go's own checksummed modules, which takes minutes, once, and a newer Go than
# Debian 12 has; so it is not among what `up` fetches unless it is named.
helm_version=v3.18.6
helm_operator_version=v0.85.0
helm_go_least=1.24
helm_place=$cache/helm-$helm_version-$helm_operator_version

helm_install() {
    [ -f "$helm_place/complete" ] && return
    need go golang-go ca-certificates
    local go
    go=$(go env GOVERSION)
    [ "$(printf '%s\n' "$helm_go_least" "${go#go}" | sort -V | head -1)" = "$helm_go_least" ] ||
        fail "helm $helm_version takes Go $helm_go_least or later, and this is ${go#go}: https://go.dev/dl"
    need python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv python3-venv
    mkdir -p "$helm_place"
    echo "building helm $helm_version, which takes minutes" >&2
    GOBIN=$helm_place go install "helm.sh/helm/v3/cmd/helm@$helm_version" >"$cache/helm.out" 2>&1 ||
        { tail -20 "$cache/helm.out" >&2; fail "cannot build helm"; }
    # Its source has the definitions of ServiceMonitor and PrometheusRule.
    go mod download -json "github.com/prometheus-operator/prometheus-operator@$helm_operator_version" |
        sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p' >"$helm_place/operator"
    python3 -m venv "$helm_place/venv"
    "$helm_place/venv/bin/pip" install --quiet --disable-pip-version-check -r "$repository/deploy/tests/requirements.txt"
    touch "$helm_place/complete"
}

helm_up() {
    # By name alone: see above.
    [ "${#names[@]}" -gt 1 ] || helm_install
}

helm_down() { :; }

helm_env() { printf 'export ONSALE_TEST_HELM=%q\n' "$helm_place"; }
