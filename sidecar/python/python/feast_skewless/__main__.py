"""python -m feast_skewless [FEAST_REPO]: the sidecar's definitions from the registry as it was committed, services with them.

`feast apply` does the same with views at once, but Feast tells a store of no services. For development: `repo` of online_store
in feature_store.yaml says where the definitions are.
"""

import sys

from feast import FeatureStore

from ._errors import StoreError


def main() -> None:
    """Reads the registry of the repo that is named, or of the folder."""
    store = FeatureStore(repo_path=sys.argv[1] if len(sys.argv) > 1 else ".")
    from ._store import SkewlessOnlineStore

    online = store._get_provider().online_store
    if not isinstance(online, SkewlessOnlineStore):
        sys.exit("error: expected online_store of type feast_skewless.SkewlessOnlineStore in feature_store.yaml, came another")
    try:
        online.write_definitions(store.config)
    except StoreError as error:
        sys.exit(f"error: {error}")
    print("the sidecar serves the definitions of the registry")


main()
