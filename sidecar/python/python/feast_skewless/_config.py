"""The settings of the store, as feature_store.yaml has them under `online_store`."""

from __future__ import annotations

from typing import Literal, Optional

from feast.repo_config import FeastConfigBaseModel
from pydantic import PositiveFloat, PositiveInt, StrictStr


class SkewlessOnlineStoreConfig(FeastConfigBaseModel):
    """Where the sidecar is, and how it is asked."""

    type: Literal["feast_skewless.SkewlessOnlineStore"] = "feast_skewless.SkewlessOnlineStore"

    address: StrictStr = "127.0.0.1:7667"
    """`host:port` of listen.tcp, or `unix:PATH` of listen.unix."""

    timeout_s: PositiveFloat = 10.0
    """Seconds that a call may take."""

    read_rows_max: PositiveInt = 4096
    """Most rows of one call that reads: limits.rows_max of the sidecar. A larger request becomes several."""

    write_rows_max: PositiveInt = 8192
    """Most rows of one call that writes, at most limits.ingest_rows_max. Progress is told after each."""

    on_demand: Literal["sidecar", "feast"] = "sidecar"
    """Who computes on-demand views: the sidecar's plugins, in the same call, or Feast's Python in this process."""

    unstored: Literal["refuse", "leave_out"] = "refuse"
    """What to do with a feature that the sidecar's view doesn't have: refuse it, or leave it out, where it reads as NOT_FOUND."""

    check: Literal["refuse", "warn", "off"] = "refuse"
    """What `feast apply` does if the sidecar's views don't fit what is applied."""

    delete_rows: bool = True
    """Whether views that `feast apply` deletes and `feast teardown` lose their rows in the sidecar."""

    repo: Optional[StrictStr] = None
    """For development: the folder of definitions that the sidecar serves. `feast apply` writes the applied views there, and has it read again."""

    command: StrictStr = "skewless"
    """The `skewless` command, which `repo` needs."""

    names: Optional[StrictStr] = None
    """feast.json of `skewless feast import`, if names differ. Unless given, that in `repo`."""
