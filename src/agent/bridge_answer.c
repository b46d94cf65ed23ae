/* bridge_answer.c -- the five coordination messages, answered: one thread, Neural-GPU bus.
 *
 * A request is a coordination message with phase "request", from the wire or from a local
 * process. The answer is the same type with phase "reply" or "error", published on the Redis
 * channel that the request names in reply_channel, and for a local requester on the bus.
 * docs/wire-examples.md shows each with redis-cli.
 *
 * Objects made here: region/<name> (a region, laid out) and queue/<name> (two timelines, then
 * a ring). They live as long as the agent, or until they are freed.
 */
#include "agent/bridge_answer.h"
#include "agent/bridge_hosts.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "bus/bus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_NS      5000000000LL /* an answer to the wire waits so long for its server */
#define SERVER_STEP_NS 5000000LL
#define STEP_NS        20000000LL
#define WAITING_NS     1000000LL
#define MOST_WAITS     64u
#define MOST_WAIT      60000000000LL
#define MOST_BYTES     (1ull << 32)
#define QUEUE_FRONT    (2u * TRIBUS_TIMELINE_BYTES)
#define MOST_CELL      (1ull << 20)

/* Copy the error text into a message's text field and mark it. */
static void fail(char *text, size_t n, uint32_t *phase)
{
    *phase = TRIBUS_WIRE_PHASE_ERROR;
    (void)tribus_wire_text_set(text, n, tribus_error_text());
}

tribus_status tribus_bridge_find_object(tribus_session *session, const char *name,
                                        uint32_t number, tribus_object *out)
{
    uint32_t cursor = 0;

    while (tribus_session_next_object(session, &cursor, out) == TRIBUS_OK) {
        if (out->owner != 0 &&
            (name != NULL ? strcmp(out->name, name) == 0 : out->number == number))
            return TRIBUS_OK;
    }
    return name != NULL
               ? tribus_error_set(TRIBUS_NOT_FOUND, "there is no %s", name)
               : tribus_error_set(TRIBUS_NOT_FOUND, "there is no region %u", number);
}

static uint32_t process_of(tribus_session *session, uint32_t participant)
{
    tribus_participant row;
    uint32_t cursor = 0;

    while (tribus_session_next_participant(session, &cursor, &row) == TRIBUS_OK) {
        if (row.number == participant)
            return (uint32_t)row.pid;
    }
    return 0;
}

/* ---- regions: SHARED_MEMORY_ALLOC ---- */

static tribus_status region_name(const tribus_msg_shared_memory_alloc *m, char *name,
                                 size_t n)
{
    if (m->name[0] == '\0')
        return tribus_error_set(TRIBUS_BAD_ARG, "name: needed, such as \"forecasts\"");
    (void)snprintf(name, n, "region/%s", m->name);
    return TRIBUS_OK;
}

/* Name, size, slots and owner of a region that is there. */
static tribus_status describe(tribus_session *session, const tribus_object *object,
                              tribus_msg_shared_memory_alloc *m)
{
    tribus_object mapped;
    tribus_region *region = NULL;
    void *mem = NULL;
    tribus_status st;

    if (m->generation != 0 && m->generation != object->generation)
        return tribus_error_set(TRIBUS_REFUSED, "generation: it is %" PRIu64 " by now",
                                object->generation);
    st = tribus_session_open_object(session, object->name, 0, &mapped, &mem);
    if (st != TRIBUS_OK)
        return st;
    if (tribus_region_open(mem, (size_t)mapped.bytes, TRIBUS_READER, TRIBUS_BRIDGE_HOLDER,
                           &region) == TRIBUS_OK) {
        m->slot_bytes = tribus_region_slot_bytes(region);
        m->slots = tribus_region_slots(region);
        m->slots_free = tribus_region_free_slots(region);
        tribus_region_close(region);
    } else {
        m->slot_bytes = m->slots = m->slots_free = 0; /* a layout of its owner's own */
    }
    (void)tribus_wire_text_set(m->name, sizeof(m->name),
                               strncmp(mapped.name, "region/", 7) == 0 ? mapped.name + 7
                                                                       : mapped.name);
    (void)tribus_wire_text_set(m->device, sizeof(m->device), "cpu");
    tribus_session_drop(session, &mapped, 0);
    m->region = mapped.number;
    m->generation = mapped.generation;
    m->size_bytes = mapped.bytes;
    m->owner_process = process_of(session, mapped.owner);
    return TRIBUS_OK;
}

