/* subscription.c -- join the topics of a bus and merge what they carry. See bus.h.
 *
 * A subscription holds one reader for each topic that it follows. It looks at the registry
 * only when its revision changed. A topic that was there when the subscription was made is
 * joined at its end, one that came later from its beginning, so that a new publisher's
 * first message is never missed. A topic whose publisher ended is read to its end first, and
 * joined for that when we did not know it yet (see src/agent/left.c).
 */
#include "bus/bus.h"
#include "bus/event.h"

#include "base/clock.h"
#include "base/error.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SOURCES 1024u
#define MOST_BELLS   128u /* of tribus_doorbell_wait() */
#define TURN         16u  /* messages taken from one topic before the next one */
#define HELD_BYTES   (TURN * TRIBUS_BUS_CELL_BYTES)
#define PORTION      1024u     /* messages passed over before the caller is asked */
#define STEP_NS      1000000LL /* where bells cannot say it all, look this often */
#define SOON_NS                                                                            \
    2000000000LL                   /* a new topic is laid out within microseconds: for so
                                       long we look for it every STEP_NS, */
#define SELDOM_NS      100000000LL /* and then its creator, or the agent, is stopped */
#define MAX_TEXT_BYTES 128u

/* A topic we follow, or one that could not be joined. */
typedef struct source {
    tribus_topic *topic; /* NULL: not joined (yet) */
    tribus_object object;
    uint32_t bus;
    uint32_t lane;
    int64_t since_ns; /* not joined since then; 0: given up, or read to its end */
    void *mem;        /* the session holds this mapping for us; NULL: not yet */
    bool seen;        /* in the registry at the last look */
    bool left;        /* its publisher ended; what is there is all there is */
    bool from_start;
} source;

struct tribus_subscription {
    tribus_bus *bus;
    tribus_subscription *next;
    uint32_t buses;
    uint64_t types;
    uint32_t history;
    bool without_own;
    char engine[MAX_TEXT_BYTES];
    uint64_t revision;
    bool first_look;
    bool unfinished;   /* a topic appeared and could not be joined yet */
    int64_t again_ns;  /* unfinished: when to look again */
    uint32_t left_out; /* topics for which there was no room at the last look */
    bool ended;        /* a topic left the registry; it is read to its end */
    bool unread;       /* a look stopped early: there may be more */
    source *sources;   /* those that overtake first */
    uint32_t count;
    uint32_t room;
    uint32_t urgent;              /* how many of those */
    uint32_t at;                  /* whose turn it is */
    uint64_t lost;                /* not reported yet */
    bool waited;                  /* a wait found a message */
    unsigned char *message;       /* handed out last: in one or in held */
    uint32_t held_at, held_count; /* copies of a turn that are not handed out yet */
    uint32_t held_bus;
    uint32_t held_stride;
    uint32_t held_bytes[TURN];
    tribus_doorbell_shm *also_bell; /* what else ends a wait; NULL: nothing */
    tribus_ready_fn also_ready;
    void *also_context;
    tribus_event *event; /* NULL: no event loop waits for us */
    bool has_extra;
    tribus_wire_extra extra;
    _Alignas(64) unsigned char one[TRIBUS_BUS_WIDE_CELL_BYTES]; /* that overtook */
    _Alignas(64) unsigned char held[HELD_BYTES];
};

_Static_assert(HELD_BYTES >= TRIBUS_BUS_WIDE_CELL_BYTES, "any message can be held");

/* ---- subscribe ---- */

static uint64_t types_of(const tribus_bus *bus, const tribus_bus_filter *f, uint32_t buses)
{
    uint64_t types = 0;

    for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
        char channel[TRIBUS_WIRE_CHANNEL_BYTES];

        if (tribus_wire_message_bytes(t) == 0)
            continue;
        if (f->types != 0 && (f->types & (1ull << t)) == 0)
            continue;
        if ((buses & ~bus->off & (1u << tribus_wire_bus_of(t))) == 0)
            continue;
        if (f->pattern != NULL &&
            (tribus_wire_channel(t, channel, sizeof(channel)) != TRIBUS_OK ||
             fnmatch(f->pattern, channel, 0) != 0))
            continue;
        types |= 1ull << t;
    }
    return types;
}

