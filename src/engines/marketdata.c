/* marketdata.c -- publish a feed on the MarketData bus, paced by the feed's own clock.
 *
 * speed 1 plays it in real time, speed 400 plays a trading day in a minute, speed 0 as fast as
 * the machine allows. A late start of a step is caught up, never dropped. */
#include "engines/engine.h"
#include "base/error.h"

#include <stdlib.h>

#define BATCH 1024 /* messages a step, so that stop and health are looked at */

typedef struct marketdata {
    tribus_msg_any pending;
    int64_t pending_ns; /* feed time of pending */
    bool have_pending, over;
    int64_t feed_start_ns, start_ns; /* feed time and our time of the first message */
    uint64_t by_type[TRIBUS_MSG_END];
    int64_t behind_ns; /* how late the last message was published, when paced */
} marketdata;

static int port(const tribus_platform *p)
{
    return (int)p->marketdata_engine.port;
}

static tribus_status open_marketdata(tribus_engine *e, void **state)
{
    marketdata *m;

    if (tribus_engine_source_of(e) == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "no feed was given");
    m = calloc(1, sizeof(*m));
    if (m == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "state of marketdata");
    *state = m;
    return TRIBUS_OK;
}

static tribus_status fetch(tribus_engine *e, marketdata *m, int64_t now_ns)
{
    const tribus_engine_source *source = tribus_engine_source_of(e);
    tribus_status st = source->next(source->context, &m->pending, &m->pending_ns);

    if (st == TRIBUS_STOPPED && tribus_engine_platform(e)->marketdata_engine.repeat) {
        st = source->rewind(source->context);
        m->start_ns = 0;
        if (st == TRIBUS_OK)
            st = source->next(source->context, &m->pending, &m->pending_ns);
    }
    if (st == TRIBUS_STOPPED) {
        m->over = true;
        tribus_engine_detail(e, "the feed is over");
        return TRIBUS_OK;
    }
    if (st != TRIBUS_OK)
        return st;
    if (m->start_ns == 0) {
        m->start_ns = now_ns;
        m->feed_start_ns = m->pending_ns;
    }
    m->have_pending = true;
    return TRIBUS_OK;
}

static tribus_status step(tribus_engine *e, void *state, int64_t now_ns, int64_t *next_ns)
{
    const double speed = tribus_engine_platform(e)->marketdata_engine.speed;
    marketdata *m = state;

    for (int i = 0; i < BATCH && !m->over; i++) {
        if (!m->have_pending) {
            const tribus_status st = fetch(e, m, now_ns);

            if (st != TRIBUS_OK)
                return st;
            if (m->over)
                break;
        }
        if (speed > 0.0) {
            const int64_t due =
                m->start_ns + (int64_t)((double)(m->pending_ns - m->feed_start_ns) / speed);

            if (due > now_ns) {
                *next_ns = due;
                return TRIBUS_OK;
            }
            m->behind_ns = now_ns - due;
        }
        m->have_pending = false;
        m->by_type[m->pending.header.type]++;
        tribus_engine_publish(e, &m->pending.header);
    }
    if (!m->over)
        *next_ns = now_ns;
    return TRIBUS_OK;
}

static void render(tribus_engine *e, void *state, tribus_engine_text *out)
{
    const marketdata *m = state;

    (void)e;
    tribus_engine_print(out,
                        ",\"books\":%llu,\"price_updates\":%llu,\"trades\":%llu,"
                        "\"behind_ns\":%lld,\"over\":%s",
                        (unsigned long long)m->by_type[TRIBUS_MSG_MARKET_DATA],
                        (unsigned long long)m->by_type[TRIBUS_MSG_PRICE_UPDATE],
                        (unsigned long long)m->by_type[TRIBUS_MSG_TRADE_EXECUTION],
                        (long long)m->behind_ns, m->over ? "true" : "false");
}

static void close_marketdata(void *state)
{
    free(state);
}

const tribus_engine_ops tribus_engine_marketdata = {
    .name = "marketdata",
    .text = "publishes a feed: prices, books, trades",
    .default_port = 8800,
    .port = port,
    .open = open_marketdata,
    .step = step,
    .render = render,
    .close = close_marketdata,
};