static tribus_status allocate(tribus_session *session, tribus_msg_shared_memory_alloc *m)
{
    tribus_region_cfg cfg = {.slot_bytes = m->slot_bytes, .slots = m->slots};
    char name[TRIBUS_NAME_BYTES];
    tribus_object object;
    void *mem = NULL;
    size_t bytes;
    tribus_status st = region_name(m, name, sizeof(name));

    if (st != TRIBUS_OK)
        return st;
    if (m->device[0] != '\0' && strcmp(m->device, "cpu") != 0)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "device: %s: only a compute host allocates there",
                                m->device);
    if (cfg.slot_bytes == 0 && cfg.slots > 0)
        cfg.slot_bytes = m->size_bytes / cfg.slots;
    if (cfg.slot_bytes == 0 || cfg.slot_bytes > MOST_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "slot_bytes: 1 to %llu needed (or size_bytes and slots)",
                                MOST_BYTES);
    bytes = tribus_region_bytes(&cfg);
    if (bytes == 0 || bytes > MOST_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "%u slots of %" PRIu64 " bytes: at most %llu "
                                "bytes and 65536 slots",
                                m->slots, m->slot_bytes, MOST_BYTES);
    st = tribus_session_create_object(session, name, TRIBUS_OBJECT_REGION, bytes, 0,
                                      &object, &mem);
    if (st != TRIBUS_OK)
        return st;
    m->generation = 0;
    st = tribus_region_create(mem, bytes, &cfg, object.number);
    if (st == TRIBUS_OK)
        st = describe(session, &object, m);
    if (st != TRIBUS_OK)
        tribus_session_drop(session, &object, 1);
    return st;
}

/* A region that was allocated here, of the generation asked for. */
static tribus_status own_region(tribus_session *session, tribus_msg_shared_memory_alloc *m,
                                tribus_object *object)
{
    char name[TRIBUS_NAME_BYTES];
    tribus_status st;

    if (m->name[0] != '\0')
        (void)snprintf(name, sizeof(name), "region/%s", m->name);
    st = tribus_bridge_find_object(session, m->name[0] != '\0' ? name : NULL, m->region,
                                   object);
    if (st == TRIBUS_NOT_FOUND && m->name[0] != '\0') /* by its full name, of any owner */
        st = tribus_bridge_find_object(session, m->name, 0, object);
    if (st != TRIBUS_OK)
        return st;
    if (object->kind != TRIBUS_OBJECT_REGION && m->operation != TRIBUS_WIRE_MEMORY_DESCRIBE)
        return tribus_error_set(TRIBUS_REFUSED, "%s is no region", object->name);
    if (m->generation != 0 && m->generation != object->generation)
        return tribus_error_set(TRIBUS_REFUSED, "generation: it is %" PRIu64 " by now",
                                object->generation);
    if (m->operation != TRIBUS_WIRE_MEMORY_DESCRIBE &&
        object->owner != tribus_session_participant(session))
        return tribus_error_set(TRIBUS_REFUSED, "%s belongs to process %u", object->name,
                                process_of(session, object->owner));
    return TRIBUS_OK;
}

/* A region in place of one of that name which was freed a moment ago. When it cannot be had
 * there is one of the former size again: nobody held a slot of it. */
