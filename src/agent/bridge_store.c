/* bridge_store.c -- durable messages into Redis streams: one thread a bus. See bridge.h.
 *
 * Each publisher's durable lane (bus/bus.h) is read from where `stored` says, and each
 * message is added to the stream named like its channel. A reply moves `stored` on. When
 * the connection is lost, reading begins again at `stored`; what the server had added
 * without our hearing of it is found in the streams' ends by origin and sequence, so that a
 * lost connection does not make duplicates.
 */
#include "agent/bridge_known.h"
#include "agent/bridge_side.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "bus/bus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LANES    120u /* of tribus_doorbell_wait(), some kept for the registry */
#define MOST_FLIGHT   1024u
#define STEP_NS       50000000LL
#define STUCK_NS      3000000000LL
#define KEEP          "1000000"
#define WAIT_MS       "1000"
#define EXPECT_NS     10000000000LL
#define DRAIN_NS      3000000000LL /* at the stop, for what is not stored yet */
#define RETRY_LEAST   2000000LL    /* to a lane that could not be joined */
#define RETRY_MOST    1000000000LL
#define BYTES_OF_CELL 4096u
#define NEVER         UINT64_MAX /* no revision of the registry */
#define MOST_EMPTY    8u

typedef struct lane {
    tribus_object object; /* number 0: this entry is free */
    tribus_bus_store_shm *shm;
    tribus_topic *topic; /* NULL: not read, or no more: it is corrupt */
    uint64_t position;   /* of the next message to read */
    uint64_t stored;     /* our copy: the publisher may write to the shared one */
    uint64_t goal;       /* at the stop: what is to be stored before it */
    uint32_t flying;
    bool seen;
    bool left; /* its publisher has ended */
} lane;

typedef enum flight_state {
    FLIGHT_SENT = 0, /* XADD was sent */
    FLIGHT_ADDED,    /* the server has it, but perhaps no replica */
    FLIGHT_SAFE,     /* it is where it has to be */
    FLIGHT_WAIT /* no message: WAIT was sent, for the replicas to have what is before */
} flight_state;

/* A message on its way to where it is safe. */
typedef struct flight {
    uint32_t lane;
    uint32_t type;
    flight_state state;
    uint64_t stored;                       /* what `stored` becomes when it has arrived */
    char entry[TRIBUS_BRIDGE_ENTRY_BYTES]; /* of the stream; "": not told */
} flight;

typedef struct store {
    tribus_bridge_side *side;
    tribus_bridge_counters *counters;
    uint64_t types;      /* of this bus: any may be published as durable */
    uint64_t odd;        /* types whose keys hold something else, told so */
    uint64_t revision;   /* of the registry, when it was last looked through */
    int64_t retry_ns;    /* when to look again, whatever the revision; 0: no need */
    int64_t delay_ns;    /* from the last such look */
    uint32_t empty;      /* turns in a row that found news and nothing to read */
    bool reached;        /* the server was there once */
    int64_t expected_ns; /* when to give it up, if it never was */
    int64_t heard_ns;
    lane lanes[MOST_LANES];
    flight flights[MOST_FLIGHT];
    uint32_t first;
    uint32_t count;         /* flights */
    uint32_t answered;      /* of them */
    bool waiting;           /* one of them is a WAIT */
    bool short_of_replicas; /* said so */
    /* Entries that are safe, and need not be looked through again. One that was added and is
     * not safe yet is sent again to the server that replaces this one, which may have it. */
    char newest[TRIBUS_MSG_END][TRIBUS_BRIDGE_ENTRY_BYTES];
    tribus_bridge_known known;
    _Alignas(8) unsigned char cell[BYTES_OF_CELL];
    char json[TRIBUS_WIRE_JSON_BYTES];
} store;

/* ---- lanes ---- */

/* Read on at a position, or at the oldest message left behind it; count what is gone. */
static void seek_lane(store *s, lane *l, uint64_t position)
{
    l->position = tribus_topic_seek(l->topic, position);
    if (l->position > position) {
        (void)tribus_add_rlx(&s->counters->store_lost,
                             l->position - position); /* counter */
        tribus_log(TRIBUS_LOG_ERROR, "%s bus: %s: %" PRIu64 " messages were not stored",
                   tribus_wire_bus_title(s->side->bus), l->object.name,
                   l->position - position);
    }
}

