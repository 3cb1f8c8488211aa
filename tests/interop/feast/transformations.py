"""`skewless feast serve-transformations` for callers who are Feast's: requests as its Go and Java servers make them, sent by its
own generated stub, and answers read as they read them, compared with `skewless plugin run` bit for bit and with what Feast's
own transformation server answers.

How the two make and read batches is in feast-dev/feast 0.67: go/internal/feast/transformation/transformation_service.go and
go/types/typeconversion.go; java/serving/src/main/java/feast/serving/service/OnlineTransformationService.java.
"""

import json
import math
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pandas as pd
import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.serving.TransformationService_pb2 import (
    TRANSFORMATION_SERVICE_TYPE_CUSTOM,
    GetTransformationServiceInfoRequest,
    TransformFeaturesRequest,
    ValueType,
)
from feast.protos.feast.serving.TransformationService_pb2_grpc import TransformationServiceStub
from feast.transformation_server import TransformationServer
from feast.types import Bool, Float64, Int64
from feast.value_type import ValueType as Kind
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

BOUND_S = 120  # far above what any machine needs to start
OUTPUTS = ["mean_amount", "ratio", "first_order"]

# Amount, orders and spent of each row: also none, zero, and floats that a text must not round.
ROWS = [
    (120.0, 4, 100.0),
    (0.1, 3, 0.3),
    (15.5, None, None),
    (15.5, 0, 0.0),
    (1e-300, 7, 1e300),
    (-2.5, 1, 3.3333333333333335),
    (float("inf"), 2, 5.0),
    (5e-324, 9007199254740993, 1.7976931348623157e308),
    (33.0, 2, None),
]


def start(work):
    """The server on a free port; gives its process and its address."""
    log = open(work / "transformations.log", "w+")
    flags = ["--listen", "127.0.0.1:0", "--project", "shop", "--log-json"]
    command = ["skewless", "feast", "serve-transformations", *flags]
    process = subprocess.Popen(command, cwd=work / "shop", stdout=log, stderr=log)
    until = time.monotonic() + BOUND_S
    while time.monotonic() < until and process.poll() is None:
        for line in (work / "transformations.log").read_text().splitlines():
            fields = json.loads(line).get("fields", {})
            if fields.get("message") == "ready":
                return process, fields["tcp"]
        time.sleep(0.05)
    process.kill()
    sys.exit(f"it didn't start:\n{(work / 'transformations.log').read_text()}")


