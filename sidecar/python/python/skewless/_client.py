"""`Client` and `AsyncClient`: features of a running sidecar as dicts, frames or a matrix; and rows for it."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Union

from . import _skewless
from ._errors import SidecarError
from ._frame import Frame, _arrow, _matrix
from ._repo import EVENT_TIMESTAMP

if TYPE_CHECKING:
    import numpy

    Matrix = numpy.ndarray[Any, numpy.dtype[numpy.float32]]

#: Rows as dicts, one dict, or a frame.
Rows = Union[Mapping[str, Any], Iterable[Mapping[str, Any]], Any]

#: Seconds a call may take unless said otherwise; a sidecar's own default.
TIMEOUT_S = 10.0

#: Where a sidecar listens unless configured otherwise.
ADDRESS = "127.0.0.1:7667"

_T = TypeVar("_T")


class Features(Frame):
    """A sidecar's answer: a row a row, a column a feature, null where there is no value."""

    def __init__(
        self,
        frame: Any,
        statuses: dict[str, list[str]],
        event_times: dict[str, list[datetime.datetime | None]],
        failures: list[tuple[str, int | None, str]],
        fingerprint: str,
        time: datetime.datetime,
    ) -> None:
        super().__init__(frame)
        #: By feature, why each value is there or not: PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE, TRANSFORM_FAILED.
        self.statuses = statuses
        #: By view (and role), when each row's stored values happened; None where no row was visible.
        self.event_times = event_times
        #: `(transform, row or None for all, message)` of the first transforms that failed.
        self.failures = failures
        #: Of the service with all that it depends on, as a backfill's report has it.
        self.fingerprint = fingerprint
        #: The sidecar's time as of which this is the answer.
        self.time = time

    def __reduce__(self) -> tuple[object, ...]:
        rest = (self.statuses, self.event_times, self.failures, self.fingerprint, self.time)
        return (type(self), (self.to_arrow(), *rest))


class Ingested(NamedTuple):
    """What became of rows that were sent."""

    #: They are the newest of their key now.
    applied: int
    #: A newer row of their key was there.
    stale: int
    #: The very same row was there.
    duplicate: int
    #: They are kept until they may be seen.
    pending: int
    #: Whether all survive a loss of power; else the death of the process only.
    synced: bool


class Client:
    """A connection to a sidecar, at `host:port` or `unix:PATH`. It is opened by the first call, shared by all threads, and
    opened anew after a fork.

        client = skewless.Client("localhost:7667")
        client.get("order_risk", {"customer_id": 7, "amount": 120.0}).to_dicts()

    Calls raise SidecarError, with the sidecar's `code` and words, or SidecarUnreachable.
    """

    def __init__(self, address: str = ADDRESS, *, timeout: float = TIMEOUT_S) -> None:
        self._address, self._timeout = address, timeout
        self._client = _skewless.Client(address)
        self._services: dict[str, _skewless.Description] = {}
        self._views: dict[str, _skewless.Description] = {}

    @property
    def address(self) -> str:
        """Where the sidecar is."""
        return self._address

    def services(self) -> list[str]:
        """Names of the feature services."""
        return self._client.list(self._timeout)[0]

    def views(self) -> list[str]:
        """Names of the feature views."""
        return self._client.list(self._timeout)[1]

    def get(self, service: str, rows: Rows, *, timeout: float | None = None) -> Features:
        """Features of some rows, all in one call: each a dict of keys and request values, or a frame with such columns.

        Unknown entities and failing transforms are no error: see the answer's `statuses`.
        """

        def call(described: _skewless.Description) -> Features:
            return Features(**self._client.get(described, _rows(described, rows, []), self._seconds(timeout)))

        rows = _kept(rows)
        return self._described(self._services, self._client.describe_service, service, call)

    def matrix(self, service: str, rows: Rows, *, timeout: float | None = None) -> Matrix:
        """The same as a numpy matrix of float32, a row a row, a number a column (an embedding has several), NaN where there
        is no value; the smallest answer. All features have to be numbers."""

        def call(described: _skewless.Description) -> Matrix:
            return _matrix(*self._client.matrix(described, _rows(described, rows, []), self._seconds(timeout)))

        rows = _kept(rows)
        return self._described(self._services, self._client.describe_service, service, call)

    def features(self, service: str) -> list[str]:
        """Names of a service's features, in its order."""

        def call(described: _skewless.Description) -> list[str]:
            return [name for name, _, _ in described.features]

        return self._described(self._services, self._client.describe_service, service, call)

    def ingest(
        self,
        view: str,
        rows: Rows,
        *,
        event_timestamp: str = EVENT_TIMESTAMP,
        created_timestamp: str | None = None,
        timeout: float | None = None,
    ) -> Ingested:
        """Sends rows of a view: its keys, its features (one that is left out is null), and when they happened; if
        `created_timestamp` is given, also when they became known, else that is now.

        Rows are sent some thousand at a time; if a call fails, those before it were taken. To send rows again is harmless.
        """
        times = [(event_timestamp, False)]
        if created_timestamp is not None:
            times.append((created_timestamp, False))

        def call(described: _skewless.Description) -> Ingested:
            frame = _rows(described, rows, times)
            return Ingested(
                *self._client.ingest(described, frame, event_timestamp, created_timestamp, self._seconds(timeout))
            )

        rows = _kept(rows)
        return self._described(self._views, self._client.describe_view, view, call)

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    def _described(
        self,
        known: dict[str, _skewless.Description],
        describe: Callable[[str, float], _skewless.Description],
        name: str,
        call: Callable[[_skewless.Description], _T],
    ) -> _T:
        """Calls with what the sidecar says of a service or view. It is asked once; if it has other definitions since, the
        call is refused, and made again with those."""
        described = known.get(name)
        if described is None:
            described = known[name] = describe(name, self._timeout)
            return call(described)
        try:
            return call(described)
        except (SidecarError, ValueError) as error:
            if isinstance(error, SidecarError) and error.code not in ("INVALID_ARGUMENT", "NOT_FOUND"):
                raise
            del known[name]
            anew = describe(name, self._timeout)
            same = (anew.keys, anew.request, anew.features) == (described.keys, described.request, described.features)
            known[name] = anew
            if same:
                raise
            return call(anew)

    def __reduce__(self) -> tuple[object, ...]:
        return (_client, (type(self), self._address, self._timeout))

    def __repr__(self) -> str:
        return f"<skewless.{type(self).__name__} {self._address}>"