/* Read again from where the last stored message ends. */
static void rewind_lane(store *s, lane *l)
{
    seek_lane(s, l, l->stored);
    l->stored = l->position;
    l->flying = 0;
    tribus_store_rlx(&l->shm->stored, l->stored); /* a counter, see bus.c */
}

/* Look again later: soon at first, for a publisher that is laying out its lane. */
static void retry(store *s)
{
    if (s->retry_ns != 0)
        return;
    s->delay_ns = s->delay_ns == 0 ? RETRY_LEAST : s->delay_ns * 2;
    if (s->delay_ns > RETRY_MOST)
        s->delay_ns = RETRY_MOST;
    s->retry_ns = tribus_deadline_ns(s->delay_ns);
}

static lane *lane_of(store *s, const tribus_object *object)
{
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        if (s->lanes[i].object.number == object->number &&
            s->lanes[i].object.generation == object->generation)
            return &s->lanes[i];
    }
    return NULL;
}

/* Nobody can read on here. The entry stays until the object goes, so that it is not joined
 * again. Corrupt memory does not say how much is lost: at least one message. */
static void abandon(store *s, lane *l)
{
    (void)tribus_add_rlx(&s->counters->store_lost, 1u); /* counter */
    tribus_log(TRIBUS_LOG_ERROR, "%s bus: %s is not stored any more: %s",
               tribus_wire_bus_title(s->side->bus), l->object.name, tribus_error_text());
    tribus_topic_close(l->topic);
    l->topic = NULL;
}

/* Map a lane and become its reader. */
static void join(store *s, const tribus_object *row)
{
    const tribus_object none = {.number = 0};
    lane *l = lane_of(s, &none);
    tribus_object object;
    void *mem = NULL;

    if (l == NULL || tribus_session_open_object(s->side->session, row->name, 1, &object,
                                                &mem) != TRIBUS_OK) {
        retry(s);
        return;
    }
    if (object.number != row->number || object.generation != row->generation) {
        tribus_session_drop(s->side->session, &object, 0);
        retry(s); /* the name is another's by now */
        return;
    }
    if (object.bytes <= TRIBUS_BUS_STORE_BYTES ||
        tribus_topic_open((unsigned char *)mem + TRIBUS_BUS_STORE_BYTES,
                          (size_t)object.bytes - TRIBUS_BUS_STORE_BYTES, TRIBUS_READER, 0,
                          &l->topic) != TRIBUS_OK) {
        tribus_session_drop(s->side->session, &object, 0);
        l->topic = NULL;
        retry(s); /* not laid out yet */
        return;
    }
    l->object = object;
    l->shm = mem;
    l->seen = true;
    if (tribus_topic_payload_bytes(l->topic) > sizeof(s->cell)) {
        (void)tribus_error_set(TRIBUS_CORRUPT, "cells larger than any message");
        abandon(s, l);
        return;
    }
    l->stored = tribus_load_rlx(&l->shm->stored); /* what the agent before us reached */
    if (tribus_topic_seek(l->topic, l->stored) < l->stored)
        l->stored = 0; /* more than was ever published: nothing is known to be stored */
    rewind_lane(s, l);
    l->goal = tribus_topic_published(l->topic);
    tribus_store_rlx(&l->shm->claimed, 1u); /* from now on the publisher waits for us */
}

static void leave(store *s, lane *l)
{
    tribus_topic_close(l->topic);
    tribus_session_drop(s->side->session, &l->object, 0);
    memset(l, 0, sizeof(*l));
}

/* Messages that wait to be stored. A publisher that was killed between showing a message and
 * counting it is behind what we read. */
static uint64_t unstored(const lane *l)
{
    const int64_t n =
        l->topic == NULL ? 0 : (int64_t)(tribus_topic_published(l->topic) - l->stored);

    return n > 0 ? (uint64_t)n : 0;
}

static bool is_due(const store *s)
{
    return tribus_session_revision(s->side->session) != s->revision ||
           (s->retry_ns != 0 && tribus_deadline_left_ns(s->retry_ns) == 0);
}

static void look(store *s)
{
    const uint64_t revision = tribus_session_revision(s->side->session);
    tribus_object row;
    uint32_t cursor = 0;

    if (revision != s->revision)
        s->delay_ns = 0;
    s->revision = revision;
    s->retry_ns = 0;
    for (uint32_t i = 0; i < MOST_LANES; i++)
        s->lanes[i].seen = false;
    while (tribus_session_next_object(s->side->session, &cursor, &row) == TRIBUS_OK) {
        uint32_t bus = 0;
        uint32_t kind = 0;
        lane *l;

        if (!tribus_bus_topic_parse(&row, &bus, &kind) || bus != s->side->bus ||
            kind != TRIBUS_BUS_DURABLE)
            continue;
        l = lane_of(s, &row);
        if (l == NULL)
            join(s, &row);
        else
            l->seen = true;
        l = lane_of(s, &row);
        if (l != NULL)
            l->left = tribus_bus_topic_is_left(&row);
    }
}

