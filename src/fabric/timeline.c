/* timeline.c -- see fabric.h. One 64-bit value that only grows, and a doorbell.
 *
 * Ordering
 *   R0 -> A0   create  -> open   whoever sees the magic sees the rest of the layout
 *   R1 -> A1   advance -> get    whoever sees the value sees what was written before it
 *
 * The value is at byte 8, so that a device can write it and wait for it by address. A
 * device does not press the bell: who waits for one either spins or looks every
 * TRIBUS_SLEEP_STEP_NS.
 *
 * A device also writes without comparing, so a write that was queued before a poison can come
 * after it. Poison therefore has a word of its own at byte 16, which nobody clears; the value
 * INT64_MAX is there for devices, whose waits look at one word only. */
#include "base/error.h"
#include "fabric/layout.h"

#define MANY_MAX 128u

struct tribus_timeline_shm {
    tribus_shm_head head;
    _Atomic(int64_t) value;
    _Atomic(int64_t) poisoned; /* 0, or 1 for ever */
    uint64_t unused[5];
    struct tribus_doorbell_shm bell;
};

_Static_assert(sizeof(struct tribus_timeline_shm) == TRIBUS_TIMELINE_BYTES, "layout");
_Static_assert(offsetof(struct tribus_timeline_shm, value) == 8, "layout");
_Static_assert(offsetof(struct tribus_timeline_shm, poisoned) == 16, "layout");
_Static_assert(offsetof(struct tribus_timeline_shm, bell) == 64, "layout");

tribus_status tribus_timeline_create(void *mem, size_t bytes, int64_t value)
{
    struct tribus_timeline_shm *t = mem;

    if (mem == NULL || bytes < TRIBUS_TIMELINE_BYTES ||
        (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "timeline: needs %u bytes at a multiple of 64, has %zu",
                                TRIBUS_TIMELINE_BYTES, bytes);
    if (value < 0 || value == TRIBUS_TIMELINE_POISON)
        return tribus_error_set(TRIBUS_BAD_ARG, "timeline: %lld is no starting value",
                                (long long)value);
    tribus_store_rlx(&t->head.magic, 0u); /* not a timeline while it is laid out */
    t->head.version = TRIBUS_FABRIC_VERSION;
    tribus_store_rlx(&t->value, value); /* shown by R0 */
    tribus_store_rlx(&t->poisoned, 0);  /* shown by R0 */
    tribus_doorbell_create(&t->bell);
    /* R0 pairs with A0 in tribus_timeline_open. */
    tribus_store_rel(&t->head.magic, TRIBUS_MAGIC_TIMELINE);
    return TRIBUS_OK;
}

tribus_status tribus_timeline_open(void *mem, size_t bytes, tribus_timeline_shm **out)
{
    struct tribus_timeline_shm *t = mem;

    if (mem == NULL || bytes < TRIBUS_TIMELINE_BYTES ||
        (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "timeline: needs %u bytes at a multiple of 64, has %zu",
                                TRIBUS_TIMELINE_BYTES, bytes);
    /* A0 pairs with R0 in tribus_timeline_create. */
    if (tribus_load_acq(&t->head.magic) != TRIBUS_MAGIC_TIMELINE)
        return tribus_error_set(TRIBUS_CORRUPT, "timeline: there is none in this memory");
    if (t->head.version != TRIBUS_FABRIC_VERSION)
        return tribus_error_set(TRIBUS_CORRUPT, "timeline: layout version %u, ours is %u",
                                t->head.version, TRIBUS_FABRIC_VERSION);
    *out = t;
    return TRIBUS_OK;
}

int64_t tribus_timeline_get(const tribus_timeline_shm *t)
{
    /* A1 pairs with R1 in raise_to. */
    const int64_t value = tribus_load_acq(&t->value);

    /* Only a hint that is never taken back: nothing is read because of it. */
    return tribus_load_rlx(&t->poisoned) != 0 ? TRIBUS_TIMELINE_POISON : value;
}

tribus_doorbell_shm *tribus_timeline_bell(tribus_timeline_shm *t)
{
    return &t->bell;
}

/* The larger of the present value and `value`; poison is the largest of all. */
static tribus_status raise_to(tribus_timeline_shm *t, int64_t value)
{
    int64_t now = tribus_load_rlx(&t->value); /* a first guess for the exchange */

    while (now < value) {
        /* R1 pairs with A1 in tribus_timeline_get. */
        if (tribus_cas_ar(&t->value, &now, value)) {
            tribus_doorbell_press(&t->bell);
            break;
        }
    }
    return tribus_timeline_get(t) == TRIBUS_TIMELINE_POISON ? TRIBUS_POISONED : TRIBUS_OK;
}

tribus_status tribus_timeline_advance(tribus_timeline_shm *t, int64_t value)
{
    tribus_status st;

    if (value < 0 || value == TRIBUS_TIMELINE_POISON)
        return tribus_error_set(TRIBUS_BAD_ARG, "timeline: cannot advance to %lld",
                                (long long)value);
    st = raise_to(t, value);
    if (st == TRIBUS_POISONED)
        (void)tribus_error_set(st, "timeline: advance to %lld of a poisoned timeline",
                               (long long)value);
    return st;
}

void tribus_timeline_poison(tribus_timeline_shm *t)
{
    tribus_store_rlx(&t->poisoned, 1); /* shown by R1, if the value is not poisoned yet */
    (void)raise_to(t, TRIBUS_TIMELINE_POISON);
}

struct many {
    tribus_timeline_shm *const *t;
    const int64_t *values;
    uint32_t count;
    int all;
    uint32_t which; /* out */
    int poisoned;   /* out */
};

static int many_ready(void *context)
{
    struct many *m = context;
    uint32_t reached = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        const int64_t now = tribus_timeline_get(m->t[i]);

        if (now == TRIBUS_TIMELINE_POISON) {
            m->which = i;
            m->poisoned = 1;
            return 1;
        }
        if (now < m->values[i])
            continue;
        if (!m->all) {
            m->which = i;
            return 1;
        }
        reached++;
    }
    return reached == m->count;
}

tribus_status tribus_timeline_wait_many(tribus_timeline_shm *const *t,
                                        const int64_t *values, uint32_t count, int all,
                                        const tribus_wait_cfg *cfg, uint32_t *which)
{
    struct many m = {.t = t, .values = values, .count = count, .all = all};
    tribus_doorbell_shm *bells[MANY_MAX];
    tribus_status st;

    if (count == 0 || count > MANY_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG, "wait for %u timelines: 1..%u allowed",
                                count, MANY_MAX);
    for (uint32_t i = 0; i < count; i++)
        bells[i] = &t[i]->bell;
    st = tribus_doorbell_wait(bells, count, many_ready, &m, cfg);
    if (st != TRIBUS_OK)
        return st;
    if (which != NULL)
        *which = m.which;
    if (m.poisoned)
        return tribus_error_set(TRIBUS_POISONED,
                                "timeline %u of %u was poisoned: its producer failed",
                                m.which, count);
    return TRIBUS_OK;
}

tribus_status tribus_timeline_wait(tribus_timeline_shm *t, int64_t value,
                                   const tribus_wait_cfg *cfg)
{
    return tribus_timeline_wait_many(&t, &value, 1, 1, cfg, NULL);
}
