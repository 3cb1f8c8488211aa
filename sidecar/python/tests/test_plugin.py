"""`skewless.Plugin`: the same bytes as `skewless plugin run`, from every kind of frame, thread and process."""

import concurrent.futures
import datetime
import decimal
import fractions
import itertools
import json
import multiprocessing
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import threading
import time

import numpy
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest
import skewless
from conftest import MADE, command, python, until_computing


def bits(value):
    return struct.pack("<d", value)


def test_it_says_what_it_is(great_circle):
    assert great_circle.name == "great_circle"
    assert [str(field) for field in great_circle.signature.inputs] == [
        "lat1: float64", "lon1: float64", "lat2: float64", "lon2: float64",
    ]
    assert great_circle.signature.inputs[0].unit == "deg"
    assert great_circle.digest in command("plugin", "inspect", MADE / "great_circle.wasm")
    assert "great_circle" in repr(great_circle) and "<table>" in great_circle._repr_html_()


def test_it_gives_what_the_command_gives_to_the_last_bit(great_circle, points, tmp_path):
    pyarrow.parquet.write_table(points, tmp_path / "points.parquet")
    said = command("plugin", "run", MADE / "great_circle.wasm", tmp_path / "points.parquet")
    expected = [json.loads(line) for line in said.splitlines()]
    ours = great_circle(points).to_arrow().to_pylist()
    assert len(ours) == len(expected) == points.num_rows
    for row, (a, b) in enumerate(zip(ours, expected)):
        assert {name: bits(value) for name, value in a.items()} == {name: bits(value) for name, value in b.items()}, row


def test_every_type_goes_there_and_back(echo, tmp_path):
    def column(type, *values):
        return pyarrow.array([*values, None], type)

    lists = {"wholes": pyarrow.int64(), "more_wholes": pyarrow.int64(), "doubles": pyarrow.float64(), "texts": pyarrow.string()}
    when = datetime.datetime(2013, 7, 4, 12, tzinfo=datetime.timezone.utc)
    columns = {
        "flag": column(pyarrow.bool_(), True, False),
        "small": column(pyarrow.int32(), 1, -2**31),
        "whole": column(pyarrow.int64(), 1, -2**63),
        "single": column(pyarrow.float32(), 0.5, float("nan")),
        "double": column(pyarrow.float64(), float("inf"), -0.0),
        "text": column(pyarrow.string(), "ü", ""),
        "bytes": column(pyarrow.binary(), b"\0\xff", b""),
        "at": column(pyarrow.timestamp("us", "UTC"), when, when.replace(microsecond=1)),
        "embedding": column(pyarrow.list_(pyarrow.float32(), 3), [1, 2, 3], [0, 0, float("nan")]),
        "plain_whole": column(pyarrow.int64(), 7, 8),
        "plain_text": column(pyarrow.string(), "a", "b"),
    }
    columns |= {name: column(pyarrow.list_(of), [], [{"texts": "x"}.get(name, 1)] * 2) for name, of in lists.items()}
    table = pyarrow.table(columns)
    names = [field.name for field in echo.signature.outputs]
    given, got = table.select(names).to_pylist(), echo(table).to_dicts()
    # pyarrow's UTC is another class than the standard library's.
    for row in given[:2]:
        row["at"] = row["at"].astimezone(datetime.timezone.utc)
    # The last row has nulls in inputs that can't be null.
    assert repr(got[:2]) == repr(given[:2])
    assert set(got[2].values()) == {None}
    # A part of a frame begins in the midst of its buffers.
    assert repr(echo(table.slice(1)).to_dicts()) == repr(got[1:])
    rows = [{name: row[name] for name in names} for row in given]
    assert repr(echo.rows(rows)) == repr(got)
    assert repr(echo.rows(rows[0])) == repr(got[:1])
    # And the same of the command, in JSON's words.
    pyarrow.parquet.write_table(table, tmp_path / "all.parquet")
    said = [json.loads(line) for line in command("plugin", "run", MADE / "echo.wasm", tmp_path / "all.parquet").splitlines()]
    assert said[0]["text"] == "ü" and said[0]["bytes"] == "0x00ff" and said[1]["double"] == -0.0


