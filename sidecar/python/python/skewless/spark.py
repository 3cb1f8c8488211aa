"""A plugin or service over Spark's frames, inside of Spark's own Python workers.

    import skewless.spark

    features = skewless.spark.transform(flights, "plugins/great_circle.wasm")

This package has to be installed where the workers run, in the same version; the plugin comes to them by itself.
docs/engines.md has more.
"""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import FeatureRepo, Plugin, SkewlessError
from ._shipped import Errors, Shipped, Source, Work, load, shipped_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

__all__ = ["transform"]


def transform(
    df: DataFrame,
    plugin: Plugin | FeatureRepo | str | os.PathLike[str] | bytes,
    *,
    service: str | None = None,
    inputs: Mapping[str, Source] | None = None,
    outputs: Mapping[str, str] | Iterable[str] | None = None,
    errors: Errors = "raise",
) -> DataFrame:
    """A frame with a plugin's outputs, or a service's features, as new columns behind its own.

    The values are those that a backfill and a sidecar give, to the last bit: the plugin's file runs in the same engine, in
    each Python worker. Nothing is computed before an action asks for it.

    plugin   a plugin, the path of its file, or its bytes; or a FeatureRepo, and `service` the name of a service of it that
             reads no view (of stored features: join those first, by FeatureRepo.historical_features).
    inputs   what the plugin's inputs are, where it isn't the column of the input's name: the name of another column; or for
             all rows a number, a bool, None, or `{"constant": "text"}`. An input that may be null may be nowhere.
    outputs  which outputs are wanted, or, as a mapping, in columns of which names; all of them if not given.
    errors   what becomes of a row that the plugin refuses or breaks on. "raise": the job ends with its message. "null": its
             new columns are null, as in a backfill. "column": as well, and its message is in a column `PLUGIN__error`.

    Raises InputError, at once, if the frame hasn't the columns that the plugin needs, or has one of a new column's name.
    """
    types = _types()
    shipped = shipped_of(plugin, service)
    work = Work.of(shipped, inputs, outputs, errors)
    # Of no rows, so no job is run for it.
    work.check(shipped, df.limit(0).toArrow().schema)
    added = [types.StructField(column, _spark_type(types, word)) for column, word in work.types(shipped)]
    if work.errors == "column":
        added.append(types.StructField(work.error_column, types.StringType()))
    schema = types.StructType([*df.schema.fields, *added])
    # Under names that Spark can look up: it takes a dot, which features' names have, for a field of a struct.
    plain = df.toDF(*(f"_{at}" for at in range(len(df.columns))))
    over = functools.partial(_over, work, _carried(df, shipped), tuple(df.columns))
    return plain.mapInArrow(over, schema)


@dataclass(frozen=True)
class _Carried:
    """The pickled plugin on its way: Spark's broadcast of it, which each executor gets once."""

    broadcast: Any

    def __call__(self) -> bytes:
        pickled: bytes = self.broadcast.value
        return pickled


def _carried(df: DataFrame, shipped: Shipped) -> _Carried:
    context = getattr(df.sparkSession, "sparkContext", None)
    if context is None:
        raise SkewlessError(
            "expected a classic Spark session, came one of Spark Connect, which has no broadcasts",
            next_step="make the session with SparkSession.builder.master(...), or by spark-submit",
        )
    return _Carried(context.broadcast(pickle.dumps(shipped)))


def _over(
    work: Work, carried: Any, names: tuple[str, ...], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """What a worker runs over a partition; `names` are those of its columns."""
    import pyarrow as pa

    work.same_version()
    shipped = load(work.digest, carried)
    for batch in batches:
        named = pa.RecordBatch.from_arrays(batch.columns, names=names)
        yield _for_spark(work.over(shipped, named))


def _for_spark(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Embeddings are lists here: Spark has no type of lists of one length."""
    import pyarrow as pa

    columns = [
        column.cast(pa.list_(column.type.value_type)) if pa.types.is_fixed_size_list(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _types() -> Any:
    try:
        from pyspark.sql import types
    except ImportError as error:
        raise SkewlessError(
            "skewless.spark needs pyspark, which isn't installed", next_step='pip install "pyspark[sql]>=4"'
        ) from error
    return types


def _spark_type(types: Any, word: str) -> Any:
    """Spark's type for one of ours."""
    if word.startswith("embedding"):
        return types.ArrayType(types.FloatType())
    if word.startswith("list<"):
        return types.ArrayType(_spark_type(types, word[len("list<") : -1]))
    names = {
        "bool": "BooleanType",
        "int32": "IntegerType",
        "int64": "LongType",
        "float32": "FloatType",
        "float64": "DoubleType",
        "utf8": "StringType",
        "binary": "BinaryType",
        "timestamp": "TimestampType",
    }
    return getattr(types, names[word])()
