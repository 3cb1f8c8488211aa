#!/usr/bin/env bash
# From Feast to Skewless by the commands of docs/feast-migrate.md, with real Feast: its own template repos that need no cloud
# are applied, imported and checked; one, with a view of more kinds of values (feast_import/kinds.py), is materialized into SQLite
# and into Redis, copied into a running sidecar, and every value is compared with what Feast itself answers
# (feast_import/compare.py).
#
# Not among the templates: `ray`, `ray_rag` and `spark`, which take half a gigabyte of packages to apply. Of the first two the
# definitions are imported like those here; `spark` names keys that its own data doesn't have, and the import says so.
#
# Installs Feast at the version of feast_import/requirements.txt into $SKEWLESS_CACHE_DIR, and unpacks Debian's Redis there
# if there is none on the PATH. Everything listens on loopback and ends with this script.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
cache=${SKEWLESS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/skewless}
export FEAST_USAGE=False TZ=UTC SKEWLESS_CACHE_DIR=$cache

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

env=$cache/feast-import-$(cksum <feast_import/requirements.txt | cut -d ' ' -f 1)
if [ ! -e "$env/ready" ]; then
    python3 -m venv --clear "$env"
    "$env/bin/pip" install --quiet --disable-pip-version-check --requirement feast_import/requirements.txt
    touch "$env/ready"
fi

work=$(mktemp -d)
started=()
end() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap end EXIT
cd "$work"

until_there() { # a command that ends well once it is there, a process: a minute at most
    local process=$1
    shift
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        kill -0 "$process" 2>/dev/null || break
        sleep 0.1
    done
    die "$* never worked"
}

