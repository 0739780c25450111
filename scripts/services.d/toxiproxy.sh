# toxiproxy: a TCP proxy that tests put before a server and then slow down, cut or reset. Sourced by scripts/services.
# Built from source by Go's own checksummed modules; this version is the newest that Debian 12's Go (1.19) builds.
toxiproxy_version=v2.5.0
toxiproxy_binary=$cache/toxiproxy-$toxiproxy_version

toxiproxy_install() {
    [ -x "$toxiproxy_binary" ] && return
    need go golang-go ca-certificates
    echo "building toxiproxy $toxiproxy_version" >&2
    GOBIN=$cache/gobin go install "github.com/Shopify/toxiproxy/v2/cmd/server@$toxiproxy_version" >"$cache/toxiproxy.out" 2>&1 ||
        { cat "$cache/toxiproxy.out" >&2; fail "cannot build toxiproxy"; }
    mv "$cache/gobin/server" "$toxiproxy_binary"
}

toxiproxy_ready() { listens "$port"; }

toxiproxy_up() {
    port=$(port_of "$folder/port" ONSALE_SERVICES_TOXIPROXY_PORT 18474)
    alive "$folder/pid" && return
    toxiproxy_install
    begin "$folder/pid" "$folder/log" "$toxiproxy_binary" -host 127.0.0.1 -port "$port"
    wait_for 10 "$folder/pid" "$folder/log" toxiproxy_ready
}

toxiproxy_down() { stop "$folder/pid" 5; }

toxiproxy_env() {
    port=$(port_of "$folder/port" ONSALE_SERVICES_TOXIPROXY_PORT 18474)
    printf 'export ONSALE_TEST_TOXIPROXY=127.0.0.1:%s\n' "$port"
}
