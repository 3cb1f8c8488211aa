#!/usr/bin/env bash
# Plugins in Python and JavaScript as their authors have them: the kits natively, `plugin new` to a served and a backfilled
# feature, every type of a feature through the built file, and the same answers as Rust's to the last bit.
#
# componentize-py (PyPI) and componentize-js (npm) are kept in $SKEWLESS_CACHE_DIR, at the versions pinned beside this. Needs
# Node.js 20 or later with npm.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
guests=$root/tests/interop/guests
: "${SKEWLESS_CACHE_DIR:=$HOME/.cache/skewless}"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
expect() { # expect WHAT EXPECTED CAME
    [ "$2" = "$3" ] || die "$1: expected '$2', came '$3'"
}

node -e 'process.exit(parseInt(process.versions.node) < 20)' 2>/dev/null || die "expected Node.js 20 or later on the PATH (https://nodejs.org, or a package of your system)"
command -v npm >/dev/null || die "expected npm on the PATH, which comes with Node.js"

work=$(mktemp -d)
sidecar=
trap '[ -z "$sidecar" ] || kill "$sidecar" 2>/dev/null || true; rm -rf "$work"' EXIT

say "the kits natively, against sdk/vectors"
(cd sdk/python && python3 -B -m unittest --quiet discover -s tests)
node --test sdk/js/tests >"$work/node.tap" || {
    cat "$work/node.tap" >&2
    die "sdk/js/tests failed"
}

venv=$SKEWLESS_CACHE_DIR/interop/python-guests-$(cksum <"$guests/python/requirements.txt" | cut -d ' ' -f 1)
if ! [ -x "$venv/bin/componentize-py" ]; then
    say "installing componentize-py"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$guests/python/requirements.txt"
fi
modules=$SKEWLESS_CACHE_DIR/interop/node-guests-$(cksum <"$guests/js/package-lock.json" | cut -d ' ' -f 1)
if ! [ -f "$modules/installed" ]; then
    say "installing componentize-js"
    mkdir -p "$modules"
    cp "$guests/js/package.json" "$guests/js/package-lock.json" "$modules"
    npm ci --prefix "$modules" --no-audit --no-fund --loglevel error >&2
    touch "$modules/installed"
fi
# As an author would have them: above the plugins' folders.
ln -s "$venv" "$work/.venv"
ln -s "$modules/node_modules" "$work/node_modules"

# A busy machine is no reason to call a row late.
patient=(--set engine.deadline_ticks=5000)

say "Rust's, to compare with"
cd "$work"
skewless plugin new trip --lang rust >/dev/null
mv trip trip_rust
cp "$root/Cargo.lock" trip_rust/plugins/trip/
skewless plugin build trip_rust/plugins/trip >/dev/null
mkdir out
skewless plugin build "$root/tests/programs/echo" --out-dir out >/dev/null
python3 - >rows.jsonl <<'END'
# 65,536 places to go from and to, more than one call takes; seeded, so that every run has the same. Some are null.
import json
import random

random.seed(1)
for row in range(65_536):
    places = {name: random.uniform(-end, end) for name, end in (("lat1", 90), ("lon1", 180), ("lat2", 90), ("lon2", 180))}
    if row % 100 == 7:
        places["lon2"] = None
    print(json.dumps(places))
END
grep -v '^#' "$root/tests/programs/echo/golden.jsonl" | python3 -c 'import json, sys; [print(json.dumps(json.loads(line)["in"])) for line in sys.stdin]' >echo.jsonl

for lang in python js; do
    say "$lang: plugin new to a feature"
    cd "$work"
    skewless plugin new trip --lang $lang >/dev/null
    mv trip trip_$lang
    cd trip_$lang
    SECONDS=0
    skewless plugin build plugins/trip
    printf 'built in %s s\n' "$SECONDS" >&2
    before=$(cksum <plugins/trip.wasm)
    skewless plugin build plugins/trip >/dev/null
    expect "a second build of the same source" "$before" "$(cksum <plugins/trip.wasm)"
    SECONDS=0
    skewless plugin test plugins/trip "${patient[@]}"
    printf 'compiled and tested in %s s\n' "$SECONDS" >&2
    skewless plugin certify plugins/trip.wasm --cases 16 "${patient[@]}"
    skewless plugin diff ../trip_rust/plugins/trip.wasm plugins/trip.wasm --rows ../rows.jsonl
    skewless plugin bench plugins/trip.wasm --time 50 "${patient[@]}"
    skewless check
    skewless load
    skewless serve --tcp '' --http '' --unix "$work/$lang.sock" >served.log 2>&1 &
    sidecar=$!
    # Its machine code is there, so this is a matter of a second; a machine with other work gets two minutes.
    for _ in {1..1200}; do
        grep -q "$work/$lang.sock" served.log && break
        kill -0 "$sidecar" || die "the sidecar ended: $(cat served.log)"
        sleep 0.1
    done
    skewless get delivery shop_id=1 --request lat=53.551086 --request lon=9.993682 --json --at "unix:$work/$lang.sock" >served.json ||
        die "the sidecar didn't answer: $(cat served.log)"
    cat served.json
    kill "$sidecar"
    wait "$sidecar" || true
    sidecar=
    skewless backfill delivery --spine data/orders.parquet --out training.parquet

    say "$lang: every type of a feature"
    mkdir -p "$work/echo_$lang/plugins"
    cd "$work/echo_$lang"
    cp -R "$guests/$lang" plugins/echo
    cp "$work/trip_$lang"/plugins/trip/skewless* plugins/echo/
    cp "$root/tests/programs/echo/golden.jsonl" plugins/echo/
    skewless plugin build plugins/echo
    skewless plugin test plugins/echo --cases 16 "${patient[@]}"
    skewless plugin diff ../out/echo.wasm plugins/echo.wasm --rows ../echo.jsonl
done
say "guests in Python and JavaScript: as those in Rust"
