"""What Feast applies against what the sidecar serves; and, for development, the sidecar's definitions made of what Feast applies.

The sidecar's definitions live elsewhere: in a feature repo that is reviewed and deployed. So `feast apply` compares, and only changes
them if `repo` says where they are. What it writes there is one file of its own, beside those of your own.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml
from feast import FeatureStore, FeatureView
from feast.feature_view import DUMMY_ENTITY
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.repo_config import RepoConfig

import skewless
from skewless import _skewless

from ._config import SkewlessOnlineStoreConfig
from ._errors import DefinitionsDiffer, StoreError, StoreRefused
from ._names import Names
from ._values import holds, storable
from ._wire import Wire, of_client

#: What is written into `repo`, and nothing else is touched there.
APPLIED, NAMES = "feast_applied.yaml", "feast.json"

#: Declared if Feast has no service of stored features: a sidecar serves at least one.
_SERVICE = "feast_applied"

_NEXT = (
    "change the definitions that the sidecar serves and reload it, or what is applied; for development, `repo` of online_store writes "
    "them (docs/feast-store.md)"
)
_NEXT_UNSTORED = "what no sidecar stores (types that no column holds, label views) is left out by `unstored: leave_out` of online_store"


class Declared(NamedTuple):
    """A view of a definition file, as a sidecar describes one: names and types of its columns."""

    keys: list[tuple[str, str, str]]
    features: list[tuple[str, str, str]]


#: What there is to know of a view; None if there is no view of that name.
Find: TypeAlias = Callable[[str], "_skewless.Description | Declared | None"]


def views_of(wire: Wire) -> list[str]:
    """Names of the sidecar's views."""
    try:
        return wire.client.views()
    except skewless.SkewlessError as error:
        raise of_client(error, wire.address) from None


def describe(wire: Wire, view: str) -> _skewless.Description:
    """What the sidecar says of a view."""
    try:
        return wire.describe(view)
    except skewless.SkewlessError as error:
        raise of_client(error, wire.address) from None


def served(wire: Wire) -> Callable[[str], _skewless.Description | None]:
    """The views of a sidecar, which is asked for each."""

    def find(view: str) -> _skewless.Description | None:
        try:
            return describe(wire, view)
        except StoreRefused as error:
            if error.code != "NOT_FOUND":
                raise
            return None

    return find


def declared(text: str) -> Find:
    """The views of a definition file that `skewless feast import` wrote."""

    def columns(of: Sequence[Any]) -> list[tuple[str, str, str]]:
        return [(column["name"], column["type"], "") for column in of]

    definitions = yaml.safe_load(text)
    entities = {entity["name"]: entity["keys"] for entity in definitions["entities"]}
    views = {view["name"]: Declared(columns(entities[view["entity"]]), columns(view["features"])) for view in definitions["views"]}
    return views.get


def differences(find: Find, settings: SkewlessOnlineStoreConfig, names: Names, tables: Sequence[Any]) -> tuple[list[str], bool]:
    """What doesn't fit, a line each; and whether something of it is what no sidecar stores."""
    found: list[str] = []
    unstored = False
    for table in tables:
        if not isinstance(table, FeatureView):
            # A label view, or an on-demand view that is to be stored when rows are written.
            if settings.unstored == "refuse":
                found.append(f"view `{table.name}`: the sidecar stores no rows of a {type(table).__name__}")
                unstored = True
            continue
        view = names.view(table.name)
        described = find(view)
        if described is None:
            found.append(f"view `{view}`: the sidecar has none of that name")
            continue
        found.extend(_differences(table, view, described, names, settings))
        if settings.unstored == "refuse":
            unstored = unstored or any(not storable(field.dtype.to_value_type()) for field in table.features)
    return found, unstored


def _differences(
    table: FeatureView, view: str, described: _skewless.Description | Declared, names: Names, settings: SkewlessOnlineStoreConfig
) -> Iterator[str]:
    keys = {name: of for name, of, _ in described.keys}
    columns = [(field, names.key_column(table.name, field.name)) for field in table.entity_columns]
    for field, key in columns:
        if key not in keys:
            yield f"view `{view}`: its keys are {_list(keys)} in the sidecar, expected `{key}` among them"
        elif not holds(keys[key], field.dtype.to_value_type()):
            yield f"view `{view}`: key `{key}` is {keys[key]} in the sidecar, {field.dtype} in Feast"
    if columns and (more := keys.keys() - {key for _, key in columns}):
        yield f"view `{view}`: its keys are {_list(keys)} in the sidecar, Feast doesn't have {_list(more)}"
    features = {name: of for name, of, _ in described.features}
    for field in table.features:
        feature = names.feature(table.name, field.name)
        if feature not in features:
            if settings.unstored == "refuse":
                why = "" if storable(field.dtype.to_value_type()) else ", which no column holds"
                yield f"view `{view}`: the sidecar has no feature `{feature}`, {field.dtype} in Feast{why}"
        elif not holds(features[feature], field.dtype.to_value_type()):
            yield f"view `{view}`: feature `{feature}` is {features[feature]} in the sidecar, {field.dtype} in Feast"


