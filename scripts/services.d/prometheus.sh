# Prometheus and Alertmanager with promtool and amtool: what deploy/check.py holds alerts and dashboards against. Sourced by
# scripts/services. Nothing runs here: tests start each with a configuration of their own. Debian's packages are unpacked, not
# installed, so that no server starts by itself and none is left behind; the programs need nothing but libc.
prometheus_packages=(prometheus prometheus-alertmanager)
prometheus_place=$cache/prometheus
# Debian's Alertmanager looks for its own templates there and nowhere else.
prometheus_templates=/usr/share/prometheus/alertmanager

prometheus_install() {
    if printf '%s\n' "${prometheus_packages[@]}" | cmp -s - "$prometheus_place/complete" && [ -f "$prometheus_templates/email.tmpl" ]; then
        return
    fi
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
        fail "Prometheus comes from Debian; install ${prometheus_packages[*]}, and name the folder of its programs in ONSALE_TEST_PROMETHEUS"
    rm -rf "$prometheus_place"
    mkdir -p "$prometheus_place/packages"
    echo "fetching Prometheus and Alertmanager" >&2
    (
        flock 9
        [ "$(id -u)" != 0 ] || apt-get update -q
        cd "$prometheus_place/packages" && apt-get download -q "${prometheus_packages[@]}"
    ) 9>"$cache/apt.lock" >"$cache/apt.out" 2>&1 || { tail -20 "$cache/apt.out" >&2; fail "cannot fetch Prometheus"; }
    local package
    for package in "$prometheus_place"/packages/*.deb; do dpkg -x "$package" "$prometheus_place/unpacked"; done
    mv "$prometheus_place/unpacked/usr/bin" "$prometheus_place/bin"
    if [ ! -f "$prometheus_templates/email.tmpl" ]; then
        install -D -m 644 -t "$prometheus_templates" "$prometheus_place/unpacked$prometheus_templates"/*.tmpl ||
            fail "Alertmanager needs $prometheus_templates; install the package prometheus-alertmanager"
    fi
    rm -rf "$prometheus_place/packages" "$prometheus_place/unpacked"
    printf '%s\n' "${prometheus_packages[@]}" >"$prometheus_place/complete"
}

prometheus_up() { prometheus_install; }

prometheus_down() { :; }

prometheus_env() { printf 'export ONSALE_TEST_PROMETHEUS=%q\n' "$prometheus_place/bin"; }
