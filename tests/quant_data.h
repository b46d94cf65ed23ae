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

/* Field `column` of every line after the first `skip`, as double: empty or text is NaN.
 * Returns the number of lines read, at most capacity. Fields have no commas inside. */
static inline uint32_t data_column(const char *text, uint32_t skip, uint32_t column,
                                   double *out, uint32_t capacity)
{
    uint32_t n = 0;

    for (uint32_t line = 0; *text != '\0' && n < capacity; line++) {
        const char *end = strchr(text, '\n');
        const char *at = text;

        if (end == NULL)
            end = text + strlen(text);
        if (line >= skip && end > text) {
            char *stop;

            for (uint32_t c = 0; c < column; c++) {
                const char *comma = memchr(at, ',', (size_t)(end - at));

                CHECK(comma != NULL);
                at = comma + 1;
            }
            out[n] = strtod(at, &stop);
            if (stop == at || *at == '\n' || *at == '\r')
                out[n] = NAN;
            n++;
        }
        text = *end == '\0' ? end : end + 1;
    }
    return n;
}

#endif
