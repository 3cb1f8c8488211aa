"""The table "What differs, on purpose" of docs/feast.md: each row is a test here, in its order, that asks Feast and Skewless the same.

Of Feast it is the Python SDK and its two servers that are run. What the table says of the servers in Go and Java was read in their
source and isn't run here.
"""

import json
import os
import subprocess
import sys
from datetime import timedelta

import grpc
import pandas as pd
import pytest
from both import columns, feast_repo, post
from conftest import NOW, WORK, df, frame
from feast.protos.feast.serving.GrpcServer_pb2 import PushRequest
from feast.protos.feast.serving.GrpcServer_pb2_grpc import GrpcFeatureServerStub
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value


def test_a_value_that_is_too_old(theirs, ours):
    assert columns(theirs.ask(["orders:count"], customer_id=[4]))["count"] == ([7], ["PRESENT"])
    assert columns(ours.ask(["orders:count"], customer_id=[4]))["count"] == ([None], ["OUTSIDE_MAX_AGE"])
    answer = ours.ask(["orders:count"], customer_id=[4])[1]
    assert answer["results"][1]["event_timestamps"][0].startswith((NOW - timedelta(hours=2)).isoformat()[:19])


def test_a_null(theirs, ours):
    assert columns(theirs.ask(["orders:count"], customer_id=[3]))["count"] == ([None], ["PRESENT"])
    assert columns(ours.ask(["orders:count"], customer_id=[3]))["count"] == ([None], ["NULL_VALUE"])


def test_the_status_of_a_transforms_output_and_one_that_fails(theirs, ours):
    assert columns(theirs.ask(["per_order:mean"], customer_id=[1, 3]))["mean"] == ([15.0, None], ["PRESENT", "PRESENT"])
    assert columns(ours.ask(["per_order:mean"], customer_id=[1, 3]))["mean"] == ([15.0, None], ["PRESENT", "NULL_VALUE"])
    assert theirs.ask(["per_order:mean"], customer_id=[1, 2])[0] == 500
    assert columns(ours.ask(["per_order:mean"], customer_id=[1, 2]))["mean"] == ([15.0, None], ["PRESENT", "INVALID"])


def test_a_singleton_over_several_rows(theirs, ours):
    asked = {"customer_id": [1, 2, 3], "amount": [1.0, 2.0, 3.0]}
    came = columns(theirs.ask("doubled", **asked))
    assert (len(came["count"][0]), came["double"][0]) == (3, [2.0]), "one value, of the first row"
    assert columns(ours.ask("doubled", **asked))["double"] == ([2.0, 4.0, 6.0], ["PRESENT"] * 3)


def test_a_singleton_over_history(store, ours):
    spine = pd.DataFrame({"customer_id": [1, 3], "event_timestamp": [NOW + timedelta(minutes=1)] * 2, "amount": [1.5, 2.5]})
    with pytest.raises(TypeError):
        store.get_historical_features(entity_df=spine, features=store.get_feature_service("doubled")).to_df()
    spine.to_parquet(WORK / "spine.parquet")
    words = ["skewless", "backfill", "doubled", "--spine", str(WORK / "spine.parquet"), "--out", str(WORK / "training.parquet")]
    subprocess.run(words, cwd=ours.repo, check=True, capture_output=True)
    training = pd.read_parquet(WORK / "training.parquet").sort_values("customer_id")
    assert list(training["twice.double"]) == [3.0, 5.0]


def grpc_request(features, context=(), **entities):
    request = GetOnlineFeaturesRequest()
    request.features.val.extend(features)
    for name, values in entities.items():
        into = request.request_context if name in context else request.entities
        into[name].CopyFrom(RepeatedValue(val=values))
    return request


def test_request_data_over_grpc(theirs, ours):
    asked = {"customer_id": [Value(int64_val=1)], "amount": [Value(double_val=1.5)]}
    features = ["orders:count", "twice:double"]
    for context in ((), ("amount",)):
        request = grpc_request(features, context, **asked)
        with pytest.raises(grpc.RpcError) as refused:
            GrpcFeatureServerStub(theirs.channel()).GetOnlineFeatures(request)
        assert refused.value.code() == grpc.StatusCode.UNKNOWN
        answer = GrpcFeatureServerStub(ours.channel()).GetOnlineFeatures(request)
        assert answer.results[2].values[0].double_val == 3.0
    both = grpc_request(features, (), **asked)
    both.request_context["amount"].CopyFrom(RepeatedValue(val=asked["amount"]))
    with pytest.raises(grpc.RpcError) as refused:
        GrpcFeatureServerStub(ours.channel()).GetOnlineFeatures(both)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "came in both" in refused.value.details()


