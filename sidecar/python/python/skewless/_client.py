"""`Client` and `AsyncClient`: features of a running sidecar as dicts, frames or a matrix; and rows for it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Union

from . import _skewless
from ._errors import InputError, SidecarError, SkewlessError
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

#: Calls that an AsyncClient has under way at once: as many as a sidecar lets one connection have by default.
CALLS_MAX = 256

_T = TypeVar("_T")
#: Questions on their way to an answer of this type.
_Asking = Generator["_skewless.Question", Any, _T]


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


class _Talk:
    """What is asked of a sidecar, question by question, and what the answers are made; not how one waits for them. Who
    does sends each question that a method yields, and gives it the answer, or throws into it what the sidecar raised."""

    def __init__(self) -> None:
        self._services: dict[str, _skewless.Description] = {}
        self._views: dict[str, _skewless.Description] = {}

    def services(self) -> _Asking[list[str]]:
        listed: tuple[list[str], list[str]] = yield _skewless.Question.names()
        return listed[0]

    def views(self) -> _Asking[list[str]]:
        listed: tuple[list[str], list[str]] = yield _skewless.Question.names()
        return listed[1]

    def features(self, service: str) -> _Asking[list[str]]:
        def ask(described: _skewless.Description) -> _Asking[list[str]]:
            return [name for name, _, _ in described.features]
            yield  # Nothing is asked.

        return (yield from self._described(self._services, _skewless.Question.service, service, ask))

    def get(self, service: str, rows: Rows) -> _Asking[Features]:
        kept = _kept(rows)

        def ask(described: _skewless.Description) -> _Asking[Features]:
            answer = yield _skewless.Question.get(described, _rows(described, kept, []))
            return Features(**answer)

        return (yield from self._described(self._services, _skewless.Question.service, service, ask))

    def matrix(self, service: str, rows: Rows) -> _Asking[Matrix]:
        kept = _kept(rows)

        def ask(described: _skewless.Description) -> _Asking[Matrix]:
            answer = yield _skewless.Question.matrix(described, _rows(described, kept, []))
            return _matrix(*answer)

        return (yield from self._described(self._services, _skewless.Question.service, service, ask))

    def ingest(
        self, view: str, rows: Rows, event_timestamp: str, created_timestamp: str | None
    ) -> _Asking[Ingested]:
        kept = _kept(rows)
        times = [(event_timestamp, False)]
        if created_timestamp is not None:
            times.append((created_timestamp, False))

        def ask(described: _skewless.Description) -> _Asking[Ingested]:
            frame = _rows(described, kept, times)
            answer = yield _skewless.Question.ingest(described, frame, event_timestamp, created_timestamp)
            return Ingested(*answer)

        return (yield from self._described(self._views, _skewless.Question.view, view, ask))

    def _described(
        self,
        known: dict[str, _skewless.Description],
        describe: Callable[[str], _skewless.Question],
        name: str,
        ask: Callable[[_skewless.Description], _Asking[_T]],
    ) -> _Asking[_T]:
        """Asks with what the sidecar says of a service or view. It is asked for that once; if it has other definitions since,
        the call is refused, and made again with those."""
        described = known.get(name)
        if described is None:
            described = known[name] = yield describe(name)
            return (yield from ask(described))
        try:
            return (yield from ask(described))
        except (SidecarError, ValueError) as error:
            if isinstance(error, SidecarError) and error.code not in ("INVALID_ARGUMENT", "NOT_FOUND"):
                raise
            known.pop(name, None)
            anew: _skewless.Description = yield describe(name)
            same = (anew.keys, anew.request, anew.features) == (described.keys, described.request, described.features)
            known[name] = anew
            if same:
                raise
            return (yield from ask(anew))


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
        self._talk = _Talk()

    @property
    def address(self) -> str:
        """Where the sidecar is."""
        return self._address

    def services(self) -> list[str]:
        """Names of the feature services."""
        return self._said(self._talk.services())

    def views(self) -> list[str]:
        """Names of the feature views."""
        return self._said(self._talk.views())

    def get(self, service: str, rows: Rows, *, timeout: float | None = None) -> Features:
        """Features of some rows, all in one call: each a dict of keys and request values, or a frame with such columns.

        Unknown entities and failing transforms are no error: see the answer's `statuses`. A sidecar takes so many rows a
        call (`limits.rows_max`).
        """
        return self._said(self._talk.get(service, rows), timeout)

    def matrix(self, service: str, rows: Rows, *, timeout: float | None = None) -> Matrix:
        """The same as a numpy matrix of float32, a row a row, a number a column (an embedding has several), NaN where there
        is no value; the smallest answer. All features have to be numbers."""
        return self._said(self._talk.matrix(service, rows), timeout)

    def features(self, service: str) -> list[str]:
        """Names of a service's features, in its order."""
        return self._said(self._talk.features(service))

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
        return self._said(self._talk.ingest(view, rows, event_timestamp, created_timestamp), timeout)

    def _said(self, asking: _Asking[_T], timeout: float | None = None) -> _T:
        seconds = self._timeout if timeout is None else timeout
        try:
            question = next(asking)
            while True:
                try:
                    answer = self._client.wait(question, seconds)
                except Exception as error:  # noqa: BLE001  # It is for who asked.
                    question = asking.throw(error)
                else:
                    question = asking.send(answer)
        except StopIteration as end:
            said: _T = end.value
            return said

    def __reduce__(self) -> tuple[object, ...]:
        return (_client, (type(self), self._address, self._timeout))

    def __repr__(self) -> str:
        return f"<skewless.{type(self).__name__} {self._address}>"


