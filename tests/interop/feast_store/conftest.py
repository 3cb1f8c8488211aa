"""The sidecars of the tests: one with the feature repo of `skewless init`, one whose definitions `feast apply` writes."""

import os
import sys
from pathlib import Path

import pytest
from sidecar import BEGIN, Sidecar, feature_store

WORK = Path(os.environ["SKEWLESS_FEAST_STORE_TESTS"])

@pytest.fixture(scope="module")
def shop():
    sidecar = Sidecar(WORK / "shop")
    yield sidecar
    sidecar.stop()


@pytest.fixture(scope="module")
def applied(tmp_path_factory):
    """A sidecar whose definitions are what was applied last."""
    repo = tmp_path_factory.mktemp("definitions")
    (repo / "begin.yaml").write_text(BEGIN)
    sidecar = Sidecar(repo)
    yield sidecar
    sidecar.stop()


@pytest.fixture(scope="session")
def definitions():
    """The shop's definitions in Feast's words."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "feast" / "definitions"))
    import shop

    return shop


@pytest.fixture
def feast_shop(shop, definitions, tmp_path):
    """Feast's store of the shop; settings as they are given."""

    def make(**settings):
        store = feature_store(tmp_path / "shop", shop.address, **settings)
        store.apply([definitions.customer, definitions.customer_orders, definitions.basket, definitions.order_risk])
        return store

    return make


@pytest.fixture
def feast_applied(applied, tmp_path):
    """Feast's store of the sidecar whose definitions it writes."""

    def make(**settings):
        return feature_store(tmp_path / "applied", applied.address, repo=str(applied.repo), **settings)

    return make