static tribus_status allocate_again(tribus_session *session,
                                    tribus_msg_shared_memory_alloc *m,
                                    tribus_msg_shared_memory_alloc *before)
{
    char why[256];
    tribus_status st;

    if (m->slots == 0)
        m->slots = before->slots;
    if (m->slot_bytes == 0 && m->size_bytes == 0)
        m->slot_bytes = before->slot_bytes;
    st = allocate(session, m);
    if (st == TRIBUS_OK)
        return TRIBUS_OK;
    (void)snprintf(why, sizeof(why), "%s", tribus_error_text());
    if (allocate(session, before) != TRIBUS_OK)
        return tribus_error_set(st, "%s; and the region is lost", why);
    return tribus_error_set(st, "%s", why);
}

static tribus_status answer_memory(tribus_session *session,
                                   tribus_msg_shared_memory_alloc *m)
{
    tribus_msg_shared_memory_alloc now = *m;
    tribus_object object;
    tribus_status st;

    if (m->operation == TRIBUS_WIRE_MEMORY_ALLOCATE)
        return allocate(session, m);
    st = own_region(session, m, &object);
    if (st != TRIBUS_OK || m->operation == TRIBUS_WIRE_MEMORY_DESCRIBE)
        return st == TRIBUS_OK ? describe(session, &object, m) : st;
    st = describe(session, &object, &now);
    if (st != TRIBUS_OK)
        return st;
    if (now.slots_free != now.slots)
        return tribus_error_set(TRIBUS_REFUSED, "%u of %u slots are in use",
                                now.slots - now.slots_free, now.slots);
    tribus_session_drop(session, &object, 1);
    (void)tribus_wire_text_set(m->name, sizeof(m->name), now.name);
    m->region = now.region;
    return m->operation == TRIBUS_WIRE_MEMORY_FREE ? TRIBUS_OK
                                                   : allocate_again(session, m, &now);
}

/* ---- queues: COMPUTE_QUEUE_SYNC ---- */

typedef struct queue_view {
    tribus_object object;         /* to be dropped again */
    tribus_timeline_shm *line[2]; /* produced, consumed */
} queue_view;

static tribus_status create_queue(tribus_session *session,
                                  const tribus_msg_compute_queue_sync *m, const char *name)
{
    const uint32_t slots = m->slots != 0 ? m->slots : 256u;
    const uint64_t wide =
        m->slot_bytes != 0 ? ((uint64_t)m->slot_bytes + 8u + 63u) / 64u * 64u : 64u;
    const uint32_t cell = wide <= MOST_CELL ? (uint32_t)wide : 0;
    const size_t ring = cell != 0 ? tribus_ring_bytes(slots, cell) : 0;
    tribus_object object;
    unsigned char *bytes;
    void *mem = NULL;
    tribus_status st;

    if (ring == 0 || ring > MOST_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "slots: %u: a power of two from 2 to 2^24 is needed; "
                                "slot_bytes: %u: at most %llu",
                                slots, m->slot_bytes, MOST_CELL - 8u);
    st = tribus_session_create_object(session, name, TRIBUS_OBJECT_RING, QUEUE_FRONT + ring,
                                      0, &object, &mem);
    if (st != TRIBUS_OK)
        return st;
    bytes = mem;
    st = tribus_timeline_create(bytes, TRIBUS_TIMELINE_BYTES, 0);
    if (st == TRIBUS_OK)
        st =
            tribus_timeline_create(bytes + TRIBUS_TIMELINE_BYTES, TRIBUS_TIMELINE_BYTES, 0);
    if (st == TRIBUS_OK)
        st = tribus_ring_create(bytes + QUEUE_FRONT, ring, slots, cell);
    if (st != TRIBUS_OK)
        tribus_session_drop(session, &object, 1);
    return st;
}

