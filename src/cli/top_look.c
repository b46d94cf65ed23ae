/* top_look.c -- see top_look.h. */
#include "cli/top_look.h"

#include "base/clock.h"
#include "base/error.h"
#include "bus/bus.h"
#include "bus/server.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS       1024u
#define TIMES        8192u
#define BLOCKS       256u /* of one object of counters */
#define HISTORY      64u
#define FORGOTTEN_NS 10000000000LL /* an engine that was not heard for so long is gone */

typedef struct topic {
    tribus_object object;
    tribus_topic *topic;
    uint32_t bus;
    uint64_t published; /* at the last look */
    bool seen;
} topic;

struct tribus_top_eye {
    const char *socket;
    tribus_session *session;
    tribus_bus *bus;
    tribus_subscription *sub;
    topic topics[TOPICS];
    uint32_t topic_count;
    int64_t times[TIMES]; /* market event to risk metric */
    uint32_t time_count;
    int64_t looked_ns;
    tribus_top view;
};

tribus_status tribus_top_open(const char *socket, tribus_top_eye **out)
{
    const tribus_session_cfg session = {.socket_path = socket, .role = "tool"};
    const tribus_bus_cfg bus = {.observe = 1};
    const tribus_bus_filter filter = {.types = 1ull << TRIBUS_MSG_ENGINE_HEALTH |
                                               1ull << TRIBUS_MSG_RISK_METRIC,
                                      .history = HISTORY};
    tribus_top_eye *eye = calloc(1, sizeof(*eye));
    tribus_status st;

    if (eye == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "top");
    eye->socket = socket;
    st = tribus_session_open(&session, &eye->session);
    if (st == TRIBUS_OK)
        st = tribus_bus_open(eye->session, &bus, &eye->bus);
    if (st == TRIBUS_OK)
        st = tribus_bus_subscribe(eye->bus, &filter, &eye->sub);
    if (st != TRIBUS_OK) {
        tribus_top_close(eye);
        return st;
    }
    *out = eye;
    return TRIBUS_OK;
}

void tribus_top_close(tribus_top_eye *eye)
{
    if (eye == NULL)
        return;
    for (uint32_t i = 0; i < eye->topic_count; i++)
        tribus_topic_close(eye->topics[i].topic);
    tribus_bus_close(eye->bus);
    tribus_session_close(eye->session);
    free(eye);
}

/* ---- messages ---- */

static void hear_engine(tribus_top *v, const tribus_msg_engine_health *m)
{
    tribus_top_engine *e = NULL;

    for (uint32_t i = 0; i < v->engine_count && e == NULL; i++) {
        if (strcmp(v->engines[i].last.header.engine_instance, m->header.engine_instance) ==
            0)
            e = &v->engines[i];
    }
    if (e == NULL) {
        if (v->engine_count == TRIBUS_TOP_ENGINES)
            return;
        e = &v->engines[v->engine_count++];
        memset(e, 0, sizeof(*e));
        e->received_before = m->messages_received;
        e->published_before = m->messages_published;
    }
    e->last = *m;
    e->heard_ns = tribus_now_ns();
}

