#!/usr/bin/env bash
# Installs the Debian packages that are missing, by capability and not by name,
# so that tools that came another way (a JDK, Node.js) are taken as they are.
#
#   system.sh build|test
#
# Without root or sudo it prints the one line to run and fails. A Rust toolchain
# is never installed by this script: it belongs to the user.

source "$(dirname "$0")/common.sh"

readonly rust_min=1.95 java_min=17 node_min=18

# at_least WANTED FOUND: dotted versions.
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -1) == "$1" ]]; }

have() { command -v "$1" >/dev/null; }
library() { pkg-config --exists "$1" 2>/dev/null; }
node_found() { have node && at_least "$node_min" "$(node --version | tr -d v)"; }
java_found() { have java && at_least "$java_min" "$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')"; }
venv_found() { have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }

missing=()
# need PACKAGE TEST...: PACKAGE is wanted unless the test passes.
need() {
    local package=$1
    shift
    "$@" || missing+=("$package")
}

need_build() {
    need gcc have cc
    need g++ have c++
    need make have make
    need cmake have cmake
    need pkg-config have pkg-config
    need libc6-dev test -e /usr/include/stdio.h
    need libssl-dev library openssl
    need zlib1g-dev library zlib
    need libzstd-dev library libzstd
    need openssl have openssl
    need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    need nodejs node_found
    need npm have npm
    need python3 have python3
}

need_test() {
    need_build
    need openjdk-17-jre-headless java_found
    need maven have mvn
    need python3-venv venv_found
    need chromium have "${BARTIZAN_CHROMIUM:-chromium}"
    need fonts-dejavu-core test -d /usr/share/fonts/truetype
}

install_missing() {
    local install="apt-get install -y --no-install-recommends ${missing[*]}" root=()
    have apt-get || fail "this system has no apt-get; install by its own means: ${missing[*]}"
    if ((EUID != 0)); then
        if ! have sudo || ! sudo -n true 2>/dev/null; then
            say "packages are missing and root is needed to install them; run:"
            printf '    sudo apt-get update && sudo %s\n' "$install" >&2
            exit 1
        fi
        root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
}

check_rust() {
    local found
    if ! have cargo; then
        say "a Rust toolchain ($rust_min or newer) is missing; install one with:"
        printf '    %s\n' "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y" >&2
        exit 1
    fi
    found=$(rustc --version | awk '{print $2}')
    at_least "$rust_min" "$found" || fail "Rust $found is too old: $rust_min is needed (rustup update stable)"
}

case ${1:-} in
build | test) "need_$1" ;;
*) fail "usage: system.sh build|test" ;;
esac
if ((${#missing[@]})); then install_missing; fi
check_rust
