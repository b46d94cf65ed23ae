/* bus.c -- one handle for the three buses, and the publishing side. See bus.h. */
#include "bus/bus.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"
#include "bus/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINGER_NS     50000000LL /* at close, for those who have not joined yet */
#define LOOK_NS       50000000LL
#define DURABLE_CELLS 1024u
#define CLAIM_MOST    64u          /* what a topic gives room for at once, at most */
#define STORE_NS      1000000000LL /* at close, for what is durable and not stored yet */

static const char *const lane_names[TRIBUS_BUS_LANES] = {"bus", "urgent", "durable"};
static const uint32_t default_cells[TRIBUS_BUSES] = {16384, 2048, 2048};

void tribus_bus_short_name(uint32_t bus, char *buf, size_t n)
{
    char *end;

    (void)snprintf(buf, n, "%s", tribus_wire_bus_name(bus));
    end = strstr(buf, "_bus");
    if (end != NULL)
        *end = '\0';
}

bool tribus_bus_topic_is_left(const tribus_object *row)
{
    return row->owner == 0 &&
           strncmp(row->name, TRIBUS_SESSION_LEFT, strlen(TRIBUS_SESSION_LEFT)) == 0;
}

bool tribus_bus_topic_parse(const tribus_object *row, uint32_t *bus, uint32_t *lane)
{
    const char *name = row->name;

    if (row->kind != TRIBUS_OBJECT_TOPIC)
        return false;
    if (tribus_bus_topic_is_left(row)) {
        name = strchr(name + strlen(TRIBUS_SESSION_LEFT), '/');
        if (name++ == NULL)
            return false;
    } else if (row->owner == 0) {
        return false;
    }
    for (uint32_t l = 0; l < TRIBUS_BUS_LANES; l++) {
        const size_t n = strlen(lane_names[l]);
        const char *rest = name + n + 1;

        if (strncmp(name, lane_names[l], n) != 0 || name[n] != '/')
            continue;
        for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
            char text[24];

            tribus_bus_short_name(b, text, sizeof(text));
            if (strncmp(rest, text, strlen(text)) == 0 && rest[strlen(text)] == '/') {
                *bus = b;
                *lane = l;
                return true;
            }
        }
    }
    return false;
}

static uint64_t types_of_bus(uint32_t bus)
{
    uint64_t types = 0;

    for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
        if (tribus_wire_message_bytes(t) != 0 && tribus_wire_bus_of(t) == bus)
            types |= 1ull << t;
    }
    return types;
}

/* ---- open and close ---- */

/* The process's number among all of all hosts: 32 bits of a hash of what tells it apart. */
static uint32_t make_origin(uint32_t participant)
{
    uint64_t h = 14695981039346656037ull;
    const uint64_t parts[] = {(uint64_t)gethostid(), (uint64_t)getpid(),
                              tribus_os_start_time(getpid()),
                              (uint64_t)tribus_now_wall_ns(), participant};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        h = (h ^ parts[i]) * 1099511628211ull;
        h ^= h >> 29;
    }
    h ^= h >> 32;
    return (uint32_t)h != 0 ? (uint32_t)h : 1u;
}

static void name_ourselves(tribus_bus *bus, const tribus_bus_cfg *cfg)
{
    const uint32_t number = tribus_session_participant(bus->session);
    tribus_participant row;
    uint32_t cursor = 0;

    (void)snprintf(bus->participant, sizeof(bus->participant), "%u", number);
    row.role[0] = '\0';
    while (tribus_session_next_participant(bus->session, &cursor, &row) == TRIBUS_OK) {
        if (row.number == number) {
            (void)snprintf(bus->participant, sizeof(bus->participant), "%s", row.name);
            break;
        }
        row.role[0] = '\0';
    }
    (void)tribus_wire_text_set(bus->engine_type, sizeof(bus->engine_type),
                               cfg->engine_type != NULL ? cfg->engine_type : row.role);
    (void)tribus_wire_text_set(bus->engine_instance, sizeof(bus->engine_instance),
                               cfg->engine_instance != NULL ? cfg->engine_instance
                                                            : bus->participant);
}

