/* consumer.c -- durable messages out of Redis streams, at least once. See bus.h.
 *
 * One connection for each bus that has one of the types. Each takes the same steps after
 * every (re)connection: make the groups, take over what dead consumers were given, be given
 * what we had and did not acknowledge (pending entries), then what is new; and from there
 * back to taking over, from time to time. But for connecting, nothing blocks: a step is a
 * question whose answer is taken when it is there. Acknowledgements are pipelined; their
 * replies come before the reply to the question that follows them.
 */
#include "bus/bus.h"

#include "base/clock.h"
#include "base/error.h"
#include "bus/redis.h"
#include "bus/redis_tls.h"
#include "bus/server.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_BYTES 64u
#define ID_BYTES   48u
#define BATCH      "64"
#define CLAIM      "256" /* entries a call */
#define CALL_NS    2000000000LL
#define STUCK_NS   3000000000LL /* a server that answers nothing for this long is gone */
#define CONNECT_NS 1000000000LL
#define ODD_NS     1000000000LL
#define PATIENCE   100000000LL /* to connect, even if the caller has less time */
#define BLOCK_MS   100
#define MOST_TYPES 64u

typedef enum step {
    STEP_TIME,   /* what is the server's time? A new group begins when it was opened */
    STEP_GROUPS, /* make them */
    STEP_CLAIM,  /* take over */
    STEP_OLD,    /* read what we were given before */
    STEP_NEW     /* read what is new */
} step;

/* One bus. */
typedef struct source {
    tribus_redis *redis; /* NULL: not connected */
    tribus_redis_backoff backoff;
    int64_t patience_ns; /* to connect: more after each time that it was too short */
    uint32_t bus;
    uint32_t types[MOST_TYPES];
    uint32_t type_count;
    char last[MOST_TYPES][ID_BYTES]; /* STEP_OLD: where the reading is */
    bool odd[MOST_TYPES];            /* its key holds no stream */
    int64_t odd_ns;                  /* when to look at those again; 0: there are none */
    step step;
    uint32_t due;  /* answers to this step's questions */
    uint32_t acks; /* replies due before those */
    bool made;     /* the groups, on an earlier connection or this one */
    char start[ID_BYTES];
    int64_t heard_ns;
    int64_t claim_ns; /* when to take over again */
    uint32_t claim;   /* the type this is at */
    char cursor[ID_BYTES];
    bool claimed;      /* something is pending by it */
    redisReply *reply; /* what is being handed out */
    size_t stream;
    size_t entry;
} source;

struct tribus_consumer {
    tribus_bus *bus;
    char group[NAME_BYTES];
    char name[NAME_BYTES];
    char user[NAME_BYTES];
    char password[128];
    tribus_redis_tls_copy tls;
    bool has_user;
    bool has_password;
    bool from_start;
    int64_t take_over_ns;
    int64_t opened_ns;
    int64_t opened_wall_ns;
    source sources[TRIBUS_BUSES];
    uint32_t count;
    uint32_t turn;
    source *from; /* whose message was last handed out; NULL: acknowledged */
    char id[ID_BYTES];
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
    c->opened_ns = tribus_now_ns();
    c->opened_wall_ns = tribus_now_wall_ns();
    c->has_user = copy_text(c->user, sizeof(c->user), cfg->user);
    c->has_password = copy_text(c->password, sizeof(c->password), cfg->password);
    add_types(c, cfg->types != 0 ? cfg->types : all_durable());
    st = tribus_redis_tls_copy_cfg(cfg->tls, &c->tls);
    if (st != TRIBUS_OK)
        tribus_error_add("open consumer");
    else if (!copy_text(c->group, sizeof(c->group), cfg->group) ||
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
    s->due = s->acks = 0;
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

/* Is this for a person to mend? Anything else a server says may pass by itself: LOADING,
 * OOM, READONLY, MISCONF, BUSY, MASTERDOWN. */
static bool is_final(const char *text)
{
    static const char *const words[] = {"NOAUTH", "WRONGPASS", "NOPERM",
                                        "without any password configured",
                                        TRIBUS_REDIS_TLS_MARK};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(text, words[i]) != NULL)
            return true;
    }
    return false;
}

