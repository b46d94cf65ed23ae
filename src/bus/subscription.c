/* subscription.c -- join the topics of a bus and merge what they carry. See bus.h.
 *
 * A subscription holds one reader for each topic that it follows. It looks at the registry
 * only when its revision changed. A topic that was there when the subscription was made is
 * joined at its end, one that came later from its beginning, so that a new publisher's
 * first message is never missed. A topic whose publisher ended is read to its end first, and
 * joined for that when we did not know it yet (see src/agent/left.c).
 */
#include "bus/subscription.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BELLS 128u  /* of tribus_doorbell_wait() */
#define PORTION    1024u /* messages passed over before the caller is asked */

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
    if (f->engine != NULL && strlen(f->engine) >= TRIBUS_FOLLOW_TEXT_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG, "subscribe: engine: over %u bytes",
                                TRIBUS_FOLLOW_TEXT_BYTES - 1);
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
    st = tribus_follow_announce(bus);
    if (st != TRIBUS_OK) {
        tribus_error_add("subscribe");
        tribus_bus_unsubscribe(s);
        return st;
    }
    s->first_look = true;
    tribus_follow_look(s);
    s->first_look = false;
    *out = s;
    return TRIBUS_OK;
}

void tribus_bus_unsubscribe(tribus_subscription *s)
{
    tribus_subscription **link;

    if (s == NULL)
        return;
    tribus_event_close(s->event);
    s->event = NULL;
    while (s->count > 0)
        tribus_follow_leave(s, s->count - 1);
    for (link = &s->bus->subscriptions; *link != s; link = &(*link)->next)
        ;
    *link = s->next;
    if (s->bus->want != NULL) {
        if (tribus_follow_announce(s->bus) != TRIBUS_OK)
            tribus_error_clear(); /* the object exists already, so this cannot fail */
        tribus_follow_tell_looked(s->bus);
    }
    free(s->sources);
    free(s);
}

void tribus_bus_retarget(tribus_subscription *s, uint64_t types)
{
    s->types = types;
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

static void is_invalid(tribus_subscription *s, uint32_t bus, const char *why)
{
    s->bus->stats[bus].invalid++;
    if (s->said_invalid)
        return;
    s->said_invalid = true;
    tribus_log(TRIBUS_LOG_WARN,
               "%s: a message was dropped: %s; more of this is only counted",
               s->bus->participant, why);
}

/* Is this copy a message, and one that was asked for? Then it is what is handed out. */
static bool accept(tribus_subscription *s, uint32_t bus, unsigned char *copy, uint32_t used)
{
    const tribus_msg_header *m = (const tribus_msg_header *)copy;
    tribus_bus_stats *stats = &s->bus->stats[bus];
    size_t bytes;

    if (used < sizeof(*m) || m->type >= TRIBUS_MSG_END || m->bus != bus) {
        is_invalid(s, bus, "it has no good header");
        return false;
    }
    if ((s->types & (1ull << m->type)) == 0) {
        stats->filtered++;
        return false;
    }
    if (tribus_wire_validate(m, used) != TRIBUS_OK) {
        is_invalid(s, bus, tribus_error_text());
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
static bool was_read(tribus_subscription *s, tribus_follow_source *src, tribus_status st,
                     uint64_t lost)
{
    tribus_bus_stats *stats = &s->bus->stats[src->bus];

    if (lost > 0)
        tribus_follow_fell_behind(s, src, lost);
    if (st == TRIBUS_CORRUPT) { /* not to be believed any more */
        tribus_topic_close(src->topic);
        src->topic = NULL;
        src->since_ns = 0;
        stats->topics--;
        tribus_follow_refuse(s, src->bus, src->object.name, tribus_error_text());
    }
    return st == TRIBUS_OK;
}

/* Take the next message of a source that overtakes. */
static bool take_one(tribus_subscription *s, tribus_follow_source *src)
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
        tribus_follow_source *src;
        uint64_t lost = 0;
        uint32_t most;
        tribus_status st;

        if (s->at < s->urgent || s->at >= s->count)
            s->at = s->urgent;
        src = &s->sources[s->at++];
        if (src->topic == NULL)
            continue;
        s->held_stride = (tribus_topic_payload_bytes(src->topic) + 63u) / 64u * 64u;
        most = TRIBUS_FOLLOW_HELD_BYTES / s->held_stride;
        st = tribus_topic_read_batch(src->topic, s->held, s->held_stride,
                                     most < TRIBUS_FOLLOW_TURN ? most : TRIBUS_FOLLOW_TURN,
                                     &s->held_count, s->held_bytes, &lost);
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

static tribus_status go_quiet(tribus_subscription *s);

tribus_status tribus_bus_next(tribus_subscription *s, const tribus_msg_header **out,
                              uint64_t *lost)
{
    tribus_status st;

    /* Between turns: what a new publisher sends is in no order with what is held. */
    if (s->held_at == s->held_count &&
        (tribus_session_last_revision(s->bus->session) != s->revision ||
         (s->unfinished && tribus_now_ns() >= s->again_ns)))
        tribus_follow_look(s);
    st = take_any(s);
    if (st != TRIBUS_OK) /* only now, and for the next call: it may enter the kernel */
        (void)tribus_session_revision(s->bus->session);
    if (st != TRIBUS_OK && s->ended && !s->unread)
        tribus_follow_leave_ended(s); /* all were read to their end */
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
    tribus_event_arm(s->event, bells, count, all ? 0 : TRIBUS_FOLLOW_STEP_NS);
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
        if (!all && (step.timeout_ns < 0 || step.timeout_ns > TRIBUS_FOLLOW_STEP_NS))
            step.timeout_ns = TRIBUS_FOLLOW_STEP_NS;
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
