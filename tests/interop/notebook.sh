#!/usr/bin/env bash
# Runs the tutorial, docs/tutorial/flights.ipynb, from its first cell to its last; its own asserts are the test.
#
#   tests/interop/notebook.sh     from `./dev interop notebook`, which builds `skewless` and puts it on the path
#
# The first time it needs a package index. The environment is kept in $SKEWLESS_CACHE_DIR. The sidecar that the notebook
# starts listens on loopback only, and ends with the notebook, also with one that fails.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/engines/environment.sh"

python=$(python_with "$here/notebook-requirements.txt")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Nothing of a Jupyter that somebody may have set up.
export IPYTHONDIR=$scratch/ipython JUPYTER_CONFIG_DIR=$scratch/config JUPYTER_DATA_DIR=$scratch/data JUPYTER_RUNTIME_DIR=$scratch/run
"$python" "$here/notebook.py" "$here/../../docs/tutorial/flights.ipynb"
