/* slot.c -- see fabric.h for the contract, docs/shared-layout.md for the picture.
 *
 * A head that says which classes there are, then a region for each. The descriptor in a
 * ring's cell is a slot reference, whose slot counts through all classes, or the message
 * itself: then the reference's region is TRIBUS_SLOT_INLINE, its slot the size, and the bytes
 * follow in the same cache line.
 *
 * Ordering
 *   R0 -> A0   create -> open   whoever sees the magic sees the layout
 * All other ordering is the ring's and the regions'.
 *
 * Crashes: what region.c says, for every class. The reader releases the message first, then
 * the slot.
 */
#include "base/error.h"
#include "fabric/ring.h"

#include <stdlib.h>
#include <string.h>

#define CLASSES_MAX  TRIBUS_SLOT_CLASSES
#define INLINE_BEGIN 8u /* region and slot of a reference; the bytes follow */

typedef struct slot_class {
    uint64_t offset; /* of the region */
    uint64_t bytes;  /* of the region */
} slot_class;

struct tribus_slots_shm {
    tribus_shm_head head;
    uint32_t number;
    uint32_t class_count;
    uint64_t unused[6];
    slot_class classes[CLASSES_MAX];
    uint64_t unused1[8];
    /* 256: the regions, each at a multiple of 4096 */
};

_Static_assert(offsetof(struct tribus_slots_shm, classes) == 64, "layout");
_Static_assert(sizeof(struct tribus_slots_shm) == 256, "layout");
_Static_assert(offsetof(tribus_slot_ref, slot) == 4 && sizeof(tribus_slot_ref) == 32,
               "layout");

struct tribus_slots {
    tribus_region *regions[CLASSES_MAX];
    uint64_t slot_bytes[CLASSES_MAX];
    uint32_t first[CLASSES_MAX + 1]; /* number of a class's first slot */
    uint32_t class_count;
    uint32_t number;
    uint32_t at; /* class of the message in hand */
    tribus_end end;
    tribus_ring *ring;   /* of the message in hand; NULL: none */
    tribus_slot_ref ref; /* as the class's region knows it; region INLINE: in the cell */
    unsigned char *cell;
};

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1u) / to * to;
}

static void fill_default(tribus_slots_cfg *cfg)
{
    static const uint64_t sizes[] = {256, 4096, 65536, 1048576};

    if (cfg->class_count != 0)
        return;
    cfg->class_count = sizeof(sizes) / sizeof(sizes[0]);
    for (uint32_t i = 0; i < cfg->class_count; i++)
        cfg->classes[i] = (tribus_region_cfg){.slot_bytes = sizes[i]};
}

size_t tribus_slot_bytes(tribus_slots_cfg *cfg)
{
    uint64_t offset = sizeof(struct tribus_slots_shm);

    fill_default(cfg);
    if (cfg->class_count > CLASSES_MAX)
        return 0;
    for (uint32_t i = 0; i < cfg->class_count; i++) {
        const size_t bytes = tribus_region_bytes(&cfg->classes[i]);

        if (bytes == 0 || cfg->classes[i].outside != 0 ||
            (i > 0 && cfg->classes[i].slot_bytes <= cfg->classes[i - 1].slot_bytes))
            return 0;
        offset = round_up(offset, TRIBUS_SLOT_ALIGN) + bytes;
    }
    return (size_t)offset;
}

