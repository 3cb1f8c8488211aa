"""`skewless._shipped`: what holds in any worker process, in this one."""

import concurrent.futures
import functools
import os
import pickle
import re
import signal
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skewless
import skewless.ray
import skewless.spark
from conftest import WHEN, same_bits
from skewless import _shipped
from skewless._service import PackedService
from skewless._shipped import Work


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch):
    monkeypatch.setattr(_shipped, "_kept", {})


def test_a_digest_is_fetched_once(plugin):
    wind, fetched = plugin("wind"), []

    def fetch():
        fetched.append(wind.digest)
        return pickle.dumps(wind)

    first, second = _shipped.load(wind.digest, fetch), _shipped.load(wind.digest, fetch)
    assert first is second
    assert fetched == [wind.digest] == [first.digest]


def test_another_plugin_than_the_one_that_left_is_refused(plugin):
    wind, age = plugin("wind"), plugin("age")
    with pytest.raises(skewless.InputError, match=f"expected age to be {wind.digest}, came {age.digest}"):
        _shipped.load(wind.digest, lambda: pickle.dumps(age))
    assert _shipped._kept == {}


def test_a_worker_keeps_so_many_plugins_and_lets_the_oldest_go(plugin, monkeypatch):
    monkeypatch.setattr(_shipped, "KEPT_MAX", 2)
    plugins = [plugin(name) for name in ("wind", "age", "ratios")]
    for one in plugins:
        _shipped.load(one.digest, functools.partial(pickle.dumps, one))
    assert list(_shipped._kept) == [one.digest for one in plugins[1:]]


@pytest.mark.parametrize("module, library", [(skewless.spark, "pyspark.sql"), (skewless.ray, "ray")])
def test_a_library_that_is_missing_is_named(monkeypatch, module, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(skewless.SkewlessError, match=f"needs {library.split('.')[0]}.*\n.*pip install"):
        module.transform(None, "wind.wasm")


ROWS = pa.RecordBatch.from_pydict({"text": ["UA", None]})


def test_constants_are_those_of_the_definitions(plugin):
    hashes = plugin("feature_hash")
    work = Work.of(hashes, {"text": {"constant": "UA"}, "words": None, "buckets": 64}, ["bucket"], "raise")
    came = work.over(hashes, ROWS)
    expected = hashes.rows([{"text": "UA", "buckets": 64}])[0]["bucket"]
    assert came.to_pydict() == {"text": ["UA", None], "bucket": [expected, expected]}


@pytest.mark.parametrize(
    "inputs, why",
    [
        ({"buckets": 1.5}, "a constant of the type int32, came 1.5"),
        ({"buckets": True}, "a constant of the type int32, came True"),
        ({"buckets": 1 << 40}, "a constant of the type int32, came 1099511627776"),
        ({"text": {"constant": 5}}, "a constant of the type utf8, came 5"),
        ({"text": {"const": "UA"}}, "expected a column, a number"),
        ({"words": 3}, "a constant of the type list<utf8>, came 3"),
    ],
)
def test_a_constant_that_does_not_fit_is_refused(plugin, inputs, why):
    with pytest.raises(skewless.InputError, match=f"input {next(iter(inputs))}: .*{re.escape(why)}"):
        Work.of(plugin("feature_hash"), inputs, None, "raise")


def test_columns_that_are_no_inputs_may_have_one_name(plugin):
    wind = plugin("wind")
    names = ["direction", "speed", "course", "x", "x"]
    schema = pa.schema([(name, pa.float64()) for name in names])
    Work.of(wind, None, None, "raise").check(wind, schema)
    with pytest.raises(skewless.InputError, match="one column `speed`, came several"):
        Work.of(wind, None, None, "raise").check(wind, pa.schema([*schema, ("speed", pa.float64())]))


def test_a_packed_service_is_what_was_read(repo):
    """Its digest is the service's fingerprint, here and where it comes to."""
    features = skewless.FeatureRepo(repo)
    when = next(service for service in features.services if service.name == "when")
    packed = PackedService.of(features, "when")
    assert packed.digest == when.fingerprint == pickle.loads(pickle.dumps(packed)).digest
    definitions = repo / "departure_delay.yaml"
    before = definitions.read_text()
    definitions.write_text(before.replace("buckets: 64", "buckets: 65"))
    try:
        with pytest.raises(skewless.InputError, match=r"as they were read, came others\n.*repo.check\(\)"):
            PackedService.of(features, "when")
    finally:
        definitions.write_text(before)


@pytest.fixture
def when(repo):
    return PackedService.of(skewless.FeatureRepo(repo), "when")


def test_a_service_gives_in_any_number_of_rows_what_its_backfill_gives(when, spine, backfilled_when):
    """More than a call of a plugin takes, in one batch."""
    flights, expected = pq.read_table(spine), pq.read_table(backfilled_when)
    inputs = flights.select([field.name for field in when.inputs]).combine_chunks()
    assert len(inputs) > 20_000
    for start, rows in [(0, len(inputs)), (7, 1), (100, 9_000), (0, 0)]:
        came = when.transform(inputs.slice(start, rows)).to_arrow()
        assert came.column_names == WHEN and len(came) == rows
        for name in WHEN if rows > 1 else []:
            same_bits(expected[name].slice(start, rows), came[name], f"{name} of {rows} rows")


def test_a_service_computes_in_threads_and_forks(when, spine):
    inputs = pq.read_table(spine).select([field.name for field in when.inputs]).slice(0, 2_000)
    expected = when.transform(inputs).to_arrow()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(came.to_arrow().equals(expected) for came in pool.map(when.transform, [inputs] * 24))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            code = 0 if when.transform(inputs).to_arrow().equals(expected) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_service_names_what_its_frame_lacks(when, spine):
    inputs = pq.read_table(spine).select([field.name for field in when.inputs]).slice(0, 10)
    with pytest.raises(skewless.InputError, match="expected a column `flight` .*, came none"):
        when.transform(inputs.drop_columns(["flight"]))
    place = inputs.column_names.index("flight")
    nulls = inputs.set_column(place, "flight", pa.nulls(10, inputs["flight"].type))
    with pytest.raises(skewless.InputError, match="column `flight`, row 0 .counted from 0.: expected a value"):
        when.transform(nulls)
