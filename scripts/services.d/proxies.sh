# nginx, Apache, HAProxy and Caddy: what people put before a server, and what compresses its answers. Sourced by
# scripts/services. Nothing runs here: tests start each with a configuration of their own. Debian's packages are unpacked, not
# installed, so that no server starts by itself and none is left behind.
proxies_packages=(nginx haproxy caddy apache2-bin libapr1 libaprutil1 liblua5.3-0 libopentracing-c-wrapper0 libopentracing1)
proxies=$cache/proxies

proxies_install() {
    printf '%s\n' "${proxies_packages[@]}" | cmp -s - "$proxies/complete" && return
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
        fail "the proxies come from Debian; install ${proxies_packages[*]}, and name a folder of them in ONSALE_TEST_PROXIES"
    rm -rf "$proxies"
    mkdir -p "$proxies/packages" "$proxies/bin"
    echo "fetching nginx, Apache, HAProxy and Caddy" >&2
    (
        flock 9
        [ "$(id -u)" != 0 ] || apt-get update -q
        cd "$proxies/packages" && apt-get download -q "${proxies_packages[@]}"
    ) 9>"$cache/apt.lock" >"$cache/apt.out" 2>&1 || { tail -20 "$cache/apt.out" >&2; fail "cannot fetch the proxies"; }
    local package program
    for package in "$proxies"/packages/*.deb; do dpkg -x "$package" "$proxies"; done
    for program in sbin/nginx sbin/haproxy bin/caddy sbin/apache2; do
        cat >"$proxies/bin/${program##*/}" <<PROGRAM
#!/bin/sh
LD_LIBRARY_PATH=\$(echo "$proxies"/usr/lib/*-linux-gnu) exec "$proxies/usr/$program" "\$@"
PROGRAM
        chmod +x "$proxies/bin/${program##*/}"
    done
    rm -rf "$proxies/packages"
    printf '%s\n' "${proxies_packages[@]}" >"$proxies/complete"
}

proxies_up() { proxies_install; }

proxies_down() { :; }

proxies_env() { printf 'export ONSALE_TEST_PROXIES=%q\n' "$proxies"; }