build_plugins() { # in a feature repo
    export CARGO_TARGET_DIR=$cache/guests-target
    for crate in plugins/*/Cargo.toml; do
        if [ -e "$crate" ]; then skewless plugin build "$(dirname "$crate")" >/dev/null; fi
    done
}

online_store() { # in a Feast repo's folder: its online store
    "$env/bin/python" -c 'import sys, yaml
settings = yaml.safe_load(open("feature_store.yaml"))
settings["online_store"] = yaml.safe_load(sys.argv[1])
yaml.safe_dump(settings, open("feature_store.yaml", "w"))' "$1"
}

# Every template that needs no cloud and nothing but Feast.
for template in local pytorch_nlp milvus rag; do
    "$env/bin/feast" init --template "$template" "feast_$template" >init.log 2>&1 || { cat init.log >&2; die "feast init $template"; }
    cd "feast_$template/feature_repo"
    case $template in
    local)
        cp "$here/feast_import/kinds.py" .
        "$env/bin/python" -W ignore kinds.py
        ;;
    milvus | rag)
        # What tries them out needs models and a vector store; their definitions need neither.
        rm test_workflow.py
        online_store '{type: sqlite, path: data/online_store.db}'
        ;;
    esac
    "$env/bin/feast" apply >../apply.log 2>&1 || { cat ../apply.log >&2; die "feast apply $template"; }
    cd ../..
    skewless feast import --sdk "$here/../../sdk/rust" "feast_$template/feature_repo" --out "$template" >"$template.txt" || { cat "$template.txt" >&2; die "import of $template"; }
    (cd "$template" && build_plugins && skewless check >check.txt) || die "check of $template"
    printf '%s: %s\n' "$template" "$(head -1 "$template/check.txt")"
done

# A registry in a database, by the way that the refusal of it names.
cp -r feast_local/feature_repo sql
(cd sql && sed -i 's#^registry:.*#registry: {registry_type: sql, path: "sqlite:///registry.sqlite"}#' feature_store.yaml && "$env/bin/feast" apply >apply.log 2>&1) ||
    die "feast apply with a SQL registry: $(tail -3 sql/apply.log)"
if skewless feast import sql --out from_sql 2>refused.txt; then die "a SQL registry was imported"; fi
grep -o 'import feast; open(.*SerializeToString())' refused.txt >way.txt || die "no way out of a SQL registry: $(cat refused.txt)"
(cd sql && "$env/bin/python" -c "$(cat ../way.txt)")
skewless feast import --sdk "$here/../../sdk/rust" sql/registry.pb --project feast_local --out from_sql >/dev/null
sed 1d local/features.yaml >a.yaml
sed 1d from_sql/features.yaml | sed "s#$work/sql/#$work/feast_local/feature_repo/#" >b.yaml
diff a.yaml b.yaml >&2 || die "the registry in a file and the one in a database differ"

# The rows of one, from SQLite.
now=$(date -u +%Y-%m-%dT%H:%M:%S)
(cd feast_local/feature_repo && "$env/bin/feast" materialize-incremental "$now" >../materialize.log 2>&1) || { cat feast_local/materialize.log >&2; die "materialize"; }
cd local
skewless serve --tcp '' --http '' --unix sidecar.sock >../serve.log 2>&1 &
started+=($!)
until_there $! grep -q sidecar.sock ../serve.log
copy_and_compare() { # the Feast repo, where its rows are
    skewless feast copy --from "$2" --at unix:sidecar.sock | tee copied.txt
    "$env/bin/python" "$here/feast_import/compare.py" "$1" .
}
copy_and_compare ../feast_local/feature_repo "sqlite://$work/feast_local/feature_repo/data/online_store.db"
skewless feast copy --from "sqlite://$work/feast_local/feature_repo/data/online_store.db" --at unix:sidecar.sock >again.txt
grep -q '0 newest now' again.txt || die "copied again, rows were written: $(cat again.txt)"
kill "${started[-1]}"
wait "${started[-1]}" 2>/dev/null || true

# The same from Redis, into a store of its own.
port=${SKEWLESS_PEER_REDIS_PORT:-17379}
"$here/feast_differences/redis.sh" --bind 127.0.0.1 --port "$port" --save '' --appendonly no --daemonize no >../redis.log 2>&1 &
started+=($!)
until_there $! bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
cp -r ../feast_local ../feast_redis
cd ../feast_redis/feature_repo
online_store "{type: redis, connection_string: '127.0.0.1:$port'}"
"$env/bin/feast" materialize 2020-01-01T00:00:00 "$now" >../materialize.log 2>&1 || { cat ../materialize.log >&2; die "materialize into Redis"; }
cd ../../local
# What isn't Feast's is there, too.
"$env/bin/python" -c "import redis; redis.Redis(port=$port).set('session:1', 'not a hash')"
rm -rf .skewless/store
skewless serve --tcp '' --http '' --unix sidecar.sock >../serve.log 2>&1 &
started+=($!)
until_there $! grep -q sidecar.sock ../serve.log
copy_and_compare ../feast_redis/feature_repo "redis://127.0.0.1:$port/0"
# A row of a key as Feast wrote it before version 3: counted and refused.
"$env/bin/python" -c "
import redis
key = b'\\x02\\0\\0\\0driver_id' + b'\\x04\\0\\0\\0' + b'\\x08\\0\\0\\0' + (1001).to_bytes(8, 'little') + b'feast_local'
redis.Redis(port=$port).hset(key, mapping={'_ts:driver_hourly_stats': b''})"
if skewless feast copy --from "redis://127.0.0.1:$port/0" --at unix:sidecar.sock >old.txt 2>&1; then die "an old key was passed over: $(cat old.txt)"; fi
grep -q '^driver_hourly_stats: .* 1 refused' old.txt || die "an old key isn't counted: $(cat old.txt)"
grep -q 'serialization version 2 or older' old.txt || die "why an old key is refused isn't told: $(cat old.txt)"
skewless feast copy --skip-bad-rows --from "redis://127.0.0.1:$port/0" --at unix:sidecar.sock >/dev/null
kill "${started[-1]}"
wait "${started[-1]}" 2>/dev/null || true

# Its SDK goes on writing, with the store that asks by HTTP.
feast_port=${SKEWLESS_FEAST_HTTP_PORT:-16566}
skewless serve --tcp '' --http '' --unix sidecar.sock --set "listen.feast_http=127.0.0.1:$feast_port" >../serve.log 2>&1 &
started+=($!)
until_there $! bash -c "exec 3<>/dev/tcp/127.0.0.1/$feast_port"
"$env/bin/python" -W ignore "$here/feast_import/remote.py" ../feast_local/feature_repo "127.0.0.1:$feast_port"
[ "$(grep -c 'are passed over' ../serve.log)" = 2 ] || die "what is passed over isn't told once a view: $(cat ../serve.log)"