def ipc_file(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def go_array(values, kind):
    """ProtoValuesToArrowArray: the type of the first value that is one, or Arrow's null."""
    return pa.array(values, kind if any(value is not None for value in values) else pa.null())


def go_table(rows, full_feature_names=False, extra=True):
    """GetTransformation: all retrieved features, then request data and entities, whoever wants them, in any order."""
    amount, orders, spent = ([row[at] for row in rows] for at in range(3))
    view = "customer_orders__" if full_feature_names else ""
    columns = {view + "spent": go_array(spent, pa.float64()), view + "orders": go_array(orders, pa.int64())}
    if extra:
        columns["loyalty__level" if full_feature_names else "level"] = go_array(["gold"] * len(rows), pa.string())
    # Its HTTP server calls whole numbers int64 if the column has no other.
    whole = all(math.isfinite(value) and value == int(value) for value in amount) and rows
    columns["amount"] = pa.array([int(value) for value in amount], pa.int64()) if whole else go_array(amount, pa.float64())
    if extra:
        columns["customer_id"] = pa.array(range(len(rows)), pa.int64())
    return pa.table(columns)


def java_table(rows):
    """serializeValuesIntoArrowIPC: full names, no nulls (a null is sent as 0), request data first."""
    amount, orders, spent = ([row[at] or 0 for row in rows] for at in range(3))
    return pa.table(
        {
            "amount": pa.array(amount, pa.float64()),
            "customer_orders__orders": pa.array(orders, pa.int64()),
            "customer_orders__spent": pa.array(spent, pa.float64()),
        }
    )


def read_as_feast(answer):
    """ExtractTransformationResponse and processTransformFeaturesResponse: the first batch, names taken apart at `__`."""
    reader = pa.ipc.open_file(answer.transformation_output.arrow_value)
    assert reader.num_record_batches == 1, reader.num_record_batches
    batch = reader.get_batch(0)
    assert batch.schema.names == [f"basket__{name}" for name in OUTPUTS], batch.schema
    for at, name in enumerate(batch.schema.names):
        assert name.split("__")[1] == OUTPUTS[at] and name.replace("__", ":") == f"basket:{OUTPUTS[at]}"
    # Types that ArrowValuesToProtoValues knows.
    assert [field.type for field in batch.schema] == [pa.float64(), pa.float64(), pa.bool_()], batch.schema
    return [tuple(column[row].as_py() for column in batch.columns) for row in range(batch.num_rows)]


def plugin_run(work, rows):
    """The same rows through the plugin's file alone."""
    special = lambda value: {math.inf: "inf", -math.inf: "-inf"}.get(value, value)  # noqa: E731
    lines = [json.dumps(dict(zip(["amount", "orders", "spent"], map(special, row)))) for row in rows]
    (work / "rows.json").write_text("\n".join(lines))
    command = ["skewless", "plugin", "run", "plugins/basket.wasm", str(work / "rows.json")]
    ran = subprocess.run(command, cwd=work / "shop", check=True, capture_output=True, text=True)
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert all("error" not in answer for answer in answers), answers
    floats = {"inf": math.inf, "-inf": -math.inf, "NaN": math.nan}
    return [tuple(floats.get(answer[name], answer[name]) if answer[name] is not None else None for name in OUTPUTS) for answer in answers]


def bits(rows):
    def of(value):
        return struct.pack("<d", value) if isinstance(value, float) else value

    return [tuple(of(value) for value in row) for row in rows]


def asked(table, view="basket", project="shop"):
    value = table if isinstance(table, bytes) else ipc_file(table)
    return TransformFeaturesRequest(
        on_demand_feature_view_name=view, project=project, transformation_input=ValueType(arrow_value=value)
    )


def as_the_plugin(work, stub):
    expected = bits(plugin_run(work, ROWS))
    for full_feature_names in (False, True):
        came = read_as_feast(stub.TransformFeatures(asked(go_table(ROWS, full_feature_names))))
        assert bits(came) == expected, (came, expected)
    halves = pa.concat_tables([go_table(ROWS[:4]), go_table(ROWS[4:])], promote_options="permissive")
    assert len(halves.to_batches()) > 1
    assert bits(read_as_feast(stub.TransformFeatures(asked(halves)))) == expected, "several batches"
    encoded = go_table(ROWS)
    at = encoded.schema.get_field_index("orders")
    encoded = encoded.set_column(at, "orders", encoded["orders"].dictionary_encode().combine_chunks())
    assert bits(read_as_feast(stub.TransformFeatures(asked(encoded)))) == expected, "dictionaries"

    whole = [(120.0, 4, 100.0), (-3.0, 2, 30.0)]
    assert go_table(whole)["amount"].type == pa.int64()
    assert bits(read_as_feast(stub.TransformFeatures(asked(go_table(whole))))) == bits(plugin_run(work, whole))
    nobody = [(1.5, None, None), (2.5, None, None)]
    assert go_table(nobody)["orders"].type == pa.null()
    assert bits(read_as_feast(stub.TransformFeatures(asked(go_table(nobody))))) == bits(plugin_run(work, nobody))
    zeros = [tuple(value or 0.0 if at != 1 else value or 0 for at, value in enumerate(row)) for row in ROWS]
    came = read_as_feast(stub.TransformFeatures(asked(java_table(ROWS), project="")))
    assert bits(came) == bits(plugin_run(work, zeros))
    assert read_as_feast(stub.TransformFeatures(asked(go_table([])))) == []
    print(f"transformations: {len(ROWS)} rows as Go's and Java's servers send them, to the bit what the plugin gives alone")


def as_feast(work, stub):
    """Feast's own server, with the same formula in pandas: the same columns, of the same types."""
    repo = work / "transformations"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(
        "project: shop\nregistry: registry.db\nprovider: local\nentity_key_serialization_version: 3\n"
        "online_store: {type: sqlite, path: online.db}\n"
    )
    os.chdir(repo)
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=Kind.INT64)
    customer_orders = FeatureView(
        name="customer_orders",
        entities=[customer],
        schema=[Field(name="orders", dtype=Int64), Field(name="spent", dtype=Float64)],
        source=FileSource(path=str(work / "shop/data/customer_orders.parquet"), timestamp_field="event_timestamp"),
    )
    order = RequestSource(name="order", schema=[Field(name="amount", dtype=Float64)])

    @on_demand_feature_view(
        sources=[customer_orders, order],
        schema=[
            Field(name="mean_amount", dtype=Float64),
            Field(name="ratio", dtype=Float64),
            Field(name="first_order", dtype=Bool),
        ],
        mode="pandas",
    )
    def basket(inputs: pd.DataFrame) -> pd.DataFrame:
        mean = inputs["spent"] / inputs["orders"]
        return pd.DataFrame({"mean_amount": mean, "ratio": inputs["amount"] / mean, "first_order": inputs["orders"] == 0})

    store = FeatureStore(repo_path=str(repo))
    store.apply([customer, customer_orders, order, basket])
    rows = [row for row in ROWS if row[1] and row[2]]
    request = asked(go_table(rows, extra=False))
    theirs = TransformationServer(store).TransformFeatures(request, None)
    table = pa.ipc.open_file(theirs.transformation_output.arrow_value).read_all()
    table = table.select([f"basket__{name}" for name in OUTPUTS])
    ours = pa.ipc.open_file(stub.TransformFeatures(request).transformation_output.arrow_value).read_all()
    assert ours.schema.equals(table.schema, check_metadata=False), (ours.schema, table.schema)
    theirs_rows = [tuple(column[row].as_py() for column in table.columns) for row in range(table.num_rows)]
    assert bits(read_as_feast(stub.TransformFeatures(request))) == bits(theirs_rows)
    print("transformations: columns, types and values are those of Feast's own server")


