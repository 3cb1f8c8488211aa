#!/usr/bin/env bash
# The wheel inside of Spark (local[2]) and Ray: what their workers compute is what `skewless backfill` gives, to the last bit.
#
#   tests/interop/engines.sh [args for pytest]     from `./dev interop engines`, which builds `skewless` and puts it on the path
#
# Needs Java 17 or later (installs Debian's if there is none) and, the first time, a package index: Spark has 450 MB. The
# environment is kept in $SKEWLESS_CACHE_DIR. Everything listens on loopback only and ends with this script.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/engines/environment.sh"

if ! command -v java >/dev/null; then
    say "installing Java"
    sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless >/dev/null
fi

python=$(python_with "$here/engines-requirements.txt")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Ray would leave a token in the home folder, and tell its makers that it is used.
RAY_AUTH_TOKEN=$(od -An -N 16 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0 RAY_TMPDIR=$scratch
export SPARK_LOCAL_IP=127.0.0.1
"$python" -m pytest -q -p no:cacheprovider --basetemp "$scratch/pytest" "$here/engines" "$@"
