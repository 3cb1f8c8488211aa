"""Great-circle distance between two points on the Earth.

Haversine formula on a sphere with the Earth's mean radius R1 = 6371.0088 km (IUGG; Moritz, "Geodetic Reference
System 1980"); an ellipsoid differs by up to 0.6 %.
"""

from math import asin, cos, isinf, nan, sin, sqrt
from typing import Annotated

from skewless_guest import RowError, Unit, transform

EARTH_RADIUS_KM = 6371.0088
#: Degrees times this are radians.
RADIANS = 0.017453292519943295


@transform(name="my_plugin", version="0.1.0", output="km", unit="km")
def distance(
    lat1: Annotated[float, Unit("deg"), "Latitude of the start, north positive."],
    lon1: Annotated[float, Unit("deg"), "Longitude of the start, east positive."],
    lat2: Annotated[float, Unit("deg"), "Latitude of the end."],
    lon2: Annotated[float, Unit("deg"), "Longitude of the end."],
) -> float:
    """Great-circle distance between two points on the Earth."""
    # A null in an argument that isn't `| None` makes the row null; this isn't called then. An error is one of this row; the
    # others have their values.
    if abs(lat1) > 90.0:
        raise RowError("expected lat1 from -90 to 90")
    if abs(lat2) > 90.0:
        raise RowError("expected lat2 from -90 to 90")
    # Python's sine refuses what has none.
    if isinf(lon1) or isinf(lon2):
        return nan
    half_phi = sin((lat2 - lat1) * RADIANS / 2.0)
    half_lambda = sin((lon2 - lon1) * RADIANS / 2.0)
    h = half_phi * half_phi + cos(lat1 * RADIANS) * cos(lat2 * RADIANS) * half_lambda * half_lambda
    # Rounding may put h a hair above 1 for antipodes; `min` could make 1 of a NaN as well.
    return 2.0 * EARTH_RADIUS_KM * asin(sqrt(1.0 if h > 1.0 else h))
