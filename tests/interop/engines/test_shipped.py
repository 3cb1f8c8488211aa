"""`skewless._shipped`: what holds in any worker process, in this one."""

import functools
import pickle

import pytest
import skewless
from skewless import _shipped


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch):
    monkeypatch.setattr(_shipped, "_kept", {})


def test_a_digest_is_fetched_once(plugin):
    wind, fetched = plugin("wind"), []

    def fetch():
        fetched.append(wind.digest)
        return pickle.dumps(wind)

    first, second = _shipped.load(wind.digest, fetch), _shipped.load(wind.digest, fetch)
    assert first is second
    assert fetched == [wind.digest] == [first.digest]


def test_another_plugin_than_the_one_that_left_is_refused(plugin):
    wind, age = plugin("wind"), plugin("age")
    with pytest.raises(skewless.InputError, match=f"expected age to be {wind.digest}, came {age.digest}"):
        _shipped.load(wind.digest, lambda: pickle.dumps(age))
    assert _shipped._kept == {}


def test_a_worker_keeps_so_many_kept_and_lets_the_oldest_go(plugin, monkeypatch):
    monkeypatch.setattr(_shipped, "KEPT_MAX", 2)
    plugins = [plugin(name) for name in ("wind", "age", "ratios")]
    for one in plugins:
        _shipped.load(one.digest, functools.partial(pickle.dumps, one))
    assert list(_shipped._kept) == [one.digest for one in plugins[1:]]
