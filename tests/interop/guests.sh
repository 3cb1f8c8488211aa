#!/usr/bin/env bash
# Plugins of every language, from `skewless plugin new` to a value that is served, by the commands of the README that comes with each; and the
# test vectors of the batch layout through a program of each that gives back what it takes. Prints the table of docs/languages.md.
#
#   tests/interop/guests.sh [rust c zig python js]     from `./dev interop guests`, which builds `skewless` and puts it on the path
#
# Installs Zig, Node.js and componentize-py, at the versions of guests/requirements.txt, and componentize-js, at that of
# guests/package-lock.json, into $SKEWLESS_CACHE_DIR: nothing else has to be there but Rust and Python. What is
# with an interpreter is compiled to machine code for some 20 s, so there are two such files a language, each compiled once.
#
#   SKEWLESS_BENCH_MS   how long each figure is measured, milliseconds (default: 100)
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
tree=$(cd ../.. && pwd)
cache=${SKEWLESS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/skewless}
languages=${*:-rust c zig python js}
# Berlin to Hamburg, as the README asks it: what every language must serve to the last bit.
served=255.24776261905
# 65,536 rows of every type in one call.
large=(--set engine.rows_max=65536 --set engine.memory_bytes_max=1073741824 --set engine.input_bytes_max=268435456 --set engine.output_bytes_max=268435456)

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

env=$cache/guests-$(cksum <guests/requirements.txt | cut -d ' ' -f 1)
if [ ! -x "$env/bin/python3" ] || [ ! -e "$env/ready" ]; then
    python3 -m venv --clear "$env"
    "$env/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement guests/requirements.txt
    touch "$env/ready"
fi
export PATH=$env/bin:$PATH

modules=$cache/guests-node-$(cat guests/requirements.txt guests/package-lock.json | cksum | cut -d ' ' -f 1)
node_modules() { # componentize-js
    [ ! -e "$modules/ready" ] || return 0
    mkdir -p "$modules"
    cp guests/package.json guests/package-lock.json "$modules"
    npm ci --prefix "$modules" --no-audit --no-fund --loglevel error >&2
    touch "$modules/ready"
}
case " $languages " in *' js '*) node_modules ;; esac

work=$(mktemp -d)
# A machine that is busy is no reason to call a row late.
export SKEWLESS__ENGINE__DEADLINE_TICKS=600000
sidecar=
trap '[ -z "$sidecar" ] || kill "$sidecar" 2>/dev/null || true; rm -rf "$work"' EXIT
# Cargo builds into a folder that stays, so that a second run builds the crate alone.
export CARGO_TARGET_DIR=$cache/guests-target
now_ms() { date +%s%3N; }

version() {
    case $1 in
    rust) rustc --version | cut -d ' ' -f 2 ;;
    c | zig) echo "Zig $(python3 -m ziglang version)" ;;
    python) echo "componentize-py $(sed -n 's/^componentize-py==\([^ ]*\).*/\1/p' "$here/guests/requirements.txt")" ;;
    js) echo "componentize-js $(sed -n 's/.*componentize-js": "\([0-9.]*\)".*/\1/p' "$here/guests/package.json")" ;;
    esac
}

follow_the_readme() { # each command of the README that came with the plugin, in its order
    local lang=$1 command
    # Where its sidecar listens and its commands ask, so that another one on this machine is left alone.
    export SKEWLESS_AT=unix:$work/$lang.sock
    export SKEWLESS__LISTEN__UNIX=$work/$lang.sock SKEWLESS__LISTEN__TCP='' SKEWLESS__LISTEN__HTTP=''
    sed -n 's/^    //p' README.md >commands.txt
    for command in build test certify check load serve get backfill; do
        grep -q "^skewless \(plugin \)\?$command" commands.txt || die "$lang: the README has no $command"
    done
    while read -r command; do
        if [ "$command" = 'skewless serve' ]; then
            serve_the_repo "$lang"
            continue
        fi
        # An interpreter takes minutes for the usual number of cases.
        ! interpreted "$lang" || command=${command/plugin certify/plugin certify --cases 16}
        echo "\$ $command" >>readme.txt
        bash -c "$command" </dev/null >>readme.txt 2>&1 || echo "ended with $?" >>readme.txt
    done <commands.txt
    kill "$sidecar"
    wait "$sidecar" || true
    sidecar=
    [ "$(grep -c '^ended with' readme.txt)" -le 1 ] || die "$lang: $(cat readme.txt)"
    local expected
    for expected in "$served" NOT_FOUND 'expected lat2 from -90 to 90'; do
        grep -q -- "$expected" readme.txt || die "$lang: expected $expected in what the README's commands say, came $(cat readme.txt)"
    done
    [ -s training.parquet ] || die "$lang: the README's backfill wrote nothing: $(cat readme.txt)"
}