def test_every_kind_of_frame_gives_the_same(great_circle, points):
    expected = great_circle(points).to_arrow()

    class OneArray:
        """Speaks the array half of the interface only."""

        def __arrow_c_array__(self, requested_schema=None):
            return points.combine_chunks().to_batches()[0].__arrow_c_array__(requested_schema)

    frames = [
        points.to_batches(max_chunksize=7_001)[0],
        pyarrow.Table.from_batches(points.to_batches(max_chunksize=999)),
        points.to_pandas(),
        points.to_pandas().set_index(numpy.arange(points.num_rows) + 5),
        polars.from_arrow(points),
        OneArray(),
        skewless.Frame(points),
        pyarrow.RecordBatchReader.from_batches(points.schema, points.to_batches()),
    ]
    for frame in frames:
        got = great_circle(frame).to_arrow()
        assert got.combine_chunks().equals(expected.slice(0, got.num_rows).combine_chunks()), type(frame)


def test_polars_columns_that_arrow_has_not_cost_no_other(great_circle, echo, points):
    """polars hands nothing but nulls over as Arrow's interface hasn't it."""
    frame = polars.from_arrow(points)
    expected = great_circle(points).to_arrow().combine_chunks()
    nothing = [None] * len(frame)
    odd = frame.with_columns(
        polars.Series("note", nothing),
        polars.Series("lists", [[]] * len(frame)),
        polars.Series("pairs", [{"a": None}] * len(frame)),
        polars.Series("wide", [2**100] * len(frame), dtype=polars.Int128),
        polars.Series("^lat.*$", nothing),
    )
    assert great_circle(odd).to_arrow().combine_chunks().equals(expected)
    assert great_circle(polars.concat([odd[:7], odd[7:]], rechunk=False)).to_arrow().combine_chunks().equals(expected)

    null = great_circle(odd.with_columns(polars.Series("lat1", nothing)))
    assert len(null) == len(frame) and null.to_arrow()["km"].null_count == len(frame)
    assert len(great_circle(polars.DataFrame({name: [None, None] for name in frame.columns}))) == 2
    inputs = [field.name for field in echo.signature.inputs]
    assert echo(polars.DataFrame({name: [None, None] for name in inputs})).to_dicts() == [
        dict.fromkeys(field.name for field in echo.signature.outputs)
    ] * 2

    with pytest.raises(skewless.InputError, match=r"column `lat1`: .* came polars' Int128\n.*polars.col\(\"lat1\"\)") as error:
        great_circle(odd.with_columns(polars.Series("lat1", [1] * len(frame), dtype=polars.Int128)))
    assert "drop" not in error.value.next_step
    with pytest.raises(skewless.InputError, match="column `lat1`: .* came polars' Object"):
        great_circle(odd.with_columns(polars.Series("lat1", [object()] * len(frame), dtype=polars.Object)))
    with pytest.raises(skewless.InputError, match="did you mean `lat_1`"):
        great_circle(odd.rename({"lat1": "lat_1"}))


def sections(wasm):
    """Of a module: each section's kind and content."""
    at = 8
    while at < len(wasm):
        kind, (length, at) = wasm[at], number(wasm, at + 1)
        yield kind, wasm[at : at + length]
        at += length


