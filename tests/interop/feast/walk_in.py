"""What a user of Feast does, against a sidecar: write, push, read, and be told of mistakes."""

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
import pandas as pd
from feast import FeatureService, FeatureStore
from feast.errors import FeastObjectNotFoundException, FeatureServiceNotFoundException
from feast.protos.feast.serving.GrpcServer_pb2 import PushRequest, WriteToOnlineStoreRequest
from feast.protos.feast.serving.GrpcServer_pb2_grpc import GrpcFeatureServerStub
from feast.protos.feast.serving.ServingService_pb2 import (
    FieldStatus,
    GetFeastServingInfoRequest,
    GetOnlineFeaturesRequest,
)
from feast.protos.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value

BOUND_S = 120  # far above what any machine needs to start


def start(work):
    """A sidecar on free ports; gives its process and the addresses it says in its log."""
    log = open(work / "log", "w+")
    flags = ["--tcp", "127.0.0.1:0", "--http", "", "--set", "listen.feast_http=127.0.0.1:0", "--log-json"]
    process = subprocess.Popen(["skewless", "serve", *flags], cwd=work / "shop", stdout=log, stderr=log)
    until = time.monotonic() + BOUND_S
    while time.monotonic() < until and process.poll() is None:
        for line in (work / "log").read_text().splitlines():
            fields = json.loads(line).get("fields", {})
            if fields.get("message") == "ready":
                return process, fields["tcp"], fields["feast_http"]
        time.sleep(0.05)
    process.kill()
    sys.exit(f"the sidecar didn't start:\n{(work / 'log').read_text()}")


def raises(kind, call, part):
    """The exception that a call must raise, with a part of its message."""
    try:
        came = call()
    except kind as error:
        text = error.details() if isinstance(error, grpc.RpcError) else str(error)
        assert part in text, f"expected `{part}` in `{text}`"
        return error
    raise AssertionError(f"expected {kind.__name__}, came {came}")


def store(work, address):
    repo = work / "definitions"
    (repo / "feature_store.yaml").write_text(
        "project: shop\n"
        "registry: registry.db\n"
        "provider: local\n"
        "entity_key_serialization_version: 3\n"
        f"online_store: {{type: remote, path: 'http://{address}'}}\n"
    )
    os.chdir(repo)
    sys.path.insert(0, str(repo))
    import shop

    feast = FeatureStore(repo_path=str(repo))
    feast.apply([shop.customer, shop.customer_orders, shop.visits, shop.basket, shop.order_risk])
    return feast, shop


def sdk(work, address):
    """The unmodified SDK with the `remote` online store."""
    feast, shop = store(work, address)
    service = feast.get_feature_service("order_risk")

    def ask(customers, amounts, features=service, **more):
        rows = [{"customer_id": customer, "amount": amount} for customer, amount in zip(customers, amounts)]
        return feast.get_online_features(features=features, entity_rows=rows, **more)

    nobody = ask([7], [120.0]).to_dict()
    assert nobody["orders"] == [None] and nobody["first_order"] == [True], nobody

    history = pd.read_parquet(work / "shop/data/customer_orders.parquet")
    materialize = lambda: feast.materialize(datetime(2020, 1, 1, tzinfo=timezone.utc), datetime.now(timezone.utc))  # noqa: E731
    raises(RuntimeError, materialize, "skewless load --at")
    feast.write_to_online_store("customer_orders", df=history)
    latest = history.sort_values("event_timestamp").groupby("customer_id").last()
    customers = [int(customer) for customer in latest.index]
    came = ask(customers, [120.0] * len(customers)).to_dict()
    assert came["customer_id"] == customers
    assert came["orders"] == [int(orders) for orders in latest["orders"]]
    assert came["spent"] == [float(spent) for spent in latest["spent"]]
    means = [spent / orders if orders else None for orders, spent in zip(came["orders"], came["spent"])]
    assert came["mean_amount"] == means, "computed by the plugin, to the last bit"
    assert came["ratio"] == [mean and 120.0 / mean for mean in means]
    print(f"sdk: {len(customers)} customers written from history and read, transforms computed by the sidecar")

    now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=5)

    def row(customer, orders, spent, when):
        return pd.DataFrame(
            {"customer_id": [customer], "orders": [orders], "spent": [spent], "event_timestamp": [when], "created": [when]}
        )

    feast.write_to_online_store("customer_orders", df=row(1001, 4, 100.0, now))
    feast.push("orders_pushed", row(1002, 2, 30.5, now))
    feast.push("orders_pushed", row(1002, 9, 9.0, now - timedelta(days=1)))  # older: it changes nothing
    came = ask([1001, 1002], [50.0, 61.0])
    assert came.to_dict()["ratio"] == [2.0, 4.0], came.to_dict()

    listed = ["basket:ratio", "customer_orders:spent", "basket:first_order", "customer_orders:orders"]
    came = ask([1001], [50.0], features=listed, full_feature_names=True)
    assert list(came.to_dict()) == ["customer_id"] + [name.replace(":", "__") for name in listed], "the order asked for"
    came = ask([1001, 5000], [50.0, 1.0], features=["customer_orders:orders"]).proto
    assert list(came.results[1].statuses) == [FieldStatus.PRESENT, FieldStatus.NOT_FOUND]

    last = pd.Series([now, pd.NaT], dtype="datetime64[ns, UTC]")
    feast.write_to_online_store("visits", df=pd.DataFrame({"customer_id": [1001, 1002], "last": last, "event_timestamp": [now] * 2}))
    came = ask([1001, 1002], [50.0] * 2, features=["visits:last"]).proto
    statuses = list(came.results[list(came.metadata.feature_names.val).index("last")].statuses)
    assert statuses == [FieldStatus.PRESENT, FieldStatus.NULL_VALUE], "NaT is null"

    remote = feast._get_provider().online_store
    view = feast.get_feature_view("customer_orders")
    keys = [EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=id)]) for id in (1001, 5000)]
    read = remote.online_read(feast.config, view, keys, ["orders", "spent"])
    assert read[0][0] == now and read[0][1]["orders"].int64_val == 4 and read[0][1]["spent"].double_val == 100.0, read
    assert read[1][1]["orders"].WhichOneof("val") is None, read

    missing = FeatureService(name="order_rsk", features=[shop.customer_orders])
    raises(FeatureServiceNotFoundException, lambda: ask([1], [1.0], features=missing), "did you mean `order_risk`?")
    other = feast.get_feature_view("customer_orders")
    other.name = "customer_ordres"
    write = lambda: remote.online_write_batch(  # noqa: E731
        feast.config, other, [(keys[0], {"orders": Value(int64_val=1)}, now, None)], None
    )
    raises(FeastObjectNotFoundException, write, "did you mean `customer_orders`?")
    print("sdk: rows written and pushed are served; order, names, statuses and exceptions are right")


