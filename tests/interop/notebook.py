"""Runs a notebook and shows what its cells print; fails with the first cell that does.

python notebook.py NOTEBOOK.ipynb
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

# Longer than all of it takes on a busy machine.
CELL_SECONDS_MAX = 600


def main():
    path = Path(sys.argv[1])
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kept = [cell for cell in code if cell.outputs or cell.execution_count]
    if kept:
        sys.exit(f"error: {path.name}: {len(kept)} cells have outputs: strip them before it is committed")
    # This very Python, whatever kernels are installed.
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS_MAX, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    began = time.monotonic()
    try:
        client.execute()
    except CellExecutionError as error:
        sys.exit(f"error: {path.name}: {error}")
    for cell in code:
        for output in cell.outputs:
            print(output.get("text") or output.get("data", {}).get("text/plain", ""), end="\n")
    print(f"{path.name}: {len(code)} cells in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
