"""`Frame`: rows that came back, in Arrow's memory until you say in what you want them; and how a frame is shown."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _skewless
from ._errors import InputError, SkewlessError

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow

#: Rows and characters of a cell that are shown of a frame.
ROWS_SHOWN_MAX = 10
CELL_CHARS_MAX = 40

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

    def _shown(self) -> tuple[_Cells, str]:
        rows = self._batches.rows(0, ROWS_SHOWN_MAX)
        cells = [[_cell(row[name]) for name in self.columns] for row in rows]
        rest = len(self) - len(rows)
        columns = f"{len(self.columns)} column{'' if len(self.columns) == 1 else 's'}"
        note = f"{len(self):,} row{'' if len(self) == 1 else 's'}, {columns}"
        return cells, note + (f"; {rest:,} rows not shown" if rest > 0 else "")

    def __repr__(self) -> str:
        cells, note = self._shown()
        types = [self.types[name] for name in self.columns]
        widths = [
            max(map(len, column)) for column in zip(self.columns, types, *cells)
        ]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
            for line in [self.columns, types, *cells]
        ]
        return "\n".join([*lines, f"({note})"])

    def _repr_html_(self) -> str:
        cells, note = self._shown()
        heads = "".join(
            f"<th>{html.escape(name)}<br><small>{html.escape(self.types[name])}</small></th>" for name in self.columns
        )
        lines = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in cells
        )
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table><p>{html.escape(note)}</p>"


def _cell(value: Any) -> str:
    text = "null" if value is None else value if isinstance(value, str) else str(value)
    return text if len(text) <= CELL_CHARS_MAX else text[: CELL_CHARS_MAX - 1] + "…"


def _library(name: str, what: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SkewlessError(f"{what} needs {name}, which isn't installed", next_step=f"pip install {name}") from error


def _arrow(frame: Any) -> Any:
    """A frame as Arrow gives it: a pandas one without its index, everything else as it is."""
    if type(frame).__module__.split(".")[0] == "pandas" and hasattr(frame, "iloc"):
        return _from_pandas(frame)
    return frame


def _from_pandas(frame: Any) -> Any:
    if not hasattr(frame, "columns"):
        raise InputError(
            f"expected a frame, came a pandas {type(frame).__name__}", next_step="give a DataFrame: series.to_frame()"
        )
    pyarrow = _library("pyarrow", "a pandas frame")
    names = [name for name in frame.columns if not isinstance(name, str)]
    if names:
        raise InputError(
            f"expected columns named by text, came `{names[0]!r}`",
            next_step="frame.columns = [str(name) for name in frame.columns]",
        )
    try:
        return pyarrow.Table.from_pandas(frame, preserve_index=False)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as error:
        raise _mixed(frame, error, pyarrow) from error


def _mixed(frame: Any, error: Exception, pyarrow: Any) -> InputError:
    """Which column it was: pandas holds anything in a column of objects."""
    for name in frame.columns:
        try:
            pyarrow.Array.from_pandas(frame[name])
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError):
            kinds = sorted({type(value).__name__ for value in frame[name] if value is not None})
            return InputError(
                f"column `{name}`: expected values of one type, came {', '.join(kinds)}",
                next_step=f'make them one type: frame["{name}"] = frame["{name}"].astype(...)',
            )
    return InputError(f"expected a frame that pyarrow takes, came: {error}")


def _matrix(data: bytes, rows: int, width: int) -> numpy.ndarray[Any, Any]:
    library = _library("numpy", "a matrix")
    matrix: numpy.ndarray[Any, Any] = library.frombuffer(data, dtype="float32").reshape(rows, width)
    return matrix
