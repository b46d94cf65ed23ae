/* follow.c -- the topics of a subscription come and go with the registry. See subscription.h. */
#include "bus/subscription.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SOURCES 1024u
/* A new topic is laid out within microseconds: for so long we look for it every TRIBUS_FOLLOW_STEP_NS, and
 * then its creator, or the agent, is stopped. */
#define SOON_NS   2000000000LL
#define SELDOM_NS 100000000LL

/* Tell the bridge the union of what all subscriptions of this handle ask for. */
tribus_status tribus_follow_announce(tribus_bus *bus)
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

static bool same(const tribus_object *a, const tribus_object *b)
{
    return a->number == b->number && a->generation == b->generation;
}

/* Read it no more; the row stays. */
static void release(tribus_subscription *s, tribus_follow_source *gone)
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

void tribus_follow_leave(tribus_subscription *s, uint32_t i)
{
    tribus_follow_source *gone = &s->sources[i];

    release(s, gone);
    if (gone->lane != 0)
        s->urgent--;
    memmove(gone, gone + 1, (size_t)(s->count - i - 1) * sizeof(*gone));
    s->count--;
    s->at = 0;
}

void tribus_follow_fell_behind(tribus_subscription *s, const tribus_follow_source *src,
                               uint64_t lost)
{
    s->lost += lost;
    s->bus->stats[src->bus].lost += lost;
    if (s->said_lost)
        return;
    s->said_lost = true;
    tribus_log(TRIBUS_LOG_WARN,
               "%s is slower than %s: %" PRIu64
               " messages lost; more of this is only counted",
               s->bus->participant, src->object.name, lost);
}

/* A publisher that cannot be followed. */
void tribus_follow_refuse(tribus_subscription *s, uint32_t bus, const char *topic,
                          const char *why)
{
    s->bus->stats[bus].refused++;
    if (s->said_refused)
        return;
    s->said_refused = true;
    tribus_log(TRIBUS_LOG_WARN, "%s does not follow %s: %s; more of this is only counted",
               s->bus->participant, topic, why);
}

static tribus_status map(const tribus_subscription *s, tribus_follow_source *src)
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
static tribus_status join(tribus_subscription *s, tribus_follow_source *src)
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
        /* One look at how many there are says both where we begin and what is gone: it
         * goes on growing. */
        const uint64_t gone = tribus_topic_seek(topic, 0);

        if (gone > 0)
            tribus_follow_fell_behind(s, src, gone);
    } else if (s->history > 0) {
        (void)tribus_topic_rewind(topic, s->history);
    }
    return TRIBUS_OK;
}

/* Later, as long as it is listed: its creator may be stopped, the agent away or slow. */
static void try_join(tribus_subscription *s, tribus_follow_source *src)
{
    const tribus_status st = join(s, src);
    int64_t now_ns, again_ns;

    if (st == TRIBUS_OK)
        return;
    if (st == TRIBUS_CORRUPT) {
        tribus_follow_refuse(s, src->bus, src->object.name, tribus_error_text());
        release(s, src);
        return;
    }
    now_ns = tribus_now_ns();
    again_ns =
        now_ns + (now_ns - src->since_ns < SOON_NS ? TRIBUS_FOLLOW_STEP_NS : SELDOM_NS);
    if (!s->unfinished || again_ns < s->again_ns)
        s->again_ns = again_ns;
    s->unfinished = true;
    /* Not laid out: nothing was published before. */
    src->from_start = src->from_start || st == TRIBUS_EMPTY || st == TRIBUS_TIMEOUT;
}

static tribus_follow_source *find(tribus_subscription *s, const tribus_object *row)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (same(&s->sources[i].object, row))
            return &s->sources[i];
    }
    return NULL;
}

static tribus_follow_source *add(tribus_subscription *s, const tribus_object *row,
                                 uint32_t bus, uint32_t lane)
{
    uint32_t at = s->count;

    if (s->count == s->room) {
        const uint32_t room = s->room == 0 ? 16 : s->room * 2;
        tribus_follow_source *grown;

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
void tribus_follow_tell_looked(const tribus_bus *bus)
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
void tribus_follow_look(tribus_subscription *s)
{
    tribus_object row;
    uint32_t cursor = 0;
    uint32_t left_out = 0;

    if (s->bus->want == NULL && tribus_follow_announce(s->bus) != TRIBUS_OK)
        tribus_error_clear(); /* the agent was away or slow; it is tried again */
    /* Before the rows: what changes while we read them makes us look again. */
    s->revision = tribus_session_revision(s->bus->session);
    s->unfinished = false;
    for (uint32_t i = 0; i < s->count; i++)
        s->sources[i].seen = false;
    while (tribus_session_next_object(s->bus->session, &cursor, &row) == TRIBUS_OK) {
        uint32_t bus = 0;
        uint32_t lane = 0;
        tribus_follow_source *src;

        if (!tribus_bus_topic_parse(&row, &bus, &lane) || (s->buses & (1u << bus)) == 0 ||
            (s->without_own && row.owner == tribus_session_participant(s->bus->session)))
            continue;
        src = find(s, &row);
        if (src == NULL)
            src = add(s, &row, bus, lane);
        if (src == NULL) {
            if (++left_out > s->left_out) /* each is counted once */
                tribus_follow_refuse(s, bus, row.name, "there are too many publishers");
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
    tribus_follow_tell_looked(s->bus);
}

void tribus_follow_leave_ended(tribus_subscription *s)
{
    s->ended = false;
    for (uint32_t i = s->count; i-- > 0;) {
        if (!s->sources[i].seen)
            tribus_follow_leave(s, i);
        else if (s->sources[i].left && s->sources[i].topic != NULL)
            release(s, &s->sources[i]); /* and not joined again while it is listed */
    }
}