/* ---- what the server has ---- */

/* A key that holds something else takes no message of its type; the other streams do. */
static bool is_odd(store *s, uint32_t type, const char *text)
{
    if (strstr(text, "WRONGTYPE") == NULL)
        return false;
    if ((s->odd & (1ull << type)) == 0)
        tribus_log(TRIBUS_LOG_ERROR,
                   "%s bus: redis at %s: the key of %s holds no stream: delete or rename "
                   "it; such messages are not stored",
                   tribus_wire_bus_title(s->side->bus), tribus_redis_name(s->side->redis),
                   tribus_wire_type_name(type));
    s->odd |= 1ull << type;
    return true;
}

/* Learn from the end of each stream how far each origin was stored. */
static tribus_status learn(store *s)
{
    tribus_bridge_known_clear(&s->known);
    for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
        char channel[TRIBUS_WIRE_CHANNEL_BYTES];
        tribus_status st;

        if ((s->types & (1ull << t)) == 0 ||
            tribus_wire_channel(t, channel, sizeof(channel)) != TRIBUS_OK)
            continue;
        st = tribus_bridge_known_read(&s->known, s->side->redis, channel, s->newest[t]);
        if (st == TRIBUS_REFUSED && is_odd(s, t, tribus_error_text()))
            continue;
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* ---- sending ---- */

/* The state of a message that the server has. */
static flight_state added(const store *s)
{
    return s->side->bridge->cfg.replicas > 0 ? FLIGHT_ADDED : FLIGHT_SAFE;
}

static void arrived(store *s)
{
    while (s->count > 0 && s->flights[s->first].state == FLIGHT_SAFE) {
        const flight *f = &s->flights[s->first];

        if (f->lane < MOST_LANES) {
            lane *l = &s->lanes[f->lane];

            l->flying--;
            l->stored = f->stored;
            if (f->entry[0] != '\0')
                memcpy(s->newest[f->type], f->entry, sizeof(f->entry));
            tribus_store_rlx(&l->shm->stored, l->stored); /* a counter, see bus.c */
        }
        s->first = (s->first + 1) % MOST_FLIGHT;
        s->count--;
        s->answered -= s->answered > 0;
    }
}

static void fly(store *s, lane *l, uint32_t type, flight_state state)
{
    s->flights[(s->first + s->count++) % MOST_FLIGHT] =
        (flight){.lane = (uint32_t)(l - s->lanes),
                 .type = type,
                 .state = state,
                 .stored = l->position};
    l->flying++;
    arrived(s);
}

/* Ask for what has been added to be on the replicas, too: a server that is lost takes with it
 * what only it had. */
static tribus_status ask_replicas(store *s)
{
    char count[16];
    const char *words[] = {"WAIT", count, WAIT_MS};
    tribus_status st;

    if (s->side->bridge->cfg.replicas == 0 || s->count == 0 || s->waiting)
        return TRIBUS_OK;
    (void)snprintf(count, sizeof(count), "%u", s->side->bridge->cfg.replicas);
    st = tribus_redis_queue(s->side->redis, 3, words, NULL);
    if (st != TRIBUS_OK)
        return st == TRIBUS_FULL ? TRIBUS_OK : st;
    s->flights[(s->first + s->count++) % MOST_FLIGHT] =
        (flight){.lane = MOST_LANES, .state = FLIGHT_WAIT};
    s->waiting = true;
    s->heard_ns = tribus_now_ns();
    return TRIBUS_OK;
}

static tribus_status add(store *s, const tribus_msg_header *m, size_t json_bytes)
{
    char channel[TRIBUS_WIRE_CHANNEL_BYTES];
    char origin[24];
    char sequence[24];
    const char *words[11] = {"XADD",   channel, "MAXLEN",   "~",      KEEP,  "*",
                             "origin", origin,  "sequence", sequence, "json"};
    const char *all[12];
    size_t lengths[12];

    if (tribus_wire_channel(m->type, channel, sizeof(channel)) != TRIBUS_OK)
        return TRIBUS_BAD_DATA;
    (void)snprintf(origin, sizeof(origin), "%u", m->origin);
    (void)snprintf(sequence, sizeof(sequence), "%" PRIu64, m->sequence);
    for (int i = 0; i < 11; i++) {
        all[i] = words[i];
        lengths[i] = strlen(words[i]);
    }
    all[11] = s->json;
    lengths[11] = json_bytes;
    return tribus_redis_queue(s->side->redis, 12, all, lengths);
}

/* Send the next message of a lane. Returns TRIBUS_OK, TRIBUS_EMPTY, TRIBUS_FULL,
 * TRIBUS_CORRUPT (the lane is) or what adding it failed with. */
static tribus_status send_next(store *s, lane *l)
{
    const tribus_msg_header *m = (const tribus_msg_header *)s->cell;
    size_t json_bytes = 0;
    uint32_t used = 0;
    uint64_t lost = 0;
    tribus_status st;

    if (s->count >= MOST_FLIGHT - 1u) /* and one for a WAIT */
        return TRIBUS_FULL;
    st = tribus_topic_read(l->topic, s->cell, &used, &lost);
    if (lost > 0)
        (void)tribus_add_rlx(&s->counters->store_lost, lost); /* counter */
    l->position += lost;
    if (st != TRIBUS_OK)
        return st;
    l->position++;
    if (tribus_wire_validate(m, used) != TRIBUS_OK || m->bus != s->side->bus ||
        tribus_wire_to_json(m, s->json, sizeof(s->json), &json_bytes) != TRIBUS_OK) {
        (void)tribus_add_rlx(&s->counters->malformed, 1u); /* counter */
        fly(s, l, 0, FLIGHT_SAFE);
        return TRIBUS_OK;
    }
    if (tribus_bridge_known_has(&s->known, m->origin, m->sequence)) {
        fly(s, l, 0, added(s)); /* it was added before the connection was lost */
        return TRIBUS_OK;
    }
    st = add(s, m, json_bytes);
    if (st == TRIBUS_FULL) { /* read it again later */
        seek_lane(s, l, l->position - 1u);
        return st;
    }
    if (st == TRIBUS_OK) {
        fly(s, l, m->type, FLIGHT_SENT);
        (void)tribus_add_rlx(&s->counters->stored, 1u); /* counter */
        if (s->count == 1)
            s->heard_ns = tribus_now_ns();
    }
    return st;
}

/* The answer to a WAIT, for what flies before it. Replicas leave a server that was replaced. */
static tribus_status take_count(store *s, flight *f, long long count)
{
    const uint32_t replicas = s->side->bridge->cfg.replicas;

    s->waiting = false;
    if (count >= (long long)replicas) {
        s->short_of_replicas = false;
        for (uint32_t i = 0; i < s->answered; i++)
            s->flights[(s->first + i) % MOST_FLIGHT].state = FLIGHT_SAFE;
        return TRIBUS_OK;
    }
    f->state = FLIGHT_ADDED; /* asked again at the next turn */
    if (s->answered == s->count) {
        s->answered--;
        s->count--;
    }
    if (!s->short_of_replicas)
        tribus_log(TRIBUS_LOG_WARN,
                   "%s bus: redis at %s: fewer than %u replicas; what is durable waits",
                   tribus_wire_bus_title(s->side->bus), tribus_redis_name(s->side->redis),
                   replicas);
    s->short_of_replicas = true;
    return tribus_bridge_side_ask_place(s->side);
}

/* The answer to the oldest command that has none yet. */
static tribus_status take_reply(store *s, const redisReply *r)
{
    flight *f = NULL;

    while (f == NULL && s->answered < s->count) {
        f = &s->flights[(s->first + s->answered++) % MOST_FLIGHT];
        if (f->state != FLIGHT_SENT && f->state != FLIGHT_WAIT)
            f = NULL;
    }
    if (f == NULL)
        return tribus_error_set(TRIBUS_BAD_DATA, "redis at %s: an answer to nothing",
                                tribus_redis_name(s->side->redis));
    if (f->state == FLIGHT_WAIT && r->type == REDIS_REPLY_INTEGER) {
        const tribus_status st = take_count(s, f, r->integer);

        arrived(s);
        return st;
    }
    if (r->type == REDIS_REPLY_ERROR && f->state == FLIGHT_SENT &&
        is_odd(s, f->type, r->str)) {
        (void)tribus_add_rlx(&s->counters->store_lost, 1u); /* counter */
    } else if (r->type == REDIS_REPLY_ERROR || f->state == FLIGHT_WAIT) {
        return tribus_error_set(TRIBUS_REFUSED, "redis at %s: not stored: %s",
                                tribus_redis_name(s->side->redis),
                                r->type == REDIS_REPLY_ERROR ? r->str : "odd reply");
    } else {
        s->odd &= ~(1ull << f->type);
        if (r->type == REDIS_REPLY_STRING)
            (void)snprintf(f->entry, sizeof(f->entry), "%.47s", r->str);
        tribus_bridge_side_works(s->side);
    }
    f->state = added(s); /* the server has it */
    arrived(s);
    return TRIBUS_OK;
}

static tribus_status take_replies(store *s)
{
    redisReply *r = NULL;
    tribus_status st;

    while ((st = tribus_redis_next(s->side->redis, &r)) == TRIBUS_OK) {
        s->heard_ns = tribus_now_ns();
        st = take_reply(s, r);
        freeReplyObject(r);
        if (st != TRIBUS_OK)
            return st;
    }
    return st == TRIBUS_EMPTY ? TRIBUS_OK : st;
}

static int has_news(void *context)
{
    const store *s = context;

    for (uint32_t i = 0; i < MOST_LANES; i++) {
        const lane *l = &s->lanes[i];

        if (l->topic != NULL &&
            (int64_t)(tribus_topic_published(l->topic) - l->position) > 0)
            return 1;
    }
    return tribus_session_revision(s->side->session) != s->revision;
}

/* Nothing is on its way: sleep until something is published. */
static void sleep_on_lanes(store *s)
{
    tribus_doorbell_shm *bells[MOST_LANES + 1];
    const int64_t left_ns =
        s->retry_ns == 0 ? STEP_NS : tribus_deadline_left_ns(s->retry_ns);
    const tribus_wait_cfg wait = {.spin_ns = s->side->bridge->cfg.spin_ns,
                                  .timeout_ns = left_ns < STEP_NS ? left_ns : STEP_NS};
    uint32_t count = 0;
    tribus_status st;

    bells[count++] = tribus_session_bell(s->side->session);
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        if (s->lanes[i].topic != NULL)
            bells[count++] = tribus_topic_bell(s->lanes[i].topic);
    }
    /* `published` is the publisher's to write: do not spin when it promises what is not
     * there. */
    st = s->empty > MOST_EMPTY ? TRIBUS_SYSTEM
                               : tribus_doorbell_wait(bells, count, has_news, s, &wait);
    if (st == TRIBUS_SYSTEM)
        tribus_bridge_side_sleep(s->side, STEP_NS);
    s->empty = st == TRIBUS_OK ? s->empty + 1u : 0;
}

