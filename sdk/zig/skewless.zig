//! A Skewless plugin in Zig, of one function that gives the outputs of a row.
//!
//!     const skewless = @import("skewless.zig");
//!
//!     const In = struct { amount: f64, pieces: ?i64 };
//!     const Out = struct { price: ?f64 };
//!
//!     fn price(in: In) skewless.Answer(Out) {
//!         if (in.amount < 0) return .{ .failed = "expected an amount of 0 or more" };
//!         const pieces = in.pieces orelse return .{ .row = .{ .price = null } };
//!         return .{ .row = .{ .price = in.amount / @as(f64, @floatFromInt(pieces)) } };
//!     }
//!
//!     comptime {
//!         skewless.plugin(In, Out, price, .{
//!             .name = "price_ratio",
//!             .version = "1.0.0",
//!             .doc = "What a piece costs.",
//!             .inputs = .{ .amount = .{ "EUR", "Value of the order." }, .pieces = .{ "", "Number of pieces." } },
//!             .outputs = .{ .price = .{ "EUR", "Value of a piece." } },
//!         });
//!     }
//!
//! The signature, the reading and the writing come from the two structs, so they can't differ; `inputs` and `outputs` add units and
//! docs, and a name there that no struct has is an error of the compiler.
//!
//!     bool i32 i64 f32 f64   bool int32 int64 float32 float64      []const i64            list<int64>
//!     []const u8             utf8                                  []const f64            list<float64>
//!     Binary                 binary                                []const []const u8     list<utf8>
//!     Timestamp              timestamp, microseconds UTC           [N]f32                 embedding[N]
//!
//! A `?` before an input: the function receives nulls; else a null makes all outputs of the row null, and the function isn't called. What
//! an output points to must stay until the call ends: inputs, constants, memory of `alloc`, which is taken back as a whole before the next
//! call. A row must depend on itself alone: keep nothing in global variables. The contract is sdk/wit/CORE.md.

/// Bytes that are no text.
pub const Binary = struct { bytes: []const u8 };

/// Microseconds since 1970-01-01T00:00:00 UTC.
pub const Timestamp = struct { us: i64 };

/// What a row gives: its outputs, or the text with which it alone fails.
pub fn Answer(comptime Out: type) type {
    return union(enum) { row: Out, failed: []const u8 };
}

/// Memory until the end of the call; it holds anything. Traps if there is no room.
pub fn alloc(comptime T: type, len: usize) []T {
    const at = take(len * @sizeOf(T), 16) orelse @trap();
    const items: [*]T = @ptrFromInt(at);
    return items[0..len];
}

/// Makes a module a plugin: its two functions and its signature.
pub fn plugin(comptime In: type, comptime Out: type, comptime row: fn (In) Answer(Out), comptime about: anytype) void {
    const Exports = struct {
        comptime {
            // In assembler: a linksection would make it data of the module.
            asm (".section .custom_section.skewless.signature,\"\",@\n.ascii " ++ quoted(signature(In, Out, about)) ++ "\n");
        }
        fn reserve(len: u32) callconv(.c) u32 {
            next = @intFromPtr(&region);
            end = next + arena_bytes;
            if (len > batch_bytes_max) return 0;
            return @intCast(take(@max(len, 1), alignment) orelse 0);
        }
        fn transform(address: u32, len: u32) callconv(.c) i64 {
            return call(In, Out, row, address, len) catch |status| switch (status) {
                error.BadBatch => -1,
                error.WrongColumns => -2,
                error.OutOfMemory => -3,
            };
        }
    };
    @export(&Exports.reserve, .{ .name = "skewless_reserve" });
    @export(&Exports.transform, .{ .name = "skewless_transform" });
}

// ---- types: in the batch and in the signature (CORE.md, sections 4 and 8) ----

const Code = enum(u8) { bool = 1, int32, int64, float32, float64, utf8, binary, timestamp, embedding, int64s, float64s, texts };

const Type = struct {
    code: Code,
    dim: u32 = 0,
    name: []const u8,
};

fn long(code: Code) bool {
    return switch (code) {
        .utf8, .binary, .int64s, .float64s, .texts => true,
        else => false,
    };
}

fn isOptional(comptime T: type) bool {
    return @typeInfo(T) == .optional;
}

fn Plain(comptime T: type) type {
    return if (isOptional(T)) @typeInfo(T).optional.child else T;
}

