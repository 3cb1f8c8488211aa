"""Skewless in Python: the engine that serves features, on your frames.

Plugin       runs a feature plugin (a .wasm file) on frames and rows
FeatureRepo  the definitions in a folder: check them, preview a service, backfill it to a frame
Client       asks a running sidecar; AsyncClient does for asyncio
Frame        what comes back: pandas, polars, pyarrow, or dicts
"""

from ._client import AsyncClient, Client, Features, Ingested
from ._errors import (
    BackfillError,
    DefinitionError,
    InputError,
    Mistake,
    PluginError,
    SidecarError,
    SidecarUnreachable,
    SkewlessError,
    SkewlessWarning,
    TransformError,
)
from ._frame import Frame
from ._plugin import Field, Plugin, RowFailure, Signature, Transformed
from ._repo import BackfillReport, FeatureRepo, HistoricalFeatures, Service, Transform, View
from ._skewless import __version__

__all__ = [
    "AsyncClient",
    "BackfillError",
    "BackfillReport",
    "Client",
    "DefinitionError",
    "FeatureRepo",
    "Features",
    "Field",
    "Frame",
    "HistoricalFeatures",
    "Ingested",
    "InputError",
    "Mistake",
    "Plugin",
    "PluginError",
    "RowFailure",
    "Service",
    "SidecarError",
    "SidecarUnreachable",
    "Signature",
    "SkewlessError",
    "SkewlessWarning",
    "Transform",
    "TransformError",
    "Transformed",
    "View",
    "__version__",
]