tribus_status tribus_bus_open(tribus_session *session, const tribus_bus_cfg *cfg,
                              tribus_bus **out)
{
    const tribus_bus_cfg defaults = {0};
    tribus_bus *bus;

    if (cfg == NULL)
        cfg = &defaults;
    if (session == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "open bus: no session");
    if (cfg->off >= (1u << TRIBUS_BUSES))
        return tribus_error_set(TRIBUS_BAD_ARG, "open bus: off 0x%x names no bus",
                                cfg->off);
    bus = calloc(1, sizeof(*bus));
    if (bus == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open bus");
    bus->session = session;
    bus->off = cfg->off;
    bus->observe = cfg->observe != 0;
    bus->cell_bytes = TRIBUS_BUS_CELL_BYTES;
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        bus->cells[b] = cfg->cells[b] != 0 ? cfg->cells[b] : default_cells[b];
        if (tribus_topic_bytes(bus->cells[b], bus->cell_bytes) == 0) {
            free(bus);
            return tribus_error_set(
                TRIBUS_BAD_ARG, "open bus: %u cells: not a power of two", cfg->cells[b]);
        }
    }
    bus->origin = make_origin(tribus_session_participant(session));
    name_ourselves(bus, cfg);
    *out = bus;
    return TRIBUS_OK;
}

/* claimed_only: nothing to wait for where the agent has not begun to store. */
static bool is_stored(const tribus_bus_lane *l, bool claimed_only)
{
    /* Relaxed as in is_full(). */
    return l->topic == NULL || l->store == NULL ||
           (claimed_only && tribus_load_rlx(&l->store->claimed) == 0) ||
           tribus_load_rlx(&l->store->stored) >= tribus_topic_published(l->topic);
}

static bool all_stored(const tribus_bus *bus, bool claimed_only)
{
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        if (!is_stored(&bus->lanes[b][TRIBUS_BUS_DURABLE], claimed_only))
            return false;
    }
    return true;
}

/* Has everybody who wants what is in this lane joined it? */
static bool is_joined(const tribus_bus *bus, uint32_t b, uint32_t lane,
                      tribus_want_reader *wants)
{
    const tribus_bus_lane *l = &bus->lanes[b][lane];

    return l->topic == NULL || (wants != NULL && tribus_want_reader_all_looked(
                                                     wants, types_of_bus(b), l->revision));
}

static bool all_joined(const tribus_bus *bus, tribus_want_reader *wants)
{
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        for (uint32_t lane = 0; lane < TRIBUS_BUS_LANES; lane++) {
            if (!is_joined(bus, b, lane, wants))
                return false;
        }
    }
    return true;
}

/* What somebody has yet to read or to store is left to the agent; the rest goes. Those who
 * joined a topic can read it to its end either way. Most have looked within a millisecond:
 * so long it is cheaper to wait than to leave. */
static void close_lanes(tribus_bus *bus)
{
    const struct timespec step = {.tv_nsec = 500000};
    const int64_t stored_by = tribus_deadline_ns(STORE_NS);
    const int64_t joined_by = tribus_deadline_ns(LINGER_NS);
    tribus_want_reader *wants = NULL;

    if (tribus_want_reader_open(bus->session, &wants) != TRIBUS_OK)
        tribus_error_clear(); /* then everything is left */
    while ((!all_joined(bus, wants) && tribus_deadline_left_ns(joined_by) > 0) ||
           (!all_stored(bus, true) && tribus_deadline_left_ns(stored_by) > 0))
        (void)nanosleep(&step, NULL);
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        for (uint32_t lane = 0; lane < TRIBUS_BUS_LANES; lane++) {
            tribus_bus_lane *l = &bus->lanes[b][lane];
            bool done;

            if (l->topic == NULL)
                continue;
            done = is_joined(bus, b, lane, wants) && is_stored(l, true);
            tribus_topic_close(l->topic);
            if (done)
                tribus_session_drop(bus->session, &l->object, 1);
            else
                tribus_session_leave(bus->session, &l->object);
        }
    }
    tribus_want_reader_close(wants);
}

static bool has_lane(const tribus_bus *bus)
{
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        for (uint32_t lane = 0; lane < TRIBUS_BUS_LANES; lane++) {
            if (bus->lanes[b][lane].topic != NULL)
                return true;
        }
    }
    return false;
}

