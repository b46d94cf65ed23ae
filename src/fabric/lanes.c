/* lanes.c -- see fabric.h. A matrix of rings, lane (w, r) from writer w to reader r, and in
 * front of them one doorbell for each reader, pressed by every writer that commits to it.
 * All ordering is the rings' and the doorbell's.
 *
 *   R0 -> A0   create -> open   whoever sees the magic sees the layout
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"
#include "fabric/layout.h"
#include "fabric/ring.h"

#include <stdlib.h>

#define SIDE_MAX  64u
#define LANES_MAX 1024u

struct tribus_lanes_shm {
    tribus_shm_head head;
    uint32_t writers, readers, cells, cell_bytes;
    uint64_t unused[13];
    struct tribus_doorbell_shm bells[]; /* one for each reader */
};

_Static_assert(offsetof(struct tribus_lanes_shm, bells) == 128, "layout");

struct tribus_lanes {
    struct tribus_lanes_shm *shm;
    tribus_lanes_cfg cfg;
    tribus_end end;
    uint32_t number;
    uint32_t count;      /* of the lanes of this end */
    uint32_t next;       /* whose turn it is */
    tribus_status found; /* of the last look by ready() */
    tribus_ring *rings[SIDE_MAX];
};

static size_t ring_stride(const tribus_lanes_cfg *cfg)
{
    const size_t bytes = tribus_ring_bytes(cfg->cells, cfg->cell_bytes);

    return (bytes + 127u) / 128u * 128u; /* so that no lane shares a pair of lines */
}

static size_t rings_offset(const tribus_lanes_cfg *cfg)
{
    const size_t bytes = sizeof(struct tribus_lanes_shm) +
                         (size_t)cfg->readers * sizeof(struct tribus_doorbell_shm);

    return (bytes + 127u) / 128u * 128u;
}

static void *ring_at(void *mem, const tribus_lanes_cfg *cfg, uint32_t w, uint32_t r)
{
    return (unsigned char *)mem + rings_offset(cfg) +
           ((size_t)w * cfg->readers + r) * ring_stride(cfg);
}

size_t tribus_lanes_bytes(const tribus_lanes_cfg *cfg)
{
    if (cfg->writers == 0 || cfg->writers > SIDE_MAX || cfg->readers == 0 ||
        cfg->readers > SIDE_MAX || cfg->writers * cfg->readers > LANES_MAX ||
        tribus_ring_bytes(cfg->cells, cfg->cell_bytes) == 0)
        return 0;
    return rings_offset(cfg) + (size_t)cfg->writers * cfg->readers * ring_stride(cfg);
}

tribus_status tribus_lanes_create(void *mem, size_t bytes, const tribus_lanes_cfg *cfg)
{
    struct tribus_lanes_shm *shm = mem;
    const size_t need = tribus_lanes_bytes(cfg);

    if (need == 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "lanes of %u writers and %u readers, %u cells of %u bytes: "
                                "1..64 each, at most 1024 lanes, cells as for a ring",
                                cfg->writers, cfg->readers, cfg->cells, cfg->cell_bytes);
    if (mem == NULL || bytes < need || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "lanes: need %zu bytes at a multiple of 64, have %zu", need,
                                bytes);
    tribus_store_rlx(&shm->head.magic, 0u); /* not lanes while they are laid out */
    shm->head.version = TRIBUS_FABRIC_VERSION;
    shm->writers = cfg->writers;
    shm->readers = cfg->readers;
    shm->cells = cfg->cells;
    shm->cell_bytes = cfg->cell_bytes;
    for (uint32_t r = 0; r < cfg->readers; r++)
        tribus_doorbell_create(&shm->bells[r]);
    for (uint32_t w = 0; w < cfg->writers; w++)
        for (uint32_t r = 0; r < cfg->readers; r++) {
            const tribus_status st = tribus_ring_create(
                ring_at(mem, cfg, w, r), ring_stride(cfg), cfg->cells, cfg->cell_bytes);

            if (st != TRIBUS_OK)
                return st;
        }
    /* R0 pairs with A0 in check_layout. */
    tribus_store_rel(&shm->head.magic, TRIBUS_MAGIC_LANES);
    return TRIBUS_OK;
}

static tribus_status check_layout(void *mem, size_t bytes, tribus_lanes_cfg *cfg)
{
    struct tribus_lanes_shm *shm = mem;
    size_t need;

    if (mem == NULL || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "lanes: memory is not at a multiple of 64");
    if (bytes < sizeof(*shm))
        return tribus_error_set(TRIBUS_CORRUPT, "lanes: %zu bytes are too few for any",
                                bytes);
    /* A0 pairs with R0 in tribus_lanes_create. */
    if (tribus_load_acq(&shm->head.magic) != TRIBUS_MAGIC_LANES)
        return tribus_error_set(TRIBUS_CORRUPT, "lanes: there are none in this memory");
    if (shm->head.version != TRIBUS_FABRIC_VERSION)
        return tribus_error_set(TRIBUS_VERSION, "lanes: layout version %u, ours is %u",
                                shm->head.version, TRIBUS_FABRIC_VERSION);
    *cfg = (tribus_lanes_cfg){shm->writers, shm->readers, shm->cells, shm->cell_bytes};
    need = tribus_lanes_bytes(cfg);
    if (need == 0 || need > bytes)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "lanes: say %u writers, %u readers, %u cells of %u bytes, "
                                "the memory has %zu",
                                cfg->writers, cfg->readers, cfg->cells, cfg->cell_bytes,
                                bytes);
    return TRIBUS_OK;
}