tribus_status tribus_slot_create(void *mem, size_t bytes, const tribus_slots_cfg *cfg,
                                 uint32_t number)
{
    struct tribus_slots_shm *shm = mem;
    tribus_slots_cfg full = *cfg;
    const size_t need = tribus_slot_bytes(&full);
    uint64_t offset = sizeof(*shm);

    if (need == 0 || number == TRIBUS_SLOT_INLINE)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "slots: %u classes: 1..%u, each a region larger than the "
                                "one before",
                                full.class_count, CLASSES_MAX);
    if (mem == NULL || bytes < need || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "slots: need %zu bytes at a multiple of 64, have %zu", need,
                                bytes);
    tribus_store_rlx(&shm->head.magic, 0u); /* no slots while they are laid out */
    shm->head.version = TRIBUS_FABRIC_VERSION;
    shm->number = number;
    shm->class_count = full.class_count;
    for (uint32_t i = 0; i < full.class_count; i++) {
        const size_t region = tribus_region_bytes(&full.classes[i]);
        tribus_status st;

        offset = round_up(offset, TRIBUS_SLOT_ALIGN);
        shm->classes[i] = (slot_class){.offset = offset, .bytes = region};
        st = tribus_region_create((unsigned char *)mem + offset, region, &full.classes[i],
                                  number);
        if (st != TRIBUS_OK)
            return st;
        offset += region;
    }
    /* R0 pairs with A0 in check_layout. */
    tribus_store_rel(&shm->head.magic, TRIBUS_MAGIC_SLOTS);
    return TRIBUS_OK;
}

/* Copy the head, then check the copy. */
static tribus_status check_layout(void *mem, size_t bytes, tribus_slots *s,
                                  slot_class *classes)
{
    struct tribus_slots_shm *shm = mem;

    if (mem == NULL || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "slots: memory is not at a multiple of 64");
    if (bytes < sizeof(*shm))
        return tribus_error_set(TRIBUS_CORRUPT, "slots: %zu bytes are too few for any",
                                bytes);
    /* A0 pairs with R0 in tribus_slot_create. */
    if (tribus_load_acq(&shm->head.magic) != TRIBUS_MAGIC_SLOTS)
        return tribus_error_set(TRIBUS_CORRUPT, "slots: there are none in this memory");
    if (shm->head.version != TRIBUS_FABRIC_VERSION)
        return tribus_error_set(TRIBUS_VERSION, "slots: layout version %u, ours is %u",
                                shm->head.version, TRIBUS_FABRIC_VERSION);
    s->number = shm->number;
    s->class_count = shm->class_count;
    memcpy(classes, shm->classes, sizeof(shm->classes));
    if (s->class_count == 0 || s->class_count > CLASSES_MAX ||
        s->number == TRIBUS_SLOT_INLINE)
        return tribus_error_set(TRIBUS_CORRUPT, "slots: say %u classes", s->class_count);
    for (uint32_t i = 0; i < s->class_count; i++)
        if (classes[i].offset < sizeof(*shm) || classes[i].offset > bytes ||
            classes[i].bytes > bytes - classes[i].offset ||
            classes[i].offset % TRIBUS_SLOT_ALIGN != 0)
            return tribus_error_set(TRIBUS_CORRUPT,
                                    "slots: class %u of %llu bytes at %llu, memory has %zu",
                                    i, (unsigned long long)classes[i].bytes,
                                    (unsigned long long)classes[i].offset, bytes);
    return TRIBUS_OK;
}

tribus_status tribus_slot_open(void *mem, size_t bytes, tribus_end end, uint32_t holder,
                               tribus_slots **out)
{
    slot_class classes[CLASSES_MAX];
    tribus_slots *s = calloc(1, sizeof(*s));
    tribus_status st;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "slots: handle");
    s->end = end;
    st = check_layout(mem, bytes, s, classes);
    for (uint32_t i = 0; st == TRIBUS_OK && i < s->class_count; i++) {
        st = tribus_region_open((unsigned char *)mem + classes[i].offset,
                                (size_t)classes[i].bytes, end, holder, &s->regions[i]);
        if (st != TRIBUS_OK)
            break;
        s->slot_bytes[i] = tribus_region_slot_bytes(s->regions[i]);
        s->first[i + 1] = s->first[i] + tribus_region_slots(s->regions[i]);
    }
    if (st != TRIBUS_OK) {
        tribus_slot_close(s);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

void tribus_slot_close(tribus_slots *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->class_count && i < CLASSES_MAX; i++)
        tribus_region_close(s->regions[i]);
    free(s);
}

