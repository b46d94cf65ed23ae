/* scrape.c -- see scrape.h. The agent is asked through its socket like by anybody else: the
 * thread that makes a page never touches the agent's own tables. */
#include "agent/scrape.h"
#include "base/error.h"
#include "monitor/monitor.h"
#include "tribus/agent.h"
#include "tribus/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN_MOST 64u
#define HEALTH_BYTES  (512u + CHILDREN_MOST * 256u)

struct tribus_scrape {
    tribus_monitor *monitor;
    const tribus_bridge *bridge;
    char socket_path[108];
    /* Not on the stack: the HTTP server's threads have 100 KiB of it. Pages are made one at
     * a time. */
    tribus_agent_child rows[CHILDREN_MOST];
};

typedef struct agent_row {
    tribus_metric metric;
    size_t offset; /* of a uint64_t in tribus_agent_status */
} agent_row;

#define COUNTED(field, text)                                                               \
    {                                                                                      \
        {"tribus_agent_" #field "_total", text, TRIBUS_METRIC_COUNTER},                    \
            offsetof(tribus_agent_status, field)                                           \
    }
#define HELD(field, text)                                                                  \
    {                                                                                      \
        {"tribus_agent_" #field, text, TRIBUS_METRIC_GAUGE},                               \
            offsetof(tribus_agent_status, field)                                           \
    }

static const agent_row agent_rows[] = {
    HELD(memory_bytes, "Shared memory handed out."),
    HELD(device_bytes, "Memory of accelerators kept for who made it."),
    HELD(memory_limit_bytes, "Shared memory that may be handed out."),
    HELD(resident_bytes, "Resident memory of the agent."),
    COUNTED(requests, "Requests answered."),
    COUNTED(refused, "Requests and connections refused."),
    COUNTED(cut_off, "Connections ended for breaking the protocol."),
    COUNTED(throttled, "Times a client was made to wait."),
    COUNTED(deaths, "Participants that went without saying so."),
    COUNTED(restarts, "Children started again."),
};

typedef struct bridge_row {
    tribus_metric metric;
    size_t offset; /* of a uint64_t in tribus_bridge_stats */
} bridge_row;

#define BRIDGED(field, text)                                                               \
    {                                                                                      \
        {"tribus_bridge_" #field "_total", text, TRIBUS_METRIC_COUNTER},                   \
            offsetof(tribus_bridge_stats, field)                                           \
    }

static const bridge_row bridge_rows[] = {
    BRIDGED(sent, "Messages published on the wire."),
    BRIDGED(sent_bytes, "Bytes of JSON published on the wire."),
    BRIDGED(lost, "Messages overwritten before they could be sent, or lost on the way."),
    BRIDGED(received, "Messages taken from the wire."),
    BRIDGED(echoes, "Own messages that came back, dropped."),
    BRIDGED(malformed, "Texts that are no envelope, dropped."),
    BRIDGED(unknown, "Messages of an unknown type, dropped."),
    BRIDGED(cut, "Messages whose unknown members were too long to keep."),
    BRIDGED(outages, "Connections lost or refused."),
    BRIDGED(stored, "Durable messages sent to their streams."),
    BRIDGED(store_lost, "Durable messages that were not stored."),
    BRIDGED(forgotten, "Processes whose echoes are no longer told from others'."),
    BRIDGED(copied_bytes, "Bytes of tensors copied for readers of other hosts."),
};

static uint64_t field_at(const void *record, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const char *)record + offset, sizeof(value));
    return value;
}

static void add_children(tribus_scrape *s, tribus_metrics *m)
{
    static const tribus_metric up = {"tribus_child_up",
                                     "1 while the child runs, or its server answers.",
                                     TRIBUS_METRIC_GAUGE};
    static const tribus_metric restarts = {"tribus_child_restarts_total",
                                           "Times the child was started again.",
                                           TRIBUS_METRIC_COUNTER};
    const tribus_agent_child *rows = s->rows;
    uint32_t count = 0;

    if (tribus_agent_get_children(s->socket_path, 0, s->rows, CHILDREN_MOST, &count) !=
        TRIBUS_OK) {
        tribus_error_clear();
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const tribus_metric_label labels[] = {
            {"child", rows[i].name}, {"kind", rows[i].kind}, {NULL, NULL}};

        tribus_metrics_add_count(m, &up, labels,
                                 rows[i].state == TRIBUS_CHILD_UP ||
                                     rows[i].state == TRIBUS_CHILD_EXTERNAL);
        tribus_metrics_add_count(m, &restarts, labels, rows[i].restarts);
    }
}

static void add_bridge(const tribus_scrape *s, tribus_metrics *m)
{
    static const tribus_metric connected = {"tribus_bridge_connected",
                                            "1 while the bus's server is joined.",
                                            TRIBUS_METRIC_GAUGE};

    for (uint32_t bus = 0; s->bridge != NULL && bus < TRIBUS_BUSES; bus++) {
        const tribus_metric_label labels[] = {{"bus", tribus_wire_bus_name(bus)},
                                              {NULL, NULL}};
        tribus_bridge_stats stats;

        if (tribus_bridge_get_stats(s->bridge, bus, &stats) != TRIBUS_OK)
            continue;
        tribus_metrics_add_count(m, &connected, labels, stats.connected);
        for (size_t i = 0; i < sizeof(bridge_rows) / sizeof(bridge_rows[0]); i++)
            tribus_metrics_add_count(m, &bridge_rows[i].metric, labels,
                                     field_at(&stats, bridge_rows[i].offset));
    }
}

static void add_all(void *context, tribus_metrics *m)
{
    static const tribus_metric uptime = {"tribus_agent_uptime_seconds",
                                         "Since the agent started.", TRIBUS_METRIC_GAUGE};
    static const tribus_metric release = {
        "tribus_agent_release", "1, with the release as a label.", TRIBUS_METRIC_GAUGE};
    tribus_scrape *s = context;
    tribus_agent_status status;

    if (tribus_agent_get_status(s->socket_path, 0, &status) == TRIBUS_OK) {
        const tribus_metric_label labels[] = {{"release", status.release}, {NULL, NULL}};

        tribus_metrics_add(m, &uptime, NULL, (double)status.uptime_ns * 1e-9);
        tribus_metrics_add_count(m, &release, labels, 1);
        for (size_t i = 0; i < sizeof(agent_rows) / sizeof(agent_rows[0]); i++)
            tribus_metrics_add_count(m, &agent_rows[i].metric, NULL,
                                     field_at(&status, agent_rows[i].offset));
    }
    add_children(s, m);
    add_bridge(s, m);
}

static bool is_well(const tribus_agent_child *c)
{
    return c->state != TRIBUS_CHILD_FAILED && c->state != TRIBUS_CHILD_BACKOFF;
}

/* Names and kinds are [a-z0-9._-]: nothing to escape. */
static char *health(void *context, int *http_status)
{
    tribus_scrape *s = context;
    const tribus_agent_child *rows = s->rows;
    tribus_agent_status status;
    uint32_t count = 0, well = 0;
    char *text;
    size_t n;

    if (tribus_agent_get_status(s->socket_path, 0, &status) != TRIBUS_OK ||
        tribus_agent_get_children(s->socket_path, 0, s->rows, CHILDREN_MOST, &count) !=
            TRIBUS_OK)
        return NULL;
    text = malloc(HEALTH_BYTES);
    if (text == NULL)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        well += is_well(&rows[i]);
    n = (size_t)snprintf(text, HEALTH_BYTES,
                         "{\"status\":\"%s\",\"release\":\"%s\",\"pid\":%d,"
                         "\"uptime_seconds\":%.3f,\"participants\":%u,\"objects\":%u,"
                         "\"children\":[",
                         well == count ? "ok" : "degraded", status.release, status.pid,
                         (double)status.uptime_ns * 1e-9, status.participants,
                         status.objects);
    for (uint32_t i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, HEALTH_BYTES - n,
                              "%s{\"name\":\"%s\",\"kind\":\"%s\",\"state\":\"%s\","
                              "\"pid\":%d,\"restarts\":%u}",
                              i == 0 ? "" : ",", rows[i].name, rows[i].kind,
                              tribus_child_state_name(rows[i].state), rows[i].pid,
                              rows[i].restarts);
    (void)snprintf(text + n, HEALTH_BYTES - n, "]}\n");
    *http_status = 200;
    return text;
}

tribus_status tribus_scrape_start(const char *socket_path, int port,
                                  const tribus_bridge *bridge, tribus_scrape **out)
{
    tribus_scrape *s = calloc(1, sizeof(*s));
    tribus_status st;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "metrics page");
    s->bridge = bridge;
    (void)snprintf(s->socket_path, sizeof(s->socket_path), "%s", socket_path);
    {
        const tribus_monitor_cfg cfg = {.socket_path = s->socket_path,
                                        .port = port,
                                        .metrics = add_all,
                                        .health = health,
                                        .context = s};

        st = tribus_monitor_start(&cfg, &s->monitor);
    }
    if (st != TRIBUS_OK) {
        free(s);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

void tribus_scrape_stop(tribus_scrape *scrape)
{
    if (scrape == NULL)
        return;
    tribus_monitor_stop(scrape->monitor);
    free(scrape);
}
