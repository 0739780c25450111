# PostgreSQL of the distribution, with a data folder, a port and a socket folder of its own. Sourced by scripts/services.

postgres_programs() { # the newest version's folder; Debian keeps them out of the PATH
    ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1
}

postgres_install() {
    command -v pg_ctl >/dev/null || [ -n "$(postgres_programs)" ] || need pg_ctl postgresql
    PATH=$(postgres_programs):$PATH
}

# as_postgres COMMAND…: it refuses to run as root
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && exec runuser -u postgres -- env PATH="$PATH" "$@")
    else
        "$@"
    fi
}

# Where the data is: below the others', unless the user postgres cannot get there.
postgres_place() {
    place=$folder/server
    mkdir -p "$place"
    if [ "$(id -u)" = 0 ]; then
        chown postgres "$place"
        as_postgres test -w "$place" 2>/dev/null || {
            place=/var/tmp/onsale-postgres-$(printf %s "$folder" | cksum | cut -d' ' -f1)
            mkdir -p "$place"
            chown postgres "$place"
        }
    fi
    chmod 700 "$place"
}

postgres_ready() { as_postgres pg_isready -q -h 127.0.0.1 -p "$port"; }

postgres_up() {
    port=$(port_of "$folder/port" ONSALE_SERVICES_POSTGRES_PORT 15432)
    postgres_install
    postgres_place
    if [ ! -s "$place/data/PG_VERSION" ]; then
        as_postgres initdb -A trust -U postgres -E UTF8 --locale=C.UTF-8 -D "$place/data" >"$folder/initdb.out" 2>&1 ||
            { tail -20 "$folder/initdb.out" >&2; fail "initdb failed"; }
    fi
    # A certificate beside it, tls.crt with tls.key, has it speak TLS.
    local tls=
    if [ -f "$folder/tls.key" ]; then
        cp "$folder/tls.crt" "$folder/tls.key" "$place/"
        [ "$(id -u)" != 0 ] || chown postgres "$place/tls.crt" "$place/tls.key"
        chmod 600 "$place/tls.key"
        tls="-c ssl=on -c ssl_cert_file=$place/tls.crt -c ssl_key_file=$place/tls.key"
    fi
    local settings="$tls -p $port -k $place -h 127.0.0.1 -c max_connections=200 -c shared_buffers=1GB -c max_wal_size=4GB"
    if ! postgres_ready 2>/dev/null; then
        as_postgres pg_ctl -D "$place/data" -l "$place/log" -w -t 60 -o "$settings" start >"$folder/start.out" 2>&1 8>&- ||
            { tail -20 "$folder/start.out" "$place/log" >&2; fail "PostgreSQL does not start"; }
    fi
    as_postgres psql -qAt -h 127.0.0.1 -p "$port" -U postgres -c "SELECT 1 FROM pg_database WHERE datname = 'onsale'" |
        grep -q 1 || as_postgres createdb -h 127.0.0.1 -p "$port" -U postgres onsale
}

postgres_down() {
    postgres_install
    postgres_place
    [ ! -f "$place/data/postmaster.pid" ] ||
        as_postgres pg_ctl -D "$place/data" -m fast -w stop >"$folder/stop.out" 2>&1 || cat "$folder/stop.out" >&2
}

postgres_wipe() {
    postgres_place
    rm -rf "$place"
}

postgres_env() {
    port=$(port_of "$folder/port" ONSALE_SERVICES_POSTGRES_PORT 15432)
    printf 'export ONSALE_TEST_POSTGRES=postgres://postgres@127.0.0.1:%s/onsale\n' "$port"
}
