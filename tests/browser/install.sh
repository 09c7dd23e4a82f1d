#!/usr/bin/env bash
# Installs what the browser tests need, as far as it can: the built pages, playwright-core and CesiumJS by npm, Chromium by apt-get where that
# is allowed, side by side. Always succeeds; what is missing is said here, and the tests that need it are skipped.
cd "$(dirname "$0")/../.." || exit 0
missing() { echo "browser tests: $*; what needs it will be skipped"; }

if ! command -v npm >/dev/null; then
    missing "npm not found"
    exit 0
fi
packages() {
    cd tests/browser && { [ -d node_modules/cesium ] && [ ! package-lock.json -nt node_modules ] ||
        { timeout 150 npm ci --no-audit --no-fund --loglevel=error && touch node_modules; } || missing "npm ci failed"; }
}

browser() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        missing "there is no Chromium"
        return
    fi
    echo "browser tests: installing Chromium"
    export DEBIAN_FRONTEND=noninteractive
    { timeout 150 apt-get install -y -qq --no-install-recommends chromium ||
        { timeout 60 apt-get update -qq && timeout 150 apt-get install -y -qq --no-install-recommends chromium; }; } >/dev/null 2>&1 ||
        missing "Chromium could not be installed"
}

browser &
packages &
timeout 150 make --no-print-directory viewer || missing "the pages could not be built"
wait
exit 0