static tribus_status turn(store *s)
{
    bool sent = false;
    tribus_status st;

    if (is_due(s))
        look(s);
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        lane *l = &s->lanes[i];

        st = TRIBUS_EMPTY;
        while (l->topic != NULL && (st = send_next(s, l)) == TRIBUS_OK)
            sent = true;
        if (st == TRIBUS_CORRUPT) {
            abandon(s, l);
            st = TRIBUS_EMPTY;
        }
        if (st != TRIBUS_EMPTY && st != TRIBUS_FULL)
            return st;
        if (st == TRIBUS_EMPTY && l->object.number != 0 && !l->seen && l->flying == 0)
            leave(s, l); /* its publisher ended, and all is stored */
    }
    st = ask_replicas(s);
    if (st != TRIBUS_OK)
        return st;
    st = tribus_redis_flush(s->side->redis);
    if (st != TRIBUS_OK && st != TRIBUS_FULL)
        return st;
    st = take_replies(s);
    if (st != TRIBUS_OK)
        return st;
    if (s->count > 0 && tribus_now_ns() - s->heard_ns > STUCK_NS)
        return tribus_error_set(TRIBUS_TIMEOUT, "redis at %s: no answer for %lld s",
                                tribus_redis_name(s->side->redis), STUCK_NS / 1000000000LL);
    if (s->count > 0) {
        tribus_bridge_side_sleep(s->side, STEP_NS);
        return TRIBUS_OK;
    }
    tribus_bridge_side_works(s->side);
    if (sent)
        s->empty = 0;
    else
        sleep_on_lanes(s);
    return TRIBUS_OK;
}

