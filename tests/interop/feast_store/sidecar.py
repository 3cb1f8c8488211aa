"""A sidecar on free ports, for the tests of this folder and others of Feast's."""

import json
import os
import re
import subprocess
import time
import urllib.request

BOUND_S = 120  # far above what any machine needs to start
#: A sidecar serves at least something.
BEGIN = """
entities: [{name: nobody, keys: [{name: nobody_id, type: int64}]}]
views: [{name: nothing, entity: nobody, features: [{name: zero, type: int64}]}]
services: [{name: begin, features: [nothing.zero]}]
"""


class Sidecar:
    """`skewless serve` in a folder of definitions; ends with `stop`."""

    def __init__(self, repo, *flags):
        self.repo, self.log = repo, repo / "sidecar.log"
        words = ["skewless", "serve", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-json", *flags]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(words, cwd=repo, stdout=log, stderr=log)
        said = self._ready()
        self.address, self.http, self.feast_http = said["tcp"], said["http"], said.get("feast_http")

    def _ready(self):
        until = time.monotonic() + BOUND_S
        while time.monotonic() < until and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                fields = json.loads(line).get("fields", {})
                if fields.get("message") == "ready":
                    return fields
            time.sleep(0.05)
        self.process.kill()
        raise AssertionError(f"the sidecar didn't start:\n{self.log.read_text()}")

    def calls(self, method):
        """How many calls of a method it has answered."""
        text = urllib.request.urlopen(f"http://{self.http}/metrics").read().decode()
        lines = [line for line in text.splitlines() if re.match(r"skewless_calls_total\{", line) and method in line]
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))

    def stop(self):
        """Ends it; it must end well."""
        self.process.terminate()
        ended = self.process.wait(BOUND_S)
        assert ended == 0, f"the sidecar ended with {ended}:\n{self.log.read_text()}"


def feature_store(folder, address, **settings):
    """A Feast repo in a folder, whose online store is that sidecar."""
    import yaml
    from feast import FeatureStore

    os.environ["FEAST_USAGE"] = "False"
    folder.mkdir(parents=True, exist_ok=True)
    online = {"type": "feast_skewless.SkewlessOnlineStore", "address": address, **settings}
    (folder / "feature_store.yaml").write_text(
        yaml.safe_dump(
            {
                "project": "shop",
                "registry": str(folder / "registry.db"),
                "provider": "local",
                "entity_key_serialization_version": 3,
                "online_store": online,
            }
        )
    )
    return FeatureStore(repo_path=str(folder))
