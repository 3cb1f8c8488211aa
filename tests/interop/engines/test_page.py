"""The blocks of docs/engines.md, run one after the other, as who reads it would."""

import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from conftest import CHECKOUT

NAMES = {"airports.lat": "lat1", "airports.lon": "lon1", "airports[dest].lat": "lat2", "airports[dest].lon": "lon2"}


def test_what_the_page_shows_does_what_it_says(spark, ray_cluster, repo, backfilled, tmp_path):
    june = pq.read_table(backfilled).select(
        [*NAMES, "distance.km", "tailnum", "carrier", "flight", "sched_dep_local", "tailnum_hash.bucket"]
    )
    names = [NAMES.get(name, name) for name in june.column_names]
    # Without what is to be computed.
    flights = june.rename_columns(names).drop_columns(["distance.km", "tailnum_hash.bucket"])
    pq.write_table(flights, tmp_path / "flights.parquet")
    for entry in repo.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    blocks = re.findall(r"^```python\n(.*?)^```", (CHECKOUT / "docs/engines.md").read_text(), re.DOTALL | re.MULTILINE)
    known, before = {"spark": spark, "ray": ray}, os.getcwd()
    os.chdir(tmp_path)
    try:
        # Spark's Java stays in the folder in which it began.
        here = f'"{tmp_path}/flights.parquet"'
        shown = [said(block.replace('"flights.parquet"', here), known) for block in blocks]
    finally:
        os.chdir(before)
    ways, ways_of_ray, tail_numbers, features = shown
    assert (ways.num_rows, ways["km"].to_pylist()) == (june.num_rows, june["distance.km"].to_pylist())
    assert sorted(map(str, ways_of_ray["km"].to_pylist())) == sorted(map(str, june["distance.km"].to_pylist()))
    assert tail_numbers["tailnum_bucket"].to_pylist() == june["tailnum_hash.bucket"].to_pylist()
    assert features["tailnum_hash.bucket"].to_pylist() == june["tailnum_hash.bucket"].to_pylist()


def said(block, known):
    """What the last line of a block has made, as a table."""
    exec(compile(block, "docs/engines.md", "exec"), known)
    made = known[re.findall(r"^(\w+) = ", block, re.MULTILINE)[-1]]
    return made.toArrow() if hasattr(made, "toArrow") else pa.concat_tables(ray.get(made.to_arrow_refs()))
