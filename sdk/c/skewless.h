/* skewless.h: a Skewless plugin in C, of one function that gives the outputs of a row.
 *
 * A plugin says what it takes and gives once, by macros, and then includes this file:
 *
 *     #define SKEWLESS_NAME "price_ratio"
 *     #define SKEWLESS_VERSION "1.0.0"
 *     #define SKEWLESS_DOC "What a piece costs."
 *     #define SKEWLESS_INPUTS(IN, IN_OR_NULL) \
 *         IN(float64, amount, "EUR", "Value of the order.") \
 *         IN_OR_NULL(int64, pieces, "", "Number of pieces; null if nobody counted.")
 *     #define SKEWLESS_OUTPUTS(OUT, OUT_OR_NULL) \
 *         OUT_OR_NULL(float64, price, "EUR", "Value of a piece.")
 *     #include "skewless.h"
 *
 *     static const char *skewless_row(const skewless_in *in, skewless_out *out) {
 *         if (in->amount < 0) return "expected an amount of 0 or more";
 *         if (in->pieces_is_null || in->pieces == 0) out->price_is_null = true;
 *         else out->price = in->amount / (double)in->pieces;
 *         return 0;
 *     }
 *
 * From these macros come the structs, the reading and writing of the batch, and the section `skewless.signature`, so they can't
 * differ. The names and docs go into that section as they are: no quotation mark and no backslash in them.
 *
 *     type             in a skewless_in                 in a skewless_out
 *     bool             bool                             the same
 *     int32, int64     int32_t, int64_t                 the same
 *     float32, float64 float, double                    the same
 *     timestamp        int64_t, microseconds UTC        the same
 *     utf8, binary     skewless_bytes                   the same
 *     embedding(N)     const float *, N of them         float [N]
 *     list(int64)      skewless_int64s                  the same
 *     list(float64)    skewless_float64s                the same
 *     list(utf8)       skewless_texts                   the same
 *
 * A null in an IN makes all outputs of the row null, and the function isn't called; an IN_OR_NULL named x comes with x_is_null.
 * All outputs are 0 and empty when the function begins. A text that is returned fails that row alone, with this text.
 *
 * What the outputs point to must stay until the call ends: inputs, constants, and memory of skewless_alloc, which is taken back as
 * a whole before the next call. A row must depend on itself alone: keep nothing in static variables.
 *
 * Needs a compiler of the clang family for wasm32 and no library. The contract is sdk/wit/CORE.md. */

#ifndef SKEWLESS_H
#define SKEWLESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef __wasm32__
#error "skewless.h is for wasm32: build with `skewless plugin build`"
#endif
#if !defined(SKEWLESS_NAME) || !defined(SKEWLESS_INPUTS) || !defined(SKEWLESS_OUTPUTS)
#error "define SKEWLESS_NAME, SKEWLESS_INPUTS and SKEWLESS_OUTPUTS before including skewless.h"
#endif
#ifndef SKEWLESS_VERSION
#define SKEWLESS_VERSION ""
#endif
#ifndef SKEWLESS_DOC
#define SKEWLESS_DOC ""
#endif

/* ---- what an author uses ---- */

/* Text in UTF-8, or bytes; no zero at the end. */
typedef struct {
    const uint8_t *at;
    uint32_t len;
} skewless_bytes;

typedef struct {
    const int64_t *at;
    uint32_t len;
} skewless_int64s;

typedef struct {
    const double *at;
    uint32_t len;
} skewless_float64s;

typedef struct {
    const skewless_bytes *at;
    uint32_t len;
} skewless_texts;

/* Memory until the end of the call, aligned for every type; it holds anything. Traps if there is no room. */
static void *skewless_alloc(uint32_t bytes);

/* ---- types: of a row, in the signature, in the batch (CORE.md, section 4) ---- */

#define SKW_IN_bool bool
#define SKW_IN_int32 int32_t
#define SKW_IN_int64 int64_t
#define SKW_IN_float32 float
#define SKW_IN_float64 double
#define SKW_IN_utf8 skewless_bytes
#define SKW_IN_binary skewless_bytes
#define SKW_IN_timestamp int64_t
#define SKW_IN_embedding(n) const float *
#define SKW_IN_list(of) SKW_IN_list_##of
#define SKW_IN_list_int64 skewless_int64s
#define SKW_IN_list_float64 skewless_float64s
#define SKW_IN_list_utf8 skewless_texts

