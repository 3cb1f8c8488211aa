"""Applies the definitions and writes the bench's 20,000 entities, with the values that the bench's own store has;
then the same rows as plain values for the line of Redis alone."""

from datetime import datetime, timezone

import pandas as pd
import redis
import yaml
from feast import FeatureStore

import definitions

ENTITIES = 20_000
FIRST_KEY = 1_000_000

rows = pd.DataFrame(
    {
        "user_id": [FIRST_KEY + entity for entity in range(ENTITIES)],
        "event_timestamp": datetime(2013, 7, 1, 15, 20, tzinfo=timezone.utc),
        **{f"f{at}": [((entity * 7 + at * 13) % 8_900) / 100 + 1 for entity in range(ENTITIES)] for at in range(10)},
    }
)
rows.to_parquet("profile.parquet")
store = FeatureStore(repo_path=".")
store.apply([definitions.user, definitions.profile, definitions.computed, definitions.service])
store.write_to_online_store("profile", rows)

host, port = yaml.safe_load(open("feature_store.yaml"))["online_store"]["connection_string"].split(":")
plain = redis.Redis(host=host, port=int(port)).pipeline(transaction=False)
for entity in range(ENTITIES):
    plain.set(f"plain:{FIRST_KEY + entity}", b"\0" * 80)
plain.execute()
