/* metrics.c -- see metrics.h. */
#include "monitor/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES 64u
#define FIRST_ROOM  256u

/* Bounds of the buckets of times: 1, 2, 5 of each decade from 100 ns to 1 s. A constant
 * table, so that series of all links can be added up. */
static const uint64_t bounds_ns[] = {
    100,      200,      500,       1000,      2000,      5000,      10000,   20000,
    50000,    100000,   200000,    500000,    1000000,   2000000,   5000000, 10000000,
    20000000, 50000000, 100000000, 200000000, 500000000, 1000000000};

typedef struct row {
    const tribus_metric *metric;
    const char *suffix; /* "_bucket", "_sum", "_count" or "" */
    uint32_t order;     /* as added: samples of a histogram stay in their order */
    uint32_t whole;     /* count is the value, else value */
    double value;
    uint64_t count;
    struct {
        const char *key;
        char value[VALUE_BYTES];
    } labels[TRIBUS_METRICS_LABELS];
} row;

struct tribus_metrics {
    row *rows;
    uint32_t count;
    uint32_t room;
    uint64_t dropped;
};

/* Text that grows. */
typedef struct text {
    char *bytes;
    size_t used;
    size_t room;
    int failed;
} text;

tribus_metrics *tribus_metrics_open(void)
{
    return calloc(1, sizeof(tribus_metrics));
}

void tribus_metrics_close(tribus_metrics *m)
{
    if (m == NULL)
        return;
    free(m->rows);
    free(m);
}

/* Label values may come from shared memory: nothing in them may break a line or a quote. */
static void copy_value(char *to, const char *from)
{
    size_t i = 0;

    for (; i < VALUE_BYTES - 1 && from[i] != '\0'; i++) {
        const char c = from[i];

        to[i] = c < ' ' || c > '~' || c == '"' || c == '\\' ? '?' : c;
    }
    to[i] = '\0';
}

static row *add(tribus_metrics *m, const tribus_metric *metric, const char *suffix,
                const tribus_metric_label *labels)
{
    row *r;

    if (m->count == m->room) {
        const uint32_t room = m->room == 0 ? FIRST_ROOM : m->room * 2u;
        row *more = room > TRIBUS_METRICS_MOST
                        ? NULL
                        : realloc(m->rows, (size_t)room * sizeof(*more));

        if (more == NULL) {
            m->dropped++;
            return NULL;
        }
        m->rows = more;
        m->room = room;
    }
    r = &m->rows[m->count];
    memset(r, 0, sizeof(*r));
    r->metric = metric;
    r->suffix = suffix;
    r->order = m->count++;
    for (uint32_t i = 0; labels != NULL && i < TRIBUS_METRICS_LABELS; i++) {
        if (labels[i].key == NULL)
            break;
        r->labels[i].key = labels[i].key;
        copy_value(r->labels[i].value, labels[i].value);
    }
    return r;
}

void tribus_metrics_add(tribus_metrics *m, const tribus_metric *metric,
                        const tribus_metric_label *labels, double value)
{
    row *r = add(m, metric, "", labels);

    if (r != NULL)
        r->value = value;
}

static void add_whole(tribus_metrics *m, const tribus_metric *metric, const char *suffix,
                      const tribus_metric_label *labels, uint64_t count)
{
    row *r = add(m, metric, suffix, labels);

    if (r == NULL)
        return;
    r->whole = 1;
    r->count = count;
}

void tribus_metrics_add_count(tribus_metrics *m, const tribus_metric *metric,
                              const tribus_metric_label *labels, uint64_t value)
{
    add_whole(m, metric, "", labels, value);
}

void tribus_metrics_add_times(tribus_metrics *m, const tribus_metric *metric,
                              const tribus_metric_label *labels,
                              const tribus_histogram *times)
{
    tribus_metric_label with[TRIBUS_METRICS_LABELS] = {{NULL, NULL}};
    tribus_histogram_values values;
    char bound[32];
    uint32_t n = 0;
    uint64_t below = 0;
    row *sum;

    while (labels != NULL && n < TRIBUS_METRICS_LABELS - 1 && labels[n].key != NULL) {
        with[n] = labels[n];
        n++;
    }
    for (size_t i = 0; i < sizeof(bounds_ns) / sizeof(bounds_ns[0]); i++) {
        const uint64_t now = tribus_histogram_count_below(times, bounds_ns[i]);

        below = now > below ? now : below; /* it is being written: keep it cumulative */
        (void)snprintf(bound, sizeof(bound), "%g", (double)bounds_ns[i] * 1e-9);
        with[n] = (tribus_metric_label){"le", bound};
        add_whole(m, metric, "_bucket", with, below);
    }
    tribus_histogram_read(times, &values);
    below = values.count > below ? values.count : below;
    with[n] = (tribus_metric_label){"le", "+Inf"};
    add_whole(m, metric, "_bucket", with, below);
    with[n] = (tribus_metric_label){NULL, NULL};
    sum = add(m, metric, "_sum", with);
    if (sum != NULL)
        sum->value = (double)values.sum_ns * 1e-9;
    add_whole(m, metric, "_count", with, below);
}