#define SKW_OUT_bool bool
#define SKW_OUT_int32 int32_t
#define SKW_OUT_int64 int64_t
#define SKW_OUT_float32 float
#define SKW_OUT_float64 double
#define SKW_OUT_utf8 skewless_bytes
#define SKW_OUT_binary skewless_bytes
#define SKW_OUT_timestamp int64_t
#define SKW_OUT_embedding(n) struct { float at[n]; }
#define SKW_OUT_list(of) SKW_IN_list_##of

#define SKW_TYPE_bool "bool"
#define SKW_TYPE_int32 "int32"
#define SKW_TYPE_int64 "int64"
#define SKW_TYPE_float32 "float32"
#define SKW_TYPE_float64 "float64"
#define SKW_TYPE_utf8 "utf8"
#define SKW_TYPE_binary "binary"
#define SKW_TYPE_timestamp "timestamp"
#define SKW_TYPE_embedding(n) "embedding[" #n "]"
#define SKW_TYPE_list(of) "list<" #of ">"

enum { SKW_BOOL = 1, SKW_INT32, SKW_INT64, SKW_FLOAT32, SKW_FLOAT64, SKW_UTF8, SKW_BINARY, SKW_TIMESTAMP, SKW_EMBEDDING,
       SKW_INT64S, SKW_FLOAT64S, SKW_TEXTS };

/* Type code, and dimension of an embedding. */
#define SKW_CODE_bool SKW_BOOL, 0
#define SKW_CODE_int32 SKW_INT32, 0
#define SKW_CODE_int64 SKW_INT64, 0
#define SKW_CODE_float32 SKW_FLOAT32, 0
#define SKW_CODE_float64 SKW_FLOAT64, 0
#define SKW_CODE_utf8 SKW_UTF8, 0
#define SKW_CODE_binary SKW_BINARY, 0
#define SKW_CODE_timestamp SKW_TIMESTAMP, 0
#define SKW_CODE_embedding(n) SKW_EMBEDDING, n
#define SKW_CODE_list(of) SKW_CODE_list_##of
#define SKW_CODE_list_int64 SKW_INT64S, 0
#define SKW_CODE_list_float64 SKW_FLOAT64S, 0
#define SKW_CODE_list_utf8 SKW_TEXTS, 0

/* ---- what the macros make ---- */

typedef struct {
#define SKW_MEMBER(type, name, unit, doc) SKW_IN_##type name;
#define SKW_MEMBER_OR_NULL(type, name, unit, doc) SKW_IN_##type name; bool name##_is_null;
    SKEWLESS_INPUTS(SKW_MEMBER, SKW_MEMBER_OR_NULL)
#undef SKW_MEMBER
#undef SKW_MEMBER_OR_NULL
} skewless_in;

typedef struct {
#define SKW_MEMBER(type, name, unit, doc) SKW_OUT_##type name;
#define SKW_MEMBER_OR_NULL(type, name, unit, doc) SKW_OUT_##type name; bool name##_is_null;
    SKEWLESS_OUTPUTS(SKW_MEMBER, SKW_MEMBER_OR_NULL)
#undef SKW_MEMBER
#undef SKW_MEMBER_OR_NULL
} skewless_out;

/* The author's function. 0: the row is done; a text: it failed with this one. */
static const char *skewless_row(const skewless_in *in, skewless_out *out);

#define SKW_INDEX(type, name, unit, doc) SKW_INPUT_##name,
enum { SKEWLESS_INPUTS(SKW_INDEX, SKW_INDEX) SKW_INPUTS };
#undef SKW_INDEX
#define SKW_INDEX(type, name, unit, doc) SKW_OUTPUT_##name,
enum { SKEWLESS_OUTPUTS(SKW_INDEX, SKW_INDEX) SKW_OUTPUTS };
#undef SKW_INDEX

/* The signature, in assembler, as a compiler gives no other way to name a custom section in C. Between two fields stands a comma: an
 * assembler macro that is nothing before the first field and a comma from then on. */
