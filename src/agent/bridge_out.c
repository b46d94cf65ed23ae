/* bridge_out.c -- fabric -> wire: one thread a bus. See bridge.h.
 *
 * One connection carries the messages (PUBLISH) and the questions who listens (PUBSUB), all
 * pipelined. Replies come in the order of the commands, so it is enough to remember the
 * number of the reply that answers the last question.
 */
#include "agent/bridge_side.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "bus/bus.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define BATCH      128u
#define STUCK_NS   3000000000LL /* a server that answers nothing for this long is gone */
#define STEP_NS    100000000LL  /* look at the stop flag at least this often */
#define ANSWER_NS  1000000LL    /* look for an answer that is due at least this often */
#define MOST_TYPES 64u

typedef struct outbound {
    tribus_bridge_side *side;
    tribus_bridge_counters *counters;
    tribus_subscription *sub; /* NULL while nobody listens */
    uint64_t types;           /* of this bus */
    uint64_t commands;        /* queued on this connection */
    uint64_t replies;         /* taken from it */
    uint64_t numpat; /* the number of the reply to the last PUBSUB NUMPAT; 0: none is due.
                        NUMSUB's comes next. */
    uint64_t ours;   /* what our other side had subscribed to when NUMSUB was asked */
    bool patterns;
    uint64_t answered; /* what the answer before the last said */
    int64_t next_look_ns;
    int64_t heard_ns;      /* when the last reply came, or the last was due */
    int64_t busy_until_ns; /* look without sleeping; 0: to be set */
    uint32_t last_origin;
    uint32_t failed; /* error replies in a row */
    char channels[MOST_TYPES][TRIBUS_WIRE_CHANNEL_BYTES];
    char json[TRIBUS_WIRE_JSON_BYTES];
} outbound;

static tribus_status queue(outbound *o, int argc, const char *const *argv,
                           const size_t *lengths)
{
    const tribus_status st = tribus_redis_queue(o->side->redis, argc, argv, lengths);

    if (st == TRIBUS_OK && o->commands++ == o->replies)
        o->heard_ns = tribus_now_ns();
    return st;
}

/* Ask who listens. */
static tribus_status ask(outbound *o)
{
    const char *numpat[] = {"PUBSUB", "NUMPAT"};
    const char *numsub[2 + MOST_TYPES] = {"PUBSUB", "NUMSUB"};
    int argc = 2;
    uint64_t number;
    tribus_status st;

    o->next_look_ns = tribus_deadline_ns(o->side->bridge->cfg.look_ns);
    if (o->numpat != 0)
        return TRIBUS_OK; /* still being answered */
    for (uint32_t t = 1; t < MOST_TYPES; t++) {
        if ((o->types & (1ull << t)) != 0)
            numsub[argc++] = o->channels[t];
    }
    st = queue(o, 2, numpat, NULL);
    if (st != TRIBUS_OK)
        return st;
    number = o->commands;
    o->ours = tribus_load_rlx(&o->counters->confirmed); /* see subscribed() */
    st = queue(o, argc, numsub, NULL);
    if (st == TRIBUS_OK) /* else the first answer alone is passed over */
        o->numpat = number;
    return st;
}

/* The set of types whose channels have subscribers other than our own other side. */
static uint64_t subscribed(const outbound *o, const redisReply *r)
{
    /* Only what was subscribed to before the question and still is has surely been counted.
     * Where that is not sure, a message too many is sent rather than one too few. Relaxed:
     * the question and its answer went through the kernel in between. */
    const uint64_t ours = o->ours & tribus_load_rlx(&o->counters->confirmed);
    uint64_t types = 0;

    if (r->type != REDIS_REPLY_ARRAY)
        return 0;
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const redisReply *name = r->element[i];
        const redisReply *count = r->element[i + 1];
        tribus_msg_type type;

        if (name->type != REDIS_REPLY_STRING || count->type != REDIS_REPLY_INTEGER ||
            tribus_wire_channel_parse(name->str, name->len, &type) != TRIBUS_OK)
            continue;
        if (count->integer > ((ours & (1ull << type)) != 0 ? 1 : 0))
            types |= 1ull << type;
    }
    return types & o->types;
}