/* Tell the bridge the union of what all subscriptions of this handle ask for. */
static tribus_status announce(tribus_bus *bus)
{
    uint64_t followed = 0;
    uint64_t types;
    tribus_status st = TRIBUS_OK;

    for (const tribus_subscription *s = bus->subscriptions; s != NULL; s = s->next)
        followed |= s->types;
    types = bus->observe || bus->quiet ? 0 : followed;
    if (bus->want != NULL)
        tribus_want_set(bus->want, types, followed);
    else if (followed != 0 && !bus->only_looks)
        st = tribus_want_create(bus->session, types, followed, &bus->want);
    if (st == TRIBUS_REFUSED && bus->observe) { /* a member of the readers' group */
        bus->only_looks = true;
        tribus_error_clear();
        st = TRIBUS_OK;
    }
    /* Without an agent there is no wire, and local topics go on. */
    return st == TRIBUS_PEER_LOST || st == TRIBUS_TIMEOUT ? TRIBUS_OK : st;
}

static void look(tribus_subscription *s);
static void tell_looked(const tribus_bus *bus);

tribus_status tribus_bus_subscribe(tribus_bus *bus, const tribus_bus_filter *filter,
                                   tribus_subscription **out)
{
    const tribus_bus_filter all = {0};
    const tribus_bus_filter *f = filter != NULL ? filter : &all;
    const uint32_t buses = f->buses != 0 ? f->buses : (1u << TRIBUS_BUSES) - 1u;
    const uint64_t types = types_of(bus, f, buses);
    tribus_subscription *s;
    tribus_status st;

    if (types == 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "subscribe: no type is on these buses, in this set and "
                                "matches '%s'",
                                f->pattern != NULL ? f->pattern : "*");
    if (f->engine != NULL && strlen(f->engine) >= MAX_TEXT_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG, "subscribe: engine: over %u bytes",
                                MAX_TEXT_BYTES - 1);
    s = aligned_alloc(64, (sizeof(*s) + 63) / 64 * 64);
    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "subscribe");
    memset(s, 0, sizeof(*s));
    s->bus = bus;
    s->types = types;
    for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
        if ((types & (1ull << t)) != 0)
            s->buses |= 1u << tribus_wire_bus_of(t);
    }
    s->history = f->history;
    s->without_own = f->without_own != 0;
    if (f->engine != NULL)
        (void)snprintf(s->engine, sizeof(s->engine), "%s", f->engine);
    s->next = bus->subscriptions;
    bus->subscriptions = s;
    st = announce(bus);
    if (st != TRIBUS_OK) {
        tribus_error_add("subscribe");
        tribus_bus_unsubscribe(s);
        return st;
    }
    s->first_look = true;
    look(s);
    s->first_look = false;
    *out = s;
    return TRIBUS_OK;
}

static bool same(const tribus_object *a, const tribus_object *b)
{
    return a->number == b->number && a->generation == b->generation;
}

/* Read it no more; the row stays. */
static void release(tribus_subscription *s, source *gone)
{
    tribus_bus *bus = s->bus;

    if (gone->topic != NULL) {
        tribus_topic_close(gone->topic);
        bus->stats[gone->bus].topics--;
    }
    if (gone->mem != NULL) {
        if (s->event != NULL)
            tribus_event_forget(s->event); /* its bell may be unmapped */
        tribus_session_drop(bus->session, &gone->object, 0);
    }
    gone->topic = NULL;
    gone->mem = NULL;
    gone->since_ns = 0;
}

static void leave(tribus_subscription *s, uint32_t i)
{
    source *gone = &s->sources[i];

    release(s, gone);
    if (gone->lane != 0)
        s->urgent--;
    memmove(gone, gone + 1, (size_t)(s->count - i - 1) * sizeof(*gone));
    s->count--;
    s->at = 0;
}

