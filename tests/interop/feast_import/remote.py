"""Feast's quickstart goes on writing after the move: its unmodified SDK, with the `remote` store, against a sidecar that serves what
`skewless feast import` made of it. Two fields of each view are of types that nothing here holds, and the SDK sends them all the same.

    remote.py FEAST_REPO ADDRESS_OF_FEASTS_HTTP_CALLS
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import yaml
from feast import FeatureStore
from feast.data_source import PushMode

repo, address = Path(sys.argv[1]), sys.argv[2]
settings = yaml.safe_load((repo / "feature_store.yaml").read_text())
settings["online_store"] = {"type": "remote", "path": f"http://{address}"}
(repo / "feature_store.yaml").write_text(yaml.safe_dump(settings))
store = FeatureStore(repo_path=str(repo))

now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=5)


def rows(rate):
    return pd.DataFrame(
        {
            "driver_id": [1001],
            "event_timestamp": [now],
            "created": [now],
            "conv_rate": [rate],
            "acc_rate": [1.0],
            "avg_daily_trips": [1000],
            "driver_metadata": [{"vehicle_type": "truck", "rating": "5.0"}],
            "driver_config": [json.dumps({"max_distance_km": 500})],
            "driver_profile": [{"name": "driver_1001", "age": "30"}],
        }
    )


store.write_to_online_store("driver_hourly_stats", df=rows(0.25))
store.push("driver_stats_push_source", rows(0.5), to=PushMode.ONLINE)
for view, rate in (("driver_hourly_stats", 0.25), ("driver_hourly_stats_fresh", 0.5)):
    features = [f"{view}:{name}" for name in ("conv_rate", "avg_daily_trips", "driver_config")]
    came = store.get_online_features(features=features, entity_rows=[{"driver_id": 1001}]).to_dict()
    config = came.pop("driver_config")
    assert came == {"driver_id": [1001], "conv_rate": [rate], "avg_daily_trips": [1000]}, came
    assert json.loads(config[0]) == {"max_distance_km": 500}, config
print("remote: the quickstart's SDK writes and reads both views, maps and structs passed over")
