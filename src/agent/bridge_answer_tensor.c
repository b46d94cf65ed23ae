/* bridge_answer_tensor.c -- NEURAL_TO_GPU_COMPUTE and GPU_TO_NEURAL_REFINE, answered.
 *
 * store   put the numbers of the member `values` into a free slot of a region that was
 *         allocated here; the reply names the slot
 * fetch   put the bytes of a slot into a key of the server, for a reader of another host; with
 *         the member `values`: true, its numbers into the reply
 * else    a run of a pipeline that computes it (`operation`) or refines with it (`model`);
 *         the reply names the slot that holds the result, of the region the tensor lay in
 *
 * All slots are held by TRIBUS_BRIDGE_HOLDER, and all bytes are counted as copied: none is
 * handed over by reference. A slot that is read is given back; one of a request that is
 * refused is not, so that it can be asked again.
 */
#include "agent/bridge_answer.h"

#include "base/error.h"
#include "bus/bus.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_NS     1000000000LL
#define MOST_BYTES  (64u << 20)
#define MOST_VALUES 128u /* in a reply: 4096 bytes suffice */

#define SAME_PLACE(a, b)                                                                   \
    _Static_assert(offsetof(tribus_msg_neural_to_gpu_compute, a) ==                        \
                       offsetof(tribus_msg_gpu_to_neural_refine, b),                       \
                   "both are read as the first of them")
SAME_PLACE(pipeline, pipeline);
SAME_PLACE(operation, model);
SAME_PLACE(run, run);
SAME_PLACE(generation, generation);
SAME_PLACE(offset_bytes, offset_bytes);
SAME_PLACE(region, region);
SAME_PLACE(slot, slot);
SAME_PLACE(shape, shape);
SAME_PLACE(rank, rank);
SAME_PLACE(dtype, dtype);
SAME_PLACE(phase, phase);
SAME_PLACE(require_zero_copy, require_zero_copy);
SAME_PLACE(reply_channel, reply_channel);
SAME_PLACE(text, text);
_Static_assert(sizeof(tribus_msg_neural_to_gpu_compute) ==
                   sizeof(tribus_msg_gpu_to_neural_refine),
               "both are read as the first of them");

/* Bytes of what shape and dtype say; 0: too many, or none. */
static uint64_t tensor_bytes(const tribus_msg_neural_to_gpu_compute *m)
{
    static const uint8_t size[] = {
        [TRIBUS_WIRE_DTYPE_FLOAT16] = 2, [TRIBUS_WIRE_DTYPE_BFLOAT16] = 2,
        [TRIBUS_WIRE_DTYPE_FLOAT32] = 4, [TRIBUS_WIRE_DTYPE_FLOAT64] = 8,
        [TRIBUS_WIRE_DTYPE_INT8] = 1,    [TRIBUS_WIRE_DTYPE_INT16] = 2,
        [TRIBUS_WIRE_DTYPE_INT32] = 4,   [TRIBUS_WIRE_DTYPE_INT64] = 8,
        [TRIBUS_WIRE_DTYPE_UINT8] = 1,   [TRIBUS_WIRE_DTYPE_UINT16] = 2,
        [TRIBUS_WIRE_DTYPE_UINT32] = 4,  [TRIBUS_WIRE_DTYPE_UINT64] = 8,
        [TRIBUS_WIRE_DTYPE_BOOL] = 1};
    uint64_t n = m->dtype < sizeof(size) ? size[m->dtype] : 0;

    for (uint32_t i = 0; i < m->rank; i++) {
        if (m->shape[i] <= 0 || n > MOST_BYTES / (uint64_t)m->shape[i])
            return 0;
        n *= (uint64_t)m->shape[i];
    }
    return n;
}

static void count_copied(tribus_bridge_side *side, uint64_t bytes)
{
    (void)tribus_add_rlx(&side->bridge->counters[side->bus].copied_bytes, bytes);
}