def number(data, at):
    """A number in LEB128, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def leb128(value):
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + leb128(value >> 7)


def section(kind, content):
    return bytes([kind]) + leb128(len(content)) + content


def with_more_code(wasm, times):
    """The same module with each of its functions some times more, which nobody calls."""
    made = wasm[:8]
    for kind, content in sections(wasm):
        if kind in (3, 10):
            count, at = number(content, 0)
            content = leb128(count * (times + 1)) + content[at:] * (times + 1)
        made += section(kind, content)
    return made


def test_a_plugin_that_compiles_for_long_holds_up_none_that_was_compiled(odd, great_circle):
    """One that has to be compiled, too, shares the processors with it."""
    large = with_more_code(odd.wasm, 100)
    loading = threading.Thread(target=skewless.Plugin, args=[large])
    loading.start()
    moments = [time.monotonic()]
    while loading.is_alive():
        skewless.Plugin(great_circle.wasm)
        moments.append(time.monotonic())
    # One that is held up takes as long as what it waits for, however fast the machine is.
    longest = max(after - before for before, after in itertools.pairwise(moments))
    assert longest < (moments[-1] - moments[0]) / 2, moments


def test_an_answer_is_had_in_every_form(great_circle, points):
    answer = great_circle(points.slice(0, 3))
    assert answer.shape == (3, 2) and answer.columns == ["km", "bearing"]
    assert answer.types == {"km": "float64", "bearing": "float64"}
    assert answer["km"] == answer.to_pandas()["km"].tolist() == answer.to_polars()["km"].to_list()
    assert polars.DataFrame(answer).equals(answer.to_polars())
    assert pyarrow.table(answer).equals(answer.to_arrow())
    assert [row["km"] for row in answer] == answer["km"]
    assert pickle.loads(pickle.dumps(answer)).to_arrow().equals(answer.to_arrow())
    assert "3 rows, 2 columns" in repr(answer) and "<td>" in answer._repr_html_()


def test_no_value_is_copied_out(great_circle, points):
    answer = great_circle(points.slice(0, 100))
    addresses = {pyarrow.table(answer)["km"].chunk(0).buffers()[1].address for _ in range(2)}
    assert len(addresses) == 1


def test_narrower_types_are_widened_and_others_refused(great_circle, points):
    few = points.slice(0, 2)
    narrow = few.set_column(0, "lat1", pyarrow.array([1, 2], pyarrow.float32()))
    assert len(great_circle(narrow)) == 2
    for values, came in [(["1", "2"], "utf8"), ([1, 2], "int64"), ([True, False], "bool")]:
        with pytest.raises(skewless.InputError, match=f"column `lat1`: expected float64, came {came}"):
            great_circle(few.set_column(0, "lat1", pyarrow.array(values)))


def test_a_missing_column_is_named_with_what_was_meant(great_circle, points):
    with pytest.raises(skewless.InputError, match=r"`lat1` \(float64\), came none \(did you mean `lat_1`\?\)"):
        great_circle(points.rename_columns(["lat_1", "lon1", "lat2", "lon2"]))
    with pytest.raises(skewless.InputError, match="`lat2`.*came none") as error:
        great_circle(points.drop_columns(["lat2"]))
    assert "inputs are lat1 (float64)" in error.value.next_step
    with pytest.raises(skewless.InputError, match="expected one column `lat1`, came several"):
        great_circle(points.append_column("lat1", points["lat1"]))
    # Others are left alone.
    extra = points.append_column("label", pyarrow.array([1] * points.num_rows))
    assert great_circle(extra).to_arrow().equals(great_circle(points).to_arrow())


def test_an_input_that_may_be_null_may_lack_unless_it_was_misspelt(echo):
    rows = pyarrow.table({"plain_whole": [1], "plain_text": ["a"]})
    assert echo(rows).to_dicts()[0]["double"] is None
    with pytest.raises(skewless.InputError, match="did you mean `duoble`"):
        echo(rows.append_column("duoble", pyarrow.array([1.0])))


def test_no_frame_is_refused_in_words(great_circle):
    for frame, came in [(5, "int"), ([{"lat1": 1}], "list"), (None, "NoneType")]:
        with pytest.raises(skewless.InputError, match=f"expected a frame, came {came}"):
            great_circle(frame)
    with pytest.raises(skewless.InputError, match="expected a frame, came a pandas Series"):
        great_circle(pandas.Series([1.0], name="lat1"))
    with pytest.raises(skewless.InputError, match="expected a frame, came one column .an array of"):
        class Numbers:
            def __arrow_c_array__(self, requested_schema=None):
                return pyarrow.array([1.0]).__arrow_c_array__(requested_schema)

        great_circle(Numbers())
    with pytest.raises(skewless.InputError, match=r"came a polars LazyFrame\n.*frame.collect\(\)"):
        great_circle(polars.LazyFrame({"lat1": [1.0]}))
    with pytest.raises(skewless.InputError, match=r"came one column .Series.\n.*to_frame"):
        great_circle(polars.Series("lat1", [1.0]))
    with pytest.raises(skewless.InputError, match=r"came list\n.*go to `.rows`"):
        great_circle([{"lat1": 1.0}])

    class Other:
        def __arrow_c_stream__(self, requested_schema=None):
            return 5

    with pytest.raises(skewless.InputError, match="came Other, whose __arrow_c_stream__ gives no capsules"):
        great_circle(Other())


def test_columns_that_it_doesnt_want_may_be_anything(great_circle, points):
    few = points.slice(0, 3)
    frame = few.to_pandas()
    frame["object"] = pandas.Series([object(), "a", 1], dtype=object)
    frame["complex"] = [1 + 2j] * 3
    frame["sparse"] = pandas.arrays.SparseArray([0, 0, 1])
    frame[5] = "named by a number"
    frame = pandas.concat([frame, frame[["object"]]], axis=1)
    assert great_circle(frame).to_arrow().equals(great_circle(few).to_arrow())
    # They are still seen: one may be an input, misspelt.
    with pytest.raises(skewless.InputError, match="did you mean `lat_1`"):
        great_circle(frame.rename(columns={"lat1": "lat_1"}))
    with pytest.raises(skewless.InputError, match="expected one column `lat1`, came several"):
        great_circle(pandas.concat([frame, frame[["lat1"]]], axis=1))


def test_a_column_of_objects_is_refused_with_its_name(echo):
    frame = pandas.DataFrame({"plain_whole": pandas.Series([1, "a"], dtype=object), "plain_text": ["a", "b"]})
    with pytest.raises(skewless.InputError, match="column `plain_whole`: expected values of one type, came int, str"):
        echo(frame)
    with pytest.raises(skewless.InputError, match="expected columns named by text"):
        echo(pandas.DataFrame({0: [1]}))
    base = {"plain_whole": [1, 2], "plain_text": ["a", "b"]}
    for name, values, said in [
        ("double", pandas.arrays.SparseArray([0.0, 1.0]), r"column `double`: .* came Sparse.*\n.*sparse.to_dense\(\)"),
        ("text", pandas.Series(["\udc80", "a"], dtype=object), "column `text`: expected values that Arrow has, came str"),
        ("double", [1j, 2j], "column `double`: expected values that Arrow has, came complex"),
    ]:
        with pytest.raises(skewless.InputError, match=said):
            echo(pandas.DataFrame({**base, name: values}))


def test_an_embedding_of_another_type_is_answered_with_how_to_make_one(echo):
    """In the words of the library at hand, which do."""
    values = [[1.0, 2.0, 3.0], [0.0] * 3]
    base = {"plain_whole": [1, 2], "plain_text": ["a", "b"]}
    frame = pandas.DataFrame({**base, "embedding": values})
    with pytest.raises(skewless.InputError, match="column `embedding`: expected embedding.3., came list<float64>") as error:
        echo(frame)
    namespace = {"frame": frame, "numpy": numpy, "polars": polars}
    exec(re.search(r"in pandas (.*), in polars", error.value.next_step)[1], namespace)
    assert echo(namespace["frame"])["embedding"] == values
    namespace["frame"] = polars.DataFrame({**base, "embedding": values})
    made = eval(re.search(r"in polars (.*), in pyarrow", error.value.next_step)[1], namespace)
    assert echo(made)["embedding"] == values


def test_a_frame_that_breaks_off_is_an_error(great_circle, points):
    def batches():
        yield points.to_batches()[0]
        raise OSError("the disk is gone")

    with pytest.raises(skewless.InputError, match="the disk is gone"):
        great_circle(pyarrow.RecordBatchReader.from_batches(points.schema, batches()))


def test_ctrl_c_in_a_frame_is_ctrl_c(great_circle, points, repo):
    def batches():
        yield points.to_batches()[0]
        signal.raise_signal(signal.SIGINT)
        yield points.to_batches()[0]

    def training(frame):
        return repo.historical_features(frame, service="order_risk")

    for take in (great_circle, skewless.Frame, training):
        with pytest.raises(KeyboardInterrupt):
            take(pyarrow.RecordBatchReader.from_batches(points.schema, batches()))


def test_times_are_instants_whatever_their_zone(echo):
    def at(times):
        return echo(pandas.DataFrame({"at": times, "plain_whole": [1], "plain_text": ["a"]}))["at"]

    noon = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.timezone.utc)
    assert at(pandas.to_datetime(["2024-07-01T14:00:00+02:00"])) == [noon]
    assert at(pandas.to_datetime(["2024-07-01T14:00:00"]).tz_localize("Europe/Berlin")) == [noon]
    assert at(pandas.to_datetime(["2024-07-01T12:00:00"])) == [noon], "without a zone it is UTC"
    assert at(pandas.to_datetime(["2024-07-01T12:00:00"]).astype("datetime64[s]")) == [noon]
    base = {"plain_whole": 1, "plain_text": "a"}
    for value in [noon, noon.replace(tzinfo=None), "2024-07-01T12:00:00Z", "2024-07-01T14:00:00+02:00", 1719835200000000,
                  pandas.Timestamp(noon), noon.astimezone(datetime.timezone(datetime.timedelta(hours=5)))]:
        assert echo.rows([{**base, "at": value}])[0]["at"] == noon, value
    assert echo.rows([{**base, "at": datetime.date(2024, 7, 1)}])[0]["at"] == noon.replace(hour=0)


@pytest.mark.parametrize(("row", "said"), [
    ({"lat1": "1"}, "row 0 (counted from 0), `lat1`: expected float64, came str `'1'`"),
    ({"lat1": True}, "expected float64, came bool `True`"),
    ({"lat1": [1]}, "expected float64, came list `[1]`"),
    ({"lat_1": 1.0}, "row 0 (counted from 0): the plugin has no input `lat_1` (did you mean `lat1`?)"),
    ({"lat1": 1.0}, "expected values for all inputs that can't be null, came none for `lon1`"),
    (7, "row 0 (counted from 0): expected a dict, came int `7`"),
    ({5: 1.0}, "row 0 (counted from 0): expected names that are text, came int `5`"),
])
def test_a_wrong_row_is_named(great_circle, row, said):
    with pytest.raises(skewless.InputError) as error:
        great_circle.rows([row])
    assert said in str(error.value)


def test_rows_take_the_numbers_of_numpy_and_the_nulls_of_pandas(echo):
    base = {"plain_whole": numpy.int64(1), "plain_text": numpy.str_("a")}
    got = echo.rows([{**base, "double": numpy.float32(0.5), "flag": numpy.bool_(True), "whole": pandas.NA,
                      "embedding": numpy.arange(3), "at": pandas.NaT}])
    assert (got[0]["double"], got[0]["flag"], got[0]["whole"], got[0]["at"]) == (0.5, True, None, None)
    assert got[0]["embedding"] == [0, 1, 2]
    for exact in [decimal.Decimal("0.5"), fractions.Fraction(1, 2), numpy.float64(0.5)]:
        assert echo.rows([{**base, "double": exact}])[0]["double"] == 0.5
    noon = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.timezone.utc)
    for value in [numpy.datetime64("2024-07-01T12:00"), numpy.datetime64("2024-07-01T12:00", "ns"), numpy.int64(1719835200000000)]:
        assert echo.rows([{**base, "at": value}])[0]["at"] == noon
    assert echo.rows([{**base, "at": numpy.datetime64("NaT")}])[0]["at"] is None
    for name, value in [("double", decimal.Decimal("1.00000000000000000001")), ("double", fractions.Fraction(1, 3)),
                        ("double", 2**53 + 1), ("text", "\udc80"), ("small", 2**31), ("small", 1.0), ("whole", True), ("flag", 1), ("text", 1), ("bytes", "a"),
                        ("texts", "ab"), ("embedding", [1, 2])]:
        with pytest.raises(skewless.InputError, match=f"`{name}`: expected"):
            echo.rows([{**base, name: value}])


@pytest.mark.parametrize(("wasm", "said"), [
    (b"", "expected a .wasm file, came a file of another kind"),
    (b"PAR1 and more", "expected a .wasm file, came a file of another kind"),
    # A module that imports a function `env.clock`.
    (b"\0asm\1\0\0\0" + b"\1\4\1\x60\0\0" + b"\2\x0d\1\3env\5clock\0\0", "expected no imports, came `env.clock`"),
    (b"\0asm\1\0\0\0", "expected"),
])
def test_what_is_no_plugin_is_refused(wasm, said):
    with pytest.raises(skewless.PluginError) as error:
        skewless.Plugin(wasm)
    assert said in str(error.value)


def test_a_plugin_that_was_cut_or_is_of_another_contract_is_refused(great_circle):
    for length in (9, 1_000, len(great_circle.wasm) - 1):
        with pytest.raises(skewless.PluginError):
            skewless.Plugin(great_circle.wasm[:length])
    with pytest.raises(skewless.PluginError, match=r"expected abi 1, came 9\n.*upgrade this package"):
        skewless.Plugin(great_circle.wasm.replace(b'{"abi":1,', b'{"abi":9,'))
    with pytest.raises(skewless.PluginError, match=r"expected a whole and valid .wasm file.*\n.*give the whole file"):
        skewless.Plugin(great_circle.wasm[:-1])
    # As long as the other name, as the section's length is before it.
    with pytest.raises(skewless.PluginError, match="control characters in the plugin's name"):
        skewless.Plugin(great_circle.wasm.replace(b'"name":"great_circle"', b'"name":"gre\\u001bcle"'))
    with pytest.raises(skewless.PluginError, match="can't read"):
        skewless.Plugin("nowhere.wasm")


def test_a_row_that_fails_is_null_and_told(odd):
    numbers = pyarrow.table({"x": [1.0, -1.0, 13.0, 2.0]})
    with pytest.warns(skewless.SkewlessWarning, match=r"odd failed 2 of 4 rows; row 1 .*expected a number of 0 or more"):
        answer = odd(numbers)
    assert answer["twice"] == [2.0, None, None, 4.0]
    for call in (odd, odd.transform, lambda of: odd.rows(of.to_pylist())):
        with pytest.warns(skewless.SkewlessWarning) as told:
            call(numbers)
        assert told[0].filename == __file__, "the line that asked"
    with pytest.raises(skewless.InputError, match='"warn", "raise" or "null", came .bogus.'):
        odd(None, errors="bogus")
    assert answer.failed == 2 and [failure.row for failure in answer.failures] == [1, 2]
    assert "trap" in answer.failures[1].message
    with pytest.raises(skewless.TransformError, match="odd failed 2 of 4 rows"):
        odd(numbers, errors="raise")
    assert odd(numbers, errors="null").failed == 2
    assert odd.rows([{"x": 3}, {"x": -3}], errors="null") == [{"twice": 6.0}, {"twice": None}]
    with pytest.raises(ValueError, match="expected errors to be"):
        odd(numbers, errors="ignore")


def test_rows_are_counted_over_the_whole_frame(odd):
    numbers = numpy.ones(20_000)
    numbers[[8_191, 8_192, 19_999]] = -1.0
    answer = odd(pyarrow.table({"x": numbers}), errors="null")
    assert [failure.row for failure in answer.failures] == [8_191, 8_192, 19_999]


def test_no_rows_are_no_rows(great_circle, points):
    assert len(great_circle(points.slice(0, 0))) == 0
    assert great_circle(points.slice(0, 0)).columns == ["km", "bearing"]
    assert great_circle.rows([]) == []


def test_many_threads_call_at_once(great_circle, points):
    expected = great_circle(points).to_arrow()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: great_circle(points).to_arrow(), range(64)))
    assert all(answer.equals(expected) for answer in answers)


def test_pythons_lock_is_let_go(odd):
    """While one thread computes for long, others go on: a counter moves that only Python code moves."""
    numbers = pyarrow.table({"x": numpy.arange(3_000_000) % 5.0})
    counted = 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        job = pool.submit(odd, numbers)
        while not job.done():
            counted += 1
            time.sleep(0)
    assert counted > 100, counted


def test_it_is_pickled_by_its_bytes(great_circle, points):
    again = pickle.loads(pickle.dumps(great_circle))
    assert again == great_circle and hash(again) == hash(great_circle) and again.wasm == great_circle.wasm
    assert again(points).to_arrow().equals(great_circle(points).to_arrow())
    error = pickle.loads(pickle.dumps(skewless.InputError("a", next_step="b")))
    assert (type(error), str(error), error.next_step) == (skewless.InputError, "a\n  b", "b")


def kms(plugin, points):
    return plugin(points)["km"][:3]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_run_it(great_circle, points, method):
    few = points.slice(0, 3)
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        answers = list(pool.map(kms, [great_circle] * 4, [few] * 4))
    assert answers == [kms(great_circle, few)] * 4


def test_a_forked_child_runs_what_its_parent_had_and_its_deadlines_pass(odd, great_circle, points):
    """The parent's clock doesn't run in the child: without one of its own, a loop would never end there."""
    few = points.slice(0, 100)
    great_circle(few)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            same = great_circle(few).to_arrow().equals(skewless.Plugin(great_circle.wasm)(few).to_arrow())
            engine_ticks = interrupted(odd)
            code = 0 if same and engine_ticks else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(great_circle(few)) == 100


@pytest.mark.parametrize("held", ["a plugin", "a repo"])
def test_a_forked_child_compiles_what_its_parent_never_had(great_circle, odd, repo, orders, tmp_path, held):
    """The threads that the parent compiles by aren't there in the child, and no machine code is, in either's folder."""
    code = f"""
