#!/usr/bin/env bash
# The short form of all tests: style, unit tests, laws, stories and peers. Prints what each part took.
#
#   tests/run.sh             run what can be run; parts whose programs are missing are named as not run
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

[ "${1:-}" = "--install" ] && install_peers

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

say "peers: programs that others wrote"
peer_programs=(smbd smbpasswd smbclient smbcacls rpcclient tsql ip useradd)
for program in "${peer_programs[@]}"; do
    command -v "$program" >/dev/null || peers_missing="${peers_missing:-} $program"
done
[ -x "$peers/bin/python" ] || peers_missing="${peers_missing:-} $peers/bin/python"
# Their own network, mounts and processes: a laptop keeps its ports, its users and its hosts file,
# and nothing outlives the test.
room=(unshare --net --mount --pid --fork --kill-child --mount-proc)
if [ -n "${peers_missing:-}" ]; then
    not_run+=("peers: not installed:$peers_missing; tests/run.sh --install does that")
elif [ "$(id -u)" -ne 0 ] || ! "${room[@]}" true 2>/dev/null; then
    not_run+=("peers: they need root, for a network of their own")
else
    mkdir -p target/room
    FLEETMEND_PEERS="$peers" "${room[@]}" sh -euc '
        mount --make-rprivate /
        mount -t tmpfs room target/room
        cp -a /etc target/room/etc
        mount --bind target/room/etc /etc
        ip link set lo up
        timeout --foreground 300 cargo test --locked --offline --test peers -- --test-threads=2
    '
fi
tests_time=$((SECONDS - tests_started))

say "done in $((SECONDS - started)) s: build $build_time s, tests $tests_time s"
for part in ${not_run[@]+"${not_run[@]}"}; do
    echo "NOT RUN  $part"
done
