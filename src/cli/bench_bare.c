/* bench_bare.c -- what the fabric is compared with: the least that any hand-off of this shape
 * must do, with no counting, checking or recovery.
 *
 *   slots      a sequence word on a line of its own in each direction; payloads in slots that
 *              rotate, or in one buffer that goes back and forth (a hot pool)
 *   futex      a word in each direction, wake after every store, sleep until it changes
 */
#include "cli/bench_paths.h"

#include "base/atomic.h"
#include "base/os.h"

#include <limits.h>
#include <string.h>

typedef struct bare_line {
    _Alignas(128) _Atomic(uint64_t) sequence;
    uint64_t slot;
} bare_line;

typedef struct bare_shared {
    bare_line lines[2];
    _Alignas(128) _Atomic(uint32_t) words[2][32];
    _Alignas(4096) unsigned char slots[];
} bare_shared;

typedef struct bare_state {
    bare_shared *shm;
    uint64_t sent, got;
    uint32_t slots;
    bool pool;
} bare_state;

static uint32_t slots_max;

void tribus_bench_bare_slots(uint32_t slots)
{
    slots_max = slots;
}

static size_t stride(size_t size_bytes)
{
    return (size_bytes + 63u) / 64u * 64u;
}

static size_t bare_bytes(size_t size_bytes)
{
    return sizeof(bare_shared) + 2 * slots_max * stride(size_bytes);
}

static bool bare_start(tribus_bench_end *e)
{
    static bare_state s;
    const tribus_bench_bare_cfg *cfg = e->config;

    s = (bare_state){.shm = e->shared, .slots = cfg->slots, .pool = cfg->pool};
    e->state = &s;
    return true;
}

static unsigned char *slot_at(const tribus_bench_end *e, uint64_t slot)
{
    const bare_state *s = e->state;

    return s->shm->slots + slot * stride(e->size_bytes);
}

/* A pool's last freed buffer is the one the other side just gave back: one for both. */
static uint64_t next_slot(const tribus_bench_end *e)
{
    const bare_state *s = e->state;

    return s->pool ? 0 : (uint64_t)e->side * s->slots + s->sent % s->slots;
}

static void *bare_loan(tribus_bench_end *e)
{
    return slot_at(e, next_slot(e));
}

static bool bare_send(tribus_bench_end *e, void *mem)
{
    bare_state *s = e->state;
    bare_line *line = &s->shm->lines[e->side];

    (void)mem;
    line->slot = next_slot(e);
    tribus_store_rel(&line->sequence, ++s->sent);
    return true;
}

static const void *bare_receive(tribus_bench_end *e)
{
    bare_state *s = e->state;
    bare_line *line = &s->shm->lines[1 - e->side];

    if (tribus_load_acq(&line->sequence) != s->got + 1)
        return NULL;
    s->got++;
    return slot_at(e, line->slot);
}

static bool bare_release(tribus_bench_end *e, const void *mem)
{
    (void)e;
    (void)mem;
    return true;
}

const tribus_bench_ops tribus_bench_bare = {
    .path = "floor",
    .shared_bytes = bare_bytes,
    .start = bare_start,
    .loan = bare_loan,
    .send = bare_send,
    .receive = bare_receive,
    .release = bare_release,
};

/* ---- futex ---- */

static bool futex_send(tribus_bench_end *e, void *mem)
{
    bare_state *s = e->state;
    _Atomic(uint32_t) *word = &s->shm->words[e->side][0];

    (void)mem;
    tribus_store_rel(word, (uint32_t)++s->sent);
    tribus_os_futex_wake(word, INT_MAX);
    return true;
}

static const void *futex_receive(tribus_bench_end *e)
{
    bare_state *s = e->state;
    _Atomic(uint32_t) *word = &s->shm->words[1 - e->side][0];

    while (tribus_load_acq(word) != (uint32_t)(s->got + 1)) {
        const tribus_status st = tribus_os_futex_wait(word, (uint32_t)s->got, 1000000000);

        if (st != TRIBUS_OK)
            return NULL;
    }
    s->got++;
    return slot_at(e, (uint64_t)(1 - e->side) * s->slots + (s->got - 1) % s->slots);
}

const tribus_bench_ops tribus_bench_futex = {
    .path = "floor",
    .shared_bytes = bare_bytes,
    .start = bare_start,
    .loan = bare_loan,
    .send = futex_send,
    .receive = futex_receive,
    .release = bare_release,
};
