/* Gives back what it was given, every type of a feature among it: what tests/programs/echo is in Rust. For tests, not a plugin to
 * copy. */

#define SKEWLESS_NAME "echo_c"
#define SKEWLESS_VERSION "1.0.0"
#define SKEWLESS_DOC "Gives back what it is given."
#define SKEWLESS_INPUTS(IN, IN_OR_NULL) \
    IN_OR_NULL(bool, flag, "", "As it is.") \
    IN_OR_NULL(int32, small, "", "As it is.") \
    IN_OR_NULL(int64, whole, "", "As it is.") \
    IN_OR_NULL(float32, single, "", "As it is.") \
    IN_OR_NULL(float64, wide, "", "As it is.") \
    IN_OR_NULL(utf8, text, "", "As it is.") \
    IN_OR_NULL(binary, bytes, "", "As it is.") \
    IN_OR_NULL(timestamp, time, "", "As it is.") \
    IN_OR_NULL(embedding(3), embedding, "", "As it is.") \
    IN_OR_NULL(list(int64), wholes, "", "As it is.") \
    IN_OR_NULL(list(float64), numbers, "", "As it is.") \
    IN_OR_NULL(list(utf8), texts, "", "As it is.") \
    IN(int64, plain_whole, "m", "One that is there.") \
    IN(utf8, plain_text, "", "One that is there.")
#define SKEWLESS_OUTPUTS(OUT, OUT_OR_NULL) \
    OUT_OR_NULL(bool, flag, "", "As it came.") \
    OUT_OR_NULL(int32, small, "", "As it came.") \
    OUT_OR_NULL(int64, whole, "", "As it came.") \
    OUT_OR_NULL(float32, single, "", "As it came.") \
    OUT_OR_NULL(float64, wide, "", "As it came.") \
    OUT_OR_NULL(utf8, text, "", "As it came.") \
    OUT_OR_NULL(binary, bytes, "", "As it came.") \
    OUT_OR_NULL(timestamp, time, "", "As it came.") \
    OUT_OR_NULL(embedding(3), embedding, "", "As it came.") \
    OUT_OR_NULL(list(int64), wholes, "", "As it came.") \
    OUT_OR_NULL(list(float64), numbers, "", "As it came.") \
    OUT_OR_NULL(list(utf8), texts, "", "As it came.") \
    OUT(int64, plain_whole, "m", "As it came.") \
    OUT(utf8, plain_text, "", "As it came.")
#include "skewless.h"

static const char *skewless_row(const skewless_in *in, skewless_out *out) {
    out->flag_is_null = in->flag_is_null;
    out->flag = in->flag;
    out->small_is_null = in->small_is_null;
    out->small = in->small;
    out->whole_is_null = in->whole_is_null;
    out->whole = in->whole;
    out->single_is_null = in->single_is_null;
    out->single = in->single;
    out->wide_is_null = in->wide_is_null;
    out->wide = in->wide;
    out->text_is_null = in->text_is_null;
    out->text = in->text;
    out->bytes_is_null = in->bytes_is_null;
    out->bytes = in->bytes;
    out->time_is_null = in->time_is_null;
    out->time = in->time;
    out->embedding_is_null = in->embedding_is_null;
    if (!in->embedding_is_null) for (int i = 0; i < 3; i++) out->embedding.at[i] = in->embedding[i];
    out->wholes_is_null = in->wholes_is_null;
    out->wholes = in->wholes;
    out->numbers_is_null = in->numbers_is_null;
    out->numbers = in->numbers;
    out->texts_is_null = in->texts_is_null;
    out->texts = in->texts;
    out->plain_whole = in->plain_whole;
    out->plain_text = in->plain_text;
    return 0;
}
