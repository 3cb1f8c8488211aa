"""`FeatureRepo`: a folder of definitions; its services previewed and backfilled in process, as `skewless backfill` does."""

from __future__ import annotations

import datetime
import glob
import html
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Union

from . import _skewless
from ._errors import InputError, SkewlessError, SkewlessWarning
from ._frame import Frame, _arrow
from ._plugin import Field, Plugin

#: The spine's column of times, unless another is named.
EVENT_TIMESTAMP = "event_timestamp"

Path_ = Union[str, "os.PathLike[str]"]
#: Told while a backfill runs: what it does, how much of it is done, and of how much.
OnProgress = Callable[[str, int, int], None]


class Service(NamedTuple):
    """A feature service: what one model asks for."""

    name: str
    doc: str
    #: Join keys and request values that a caller gives.
    keys: tuple[Field, ...]
    request: tuple[Field, ...]
    features: tuple[Field, ...]
    views: tuple[str, ...]
    transforms: tuple[str, ...]
    fingerprint: str


class View(NamedTuple):
    """A feature view: stored features of an entity."""

    name: str
    doc: str
    entity: str
    keys: tuple[Field, ...]
    features: tuple[Field, ...]
    sources: tuple[str, ...]
    fingerprint: str


class Transform(NamedTuple):
    """A plugin bound to its inputs."""

    name: str
    doc: str
    #: As the definition names it.
    plugin: str
    digest: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    fingerprint: str


class BackfillReport(NamedTuple):
    """What a backfill did."""

    rows: int
    #: Size of the output file.
    bytes: int
    history_rows: int
    #: Rows of the spine without a time: no stored feature is found there.
    rows_without_time: int
    #: By key, rows of the spine without it.
    rows_without_key: dict[str, int]
    #: By feature, how many rows are `present`, `null_value`, `not_found`, `outside_max_age`, `transform_failed`.
    features: dict[str, dict[str, int]]
    #: Transforms that failed and gave no row a value.
    gave_nothing: list[str]
    #: `(transform, first row or None, message, how many)`, each message once.
    failures: list[tuple[str, int | None, str, int]]
    failures_total: int
    #: Of the service with all that it depends on, as in the sidecar's answers.
    fingerprint: str


class HistoricalFeatures(Frame):
    """The spine with its features: `to_pandas()`, `to_polars()`, `to_arrow()`; `report` says what was found and what not."""

    def __init__(self, frame: Any, report: BackfillReport) -> None:
        super().__init__(frame)
        self.report = report

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.to_arrow(), self.report))


