#!/usr/bin/env bash
# docs/feast.md: Feast's users walk in, its unmodified SDK with the `remote` online store, and its own gRPC stubs, against a sidecar that
# serves the feature repo of `skewless init`. What must come is in feast/walk_in.py; what its servers must get who have transforms computed
# elsewhere, in feast/transformations.py.
set -euo pipefail
cd "$(dirname "$0")/feast"

home=$SKEWLESS_CACHE_DIR/interop-feast-$(cksum <requirements.txt | cut -d ' ' -f 1)
if [ ! -e "$home/complete" ]; then
    python3 -m venv --clear "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
    touch "$home/complete"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skewless init "$work/shop"
(cd "$work/shop" && skewless plugin build plugins/basket)
cp -r definitions "$work/definitions"
cp visits.yaml "$work/shop/"
FEAST_USAGE=False "$home/bin/python" walk_in.py "$work"
FEAST_USAGE=False "$home/bin/python" transformations.py "$work"
