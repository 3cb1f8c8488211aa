"""The feature repo of `skewless init` as a user of Feast has it: the same names, in Feast's words.

Feast runs the on-demand view only to learn its types: with the `remote` online store it is computed on the other side. So
what it gives here is given away by its answers.
"""

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float64, Int64, UnixTimestamp
from feast.value_type import ValueType

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)

customer_orders = FeatureView(
    name="customer_orders",
    entities=[customer],
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="orders", dtype=Int64),
        Field(name="spent", dtype=Float64),
    ],
    source=PushSource(
        name="orders_pushed",
        batch_source=FileSource(
            path="../shop/data/customer_orders.parquet",
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
    ),
)

visits = FeatureView(
    name="visits",
    entities=[customer],
    schema=[Field(name="customer_id", dtype=Int64), Field(name="last", dtype=UnixTimestamp)],
    source=FileSource(path="../shop/data/visits.parquet", timestamp_field="event_timestamp"),
)

order = RequestSource(name="order", schema=[Field(name="amount", dtype=Float64)])


@on_demand_feature_view(
    sources=[customer_orders, order],
    schema=[
        Field(name="mean_amount", dtype=Float64),
        Field(name="ratio", dtype=Float64),
        Field(name="first_order", dtype=Bool),
    ],
    mode="python",
)
def basket(inputs):
    rows = len(inputs["amount"])
    return {"mean_amount": [-1.0] * rows, "ratio": [-1.0] * rows, "first_order": [True] * rows}


order_risk = FeatureService(name="order_risk", features=[customer_orders, basket])
