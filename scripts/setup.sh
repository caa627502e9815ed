#!/usr/bin/env bash
# Installs the system packages that the named purposes need: build, run, test, bench.
# Debian 12/13 and Ubuntu 24.04; as root or with sudo; does nothing, quickly, when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

# The one list of packages. JVM images are tested where a Java runtime is installed already.
build=(gcc libc6-dev pkg-config libseccomp-dev protobuf-compiler libprotobuf-dev)
run=(nftables iproute2 curl etcd-server)
test=(etcd-server runc busybox-static skopeo podman nghttp2-client curl openssl redis-server nginx
    python3)
bench=(busybox-static crun runc docker.io haproxy nginx wrk python3-venv)

say() { echo "setup: $*" >&2; }

wanted=()
for purpose in "$@"; do
    case "$purpose" in
        build) wanted+=("${build[@]}") ;;
        run) wanted+=("${run[@]}") ;;
        test) wanted+=("${test[@]}") ;;
        bench) wanted+=("${bench[@]}") ;;
        *) say "unknown purpose $purpose"; exit 2 ;;
    esac
done

# The newest language feature in use; Cargo.toml has the same number.
rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null; then
    say "Rust is missing; install $rust_wanted or newer from https://rustup.rs"
    exit 1
fi
rust_found=$(cargo --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$rust_wanted" "$rust_found" | sort -V | head -1)" != "$rust_wanted" ]; then
    say "Rust $rust_found is too old; $rust_wanted or newer is needed: rustup update stable"
    exit 1
fi

missing=()
for package in $(printf '%s\n' "${wanted[@]}" | sort -u); do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" != 0 ]; then
    # Without a terminal sudo can ask for no password.
    if ! command -v sudo >/dev/null || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
        say "these packages are missing and only root can install them:"
        say "    apt-get install ${missing[*]}"
        # Tests skip what they cannot do; a build without its libraries cannot go on.
        for package in "${build[@]}"; do
            case " ${missing[*]} " in *" $package "*) exit 1 ;; esac
        done
        exit 0
    fi
    sudo=(sudo)
fi

# Nothing installed here shall start by itself: tests and benchmarks start their own, on free
# ports, and a web server or a Docker daemon is not what somebody asked for who ran the tests.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
    trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi
say "installing ${missing[*]}"
install() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y \
        --no-install-recommends "${missing[@]}" >/dev/null
}
# The lists may be missing or old.
install 2>/dev/null || { "${sudo[@]}" apt-get -qq update && install; }
if [ -d /run/systemd/system ]; then
    for package in "${missing[@]}"; do
        case "$package" in
            nginx | redis-server | haproxy) "${sudo[@]}" systemctl disable -q "$package" || true ;;
            etcd-server) "${sudo[@]}" systemctl disable -q etcd || true ;;
            docker.io) "${sudo[@]}" systemctl disable -q docker.service docker.socket || true ;;
        esac
    done
fi
say "done"