def _client(kind: type[Client], address: str, timeout: float) -> Client:
    return kind(address, timeout=timeout)


class AsyncClient:
    """As Client, for asyncio: every call is awaited.

    Calls wait where the sockets are, on no thread of their own; at most `calls_max` at once, more wait for their turn. One
    that is cancelled ends, at the sidecar, too. Rows are put together, and answers taken apart, on the loop's thread. Close
    it (`async with`, or `close()`) when it isn't needed any more.
    """

    def __init__(self, address: str = ADDRESS, *, timeout: float = TIMEOUT_S, calls_max: int = CALLS_MAX) -> None:
        if calls_max < 1:
            raise InputError(f"expected calls_max to be 1 or more, came {calls_max}")
        self._address, self._timeout, self._calls_max = address, timeout, calls_max
        self._client = _skewless.Client(address)
        self._talk = _Talk()
        self._turns: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None
        self._closed = False

    @property
    def address(self) -> str:
        """Where the sidecar is."""
        return self._address

    async def services(self) -> list[str]:
        """Names of the feature services."""
        return await self._said(self._talk.services())

    async def views(self) -> list[str]:
        """Names of the feature views."""
        return await self._said(self._talk.views())

    async def features(self, service: str) -> list[str]:
        """Names of a service's features, in its order."""
        return await self._said(self._talk.features(service))

    async def get(self, service: str, rows: Rows, *, timeout: float | None = None) -> Features:
        """See Client.get."""
        return await self._said(self._talk.get(service, rows), timeout)

    async def matrix(self, service: str, rows: Rows, *, timeout: float | None = None) -> Matrix:
        """See Client.matrix."""
        return await self._said(self._talk.matrix(service, rows), timeout)

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
        return await self._said(self._talk.ingest(view, rows, event_timestamp, created_timestamp), timeout)

    async def _said(self, asking: _Asking[_T], timeout: float | None = None) -> _T:
        seconds = self._timeout if timeout is None else timeout
        async with self._turn():
            try:
                question = next(asking)
                while True:
                    try:
                        answer = await self._answer(question, seconds)
                    except Exception as error:  # noqa: BLE001  # It is for who asked.
                        question = asking.throw(error)
                    else:
                        question = asking.send(answer)
            except StopIteration as end:
                said: _T = end.value
                return said

    async def _answer(self, question: _skewless.Question, seconds: float) -> Any:
        if self._closed:
            raise SkewlessError(
                f"expected an open client of {self._address}, came one that was closed", next_step="make another AsyncClient"
            )
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not ended.done():
                ended.set_result(None)

        def done() -> None:
            # A loop that was closed waits for nothing any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle)

        call = self._client.begin(question, seconds, done)
        try:
            await ended
        finally:
            # Who doesn't wait any more wants no answer.
            call.cancel()
        return call.result()

    def _turn(self) -> asyncio.Semaphore:
        """Of the loop that runs: a client may be used in one after another."""
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns[0] is not loop:
            self._turns = loop, asyncio.Semaphore(self._calls_max)
        return self._turns[1]

    def close(self) -> None:
        """Takes no more calls. Those that were begun go on."""
        self._closed = True

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
    if not _is_frame(rows):
        raise InputError(
            f"expected rows or a frame, came {type(rows).__name__}",
            next_step="give a dict, a list of dicts, or a frame: pandas, polars, pyarrow, anything with __arrow_c_stream__",
        )
    # Only of a view times are wanted, and its features.
    values = described.features if times else described.request
    wanted = {name for name, _, _ in (*described.keys, *values)}
    return _skewless.Batches(_arrow(rows, wanted.union(name for name, _ in times)))
