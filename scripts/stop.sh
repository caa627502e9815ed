#!/usr/bin/env bash
# Ends what scripts/run.sh started and removes everything it made.
set -euo pipefail
cd "$(dirname "$0")/.."

state=$PWD/.freehold
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)

if [ ! -d "$state" ]; then
    echo "stop: nothing runs here" >&2
    exit 0
fi
pid=$(cat "$state/up.pid" 2>/dev/null || true)
# A pid from long ago may be another program's by now.
if [ -n "$pid" ] && "${sudo[@]}" grep -qzx up "/proc/$pid/cmdline" 2>/dev/null; then
    "${sudo[@]}" kill -TERM "$pid"
    # It drains and removes its containers, links and rules: 60 s are six grace periods.
    for _ in $(seq 600); do
        "${sudo[@]}" kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    if "${sudo[@]}" kill -0 "$pid" 2>/dev/null; then
        echo "stop: process $pid did not end within 60 s; its log is $state/up.log" >&2
        exit 1
    fi
fi
"${sudo[@]}" rm -rf "$state"
echo "stop: done" >&2
