"""`SkewlessOnlineStore`: what Feast asks a store for, asked of a sidecar.

A request for features is one call, on-demand views included, which the sidecar's plugins compute. Rows are written by Ingest, in
batches. What the sidecar serves is what its definitions declare: this store makes no tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
from feast import Entity, utils
from feast.feature_service import FeatureService
from feast.feature_view import DUMMY_ENTITY_ID, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from feast.value_type import ValueType

import skewless
from skewless import _skewless

from . import _definitions
from ._config import SkewlessOnlineStoreConfig
from ._errors import StoreError, StoreRefused, StoreUnsupported, StoreValueError
from ._names import Names
from ._read import Question, Vector, Wanted, dummy
from ._values import column, no_time, times, utc
from ._wire import Wire, of_client

Row = tuple[EntityKey, dict[str, Value], datetime, "datetime | None"]
Read = tuple["datetime | None", "dict[str, Value] | None"]
Progress = Callable[[int], Any]

#: The columns of times in what is sent. No name of a feature begins so.
_EVENT, _CREATED = "__event_timestamp", "__created_timestamp"


class SkewlessOnlineStore(OnlineStore):
    """A sidecar as Feast's online store; SkewlessOnlineStoreConfig has its settings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wire: Wire | None = None
        self._names: tuple[str | None, Names] | None = None
        # What the sidecar says of views, asked once; None of what is no view. Forgotten when a call is refused.
        self._views: dict[str, _skewless.Description | None] = {}

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Both."""
        return SupportedAsyncMethods(read=True, write=True)

    # Whole requests.

    def get_online_features(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """One call, transforms included; with `on_demand: feast` one for the stored features, and Feast computes."""
        if _settings(config).on_demand == "feast":
            return super().get_online_features(
                config, features, _columnar(entity_rows), registry, project, full_feature_names,
                include_feature_view_version_metadata,
            )  # fmt: skip
        asked = self._asked(
            config, features, entity_rows, registry, project, full_feature_names, include_feature_view_version_metadata
        )
        return asked.response(self._ask(config, asked.question))

    async def get_online_features_async(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """The same, awaited."""
        if _settings(config).on_demand == "feast":
            return await super().get_online_features_async(
                config, features, _columnar(entity_rows), registry, project, full_feature_names,
                include_feature_view_version_metadata,
            )  # fmt: skip
        asked = self._asked(
            config, features, entity_rows, registry, project, full_feature_names, include_feature_view_version_metadata
        )
        return asked.response(await self._ask_async(config, asked.question))

    def _asked(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool,
        metadata: bool,
    ) -> _Asked:
        (join_keys, grouped, _, on_demand, references, shown, response) = utils._prepare_entities_to_read_from_online_store(
            registry=registry,
            project=project,
            features=features,
            entity_values=_columnar(entity_rows),
            full_feature_names=full_feature_names,
            native_entity_values=True,
        )
        self._check_versioned_read_support(grouped)
        # What Feast sets out with are the join keys and what it took for request data.
        given = dict(zip(response.metadata.feature_names.val, response.results))
        request = {name: vector.values for name, vector in given.items() if name not in join_keys}
        utils._drop_unneeded_columns(response, shown)
        tables = {table.projection.name_to_use(): table for table, _ in grouped}
        tables.update({view.projection.name_to_use(): view for view in on_demand})
        wanted = []
        for reference in references:
            head, feature = reference.split(":", 1)
            wanted.append(self._wanted(config, tables[head], feature, full_feature_names))
        return _Asked(Question(wanted, join_keys, request, self._named(config), metadata), response)

    def _wanted(self, config: RepoConfig, table: Any, feature: str, full: bool) -> Wanted:
        names, projection = self._named(config), table.projection
        view = names.view(projection.name)
        called = projection.name_to_use()
        role = names.role(projection.name, called, projection.join_key_map) if projection.join_key_map else None
        if role is not None:
            view = f"{view}[{role}]"
        types = {field.name: field.dtype.to_value_type() for field in [*table.features, *projection.features]}
        reference = f"{view}:{names.feature(projection.name, feature)}"
        return Wanted(reference, f"{called}__{feature}" if full else feature, types.get(feature), _nowhere(table))

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: Any,
        join_key_values: Any,
        entity_name_to_join_key_map: Any,
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        """All views in one call: what Feast's on-demand views are computed of, with `on_demand: feast`."""
        asked = self._stored(config, grouped_refs, join_key_values, full_feature_names, include_feature_view_version_metadata)
        asked.fill(online_features_response, self._ask(config, asked.question))

    async def _read_features_per_fv_async(
        self,
        config: RepoConfig,
        grouped_refs: Any,
        join_key_values: Any,
        entity_name_to_join_key_map: Any,
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        asked = self._stored(config, grouped_refs, join_key_values, full_feature_names, include_feature_view_version_metadata)
        asked.fill(online_features_response, await self._ask_async(config, asked.question))

    def _stored(self, config: RepoConfig, grouped: Any, join_keys: Any, full: bool, metadata: bool) -> _Asked:
        wanted = [
            self._wanted(config, table, feature, full)
            for table, features in grouped
            for feature in features
            if not feature.startswith("_ts:")
        ]
        return _Asked(Question(wanted, join_keys, {}, self._named(config), metadata), GetOnlineFeaturesResponse())

    # Rows of one view.

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Read]:
        """A row a key: when it happened and its values; `(None, None)` if there is none. Of one that is too old only when."""
        question = self._rows_question(config, table, entity_keys, requested_features)
        return _rows(question, self._ask(config, question)[0])

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Read]:
        """The same, awaited."""
        question = self._rows_question(config, table, entity_keys, requested_features)
        return _rows(question, (await self._ask_async(config, question))[0])

    def _rows_question(
        self, config: RepoConfig, table: FeatureView, keys: Sequence[EntityKey], features: list[str] | None
    ) -> Question:
        names = self._named(config)
        types = {field.name: field.dtype.to_value_type() for field in table.features}
        wanted = [
            Wanted(
                f"{names.view(table.name)}:{names.feature(table.name, feature)}", feature, types.get(feature), _nowhere(table)
            )
            for feature in (features if features is not None else types)
        ]
        return Question(wanted, _key_columns(table, keys), {}, names)

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Sequence[Row], progress: Progress | None
    ) -> None:
        """Sends rows, `write_rows_max` a call, each applied whole or not at all. The newest row of a key wins, whatever the
        order; a row without a created timestamp is known from when it arrives. To send rows again is harmless."""
        view = self._named(config).view(table.name)
        for frame, created in self._batches(config, table, data):
            self._ingest(config, view, frame, created)
            if progress is not None:
                progress(frame.num_rows)

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: Sequence[Row], progress: Progress | None
    ) -> None:
        """The same, awaited; the calls are one after the other."""
        view = self._named(config).view(table.name)
        for frame, created in await asyncio.to_thread(self._batches, config, table, data):
            await asyncio.to_thread(self._ingest, config, view, frame, created)
            if progress is not None:
                progress(frame.num_rows)

    def _ingest(self, config: RepoConfig, view: str, frame: pyarrow.Table, created: bool) -> None:
        wire = self._connected(config)
        with self._forgetting():
            try:
                wire.client.ingest(view, frame, event_timestamp=_EVENT, created_timestamp=_CREATED if created else None)
            except skewless.SkewlessError as error:
                raise of_client(error, wire.address) from None

    def _batches(self, config: RepoConfig, table: FeatureView, data: Sequence[Row]) -> list[tuple[pyarrow.Table, bool]]:
        """Rows as frames, each with whether it has created timestamps."""
        settings, names = _settings(config), self._named(config)
        if not data or (settings.unstored == "leave_out" and not isinstance(table, FeatureView)):
            return []
        view = names.view(table.name)
        known = view in self._views
        try:
            return list(_batches(settings, names, table, self._described(config, view), data))
        except StoreValueError:
            # Unless the sidecar has other definitions since it was asked.
            self._views.pop(view, None)
            if not known:
                raise
            return list(_batches(settings, names, table, self._described(config, view), data))

    def _described(self, config: RepoConfig, view: str) -> _skewless.Description:
        described = self._views.get(view)
        if described is None:
            described = self._views[view] = _definitions.describe(self._connected(config), view)
        return described

    # Definitions.

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Refuses to apply what the sidecar doesn't serve, or with `repo` wouldn't take. Only what is not refused changes anything:
        the rows of deleted views go, and with `repo` the definitions are served."""
        wire, settings, names = self._connected(config), _settings(config), self._named(config)
        # It takes a view that is served still; of the names those of before.
        empty = lambda: self._empty(config, names, tables_to_delete)  # noqa: E731
        registry = None
        if settings.repo is not None:
            registry = _definitions.applied(config, tables_to_keep, tables_to_delete, entities_to_keep)
        self._views.clear()
        if registry is not None and (registry.feature_views or registry.stream_feature_views):
            _definitions.write(registry, config, settings, wire, tables_to_keep, empty)
            self._names = None
            self._views.clear()
        else:
            _definitions.check(_definitions.served(wire), settings, names, tables_to_keep)
            empty()

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Removes the rows of the views. Definitions stay: they aren't Feast's."""
        self._empty(config, self._named(config), tables)
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def write_definitions(self, config: RepoConfig) -> None:
        """Writes what the registry has into `repo`, services with it, and has the sidecar read it."""
        settings = _settings(config)
        if settings.repo is None:
            raise StoreError(
                "expected `repo` of online_store in feature_store.yaml, came none",
                next_step="set it to the folder of definitions that the sidecar serves",
                code="FAILED_PRECONDITION",
            )
        _definitions.write(_definitions.committed(config), config, settings, self._connected(config))
        self._names = None

    def _empty(self, config: RepoConfig, names: Names, tables: Sequence[Any]) -> None:
        settings = _settings(config)
        if not tables or not settings.delete_rows:
            return
        wire = self._connected(config)
        served = set(_definitions.views_of(wire))
        for table in tables:
            view = names.view(table.name)
            if view not in served:
                continue
            try:
                wire.empty(view)
            except StoreRefused as error:
                error.message = f"rows of view `{view}` can't be removed: {error.message}"
                error.next_step = "let listen.admin allow it, or leave the rows: `delete_rows: false` of online_store"
                raise

    # What Skewless doesn't do.

    def retrieve_online_documents(self, *_: Any, **__: Any) -> Any:
        """None: a sidecar searches no vectors."""
        raise _no_search()

    def retrieve_online_documents_v2(self, *_: Any, **__: Any) -> Any:
        """None: a sidecar searches no vectors."""
        raise _no_search()

    def write_precomputed_vector(self, *_: Any, **__: Any) -> None:
        """None: a service is computed when it is asked for, in one call."""
        raise StoreUnsupported(
            "expected rows of a view, came a feature service to be stored precomputed",
            next_step="leave `precompute_online` out: a sidecar answers the whole service in one call",
        )

    # Connections.

    async def initialize(self, config: RepoConfig) -> None:
        """Makes ready what calls need; they open the connection."""
        self._connected(config)

    async def close(self) -> None:
        """Ends the connections of this process and loop."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close_async()
            wire.close()

    def _connected(self, config: RepoConfig) -> Wire:
        settings = _settings(config)
        with self._lock:
            if self._wire is None or self._wire.address != settings.address:
                try:
                    self._wire = Wire(settings.address, settings.timeout_s)
                except skewless.SkewlessError as error:
                    raise of_client(error, settings.address) from None
            return self._wire

    def _named(self, config: RepoConfig) -> Names:
        settings = _settings(config)
        path = settings.names
        if path is None and settings.repo is not None:
            beside = Path(settings.repo, _definitions.NAMES)
            path = str(beside) if beside.exists() else None
        if self._names is None or self._names[0] != path:
            self._names = (path, Names(path))
        return self._names[1]

    def _ask(self, config: RepoConfig, question: Question) -> tuple[list[Vector], list[Any]]:
        wire, settings = self._connected(config), _settings(config)
        with self._forgetting():
            question.leave_out(self._unstored(config, question.wanted))
            return question.answer([wire.get(part) for part in question.parts(settings.read_rows_max)])

    async def _ask_async(self, config: RepoConfig, question: Question) -> tuple[list[Vector], list[Any]]:
        wire, settings = self._connected(config), _settings(config)
        with self._forgetting():
            unstored = self._unstored_if_known(config, question.wanted)
            if unstored is None:
                # The client that describes views has no awaitable form; the loop is not to wait for it.
                unstored = await asyncio.to_thread(self._unstored, config, question.wanted)
            question.leave_out(unstored)
            return question.answer([await wire.get_async(part) for part in question.parts(settings.read_rows_max)])

    def _unstored(self, config: RepoConfig, wanted: Sequence[Wanted]) -> set[str]:
        """References to features that the sidecar's views don't have, if those are left out: it is asked once a view."""
        if _settings(config).unstored == "refuse":
            return set()
        find = _definitions.served(self._connected(config))
        found: dict[str, _skewless.Description | None] = {}
        for view in dict.fromkeys(_view_of(of) for of in wanted if not of.nowhere):
            try:
                found[view] = self._views[view]
            except KeyError:
                # None of a transform, or of nothing at all, of which the sidecar will say so.
                found[view] = self._views[view] = find(view)
        return _missing(found, wanted)

    def _unstored_if_known(self, config: RepoConfig, wanted: Sequence[Wanted]) -> set[str] | None:
        """The same without asking; None if it takes that."""
        if _settings(config).unstored == "refuse":
            return set()
        # At once: another thread may forget them.
        known = self._views.copy()
        return _missing(known, wanted) if all(of.nowhere or _view_of(of) in known for of in wanted) else None

    @contextlib.contextmanager
    def _forgetting(self) -> Iterator[None]:
        """If the sidecar refuses a call, it may have other definitions since."""
        try:
            yield
        except StoreRefused:
            self._views.clear()
            raise


def _view_of(wanted: Wanted) -> str:
    """The sidecar's view, without its role."""
    return wanted.reference.split(":", 1)[0].split("[", 1)[0]


