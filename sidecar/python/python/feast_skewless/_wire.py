"""The connection to a sidecar: Feast's own messages for reading, two calls of AdminService, and `skewless.Client` for rows.

Channels are opened when they are needed, anew in a process that was forked, and for asyncio one a loop, as grpcio wants it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest, GetOnlineFeaturesResponse
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import skewless
from skewless import _skewless

from ._errors import StoreError, StoreRefused, StoreUnreachable, of_grpc

_GET = "/feast.serving.ServingService/GetOnlineFeatures"
_APPLY = "/skewless.v1.AdminService/Apply"
_LOAD = "/skewless.v1.AdminService/Load"

#: A sidecar's answer is at most limits.response_bytes_max, 64 MiB unless configured otherwise; so may a request be.
_BYTES_MAX = 256 << 20
_OPTIONS = [
    ("grpc.max_receive_message_length", _BYTES_MAX),
    ("grpc.max_send_message_length", _BYTES_MAX),
    # Of a Unix socket grpcio would send the escaped path, which is no authority by HTTP's rules and is refused.
    ("grpc.default_authority", "localhost"),
]

#: LOAD_MODE_REPLACE: the view holds the loaded rows and nothing else.
_REPLACE = 2

_Type = descriptor_pb2.FieldDescriptorProto


def _messages() -> dict[str, Any]:
    """The few messages of proto/skewless/v1/admin.proto that are needed, by name; fields that aren't read are left out."""
    fields: dict[str, list[tuple[str, int, int, str | None]]] = {
        "ApplyRequest": [("dry_run", 1, _Type.TYPE_BOOL, None)],
        "Diagnostic": [
            ("warning", 1, _Type.TYPE_BOOL, None),
            ("file", 2, _Type.TYPE_STRING, None),
            ("line", 3, _Type.TYPE_UINT32, None),
            ("message", 5, _Type.TYPE_STRING, None),
            ("suggestion", 6, _Type.TYPE_STRING, None),
        ],
        "ApplyResponse": [("applied", 1, _Type.TYPE_BOOL, None), ("diagnostics", 3, _Type.TYPE_MESSAGE, "Diagnostic")],
        "LoadRequest": [("view", 1, _Type.TYPE_STRING, None), ("mode", 2, _Type.TYPE_INT32, None)],
        "LoadResponse": [("generation", 1, _Type.TYPE_UINT64, None)],
    }
    file = descriptor_pb2.FileDescriptorProto(name="feast_skewless/admin.proto", package="feast_skewless", syntax="proto3")
    for name, members in fields.items():
        message = file.message_type.add(name=name)
        for member, number, kind, of in members:
            label = _Type.LABEL_REPEATED if of else _Type.LABEL_OPTIONAL
            field = message.field.add(name=member, number=number, type=kind, label=label)
            if of:
                field.type_name = f".feast_skewless.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"feast_skewless.{name}") for name in fields}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


_ADMIN = _messages()


class Wire:
    """A sidecar at an address."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self.address, self._timeout_s = address, timeout_s
        self._lock = threading.Lock()
        self._opened: tuple[int, grpc.Channel, Callable[..., Any]] | None = None
        self._of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Any, Any]] = weakref.WeakKeyDictionary()
        #: For rows and for what views are: it knows our types and sends packed columns.
        self.client = skewless.Client(address, timeout=timeout_s)
        self._described_by = _skewless.Client(address)

    def describe(self, view: str) -> _skewless.Description:
        """Keys and features of a view with their types, of which `skewless.Client` itself tells nobody."""
        return self._described_by.describe_view(view, self._timeout_s)

    def _channel(self) -> tuple[grpc.Channel, Callable[..., Any]]:
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                channel = grpc.insecure_channel(self.address, options=_OPTIONS)
                self._opened = (os.getpid(), channel, _get(channel))
            return self._opened[1:]

    def get(self, request: GetOnlineFeaturesRequest) -> GetOnlineFeaturesResponse:
        """One call."""
        try:
            return self._channel()[1](request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise of_grpc(error, self.address) from None

    async def get_async(self, request: GetOnlineFeaturesRequest) -> GetOnlineFeaturesResponse:
        """The same without a thread that waits."""
        loop = asyncio.get_running_loop()
        if loop not in self._of_loops:
            channel = grpc.aio.insecure_channel(self.address, options=_OPTIONS)
            self._of_loops[loop] = (channel, _get(channel))
        try:
            return await self._of_loops[loop][1](request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise of_grpc(error, self.address) from None

    def reload(self, dry_run: bool = False) -> list[str]:
        """Has the sidecar read its definitions again, or (`dry_run`) check them only; gives what is wrong with them, in which case
        nothing changed."""
        call = self._channel()[0].unary_unary(
            _APPLY,
            request_serializer=_ADMIN["ApplyRequest"].SerializeToString,
            response_deserializer=_ADMIN["ApplyResponse"].FromString,
        )
        try:
            answer = call(_ADMIN["ApplyRequest"](dry_run=dry_run), timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise of_grpc(error, self.address) from None
        wrong = [of for of in answer.diagnostics if not of.warning]
        if not answer.applied and not wrong:
            return ["the sidecar didn't say why; its log does"]
        return [f"{of.file}:{of.line}: {of.message} {of.suggestion}".rstrip() for of in wrong]

    def empty(self, view: str) -> None:
        """Removes every row of a view: a load that replaces them with none."""
        call = self._channel()[0].stream_unary(
            _LOAD,
            request_serializer=_ADMIN["LoadRequest"].SerializeToString,
            response_deserializer=_ADMIN["LoadResponse"].FromString,
        )
        try:
            call(iter([_ADMIN["LoadRequest"](view=view, mode=_REPLACE)]), timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise of_grpc(error, self.address) from None

    def close(self) -> None:
        """Ends the connection of this process; the next call opens another."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    async def close_async(self) -> None:
        """Ends that of this loop."""
        opened = self._of_loops.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened[0].close()


def _get(channel: Any) -> Any:
    return channel.unary_unary(
        _GET,
        request_serializer=GetOnlineFeaturesRequest.SerializeToString,
        response_deserializer=GetOnlineFeaturesResponse.FromString,
    )


def of_client(error: Exception, address: str) -> StoreError:
    """An error of `skewless.Client`, as one of this package's."""
    if isinstance(error, skewless.SidecarUnreachable):
        return StoreUnreachable(
            f"expected a sidecar at {address}, came: {error}",
            next_step="start it with `skewless serve`, or set `address` of online_store in feature_store.yaml",
        )
    if isinstance(error, skewless.SidecarError):
        return StoreRefused(error.message, next_step=error.next_step, code=error.code)
    return StoreRefused(str(error), code="INVALID_ARGUMENT")
