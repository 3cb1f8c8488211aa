"""A plugin or service on its way into other processes, and what it does to a batch there: what Spark and Ray share.

Not how either of them is told to do it: that is `spark.py` and `ray.py`. A plugin travels as its pickle, which holds the
bytes of its file, beside its digest; a service with its definitions and plugins, beside its fingerprint. A worker process
loads one when it first meets the digest, sees that what came is what left, and keeps it compiled.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Union

from ._errors import InputError, TransformError
from ._plugin import Field, Plugin
from ._repo import FeatureRepo
from ._service import PackedService
from ._skewless import __version__

if TYPE_CHECKING:
    import pyarrow as pa

#: What becomes of a row that the plugin refuses or breaks on.
Errors = Literal["raise", "null", "column"]

#: What an input is given: the name of a column; or for all rows a number, a bool, None, or `{"constant": value}`, as in
#: definitions.
Source = Union[str, bool, int, float, None, Mapping[str, Any]]

#: What is shipped.
Shipped = Union[Plugin, PackedService]

#: Plugins and services that a worker process keeps compiled, a few megabytes each: a cluster has more than one job. The one
#: that came first goes first.
KEPT_MAX = 32

#: Rows that are tried at once for the sake of their messages: a call tells no more than these.
MESSAGES_MAX = 1_000

#: Those of this process, by their digests.
_kept: dict[str, Shipped] = {}


def shipped_of(what: Any, service: str | None) -> Shipped:
    """The plugin or the service that was meant."""
    if isinstance(what, FeatureRepo):
        if service is None:
            names = ", ".join(of.name for of in what.services)
            raise InputError(
                "expected the name of a service, came none", next_step=f'service="...": the repo has {names}'
            )
        return PackedService.of(what, service)
    if service is not None:
        raise InputError(f"expected a FeatureRepo for the service {service}, came {type(what).__name__}")
    return what if isinstance(what, Plugin) else Plugin(what)


def load(digest: str, fetch: Callable[[], bytes]) -> Shipped:
    """What has this digest: the one that is here, or else the one that is fetched, pickled."""
    kept = _kept.get(digest)
    if kept is None:
        kept = pickle.loads(fetch())
        if kept.digest != digest:
            raise InputError(f"expected {kept.name} to be {digest}, came {kept.digest}: it was changed on its way here")
        while len(_kept) >= KEPT_MAX:
            _kept.pop(next(iter(_kept)), None)
        _kept[digest] = kept
    return kept


@dataclass(frozen=True)
class Work:
    """What is done to each batch of a frame. It travels; the plugin travels beside it."""

    #: The version of this package where the frame was transformed.
    version: str
    digest: str
    #: The inputs that were given something, with what, and their types.
    sources: tuple[tuple[str, str, Source], ...]
    #: The inputs that weren't, and so are the columns of their names.
    own: tuple[str, ...]
    #: Outputs and the columns they become.
    outputs: tuple[tuple[str, str], ...]
    errors: Errors
    #: The column that messages go to, with `errors="column"`.
    error_column: str

    @classmethod
    def of(
        cls,
        shipped: Shipped,
        inputs: Mapping[str, Source] | None,
        outputs: Mapping[str, str] | Iterable[str] | None,
        errors: Errors,
    ) -> Work:
        """Checks what was asked for against what the plugin or service takes and gives."""
        name, (fields, results) = shipped.name, _signature(shipped)
        types = {field.name: field.type for field in fields}
        given = dict(inputs or {})
        _known(given, types, f"an input of {name}")
        sources = tuple((of, types[of], _source(of, types[of], source)) for of, source in given.items())
        all_outputs = [field.name for field in results]
        if outputs is None:
            named = {of: of for of in all_outputs}
        else:
            named = dict(outputs) if isinstance(outputs, Mapping) else {of: of for of in outputs}
        _known(named, all_outputs, f"an output of {name}")
        if not named:
            raise InputError(f"expected outputs of {name}, came none", next_step="leave `outputs` away for all of them")
        if errors not in ("raise", "null", "column"):
            raise InputError(f'expected errors to be "raise", "null" or "column", came {errors!r}')
        if errors == "column" and isinstance(shipped, PackedService):
            raise InputError(
                'expected errors to be "raise" or "null" for a service, came "column"',
                next_step="give its plugins one by one: a row may fail in each of them",
            )
        return cls(
            version=__version__,
            digest=shipped.digest,
            sources=sources,
            own=tuple(of for of in types if of not in given),
            outputs=tuple(named.items()),
            errors=errors,
            error_column=f"{name}__error",
        )

    def added(self) -> list[str]:
        """The names of the new columns."""
        names = [column for _, column in self.outputs]
        return [*names, self.error_column] if self.errors == "column" else names

    def types(self, shipped: Shipped) -> list[tuple[str, str]]:
        """The new columns of outputs and their types."""
        types = {field.name: field.type for field in _signature(shipped)[1]}
        return [(column, types[output]) for output, column in self.outputs]

    def check(self, shipped: Shipped, schema: pa.Schema) -> None:
        """Sees whether frames of this schema can be transformed."""
        import pyarrow as pa

        self._check_names(schema.names)
        # A row of nulls for a plugin, whose types are looked at with the rows; a service refuses nulls in a request.
        rows = 1 if isinstance(shipped, Plugin) else 0
        needed = {*self.own, *(source for _, _, source in self.sources if isinstance(source, str))}
        nulls = [pa.nulls(rows, field.type if field.name in needed else pa.null()) for field in schema]
        names = list(self.own)
        if isinstance(shipped, Plugin):
            # With the columns that aren't needed, so that a misspelt one is found; but for those that are there twice.
            names = [name for name in dict.fromkeys(schema.names) if name in needed or schema.names.count(name) == 1]
        shipped.transform(self._frame(pa.RecordBatch.from_arrays(nulls, names=schema.names), names), errors="null")

    def over(self, plugin: Shipped, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the new columns behind its own."""
        import pyarrow as pa

        self._check_names(batch.schema.names)
        answer, messages = self._answer(plugin, self._frame(batch, self.own))
        fields, columns = list(batch.schema), list(batch.columns)
        for output, column in self.outputs:
            values = answer.column(output)
            columns.append(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
            fields.append(pa.field(column, values.type))
        if self.errors == "column":
            columns.append(pa.array(messages, pa.string()))
            fields.append(pa.field(self.error_column, pa.string()))
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, batch.schema.metadata))

    def same_version(self) -> None:
        """Refuses to work for another version of this package, which would be a way to compute twice."""
        if self.version != __version__:
            raise InputError(
                f"expected skewless {self.version} on the worker, came {__version__}",
                next_step="install the same wheel on the driver and on all workers",
            )

    def _check_names(self, names: list[str]) -> None:
        for name in self.added():
            if name in names:
                raise InputError(
                    f"expected a frame without a column `{name}`, came one with it",
                    next_step='drop it, or give the output another name: outputs={"OUTPUT": "COLUMN"}',
                )
        added = self.added()
        for name in added:
            if added.count(name) > 1:
                raise InputError(f"expected outputs of different names, came `{name}` twice")

    def _frame(self, batch: pa.RecordBatch, own: Iterable[str]) -> pa.RecordBatch:
        """The batch as the plugin wants it: inputs under their names, and the columns of `own` that aren't given something."""
        import pyarrow as pa

        taken = {name for name, _, _ in self.sources}
        columns = {}
        for name in own:
            at = batch.schema.get_all_field_indices(name)
            if at and name not in taken:
                columns[name] = _one(batch, name, at)
        for name, type, source in self.sources:
            if isinstance(source, str):
                at = batch.schema.get_all_field_indices(source)
                if not at:
                    raise InputError(
                        f"expected a column `{source}`, which is given to the input {name}, came none",
                        next_step=f"the frame has {', '.join(batch.schema.names)}",
                    )
                columns[name] = _one(batch, source, at)
            else:
                columns[name] = _constant(type, source, batch.num_rows)
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _answer(self, plugin: Shipped, frame: pa.RecordBatch) -> tuple[pa.Table, list[str | None]]:
        """The outputs; and, if they are asked for, the messages of the rows that failed."""
        answer = plugin.transform(frame, errors="null")
        if answer.failed and self.errors == "raise":
            raise TransformError(
                f"{plugin.name} failed {answer.failed:,} of the {len(answer):,} rows of a batch; the first: "
                f"{answer.failures[0].message}",
                next_step='keep such rows, null in the new columns, with errors="null", or also see why with errors="column"',
            )
        messages: list[str | None] = []
        if self.errors == "column":
            messages = [None] * len(answer)
            for row, message in self._failures(plugin, frame, answer):
                messages[row] = message
        return answer.to_arrow(), messages

    def _failures(self, plugin: Shipped, frame: pa.RecordBatch, answer: Any) -> Iterable[tuple[int, str]]:
        if answer.failed <= len(answer.failures):
            yield from answer.failures
            return
        # A row's answer doesn't depend on the rows beside it, so they may be asked again in smaller numbers.
        for start in range(0, frame.num_rows, MESSAGES_MAX):
            part = plugin.transform(frame.slice(start, MESSAGES_MAX), errors="null")
            for row, message in part.failures:
                yield start + row, message