static tribus_status open_queue(tribus_session *session, const char *name, queue_view *out)
{
    unsigned char *bytes;
    void *mem = NULL;
    tribus_status st = tribus_bridge_find_object(session, name, 0, &out->object);

    if (st == TRIBUS_OK)
        st = tribus_session_open_object(session, name, 1, &out->object, &mem);
    if (st != TRIBUS_OK)
        return st;
    bytes = mem;
    if (out->object.bytes < QUEUE_FRONT)
        st = tribus_error_set(TRIBUS_CORRUPT, "%s is no queue", name);
    if (st == TRIBUS_OK)
        st = tribus_timeline_open(bytes, TRIBUS_TIMELINE_BYTES, &out->line[0]);
    if (st == TRIBUS_OK)
        st = tribus_timeline_open(bytes + TRIBUS_TIMELINE_BYTES, TRIBUS_TIMELINE_BYTES,
                                  &out->line[1]);
    if (st != TRIBUS_OK)
        tribus_session_drop(session, &out->object, 0);
    return st;
}

static uint64_t value_of(const tribus_timeline_shm *line)
{
    return (uint64_t)tribus_timeline_get(line);
}

static tribus_status move_queue(const queue_view *q, tribus_msg_compute_queue_sync *m)
{
    tribus_timeline_shm *line = q->line[m->timeline];

    if (m->operation == TRIBUS_WIRE_QUEUE_ADVANCE) {
        tribus_status st;

        if (m->value > (uint64_t)INT64_MAX - 1)
            return tribus_error_set(TRIBUS_BAD_ARG, "value: %" PRIu64 " is too large",
                                    m->value);
        if (m->value < value_of(line))
            return tribus_error_set(TRIBUS_REFUSED,
                                    "value: a timeline only grows, and is at %" PRIu64,
                                    value_of(line));
        st = tribus_timeline_advance(line, (int64_t)m->value);
        if (st != TRIBUS_OK)
            return st;
    } else if (m->operation == TRIBUS_WIRE_QUEUE_READ && m->timeout_ns > 0 &&
               value_of(line) < m->value) {
        return TRIBUS_EMPTY;
    }
    m->produced = value_of(q->line[0]);
    m->consumed = value_of(q->line[1]);
    return TRIBUS_OK;
}

/* Returns TRIBUS_EMPTY when the answer has to wait. */
static tribus_status answer_queue(tribus_session *session, tribus_msg_compute_queue_sync *m)
{
    char name[TRIBUS_NAME_BYTES];
    queue_view q = {.line = {NULL, NULL}};
    tribus_status st = TRIBUS_OK;

    (void)snprintf(name, sizeof(name), "queue/%s", m->queue);
    if (m->operation == TRIBUS_WIRE_QUEUE_CREATE)
        st = create_queue(session, m, name);
    if (st == TRIBUS_OK)
        st = open_queue(session, name, &q);
    if (st != TRIBUS_OK)
        return st;
    st = move_queue(&q, m);
    tribus_session_drop(session, &q.object, 0);
    return st;
}

/* ---- requests ---- */

typedef struct waiting {
    tribus_msg_compute_queue_sync m;
    int64_t deadline_ns;
} waiting;

typedef struct running {
    tribus_msg_neural_to_gpu_compute m;
    uint32_t ticket;
} running;

typedef struct answerer {
    tribus_bridge_side *side;
    waiting waits[MOST_WAITS];
    uint32_t wait_count;
    running runs[MOST_WAITS];
    uint32_t run_count;
    tribus_bridge_hosts hosts;
    char more[TRIBUS_BRIDGE_MORE_BYTES]; /* members of the next reply; "" for none */
    char json[TRIBUS_WIRE_JSON_BYTES];
} answerer;

