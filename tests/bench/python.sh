#!/usr/bin/env bash
# Measures the Python package on this machine: what the wheel adds to the engine, beside NumPy, and inside of Spark. Optional:
# nothing else of the bench needs it, and the report has these rows only when it was run.
#
#   tests/bench/python.sh [--quick] [args for ./dev bench, such as --short or --write]     from `./dev bench python`
#
# The wheel is built in the profile of the bench, and put with what tests/interop/engines-requirements.txt pins (Spark has 450 MB)
# into an environment in $SKEWLESS_CACHE_DIR. Needs Java 17 or later.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tests/interop
. "$here/engines/environment.sh"

quick=()
export SKEWLESS_WHEEL_PROFILE=release
if [ "${1:-}" = --quick ]; then
    quick=(--quick)
    shift
    export SKEWLESS_WHEEL_PROFILE=quick
fi
SKEWLESS_BENCH_PYTHON=$(python_with "$here/engines-requirements.txt")
export SKEWLESS_BENCH_PYTHON SPARK_LOCAL_IP=127.0.0.1
./dev bench "${quick[@]}" --only python "$@"
