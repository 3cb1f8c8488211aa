"""Both sides, once for all tests."""

import json
import os
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
from both import HERE, Ours, Theirs, feast_repo

WORK = Path(os.environ["SKEWLESS_FEAST_DIFFERENCES"])
NOW = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=5)
#: By customer: count, spent, when.
ROWS = {1: (2, 30.0, NOW), 2: (0, 5.0, NOW), 3: (None, 1.0, NOW), 4: (7, 70.0, NOW - timedelta(hours=2))}


#: As `skewless feast import` writes it: of a view with a feature that it has no type for, of one without entity, of names that it
#: changes, and of services with a view under another name.
NAMES = {
    "project": "differences",
    "views": {
        "mapped": {"name": "mapped", "keys": {"customer_id": "customer_id"}, "features": {"count": "count"}, "left_out": ["left_out"]},
        "rates": {"name": "rates", "keys": {"dummy_id": "__dummy_id"}, "features": {"rate": "rate"}},
        "visitstats": {"name": "visitStats", "keys": {"customer_id": "customer_id"}, "features": {"perday": "perDay"}},
    },
    "join_keys": {"customer_id": "customer_id", "dummy_id": "__dummy_id"},
    "services": {
        "at_home": {"name": "at_home", "features": {"home__count": "home:count"}},
        "both_names": {"name": "both_names", "features": {"orders.count": "orders:count", "home__count": "home:count"}},
        "visits_1": {"name": "Visits 1", "features": {"visitstats.perday": "visitStats:perDay"}},
    },
}


def frame(rows):
    """Rows as Feast takes them, and a file of history."""
    return pd.DataFrame(
        {
            "customer_id": list(rows),
            "count": pd.array([count for count, _, _ in rows.values()], dtype="Int64"),
            "spent": [spent for _, spent, _ in rows.values()],
            "event_timestamp": [when for _, _, when in rows.values()],
        }
    )


def df(rows):
    """The same as JSON has it."""
    return {
        "customer_id": list(rows),
        "count": [count for count, _, _ in rows.values()],
        "spent": [spent for _, spent, _ in rows.values()],
        "event_timestamp": [when.isoformat() for _, _, when in rows.values()],
    }


@pytest.fixture(scope="session")
def definitions():
    sys.path.insert(0, str(HERE))
    import definitions

    return definitions


@pytest.fixture(scope="session")
def apply(definitions):
    """Feast's store of a Feast repo, with everything applied and the rows written."""

    def apply(folder):
        from feast import FeatureStore
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        frame(ROWS).to_parquet(folder / "orders.parquet")
        store = FeatureStore(repo_path=str(folder))
        d = definitions
        store.apply(d.everything_applied)
        online, view = store._get_provider().online_store, store.get_feature_view("orders")
        data = []
        for customer, (count, spent, when) in ROWS.items():
            key = EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=customer)])
            values = {"count": Value() if count is None else Value(int64_val=count), "spent": Value(double_val=spent)}
            data.append((key, values, when, None))
        online.online_write_batch(store.config, view, data, None)
        return store

    return apply


@pytest.fixture(scope="session")
def store(apply, tmp_path_factory):
    """The Feast repo whose servers answer."""
    return apply(feast_repo(tmp_path_factory.mktemp("feast") / "repo"))


@pytest.fixture(scope="session")
def theirs(store):
    side = Theirs(Path(store.repo_path))
    yield side
    side.stop()


@pytest.fixture(scope="session")
def ours():
    from both import post

    frame(ROWS).to_parquet(WORK / "repo" / "orders.parquet")
    (WORK / "repo" / "feast.json").write_text(json.dumps(NAMES))
    side = Ours(WORK / "repo")
    assert post(side.http, "/write-to-online-store", {"feature_view_name": "orders", "df": df(ROWS)})[0] == 200
    yield side
    side.stop()