serve_the_repo() { # as somebody's other terminal does
    skewless serve >serve.txt 2>&1 &
    sidecar=$!
    local tries=0
    until skewless get delivery shop_id=1 --request lat=0 --request lon=0 >ready.txt 2>&1; do
        tries=$((tries + 1))
        { [ $tries -lt 300 ] && kill -0 "$sidecar"; } || die "$1: no answer of the sidecar: $(cat serve.txt ready.txt)"
        sleep 0.2
    done
}

rows() { # the shops' and other points, as `plugin diff` takes them
    python3 - <<'PY'
import json, random
rng = random.Random(7)
for _ in range(20_000):
    print(json.dumps({"lat1": rng.uniform(-90, 90), "lon1": rng.uniform(-180, 180), "lat2": rng.uniform(-90, 90), "lon2": rng.uniform(-180, 180)}))
for special in (0.0, -0.0, 90.0, -90.0, 91.0, 1e-300, None, "NaN"):
    print(json.dumps({"lat1": special, "lon1": 0.0, "lat2": 0.0, "lon2": 180.0}))
PY
}
rows >"$work/rows.json"

ns_a_row() { # of what `plugin bench --json` says, for the table
    python3 -c '
import json, sys
batches = {batch["rows"]: batch["ns_a_row"]["reset"] for batch in json.load(sys.stdin)["batches"]}
print(*(f" {batches[rows]:,.0f} |" for rows in (1, 1_024, 8_192)), sep="", end="")'
}

as_rust() { # of what `plugin diff --json` says, for the table
    python3 -c '
import json, sys
diff = json.load(sys.stdin)
(km,) = diff["outputs"]
largest = km["largest_relative"]
if diff["same"]:
    print("yes, {:,} rows".format(diff["rows"]))
else:
    by = ", by {:.1e} at most".format(largest["by"]) if largest else ""
    print("no: {:,} of {:,} rows{}".format(diff["rows_differ"], diff["rows"], by))'
}

interpreted() { case $1 in python | js) ;; *) return 1 ;; esac }

natively() { # the kit's own tests
    case $1 in
    python) python3 -B -m unittest discover --quiet --start-directory "$tree/sdk/python/tests" ;;
    js) node --test "$tree"/sdk/js/tests/*.test.js >"$work/node.tap" || die "$(cat "$work/node.tap")" ;;
    esac
}

begin() { # the first commands of the language's page, as they stand there
    local lang=$1 page=docs/languages.md
    case $lang in
    python) page=docs/languages/python.md ;;
    js) page=docs/languages/javascript.md ;;
    esac
    block "$page" sh | sed "s/--lang c .*/--lang $lang/" >begin.sh
    grep -q -- "--lang $lang" begin.sh || die "$lang: $page doesn't begin with plugin new"
    bash -euo pipefail begin.sh >begin.txt 2>&1 || die "$lang: $(cat begin.txt)"
}

guest() { # one language from the beginning to a table's row
    local lang=$1 name=trip_km begun build_s figures same
    mkdir "$work/guest_$lang"
    cd "$work/guest_$lang"
    begin "$lang"
    cd "$name"
    # Again, for the time of a build of the plugin alone.
    rm "plugins/$name.wasm"
    begun=$(now_ms)
    skewless plugin build "plugins/$name" >built.txt
    build_s=$(($(now_ms) - begun))
    # The same bytes from a folder elsewhere; with an interpreter in them, where the file already is.
    mkdir -p "$work/elsewhere/deeper"
    cp -r "plugins/$name" "$work/elsewhere/deeper/$name"
    ! interpreted "$lang" || cp "plugins/$name.wasm" "$work/elsewhere/deeper/"
    skewless plugin build "$work/elsewhere/deeper/$name" >/dev/null
    cmp "plugins/$name.wasm" "$work/elsewhere/deeper/$name.wasm" || die "$lang: another folder gives other bytes"
    rm -r "$work/elsewhere"
    # Compiled once; the machine code stays in this repo's cache.
    begun=$(now_ms)
    echo '{"lat1":0,"lon1":0,"lat2":0,"lon2":90}' | skewless plugin run "plugins/$name.wasm" >run.txt
    local compile_ms=$(($(now_ms) - begun))
    grep -q '10007.55722101796' run.txt || die "$lang: $(cat run.txt)"
    follow_the_readme "$lang"
    figures=$(skewless plugin bench "plugins/$name.wasm" --time "${SKEWLESS_BENCH_MS:-100}" --json | ns_a_row)
    same=
    local rust=$work/guest_rust/$name/plugins/$name.wasm
    if [ "$lang" != rust ] && [ -f "$rust" ]; then
        # It ends with 1 where they differ, which is no failure here.
        skewless plugin diff "$rust" "plugins/$name.wasm" --rows "$work/rows.json" --json \
            >diff.json 2>diff.txt || [ -s diff.json ] || die "$lang: $(cat diff.txt)"
        same=$(as_rust <diff.json)
    fi
    printf '| %s | %s | %s | %s.%s | %s |%s %s |\n' "$lang" "$(version "$lang")" "$(stat -c %s "plugins/$name.wasm")" \
        $((build_s / 1000)) $((build_s % 1000 / 100)) "$compile_ms" "$figures" "$same" >>"$work/table"
}

