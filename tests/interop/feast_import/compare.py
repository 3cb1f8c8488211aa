"""Compares what a sidecar answers with what Feast answers, for every entity of its online store.

    python compare.py FEAST_REPO REPO

Feast is asked by its own online_read; the sidecar by `skewless get --json` on REPO/sidecar.sock. A feature service of all
views is made for that: every value must be the same, to the last bit of a float.
"""

import json
import struct
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

DRIVERS = [1001, 1002, 1003, 1004, 1005]
NOBODY = 4711


def main(feast_repo, repo):
    store = FeatureStore(feast_repo)
    compared = 0
    for service, view in [("driver_activity_v2", "driver_hourly_stats"), ("driver_activity_v3", "driver_hourly_stats_fresh")]:
        theirs = of_feast(store, view)
        ours = of_sidecar(repo, service, view)
        for driver in [*DRIVERS, NOBODY]:
            time, values = theirs[driver]
            for feature in ("conv_rate", "acc_rate", "avg_daily_trips", "driver_config"):
                mine, missing, my_time = ours[driver][feature]
                if values is None:
                    check(missing == "NOT_FOUND", driver, feature, mine, missing)
                elif values[feature] is None:
                    check(missing == "NULL_VALUE", driver, feature, mine, missing)
                else:
                    # TTLs are of Feast's template, its data as old as the day: too old is no mistake of the copy.
                    check(missing is None and mine == values[feature], driver, feature, mine, values[feature])
                    check(my_time == time.replace(microsecond=my_time.microsecond), driver, feature, my_time, time)
                compared += 1
    print(f"{compared} values are the same")


def check(same, *what):
    if not same:
        sys.exit(f"error: they differ: {what}")


def of_feast(store, name):
    view = store.get_feature_view(name)
    keys = [EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=driver)]) for driver in [*DRIVERS, NOBODY]]
    rows = store._get_provider().online_store.online_read(store.config, view, keys, None)
    read = {}
    for driver, (time, values) in zip([*DRIVERS, NOBODY], rows):
        if time is None or time == datetime.fromtimestamp(0, timezone.utc):
            read[driver] = (None, None)
            continue
        read[driver] = (time, {feature: plain(value) for feature, value in values.items()})
    return read


def plain(value):
    kind = value.WhichOneof("val")
    return None if kind is None else getattr(value, kind)


def of_sidecar(repo, service, view):
    rows = {}
    for driver in [*DRIVERS, NOBODY]:
        words = ["skewless", "get", service, f"driver_id={driver}", "--at", "unix:sidecar.sock", "--json"]
        words += ["--request", "val_to_add=1", "--request", "val_to_add_2=2"]
        answer = json.loads(subprocess.run(words, cwd=repo, check=True, capture_output=True).stdout)
        row = answer["rows"][0]
        time = row["event_times"][view]
        time = time and datetime.fromisoformat(time.replace("Z", "+00:00"))
        rows[driver] = {}
        for name, value in row["features"].items():
            head, feature = name.split(".")
            if head != view:
                continue
            if isinstance(value, float):
                # JSON has the digits of a float32, Feast's value is that float32.
                value = struct.unpack("<f", struct.pack("<f", value))[0]
            rows[driver][feature] = (value, row["missing"].get(name), time)
    return rows


main(Path(sys.argv[1]), Path(sys.argv[2]))
