#!/usr/bin/env bash
# Builds the Python package's wheel as wheel.sh does, into cargo's target folder, and prints its path. With nothing to compile it
# takes some seconds.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${SKEWLESS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/skewless}
wheels=${CARGO_TARGET_DIR:-$cache/target}/wheels

home=$cache/interop-wheel-$( (cat "$here/requirements.txt" && python3 --version) | cksum | cut -d ' ' -f 1)
# Written last: without it, a run was ended half way.
if [ ! -f "$home/whole" ]; then
    python3 -m venv --clear "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
    touch "$home/whole"
fi

# Of the profile and the dependencies that everything else here is built with: only the package itself is compiled.
rm -rf "$wheels"
(cd "$here/../../../sidecar/python" && CARGO=$here/cargo "$home/bin/maturin" build --quiet --profile dev --out "$wheels" >&2)
echo "$wheels"/skewless-*.whl
