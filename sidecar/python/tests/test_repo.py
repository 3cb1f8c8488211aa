"""`skewless.FeatureRepo`: the same bytes as `skewless backfill`, and the same words as `skewless check`."""

import datetime
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest
import skewless
from conftest import SHOP, command, python, until_computing
from skewless._service import PackedService


@pytest.fixture
def copy(tmp_path):
    """A shop that a test may spoil."""
    return shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("target", ".skewless"))


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory):
    """What the command writes."""
    out = tmp_path_factory.mktemp("command") / "training.parquet"
    command("backfill", "order_risk", "--repo", SHOP, "--spine", SHOP / "data/orders.parquet", "--out", out, "--statuses")
    return out


def test_it_lists_what_is_declared(repo):
    service = repo.services[0]
    assert service.name == "order_risk" and service.transforms == ("basket",) and service.views == ("customer_orders",)
    assert [str(field) for field in service.request] == ["amount: float64"]
    assert [field.name for field in service.keys] == ["customer_id"]
    assert [field.name for field in service.features][-1] == "basket.first_order"
    assert [view.name for view in repo.views] == ["customer_orders"] and repo.views[0].sources
    assert [transform.name for transform in repo.transforms] == ["basket"]
    assert repo.plugin("basket").digest == repo.transforms[0].digest
    assert repo.check() == []
    said = command("check", SHOP)
    assert repo.fingerprint in said and service.fingerprint in said
    assert "order_risk" in repr(repo) and "order_risk" in repo._repr_html_()
    with pytest.raises(skewless.InputError, match=r"came `baskte` \(did you mean `basket`\?\)"):
        repo.plugin("baskte")


def test_a_file_is_the_commands_file_byte_for_byte(repo, backfilled, tmp_path):
    out = tmp_path / "training.parquet"
    spine = SHOP / "data/orders.parquet"
    answer = repo.historical_features(spine, service="order_risk", out=out, statuses=True)
    assert out.read_bytes() == backfilled.read_bytes()
    assert answer.report.bytes == out.stat().st_size and answer.report.rows == len(answer)
    with pytest.raises(skewless.BackfillError, match="exists already") as error:
        repo.historical_features(spine, service="order_risk", out=out)
    assert "overwrite=True" in error.value.next_step
    repo.historical_features(spine, service="order_risk", out=out, statuses=True, overwrite=True)
    assert out.read_bytes() == backfilled.read_bytes()


def test_every_kind_of_spine_gives_what_the_command_gives(repo, backfilled, orders, tmp_path):
    expected = pyarrow.parquet.read_table(backfilled)
    folder = tmp_path / "parts"
    folder.mkdir()
    pyarrow.parquet.write_table(orders.slice(0, 100), folder / "a.parquet")
    pyarrow.parquet.write_table(orders.slice(100), folder / "b.parquet")
    spines = [orders, polars.from_arrow(orders), skewless.Frame(orders), str(folder), str(folder / "*.parquet"),
              [folder / "a.parquet", folder / "b.parquet"], orders.to_pandas()]
    features = [field.name for field in repo.services[0].features]
    for spine in spines:
        answer = repo.historical_features(spine, service="order_risk", statuses=True, workers=2)
        got = answer.to_arrow()
        assert got.column_names == expected.column_names
        for name in [*features, *(f"{name}__status" for name in features)]:
            assert got[name].combine_chunks().equals(expected[name].combine_chunks()), (type(spine), name)
    assert answer.to_pandas().shape == answer.to_polars().shape == answer.shape
    again = pickle.loads(pickle.dumps(answer))
    assert again.report == answer.report and again.to_arrow().equals(got)


def test_a_polars_spine_may_have_columns_of_nothing_but_nulls(repo, orders):
    spine = polars.from_arrow(orders.slice(0, 3))
    expected = repo.historical_features(spine, service="order_risk")
    got = repo.historical_features(spine.with_columns(note=polars.lit(None)), service="order_risk")
    assert got["note"] == [None] * 3
    for name in expected.columns:
        assert got[name] == expected[name], name
    with pytest.raises(skewless.InputError, match=r'column `odd`: .* came polars\' List\(Null\)\n.*frame.drop\("odd"\)'):
        repo.historical_features(spine.with_columns(polars.Series("odd", [[]] * 3)), service="order_risk")


