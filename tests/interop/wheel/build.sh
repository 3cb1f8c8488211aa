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

# SKEWLESS_WHEEL_PROFILE: `dev`, that of everything else here, so that only the package itself is compiled; or those of `./dev bench`,
# `quick` and `release`.
profile=${SKEWLESS_WHEEL_PROFILE:-dev}
if [ "$profile" = quick ]; then
    profile=dev
    export SKEWLESS_COUNTED_BUILD=1 CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false \
        CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false CARGO_PROFILE_DEV_INCREMENTAL=false CARGO_PROFILE_DEV_CODEGEN_UNITS=1
fi
rm -rf "$wheels"
(cd "$here/../../../sidecar/python" && CARGO=$here/cargo "$home/bin/maturin" build --quiet --profile "$profile" --out "$wheels" >&2)
echo "$wheels"/skewless-*.whl
