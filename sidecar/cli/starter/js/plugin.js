// Great-circle distance between two points on the Earth.
//
// Haversine formula on a sphere with the Earth's mean radius R1 = 6371.0088 km (IUGG; Moritz, "Geodetic Reference
// System 1980"); an ellipsoid differs by up to 0.6 %.
import { RowError, transform } from "./skewless.js";

const EARTH_RADIUS_KM = 6371.0088;
/** Degrees times this are radians. */
const RADIANS = 0.017453292519943295;

export const distance = transform(
  {
    name: "my_plugin",
    version: "0.1.0",
    doc: "Great-circle distance between two points on the Earth.",
    inputs: {
      lat1: { type: "float64", unit: "deg", doc: "Latitude of the start, north positive." },
      lon1: { type: "float64", unit: "deg", doc: "Longitude of the start, east positive." },
      lat2: { type: "float64", unit: "deg", doc: "Latitude of the end." },
      lon2: { type: "float64", unit: "deg", doc: "Longitude of the end." },
    },
    outputs: { km: { type: "float64", unit: "km" } },
  },
  // A null in an input that isn't declared `nullable: true` makes the row null; this isn't called then.
  (lat1, lon1, lat2, lon2) => {
    // An error is one of this row; the others have their values.
    if (Math.abs(lat1) > 90) throw new RowError("expected lat1 from -90 to 90");
    if (Math.abs(lat2) > 90) throw new RowError("expected lat2 from -90 to 90");
    const halfPhi = Math.sin(((lat2 - lat1) * RADIANS) / 2);
    const halfLambda = Math.sin(((lon2 - lon1) * RADIANS) / 2);
    const h = halfPhi * halfPhi + Math.cos(lat1 * RADIANS) * Math.cos(lat2 * RADIANS) * halfLambda * halfLambda;
    // Rounding may put h a hair above 1 for antipodes.
    return 2 * EARTH_RADIUS_KM * Math.asin(Math.sqrt(h > 1 ? 1 : h));
  },
);