/* ---- slots ---- */

typedef struct opened {
    tribus_object object;
    tribus_region *region;
} opened;

static tribus_status open_region(tribus_session *session, uint32_t number, opened *out)
{
    void *mem = NULL;
    tribus_status st = tribus_bridge_find_object(session, NULL, number, &out->object);

    if (st == TRIBUS_OK && out->object.kind != TRIBUS_OBJECT_REGION)
        st = tribus_error_set(TRIBUS_REFUSED, "%s is no region", out->object.name);
    if (st == TRIBUS_OK)
        st = tribus_session_open_object(session, out->object.name, 1, &out->object, &mem);
    if (st != TRIBUS_OK)
        return st;
    st = tribus_region_open(mem, (size_t)out->object.bytes, TRIBUS_READER,
                            TRIBUS_BRIDGE_HOLDER, &out->region);
    if (st != TRIBUS_OK)
        tribus_session_drop(session, &out->object, 0);
    return st;
}

static void close_region(tribus_session *session, opened *r)
{
    tribus_region_close(r->region);
    tribus_session_drop(session, &r->object, 0);
}

/* The bytes of the slot that *m names; a fault says which of its fields is wrong. */
static tribus_status receive(const opened *r, const tribus_msg_neural_to_gpu_compute *m,
                             tribus_slot_ref *ref, const void **bytes)
{
    const uint64_t room = tribus_region_slot_bytes(r->region);

    *ref = (tribus_slot_ref){.region = m->region,
                             .slot = m->slot,
                             .generation = m->generation,
                             .offset = m->offset_bytes,
                             .bytes = tensor_bytes(m)};
    if (ref->bytes == 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "shape, dtype: a tensor of 1 to %u bytes is needed",
                                MOST_BYTES);
    if (m->slot >= tribus_region_slots(r->region))
        return tribus_error_set(TRIBUS_BAD_ARG, "slot: %u: region %u has %u slots", m->slot,
                                m->region, tribus_region_slots(r->region));
    if (ref->offset > room || ref->bytes > room - ref->offset)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "shape: %" PRIu64 " bytes at %" PRIu64
                                ": a slot of region %u has %" PRIu64,
                                ref->bytes, ref->offset, m->region, room);
    if (tribus_region_receive(r->region, ref, bytes) != TRIBUS_OK)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "generation: %" PRIu64
                                ": not what holder %u has of slot %u of region %u",
                                m->generation, TRIBUS_BRIDGE_HOLDER, m->slot, m->region);
    return TRIBUS_OK;
}

static void give_back(const opened *r, const tribus_slot_ref *ref)
{
    if (tribus_region_release(r->region, ref) != TRIBUS_OK)
        tribus_error_clear(); /* received, so it is ours to release */
}

/* ---- store and fetch ---- */

static bool write_number(void *to, uint32_t dtype, uint64_t i, const json_t *value)
{
    const double x = json_number_value(value);
    const json_int_t whole = json_integer_value(value);

    if (dtype == TRIBUS_WIRE_DTYPE_FLOAT32)
        ((float *)to)[i] = (float)x;
    else if (dtype == TRIBUS_WIRE_DTYPE_FLOAT64)
        ((double *)to)[i] = x;
    else if (dtype == TRIBUS_WIRE_DTYPE_INT32)
        ((int32_t *)to)[i] = (int32_t)whole;
    else
        ((int64_t *)to)[i] = (int64_t)whole;
    if (dtype == TRIBUS_WIRE_DTYPE_FLOAT32)
        return json_is_number(value) && isfinite(((float *)to)[i]);
    if (dtype == TRIBUS_WIRE_DTYPE_FLOAT64)
        return json_is_number(value);
    return json_is_integer(value) &&
           (dtype == TRIBUS_WIRE_DTYPE_INT64 || (whole >= INT32_MIN && whole <= INT32_MAX));
}

