/* shared_bytes.h -- input of the fabric's fuzzers: bytes that are written over a fresh
 * structure, then operations. The memory ends where AddressSanitizer's red zone begins. */
#ifndef TRIBUS_TESTS_SHARED_BYTES_H
#define TRIBUS_TESTS_SHARED_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct fuzz_input {
    const uint8_t *at;
    size_t left;
} fuzz_input;

static inline uint8_t next_byte(fuzz_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static inline uint64_t next_word(fuzz_input *in)
{
    uint64_t w = 0;

    for (int i = 0; i < 8; i++)
        w = w << 8 | next_byte(in);
    return w;
}

/* Overwrite up to 15 words: offset in words, then value or a small change of what is there. */
static inline void scribble(fuzz_input *in, unsigned char *mem, size_t bytes)
{
    const int times = next_byte(in) & 15;

    for (int i = 0; i < times; i++) {
        const size_t at = ((size_t)next_byte(in) << 8 | next_byte(in)) % (bytes / 8) * 8;
        const uint8_t how = next_byte(in);
        uint64_t word;

        memcpy(&word, mem + at, 8);
        if (how < 64)
            word = next_word(in);
        else if (how < 128)
            word += next_byte(in);
        else if (how < 192)
            word -= next_byte(in);
        else
            word ^= (uint64_t)1 << (how & 63);
        memcpy(mem + at, &word, 8);
    }
}

/* Memory at a multiple of 64 whose last byte is the last that may be touched. */
static inline unsigned char *shared_bytes(size_t bytes, void **to_free)
{
    unsigned char *mem = aligned_alloc(64, bytes);

    if (mem == NULL)
        abort();
    memset(mem, 0, bytes);
    *to_free = mem;
    return mem;
}

#endif
