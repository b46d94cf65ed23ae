/* bridge_store.c -- durable messages into Redis streams: one thread a bus. See bridge.h.
 *
 * Each publisher's durable lane (bus/bus.h) is read from where `stored` says, and each
 * message is added to the stream named like its channel. A reply moves `stored` on. When
 * the connection is lost, reading begins again at `stored`; what the server had added
 * without our hearing of it is found in the streams' ends by origin and sequence, so that a
 * lost connection does not make duplicates.
 */
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
#define TAIL          "2048" /* entries of a stream looked at after a connection was lost */
#define KEEP          "1000000"
#define CALL_NS       1000000000LL
#define EXPECT_NS     10000000000LL
#define MOST_ORIGINS  256u
#define BYTES_OF_CELL 4096u

typedef struct lane {
    tribus_object object;
    tribus_bus_store_shm *shm;
    tribus_topic *topic; /* NULL: this entry is free */
    uint64_t position;   /* of the next message to read */
    uint64_t stored;     /* our copy: the publisher may write to the shared one */
    uint32_t flying;
    bool seen;
} lane;

/* A message on its way, or one that needs no way (sent false). */
typedef struct flight {
    uint32_t lane;
    bool sent;
    uint64_t stored; /* what `stored` becomes when it has arrived */
} flight;

typedef struct known {
    uint32_t origin;
    uint64_t sequence; /* the last one that is in a stream */
} known;

typedef struct store {
    tribus_bridge_side *side;
    tribus_bridge_counters *counters;
    uint64_t types;
    uint64_t revision;
    bool looked;
    bool reached;        /* the server was there once */
    int64_t expected_ns; /* when to give it up, if it never was */
    int64_t heard_ns;
    lane lanes[MOST_LANES];
    flight flights[MOST_FLIGHT];
    uint32_t first;
    uint32_t count; /* flights */
    known known[MOST_ORIGINS];
    uint32_t known_count;
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

static void join(store *s, const tribus_object *row)
{
    lane *l = NULL;
    void *mem = NULL;

    for (uint32_t i = 0; i < MOST_LANES && l == NULL; i++) {
        if (s->lanes[i].topic == NULL)
            l = &s->lanes[i];
    }
    if (l == NULL || tribus_session_open_object(s->side->session, row->name, 1, &l->object,
                                                &mem) != TRIBUS_OK) {
        s->looked = false; /* again at the next turn */
        return;
    }
    if (l->object.bytes <= TRIBUS_BUS_STORE_BYTES ||
        tribus_topic_open((unsigned char *)mem + TRIBUS_BUS_STORE_BYTES,
                          (size_t)l->object.bytes - TRIBUS_BUS_STORE_BYTES, TRIBUS_READER,
                          0, &l->topic) != TRIBUS_OK) {
        l->topic = NULL;
        s->looked = false; /* not laid out yet */
        return;
    }
    if (tribus_topic_payload_bytes(l->topic) > sizeof(s->cell)) {
        tribus_topic_close(l->topic);
        l->topic = NULL;
        return;
    }
    l->shm = mem;
    l->seen = true;
    l->stored = tribus_load_rlx(&l->shm->stored); /* what the agent before us reached */
    if (tribus_topic_seek(l->topic, l->stored) < l->stored)
        l->stored = 0; /* more than was ever published: nothing is known to be stored */
    rewind_lane(s, l);
    tribus_store_rlx(&l->shm->claimed, 1u); /* from now on the publisher waits for us */
}

static void leave(store *s, lane *l)
{
    tribus_topic_close(l->topic);
    tribus_session_drop(s->side->session, &l->object, 0);
    memset(l, 0, sizeof(*l));
}

static void look(store *s)
{
    tribus_object row;
    uint32_t cursor = 0;

    s->revision = tribus_session_revision(s->side->session);
    s->looked = true;
    for (uint32_t i = 0; i < MOST_LANES; i++)
        s->lanes[i].seen = false;
    while (tribus_session_next_object(s->side->session, &cursor, &row) == TRIBUS_OK) {
        uint32_t bus = 0;
        uint32_t kind = 0;
        bool known_lane = false;

        if (!tribus_bus_topic_parse(&row, &bus, &kind) || bus != s->side->bus ||
            kind != TRIBUS_BUS_DURABLE)
            continue;
        for (uint32_t i = 0; i < MOST_LANES; i++) {
            lane *l = &s->lanes[i];

            if (l->topic != NULL && l->object.number == row.number &&
                l->object.generation == row.generation)
                known_lane = l->seen = true;
        }
        if (!known_lane)
            join(s, &row);
    }
}

/* ---- what the server has ---- */

static uint64_t *known_of(store *s, uint32_t origin, bool add)
{
    for (uint32_t i = 0; i < s->known_count; i++) {
        if (s->known[i].origin == origin)
            return &s->known[i].sequence;
    }
    if (!add || s->known_count == MOST_ORIGINS)
        return NULL;
    s->known[s->known_count] = (known){.origin = origin};
    return &s->known[s->known_count++].sequence;
}

static uint64_t number_in(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(fields->element[i]->str, name) == 0)
            return strtoull(fields->element[i + 1]->str, NULL, 10);
    }
    return 0;
}

