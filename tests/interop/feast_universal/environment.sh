#!/usr/bin/env bash
# Feast with what its universal tests need, pinned by requirements.txt, into $SKEWLESS_CACHE_DIR; prints its path.
set -euo pipefail
cd "$(dirname "$0")"
home=$SKEWLESS_CACHE_DIR/feast-universal-$( (cat requirements.txt && python3 --version) | cksum | cut -d ' ' -f 1)
# Written last: without it, a run was ended half way.
if [ ! -f "$home/whole" ]; then
    python3 -m venv --clear "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement requirements.txt >&2
    touch "$home/whole"
fi
echo "$home"