#define SKW_COMMA(bytes) ".macro skewless_comma\n" bytes ".endm\n"
#define SKW_FIELD(type, name, nullable, unit, doc) \
    "skewless_comma\n.purgem skewless_comma\n" SKW_COMMA(".ascii \",\"\n") \
    ".ascii \"{\\\"name\\\":\\\"" #name "\\\",\\\"type\\\":\\\"" type "\\\",\\\"nullable\\\":" #nullable \
    ",\\\"doc\\\":\\\"" doc "\\\",\\\"unit\\\":\\\"" unit "\\\"}\"\n"
#define SKW_JSON(type, name, unit, doc) SKW_FIELD(SKW_TYPE_##type, name, false, unit, doc)
#define SKW_JSON_OR_NULL(type, name, unit, doc) SKW_FIELD(SKW_TYPE_##type, name, true, unit, doc)
__asm__(".section .custom_section.skewless.signature,\"\",@\n"
        ".ascii \"{\\\"abi\\\":1,\\\"name\\\":\\\"" SKEWLESS_NAME "\\\",\\\"version\\\":\\\"" SKEWLESS_VERSION
        "\\\",\\\"doc\\\":\\\"" SKEWLESS_DOC "\\\",\\\"inputs\\\":[\"\n"
        SKW_COMMA("") SKEWLESS_INPUTS(SKW_JSON, SKW_JSON_OR_NULL)
        ".ascii \"],\\\"outputs\\\":[\"\n"
        ".purgem skewless_comma\n" SKW_COMMA("") SKEWLESS_OUTPUTS(SKW_JSON, SKW_JSON_OR_NULL)
        ".ascii \"]}\"\n.purgem skewless_comma\n");

/* ---- memory: handed out from front to back, taken back as a whole before each call ---- */

/* With a stack of 16 KiB and small constants this makes a memory of one page, which is what the host has to restore. */
#define SKW_ARENA_BYTES (32 * 1024)
#define SKW_PAGE_BYTES 65536u
#define SKW_ALIGN 64u
#define SKW_BATCH_BYTES_MAX (1u << 30)

static _Alignas(64) uint8_t skw_region[SKW_ARENA_BYTES];
static uint32_t skw_next, skw_end;
/* Where grown memory begins and ends; 0: it was never grown. */
static uint32_t skw_grown, skw_grown_end;

static inline uint32_t skw_up(uint32_t n) { return (n + SKW_ALIGN - 1) & ~(SKW_ALIGN - 1); }

/* Goes on in grown memory, growing it further if it must. */
static __attribute__((noinline)) bool skw_grow(uint32_t bytes) {
    bool inside = skw_grown != 0 && skw_next >= skw_grown && skw_next <= skw_grown_end;
    uint32_t next = inside ? skw_next : skw_grown;
    if (skw_grown == 0 || bytes > skw_grown_end - next) {
        uint32_t room = skw_grown == 0 ? 0 : skw_grown_end - next;
        uint32_t pages = (bytes - room + SKW_PAGE_BYTES - 1) / SKW_PAGE_BYTES;
        /* Twice what is there, so that a large batch grows a few times and not once a column. */
        uint32_t there = (skw_grown_end - skw_grown) / SKW_PAGE_BYTES;
        uint32_t old = (uint32_t)__builtin_wasm_memory_grow(0, pages > there ? pages : there);
        if (old == UINT32_MAX) return false;
        if (old * SKW_PAGE_BYTES != skw_grown_end) {
            skw_grown = old * SKW_PAGE_BYTES;
            next = skw_grown;
        }
        skw_grown_end = (uint32_t)__builtin_wasm_memory_size(0) * SKW_PAGE_BYTES;
    }
    skw_next = next;
    skw_end = skw_grown_end;
    return true;
}

/* 0: no room. */
static uint8_t *skw_take(uint32_t bytes, uint32_t align) {
    uint32_t at = (skw_next + align - 1) & ~(align - 1);
    if (at > skw_end || bytes > skw_end - at) {
        if (bytes > SKW_BATCH_BYTES_MAX || !skw_grow(bytes + align)) return 0;
        at = (skw_next + align - 1) & ~(align - 1);
    }
    skw_next = at + bytes;
    return (uint8_t *)at;
}