fn typeOf(comptime Given: type) Type {
    const T = Plain(Given);
    if (@typeInfo(T) == .array) {
        const array = @typeInfo(T).array;
        if (array.child == f32 and array.len > 0) return .{ .code = .embedding, .dim = array.len, .name = "embedding[" ++ decimal(array.len) ++ "]" };
    }
    return switch (T) {
        bool => .{ .code = .bool, .name = "bool" },
        i32 => .{ .code = .int32, .name = "int32" },
        i64 => .{ .code = .int64, .name = "int64" },
        f32 => .{ .code = .float32, .name = "float32" },
        f64 => .{ .code = .float64, .name = "float64" },
        []const u8 => .{ .code = .utf8, .name = "utf8" },
        Binary => .{ .code = .binary, .name = "binary" },
        Timestamp => .{ .code = .timestamp, .name = "timestamp" },
        []const i64 => .{ .code = .int64s, .name = "list<int64>" },
        []const f64 => .{ .code = .float64s, .name = "list<float64>" },
        []const []const u8 => .{ .code = .texts, .name = "list<utf8>" },
        else => @compileError("no type of a feature: " ++ @typeName(Given)),
    };
}

fn names(comptime T: type) []const []const u8 {
    return @typeInfo(T).@"struct".field_names;
}

fn FieldType(comptime T: type, comptime name: []const u8) type {
    return @FieldType(T, name);
}

// ---- the signature ----

fn decimal(comptime n: usize) []const u8 {
    return if (n < 10) &[_]u8{'0' + n} else decimal(n / 10) ++ &[_]u8{'0' + n % 10};
}

/// A text in quotation marks, as JSON and the assembler have it.
fn quoted(comptime text: []const u8) []const u8 {
    @setEvalBranchQuota(1_000_000);
    var out: []const u8 = "\"";
    for (text) |byte| {
        if (byte == '"' or byte == '\\') out = out ++ "\\";
        if (byte < ' ') @compileError("a name, doc or unit of more than one line: " ++ text);
        out = out ++ &[_]u8{byte};
    }
    return out ++ "\"";
}

fn signature(comptime In: type, comptime Out: type, comptime about: anytype) []const u8 {
    return "{\"abi\":1,\"name\":" ++ quoted(about.name) ++ ",\"version\":" ++ quoted(about.version) ++ ",\"doc\":" ++ quoted(about.doc) ++
        ",\"inputs\":[" ++ fields(In, about.inputs) ++ "],\"outputs\":[" ++ fields(Out, about.outputs) ++ "]}";
}

fn fields(comptime T: type, comptime about: anytype) []const u8 {
    @setEvalBranchQuota(1_000_000);
    for (names(@TypeOf(about))) |name| {
        if (!@hasField(T, name)) @compileError("no field `" ++ name ++ "` in " ++ @typeName(T));
    }
    var out: []const u8 = "";
    for (names(T), 0..) |name, at| {
        const Given = FieldType(T, name);
        const told: struct { []const u8, []const u8 } = if (@hasField(@TypeOf(about), name)) @field(about, name) else .{ "", "" };
        out = out ++ (if (at > 0) "," else "") ++ "{\"name\":" ++ quoted(name) ++ ",\"type\":" ++ quoted(typeOf(Given).name) ++
            ",\"nullable\":" ++ (if (isOptional(Given)) "true" else "false") ++ ",\"doc\":" ++ quoted(told[1]) ++
            ",\"unit\":" ++ quoted(told[0]) ++ "}";
    }
    return out;
}

// ---- memory: handed out from front to back, taken back as a whole before each call ----

/// With a stack of 16 KiB and small constants this makes a memory of one page, which is what the host has to restore.
const arena_bytes = 32 * 1024;
const page_bytes = 65536;
const alignment = 64;
const batch_bytes_max = 1 << 30;

var region: [arena_bytes]u8 align(alignment) = undefined;
var next: usize = 0;
var end: usize = 0;
/// Where grown memory begins and ends; 0: it was never grown.
var grown: usize = 0;
var grown_end: usize = 0;

fn up(n: usize, to: usize) usize {
    return (n + to - 1) & ~(to - 1);
}

fn take(bytes: usize, to: usize) ?usize {
    var at = up(next, to);
    if (at > end or bytes > end - at) {
        if (bytes > batch_bytes_max or !grow(bytes + to)) return null;
        at = up(next, to);
    }
    next = at + bytes;
    return at;
}

