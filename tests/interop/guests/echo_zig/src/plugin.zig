//! Gives back what it was given, every type of a feature among it: what tests/programs/echo is in Rust. For tests, not a plugin to copy.

const skewless = @import("skewless.zig");

const All = struct {
    flag: ?bool,
    small: ?i32,
    whole: ?i64,
    single: ?f32,
    wide: ?f64,
    text: ?[]const u8,
    bytes: ?skewless.Binary,
    time: ?skewless.Timestamp,
    embedding: ?[3]f32,
    wholes: ?[]const i64,
    numbers: ?[]const f64,
    texts: ?[]const []const u8,
    plain_whole: i64,
    plain_text: []const u8,
};

fn echo(in: All) skewless.Answer(All) {
    return .{ .row = in };
}

comptime {
    skewless.plugin(All, All, echo, .{
        .name = "echo_zig",
        .version = "1.0.0",
        .doc = "Gives back what it is given, \"quoted\".",
        .inputs = .{ .plain_whole = .{ "m", "One that is there." } },
        .outputs = .{},
    });
}
