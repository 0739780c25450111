# A store that speaks S3's protocol: moto, in memory, with the bucket "onsale". Sourced by scripts/services.
# Versions are those of tests/backup/requirements.txt.
s3_venv=$cache/moto
s3_requirements=$repository/tests/backup/requirements.txt

s3_install() {
    cmp -s "$s3_requirements" "$s3_venv/installed" && return
    need python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv python3-venv
    echo "fetching moto" >&2
    rm -rf "$s3_venv"
    python3 -m venv "$s3_venv"
    "$s3_venv/bin/pip" install --quiet --disable-pip-version-check -r "$s3_requirements" || fail "cannot install moto"
    cp "$s3_requirements" "$s3_venv/installed"
}

s3_ready() { listens "$port"; }

s3_up() {
    port=$(port_of "$folder/port" ONSALE_SERVICES_S3_PORT 15000)
    if ! alive "$folder/pid"; then
        need curl curl ca-certificates
        s3_install
        begin "$folder/pid" "$folder/log" "$s3_venv/bin/moto_server" -H 127.0.0.1 -p "$port"
        wait_for 60 "$folder/pid" "$folder/log" s3_ready
    fi
    curl -fsS -o /dev/null --retry 5 -X PUT "http://127.0.0.1:$port/onsale" || fail "S3 makes no bucket; more in $folder/log"
}

s3_down() { stop "$folder/pid" 5; }

s3_env() {
    port=$(port_of "$folder/port" ONSALE_SERVICES_S3_PORT 15000)
    printf 'export ONSALE_TEST_S3=http://127.0.0.1:%s\n' "$port"
}