def test_the_order_of_features(store, ours):
    listed = ["orders:spent", "orders_again:count", "orders:count", "orders_again:spent"]
    ask = f"""
import json
from feast import FeatureStore
store = FeatureStore(repo_path={str(store.repo_path)!r})
came = store.get_online_features(features={listed!r}, entity_rows=[{{"customer_id": 1}}], full_feature_names=True)
print(json.dumps(list(came.to_dict())[1:]))
"""
    orders = set()
    for seed in range(12):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        words = [sys.executable, "-W", "ignore", "-c", ask]
        said = subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout
        orders.add(tuple(json.loads(said.splitlines()[-1])))
        if len(orders) > 1:
            break
    assert len(orders) > 1, orders
    body = {"features": listed, "entities": {"customer_id": [1]}, "full_feature_names": True}
    came = post(ours.http, "/get-online-features", body)[1]["metadata"]["feature_names"]
    assert came == ["customer_id", *(name.replace(":", "__") for name in listed)]


def test_a_correction_of_the_same_time(apply, ours, tmp_path):
    redis = {"type": "redis", "connection_string": f"127.0.0.1:{os.environ['SKEWLESS_FEAST_REDIS_PORT']}"}
    store = apply(feast_repo(tmp_path / "redis", online=redis))
    view = "orders_again"
    ask = lambda: store.get_online_features(features=[f"{view}:count"], entity_rows=[{"customer_id": 8}]).to_dict()["count"]  # noqa: E731
    for count in (1, 2):
        rows = {8: (count, 1.0, NOW)}
        store.write_to_online_store(view, df=frame(rows))
        assert post(ours.http, "/write-to-online-store", {"feature_view_name": view, "df": df(rows)})[0] == 200
    assert ask() == [1]
    assert columns(ours.ask([f"{view}:count"], customer_id=[8]))["count"][0] == [2]


def test_a_view_and_the_same_view_under_another_name(theirs, ours):
    ask = lambda side, service, full=False: post(  # noqa: E731
        side.http, "/get-online-features", {"feature_service": service, "entities": {"customer_id": [1]}, "full_feature_names": full}
    )
    assert [ask(theirs, "both_names", full)[0] for full in (False, True)] == [500, 500]
    assert columns(ask(ours, "both_names")) == {name: ([of], ["PRESENT"]) for name, of in (("customer_id", 1), ("count", 2), ("home__count", 2))}
    assert set(columns(ask(ours, "both_names", True))) == {"customer_id", "orders__count", "home__count"}
    for side in (theirs, ours):
        assert set(columns(ask(side, "at_home"))) == {"customer_id", "count"}
        assert set(columns(ask(side, "at_home", True))) == {"customer_id", "home__count"}


def test_columns_that_nobody_knows(theirs, ours):
    asked = {"customer_id": [1], "customer_idd": [2]}
    assert columns(theirs.ask(["orders:count"], **asked))["count"][0] == [2]
    status, said = ours.ask(["orders:count"], **asked)
    assert status == 422 and "did you mean `customer_id`?" in said, said
    assert columns(ours.ask(["orders:count"], customer_id=[1], amount=[1.0]))["count"][0] == [2], "declared, not wanted"


def test_unknown_members_of_a_body(theirs, ours):
    body = {"features": ["orders:count"], "entities": {"customer_id": [1]}, "full_feature_name": True}
    assert post(theirs.http, "/get-online-features", body)[0] == 200
    status, said = post(ours.http, "/get-online-features", body)
    assert status == 422 and "full_feature_name" in said, said


