"""The great-circle distance and the bearing of plugins/great_circle by NumPy's functions: the same sums, not the same sines."""

import numpy as np

RADIUS_KM = 6371.0088


def great_circle(lat1, lon1, lat2, lon2):
    lat1, lon1, lat2, lon2 = (np.radians(degrees) for degrees in (lat1, lon1, lat2, lon2))
    dlat, dlon = lat2 - lat1, lon2 - lon1
    h = np.sin(dlat / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin(dlon / 2) ** 2
    km = 2 * RADIUS_KM * np.arctan2(np.sqrt(h), np.sqrt(1 - h))
    y = np.sin(dlon) * np.cos(lat2)
    x = np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(dlon)
    return km, np.mod(np.degrees(np.arctan2(y, x)), 360)
