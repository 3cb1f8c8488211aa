"""Skewless among the stores that Feast's universal tests run against: Feast reads it by FULL_REPO_CONFIGS_MODULE.

Every test has a sidecar of its own, whose definitions `feast apply` writes (`repo`). Its on-demand views are Python of the test's, so
Feast computes them, and its maps and structs, which no column holds, are left out.
"""

import os
import shutil
import tempfile
from pathlib import Path

from sidecar import BEGIN, Sidecar
from tests.universal.feature_repos.universal.data_sources.file import FileDataSourceCreator
from tests.universal.feature_repos.universal.online_store_creator import OnlineStoreCreator

TYPE = "feast_skewless.SkewlessOnlineStore"


class SkewlessOnlineStoreCreator(OnlineStoreCreator):
    def __init__(self, project_name, **kwargs):
        super().__init__(project_name)
        self.repo, self.sidecar = None, None

    def create_online_store(self):
        self.repo = Path(tempfile.mkdtemp(prefix="skewless-universal-"))
        (self.repo / "begin.yaml").write_text(BEGIN)
        self.sidecar = Sidecar(self.repo)
        return {
            "type": TYPE,
            "address": self.sidecar.address,
            "repo": str(self.repo),
            "on_demand": "feast",
            "unstored": "leave_out",
        }

    def teardown(self):
        self.sidecar.stop()
        shutil.rmtree(self.repo)


class Stores(dict):
    """One store, which stands for those that tests name, too: where they want one that does what they are about."""

    standing_for = os.environ.get("SKEWLESS_STANDS_FOR", "redis,sqlite").split(",")

    def __contains__(self, name):
        return super().__contains__(name) or name in self.standing_for

    def get(self, name, default=None):
        return next(iter(self.values())) if name in self else default


AVAILABLE_OFFLINE_STORES = [("local", FileDataSourceCreator)]
AVAILABLE_ONLINE_STORES = Stores(skewless=({"type": TYPE}, SkewlessOnlineStoreCreator))