class FeatureRepo:
    """The feature repo in a folder, checked. Raises DefinitionError with every mistake at once.

        repo = skewless.FeatureRepo("shop")
        training = repo.historical_features(orders, service="order_risk").to_pandas()

    `config` is the sidecar's configuration file and `settings` single keys of it, whose limits hold here, too; the
    environment's are taken as the `skewless` command takes them.
    """

    def __init__(
        self, dir: Path_ = ".", *, config: Path_ | None = None, settings: Mapping[str, object] | None = None
    ) -> None:
        self._given = (
            os.fspath(dir),
            None if config is None else os.fspath(config),
            [(key, _setting(value)) for key, value in (settings or {}).items()],
        )
        self._repo = _skewless.FeatureRepo(*self._given)

    @property
    def dir(self) -> Path:
        """The folder."""
        return Path(self._given[0])

    @property
    def fingerprint(self) -> str:
        """Of all definitions."""
        return self._repo.fingerprint

    @property
    def services(self) -> list[Service]:
        """The feature services."""
        return [
            Service(
                of["name"],
                of["doc"],
                _fields(of["keys"]),
                _fields(of["request"]),
                _fields(of["features"]),
                tuple(of["views"]),
                tuple(of["transforms"]),
                of["fingerprint"],
            )
            for of in self._repo.services
        ]

    @property
    def views(self) -> list[View]:
        """The feature views."""
        return [
            View(
                of["name"],
                of["doc"],
                of["entity"],
                _fields(of["keys"]),
                _fields(of["features"]),
                tuple(of["sources"]),
                of["fingerprint"],
            )
            for of in self._repo.views
        ]

    @property
    def transforms(self) -> list[Transform]:
        """The transforms."""
        return [
            Transform(
                of["name"],
                of["doc"],
                of["plugin"],
                of["digest"],
                _fields(of["inputs"]),
                _fields(of["outputs"]),
                of["fingerprint"],
            )
            for of in self._repo.transforms
        ]

    def plugin(self, transform: str) -> Plugin:
        """A transform's plugin."""
        return Plugin(self._repo.plugin(transform))

    def check(self) -> list[str]:
        """Reads the folder again and checks it; gives warnings. Raises DefinitionError with every mistake, and then what was
        read before stays."""
        self._repo = _skewless.FeatureRepo(*self._given)
        return self._repo.warnings

    def preview(
        self,
        service: str,
        rows: Iterable[Mapping[str, Any]] | Mapping[str, Any],
        *,
        event_timestamp: str = EVENT_TIMESTAMP,
    ) -> HistoricalFeatures:
        """A service's features of some rows, or of one, each a dict of keys and request values; as of now, where `event_timestamp` is
        not given. For looking at: it reads the whole history."""
        rows = [rows] if isinstance(rows, Mapping) else rows
        dicts = [dict(row) if isinstance(row, Mapping) else row for row in rows]
        now = datetime.datetime.now(datetime.timezone.utc)
        dicts = [{event_timestamp: now, **row} if isinstance(row, dict) else row for row in dicts]
        spine = self._repo.spine(service, dicts, event_timestamp)
        return self.historical_features(
            spine, service=service, event_timestamp=event_timestamp, statuses=True, progress=False
        )

    def historical_features(
        self,
        spine: Any,
        *,
        service: str,
        event_timestamp: str = EVENT_TIMESTAMP,
        statuses: bool = False,
        as_known_now: bool = False,
        out: Path_ | None = None,
        overwrite: bool = False,
        memory: int | None = None,
        workers: int | None = None,
        scratch: Path_ | None = None,
        progress: bool | OnProgress | None = None,
    ) -> HistoricalFeatures:
        """A service's features for every row of a spine, as the sidecar would have answered at that row's time; the same
        join and engine as `skewless backfill`, and the same answer to the last bit.

        The spine has the service's keys, a column of times and the request values; other columns are carried through. It is
        a frame (pandas, polars, pyarrow, anything that speaks Arrow), or a Parquet file, folder, glob or list of them.

        The answer is written to `out`, or to a file in the folder `scratch` (the system's for temporary files, unless
        given) that is removed when it has been read; a spine that is a frame is written there as well, and what is too
        large for `memory` (bytes, 1 GiB unless given) is sorted there. `progress` is True, False, None (a bar if
        somebody looks at a terminal or notebook and it takes some seconds), or a function that is told.

        Ctrl-C stops it and leaves nothing behind. Raises BackfillError.
        """
        with tempfile.TemporaryDirectory(prefix="skewless-", dir=scratch) as folder:
            paths, written = _spine_paths(spine, folder)
            output = Path(folder, "features.parquet") if out is None else Path(out)
            with _Shown(progress) as told:
                try:
                    report = self._repo.backfill(
                        service,
                        paths,
                        os.fspath(output),
                        event_timestamp,
                        statuses,
                        as_known_now,
                        overwrite,
                        memory,
                        workers,
                        told,
                    )
                except SkewlessError as error:
                    if written is not None:
                        _say_spine(error, written)
                    raise
            found = BackfillReport(**report)
            _warn(found, event_timestamp)
            return HistoricalFeatures(_skewless.read_parquet(os.fspath(output)), found)

    def __reduce__(self) -> tuple[object, ...]:
        # By the folder's path: where it goes, the same folder has to be.
        return (_again, self._given)

    def __repr__(self) -> str:
        names = ", ".join(service.name for service in self.services)
        return f"<skewless.FeatureRepo {self.dir}: {names or 'no services'}>"

    def _repr_html_(self) -> str:
        lines = "".join(
            f"<tr><td>{html.escape(of.name)}</td><td>{', '.join(html.escape(key.name) for key in of.keys)}</td>"
            f"<td>{', '.join(html.escape(value.name) for value in of.request)}</td><td>{len(of.features)}</td>"
            f"<td>{html.escape(of.doc)}</td></tr>"
            for of in self.services
        )
        head = "<tr><th>service</th><th>keys</th><th>request</th><th>features</th><th></th></tr>"
        return f"<p><b>{html.escape(str(self.dir))}</b></p><table>{head}{lines}</table>"


