"""Feast's `Value`s to columns of ours, and answers to the kinds that Feast's views declare; which type holds what is
docs/feast.md's table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import pyarrow
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType

from ._errors import StoreValueError

_INTS = ("int32_val", "int64_val")
_FLOATS = ("float_val", "double_val")
_TEXTS = ("string_val", "json_val", "uuid_val", "time_uuid_val", "decimal_val")
#: Of times, seconds since 1970, as Feast has them.
_INT_LISTS = ("int32_list_val", "int64_list_val", "unix_timestamp_list_val")
_FLOAT_LISTS = ("float_list_val", "double_list_val")
_TEXT_LISTS = ("string_list_val", "json_list_val", "uuid_list_val", "time_uuid_list_val", "decimal_list_val")
_EMBEDDING = re.compile(r"embedding\[(\d+)\]")


def _list(value: Any) -> list[Any]:
    return list(value.val)


def _list_of_ints(value: Any) -> list[int]:
    """There is no list of bools here: 0 and 1 stand for them."""
    return [int(item) for item in value.val]


def _float_of_int(value: int) -> float:
    if int(float(value)) != value:
        raise ValueError("no float64 holds it")
    return float(value)


#: Feast's mark of a timestamp that is none, pandas' NaT.
_NO_TIME = -(2**63)


def _seconds(value: int) -> int | None:
    return None if value == _NO_TIME else value * 1_000_000


def _same(value: Any) -> Any:
    return value


_TIMES = pyarrow.timestamp("us", "UTC")

#: By type of a column: Arrow's, and by kind of value what makes the value of it.
_COLUMNS: dict[str, tuple[pyarrow.DataType, dict[str, Callable[[Any], Any]]]] = {
    "bool": (pyarrow.bool_(), {"bool_val": _same}),
    "int32": (pyarrow.int32(), dict.fromkeys(_INTS, _same)),
    "int64": (pyarrow.int64(), dict.fromkeys(_INTS, _same)),
    "float32": (pyarrow.float32(), dict.fromkeys(_FLOATS, _same)),
    "float64": (pyarrow.float64(), {**dict.fromkeys(_FLOATS, _same), **dict.fromkeys(_INTS, _float_of_int)}),
    "utf8": (pyarrow.string(), dict.fromkeys(_TEXTS, _same)),
    "binary": (pyarrow.binary(), {"bytes_val": _same}),
    "timestamp": (_TIMES, {"unix_timestamp_val": _seconds}),
    "list<int64>": (
        pyarrow.list_(pyarrow.int64()),
        {**dict.fromkeys(_INT_LISTS, _list), "bool_list_val": _list_of_ints},
    ),
    "list<float64>": (pyarrow.list_(pyarrow.float64()), dict.fromkeys(_FLOAT_LISTS, _list)),
    "list<utf8>": (pyarrow.list_(pyarrow.string()), dict.fromkeys(_TEXT_LISTS, _list)),
}


def _column_of(of: str) -> tuple[pyarrow.DataType, dict[str, Callable[[Any], Any]]]:
    embedding = _EMBEDDING.fullmatch(of)
    if embedding:
        return pyarrow.list_(pyarrow.float32(), int(embedding[1])), dict.fromkeys(_FLOAT_LISTS, _list)
    return _COLUMNS[of]


def holds(of: str, feast: ValueType) -> bool:
    """Whether a column of this type takes values of Feast's type."""
    return kind_of(feast) in _column_of(of)[1]


def storable(feast: ValueType) -> bool:
    """Whether a column of any type takes values of Feast's type."""
    return any(kind_of(feast) in kinds for _, kinds in _COLUMNS.values())


def column(name: str, of: str, values: Sequence[Value | None], numbers: Sequence[int]) -> pyarrow.Array:
    """A column of this type; messages tell a row by its number."""
    arrow, takes = _column_of(of)
    made: list[Any] = []
    for row, value in zip(numbers, values):
        kind = None if value is None else value.WhichOneof("val")
        if kind is None or kind == "null_val":
            made.append(None)
            continue
        take = takes.get(kind)
        if take is None:
            raise _unfit(name, of, row, f"a {kind.removesuffix('_val')}")
        try:
            made.append(take(getattr(value, kind)))
        except ValueError as error:
            raise _unfit(name, of, row, f"{getattr(value, kind)} ({error})") from None
    try:
        return pyarrow.array(made, arrow)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError, ValueError):
        return _one_by_one(name, of, made, arrow, numbers)


def _one_by_one(name: str, of: str, made: list[Any], arrow: pyarrow.DataType, numbers: Sequence[int]) -> pyarrow.Array:
    """The same, so that the message can tell the row."""
    for row, value in zip(numbers, made):
        try:
            pyarrow.array([value], arrow)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError, ValueError) as error:
            raise _unfit(name, of, row, f"{str(value)[:80]} ({error})") from None
    raise StoreValueError(f"column `{name}`: expected {of}, came values that make no such column")


def _unfit(name: str, of: str, row: int, came: str) -> StoreValueError:
    return StoreValueError(
        f"column `{name}`, row {row} (counted from 0): expected {of}, came {came}",
        next_step="declare the feature with the same type in Feast and in the sidecar's definitions",
    )


def times(values: Sequence[datetime], numbers: Sequence[int]) -> pyarrow.Array:
    """Times of events to the microsecond; one without a zone is UTC. Messages tell a row by its number."""
    for row, value in zip(numbers, values):
        if no_time(value):
            raise StoreValueError(
                f"row {row} (counted from 0): expected the time of its event, came {value}",
                next_step="give each row an event timestamp, or leave it out",
            )
    return pyarrow.array([utc(value) for value in values], _TIMES)


def no_time(value: datetime | None) -> bool:
    """Whether it is none: pandas' NaT is, which is no value of its own."""
    return value is None or value != value


def utc(value: datetime) -> datetime:
    """One without a zone is UTC."""
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


def kind_of(feast: ValueType) -> str:
    """The kind of `Value` that Feast has for its type."""
    return f"{feast.name.lower()}_val"


def cast(values: Any, feast: ValueType | None) -> None:
    """Makes values of an answer the kind that Feast's view declares, in place: text is JSON, a list of int64 one of int32."""
    if feast is None or feast in (ValueType.UNKNOWN, ValueType.NULL):
        return
    want = kind_of(feast)
    if want not in Value.DESCRIPTOR.fields_by_name:
        return
    for value in values:
        kind = value.WhichOneof("val")
        if kind is None or kind == want:
            continue
        came = getattr(value, kind)
        if kind.endswith("_list_val"):
            items = list(came.val)
            made = getattr(value, want)
            # An empty list is a value, too.
            made.SetInParent()
            made.val.extend(map(bool, items) if want == "bool_list_val" else items)
        else:
            try:
                setattr(value, want, came)
            except TypeError:
                raise StoreValueError(
                    f"expected a {want.removesuffix('_val')}, as Feast's view declares, came a {kind.removesuffix('_val')}",
                    next_step="declare the feature with the same type in Feast and in the sidecar's definitions",
                ) from None