static void disconnected(store *s)
{
    s->first = s->count = s->answered = 0;
    s->waiting = false;
    tribus_bridge_side_disconnect(s->side);
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        s->lanes[i].flying = 0;
        if (s->lanes[i].topic != NULL)
            rewind_lane(s, &s->lanes[i]);
    }
}

/* There is no server, and perhaps none is meant to be: let publishers go on without one. */
static void give_up(store *s)
{
    tribus_session_drop(s->side->session, &s->side->server, 1);
    s->side->server.number = 0;
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        lane *l = &s->lanes[i];

        if (l->object.number != 0) {
            tribus_store_rlx(&l->shm->claimed, 0u); /* a hint for its publisher */
            leave(s, l);
        }
    }
    s->revision = NEVER; /* all of them again, should a server come */
    tribus_log(TRIBUS_LOG_WARN, "%s bus: no server: durable messages are not stored",
               tribus_wire_bus_title(s->side->bus));
}

/* The server is away: lanes are joined all the same, so that a publisher which ends meanwhile
 * does not take its messages with it; but not for long where no server was ever seen. */
static void wait_for_server(store *s)
{
    if (s->side->server.number != 0 && !s->reached &&
        tribus_deadline_left_ns(s->expected_ns) == 0)
        give_up(s);
    if (s->side->server.number != 0 && is_due(s))
        look(s);
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        lane *l = &s->lanes[i];

        if (l->object.number != 0 && !l->seen && unstored(l) == 0)
            leave(s, l);
    }
    tribus_bridge_side_sleep(s->side, STEP_NS);
}