/* Returns TRIBUS_OK, TRIBUS_EMPTY (not now) or TRIBUS_REFUSED. */
static tribus_status connect_source(tribus_consumer *c, source *s, int64_t left_ns)
{
    tribus_server server;
    tribus_redis_cfg cfg = {.user = c->has_user ? c->user : NULL,
                            .password = c->has_password ? c->password : NULL,
                            .tls = &c->tls.cfg};
    tribus_status st;

    if (s->redis != NULL)
        return TRIBUS_OK;
    if (tribus_redis_backoff_left_ns(&s->backoff) > 0)
        return TRIBUS_EMPTY;
    if (s->patience_ns == 0)
        s->patience_ns = PATIENCE;
    cfg.timeout_ns = left_ns < CONNECT_NS ? left_ns : CONNECT_NS;
    if (cfg.timeout_ns < s->patience_ns)
        cfg.timeout_ns = s->patience_ns;
    st = tribus_server_find(c->bus->session, s->bus, &server);
    if (st == TRIBUS_OK) {
        cfg.host = server.host;
        cfg.port = server.port;
        st = tribus_redis_open(&cfg, &s->redis);
    }
    if (st == TRIBUS_OK) {
        s->step = STEP_TIME;
        s->heard_ns = tribus_now_ns();
        s->claim_ns = 0;
        return TRIBUS_OK;
    }
    if (st == TRIBUS_TIMEOUT && s->patience_ns < CONNECT_NS)
        s->patience_ns *= 2;
    s->redis = NULL;
    disconnect(c, s);
    if (st == TRIBUS_BAD_ARG) /* a file of ours */
        return TRIBUS_REFUSED;
    return st == TRIBUS_REFUSED && is_final(tribus_error_text()) ? TRIBUS_REFUSED
                                                                 : TRIBUS_EMPTY;
}

/* ---- ask ---- */

static tribus_status queue(source *s, int argc, const char *const *words)
{
    const tribus_status st = tribus_redis_queue(s->redis, argc, words, NULL);

    if (st == TRIBUS_OK && s->due++ == 0)
        s->heard_ns = tribus_now_ns();
    return st;
}

static tribus_status ask_groups(const tribus_consumer *c, source *s)
{
    tribus_status st = TRIBUS_OK;

    memset(s->odd, 0, sizeof(s->odd));
    s->odd_ns = 0;
    for (uint32_t i = 0; i < s->type_count && st == TRIBUS_OK; i++) {
        char key[TRIBUS_WIRE_CHANNEL_BYTES];
        /* Made before and gone: the server lost it, and all that is there came since. */
        const char *words[] = {
            "XGROUP",  "CREATE", key, c->group, c->from_start || s->made ? "0" : s->start,
            "MKSTREAM"};

        st = tribus_wire_channel(s->types[i], key, sizeof(key));
        if (st == TRIBUS_OK)
            st = queue(s, 6, words);
    }
    return st;
}

/* Take what a dead consumer of the group left; it becomes pending with us. */
static tribus_status ask_claim(const tribus_consumer *c, source *s)
{
    char key[TRIBUS_WIRE_CHANNEL_BYTES];
    char idle[24];
    const char *words[] = {"XAUTOCLAIM", key,     c->group, c->name, idle,
                           s->cursor,    "COUNT", CLAIM,    "JUSTID"};
    const tribus_status st = tribus_wire_channel(s->types[s->claim], key, sizeof(key));

    (void)snprintf(idle, sizeof(idle), "%" PRId64, c->take_over_ns / 1000000);
    return st == TRIBUS_OK ? queue(s, 9, words) : st;
}

/* The next entries of all types. */
static tribus_status ask_read(const tribus_consumer *c, source *s)
{
    const char *words[9 + 2 * MOST_TYPES] = {"XREADGROUP", "GROUP", c->group,
                                             c->name,      "COUNT", BATCH};
    char keys[MOST_TYPES][TRIBUS_WIRE_CHANNEL_BYTES];
    char block[16];
    int argc = 6;

    if (s->step == STEP_NEW) {
        (void)snprintf(block, sizeof(block), "%d", c->count > 1 ? BLOCK_MS / 10 : BLOCK_MS);
        words[argc++] = "BLOCK";
        words[argc++] = block;
    }
    words[argc++] = "STREAMS";
    for (uint32_t i = 0; i < s->type_count; i++) {
        const tribus_status st = tribus_wire_channel(s->types[i], keys[i], sizeof(keys[i]));

        if (st != TRIBUS_OK)
            return st;
        if (!s->odd[i])
            words[argc++] = keys[i];
    }
    for (uint32_t i = 0; i < s->type_count; i++) {
        if (!s->odd[i])
            words[argc++] = s->step == STEP_OLD ? s->last[i] : ">";
    }
    return queue(s, argc, words);
}