/// Goes on in grown memory, growing it further if it must.
fn grow(bytes: usize) bool {
    var from = if (grown != 0 and next >= grown and next <= grown_end) next else grown;
    const room = grown_end - from;
    if (grown == 0 or bytes > room) {
        const missing = (bytes - room + page_bytes - 1) / page_bytes;
        // Twice what is there, so that a large batch grows a few times and not once a column.
        const old = @wasmMemoryGrow(0, @max(missing, (grown_end - grown) / page_bytes));
        if (old < 0) return false;
        const began = @as(usize, @intCast(old)) * page_bytes;
        if (began != grown_end) {
            grown = began;
            from = began;
        }
        grown_end = @wasmMemorySize(0) * page_bytes;
    }
    next = from;
    end = grown_end;
    return true;
}

// ---- the batch ----

const Failure = error{ BadBatch, WrongColumns, OutOfMemory };

const Header = extern struct { magic: u32, version: u16, flags: u16, rows: u32, columns: u32, len: u32, reserved: [11]u32 };

const Descriptor = extern struct {
    code: u8,
    flags: u8,
    reserved: u16 = 0,
    dim: u32,
    validity: u32 = 0,
    validity_len: u32 = 0,
    offsets: u32 = 0,
    offsets_len: u32 = 0,
    inner: u32 = 0,
    inner_len: u32 = 0,
    values: u32 = 0,
    values_len: u32 = 0,
    nulls: u32,
    reserved_end: u32 = 0,
};

comptime {
    if (@sizeOf(Header) != 64 or @sizeOf(Descriptor) != 48) @compileError("not the layout of a batch");
}

const magic = 0x42574b53;

fn many(comptime T: type, address: usize) [*]T {
    return @ptrFromInt(address);
}

fn bit(address: usize, row: usize) bool {
    return many(u8, address)[row / 8] >> @intCast(row % 8) & 1 == 1;
}

fn setBit(address: usize, row: usize) void {
    many(u8, address)[row / 8] |= @as(u8, 1) << @intCast(row % 8);
}

/// Addresses of an input's buffers; `validity` 0: no nulls.
const Input = struct {
    validity: usize,
    offsets: usize,
    inner: usize,
    values: usize,

    fn open(batch: usize, index: usize, comptime ty: Type) Failure!Input {
        const from = many(Descriptor, batch + 64)[index];
        if (from.code != @backingInt(ty.code) or from.dim != ty.dim) return error.WrongColumns;
        return .{
            .validity = if (from.flags & 1 == 1) batch + from.validity else 0,
            .offsets = batch + from.offsets,
            .inner = batch + from.inner,
            .values = batch + from.values,
        };
    }

    fn isNull(self: *const Input, row: usize) bool {
        return self.validity != 0 and !bit(self.validity, row);
    }

    inline fn get(self: *const Input, comptime T: type, row: usize) T {
        if (@typeInfo(T) == .array) return many(T, self.values)[row];
        return switch (T) {
            bool => bit(self.values, row),
            Timestamp => .{ .us = many(i64, self.values)[row] },
            []const u8 => self.slice(u8, row),
            Binary => .{ .bytes = self.slice(u8, row) },
            []const i64 => self.slice(i64, row),
            []const f64 => self.slice(f64, row),
            []const []const u8 => self.texts(row),
            else => many(T, self.values)[row],
        };
    }

    fn slice(self: *const Input, comptime T: type, row: usize) []const T {
        const offsets = many(u32, self.offsets);
        // An empty column has no values, and so no address of them.
        if (offsets[row] == offsets[row + 1]) return &.{};
        return many(T, self.values)[offsets[row]..offsets[row + 1]];
    }

    fn texts(self: *const Input, row: usize) []const []const u8 {
        const offsets = many(u32, self.offsets);
        const inner = many(u32, self.inner);
        const found = alloc([]const u8, offsets[row + 1] - offsets[row]);
        for (found, offsets[row]..) |*text, element| {
            text.* = if (inner[element] == inner[element + 1]) &.{} else many(u8, self.values)[inner[element]..inner[element + 1]];
        }
        return found;
    }
};

/// Where a long value is: bytes, elements, or slices of bytes.
const Long = extern struct { at: u32, len: u32 };