static __attribute__((unused)) void *skewless_alloc(uint32_t bytes) {
    uint8_t *at = skw_take(bytes, 16);
    if (!at) __builtin_trap();
    return at;
}

__attribute__((export_name("skewless_reserve"))) uint32_t skewless_reserve(uint32_t len) {
    skw_next = (uint32_t)skw_region;
    skw_end = skw_next + SKW_ARENA_BYTES;
    return len > SKW_BATCH_BYTES_MAX ? 0 : (uint32_t)skw_take(len ? len : 1, SKW_ALIGN);
}

/* ---- reading ---- */

typedef struct {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t rows, columns, len;
    uint32_t reserved[11];
} skw_header;

typedef struct {
    uint8_t code, flags;
    uint16_t reserved;
    uint32_t dim;
    uint32_t validity, validity_len, offsets, offsets_len, inner, inner_len, values, values_len;
    uint32_t nulls, reserved_end;
} skw_descriptor;

_Static_assert(sizeof(skw_header) == 64 && sizeof(skw_descriptor) == 48, "the batch's layout");

enum { SKW_BAD_BATCH = -1, SKW_WRONG_COLUMNS = -2, SKW_OUT_OF_MEMORY = -3 };
#define SKW_MAGIC 0x42574b53u

typedef struct {
    const uint8_t *validity; /* 0: no nulls */
    const int32_t *offsets, *inner;
    const uint8_t *values;
} skw_column;

#define SKW_INLINE static inline __attribute__((always_inline))

SKW_INLINE bool skw_is_null(const skw_column *column, uint32_t row) {
    return column->validity && !(column->validity[row / 8] >> (row % 8) & 1);
}

/* Puts the value of a row where a skewless_in has it. */
SKW_INLINE void skw_get(const skw_column *column, uint32_t code, uint32_t dim, uint32_t row, void *into) {
    const uint8_t *values = column->values;
    uint32_t from = 0, len = 0;
    if (code == SKW_UTF8 || code == SKW_BINARY || code >= SKW_INT64S) {
        from = (uint32_t)column->offsets[row];
        len = (uint32_t)column->offsets[row + 1] - from;
    }
    switch (code) {
    case SKW_BOOL: *(bool *)into = values[row / 8] >> (row % 8) & 1; break;
    case SKW_INT32: *(int32_t *)into = ((const int32_t *)values)[row]; break;
    case SKW_FLOAT32: *(float *)into = ((const float *)values)[row]; break;
    case SKW_INT64: case SKW_TIMESTAMP: *(int64_t *)into = ((const int64_t *)values)[row]; break;
    case SKW_FLOAT64: *(double *)into = ((const double *)values)[row]; break;
    case SKW_EMBEDDING: *(const float **)into = (const float *)values + row * dim; break;
    case SKW_UTF8: case SKW_BINARY: *(skewless_bytes *)into = (skewless_bytes){values + from, len}; break;
    case SKW_INT64S: *(skewless_int64s *)into = (skewless_int64s){(const int64_t *)values + from, len}; break;
    case SKW_FLOAT64S: *(skewless_float64s *)into = (skewless_float64s){(const double *)values + from, len}; break;
    case SKW_TEXTS: {
        skewless_bytes *texts = skewless_alloc(len * sizeof(skewless_bytes));
        for (uint32_t i = 0; i < len; i++) {
            uint32_t start = (uint32_t)column->inner[from + i];
            texts[i] = (skewless_bytes){values + start, (uint32_t)column->inner[from + i + 1] - start};
        }
        *(skewless_texts *)into = (skewless_texts){texts, len};
        break;
    }
    }
}

/* ---- writing: columns are kept until all rows are done, as where they go depends on their nulls and lengths ---- */

typedef struct {
    uint32_t code, dim, nulls;
    uint8_t *validity; /* a bit a row, 1 = valid */
    uint8_t *values;   /* fixed width: as in the batch; else a skewless_bytes (or the like) a row */
} skw_output;