void tribus_bus_close(tribus_bus *bus)
{
    if (bus == NULL)
        return;
    while (bus->subscriptions != NULL)
        tribus_bus_unsubscribe(bus->subscriptions);
    if (has_lane(bus))
        close_lanes(bus);
    tribus_want_destroy(bus->want);
    free(bus);
}

/* ---- publish ---- */

static tribus_status open_lane(tribus_bus *bus, uint32_t b, uint32_t lane)
{
    const uint32_t cells = lane == TRIBUS_BUS_DURABLE ? DURABLE_CELLS : bus->cells[b];
    const size_t front = lane == TRIBUS_BUS_DURABLE ? TRIBUS_BUS_STORE_BYTES : 0;
    const size_t bytes = tribus_topic_bytes(cells, bus->cell_bytes);
    tribus_bus_lane *l = &bus->lanes[b][lane];
    char bus_name[24];
    char name[TRIBUS_NAME_BYTES];
    void *mem = NULL;
    tribus_status st;
    int n;

    tribus_bus_short_name(b, bus_name, sizeof(bus_name));
    n = snprintf(name, sizeof(name), "%s/%s/%s", lane_names[lane], bus_name,
                 bus->participant);
    if (n < 0 || (size_t)n >= sizeof(name)) /* our number is as good a name, and short */
        (void)snprintf(name, sizeof(name), "%s/%s/%u", lane_names[lane], bus_name,
                       tribus_session_participant(bus->session));
    st = tribus_session_create_object(bus->session, name, TRIBUS_OBJECT_TOPIC,
                                      front + bytes, 0, &l->object, &mem);
    if (st != TRIBUS_OK) {
        tribus_error_add("publish on %s", tribus_wire_bus_title(b));
        return st == TRIBUS_FULL ? TRIBUS_NO_MEMORY : st; /* FULL passes, this does not */
    }
    if (front != 0) {
        tribus_server server;

        l->store = mem;
        /* Where there is a server, wait for it from the first message on. */
        if (tribus_server_find(bus->session, b, &server) == TRIBUS_OK)
            tribus_store_rlx(&l->store->claimed, 1u);
        tribus_error_clear();
    }
    mem = (unsigned char *)mem + front;
    st = tribus_topic_create(mem, bytes, cells, bus->cell_bytes);
    if (st == TRIBUS_OK)
        st = tribus_topic_open(mem, bytes, TRIBUS_WRITER, 0, &l->topic);
    if (st != TRIBUS_OK) {
        tribus_session_drop(bus->session, &l->object, 1);
        tribus_error_add("publish on %s", tribus_wire_bus_title(b));
    }
    l->revision = tribus_session_revision(bus->session); /* with the topic in it */
    return st;
}

/* The lane a message goes to; opens it when this is the first one there. */
static tribus_status lane_of(tribus_bus *bus, const tribus_msg_header *msg, uint32_t lane,
                             tribus_bus_lane **out)
{
    const uint32_t b = msg->bus;

    if (bus->lanes[b][lane].topic == NULL) {
        tribus_status st;

        if (bus->observe)
            return tribus_error_set(TRIBUS_REFUSED, "publish: this handle only looks on");
        if ((bus->off & (1u << b)) != 0)
            return tribus_error_set(
                TRIBUS_REFUSED, "publish %s: the %s bus is switched off",
                tribus_wire_type_name(msg->type), tribus_wire_bus_title(b));
        st = open_lane(bus, b, lane);
        if (st != TRIBUS_OK)
            return st;
    }
    *out = &bus->lanes[b][lane];
    return TRIBUS_OK;
}

/* Would the next message replace one that is not stored yet? */
static bool is_full(const tribus_bus_lane *lane)
{
    /* Counters: what they count lies in the topic and in Redis. */
    return tribus_load_rlx(&lane->store->claimed) != 0 &&
           tribus_topic_published(lane->topic) - tribus_load_rlx(&lane->store->stored) >=
               DURABLE_CELLS;
}

