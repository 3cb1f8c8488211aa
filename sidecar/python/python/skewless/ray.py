"""A plugin or service over Ray's datasets, inside of Ray's own workers.

    import skewless.ray

    features = skewless.ray.transform(flights, "plugins/great_circle.wasm")

This package has to be installed where the workers run, in the same version; the plugin comes to them by itself.
docs/engines.md has more.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import FeatureRepo, Plugin, SkewlessError
from ._shipped import Errors, Source, Work, load, shipped_of

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

__all__ = ["transform"]


def transform(
    ds: Dataset,
    plugin: Plugin | FeatureRepo | str | os.PathLike[str] | bytes,
    *,
    service: str | None = None,
    inputs: Mapping[str, Source] | None = None,
    outputs: Mapping[str, str] | Iterable[str] | None = None,
    errors: Errors = "raise",
    **map_batches: Any,
) -> Dataset:
    """A dataset with a plugin's outputs, or a service's features, as new columns behind its own.

    The values are those that a backfill and a sidecar give, to the last bit: the plugin's file runs in the same engine, in
    each worker. Nothing is computed before somebody asks for it.

    plugin   a plugin, the path of its file, or its bytes; or a FeatureRepo, and `service` the name of a service of it that
             reads no view (of stored features: join those first, by FeatureRepo.historical_features).
    inputs   what the plugin's inputs are, where it isn't the column of the input's name: the name of another column; or for
             all rows a number, a bool, None, or `{"constant": "text"}`. An input that may be null may be nowhere.
    outputs  which outputs are wanted, or, as a mapping, in columns of which names; all of them if not given.
    errors   what becomes of a row that the plugin refuses or breaks on. "raise": the job ends with its message. "null": its
             new columns are null, as in a backfill. "column": as well, and its message is in a column `PLUGIN__error`.

    Anything else goes to `Dataset.map_batches`: `batch_size`, `num_cpus`, `concurrency`, `memory`.

    Raises InputError if the dataset hasn't the columns that the plugin needs, or has one of a new column's name: at once
    where Ray knows the columns without reading, else the job does.
    """
    ray = _ray()
    shipped = shipped_of(plugin, service)
    work = Work.of(shipped, inputs, outputs, errors)
    known = ds.schema(fetch_if_missing=False)
    if known is not None and _is_arrow(known.base_schema):
        work.check(shipped, known.base_schema)
    carried = _Carried(ray.put(pickle.dumps(shipped)))
    # Ray's types know no function that takes more than a batch.
    over: Any = _over
    return ds.map_batches(over, batch_format="pyarrow", fn_kwargs={"work": work, "carried": carried}, **map_batches)


@dataclass(frozen=True)
class _Carried:
    """The pickled plugin on its way: in Ray's object store, which has it once a node."""

    reference: Any

    def __call__(self) -> bytes:
        pickled: bytes = _ray().get(self.reference)
        return pickled


def _over(table: pa.Table, work: Work, carried: Any) -> pa.Table:
    """What a worker runs over a batch. Ray gives it none without rows."""
    import pyarrow as pa

    work.same_version()
    shipped = load(work.digest, carried)
    return pa.Table.from_batches([work.over(shipped, batch) for batch in table.to_batches()])


def _is_arrow(schema: Any) -> bool:
    import pyarrow as pa

    return isinstance(schema, pa.Schema)


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise SkewlessError(
            "skewless.ray needs ray with its data library, which isn't installed", next_step='pip install "ray[data]"'
        ) from error
    return ray
