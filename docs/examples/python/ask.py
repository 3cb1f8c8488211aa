"""Asks a Skewless sidecar for features, as a model server does; an example to take from, not a library.

    python ask.py ADDRESS [--deadline-ms 250]       ADDRESS: host:port, or unix:PATH

The service is `order_risk` of the feature repo that `skewless init` makes. docs/serving.md says how to make
the stubs, and more about each point.
"""

import argparse
import json
import sys
from itertools import accumulate

import grpc
from skewless.v1.column_pb2 import Column, Type
from skewless.v1.features_pb2 import FeatureStatus, GetFeaturesRequest
from skewless.v1.features_pb2_grpc import FeatureServiceStub

OPTIONS = [
    # A Unix socket's path, which gRPC would send for a host name, is none: the call would be refused.
    ("grpc.default_authority", "localhost"),
    # The sidecar is on this machine, whatever http_proxy says.
    ("grpc.enable_http_proxy", 0),
    # As much as a sidecar answers by default; gRPC alone takes 4 MiB.
    ("grpc.max_receive_message_length", 64 << 20),
]

# Where a column of each type has its values (see column.proto).
FIELDS = {
    Type.TYPE_BOOL: "bools",
    Type.TYPE_INT32: "int32s",
    Type.TYPE_INT64: "int64s",
    Type.TYPE_FLOAT32: "float32s",
    Type.TYPE_FLOAT64: "float64s",
    Type.TYPE_UTF8: "strings",
    Type.TYPE_BINARY: "binaries",
    Type.TYPE_TIMESTAMP: "timestamps",
    Type.TYPE_EMBEDDING: "float32s",
    Type.TYPE_LIST_INT64: "int64s",
    Type.TYPE_LIST_FLOAT64: "float64s",
    Type.TYPE_LIST_UTF8: "strings",
}

NEVER_US = -(2**63)  # the event time where no row was visible
PRESENT = FeatureStatus.FEATURE_STATUS_PRESENT


class Sidecar:
    """A connection. One per process, made after any fork and kept: opening it costs more than a call."""

    def __init__(self, address, deadline_s=0.25):
        self.stub = FeatureServiceStub(grpc.insecure_channel(address, OPTIONS))
        self.deadline_s = deadline_s

    def ask(self, service, keys, request):
        """The features of all rows, in one call. Raises grpc.RpcError if there is no answer."""
        wanted = GetFeaturesRequest(service=service, keys=keys, request=request, event_times=True)
        answer = self.stub.GetFeatures(wanted, timeout=self.deadline_s)
        columns = [(column.column, column.statuses) for column in answer.columns]
        now_us = answer.provenance.time_us
        return {
            "names": [column.name for column, _ in columns],
            # A row a customer, a column a feature; None where the status is not PRESENT.
            "rows": transposed(values(column, answer.rows) for column, _ in columns),
            "statuses": transposed(names(statuses, answer.rows) for _, statuses in columns),
            # How old the stored values were, by view: seconds per row.
            "ages_s": {
                times.view + (f"[{times.role}]" if times.role else ""): [
                    None if us == NEVER_US else (now_us - us) / 1e6 for us in times.event_us
                ]
                for times in answer.event_times
            },
        }


def column(name, type, values):
    """A key or request column of plain values, None for null."""
    field = FIELDS[type]
    validity = bytearray((len(values) + 7) // 8)
    for row, value in enumerate(values):
        validity[row // 8] |= (value is not None) << (row % 8)
    # The entry of a null means nothing, but it must be there.
    zero = {"bools": False, "strings": "", "binaries": b""}.get(field, 0)
    filled = [zero if value is None else value for value in values]
    return Column(name=name, type=type, validity=bytes(validity), **{field: filled})


def values(column, rows):
    """A column of an answer as a list, None for what is not PRESENT."""
    flat = getattr(column, FIELDS[column.type])
    if column.type == Type.TYPE_EMBEDDING:
        whole = [list(flat[row * column.dim : (row + 1) * column.dim]) for row in range(rows)]
    elif column.type in (Type.TYPE_LIST_INT64, Type.TYPE_LIST_FLOAT64, Type.TYPE_LIST_UTF8):
        lengths = column.lengths
        whole = [list(flat[end - length : end]) for end, length in zip(accumulate(lengths), lengths)]
    else:
        whole = list(flat)
    bits = column.validity
    valid = [not bits or bits[row // 8] >> (row % 8) & 1 for row in range(rows)]
    return [value if valid else None for value, valid in zip(whole, valid)]


def names(statuses, rows):
    """What is known about each value, in words."""
    codes = statuses or bytes([PRESENT]) * rows
    return [FeatureStatus.Name(code).removeprefix("FEATURE_STATUS_") for code in codes]


def transposed(columns):
    return [list(row) for row in zip(*columns)]


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("address", help="host:port, or unix:PATH")
    words.add_argument("--deadline-ms", type=float, default=250.0)
    words = words.parse_args()
    sidecar = Sidecar(words.address, words.deadline_ms / 1e3)
    customers, amounts = [7, 8, 99], [120.0, 15.5, 40.0]
    try:
        answer = sidecar.ask(
            "order_risk",
            keys=[column("customer_id", Type.TYPE_INT64, customers)],
            request=[column("amount", Type.TYPE_FLOAT64, amounts)],
        )
    except grpc.RpcError as error:
        # Only a sidecar that is overloaded sends this; see docs/serving.md for what to do about which code.
        hints = dict(error.trailing_metadata() or ())
        again_ms = hints.get("grpc-retry-pushback-ms")
        again = f"; try again in {again_ms} ms" if again_ms else ""
        sys.exit(f"{error.code().name}: {error.details()}{again}")
    for part, content in answer.items():
        print(part, json.dumps(content))


if __name__ == "__main__":
    main()
