"""What is asked of the sidecar for a request of Feast's, and the answer in Feast's order and names; not how it is sent.

Everything is asked as a list of features, in the order in which Feast wants them, so an answer is taken by position: names, roles and
aliases are Feast's. A request of more rows than `read_rows_max` is asked in parts, each one call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple, TypeAlias

from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.serving.ServingService_pb2 import (
    FieldStatus,
    GetOnlineFeaturesRequest,
    GetOnlineFeaturesResponse,
)
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp

from ._errors import StoreError
from ._names import Names
from ._values import cast

#: Feast's, a column of an answer.
Vector: TypeAlias = Any
_VECTOR = GetOnlineFeaturesResponse.FeatureVector


class Wanted(NamedTuple):
    """One column of an answer."""

    #: As the sidecar is asked for it.
    reference: str
    #: As Feast calls it.
    name: str
    type: ValueType | None
    #: Whether it is of a view that no sidecar stores, such as one of labels.
    nowhere: bool = False


class Question:
    """Some features of some rows."""

    def __init__(
        self,
        wanted: Sequence[Wanted],
        entities: Mapping[str, Sequence[Value]],
        request: Mapping[str, Sequence[Value]],
        names: Names,
        metadata: bool = False,
    ) -> None:
        self.wanted = wanted
        self._entities = {ours: values for name, values in entities.items() for ours in names.asked(name)}
        self._request = {ours: values for name, values in request.items() for ours in names.asked(name)}
        self._metadata = metadata
        # A service may have a feature twice, under two aliases; it is asked for once.
        self._references = list(dict.fromkeys(of.reference for of in wanted))
        self.rows = max((len(values) for values in (*entities.values(), *request.values())), default=0)

    def leave_out(self, unstored: Set[str]) -> None:
        """These aren't asked for: what isn't stored is answered as NOT_FOUND."""
        self._references = [of for of in self._references if of not in unstored]

    def parts(self, rows_max: int) -> Iterator[GetOnlineFeaturesRequest]:
        """The calls that it takes."""
        for first in range(0, self.rows if self._references else 0, rows_max):
            part = GetOnlineFeaturesRequest(
                full_feature_names=True, include_feature_view_version_metadata=self._metadata
            )
            part.features.val.extend(self._references)
            for columns, into in ((self._entities, part.entities), (self._request, part.request_context)):
                for name, values in columns.items():
                    into[name].CopyFrom(RepeatedValue(val=values[first : first + rows_max]))
            yield part

    def answer(self, parts: Sequence[GetOnlineFeaturesResponse]) -> tuple[list[Vector], list[Any]]:
        """A column for each that is wanted, in Feast's types; and the views' metadata, if asked for."""
        columns: list[Vector] = []
        for part in parts:
            # The keys come first, and there is no telling how many; the features are what is at the end.
            features = part.results[len(part.results) - len(self._references) :]
            if len(features) != len(self._references):
                raise StoreError(
                    f"expected {len(self._references)} features in the answer, came {len(part.results)} columns",
                    next_step="is the sidecar of the version of this package?",
                )
            if not columns:
                columns = list(features)
                continue
            for whole, more in zip(columns, features):
                whole.MergeFrom(more)
        found = dict(zip(self._references, columns))
        vectors = []
        for of in self.wanted:
            vector = found.get(of.reference) or not_found(self.rows)
            cast_vector(vector, of)
            vectors.append(vector)
        return vectors, list(parts[0].metadata.feature_view_metadata) if parts else []


def cast_vector(vector: Vector, of: Wanted) -> None:
    """Its values in the type that Feast declares."""
    try:
        cast(vector.values, of.type)
    except StoreError as error:
        error.message = f"feature `{of.reference}`: {error.message}"
        raise


def not_found(rows: int) -> Vector:
    """Of a feature that the sidecar's view doesn't have."""
    return _VECTOR(values=[Value()] * rows, statuses=[FieldStatus.NOT_FOUND] * rows, event_timestamps=[Timestamp()] * rows)


def dummy(rows: int) -> dict[str, list[Value]]:
    """The key of views without entity."""
    return {DUMMY_ENTITY_ID: [Value(string_val=DUMMY_ENTITY_VAL)] * rows}