def _signature(shipped: Shipped) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Inputs and outputs."""
    of = shipped.signature if isinstance(shipped, Plugin) else shipped
    return of.inputs, of.outputs


def _known(asked: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in asked:
        if name not in known:
            raise InputError(f"expected {what}, came `{name}`", next_step=f"there are {', '.join(known)}")


def _source(name: str, type: str, source: Source) -> Source:
    """What an input is given, checked: a column's name, or a constant by the word `constant`."""
    import pyarrow as pa

    if isinstance(source, str):
        return source
    constant = source
    if isinstance(source, Mapping):
        if set(source) != {"constant"}:
            raise InputError(
                f'input {name}: expected a column, a number, a bool, None or {{"constant": ...}}, came {source!r}'
            )
        constant = source["constant"]
    if constant is not None:
        whole, float_ = (int,), (int, float)
        kinds: dict[str, tuple[Any, ...]] = {
            "bool": (bool,),
            "int32": whole,
            "int64": whole,
            "float32": float_,
            "float64": float_,
            "utf8": (str,),
        }
        fits = isinstance(constant, kinds.get(type, ())) and (type == "bool") == isinstance(constant, bool)
        try:
            # Of float32 the nearest number is taken, of whole numbers only those that it has.
            fits = fits and pa.scalar(constant, _constant_type(type)).is_valid
        except (pa.ArrowInvalid, OverflowError):
            fits = False
        if not fits:
            raise InputError(
                f"input {name}: expected a constant of the type {type}, came {constant!r}",
                next_step="constants are of the types bool, int32, int64, float32, float64 and utf8; others are columns",
            )
    return {"constant": constant}


def _constant(type: str, source: Any, rows: int) -> pa.Array:
    import pyarrow as pa

    constant = source["constant"]
    # Of the type null, which is read as any type's.
    return pa.nulls(rows) if constant is None else pa.repeat(pa.scalar(constant, _constant_type(type)), rows)


def _constant_type(type: str) -> pa.DataType:
    import pyarrow as pa

    types = {
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "utf8": pa.string(),
    }
    return types[type]


def _one(batch: pa.RecordBatch, name: str, at: list[int]) -> pa.Array:
    """The only column of this name, as what it is stored as."""
    import pyarrow as pa

    if len(at) > 1:
        raise InputError(f"expected one column `{name}`, came several")
    column = batch.column(at[0])
    # Ray's tensors, for one, are lists of numbers.
    return column.storage if isinstance(column, pa.ExtensionArray) else column