static tribus_status check(const tribus_msg_header *msg)
{
    const size_t bytes = tribus_wire_message_bytes(msg->type);

    if (bytes == 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "publish: %u is no message type",
                                msg->type);
    if (tribus_wire_validate(msg, bytes) != TRIBUS_OK) {
        tribus_error_add("publish %s", tribus_wire_type_name(msg->type));
        return TRIBUS_BAD_ARG;
    }
    return TRIBUS_OK;
}

static uint32_t lane_number(const tribus_msg_header *msg)
{
    return (msg->flags & TRIBUS_MSG_DURABLE) != 0    ? TRIBUS_BUS_DURABLE
           : msg->priority >= TRIBUS_PRIORITY_URGENT ? TRIBUS_BUS_URGENT
                                                     : TRIBUS_BUS_NORMAL;
}

/* A program that only publishes has to join an agent that was started again, too. */
static void look_after_agent(const tribus_bus *bus)
{
    (void)tribus_session_revision(bus->session);
}

/* Who sends it and when. */
static void sign(tribus_bus *bus, tribus_msg_header *m, int64_t now_wall_ns)
{
    m->flags = (uint16_t)(m->flags & ~TRIBUS_MSG_FROM_WIRE);
    m->sequence = ++bus->sequence[m->bus];
    m->origin = bus->origin;
    if (m->timestamp_wall_ns == 0)
        m->timestamp_wall_ns = now_wall_ns;
    if (m->engine_type[0] == '\0')
        memcpy(m->engine_type, bus->engine_type, sizeof(m->engine_type));
    if (m->engine_instance[0] == '\0')
        memcpy(m->engine_instance, bus->engine_instance, sizeof(m->engine_instance));
    /* Messages tell the time well enough to see when to look. */
    if (m->timestamp_wall_ns - bus->looked_wall_ns > LOOK_NS ||
        m->timestamp_wall_ns < bus->looked_wall_ns) {
        bus->looked_wall_ns = m->timestamp_wall_ns;
        look_after_agent(bus);
    }
}

tribus_status tribus_bus_publish(tribus_bus *bus, const tribus_msg_header *msg)
{
    tribus_bus_lane *l;
    tribus_msg_header *cell;
    tribus_status st = check(msg);

    if (st != TRIBUS_OK)
        return st;
    st = lane_of(bus, msg, lane_number(msg), &l);
    if (st != TRIBUS_OK)
        return st;
    if (l->store != NULL)
        look_after_agent(bus);
    if (l->store != NULL && is_full(l))
        return TRIBUS_FULL;
    if (l == bus->claimed)
        bus->claimed = NULL; /* the room is needed for this one */
    cell = tribus_topic_claim(l->topic);
    memcpy(cell, msg, sizeof(*msg) + msg->body_bytes);
    sign(bus, cell, msg->timestamp_wall_ns != 0 ? 0 : tribus_wall_clock_ns(&bus->clock));
    tribus_topic_commit(l->topic, (uint32_t)sizeof(*msg) + msg->body_bytes);
    bus->stats[msg->bus].published++;
    return TRIBUS_OK;
}

/* ---- publish in place ---- */

tribus_status tribus_bus_claim(tribus_bus *bus, uint32_t type, uint32_t want,
                               tribus_msg_header **out, uint32_t *got)
{
    tribus_msg_any first;
    tribus_bus_lane *l = NULL;
    tribus_status st;

    bus->claimed = NULL;
    st = tribus_wire_init(&first, sizeof(first), type);
    if (st == TRIBUS_OK && want == 0)
        st = tribus_error_set(TRIBUS_BAD_ARG, "room for no message");
    if (st != TRIBUS_OK) {
        tribus_error_add("publish");
        return st;
    }
    st = lane_of(bus, &first.header, lane_number(&first.header), &l);
    if (st != TRIBUS_OK)
        return st;
    tribus_topic_claim_batch(l->topic, want, &bus->claimed_count);
    if (l->store != NULL) { /* one by one, so that is_full() stays true */
        if (is_full(l))
            return TRIBUS_FULL;
        bus->claimed_count = 1;
    }
    for (uint32_t i = 0; i < bus->claimed_count; i++) {
        out[i] = tribus_topic_batch_at(l->topic, i);
        memcpy(out[i], &first, sizeof(first.header) + first.header.body_bytes);
    }
    bus->claimed = l;
    *got = bus->claimed_count;
    return TRIBUS_OK;
}

