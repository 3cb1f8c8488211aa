"""`skewless.spark.transform` beside a NumPy function in `mapInArrow` that computes the same, and beside one that computes nothing,
over the same cached frame, in turns. All write to Spark's `noop` sink, so that every row is computed and none kept.

    python spark.py great_circle.wasm ROUNDS     run by `tests/bench/python.rs`, which reads what it prints: one JSON object

Arrays are milliseconds a job, one a round.
"""

import json
import os
import sys
import time

import numpy as np
import pyarrow as pa
import skewless
import skewless.spark
from pyspark.sql import SparkSession

ROWS = 2_000_000
CORES = 2
INPUTS = ("lat1", "lon1", "lat2", "lon2")


def nothing(batches):
    return batches


def by_numpy(batches):
    from same import great_circle

    for batch in batches:
        km, bearing = great_circle(*(batch[name].to_numpy(zero_copy_only=False) for name in INPUTS))
        names = [*batch.schema.names, "km", "bearing"]
        yield pa.RecordBatch.from_arrays([*batch.columns, pa.array(km), pa.array(bearing)], names=names)


def main():
    wasm, rounds = sys.argv[1], int(sys.argv[2])
    os.environ["PYSPARK_PYTHON"] = sys.executable
    # Workers find what is beside this file.
    os.environ["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))
    spark = (
        SparkSession.builder.master(f"local[{CORES}]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    points = spark.range(0, ROWS, 1, 2 * CORES).selectExpr(
        "rand(1) * 180 - 90 lat1", "rand(2) * 360 - 180 lon1", "rand(3) * 180 - 90 lat2", "rand(4) * 360 - 180 lon2"
    )
    points = points.cache()
    points.count()
    schema = ", ".join(f"{name} double" for name in (*INPUTS, "km", "bearing"))
    frames = {
        "nothing": points.mapInArrow(nothing, points.schema),
        "numpy": points.mapInArrow(by_numpy, schema),
        "skewless": skewless.spark.transform(points, skewless.Plugin(wasm), outputs=["km", "bearing"]),
    }
    sample = frames["skewless"].sample(0.001, 1).toPandas()
    batch = pa.RecordBatch.from_pandas(sample[list(INPUTS)], preserve_index=False)
    same = next(by_numpy(iter([batch])))["km"].to_numpy()
    assert np.allclose(sample["km"], same, rtol=1e-9), "they don't compute the same"
    taken = {name: [] for name in frames}
    for turn in range(rounds + 1):
        for name, frame in frames.items():
            began = time.perf_counter()
            frame.write.format("noop").mode("overwrite").save()
            if turn > 0:  # the first starts workers and compiles
                taken[name].append((time.perf_counter() - began) * 1e3)
    json.dump({"versions": f"Spark {spark.version}, local[{CORES}]", "rows": ROWS, **taken}, sys.stdout)
    spark.stop()


main()
