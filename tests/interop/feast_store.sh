#!/usr/bin/env bash
# feast_skewless.SkewlessOnlineStore, as docs/feast-store.md shows it: unmodified Feast on one side, sidecars on the other
# (feast_store/test_store.py).
#
#   tests/interop/feast_store.sh [args for pytest]     from `./dev interop feast_store`
#
# The environment is that of feast_universal.sh: it needs Python's package index the first time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=$("$here/feast_universal/environment.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skewless init --sdk "$here/../../sdk/rust" "$work/shop" >/dev/null
skewless plugin build "$work/shop/plugins/basket" >/dev/null
cp -r "$work/shop" "$work/shop_unix"
cd "$here/feast_store"
export FEAST_USAGE=False TZ=UTC SKEWLESS_FEAST_STORE_TESTS=$work
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$("$here/feast_universal/package.sh" "$work") \
    "$home/bin/python" -W ignore -m pytest -q -p no:cacheprovider "$@"