void tribus_top_listen(tribus_top_eye *eye, int64_t deadline_ns)
{
    while (!tribus_cli_stopped() && tribus_now_ns() < deadline_ns) {
        const tribus_wait_cfg wait = {.spin_ns = 1,
                                      .timeout_ns = tribus_deadline_left_ns(deadline_ns)};
        const tribus_msg_header *m = NULL;
        uint64_t lost = 0;
        const tribus_status st = tribus_bus_next_wait(eye->sub, &m, &lost, &wait);

        eye->view.lost += lost;
        if (st != TRIBUS_OK) {
            if (st != TRIBUS_TIMEOUT)
                return;
        } else if (m->type == TRIBUS_MSG_ENGINE_HEALTH) {
            hear_engine(&eye->view, (const tribus_msg_engine_health *)m);
        } else if (eye->time_count < TIMES) {
            const tribus_msg_risk_metric *risk = (const tribus_msg_risk_metric *)m;

            if (risk->market_wall_ns > 0)
                eye->times[eye->time_count++] = m->timestamp_wall_ns - risk->market_wall_ns;
        }
    }
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void look_at_engines(tribus_top_eye *eye, double seconds)
{
    tribus_top *v = &eye->view;

    v->to_risk_count = eye->time_count;
    v->to_risk_p50_ns = v->to_risk_p99_ns = 0;
    if (eye->time_count > 0) {
        qsort(eye->times, eye->time_count, sizeof(eye->times[0]), ascending);
        v->to_risk_p50_ns = eye->times[eye->time_count / 2];
        v->to_risk_p99_ns = eye->times[(uint64_t)eye->time_count * 99 / 100];
    }
    eye->time_count = 0;
    for (uint32_t i = v->engine_count; i-- > 0;) {
        tribus_top_engine *e = &v->engines[i];

        if (tribus_now_ns() - e->heard_ns > FORGOTTEN_NS) {
            *e = v->engines[--v->engine_count];
            continue;
        }
        if (seconds > 0 && e->last.messages_received >= e->received_before &&
            e->last.messages_published >= e->published_before) {
            e->received_per_s =
                (double)(e->last.messages_received - e->received_before) / seconds;
            e->published_per_s =
                (double)(e->last.messages_published - e->published_before) / seconds;
        }
        e->received_before = e->last.messages_received;
        e->published_before = e->last.messages_published;
    }
}

/* ---- buses ---- */

static void open_topic(tribus_top_eye *eye, const tribus_object *row, uint32_t bus,
                       uint32_t lane)
{
    const size_t front = lane == TRIBUS_BUS_DURABLE ? TRIBUS_BUS_STORE_BYTES : 0;
    topic *t = &eye->topics[eye->topic_count];
    void *mem = NULL;

    if (eye->topic_count == TOPICS)
        return;
    *t = (topic){.bus = bus, .seen = true};
    if (tribus_session_open_object(eye->session, row->name, 0, &t->object, &mem) !=
        TRIBUS_OK) {
        tribus_error_clear(); /* it went between the row and now */
        return;
    }
    if (t->object.bytes <= front ||
        tribus_topic_open((unsigned char *)mem + front, (size_t)t->object.bytes - front,
                          TRIBUS_READER, 1, &t->topic) != TRIBUS_OK) {
        tribus_error_clear(); /* not laid out yet: the next look takes it */
        tribus_session_drop(eye->session, &t->object, 0);
        return;
    }
    eye->topic_count++;
    if (eye->looked_ns == 0) /* before we looked: part of the sum, not of a rate */
        t->published = tribus_topic_published(t->topic);
    eye->view.buses[bus].messages += t->published;
}

static topic *find_topic(tribus_top_eye *eye, const tribus_object *row)
{
    for (uint32_t i = 0; i < eye->topic_count; i++) {
        if (eye->topics[i].object.number == row->number &&
            eye->topics[i].object.generation == row->generation)
            return &eye->topics[i];
    }
    return NULL;
}

static void look_at_buses(tribus_top_eye *eye, double seconds)
{
    tribus_top *v = &eye->view;
    uint64_t more[TRIBUS_BUSES] = {0};
    uint32_t cursor = 0;
    tribus_object row;

    for (uint32_t i = 0; i < eye->topic_count; i++)
        eye->topics[i].seen = false;
    while (tribus_session_next_object(eye->session, &cursor, &row) == TRIBUS_OK) {
        uint32_t bus = 0, lane = 0;
        topic *t = find_topic(eye, &row);

        if (t != NULL)
            t->seen = true;
        else if (tribus_bus_topic_parse(&row, &bus, &lane))
            open_topic(eye, &row, bus, lane);
    }
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        tribus_server server;

        v->buses[b].publishers = 0;
        v->buses[b].server[0] = '\0';
        if (tribus_server_find(eye->session, b, &server) == TRIBUS_OK)
            (void)snprintf(v->buses[b].server, sizeof(v->buses[b].server), "%.64s:%u",
                           server.host, server.port);
        tribus_error_clear();
    }
    for (uint32_t i = eye->topic_count; i-- > 0;) {
        topic *t = &eye->topics[i];
        const uint64_t now = tribus_topic_published(t->topic);

        more[t->bus] += now - t->published;
        t->published = now;
        v->buses[t->bus].publishers++;
        if (t->seen)
            continue;
        tribus_topic_close(t->topic);
        tribus_session_drop(eye->session, &t->object, 0);
        *t = eye->topics[--eye->topic_count];
    }
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        v->buses[b].messages += more[b];
        v->buses[b].per_s = seconds > 0 ? (double)more[b] / seconds : 0.0;
    }
}

/* ---- links and pipelines ---- */

static tribus_top_link *link_of(tribus_top *v, uint64_t id0, uint64_t id1)
{
    tribus_top_link *l;

    for (uint32_t i = 0; i < v->link_count; i++) {
        if (v->links[i].id[0] == id0 && v->links[i].id[1] == id1)
            return &v->links[i];
    }
    if (v->link_count == TRIBUS_TOP_LINKS)
        return NULL;
    l = &v->links[v->link_count++];
    *l = (tribus_top_link){.id = {id0, id1}};
    return l;
}

static void fill_link(tribus_top_link *l, uint64_t messages, double seconds)
{
    l->per_s = seconds > 0 && messages >= l->messages && l->messages > 0
                   ? (double)(messages - l->messages) / seconds
                   : 0.0;
    l->messages = messages;
    l->seen = true;
}

