"""What the package adds to the engine's own call: a plugin on a frame by `skewless.Plugin`, and the same rows by the engine
alone, in one process, in turns.

    python bench.py PLUGIN.wasm [--rounds N] [--rows 1,8192,...]

Inputs have to be float64. For each number of rows: the engine's median, the package's, and the median of the rounds'
ratios with their quartiles.
"""

import argparse
import statistics
import time

import numpy
import pyarrow
import skewless


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("plugin")
    words.add_argument("--rounds", type=int, default=300)
    words.add_argument("--rows", default="1,1024,8192,81920")
    words = words.parse_args()
    plugin = skewless.Plugin(words.plugin)
    random = numpy.random.default_rng(1)
    print(f"{plugin.signature}, {plugin.digest[:12]}; {words.rounds} rounds")
    for rows in map(int, words.rows.split(",")):
        frame = pyarrow.table({field.name: random.uniform(-80, 80, rows) for field in plugin.signature.inputs})
        engine, package = [], []
        # In turns, after a round that isn't counted.
        for number in range(words.rounds + 1):
            alone = plugin._plugin.engine_ns(frame, 1)[0]
            start = time.perf_counter_ns()
            plugin(frame)
            whole = time.perf_counter_ns() - start
            if number:
                engine.append(alone / 1e3)
                package.append(whole / 1e3)
        ratios = sorted(b / a for a, b in zip(engine, package))
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{rows:>7,} rows: engine {statistics.median(engine):9.1f} us, package {statistics.median(package):9.1f} us, "
              f"ratio {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