def _client(kind: type[Client], address: str, timeout: float) -> Client:
    return kind(address, timeout=timeout)


class AsyncClient:
    """As Client, for asyncio: every call is awaited.

    Calls wait on threads of its own, at most `calls_max` at once; more wait for their turn. Cancelling one stops waiting
    for it. Close it (`async with`, or `close()`) when it isn't needed any more.
    """

    def __init__(self, address: str = ADDRESS, *, timeout: float = TIMEOUT_S, calls_max: int = 16) -> None:
        self._client = Client(address, timeout=timeout)
        self._threads = ThreadPoolExecutor(calls_max, thread_name_prefix="skewless-async")

    @property
    def address(self) -> str:
        """Where the sidecar is."""
        return self._client.address

    async def services(self) -> list[str]:
        """Names of the feature services."""
        return await self._run(self._client.services)

    async def views(self) -> list[str]:
        """Names of the feature views."""
        return await self._run(self._client.views)

    async def features(self, service: str) -> list[str]:
        """Names of a service's features, in its order."""
        return await self._run(lambda: self._client.features(service))

    async def get(self, service: str, rows: Rows, *, timeout: float | None = None) -> Features:
        """See Client.get."""
        return await self._run(lambda: self._client.get(service, rows, timeout=timeout))

    async def matrix(self, service: str, rows: Rows, *, timeout: float | None = None) -> Matrix:
        """See Client.matrix."""
        return await self._run(lambda: self._client.matrix(service, rows, timeout=timeout))

    async def ingest(
        self,
        view: str,
        rows: Rows,
        *,
        event_timestamp: str = EVENT_TIMESTAMP,
        created_timestamp: str | None = None,
        timeout: float | None = None,
    ) -> Ingested:
        """See Client.ingest."""
        return await self._run(
            lambda: self._client.ingest(
                view, rows, event_timestamp=event_timestamp, created_timestamp=created_timestamp, timeout=timeout
            )
        )

    async def _run(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Ends its threads, once their calls have ended."""
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<skewless.AsyncClient {self.address}>"


def _kept(rows: Rows) -> Rows:
    """Rows that can be read twice."""
    if isinstance(rows, Mapping):
        return [dict(rows)]
    if isinstance(rows, Iterable) and not _is_frame(rows):
        return [dict(row) if isinstance(row, Mapping) else row for row in rows]
    return rows


def _is_frame(rows: object) -> bool:
    return hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__") or hasattr(rows, "iloc")


def _rows(described: _skewless.Description, rows: Rows, times: Sequence[tuple[str, bool]]) -> _skewless.Batches:
    if isinstance(rows, list):
        return described.rows(rows, list(times))
    return _skewless.Batches(_arrow(rows))
