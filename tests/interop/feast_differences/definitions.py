"""The same as features.yaml, in the words of Feast."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float64, Int64
from feast.value_type import ValueType

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
pushed = PushSource(
    name="pushed", batch_source=FileSource(name="orders_file", path="orders.parquet", timestamp_field="event_timestamp")
)
schema = [Field(name="customer_id", dtype=Int64), Field(name="count", dtype=Int64), Field(name="spent", dtype=Float64)]
orders = FeatureView(name="orders", entities=[customer], schema=schema, source=pushed, ttl=timedelta(hours=1))
orders_again = FeatureView(name="orders_again", entities=[customer], schema=schema, source=pushed)
flags_schema = [Field(name="customer_id", dtype=Int64), Field(name="ticks", dtype=Array(Bool))]
flags_file = FileSource(name="flags_file", path="orders.parquet", timestamp_field="event_timestamp")
flags = FeatureView(name="flags", entities=[customer], schema=flags_schema, source=flags_file)
order = RequestSource(name="order", schema=[Field(name="amount", dtype=Float64)])


@on_demand_feature_view(sources=[orders], schema=[Field(name="mean", dtype=Float64)], mode="python")
def per_order(inputs):
    rows = zip(inputs["count"], inputs["spent"])
    return {"mean": [None if count is None or spent is None else spent / count for count, spent in rows]}


@on_demand_feature_view(sources=[order], schema=[Field(name="double", dtype=Float64)], mode="python", singleton=True)
def twice(inputs):
    return {"double": inputs["amount"] * 2.0}


@on_demand_feature_view(
    sources=[orders], entities=[customer], schema=[Field(name="kept", dtype=Float64)], mode="python", write_to_online_store=True
)
def at_write(inputs):
    return {"kept": [2.0 * spent for spent in inputs["spent"]]}


everything = FeatureService(name="everything", features=[orders, per_order])
doubled = FeatureService(name="doubled", features=[orders[["count"]], twice])
