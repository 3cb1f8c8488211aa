"""Skewless as an online store of Feast: `type: feast_skewless.SkewlessOnlineStore` in feature_store.yaml.

SkewlessOnlineStore        what Feast reads from and writes to: a sidecar
SkewlessOnlineStoreConfig  its settings
StoreError                 what goes wrong, in the sidecar's words

    python -m feast_skewless [FEAST_REPO]     the sidecar's definitions from the registry, for development
"""

from ._config import SkewlessOnlineStoreConfig
from ._errors import DefinitionsDiffer, StoreError, StoreRefused, StoreUnreachable, StoreUnsupported, StoreValueError
from ._store import SkewlessOnlineStore

# Feast finds a store in the module of its configuration, by the name without `Config`.
SkewlessOnlineStoreConfig.__module__ = __name__

__all__ = [
    "DefinitionsDiffer",
    "SkewlessOnlineStore",
    "SkewlessOnlineStoreConfig",
    "StoreError",
    "StoreRefused",
    "StoreUnreachable",
    "StoreUnsupported",
    "StoreValueError",
]