/* Learn from the end of each stream how far each origin was stored. */
static tribus_status learn(store *s)
{
    s->known_count = 0;
    for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
        char channel[TRIBUS_WIRE_CHANNEL_BYTES];
        const char *words[] = {"XREVRANGE", channel, "+", "-", "COUNT", TAIL};
        redisReply *r = NULL;
        tribus_status st;

        if ((s->types & (1ull << t)) == 0 ||
            tribus_wire_channel(t, channel, sizeof(channel)) != TRIBUS_OK)
            continue;
        st = tribus_redis_call_wait(s->side->redis, 6, words, CALL_NS, &r);
        if (st != TRIBUS_OK)
            return st;
        for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
            const redisReply *entry = r->element[i];
            uint64_t *last;
            uint64_t sequence;

            if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
                entry->element[1]->type != REDIS_REPLY_ARRAY)
                continue;
            sequence = number_in(entry->element[1], "sequence");
            last = known_of(s, (uint32_t)number_in(entry->element[1], "origin"), true);
            if (last != NULL && sequence > *last)
                *last = sequence;
        }
        freeReplyObject(r);
    }
    return TRIBUS_OK;
}

/* ---- sending ---- */

static void arrived(store *s)
{
    while (s->count > 0) {
        const flight *f = &s->flights[s->first];
        lane *l = &s->lanes[f->lane];

        if (f->sent)
            break;
        l->flying--;
        l->stored = f->stored;
        tribus_store_rlx(&l->shm->stored, l->stored); /* a counter, see bus.c */
        s->first = (s->first + 1) % MOST_FLIGHT;
        s->count--;
    }
}

static void fly(store *s, lane *l, bool sent)
{
    s->flights[(s->first + s->count++) % MOST_FLIGHT] =
        (flight){.lane = (uint32_t)(l - s->lanes), .sent = sent, .stored = l->position};
    l->flying++;
    if (!sent)
        arrived(s);
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

/* Send the next message of a lane. Returns TRIBUS_OK, TRIBUS_EMPTY, TRIBUS_FULL or what
 * adding it failed with. */
static tribus_status send_next(store *s, lane *l)
{
    const tribus_msg_header *m = (const tribus_msg_header *)s->cell;
    const uint64_t *last;
    size_t json_bytes = 0;
    uint32_t used = 0;
    uint64_t lost = 0;
    tribus_status st;

    if (s->count == MOST_FLIGHT)
        return TRIBUS_FULL;
    st = tribus_topic_read(l->topic, s->cell, &used, &lost);
    if (lost > 0)
        (void)tribus_add_rlx(&s->counters->store_lost, lost); /* counter */
    l->position += lost;
    if (st != TRIBUS_OK)
        return st == TRIBUS_CORRUPT ? TRIBUS_EMPTY : st;
    l->position++;
    if (tribus_wire_validate(m, used) != TRIBUS_OK || m->bus != s->side->bus ||
        tribus_wire_to_json(m, s->json, sizeof(s->json), &json_bytes) != TRIBUS_OK) {
        (void)tribus_add_rlx(&s->counters->malformed, 1u); /* counter */
        fly(s, l, false);
        return TRIBUS_OK;
    }
    last = known_of(s, m->origin, false);
    if (last != NULL && m->sequence <= *last) {
        fly(s, l, false); /* it was added before the connection was lost */
        return TRIBUS_OK;
    }
    st = add(s, m, json_bytes);
    if (st == TRIBUS_FULL) { /* read it again later */
        seek_lane(s, l, l->position - 1u);
        return st;
    }
    if (st == TRIBUS_OK) {
        fly(s, l, true);
        (void)tribus_add_rlx(&s->counters->stored, 1u); /* counter */
        if (s->count == 1)
            s->heard_ns = tribus_now_ns();
    }
    return st;
}

static tribus_status take_replies(store *s)
{
    redisReply *r = NULL;
    tribus_status st;

    while ((st = tribus_redis_next(s->side->redis, &r)) == TRIBUS_OK) {
        s->heard_ns = tribus_now_ns();
        if (r->type == REDIS_REPLY_ERROR || s->count == 0)
            st = tribus_error_set(TRIBUS_REFUSED, "redis at %s: not stored: %s",
                                  tribus_redis_name(s->side->redis),
                                  r->type == REDIS_REPLY_ERROR ? r->str : "odd reply");
        freeReplyObject(r);
        if (st != TRIBUS_OK)
            return st;
        s->flights[s->first].sent = false; /* it has arrived */
        arrived(s);
    }
    return st == TRIBUS_EMPTY ? TRIBUS_OK : st;
}

static int has_news(void *context)
{
    const store *s = context;

    for (uint32_t i = 0; i < MOST_LANES; i++) {
        const lane *l = &s->lanes[i];

        if (l->topic != NULL && tribus_topic_published(l->topic) != l->position)
            return 1;
    }
    return !s->looked || tribus_session_revision(s->side->session) != s->revision;
}

/* Nothing is on its way: sleep until something is published. */
static void sleep_on_lanes(store *s)
{
    tribus_doorbell_shm *bells[MOST_LANES + 1];
    const tribus_wait_cfg wait = {.spin_ns = s->side->bridge->cfg.spin_ns,
                                  .timeout_ns = STEP_NS};
    uint32_t count = 0;

    bells[count++] = tribus_session_bell(s->side->session);
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        if (s->lanes[i].topic != NULL)
            bells[count++] = tribus_topic_bell(s->lanes[i].topic);
    }
    if (tribus_doorbell_wait(bells, count, has_news, s, &wait) == TRIBUS_SYSTEM)
        tribus_bridge_side_sleep(s->side, STEP_NS);
}

