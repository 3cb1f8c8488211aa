#!/usr/bin/env bash
# The Python package, unpacked into a folder of its own: what is to be in PYTHONPATH. It is the wheel SKEWLESS_WHEEL, else the one that
# wheel/build.sh builds.
#
#   package.sh DIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
wheel=${SKEWLESS_WHEEL:-$("$here/../wheel/build.sh")}
mkdir -p "$1/package"
python3 -m zipfile -e "$wheel" "$1/package"
echo "$1/package"