tribus_status tribus_bus_commit(tribus_bus *bus, uint32_t n)
{
    tribus_bus_lane *l = bus->claimed;
    uint32_t bytes[CLAIM_MOST];
    int64_t now_wall_ns;
    uint32_t b = 0;

    if (l == NULL || n > bus->claimed_count)
        return tribus_error_set(TRIBUS_BAD_ARG, "publish %u messages: room for %u claimed",
                                n, l == NULL ? 0 : bus->claimed_count);
    for (uint32_t i = 0; i < n; i++) {
        const tribus_msg_header *m = tribus_topic_batch_at(l->topic, i);
        const tribus_status st = check(m);

        if (st != TRIBUS_OK)
            return st;
        b = m->bus;
        bytes[i] = (uint32_t)sizeof(*m) + m->body_bytes;
        if (&bus->lanes[b][lane_number(m)] != l)
            return tribus_error_set(
                TRIBUS_BAD_ARG,
                "publish %s: its priority or its being durable was changed after room was "
                "claimed: use tribus_bus_publish()",
                tribus_wire_type_name(m->type));
    }
    bus->claimed = NULL;
    now_wall_ns = tribus_wall_clock_ns(&bus->clock);
    for (uint32_t i = 0; i < n; i++)
        sign(bus, tribus_topic_batch_at(l->topic, i), now_wall_ns);
    tribus_topic_commit_batch(l->topic, n, bytes);
    bus->stats[b].published += n;
    return TRIBUS_OK;
}

tribus_status tribus_bus_forward(tribus_bus *bus, const tribus_msg_header *msg,
                                 const tribus_wire_extra *extra, bool *cut)
{
    const uint32_t lane =
        msg->priority >= TRIBUS_PRIORITY_URGENT ? TRIBUS_BUS_URGENT : TRIBUS_BUS_NORMAL;
    tribus_bus_lane *l;
    unsigned char *cell;
    uint32_t bytes = (uint32_t)sizeof(*msg) + msg->body_bytes;
    tribus_status st = check(msg);

    if (st != TRIBUS_OK)
        return st;
    st = lane_of(bus, msg, lane, &l);
    if (st != TRIBUS_OK)
        return st;
    if (l == bus->claimed)
        bus->claimed = NULL;
    cell = tribus_topic_claim(l->topic);
    memcpy(cell, msg, bytes);
    if (cut != NULL)
        *cut = false;
    if (extra != NULL && extra->envelope_bytes + extra->data_bytes > 0) {
        const size_t room = tribus_topic_payload_bytes(l->topic) - bytes;

        if (extra->envelope_bytes < room && extra->data_bytes + 2 <= room &&
            extra->envelope_bytes + extra->data_bytes + 2 <= room) {
            memcpy(cell + bytes, extra->envelope, extra->envelope_bytes);
            bytes += (uint32_t)extra->envelope_bytes;
            cell[bytes++] = '\0';
            memcpy(cell + bytes, extra->data, extra->data_bytes);
            bytes += (uint32_t)extra->data_bytes;
            cell[bytes++] = '\0';
        } else if (cut != NULL) {
            *cut = true;
        }
    }
    tribus_topic_commit(l->topic, bytes);
    bus->stats[msg->bus].published++;
    return TRIBUS_OK;
}

tribus_status tribus_bus_get_stats(const tribus_bus *bus, uint32_t bus_number,
                                   tribus_bus_stats *out)
{
    if (bus_number >= TRIBUS_BUSES)
        return tribus_error_set(TRIBUS_BAD_ARG, "%u is no bus", bus_number);
    *out = bus->stats[bus_number];
    return TRIBUS_OK;
}

tribus_status tribus_bus_stored_wait(tribus_bus *bus, int64_t timeout_ns)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns);
    const struct timespec step = {.tv_nsec = 200000};

    while (!all_stored(bus, false)) {
        if (tribus_deadline_left_ns(deadline) == 0)
            return TRIBUS_TIMEOUT;
        look_after_agent(bus);
        (void)nanosleep(&step, NULL);
    }
    return TRIBUS_OK;
}