/* Publish the answer where it was asked for. */
static tribus_status reply_to(answerer *a, tribus_msg_header *m, const char *channel)
{
    tribus_bridge_side *side = a->side;
    const bool remote = (m->flags & TRIBUS_MSG_FROM_WIRE) != 0;
    const char *words[] = {"PUBLISH", channel, a->json};
    const tribus_wire_extra extra = {.data = a->more, .data_bytes = strlen(a->more)};
    size_t lengths[3] = {7, strlen(channel), 0};
    tribus_status st = TRIBUS_OK;

    m->flags = 0;
    m->timestamp_wall_ns = tribus_now_wall_ns();
    m->origin = side->handle->origin;
    m->sequence = ++side->handle->sequence[m->bus];
    (void)tribus_wire_text_set(m->engine_type, sizeof(m->engine_type), "agent");
    (void)tribus_wire_text_set(m->engine_instance, sizeof(m->engine_instance), "tribusd");
    if (!remote)
        st = tribus_bus_publish(side->handle, m);
    if (st == TRIBUS_OK && channel[0] != '\0' && side->redis == NULL) {
        (void)tribus_add_rlx(&side->bridge->counters[side->bus].lost, 1u); /* counter */
    } else if (st == TRIBUS_OK && channel[0] != '\0') {
        st = tribus_wire_to_json_extra(m, a->more[0] != '\0' ? &extra : NULL, a->json,
                                       sizeof(a->json), &lengths[2]);
        if (st == TRIBUS_OK)
            st = tribus_redis_queue(side->redis, 3, words, lengths);
    }
    a->more[0] = '\0';
    return st;
}

static tribus_status queue_request(answerer *a, tribus_msg_compute_queue_sync *m)
{
    const tribus_status st = answer_queue(a->side->session, m);

    m->phase = TRIBUS_WIRE_PHASE_REPLY;
    if (st == TRIBUS_EMPTY && a->wait_count < MOST_WAITS && m->timeout_ns <= MOST_WAIT) {
        a->waits[a->wait_count++] =
            (waiting){.m = *m, .deadline_ns = tribus_deadline_ns(m->timeout_ns)};
        return TRIBUS_OK;
    }
    if (st == TRIBUS_EMPTY)
        (void)tribus_error_set(TRIBUS_FULL, "timeout_ns: over 60 s, or %u waits already",
                               MOST_WAITS);
    if (st != TRIBUS_OK)
        fail(m->text, sizeof(m->text), &m->phase);
    return reply_to(a, &m->header, m->reply_channel);
}

static tribus_status memory_request(answerer *a, tribus_msg_shared_memory_alloc *m)
{
    m->phase = TRIBUS_WIRE_PHASE_REPLY;
    if (answer_memory(a->side->session, m) != TRIBUS_OK)
        fail(m->text, sizeof(m->text), &m->phase);
    return reply_to(a, &m->header, m->reply_channel);
}

static tribus_status pipeline_request(answerer *a, tribus_msg_hybrid_pipeline_coord *m)
{
    const tribus_bridge_cfg *cfg = &a->side->bridge->cfg;
    const tribus_wire_extra *extra = tribus_bus_extra(a->side->requests);
    tribus_status st;

    m->phase = TRIBUS_WIRE_PHASE_REPLY;
    if (cfg->pipeline == NULL)
        st = tribus_error_set(TRIBUS_UNSUPPORTED, "this agent knows no pipelines");
    else
        st = cfg->pipeline(cfg->pipeline_context, a->side->session, m,
                           extra != NULL ? extra->data : NULL);
    if (st != TRIBUS_OK)
        fail(m->text, sizeof(m->text), &m->phase);
    return reply_to(a, &m->header, m->reply_channel);
}