void tribus_bus_unsubscribe(tribus_subscription *s)
{
    tribus_subscription **link;

    if (s == NULL)
        return;
    tribus_event_close(s->event);
    s->event = NULL;
    while (s->count > 0)
        leave(s, s->count - 1);
    for (link = &s->bus->subscriptions; *link != s; link = &(*link)->next)
        ;
    *link = s->next;
    if (s->bus->want != NULL) {
        if (announce(s->bus) != TRIBUS_OK)
            tribus_error_clear(); /* the object exists already, so this cannot fail */
        tell_looked(s->bus);
    }
    free(s->sources);
    free(s);
}

void tribus_bus_retarget(tribus_subscription *s, uint64_t types)
{
    s->types = types;
}

/* ---- follow the registry ---- */

static tribus_status map(const tribus_subscription *s, source *src)
{
    tribus_session *session = s->bus->session;
    tribus_object object;
    void *mem = NULL;
    const tribus_status st = tribus_session_open_object(
        session, src->object.name, s->bus->observe ? 0 : 1, &object, &mem);

    if (st != TRIBUS_OK)
        return st;
    if (!same(&object, &src->object)) {
        tribus_session_drop(session, &object, 0);
        return TRIBUS_NOT_FOUND; /* the name is another's by now: the next look finds it */
    }
    src->mem = mem;
    return TRIBUS_OK;
}

/* Map the topic of a source and become its reader. TRIBUS_EMPTY: not laid out yet;
 * TRIBUS_CORRUPT: never; anything else may pass. */
static tribus_status join(tribus_subscription *s, source *src)
{
    tribus_bus *bus = s->bus;
    const size_t front = src->lane == TRIBUS_BUS_DURABLE ? TRIBUS_BUS_STORE_BYTES : 0;
    const size_t bytes = (size_t)src->object.bytes;
    tribus_topic *topic = NULL;
    tribus_status st = src->mem != NULL ? TRIBUS_OK : map(s, src);

    if (st != TRIBUS_OK)
        return st;
    if (bytes <= front)
        return TRIBUS_CORRUPT;
    st = tribus_topic_open((unsigned char *)src->mem + front, bytes - front, TRIBUS_READER,
                           bus->observe ? 1 : 0, &topic);
    if (st != TRIBUS_OK)
        return TRIBUS_EMPTY;
    if (tribus_topic_payload_bytes(topic) > TRIBUS_BUS_WIDE_CELL_BYTES) {
        tribus_topic_close(topic);
        return tribus_error_set(TRIBUS_CORRUPT, "%s: cells larger than any message",
                                src->object.name);
    }
    src->topic = topic;
    bus->stats[src->bus].topics++;
    if (src->from_start) {
        const uint64_t ever = tribus_topic_published(topic); /* first: it goes on growing */
        const uint64_t again = tribus_topic_rewind(topic, UINT64_MAX);

        if (ever > again) {
            s->lost += ever - again;
            bus->stats[src->bus].lost += ever - again;
        }
    } else if (s->history > 0) {
        (void)tribus_topic_rewind(topic, s->history);
    }
    return TRIBUS_OK;
}

/* Later, as long as it is listed: its creator may be stopped, the agent away or slow. */
static void try_join(tribus_subscription *s, source *src)
{
    const tribus_status st = join(s, src);
    int64_t now_ns, again_ns;

    if (st == TRIBUS_OK)
        return;
    if (st == TRIBUS_CORRUPT) {
        release(s, src);
        s->bus->stats[src->bus].refused++;
        return;
    }
    now_ns = tribus_now_ns();
    again_ns = now_ns + (now_ns - src->since_ns < SOON_NS ? STEP_NS : SELDOM_NS);
    if (!s->unfinished || again_ns < s->again_ns)
        s->again_ns = again_ns;
    s->unfinished = true;
    /* Not laid out: nothing was published before. */
    src->from_start = src->from_start || st == TRIBUS_EMPTY || st == TRIBUS_TIMEOUT;
}