/* The member `values` of a request; NULL: none. The caller puts it down. */
static json_t *member_values(const char *members)
{
    const size_t room = members != NULL ? strlen(members) + 3 : 0;
    char *json = room > 0 ? malloc(room) : NULL;
    json_t *root, *values;

    if (json == NULL)
        return NULL;
    (void)snprintf(json, room, "{%s}", members);
    root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    free(json);
    values = json_incref(json_object_get(root, "values"));
    json_decref(root);
    return values;
}

static bool has_numbers(uint32_t dtype)
{
    return dtype == TRIBUS_WIRE_DTYPE_FLOAT32 || dtype == TRIBUS_WIRE_DTYPE_FLOAT64 ||
           dtype == TRIBUS_WIRE_DTYPE_INT32 || dtype == TRIBUS_WIRE_DTYPE_INT64;
}

/* Bytes of an element that has_numbers(). */
static uint64_t width_of(uint32_t dtype)
{
    return dtype == TRIBUS_WIRE_DTYPE_FLOAT32 || dtype == TRIBUS_WIRE_DTYPE_INT32 ? 4u : 8u;
}

/* `values` as the elements that *m describes; *out: malloc. */
static tribus_status read_values(const tribus_msg_neural_to_gpu_compute *m,
                                 const char *members, uint64_t bytes, void **out)
{
    const uint64_t count = bytes / width_of(m->dtype);
    json_t *values = member_values(members), *value;
    void *to = malloc(bytes);
    tribus_status st = TRIBUS_OK;
    size_t i;

    if (to == NULL)
        st = tribus_error_set(TRIBUS_NO_MEMORY, "values");
    else if (json_array_size(values) != count)
        st = tribus_error_set(TRIBUS_BAD_DATA,
                              "values: %zu came, shape says %" PRIu64 "; 3 KB at most",
                              json_array_size(values), count);
    if (st != TRIBUS_OK)
        goto out;
    json_array_foreach(values, i, value)
    {
        if (!write_number(to, m->dtype, i, value)) {
            st = tribus_error_set(TRIBUS_BAD_DATA, "values: number %zu is none of dtype",
                                  i + 1);
            goto out;
        }
    }
out:
    json_decref(values);
    if (st == TRIBUS_OK)
        *out = to;
    else
        free(to);
    return st;
}

/* Put bytes into a free slot of an opened region, and name it in *m. */
static tribus_status put_slot(const opened *r, tribus_msg_neural_to_gpu_compute *m,
                              const void *bytes, uint64_t n)
{
    tribus_slot_ref ref;
    void *mem;
    tribus_status st;

    if (n > tribus_region_slot_bytes(r->region))
        return tribus_error_set(TRIBUS_FULL,
                                "%" PRIu64 " bytes: a slot of region %u has %" PRIu64, n,
                                m->region, tribus_region_slot_bytes(r->region));
    if (tribus_region_loan(r->region, &ref, &mem) != TRIBUS_OK)
        return tribus_error_set(TRIBUS_FULL, "region %u has no free slot: fetch one",
                                m->region);
    memcpy(mem, bytes, n);
    st = tribus_region_commit(r->region, &ref, UINT64_C(1) << TRIBUS_BRIDGE_HOLDER);
    if (st != TRIBUS_OK)
        return st;
    m->slot = ref.slot;
    m->generation = ref.generation;
    m->offset_bytes = 0;
    return TRIBUS_OK;
}

