"""`skewless.ray`: what a backfill gives, inside of Ray's workers."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import skewless
import skewless.ray
from conftest import TRANSFORMS, WHEN, same_bits
from ray.exceptions import RayTaskError

pytestmark = pytest.mark.usefixtures("ray_cluster")


def gathered(dataset):
    """All rows, in the dataset's order."""
    return pa.concat_tables(ray.get(dataset.to_arrow_refs()))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_outputs_are_those_of_the_backfill(backfilled, plugin, transform):
    name, inputs, outputs = TRANSFORMS[transform]
    expected = pq.read_table(backfilled)
    half = expected.num_rows // 2
    # Blocks of several sizes, one of them without rows.
    blocks = [expected.slice(0, 100), expected.slice(100, 0), expected.slice(100, half), expected.slice(100 + half)]
    came = gathered(skewless.ray.transform(ray.data.from_arrow(blocks), plugin(name), inputs=inputs, outputs=outputs))
    assert came.column_names == [*expected.column_names, *outputs]
    for output in outputs:
        same_bits(expected[f"{transform}.{output}"], came[output], f"{transform}.{output}")


def test_files_and_batches_of_another_size_give_the_same(backfilled, plugin):
    name, inputs, outputs = TRANSFORMS["wind"]
    dataset = ray.data.read_parquet(str(backfilled))
    came = gathered(skewless.ray.transform(dataset, plugin(name), inputs=inputs, outputs=outputs, batch_size=1000))
    expected = pq.read_table(backfilled)
    for output in outputs:
        same_bits(expected[f"wind.{output}"], came[output], output)


def test_a_service_gives_what_its_backfill_gives(repo, spine, backfilled_when):
    dataset = ray.data.read_parquet(str(spine))
    came = gathered(skewless.ray.transform(dataset, skewless.FeatureRepo(repo), service="when"))
    expected = pq.read_table(backfilled_when)
    for name in WHEN:
        same_bits(expected[name], came[name], name)


WINDS = pa.table(
    {
        "id": [1, 2, 3, 4],
        "direction": [10.0, 10.0, None, 10.0],
        "speed": [5.0, -1.5, None, 6.0],
        "course": [90.0, 90.0, None, 90.0],
    }
)
WHY = "expected a speed of 0 or more, came -1.5"


def test_a_row_that_fails_ends_the_job_unless_told_otherwise(plugin):
    with pytest.raises(RayTaskError, match=WHY):
        skewless.ray.transform(ray.data.from_arrow(WINDS), plugin("wind")).materialize()


def test_a_row_that_fails_is_null_as_in_a_backfill_or_says_why(plugin):
    winds = ray.data.from_arrow(WINDS)
    came = gathered(skewless.ray.transform(winds, plugin("wind"), errors="null"))
    assert came["headwind"].is_null().to_pylist() == [False, True, True, False]
    came = gathered(skewless.ray.transform(winds, plugin("wind"), errors="column"))
    assert came["wind__error"].to_pylist() == [None, WHY, None, None]


def test_wrong_columns_are_told_at_once_where_the_columns_are_known(plugin):
    with pytest.raises(skewless.InputError, match="`speed`"):
        skewless.ray.transform(ray.data.from_arrow(WINDS.drop_columns("speed")), plugin("wind"))
    # And in the job where they come to be in it.
    later = ray.data.from_arrow(WINDS).map_batches(lambda table: table.drop_columns("speed"), batch_format="pyarrow")
    with pytest.raises(RayTaskError, match="`speed`"):
        skewless.ray.transform(later, plugin("wind")).materialize()


def test_tensors_are_embeddings(plugin):
    """As Ray keeps NumPy's arrays of several dimensions."""
    rows = np.arange(24, dtype="float32").reshape(3, 8)
    came = gathered(
        skewless.ray.transform(ray.data.from_numpy(rows), plugin("cosine"), inputs={"a": "data", "b": "data"})
    )
    assert came["cosine"].to_pylist() == pytest.approx([1.0] * 3)


def test_pandas_blocks_do_as_well(plugin):
    came = gathered(skewless.ray.transform(ray.data.from_pandas(WINDS.to_pandas()), plugin("wind"), errors="null"))
    assert came["headwind"].is_null().to_pylist()[:2] == [False, True]
