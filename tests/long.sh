#!/usr/bin/env bash
# The long forms: what takes over 100 s of the lab's time, 300 servers, or a benchmark.
#
#   tests/long.sh            list them
#   tests/long.sh NAME       run one; its figures go to docs/measurements.md
#   tests/long.sh fuzz NAME  fuzz one target for FLEETMEND_FUZZ_SECONDS (600) s; without NAME, list them
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    crash-points)
        # 200 kills in the middle of a run of 200 servers, each resumed, and 200 of a resynchronization of
        # 5; the short forms take 20 and 8.
        FLEETMEND_CRASH_POINTS=200 cargo nextest run --release --locked --test stories \
            -E 'test(/crash_and_resume/) or test(/crash_points/)' --no-capture
        ;;
    shared-limit)
        # Two processes share one limit for 60 s, one is killed half way; the short form takes 8 s.
        FLEETMEND_SHARED_SECONDS=60 cargo nextest run --locked --test shared_limits --no-capture
        ;;
    laws)
        # 10,000 fresh cases of each law of runs, cuts and taking up again, in quarters of 2,500; the
        # short form takes the same cases each time.
        FLEETMEND_LAW_CASES=2500 cargo nextest run --locked --test laws
        ;;
    adaptive)
        # A limit that follows its server, in real time over the lab's protocols (over half an hour), and
        # the law over 100 more seeds. Let the machine be calm: a busy one makes a quick server look slow.
        FLEETMEND_ADAPTIVE_LONG=1 cargo nextest run --locked --test stories --test laws \
            -E 'test(/adaptive::/)' --no-capture
        ;;
    demo-500)
        cargo run --release --locked -- demo --servers 500
        ;;
    resynchronize-500)
        # Every fault mixed in, on 500 servers at speed 120, so that it ends in ten minutes; the
        # short form takes 60 servers at speed 600.
        FLEETMEND_RESYNC_SERVERS=500 FLEETMEND_RESYNC_SPEED=120 cargo nextest run --release --locked --test stories \
            -E 'test(/resynchronize::/)' --no-capture
        ;;
    demo-compare)
        cargo run --release --locked -- demo --compare
        ;;
    inventory-10000)
        cargo bench --locked --bench load
        ;;
    benches)
        # What docs/performance.md quotes. Let the machine be calm: look at `uptime` first.
        uptime
        cargo bench --locked --bench scheduler --bench store --bench engine
        uptime
        ;;
    fuzz)
        # Findings go to fuzz/artifacts, new inputs to fuzz/target: the corpus stays small and made by hand.
        if [ -z "${2:-}" ]; then
            cargo fuzz list
            exit
        fi
        found=fuzz/target/found/$2
        mkdir -p "$found"
        # cargo-fuzz passes sanitizer flags that a stable compiler takes only with this variable.
        RUSTC_BOOTSTRAP=1 cargo fuzz run "$2" "$found" "fuzz/corpus/$2" -- \
            -max_total_time="${FLEETMEND_FUZZ_SECONDS:-600}" -timeout=10 -rss_limit_mb=2048 -max_len=8192
        ;;
    *)
        sed -n 's/^    \([a-z0-9-]*\))$/\1/p' "$0"
        ;;
esac