static source *find(tribus_subscription *s, const tribus_object *row)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (same(&s->sources[i].object, row))
            return &s->sources[i];
    }
    return NULL;
}

static source *add(tribus_subscription *s, const tribus_object *row, uint32_t bus,
                   uint32_t lane)
{
    uint32_t at = s->count;

    if (s->count == s->room) {
        const uint32_t room = s->room == 0 ? 16 : s->room * 2;
        source *grown;

        if (room > MOST_SOURCES)
            return NULL;
        grown = realloc(s->sources, (size_t)room * sizeof(*grown));
        if (grown == NULL)
            return NULL;
        s->sources = grown;
        s->room = room;
    }
    if (lane != 0) { /* make room in front of those that do not overtake */
        at = s->urgent++;
        memmove(&s->sources[at + 1], &s->sources[at],
                (size_t)(s->count - at) * sizeof(*s->sources));
    }
    s->count++;
    s->at = 0;
    memset(&s->sources[at], 0, sizeof(s->sources[at]));
    s->sources[at].object = *row;
    s->sources[at].bus = bus;
    s->sources[at].lane = lane;
    s->sources[at].since_ns = tribus_now_ns();
    s->sources[at].from_start = !s->first_look;
    return &s->sources[at];
}

/* Tell publishers that end how far all our subscriptions have come. */
static void tell_looked(const tribus_bus *bus)
{
    uint64_t least = UINT64_MAX;

    if (bus->want == NULL)
        return;
    for (const tribus_subscription *s = bus->subscriptions; s != NULL; s = s->next) {
        const uint64_t looked = s->unfinished ? 0 : s->revision;

        least = looked < least ? looked : least;
    }
    tribus_want_looked(bus->want, least);
}

/* Bring the sources into line with the registry. */
static void look(tribus_subscription *s)
{
    tribus_object row;
    uint32_t cursor = 0;
    uint32_t left_out = 0;

    if (s->bus->want == NULL && announce(s->bus) != TRIBUS_OK)
        tribus_error_clear(); /* the agent was away or slow; it is tried again */
    /* Before the rows: what changes while we read them makes us look again. */
    s->revision = tribus_session_revision(s->bus->session);
    s->unfinished = false;
    for (uint32_t i = 0; i < s->count; i++)
        s->sources[i].seen = false;
    while (tribus_session_next_object(s->bus->session, &cursor, &row) == TRIBUS_OK) {
        uint32_t bus = 0;
        uint32_t lane = 0;
        source *src;

        if (!tribus_bus_topic_parse(&row, &bus, &lane) || (s->buses & (1u << bus)) == 0 ||
            (s->without_own && row.owner == tribus_session_participant(s->bus->session)))
            continue;
        src = find(s, &row);
        if (src == NULL)
            src = add(s, &row, bus, lane);
        if (src == NULL) {
            if (++left_out > s->left_out) /* each is counted once */
                s->bus->stats[bus].refused++;
            continue;
        }
        src->seen = true;
        src->object = row; /* it has another name when its publisher ended */
        src->left = tribus_bus_topic_is_left(&row);
        if (src->left && s->first_look)
            src->since_ns = 0; /* that was before us */
        if (src->topic == NULL && src->since_ns != 0)
            try_join(s, src);
    }
    s->left_out = left_out;
    for (uint32_t i = s->count; i-- > 0;) {
        if (!s->sources[i].seen || (s->sources[i].left && s->sources[i].topic != NULL))
            s->ended = true;
    }
    tell_looked(s->bus);
}

/* ---- receive ---- */

