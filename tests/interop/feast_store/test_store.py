"""`feast_skewless.SkewlessOnlineStore` between unmodified Feast and a live sidecar: requests, rows, definitions, mistakes.

docs/feast-store.md says what must come.
"""

import asyncio
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
import pandas as pd
import pytest
import yaml
from conftest import WORK
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, RequestSource
from feast.errors import FeastError
from feast.feature_view import DUMMY_ENTITY
from feast.labeling.label_view import LabelView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.serving.GrpcServer_pb2 import WriteToOnlineStoreRequest
from feast.protos.feast.serving.GrpcServer_pb2_grpc import GrpcFeatureServerStub
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import (
    VALUE_TYPES_TO_FEAST_TYPES,
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    Invalid,
    Json,
    Map,
    String,
    UnixTimestamp,
    Uuid,
)
from feast.value_type import ValueType
from feast_skewless import (
    DefinitionsDiffer,
    StoreError,
    StoreRefused,
    StoreUnreachable,
    StoreUnsupported,
    StoreValueError,
)
from sidecar import Sidecar, feature_store
from skewless import SkewlessWarning

SDK = Path(__file__).parents[3] / "sdk" / "rust"
NOW = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=5)
PRESENT, NULL, ABSENT, STALE = (
    FieldStatus.PRESENT,
    FieldStatus.NULL_VALUE,
    FieldStatus.NOT_FOUND,
    FieldStatus.OUTSIDE_MAX_AGE,
)


def orders(customer, count, spent, when=NOW, created=NOW):
    row = {"customer_id": [customer], "orders": [count], "spent": [spent], "event_timestamp": [when], "created": [created]}
    return pd.DataFrame(row)


def key(**keys):
    kinds = {int: "int64_val", str: "string_val", bytes: "bytes_val"}
    values = [value if isinstance(value, Value) else Value(**{kinds[type(value)]: value}) for value in keys.values()]
    return EntityKey(join_keys=list(keys), entity_values=values)


def online(store):
    return store._get_provider().online_store


def statuses(answer):
    return dict(zip(answer.proto.metadata.feature_names.val, (list(of.statuses) for of in answer.proto.results)))


# Whole requests.


def test_a_whole_request_is_one_call_transforms_included(feast_shop, shop):
    store = feast_shop()
    store.write_to_online_store("customer_orders", df=orders(1001, 4, 100.0))
    store.push("orders_pushed", orders(1002, 2, 30.5))
    rows = [{"customer_id": 1001, "amount": 50.0}, {"customer_id": 1002, "amount": 61.0}, {"customer_id": 99, "amount": 1.0}]
    before = shop.calls("GetOnlineFeatures")
    came = store.get_online_features(features=store.get_feature_service("order_risk"), entity_rows=rows)
    assert shop.calls("GetOnlineFeatures") == before + 1
    assert list(came.to_dict()) == ["customer_id", "orders", "spent", "mean_amount", "ratio", "first_order"]
    assert came.to_dict()["ratio"] == [2.0, 4.0, None], "computed by the plugin; Feast's Python would say -1"
    assert came.to_dict()["first_order"] == [False, False, True]
    assert statuses(came)["orders"] == [PRESENT, PRESENT, ABSENT]
    assert statuses(came)["ratio"] == [PRESENT, PRESENT, NULL]
    when = came.to_dict(include_event_timestamps=True)["orders__ts"]
    assert when == [int(NOW.timestamp()), int(NOW.timestamp()), 0]


def test_the_order_and_the_names_are_those_asked_for(feast_shop):
    store = feast_shop()
    listed = ["basket:ratio", "customer_orders:spent", "basket:first_order", "customer_orders:orders"]
    rows = [{"customer_id": 1001, "amount": 50.0}]
    for full, separator in ((True, "__"), (False, None)):
        came = store.get_online_features(features=listed, entity_rows=rows, full_feature_names=full)
        names = [name.replace(":", separator) if separator else name.split(":")[1] for name in listed]
        assert list(came.to_dict()) == ["customer_id", *names]


def test_it_is_awaited_without_blocking_and_answers_the_same(feast_shop):
    store = feast_shop()
    service = store.get_feature_service("order_risk")
    rows = [{"customer_id": 1001, "amount": 50.0}]

    async def ask():
        await store.initialize()
        calls = [store.get_online_features_async(features=service, entity_rows=rows) for _ in range(8)]
        answers = await asyncio.gather(*calls)
        await store.close()
        return answers

    want = store.get_online_features(features=service, entity_rows=rows).to_dict()
    assert [answer.to_dict() for answer in asyncio.run(ask())] == [want] * 8
    # Another loop, after the connection of the first was closed.
    assert asyncio.run(ask())[0].to_dict() == want


def test_a_view_is_asked_about_without_blocking_the_loop(feast_shop, shop):
    store = feast_shop(unstored="leave_out")
    host, port = shop.address.rsplit(":", 1)

    async def copy(reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def through(reader, writer):
        """Between the store and the sidecar, in the loop of the call: if the call holds that up, it gets no answer."""
        there = await asyncio.open_connection(host, int(port))
        await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))

    async def ask():
        proxy = await asyncio.start_server(through, "127.0.0.1", 0)
        store.config.online_store.address = "127.0.0.1:{}".format(proxy.sockets[0].getsockname()[1])
        view, rows = store.get_feature_view("customer_orders"), [{"customer_id": 99, "amount": 1.0}]
        came = await store.get_online_features_async(features=["basket:first_order"], entity_rows=rows)
        read = await online(store).online_read_async(store.config, view, [key(customer_id=99)], ["orders"])
        await online(store).close()
        proxy.close()
        return came.to_dict(), read

    assert asyncio.run(ask()) == ({"customer_id": [99], "first_order": [True]}, [(None, None)])


