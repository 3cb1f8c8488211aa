#!/usr/bin/env bash
# The Python package as its users have it: the wheel is built by maturin, put into a clean environment, and held to what
# the `skewless` command says of the same data, byte for byte (sidecar/python/tests); so is what docs/python.md shows.
#
#   tests/interop/wheel.sh [args for pytest]     from `./dev interop wheel`, which builds `skewless` and puts it on the path
#
# The first time it needs Python's package index. What it installs is pinned in wheel/requirements.txt and kept in
# $SKEWLESS_CACHE_DIR; the wheel is left in cargo's target folder, in wheels/, for other scripts.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$(cd "$here/../../sidecar/python" && pwd)

wheel=$("$here/wheel/build.sh")
home=$SKEWLESS_CACHE_DIR/interop-wheel-$( (cat "$here/wheel/requirements.txt" && python3 --version) | cksum | cut -d ' ' -f 1)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The clean environment has what the other one installed, but nothing of this checkout.
python3 -m venv --without-pip "$work/venv"
site=$("$work/venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')
"$home/bin/python" -c 'import site; print(site.getsitepackages()[0])' >"$site/shared.pth"
"$home/bin/pip" --python "$work/venv/bin/python" install --quiet --disable-pip-version-check --no-deps --no-index \
    --ignore-installed "$wheel"

skewless init "$work/shop" >/dev/null
skewless plugin build "$work/shop/plugins/basket" >/dev/null
mkdir -p "$work/odd/src"
cp "$work/shop/plugins/basket/Cargo.toml" "$work/odd/"
sed -i 's/^name = "basket"/name = "odd"/' "$work/odd/Cargo.toml"
cp "$python/tests/odd.rs" "$work/odd/src/lib.rs"
for plugin in "$work/odd" "$here/../../plugins/great_circle" "$here/../programs/echo"; do
    skewless plugin build "$plugin" --out-dir "$work" >/dev/null
done

# As somebody installs it who has nothing: it needs no other package. Nor do its extras name what isn't there, or other
# versions than those that are tested: nothing is downloaded for them.
python3 -m venv --without-pip "$work/plain"
"$home/bin/pip" --python "$work/plain/bin/python" install --quiet --disable-pip-version-check --no-index "$wheel"
"$work/plain/bin/python" -P -c "
import skewless, sys
assert skewless.Plugin(sys.argv[1]).rows([{'x': 1}]) == [{'twice': 2.0}]" "$work/odd.wasm"
"$home/bin/pip" install --quiet --disable-pip-version-check --no-index --dry-run \
    "skewless[pandas,polars,pyarrow,numpy,progress] @ file://$wheel"

cd "$python"
"$home/bin/mypy" --python-executable "$work/venv/bin/python" --cache-dir "$work/mypy"
"$work/venv/bin/python" -P -m mypy.stubtest skewless._skewless --mypy-config-file pyproject.toml
SKEWLESS_WHEEL_TESTS=$work "$work/venv/bin/python" -P -m pytest -q -p no:cacheprovider "$@"
