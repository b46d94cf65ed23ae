/* consumer.c -- durable messages out of Redis streams, at least once. See bus.h.
 *
 * One connection for each bus that has one of the types. After each (re)connection the
 * consumer is first given what it had and did not acknowledge (its pending entries), then
 * what is new. Acknowledgements are pipelined; their replies come before the reply to the
 * read that follows them.
 */
#include "bus/bus.h"

#include "base/clock.h"
#include "base/error.h"
#include "bus/redis.h"
#include "bus/server.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_BYTES 64u
#define BATCH      "64"
#define CALL_NS    2000000000LL
#define BLOCK_MS   100
#define MOST_TYPES 64u

/* One bus. */
typedef struct source {
    tribus_redis *redis; /* NULL: not connected */
    tribus_redis_backoff backoff;
    uint32_t bus;
    uint32_t types[MOST_TYPES];
    uint32_t type_count;
    char last[MOST_TYPES][32]; /* while pending: where the reading of its entries is */
    bool pending;              /* still being given what it had before */
    bool asked;                /* XREADGROUP was sent */
    uint32_t acks;             /* replies due before that of the read */
    redisReply *reply;         /* what is being handed out */
    size_t stream;
    size_t entry;
} source;

struct tribus_consumer {
    tribus_bus *bus;
    char group[NAME_BYTES];
    char name[NAME_BYTES];
    char user[NAME_BYTES];
    char password[128];
    bool has_user;
    bool has_password;
    bool from_start;
    int64_t take_over_ns;
    source sources[TRIBUS_BUSES];
    uint32_t count;
    uint32_t turn;
    source *from; /* whose message was last handed out; NULL: acknowledged */
    char id[32];
    char key[TRIBUS_WIRE_CHANNEL_BYTES];
    tribus_msg_any message;
};

/* ---- open ---- */

static bool copy_text(char *to, size_t n, const char *from)
{
    return from != NULL && from[0] != '\0' && (size_t)snprintf(to, n, "%s", from) < n;
}

static uint64_t all_durable(void)
{
    uint64_t types = 0;

    for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
        if (tribus_wire_message_bytes(t) != 0 && tribus_wire_durable(t))
            types |= 1ull << t;
    }
    return types;
}

static void add_types(tribus_consumer *c, uint64_t types)
{
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        source *s = &c->sources[c->count];

        s->bus = b;
        for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
            if ((types & (1ull << t)) != 0 && tribus_wire_message_bytes(t) != 0 &&
                tribus_wire_bus_of(t) == b)
                s->types[s->type_count++] = t;
        }
        if (s->type_count > 0)
            c->count++;
    }
}

tribus_status tribus_consumer_open(tribus_bus *bus, const tribus_consumer_cfg *cfg,
                                   tribus_consumer **out)
{
    tribus_consumer *c = calloc(1, sizeof(*c));
    tribus_status st = TRIBUS_OK;

    if (c == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open consumer");
    c->bus = bus;
    c->from_start = cfg->from_start != 0;
    c->take_over_ns = cfg->take_over_ns;
    c->has_user = copy_text(c->user, sizeof(c->user), cfg->user);
    c->has_password = copy_text(c->password, sizeof(c->password), cfg->password);
    add_types(c, cfg->types != 0 ? cfg->types : all_durable());
    if (!copy_text(c->group, sizeof(c->group), cfg->group) ||
        !copy_text(c->name, sizeof(c->name),
                   cfg->name != NULL ? cfg->name : bus->participant))
        st = tribus_error_set(TRIBUS_BAD_ARG,
                              "open consumer: group and name need 1 to %u characters",
                              NAME_BYTES - 1u);
    else if (c->count == 0)
        st = tribus_error_set(TRIBUS_BAD_ARG, "open consumer: no message type in this set");
    if (st != TRIBUS_OK) {
        free(c);
        return st;
    }
    *out = c;
    return TRIBUS_OK;
}

static void disconnect(tribus_consumer *c, source *s)
{
    if (s->reply != NULL)
        freeReplyObject(s->reply);
    tribus_redis_close(s->redis);
    s->redis = NULL;
    s->reply = NULL;
    s->asked = false;
    s->acks = 0;
    if (c->from == s)
        c->from = NULL; /* it will come again */
    tribus_redis_backoff_fail(&s->backoff);
}

void tribus_consumer_close(tribus_consumer *c)
{
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->count; i++) {
        source *s = &c->sources[i];

        while (s->redis != NULL && s->acks > 0) { /* let the server hear them */
            redisReply *r = NULL;

            if (tribus_redis_next_wait(s->redis, CALL_NS / 4, &r) != TRIBUS_OK)
                break;
            freeReplyObject(r);
            s->acks--;
        }
        disconnect(c, s);
    }
    free(c);
}

