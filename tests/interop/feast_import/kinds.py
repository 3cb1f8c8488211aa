"""A view with kinds of values that Feast's templates don't have, beside one of them; run in its repo, it writes the rows' file."""

from datetime import datetime, timedelta, timezone

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Bool, Bytes, Decimal, Float32, Float64, Int64, Json, String, UnixTimestamp

PATH = "data/kinds.parquet"

thing = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.STRING)
kinds = FeatureView(
    name="kinds",
    entities=[thing],
    ttl=timedelta(days=36_500),
    schema=[
        Field(name="thing_id", dtype=String),
        Field(name="at", dtype=UnixTimestamp),
        Field(name="raw", dtype=Bytes),
        Field(name="near", dtype=Array(Float32), vector_index=True, vector_length=3, vector_search_metric="L2"),
        Field(name="doubles", dtype=Array(Float64)),
        Field(name="texts", dtype=Array(String)),
        Field(name="flag", dtype=Bool),
        Field(name="large", dtype=Int64),
        Field(name="double", dtype=Float64),
        Field(name="json", dtype=Json),
        Field(name="price", dtype=Decimal),
    ],
    source=FileSource(path=PATH, timestamp_field="event_timestamp"),
)
kinds_service = FeatureService(name="kinds", features=[kinds])


def main():
    import pyarrow
    import pyarrow.parquet

    zone, when = timezone.utc, datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=5)
    rows = [
        # The last has no value at all, so its time is NaT.
        {"at": datetime(2026, 3, 1, 12, 30, 1, tzinfo=zone), "raw": b"\x00\xff", "near": [0.1, -2.0, 3.0], "doubles": [0.1], "texts": ["a", ""],
         "flag": True, "large": 2**62 + 1, "double": 0.1, "json": '{"a": 1}', "price": "1.10"},
        {"at": datetime(1901, 1, 1, tzinfo=zone), "raw": b"", "near": [0.0, 0.0, 0.0], "doubles": [], "texts": ["Zürich"],
         "flag": False, "large": -(2**63), "double": -0.0, "json": "[]", "price": "-3"},
        {},
    ]  # fmt: skip
    texts, time = pyarrow.string(), pyarrow.timestamp("us", "UTC")
    types = {
        "at": time,
        "raw": pyarrow.binary(),
        "near": pyarrow.list_(pyarrow.float32()),
        "doubles": pyarrow.list_(pyarrow.float64()),
        "texts": pyarrow.list_(texts),
        "flag": pyarrow.bool_(),
        "large": pyarrow.int64(),
        "double": pyarrow.float64(),
        "json": texts,
        "price": texts,
    }
    columns = {name: pyarrow.array([row.get(name) for row in rows], of) for name, of in types.items()}
    columns["thing_id"] = pyarrow.array(["a", "b", "c"])
    columns["event_timestamp"] = pyarrow.array([when] * len(rows), time)
    pyarrow.parquet.write_table(pyarrow.table(columns), PATH)


if __name__ == "__main__":
    main()
