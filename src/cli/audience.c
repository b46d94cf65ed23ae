/* audience.c -- see audience.h. */
#include "cli/audience.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define SPAN_MOST (1u << 22) /* durations kept; later ones are not, 32 MiB is enough */
#define HISTORY   65536u     /* what publishers sent before we came */

tribus_status tribus_audience_open(tribus_audience *w, const char *socket, const char *name)
{
    const tribus_session_cfg session = {
        .socket_path = socket, .name = name, .role = "tool"};
    const tribus_bus_filter everything = {.history = HISTORY};
    tribus_status st;

    memset(w, 0, sizeof(*w));
    w->started_ns = tribus_now_ns();
    st = tribus_session_open(&session, &w->session);
    if (st == TRIBUS_OK)
        st = tribus_bus_open(w->session, NULL, &w->bus);
    if (st == TRIBUS_OK)
        st = tribus_bus_subscribe(w->bus, &everything, &w->sub);
    return st;
}

void tribus_audience_close(tribus_audience *w)
{
    if (w->sub != NULL)
        tribus_bus_unsubscribe(w->sub);
    tribus_bus_close(w->bus);
    tribus_session_close(w->session);
    free(w->market_to_risk.ns);
    memset(w, 0, sizeof(*w));
}

static void span_add(tribus_audience_span *s, int64_t ns)
{
    if (s->count == s->room) {
        const size_t room = s->room == 0 ? 4096 : s->room * 2;
        int64_t *more;

        if (room > SPAN_MOST)
            return;
        more = realloc(s->ns, room * sizeof(*more));
        if (more == NULL)
            return;
        s->ns = more;
        s->room = room;
    }
    s->ns[s->count++] = ns;
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

int64_t tribus_audience_percentile(tribus_audience_span *s, double share)
{
    if (s->count == 0)
        return 0;
    qsort(s->ns, s->count, sizeof(*s->ns), ascending);
    return s->ns[(size_t)(share * (double)(s->count - 1))];
}

static void hear_engine(tribus_audience *w, const tribus_msg_engine_health *m)
{
    uint32_t i = 0;

    while (i < w->engine_count && strcmp(w->engines[i].last.header.engine_instance,
                                         m->header.engine_instance) != 0)
        i++;
    if (i == TRIBUS_AUDIENCE_ENGINES)
        return;
    if (i == w->engine_count)
        w->engine_count++;
    w->engines[i].last = *m;
    w->engines[i].heard_ns = tribus_now_ns();
}

static void hear(tribus_audience *w, const tribus_msg_header *msg)
{
    w->by_bus[msg->bus]++;
    w->by_type[msg->type]++;
    switch (msg->type) {
    case TRIBUS_MSG_TRADE_EXECUTION: {
        const tribus_msg_trade_execution *t = (const tribus_msg_trade_execution *)msg;

        w->traded_value += (double)t->price_e9 * 1e-9 * (double)t->qty_e9 * 1e-9;
        w->traded_qty += (double)t->qty_e9 * 1e-9;
        break;
    }
    case TRIBUS_MSG_ENGINE_HEALTH:
        hear_engine(w, (const tribus_msg_engine_health *)msg);
        break;
    case TRIBUS_MSG_RISK_METRIC:
        w->risk = *(const tribus_msg_risk_metric *)msg;
        span_add(&w->market_to_risk, msg->timestamp_wall_ns - w->risk.market_wall_ns);
        break;
    case TRIBUS_MSG_RISK_LIMIT_BREACH:
        w->breach = *(const tribus_msg_risk_limit_breach *)msg;
        break;
    default:
        break;
    }
}

tribus_status tribus_audience_listen(tribus_audience *w, int64_t timeout_ns)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns);

    for (;;) {
        const tribus_wait_cfg wait = {.spin_ns = 1,
                                      .timeout_ns = tribus_deadline_left_ns(deadline)};
        const tribus_msg_header *msg;
        uint64_t lost = 0;
        const tribus_status st = tribus_bus_next_wait(w->sub, &msg, &lost, &wait);

        w->lost += lost;
        if (st == TRIBUS_TIMEOUT)
            return TRIBUS_OK;
        if (st != TRIBUS_OK)
            return st;
        hear(w, msg);
    }
}

uint64_t tribus_audience_lost(const tribus_audience *w)
{
    uint64_t lost = w->lost;

    for (uint32_t i = 0; i < w->engine_count; i++)
        lost += w->engines[i].last.messages_lost;
    return lost;
}