/* ---- connect ---- */

static tribus_status make_groups(tribus_consumer *c, source *s)
{
    for (uint32_t i = 0; i < s->type_count; i++) {
        char key[TRIBUS_WIRE_CHANNEL_BYTES];
        const char *words[] = {
            "XGROUP", "CREATE", key, c->group, c->from_start ? "0" : "$", "MKSTREAM"};
        redisReply *r = NULL;
        tribus_status st = tribus_wire_channel(s->types[i], key, sizeof(key));

        if (st == TRIBUS_OK)
            st = tribus_redis_call_wait(s->redis, 6, words, CALL_NS, &r);
        if (st == TRIBUS_OK)
            freeReplyObject(r);
        else if (st != TRIBUS_REFUSED || strstr(tribus_error_text(), "BUSYGROUP") == NULL)
            return st;
        (void)snprintf(s->last[i], sizeof(s->last[i]), "0");
    }
    return TRIBUS_OK;
}

/* Take what a dead consumer of the group left; it becomes pending with us. */
static tribus_status take_over(tribus_consumer *c, source *s)
{
    char idle[24];

    if (c->take_over_ns <= 0)
        return TRIBUS_OK;
    (void)snprintf(idle, sizeof(idle), "%" PRId64, c->take_over_ns / 1000000);
    for (uint32_t i = 0; i < s->type_count; i++) {
        char key[TRIBUS_WIRE_CHANNEL_BYTES];
        const char *words[] = {"XAUTOCLAIM", key,     c->group, c->name, idle,
                               "0-0",        "COUNT", "10000",  "JUSTID"};
        redisReply *r = NULL;
        tribus_status st = tribus_wire_channel(s->types[i], key, sizeof(key));

        if (st == TRIBUS_OK)
            st = tribus_redis_call_wait(s->redis, 9, words, CALL_NS, &r);
        if (st != TRIBUS_OK)
            return st;
        freeReplyObject(r);
    }
    return TRIBUS_OK;
}

/* Returns TRIBUS_OK, TRIBUS_EMPTY (not now) or TRIBUS_REFUSED. */
static tribus_status connect_source(tribus_consumer *c, source *s)
{
    tribus_server server;
    tribus_redis_cfg cfg = {.user = c->has_user ? c->user : NULL,
                            .password = c->has_password ? c->password : NULL};
    tribus_status st;

    if (s->redis != NULL)
        return TRIBUS_OK;
    if (tribus_redis_backoff_left_ns(&s->backoff) > 0)
        return TRIBUS_EMPTY;
    st = tribus_server_find(c->bus->session, s->bus, &server);
    if (st == TRIBUS_OK) {
        cfg.host = server.host;
        cfg.port = server.port;
        st = tribus_redis_open(&cfg, &s->redis);
    }
    if (st == TRIBUS_OK)
        st = make_groups(c, s);
    if (st == TRIBUS_OK)
        st = take_over(c, s);
    if (st == TRIBUS_OK) {
        tribus_redis_backoff_reset(&s->backoff);
        s->pending = true;
        return TRIBUS_OK;
    }
    disconnect(c, s);
    return st == TRIBUS_REFUSED && strstr(tribus_error_text(), "LOADING") == NULL
               ? TRIBUS_REFUSED
               : TRIBUS_EMPTY;
}

/* ---- read ---- */