static tribus_status store(tribus_bridge_side *side, tribus_msg_neural_to_gpu_compute *m,
                           const char *members)
{
    const uint64_t bytes = tensor_bytes(m);
    void *values = NULL;
    opened r;
    tribus_status st = open_region(side->session, m->region, &r);

    if (st != TRIBUS_OK)
        return st;
    if (r.object.owner != tribus_session_participant(side->session))
        st = tribus_error_set(TRIBUS_REFUSED, "%s was not allocated from the wire",
                              r.object.name);
    else if (m->dtype != TRIBUS_WIRE_DTYPE_FLOAT32 &&
             m->dtype != TRIBUS_WIRE_DTYPE_FLOAT64 && m->dtype != TRIBUS_WIRE_DTYPE_INT32 &&
             m->dtype != TRIBUS_WIRE_DTYPE_INT64)
        st = tribus_error_set(TRIBUS_BAD_ARG,
                              "dtype: float32, float64, int32 or int64 can be stored");
    else if (bytes == 0)
        st = tribus_error_set(TRIBUS_BAD_ARG, "shape: one element or more is needed");
    if (st == TRIBUS_OK)
        st = read_values(m, members, bytes, &values);
    if (st == TRIBUS_OK)
        st = put_slot(&r, m, values, bytes);
    if (st == TRIBUS_OK)
        count_copied(side, bytes);
    free(values);
    close_region(side->session, &r);
    return st;
}

static tribus_status set_key(tribus_bridge_side *side, const char *key, const void *bytes,
                             uint64_t n)
{
    const char *words[5] = {"SET", key, bytes, "EX", "60"};
    const size_t lengths[5] = {3, strlen(key), (size_t)n, 2, 2};
    redisReply *reply = NULL;
    tribus_status st = tribus_redis_queue(side->redis, 5, words, lengths);

    while (st == TRIBUS_OK && tribus_redis_unanswered(side->redis) > 0) {
        st = tribus_redis_next_wait(side->redis, CALL_NS, &reply);
        if (st != TRIBUS_OK)
            break;
        if (reply->type == REDIS_REPLY_ERROR)
            st = tribus_error_set(TRIBUS_REFUSED, "redis: %s", reply->str);
        freeReplyObject(reply);
    }
    return st;
}

/* The elements as a member `values`. */
static tribus_status print_values(const tribus_msg_neural_to_gpu_compute *m,
                                  const void *bytes, uint64_t n,
                                  char more[TRIBUS_BRIDGE_MORE_BYTES])
{
    const uint64_t count = has_numbers(m->dtype) ? n / width_of(m->dtype) : UINT64_MAX;
    size_t used = (size_t)snprintf(more, TRIBUS_BRIDGE_MORE_BYTES, "\"values\":[");

    if (count > MOST_VALUES) {
        more[0] = '\0';
        return tribus_error_set(TRIBUS_REFUSED,
                                "values: %u numbers at most; without, a key is written",
                                MOST_VALUES);
    }
    for (uint64_t i = 0; i < count; i++) {
        char *at = more + used;
        const size_t room = TRIBUS_BRIDGE_MORE_BYTES - used;
        const char *comma = i > 0 ? "," : "";
        const double x =
            m->dtype == TRIBUS_WIRE_DTYPE_FLOAT32   ? (double)((const float *)bytes)[i]
            : m->dtype == TRIBUS_WIRE_DTYPE_FLOAT64 ? ((const double *)bytes)[i]
                                                    : 0.0;

        if (!isfinite(x))
            used += (size_t)snprintf(at, room, "%snull", comma);
        else if (m->dtype == TRIBUS_WIRE_DTYPE_FLOAT32)
            used += (size_t)snprintf(at, room, "%s%.9g", comma, x);
        else if (m->dtype == TRIBUS_WIRE_DTYPE_FLOAT64)
            used += (size_t)snprintf(at, room, "%s%.17g", comma, x);
        else
            used += (size_t)snprintf(at, room, "%s%" PRId64, comma,
                                     m->dtype == TRIBUS_WIRE_DTYPE_INT32
                                         ? (int64_t)((const int32_t *)bytes)[i]
                                         : ((const int64_t *)bytes)[i]);
    }
    (void)snprintf(more + used, TRIBUS_BRIDGE_MORE_BYTES - used, "]");
    return TRIBUS_OK;
}

