"""Made part of a plugin by `skewless plugin build`: what the component exports, around plugin.py. Not for authors."""

import random
import time

import wit_world
from componentize_py_types import Err


def refuse(name, instead):
    def refused(*_args, **_kwargs):
        raise RuntimeError(f"{name}: {instead}")

    return refused


# The state that is taken into the file would give the same numbers to every call, or others to every build.
for name in random.__all__:
    if not isinstance(getattr(random, name), type):
        setattr(random, name, refuse(f"random.{name}", "a plugin has no randomness; hash the row's own values"))
# Without this they trap, and the row can't tell why. What is below datetime.now() still does.
for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "sleep"):
    setattr(time, name, refuse(f"time.{name}", "a plugin has no clock; take the time as an input"))

import plugin  # noqa: E402
import skewless_guest  # noqa: E402

TRANSFORM = skewless_guest.of_module(plugin)


class WitWorld(wit_world.WitWorld):
    def transform(self, batch: bytes) -> bytes:
        try:
            return TRANSFORM.run(batch)
        except Exception as error:
            raise Err(skewless_guest.said(error)) from None
