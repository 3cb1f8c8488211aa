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

home=$SKEWLESS_CACHE_DIR/interop-wheel-$( (cat "$here/wheel/requirements.txt" && python3 --version) | cksum | cut -d ' ' -f 1)
# Written last: without it, a run was ended half way.
if [ ! -f "$home/whole" ]; then
    python3 -m venv --clear "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/wheel/requirements.txt"
    touch "$home/whole"
fi

# Of the profile and the dependencies that everything else here is built with: only the package itself is compiled.
wheels=$CARGO_TARGET_DIR/wheels
rm -rf "$wheels"
(cd "$python" && CARGO=$here/wheel/cargo "$home/bin/maturin" build --quiet --profile dev --out "$wheels")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The clean environment has what the other one installed, but nothing of this checkout.
python3 -m venv --without-pip "$work/venv"
site=$("$work/venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')
"$home/bin/python" -c 'import site; print(site.getsitepackages()[0])' >"$site/shared.pth"
"$home/bin/pip" --python "$work/venv/bin/python" install --quiet --disable-pip-version-check --no-deps --no-index \
    --ignore-installed "$wheels"/skewless-*.whl

skewless init "$work/shop" >/dev/null
skewless plugin build "$work/shop/plugins/basket" >/dev/null
mkdir -p "$work/odd/src"
cp "$work/shop/plugins/basket/Cargo.toml" "$work/odd/"
sed -i 's/^name = "basket"/name = "odd"/' "$work/odd/Cargo.toml"
cp "$python/tests/odd.rs" "$work/odd/src/lib.rs"
for plugin in "$work/odd" "$here/../../plugins/great_circle" "$here/../programs/echo"; do
    skewless plugin build "$plugin" --out-dir "$work" >/dev/null
done

cd "$python"
"$home/bin/mypy" --python-executable "$work/venv/bin/python" --cache-dir "$work/mypy"
"$work/venv/bin/python" -P -m mypy.stubtest skewless._skewless --mypy-config-file pyproject.toml
SKEWLESS_WHEEL_TESTS=$work "$work/venv/bin/python" -P -m pytest -q -p no:cacheprovider "$@"