uint32_t tribus_slot_inline_bytes(const tribus_ring *ring)
{
    return tribus_ring_payload_bytes(ring) - INLINE_BEGIN;
}

tribus_region *const *tribus_slot_regions(const tribus_slots *s, uint32_t *count)
{
    *count = s->class_count;
    return s->regions;
}

uint32_t tribus_slot_free(const tribus_slots *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->class_count; i++)
        n += tribus_region_free_slots(s->regions[i]);
    return n;
}

/* ---- the writer ---- */

void tribus_slot_give_up(tribus_slots *s)
{
    if (s->ring != NULL && s->end == TRIBUS_WRITER && s->ref.region != TRIBUS_SLOT_INLINE &&
        tribus_region_commit(s->regions[s->at], &s->ref, 0) != TRIBUS_OK)
        tribus_error_clear(); /* somebody wrote over its line: it is not ours any more */
    s->ring = NULL;
}

/* A slot of the smallest class that has the bytes and one to spare. */
static tribus_status loan(tribus_slots *s, uint64_t bytes, void **out)
{
    tribus_status st = TRIBUS_BAD_ARG;

    for (uint32_t i = 0; i < s->class_count; i++) {
        if (s->slot_bytes[i] < bytes)
            continue;
        st = tribus_region_loan(s->regions[i], &s->ref, out);
        s->at = i;
        if (st != TRIBUS_FULL)
            return st;
    }
    if (st == TRIBUS_BAD_ARG)
        return tribus_error_set(st, "slots: no class has %llu bytes, the largest %llu",
                                (unsigned long long)bytes,
                                (unsigned long long)s->slot_bytes[s->class_count - 1u]);
    return st;
}

tribus_status tribus_slot_claim(tribus_slots *s, tribus_ring *ring, uint64_t bytes,
                                void **out)
{
    tribus_status st;
    void *cell;

    tribus_slot_give_up(s);
    if (s->end != TRIBUS_WRITER || ring->end != TRIBUS_WRITER || ring->copy != NULL)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "slots: claim needs the writer of both, and a ring that "
                                "overwrites nothing");
    st = tribus_ring_claim(ring, &cell);
    if (st != TRIBUS_OK)
        return st;
    s->cell = cell;
    if (bytes <= tribus_slot_inline_bytes(ring)) {
        s->ref.region = TRIBUS_SLOT_INLINE;
        s->ref.bytes = bytes;
        *out = s->cell + INLINE_BEGIN;
    } else {
        st = loan(s, bytes, out);
        if (st != TRIBUS_OK)
            return st;
        s->ref.bytes = bytes;
    }
    s->ring = ring;
    return TRIBUS_OK;
}

tribus_status tribus_slot_commit(tribus_slots *s, uint64_t bytes, uint64_t holders)
{
    tribus_ring *ring = s->ring;
    tribus_slot_ref ref = s->ref;
    tribus_status st = TRIBUS_OK;

    if (ring == NULL || s->end != TRIBUS_WRITER || bytes > s->ref.bytes || holders == 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "slots: commit of what is not claimed");
    if (ref.region == TRIBUS_SLOT_INLINE) {
        ref.slot = (uint32_t)bytes;
        memcpy(s->cell, &ref, INLINE_BEGIN);
    } else {
        ref.bytes = bytes;
        st = tribus_region_commit(s->regions[s->at], &ref, holders);
        if (st != TRIBUS_OK)
            return st;
        ref.slot += s->first[s->at];
        memcpy(s->cell, &ref, sizeof(ref));
    }
    tribus_ring_commit(ring);
    s->ring = NULL;
    return TRIBUS_OK;
}

/* ---- the reader ---- */

static tribus_status corrupt(const tribus_slots *s, const tribus_slot_ref *ref)
{
    return tribus_error_set(TRIBUS_CORRUPT,
                            "slots: a descriptor says slot %u of region %u, here is %u",
                            ref->slot, ref->region, s->number);
}