/* Bytes of a row of these types: 0 for bool, which has a bit. */
SKW_INLINE uint32_t skw_width(uint32_t code, uint32_t dim) {
    switch (code) {
    case SKW_BOOL: return 0;
    case SKW_INT32: case SKW_FLOAT32: return 4;
    case SKW_EMBEDDING: return 4 * dim;
    default: return 8; /* also a pointer and a length */
    }
}

SKW_INLINE bool skw_is_long(uint32_t code) {
    return code == SKW_UTF8 || code == SKW_BINARY || code >= SKW_INT64S;
}

_Static_assert(sizeof(skewless_bytes) == 8, "a pointer and a length");

/* `from` 0: null. */
SKW_INLINE void skw_put(skw_output *output, uint32_t code, uint32_t dim, uint32_t row, const void *from) {
    uint32_t width = skw_width(code, dim);
    if (from) output->validity[row / 8] |= (uint8_t)(1 << (row % 8));
    else output->nulls++;
    if (code == SKW_BOOL) {
        if (from && *(const bool *)from) output->values[row / 8] |= (uint8_t)(1 << (row % 8));
    } else if (from) {
        __builtin_memcpy(output->values + row * width, from, width);
    } else {
        __builtin_memset(output->values + row * width, 0, width);
    }
}

static uint8_t *skw_zeroed(uint64_t bytes) {
    if (bytes > SKW_BATCH_BYTES_MAX) return 0;
    uint8_t *at = skw_take((uint32_t)bytes, SKW_ALIGN);
    if (at) __builtin_memset(at, 0, (size_t)bytes);
    return at;
}

static bool skw_begin(skw_output *output, uint32_t code, uint32_t dim, uint32_t rows) {
    uint32_t bits = (rows + 7) / 8;
    uint64_t bytes = code == SKW_BOOL ? bits : (uint64_t)rows * skw_width(code, dim);
    *output = (skw_output){.code = code, .dim = dim};
    output->validity = skw_zeroed(bits);
    if (bytes > SKW_BATCH_BYTES_MAX || !output->validity) return false;
    output->values = code == SKW_BOOL ? skw_zeroed(bytes) : skw_take((uint32_t)bytes, SKW_ALIGN);
    return output->values != 0;
}

/* Bytes of an element of a list's or text's values. */
static uint32_t skw_element(uint32_t code) { return code == SKW_INT64S || code == SKW_FLOAT64S ? 8 : 1; }

/* Elements of all rows of a long column, and of its elements the bytes; more than a batch may have: some number above it. */
static void skw_measure(const skw_output *output, uint32_t rows, uint64_t *elements, uint64_t *bytes) {
    const skewless_bytes *all = (const skewless_bytes *)output->values;
    *elements = 0;
    *bytes = 0;
    for (uint32_t row = 0; row < rows; row++) {
        *elements += all[row].len;
        if (output->code == SKW_TEXTS) {
            const skewless_texts *texts = (const skewless_texts *)&all[row];
            for (uint32_t i = 0; i < texts->len; i++) *bytes += texts->at[i].len;
        }
    }
    if (output->code != SKW_TEXTS) *bytes = *elements * skw_element(output->code);
}

/* Where the next buffer goes; what lies between two is 0. */
typedef struct {
    uint64_t at;
    uint8_t *batch; /* 0: only measured */
} skw_cursor;

static void skw_move(skw_cursor *cursor, uint64_t to) {
    if (cursor->batch) __builtin_memset(cursor->batch + cursor->at, 0, (size_t)(to - cursor->at));
    cursor->at = to;
}

static uint64_t skw_up64(uint64_t n) { return (n + SKW_ALIGN - 1) & ~(uint64_t)(SKW_ALIGN - 1); }

/* Position of a buffer of this length; an empty one is at 0. */
static uint32_t skw_place(skw_cursor *cursor, uint64_t len) {
    if (len == 0) return 0;
    skw_move(cursor, skw_up64(cursor->at));
    uint32_t at = (uint32_t)cursor->at;
    cursor->at += len;
    return at;
}

