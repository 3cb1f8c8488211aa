"""What `skewless.Plugin` adds to the engine's own call on the same rows, and how it compares with NumPy's functions that compute
the same; all in one process, in turns.

    python wheel.py great_circle.wasm ROUNDS     run by `tests/bench/python.rs`, which reads what it prints: one JSON object

Arrays are microseconds a call, one a round.
"""

import json
import platform
import sys
import time

import numpy
import pyarrow
import skewless
from same import great_circle

ROWS = (1, 1_024, 8_192, 65_536)


def us(call):
    began = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - began) / 1e3


def turns(rounds, floor, ours):
    """Both by turns, after a round that isn't counted; who is first changes from round to round."""
    taken = ([], [])
    for number in range(rounds + 1):
        pair = [(0, floor), (1, ours)]
        for side, call in pair if number % 2 else pair[::-1]:
            figure = call()
            if number:
                taken[side].append(figure)
    return {"floor": taken[0], "ours": taken[1]}


def main():
    wasm, rounds = sys.argv[1], int(sys.argv[2])
    plugin = skewless.Plugin(wasm)
    random = numpy.random.default_rng(1)
    wheel, beside_numpy = [], []
    for rows in ROWS:
        latitudes, longitudes = (lambda: random.uniform(-90, 90, rows)), (lambda: random.uniform(-180, 180, rows))
        columns = {"lat1": latitudes(), "lon1": longitudes(), "lat2": latitudes(), "lon2": longitudes()}
        frame = pyarrow.table(columns)
        km = plugin(frame).to_arrow()["km"].to_numpy()
        assert numpy.allclose(km, great_circle(**columns)[0], rtol=1e-9), "they don't compute the same"
        many = rounds * (100 if rows < 10_000 else 10)
        engine = turns(many, lambda: plugin._plugin.engine_ns(frame, 1)[0] / 1e3, lambda: us(lambda: plugin(frame)))
        wheel.append({"rows": rows, **engine})
        numpys = turns(many, lambda: us(lambda: great_circle(**columns)), lambda: us(lambda: plugin(frame)))
        beside_numpy.append({"rows": rows, **numpys})
    versions = f"Python {platform.python_version()}, NumPy {numpy.__version__}, pyarrow {pyarrow.__version__}"
    json.dump({"versions": versions, "wheel": wheel, "numpy": beside_numpy}, sys.stdout)


main()