def _nowhere(table: Any) -> bool:
    """Whether no sidecar stores or computes what it has: neither features nor what is made of them, but labels."""
    return not isinstance(table, (FeatureView, OnDemandFeatureView))


def _missing(described: Mapping[str, _skewless.Description | None], wanted: Sequence[Wanted]) -> set[str]:
    missing: set[str] = set()
    for of in wanted:
        if of.nowhere:
            missing.add(of.reference)
            continue
        view, feature = described[_view_of(of)], of.reference.split(":", 1)[1]
        if view is not None and all(name != feature for name, _, _ in view.features):
            missing.add(of.reference)
    return missing


def _batches(
    settings: SkewlessOnlineStoreConfig, names: Names, table: FeatureView, described: _skewless.Description, data: Sequence[Row]
) -> Iterator[tuple[pyarrow.Table, bool]]:
    view = names.view(table.name)
    keys = {name: of for name, of, _ in described.keys}
    features = {name: of for name, of, _ in described.features}
    # Whether a time of knowing is given is said once a call.
    for created in (True, False):
        rows = [(number, row) for number, row in enumerate(data) if no_time(row[3]) != created]
        for first in range(0, len(rows), settings.write_rows_max):
            numbers = [number for number, _ in rows[first : first + settings.write_rows_max]]
            part = [row for _, row in rows[first : first + settings.write_rows_max]]
            of_keys = [_keys_of(names, table.name, row[0]) for row in part]
            of_features = [_features_of(names, table.name, row[1]) for row in part]
            columns = {
                **_columns(view, "key", keys, of_keys, numbers, "refuse"),
                **_columns(view, "feature", features, of_features, numbers, settings.unstored),
                _EVENT: times([row[2] for row in part], numbers),
            }
            if created:
                columns[_CREATED] = times([row[3] for row in part if row[3] is not None], numbers)
            yield pyarrow.table(columns), created


