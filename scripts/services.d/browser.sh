# Debian's Chromium, and what drives it and checks pages: playwright-core, axe-core, prettier and tsc from npm. Sourced by
# scripts/services. Nothing runs here: tests start a browser of their own.
browser=$cache/browser
browser_of=$repository/crates/api/pages

browser_up() {
    # With a font that has Korean.
    need chromium chromium fonts-nanum
    need node nodejs
    need npm npm
    cmp -s "$browser_of/package-lock.json" "$browser/installed" && return
    rm -rf "$browser"
    mkdir -p "$browser"
    cp "$browser_of/package.json" "$browser_of/package-lock.json" "$browser"
    npm ci --prefix "$browser" --no-audit --no-fund --ignore-scripts >"$browser/npm.out" 2>&1 ||
        { tail -20 "$browser/npm.out" >&2; fail "cannot fetch what drives the browser"; }
    cp "$browser_of/package-lock.json" "$browser/installed"
}

browser_down() { :; }

browser_env() { printf 'export ONSALE_TEST_BROWSER=%q\n' "$browser"; }