def stubs(address):
    """Feast's own generated stubs, both services."""
    channel = grpc.insecure_channel(address)
    serving, server = ServingServiceStub(channel), GrpcFeatureServerStub(channel)
    assert serving.GetFeastServingInfo(GetFeastServingInfoRequest()).version.startswith("skewless ")
    when = int(time.time()) - 60
    typed = {
        "customer_id": Value(int64_val=2001),
        "orders": Value(int32_val=3),
        "spent": Value(double_val=60.0),
        "event_timestamp": Value(unix_timestamp_val=when),
    }
    assert server.Push(PushRequest(stream_feature_view="customer_orders", to="online", typed_features=typed)).status
    text = {"customer_id": "2002", "orders": "1", "spent": "8", "event_timestamp": str(datetime.fromtimestamp(when, timezone.utc))}
    assert server.WriteToOnlineStore(WriteToOnlineStoreRequest(feature_view_name="customer_orders", features=text)).status

    def column(*values):
        return RepeatedValue(val=values)

    request = GetOnlineFeaturesRequest(feature_service="order_risk")
    request.entities["customer_id"].CopyFrom(column(Value(int64_val=2001), Value(int64_val=2002), Value(int64_val=9)))
    request.request_context["amount"].CopyFrom(column(*[Value(double_val=40.0)] * 3))
    answer = serving.GetOnlineFeatures(request)
    assert answer == server.GetOnlineFeatures(request)
    names = list(answer.metadata.feature_names.val)
    assert names == ["customer_id", "amount", "orders", "spent", "mean_amount", "ratio", "first_order"], names
    ratio = answer.results[names.index("ratio")]
    assert [value.double_val for value in ratio.values[:2]] == [2.0, 5.0], ratio
    orders = answer.results[names.index("orders")]
    assert [value.int64_val for value in orders.values[:2]] == [3, 1]
    assert [time.seconds for time in orders.event_timestamps[:2]] == [when, when]

    request.request_context["amount"].val[0].CopyFrom(Value(string_val="40"))
    error = raises(grpc.RpcError, lambda: serving.GetOnlineFeatures(request), "column `amount`, row 0")
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    nobody = PushRequest(stream_feature_view="orders_pushed", to="online", typed_features=typed)
    error = raises(grpc.RpcError, lambda: server.Push(nobody), "orders_pushed")
    assert error.code() == grpc.StatusCode.NOT_FOUND
    print("stubs: both services answer; rows by text and by value; mistakes are told")


def main():
    work = Path(sys.argv[1])
    process, tcp, feast_http = start(work)
    try:
        sdk(work, feast_http)
        stubs(tcp)
    finally:
        process.terminate()
        ended = process.wait(BOUND_S)
    assert ended == 0, f"the sidecar ended with {ended}:\n{(work / 'log').read_text()}"


main()
