"""Compares what a sidecar answers with what Feast answers, for every entity of its online store.

    python compare.py FEAST_REPO REPO

Feast is asked by its own online_read; the sidecar by `skewless get --json` on REPO/sidecar.sock. A feature service of all
views is there for that: every value must be the same, to the last bit of a float.
"""

import json
import math
import struct
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

DRIVERS = ("driver_id", "int64_val", [1001, 1002, 1003, 1004, 1005, 4711])
THINGS = ("thing_id", "string_val", ["a", "b", "c", "nobody"])
OF_DRIVER = ("conv_rate", "acc_rate", "avg_daily_trips", "driver_config")
OF_THING = ("at", "raw", "near", "doubles", "texts", "flag", "large", "double", "json", "price")
VIEWS = [
    ("driver_activity_v2", "driver_hourly_stats", DRIVERS, OF_DRIVER),
    ("driver_activity_v3", "driver_hourly_stats_fresh", DRIVERS, OF_DRIVER),
    ("kinds", "kinds", THINGS, OF_THING),
]
#: How Feast has a timestamp that is none.
NO_TIME = -(2**63)


def main(feast_repo, repo):
    store = FeatureStore(feast_repo)
    compared, nulls = 0, set()
    for service, view, keys, features in VIEWS:
        theirs, ours = of_feast(store, view, keys), of_sidecar(repo, service, view, keys)
        for key in keys[2]:
            time, values = theirs[key]
            for feature in features:
                mine, missing, my_time = ours[key][feature]
                kind, value = values[feature] if values is not None else (None, None)
                if values is None:
                    check(missing == "NOT_FOUND", key, feature, mine, missing)
                elif value is None:
                    check(missing == "NULL_VALUE", key, feature, mine, missing)
                    nulls.add(feature)
                else:
                    # TTLs are of Feast's template, its data as old as the day: too old is no mistake of the copy.
                    check(missing is None and same(kind, mine, value), key, feature, mine, value)
                    check(my_time == time.replace(microsecond=my_time.microsecond), key, feature, my_time, time)
                compared += 1
    check(nulls >= {"at", "double"}, "there were nulls to compare", nulls)
    print(f"{compared} values are the same")


def check(same, *what):
    if not same:
        sys.exit(f"error: they differ: {what}")


def same(kind, mine, value):
    """Whether JSON of ours is a value of Feast's."""
    if kind == "bytes_val":
        return bytes.fromhex(mine.removeprefix("0x")) == value
    if kind == "unix_timestamp_val":
        return datetime.fromisoformat(mine.replace("Z", "+00:00")).timestamp() == value
    if kind == "float_val":
        return single(mine) == value
    if kind == "float_list_val":
        return [single(of) for of in mine] == list(value.val)
    if kind == "double_val":
        return mine == value and math.copysign(1, mine) == math.copysign(1, value)
    return mine == (list(value.val) if kind.endswith("_list_val") else value)


def single(value):
    """JSON has the digits of a float32, Feast's value is that float32."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def of_feast(store, name, keys):
    view, (key, kind, values) = store.get_feature_view(name), keys
    asked = [EntityKey(join_keys=[key], entity_values=[Value(**{kind: value})]) for value in values]
    rows = store._get_provider().online_store.online_read(store.config, view, asked, None)
    read = {}
    for value, (time, features) in zip(values, rows):
        if time is None or time == datetime.fromtimestamp(0, timezone.utc):
            read[value] = (None, None)
            continue
        read[value] = (time, {feature: plain(of) for feature, of in features.items()})
    return read


def plain(value):
    kind = value.WhichOneof("val")
    came = None if kind is None else getattr(value, kind)
    return kind, None if kind == "null_val" or (kind == "unix_timestamp_val" and came == NO_TIME) else came


def of_sidecar(repo, service, view, keys):
    rows = {}
    for key in keys[2]:
        # Without values of requests, which the on-demand views of its services take: Feast's may be null.
        words = ["skewless", "get", service, f"{keys[0]}={key}", "--at", "unix:sidecar.sock", "--json"]
        answer = json.loads(subprocess.run(words, cwd=repo, check=True, capture_output=True).stdout)
        row = answer["rows"][0]
        time = row["event_times"][view]
        time = time and datetime.fromisoformat(time.replace("Z", "+00:00"))
        rows[key] = {}
        for name, value in row["features"].items():
            head, feature = name.split(".")
            if head == view:
                rows[key][feature] = (value, row["missing"].get(name), time)
    return rows


main(Path(sys.argv[1]), Path(sys.argv[2]))
