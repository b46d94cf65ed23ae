/* counter.c -- see fabric.h.
 *
 * Ordering
 *   R0 -> A0   create -> open   whoever sees the magic sees the name
 * The counts themselves are relaxed: each is read alone, by people. */
#include "fabric/counter.h"

#include "base/error.h"

#include <string.h>

static const char *const names[TRIBUS_COUNTS] = {
    [TRIBUS_COUNT_MESSAGES] = "messages",
    [TRIBUS_COUNT_BYTES_BY_REF] = "bytes_by_ref",
    [TRIBUS_COUNT_BYTES_COPIED] = "bytes_copied",
    [TRIBUS_COUNT_WAITS] = "waits",
    [TRIBUS_COUNT_WAKES] = "wakes",
    [TRIBUS_COUNT_LAPS] = "laps",
    [TRIBUS_COUNT_LOST] = "lost",
    [TRIBUS_COUNT_REDELIVERED] = "redelivered",
    [TRIBUS_COUNT_FULL] = "full",
    [TRIBUS_COUNT_OVERWRITTEN] = "overwritten",
    [TRIBUS_COUNT_CORRUPT] = "corrupt",
    [TRIBUS_COUNT_RECLAIMED] = "reclaimed",
};

const char *tribus_counter_name(tribus_counter which)
{
    return (unsigned)which < TRIBUS_COUNTS ? names[which] : "?";
}

tribus_status tribus_counter_create(void *mem, size_t bytes, const char *name,
                                    tribus_counters **out)
{
    struct tribus_counters *c = mem;
    tribus_histogram *latency;
    tribus_status st;

    if (mem == NULL || bytes < TRIBUS_COUNTERS_BYTES ||
        (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "counters: need %u bytes at a multiple of 64, have %zu",
                                TRIBUS_COUNTERS_BYTES, bytes);
    tribus_store_rlx(&c->head.magic, 0u); /* not counters while they are laid out */
    c->head.version = TRIBUS_FABRIC_VERSION;
    memset(c->name, 0, sizeof(c->name));
    if (name != NULL)
        memcpy(c->name, name, strnlen(name, sizeof(c->name) - 1));
    for (uint32_t i = 0; i < 16; i++)
        tribus_store_rlx(&c->counts[i], 0u); /* shown by R0 */
    st = tribus_histogram_create(&c->latency, sizeof(c->latency), &latency);
    if (st != TRIBUS_OK)
        return st;
    /* R0 pairs with A0 in tribus_counter_open. */
    tribus_store_rel(&c->head.magic, TRIBUS_MAGIC_LINK);
    *out = c;
    return TRIBUS_OK;
}

tribus_status tribus_counter_open(const void *mem, size_t bytes,
                                  const tribus_counters **out)
{
    const struct tribus_counters *c = mem;

    if (mem == NULL || bytes < TRIBUS_COUNTERS_BYTES ||
        (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "counters: need %u bytes at a multiple of 64, have %zu",
                                TRIBUS_COUNTERS_BYTES, bytes);
    /* A0 pairs with R0 in tribus_counter_create. */
    if (tribus_load_acq(&c->head.magic) != TRIBUS_MAGIC_LINK)
        return tribus_error_set(TRIBUS_CORRUPT, "counters: there are none in this memory");
    if (c->head.version != TRIBUS_FABRIC_VERSION)
        return tribus_error_set(TRIBUS_CORRUPT, "counters: layout version %u, ours is %u",
                                c->head.version, TRIBUS_FABRIC_VERSION);
    *out = c;
    return TRIBUS_OK;
}

void tribus_counter_add(tribus_counters *c, tribus_counter which, uint64_t n)
{
    if ((unsigned)which < TRIBUS_COUNTS)
        tribus_counter_bump(c, which, n);
}

uint64_t tribus_counter_get(const tribus_counters *c, tribus_counter which)
{
    if (c == NULL || (unsigned)which >= TRIBUS_COUNTS)
        return 0;
    return tribus_load_rlx(&c->counts[which]); /* read alone, by people */
}

void tribus_counter_label(const tribus_counters *c, char buf[56])
{
    memcpy(buf, c->name, TRIBUS_COUNTER_NAME_BYTES);
    buf[TRIBUS_COUNTER_NAME_BYTES - 1] = '\0';
}

tribus_histogram *tribus_counter_latency(tribus_counters *c)
{
    return &c->latency;
}

const tribus_histogram *tribus_counter_latency_of(const tribus_counters *c)
{
    return &c->latency;
}