def mistakes(stub):
    def refused(request, code, *parts):
        try:
            came = stub.TransformFeatures(request)
        except grpc.RpcError as error:
            text = error.details()
            assert error.code() == code and all(part in text for part in parts), (code, parts, error)
            return
        raise AssertionError(f"expected {code}, came {came}")

    code = grpc.StatusCode
    rows = go_table(ROWS)
    refused(asked(rows, view="baskte"), code.NOT_FOUND, "did you mean `basket`?")
    refused(asked(rows, project="other"), code.INVALID_ARGUMENT, "`shop`", "`other`")
    refused(TransformFeaturesRequest(on_demand_feature_view_name="basket"), code.INVALID_ARGUMENT, "arrow_value")
    missing = rows.rename_columns([{"amount": "amonut"}.get(name, name) for name in rows.column_names])
    refused(asked(missing), code.INVALID_ARGUMENT, "`amount` (float64) for request.amount", "did you mean `amonut`?")
    text = rows.set_column(0, "spent", pa.array(["1"] * len(ROWS)))
    refused(asked(text), code.INVALID_ARGUMENT, "column `spent`: expected float64, came utf8")
    refused(asked(b"no arrow"), code.INVALID_ARGUMENT, "Arrow's IPC format")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    refused(asked(sink.getvalue().to_pybytes()), code.INVALID_ARGUMENT, "came a stream")
    many = pa.table({"amount": [1.0] * 4097, "orders": [1] * 4097, "spent": [1.0] * 4097})
    refused(asked(many), code.RESOURCE_EXHAUSTED, "at most 4096 rows (limits.rows_max)")
    print("transformations: mistakes are told, with what was probably meant")


def around(channel, stub):
    info = stub.GetTransformationServiceInfo(GetTransformationServiceInfoRequest())
    assert info.version.startswith("skewless ") and info.type == TRANSFORMATION_SERVICE_TYPE_CUSTOM, info
    health = HealthStub(channel)
    for service in ("", "feast.serving.TransformationService"):
        assert health.Check(HealthCheckRequest(service=service)).status == HealthCheckResponse.SERVING
    served = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert "feast.serving.TransformationService" in served and "skewless.v1.FeatureService" not in served, served


def main():
    work = Path(sys.argv[1])
    process, address = start(work)
    try:
        with grpc.insecure_channel(address) as channel:
            stub = TransformationServiceStub(channel)
            around(channel, stub)
            as_the_plugin(work, stub)
            mistakes(stub)
            as_feast(work, stub)
    finally:
        process.terminate()
        ended = process.wait(BOUND_S)
    assert ended == 0, f"the server ended with {ended}:\n{(work / 'transformations.log').read_text()}"


main()
