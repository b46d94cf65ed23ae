/* metrics.h -- a set of measured values, and its two faces: Prometheus text and JSON.
 *
 * Use it to   gather values from several places, in any order, and render them once.
 * Memory      Grows with the number of values, up to TRIBUS_METRICS_MOST; what comes after is
 *             dropped and counted in tribus_metrics_dropped_total.
 * Threads     One at a time.
 */
#ifndef TRIBUS_MONITOR_METRICS_H
#define TRIBUS_MONITOR_METRICS_H

#include "tribus/fabric.h"

#include <stddef.h>
#include <stdint.h>

#define TRIBUS_METRICS_MOST   65536u
#define TRIBUS_METRICS_LABELS 3u

typedef struct tribus_metrics tribus_metrics;

typedef enum tribus_metric_type {
    TRIBUS_METRIC_COUNTER = 0, /* name ends in _total */
    TRIBUS_METRIC_GAUGE = 1,
    TRIBUS_METRIC_HISTOGRAM = 2
} tribus_metric_type;

/* name, help: constants that live as long as the metrics. */
typedef struct tribus_metric {
    const char *name; /* [a-z0-9_], with the unit: tribus_link_bytes_total */
    const char *help;
    tribus_metric_type type;
} tribus_metric;

/* key: a constant; value: copied, made printable. */
typedef struct tribus_metric_label {
    const char *key;
    const char *value;
} tribus_metric_label;

/* NULL: no memory. */
tribus_metrics *tribus_metrics_open(void);
void tribus_metrics_close(tribus_metrics *m);

/* labels: up to TRIBUS_METRICS_LABELS; the first without a key ends them; NULL: none. */
void tribus_metrics_add(tribus_metrics *m, const tribus_metric *metric,
                        const tribus_metric_label *labels, double value);
void tribus_metrics_add_count(tribus_metrics *m, const tribus_metric *metric,
                              const tribus_metric_label *labels, uint64_t value);

/* A histogram of nanoseconds as one of seconds: cumulative buckets, sum and count. At most
 * two labels. */
void tribus_metrics_add_times(tribus_metrics *m, const tribus_metric *metric,
                              const tribus_metric_label *labels,
                              const tribus_histogram *times);

/* Rendered text, owned by the caller, free(); *bytes without the final zero. Values of one
 * name stand together. NULL: no memory. */
char *tribus_metrics_prometheus(tribus_metrics *m, size_t *bytes);
/* [{"name":"...","type":"counter","labels":{...},"value":1}, ...] */
char *tribus_metrics_json(tribus_metrics *m, size_t *bytes);

#endif