static tribus_status tensor_request(answerer *a, tribus_msg_neural_to_gpu_compute *m)
{
    const tribus_wire_extra *extra = tribus_bus_extra(a->side->requests);
    running *r = &a->runs[a->run_count];
    tribus_status st;

    m->phase = TRIBUS_WIRE_PHASE_REPLY;
    if (a->run_count == MOST_WAITS)
        st = tribus_error_set(TRIBUS_FULL, "%u tensors are being computed with: ask later",
                              MOST_WAITS);
    else
        st = tribus_bridge_tensor_answer(a->side, m, extra != NULL ? extra->data : NULL,
                                         &r->ticket, a->more);
    if (st == TRIBUS_EMPTY) {
        r->m = *m;
        a->run_count++;
        return TRIBUS_OK;
    }
    if (st != TRIBUS_OK)
        fail(m->text, sizeof(m->text), &m->phase);
    return reply_to(a, &m->header, m->reply_channel);
}

static tribus_status take_request(answerer *a, const tribus_msg_header *h)
{
    tribus_msg_any m;

    memcpy(&m, h, sizeof(*h) + h->body_bytes);
    switch (h->type) {
    case TRIBUS_MSG_SHARED_MEMORY_ALLOC:
        return m.shared_memory_alloc.phase != TRIBUS_WIRE_PHASE_REQUEST
                   ? TRIBUS_OK
                   : memory_request(a, &m.shared_memory_alloc);
    case TRIBUS_MSG_COMPUTE_QUEUE_SYNC:
        return m.compute_queue_sync.phase != TRIBUS_WIRE_PHASE_REQUEST
                   ? TRIBUS_OK
                   : queue_request(a, &m.compute_queue_sync);
    case TRIBUS_MSG_HYBRID_PIPELINE_COORD:
        return m.hybrid_pipeline_coord.phase != TRIBUS_WIRE_PHASE_REQUEST
                   ? TRIBUS_OK
                   : pipeline_request(a, &m.hybrid_pipeline_coord);
    case TRIBUS_MSG_NEURAL_TO_GPU_COMPUTE: /* the same fields at the same places */
    case TRIBUS_MSG_GPU_TO_NEURAL_REFINE:
        return m.neural_to_gpu_compute.phase != TRIBUS_WIRE_PHASE_REQUEST
                   ? TRIBUS_OK
                   : tensor_request(a, &m.neural_to_gpu_compute);
    default:
        return TRIBUS_OK;
    }
}

/* Answer the reads whose timeline arrived, or whose time is over. */
static tribus_status look_at_waits(answerer *a)
{
    tribus_status sent = TRIBUS_OK;

    for (uint32_t i = a->wait_count; i-- > 0 && sent == TRIBUS_OK;) {
        waiting *w = &a->waits[i];
        tribus_status st = answer_queue(a->side->session, &w->m);

        if (st == TRIBUS_EMPTY && tribus_deadline_left_ns(w->deadline_ns) > 0)
            continue;
        if (st == TRIBUS_EMPTY)
            (void)tribus_error_set(TRIBUS_TIMEOUT, "timed out: %s did not reach %" PRIu64,
                                   w->m.timeline == 0 ? "produced" : "consumed",
                                   w->m.value);
        if (st != TRIBUS_OK)
            fail(w->m.text, sizeof(w->m.text), &w->m.phase);
        sent = reply_to(a, &w->m.header, w->m.reply_channel);
        *w = a->waits[--a->wait_count];
    }
    return sent;
}

/* Answer those whose run has ended. */
static tribus_status look_at_runs(answerer *a)
{
    tribus_status sent = TRIBUS_OK;

    for (uint32_t i = a->run_count; i-- > 0 && sent == TRIBUS_OK;) {
        running *r = &a->runs[i];
        const tribus_status st = tribus_bridge_tensor_ended(a->side, &r->m, r->ticket);

        if (st == TRIBUS_EMPTY)
            continue;
        if (st != TRIBUS_OK)
            fail(r->m.text, sizeof(r->m.text), &r->m.phase);
        sent = reply_to(a, &r->m.header, r->m.reply_channel);
        *r = a->runs[--a->run_count];
    }
    return sent;
}

/* A request from the wire shows that the server is there, though we may not have connected
 * yet, or again: the answer waits for that, or it would be lost. */
