"""What goes wrong between Feast and a sidecar. All are Feast's own kind of error, so that its servers answer with a status that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from feast.errors import FeastError

if TYPE_CHECKING:
    import grpc

#: HTTP's status for gRPC's, as Feast's feature server would answer; 500 for all others.
_HTTP = {
    "INVALID_ARGUMENT": 422,
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "UNIMPLEMENTED": 501,
    "FAILED_PRECONDITION": 412,
}


class StoreError(FeastError):
    """The base of all of them: what was expected, what came and where, and what to do next."""

    #: gRPC's code for what went wrong.
    code = "INTERNAL"

    def __init__(self, message: str, *, next_step: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message if self.next_step is None else f"{self.message}\n  {self.next_step}"

    def grpc_status_code(self) -> grpc.StatusCode:
        import grpc

        return getattr(grpc.StatusCode, self.code, grpc.StatusCode.INTERNAL)

    def http_status_code(self) -> int:
        return _HTTP.get(self.code, 500)


class StoreRefused(StoreError):
    """The sidecar refused a call; `code` and the message are its own."""


class StoreUnreachable(StoreError, ConnectionError):
    """No sidecar at the address, or one that ends."""

    code = "UNAVAILABLE"


class StoreUnsupported(StoreError):
    """Something that Feast's stores may be asked for and Skewless doesn't do."""

    code = "UNIMPLEMENTED"


class StoreValueError(StoreError, ValueError):
    """A value that no column of the sidecar's view holds."""

    code = "INVALID_ARGUMENT"


class DefinitionsDiffer(StoreError):
    """What Feast applies and what the sidecar serves don't fit; `differences` has every one."""

    code = "FAILED_PRECONDITION"

    def __init__(self, message: str, differences: list[str], *, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.differences = differences


def of_grpc(error: Any, address: str) -> StoreError:
    """A failed call's error, from grpcio's."""
    code, details = error.code().name, error.details() or "no word of why"
    if code == "UNAVAILABLE":
        return StoreUnreachable(
            f"expected a sidecar at {address}, came: {details}",
            next_step="start it with `skewless serve`, or set `address` of online_store in feature_store.yaml",
        )
    if code == "UNIMPLEMENTED":
        return StoreRefused(
            f"expected a Skewless sidecar at {address}, came a server without this call: {details}",
            next_step="is `address` that of listen.tcp or listen.unix, rather than listen.http or listen.feast_http?",
            code=code,
        )
    return StoreRefused(details, code=code)
