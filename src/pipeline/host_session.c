/* host_session.c -- a compute host finds its pipelines in the registry. */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "pipeline/host.h"
#include "pipeline/pipeline.h"

#include <string.h>

/* Between looks at what no bell announces: a stop, a host that died with work of ours. */
#define TICK_NS INT64_C(100000000)

/* The same when there is nothing to do: what there can be is announced by a bell, and a signal
 * that comes between a look and the sleep is met then. */
#define IDLE_NS TRIBUS_HOST_LONG_NS

#define MOST_REFUSED 64u

typedef struct server {
    tribus_session *session;
    tribus_host *host;
    const tribus_host_cfg *cfg;
    uint64_t revision;
    tribus_object objects[TRIBUS_HOST_MOST_PLANS]; /* mapped; key: their generation */
    uint32_t object_count;
    uint64_t refused[MOST_REFUSED]; /* generations that made no sense, the latest few */
    uint32_t refused_count;
} server;

static bool was_refused(const server *s, uint64_t generation)
{
    const uint32_t n = s->refused_count < MOST_REFUSED ? s->refused_count : MOST_REFUSED;

    for (uint32_t i = 0; i < n; i++)
        if (s->refused[i] == generation)
            return true;
    return false;
}

static void forget(server *s, uint64_t generation)
{
    for (uint32_t i = 0; i < s->object_count; i++) {
        if (s->objects[i].generation != generation)
            continue;
        tribus_host_detach(s->host, generation);
        tribus_session_drop(s->session, &s->objects[i], 0);
        s->objects[i] = s->objects[--s->object_count];
        return;
    }
}

/* Map and serve one pipeline. One that is not laid out yet is met again at the next look;
 * one that makes no sense is named once. */
static bool serve(server *s, const tribus_object *row)
{
    tribus_object object;
    void *mem;
    tribus_status st;

    if (s->object_count == TRIBUS_HOST_MOST_PLANS)
        return false;
    st = tribus_session_open_object(s->session, row->name, 1, &object, &mem);
    if (st != TRIBUS_OK)
        return false; /* gone again */
    st = tribus_host_attach(s->host, mem, (size_t)object.bytes, object.generation);
    if (st == TRIBUS_OK) {
        s->objects[s->object_count++] = object;
        return true;
    }
    tribus_session_drop(s->session, &object, 0);
    if (st != TRIBUS_EMPTY && st != TRIBUS_FULL) {
        s->refused[s->refused_count++ % MOST_REFUSED] = object.generation;
        tribus_log(TRIBUS_LOG_ERROR, "serve %s: %s", row->name, tribus_error_text());
    }
    return false;
}

/* Compare the registry with what we serve. Returns false when something is to be met again
 * at the next tick. */
static bool look_around(server *s)
{
    tribus_object row;
    uint32_t cursor = 0;
    bool all = true;

    for (uint32_t i = tribus_host_plans(s->host); i-- > 0;) {
        bool over;
        const uint64_t key = tribus_host_plan_key(s->host, i, &over);

        if (over)
            forget(s, key);
    }
    while (tribus_session_next_object(s->session, &cursor, &row) == TRIBUS_OK) {
        if (row.kind != TRIBUS_OBJECT_PIPELINE ||
            tribus_host_serves(s->host, row.generation) || was_refused(s, row.generation))
            continue;
        all = serve(s, &row) && all;
    }
    (void)tribus_host_balance(s->host);
    (void)tribus_host_take(s->host);
    return all;
}

static int registry_changed(void *context)
{
    const server *s = context;

    return tribus_session_revision(s->session) != s->revision;
}

static bool stopped(const server *s)
{
    return s->cfg->stopped != NULL && s->cfg->stopped(s->cfg->context) != 0;
}

tribus_status tribus_host_run(tribus_session *session, const tribus_host_cfg *cfg)
{
    server s = {.session = session, .cfg = cfg};
    tribus_peers peers;
    int64_t looked_ns = 0;
    bool all = false;
    tribus_status st;

    tribus_pipeline_peers(session, &peers);
    st = tribus_host_open(cfg, &peers, &s.host);
    if (st != TRIBUS_OK)
        return st;
    while (!stopped(&s)) {
        const int64_t now = tribus_now_ns();

        if (tribus_host_called(s.host) || registry_changed(&s) ||
            now - looked_ns >= TICK_NS) {
            s.revision = tribus_session_revision(session); /* first: a change during the
                                                              look is met again */
            all = look_around(&s);
            looked_ns = now;
        }
        for (uint32_t burst = 0; burst < 64 && tribus_host_step(s.host) > 0;)
            burst++;
        st = tribus_host_wait(s.host, tribus_session_bell(session), registry_changed, &s,
                              all && tribus_host_idle(s.host) ? IDLE_NS : TICK_NS);
        if (st != TRIBUS_OK && st != TRIBUS_TIMEOUT)
            break;
        st = TRIBUS_OK;
    }
    while (s.object_count > 0)
        forget(&s, s.objects[0].generation);
    tribus_host_close(s.host);
    return st;
}