static tribus_status listen_for(outbound *o, uint64_t listening)
{
    tribus_status st = TRIBUS_OK;

    if (listening == 0 && o->sub != NULL) {
        tribus_bus_unsubscribe(o->sub);
        o->sub = NULL;
    } else if (listening != 0 && o->sub == NULL) {
        const tribus_bus_filter f = {.buses = 1u << o->side->bus, .types = listening};

        st = tribus_bus_subscribe(o->side->handle, &f, &o->sub);
    } else if (listening != 0) {
        tribus_bus_retarget(o->sub, listening);
    }
    tribus_store_rlx(&o->counters->listening,
                     o->sub != NULL ? listening : 0); /* for people */
    return st;
}

/* An answer may be from before somebody came (his SUBSCRIBE was on its way), and who stops
 * reading begins again at the end: a type is dropped after two answers without it. */
static tribus_status take_answer(outbound *o, uint64_t listening)
{
    const uint64_t either = listening | o->answered;

    o->answered = listening;
    return listen_for(o, either);
}

static tribus_status take_reply(outbound *o, const redisReply *r)
{
    o->replies++;
    o->heard_ns = tribus_now_ns();
    if (r->type == REDIS_REPLY_ERROR) {
        /* Said once for a row of them: no permission, or a server that is loading. */
        if (++o->failed == 1)
            tribus_log(TRIBUS_LOG_WARN, "%s bus: redis at %s: %s",
                       tribus_wire_bus_title(o->side->bus),
                       tribus_redis_name(o->side->redis), r->str);
    } else {
        o->failed = 0;
        tribus_bridge_side_works(o->side);
    }
    if (o->numpat != 0 && o->replies == o->numpat) {
        o->patterns = r->type == REDIS_REPLY_INTEGER && r->integer > 0;
    } else if (o->numpat != 0 && o->replies == o->numpat + 1) {
        o->numpat = 0;
        return take_answer(o, o->patterns ? o->types : subscribed(o, r));
    }
    return TRIBUS_OK;
}

/* Write and read without waiting. */
static tribus_status exchange(outbound *o)
{
    const tribus_status written = tribus_redis_flush(o->side->redis);
    redisReply *reply = NULL;
    tribus_status st;

    if (written != TRIBUS_OK && written != TRIBUS_FULL)
        return written;
    for (;;) {
        st = tribus_redis_next(o->side->redis, &reply);
        if (st == TRIBUS_EMPTY)
            break;
        if (st != TRIBUS_OK)
            return st;
        st = take_reply(o, reply);
        freeReplyObject(reply);
        if (st != TRIBUS_OK)
            return st;
    }
    if (o->commands > o->replies && tribus_now_ns() - o->heard_ns > STUCK_NS)
        return tribus_error_set(TRIBUS_TIMEOUT, "redis at %s: no answer for %lld s",
                                tribus_redis_name(o->side->redis), STUCK_NS / 1000000000LL);
    return written;
}

static tribus_status send_message(outbound *o, const tribus_msg_header *m)
{
    const char *words[3] = {"PUBLISH", o->channels[m->type], o->json};
    size_t lengths[3] = {7, strlen(o->channels[m->type]), 0};
    tribus_status st;

    if ((m->flags & TRIBUS_MSG_FROM_WIRE) != 0)
        return TRIBUS_OK;
    if (m->origin != o->last_origin) {
        tribus_bridge_origin_add(o->side->bridge, m->origin);
        o->last_origin = m->origin;
    }
    st = tribus_wire_to_json(m, o->json, sizeof(o->json), &lengths[2]);
    if (st != TRIBUS_OK) {
        (void)tribus_add_rlx(&o->counters->malformed, 1u); /* counter */
        return TRIBUS_OK;
    }
    st = queue(o, 3, words, lengths);
    if (st != TRIBUS_OK) {                            /* the server does not keep up */
        (void)tribus_add_rlx(&o->counters->lost, 1u); /* counters, read by people */
        return st;
    }
    (void)tribus_add_rlx(&o->counters->sent, 1u);
    (void)tribus_add_rlx(&o->counters->sent_bytes, lengths[2]);
    return TRIBUS_OK;
}

