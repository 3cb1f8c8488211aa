"""Feast's names to the sidecar's: the same, but for those that `skewless feast import` had to change and keeps in feast.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feast.feature_view import DUMMY_ENTITY_ID

from ._errors import StoreError


class Names:
    """What views, features, join keys, roles and values of requests of Feast are called in the sidecar."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._views: dict[str, str] = {}
        self._features: dict[tuple[str, str], str] = {}
        self._columns: dict[tuple[str, str], str] = {}
        self._roles: dict[str, list[tuple[str, dict[str, str]]]] = {}
        # The import calls the key of views without entity so, as no name here begins with `_`.
        self._keys: dict[str, list[str]] = {DUMMY_ENTITY_ID: ["dummy_id"]}
        self._requests: dict[str, list[str]] = {}
        if path is not None:
            self._read(Path(path))

    def _read(self, path: Path) -> None:
        try:
            written: dict[str, Any] = json.loads(path.read_text())
            for ours, view in written["views"].items():
                self._views[view["name"]] = ours
                for feature, theirs in view["features"].items():
                    self._features[view["name"], theirs] = feature
                asked = {theirs: key for key, theirs in view.get("join_keys", {}).items()}
                for column, theirs in view["keys"].items():
                    self._columns[view["name"], theirs] = column
                    _add(self._keys, theirs, asked.get(theirs, column))
                # One that was imported before roles were kept has no join keys either.
                if "join_keys" in written:
                    self._roles[view["name"]] = list(view.get("roles", {}).items())
            for ours, transform in written.get("transforms", {}).items():
                self._views[transform["name"]] = ours
                for output, theirs in transform["features"].items():
                    self._features[transform["name"], theirs] = output
            for into, names in ((self._keys, "join_keys"), (self._requests, "requests")):
                for ours, theirs in written.get(names, {}).items():
                    _add(into, theirs, ours)
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

    def role(self, view: str, called: str, join_key_map: Mapping[str, str]) -> str | None:
        """The role in which the entity of a view, by Feast's name, is asked under these join keys; None: under its own."""
        roles = self._roles.get(view)
        if roles is None:
            # No import has said: whoever wrote the definitions calls a role as the projection that it is of.
            return called if any(theirs != own for own, theirs in join_key_map.items()) else None
        keys = [theirs for of, theirs in self._columns if of == view]
        wanted = {key: join_key_map.get(key, key) for key in keys}
        if all(own == theirs for own, theirs in wanted.items()):
            return None
        for role, asked in roles:
            if asked == wanted:
                return role
        shown = ", ".join(f"{own} as {theirs}" for own, theirs in wanted.items())
        raise StoreError(
            f"expected a role of view `{view}` in {self._path}, as the sidecar is asked by it for join keys {shown}, came none",
            next_step="import the registry anew with the feature service in it; with `repo` of online_store: "
            "`python -m feast_skewless FEAST_REPO` writes the services, too",
            code="FAILED_PRECONDITION",
        )

    def asked(self, feast: str) -> list[str]:
        """What a column is called with which rows are asked for: more than one name if Feast's is of two types."""
        return list(dict.fromkeys([*self._keys.get(feast, ()), *self._requests.get(feast, ())])) or [feast]

    def join_key(self, feast: str) -> str:
        """A join key's, as it is asked by."""
        return self._keys.get(feast, [feast])[0]

    def key_column(self, view: str, feast: str) -> str:
        """A join key's, as the rows of a view have it, which is by Feast's name."""
        return self._columns.get((view, feast)) or self.join_key(feast)


def _add(names: dict[str, list[str]], feast: str, ours: str) -> None:
    of = names.setdefault(feast, [])
    if ours not in of:
        of.append(ours)
