/* bridge_in.c -- wire -> fabric: one thread a bus. See bridge.h.
 *
 * Subscribes, channel by channel and never by pattern, to what local processes want: so the
 * other side can tell our subscription from others', and nothing unwanted is sent to us.
 */
#include "agent/bridge_side.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "bus/bus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_NS    50000000LL /* look at what is wanted this often */
#define LOG_NS     1000000000LL
#define TURN       256u /* messages before the other duties */
#define PING_NS    1000000000LL
#define STUCK_NS   4000000000LL
#define MOST_TYPES 64u

/* Members unknown to the type, of a request about pipelines: the definition. What a cell of this
 * bus holds beside the longest message. */
#define MOST_DEFINITION (TRIBUS_BUS_WIDE_CELL_BYTES - TRIBUS_WIRE_MESSAGE_BYTES - 64u)

typedef struct inbound {
    tribus_bridge_side *side;
    tribus_bridge_counters *counters;
    tribus_want_reader *wants;
    uint64_t types;     /* of this bus */
    uint64_t asked;     /* SUBSCRIBE was sent */
    uint64_t confirmed; /* and answered */
    int64_t next_ping_ns;
    int64_t heard_ns;
    int64_t busy_until_ns; /* since the last message: look without sleeping */
    int64_t next_log_ns;
    uint64_t silent; /* complaints since the last line */
    char extra_envelope[TRIBUS_WIRE_TEXT_BYTES];
    char extra_data[TRIBUS_WIRE_TEXT_BYTES];
} inbound;

/* One line a second at most; the rest is in the counters. */
static void complain(inbound *in, const char *channel, size_t n)
{
    if (in->next_log_ns != 0 && tribus_deadline_left_ns(in->next_log_ns) > 0) {
        in->silent++;
        return;
    }
    tribus_log(TRIBUS_LOG_WARN,
               "%s bus: dropped a message on %.*s: %s (and %llu before it)",
               tribus_wire_bus_title(in->side->bus), (int)n, channel, tribus_error_text(),
               (unsigned long long)in->silent);
    in->silent = 0;
    in->next_log_ns = tribus_deadline_ns(LOG_NS);
}

static void take_message(inbound *in, const redisReply *channel, const redisReply *text)
{
    tribus_msg_any m;
    tribus_msg_type type = TRIBUS_MSG_NONE;
    bool cut = false;
    tribus_wire_extra extra = {.envelope = in->extra_envelope,
                               .envelope_room = sizeof(in->extra_envelope),
                               .data = in->extra_data,
                               .data_room = sizeof(in->extra_data)};
    tribus_status st = tribus_wire_channel_parse(channel->str, channel->len, &type);

    if (st == TRIBUS_OK)
        st = tribus_wire_from_json(text->str, text->len, &m, sizeof(m), &extra);
    if (st == TRIBUS_OK && m.header.type != type)
        st = tribus_error_set(TRIBUS_BAD_DATA, "its type is %s, which has its own channel",
                              tribus_wire_type_name(m.header.type));
    if (st == TRIBUS_OK &&
        tribus_bridge_origin_is_ours(in->side->bridge, m.header.origin)) {
        (void)tribus_add_rlx(&in->counters->echoes, 1u); /* counter */
        return;
    }
    if (st == TRIBUS_OK && type == TRIBUS_MSG_HYBRID_PIPELINE_COORD &&
        extra.envelope_bytes + extra.data_bytes > MOST_DEFINITION)
        (void)snprintf(m.hybrid_pipeline_coord.text, sizeof(m.hybrid_pipeline_coord.text),
                       "definition: %zu bytes, %u are possible: use a file",
                       extra.envelope_bytes + extra.data_bytes, MOST_DEFINITION);
    if (st == TRIBUS_OK)
        st = tribus_bus_forward(in->side->handle, &m.header, &extra, &cut);
    if (st == TRIBUS_OK) {
        (void)tribus_add_rlx(&in->counters->received, 1u); /* counters */
        if (cut)
            (void)tribus_add_rlx(&in->counters->cut, 1u);
        return;
    }
    (void)tribus_add_rlx(
        st == TRIBUS_NOT_FOUND ? &in->counters->unknown : &in->counters->malformed, 1u);
    complain(in, channel->str, channel->len);
}

static void take_confirmation(inbound *in, const redisReply *channel, bool subscribed)
{
    tribus_msg_type type;

    if (tribus_wire_channel_parse(channel->str, channel->len, &type) != TRIBUS_OK)
        return;
    if (subscribed)
        in->confirmed |= 1ull << type;
    else
        in->confirmed &= ~(1ull << type);
    /* a hint to the other side: it looks again soon */
    tribus_store_rlx(&in->counters->confirmed, in->confirmed);
}