static tribus_status turn(store *s)
{
    bool sent = false;
    tribus_status st;

    if (!s->looked || tribus_session_revision(s->side->session) != s->revision)
        look(s);
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        lane *l = &s->lanes[i];

        st = TRIBUS_EMPTY;
        while (l->topic != NULL && (st = send_next(s, l)) == TRIBUS_OK)
            sent = true;
        if (st != TRIBUS_EMPTY && st != TRIBUS_FULL)
            return st;
        if (st == TRIBUS_EMPTY && l->topic != NULL && !l->seen && l->flying == 0)
            leave(s, l); /* its publisher ended, and all is stored */
    }
    st = tribus_redis_flush(s->side->redis);
    if (st != TRIBUS_OK && st != TRIBUS_FULL)
        return st;
    st = take_replies(s);
    if (st != TRIBUS_OK)
        return st;
    if (s->count > 0 && tribus_now_ns() - s->heard_ns > STUCK_NS)
        return tribus_error_set(TRIBUS_TIMEOUT, "redis at %s: no answer for %lld s",
                                tribus_redis_name(s->side->redis), STUCK_NS / 1000000000LL);
    if (s->count > 0)
        tribus_bridge_side_sleep(s->side, STEP_NS);
    else if (!sent)
        sleep_on_lanes(s);
    return TRIBUS_OK;
}

static void disconnected(store *s)
{
    s->first = s->count = 0;
    tribus_bridge_side_disconnect(s->side);
    for (uint32_t i = 0; i < MOST_LANES; i++) {
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

        if (l->topic != NULL) {
            tribus_store_rlx(&l->shm->claimed, 0u); /* a hint for its publisher */
            leave(s, l);
        }
    }
    s->looked = false; /* all of them again, should a server come */
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
    if (s->side->server.number != 0 &&
        (!s->looked || tribus_session_revision(s->side->session) != s->revision))
        look(s);
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        lane *l = &s->lanes[i];

        if (l->topic != NULL && !l->seen && l->stored == tribus_topic_published(l->topic))
            leave(s, l);
    }
    tribus_bridge_side_sleep(s->side, STEP_NS);
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
    for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
        if ((tribus_bridge_types_of(side->bus) & (1ull << t)) != 0 &&
            tribus_wire_durable(t))
            s->types |= 1ull << t;
    }
    /* A server that starts with us is expected: what is published before it answers has to
     * wait for it. */
    s->expected_ns = tribus_deadline_ns(EXPECT_NS);
    if (tribus_bridge_side_announce(side) != TRIBUS_OK)
        tribus_log(TRIBUS_LOG_WARN, "%s bus: %s", tribus_wire_bus_title(side->bus),
                   tribus_error_text());
    while (tribus_load_rlx(&side->bridge->stopping) == 0) { /* looked at again and again */
        const bool fresh = side->redis == NULL;

        if (tribus_bridge_side_connect(side) != TRIBUS_OK) {
            wait_for_server(s);
            continue;
        }
        s->reached = true;
        if ((fresh && learn(s) != TRIBUS_OK) || turn(s) != TRIBUS_OK)
            disconnected(s);
    }
    for (uint32_t i = 0; i < MOST_LANES; i++) {
        if (s->lanes[i].topic != NULL)
            tribus_topic_close(s->lanes[i].topic);
    }
    free(s);
    return NULL;
}
