"""What a plugin in Python is written with: the batch of sdk/wit/CORE.md, and a decorator that makes a transform of a function.

One file without dependencies, to lie beside the plugin. It believes the input, as the host has checked it, and writes outputs as the contract
says, byte for byte. It runs natively, in tests, and inside the component that `skewless plugin build` makes. Not here: the
signature section, which the build appends, and golden rows, which `skewless plugin test` reads.

Cost: numbers are taken from the batch and put into it in bulk; a row is one call of the function. Most of the time is CPython's own.
"""

from __future__ import annotations

import inspect
import json
import sys
import types
import typing
from array import array
from itertools import accumulate

assert sys.byteorder == "little", "the batch layout is little-endian and its buffers are used in place"

ABI = 1
MAGIC = b"SKWB"
LAYOUT = 1
HEADER_BYTES = 64
DESCRIPTOR_BYTES = 48
#: Buffers begin at multiples of this.
ALIGN = 64
#: Bytes left free between two columns.
COLUMN_GAP = 64
ROWS_MAX = 1 << 20
COLUMNS_MAX = 4096
BATCH_BYTES_MAX = 1 << 30
EMBEDDING_DIM_MAX = 65_536

CODES = {
    "bool": 1, "int32": 2, "int64": 3, "float32": 4, "float64": 5, "utf8": 6, "binary": 7, "timestamp": 8,
    "embedding": 9, "list<int64>": 10, "list<float64>": 11, "list<utf8>": 12,
}  # fmt: skip
NAMES = {code: name for name, code in CODES.items()}
#: The element of a column's values, as `array` and `memoryview` name it.
FORMATS = {
    "int32": "i", "int64": "q", "float32": "f", "float64": "d", "timestamp": "q",
    "embedding": "f", "list<int64>": "q", "list<float64>": "d",
}  # fmt: skip


class RowError(Exception):
    """Fails one row: its outputs are null, and the message is in the answer of whoever asks for it."""


class Type:
    """A type of the contract in an annotation: `Annotated[int, Type("int32")]`. The names below are such."""

    def __init__(self, name: str) -> None:
        self.name, self.dim = name, 0
        if name.startswith("embedding[") and name.endswith("]") and name[10:-1].isdigit():
            self.name, self.dim = "embedding", int(name[10:-1])
            if not 1 <= self.dim <= EMBEDDING_DIM_MAX:
                raise TypeError(f"expected an embedding of 1 to {EMBEDDING_DIM_MAX} numbers, came {name}")
        elif name not in CODES or name == "embedding":
            raise TypeError(f"expected one of {', '.join(CODES)} (embedding[16] with its length), came {name!r}")

    def __str__(self) -> str:
        return f"embedding[{self.dim}]" if self.dim else self.name


class Unit:
    """The unit of an input or an output, in its annotation: `Annotated[float, Unit("km")]`. For people."""

    def __init__(self, name: str) -> None:
        self.name = words("the name of a Unit", name)


def words(what: str, came) -> str:
    """A text of the signature: anything else would be refused only when the file that was built is loaded."""
    if not isinstance(came, str):
        raise TypeError(f"expected text for {what}, came {came!r}")
    return came


Int32 = typing.Annotated[int, Type("int32")]
Float32 = typing.Annotated[float, Type("float32")]
#: Microseconds since 1970-01-01T00:00:00 UTC.
Timestamp = typing.Annotated[int, Type("timestamp")]


class Embedding:
    """`Embedding[16]`: a list of 16 float32."""

    def __class_getitem__(cls, dim: int):
        return typing.Annotated[list[float], Type(f"embedding[{dim}]")]


# A column is a part of a batch, as buffers; `to_list` and `column` are between those and Python's values.


class Column(typing.NamedTuple):
    """Typed values of all rows, in the buffers of the layout: bytes, or views of them, without padding."""

    type: Type
    validity: bytes | memoryview | None
    offsets: array | memoryview | None
    inner: array | memoryview | None
    values: bytes | array | memoryview


