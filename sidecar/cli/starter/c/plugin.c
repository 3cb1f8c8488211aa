/* Great-circle distance between two points on the Earth.
 *
 * Haversine formula on a sphere with the Earth's mean radius R1 = 6371.0088 km (IUGG; Moritz, "Geodetic Reference
 * System 1980"); an ellipsoid differs by up to 0.6 %. */

#include <math.h>

/* type, name, unit, doc. A null in an IN makes the row null, and skewless_row isn't called; an IN_OR_NULL receives it. */
#define SKEWLESS_NAME "my_plugin"
#define SKEWLESS_VERSION "0.1.0"
#define SKEWLESS_DOC "Great-circle distance between two points on the Earth."
#define SKEWLESS_INPUTS(IN, IN_OR_NULL) \
    IN(float64, lat1, "deg", "Latitude of the start, north positive.") \
    IN(float64, lon1, "deg", "Longitude of the start, east positive.") \
    IN(float64, lat2, "deg", "Latitude of the end.") \
    IN(float64, lon2, "deg", "Longitude of the end.")
#define SKEWLESS_OUTPUTS(OUT, OUT_OR_NULL) \
    OUT(float64, km, "km", "Length of the shortest way on the surface.")
#include "skewless.h"

#define EARTH_RADIUS_KM 6371.0088
/* Degrees times this are radians. */
#define RADIANS 0.017453292519943295

static const char *skewless_row(const skewless_in *in, skewless_out *out) {
    /* An error is one of this row; the others have their values. */
    if (fabs(in->lat1) > 90.0) return "expected lat1 from -90 to 90";
    if (fabs(in->lat2) > 90.0) return "expected lat2 from -90 to 90";
    double half_phi = sin((in->lat2 - in->lat1) * RADIANS / 2.0);
    double half_lambda = sin((in->lon2 - in->lon1) * RADIANS / 2.0);
    double h = half_phi * half_phi + cos(in->lat1 * RADIANS) * cos(in->lat2 * RADIANS) * half_lambda * half_lambda;
    /* Rounding may put h a hair above 1 for antipodes; fmin would make 1 of a NaN as well. */
    out->km = 2.0 * EARTH_RADIUS_KM * asin(sqrt(h > 1.0 ? 1.0 : h));
    return 0;
}