/* The tail behind a message of `bytes` bytes of a cell of `used`. */
static void take_extra(tribus_subscription *s, uint32_t bytes, uint32_t used)
{
    char *tail = (char *)s->message + bytes;
    const size_t n = used - bytes;
    const char *end;

    s->has_extra = false;
    if (n < 2 || tail[n - 1] != '\0')
        return;
    end = memchr(tail, '\0', n);
    if (end == tail + n - 1)
        return;
    s->extra.envelope = tail;
    s->extra.envelope_bytes = (size_t)(end - tail);
    s->extra.envelope_room = s->extra.envelope_bytes + 1;
    s->extra.data = tail + s->extra.envelope_bytes + 1;
    s->extra.data_bytes = strnlen(s->extra.data, n - s->extra.envelope_bytes - 1);
    s->extra.data_room = s->extra.data_bytes + 1;
    s->has_extra = true;
}

static bool engine_matches(const tribus_subscription *s, const tribus_msg_header *m)
{
    return s->engine[0] == '\0' || fnmatch(s->engine, m->engine_type, 0) == 0 ||
           fnmatch(s->engine, m->engine_instance, 0) == 0;
}

/* Is this copy a message, and one that was asked for? Then it is what is handed out. */
static bool accept(tribus_subscription *s, uint32_t bus, unsigned char *copy, uint32_t used)
{
    const tribus_msg_header *m = (const tribus_msg_header *)copy;
    tribus_bus_stats *stats = &s->bus->stats[bus];
    size_t bytes;

    if (used < sizeof(*m) || m->type >= TRIBUS_MSG_END || m->bus != bus) {
        stats->invalid++;
        return false;
    }
    if ((s->types & (1ull << m->type)) == 0) {
        stats->filtered++;
        return false;
    }
    if (tribus_wire_validate(m, used) != TRIBUS_OK) {
        stats->invalid++;
        return false;
    }
    if (!engine_matches(s, m)) {
        stats->filtered++;
        return false;
    }
    bytes = sizeof(*m) + m->body_bytes; /* validated */
    s->message = copy;
    if (used > bytes)
        take_extra(s, (uint32_t)bytes, used);
    else
        s->has_extra = false;
    stats->received++;
    return true;
}

/* What a read of a topic came to. true: there is something. */
static bool was_read(tribus_subscription *s, source *src, tribus_status st, uint64_t lost)
{
    tribus_bus_stats *stats = &s->bus->stats[src->bus];

    s->lost += lost;
    stats->lost += lost;
    if (st == TRIBUS_CORRUPT) { /* not to be believed any more */
        tribus_topic_close(src->topic);
        src->topic = NULL;
        src->since_ns = 0;
        stats->topics--;
        stats->refused++;
    }
    return st == TRIBUS_OK;
}

/* Take the next message of a source that overtakes. */
static bool take_one(tribus_subscription *s, source *src)
{
    for (uint32_t i = 0; src->topic != NULL; i++) {
        uint32_t used = 0;
        uint64_t lost = 0;
        const tribus_status st = tribus_topic_read(src->topic, s->one, &used, &lost);

        if (!was_read(s, src, st, lost))
            return false;
        if (accept(s, src->bus, s->one, used))
            return true;
        if (i == PORTION) {
            s->unread = true;
            return false;
        }
    }
    return false;
}

/* Copy what the next source that has something has, a turn's worth at most. */
static bool take_turn(tribus_subscription *s)
{
    for (uint32_t tried = s->urgent; tried < s->count; tried++) {
        source *src;
        uint64_t lost = 0;
        uint32_t most;
        tribus_status st;

        if (s->at < s->urgent || s->at >= s->count)
            s->at = s->urgent;
        src = &s->sources[s->at++];
        if (src->topic == NULL)
            continue;
        s->held_stride = (tribus_topic_payload_bytes(src->topic) + 63u) / 64u * 64u;
        most = HELD_BYTES / s->held_stride;
        st = tribus_topic_read_batch(src->topic, s->held, s->held_stride,
                                     most < TURN ? most : TURN, &s->held_count,
                                     s->held_bytes, &lost);
        s->held_at = 0;
        if (was_read(s, src, st, lost)) {
            s->held_bus = src->bus;
            return true;
        }
        s->held_count = 0;
    }
    return false;
}

/* The next message of any source, those that overtake first. A flood of messages that were
 * not asked for is passed over in portions, so that the caller keeps its say. */