tribus_status tribus_lanes_open(void *mem, size_t bytes, tribus_end end, uint32_t number,
                                tribus_lanes **out)
{
    const int writes = end == TRIBUS_WRITER;
    tribus_lanes *l = calloc(1, sizeof(*l));
    tribus_status st;

    if (l == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "lanes: handle");
    st = check_layout(mem, bytes, &l->cfg);
    if (st == TRIBUS_OK && ((!writes && end != TRIBUS_READER) ||
                            number >= (writes ? l->cfg.writers : l->cfg.readers)))
        st = tribus_error_set(TRIBUS_BAD_ARG,
                              "lanes: end %d, number %u of %u writers, %u "
                              "readers",
                              (int)end, number, l->cfg.writers, l->cfg.readers);
    if (st != TRIBUS_OK)
        goto fail;
    l->shm = mem;
    l->end = end;
    l->number = number;
    while (l->count < (writes ? l->cfg.readers : l->cfg.writers)) {
        const uint32_t w = writes ? number : l->count, r = writes ? l->count : number;

        st = tribus_ring_open(ring_at(mem, &l->cfg, w, r), ring_stride(&l->cfg), end,
                              &l->rings[l->count]);
        if (st != TRIBUS_OK) {
            tribus_error_add("lane from writer %u to reader %u", w, r);
            goto fail;
        }
        tribus_ring_set_bell(l->rings[l->count++], &l->shm->bells[r]);
    }
    *out = l;
    return TRIBUS_OK;

fail:
    tribus_lanes_close(l);
    return st;
}

void tribus_lanes_close(tribus_lanes *l)
{
    if (l == NULL)
        return;
    for (uint32_t i = 0; i < l->count; i++)
        tribus_ring_close(l->rings[i]);
    free(l);
}

/* What peek or claim of this lane says; neither takes anything yet. */
static tribus_status look(tribus_lanes *l, uint32_t i)
{
    uint32_t got;

    return l->end == TRIBUS_READER ? tribus_ring_peek_batch(l->rings[i], 1, &got)
                                   : tribus_ring_claim_batch(l->rings[i], 1, &got);
}

tribus_status tribus_lanes_select(tribus_lanes *l, uint32_t number, tribus_ring **out)
{
    const tribus_status nothing = l->end == TRIBUS_READER ? TRIBUS_EMPTY : TRIBUS_FULL;

    if (number != TRIBUS_LANES_NEXT) {
        if (number >= l->count)
            return tribus_error_set(TRIBUS_BAD_ARG, "lanes: %u of %u", number, l->count);
        *out = l->rings[number];
        return TRIBUS_OK;
    }
    for (uint32_t tried = 0; tried < l->count; tried++) {
        const uint32_t i = l->next;
        const tribus_status st = look(l, i);

        l->next = i + 1u < l->count ? i + 1u : 0;
        if (st == nothing)
            continue;
        if (st == TRIBUS_OK)
            *out = l->rings[i];
        return st;
    }
    return nothing;
}

static int ready(void *context)
{
    tribus_lanes *l = context;

    for (uint32_t i = 0; i < l->count; i++) {
        tribus_status st;

        if (!tribus_ring_ready(l->rings[i])) /* asked often: look() would count each time */
            continue;
        st = look(l, i);
        if (st != TRIBUS_EMPTY && st != TRIBUS_FULL) {
            l->found = st;
            return 1;
        }
    }
    return 0;
}

tribus_status tribus_lanes_wait(tribus_lanes *l, const tribus_wait_cfg *cfg)
{
    tribus_doorbell_shm *bells[SIDE_MAX];
    tribus_status st;
    uint32_t n = 0;

    if (l->end == TRIBUS_READER)
        bells[n++] = &l->shm->bells[l->number];
    else
        for (; n < l->count; n++)
            bells[n] = tribus_ring_bell(l->rings[n], TRIBUS_WRITER);
    st = tribus_doorbell_wait(bells, n, ready, l, cfg);
    return st == TRIBUS_OK ? l->found : st;
}

tribus_doorbell_shm *tribus_lanes_bell(tribus_lanes *l)
{
    return &l->shm->bells[l->end == TRIBUS_READER ? l->number : 0];
}

void tribus_lanes_set_counters(tribus_lanes *l, tribus_counters *c)
{
    for (uint32_t i = 0; i < l->count; i++)
        tribus_ring_set_counters(l->rings[i], c);
}