/* Send what has been published, up to a batch; wait for the first at most timeout_ns. */
static tribus_status send_batch(outbound *o, int64_t timeout_ns)
{
    const tribus_wait_cfg wait = {.spin_ns = 1, .timeout_ns = timeout_ns};
    const tribus_msg_header *m = NULL;
    uint64_t lost = 0;
    tribus_status st = tribus_bus_next_wait(o->sub, &m, &lost, &wait);

    for (uint32_t i = 1;; i++) {
        (void)tribus_add_rlx(&o->counters->lost, lost); /* counter; told without one, too */
        lost = 0;
        if (st == TRIBUS_OK) {
            o->busy_until_ns = 0; /* begins anew when there are no more */
            st = send_message(o, m);
        }
        if (st != TRIBUS_OK || i == BATCH)
            break; /* before the next one is taken */
        st = tribus_bus_next(o->sub, &m, &lost);
    }
    return st == TRIBUS_EMPTY || st == TRIBUS_TIMEOUT || st == TRIBUS_FULL ? TRIBUS_OK : st;
}

/* For a while after a message we look without sleeping: to be woken takes longer than to
 * send. */
static bool poll_on(outbound *o)
{
    if (o->busy_until_ns == 0)
        o->busy_until_ns = tribus_deadline_ns(o->side->bridge->cfg.spin_ns);
    return tribus_deadline_left_ns(o->busy_until_ns) > 0;
}

/* One turn while connected. */
static tribus_status turn(outbound *o)
{
    const int64_t look = tribus_deadline_left_ns(o->next_look_ns);
    tribus_status st = tribus_bridge_side_follow(o->side);

    if (st == TRIBUS_OK && (look == 0 || o->next_look_ns == 0))
        st = ask(o);
    if (st == TRIBUS_OK || st == TRIBUS_FULL)
        st = exchange(o);
    if (st == TRIBUS_FULL) { /* wait for the socket; meanwhile topics keep what they can */
        tribus_bridge_side_sleep(o->side, STEP_NS / 10);
        return TRIBUS_OK;
    }
    if (st != TRIBUS_OK)
        return st;
    if (o->sub == NULL) {
        tribus_bridge_side_sleep(o->side, look > 0 && look < STEP_NS ? look : STEP_NS);
        return TRIBUS_OK;
    }
    if (poll_on(o)) {
        st = send_batch(o, 0);
        if (o->busy_until_ns != 0) /* nothing came: whoever shares our core goes first */
            (void)sched_yield();
        return st;
    }
    /* Messages wake us and answers do not. */
    if (o->commands > o->replies)
        return send_batch(o, ANSWER_NS);
    return send_batch(o, look > 0 && look < STEP_NS ? look : STEP_NS);
}

static void disconnected(outbound *o)
{
    (void)tribus_add_rlx(&o->counters->lost, o->commands - o->replies); /* at most */
    o->commands = o->replies = o->numpat = 0;
    o->failed = 0;
    o->answered = 0;
    o->next_look_ns = 0;
    tribus_bridge_side_disconnect(o->side);
    if (listen_for(o, 0) != TRIBUS_OK)
        tribus_error_clear(); /* to unsubscribe cannot fail */
}

void *tribus_bridge_out_run(void *context)
{
    tribus_bridge_side *side = context;
    outbound *o = calloc(1, sizeof(*o));

    if (o == NULL) {
        tribus_log(TRIBUS_LOG_ERROR, "%s bus: no memory to join the wire",
                   tribus_wire_bus_title(side->bus));
        return NULL;
    }
    o->side = side;
    o->counters = &side->bridge->counters[side->bus];
    o->types = tribus_bridge_types_of(side->bus);
    for (uint32_t t = 1; t < MOST_TYPES; t++) {
        if ((o->types & (1ull << t)) != 0 &&
            tribus_wire_channel(t, o->channels[t], sizeof(o->channels[t])) != TRIBUS_OK)
            o->types &= ~(1ull << t);
    }
    while (tribus_load_rlx(&side->bridge->stopping) == 0) { /* looked at again and again */
        if (tribus_bridge_side_connect(side) != TRIBUS_OK)
            tribus_bridge_side_sleep(side, STEP_NS / 2);
        else if (turn(o) != TRIBUS_OK)
            disconnected(o);
    }
    tribus_bus_unsubscribe(o->sub);
    free(o);
    return NULL;
}