/* Which class a slot's number falls into; class_count: none. */
static uint32_t class_of(const tribus_slots *s, uint32_t slot)
{
    uint32_t i = 0;

    while (i < s->class_count && slot >= s->first[i + 1])
        i++;
    return i;
}

tribus_status tribus_slot_peek(tribus_slots *s, tribus_ring *ring, const void **out,
                               uint64_t *bytes, int *redelivered)
{
    const void *cell;
    tribus_slot_ref ref;
    tribus_status st;

    if (s->end != TRIBUS_READER || ring->end != TRIBUS_READER || ring->copy != NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "slots: peek needs the reader of both");
    st = tribus_ring_peek(ring, &cell, redelivered);
    if (st != TRIBUS_OK)
        return st;
    s->ring = ring;
    s->ref.region = TRIBUS_SLOT_INLINE; /* nothing to release until it is received */
    memcpy(&ref, cell, sizeof(ref));
    if (ref.region == TRIBUS_SLOT_INLINE) {
        if (ref.slot > tribus_slot_inline_bytes(ring))
            return corrupt(s, &ref);
        *out = (const unsigned char *)cell + INLINE_BEGIN;
        *bytes = ref.slot;
        return TRIBUS_OK;
    }
    s->at = class_of(s, ref.slot);
    if (ref.region != s->number || s->at == s->class_count)
        return corrupt(s, &ref);
    ref.slot -= s->first[s->at];
    st = tribus_region_receive(s->regions[s->at], &ref, out);
    if (st != TRIBUS_OK)
        return st;
    *bytes = ref.bytes;
    s->ref = ref;
    return TRIBUS_OK;
}

tribus_status tribus_slot_release(tribus_slots *s)
{
    tribus_ring *ring = s->ring;

    if (ring == NULL || s->end != TRIBUS_READER)
        return tribus_error_set(TRIBUS_BAD_ARG, "slots: release of what was not peeked");
    s->ring = NULL;
    tribus_ring_release(ring); /* in this order: see region.c about crashes */
    if (s->ref.region == TRIBUS_SLOT_INLINE)
        return TRIBUS_OK;
    return tribus_region_release(s->regions[s->at], &s->ref);
}

/* ---- after a death ---- */

/* Run take_back over every class with the references that the ring's cells still hold. */
static tribus_status after_death(tribus_slots *s, tribus_ring *ring, int withdraw,
                                 uint32_t holder, uint32_t *freed)
{
    const uint32_t most = ring->mask + 1u;
    tribus_slot_ref *all = malloc(2u * (size_t)most * sizeof(*all)), *keep;
    uint32_t n;

    if (all == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "slots: references of %u cells", most);
    keep = all + most;
    n = tribus_ring_refs(ring, 0, all, most);
    *freed = 0;
    for (uint32_t c = 0; c < s->class_count; c++) {
        uint32_t kept = 0;

        for (uint32_t i = 0; i < n; i++)
            if (all[i].region == s->number && class_of(s, all[i].slot) == c) {
                keep[kept] = all[i];
                keep[kept++].slot -= s->first[c];
            }
        *freed += withdraw ? tribus_region_withdraw(s->regions[c], holder, keep, kept)
                           : tribus_region_recover(s->regions[c], keep, kept);
    }
    free(all);
    return TRIBUS_OK;
}

tribus_status tribus_slot_withdraw(tribus_slots *s, tribus_ring *ring, uint32_t holder,
                                   uint32_t *freed)
{
    if (s->end != TRIBUS_WRITER || ring->end != TRIBUS_WRITER)
        return tribus_error_set(TRIBUS_BAD_ARG, "slots: withdraw is the writer's");
    return after_death(s, ring, 1, holder, freed);
}

tribus_status tribus_slot_recover(tribus_slots *s, tribus_ring *ring, uint32_t *freed)
{
    if (s->end != TRIBUS_READER || ring->end != TRIBUS_READER)
        return tribus_error_set(TRIBUS_BAD_ARG, "slots: recover is the reader's");
    return after_death(s, ring, 0, 0, freed);
}
