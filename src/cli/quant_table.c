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

/* What is being read: the file, its header, the row at hand. */
typedef struct reading {
    const char *command, *path;
    tribus_quant_csv csv;
    tribus_quant_text *names, *fields;
    bool *numeric;
    uint32_t count;
} reading;

/* Which columns are numbers, by the first row of values. */
static bool lay_out(const reading *r, quant_table *t)
{
    for (uint32_t i = 0; i < r->count; i++) {
        double x;

        r->numeric[i] =
            r->names[i].bytes > 0 && tribus_quant_csv_number(r->fields[i], &x) == TRIBUS_OK;
        t->cols += r->numeric[i];
        t->label_cols += !r->numeric[i];
    }
    if (t->cols == 0) {
        (void)tribus_cli_complain(r->command, "%s: no column of numbers under the header",
                                  r->path);
        return false;
    }
    return true;
}

static bool make_room(const reading *r, quant_table *t, uint32_t lines)
{
    t->value = malloc((size_t)lines * t->cols * sizeof(*t->value));
    t->label = malloc(((size_t)lines * t->label_cols + 1) * sizeof(*t->label));
    t->names = malloc(t->cols * sizeof(*t->names));
    t->label_names = malloc((t->label_cols + 1) * sizeof(*t->names));
    if (t->value == NULL || t->label == NULL || t->names == NULL ||
        t->label_names == NULL) {
        (void)tribus_cli_complain(r->command, "%s: not enough memory", r->path);
        return false;
    }
    for (uint32_t i = 0, n = 0, l = 0; i < r->count; i++) {
        if (r->numeric[i])
            t->names[n++] = r->names[i];
        else
            t->label_names[l++] = r->names[i];
    }
    return true;
}

static bool put_row(const reading *r, quant_table *t)
{
    uint32_t number = 0, label = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        const tribus_quant_text *f = &r->fields[i];

        if (!r->numeric[i]) {
            t->label[(size_t)t->rows * t->label_cols + label++] = *f;
            continue;
        }
        if (tribus_quant_csv_number(*f, &t->value[(size_t)t->rows * t->cols + number++]) !=
            TRIBUS_OK) {
            (void)tribus_cli_complain(r->command,
                                      "%s:%u: '%.*s' under %.*s is not a number", r->path,
                                      r->csv.line, (int)(f->bytes < 40 ? f->bytes : 40),
                                      f->at, (int)r->names[i].bytes, r->names[i].at);
            return false;
        }
    }
    t->rows++;
    return true;
}

/* The header and the first row, which say what the columns are. */
static bool read_head(reading *r, quant_table *t, uint32_t lines)
{
    tribus_quant_why why = {""};
    uint32_t have = 0;
    tribus_status st =
        tribus_quant_csv_next(&r->csv, r->names, QUANT_COLUMNS_MAX, &r->count, &why);

    if (st == TRIBUS_OK)
        st = tribus_quant_csv_next(&r->csv, r->fields, QUANT_COLUMNS_MAX, &have, &why);
    if (st != TRIBUS_OK || have != r->count) {
        (void)tribus_cli_complain(r->command, "%s: %s", r->path,
                                  st == TRIBUS_EMPTY ? "needs a header and a row of values"
                                  : st == TRIBUS_OK ? "the first row is not as long as the "
                                                      "header"
                                                    : why.text);
        return false;
    }
    if (r->names[0].bytes > 0 && r->names[0].at[0] == '#') {
        r->names[0].at++;
        r->names[0].bytes--;
    }
    return lay_out(r, t) && make_room(r, t, lines) && put_row(r, t);
}

static bool read_rows(reading *r, quant_table *t)
{
    tribus_quant_why why = {""};
    uint32_t have;
    tribus_status st;

    while ((st = tribus_quant_csv_next(&r->csv, r->fields, QUANT_COLUMNS_MAX, &have,
                                       &why)) == TRIBUS_OK) {
        if (have != r->count) {
            (void)tribus_cli_complain(r->command, "%s:%u: %u fields, the header has %u",
                                      r->path, r->csv.line, have, r->count);
            return false;
        }
        if (!put_row(r, t))
            return false;
    }
    if (st != TRIBUS_EMPTY)
        (void)tribus_cli_complain(r->command, "%s: %s", r->path, why.text);
    return st == TRIBUS_EMPTY;
}