def _again(dir: str, config: str | None, settings: Sequence[tuple[str, str]]) -> FeatureRepo:
    return FeatureRepo(dir, config=config, settings=dict(settings))


def _setting(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fields(fields: Iterable[tuple[str, str, bool, str, str]]) -> tuple[Field, ...]:
    return tuple(Field(*of) for of in fields)


def _spine_paths(spine: Any, folder: str) -> tuple[list[str], str | None]:
    """Paths of the spine, and the one that had to be written."""
    if isinstance(spine, (str, os.PathLike)):
        return [os.fspath(spine)], None
    if isinstance(spine, Sequence) and spine and all(isinstance(path, (str, os.PathLike)) for path in spine):
        return [os.fspath(path) for path in spine], None
    if isinstance(spine, (list, tuple, dict)):
        raise InputError(
            f"expected a frame or paths of Parquet files, came {type(spine).__name__}",
            next_step="make rows a frame: pyarrow.Table.from_pylist(rows); to look at some, repo.preview(service, rows)",
        )
    path = os.path.join(folder, "spine.parquet")
    _skewless.write_parquet(_arrow(spine), path)
    # A path is taken for a glob.
    return [glob.escape(path)], path


def _say_spine(error: SkewlessError, path: str) -> None:
    """Nobody knows the file that the spine was written to."""
    error.message = error.message.replace(f"`{path}`", "the spine").replace(path, "the spine")
    error.args = (error.message,)


def _warn(report: BackfillReport, event_timestamp: str) -> None:
    """What to know before training with it: the words of the command."""

    def warn(message: str) -> None:
        warnings.warn(message, SkewlessWarning, stacklevel=4)

    failed = sum(counts["transform_failed"] for counts in report.features.values())
    if failed:
        values = report.rows * len(report.features)
        share = f"{failed / values:.1%}"
        first = ""
        if report.failures:
            transform, row, message, _ = report.failures[0]
            first = f"; {transform}, {'many rows' if row is None else f'row {row}'}: {message}"
        warn(f"{failed:,} of {values:,} values failed ({share}) and are null in the output{first}")
    if report.gave_nothing:
        names = ", ".join(f"`{name}`" for name in report.gave_nothing)
        warn(f"{names} failed and gave no row a value; the output has nulls there")
    if report.rows_without_time:
        warn(f"{report.rows_without_time:,} rows have no time in `{event_timestamp}`: no stored feature is found there")
    for key, rows in report.rows_without_key.items():
        warn(f"{rows:,} rows have no key in `{key}`: no stored feature of that key is found there")


class _Shown:
    """A bar for whoever looks; tqdm's, if it is installed."""

    #: As often as that is told, a twentieth of a second: jobs of less than two seconds show nothing.
    TELLS_MIN = 40

    def __init__(self, progress: bool | OnProgress | None) -> None:
        self.progress = progress
        self.wanted = sys.stderr.isatty() or "ipykernel" in sys.modules if progress is None else bool(progress)
        self.tells = 0
        self.what = ""
        self.bar: Any = None

    def __enter__(self) -> OnProgress | None:
        if callable(self.progress):
            return self.progress
        return self.show if self.wanted else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def show(self, what: str, done: int, total: int) -> None:
        self.tells += 1
        if self.progress is None and self.tells < self.TELLS_MIN:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            share = done / total if total else 1.0
            print(f"\r{what}: {share:4.0%}", end="", file=sys.stderr, flush=True)
            self.bar = True
            return
        if what != self.what:
            self.close()
            self.what, self.bar = what, tqdm(total=total, desc=what, unit_scale=True)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.bar is True:
            print(file=sys.stderr)
        elif self.bar is not None:
            self.bar.close()
        self.bar = None
