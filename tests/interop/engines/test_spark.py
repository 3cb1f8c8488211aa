"""`skewless.spark`: what a backfill gives, inside of Spark's Python workers."""

import dataclasses
import functools
import os
import pickle
import sys
import tempfile

import pyarrow.parquet as pq
import pytest
import skewless
import skewless.spark
from conftest import TRANSFORMS, WHEN, same_bits
from pyspark import cloudpickle
from pyspark.errors import PythonException
from pyspark.sql import functions as F
from pyspark.sql import types as T
from skewless._shipped import Work


@pytest.fixture(scope="session")
def june(spark, backfilled):
    return spark.read.parquet(str(backfilled))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_outputs_are_those_of_the_backfill(june, backfilled, plugin, transform):
    name, inputs, outputs = TRANSFORMS[transform]
    came = skewless.spark.transform(june, plugin(name), inputs=inputs, outputs=outputs).toArrow()
    expected = pq.read_table(backfilled)
    assert came.column_names == [*expected.column_names, *outputs]
    for output in outputs:
        same_bits(expected[f"{transform}.{output}"], came[output], f"{transform}.{output}")


def test_a_service_gives_what_its_backfill_gives(spark, repo, spine, backfilled_when):
    features = skewless.spark.transform(spark.read.parquet(str(spine)), skewless.FeatureRepo(repo), service="when")
    came, expected = features.toArrow(), pq.read_table(backfilled_when)
    assert came.column_names == expected.column_names
    for name in WHEN:
        same_bits(expected[name], came[name], name)


def test_a_service_with_stored_features_is_refused(june, repo):
    with pytest.raises(skewless.InputError, match="reads airports, .*\n.*historical_features"):
        skewless.spark.transform(june, skewless.FeatureRepo(repo), service="engines")
    with pytest.raises(skewless.InputError, match="departure_delay, engines, when"):
        skewless.spark.transform(june, skewless.FeatureRepo(repo))


def test_every_type_goes_in_and_comes_out(spark, plugin):
    """The types of columns are Spark's, those of new ones the signature's."""
    rows = [("a", ["b", "c"], 8), (None, None, 8), ("é", [], 8)]
    frame = spark.createDataFrame(rows, "text string, words array<string>, buckets int")
    came = skewless.spark.transform(frame, plugin("feature_hash"))
    assert came.schema.fields[3:] == [
        T.StructField("bucket", T.IntegerType()),
        T.StructField("sign", T.IntegerType()),
        T.StructField("hash", T.LongType()),
        T.StructField("word_buckets", T.ArrayType(T.LongType())),
    ]
    expected = plugin("feature_hash").transform(frame.toArrow()).to_arrow()
    for name in expected.column_names:
        assert came.toArrow()[name].to_pylist() == expected[name].to_pylist()


WINDS = [(1, 10.0, 5.0, 90.0), (2, 10.0, -1.5, 90.0), (3, None, None, None), (4, 10.0, 6.0, 90.0)]


@pytest.fixture
def winds(spark):
    frame = spark.createDataFrame(WINDS, "id int, direction double, speed double, course double")
    return frame.withColumn("gust", F.lit(None).cast("double"))


def test_a_row_that_fails_ends_the_job_unless_told_otherwise(winds, plugin):
    with pytest.raises(PythonException, match="expected a speed of 0 or more, came -1.5"):
        skewless.spark.transform(winds, plugin("wind")).toArrow()


def test_a_row_that_fails_is_null_as_in_a_backfill(winds, plugin):
    rows = skewless.spark.transform(winds, plugin("wind"), errors="null").orderBy("id").collect()
    assert [row.headwind is None for row in rows] == [False, True, True, False]
    assert [field for field in rows[0].asDict() if "error" in field] == []


def test_a_row_that_fails_says_why_in_a_column_of_its_own(winds, plugin):
    rows = skewless.spark.transform(winds, plugin("wind"), errors="column").orderBy("id").collect()
    assert [row.headwind is None for row in rows] == [False, True, True, False]
    assert [row.wind__error for row in rows] == [None, "expected a speed of 0 or more, came -1.5", None, None]


def test_every_failed_row_of_a_large_batch_has_its_message(spark, plugin):
    """More than a call tells of: the others are asked again."""
    frame = spark.range(0, 5000, 1, 1).selectExpr(
        "id", "10.0D direction", "cast(-id as double) speed", "1.0D gust", "90.0D course"
    )
    rows = skewless.spark.transform(frame, plugin("wind"), errors="column").orderBy("id").toArrow()
    messages = rows["wind__error"].to_pylist()
    assert messages[1:] == [f"expected a speed of 0 or more, came -{row}.0" for row in range(1, 5000)]


def test_partitions_without_rows_are_left_so(winds, plugin):
    spread = winds.repartition(8).where("id = 1")
    assert skewless.spark.transform(spread, plugin("wind")).count() == 1
    assert skewless.spark.transform(winds.where("id > 99"), plugin("wind")).toArrow().num_rows == 0


class Fetched:
    """Bytes that leave a file behind whenever they are fetched."""

    def __init__(self, pickled, folder):
        self.pickled, self.folder = pickled, str(folder)

    def __call__(self):
        os.close(tempfile.mkstemp(dir=self.folder, prefix=f"{os.getpid()}-")[0])
        return self.pickled


def test_a_worker_loads_a_plugin_once(spark, plugin, tmp_path):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ratios = plugin("ratios")
    work = Work.of(ratios, None, ["ratio"], "raise")
    frame = spark.range(0, 64, 1, 16).selectExpr("1.0D part", "cast(id as double) whole")
    over = functools.partial(skewless.spark._over, work, Fetched(pickle.dumps(ratios), tmp_path), ("part", "whole"))
    assert frame.mapInArrow(over, "part double, whole double, ratio double").count() == 64
    processes = [path.name.split("-")[0] for path in tmp_path.iterdir()]
    assert 1 <= len(processes) == len(set(processes)) < 16


def test_wrong_columns_are_told_before_a_job_begins(winds, plugin):
    def refused(frame, *words, **options):
        with pytest.raises(skewless.InputError) as told:
            skewless.spark.transform(frame, plugin("wind"), **options)
        for word in words:
            assert word in str(told.value)

    refused(winds.drop("speed"), "`speed`", "float64")
    refused(winds.withColumnRenamed("gust", "gusts"), "`gust`", "did you mean `gusts`")
    refused(winds.withColumn("speed", F.lit("fast")), "speed", "float64")
    refused(winds.withColumn("headwind", F.lit(1)), "`headwind`")
    refused(winds.select("*", F.lit(1.0).alias("speed")), "`speed`", "several")
    refused(winds, "`velocity`", inputs={"speed": "velocity"})
    refused(winds, "`pace`", "speed", inputs={"pace": "speed"})
    refused(winds, "`tailwind`", "headwind", outputs=["tailwind"])
    refused(winds, "twice", outputs={"headwind": "wind", "crosswind": "wind"})
    refused(winds, "float64", inputs={"speed": {"constant": "fast"}})
    refused(winds, '"raise"', errors="ignore")


def test_another_version_of_the_package_is_refused(winds, plugin):
    wind = plugin("wind")
    work = dataclasses.replace(Work.of(wind, None, ["headwind"], "raise"), version="0.0.0")
    over = functools.partial(skewless.spark._over, work, Fetched(pickle.dumps(wind), "/"), tuple(winds.columns))
    with pytest.raises(PythonException, match="expected skewless 0.0.0 on the worker"):
        winds.mapInArrow(over, winds.schema).count()