static tribus_status take_reply(inbound *in, const redisReply *r)
{
    const char *kind;

    in->heard_ns = tribus_now_ns();
    if (r->type == REDIS_REPLY_ERROR)
        return tribus_error_set(TRIBUS_REFUSED, "redis at %s: %s",
                                tribus_redis_name(in->side->redis), r->str);
    tribus_bridge_side_works(in->side);
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 3 ||
        r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_STRING)
        return TRIBUS_OK; /* an answer to PING */
    kind = r->element[0]->str;
    if (strcmp(kind, "message") == 0 && r->element[2]->type == REDIS_REPLY_STRING)
        take_message(in, r->element[1], r->element[2]);
    else if (strcmp(kind, "subscribe") == 0)
        take_confirmation(in, r->element[1], true);
    else if (strcmp(kind, "unsubscribe") == 0)
        take_confirmation(in, r->element[1], false);
    return TRIBUS_OK;
}

static tribus_status queue_channels(inbound *in, const char *command, uint64_t types)
{
    const char *words[1 + MOST_TYPES] = {command};
    char channels[MOST_TYPES][TRIBUS_WIRE_CHANNEL_BYTES];
    int argc = 1;

    for (uint32_t t = 1; t < MOST_TYPES; t++) {
        if ((types & (1ull << t)) == 0 ||
            tribus_wire_channel(t, channels[t], sizeof(channels[t])) != TRIBUS_OK)
            continue;
        words[argc++] = channels[t];
    }
    return argc == 1 ? TRIBUS_OK : tribus_redis_queue(in->side->redis, argc, words, NULL);
}

/* Bring our subscriptions into line with what is wanted. */
static tribus_status follow(inbound *in)
{
    const uint64_t wanted = tribus_want_reader_types(in->wants) & in->types;
    tribus_status st;

    if (wanted == in->asked)
        return TRIBUS_OK;
    in->confirmed &= wanted; /* before the server hears of it */
    tribus_store_rlx(&in->counters->confirmed, in->confirmed);
    st = queue_channels(in, "SUBSCRIBE", wanted & ~in->asked);
    if (st == TRIBUS_OK)
        st = queue_channels(in, "UNSUBSCRIBE", in->asked & ~wanted);
    if (st == TRIBUS_OK)
        in->asked = wanted;
    return st;
}

/* A server that stopped answering is found out by PING. */
static tribus_status check_alive(inbound *in)
{
    const char *ping[] = {"PING"};

    if (tribus_now_ns() - in->heard_ns > STUCK_NS)
        return tribus_error_set(TRIBUS_TIMEOUT, "redis at %s: no answer for %lld s",
                                tribus_redis_name(in->side->redis),
                                STUCK_NS / 1000000000LL);
    if (in->next_ping_ns != 0 && tribus_deadline_left_ns(in->next_ping_ns) > 0)
        return TRIBUS_OK;
    in->next_ping_ns = tribus_deadline_ns(PING_NS);
    return tribus_redis_queue(in->side->redis, 1, ping, NULL);
}

/* One turn while connected. */
static tribus_status turn(inbound *in)
{
    redisReply *reply = NULL;
    uint32_t taken = 0;
    tribus_status st = tribus_bridge_side_follow(in->side);

    if (st == TRIBUS_OK)
        st = follow(in);
    if (st == TRIBUS_OK)
        st = check_alive(in);
    if (st == TRIBUS_OK)
        st = tribus_redis_flush(in->side->redis);
    while (taken < TURN && (st == TRIBUS_OK || st == TRIBUS_FULL)) {
        st = tribus_redis_next(in->side->redis, &reply);
        if (st == TRIBUS_OK) {
            st = take_reply(in, reply);
            freeReplyObject(reply);
            taken++;
        }
    }
    if (taken > 0)
        in->busy_until_ns = tribus_deadline_ns(in->side->bridge->cfg.spin_ns);
    else if (st == TRIBUS_EMPTY && tribus_deadline_left_ns(in->busy_until_ns) > 0)
        (void)sched_yield(); /* whoever shares our core goes first */
    else if (st == TRIBUS_EMPTY)
        tribus_bridge_side_sleep(in->side, STEP_NS);
    return st == TRIBUS_EMPTY ? TRIBUS_OK : st;
}

static void disconnected(inbound *in)
{
    in->asked = in->confirmed = 0;
    in->next_ping_ns = 0;
    tribus_bridge_side_disconnect(in->side);
}

void *tribus_bridge_in_run(void *context)
{
    tribus_bridge_side *side = context;
    inbound *in = calloc(1, sizeof(*in));

    if (in == NULL || tribus_want_reader_open(side->session, &in->wants) != TRIBUS_OK) {
        tribus_log(TRIBUS_LOG_ERROR, "%s bus: no memory to join the wire",
                   tribus_wire_bus_title(side->bus));
        free(in);
        return NULL;
    }
    in->side = side;
    in->counters = &side->bridge->counters[side->bus];
    in->types = tribus_bridge_types_of(side->bus);
    while (tribus_load_rlx(&side->bridge->stopping) == 0) { /* looked at again and again */
        const bool fresh = side->redis == NULL;

        if (tribus_bridge_side_connect(side) != TRIBUS_OK) {
            tribus_bridge_side_sleep(side, STEP_NS);
            continue;
        }
        if (fresh)
            in->heard_ns = tribus_now_ns();
        if (turn(in) != TRIBUS_OK)
            disconnected(in);
    }
    tribus_want_reader_close(in->wants);
    free(in);
    return NULL;
}
