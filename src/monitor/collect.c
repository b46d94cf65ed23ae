/* collect.c -- see collect.h. */
#include "monitor/collect.h"
#include "base/error.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>

#define KINDS        8u
#define BLOCKS_MOST  1024u
#define OBJECTS_MOST 512u

static const tribus_metric participant_up = {
    "tribus_participant_up", "1 while the participant lives.", TRIBUS_METRIC_GAUGE};
static const tribus_metric participant_resident = {
    "tribus_participant_resident_bytes", "Resident memory of the participant's process.",
    TRIBUS_METRIC_GAUGE};
static const tribus_metric objects = {"tribus_objects", "Named shared memory objects.",
                                      TRIBUS_METRIC_GAUGE};
static const tribus_metric object_bytes = {
    "tribus_object_bytes", "Bytes of named shared memory objects.", TRIBUS_METRIC_GAUGE};
static const tribus_metric zero_copy = {
    "tribus_link_zero_copy_ratio",
    "Bytes handed over by reference, of all bytes handed over.", TRIBUS_METRIC_GAUGE};
static const tribus_metric latency = {
    "tribus_link_latency_seconds", "Time from commit to receive.", TRIBUS_METRIC_HISTOGRAM};

/* In the order of tribus_counter. */
static const tribus_metric counts[TRIBUS_COUNTS] = {
    {"tribus_link_messages_total", "Messages committed or released.", 0},
    {"tribus_link_bytes_by_reference_total", "Bytes handed over without a copy.", 0},
    {"tribus_link_bytes_copied_total", "Bytes carried inside cells.", 0},
    {"tribus_link_waits_total", "Waits that did not find what they wait for.", 0},
    {"tribus_link_wakes_total", "Of those, how many ended with it.", 0},
    {"tribus_link_laps_total", "Times a reader was lapped.", 0},
    {"tribus_link_lost_total", "Messages lost by that.", 0},
    {"tribus_link_redelivered_total", "Messages offered again after a crash.", 0},
    {"tribus_link_full_total", "Claims or loans refused for want of room.", 0},
    {"tribus_link_overwritten_total", "Messages overwritten before they were read.", 0},
    {"tribus_link_corrupt_total", "Nonsense found in shared memory.", 0},
    {"tribus_link_reclaimed_total", "Slots taken back from the dead.", 0},
};

static const char *kind_name(uint32_t kind)
{
    static const char *const names[KINDS] = {"other",    "topic",    "ring",     "region",
                                             "timeline", "counters", "pipeline", "device"};

    return kind < KINDS ? names[kind] : names[0];
}

static void collect_participants(tribus_session *session, tribus_metrics *m)
{
    tribus_participant p;
    uint32_t cursor = 0;

    while (tribus_session_next_participant(session, &cursor, &p) == TRIBUS_OK) {
        const tribus_metric_label labels[] = {
            {"participant", p.name}, {"role", p.role}, {NULL, NULL}};

        tribus_metrics_add_count(m, &participant_up, labels, p.alive);
        if (p.alive != 0)
            tribus_metrics_add_count(m, &participant_resident, labels,
                                     tribus_os_resident_bytes((pid_t)p.pid));
    }
}

static void collect_block(tribus_metrics *m, const tribus_object *o,
                          const tribus_counters *c)
{
    char link[56];
    const tribus_metric_label labels[] = {
        {"link", link}, {"object", o->name}, {NULL, NULL}};
    const uint64_t by_ref = tribus_counter_get(c, TRIBUS_COUNT_BYTES_BY_REF);
    const uint64_t copied = tribus_counter_get(c, TRIBUS_COUNT_BYTES_COPIED);

    tribus_counter_label(c, link);
    for (uint32_t i = 0; i < TRIBUS_COUNTS; i++)
        tribus_metrics_add_count(m, &counts[i], labels,
                                 tribus_counter_get(c, (tribus_counter)i));
    if (by_ref + copied > 0)
        tribus_metrics_add(m, &zero_copy, labels,
                           (double)by_ref / ((double)by_ref + (double)copied));
    tribus_metrics_add_times(m, &latency, labels, tribus_counter_latency_of(c));
}

/* Mapped for this one look: an object of counters comes and goes with its owner, and a
 * mapping kept would keep its memory. */
static void collect_counters(tribus_session *session, tribus_metrics *m,
                             const tribus_object *row)
{
    tribus_object o;
    void *mem;

    if (tribus_session_open_object(session, row->name, 0, &o, &mem) != TRIBUS_OK) {
        tribus_error_clear(); /* gone between the row and now */
        return;
    }
    for (size_t i = 0;
         i < BLOCKS_MOST && (i + 1u) * TRIBUS_COUNTERS_BYTES <= (size_t)o.bytes; i++) {
        const tribus_counters *c;

        if (tribus_counter_open((const char *)mem + i * TRIBUS_COUNTERS_BYTES,
                                TRIBUS_COUNTERS_BYTES, &c) == TRIBUS_OK)
            collect_block(m, &o, c);
        else
            tribus_error_clear();
    }
    tribus_session_drop(session, &o, 0);
}

void tribus_collect_fabric(tribus_session *session, tribus_metrics *m)
{
    uint64_t count[KINDS] = {0}, bytes[KINDS] = {0};
    uint32_t cursor = 0, looked = 0;
    tribus_object o;

    collect_participants(session, m);
    while (tribus_session_next_object(session, &cursor, &o) == TRIBUS_OK) {
        const uint32_t kind = o.kind < KINDS ? o.kind : 0;

        count[kind]++;
        bytes[kind] += o.bytes;
        if (o.kind == TRIBUS_OBJECT_COUNTERS && o.bytes >= TRIBUS_COUNTERS_BYTES &&
            looked++ < OBJECTS_MOST)
            collect_counters(session, m, &o);
    }
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        const tribus_metric_label labels[] = {{"kind", kind_name(kind)}, {NULL, NULL}};

        tribus_metrics_add_count(m, &objects, labels, count[kind]);
        tribus_metrics_add_count(m, &object_bytes, labels, bytes[kind]);
    }
}
