"""The same features as the bench's service `peers`: ten stored ones, and five computed in Python from them."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)

profile = FeatureView(
    name="profile",
    entities=[user],
    ttl=timedelta(days=36500),
    schema=[Field(name=f"f{at}", dtype=Float64) for at in range(10)],
    source=FileSource(path="profile.parquet", timestamp_field="event_timestamp"),
    online=True,
)


@on_demand_feature_view(
    sources=[profile],
    schema=[
        Field(name="km", dtype=Float64),
        Field(name="bearing", dtype=Float64),
        Field(name="ratio", dtype=Float64),
        Field(name="difference", dtype=Float64),
        Field(name="log_ratio", dtype=Float64),
    ],
    mode="python",
    singleton=True,
)
def computed(inputs):
    import math  # Feast ships the function without the module around it.

    lat1, lon1, lat2, lon2 = (math.radians(inputs[f"f{at}"]) for at in range(4))
    part, whole = inputs["f8"], inputs["f9"]
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    x = math.sin(lon2 - lon1) * math.cos(lat2)
    y = math.cos(lat1) * math.sin(lat2) - math.sin(lat1) * math.cos(lat2) * math.cos(lon2 - lon1)
    return {
        "km": 2 * 6371.0088 * math.asin(math.sqrt(h)),
        "bearing": math.degrees(math.atan2(x, y)) % 360,
        "ratio": part / whole,
        "difference": part - whole,
        "log_ratio": math.log(part / whole),
    }


service = FeatureService(name="peers", features=[profile, computed])
