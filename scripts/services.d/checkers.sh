# What examples/admission and the sites behind it run on: Node with Express and Next.js, Python with an ASGI server, Java with
# Tomcat. Sourced by scripts/services. Nothing runs here: tests start each. Versions are those of tests/gates/node/package-lock.json,
# tests/gates/requirements.txt and checkers.jars (by path below Maven Central, with their checksums).
checkers=$cache/checkers
checkers_maven=${ONSALE_SERVICES_MAVEN:-https://repo1.maven.org/maven2}
checkers_inputs=("$repository/tests/gates/node/package-lock.json" "$repository/tests/gates/requirements.txt"
    "$services_d/checkers.jars")

checkers_install() {
    need node nodejs
    need npm npm
    need javac default-jdk-headless
    need curl curl ca-certificates
    need python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv python3-venv
    cat "${checkers_inputs[@]}" | cmp -s - "$checkers/complete" && return
    echo "fetching Express, Next.js, an ASGI server and Tomcat" >&2
    rm -rf "$checkers"
    mkdir -p "$checkers/node" "$checkers/jars"
    cp "$repository"/tests/gates/node/package*.json "$checkers/node/"
    (cd "$checkers/node" && npm ci --no-audit --no-fund --ignore-scripts --silent) || fail "cannot install the packages of Node"
    # Pictures are of no use here; they are most of it.
    rm -rf "$checkers/node/node_modules/@img"
    python3 -m venv "$checkers/venv"
    "$checkers/venv/bin/pip" install --quiet --disable-pip-version-check -r "$repository/tests/gates/requirements.txt"
    local sum path
    while read -r sum path; do
        curl -fsSL --retry 3 --output "$checkers/jars/${path##*/}" "$checkers_maven/$path"
        sha256sum --check --quiet <<<"$sum  $checkers/jars/${path##*/}" || fail "$path is not what checkers.jars names"
    done <"$services_d/checkers.jars"
    cat "${checkers_inputs[@]}" >"$checkers/complete"
}

checkers_up() { checkers_install; }

checkers_down() { :; }

checkers_env() { printf 'export ONSALE_TEST_CHECKERS=%q\n' "$checkers"; }
