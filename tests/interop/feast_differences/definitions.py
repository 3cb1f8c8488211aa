"""The same as features.yaml, in the words of Feast."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float64, Int64, Map, UnixTimestamp
from feast.value_type import ValueType

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
pushed = PushSource(
    name="pushed", batch_source=FileSource(name="orders_file", path="orders.parquet", timestamp_field="event_timestamp")
)
schema = [Field(name="customer_id", dtype=Int64), Field(name="count", dtype=Int64), Field(name="spent", dtype=Float64)]
orders = FeatureView(name="orders", entities=[customer], schema=schema, source=pushed, ttl=timedelta(hours=1))
orders_again = FeatureView(name="orders_again", entities=[customer], schema=schema, source=pushed)
flags_schema = [Field(name="customer_id", dtype=Int64), Field(name="ticks", dtype=Array(Bool)), Field(name="moments", dtype=Array(UnixTimestamp))]
flags_file = FileSource(name="flags_file", path="orders.parquet", timestamp_field="event_timestamp")
flags = FeatureView(name="flags", entities=[customer], schema=flags_schema, source=flags_file)
mapped_schema = [Field(name="customer_id", dtype=Int64), Field(name="count", dtype=Int64), Field(name="left_out", dtype=Map)]
mapped = FeatureView(name="mapped", entities=[customer], schema=mapped_schema, source=flags_file)
rates = FeatureView(name="rates", entities=[], schema=[Field(name="rate", dtype=Float64)], source=flags_file)
visit_schema = [Field(name="customer_id", dtype=Int64), Field(name="perDay", dtype=Float64)]
visit_stats = FeatureView(name="visitStats", entities=[customer], schema=visit_schema, source=flags_file)
order = RequestSource(name="order", schema=[Field(name="amount", dtype=Float64)])


@on_demand_feature_view(sources=[orders], schema=[Field(name="mean", dtype=Float64)], mode="python")
def per_order(inputs):
    rows = zip(inputs["count"], inputs["spent"])
    return {"mean": [None if count is None or spent is None else spent / count for count, spent in rows]}


@on_demand_feature_view(sources=[order], schema=[Field(name="double", dtype=Float64)], mode="python", singleton=True)
def twice(inputs):
    return {"double": inputs["amount"] * 2.0}


@on_demand_feature_view(
    sources=[RequestSource(name="perhaps", schema=[Field(name="amount_or_null", dtype=Float64)])],
    schema=[Field(name="double", dtype=Float64)],
    mode="python",
)
def twice_or_null(inputs):
    return {"double": [None if amount is None else amount * 2.0 for amount in inputs["amount_or_null"]]}


@on_demand_feature_view(
    sources=[orders], entities=[customer], schema=[Field(name="kept", dtype=Float64)], mode="python", write_to_online_store=True
)
def at_write(inputs):
    return {"kept": [2.0 * spent for spent in inputs["spent"]]}


everything = FeatureService(name="everything", features=[orders, per_order])
doubled = FeatureService(name="doubled", features=[orders[["count"]], twice])
at_home = FeatureService(name="at_home", features=[orders[["count"]].with_name("home")])
both_names = FeatureService(name="both_names", features=[orders[["count"]], orders[["count"]].with_name("home")])
visits = FeatureService(name="Visits 1", features=[visit_stats])
everything_applied = [
    customer, orders, orders_again, flags, mapped, rates, visit_stats, per_order, twice, twice_or_null, at_write,
    everything, doubled, at_home, both_names, visits,
]  # fmt: skip
