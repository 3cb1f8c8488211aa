"""What docs/python.md shows is run, block by block."""

import asyncio
import re
import shutil
import textwrap
from pathlib import Path

import pandas
import pyarrow
from conftest import MADE

PAGE = Path(__file__).parents[3] / "docs/python.md"


def test_the_blocks_of_the_page_run(points, orders, sidecar, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4, "a block more or less: see that it is run here"
    shutil.copytree(MADE / "shop", tmp_path / "shop", ignore=shutil.ignore_patterns("target"))
    (tmp_path / "plugins").mkdir()
    shutil.copy(MADE / "great_circle.wasm", tmp_path / "plugins")
    monkeypatch.chdir(tmp_path)
    now = pandas.Timestamp.now("UTC")
    frame = pandas.DataFrame({"customer_id": [300_001], "amount": [1.0], "orders": [1], "event_timestamp": [now]})
    known = {
        "points": points, "orders": orders, "frame": frame,
        "rows": [{"customer_id": 7, "amount": 120.0}],
    }
    for block in blocks:
        block = block.replace("localhost:7667", sidecar["tcp"])
        if "frame = " in block:
            # The first one's is an answer; the others' is what is asked about.
            exec(block, scope := dict(known))
            assert pyarrow.table(scope["frame"]).num_rows == points.num_rows
        elif block.startswith("async with"):
            exec("async def asked():\n" + textwrap.indent("import skewless\n" + block, "    "), scope := dict(known))
            asyncio.run(scope["asked"]())
        else:
            exec("import skewless\n" + block, scope := dict(known))
            if "training" in scope:
                assert len(scope["training"]) == len(orders)