static tribus_status take_any(tribus_subscription *s)
{
    s->unread = false;
    for (uint32_t i = 0; i < s->urgent; i++) {
        if (take_one(s, &s->sources[i]))
            return TRIBUS_OK;
    }
    for (uint32_t passed = 0; passed < PORTION;) {
        while (s->held_at < s->held_count) {
            const uint32_t i = s->held_at++;

            if (accept(s, s->held_bus, s->held + (size_t)i * s->held_stride,
                       s->held_bytes[i]))
                return TRIBUS_OK;
            passed++;
        }
        if (!take_turn(s))
            return TRIBUS_EMPTY;
    }
    s->unread = true;
    return TRIBUS_EMPTY;
}

static void leave_ended(tribus_subscription *s)
{
    s->ended = false;
    for (uint32_t i = s->count; i-- > 0;) {
        if (!s->sources[i].seen)
            leave(s, i);
        else if (s->sources[i].left && s->sources[i].topic != NULL)
            release(s, &s->sources[i]); /* and not joined again while it is listed */
    }
}

static tribus_status go_quiet(tribus_subscription *s);

tribus_status tribus_bus_next(tribus_subscription *s, const tribus_msg_header **out,
                              uint64_t *lost)
{
    tribus_status st;

    /* Between turns: what a new publisher sends is in no order with what is held. */
    if (s->held_at == s->held_count &&
        (tribus_session_last_revision(s->bus->session) != s->revision ||
         (s->unfinished && tribus_now_ns() >= s->again_ns)))
        look(s);
    st = take_any(s);
    if (st != TRIBUS_OK) /* only now, and for the next call: it may enter the kernel */
        (void)tribus_session_revision(s->bus->session);
    if (st != TRIBUS_OK && s->ended && !s->unread)
        leave_ended(s); /* all were read to their end */
    if (st != TRIBUS_OK && s->event != NULL && !s->unread)
        st = go_quiet(s);
    if (st == TRIBUS_OK)
        *out = (const tribus_msg_header *)s->message;
    if (lost != NULL) {
        *lost = s->lost;
        s->lost = 0;
    }
    return st;
}

const tribus_wire_extra *tribus_bus_extra(const tribus_subscription *s)
{
    return s->has_extra ? &s->extra : NULL;
}

tribus_status tribus_bus_poll(tribus_subscription *s, void *buf, size_t bytes,
                              uint64_t *lost)
{
    const tribus_msg_header *m = NULL;
    tribus_status st;

    if (bytes < TRIBUS_WIRE_MESSAGE_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG, "receive: a buffer of %zu bytes, needs %d",
                                bytes, TRIBUS_WIRE_MESSAGE_BYTES);
    st = tribus_bus_next(s, &m, lost);
    if (st == TRIBUS_OK)
        memcpy(buf, m, sizeof(*m) + m->body_bytes);
    return st;
}

/* ---- wait ---- */

void tribus_bus_wait_also(tribus_subscription *s, tribus_doorbell_shm *bell,
                          tribus_ready_fn ready, void *context)
{
    s->also_bell = bell;
    s->also_ready = ready;
    s->also_context = context;
}

static bool also_ready(tribus_subscription *s)
{
    return s->also_bell != NULL && s->also_ready(s->also_context) != 0;
}

/* Nothing is joined or left here: the bells waited for must stay mapped. */
static int ready(void *context)
{
    tribus_subscription *s = context;

    s->waited = s->waited || take_any(s) == TRIBUS_OK;
    return s->waited || s->unread || also_ready(s) ||
           tribus_session_revision(s->bus->session) != s->revision;
}