def null_rows(column: Column, rows: int) -> list[int]:
    """The rows that are null."""
    if column.validity is None:
        return []
    bits = column.validity
    return [row for row in range(rows) if not bits[row >> 3] >> (row & 7) & 1]


def to_list(column: Column, rows: int) -> list:
    """A column's values, one a row; None where it is null."""
    name, values, offsets = column.type.name, column.values, column.offsets
    if name == "bool":
        out = [bool(values[row >> 3] >> (row & 7) & 1) for row in range(rows)]
    elif name == "embedding":
        flat, dim = values.tolist(), column.type.dim
        out = [flat[at : at + dim] for at in range(0, rows * dim, dim)]
    elif offsets is None:
        out = values.tolist()
    else:
        cuts = offsets.tolist()
        if name == "utf8":
            data = bytes(values)
            out = [data[start:end].decode() for start, end in zip(cuts, cuts[1:])]
        else:
            if name == "binary":
                items = bytes(values)
            elif name == "list<utf8>":
                data, inner = bytes(values), column.inner.tolist()
                items = [data[start:end].decode() for start, end in zip(inner, inner[1:])]
            else:
                items = values.tolist()
            out = [items[start:end] for start, end in zip(cuts, cuts[1:])]
    for row in null_rows(column, rows):
        out[row] = None
    return out


