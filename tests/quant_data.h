/* quant_data.h -- read the reference files: CSV, plain or .gz, into columns of doubles. */
#ifndef TRIBUS_TESTS_QUANT_DATA_H
#define TRIBUS_TESTS_QUANT_DATA_H

#include "check.h"

/* The whole file, unpacked, ending in NUL; free() it. Skips the test where it is absent. */
static inline char *data_text(const char *relative)
{
    const char *path = check_data(relative);
    char command[4200], *text = NULL;
    size_t used = 0, room = 0;
    FILE *pipe;

    if (path == NULL)
        SKIP(relative);
    (void)snprintf(command, sizeof(command), "gzip -cdf '%s'", path);
    pipe = popen(command, "r");
    CHECK(pipe != NULL);
    for (;;) {
        size_t got;

        if (room - used < 65536) {
            room = room * 2 + (1u << 20);
            text = realloc(text, room);
            CHECK(text != NULL);
        }
        got = fread(text + used, 1, room - used - 1, pipe);
        used += got;
        if (got == 0)
            break;
    }
    CHECK(pclose(pipe) == 0);
    text[used] = '\0';
    return text;
}

/* Sanitizers make numeric loops 10 to 30 times slower and have nothing to learn from a long
 * one: sizes that only sharpen a statistic shrink there. The release run keeps them. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DATA_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DATA_SANITIZED 1
#endif
#ifndef DATA_SANITIZED
#define DATA_SANITIZED 0
#endif

/* The number at [at, end): NaN if there is none. From a copy, since the C library, and the
 * sanitizers' strict string checks, may look for the NUL at the end of a whole file. */
static inline double data_number(const char *at, const char *end)
{
    char copy[64], *stop;
    const size_t n = (size_t)(end - at) < 63 ? (size_t)(end - at) : 63;
    double x;

    memcpy(copy, at, n);
    copy[n] = '\0';
    x = strtod(copy, &stop);
    return stop == copy ? NAN : x;
}

/* Field `column` of every line after the first `skip`, as double: empty or text is NaN.
 * Returns the number of lines read, at most capacity. Fields have no commas inside. */
static inline uint32_t data_column(const char *text, uint32_t skip, uint32_t column,
                                   double *out, uint32_t capacity)
{
    const char *const last = text + strlen(text);
    uint32_t n = 0;

    for (uint32_t line = 0; text < last && n < capacity; line++) {
        const char *end = memchr(text, '\n', (size_t)(last - text));
        const char *at = text, *comma;

        end = end == NULL ? last : end;
        if (line >= skip && end > text) {
            for (uint32_t c = 0; c < column; c++) {
                comma = memchr(at, ',', (size_t)(end - at));
                CHECK(comma != NULL);
                at = comma + 1;
            }
            comma = memchr(at, ',', (size_t)(end - at));
            out[n++] = data_number(at, comma == NULL ? end : comma);
        }
        text = end == last ? last : end + 1;
    }
    return n;
}

#endif
