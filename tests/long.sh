#!/usr/bin/env bash
# The long forms: what takes over 100 s of the lab's time, 300 servers, or a benchmark.
#
#   tests/long.sh            list them
#   tests/long.sh NAME       run one; its figures go to docs/measurements.md
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    crash-points)
        # 200 kills in the middle of a run, each resumed; the short form takes 20.
        FLEETMEND_CRASH_POINTS=200 cargo nextest run --release --locked --test stories \
            -E 'test(/crash_and_resume/)' --no-capture
        ;;
    demo-500)
        cargo run --release --locked -- demo --servers 500
        ;;
    demo-compare)
        cargo run --release --locked -- demo --compare
        ;;
    inventory-10000)
        cargo bench --locked --bench load
        ;;
    *)
        sed -n 's/^    \([a-z0-9-]*\))$/\1/p' "$0"
        ;;
esac
