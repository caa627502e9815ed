#!/usr/bin/env bash
# Starts Freehold on this machine, in the background, and takes the example app through staging to
# production. Run again, it brings the running one up to date. `scripts/stop.sh` ends it.
set -euo pipefail
cd "$(dirname "$0")/.."

api=${FREEHOLD_RUN_API:-127.0.0.1:7443}
http=${FREEHOLD_RUN_HTTP:-127.0.0.1:8080}
https=${FREEHOLD_RUN_HTTPS:-127.0.0.1:8443}
subnet=${FREEHOLD_RUN_SUBNET:-10.128.0.0/16}
state=$PWD/.freehold
target=${CARGO_TARGET_DIR:-$PWD/target}
binary=$target/release/freehold
hello=$target/x86_64-unknown-linux-gnu/release/hello

fail() { echo "run: $*" >&2; exit 1; }

sudo=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "containers need root; become root or install sudo"
    sudo=(sudo)
    # Ask for the password now, not in the background.
    sudo true
fi
[ -x "$binary" ] && [ -x "$hello" ] || fail "the binaries are missing; type: make build"

running() {
    [ -s "$state/up.pid" ] && "${sudo[@]}" kill -0 "$(cat "$state/up.pid")" 2>/dev/null
}

start() {
    mkdir -p "$state"
    "${sudo[@]}" rm -f "$state/up.pid"
    : >"$state/up.out"
    # The shell that writes the pid becomes the server.
    # shellcheck disable=SC2016
    "${sudo[@]}" setsid sh -c 'echo $$ >"$0" && exec "$@"' "$state/up.pid" \
        "$binary" up --data "$state/data" --ephemeral --api "$api" --http "$http" \
        --https "$https" --subnet "$subnet" >"$state/up.out" 2>"$state/up.log" </dev/null &
    # `up` prints its three exports when it is ready: wait up to 60 s for them.
    for _ in $(seq 600); do
        [ "$(grep -c '^export FREEHOLD_' "$state/up.out")" -lt 3 ] || return 0
        if [ -s "$state/up.pid" ] && ! running; then
            tail -n 30 "$state/up.log" >&2
            fail "freehold up ended; its log is $state/up.log"
        fi
        sleep 0.1
    done
    tail -n 30 "$state/up.log" >&2
    fail "freehold up was not ready within 60 s; its log is $state/up.log"
}

running || start
# shellcheck disable=SC1090
. <(grep '^export FREEHOLD_' "$state/up.out")
freehold() {
    "${sudo[@]}" env FREEHOLD_API="$FREEHOLD_API" FREEHOLD_CA="$FREEHOLD_CA" \
        FREEHOLD_TOKEN_FILE="$FREEHOLD_TOKEN_FILE" "$binary" "$@"
}

freehold image build --base scratch --add "$hello:/hello" --command /hello --tag hello:1
freehold image push hello:1
freehold deploy -f examples/hello/freehold.toml --image hello:1 --wait
freehold promote hello --wait

# The routes are served once every proxy has acknowledged them; that is what --wait waited for.
for name in hello.staging.example.com hello.example.com; do
    curl --silent --show-error --fail --max-time 10 --header "Host: $name" "http://$http/" ||
        fail "http://$name did not answer 200 on $http"
done
freehold ps

cat <<END

Freehold runs. The example app answers at:
    curl -H 'Host: hello.example.com' http://$http/            (production)
    curl -H 'Host: hello.staging.example.com' http://$http/    (staging)
The API listens at $FREEHOLD_API. To use the command line:
$(grep '^export FREEHOLD_' "$state/up.out" | sed 's/^/    /')
    $binary ps
Log: $state/up.log. To end it and remove everything: make stop
END
