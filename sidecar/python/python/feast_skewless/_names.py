"""Feast's names to the sidecar's: the same, but for those that `skewless feast import` had to change and keeps in feast.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from feast.feature_view import DUMMY_ENTITY_ID

from ._errors import StoreError


class Names:
    """What views, features and join keys of Feast are called in the sidecar."""

    def __init__(self, path: str | None) -> None:
        self._views: dict[str, str] = {}
        self._features: dict[tuple[str, str], str] = {}
        self._columns: dict[tuple[str, str], str] = {}
        # The import calls the key of views without entity so, as no name here begins with `_`.
        self._keys: dict[str, str] = {DUMMY_ENTITY_ID: "dummy_id"}
        if path is not None:
            self._read(Path(path))

    def _read(self, path: Path) -> None:
        try:
            views: dict[str, Any] = json.loads(path.read_text())["views"]
            for ours, view in views.items():
                self._views[view["name"]] = ours
                for feature, theirs in view["features"].items():
                    self._features[view["name"], theirs] = feature
                asked = {theirs: key for key, theirs in view.get("join_keys", {}).items()}
                for column, theirs in view["keys"].items():
                    self._columns[view["name"], theirs] = column
                    self._keys[theirs] = asked.get(theirs, column)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"expected Feast's names as `skewless feast import` writes them in {path}, came: {error!r}",
                next_step="name its feast.json as `names` of online_store, or leave `names` out if no name differs",
                code="FAILED_PRECONDITION",
            ) from None

    def view(self, feast: str) -> str:
        """A view's."""
        return self._views.get(feast, feast)

    def feature(self, view: str, feast: str) -> str:
        """A feature's, of a view by Feast's name."""
        return self._features.get((view, feast), feast)

    def join_key(self, feast: str) -> str:
        """A join key's, as it is asked by."""
        return self._keys.get(feast, feast)

    def key_column(self, view: str, feast: str) -> str:
        """A join key's, as the rows of a view have it, which is by Feast's name."""
        return self._columns.get((view, feast)) or self.join_key(feast)