def test_the_status_of_a_callers_mistake_over_grpc(theirs, ours):
    unknown_service = GetOnlineFeaturesRequest(feature_service="nobody")
    unknown_service.entities["customer_id"].CopyFrom(RepeatedValue(val=[Value(int64_val=1)]))
    unknown_view = grpc_request(["nothing:count"], customer_id=[Value(int64_val=1)])
    no_key = grpc_request(["orders:count"], amount=[Value(double_val=1)])
    mistakes = [
        (unknown_service, "INTERNAL", "NOT_FOUND"),
        (unknown_view, "UNKNOWN", "NOT_FOUND"),
        (no_key, "UNKNOWN", "INVALID_ARGUMENT"),
    ]
    for request, of_theirs, of_ours in mistakes:
        for side, want in ((theirs, of_theirs), (ours, of_ours)):
            with pytest.raises(grpc.RpcError) as refused:
                GrpcFeatureServerStub(side.channel()).GetOnlineFeatures(request)
            assert refused.value.code().name == want, refused.value.details()
    push = PushRequest(stream_feature_view="nothing", to="online", typed_features={"customer_id": Value(int64_val=9)})
    for side, want in ((theirs, "INVALID_ARGUMENT"), (ours, "NOT_FOUND")):
        with pytest.raises(grpc.RpcError) as refused:
            GrpcFeatureServerStub(side.channel()).Push(push)
        assert refused.value.code().name == want, refused.value.details()


def test_the_status_of_a_callers_mistake_over_http(theirs, ours):
    mistakes = [
        ("/get-online-features", {"features": ["orders:nothing"], "entities": {"customer_id": [1]}}, 500, 404),
        ("/get-online-features", {"features": ["orders:count"], "entities": {"amount": [1]}}, 500, 422),
        ("/get-online-features", {"features": ["orders:count"], "entities": {"customer_id": ["x"]}}, 500, 422),
        ("/get-online-features", {"features": ["orders:count"], "entities": {"customer_id": [1] * 20_000}}, 200, 413),
        ("/get-online-features", b"{", 422, 422),
    ]
    for path, body, of_theirs, of_ours in mistakes:
        assert (post(theirs.http, path, body)[0], post(ours.http, path, body)[0]) == (of_theirs, of_ours), body
    key, row = {"customer_id": [1]}, df({1: (1, 1.0, NOW)})
    same = [
        ("/get-online-features", {"feature_service": "nobody", "entities": key}, 404, "FeatureServiceNotFoundException"),
        ("/get-online-features", {"features": ["nothing:count"], "entities": key}, 404, "FeatureViewNotFoundException"),
        ("/write-to-online-store", {"feature_view_name": "nothing", "df": row}, 404, "FeastObjectNotFoundException"),
        ("/push", {"push_source_name": "nothing", "df": row, "to": "online"}, 422, "PushSourceNotFoundException"),
        ("/get-online-features", {"feature_service": "doubled", "entities": key}, 404, "RequestDataNotFoundInEntityRowsException"),
    ]
    for path, body, status, of_class in same:
        for side in (theirs, ours):
            came, said = post(side.http, path, body)
            detail = json.loads(said)
            assert set(detail) == {"module", "class", "message"}
            assert (came, detail["class"]) == (status, of_class), f"{side}: {said}"
    body = {"features": ["orders:count", "orders_again:count"], "entities": key}
    for side, status in ((theirs, 500), (ours, 422)):
        came, said = post(side.http, "/get-online-features", body)
        assert (came, json.loads(said)["class"]) == (status, "FeatureNameCollisionError"), said


def test_a_key_of_text(theirs, ours):
    for side in (theirs, ours):
        assert columns(side.ask(["orders:count"], customer_id=["1"]))["count"] == ([2], ["PRESENT"])
    assert columns(theirs.ask(["orders:count"], customer_id=["01"]))["count"] == ([2], ["PRESENT"])
    status, said = ours.ask(["orders:count"], customer_id=["01"])
    assert status == 422 and "column `customer_id`, row 0" in said, said


def write(side, view="orders", **df):
    return post(side.http, "/write-to-online-store", {"feature_view_name": view, "df": df})


def test_a_float_for_an_integer_that_is_written(theirs, ours):
    row = {"customer_id": [12], "spent": [1.0], "event_timestamp": [NOW.isoformat()]}
    assert (write(theirs, count=[1.5], **row)[0], write(theirs, view="orders_again", count=[2.0], **row)[0]) == (200, 200)
    assert columns(theirs.ask(["orders:count"], customer_id=[12]))["count"][0] == [1], "cut"
    status, said = write(ours, count=[1.5], **row)
    assert status == 422 and "column `count`, row 0: expected int64, came 1.5" in said, said
    assert write(ours, view="orders_again", count=[2.0], **row)[0] == 200
    for side in (theirs, ours):
        assert columns(side.ask(["orders_again:count"], customer_id=[12]))["count"][0] == [2]


