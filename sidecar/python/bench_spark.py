"""Measures `skewless.spark.transform` beside a NumPy function in `mapInArrow`, which does the same sums, over the same frame.

    python sidecar/python/bench_spark.py great_circle.wasm [--rows 2000000] [--rounds 7]

Needs pyspark, Java and this package. Both write to Spark's `noop` sink, so that every row is computed and none kept; rounds
take turns, and of each the median counts. docs/engines.md has figures, and what they were measured on.
"""

import argparse
import os
import platform
import statistics
import sys
import time

import numpy as np
import pyarrow as pa
import skewless
import skewless.spark
from pyspark.sql import SparkSession

RADIUS_KM = 6371.0088


def great_circle(batches):
    """The way and the bearing between two points, as plugins/great_circle computes them, by NumPy's functions."""
    for batch in batches:
        lat1, lon1, lat2, lon2 = (
            np.radians(batch[name].to_numpy(zero_copy_only=False)) for name in ("lat1", "lon1", "lat2", "lon2")
        )
        dlat, dlon = lat2 - lat1, lon2 - lon1
        h = np.sin(dlat / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin(dlon / 2) ** 2
        km = 2 * RADIUS_KM * np.arctan2(np.sqrt(h), np.sqrt(1 - h))
        y, x = np.sin(dlon) * np.cos(lat2), np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(dlon)
        bearing = np.mod(np.degrees(np.arctan2(y, x)), 360)
        yield pa.RecordBatch.from_arrays(
            [*batch.columns, pa.array(km), pa.array(bearing)], names=[*batch.schema.names, "km", "bearing"]
        )


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("wasm", help="plugins/great_circle.wasm")
    words.add_argument("--rows", type=int, default=2_000_000)
    words.add_argument("--rounds", type=int, default=7)
    words = words.parse_args()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    points = spark.range(0, words.rows, 1, 4).selectExpr(
        "rand(1) * 180 - 90 lat1", "rand(2) * 360 - 180 lon1", "rand(3) * 180 - 90 lat2", "rand(4) * 360 - 180 lon2"
    )
    points = points.cache()
    points.count()
    schema = ", ".join(f"{name} double" for name in ("lat1", "lon1", "lat2", "lon2", "km", "bearing"))
    frames = {
        "nothing": points.mapInArrow(lambda batches: batches, points.schema),
        "numpy": points.mapInArrow(great_circle, schema),
        "skewless": skewless.spark.transform(points, skewless.Plugin(words.wasm), outputs=["km", "bearing"]),
    }
    farthest = frames["skewless"].sample(0.001, 1).toPandas()
    assert np.allclose(farthest["km"], checked(farthest), rtol=1e-9), "they don't compute the same"
    seconds = {name: [] for name in frames}
    for turn in range(words.rounds + 1):
        for name, frame in frames.items():
            began = time.perf_counter()
            frame.write.format("noop").mode("overwrite").save()
            if turn > 0:  # the first starts workers and compiles
                seconds[name].append(time.perf_counter() - began)
    spark.stop()
    print(
        f"{words.rows:,} rows, {words.rounds} rounds, local[2], Spark {spark.version}, Python {platform.python_version()}, NumPy {np.__version__}, pyarrow {pa.__version__}"
    )
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        print(
            f"{name:9} {middle:6.3f} s  ({min(taken):.3f} to {max(taken):.3f})  {words.rows / middle / 1e6:.2f} M rows/s"
        )
    ratios = [ours / theirs for ours, theirs in zip(seconds["skewless"], seconds["numpy"])]
    print(f"skewless / numpy: {statistics.median(ratios):.2f}, by round {min(ratios):.2f} to {max(ratios):.2f}")


def checked(frame):
    batch = pa.RecordBatch.from_pandas(frame[["lat1", "lon1", "lat2", "lon2"]], preserve_index=False)
    return next(great_circle(iter([batch])))["km"].to_numpy()


if __name__ == "__main__":
    main()