def test_a_value_that_has_no_place_in_its_type_is_the_number(repo, orders):
    """Of a column that was carried through; the others of it stay what they are."""
    times = pyarrow.array([0, 2**62, None], pyarrow.timestamp("us", "UTC"))
    seconds = pyarrow.array([0, 2**60, None], pyarrow.timestamp("s"))
    days = pyarrow.array([0, 2**31 - 1, None], pyarrow.date32())
    wholes = pyarrow.array([1, 2**64 - 1, None], pyarrow.uint64())
    lists = pyarrow.array([[1], [None, 2**64 - 1], None], pyarrow.list_(pyarrow.uint64()))
    columns = {"times": times, "seconds": seconds, "days": days, "wholes": wholes, "lists": lists}
    got = skewless.Frame(pyarrow.table(columns))
    first = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    assert got["times"] == [first, 2**62, None]
    assert got["seconds"] == [first, 2**60 * 10**6, None]
    assert got["days"] == [first, (2**31 - 1) * 86_400 * 10**6, None]
    assert got["wholes"] == [1, 2**64 - 1, None]
    assert got["lists"] == [[1], [None, 2**64 - 1], None]


def test_a_wide_frame_and_odd_names_stay_in_their_lines():
    wide = skewless.Frame(pyarrow.table({f"a_column_{at}": [1] for at in range(500)}))
    lines = repr(wide).splitlines()
    assert len(lines) == 4 and max(map(len, lines)) <= 160
    assert re.search(r"1 row, 500 columns; 4\d\d columns not shown", lines[-1])
    assert wide._repr_html_().count("<th>") == 50 and "450 columns not shown" in wide._repr_html_()
    odd = repr(skewless.Frame(pyarrow.table({"a\x1b[31mred\nb": ["x\ny\x1b[0m"]})))
    assert "\x1b" not in odd and len(odd.splitlines()) == 4
    assert r"a\x1b[31mred\nb" in odd and r"x\ny\x1b[0m" in odd


def test_a_repo_is_pickled_by_its_folder(repo):
    again = pickle.loads(pickle.dumps(repo))
    assert again.fingerprint == repo.fingerprint and again.dir == repo.dir


