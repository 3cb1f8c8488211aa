"""Makes fixtures/ with real Feast (requirements.txt): run by hand when a fixture is to change, never by the tests.

    python make_fixtures.py

registry.db   the registry of shop.py, as `feast apply` writes it
online.db     a SQLite online store with rows of some of its views, written by Feast's own online_write_batch
redis.txt     the same rows as Feast writes them into Redis: a line a hash, `key field value field value ..`, all in hex;
              made by a Redis client that keeps what it is given, since what matters is what Feast gives it
keys.txt      entity keys in the versions that Feast could ever write, a line each: a name and the key in hex
"""

import os
import shutil
import sqlite3
import sys
import tempfile
import warnings
from datetime import datetime, timezone
from pathlib import Path

os.environ["TZ"] = "UTC"
os.environ["FEAST_USAGE"] = "False"

from feast import FeatureStore, OnDemandFeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import (
    DoubleList,
    FloatList,
    Int32List,
    Int64List,
    StringList,
    Value,
)
from feast.repo_config import RepoConfig
from feast.type_map import NULL_TIMESTAMP_INT_VALUE

HERE = Path(__file__).parent
OUT = HERE / "fixtures"
T1 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)
T2 = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=timezone.utc)


def value(kind, of):
    return Value(**{f"{kind}_val": of})


def key(*pairs):
    return EntityKey(join_keys=[name for name, _ in pairs], entity_values=[of for _, of in pairs])


FULL = {
    "flag": value("bool", True),
    "small": value("int32", -5),
    "large": value("int64", -(2**63)),
    "single": value("float", 0.1),
    "double": value("double", 0.1),
    "text": value("string", "Zürich"),
    "raw": value("bytes", b"\x00\xff"),
    "at": value("unix_timestamp", -1),
    "ints": value("int64_list", Int64List(val=[1, -2])),
    "doubles": value("double_list", DoubleList(val=[0.5])),
    "texts": value("string_list", StringList(val=["a", ""])),
    "vector": value("float_list", FloatList(val=[1, 2, 3])),
    "singles": value("float_list", FloatList(val=[0.1])),
    "smalls": value("int32_list", Int32List(val=[7])),
    "json": value("json", '{"a": 1}'),
    "price": value("decimal", "1.10"),
    "parts": value("uuid_list", StringList(val=["5e8b2b1e-0c55-4b0e-9d3b-2f6f9f1c0a11"])),
    "more": value("string", "of a type that isn't carried over"),
}
NULLS = {name: Value() for name in FULL}

ROWS = {
    "orders": [
        (key(("customer_id", value("int64", 1))), FULL, T1, T2),
        (key(("customer_id", value("int64", -2))), NULLS, T2, None),
        # A vector of another length, and a value of another type: rows that can't be taken.
        (key(("customer_id", value("int64", 3))), {**FULL, "vector": value("float_list", FloatList(val=[1]))}, T1, None),
        (key(("customer_id", value("int64", 4))), {**FULL, "large": value("string", "7")}, T1, None),
        # What Feast makes of pandas' NaT.
        (key(("customer_id", value("int64", 5))), {**FULL, "at": value("unix_timestamp", NULL_TIMESTAMP_INT_VALUE)}, T1, None),
    ],
    "Place-Visits": [
        (
            key(("place_id", value("string", "Ulm"))),
            {"7dVisits": value("int64", 7), "type": value("string", "park"), "null": value("double", 2.5)},
            T1,
            T1,
        ),
    ],
    "weather": [(key(("place_id", value("string", "Ulm"))), {"wind": value("double", 3.5)}, T2, None)],
    "loyalty": [
        (
            key(("place_id", value("string", "Ulm")), ("customer_id", value("int64", 1))),
            {"points": value("int64", 12)},
            T1,
            None,
        ),
    ],
    "everywhere": [(key(("__dummy_id", value("string", ""))), {"rate": value("double", 1.25)}, T1, None)],
}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    repo = Path(tempfile.mkdtemp())
    shutil.copy(HERE / "shop.py", repo)
    (repo / "feature_store.yaml").write_text(
        "project: Shop\nregistry: registry.db\nprovider: local\nonline_store: {type: sqlite, path: online.db}\n"
        "entity_key_serialization_version: 3\n"
    )
    apply(repo)
    store = FeatureStore(str(repo))
    config, views = store.config, {view.name: view for view in store.list_all_feature_views()}
    for name, rows in ROWS.items():
        SqliteOnlineStore().online_write_batch(config, views[name], rows, None)
    write_odd_rows(repo / "online.db")
    shutil.copy(repo / "registry.db", OUT / "registry.db")
    compact(repo / "online.db", OUT / "online.db")
    (OUT / "redis.txt").write_text(redis_hashes(repo, views))
    (OUT / "keys.txt").write_text(keys())
    shutil.rmtree(repo)