def bits(flags: list) -> bytes:
    """A bitmap, least significant bit first."""
    out = bytearray((len(flags) + 7) // 8)
    for at, flag in enumerate(flags):
        if flag:
            out[at >> 3] |= 1 << (at & 7)
    return bytes(out)


def texts(values: list) -> list[bytes]:
    return [value.encode() for value in values]


def ends(pieces: list) -> array:
    """Offsets of pieces laid one after the other."""
    return array("i", accumulate(map(len, pieces), initial=0))


def column(type_: Type, values: list) -> Column:
    """A column of Python's values, None for a null. What is no value of the type is a TypeError, or a ValueError."""
    name, validity = type_.name, None
    if None in values:
        validity = bits([value is not None for value in values])
        empty = {"bool": False, "utf8": "", "binary": b"", "embedding": [0.0] * type_.dim}
        slot = empty.get(name, [] if name.startswith("list") else 0)
        values = [slot if value is None else value for value in values]
    if name == "bool":
        if not all(value is True or value is False for value in values):
            raise TypeError("expected True or False")
        return Column(type_, validity, None, None, bits(values))
    if name == "utf8":
        pieces = texts(values)
        return Column(type_, validity, ends(pieces), None, b"".join(pieces))
    if name == "binary":
        if not all(isinstance(value, (bytes, bytearray, memoryview)) for value in values):
            raise TypeError("expected bytes")
        return Column(type_, validity, ends(values), None, b"".join(values))
    if name == "embedding":
        if any(len(value) != type_.dim for value in values):
            raise ValueError(f"expected {type_.dim} numbers")
        return Column(type_, validity, None, None, array("f", [item for value in values for item in value]))
    if name.startswith("list"):
        if not all(isinstance(value, (list, tuple, array, memoryview)) for value in values):
            raise TypeError("expected a list")
        items = [item for value in values for item in value]
        if name == "list<utf8>":
            pieces = texts(items)
            return Column(type_, validity, ends(values), ends(pieces), b"".join(pieces))
        return Column(type_, validity, ends(values), None, array(FORMATS[name], items))
    return Column(type_, validity, None, None, array(FORMATS[name], values))


# The bytes: sdk/wit/CORE.md, section 4.


def decode(batch: bytes) -> tuple[int, list[Column]]:
    """The rows and the columns of a batch that the host has checked."""
    view = memoryview(batch)
    if len(view) < HEADER_BYTES or bytes(view[:4]) != MAGIC:
        raise ValueError("expected a batch that begins with `SKWB`")
    version = int.from_bytes(view[4:6], "little")
    if version != LAYOUT:
        raise ValueError(f"expected a batch of layout version {LAYOUT}, came {version}")
    rows, columns = view[8:16].cast("I")
    return rows, [decode_column(view, HEADER_BYTES + DESCRIPTOR_BYTES * at) for at in range(columns)]


def decode_column(batch: memoryview, at: int) -> Column:
    kind, flags = batch[at], batch[at + 1]
    dim, *places = batch[at + 4 : at + 40].cast("I")
    validity, offsets, inner, values = (batch[start : start + length] for start, length in zip(places[::2], places[1::2]))
    name = NAMES[kind]
    if name in FORMATS:
        values = values.cast(FORMATS[name])
    return Column(
        Type(f"embedding[{dim}]" if name == "embedding" else name),
        validity if flags & 1 else None,
        offsets.cast("i") if len(offsets) else None,
        inner.cast("i") if len(inner) else None,
        values,
    )


def up(at: int) -> int:
    return -(-at // ALIGN) * ALIGN


def encode(rows: int, columns: list[Column]) -> bytes:
    """The batch of these columns: of equal columns the same bytes in every language."""
    head = bytearray(HEADER_BYTES + DESCRIPTOR_BYTES * len(columns))
    body, at = [], len(head)
    for index, it in enumerate(columns):
        if index:
            body.append(bytes(up(at) + COLUMN_GAP - at))
            at = up(at) + COLUMN_GAP
        places = []
        for buffer in (it.validity, it.offsets, it.inner, it.values):
            data = b"" if buffer is None else memoryview(buffer).cast("B") if len(buffer) else b""
            start = up(at) if len(data) else 0
            places += [start, len(data)]
            if len(data):
                body += [bytes(start - at), data]
                at = start + len(data)
        nulls = len(null_rows(it, rows))
        descriptor = HEADER_BYTES + DESCRIPTOR_BYTES * index
        head[descriptor] = CODES[it.type.name]
        head[descriptor + 1] = it.validity is not None
        head[descriptor + 4 : descriptor + 44] = array("I", [it.type.dim, *places, nulls]).tobytes()
    end = up(at)
    if rows > ROWS_MAX or len(columns) > COLUMNS_MAX or end > BATCH_BYTES_MAX:
        raise ValueError(
            f"expected at most {ROWS_MAX} rows, {COLUMNS_MAX} columns and {BATCH_BYTES_MAX} bytes, "
            f"came {rows}, {len(columns)} and {end}"
        )
    head[:8] = MAGIC + LAYOUT.to_bytes(2, "little") + bytes(2)
    head[8:20] = array("I", [rows, len(columns), end]).tobytes()
    return b"".join([head, *body, bytes(end - at)])


# Transforms.


class Field(typing.NamedTuple):
    """An input or an output of the signature."""

    name: str
    type: Type
    nullable: bool
    doc: str
    unit: str

    @classmethod
    def of(cls, name: str, hint) -> Field:
        """What an annotation says."""
        hint, notes = unpack(hint)
        nullable = False
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            others = [arg for arg in typing.get_args(hint) if arg is not type(None)]
            if len(others) == 1:
                nullable, (hint, inside) = True, unpack(others[0])
                notes = inside + notes
        plain = {bool: "bool", int: "int64", float: "float64", str: "utf8", bytes: "binary"}
        lists = {list[int]: "list<int64>", list[float]: "list<float64>", list[str]: "list<utf8>"}
        named = [note for note in notes if isinstance(note, Type)]
        known = named[0] if named else None
        if known is None:
            found = next((name for kind, name in {**plain, **lists}.items() if kind == hint), None)
            if found is None:
                came = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else hint
                raise TypeError(
                    f"`{name}`: expected bool, int, float, str, bytes, list[int], list[float], list[str], Int32, Float32, "
                    f"Timestamp, Embedding[N], or one of these `| None`, came {came}"
                )
            known = Type(found)
        return cls(
            name,
            known,
            nullable,
            " ".join(" ".join(note.split()) for note in notes if isinstance(note, str)),
            next((note.name for note in notes if isinstance(note, Unit)), ""),
        )

    def json(self) -> dict:
        return {"name": self.name, "type": str(self.type), "nullable": self.nullable, "doc": self.doc, "unit": self.unit}


def unpack(hint) -> tuple[typing.Any, tuple]:
    """A type and what is noted with it."""
    if typing.get_origin(hint) is typing.Annotated:
        inner, *notes = typing.get_args(hint)
        inner, before = unpack(inner)
        return inner, before + tuple(notes)
    return hint, ()


def hints(of) -> dict:
    return typing.get_type_hints(of, include_extras=True)


class Transform:
    """A function with its signature. Calling it calls the function."""

    def __init__(self, function, name: str, version: str, output: str, columns: bool) -> None:
        self.function, self.columns, self.name, self.version = function, columns, name, version
        self.doc = " ".join((inspect.getdoc(function) or "").split())
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"expected a plain function that returns a row's result, came {name}, which is `async` or has a `yield`")
        said = hints(function)
        arguments = inspect.signature(function).parameters.values()
        for argument in arguments:
            if argument.kind is not argument.POSITIONAL_OR_KEYWORD or argument.default is not argument.empty:
                raise TypeError(f"`{argument.name}`: expected a plain argument without a default, as every row has every input")
        missing = [name for name in [*(a.name for a in arguments), "return"] if name not in said]
        if missing:
            raise TypeError(f"expected an annotation of each argument and of the result; `{missing[0]}` of {name} has none")
        result = said.pop("return")
        self.inputs = [Field.of(*hint) for hint in said.items()]
        kind, _ = unpack(result)
        options = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        optional = len(options) == 1 and type(None) in typing.get_args(kind)
        row = unpack(options[0])[0] if optional else kind
        #: The NamedTuple of the outputs; None if the result is a single value.
        self.row = row if isinstance(row, type) and hasattr(row, "_fields") else None
        if self.row:
            self.outputs = [Field.of(*hint) for hint in hints(self.row).items()]
            if optional:
                self.outputs = [output._replace(nullable=True) for output in self.outputs]
        else:
            try:
                self.outputs = [Field.of(output, result)]
            except TypeError as error:
                raise TypeError(f"the result of {name}, {error}; several outputs are a NamedTuple, one field each") from None

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)

    def signature(self) -> str:
        """The JSON of the section `skewless.signature`."""
        fields = {"abi": ABI, "name": self.name, "version": self.version, "doc": self.doc}
        fields["inputs"] = [field.json() for field in self.inputs]
        fields["outputs"] = [field.json() for field in self.outputs]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    def run(self, batch: bytes) -> bytes:
        """The output batch of an input batch, as the host calls it. What is no input of the signature is a ValueError."""
        rows, given = decode(batch)
        expected = [str(field.type) for field in self.inputs]
        came = [str(it.type) for it in given]
        if expected != came:
            raise ValueError(f"expected columns ({', '.join(expected)}), came ({', '.join(came)})")
        nulls = set()
        for field, it in zip(self.inputs, given):
            if not field.nullable:
                nulls.update(null_rows(it, rows))
        arguments = [to_list(it, rows) for it in given]
        answers, errors = (self.by_columns if self.columns else self.by_rows)(rows, arguments, nulls)
        outputs = self.gather(rows, answers, errors, nulls)
        if errors:
            outputs.append(column(Type("utf8"), [errors.get(row) for row in range(rows)]))
        return encode(rows, outputs)

    def by_rows(self, rows: int, arguments: list, nulls: set) -> tuple[list, dict]:
        """Calls the function for each row. An exception is the row's error, whatever it is: other rows don't fail for it."""
        function, answers, errors = self.function, [], {}
        for row, values in enumerate(zip(*arguments) if arguments else [()] * rows):
            if row in nulls:
                answers.append(None)
                continue
            try:
                answers.append(function(*values))
            except Exception as error:
                answers.append(None)
                errors[row] = said(error)
        if self.row:
            answers = self.rows_of_outputs(answers, errors, nulls)
        return answers, errors

    def rows_of_outputs(self, answers: list, errors: dict, nulls: set) -> list:
        """Rows of outputs as columns of them."""
        none = (None,) * len(self.outputs)
        for row, answer in enumerate(answers):
            if answer is None:
                answers[row] = none
            elif type(answer) is not self.row:
                errors[row] = f"expected a {self.row.__name__}, came {type(answer).__name__}"
                answers[row] = none
        return [list(values) for values in zip(*answers)] or [[] for _ in self.outputs]

    def by_columns(self, rows: int, arguments: list, nulls: set) -> tuple[list, dict]:
        """Calls the function once. An entry may be a RowError, which is its row's error."""
        answers = self.function(*arguments)
        answers = [list(answer) for answer in answers] if self.row else list(answers)
        errors = {}
        for field, values in zip(self.outputs, answers if self.row else [answers]):
            if len(values) != rows:
                raise ValueError(f"`{field.name}`: expected an entry for each of {rows} rows, came {len(values)}")
            for row, value in enumerate(values):
                if isinstance(value, RowError):
                    values[row] = None
                    if row not in nulls:
                        errors.setdefault(row, said(value))
        return answers, errors

    def gather(self, rows: int, answers: list, errors: dict, nulls: set) -> list[Column]:
        """The output columns. A row whose values aren't those of the signature fails alone."""
        lists = answers if self.row else [answers]
        for row in nulls:
            for values in lists:
                values[row] = None
        for field, values in zip(self.outputs, lists):
            if not field.nullable and None in values:
                for row, value in enumerate(values):
                    if value is None and row not in nulls and row not in errors:
                        errors[row] = f"`{field.name}`: expected a {field.type}, came None; if it may be, declare it `| None`"
        columns = self.columns_of(lists, errors)
        if columns is None:
            for field, values in zip(self.outputs, lists):
                for row, value in enumerate(values):
                    try:
                        column(field.type, [value])
                    except Exception as error:
                        errors.setdefault(row, f"`{field.name}`: expected a {field.type}, came {value!r:.100} ({said(error)})")
            columns = self.columns_of(lists, errors)
            assert columns is not None, "every row that failed has been taken out"
        return columns

    def columns_of(self, lists: list, errors: dict) -> list[Column] | None:
        """The output columns, null where a row has failed; None if a value is none of its type."""
        for row in errors:
            for values in lists:
                values[row] = None
        try:
            return [column(field.type, values) for field, values in zip(self.outputs, lists)]
        except Exception:
            return None