/* ---- rendering ---- */

static void print(text *t, const char *fmt, ...) TRIBUS_PRINTF(2, 3);

static void print(text *t, const char *fmt, ...)
{
    for (;;) {
        const size_t left = t->room - t->used;
        va_list args;
        char *more;
        int n;

        va_start(args, fmt);
        n = vsnprintf(left > 0 ? t->bytes + t->used : NULL, left, fmt, args);
        va_end(args);
        if (n < 0 || t->failed) {
            t->failed = 1;
            return;
        }
        if ((size_t)n < left) {
            t->used += (size_t)n;
            return;
        }
        more = realloc(t->bytes, t->room * 2u + (size_t)n + 4096u);
        if (more == NULL) {
            t->failed = 1;
            return;
        }
        t->bytes = more;
        t->room = t->room * 2u + (size_t)n + 4096u;
    }
}

static int by_name(const void *a, const void *b)
{
    const row *x = a, *y = b;
    const int names = strcmp(x->metric->name, y->metric->name);

    if (names != 0)
        return names;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void sort(tribus_metrics *m)
{
    static const tribus_metric dropped = {"tribus_metrics_dropped_total",
                                          "Values left out of this page for want of room.",
                                          TRIBUS_METRIC_COUNTER};

    if (m->dropped > 0 && m->count > 0) { /* in place of the last one: there is no room */
        m->count--;
        m->rows[m->count].metric = &dropped;
        m->rows[m->count].suffix = "";
        m->rows[m->count].whole = 1;
        m->rows[m->count].count = m->dropped + 1u;
        m->rows[m->count].labels[0].key = NULL;
        m->count++;
        m->dropped = 0;
    }
    if (m->count > 0)
        qsort(m->rows, m->count, sizeof(*m->rows), by_name);
}

static const char *type_name(tribus_metric_type type)
{
    return type == TRIBUS_METRIC_COUNTER ? "counter"
           : type == TRIBUS_METRIC_GAUGE ? "gauge"
                                         : "histogram";
}

static char *finish(text *t, size_t *bytes)
{
    if (t->failed) {
        free(t->bytes);
        return NULL;
    }
    *bytes = t->used;
    return t->bytes;
}

char *tribus_metrics_prometheus(tribus_metrics *m, size_t *bytes)
{
    text t = {NULL, 0, 0, 0};

    sort(m);
    print(&t, "%s", "");
    for (uint32_t i = 0; i < m->count; i++) {
        const row *r = &m->rows[i];

        if (i == 0 || strcmp(r->metric->name, m->rows[i - 1].metric->name) != 0)
            print(&t, "# HELP %s %s\n# TYPE %s %s\n", r->metric->name, r->metric->help,
                  r->metric->name, type_name(r->metric->type));
        print(&t, "%s%s", r->metric->name, r->suffix);
        for (uint32_t k = 0; k < TRIBUS_METRICS_LABELS && r->labels[k].key != NULL; k++)
            print(&t, "%s%s=\"%s\"", k == 0 ? "{" : ",", r->labels[k].key,
                  r->labels[k].value);
        print(&t, "%s ", r->labels[0].key != NULL ? "}" : "");
        if (r->whole != 0)
            print(&t, "%" PRIu64 "\n", r->count);
        else if (isfinite(r->value))
            print(&t, "%.15g\n", r->value);
        else
            print(&t, "NaN\n");
    }
    return finish(&t, bytes);
}

char *tribus_metrics_json(tribus_metrics *m, size_t *bytes)
{
    text t = {NULL, 0, 0, 0};

    sort(m);
    print(&t, "[");
    for (uint32_t i = 0; i < m->count; i++) {
        const row *r = &m->rows[i];

        print(&t, "%s\n{\"name\":\"%s%s\",\"type\":\"%s\",\"labels\":{", i == 0 ? "" : ",",
              r->metric->name, r->suffix, type_name(r->metric->type));
        for (uint32_t k = 0; k < TRIBUS_METRICS_LABELS && r->labels[k].key != NULL; k++)
            print(&t, "%s\"%s\":\"%s\"", k == 0 ? "" : ",", r->labels[k].key,
                  r->labels[k].value);
        if (r->whole != 0)
            print(&t, "},\"value\":%" PRIu64 "}", r->count);
        else if (isfinite(r->value))
            print(&t, "},\"value\":%.15g}", r->value);
        else
            print(&t, "},\"value\":null}");
    }
    print(&t, "\n]\n");
    return finish(&t, bytes);
}
