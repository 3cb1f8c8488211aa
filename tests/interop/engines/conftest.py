"""A month of flights, backfilled with the inputs of every transform beside its outputs: what Spark and Ray must give."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
FLIGHTS = CHECKOUT / "sidecar/cli/demo/flights"

# The transforms of the demo's service that are compared: the plugin, what of the backfill is its input, and its outputs.
TRANSFORMS = {
    "distance": (
        "great_circle",
        {"lat1": "airports.lat", "lon1": "airports.lon", "lat2": "airports[dest].lat", "lon2": "airports[dest].lon"},
        ["km", "bearing"],
    ),
    "wind": (
        "wind",
        {
            "direction": "weather.wind_dir",
            "speed": "weather.wind_speed",
            "gust": "weather.wind_gust",
            "course": "distance.bearing",
        },
        ["headwind", "crosswind", "gust_excess"],
    ),
    "calendar": ("calendar", {"at": "sched_dep_local", "utc_offset": None}, ["day_sin", "year_cos", "is_weekend"]),
    "age": ("age", {"made": "planes.year", "at": "sched_dep_local"}, ["years"]),
    "rhythm": ("cosine", {"a": "carrier_day.profile", "b": "origin_day.profile"}, ["cosine"]),
    "tailnum_hash": ("feature_hash", {"text": "tailnum", "words": None, "buckets": 1024}, ["bucket", "hash"]),
}

# A service without stored features.
WHEN = [
    "calendar.day_sin",
    "calendar.is_weekend",
    "tailnum_hash.bucket",
    "carrier_hash.bucket",
    "request.flight",
    "entity.carrier",
]


def skewless(*words, **options):
    return subprocess.run(["skewless", *map(str, words)], check=True, capture_output=True, text=True, **options)


@pytest.fixture(scope="session")
def repo(tmp_path_factory):
    """The demo's feature repo with a service of what is compared."""
    repo = tmp_path_factory.mktemp("flights")
    for file in FLIGHTS.glob("*.yaml"):
        shutil.copy(file, repo)
    (repo / "data").symlink_to(FLIGHTS / "data")
    (repo / "plugins").mkdir()
    for plugin in sorted(path.name for path in (CHECKOUT / "plugins").iterdir() if path.is_dir()):
        skewless("plugin", "build", CHECKOUT / "plugins" / plugin, "--out-dir", repo / "plugins")
    features = {}
    for name, (_, inputs, outputs) in TRANSFORMS.items():
        stored = [source for source in inputs.values() if isinstance(source, str) and "." in source]
        features.update(dict.fromkeys([*stored, *(f"{name}.{output}" for output in outputs)]))
    services = [{"name": "engines", "features": list(features)}, {"name": "when", "features": WHEN}]
    (repo / "engines.yaml").write_text(f"services: {json.dumps(services)}\n")
    return repo


@pytest.fixture(scope="session")
def spine(tmp_path_factory):
    """The flights of June."""
    path = tmp_path_factory.mktemp("spine") / "june.parquet"
    flights = pq.read_table(FLIGHTS / "data/flights.parquet")
    pq.write_table(flights.filter(pc.equal(pc.month(flights["event_timestamp"]), 6)), path)
    return path


@pytest.fixture(scope="session")
def backfilled(repo, spine, tmp_path_factory):
    """What `skewless backfill` makes of them: the service with inputs and outputs."""
    return backfill(repo, "engines", spine, tmp_path_factory)


@pytest.fixture(scope="session")
def backfilled_when(repo, spine, tmp_path_factory):
    """The same of the service without stored features."""
    return backfill(repo, "when", spine, tmp_path_factory)


def backfill(repo, service, spine, tmp_path_factory):
    out = tmp_path_factory.mktemp("backfill") / f"{service}.parquet"
    skewless("backfill", service, "--repo", repo, "--spine", spine, "--out", out)
    return out


@pytest.fixture(scope="session")
def plugin(repo):
    import skewless as package

    return lambda name: package.Plugin(repo / "plugins" / f"{name}.wasm")


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    from pyspark.sql import SparkSession

    # Workers are of this environment, whatever `python3` is.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("skewless")
    for key, value in {
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "America/New_York",
        "spark.local.dir": str(tmp_path_factory.mktemp("spark")),
        "spark.log.level": "ERROR",
    }.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def ray_cluster():
    import ray
    import ray.data

    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=128 << 20, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    # Blocks are done in any order otherwise, and so are their rows given.
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    yield
    ray.shutdown()


def same_bits(expected, came, what):
    """Compares two columns: nulls, and the bits of what isn't null."""
    expected, came = (
        column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in (expected, came)
    )
    assert len(expected) == len(came) > 0, what
    nulls = expected.is_null()
    assert nulls.equals(came.is_null()), f"{what}: other nulls"
    assert nulls.false_count > 0, f"{what}: nothing but nulls"
    assert bits(expected) == bits(came), f"{what}: other values"


def bits(column):
    values = column.drop_null()
    if pa.types.is_floating(values.type):
        whole = {64: pa.int64(), 32: pa.int32()}[values.type.bit_width]
        # The same bytes, read as whole numbers: -0.0 is not 0.0 then, and a NaN is what it is.
        return pa.Array.from_buffers(whole, len(values), [None, values.buffers()[1]], offset=values.offset).to_pylist()
    return values.to_pylist()