static void look_at_counters(tribus_top_eye *eye, const tribus_object *row, double seconds)
{
    tribus_object o;
    void *mem = NULL;

    if (tribus_session_open_object(eye->session, row->name, 0, &o, &mem) != TRIBUS_OK) {
        tribus_error_clear(); /* it went between the row and now */
        return;
    }
    for (size_t i = 0; i < BLOCKS && (i + 1u) * TRIBUS_COUNTERS_BYTES <= (size_t)o.bytes;
         i++) {
        const tribus_counters *c;
        tribus_top_link *l;

        if (tribus_counter_open((const char *)mem + i * TRIBUS_COUNTERS_BYTES,
                                TRIBUS_COUNTERS_BYTES, &c) != TRIBUS_OK ||
            (l = link_of(&eye->view, o.generation, i)) == NULL)
            continue;
        tribus_counter_label(c, l->name);
        fill_link(l, tribus_counter_get(c, TRIBUS_COUNT_MESSAGES), seconds);
        l->by_reference = tribus_counter_get(c, TRIBUS_COUNT_BYTES_BY_REF);
        l->copied = tribus_counter_get(c, TRIBUS_COUNT_BYTES_COPIED);
        l->laps = tribus_counter_get(c, TRIBUS_COUNT_LAPS);
        l->lost = tribus_counter_get(c, TRIBUS_COUNT_LOST);
        l->full = tribus_counter_get(c, TRIBUS_COUNT_FULL);
        l->p50_ns = tribus_histogram_quantile_ns(tribus_counter_latency_of(c), 0.50);
        l->p99_ns = tribus_histogram_quantile_ns(tribus_counter_latency_of(c), 0.99);
    }
    tribus_error_clear();
    tribus_session_drop(eye->session, &o, 0);
}

static void look_at_pipeline(tribus_top_eye *eye, const tribus_object *row, double seconds)
{
    tribus_top *v = &eye->view;
    tribus_top_pipeline *p = NULL;
    tribus_pipeline *pipe = NULL;
    tribus_pipeline_stats s;
    tribus_pipeline_link_row from;
    const char *slash = strchr(row->name, '/'); /* its object is "pipeline/<name>" */

    if (slash == NULL ||
        tribus_pipeline_open(eye->session, slash + 1, &pipe) != TRIBUS_OK) {
        tribus_error_clear();
        return;
    }
    tribus_pipeline_get_stats(pipe, &s);
    for (uint32_t i = 0; i < v->pipeline_count && p == NULL; i++) {
        if (strcmp(v->pipelines[i].stats.name, s.name) == 0)
            p = &v->pipelines[i];
    }
    if (p == NULL && v->pipeline_count < TRIBUS_TOP_PIPELINES) {
        p = &v->pipelines[v->pipeline_count++];
        *p = (tribus_top_pipeline){.stats = s};
    }
    if (p != NULL) {
        p->per_s = seconds > 0 && s.finished >= p->stats.finished
                       ? (double)(s.finished - p->stats.finished) / seconds
                       : 0.0;
        p->stats = s;
        p->seen = true;
    }
    for (uint32_t i = 0; tribus_pipeline_get_link(pipe, i, &from) == TRIBUS_OK; i++) {
        tribus_top_link *l = link_of(v, row->generation, i);

        if (l == NULL)
            break;
        (void)snprintf(l->name, sizeof(l->name), "%s: %s > %s", s.name,
                       from.from[0] != '\0' ? from.from : "in",
                       from.to[0] != '\0' ? from.to : "out");
        fill_link(l, from.runs, seconds);
        l->by_reference = from.bytes_by_reference;
        l->copied = from.bytes_copied;
    }
    tribus_pipeline_close(pipe);
}

static void look_at_links(tribus_top_eye *eye, double seconds)
{
    tribus_top *v = &eye->view;
    uint32_t cursor = 0;
    tribus_object row;

    for (uint32_t i = 0; i < v->link_count; i++)
        v->links[i].seen = false;
    for (uint32_t i = 0; i < v->pipeline_count; i++)
        v->pipelines[i].seen = false;
    while (tribus_session_next_object(eye->session, &cursor, &row) == TRIBUS_OK) {
        if (row.kind == TRIBUS_OBJECT_COUNTERS && row.bytes >= TRIBUS_COUNTERS_BYTES)
            look_at_counters(eye, &row, seconds);
        else if (row.kind == TRIBUS_OBJECT_PIPELINE)
            look_at_pipeline(eye, &row, seconds);
    }
    for (uint32_t i = v->link_count; i-- > 0;) {
        if (!v->links[i].seen)
            v->links[i] = v->links[--v->link_count];
    }
    for (uint32_t i = v->pipeline_count; i-- > 0;) {
        if (!v->pipelines[i].seen)
            v->pipelines[i] = v->pipelines[--v->pipeline_count];
    }
}

const tribus_top *tribus_top_look(tribus_top_eye *eye)
{
    tribus_top *v = &eye->view;
    const int64_t now_ns = tribus_now_ns();

    v->seconds = eye->looked_ns != 0 ? (double)(now_ns - eye->looked_ns) / 1e9 : 0.0;
    v->agent_answers = tribus_agent_get_status(eye->socket, 0, &v->agent) == TRIBUS_OK;
    tribus_error_clear();
    look_at_buses(eye, v->seconds);
    look_at_engines(eye, v->seconds);
    look_at_links(eye, v->seconds);
    eye->looked_ns = now_ns;
    return v;
}