/* Copies a long column's offsets, inner offsets and values. */
static void skw_write_long(const skw_output *output, uint32_t rows, int32_t *offsets, int32_t *inner, uint8_t *values) {
    const skewless_bytes *all = (const skewless_bytes *)output->values;
    uint32_t element = skw_element(output->code), at = 0, byte = 0;
    for (uint32_t row = 0; row < rows; row++) {
        offsets[row] = (int32_t)at;
        if (output->code == SKW_TEXTS) {
            const skewless_texts *texts = (const skewless_texts *)&all[row];
            for (uint32_t i = 0; i < texts->len; i++) {
                inner[at + i] = (int32_t)byte;
                if (texts->at[i].len) __builtin_memcpy(values + byte, texts->at[i].at, texts->at[i].len);
                byte += texts->at[i].len;
            }
        } else if (all[row].len) {
            __builtin_memcpy(values + at * element, all[row].at, all[row].len * element);
        }
        at += all[row].len;
    }
    offsets[rows] = (int32_t)at;
    if (output->code == SKW_TEXTS) inner[at] = (int32_t)byte;
}

/* Walks the layout of the outputs; writes it if the cursor has a batch. */
static void skw_walk(skw_cursor *cursor, const skw_output *outputs, uint32_t count, uint32_t rows) {
    uint32_t bits = (rows + 7) / 8;
    skw_move(cursor, 64 + 48 * (uint64_t)count);
    for (uint32_t i = 0; i < count; i++) {
        const skw_output *output = &outputs[i];
        bool is_long = skw_is_long(output->code);
        uint64_t elements = 0, bytes;
        if (is_long) skw_measure(output, rows, &elements, &bytes);
        else bytes = output->code == SKW_BOOL ? bits : (uint64_t)rows * skw_width(output->code, output->dim);
        skw_descriptor to = {.code = (uint8_t)output->code, .dim = output->dim, .nulls = output->nulls};
        if (i > 0) skw_move(cursor, skw_up64(cursor->at) + 64);
        to.flags = output->nulls > 0;
        to.validity_len = output->nulls > 0 ? bits : 0;
        to.offsets_len = is_long ? 4 * (rows + 1) : 0;
        to.inner_len = output->code == SKW_TEXTS ? 4 * ((uint32_t)elements + 1) : 0;
        to.values_len = (uint32_t)bytes;
        to.validity = skw_place(cursor, to.validity_len);
        to.offsets = skw_place(cursor, to.offsets_len);
        to.inner = skw_place(cursor, output->code == SKW_TEXTS ? 4 * (elements + 1) : 0);
        to.values = skw_place(cursor, bytes);
        uint8_t *batch = cursor->batch;
        if (!batch) continue;
        __builtin_memcpy(batch + 64 + 48 * i, &to, sizeof to);
        if (to.validity_len) __builtin_memcpy(batch + to.validity, output->validity, bits);
        if (is_long) skw_write_long(output, rows, (int32_t *)(batch + to.offsets), (int32_t *)(batch + to.inner), batch + to.values);
        else if (bytes) __builtin_memcpy(batch + to.values, output->values, (size_t)bytes);
    }
    skw_move(cursor, skw_up64(cursor->at));
}

static skw_column skw_inputs[SKW_INPUTS + 1];
/* The last one is for the errors of rows. */
static skw_output skw_outputs[SKW_OUTPUTS + 1];

static bool skw_open(const uint8_t *batch, uint32_t index, uint32_t code, uint32_t dim) {
    const skw_descriptor *from = (const skw_descriptor *)(batch + 64 + 48 * index);
    if (from->code != code || from->dim != dim) return false;
    skw_inputs[index] = (skw_column){
        from->flags & 1 ? batch + from->validity : 0,
        (const int32_t *)(batch + from->offsets),
        (const int32_t *)(batch + from->inner),
        batch + from->values,
    };
    return true;
}

/* Fails a row. */
static bool skw_fail(uint32_t row, uint32_t rows, const char *message) {
    skw_output *errors = &skw_outputs[SKW_OUTPUTS];
    if (!errors->code) {
        if (!skw_begin(errors, SKW_UTF8, 0, rows)) return false;
        __builtin_memset(errors->values, 0, (size_t)rows * 8);
        errors->nulls = rows;
    }
    uint32_t len = 0;
    while (message[len]) len++;
    skewless_bytes text = {(const uint8_t *)message, len};
    skw_put(errors, SKW_UTF8, 0, row, &text);
    errors->nulls--;
    return true;
}