/* Begin to take over; without that, and with nobody to take from, go on to our own. */
static void begin_claim(const tribus_consumer *c, source *s)
{
    s->claim = 0;
    s->claimed = false;
    (void)snprintf(s->cursor, sizeof(s->cursor), "0-0");
    s->step = c->take_over_ns > 0 ? STEP_CLAIM : STEP_OLD;
    if (s->step == STEP_CLAIM)
        s->claim_ns = tribus_deadline_ns(c->take_over_ns / 2);
}

static void begin_old(source *s)
{
    s->step = STEP_OLD;
    for (uint32_t i = 0; i < s->type_count; i++)
        (void)snprintf(s->last[i], sizeof(s->last[i]), "0");
}

static void end_claim(source *s)
{
    s->step = STEP_NEW;
    if (s->claimed)
        begin_old(s);
}

static tribus_status ask(tribus_consumer *c, source *s)
{
    const char *time[] = {"TIME"};

    if (s->step == STEP_TIME && (c->from_start || s->made))
        s->step = STEP_GROUPS;
    if (s->step == STEP_NEW && c->take_over_ns > 0 &&
        tribus_deadline_left_ns(s->claim_ns) == 0)
        begin_claim(c, s);
    if (s->step == STEP_NEW && s->odd_ns != 0 && tribus_deadline_left_ns(s->odd_ns) == 0)
        s->step = STEP_GROUPS;
    while (s->step == STEP_CLAIM && s->claim < s->type_count && s->odd[s->claim])
        s->claim++;
    if (s->step == STEP_CLAIM && s->claim == s->type_count)
        end_claim(s);
    switch (s->step) {
    case STEP_TIME:
        return queue(s, 1, time);
    case STEP_GROUPS:
        return ask_groups(c, s);
    case STEP_CLAIM:
        return ask_claim(c, s);
    default:
        return ask_read(c, s);
    }
}

/* ---- read ---- */

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
            (void)snprintf(s->last[i], sizeof(s->last[i]), "%.47s", id);
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
            if (s->step == STEP_OLD)
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
            if (s->step == STEP_OLD)
                c->message.header.flags |= TRIBUS_MSG_REDELIVERED;
            (void)snprintf(c->id, sizeof(c->id), "%.47s", e->element[0]->str);
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

/* A new group begins with what is stored from the moment on at which it was opened, by the
 * server's clock, which numbers the entries; rather a message too many than one too few. */
static void take_time(const tribus_consumer *c, source *s, const redisReply *r)
{
    const int64_t since_ns = tribus_now_ns() - c->opened_ns;
    int64_t ms = c->opened_wall_ns / 1000000;

    if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
        r->element[0]->type == REDIS_REPLY_STRING &&
        r->element[1]->type == REDIS_REPLY_STRING)
        ms = strtoll(r->element[0]->str, NULL, 10) * 1000 +
             strtoll(r->element[1]->str, NULL, 10) / 1000 - since_ns / 1000000;
    ms = ms > 2 ? ms - 2 : 0;
    (void)snprintf(s->start, sizeof(s->start), "%" PRId64 "-0", ms);
    s->step = STEP_GROUPS;
}

static tribus_status complain(const source *s, const redisReply *r)
{
    return tribus_error_set(is_final(r->str) ? TRIBUS_REFUSED : TRIBUS_PEER_LOST,
                            "redis at %s: %s", tribus_redis_name(s->redis), r->str);
}

static tribus_status take_group(const tribus_consumer *c, source *s, const redisReply *r)
{
    uint32_t good = 0;

    if (r->type == REDIS_REPLY_ERROR && strstr(r->str, "WRONGTYPE") != NULL) {
        s->odd[s->type_count - 1u - s->due] = true; /* the others go on */
        s->odd_ns = tribus_deadline_ns(ODD_NS);
    } else if (r->type == REDIS_REPLY_ERROR && strstr(r->str, "BUSYGROUP") == NULL) {
        return complain(s, r);
    }
    if (s->due > 0)
        return TRIBUS_OK;
    for (uint32_t i = 0; i < s->type_count; i++)
        good += !s->odd[i];
    if (good == 0)
        return tribus_error_set(TRIBUS_PEER_LOST, "redis at %s: no key is a stream",
                                tribus_redis_name(s->redis));
    s->made = true;
    s->patience_ns = 0;
    tribus_redis_backoff_reset(&s->backoff);
    begin_claim(c, s);
    s->claimed = true; /* what we had before comes in any case */
    if (s->step == STEP_OLD)
        begin_old(s);
    return TRIBUS_OK;
}

