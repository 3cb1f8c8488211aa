#!/usr/bin/env bash
# The wheel inside of Spark (local[2]) and Ray: what their workers compute is what `skewless backfill` gives, to the last bit.
#
#   tests/interop/engines.sh [args for pytest]     from `./dev interop engines`, which builds `skewless` and puts it on the path
#
# Needs, the first time, a package index: Spark has 450 MB; and Java 17 or later, for which Debian's is installed if there is none.
# The environment is kept in $SKEWLESS_CACHE_DIR. Everything listens on loopback only and ends with this script.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/engines/environment.sh"

# A Java of the package index won't do: those that are there lack modules that Spark names when it starts.
java_is_new() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge 17 ]
}
if ! java_is_new; then
    command -v apt-get >/dev/null || die "Spark needs Java 17 or later on the PATH, found $(java -version 2>&1 | head -1)"
    say "installing Java"
    sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    # What there is of these differs between releases.
    for version in 21 17; do
        if apt-cache show "openjdk-$version-jre-headless" >/dev/null 2>&1; then
            "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "openjdk-$version-jre-headless" >/dev/null
            JAVA_HOME=$(dirname "$(dirname "$(readlink -f "$(ls -d /usr/lib/jvm/java-"$version"-openjdk-*/bin/java | head -1)")")")
            export JAVA_HOME PATH=$JAVA_HOME/bin:$PATH
            break
        fi
    done
    java_is_new || die "Spark needs Java 17 or later, found $(java -version 2>&1 | head -1); put one on the PATH"
fi

python=$(python_with "$here/engines-requirements.txt")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Ray would leave a token in the home folder, and tell its makers that it is used.
RAY_AUTH_TOKEN=$(od -An -N 16 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0 RAY_TMPDIR=$scratch
export SPARK_LOCAL_IP=127.0.0.1
"$python" -m pytest -q -p no:cacheprovider --basetemp "$scratch/pytest" "$here/engines" "$@"