def test_a_request_of_many_rows_is_asked_in_parts(feast_shop, shop):
    store = feast_shop(read_rows_max=3)
    rows = [{"customer_id": 1000 + row, "amount": 50.0} for row in range(7)]
    before = shop.calls("GetOnlineFeatures")
    came = store.get_online_features(features=["customer_orders:orders", "basket:first_order"], entity_rows=rows)
    assert shop.calls("GetOnlineFeatures") == before + 3
    assert came.to_dict()["customer_id"] == [row["customer_id"] for row in rows]
    assert [len(column.values) for column in came.proto.results] == [7, 7, 7]
    assert statuses(came)["orders"][:4] == [ABSENT, PRESENT, PRESENT, ABSENT]


def test_feast_computes_on_demand_views_if_it_is_told_to(feast_shop, shop):
    store = feast_shop(on_demand="feast")
    before = shop.calls("GetOnlineFeatures")
    rows = [{"customer_id": 1001, "amount": 50.0}, {"customer_id": 99, "amount": 50.0}]
    came = store.get_online_features(features=store.get_feature_service("order_risk"), entity_rows=rows)
    assert shop.calls("GetOnlineFeatures") == before + 1
    assert came.to_dict()["ratio"] == [-1.0, -1.0], "Feast's Python says so"
    assert came.to_dict()["orders"] == [4, None]
    assert statuses(came)["orders"] == [PRESENT, ABSENT]
    awaited = asyncio.run(store.get_online_features_async(features=["customer_orders:orders"], entity_rows=rows[:1]))
    assert awaited.to_dict()["orders"] == [4]


def test_request_data_that_lacks_and_unknown_features_are_feasts_own_errors(feast_shop):
    store = feast_shop()
    with pytest.raises(FeastError, match="amount"):
        store.get_online_features(features=["basket:ratio"], entity_rows=[{"customer_id": 1}])
    with pytest.raises(KeyError):
        store.get_online_features(features=["customer_orders:ordres"], entity_rows=[{"customer_id": 1}])
    with pytest.raises(ValueError, match="same keys"):
        store.get_online_features(features=["customer_orders:orders"], entity_rows=[{"customer_id": 1}, {"customer": 2}])
    with pytest.raises(ValueError, match="versioning is disabled"):
        store.get_online_features(features=["customer_orders@v2:orders"], entity_rows=[{"customer_id": 1}])


# Rows.


def test_rows_are_read_with_their_times_and_null_is_not_absent(feast_shop):
    store = feast_shop()
    view = store.get_feature_view("customer_orders")
    data = [
        (key(customer_id=2001), {"orders": Value(int64_val=3), "spent": Value()}, NOW, None),
        (key(customer_id=2002), {"orders": Value(int64_val=1)}, NOW.replace(tzinfo=None), NOW.replace(tzinfo=None)),
    ]
    online(store).online_write_batch(store.config, view, data, None)
    keys = [key(customer_id=customer) for customer in (2001, 99, 2002)]
    for features in (None, ["orders", "spent"]):
        read = online(store).online_read(store.config, view, keys, features)
        assert read == asyncio.run(online(store).online_read_async(store.config, view, keys, features))
        assert read[0] == (NOW, {"orders": Value(int64_val=3), "spent": Value()})
        assert read[1] == (None, None)
        assert read[2] == (NOW, {"orders": Value(int64_val=1), "spent": Value()}), "a time without a zone is UTC"
    assert online(store).online_read(store.config, view, [], None) == []


def test_batches_have_a_limit_and_tell_their_progress(feast_shop, shop):
    store = feast_shop(write_rows_max=4)
    view = store.get_feature_view("customer_orders")
    # Every other row has no created timestamp: it is known from when it comes.
    data = [
        (key(customer_id=3000 + row), {"orders": Value(int64_val=row)}, NOW, NOW if row % 2 else None) for row in range(12)
    ]
    told, before = [], shop.calls("Ingest")
    online(store).online_write_batch(store.config, view, data, told.append)
    assert (told, shop.calls("Ingest") - before) == ([4, 2, 4, 2], 4)
    asyncio.run(online(store).online_write_batch_async(store.config, view, data, told.append))
    assert sum(told) == 24
    read = online(store).online_read(store.config, view, [of[0] for of in data], ["orders"])
    assert [values["orders"].int64_val for _, values in read] == list(range(12))


def test_the_newest_row_wins_whatever_the_order_and_the_later_known_corrects(feast_shop):
    store = feast_shop()
    view = store.get_feature_view("customer_orders")

    def write(count, when, created):
        row = (key(customer_id=4001), {"orders": Value(int64_val=count)}, when, created)
        online(store).online_write_batch(store.config, view, [row], None)
        return online(store).online_read(store.config, view, [row[0]], ["orders"])[0][1]["orders"].int64_val

    assert write(1, NOW, NOW) == 1
    assert write(2, NOW - timedelta(days=1), NOW + timedelta(seconds=1)) == 1, "older"
    assert write(3, NOW, NOW + timedelta(seconds=1)) == 3, "of the same time, but known later"
    assert write(4, NOW, NOW) == 3, "known earlier"