class _Asked(NamedTuple):
    """A request of Feast's, and the response that it begins with."""

    question: Question
    begun: GetOnlineFeaturesResponse

    def fill(self, response: GetOnlineFeaturesResponse, answer: tuple[list[Vector], list[Any]]) -> None:
        vectors, metadata = answer
        response.metadata.feature_names.val.extend(of.name for of in self.question.wanted)
        response.results.extend(vectors)
        response.metadata.feature_view_metadata.extend(metadata)

    def response(self, answer: tuple[list[Vector], list[Any]]) -> OnlineResponse:
        self.fill(self.begun, answer)
        types = {of.name: of.type for of in self.question.wanted if of.type not in (None, ValueType.UNKNOWN)}
        return OnlineResponse(self.begun, feature_types=types)


def _settings(config: RepoConfig) -> SkewlessOnlineStoreConfig:
    settings = config.online_store
    assert isinstance(settings, SkewlessOnlineStoreConfig), settings
    return settings


def _columnar(rows: Any) -> Mapping[str, Any]:
    if not isinstance(rows, list):
        return rows
    columns: dict[str, list[Any]] = {name: [] for name in (rows[0] if rows else {})}
    for row in rows:
        if row.keys() != columns.keys():
            raise ValueError("All entity_rows must have the same keys.")
        for name, value in row.items():
            columns[name].append(value)
    return columns