def test_a_column_of_rows_that_is_no_list(theirs, ours):
    row = {"customer_id": [13], "count": [3], "event_timestamp": [NOW.isoformat()]}
    by_number = {name: {"0": values[0]} for name, values in row.items()}
    for df in ({**row, "spent": 4.5}, {**by_number, "spent": {"0": 4.5}}):
        assert write(theirs, **df)[0] == 200
        status, said = write(ours, **df)
        assert status == 422 and "a column, which is a list of values" in said, said
    assert columns(theirs.ask(["orders:spent"], customer_id=[13]))["spent"][0] == [4.5]


def test_a_null_request_value(theirs, ours):
    asked = {"customer_id": [1], "amount": [None]}
    assert theirs.ask("doubled", **asked)[0] == 500
    status, said = ours.ask("doubled", **asked)
    assert status == 422 and "`amount` in row 0, came null" in said and "nullable: true" in said, said
    for side, statuses in ((theirs, ["PRESENT", "PRESENT"]), (ours, ["NULL_VALUE", "PRESENT"])):
        came = columns(side.ask(["twice_or_null:double"], amount_or_null=[None, 1.0]))
        assert came["double"] == ([None, 2.0], statuses)


def test_a_push(theirs, ours):
    rows = df({9: (3, 9.0, NOW)})
    push = lambda side, name, to="online": post(side.http, "/push", {"push_source_name": name, "df": rows, "to": to})  # noqa: E731
    assert push(theirs, "pushed")[0] == 200
    both = columns(theirs.ask(["orders:count", "orders_again:spent"], customer_id=[9]))
    assert (both["count"][0], both["spent"][0]) == ([3], [9.0]), "both views of the source"
    assert push(ours, "pushed")[0] == 422
    assert push(ours, "orders")[0] == 200
    came = columns(ours.ask(["orders:count", "orders_again:spent"], customer_id=[9]))
    assert (came["count"][0], came["spent"][0]) == ([3], [None])
    assert push(ours, "orders", "online_and_offline")[0] == 422
    request = PushRequest(stream_feature_view="orders", to="offline", typed_features={"customer_id": Value(int64_val=9)})
    with pytest.raises(grpc.RpcError):
        GrpcFeatureServerStub(ours.channel()).Push(request)


@pytest.mark.parametrize("path", ["/materialize", "/materialize-incremental", "/search", "/v1/vector_stores/x/search", "/chat"])
def test_calls_that_are_not_there(theirs, ours, path):
    assert post(theirs.http, path, {})[0] != 404
    assert post(ours.http, path, {})[0] == 404


def test_on_demand_views_at_write(store, theirs, ours):
    store.write_to_online_store("at_write", df=frame({77: (1, 4.0, NOW)}))
    came = columns(theirs.ask(["at_write:kept"], customer_id=[77]))
    assert came["kept"][0] == [8.0], "stored when the row was written"
    rows = {78: (2, 8.0, NOW)}
    assert post(ours.http, "/write-to-online-store", {"feature_view_name": "per_order", "df": df(rows)})[0] == 404
    body = {"feature_view_name": "orders", "df": df(rows), "transform_on_write": True}
    assert post(ours.http, "/write-to-online-store", body)[0] == 200
    assert columns(ours.ask(["per_order:mean"], customer_id=[78]))["mean"][0] == [4.0], "computed when it is asked for"


def test_a_write_that_lacks_a_feature(theirs, ours):
    rows = df({10: (3, 9.0, NOW)})
    del rows["spent"]
    body = {"feature_view_name": "orders", "df": rows}
    assert post(theirs.http, "/write-to-online-store", body)[0] == 500
    assert post(ours.http, "/write-to-online-store", body)[0] == 200
    assert columns(ours.ask(["orders:count", "orders:spent"], customer_id=[10]))["spent"] == ([None], ["NULL_VALUE"])


def test_a_write_of_a_column_that_the_view_does_not_have(theirs, ours):
    row = {"customer_id": [11], "count": [3], "left_out": [{"a": "b"}], "event_timestamp": [NOW.isoformat()]}
    for side in (theirs, ours):
        assert write(side, view="mapped", **row)[0] == 200
        assert columns(side.ask(["mapped:count"], customer_id=[11]))["count"] == ([3], ["PRESENT"])
    assert columns(theirs.ask(["mapped:left_out"], customer_id=[11]))["left_out"][0] == [{"a": "b"}]
    assert ours.ask(["mapped:left_out"], customer_id=[11])[0] == 404
    assert (write(theirs, view="mapped", cuont=[3], **row)[0], write(ours, view="mapped", cuont=[3], **row)[0]) == (200, 422)