/* Is there anything to be stored before we stop? */
static bool is_waiting(const store *s)
{
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        const lane *l = &s->lanes[i];

        if (l->topic != NULL && (int64_t)(l->goal - l->stored) > 0)
            return true;
    }
    return false;
}

/* Connected or not: what there is to do next. */
static void go_on(store *s)
{
    const bool fresh = s->side->redis == NULL;

    if (tribus_bridge_side_connect(s->side) != TRIBUS_OK) {
        wait_for_server(s);
        return;
    }
    s->reached = true;
    if ((fresh && learn(s) != TRIBUS_OK) || turn(s) != TRIBUS_OK)
        disconnected(s);
}

/* The agent stops in order: store what publishers left to it, and what they wait for. */
static void drain(store *s)
{
    const int64_t until = tribus_deadline_ns(DRAIN_NS);

    if (s->side->server.number != 0 && is_due(s))
        look(s);
    for (uint32_t i = 0; i < MOST_LANES; i++) { /* who lives may publish on for ever */
        if (s->lanes[i].topic != NULL)
            s->lanes[i].goal = tribus_topic_published(s->lanes[i].topic);
    }
    while (s->side->server.number != 0 && is_waiting(s) &&
           tribus_deadline_left_ns(until) > 0)
        go_on(s);
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        lane *l = &s->lanes[i];
        const uint64_t rest = unstored(l);

        /* A publisher that lives keeps its lane for the agent that comes after us. */
        if (rest > 0 && l->left) {
            (void)tribus_add_rlx(&s->counters->store_lost, rest); /* counter */
            tribus_log(TRIBUS_LOG_ERROR, "%s bus: %s: %" PRIu64 " messages were not stored",
                       tribus_wire_bus_title(s->side->bus), l->object.name, rest);
        }
        tribus_topic_close(l->topic);
    }
}

void *tribus_bridge_store_run(void *context)
{
    tribus_bridge_side *side = context;
    store *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        tribus_log(TRIBUS_LOG_ERROR, "%s bus: no memory to store durable messages",
                   tribus_wire_bus_title(side->bus));
        return NULL;
    }
    s->side = side;
    s->counters = &side->bridge->counters[side->bus];
    s->types = tribus_bridge_types_of(side->bus);
    s->revision = NEVER;
    /* A server that starts with us is expected: what is published before it answers has to
     * wait for it. */
    s->expected_ns = tribus_deadline_ns(EXPECT_NS);
    if (tribus_bridge_side_announce(side) != TRIBUS_OK)
        tribus_log(TRIBUS_LOG_WARN, "%s bus: %s", tribus_wire_bus_title(side->bus),
                   tribus_error_text());
    while (tribus_load_rlx(&side->bridge->stopping) == 0) /* looked at again and again */
        go_on(s);
    drain(s);
    tribus_bridge_known_clear(&s->known);
    free(s);
    return NULL;
}
