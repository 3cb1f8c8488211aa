"""What the tests need, made by tests/interop/wheel.sh before: plugins, a feature repo, and the `skewless` command."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
import pytest
import skewless

MADE = Path(os.environ["SKEWLESS_WHEEL_TESTS"])
SHOP = MADE / "shop"


def command(*words, **named):
    """What the `skewless` command says; it has to be content."""
    ran = subprocess.run(["skewless", *map(str, words)], capture_output=True, text=True, **named)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="session", autouse=True)
def hears_interrupts():
    """A process that was begun in the background of a shell ignores Ctrl-C, and so would those that it begins."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def great_circle():
    return skewless.Plugin(MADE / "great_circle.wasm")


@pytest.fixture(scope="session")
def echo():
    return skewless.Plugin(MADE / "echo.wasm")


@pytest.fixture(scope="session")
def odd():
    return skewless.Plugin(MADE / "odd.wasm")


@pytest.fixture(scope="session")
def points():
    """More rows than a call takes, so that frames are cut."""
    random = numpy.random.default_rng(20240229)
    columns = {"lat1": 90, "lon1": 180, "lat2": 90, "lon2": 180}
    return pyarrow.table({name: random.uniform(-most, most, 20_000) for name, most in columns.items()})


@pytest.fixture(scope="session")
def repo():
    return skewless.FeatureRepo(SHOP)


@pytest.fixture(scope="session")
def orders():
    return pyarrow.parquet.read_table(SHOP / "data/orders.parquet")


@pytest.fixture(scope="session")
def sidecar(tmp_path_factory):
    """A sidecar of the shop with its history loaded; where it listens."""
    folder = tmp_path_factory.mktemp("sidecar")
    socket, store = folder / "s.sock", folder / "store"
    command("load", "--repo", SHOP, "--store", store)
    words = ["serve", SHOP, "--store", store, "--tcp", "127.0.0.1:0", "--unix", socket, "--http", ""]
    with subprocess.Popen(["skewless", *map(str, words)], stderr=subprocess.PIPE, text=True) as serving:
        try:
            said = []
            for line in serving.stderr:
                said.append(line)
                found = re.search(r"tcp=(127\.0\.0\.1:\d+)", line)
                if found:
                    break
            else:
                raise AssertionError("the sidecar ended: " + "".join(said))
            yield {"tcp": found[1], "unix": f"unix:{socket}"}
        finally:
            serving.send_signal(signal.SIGTERM)
            serving.communicate(timeout=60)


def python(code, **named):
    """Runs code in a Python of its own, with the package."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **named)


def until_computing(pid):
    """Returns when a process has computed for a while from now on, a third of a second."""
    def ticks():
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11])

    begin, last = ticks(), time.monotonic() + 60
    while ticks() < begin + os.sysconf("SC_CLK_TCK") // 3:
        assert time.monotonic() < last, "it computes nothing"
        time.sleep(0.01)