def _key_columns(table: Any, keys: Sequence[EntityKey]) -> dict[str, list[Value]]:
    if not keys:
        return {}
    columns: dict[str, list[Value]] = {name: [] for name in keys[0].join_keys}
    for row, key in enumerate(keys):
        if set(key.join_keys) != columns.keys():
            raise StoreValueError(
                f"view `{table.name}`, key {row} (counted from 0): expected join keys {', '.join(columns)}, came {', '.join(key.join_keys)}"
            )
        for name, value in zip(key.join_keys, key.entity_values):
            columns[name].append(value)
    return columns or dummy(len(keys))


def _rows(question: Question, vectors: list[Vector]) -> list[Read]:
    read: list[Read] = []
    for row in range(question.rows):
        statuses = [vector.statuses[row] for vector in vectors]
        if not statuses or all(status == FieldStatus.NOT_FOUND for status in statuses):
            read.append((None, None))
            continue
        when = next(
            vector.event_timestamps[row].ToDatetime() for vector, status in zip(vectors, statuses) if status != FieldStatus.NOT_FOUND
        )
        # A null is a value that is there; one that is too old isn't.
        values = {
            of.name: vector.values[row]
            for of, vector, status in zip(question.wanted, vectors, statuses)
            if status in (FieldStatus.PRESENT, FieldStatus.NULL_VALUE)
        }
        read.append((utc(when), values))
    return read