def _list(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def check(find: Find, settings: SkewlessOnlineStoreConfig, names: Names, tables: Sequence[Any]) -> None:
    """Refuses, or tells of, what doesn't fit."""
    if settings.check == "off":
        return
    found, unstored = differences(find, settings, names, tables)
    if not found:
        return
    next_step = f"{_NEXT};\n  {_NEXT_UNSTORED}" if unstored else _NEXT
    message = "expected views in the sidecar as Feast applies them, came:\n" + "\n".join(f"  {line}" for line in found)
    if settings.check == "warn":
        warnings.warn(f"{message}\n  {next_step}", skewless.SkewlessWarning, stacklevel=2)
        return
    raise DefinitionsDiffer(message, found, next_step=next_step)


def committed(config: RepoConfig) -> RegistryProto:
    """The registry as it is now."""
    return FeatureStore(config=config).registry.proto()


def applied(
    config: RepoConfig, tables_to_keep: Sequence[Any], tables_to_delete: Sequence[Any], entities: Sequence[Any]
) -> RegistryProto:
    """The registry with what is being applied, which Feast commits only after the store was told of it."""
    registry = committed(config)
    gone = {table.name for table in [*tables_to_keep, *tables_to_delete]}
    for views in (registry.feature_views, registry.stream_feature_views):
        kept = [view for view in views if not (view.spec.project == config.project and view.spec.name in gone)]
        del views[:]
        views.extend(kept)
    for table in tables_to_keep:
        if not isinstance(table, FeatureView):
            continue
        proto = table.to_proto()
        proto.spec.project = config.project
        into = registry.stream_feature_views if type(proto).__name__ == "StreamFeatureView" else registry.feature_views
        into.append(proto)
    names = {entity.name for entity in entities}
    kept_entities = [of for of in registry.entities if not (of.spec.project == config.project and of.spec.name in names)]
    del registry.entities[:]
    registry.entities.extend(kept_entities)
    for entity in [*entities, *([] if DUMMY_ENTITY.name in names else [DUMMY_ENTITY])]:
        proto = entity.to_proto()
        proto.spec.project = config.project
        if not any(of.spec.project == config.project and of.spec.name == entity.name for of in registry.entities):
            registry.entities.append(proto)
    return registry


def stored_only(registry: RegistryProto, project: str) -> RegistryProto:
    """Without on-demand views and the services that ask for them: what computes those is a plugin, which is yours to write."""
    on_demand = {view.spec.name for view in registry.on_demand_feature_views if view.spec.project == project}
    del registry.on_demand_feature_views[:]
    services = [
        service
        for service in registry.feature_services
        if not any(projection.feature_view_name in on_demand for projection in service.spec.features)
    ]
    del registry.feature_services[:]
    registry.feature_services.extend(services)
    if not registry.registry_schema_version:
        registry.registry_schema_version = "1"
    return registry


def write(
    registry: RegistryProto,
    config: RepoConfig,
    settings: SkewlessOnlineStoreConfig,
    wire: Wire,
    tables: Sequence[Any] = (),
    last: Callable[[], None] = lambda: None,
) -> None:
    """Writes the definitions of a registry into `repo`, and has the sidecar read them. If it refuses them, or they don't fit these
    tables, they are as they were. `last` is called once nothing is refused, while those of before are served still."""
    assert settings.repo is not None
    repo = Path(settings.repo)
    if not repo.is_dir():
        raise StoreError(
            f"expected the folder of the sidecar's definitions at {repo}, came none",
            next_step="set `repo` of online_store to the folder in which `skewless serve` runs",
            code="FAILED_PRECONDITION",
        )
    text, names = _imported(stored_only(registry, config.project), config, settings)
    with _restored([repo / APPLIED, repo / NAMES]):
        (repo / APPLIED).write_text(text)
        (repo / NAMES).write_text(names)
        # First without effect: read for good, a view whose keys changed would lose its rows.
        _taken(wire.reload(dry_run=True), repo)
        check(declared(text), settings, Names(settings.names or str(repo / NAMES)), tables)
        last()
        _taken(wire.reload(), repo)


def _taken(mistakes: list[str], repo: Path) -> None:
    if mistakes:
        message = f"expected definitions that the sidecar takes in {repo}, came:\n"
        raise DefinitionsDiffer(
            message + "\n".join(f"  {line}" for line in mistakes),
            mistakes,
            next_step=f"nothing was changed; {APPLIED} is made anew by each apply, so mend the files beside it, or what is applied",
        )


@contextlib.contextmanager
def _restored(paths: list[Path]) -> Iterator[None]:
    before = {path: path.read_bytes() if path.exists() else None for path in paths}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        raise


def _imported(registry: RegistryProto, config: RepoConfig, settings: SkewlessOnlineStoreConfig) -> tuple[str, str]:
    """The text of definitions and of feast.json, by `skewless feast import`."""
    # Beside feature_store.yaml, where paths in the registry begin.
    beside = config.repo_path if config.repo_path and Path(config.repo_path).is_dir() else None
    with tempfile.TemporaryDirectory(prefix=".skewless-", dir=beside) as folder:
        path, out = Path(folder, "registry.pb"), Path(folder, "out")
        path.write_bytes(registry.SerializeToString())
        words = [settings.command, "feast", "import", str(path), "--project", config.project, "--out", str(out)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise StoreError(
                f"expected the command `{settings.command}`, which `repo` needs, came: {error}",
                next_step="put it on the PATH, or name it as `command` of online_store",
                code="FAILED_PRECONDITION",
            ) from None
        if done.returncode != 0:
            raise StoreError(f"`skewless feast import` of what is applied ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        text, names = (out / "features.yaml").read_text(), (out / NAMES).read_text()
    definitions = yaml.safe_load(text)
    if not definitions.get("services"):
        features = [f"{view['name']}.{feature['name']}" for view in definitions["views"] for feature in view["features"]]
        text += "\n# A sidecar serves at least one service, and Feast has none of stored features only.\n"
        text += yaml.safe_dump({"services": [{"name": _SERVICE, "features": features[:1]}]}, sort_keys=False)
    return text, json.dumps(json.loads(names), indent=2) + "\n"
