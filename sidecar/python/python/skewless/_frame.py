"""`Frame`: rows that came back, in Arrow's memory until you say in what you want them; and how a frame is shown."""

from __future__ import annotations

import html
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

from . import _skewless
from ._errors import InputError, SkewlessError

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow

#: Rows and columns that are shown of a frame, characters of a cell, and of a line where there are no columns but lines.
ROWS_SHOWN_MAX = 10
COLUMNS_SHOWN_MAX = 50
CELL_CHARS_MAX = 40
LINE_CHARS_MAX = 160

_Cells = list[list[str]]


class Frame:
    """A table in Arrow's memory.

    Hand it to anything that speaks Arrow's PyCapsule interface (`pyarrow.table(frame)`, `polars.DataFrame(frame)`,
    DuckDB), or ask for what you want: `to_pandas()`, `to_polars()`, `to_arrow()`, `to_dicts()`.
    """

    def __init__(self, frame: Any) -> None:
        self._batches = frame if isinstance(frame, _skewless.Batches) else _skewless.Batches(_arrow(frame))

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self._batches.names

    @property
    def types(self) -> dict[str, str]:
        """The columns' types, in the words of the definitions."""
        return dict(zip(self._batches.names, self._batches.types))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (len(self), len(self.columns))

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, name: str) -> list[Any]:
        """A column's values."""
        if name not in self.columns:
            raise KeyError(f"no column `{name}`; there are {', '.join(self.columns)}")
        return [row[name] for row in self._batches.select([name]).rows(0, len(self))]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, as dicts."""
        step = 1_024
        for start in range(0, len(self), step):
            yield from self._batches.rows(start, start + step)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows, as dicts; times are datetimes in UTC."""
        return self._batches.rows(0, len(self))

    def to_arrow(self) -> pyarrow.Table:
        """A pyarrow Table; no value is copied."""
        return _library("pyarrow", "to_arrow()").table(self)

    def to_polars(self) -> polars.DataFrame:
        """A polars DataFrame."""
        frame: polars.DataFrame = _library("polars", "to_polars()").DataFrame(self)
        return frame

    def to_pandas(self, **named: Any) -> pandas.DataFrame:
        """A pandas DataFrame, made by pyarrow with the arguments of its `Table.to_pandas`."""
        _library("pandas", "to_pandas()")
        _library("pyarrow", "to_pandas()")
        frame: pandas.DataFrame = self.to_arrow().to_pandas(**named)
        return frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._batches.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self._batches.__arrow_c_schema__()

    def __reduce__(self) -> tuple[object, ...]:
        # pyarrow knows how to write Arrow's memory down.
        return (type(self), (self.to_arrow(),))

    def _shown(self) -> tuple[list[str], _Cells]:
        """Names of the columns that are shown, and the lines of what is in them."""
        names = self.columns[:COLUMNS_SHOWN_MAX]
        rows = self._batches.rows(0, ROWS_SHOWN_MAX)
        return names, [[_cell(row[name]) for name in names] for row in rows]

    def _note(self, rows: int, columns: int) -> str:
        """How much there is, and how much of it isn't among so many rows and columns."""

        def counted(count: int, what: str) -> str:
            return f"{count:,} {what}{'' if count == 1 else 's'}"

        note = f"{counted(len(self), 'row')}, {counted(len(self.columns), 'column')}"
        hidden = [(len(self) - rows, "row"), (len(self.columns) - columns, "column")]
        told = " and ".join(counted(count, what) for count, what in hidden if count > 0)
        return f"{note}; {told} not shown" if told else note

    def __repr__(self) -> str:
        names, cells = self._shown()
        lines = [[_cell(name) for name in names], [self.types[name] for name in names], *cells]
        widths = [max(map(len, column)) for column in zip(*lines)]
        fitting, used = 0, 0
        for width in widths:
            used += width + 2
            if fitting and used - 2 > LINE_CHARS_MAX:
                break
            fitting += 1
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line[:fitting], widths)).rstrip() for line in lines
        ]
        return "\n".join([*table, f"({self._note(len(cells), fitting)})"])

    def _repr_html_(self) -> str:
        names, cells = self._shown()
        heads = "".join(
            f"<th>{html.escape(_cell(name))}<br><small>{html.escape(self.types[name])}</small></th>" for name in names
        )
        lines = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in cells
        )
        note = html.escape(self._note(len(cells), len(names)))
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table><p>{note}</p>"


def _cell(value: Any) -> str:
    text = "null" if value is None else value if isinstance(value, str) else str(value)
    text = _plain(text[: CELL_CHARS_MAX + 1])
    return text if len(text) <= CELL_CHARS_MAX else text[: CELL_CHARS_MAX - 1] + "…"