/* Reads a row; false: a null makes it null. */
SKW_INLINE bool skw_read(uint32_t row, skewless_in *in) {
#define SKW_NULL(type, name, unit, doc) if (skw_is_null(&skw_inputs[SKW_INPUT_##name], row)) return false;
#define SKW_IGNORE(type, name, unit, doc)
    SKEWLESS_INPUTS(SKW_NULL, SKW_IGNORE)
#define SKW_READ(type, name, unit, doc) skw_get(&skw_inputs[SKW_INPUT_##name], SKW_CODE_##type, row, &in->name);
#define SKW_READ_OR_NULL(type, name, unit, doc) \
    in->name##_is_null = skw_is_null(&skw_inputs[SKW_INPUT_##name], row); \
    skw_get(&skw_inputs[SKW_INPUT_##name], SKW_CODE_##type, row, &in->name);
    SKEWLESS_INPUTS(SKW_READ, SKW_READ_OR_NULL)
    (void)in;
    return true;
}

SKW_INLINE void skw_write(uint32_t row, const skewless_out *out) {
#define SKW_WRITE(type, name, unit, doc) skw_put(&skw_outputs[SKW_OUTPUT_##name], SKW_CODE_##type, row, out ? &out->name : 0);
#define SKW_WRITE_OR_NULL(type, name, unit, doc) \
    skw_put(&skw_outputs[SKW_OUTPUT_##name], SKW_CODE_##type, row, out && !out->name##_is_null ? &out->name : 0);
    SKEWLESS_OUTPUTS(SKW_WRITE, SKW_WRITE_OR_NULL)
}

__attribute__((export_name("skewless_transform"))) int64_t skewless_transform(uint32_t address, uint32_t len) {
    const uint8_t *batch = (const uint8_t *)address;
    const skw_header *header = (const skw_header *)batch;
    if (!address || len < 64 || header->magic != SKW_MAGIC || header->version != 1 || header->len != len) return SKW_BAD_BATCH;
    if (header->columns != SKW_INPUTS || len < 64 + 48 * SKW_INPUTS) return SKW_WRONG_COLUMNS;
    uint32_t rows = header->rows;
#define SKW_OPEN(type, name, unit, doc) if (!skw_open(batch, SKW_INPUT_##name, SKW_CODE_##type)) return SKW_WRONG_COLUMNS;
    SKEWLESS_INPUTS(SKW_OPEN, SKW_OPEN)
#define SKW_BEGIN(type, name, unit, doc) if (!skw_begin(&skw_outputs[SKW_OUTPUT_##name], SKW_CODE_##type, rows)) return SKW_OUT_OF_MEMORY;
    SKEWLESS_OUTPUTS(SKW_BEGIN, SKW_BEGIN)
    skw_outputs[SKW_OUTPUTS] = (skw_output){0};

    skewless_in in;
    skewless_out out;
    for (uint32_t row = 0; row < rows; row++) {
        const char *message = 0;
        bool called = skw_read(row, &in);
        if (called) {
            __builtin_memset(&out, 0, sizeof out);
            message = skewless_row(&in, &out);
        }
        if (message && !skw_fail(row, rows, message)) return SKW_OUT_OF_MEMORY;
        skw_write(row, called && !message ? &out : 0);
    }

    uint32_t count = SKW_OUTPUTS + (skw_outputs[SKW_OUTPUTS].code ? 1 : 0);
    skw_cursor measured = {0};
    skw_walk(&measured, skw_outputs, count, rows);
    uint8_t *answer = measured.at > SKW_BATCH_BYTES_MAX ? 0 : skw_take((uint32_t)measured.at, SKW_ALIGN);
    if (!answer) return SKW_OUT_OF_MEMORY;
    skw_cursor written = {0, answer};
    skw_walk(&written, skw_outputs, count, rows);
    *(skw_header *)answer = (skw_header){
        .magic = SKW_MAGIC, .version = 1, .rows = rows, .columns = count, .len = (uint32_t)measured.at,
    };
    return ((int64_t)(uint32_t)answer << 32) | (int64_t)measured.at;
}

#endif
