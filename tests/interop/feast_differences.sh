#!/usr/bin/env bash
# The table "What differs, on purpose" of docs/feast.md: Feast's servers and a sidecar are asked the same, row by row
# (feast_differences/test_differences.py).
#
#   tests/interop/feast_differences.sh [args for pytest]     from `./dev interop feast_differences`
#
# The environment is that of feast_universal.sh: it needs Python's package index the first time, and Debian's Redis if there is none on
# the PATH. Everything listens on loopback and ends with this script.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=$("$here/feast_universal/environment.sh")

work=$(mktemp -d)
redis=
trap '[ -z "$redis" ] || { kill "$redis" && wait "$redis"; } 2>/dev/null || true; rm -rf "$work"' EXIT

# A feature repo, its plugins made of two files of Rust.
skewless init --sdk "$here/../../sdk/rust" "$work/shop" >/dev/null
mkdir -p "$work/repo/plugins"
cp "$here/feast_differences/features.yaml" "$work/repo/"
for plugin in per_order twice; do
    mkdir -p "$work/$plugin/src"
    sed "s/^name = \"basket\"/name = \"$plugin\"/" "$work/shop/plugins/basket/Cargo.toml" >"$work/$plugin/Cargo.toml"
    cp "$here/feast_differences/$plugin.rs" "$work/$plugin/src/lib.rs"
    skewless plugin build "$work/$plugin" --out-dir "$work/repo/plugins" >/dev/null
done

export SKEWLESS_FEAST_REDIS_PORT=${SKEWLESS_PEER_REDIS_PORT:-17380}
"$here/feast_differences/redis.sh" --bind 127.0.0.1 --port "$SKEWLESS_FEAST_REDIS_PORT" --save '' --appendonly no >"$work/redis.log" 2>&1 &
redis=$!

cd "$here/feast_differences"
export FEAST_USAGE=False TZ=UTC SKEWLESS_FEAST_DIFFERENCES=$work PATH=$home/bin:$PATH PYTHONDONTWRITEBYTECODE=1
PYTHONPATH=$here/feast_differences:$here/feast_store "$home/bin/python" -W ignore -m pytest -q -p no:cacheprovider "$@"