static tribus_status fetch(tribus_bridge_side *side, tribus_msg_neural_to_gpu_compute *m,
                           const char *members, char more[TRIBUS_BRIDGE_MORE_BYTES])
{
    json_t *values = member_values(members);
    const bool told = json_is_true(values);
    char key[64];
    tribus_slot_ref ref;
    const void *bytes = NULL;
    opened r;
    tribus_status st;

    json_decref(values);
    if (side->redis == NULL)
        return tribus_error_set(TRIBUS_PEER_LOST, "no redis server to put the tensor in");
    st = open_region(side->session, m->region, &r);
    if (st != TRIBUS_OK)
        return st;
    st = receive(&r, m, &ref, &bytes);
    if (st == TRIBUS_OK && told) {
        st = print_values(m, bytes, ref.bytes, more);
    } else if (st == TRIBUS_OK) {
        (void)snprintf(key, sizeof(key), "nautilus-tensor-%u-%u-%" PRIu64, ref.region,
                       ref.slot, ref.generation);
        st = set_key(side, key, bytes, ref.bytes);
        if (st == TRIBUS_OK)
            (void)tribus_wire_text_set(m->text, sizeof(m->text), key);
    }
    if (st == TRIBUS_OK) {
        count_copied(side, ref.bytes);
        give_back(&r, &ref);
    }
    close_region(side->session, &r);
    return st;
}

/* ---- runs ---- */

static tribus_status begin(tribus_bridge_side *side, tribus_msg_neural_to_gpu_compute *m,
                           const char *members, uint32_t *ticket)
{
    const tribus_bridge_cfg *cfg = &side->bridge->cfg;
    tribus_slot_ref ref;
    const void *bytes = NULL;
    opened r;
    tribus_status st;

    if (cfg->tensor == NULL || cfg->result == NULL)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "this agent knows no pipelines");
    if (m->require_zero_copy != 0)
        return tribus_error_set(TRIBUS_REFUSED,
                                "require_zero_copy: a run's input is copied from a slot");
    st = open_region(side->session, m->region, &r);
    if (st != TRIBUS_OK)
        return st;
    st = receive(&r, m, &ref, &bytes);
    if (st == TRIBUS_OK)
        st = cfg->tensor(cfg->pipeline_context, side->session, m, members, bytes, ticket);
    if (st == TRIBUS_OK) {
        count_copied(side, ref.bytes);
        give_back(&r, &ref);
        st = TRIBUS_EMPTY;
    }
    close_region(side->session, &r);
    return st;
}

tribus_status tribus_bridge_tensor_answer(tribus_bridge_side *side,
                                          tribus_msg_neural_to_gpu_compute *m,
                                          const char *members, uint32_t *ticket,
                                          char more[TRIBUS_BRIDGE_MORE_BYTES])
{
    more[0] = '\0';
    m->text[0] = '\0';
    if (strcmp(m->operation, "store") == 0)
        return store(side, m, members);
    if (strcmp(m->operation, "fetch") == 0)
        return fetch(side, m, members, more);
    return begin(side, m, members, ticket);
}

typedef struct putting {
    tribus_bridge_side *side;
    tribus_msg_neural_to_gpu_compute *m;
} putting;

static tribus_status put_result(void *context, const void *bytes, uint64_t n)
{
    putting *p = context;
    opened r;
    tribus_status st = open_region(p->side->session, p->m->region, &r);

    if (st != TRIBUS_OK)
        return st;
    st = put_slot(&r, p->m, bytes, n);
    if (st == TRIBUS_OK)
        count_copied(p->side, n);
    close_region(p->side->session, &r);
    return st;
}

tribus_status tribus_bridge_tensor_ended(tribus_bridge_side *side,
                                         tribus_msg_neural_to_gpu_compute *m,
                                         uint32_t ticket)
{
    const tribus_bridge_cfg *cfg = &side->bridge->cfg;
    putting p = {.side = side, .m = m};

    return cfg->result(cfg->pipeline_context, ticket, m, put_result, &p);
}