def said(error: Exception) -> str:
    """An exception as a row's error: a RowError's own words, and what else it was with its kind."""
    text = str(error).encode(errors="backslashreplace").decode()
    if isinstance(error, RowError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def transform(function=None, *, name: str = "", version: str = "", output: str = "value", unit: str = "", columns: bool = False):
    """Makes a transform of a function; its annotations and docstring become the signature.

    `output` and `unit` are those of a result that is a single value. With `columns` the function takes a list a column, None
    for a null, and gives a list with an entry per row (or a NamedTuple of such), which may be a RowError.
    """

    for what, came in [("name", name), ("version", version), ("output", output), ("unit", unit)]:
        words(f"`{what}` of @transform", came)

    def made(function):
        it = Transform(function, name or function.__name__, version, output, columns)
        if unit:
            if it.row:
                raise TypeError("`unit` names a single value's; the fields of a NamedTuple have units of their own")
            it.outputs = [it.outputs[0]._replace(unit=unit)]
        return it

    return made if function is None else made(function)


def of_module(module) -> Transform:
    """The one transform that a module has."""
    found = {id(it): it for it in vars(module).values() if isinstance(it, Transform)}
    if len(found) != 1:
        names = ", ".join(it.function.__name__ for it in found.values()) or "none"
        raise TypeError(f"expected exactly one function with `@transform` before it in {module.__name__}.py, came {names}")
    return next(iter(found.values()))
