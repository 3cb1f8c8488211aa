#!/usr/bin/env bash
# Feast's own universal tests of online stores, unmodified, against feast_skewless.SkewlessOnlineStore and a live sidecar each; what
# must come of which is in feast_universal/expected.txt, and docs/feast-store.md says why.
#
#   tests/interop/feast_universal.sh [args for pytest]     from `./dev interop feast_universal`
#
# Feast's tests are in none of its packages. They are taken from FEAST_SOURCE, a checkout or a git directory of feast-dev/feast, else
# cloned from GitHub at the tag below into $SKEWLESS_CACHE_DIR; nothing of them is kept in this repository. Needs Python's package index
# the first time, and no Docker: the tests that would start containers are not among those of the list.
set -euo pipefail
tag=v0.67.0
here=$(cd "$(dirname "$0")" && pwd)

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

home=$("$here/feast_universal/environment.sh")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=${FEAST_SOURCE:-$SKEWLESS_CACHE_DIR/feast-$tag}
if [ -z "${FEAST_SOURCE:-}" ] && [ ! -d "$source" ]; then
    git clone --quiet --depth 1 --branch "$tag" https://github.com/feast-dev/feast "$source.part" ||
        die "can't clone feast-dev/feast at $tag; name a checkout or a git directory of it as FEAST_SOURCE"
    mv "$source.part" "$source"
fi
if [ -d "$source/sdk/python/tests" ]; then
    mkdir -p "$work/feast" && cp -r "$source/sdk/python/tests" "$work/feast/tests"
else
    git --git-dir "$source" archive HEAD sdk/python/tests | tar x -C "$work" --strip-components 2 --one-top-level=feast ||
        die "expected a checkout or a git directory of feast-dev/feast at $source"
fi
# What the sources are of is said: a git directory may be of another commit than the tag's.
printf 'tests of feast-dev/feast at %s, feast %s\n' "$(git -C "$source" log -1 --format='%h of %as' 2>/dev/null || echo "$source")" \
    "$("$home/bin/python" -c 'import importlib.metadata; print(importlib.metadata.version("feast"))')"

cd "$work/feast"
export FEAST_USAGE=False IS_TEST=True FEAST_IS_LOCAL_TEST=True FULL_REPO_CONFIGS_MODULE=skewless_repo TZ=UTC
export SKEWLESS_FEAST_STORE_TESTS=$work PYTHONPATH=$work/feast:$here/feast_universal:$here/feast_store:$("$here/feast_universal/package.sh" "$work")
tests=tests/integration/online_store
run() { # the stores that Skewless stands for, the report, args for pytest
    local stands=$1 report=$2
    shift 2
    SKEWLESS_STANDS_FOR=$stands "$home/bin/python" -W ignore -m pytest -q -p no:cacheprovider -p no:warnings --integration --timeout 600 \
        -o asyncio_mode=auto -o addopts= --junit-xml "$report" "$@" || [ $? -eq 1 ]
}
# The second is one test that asks for another store by name; so that none is run twice, it has a run of its own.
alone='test_push_features_and_read_async and not dynamodb'
run redis,sqlite "$work/one.xml" -k "not ($alone)" "$tests/test_universal_online.py" "$tests/test_universal_e2e.py" \
    "$tests/test_push_features_to_online_store.py" "$tests/test_universal_online_types.py" "$@"
run mongodb "$work/two.xml" "$tests/test_push_features_to_online_store.py" -k "$alone" "$@"
"$home/bin/python" "$here/feast_universal/compare.py" "$here/feast_universal/expected.txt" "$work/one.xml" "$work/two.xml"