/* Ask for the next entries of all types, pending ones first. */
static tribus_status ask(tribus_consumer *c, source *s)
{
    const char *words[9 + 2 * MOST_TYPES] = {"XREADGROUP", "GROUP", c->group,
                                             c->name,      "COUNT", BATCH};
    char keys[MOST_TYPES][TRIBUS_WIRE_CHANNEL_BYTES];
    char block[16];
    int argc = 6;
    tribus_status st;

    if (!s->pending) {
        (void)snprintf(block, sizeof(block), "%d", c->count > 1 ? BLOCK_MS / 10 : BLOCK_MS);
        words[argc++] = "BLOCK";
        words[argc++] = block;
    }
    words[argc++] = "STREAMS";
    for (uint32_t i = 0; i < s->type_count; i++) {
        st = tribus_wire_channel(s->types[i], keys[i], sizeof(keys[i]));
        if (st != TRIBUS_OK)
            return st;
        words[argc++] = keys[i];
    }
    for (uint32_t i = 0; i < s->type_count; i++)
        words[argc++] = s->pending ? s->last[i] : ">";
    st = tribus_redis_queue(s->redis, argc, words, NULL);
    s->asked = st == TRIBUS_OK;
    return st;
}

static bool is_entry(const redisReply *e)
{
    return e->type == REDIS_REPLY_ARRAY && e->elements == 2 &&
           e->element[0]->type == REDIS_REPLY_STRING;
}

static const redisReply *json_of(const redisReply *fields)
{
    if (fields->type != REDIS_REPLY_ARRAY)
        return NULL;
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            strcmp(fields->element[i]->str, "json") == 0 &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING)
            return fields->element[i + 1];
    }
    return NULL;
}

static tribus_status acknowledge(tribus_consumer *c, source *s, const char *key,
                                 const char *id)
{
    const char *words[] = {"XACK", key, c->group, id};
    const tribus_status st = tribus_redis_queue(s->redis, 4, words, NULL);

    if (st == TRIBUS_OK)
        s->acks++;
    return st;
}

/* Keep where the reading of pending entries is. */
static void remember(source *s, const char *key, const char *id)
{
    for (uint32_t i = 0; i < s->type_count; i++) {
        char name[TRIBUS_WIRE_CHANNEL_BYTES];

        if (tribus_wire_channel(s->types[i], name, sizeof(name)) == TRIBUS_OK &&
            strcmp(name, key) == 0)
            (void)snprintf(s->last[i], sizeof(s->last[i]), "%.31s", id);
    }
}

/* The next message of the reply in hand. Returns TRIBUS_OK or TRIBUS_EMPTY (all used up). */
static tribus_status take_entry(tribus_consumer *c, source *s)
{
    for (; s->reply->type == REDIS_REPLY_ARRAY && s->stream < s->reply->elements;
         s->stream++, s->entry = 0) {
        const redisReply *stream = s->reply->element[s->stream];

        if (!is_entry(stream) || stream->element[1]->type != REDIS_REPLY_ARRAY)
            continue;
        while (s->entry < stream->element[1]->elements) {
            const redisReply *e = stream->element[1]->element[s->entry++];
            const redisReply *json;
            const char *key = stream->element[0]->str;

            if (!is_entry(e))
                continue;
            if (s->pending)
                remember(s, key, e->element[0]->str);
            json = json_of(e->element[1]);
            if (json == NULL ||
                tribus_wire_from_json(json->str, json->len, &c->message, sizeof(c->message),
                                      NULL) != TRIBUS_OK) {
                /* Trimmed away, or nobody can read it: it must not come back for ever. */
                c->bus->stats[s->bus].invalid++;
                if (acknowledge(c, s, key, e->element[0]->str) != TRIBUS_OK)
                    tribus_error_clear(); /* then it does come back */
                continue;
            }
            c->message.header.flags |= TRIBUS_MSG_DURABLE;
            if (s->pending)
                c->message.header.flags |= TRIBUS_MSG_REDELIVERED;
            (void)snprintf(c->id, sizeof(c->id), "%.31s", e->element[0]->str);
            (void)snprintf(c->key, sizeof(c->key), "%.63s", key);
            c->from = s;
            c->bus->stats[s->bus].received++;
            return TRIBUS_OK;
        }
    }
    return TRIBUS_EMPTY;
}

static bool has_entries(const redisReply *r)
{
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        if (is_entry(r->element[i]) &&
            r->element[i]->element[1]->type == REDIS_REPLY_ARRAY &&
            r->element[i]->element[1]->elements > 0)
            return true;
    }
    return false;
}