def apply(repo):
    # The repo's own modules, without the imports that `feast apply` would do by the folder's name.
    sys.path.insert(0, str(repo))
    import shop

    objects = [
        of
        for of in vars(shop).values()
        if type(of).__module__.startswith("feast") and hasattr(of, "to_proto") and not isinstance(of, type)
    ]
    # Feast runs the functions of on-demand views on samples to check the types that are said, and has no sample of a Map.
    OnDemandFeatureView.infer_features = lambda _: None
    store = FeatureStore(str(repo))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The types are all said, so no data is looked at.
        store.apply([of for of in objects if type(of).__name__ != "RequestSource"])


def write_odd_rows(path):
    """What a store can hold, too: a key of version 2, one that is cut short, a row without a time."""
    with sqlite3.connect(path) as db:
        old = quiet(serialize_entity_key, key(("place_id", value("string", "Old"))), 2)
        whole = serialize_entity_key(key(("place_id", value("string", "Cut"))), 3)
        no_time = serialize_entity_key(key(("place_id", value("string", "Never"))), 3)
        wind = value("double", 1.0).SerializeToString()
        for bytes_of, time in [(old, 1), (whole[:-1], 1), (no_time, None)]:
            db.execute(
                'INSERT INTO "Shop_weather" (entity_key, feature_name, value, event_ts) VALUES (?, ?, ?, ?)',
                (bytes_of, "wind", wind, time),
            )


def compact(path, out):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA page_size = 512")
        db.execute("VACUUM")
    shutil.copy(path, out)


def redis_hashes(repo, views):
    hashes = {}

    class Pipe:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def hmget(self, name, _):
            self.asked = getattr(self, "asked", [])
            self.asked.append(name)

        def hset(self, name, mapping):
            for field, of in mapping.items():
                field = field.encode() if isinstance(field, str) else field
                hashes.setdefault(bytes(name), {})[field] = of

        def execute(self):
            asked, self.asked = getattr(self, "asked", []), []
            return [[None] for _ in asked]

    class Client:
        def pipeline(self, transaction=True):
            return Pipe()

    config = RepoConfig(
        project="Shop",
        registry="registry.db",
        provider="local",
        repo_path=repo,
        online_store=RedisOnlineStoreConfig(),
        entity_key_serialization_version=3,
    )
    redis = RedisOnlineStore()
    redis._client = Client()
    for name, rows in ROWS.items():
        redis.online_write_batch(config, views[name], rows, None)
    lines = []
    for name, fields in sorted(hashes.items()):
        pairs = [part.hex() for pair in sorted(fields.items()) for part in pair]
        # A null value has no bytes.
        lines.append(" ".join([name.hex(), *(part or "-" for part in pairs)]))
    return "\n".join(lines) + "\n"


def keys():
    def line(name, version, *pairs):
        return f"{name} {quiet(serialize_entity_key, key(*pairs), version).hex()}\n"

    one = ("driver_id", value("int64", 1))
    return "".join(
        [
            line("int64", 3, ("driver_id", value("int64", -7))),
            line("int32", 3, ("driver_id", value("int32", -(2**31)))),
            line("text", 3, ("city", value("string", "Zürich"))),
            line("empty_text", 3, ("__dummy_id", value("string", ""))),
            line("bytes", 3, ("digest", value("bytes", b"\x00\xff\x02"))),
            line("time", 3, ("day", value("unix_timestamp", 86_400))),
            line("two", 3, one, ("city", value("string", "Ulm"))),
            line("version_2", 2, one),
            line("version_2_two", 2, one, ("city", value("string", "Ulm"))),
            line("version_1", 1, one),
        ]
    )


def quiet(function, *words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*words)


main()