/// A column that is kept until all rows are done: where it goes depends on its nulls and lengths.
const Output = struct {
    code: Code,
    dim: u32,
    nulls: u32 = 0,
    /// Of a bit a row, 1 = valid.
    validity: usize,
    /// Of a fixed width: as in the batch; else a `Long` a row.
    values: usize,

    fn begin(code: Code, dim: u32, rows: u32) Failure!Output {
        const bits = (rows + 7) / 8;
        const validity = take(bits, alignment) orelse return error.OutOfMemory;
        @memset(many(u8, validity)[0..bits], 0);
        const bytes = if (code == .bool) bits else @as(u64, rows) * width(code, dim);
        if (bytes > batch_bytes_max) return error.OutOfMemory;
        const values = take(@intCast(bytes), alignment) orelse return error.OutOfMemory;
        @memset(many(u8, values)[0..@intCast(bytes)], 0);
        return .{ .code = code, .dim = dim, .validity = validity, .values = values };
    }

    inline fn put(self: *Output, comptime T: type, row: usize, value: T) void {
        setBit(self.validity, row);
        if (@typeInfo(T) == .array) {
            many(T, self.values)[row] = value;
            return;
        }
        switch (T) {
            bool => if (value) setBit(self.values, row),
            Timestamp => many(i64, self.values)[row] = value.us,
            Binary => many(Long, self.values)[row] = .{ .at = @intCast(@intFromPtr(value.bytes.ptr)), .len = @intCast(value.bytes.len) },
            []const u8, []const i64, []const f64, []const []const u8 => {
                many(Long, self.values)[row] = .{ .at = @intCast(@intFromPtr(value.ptr)), .len = @intCast(value.len) };
            },
            else => many(T, self.values)[row] = value,
        }
    }

    fn texts(value: Long) []const []const u8 {
        return if (value.len == 0) &.{} else many([]const u8, value.at)[0..value.len];
    }

    /// Elements of all rows, and their bytes.
    fn measure(self: *const Output, rows: u32) struct { u64, u64 } {
        var elements: u64 = 0;
        var bytes: u64 = 0;
        for (many(Long, self.values)[0..rows]) |value| {
            elements += value.len;
            if (self.code == .texts) for (texts(value)) |text| {
                bytes += text.len;
            };
        }
        return .{ elements, if (self.code == .texts) bytes else elements * elementBytes(self.code) };
    }

    /// Copies a long column's offsets, inner offsets and values.
    fn write(self: *const Output, rows: u32, offsets: usize, inner: usize, values: usize) void {
        var elements: u32 = 0;
        var bytes: u32 = 0;
        for (many(Long, self.values)[0..rows], 0..) |value, row| {
            many(u32, offsets)[row] = elements;
            if (self.code == .texts) {
                for (texts(value), elements..) |text, index| {
                    many(u32, inner)[index] = bytes;
                    if (text.len > 0) @memcpy(many(u8, values + bytes)[0..text.len], text);
                    bytes += @intCast(text.len);
                }
            } else if (value.len > 0) {
                const len = value.len * elementBytes(self.code);
                @memcpy(many(u8, values + elements * elementBytes(self.code))[0..len], many(u8, value.at)[0..len]);
            }
            elements += value.len;
        }
        many(u32, offsets)[rows] = elements;
        if (self.code == .texts) many(u32, inner)[elements] = bytes;
    }
};

fn width(code: Code, dim: u32) u32 {
    return switch (code) {
        .int32, .float32 => 4,
        .embedding => 4 * dim,
        else => 8,
    };
}

fn elementBytes(code: Code) u32 {
    return if (code == .int64s or code == .float64s) 8 else 1;
}

/// Walks the layout: where the next buffer goes. What lies between two is 0.
const Cursor = struct {
    position: u64 = 0,
    /// 0: it is only measured.
    batch: usize = 0,

    fn move(self: *Cursor, to: u64) void {
        if (self.batch != 0) @memset(many(u8, self.batch)[@intCast(self.position)..@intCast(to)], 0);
        self.position = to;
    }

    fn place(self: *Cursor, len: u64) u32 {
        if (len == 0) return 0;
        self.move(up64(self.position));
        defer self.position += len;
        return @truncate(self.position);
    }

    fn walk(self: *Cursor, outputs: []const Output, rows: u32) void {
        const bits = (rows + 7) / 8;
        self.move(64 + 48 * @as(u64, outputs.len));
        for (outputs, 0..) |*output, index| {
            const is_long = long(output.code);
            var elements: u64 = 0;
            var bytes: u64 = if (output.code == .bool) bits else @as(u64, rows) * width(output.code, output.dim);
            if (is_long) elements, bytes = output.measure(rows);
            if (index > 0) self.move(up64(self.position) + 64);
            var to: Descriptor = .{ .code = @backingInt(output.code), .flags = @intFromBool(output.nulls > 0), .dim = output.dim, .nulls = output.nulls };
            to.validity_len = if (output.nulls > 0) bits else 0;
            to.offsets_len = if (is_long) 4 * (rows + 1) else 0;
            to.inner_len = if (output.code == .texts) @truncate(4 * (elements + 1)) else 0;
            to.values_len = @truncate(bytes);
            to.validity = self.place(to.validity_len);
            to.offsets = self.place(to.offsets_len);
            to.inner = self.place(if (output.code == .texts) 4 * (elements + 1) else 0);
            to.values = self.place(bytes);
            if (self.batch == 0) continue;
            many(Descriptor, self.batch + 64)[index] = to;
            if (to.validity_len > 0) @memcpy(many(u8, self.batch + to.validity)[0..bits], many(u8, output.validity)[0..bits]);
            if (is_long) {
                output.write(rows, self.batch + to.offsets, self.batch + to.inner, self.batch + to.values);
            } else if (bytes > 0) {
                @memcpy(many(u8, self.batch + to.values)[0..to.values_len], many(u8, output.values)[0..to.values_len]);
            }
        }
        self.move(up64(self.position));
    }
};