def test_nothing_is_left_behind(repo, orders, tmp_path):
    repo.historical_features(orders, service="order_risk", scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_preview_answers_rows(repo, orders):
    everything = repo.historical_features(orders, service="order_risk", statuses=True)
    at = everything["basket.ratio__status"].index(1)
    first = orders.slice(at, 1).to_pylist()[0]
    row = {name: first[name] for name in ("customer_id", "amount", "event_timestamp")}
    answer = repo.preview("order_risk", [row])
    assert repo.preview("order_risk", row).to_dicts() == answer.to_dicts()
    expected = everything.to_dicts()[at]
    shown = answer.to_dicts()[0]
    assert {name: shown[name] for name in expected if name in shown} == {n: v for n, v in expected.items() if n in shown}
    assert shown["basket.ratio__status"] == 1
    # As of now, if no time is given.
    now = repo.preview("order_risk", [{"customer_id": 7, "amount": 120.0}, {"customer_id": 10**6, "amount": 1}])
    assert now["customer_orders.orders__status"] == [1, 3]
    for rows, said in [
        ([{"customer": 7, "amount": 1.0}], "service `order_risk` has no column `customer`"),
        ([{"custmer_id": 7, "amount": 1.0}], "did you mean `customer_id`"),
        ([{"customer_id": 7}], "none for `amount`"),
        ([{"customer_id": "7", "amount": 1.0}], "row 0 (counted from 0), `customer_id`: expected int64, came str `'7'`"),
    ]:
        with pytest.raises(skewless.InputError) as error:
            repo.preview("order_risk", rows)
        assert said in str(error.value)


def test_a_service_that_isnt_there_is_answered_with_what_is(repo, orders):
    with pytest.raises(skewless.InputError, match=r"came `order_rsk` \(did you mean `order_risk`\?\)") as error:
        repo.historical_features(orders, service="order_rsk")
    assert "services are order_risk" in error.value.next_step


def test_a_spine_that_doesnt_fit_is_refused_in_words(repo, orders, tmp_path):
    def refused(spine, part, **named):
        with pytest.raises(skewless.BackfillError) as error:
            repo.historical_features(spine, service="order_risk", scratch=tmp_path, **named)
        assert part in str(error.value), error.value
        assert str(tmp_path) not in str(error.value), "nobody knows that file"

    refused(orders.drop_columns(["amount"]), "the spine has no column `amount`")
    renamed = orders.rename_columns({"amount": "amuont"})
    refused(renamed, "(did you mean `amuont`?)\n  rename `amuont` to `amount`")
    refused(orders, "has no column `at`", event_timestamp="at")
    refused(orders, "give event_timestamp=\"event_timestamp\"", event_timestamp="event_timestmp")
    objects = orders.to_pandas().assign(note=object())
    with pytest.raises(skewless.InputError, match="column `note`: expected values that Arrow has, came object") as error:
        repo.historical_features(objects, service="order_risk")
    assert 'drop it: frame.drop(columns=["note"])' in error.value.next_step
    place = orders.column_names.index("amount")
    refused(orders.set_column(place, "amount", pyarrow.array(["1"] * len(orders))), "column `amount`: expected float64, came utf8")
    nulls = pyarrow.array([None] * len(orders), pyarrow.float64())
    refused(orders.set_column(place, "amount", nulls), "row 0 (counted from 0): expected a value")
    refused("nowhere.parquet", "no file matches `nowhere.parquet`")
    refused(orders, "a memory limit of 1 bytes is too small", memory=1)
    refused(orders, "workers is 0, expected 1 to", workers=0)
    with pytest.raises(skewless.InputError, match="expected a frame, came int"):
        repo.historical_features(5, service="order_risk")
    with pytest.raises(skewless.InputError, match=r"expected a frame or paths .*, came list\n.*repo.preview"):
        repo.historical_features([{"customer_id": 7}], service="order_risk")


def test_rows_without_a_key_or_a_time_are_told(repo, orders):
    table = orders.slice(0, 4).to_pandas()
    table["customer_id"] = table["customer_id"].astype("Int64")
    table.loc[0, "customer_id"] = pandas.NA
    table.loc[1, "event_timestamp"] = pandas.NaT
    with pytest.warns(skewless.SkewlessWarning) as told:
        answer = repo.historical_features(table, service="order_risk")
    said = "\n".join(str(warning.message) for warning in told)
    assert "1 rows have no time in `event_timestamp`" in said and "1 rows have no key in `customer_id`" in said
    assert answer.report.rows_without_time == 1 and answer.report.rows_without_key == {"customer_id": 1}
    assert answer.report.features["customer_orders.orders"]["not_found"] >= 2


def test_every_mistake_is_told_at_once(copy):
    definitions = copy / "features.yaml"
    text = definitions.read_text()
    definitions.write_text(text.replace("customer_orders.spent\n      - basket", "customer_orders.spend\n      - baskt"))
    with pytest.raises(skewless.DefinitionError) as error:
        skewless.FeatureRepo(copy)
    assert len(error.value.mistakes) == 2 and "2 mistakes in the definitions" in str(error.value)
    mistake = error.value.mistakes[0]
    assert mistake.file == "features.yaml" and mistake.suggestion == "spent"
    said = subprocess.run(["skewless", "check", copy], capture_output=True, text=True)
    assert said.returncode == 3 and mistake.message.split(",")[0] in re.sub(r"\s+", " ", said.stderr)
    again = pickle.loads(pickle.dumps(error.value))
    assert again.mistakes == error.value.mistakes
    definitions.write_text(text)
    repo = skewless.FeatureRepo(copy)
    definitions.write_text(text.replace("[{name: customer_id", "[{nam: customer_id"))
    with pytest.raises(skewless.DefinitionError):
        repo.check()
    assert repo.services[0].name == "order_risk", "what was read before stays"
    (copy / "data/customer_orders.parquet").unlink()
    definitions.write_text(text)
    assert "no file matches its source" in repo.check()[0]


def test_what_is_no_repo_is_refused(tmp_path):
    with pytest.raises(skewless.InputError, match="expected definitions"):
        skewless.FeatureRepo(tmp_path)
    with pytest.raises(skewless.InputError, match="skewless init"):
        skewless.FeatureRepo(tmp_path / "nowhere")
    with pytest.raises(skewless.InputError, match="in the configuration"):
        skewless.FeatureRepo(SHOP, settings={"engine.memory_bytes": 1})


def test_limits_are_those_of_the_configuration(tmp_path):
    file = tmp_path / "skewless.toml"
    file.write_text("[engine]\nmodule_bytes_max = 4096\n")
    for named in [{"config": file}, {"settings": {"engine.module_bytes_max": 4096}}]:
        with pytest.raises(skewless.DefinitionError, match="module_bytes_max"):
            skewless.FeatureRepo(SHOP, **named)
    with pytest.raises(skewless.InputError, match="can't read"):
        skewless.FeatureRepo(SHOP, config=tmp_path / "nowhere.toml")


def test_a_transform_that_gives_nothing_is_told(tmp_path):
    repo = looping(tmp_path)
    now = datetime.datetime.now(datetime.timezone.utc)
    with pytest.warns(skewless.SkewlessWarning) as told:
        answer = repo.historical_features(pyarrow.table({"event_timestamp": [now], "x": [-1.0]}), service="odd")
    said = "\n".join(str(warning.message) for warning in told)
    assert "1 of 1 values failed (100.0%)" in said and "`odd` failed and gave no row a value" in said
    assert answer.report.gave_nothing == ["odd"] and answer.to_dicts()[0]["odd.twice"] is None


def test_a_service_without_views_is_computed_as_it_is_backfilled(tmp_path):
    """What workers of Spark and Ray do: without its files, and with the same failures."""
    repo = looping(tmp_path)
    packed = PackedService.of(repo, "odd")
    # Every fiftieth is refused; what traps or never ends is another test's.
    numbers = [float(at % 50 - 1) for at in range(20_000)]
    rows = pyarrow.table({"x": [3.0 if x in (13, 14) else x for x in numbers]})
    now = datetime.datetime.now(datetime.timezone.utc)
    spine = rows.append_column("event_timestamp", pyarrow.array([now] * len(rows)))
    with pytest.warns(skewless.SkewlessWarning):
        backfilled = repo.historical_features(spine, service="odd", scratch=tmp_path)
    came = packed.transform(rows)
    assert came["odd.twice"] == backfilled["odd.twice"] and None in came["odd.twice"]
    assert came.failed == backfilled.report.failures_total == 400
    assert came.failures[0] == (0, "odd: expected a number of 0 or more, came -1.0")
    assert [row for row, _ in came.failures] == sorted(row for row, _ in came.failures)
    assert pickle.loads(pickle.dumps(packed)).transform(rows).to_arrow().equals(came.to_arrow())


def test_services_of_a_process_share_what_it_has_of_address_space(tmp_path):
    """An engine reserves 4 terabytes, and a process has 128: a worker keeps 32 services."""
    packed = PackedService.of(looping(tmp_path), "odd")
    rows = pyarrow.table({"x": [1.0, 2.0]})
    data = pickle.dumps(packed)
    kept = [pickle.loads(data) for _ in range(40)]
    assert {tuple(service.transform(rows)["odd.twice"]) for service in kept} == {(2.0, 4.0)}


def test_ctrl_c_ends_a_service_while_it_computes(tmp_path):
    """Of rows that would take many minutes; and the worker that was stopped computes again."""
    code = f"""
import pyarrow, skewless
from skewless._service import PackedService
packed = PackedService.of(skewless.FeatureRepo({str(looping(tmp_path).dir)!r}), "odd")
packed.transform(pyarrow.table({{"x": [1.0]}}))
print("go", flush=True)
try:
    packed.transform(pyarrow.table({{"x": [14.0] * 2_000}}))
except KeyboardInterrupt:
    print(packed.transform(pyarrow.table({{"x": [1.0]}}))["odd.twice"])
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "go\n"
        until_computing(job.pid)
        job.send_signal(signal.SIGINT)
        try:
            said, wrong = job.communicate(timeout=60)
        finally:
            job.kill()
    assert said == "[2.0]\n", wrong


def test_a_service_that_was_shipped_leaves_no_folder_behind(tmp_path, monkeypatch):
    """A worker of Spark may be killed, and cleans nothing up."""
    packed = PackedService.of(looping(tmp_path), "odd")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    shipped = pickle.loads(pickle.dumps(packed))
    assert list(scratch.iterdir()) == []
    assert shipped.transform(pyarrow.table({"x": [1.0]}))["odd.twice"] == [2.0]


def test_progress_is_told(repo, orders):
    told = []
    repo.historical_features(orders, service="order_risk", progress=lambda *of: told.append(of))
    what, done, total = told[-1]
    assert what == "computing" and done == total == len(orders)

    def enough(*_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        repo.historical_features(orders, service="order_risk", progress=enough)


def test_a_bar_is_shown_with_and_without_tqdm():
    for hidden, shown in [("", "100%"), ("import sys; sys.modules['tqdm'] = None; sys.modules['tqdm.auto'] = None\n", "100%")]:
        code = f"import skewless; skewless.FeatureRepo({str(SHOP)!r}).historical_features({str(SHOP / 'data/orders.parquet')!r}, service='order_risk', progress=True)"
        ran = python(hidden + code)
        assert ran.returncode == 0 and shown in ran.stderr, ran.stderr


LOOPING = """
entities:
  - name: customer
    keys: [{name: customer_id, type: int64}]
requests:
  - {name: x, type: float64}
transforms:
  - {name: odd, plugin: plugins/odd.wasm, inputs: {x: request.x}}
services:
  - {name: odd, features: [odd.twice]}
"""


def looping(folder):
    """A repo whose plugin may never end."""
    repo = folder / "repo"
    (repo / "plugins").mkdir(parents=True)
    shutil.copy(SHOP.parent / "odd.wasm", repo / "plugins/odd.wasm")
    (repo / "features.yaml").write_text(LOOPING)
    return skewless.FeatureRepo(repo)


def test_ctrl_c_ends_a_backfill_and_leaves_nothing(tmp_path):
    """Of a plugin that never ends, so that it can't have ended by itself."""
    repo, scratch = looping(tmp_path).dir, tmp_path / "scratch"
    scratch.mkdir()
    code = f"""
import pyarrow, datetime, skewless
repo = skewless.FeatureRepo({str(repo)!r})
now = datetime.datetime.now(datetime.timezone.utc)
print("go", flush=True)
repo.historical_features(pyarrow.table({{"event_timestamp": [now], "x": [14.0]}}), service="odd", scratch={str(scratch)!r})
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "go\n"
        until_computing(job.pid)
        job.send_signal(signal.SIGINT)
        _, said = job.communicate(timeout=60)
    assert "KeyboardInterrupt" in said, said
    assert list(scratch.iterdir()) == []


def test_it_works_in_a_forked_child(repo, orders):
    expected = repo.historical_features(orders, service="order_risk").to_arrow()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            code = 0 if repo.historical_features(orders, service="order_risk").to_arrow().equals(expected) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_times_may_have_any_zone(repo, orders):
    zoned = orders.to_pandas()
    zoned["event_timestamp"] = pandas.to_datetime(zoned["event_timestamp"], utc=True).dt.tz_convert("America/New_York")
    got = repo.historical_features(zoned, service="order_risk").to_arrow()
    expected = repo.historical_features(orders, service="order_risk").to_arrow()
    assert got["basket.ratio"].equals(expected["basket.ratio"])
    assert isinstance(got["event_timestamp"][0].as_py(), datetime.datetime)