import os, pathlib, shutil, signal, sys
import pyarrow, pyarrow.parquet, skewless
sys.path.insert(0, {os.path.dirname(__file__)!r})
shop = shutil.copytree({str(MADE / "shop")!r}, {str(tmp_path / "shop")!r}, ignore=shutil.ignore_patterns("target", ".skewless"))
orders = pyarrow.parquet.read_table(shop + "/data/orders.parquet").slice(0, 10)
def plugin(name):
    return skewless.Plugin(pathlib.Path({str(MADE)!r}, name))
def features():
    return skewless.FeatureRepo(shop).historical_features(orders, service="order_risk").to_arrow()
if {held!r} == "a plugin":
    plugin("great_circle.wasm")
else:
    features()
    shutil.rmtree(shop + "/.skewless")
child = os.fork()
if child == 0:
    signal.alarm(60)
    assert plugin("odd.wasm").rows([{{"x": 1}}]) == [{{"twice": 2.0}}]
    assert features().num_rows == 10
    grandchild = os.fork()
    if grandchild == 0:
        signal.alarm(60)
        assert plugin("echo.wasm").name
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ran = python(code, env={**os.environ, "SKEWLESS_CACHE_DIR": str(tmp_path / "cache")})
    assert ran.returncode == 0, ran.stderr


