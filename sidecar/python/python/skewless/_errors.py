"""What goes wrong, as exceptions. Messages say what was expected, what came and where; `next_step` what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class SkewlessError(Exception):
    """The base of all of them."""

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return self.message if self.next_step is None else f"{self.message}\n  {self.next_step}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions travel between processes (Ray, Spark, multiprocessing) with all that they say.
        return (_again, (type(self), self.message, {**self.__dict__}))


def _again(kind: type[SkewlessError], message: str, state: dict[str, object]) -> SkewlessError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class PluginError(SkewlessError, ValueError):
    """A file that is no plugin, or one that this engine doesn't run."""


class InputError(SkewlessError, ValueError):
    """A frame, rows or an argument that can't be used."""


class TransformError(SkewlessError):
    """Rows that a transform failed, or a call that gave no answer."""


class SkewlessWarning(UserWarning):
    """What to know before the result is used, such as rows that failed and are null."""


class Mistake(NamedTuple):
    """A mistake in definitions, with its place."""

    file: str
    #: From 1; 0: about the folder as a whole.
    line: int
    #: In characters, from 1.
    column: int
    message: str
    #: What was probably meant.
    suggestion: str | None


class DefinitionError(SkewlessError, ValueError):
    """Definitions that have mistakes; `mistakes` has every one of them."""

    def __init__(
        self,
        message: str,
        *,
        next_step: str | None = None,
        mistakes: Iterable[tuple[str, int, int, str, str | None]] = (),
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.mistakes = [Mistake(*of) for of in mistakes]


class BackfillError(SkewlessError):
    """A backfill that ended without an output."""


class SidecarError(SkewlessError):
    """A sidecar refused a call, or gave an answer that isn't one."""

    def __init__(
        self, message: str, *, next_step: str | None = None, code: str = "UNAVAILABLE", retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message, next_step=next_step)
        #: gRPC's: NOT_FOUND, INVALID_ARGUMENT, RESOURCE_EXHAUSTED and so on; docs/serving.md says what to do about which.
        self.code = code
        #: If it is overloaded: in how many milliseconds to ask again, if there is time for it.
        self.retry_after_ms = retry_after_ms


class SidecarUnreachable(SidecarError, ConnectionError):
    """No sidecar where one should be."""