def test_one_store_serves_threads_and_a_fork(feast_shop):
    store = feast_shop()
    rows = [{"customer_id": 1001, "amount": 50.0}]
    ask = lambda: store.get_online_features(features=["basket:ratio"], entity_rows=rows).to_dict()["ratio"]  # noqa: E731
    assert ask() == [2.0]
    came = []
    threads = [threading.Thread(target=lambda: came.append(ask())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came == [[2.0]] * 8
    # A process that had no call of its own is forked, as gunicorn does after it loaded the application.
    forked = f"""
import multiprocessing, sys
from feast import FeatureStore
store = FeatureStore(repo_path={str(store.repo_path)!r})
store._get_provider()
ask = lambda queue: queue.put(store.get_online_features(features=["basket:ratio"], entity_rows={rows!r}).to_dict()["ratio"])
context = multiprocessing.get_context("fork")
queue = context.Queue()
children = [context.Process(target=ask, args=(queue,)) for _ in range(2)]
[child.start() for child in children]
print([queue.get(timeout=60) for _ in children])
[child.join(60) for child in children]
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", forked], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[[2.0], [2.0]]", done.stderr


# Definitions that `feast apply` writes, for development.


def view_of(name, schema, entities, ttl=None, **more):
    source = FileSource(name=f"{name}_file", path=f"{name}.parquet", timestamp_field="event_timestamp")
    return FeatureView(name=name, entities=entities, schema=schema, source=source, ttl=ttl, **more)


def test_values_of_every_type_come_back_in_the_type_of_feast(feast_applied):
    store = feast_applied()
    thing = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.INT64)
    values = {
        "a_bool": (Bool, Value(bool_val=False)),
        "an_int32": (Int32, Value(int32_val=-5)),
        "an_int64": (Int64, Value(int64_val=-(2**63))),
        "a_float": (Float32, Value(float_val=0.1)),
        "a_double": (Float64, Value(double_val=0.1)),
        "a_text": (String, Value(string_val="é")),
        "bytes_of": (Bytes, Value(bytes_val=b"\x00\xff")),
        "a_time": (UnixTimestamp, Value(unix_timestamp_val=-3)),
        "a_json": (Json, Value(json_val='{"a": [1]}')),
        "a_uuid": (Uuid, Value(uuid_val="5e8b2b1e-0c55-4b0e-9d3b-2f6f9f1c0a11")),
        "int32s": (Array(Int32), listed("int32_list_val", [1, -2])),
        "int64s": (Array(Int64), listed("int64_list_val", [2**62])),
        "floats": (Array(Float32), listed("float_list_val", [0.5, 0.1])),
        "doubles": (Array(Float64), listed("double_list_val", [0.1])),
        "texts": (Array(String), listed("string_list_val", ["a", ""])),
        "bools": (Array(Bool), listed("bool_list_val", [True, False])),
        "times": (Array(UnixTimestamp), listed("unix_timestamp_list_val", [3, -1])),
        "none_of": (Array(Int32), listed("int32_list_val", [])),
    }
    schema = [Field(name="thing_id", dtype=Int64)] + [Field(name=name, dtype=dtype) for name, (dtype, _) in values.items()]
    view = view_of("things", schema, [thing])
    store.apply([thing, view])
    row = {name: value for name, (_, value) in values.items()}
    data = [(key(thing_id=1), row, NOW, None), (key(thing_id=2), {}, NOW, None)]
    online(store).online_write_batch(store.config, store.get_feature_view("things"), data, None)
    read = online(store).online_read(store.config, store.get_feature_view("things"), [key(thing_id=1), key(thing_id=2)])
    assert read[0] == (NOW, row)
    assert read[1] == (NOW, {name: Value() for name in row})
    came = store.get_online_features(features=[f"things:{name}" for name in values], entity_rows=[{"thing_id": 1}])
    assert [column.values[0] for column in came.proto.results[1:]] == [value for _, value in values.values()]
    assert came.to_dict()["a_json"] == [{"a": [1]}]


def listed(kind, items):
    value = Value()
    getattr(value, kind).SetInParent()
    getattr(value, kind).val.extend(items)
    return value


def test_keys_of_every_kind_and_views_without(feast_applied):
    store = feast_applied()
    kinds = {
        "an_int": (Int64, ValueType.INT64, Value(int64_val=7), 7),
        "a_small_int": (Int32, ValueType.INT32, Value(int32_val=7), 7),
        "a_text": (String, ValueType.STRING, Value(string_val="é"), "é"),
        "some_bytes": (Bytes, ValueType.BYTES, Value(bytes_val=b"\x00\xff"), b"\x00\xff"),
    }
    entities = {name: Entity(name=name, join_keys=[f"{name}_id"], value_type=of) for name, (_, of, _, _) in kinds.items()}
    keys_of = {**{f"of_{name}": [name] for name in kinds}, "of_two": ["a_text", "an_int"], "of_none": []}
    views = []
    for view, names in keys_of.items():
        schema = [Field(name=f"{name}_id", dtype=kinds[name][0]) for name in names] + [Field(name="value", dtype=Int64)]
        views.append(view_of(view, schema, [entities[name] for name in names]))
    store.apply([*entities.values(), *views])
    for number, (view, names) in enumerate(keys_of.items()):
        of = EntityKey(join_keys=[f"{name}_id" for name in names], entity_values=[kinds[name][2] for name in names])
        if not names:
            of = EntityKey(join_keys=["__dummy_id"], entity_values=[Value(string_val="")])
        applied_view = store.get_feature_view(view)
        online(store).online_write_batch(store.config, applied_view, [(of, {"value": Value(int64_val=number)}, NOW, None)], None)
        read = online(store).online_read(store.config, applied_view, [of], ["value"])
        assert read == [(NOW, {"value": Value(int64_val=number)})], view
    everything = [f"{view}:value" for view in keys_of]
    row = {f"{name}_id": key for name, (_, _, _, key) in kinds.items()}
    came = store.get_online_features(features=everything, entity_rows=[row], full_feature_names=True).to_dict()
    assert came == {**{name: [key] for name, key in row.items()}, **{f"{view}__value": [n] for n, view in enumerate(keys_of)}}


def test_a_time_that_is_none_is_null(feast_applied):
    store = feast_applied()
    thing = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.INT64)
    store.apply([thing, view_of("dated", [Field(name="thing_id", dtype=Int64), Field(name="at", dtype=UnixTimestamp)], [thing])])
    df = pd.DataFrame({"thing_id": [1, 2], "at": pd.to_datetime([pd.NaT, NOW], utc=True), "event_timestamp": [NOW, NOW]})
    store.write_to_online_store("dated", df=df)
    came = store.get_online_features(features=["dated:at"], entity_rows=[{"thing_id": 1}, {"thing_id": 2}])
    assert statuses(came)["at"] == [NULL, PRESENT]
    assert came.to_dict()["at"] == [None, NOW]
    view = store.get_feature_view("dated")
    none = Value(unix_timestamp_val=-(2**63))
    online(store).online_write_batch(store.config, view, [(key(thing_id=3), {"at": none}, NOW, None)], None)
    assert online(store).online_read(store.config, view, [key(thing_id=3)]) == [(NOW, {"at": Value()})]


def test_a_time_of_knowing_that_is_none_is_now_and_one_of_the_event_is_refused(feast_shop):
    store = feast_shop()
    df = pd.concat([orders(7001, 1, 1.0, created=pd.NaT), orders(7002, 2, 2.0)])
    assert df["created"].isna().tolist() == [True, False]
    store.write_to_online_store("customer_orders", df=df)
    came = store.get_online_features(
        features=["customer_orders:orders"], entity_rows=[{"customer_id": 7001}, {"customer_id": 7002}]
    )
    assert came.to_dict()["orders"] == [1, 2]
    view = store.get_feature_view("customer_orders")
    rows = [(key(customer_id=7003), {"orders": Value(int64_val=1)}, when, None) for when in (NOW, pd.NaT)]
    with pytest.raises(StoreValueError, match="row 1 .counted from 0.: expected the time of its event, came NaT"):
        online(store).online_write_batch(store.config, view, rows, None)
    assert online(store).online_read(store.config, view, [key(customer_id=7003)]) == [(None, None)], "not one was sent"


def test_labels_are_left_out_if_they_are_to_be(feast_applied):
    store = feast_applied(unstored="leave_out")
    thing = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.INT64)
    schema = [Field(name="thing_id", dtype=Int64), Field(name="value", dtype=Int64)]
    file = FileSource(name="labels_file", path="labels.parquet", timestamp_field="event_timestamp")
    labels = LabelView(
        name="labels",
        entities=[thing],
        schema=[Field(name="thing_id", dtype=Int64), Field(name="good", dtype=Int64), Field(name="labeler", dtype=String)],
        source=PushSource(name="labels_pushed", batch_source=file),
        labeler_field="labeler",
    )
    store.apply([thing, view_of("facts", schema, [thing]), labels])
    row = {"thing_id": [1], "good": [1], "labeler": ["me"], "event_timestamp": [NOW]}
    store.push("labels_pushed", pd.DataFrame(row))
    online(store).online_write_batch(
        store.config, store.get_feature_view("facts"), [(key(thing_id=1), {"value": Value(int64_val=5)}, NOW, None)], None
    )
    for features in (["labels:good"], ["facts:value", "labels:good"]):
        came = store.get_online_features(features=features, entity_rows=[{"thing_id": 1}])
        assert (came.to_dict()["good"], statuses(came)["good"]) == ([None], [ABSENT])
    assert came.to_dict()["value"] == [5]
    store.config.online_store.unstored = "refuse"
    with pytest.raises(StoreRefused, match="came `labels.good`"):
        store.get_online_features(features=["labels:good"], entity_rows=[{"thing_id": 1}])


#: A value of each kind that is stored.
STORED = {
    "bool_val": False,
    "bytes_val": b"\x00",
    "decimal_val": "1.10",
    "double_val": 0.1,
    "float_val": 0.1,
    "int32_val": -1,
    "int64_val": -1,
    "json_val": "{}",
    "string_val": "t",
    "time_uuid_val": "t",
    "unix_timestamp_val": -1,
    "uuid_val": "t",
    "decimal_list_val": ["1.10"],
    "double_list_val": [0.1],
    "float_list_val": [0.1],
    "int32_list_val": [-1],
    "int64_list_val": [-1],
    "json_list_val": ["{}"],
    "string_list_val": ["t"],
    "time_uuid_list_val": ["t"],
    "uuid_list_val": ["t"],
    "bool_list_val": [True, False],
    "unix_timestamp_list_val": [3, -1],
}


def test_what_is_imported_is_what_the_store_and_the_sidecar_take(feast_applied, applied):
    types = {f"{of.name.lower()}_val": dtype for of, dtype in VALUE_TYPES_TO_FEAST_TYPES.items() if dtype != Invalid}
    assert STORED.keys() <= types.keys() and len(types) > len(STORED) + 15, types
    store = feast_applied(unstored="leave_out")
    thing = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.INT64)
    fields = [Field(name=f"of_{kind}", dtype=dtype) for kind, dtype in types.items()]
    store.apply([thing, view_of("every_type", [Field(name="thing_id", dtype=Int64), *fields], [thing])])
    view = store.get_feature_view("every_type")
    written = yaml.safe_load((applied.repo / "feast_applied.yaml").read_text())
    (imported,) = (of["features"] for of in written["views"] if of["name"] == "every_type")
    assert {of["name"] for of in imported} == {f"of_{kind}" for kind in STORED}
    values = {f"of_{kind}": listed(kind, of) if isinstance(of, list) else Value(**{kind: of}) for kind, of in STORED.items()}
    online(store).online_write_batch(store.config, view, [(key(thing_id=1), values, NOW, None)], None)
    assert online(store).online_read(store.config, view, [key(thing_id=1)])[0][1] == values
    # The same by Feast's own call, as its `remote` store and its gRPC clients send them.
    server = GrpcFeatureServerStub(grpc.insecure_channel(applied.address))
    row = {"thing_id": Value(int64_val=2), "event_timestamp": Value(unix_timestamp_val=int(NOW.timestamp())), **values}
    server.WriteToOnlineStore(WriteToOnlineStoreRequest(feature_view_name="every_type", typed_features=row))
    assert online(store).online_read(store.config, view, [key(thing_id=2)])[0][1] == values


def test_a_value_that_is_too_old_is_none_and_says_when_it_was(feast_applied):
    store = feast_applied()
    thing = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.INT64)
    schema = [Field(name="thing_id", dtype=Int64), Field(name="value", dtype=Int64)]
    store.apply([thing, view_of("aging", schema, [thing], ttl=timedelta(hours=1))])
    old = NOW - timedelta(hours=2)
    view = store.get_feature_view("aging")
    online(store).online_write_batch(store.config, view, [(key(thing_id=1), {"value": Value(int64_val=1)}, old, None)], None)
    assert online(store).online_read(store.config, view, [key(thing_id=1)]) == [(old, {})]
    for told in ("sidecar", "feast"):
        store.config.online_store.on_demand = told
        came = store.get_online_features(features=["aging:value"], entity_rows=[{"thing_id": 1}])
        assert statuses(came)["value"] == [STALE] and came.to_dict(True)["value__ts"] == [int(old.timestamp())]


def test_views_under_two_roles_and_aliases(feast_applied):
    store = feast_applied()
    place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.INT64)
    weather = view_of("weather", [Field(name="place_id", dtype=Int64), Field(name="wind", dtype=Float64)], [place])
    trip = FeatureService(
        name="trip",
        features=[
            weather.with_name("origin").with_join_key_map({"place_id": "origin_id"}),
            weather.with_name("goal").with_join_key_map({"place_id": "goal_id"}),
            weather.with_name("home"),
        ],
    )
    store.apply([place, weather, trip])
    applied = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "feast_skewless", str(store.repo_path)], capture_output=True, text=True
    )
    assert applied.stdout.strip() == "the sidecar serves the definitions of the registry", applied.stderr
    view = store.get_feature_view("weather")
    rows = [(key(place_id=place), {"wind": Value(double_val=place / 2)}, NOW, None) for place in (1, 2, 3)]
    online(store).online_write_batch(store.config, view, rows, None)
    entity_rows = [{"origin_id": 1, "goal_id": 2, "place_id": 3}, {"origin_id": 3, "goal_id": 9, "place_id": 1}]
    came = store.get_online_features(features=store.get_feature_service("trip"), entity_rows=entity_rows, full_feature_names=True)
    got = came.to_dict()
    assert (got["origin__wind"], got["goal__wind"], got["home__wind"]) == ([0.5, 1.5], [1.0, None], [1.5, 0.5])


def test_projections_of_every_shape_are_asked_by_their_join_keys(feast_applied):
    store = feast_applied()
    place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.INT64)
    schema = [Field(name="place_id", dtype=Int64), Field(name="wind", dtype=Float64)]
    weather, stations = view_of("weather", schema, [place]), view_of("stations", schema, [place])
    services = {
        # By name of the service: its projections, and by what each answers.
        "unnamed": ([weather.with_join_key_map({"place_id": "from_id"})], {"weather__wind": "from_id"}),
        "one_map_two_names": (
            [weather.with_name("a").with_join_key_map({"place_id": "to_id"}), stations.with_name("b").with_join_key_map({"place_id": "to_id"})],
            {"a__wind": "to_id", "b__wind": "to_id"},
        ),
        "identity": ([weather.with_name("same").with_join_key_map({"place_id": "place_id"})], {"same__wind": "place_id"}),
        "not_valid": ([weather.with_name("Origin-1").with_join_key_map({"place_id": "Origin-ID"})], {"Origin-1__wind": "Origin-ID"}),
    }  # fmt: skip
    store.apply([place, weather, stations, *(FeatureService(name=name, features=of) for name, (of, _) in services.items())])
    applied = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "feast_skewless", str(store.repo_path)], capture_output=True, text=True
    )
    assert applied.returncode == 0, applied.stderr
    keys = {"place_id": 1, "from_id": 2, "to_id": 3, "Origin-ID": 4}
    for name in ("weather", "stations"):
        view = store.get_feature_view(name)
        rows = [(key(place_id=place), {"wind": Value(double_val=place / 2)}, NOW, None) for place in keys.values()]
        online(store).online_write_batch(store.config, view, rows, None)
    for name, (_, wanted) in services.items():
        row = {of: keys[of] for of in wanted.values()}
        came = store.get_online_features(features=store.get_feature_service(name), entity_rows=[row], full_feature_names=True)
        assert came.to_dict() == {**{of: [value] for of, value in row.items()}, **{of: [keys[by] / 2] for of, by in wanted.items()}}, name
    # One that the sidecar was never told of.
    new = FeatureService(name="new", features=[store.get_feature_view("weather").with_join_key_map({"place_id": "goal_id"})])
    store.registry.apply_feature_service(new, store.project)
    with pytest.raises(StoreError, match="expected a role of view `weather` in .*feast.json.* place_id as goal_id, came none(.|\n)*import"):
        store.get_online_features(features=new, entity_rows=[{"goal_id": 1}])


def test_names_of_what_is_computed_are_feasts_all_the_same(applied, tmp_path):
    """On-demand views, outputs, values of requests and join keys in camel case, by the `names` of an import."""
    stats = Entity(name="driver", join_keys=["driverId"], value_type=ValueType.INT64)
    driver_stats = view_of("driverStats", [Field(name="driverId", dtype=Int64), Field(name="convRate", dtype=Float64)], [stats])
    request = RequestSource(name="more", schema=[Field(name="valToAdd", dtype=Float64)])

    @on_demand_feature_view(sources=[driver_stats, request], schema=[Field(name="convPlus", dtype=Float64)], mode="python")
    def myRate(inputs):
        return {"convPlus": [rate + more for rate, more in zip(inputs["convRate"], inputs["valToAdd"])]}

    service = FeatureService(name="Both of it", features=[driver_stats, myRate])
    plain = feature_store(tmp_path / "feast", "127.0.0.1:1", check="off")
    plain.config.online_store.delete_rows = False
    for entity in (stats, DUMMY_ENTITY):
        plain.registry.apply_entity(entity, "shop")
    for view in (driver_stats, myRate):
        plain.registry.apply_feature_view(view, "shop")
    plain.registry.apply_feature_service(service, "shop")
    plain.registry.commit()
    repo = tmp_path / "imported"
    words = ["skewless", "feast", "import", str(tmp_path / "feast" / "registry.db"), "--project", "shop", "--out", str(repo)]
    subprocess.run([*words, "--sdk", str(SDK)], check=True, capture_output=True)
    write_plugin(repo / "plugins" / "myrate")
    sidecar = Sidecar(repo)
    try:
        store = feature_store(tmp_path / "feast", sidecar.address, names=str(repo / "feast.json"))
        view = store.get_feature_view("driverStats")
        of = EntityKey(join_keys=["driverId"], entity_values=[Value(int64_val=1)])
        online(store).online_write_batch(store.config, view, [(of, {"convRate": Value(double_val=0.5)}, NOW, None)], None)
        row = {"driverId": 1, "valToAdd": 2.0}
        for asked in (["driverStats:convRate", "myRate:convPlus"], store.get_feature_service("Both of it")):
            came = store.get_online_features(features=asked, entity_rows=[row])
            assert came.to_dict() == {"driverId": [1], "convRate": [0.5], "convPlus": [2.5]}
    finally:
        sidecar.stop()


def write_plugin(crate):
    """Writes what the imported crate is to compute, and builds it."""
    stub = (crate / "src" / "lib.rs").read_text()
    code = stub[: stub.index("    Err(")] + "    Ok(Row { convplus: convrate.zip(valtoadd).map(|(rate, more)| rate + more) })\n}\n"
    (crate / "src" / "lib.rs").write_text(code.replace('#[expect(unused_variables, reason = "still to be written")]\n', ""))
    subprocess.run(["skewless", "plugin", "build", str(crate)], check=True, capture_output=True)


def test_names_that_are_not_valid_here_are_feasts_all_the_same(feast_applied):
    store = feast_applied()
    place = Entity(name="Place", join_keys=["Place-ID"], value_type=ValueType.STRING)
    schema = [Field(name="Place-ID", dtype=String), Field(name="7dVisits", dtype=Int64)]
    store.apply([place, view_of("Place-Visits", schema, [place])])
    view = store.get_feature_view("Place-Visits")
    of = EntityKey(join_keys=["Place-ID"], entity_values=[Value(string_val="x")])
    online(store).online_write_batch(store.config, view, [(of, {"7dVisits": Value(int64_val=7)}, NOW, None)], None)
    assert online(store).online_read(store.config, view, [of])[0][1] == {"7dVisits": Value(int64_val=7)}
    came = store.get_online_features(features=["Place-Visits:7dVisits"], entity_rows=[{"Place-ID": "x"}])
    assert came.to_dict() == {"Place-ID": ["x"], "7dVisits": [7]}


def test_a_key_whose_column_is_called_otherwise_is_feasts_all_the_same(feast_applied):
    store = feast_applied()
    place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.STRING)
    schema = [Field(name="place_id", dtype=String), Field(name="wind", dtype=Int64)]
    mapped = FileSource(name="stations", path="stations.parquet", timestamp_field="time", field_mapping={"station": "place_id"})
    stations = FeatureView(name="stations", entities=[place], schema=schema, source=mapped)
    store.apply([place, stations, view_of("places", schema, [place])])
    of = key(place_id="x")
    for view, wind in (("stations", 1), ("places", 2)):
        table = store.get_feature_view(view)
        online(store).online_write_batch(store.config, table, [(of, {"wind": Value(int64_val=wind)}, NOW, None)], None)
        assert online(store).online_read(store.config, table, [of]) == [(NOW, {"wind": Value(int64_val=wind)})]
    both = store.get_online_features(
        features=["stations:wind", "places:wind"], entity_rows=[{"place_id": "x"}], full_feature_names=True
    )
    assert both.to_dict() == {"place_id": ["x"], "stations__wind": [1], "places__wind": [2]}


def test_a_view_that_is_deleted_loses_its_rows_and_teardown_removes_all(feast_applied):
    store = feast_applied()
    thing = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.INT64)
    schema = [Field(name="thing_id", dtype=Int64), Field(name="value", dtype=Int64)]
    stays, goes = view_of("stays", schema, [thing]), view_of("goes", schema, [thing])
    row = [(key(thing_id=1), {"value": Value(int64_val=1)}, NOW, None)]

    def has(name):
        return online(store).online_read(store.config, store.get_feature_view(name), [key(thing_id=1)])[0][0] is not None

    store.apply([thing, stays, goes])
    for view in (stays, goes):
        online(store).online_write_batch(store.config, store.get_feature_view(view.name), row, None)
    store.apply(objects=[thing, stays], objects_to_delete=[goes], partial=False)
    assert has("stays")
    store.apply([view_of("goes", schema, [thing])])
    assert has("stays") and not has("goes")
    view = store.get_feature_view("stays")
    store.teardown()
    assert online(store).online_read(store.config, view, [key(thing_id=1)]) == [(None, None)]


def test_an_apply_that_is_refused_removes_no_rows(feast_applied, applied, feast_shop, definitions):
    store = feast_applied()
    thing = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.INT64)
    text = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.STRING)
    schema = [Field(name="thing_id", dtype=Int64), Field(name="value", dtype=Int64)]
    kept, dropped = view_of("kept", schema, [thing]), view_of("dropped", schema, [thing])
    store.apply([thing, kept, dropped])
    row = [(key(thing_id=1), {"value": Value(int64_val=1)}, NOW, None)]
    views = [store.get_feature_view(name) for name in ("kept", "dropped")]
    for view in views:
        online(store).online_write_batch(store.config, view, row, None)
    before = (applied.repo / "feast_applied.yaml").read_text()
    rekeyed = view_of("kept", [Field(name="thing_id", dtype=String), Field(name="all", dtype=Map), schema[1]], [text])
    # By the sidecar, as `nothing` is a view of the definitions beside; and by the comparison, of views that the sidecar would take.
    for changed, entity, said in ((view_of("nothing", schema, [thing]), thing, "`nothing`"), (rekeyed, text, "unstored: leave_out")):
        with pytest.raises(DefinitionsDiffer, match=said):
            online(store).update(store.config, [dropped], [changed], [], [entity], True)
        assert (applied.repo / "feast_applied.yaml").read_text() == before
        for view in views:
            assert online(store).online_read(store.config, view, [row[0][0]]) == [(NOW, row[0][1])], (view.name, said)
    # Definitions that live elsewhere.
    store = feast_shop()
    view = store.get_feature_view("customer_orders")
    row = [(key(customer_id=8001), {"orders": Value(int64_val=1)}, NOW, None)]
    online(store).online_write_batch(store.config, view, row, None)
    missing = view_of("customer_ordres", [Field(name="customer_id", dtype=Int64), schema[1]], [definitions.customer])
    with pytest.raises(DefinitionsDiffer, match="customer_ordres"):
        online(store).update(store.config, [view], [missing], [], [definitions.customer], True)
    assert online(store).online_read(store.config, view, [row[0][0]], ["orders"]) == [(NOW, row[0][1])]


def test_feasts_quickstart_goes_its_way(applied, tmp_path):
    """`feast init`, `apply`, `materialize-incremental` of the command; its maps and structs are left out."""

    def feast(*words, folder):
        words = [str(Path(sys.executable).parent / "feast"), *words]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    feast("init", "--template", "local", "quickstart", folder=tmp_path)
    repo = tmp_path / "quickstart" / "feature_repo"
    settings = yaml.safe_load((repo / "feature_store.yaml").read_text())
    settings["online_store"] = {
        "type": "feast_skewless.SkewlessOnlineStore",
        "address": applied.address,
        "repo": str(applied.repo),
        "unstored": "leave_out",
        "on_demand": "feast",
    }
    (repo / "feature_store.yaml").write_text(yaml.safe_dump(settings))
    feast("apply", folder=repo)
    feast("materialize-incremental", datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S"), folder=repo)
    store = FeatureStore(repo_path=str(repo))
    latest = pd.read_parquet(repo / "data" / "driver_stats.parquet").sort_values("event_timestamp").groupby("driver_id").last()
    drivers = [int(driver) for driver in latest.index]
    asked = {"driver_id": drivers, "val_to_add": [1] * len(drivers), "val_to_add_2": [2] * len(drivers)}
    features = ["driver_hourly_stats:avg_daily_trips", "driver_hourly_stats:conv_rate", "transformed_conv_rate:conv_rate_plus_val1"]
    came = store.get_online_features(features=[*features, "driver_hourly_stats:driver_metadata"], entity_rows=asked)
    assert came.to_dict()["avg_daily_trips"] == [int(trips) for trips in latest["avg_daily_trips"]]
    assert came.to_dict()["conv_rate_plus_val1"] == [rate + 1 for rate in came.to_dict()["conv_rate"]]
    assert statuses(came)["driver_metadata"] == [ABSENT] * len(drivers)
    feast("teardown", folder=repo)


def test_a_refused_apply_leaves_the_definitions_as_they_were(feast_applied, applied):
    store = feast_applied()
    thing = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.INT64)
    schema = [Field(name="thing_id", dtype=Int64), Field(name="value", dtype=Int64)]
    store.apply([thing, view_of("first", schema, [thing])])
    before = (applied.repo / "feast_applied.yaml").read_text()
    # `nothing` is a view of the definitions beside.
    with pytest.raises(DefinitionsDiffer, match="`nothing`") as refused:
        store.apply([view_of("nothing", schema, [thing])])
    assert refused.value.differences
    assert (applied.repo / "feast_applied.yaml").read_text() == before


# Definitions that live elsewhere.


def test_apply_says_everything_that_does_not_fit(feast_shop, definitions):
    store = feast_shop()
    customer = definitions.customer
    wrong = view_of(
        "customer_orders",
        [Field(name="customer_id", dtype=String), Field(name="orders", dtype=String), Field(name="visits", dtype=Int64)],
        [Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)],
    )
    missing = view_of("customer_ordres", [Field(name="customer_id", dtype=Int64), Field(name="orders", dtype=Int64)], [customer])
    with pytest.raises(DefinitionsDiffer) as differ:
        online(store).update(store.config, [], [wrong, missing], [], [customer], True)
    assert differ.value.differences == [
        "view `customer_orders`: key `customer_id` is int64 in the sidecar, String in Feast",
        "view `customer_orders`: feature `orders` is int64 in the sidecar, String in Feast",
        "view `customer_orders`: the sidecar has no feature `visits`, Int64 in Feast",
        "view `customer_ordres`: the sidecar has none of that name",
    ]
    with pytest.raises(DefinitionsDiffer):
        store.apply([missing])
    store.config.online_store.check = "warn"
    with pytest.warns(SkewlessWarning, match="customer_ordres"):
        online(store).update(store.config, [], [missing], [], [customer], True)
    store.config.online_store.check = "off"
    online(store).update(store.config, [], [missing], [], [customer], True)


def test_what_is_not_stored_is_refused_or_left_out(feast_shop, definitions):
    schema = [Field(name="customer_id", dtype=Int64), Field(name="orders", dtype=Int64), Field(name="extra", dtype=Map)]
    view = view_of("customer_orders", schema, [definitions.customer])
    store = feast_shop()
    value = Value()
    value.map_val.val["a"].int64_val = 1
    row = [(key(customer_id=5001), {"orders": Value(int64_val=1), "extra": value}, NOW, None)]
    with pytest.raises(StoreValueError, match="came a value of `extra`.*\n.*unstored: leave_out"):
        online(store).online_write_batch(store.config, view, row, None)
    with pytest.raises(DefinitionsDiffer, match="`extra`, Map in Feast, which no column holds\n(.|\n)*`unstored: leave_out` of online_store"):
        online(store).update(store.config, [], [view], [], [definitions.customer], True)
    with pytest.raises(StoreRefused, match="extra"):
        online(store).online_read(store.config, view, [row[0][0]], ["orders", "extra"])
    store.config.online_store.unstored = "leave_out"
    online(store).online_write_batch(store.config, view, row, None)
    read = online(store).online_read(store.config, view, [row[0][0]], ["orders", "extra"])
    assert read == [(NOW, {"orders": Value(int64_val=1)})]
    online(store).update(store.config, [], [view], [], [definitions.customer], True)


def test_mistakes_are_told_with_their_place(feast_shop):
    store = feast_shop()
    view = store.get_feature_view("customer_orders")

    def row(customer, created=None, **features):
        return (key(customer_id=customer), features, NOW, created)

    rows = [row(6001, orders=Value(int64_val=1)), row(6002, NOW, orders=Value(int64_val=1))]
    for wrong, said in (
        (row(6003, NOW, orders=Value(string_val="x")), "column `orders`, row 2 .counted from 0.: expected int64, came a string"),
        (row(6003, spent=Value(int64_val=2**53 + 1)), "column `spent`, row 2 .counted from 0.: expected float64, came 9007199254740993"),
        ((key(customer_id="x"), {}, NOW, None), "column `customer_id`, row 2 .counted from 0.: expected int64, came a string"),
    ):
        with pytest.raises(StoreValueError, match=said):
            online(store).online_write_batch(store.config, view, [*rows, wrong], None)
    assert online(store).online_read(store.config, view, [key(customer_id=6001)]) == [(None, None)], "not one was sent"
    other = store.get_feature_view("customer_orders")
    other.name = "customer_ordres"
    for call in (
        lambda: online(store).online_write_batch(store.config, other, rows[:1], None),
        lambda: online(store).online_read(store.config, other, [rows[0][0]]),
    ):
        with pytest.raises(StoreRefused, match="did you mean `customer_orders") as refused:
            call()
        assert refused.value.code == "NOT_FOUND" and refused.value.http_status_code() == 404
        assert refused.value.grpc_status_code().name == "NOT_FOUND"
    with pytest.raises(StoreUnsupported, match="search of vectors"):
        online(store).retrieve_online_documents_v2(store.config, view, ["orders"], [1.0], 1)


def test_nobody_there_is_told_with_the_address(feast_shop):
    store = feast_shop()
    view = store.get_feature_view("customer_orders")
    store.config.online_store.address = "127.0.0.1:1"
    row = (key(customer_id=1), {"orders": Value(int64_val=1)}, NOW, None)
    for call in (
        lambda: online(store).online_read(store.config, view, [row[0]]),
        lambda: asyncio.run(online(store).online_read_async(store.config, view, [row[0]])),
        lambda: online(store).online_write_batch(store.config, view, [row], None),
        lambda: online(store).update(store.config, [], [view], [], [], True),
    ):
        with pytest.raises(StoreUnreachable, match="expected a sidecar at 127.0.0.1:1, came") as error:
            call()
        assert isinstance(error.value, ConnectionError) and isinstance(error.value, FeastError)


def test_the_unix_socket_is_an_address(definitions, tmp_path):
    sidecar = Sidecar(WORK / "shop_unix", "--unix", str(tmp_path / "socket"))
    try:
        store = feature_store(tmp_path / "feast", f"unix:{tmp_path / 'socket'}")
        store.apply([definitions.customer, definitions.customer_orders])
        store.write_to_online_store("customer_orders", df=orders(1, 2, 3.0))
        came = store.get_online_features(features=["customer_orders:orders"], entity_rows=[{"customer_id": 1}])
        assert came.to_dict()["orders"] == [2]
    finally:
        sidecar.stop()