def kept(folder):
    return {path.name: path.stat().st_ino for path in (folder / "compiled").glob("*.cwasm")}


def test_a_later_process_takes_what_was_compiled_from_the_users_folder(tmp_path):
    code = f"import skewless; print(skewless.Plugin({str(MADE / 'odd.wasm')!r}).rows([{{'x': 1}}]))"
    environment = {name: value for name, value in os.environ.items() if name not in ("SKEWLESS_CACHE_DIR", "XDG_CACHE_HOME")}

    def run(**named):
        ran = python(code, env={**environment, **named})
        assert ran.stdout == "[{'twice': 2.0}]\n", ran.stderr
        return ran.stderr

    # Too much is there already: the oldest goes, and only of what is too much. Both are files without blocks.
    folder = tmp_path / "home/.cache/skewless"
    (folder / "compiled").mkdir(parents=True, mode=0o700)
    for age, name in [(2, "old"), (1, "new")]:
        path = folder / f"compiled/{name}.cwasm"
        with path.open("wb") as file:
            file.truncate(3 << 29)
        os.utime(path, (0, 1_700_000_000 - age))
    run(HOME=str(tmp_path / "home"))
    there = kept(folder)
    assert len(there) == 2 and "new.cwasm" in there
    assert run(HOME=str(tmp_path / "home")) == "" and kept(folder) == there, "it wasn't written again"
    # What was damaged is compiled anew.
    entry = next(path for path in (folder / "compiled").glob("*.cwasm") if path.name != "new.cwasm")
    entry.write_bytes(entry.read_bytes()[:-1])
    run(HOME=str(tmp_path / "home"))
    assert kept(folder) != there
    run(XDG_CACHE_HOME=str(tmp_path / "caches"))
    run(SKEWLESS_CACHE_DIR=str(tmp_path / "ours"))
    assert kept(tmp_path / "caches/skewless").keys() == kept(tmp_path / "ours").keys() == {entry.name}
    # A folder that others may write isn't trusted. A small plugin is compiled before anybody notices.
    (tmp_path / "ours/compiled").chmod(0o777)
    assert run(SKEWLESS_CACHE_DIR=str(tmp_path / "ours")) == ""
    large = tmp_path / "large.wasm"
    # A custom section of a MiB, at the end.
    large.write_bytes((MADE / "odd.wasm").read_bytes() + b"\0\x85\x80\x40\4fill" + bytes(1 << 20))
    code = code.replace(str(MADE / "odd.wasm"), str(large))
    assert "aren't kept, so each process compiles its own" in run(SKEWLESS_CACHE_DIR=str(tmp_path / "ours"))
    assert run(SKEWLESS_CACHE_DIR=str(tmp_path / "theirs")) == ""