/* Take the replies that are there; the one to our read is kept. */
static tribus_status take_replies(source *s)
{
    tribus_status st = tribus_redis_flush(s->redis);

    while (s->reply == NULL && (st == TRIBUS_OK || st == TRIBUS_FULL)) {
        redisReply *r = NULL;

        st = tribus_redis_next(s->redis, &r);
        if (st != TRIBUS_OK)
            return st;
        if (r->type == REDIS_REPLY_ERROR) {
            st = tribus_error_set(TRIBUS_PEER_LOST, "redis at %s: %s",
                                  tribus_redis_name(s->redis), r->str);
            freeReplyObject(r); /* NOGROUP after a loss of data: connecting makes it anew */
            return st;
        }
        if (s->acks > 0) {
            s->acks--;
            freeReplyObject(r);
            continue;
        }
        s->asked = false;
        if (s->pending && !has_entries(r))
            s->pending = false;
        s->reply = r;
        s->stream = s->entry = 0;
    }
    return st;
}

/* A message of this source now? Returns TRIBUS_OK, TRIBUS_EMPTY or TRIBUS_REFUSED. */
static tribus_status poll_source(tribus_consumer *c, source *s)
{
    tribus_status st = connect_source(c, s);

    if (st != TRIBUS_OK)
        return st;
    for (;;) {
        if (s->reply != NULL) {
            if (take_entry(c, s) == TRIBUS_OK)
                return TRIBUS_OK;
            freeReplyObject(s->reply);
            s->reply = NULL;
        }
        if (!s->asked)
            st = ask(c, s);
        if (st == TRIBUS_OK)
            st = take_replies(s);
        if (st == TRIBUS_EMPTY)
            return TRIBUS_EMPTY;
        if (st != TRIBUS_OK && st != TRIBUS_FULL) {
            disconnect(c, s);
            return TRIBUS_EMPTY;
        }
    }
}

/* Until one of the connections has something, or the time is over. */
static void sleep_on_sources(const tribus_consumer *c, int64_t timeout_ns)
{
    struct pollfd p[TRIBUS_BUSES];
    nfds_t n = 0;
    const int64_t most = BLOCK_MS * 1000000LL / 2;
    const int64_t ns = timeout_ns < most ? timeout_ns : most;
    const struct timespec ts = {.tv_nsec = (long)ns};

    for (uint32_t i = 0; i < c->count; i++) {
        if (c->sources[i].redis != NULL)
            p[n++] = (struct pollfd){.fd = tribus_redis_fd(c->sources[i].redis),
                                     .events = tribus_redis_events(c->sources[i].redis)};
    }
    (void)ppoll(p, n, &ts, NULL); /* interrupted: looked at again */
}

tribus_status tribus_consumer_next_wait(tribus_consumer *c, const tribus_msg_header **out,
                                        int64_t timeout_ns)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns);

    c->from = NULL;
    for (;;) {
        int64_t left;

        for (uint32_t i = 0; i < c->count; i++) {
            source *s = &c->sources[c->turn++ % c->count];
            const tribus_status st = poll_source(c, s);

            if (st == TRIBUS_OK) {
                *out = &c->message.header;
                return TRIBUS_OK;
            }
            if (st == TRIBUS_REFUSED)
                return st;
        }
        left = tribus_deadline_left_ns(deadline);
        if (left == 0)
            return TRIBUS_TIMEOUT;
        sleep_on_sources(c, left);
    }
}

tribus_status tribus_consumer_ack(tribus_consumer *c)
{
    source *s = c->from;
    tribus_status st;

    if (s == NULL)
        return TRIBUS_EMPTY;
    /* The read was sent or not; an acknowledgement after it is answered after it. So it is
     * only queued while no read is under way, which is so while a message is handed out. */
    st = acknowledge(c, s, c->key, c->id);
    c->from = NULL;
    if (st == TRIBUS_OK) {
        st = tribus_redis_flush(s->redis);
        if (st == TRIBUS_FULL)
            st = TRIBUS_OK;
    }
    if (st != TRIBUS_OK) {
        disconnect(c, s);
        return TRIBUS_PEER_LOST;
    }
    return TRIBUS_OK;
}
