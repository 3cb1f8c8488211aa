// Counts what memcpy and memmove move, when preloaded into the bench; see copies.rs. Copies that the compiler
// wrote out in place, which are small and of fixed size, don't come here.
#include <stddef.h>

// Of all threads; read by name.
unsigned long skewless_copy_calls = 0;
unsigned long skewless_copy_bytes = 0;

static void count(size_t bytes) {
    __atomic_fetch_add(&skewless_copy_calls, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&skewless_copy_bytes, bytes, __ATOMIC_RELAXED);
}

// A plain loop would be compiled into a call of the function it is in.
static void forward(unsigned char *to, const unsigned char *from, size_t bytes) {
#if defined(__x86_64__)
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
#else
    volatile unsigned char *out = to;
    for (size_t at = 0; at < bytes; at++) out[at] = from[at];
#endif
}

static void backward(unsigned char *to, const unsigned char *from, size_t bytes) {
    volatile unsigned char *out = to;
    while (bytes-- > 0) out[bytes] = from[bytes];
}

void *memcpy(void *to, const void *from, size_t bytes) {
    count(bytes);
    forward(to, from, bytes);
    return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
    count(bytes);
    if ((unsigned char *)to <= (const unsigned char *)from ||
        (unsigned char *)to >= (const unsigned char *)from + bytes) {
        forward(to, from, bytes);
    } else {
        backward(to, from, bytes);
    }
    return to;
}