vectors() { # the echo program of a language
    local lang=$1 folder
    case $lang in
    rust) folder=$tree/tests/programs/echo ;;
    *)
        folder=$work/echo_$lang
        cp -r "$here/guests/echo_$lang" "$folder"
        if interpreted "$lang"; then cp "$tree/sdk/$lang"/skewless* "$folder"; else cp "$tree/sdk/$lang"/skewless.* "$folder/src/"; fi
        ;;
    esac
    mkdir -p "$work/echo"
    cd "$work"
    [ "$lang" != js ] || ln -sf "$modules/node_modules" node_modules
    skewless plugin build "$folder" --out-dir "$work/echo" >/dev/null
    local wasm=$work/echo/$(basename "$folder").wasm
    echo "$lang:"
    # SpiderMonkey's memory takes more and more time the more arrays a call keeps; calls of the engine's usual size take it in pieces.
    [ "$lang" != js ] || large+=(--set engine.rows_max=8192)
    skewless plugin test "$wasm" --cases 8 --vectors "$tree/sdk/vectors" "${large[@]}"
}

block() { # the first block of a language in a page of the docs
    awk -v begin='```'"$2" '$0 == begin { inside = 1; next } inside && /^```/ { exit } inside' "$tree/$1"
}

answers() { # what a plugin gives for a row, as JSON
    echo "$2" | skewless plugin run "$1" 2>&1 || true
}

shown() { # the plugin that the docs show, as it stands there
    local lang=$1 folder=$work/shown_$1/shown/plugins/shown
    mkdir "$work/shown_$1"
    cd "$work/shown_$1"
    case $lang in
    rust) return ;; # by the kit's own documentation tests
    python) shown_python ;;
    js) shown_js ;;
    *)
        skewless plugin new shown --lang "$lang" >/dev/null
        block docs/languages.md "$lang" >"$folder/src/plugin.$lang"
        skewless plugin build "$folder" >/dev/null
        [ "$(answers "$folder.wasm" '{"amount":10,"pieces":4}')" = '{"price":2.5}' ] || die "$lang: the docs' plugin gives another price"
        answers "$folder.wasm" '{"amount":-1,"pieces":1}' | grep -q 'expected an amount of 0 or more' || die "$lang: the docs' plugin takes a negative amount"
        [ "$(answers "$folder.wasm" '{"amount":10}')" = '{"price":null}' ] || die "$lang: the docs' plugin takes no null"
        ;;
    esac
}

# Those with an interpreter without making a component of them: the kit's two ways of use, natively.
shown_python() {
    block docs/languages/python.md python >plugin.py
    PYTHONPATH=$tree/sdk/python python3 -B -c '
import json, plugin, skewless_guest
assert json.loads(skewless_guest.of_module(plugin).signature())["name"] == "pace"
assert plugin.pace(10.0, 3000) == 5.0 and plugin.pace(10.0, None) is None
try:
    plugin.pace(0.0, 60)
except skewless_guest.RowError as error:
    assert "expected a distance above 0 km" in str(error)
else:
    raise AssertionError("it takes no distance")' || die "python: the docs' plugin is another"
}

shown_js() {
    block docs/languages/javascript.md js >plugin.js
    cp "$tree/sdk/js/skewless.js" "$tree/sdk/js/package.json" .
    node --input-type=module -e '
import assert from "node:assert/strict";
import * as plugin from "./plugin.js";
import { ofModule } from "./skewless.js";
assert.equal(JSON.parse(ofModule(plugin).signature()).name, "pace");
assert.deepEqual([plugin.pace.call(10, 3000n), plugin.pace.call(10, null)], [5, null]);
assert.throws(() => plugin.pace.call(0, 60n), /expected a distance above 0 km/);' || die "js: the docs' plugin is another"
}

for lang in $languages; do natively "$lang"; done
for lang in $languages; do (vectors "$lang"); done
for lang in $languages; do (shown "$lang"); done
for lang in $languages; do guest "$lang"; done
cat <<'TABLE'
| language | compiler | bytes | build, s | first row, ms | ns a row, 1 | 1,024 | 8,192 | as Rust, to the last bit |
|---|---|---|---|---|---|---|---|---|
TABLE
cat "$work/table"
