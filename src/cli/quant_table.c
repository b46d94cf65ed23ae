/* quant_table.c -- see quant_table.h. */
#include "cli/quant_table.h"

#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#define TEXT_MAX ((size_t)4 << 30)

/* gzread() also reads files that are not compressed. */
static char *read_all(const char *command, const char *path, size_t *bytes)
{
    gzFile in =
        strcmp(path, "-") == 0 ? gzdopen(dup(STDIN_FILENO), "rb") : gzopen(path, "rb");
    size_t used = 0, room = 0;
    char *text = NULL;

    if (in == NULL) {
        (void)tribus_cli_complain(command, "open %s: %s", path, strerror(errno));
        return NULL;
    }
    for (;;) {
        int got;

        if (room - used < 65536) {
            char *grown = room * 2 + (1u << 20) > TEXT_MAX
                              ? NULL
                              : realloc(text, room * 2 + (1u << 20));

            if (grown == NULL) {
                (void)tribus_cli_complain(command, "%s: too large to read", path);
                break;
            }
            text = grown;
            room = room * 2 + (1u << 20);
        }
        got = gzread(in, text + used,
                     (unsigned)(room - used < 1u << 30 ? room - used : 1u << 30));
        if (got < 0) {
            int code;

            (void)tribus_cli_complain(command, "read %s: %s", path, gzerror(in, &code));
            break;
        }
        if (got == 0) {
            (void)gzclose(in);
            *bytes = used;
            return text;
        }
        used += (size_t)got;
    }
    free(text);
    (void)gzclose(in);
    return NULL;
}

static uint32_t count_lines(const char *text, size_t bytes)
{
    uint32_t n = 1;

    for (const char *at = text;
         (at = memchr(at, '\n', (size_t)(text + bytes - at))) != NULL; at++)
        n++;
    return n;
}

/* Which columns are numbers, by the first row of values. */
static bool lay_out(const char *command, const char *path, quant_table *t,
                    const tribus_quant_text *names, const tribus_quant_text *first,
                    uint32_t count, bool *numeric)
{
    for (uint32_t i = 0; i < count; i++) {
        double x;

        numeric[i] =
            names[i].bytes > 0 && tribus_quant_csv_number(first[i], &x) == TRIBUS_OK;
        t->cols += numeric[i];
        t->label_cols += !numeric[i];
    }
    if (t->cols == 0) {
        (void)tribus_cli_complain(command, "%s: no column of numbers under the header",
                                  path);
        return false;
    }
    return true;
}

static bool put_row(const char *command, const char *path, quant_table *t,
                    const tribus_quant_csv *csv, const tribus_quant_text *fields,
                    const bool *numeric, uint32_t count)
{
    uint32_t number = 0, label = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!numeric[i]) {
            t->label[(size_t)t->rows * t->label_cols + label++] = fields[i];
            continue;
        }
        if (tribus_quant_csv_number(
                fields[i], &t->value[(size_t)t->rows * t->cols + number++]) != TRIBUS_OK) {
            (void)tribus_cli_complain(
                command, "%s:%u: '%.*s' under %.*s is not a number", path, csv->line,
                (int)(fields[i].bytes < 40 ? fields[i].bytes : 40), fields[i].at,
                (int)t->names[number - 1].bytes, t->names[number - 1].at);
            return false;
        }
    }
    t->rows++;
    return true;
}

bool quant_table_read(const char *command, const char *path, quant_table *t)
{
    tribus_quant_text *names = calloc(2 * QUANT_COLUMNS_MAX, sizeof(*names));
    tribus_quant_text *fields = names + QUANT_COLUMNS_MAX;
    bool *numeric = calloc(QUANT_COLUMNS_MAX, sizeof(*numeric)), good = false;
    tribus_quant_csv csv;
    tribus_quant_why why = {""};
    uint32_t count = 0, have = 0, lines;
    tribus_status st = TRIBUS_NO_MEMORY;
    size_t bytes = 0;

    memset(t, 0, sizeof(*t));
    t->text = names == NULL || numeric == NULL ? NULL : read_all(command, path, &bytes);
    if (t->text == NULL)
        goto done;
    lines = count_lines(t->text, bytes);
    tribus_quant_csv_init(&csv, t->text, bytes);
    st = tribus_quant_csv_next(&csv, names, QUANT_COLUMNS_MAX, &count, &why);
    if (st == TRIBUS_OK)
        st = tribus_quant_csv_next(&csv, fields, QUANT_COLUMNS_MAX, &have, &why);
    if (st != TRIBUS_OK || have != count) {
        (void)tribus_cli_complain(command, "%s: %s", path,
                                  st == TRIBUS_EMPTY ? "needs a header and a row of values"
                                  : st == TRIBUS_OK
                                      ? "the first row is not as long as the header"
                                      : why.text);
        goto done;
    }
    if (names[0].bytes > 0 && names[0].at[0] == '#') {
        names[0].at++;
        names[0].bytes--;
    }
    if (!lay_out(command, path, t, names, fields, count, numeric))
        goto done;
    t->value = malloc((size_t)lines * t->cols * sizeof(*t->value));
    t->label = malloc(((size_t)lines * t->label_cols + 1) * sizeof(*t->label));
    t->names = malloc(t->cols * sizeof(*t->names));
    t->label_names = malloc((t->label_cols + 1) * sizeof(*t->names));
    if (t->value == NULL || t->label == NULL || t->names == NULL ||
        t->label_names == NULL) {
        (void)tribus_cli_complain(command, "%s: not enough memory", path);
        goto done;
    }
    for (uint32_t i = 0, n = 0, l = 0; i < count; i++) {
        if (numeric[i])
            t->names[n++] = names[i];
        else
            t->label_names[l++] = names[i];
    }
    do {
        if (have != count) {
            (void)tribus_cli_complain(command, "%s:%u: %u fields, the header has %u", path,
                                      csv.line, have, count);
            goto done;
        }
        if (!put_row(command, path, t, &csv, fields, numeric, count))
            goto done;
        st = tribus_quant_csv_next(&csv, fields, QUANT_COLUMNS_MAX, &have, &why);
    } while (st == TRIBUS_OK);
    good = st == TRIBUS_EMPTY;
    if (!good)
        (void)tribus_cli_complain(command, "%s: %s", path, why.text);
done:
    free(names);
    free(numeric);
    if (!good)
        quant_table_free(t);
    return good;
}

void quant_table_free(quant_table *t)
{
    free(t->text);
    free(t->names);
    free(t->value);
    free(t->label);
    free(t->label_names);
    memset(t, 0, sizeof(*t));
}

int quant_table_column(const char *command, const quant_table *t, const char *name)
{
    char list[200] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < t->cols; i++)
        if (t->names[i].bytes == strlen(name) &&
            strncasecmp(t->names[i].at, name, t->names[i].bytes) == 0)
            return (int)i;
    for (uint32_t i = 0; i < t->cols && used < sizeof(list) - 40; i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, " %.*s",
                                 (int)(t->names[i].bytes < 30 ? t->names[i].bytes : 30),
                                 t->names[i].at);
    (void)tribus_cli_complain(command, "no column of numbers named %s; there are%s", name,
                              list);
    return -1;
}

void quant_progress(const char *what, uint32_t done, uint32_t count)
{
    const uint32_t width = 40,
                   full = count == 0 ? width : (uint32_t)((uint64_t)done * width / count);

    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r%s [%.*s%.*s] %u of %u", what, (int)full,
            "########################################", (int)(width - full),
            "                                        ", done, count);
    if (done >= count)
        fprintf(stderr, "\n");
    (void)fflush(stderr);
}