/* The bells of the registry and of all sources. *all: they announce everything. */
static uint32_t bells_of(tribus_subscription *s, tribus_doorbell_shm **bells, bool *all)
{
    uint32_t count = 0;

    *all = !s->bus->observe && !s->unfinished;
    bells[count++] = tribus_session_bell(s->bus->session);
    if (s->also_bell != NULL)
        bells[count++] = s->also_bell;
    if (s->bus->observe) /* to sleep on a bell is to write to it */
        return count;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->sources[i].topic == NULL)
            continue;
        if (count == MOST_BELLS) {
            *all = false;
            break;
        }
        bells[count++] = tribus_topic_bell(s->sources[i].topic);
    }
    return count;
}

/* ---- event loop ---- */

/* Nothing is there: let the descriptor say when, and look again, because something may have
 * come before it was armed. Then it stays readable, as it must until we say EMPTY. */
static tribus_status go_quiet(tribus_subscription *s)
{
    tribus_doorbell_shm *bells[MOST_BELLS];
    tribus_status st;
    bool all;
    uint32_t count = bells_of(s, bells, &all);

    if (count > TRIBUS_EVENT_MOST_BELLS) {
        count = TRIBUS_EVENT_MOST_BELLS;
        all = false;
    }
    tribus_event_arm(s->event, bells, count, all ? 0 : STEP_NS);
    st = take_any(s);
    if (st == TRIBUS_OK || s->unread || also_ready(s) ||
        tribus_session_revision(s->bus->session) != s->revision)
        tribus_event_raise(s->event);
    return st;
}

tribus_status tribus_bus_event_fd(tribus_subscription *s, int *fd)
{
    if (s->event == NULL) {
        const tribus_status st = tribus_event_open(&s->event);

        if (st != TRIBUS_OK)
            return st;
    }
    *fd = tribus_event_fd(s->event);
    return TRIBUS_OK;
}

tribus_status tribus_bus_next_wait(tribus_subscription *s, const tribus_msg_header **out,
                                   uint64_t *lost, const tribus_wait_cfg *cfg)
{
    const tribus_wait_cfg forever = {.timeout_ns = -1};
    const int64_t deadline = tribus_deadline_ns(cfg != NULL ? cfg->timeout_ns : -1);
    tribus_wait_cfg step = cfg != NULL ? *cfg : forever;
    uint64_t sum = 0;
    tribus_status st;

    for (;;) {
        tribus_doorbell_shm *bells[MOST_BELLS];
        uint32_t count;
        uint64_t some = 0;
        bool all;

        st = tribus_bus_next(s, out, &some);
        sum += some;
        if (st == TRIBUS_OK)
            break;
        step.timeout_ns = tribus_deadline_left_ns(deadline);
        if (step.timeout_ns == 0) {
            st = TRIBUS_TIMEOUT;
            break;
        }
        count = bells_of(s, bells, &all);
        if (deadline == INT64_MAX)
            step.timeout_ns = -1;
        if (!all && (step.timeout_ns < 0 || step.timeout_ns > STEP_NS))
            step.timeout_ns = STEP_NS;
        s->waited = false;
        st = tribus_doorbell_wait(bells, count, ready, s, &step);
        if (s->waited) {
            s->waited = false;
            *out = (const tribus_msg_header *)s->message;
            sum += s->lost;
            s->lost = 0;
            st = TRIBUS_OK;
            break;
        }
        if (st != TRIBUS_OK && st != TRIBUS_TIMEOUT)
            break;
        if (also_ready(s)) {
            st = TRIBUS_EMPTY;
            break;
        }
    }
    if (lost != NULL)
        *lost = sum;
    return st;
}

tribus_status tribus_bus_receive_wait(tribus_subscription *s, void *buf, size_t bytes,
                                      uint64_t *lost, const tribus_wait_cfg *cfg)
{
    const tribus_msg_header *m = NULL;
    tribus_status st;

    if (bytes < TRIBUS_WIRE_MESSAGE_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG, "receive: a buffer of %zu bytes, needs %d",
                                bytes, TRIBUS_WIRE_MESSAGE_BYTES);
    st = tribus_bus_next_wait(s, &m, lost, cfg);
    if (st == TRIBUS_OK)
        memcpy(buf, m, sizeof(*m) + m->body_bytes);
    return st;
}
