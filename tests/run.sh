#!/usr/bin/env bash
# The short form of all tests: style, unit tests, laws, stories and peers. Prints what each part took.
#
#   tests/run.sh             run what can be run; parts whose programs are missing are named as not run
#   tests/run.sh --peers     only the programs that others wrote, against both halves of our protocols
#   tests/run.sh --install   install those programs first (Debian packages and a Python venv; needs root)
set -euo pipefail
cd "$(dirname "$0")/.."

peers=${FLEETMEND_PEERS:-$PWD/target/peers}
not_run=()
started=$SECONDS

say() { printf '\n== %s\n' "$*"; }

install_peers() {
    say "installing the programs of others"
    if [ "$(id -u)" -ne 0 ]; then
        echo "tests/run.sh --install needs root" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    local wanted=(samba smbclient freetds-bin python3-venv iproute2) missing=()
    for package in "${wanted[@]}"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
    if [ ! -x "$peers/bin/python" ]; then
        python3 -m venv "$peers"
    fi
    "$peers/bin/pip" install -q -r tests/peers/requirements.txt
    command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest
}

# Runs what is in tests/peers, with nothing of it left to reach the machine itself.
run_peers() {
    say "peers: programs that others wrote"
    local program missing=""
    for program in smbd smbpasswd smbclient smbcacls rpcclient tsql ip useradd; do
        command -v "$program" >/dev/null || missing="$missing $program"
    done
    [ -x "$peers/bin/python" ] || missing="$missing $peers/bin/python"
    # Their own network, mounts and processes: a laptop keeps its ports, its users and its hosts
    # file, and nothing outlives the test.
    local room=(unshare --net --mount --pid --fork --kill-child --mount-proc)
    if [ -n "$missing" ]; then
        not_run+=("peers: not installed:$missing; tests/run.sh --install does that")
    elif [ "$(id -u)" -ne 0 ] || ! "${room[@]}" true 2>/dev/null; then
        not_run+=("peers: they need root, for a network of their own")
    else
        mkdir -p target/room
        FLEETMEND_PEERS="$peers" FLEETMEND_PEERS_REQUIRED=1 "${room[@]}" sh -euc '
            mount --make-rprivate /
            mount -t tmpfs room target/room
            cp -a /etc target/room/etc
            mount --bind target/room/etc /etc
            ip link set lo up
            timeout --foreground 300 cargo test --locked --offline --test peers -- --test-threads=2
        '
    fi
}

# Names what did not run: a part that is left out must be seen.
tell_not_run() {
    local part
    for part in ${not_run[@]+"${not_run[@]}"}; do
        echo "NOT RUN  $part"
    done
}

case "${1:-}" in
    --install) install_peers ;;
    --peers)
        cargo test --locked --no-run --test peers
        run_peers
        tell_not_run
        [ ${#not_run[@]} -eq 0 ]
        exit
        ;;
esac

say "style"
cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings

say "build"
build_started=$SECONDS
cargo test --locked --no-run
build_time=$((SECONDS - build_started))

say "unit tests, laws and stories"
tests_started=$SECONDS
if command -v cargo-nextest >/dev/null; then
    cargo nextest run --locked --no-fail-fast -E 'not binary(peers)'
else
    not_run+=("nextest is not installed: cargo test ran in its place")
    binaries=()
    for file in tests/*.rs tests/*/main.rs; do
        name=${file#tests/}
        name=${name%.rs}
        name=${name%/main}
        [ "$name" = peers ] || binaries+=(--test "$name")
    done
    cargo test --locked --lib --bins "${binaries[@]}"
fi

run_peers
tests_time=$((SECONDS - tests_started))

say "done in $((SECONDS - started)) s: build $build_time s, tests $tests_time s"
tell_not_run