bool quant_table_read(const char *command, const char *path, quant_table *t)
{
    reading r = {.command = command, .path = path};
    size_t bytes = 0;
    bool good = false;

    memset(t, 0, sizeof(*t));
    r.names = calloc(2 * QUANT_COLUMNS_MAX, sizeof(*r.names));
    r.numeric = calloc(QUANT_COLUMNS_MAX, sizeof(*r.numeric));
    if (r.names == NULL || r.numeric == NULL)
        (void)tribus_cli_complain(command, "not enough memory");
    else
        t->text = read_all(command, path, &bytes);
    if (t->text != NULL) {
        r.fields = r.names + QUANT_COLUMNS_MAX;
        tribus_quant_csv_init(&r.csv, t->text, bytes);
        good = read_head(&r, t, count_lines(t->text, bytes)) && read_rows(&r, t);
    }
    free(r.names);
    free(r.numeric);
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

static int find_among(const tribus_quant_text *names, uint32_t count,
                      tribus_quant_text name)
{
    for (uint32_t i = 0; i < count; i++)
        if (names[i].bytes == name.bytes &&
            strncasecmp(names[i].at, name.at, name.bytes) == 0)
            return (int)i;
    return -1;
}

static int find_text(const quant_table *t, tribus_quant_text name)
{
    return find_among(t->names, t->cols, name);
}

int quant_table_find(const quant_table *t, const char *name)
{
    return find_text(t, (tribus_quant_text){name, (uint32_t)strlen(name)});
}

int quant_table_label(const quant_table *t, const char *name)
{
    return find_among(t->label_names, t->label_cols,
                      (tribus_quant_text){name, (uint32_t)strlen(name)});
}

int quant_table_column(const char *command, const quant_table *t, const char *name)
{
    char list[200] = "";
    size_t used = 0;

    if (quant_table_find(t, name) >= 0)
        return quant_table_find(t, name);
    for (uint32_t i = 0; i < t->cols && used < sizeof(list) - 40; i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, " %.*s",
                                 (int)(t->names[i].bytes < 30 ? t->names[i].bytes : 30),
                                 t->names[i].at);
    (void)tribus_cli_complain(command, "no column of numbers named %s; there are%s", name,
                              list);
    return -1;
}

bool quant_table_per_asset(const char *command, const char *path, const char *column,
                           const quant_table *assets, double fallback, double *out)
{
    quant_table t;
    bool good = quant_table_read(command, path, &t);
    int at;

    if (!good)
        return false;
    at = quant_table_column(command, &t, column);
    good = at >= 0;
    for (uint32_t i = 0; i < assets->cols; i++)
        out[i] = fallback;
    if (good && t.label_cols == 0) {
        (void)tribus_cli_complain(command, "%s: no column with names of assets", path);
        good = false;
    }
    for (uint32_t row = 0; good && row < t.rows; row++) {
        const tribus_quant_text name = t.label[(size_t)row * t.label_cols];
        const double x = t.value[(size_t)row * t.cols + (size_t)at];
        const int asset = find_text(assets, name);

        good = asset >= 0;
        if (!good)
            (void)tribus_cli_complain(command, "%s: %.*s is not among the assets", path,
                                      (int)name.bytes, name.at);
        else
            out[asset] = isnan(x) ? fallback : x;
    }
    quant_table_free(&t);
    return good;
}

bool quant_table_by_asset(const char *command, const char *path, const quant_table *t,
                          const quant_table *assets, const char *const *other, double *out)
{
    for (uint32_t c = 0; c < t->cols; c++) {
        const int asset = find_text(assets, t->names[c]);
        bool known = asset >= 0;

        for (const char *const *o = other; !known && *o != NULL; o++)
            known = quant_table_find(t, *o) == (int)c;
        if (!known) {
            (void)tribus_cli_complain(command, "%s: column %.*s is not among the assets",
                                      path, (int)t->names[c].bytes, t->names[c].at);
            return false;
        }
        for (uint32_t row = 0; asset >= 0 && row < t->rows; row++) {
            const double x = t->value[(size_t)row * t->cols + c];

            out[(size_t)row * assets->cols + (size_t)asset] = isnan(x) ? 0.0 : x;
        }
    }
    return true;
}

bool quant_table_to_returns(const char *command, const char *path, quant_table *t)
{
    tribus_quant_why why;

    if (tribus_quant_returns_simple((tribus_quant_matrix){t->value, t->rows, t->cols},
                                    t->value, &why) != TRIBUS_OK) {
        (void)tribus_cli_complain(command, "%s: %s", path, why.text);
        return false;
    }
    t->rows--;
    return true;
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