def interrupted(odd):
    """Whether a plugin that never ends is ended by a signal whose handler raises."""

    class Rung(Exception):
        pass

    def ring(*_):
        raise Rung

    # Rung when the process has computed so long.
    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.3)
    try:
        odd(pyarrow.table({"x": [14.0]}))
    except Rung:
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return False


def test_a_signal_ends_a_plugin_that_never_ends(odd):
    assert interrupted(odd)


def test_ctrl_c_ends_rows_that_never_end():
    code = f"import skewless; odd = skewless.Plugin({str(MADE / 'odd.wasm')!r}); print('go', flush=True); odd.rows([{{'x': 14}}])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "go\n"
        until_computing(job.pid)
        job.send_signal(signal.SIGINT)
        _, said = job.communicate(timeout=60)
    assert "KeyboardInterrupt" in said, said


def test_a_plugin_is_compiled_once_a_process(great_circle, odd):
    again = pickle.loads(pickle.dumps(great_circle))
    assert again._plugin.same_code(great_circle._plugin) and not again._plugin.same_code(odd._plugin)


def test_rows_need_no_other_package():
    hidden = "import sys; sys.modules.update(pyarrow=None, pandas=None, polars=None, numpy=None)\n"
    plugin = f"import skewless; plugin = skewless.Plugin({str(MADE / 'odd.wasm')!r})\n"
    ran = python(hidden + plugin + "print(plugin.rows([{'x': 1}]))")
    assert ran.returncode == 0 and ran.stdout == "[{'twice': 2.0}]\n", ran.stderr
    asked = python(hidden + plugin + "skewless._frame._library('pyarrow', 'to_arrow()')")
    assert "to_arrow() needs pyarrow, which isn't installed" in asked.stderr
