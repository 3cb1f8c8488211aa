"""`Plugin`: a feature plugin on frames and rows, by the engine that serves."""

from __future__ import annotations

import html
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from . import _skewless
from ._errors import InputError, PluginError, SkewlessWarning, TransformError
from ._frame import Frame, _arrow, _plain


class Field(NamedTuple):
    """An input or output of a plugin."""

    name: str
    #: In the words of the definitions: `float64`, `utf8`, `embedding<3>`.
    type: str
    nullable: bool
    doc: str = ""
    unit: str = ""

    def __str__(self) -> str:
        return f"{_plain(self.name)}: {self.type}{'?' if self.nullable else ''}"


class Signature(NamedTuple):
    """What a plugin needs and gives."""

    abi: int
    name: str
    version: str
    doc: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    def __str__(self) -> str:
        inputs, outputs = (", ".join(map(str, fields)) for fields in (self.inputs, self.outputs))
        return f"{_plain(self.name)} {_plain(self.version)}({inputs}) -> ({outputs})"


class RowFailure(NamedTuple):
    """A row that the plugin failed."""

    #: Counted from 0.
    row: int
    message: str


class Transformed(Frame):
    """A plugin's answer: a column for each output, null in rows that failed."""

    def __init__(self, frame: Any, failed: int = 0, failures: tuple[RowFailure, ...] = ()) -> None:
        super().__init__(frame)
        #: How many rows failed.
        self.failed = failed
        #: Why: of the first thousand.
        self.failures = failures

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.to_arrow(), self.failed, self.failures))


Errors = Literal["warn", "raise", "null"]


class Plugin:
    """A feature plugin, run by the engine that serves.

        plugin = skewless.Plugin("plugins/great_circle.wasm")
        plugin(frame).to_pandas()
        plugin.rows([{"lat1": 40.69, "lon1": -74.17, "lat2": 29.98, "lon2": -95.34}])

    It may be called from many threads at once, after a fork, and pickled: it travels as its bytes, and is compiled once a
    process, however many there are of it.

    `wasm` is a path, or the file's bytes. Raises PluginError if it is no plugin.
    """

    def __init__(self, wasm: str | os.PathLike[str] | bytes | bytearray | memoryview) -> None:
        if isinstance(wasm, (bytes, bytearray, memoryview)):
            self._path: str | None = None
            data = bytes(wasm)
        else:
            self._path = os.fspath(wasm)
            try:
                data = Path(self._path).read_bytes()
            except OSError as error:
                raise PluginError(
                    f"can't read {self._path}: {error.strerror}", next_step="give the path of a .wasm file"
                ) from error
        self._plugin = _skewless.Plugin(data)
        abi, name, version, doc, inputs, outputs = self._plugin.signature
        self._signature = Signature(
            abi, name, version, doc, tuple(Field(*of) for of in inputs), tuple(Field(*of) for of in outputs)
        )

    @property
    def signature(self) -> Signature:
        """What it needs and gives."""
        return self._signature

    @property
    def name(self) -> str:
        """Its name, by its signature."""
        return self._signature.name

    @property
    def digest(self) -> str:
        """SHA-256 of the file, in hexadecimal: what provenance names."""
        return self._plugin.digest

    @property
    def wasm(self) -> bytes:
        """The file."""
        return self._plugin.wasm

    def __call__(self, frame: Any, *, errors: Errors = "warn") -> Transformed:
        """The same as `transform`."""
        return self._transform(frame, errors)

    def transform(self, frame: Any, *, errors: Errors = "warn") -> Transformed:
        """Runs the plugin on every row of a frame: a pyarrow Table or RecordBatch, a pandas or polars DataFrame, or any
        object with `__arrow_c_stream__` or `__arrow_c_array__`.

        Columns are taken by name; others are left alone. The answer has a column for each output and a row for each row.
        A row that the plugin fails is null in all of them; `errors` says whether that is told by a warning, raised as
        TransformError, or only kept in the answer's `failures` ("null"). Raises InputError for a frame that doesn't fit.
        """
        return self._transform(frame, errors)

    def _transform(self, frame: Any, errors: Errors) -> Transformed:
        _known(errors)
        wanted = {field.name for field in self._signature.inputs}
        batches, failed, messages = self._plugin.run(_arrow(frame, wanted))
        failures = tuple(RowFailure(*of) for of in messages)
        answer = Transformed(batches, failed, failures)
        self._tell(errors, failed, len(answer), failures, stacklevel=4)
        return answer

    def rows(self, rows: Iterable[Mapping[str, Any]] | Mapping[str, Any], *, errors: Errors = "warn") -> list[dict[str, Any]]:
        """Runs the plugin on rows that are dicts, or on one, for people; what a row lacks is null, times are datetimes.

        An input that all rows lack is refused unless it may be null. `errors` as in `transform`.
        """
        _known(errors)
        rows = [rows] if isinstance(rows, Mapping) else rows
        dicts = [row if isinstance(row, dict) else dict(row) if isinstance(row, Mapping) else row for row in rows]
        answer, failed, messages = self._plugin.run_rows(dicts)
        self._tell(errors, failed, len(answer), tuple(RowFailure(*of) for of in messages), stacklevel=3)
        return answer

    def _tell(
        self, errors: Errors, failed: int, rows: int, failures: tuple[RowFailure, ...], *, stacklevel: int
    ) -> None:
        """`stacklevel` is of the line that called this package."""
        if failed == 0 or errors == "null":
            return
        first = failures[0]
        message = f"{self.name} failed {failed:,} of {rows:,} rows; row {first.row} (counted from 0): {first.message}"
        if errors == "raise":
            raise TransformError(message, next_step="mend the rows, or ask for nulls there: errors=\"null\"")
        warnings.warn(f"{message}. They are null in the answer", SkewlessWarning, stacklevel=stacklevel)

    def __reduce__(self) -> tuple[object, ...]:
        return (Plugin, (self.wasm,))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plugin) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<skewless.Plugin {self._signature}, {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        def part(what: str, fields: tuple[Field, ...]) -> str:
            return "".join(
                f"<tr><td>{what}</td><td>{html.escape(of.name)}</td><td>{of.type}{'?' if of.nullable else ''}</td>"
                f"<td>{html.escape(of.unit)}</td><td>{html.escape(of.doc)}</td></tr>"
                for of in fields
            )

        head = "<tr><th></th><th>name</th><th>type</th><th>unit</th><th></th></tr>"
        body = part("input", self._signature.inputs) + part("output", self._signature.outputs)
        title = f"{html.escape(self.name)} {html.escape(self._signature.version)}"
        return f"<p><b>{title}</b> <code>{self.digest[:12]}</code><br>{html.escape(self._signature.doc)}</p><table>{head}{body}</table>"


def _known(errors: str) -> None:
    if errors not in ("warn", "raise", "null"):
        raise InputError(f'expected errors to be "warn", "raise" or "null", came {errors!r}')
