"""A Feast repo with what an import has to cope with. Of our own making; the fixtures beside it are made of it by
make_fixtures.py."""

from datetime import timedelta

import pandas as pd
from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    Project,
    PushSource,
    RequestSource,
    StreamFeatureView,
    ValueType,
)
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    String,
    UnixTimestamp,
    Uuid,
)

project = Project(name="Shop")

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64, description="Who  buys.\nOnce.")
place = Entity(name="Place", join_keys=["place_id"], value_type=ValueType.STRING)
unused = Entity(name="unused", join_keys=["unused_id"], value_type=ValueType.STRING)

orders_source = FileSource(
    name="orders_source",
    path="data/orders.parquet",
    timestamp_field="happened",
    created_timestamp_column="made",
)

# Every type that is stored, a key for all of them.
orders = FeatureView(
    name="orders",
    entities=[customer],
    ttl=timedelta(days=36_500, microseconds=7),
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="flag", dtype=Bool),
        Field(name="small", dtype=Int32),
        Field(name="large", dtype=Int64, description='How "many": # of {orders}'),
        Field(name="single", dtype=Float32),
        Field(name="double", dtype=Float64),
        Field(name="text", dtype=String),
        Field(name="raw", dtype=Bytes),
        Field(name="at", dtype=UnixTimestamp),
        Field(name="ints", dtype=Array(Int64)),
        Field(name="doubles", dtype=Array(Float64)),
        Field(name="texts", dtype=Array(String)),
        Field(name="vector", dtype=Array(Float32), vector_index=True, vector_length=3, vector_search_metric="L2"),
        Field(name="singles", dtype=Array(Float32)),
        Field(name="smalls", dtype=Array(Int32)),
        Field(name="json", dtype=Json),
        Field(name="price", dtype=Decimal),
        Field(name="parts", dtype=Array(Uuid)),
        Field(name="more", dtype=Map),
    ],
    source=orders_source,
    description="What a customer ordered.",
)

# Names that aren't valid here, a push source, and a column that is called otherwise.
visits = FeatureView(
    name="Place-Visits",
    entities=[place],
    ttl=timedelta(0),
    schema=[
        Field(name="place_id", dtype=String),
        Field(name="7dVisits", dtype=Int64),
        Field(name="type", dtype=String),
        Field(name="null", dtype=Float64),
    ],
    source=PushSource(
        name="visits_push",
        batch_source=FileSource(
            name="visits_source",
            path="/srv/visits",
            timestamp_field="event_timestamp",
            field_mapping={"kind": "type"},
        ),
    ),
)

# The key's column has another name in the data; the same entity with another one.
weather = FeatureView(
    name="weather",
    entities=[place],
    schema=[Field(name="place_id", dtype=String), Field(name="wind", dtype=Float64)],
    source=FileSource(
        name="weather_source",
        path="data/weather.parquet",
        timestamp_field="ts",
        field_mapping={"station": "place_id", "time": "ts"},
    ),
)

# Two entities, so a key of two columns, and none.
loyalty = FeatureView(
    name="loyalty",
    entities=[place, customer],
    schema=[
        Field(name="place_id", dtype=String),
        Field(name="customer_id", dtype=Int64),
        Field(name="points", dtype=Int64),
    ],
    source=FileSource(name="loyalty_source", path="s3://bucket/loyalty.parquet", timestamp_field="ts"),
)
everywhere = FeatureView(
    name="everywhere",
    entities=[],
    schema=[Field(name="rate", dtype=Float64)],
    source=FileSource(name="rate_source", path="data/rate.parquet", timestamp_field="ts"),
    online=True,
)
nothing = FeatureView(
    name="nothing",
    entities=[customer],
    schema=[Field(name="customer_id", dtype=Int64), Field(name="all", dtype=Map)],
    source=FileSource(name="nothing_source", path="data/nothing.parquet", timestamp_field="ts"),
)

clicks = StreamFeatureView(
    name="clicks",
    entities=[customer],
    ttl=timedelta(hours=1),
    schema=[Field(name="customer_id", dtype=Int64), Field(name="clicks_1h", dtype=Int64)],
    source=KafkaSource(
        name="clicks_topic",
        kafka_bootstrap_servers="localhost:9092",
        topic="clicks",
        timestamp_field="ts",
        message_format=JsonFormat(schema_json="customer_id integer, ts timestamp"),
        batch_source=FileSource(name="clicks_source", path="data/clicks.parquet", timestamp_field="ts"),
    ),
    aggregations=[Aggregation(column="clicks_1h", function="count", time_window=timedelta(hours=1))],
    timestamp_field="ts",
    mode="spark",
)

cart = RequestSource(
    name="cart",
    schema=[Field(name="amount", dtype=Float64), Field(name="Note", dtype=String), Field(name="extra", dtype=Map)],
)


@on_demand_feature_view(
    sources=[orders, visits, cart],
    schema=[
        Field(name="ratio", dtype=Float64),
        Field(name="ref", dtype=String),
    ],
)
def basket(inputs: pd.DataFrame) -> pd.DataFrame:
    outputs = pd.DataFrame()
    outputs["ratio"] = inputs["amount"] / 2
    outputs["ref"] = inputs["type"].astype("string")
    return outputs


@on_demand_feature_view(sources=[nothing], schema=[Field(name="none", dtype=Int64)])
def of_nothing(inputs: pd.DataFrame) -> pd.DataFrame:
    outputs = pd.DataFrame()
    outputs["none"] = inputs["all"].notna().astype("int64")
    return outputs


risk = FeatureService(
    name="Risk v1",
    features=[
        orders[["large", "flag", "more"]],
        weather.with_name("start").with_join_key_map({"place_id": "start_id"})[["wind"]],
        weather.with_name("goal").with_join_key_map({"place_id": "goal_id"})[["wind"]],
        basket[["ratio"]],
        visits,
        loyalty,
    ],
    description="What the risk model asks for.",
)
lost = FeatureService(name="lost", features=[nothing])
