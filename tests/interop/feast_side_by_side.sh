#!/usr/bin/env bash
# docs/examples/feast/side_by_side.py, which docs/feast-store.md shows: Feast's quickstart by Feast's servers and by a sidecar.
#
#   tests/interop/feast_side_by_side.sh [args]     from `./dev interop feast_side_by_side`
#
# The environment is that of feast_universal.sh: it needs Python's package index the first time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=$("$here/feast_universal/environment.sh")
said=$(mktemp)
trap 'rm -f "$said"' EXIT
CARGO_TARGET_DIR=$SKEWLESS_CACHE_DIR/guests-target "$home/bin/python" -W ignore "$here/../../docs/examples/feast/side_by_side.py" "$@" | tee "$said"
# Whatever the machine, what is stored and what is computed is the same.
if grep -q 'values differ' "$said"; then
    printf 'error: the two answer other values\n' >&2
    exit 1
fi
[ "$(grep -c 'the same values' "$said")" -ge 5 ]