def _keys_of(names: Names, view: str, key: EntityKey) -> dict[str, Value]:
    keys = {names.key_column(view, name): value for name, value in zip(key.join_keys, key.entity_values)}
    return keys or {names.join_key(DUMMY_ENTITY_ID): Value(string_val="")}


def _features_of(names: Names, view: str, features: Mapping[str, Value]) -> dict[str, Value]:
    return {names.feature(view, name): value for name, value in features.items()}


def _columns(
    view: str, noun: str, declared: Mapping[str, str], rows: Sequence[Mapping[str, Value]], numbers: Sequence[int], unstored: str
) -> dict[str, pyarrow.Array]:
    """The columns that rows have. One that isn't declared is refused if it has a value, unless it is to be left out."""
    came = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, pyarrow.Array] = {}
    for name in came:
        values = [row.get(name) for row in rows]
        of = declared.get(name)
        if of is not None:
            columns[name] = column(name, of, values, numbers)
        elif unstored == "refuse" and any(value is not None and value.WhichOneof("val") is not None for value in values):
            raise StoreValueError(
                f"view `{view}`: expected {noun}s {', '.join(declared)}, came a value of `{name}`",
                next_step="declare it in the sidecar's definitions, or let it be left out: `unstored: leave_out` of online_store",
            )
    return columns


def _no_search() -> StoreUnsupported:
    return StoreUnsupported(
        "expected a request for features, came a search of vectors",
        next_step="a sidecar searches none; keep the view that is searched in another store",
    )