static void take_claim(source *s, const redisReply *r)
{
    const bool whole = r->type == REDIS_REPLY_ARRAY && r->elements >= 2 &&
                       r->element[0]->type == REDIS_REPLY_STRING &&
                       r->element[1]->type == REDIS_REPLY_ARRAY;

    if (whole && r->element[1]->elements > 0)
        s->claimed = true;
    if (whole && strcmp(r->element[0]->str, "0-0") != 0) {
        (void)snprintf(s->cursor, sizeof(s->cursor), "%.47s", r->element[0]->str);
        return;
    }
    (void)snprintf(s->cursor, sizeof(s->cursor), "0-0");
    if (++s->claim == s->type_count)
        end_claim(s);
}

/* The answer to a question of ours; *keep: it is to be handed out. */
static tribus_status take_answer(const tribus_consumer *c, source *s, redisReply *r,
                                 bool *keep)
{
    if (s->step == STEP_TIME) {
        take_time(c, s, r); /* not allowed to ask: then by our own clock */
        return TRIBUS_OK;
    }
    if (s->step == STEP_GROUPS)
        return take_group(c, s, r);
    if (r->type == REDIS_REPLY_ERROR)
        return complain(s, r); /* NOGROUP after a loss of data: connecting makes it anew */
    if (s->step == STEP_CLAIM) {
        take_claim(s, r);
        return TRIBUS_OK;
    }
    if (s->step == STEP_OLD && !has_entries(r))
        s->step = STEP_NEW;
    s->reply = r;
    s->stream = s->entry = 0;
    *keep = true;
    return TRIBUS_OK;
}

/* Take the replies that are there, until one is to be handed out or there is something to
 * ask. */
static tribus_status take_replies(const tribus_consumer *c, source *s)
{
    tribus_status st = tribus_redis_flush(s->redis);

    while (s->due > 0 && (st == TRIBUS_OK || st == TRIBUS_FULL)) {
        redisReply *r = NULL;
        bool keep = false;

        st = tribus_redis_next(s->redis, &r);
        if (st != TRIBUS_OK)
            break;
        s->heard_ns = tribus_now_ns();
        if (s->acks > 0) {
            s->acks--;
            if (r->type == REDIS_REPLY_ERROR)
                st = complain(s, r);
        } else {
            s->due--;
            st = take_answer(c, s, r, &keep);
        }
        if (!keep)
            freeReplyObject(r);
    }
    if (st == TRIBUS_EMPTY && tribus_now_ns() - s->heard_ns > STUCK_NS)
        st = tribus_error_set(TRIBUS_PEER_LOST, "redis at %s: no answer",
                              tribus_redis_name(s->redis));
    return st;
}

/* A message of this source now? Returns TRIBUS_OK, TRIBUS_EMPTY or TRIBUS_REFUSED. */
static tribus_status poll_source(tribus_consumer *c, source *s, int64_t left_ns)
{
    tribus_status st = connect_source(c, s, left_ns);

    if (st != TRIBUS_OK)
        return st;
    for (;;) {
        if (s->reply != NULL) {
            if (take_entry(c, s) == TRIBUS_OK)
                return TRIBUS_OK;
            freeReplyObject(s->reply);
            s->reply = NULL;
        }
        st = s->due == 0 ? ask(c, s) : TRIBUS_OK;
        if (st == TRIBUS_OK || st == TRIBUS_FULL) /* full: what is queued goes first */
            st = take_replies(c, s);
        if (st == TRIBUS_FULL)
            return TRIBUS_EMPTY;
        if (st == TRIBUS_EMPTY)
            return TRIBUS_EMPTY;
        if (st != TRIBUS_OK) {
            disconnect(c, s);
            return st == TRIBUS_REFUSED ? TRIBUS_REFUSED : TRIBUS_EMPTY;
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
            const tribus_status st = poll_source(c, s, tribus_deadline_left_ns(deadline));

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