fn up64(n: u64) u64 {
    return (n + alignment - 1) & ~@as(u64, alignment - 1);
}

/// Columns of a plugin, off the stack, which is small.
fn Columns(comptime In: type, comptime Out: type) type {
    return struct {
        var inputs: [names(In).len]Input = undefined;
        /// The last one is for the errors of rows.
        var outputs: [names(Out).len + 1]Output = undefined;
    };
}

fn call(comptime In: type, comptime Out: type, comptime row_of: fn (In) Answer(Out), address: usize, len: u32) Failure!i64 {
    const columns = Columns(In, Out);
    const width_in = names(In).len;
    const width_out = names(Out).len;
    if (address == 0 or len < 64) return error.BadBatch;
    const header = many(Header, address)[0];
    if (header.magic != magic or header.version != 1 or header.len != len) return error.BadBatch;
    if (header.columns != width_in or len < 64 + 48 * width_in) return error.WrongColumns;
    const rows = header.rows;
    inline for (comptime names(In), 0..) |name, index| {
        columns.inputs[index] = try Input.open(address, index, comptime typeOf(FieldType(In, name)));
    }
    inline for (comptime names(Out), 0..) |name, index| {
        const ty = comptime typeOf(FieldType(Out, name));
        columns.outputs[index] = try Output.begin(ty.code, ty.dim, rows);
    }
    var failed = false;
    for (0..rows) |row| {
        var message: ?[]const u8 = null;
        var given: ?Out = null;
        if (read(In, &columns.inputs, row)) |in| switch (row_of(in)) {
            .row => |out| given = out,
            .failed => |text| message = text,
        };
        inline for (comptime names(Out), 0..) |name, index| {
            const T = FieldType(Out, name);
            const output = &columns.outputs[index];
            const value: ?Plain(T) = if (given) |out| @field(out, name) else null;
            if (value) |some| output.put(Plain(T), row, some) else output.nulls += 1;
        }
        if (message) |text| {
            const errors = &columns.outputs[width_out];
            if (!failed) {
                failed = true;
                errors.* = try Output.begin(.utf8, 0, rows);
                errors.nulls = rows;
            }
            errors.put([]const u8, row, text);
            errors.nulls -= 1;
        }
    }
    const outputs = columns.outputs[0 .. width_out + @intFromBool(failed)];
    var measured: Cursor = .{};
    measured.walk(outputs, rows);
    if (measured.position > batch_bytes_max) return error.OutOfMemory;
    const bytes: u32 = @intCast(measured.position);
    const answer = take(bytes, alignment) orelse return error.OutOfMemory;
    var written: Cursor = .{ .batch = answer };
    written.walk(outputs, rows);
    many(Header, answer)[0] = .{ .magic = magic, .version = 1, .flags = 0, .rows = rows, .columns = @intCast(outputs.len), .len = bytes, .reserved = @splat(0) };
    return @as(i64, @intCast(answer)) << 32 | bytes;
}

/// A row; null: a null makes all of it null.
inline fn read(comptime In: type, inputs: []const Input, row: usize) ?In {
    var in: In = undefined;
    inline for (comptime names(In), 0..) |name, index| {
        const T = FieldType(In, name);
        if (inputs[index].isNull(row)) {
            if (comptime isOptional(T)) {
                @field(in, name) = null;
            } else return null;
        } else {
            @field(in, name) = inputs[index].get(Plain(T), row);
        }
    }
    return in;
}
