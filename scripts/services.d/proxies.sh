# nginx, Apache, HAProxy and Caddy: what people put before a server, and what compresses its answers. Sourced by
# scripts/services. Nothing runs here: tests start each with a configuration of their own. Debian's packages are unpacked, not
# installed, so that no server starts by itself and none is left behind. Where Debian has no Caddy (before 12, or with
# ONSALE_SERVICES_CADDY=go) it is built from source by Go's own checksummed modules: the first of these versions that the Go
# that is there can build.
proxies_caddy_versions=(v2.10.2 v2.6.4)
proxies_packages=(nginx haproxy apache2-bin libapr1 libaprutil1 liblua5.3-0 libopentracing-c-wrapper0 libopentracing1)
proxies=$cache/proxies

proxies_complete() { printf '%s\n' "${proxies_packages[@]}" "caddy ${ONSALE_SERVICES_CADDY:-}"; }

# Where it was not downloaded.
proxies_caddy() {
    need go golang-go ca-certificates
    mkdir -p "$proxies/usr/bin"
    local version
    for version in "${proxies_caddy_versions[@]}"; do
        echo "building Caddy $version" >&2
        GOBIN=$proxies/usr/bin go install "github.com/caddyserver/caddy/v2/cmd/caddy@$version" >"$cache/caddy.out" 2>&1 && return
    done
    tail -20 "$cache/caddy.out" >&2
    fail "cannot build Caddy"
}

proxies_install() {
    proxies_complete | cmp -s - "$proxies/complete" && return
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
        fail "the proxies come from Debian; install ${proxies_packages[*]}, and name a folder of them in ONSALE_TEST_PROXIES"
    rm -rf "$proxies"
    mkdir -p "$proxies/packages" "$proxies/bin"
    echo "fetching nginx, Apache, HAProxy and Caddy" >&2
    (
        flock 9
        [ "$(id -u)" != 0 ] || apt-get update -q
        cd "$proxies/packages" && apt-get download -q "${proxies_packages[@]}" &&
            # Not every Debian has it.
            { [ "${ONSALE_SERVICES_CADDY:-}" = go ] || apt-get download -q caddy || true; }
    ) 9>"$cache/apt.lock" >"$cache/apt.out" 2>&1 || { tail -20 "$cache/apt.out" >&2; fail "cannot fetch the proxies"; }
    local package program
    for package in "$proxies"/packages/*.deb; do dpkg -x "$package" "$proxies"; done
    [ -x "$proxies/usr/bin/caddy" ] || proxies_caddy
    for program in sbin/nginx sbin/haproxy bin/caddy sbin/apache2; do
        cat >"$proxies/bin/${program##*/}" <<PROGRAM
#!/bin/sh
LD_LIBRARY_PATH=\$(echo "$proxies"/usr/lib/*-linux-gnu) exec "$proxies/usr/$program" "\$@"
PROGRAM
        chmod +x "$proxies/bin/${program##*/}"
    done
    rm -rf "$proxies/packages"
    proxies_complete >"$proxies/complete"
}

proxies_up() { proxies_install; }

proxies_down() { :; }

proxies_env() { printf 'export ONSALE_TEST_PROXIES=%q\n' "$proxies"; }
