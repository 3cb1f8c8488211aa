//! Great-circle distance between two points on the Earth.
//!
//! Haversine formula on a sphere with the Earth's mean radius R1 = 6371.0088 km (IUGG; Moritz, "Geodetic Reference
//! System 1980"); an ellipsoid differs by up to 0.6 %.

const std = @import("std");
const skewless = @import("skewless.zig");

const earth_radius_km = 6371.0088;
/// Degrees times this are radians.
const radians = 0.017453292519943295;

/// An input without a `?` is never null here: a null makes the row null, and the function isn't called.
const In = struct { lat1: f64, lon1: f64, lat2: f64, lon2: f64 };
const Out = struct { km: f64 };

fn distance(in: In) skewless.Answer(Out) {
    // An error is one of this row; the others have their values.
    if (@abs(in.lat1) > 90.0) return .{ .failed = "expected lat1 from -90 to 90" };
    if (@abs(in.lat2) > 90.0) return .{ .failed = "expected lat2 from -90 to 90" };
    const half_phi = @sin((in.lat2 - in.lat1) * radians / 2.0);
    const half_lambda = @sin((in.lon2 - in.lon1) * radians / 2.0);
    const h = half_phi * half_phi + @cos(in.lat1 * radians) * @cos(in.lat2 * radians) * half_lambda * half_lambda;
    // Rounding may put h a hair above 1 for antipodes; @min would make 1 of a NaN as well.
    return .{ .row = .{ .km = 2.0 * earth_radius_km * std.math.asin(@sqrt(if (h > 1.0) @as(f64, 1.0) else h)) } };
}

comptime {
    skewless.plugin(In, Out, distance, .{
        .name = "my_plugin",
        .version = "0.1.0",
        .doc = "Great-circle distance between two points on the Earth.",
        .inputs = .{
            .lat1 = .{ "deg", "Latitude of the start, north positive." },
            .lon1 = .{ "deg", "Longitude of the start, east positive." },
            .lat2 = .{ "deg", "Latitude of the end." },
            .lon2 = .{ "deg", "Longitude of the end." },
        },
        .outputs = .{ .km = .{ "km", "Length of the shortest way on the surface." } },
    });
}
