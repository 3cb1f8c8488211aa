#!/usr/bin/env bash
# Measures peers on this machine beside us: Feast's Python feature server with Redis, and Redis alone. They are
# installed into a scratch folder, listen on loopback only, and end with this script. Optional: nothing else of
# the bench needs it, and the report has these rows only when it was run.
#
#   tests/bench/peers.sh [args for ./dev bench, such as --quick (which must be the first), --short or --write]
#
#   SKEWLESS_CACHE_DIR  the scratch folder is `peers` in it (default: ~/.cache/skewless)
#
# Needs python3 (3.10 or later) with venv and pip; Redis is taken from the path, else Debian's package is
# unpacked into the scratch folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
scratch=${SKEWLESS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/skewless}/peers
feast_version=0.67.0
redis_port=${SKEWLESS_PEER_REDIS_PORT:-17379}
feast_port=${SKEWLESS_PEER_FEAST_PORT:-17566}

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

redis() { # the path of a redis-server
    if command -v redis-server; then return; fi
    local unpacked=$scratch/redis
    if [ ! -x "$unpacked/usr/bin/redis-check-rdb" ]; then
        say "unpacking Debian's redis"
        mkdir -p "$unpacked/deb"
        (cd "$unpacked/deb" && apt-get download -qq redis-tools redis-server libjemalloc2 liblua5.1-0 liblzf1 lua-bitop lua-cjson libatomic1 >&2)
        for package in "$unpacked"/deb/*.deb; do dpkg -x "$package" "$unpacked"; done
    fi
    # Debian's redis-server is a link to redis-check-rdb, which looks at the name it is called by.
    echo "$unpacked/usr/bin/redis-server"
}

feast() { # the folder of a Python with Feast
    local venv=$scratch/venv
    if [ ! -x "$venv/bin/feast" ]; then
        say "installing Feast $feast_version"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet "feast[redis]==$feast_version" >&2
    fi
    echo "$venv/bin"
}

wait_for() { # port, name, process: until it answers, a minute at most
    for _ in $(seq 600); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        kill -0 "$3" 2>/dev/null || break
        sleep 0.1
    done
    echo "error: $2 doesn't answer at port $1" >&2
    exit 1
}

mkdir -p "$scratch"
started=()
trap 'for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done; wait' EXIT

server=$(redis)
LD_LIBRARY_PATH=$(echo "$scratch"/redis/usr/lib/*-linux-gnu):${LD_LIBRARY_PATH:-} \
    "$server" --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no --daemonize no >"$scratch/redis.log" 2>&1 &
started+=($!)
wait_for "$redis_port" redis-server $!

bin=$(feast)
rm -rf "$scratch/repo"
cp -r "$here/peers" "$scratch/repo"
cd "$scratch/repo"
sed -i "s/REDIS_PORT/$redis_port/" feature_store.yaml
say "filling Redis through Feast"
FEAST_USAGE=False "$bin/python" fill.py >"$scratch/fill.log" 2>&1 || { tail -20 "$scratch/fill.log" >&2; exit 1; }
FEAST_USAGE=False "$bin/feast" serve --host 127.0.0.1 --port "$feast_port" --no-access-log >"$scratch/feast.log" 2>&1 &
started+=($!)
wait_for "$feast_port" feast $!

cd "$here/../.."
export SKEWLESS_PEER_REDIS=127.0.0.1:$redis_port SKEWLESS_PEER_FEAST=127.0.0.1:$feast_port
quick=()
if [ "${1:-}" = --quick ]; then
    quick=(--quick)
    shift
fi
./dev bench "${quick[@]}" --only peers "$@"