def _plain(text: str) -> str:
    """Text as it may go to a terminal: what isn't printable, such as a line's end or what would color it, by its escape."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _library(name: str, what: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SkewlessError(f"{what} needs {name}, which isn't installed", next_step=f"pip install {name}") from error


def _arrow(frame: Any, wanted: Container[str] | None = None) -> Any:
    """A frame as Arrow gives it: a pandas one without its index, a polars one with nulls that Arrow's interface takes,
    everything else as it is.

    Of what isn't `wanted` there is the name, so that a misspelt one is found, and nothing but nulls; all is wanted if that
    isn't said.
    """
    library = type(frame).__module__.split(".")[0]
    if library == "pandas" and hasattr(frame, "iloc"):
        return _from_pandas(frame, wanted)
    if library == "polars" and hasattr(frame, "collect") and not hasattr(frame, "__arrow_c_stream__"):
        raise InputError(
            f"expected a frame, came a polars {type(frame).__name__}", next_step="compute it: frame.collect()"
        )
    if library == "polars" and hasattr(frame, "collect_schema"):
        return _from_polars(frame, wanted)
    return frame


def _from_polars(frame: Any, wanted: Container[str] | None) -> Any:
    """polars hands some types over as Arrow's interface hasn't them, among them that of a column of nothing but nulls; and one
    such column would cost all others."""
    types = {name: str(dtype) for name, dtype in frame.collect_schema().items()}
    kept = [name for name, of in types.items() if of != "Null" and (wanted is None or name in wanted)]
    polars = _library("polars", "a polars frame")
    # Not by `select`, which takes names for patterns.
    part = polars.DataFrame([frame.get_column(name) for name in kept])
    try:
        _skewless.Batches(part.head(0))
        strange = [name for name in kept if types[name] == "Object"]
    except InputError:
        strange = [name for name in kept if not _is_exported(part.get_column(name).head(0).to_frame())]
        if not strange:
            raise
    if strange:
        name = strange[0]
        drop = f', or drop it: frame.drop("{name}")' if wanted is None else ""
        raise InputError(
            f"column `{name}`: expected values that Arrow has, came polars' {types[name]}",
            next_step=f'make them others: frame.with_columns(polars.col("{name}").cast(...)){drop}',
        )
    if len(kept) == len(types):
        return frame
    nothing = [name for name in types if types[name] == "Null" and (wanted is None or name in wanted)]
    if not nothing:
        # Of what nobody reads there is the name.
        nulls = {name: polars.Series(name, [None], dtype=polars.Boolean).new_from_index(0, len(frame)) for name in types}
        return polars.DataFrame([part.get_column(name) if name in kept else nulls[name] for name in types])
    pyarrow = _library("pyarrow", f"a polars column of nothing but nulls (`{nothing[0]}`), unless it is cast to a type,")
    table, nulls = pyarrow.table(part) if kept else None, pyarrow.nulls(len(frame))
    columns = [table.column(name) if table is not None and name in kept else nulls for name in types]
    return pyarrow.Table.from_arrays(columns, names=list(types))


def _is_exported(frame: Any) -> bool:
    try:
        _skewless.Batches(frame)
    except InputError:
        return False
    return True


def _from_pandas(frame: Any, wanted: Container[str] | None) -> Any:
    if not hasattr(frame, "columns"):
        raise InputError(
            f"expected a frame, came a pandas {type(frame).__name__}", next_step="give a DataFrame: series.to_frame()"
        )
    pyarrow = _library("pyarrow", "a pandas frame")
    names = list(frame.columns)
    strange = [name for name in names if not isinstance(name, str)]
    if strange and (wanted is None or not any(name in wanted for name in names)):
        raise InputError(
            f"expected columns named by text, came `{strange[0]!r}`",
            next_step="frame.columns = [str(name) for name in frame.columns]",
        )
    if wanted is None or all(name in wanted for name in names):
        if len(set(names)) == len(names):
            try:
                return pyarrow.Table.from_pandas(frame, preserve_index=False)
            except Exception:  # noqa: BLE001, S110  # Below it is found out which column it was.
                pass
    nulls = pyarrow.nulls(len(frame))
    columns = [
        _column(frame.iloc[:, at], name, pyarrow, carried=wanted is None) if wanted is None or name in wanted else nulls
        for at, name in enumerate(names)
    ]
    return pyarrow.Table.from_arrays(columns, names=[str(name) for name in names])


def _column(series: Any, name: str, pyarrow: Any, carried: bool) -> Any:
    try:
        return pyarrow.Array.from_pandas(series)
    except Exception as error:  # noqa: BLE001  # Whatever an extension's type raises, it is about this column.
        drop = f', or drop it: frame.drop(columns=["{name}"])' if carried else ""
        if hasattr(series, "sparse"):
            raise InputError(
                f"column `{name}`: expected values that are all there, came {series.dtype}",
                next_step=f'frame["{name}"] = frame["{name}"].sparse.to_dense(){drop}',
            ) from error
        # pandas holds anything in a column of objects.
        kinds = sorted({type(value).__name__ for value in series if value is not None})
        if len(kinds) > 1:
            raise InputError(
                f"column `{name}`: expected values of one type, came {', '.join(kinds)}",
                next_step=f'make them one type: frame["{name}"] = frame["{name}"].astype(...){drop}',
            ) from error
        said = str(error).encode(errors="backslashreplace").decode()
        raise InputError(
            f"column `{name}`: expected values that Arrow has, came {', '.join(kinds) or series.dtype}: {said}",
            next_step=f'make them others: frame["{name}"] = frame["{name}"].astype(...){drop}',
        ) from error


def _matrix(data: bytes, rows: int, width: int) -> numpy.ndarray[Any, Any]:
    library = _library("numpy", "a matrix")
    matrix: numpy.ndarray[Any, Any] = library.frombuffer(data, dtype="float32").reshape(rows, width)
    return matrix
