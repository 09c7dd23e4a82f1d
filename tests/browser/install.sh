#!/usr/bin/env bash
# Installs what the browser tests need, as far as it can: the built pages and playwright-core by npm, Chromium by apt-get where that is
# allowed. Always succeeds; what is missing is said here, and the tests that need it are skipped. `install.sh cesium` adds CesiumJS.
cd "$(dirname "$0")/../.." || exit 0
missing() { echo "browser tests: $*; what needs it will be skipped"; }

if ! command -v npm >/dev/null; then
    missing "npm not found"
    exit 0
fi
timeout 300 make --no-print-directory viewer || missing "the pages could not be built"

cd tests/browser || exit 0
omit=(--omit=dev)
[ "${1:-}" = cesium ] && omit=()
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules ] || { [ "${1:-}" = cesium ] && [ ! -d node_modules/cesium ]; }; then
    timeout 300 npm ci "${omit[@]}" --no-audit --no-fund --loglevel=error && touch node_modules || missing "npm ci failed"
fi

if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "browser tests: installing Chromium"
        { timeout 240 apt-get install -y -qq --no-install-recommends chromium ||
            { timeout 120 apt-get update -qq && timeout 240 apt-get install -y -qq --no-install-recommends chromium; }; } >/dev/null 2>&1 ||
            missing "Chromium could not be installed"
    else
        missing "there is no Chromium"
    fi
fi
exit 0