def test_lists_of_bools_and_of_times(theirs, ours):
    rows = {"customer_id": [1], "ticks": [[True, False]], "moments": [[3, 1795904109]], "event_timestamp": [NOW.isoformat()]}
    request = grpc_request(["flags:ticks", "flags:moments"], customer_id=[Value(int64_val=1)])
    for side, ticks, kinds in (
        (theirs, [True, False], ["bool_list_val", "unix_timestamp_list_val"]),
        (ours, [1, 0], ["int64_list_val", "int64_list_val"]),
    ):
        assert write(side, view="flags", **rows)[0] == 200
        came = columns(side.ask(["flags:ticks", "flags:moments"], customer_id=[1]))
        assert json.dumps(came["ticks"]) == json.dumps(([ticks], ["PRESENT"]))
        assert came["moments"] == ([[3, 1795904109]], ["PRESENT"])
        answer = GrpcFeatureServerStub(side.channel()).GetOnlineFeatures(request)
        of = dict(zip(answer.metadata.feature_names.val, answer.results))
        assert [of[name].values[0].WhichOneof("val") for name in ("ticks", "moments")] == kinds


def test_versions_of_a_view(apply, definitions, ours, tmp_path):
    from feast import FeatureView, Field
    from feast.types import Int64

    registry = {"registry_type": "file", "path": "registry.db", "enable_online_feature_view_versioning": True}
    store = apply(feast_repo(tmp_path / "versions", registry=registry))
    orders = definitions.orders
    changed = FeatureView(
        name="orders", entities=[definitions.customer], source=definitions.pushed, ttl=orders.ttl,
        schema=[*definitions.schema, Field(name="visits", dtype=Int64)],
    )  # fmt: skip
    store.apply([changed])
    ask = lambda reference: store.get_online_features(features=[reference], entity_rows=[{"customer_id": 1}]).to_dict()  # noqa: E731
    assert (list(ask("orders@v0:count").values())[1], ask("orders:count")["count"]) == ([2], [None]), "each has rows of its own"
    status, said = ours.ask(["orders@v0:count"], customer_id=[1])
    assert status == 422 and "one version is served" in said, said
    body = {"features": ["orders:count"], "entities": {"customer_id": [1]}, "include_feature_view_version_metadata": True}
    assert post(ours.http, "/get-online-features", body)[1]["metadata"]["feature_view_metadata"] == [{"name": "orders"}], "JSON has no 0"


# No row, as nothing differs.


def test_a_service_beside_features(theirs, ours):
    body = {"feature_service": "doubled", "features": ["orders:spent"], "entities": {"customer_id": [1], "amount": [1.0]}}
    for side in (theirs, ours):
        assert set(columns(post(side.http, "/get-online-features", body))) >= {"count", "double"}
        assert "spent" not in columns(post(side.http, "/get-online-features", body))


def test_a_view_without_entity(store, theirs, ours):
    key = EntityKey(join_keys=["__dummy_id"], entity_values=[Value(string_val="")])
    row = (key, {"rate": Value(double_val=1.25)}, NOW, None)
    online = store._get_provider().online_store
    online.online_write_batch(store.config, store.get_feature_view("rates"), [row], None)
    assert write(ours, view="rates", __dummy_id=[""], rate=[1.25], event_timestamp=[NOW.isoformat()])[0] == 200
    for side in (theirs, ours):
        came = columns(side.ask(["rates:rate"], customer_id=[1, 2]))
        assert came["rate"] == ([1.25, 1.25], ["PRESENT"] * 2)
        assert not any("dummy" in name for name in came)


def test_names_that_are_not_valid_here(theirs, ours):
    for side in (theirs, ours):
        assert write(side, view="visitStats", customer_id=[1], perDay=[0.5], event_timestamp=[NOW.isoformat()])[0] == 200
        assert columns(side.ask(["visitStats:perDay"], customer_id=[1]))["perDay"][0] == [0.5]
        assert columns(side.ask("Visits 1", customer_id=[1]))["perDay"][0] == [0.5]


def test_a_key_of_text_and_a_time_that_is_none_in_a_write(theirs, ours):
    row = {"customer_id": ["14"], "count": [3], "spent": [1.0], "event_timestamp": [NOW.isoformat()], "created": ["NaT"]}
    for side in (theirs, ours):
        assert write(side, **row)[0] == 200
        assert columns(side.ask(["orders:count"], customer_id=[14]))["count"][0] == [3]