static void await_server(tribus_bridge_side *side)
{
    const int64_t deadline = tribus_deadline_ns(SERVER_NS);

    while (tribus_load_rlx(&side->bridge->stopping) == 0 && /* looked at again and again */
           tribus_bridge_side_connect(side) != TRIBUS_OK &&
           tribus_deadline_left_ns(deadline) > 0)
        tribus_bridge_side_sleep(side, SERVER_STEP_NS);
}

/* Local requests are answered whether there is a server or not. */
static tribus_status turn(answerer *a)
{
    const tribus_wait_cfg wait = {
        .spin_ns = 1,
        .timeout_ns = a->wait_count + a->run_count > 0 ? WAITING_NS : STEP_NS};
    const tribus_msg_header *m = NULL;
    redisReply *reply = NULL;
    tribus_status st = tribus_bus_next_wait(a->side->requests, &m, NULL, &wait);

    if (st == TRIBUS_OK && (m->flags & TRIBUS_MSG_FROM_WIRE) != 0)
        await_server(a->side);
    if (st == TRIBUS_OK)
        st = take_request(a, m);
    if (st == TRIBUS_OK || st == TRIBUS_TIMEOUT)
        st = look_at_waits(a);
    if (st == TRIBUS_OK)
        st = look_at_runs(a);
    if (a->side->redis == NULL)
        return st;
    if (st == TRIBUS_OK)
        st = tribus_bridge_side_follow(a->side);
    if (st == TRIBUS_OK)
        st = tribus_bridge_hosts_tell(&a->hosts, a->side);
    if (st == TRIBUS_OK)
        st = tribus_redis_flush(a->side->redis);
    while (st == TRIBUS_OK || st == TRIBUS_FULL) {
        st =
            tribus_redis_next(a->side->redis, &reply); /* how many heard: not our concern */
        if (st == TRIBUS_OK)
            freeReplyObject(reply);
    }
    return st == TRIBUS_EMPTY ? TRIBUS_OK : st;
}

tribus_status tribus_bridge_answer_open(tribus_bridge_side *side)
{
    const tribus_bus_filter filter = {.types = (1ull << TRIBUS_MSG_NEURAL_TO_GPU_COMPUTE) |
                                               (1ull << TRIBUS_MSG_GPU_TO_NEURAL_REFINE) |
                                               (1ull << TRIBUS_MSG_HYBRID_PIPELINE_COORD) |
                                               (1ull << TRIBUS_MSG_SHARED_MEMORY_ALLOC) |
                                               (1ull << TRIBUS_MSG_COMPUTE_QUEUE_SYNC),
                                      .without_own = 1};

    return tribus_bus_subscribe(side->handle, &filter, &side->requests);
}

void *tribus_bridge_answer_run(void *context)
{
    tribus_bridge_side *side = context;
    answerer *a = calloc(1, sizeof(*a));

    if (a == NULL) {
        tribus_log(TRIBUS_LOG_ERROR, "%s bus: requests are not answered: no memory",
                   tribus_wire_bus_title(side->bus));
        return NULL;
    }
    a->side = side;
    while (tribus_load_rlx(&side->bridge->stopping) == 0) { /* looked at again and again */
        if (tribus_bridge_side_connect(side) == TRIBUS_OK)
            tribus_bridge_side_works(side);
        if (turn(a) == TRIBUS_OK)
            continue;
        if (side->redis != NULL)
            tribus_bridge_side_disconnect(side);
        else
            tribus_bridge_side_sleep(side, STEP_NS);
    }
    if (side->bridge->cfg.pipeline != NULL &&
        side->bridge->cfg.pipeline(side->bridge->cfg.pipeline_context, side->session, NULL,
                                   NULL) != TRIBUS_OK)
        tribus_log(TRIBUS_LOG_WARN, "pipelines: %s", tribus_error_text());
    free(a); /* its subscription is the handle's */
    return NULL;
}
