/* region.c -- see fabric.h for the contract, docs/shared-layout.md for the picture.
 *
 * Each slot has a line of its own in front of the slots:
 *
 *   held      bits 0..61: who holds it. Bit 62: on loan, to the holder whose bit is set, or to
 *             the owner where none is. 0: free.
 *   received  bits 0..61: who of those has looked at it since it was given
 *   generation of the present loan, and who loaned it
 *
 * A set and not a count, so that what a dead holder held is taken from exactly it, and
 * twice is the same as once. Owner and holders loan a free slot by one compare and swap;
 * after that only who has it on loan moves it to held; a holder can clear its own bit, or
 * swap it for others' in one step (pass).
 *
 * Invariant: a slot with a nonzero `held` is never loaned.
 *
 * Which slot: the one that this handle was the last to release, because its lines are in our
 * cache and nobody else's; else the next in rotation, the one that rested longest. Two that
 * answer each other through one region so write one buffer in place, and a stream that goes
 * one way rotates (docs/fabric-notes.md, 6, 16 and 17).
 *
 * Ordering. The bytes of a slot travel with the reference: the ring's commit and peek.
 *   R0 -> A0   create  -> open   whoever sees the magic sees the layout
 *   R1 -> A1   release, pass, reclaim, commit to nobody -> loan, reuse   who overwrites does
 *              so when every holder is done with it. Every change of a held slot is a
 *              read-modify-write, so the loan that sees 0 is behind all of them.
 *   R2 -> A2   loan -> withdraw, forget   who sees that nobody has received a slot sees who
 *              loaned it, so nothing is taken that another gave since
 *
 * Crashes
 *   owner on loan            bit 62 is set and nobody was told: open() frees it
 *   holder on loan           the same with its bit: reclaim() and recover() free it
 *   holder, for good         reclaim() clears its bit in every slot
 *   holder, with a successor of the same number: the slots of messages that are still in its
 *                            ring stay held, for they are offered again. Those it received
 *                            and whose message it released are nobody's: recover() frees
 *                            them. For this a holder releases the message first, then the
 *                            slot.
 *   giver between giving and publishing: `held` has a bit whose holder was never told. It has
 *                            no twin in `received`, and the reference is in none of the
 *                            cells of the giver's ring (a message that left them was
 *                            released, and so received before): withdraw() clears it; or
 *                            forget(), when nobody succeeds the giver.
 */
#include "base/error.h"
#include "base/os.h"
#include "fabric/counter.h"

#include <stdlib.h>

#define SLOTS_MAX      65536u
#define HOLDERS_MAX    62u
#define OWNER          HOLDERS_MAX
#define ANYONE         UINT32_MAX
#define NO_SLOT        UINT32_MAX
#define HOLDERS        (((uint64_t)1 << HOLDERS_MAX) - 1u)
#define ON_LOAN        ((uint64_t)1 << 62)
#define SLOT_BYTES_MAX ((uint64_t)1 << 40)
#define RECEIVED       1u
#define NOT_RECEIVED   2u
#define PAGE_BYTES     4096u

struct slot_line {
    _Atomic(uint64_t) held;
    _Atomic(uint64_t) received;
    _Atomic(uint64_t) generation;
    _Atomic(uint64_t) loaner; /* holder's number; OWNER */
    uint64_t unused[4];
};

struct tribus_region_shm {
    /* 0: fixed at creation */
    tribus_shm_head head;
    uint32_t number;
    uint32_t slots;
    uint64_t slot_bytes;
    uint64_t data_offset; /* 0: the slots lie outside */
    uint64_t unused[12];
    /* 128: a line for each slot; then, at a page, the slots */
    struct slot_line lines[];
};

_Static_assert(sizeof(struct slot_line) == TRIBUS_CACHE_LINE_BYTES, "layout");
_Static_assert(offsetof(struct tribus_region_shm, lines) == 128, "layout");

struct tribus_region {
    struct tribus_region_shm *shm;
    unsigned char *data;
    uint64_t slot_bytes;
    uint64_t generation; /* of the last loan */
    uint64_t bit;        /* holder: ours; owner: 0 */
    uint32_t slots;
    uint32_t number;
    uint32_t self; /* holder's number; OWNER */
    uint32_t next; /* where to look for a free slot */
    uint32_t warm; /* the slot that we were the last to release; NO_SLOT */
    tribus_counters *counters;
};

/* How many slots rotate well. Measured (docs/fabric-notes.md): few slots rewrite lines that
 * are still dirty in the other core's cache, more than the last-level cache spills; the
 * best was an eighth of that cache, at most 4 MiB, and never fewer than two. */
static uint32_t slots_for(uint64_t slot_bytes)
{
    uint64_t rotation = tribus_os_cache_bytes() / 8u, n;

    if (rotation > (uint64_t)4 << 20)
        rotation = (uint64_t)4 << 20;
    n = rotation / slot_bytes;
    if (n < 2)
        n = 2;
    return n > 1024 ? 1024 : (uint32_t)n;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1u) / to * to;
}

static uint64_t lines_end(uint32_t slots)
{
    return sizeof(struct tribus_region_shm) + (uint64_t)slots * sizeof(struct slot_line);
}

static uint64_t data_offset_of(uint32_t slots)
{
    return round_up(lines_end(slots), PAGE_BYTES);
}

size_t tribus_region_bytes(tribus_region_cfg *cfg)
{
    uint64_t slot_bytes;

    if (cfg->slot_bytes == 0 || cfg->slot_bytes > SLOT_BYTES_MAX || cfg->slots > SLOTS_MAX)
        return 0;
    slot_bytes = round_up(cfg->slot_bytes, TRIBUS_CACHE_LINE_BYTES);
    if (cfg->slots == 0)
        cfg->slots = slots_for(slot_bytes);
    if (cfg->outside != 0)
        return (size_t)lines_end(cfg->slots);
    return (size_t)(data_offset_of(cfg->slots) + cfg->slots * slot_bytes);
}

tribus_status tribus_region_create(void *mem, size_t bytes, const tribus_region_cfg *cfg,
                                   uint32_t region_number)
{
    struct tribus_region_shm *shm = mem;
    tribus_region_cfg full = *cfg;
    const size_t need = tribus_region_bytes(&full);

    if (need == 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "region of %u slots of %llu bytes: 1..65536 slots of at "
                                "most 2^40 bytes",
                                cfg->slots, (unsigned long long)cfg->slot_bytes);
    if (mem == NULL || bytes < need || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "region: needs %zu bytes at a multiple of 64, has %zu",
                                need, bytes);
    tribus_store_rlx(&shm->head.magic, 0u); /* not a region while it is laid out */
    shm->head.version = TRIBUS_FABRIC_VERSION;
    shm->number = region_number;
    shm->slots = full.slots;
    shm->slot_bytes = round_up(full.slot_bytes, TRIBUS_CACHE_LINE_BYTES);
    shm->data_offset = full.outside != 0 ? 0 : data_offset_of(full.slots);
    for (uint32_t i = 0; i < full.slots; i++) {
        tribus_store_rlx(&shm->lines[i].held, 0u); /* these are shown by R0 */
        tribus_store_rlx(&shm->lines[i].received, 0u);
        tribus_store_rlx(&shm->lines[i].generation, 0u);
        tribus_store_rlx(&shm->lines[i].loaner, OWNER);
    }
    /* R0 pairs with A0 in check_layout. */
    tribus_store_rel(&shm->head.magic, TRIBUS_MAGIC_REGION);
    return TRIBUS_OK;
}

/* data: where the slots are when they lie outside, else NULL. */
static tribus_status check_layout(void *mem, size_t bytes, const tribus_region_data *data,
                                  tribus_region *r)
{
    struct tribus_region_shm *shm = mem;
    uint64_t offset, end;

    if (mem == NULL || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "region: memory is not at a multiple of 64");
    if (bytes < sizeof(*shm))
        return tribus_error_set(TRIBUS_CORRUPT, "region: %zu bytes are too few for any",
                                bytes);
    /* A0 pairs with R0 in tribus_region_create. */
    if (tribus_load_acq(&shm->head.magic) != TRIBUS_MAGIC_REGION)
        return tribus_error_set(TRIBUS_CORRUPT, "region: there is none in this memory");
    if (shm->head.version != TRIBUS_FABRIC_VERSION)
        return tribus_error_set(TRIBUS_VERSION, "region: layout version %u, ours is %u",
                                shm->head.version, TRIBUS_FABRIC_VERSION);
    r->shm = shm;
    r->number = shm->number;
    r->slots = shm->slots;
    r->slot_bytes = shm->slot_bytes;
    offset = shm->data_offset;
    if ((data == NULL) != (offset != 0))
        return tribus_error_set(TRIBUS_CORRUPT, "region: says that its slots lie %s",
                                offset != 0 ? "in its own memory" : "outside");
    end = data == NULL ? offset : lines_end(r->slots);
    if (r->slots == 0 || r->slots > SLOTS_MAX || r->slot_bytes == 0 ||
        r->slot_bytes > SLOT_BYTES_MAX || r->slot_bytes % TRIBUS_CACHE_LINE_BYTES != 0 ||
        (data == NULL && offset != data_offset_of(r->slots)) || end > bytes ||
        r->slots * r->slot_bytes > (data == NULL ? bytes - end : data->bytes))
        return tribus_error_set(
            TRIBUS_CORRUPT,
            "region: says %u slots of %llu bytes from %llu on, memory has %zu", r->slots,
            (unsigned long long)r->slot_bytes, (unsigned long long)offset, bytes);
    r->data = data == NULL ? (unsigned char *)mem + offset : (unsigned char *)data->mem;
    return TRIBUS_OK;
}

/* Owner: free what a dead owner had on loan, and go on counting where it stopped. */
static void take_over(tribus_region *r)
{
    for (uint32_t i = 0; i < r->slots; i++) {
        struct slot_line *line = &r->shm->lines[i];
        /* A1 pairs with R1 in let_go. */
        const uint64_t held = tribus_load_acq(&line->held);
        const uint64_t generation = tribus_load_rlx(&line->generation); /* the owner's */

        if (held == ON_LOAN) /* with a bit it is a holder's */
            (void)tribus_and_ar(&line->held, ~ON_LOAN);
        if (generation > r->generation)
            r->generation = generation;
    }
}

tribus_status tribus_region_open(void *mem, size_t bytes, tribus_end end, uint32_t holder,
                                 tribus_region **out)
{
    return tribus_region_open_outside(mem, bytes, end, holder, NULL, out);
}

tribus_status tribus_region_open_outside(void *mem, size_t bytes, tribus_end end,
                                         uint32_t holder, const tribus_region_data *data,
                                         tribus_region **out)
{
    tribus_region *r;
    tribus_status st;

    if ((end != TRIBUS_WRITER && end != TRIBUS_READER) ||
        (end == TRIBUS_READER && holder >= HOLDERS_MAX))
        return tribus_error_set(TRIBUS_BAD_ARG, "region: end %d, holder %u of 0..%u",
                                (int)end, holder, HOLDERS_MAX - 1u);
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "region: handle");
    st = check_layout(mem, bytes, data, r);
    if (st != TRIBUS_OK) {
        free(r);
        return st;
    }
    r->self = end == TRIBUS_READER ? holder : OWNER;
    r->warm = NO_SLOT;
    if (end == TRIBUS_READER)
        r->bit = (uint64_t)1 << holder;
    else
        take_over(r);
    *out = r;
    return TRIBUS_OK;
}

void tribus_region_close(tribus_region *region)
{
    free(region);
}

uint64_t tribus_region_slot_bytes(const tribus_region *region)
{
    return region->slot_bytes;
}

uint32_t tribus_region_slots(const tribus_region *region)
{
    return region->slots;
}

void tribus_region_set_counters(tribus_region *region, tribus_counters *c)
{
    region->counters = c;
}

static unsigned char *slot_at(const tribus_region *r, uint32_t slot)
{
    return r->data + (size_t)slot * r->slot_bytes;
}

/* Take a slot if it is free. */
static int take(tribus_region *r, uint32_t slot)
{
    struct slot_line *line = &r->shm->lines[slot];
    uint64_t nobody = 0, generation;

    TRIBUS_STEP("region loan: before the flag");
    /* A1 pairs with R1 in let_go, tribus_region_pass and tribus_region_commit. */
    if (!tribus_cas_ar(&line->held, &nobody, ON_LOAN | r->bit))
        return 0;
    TRIBUS_STEP("region loan: after the flag");
    tribus_store_rlx(&line->loaner, r->self); /* R2 carries it */
    /* R2 pairs with A2 in take_back. */
    tribus_store_rel(&line->received, 0u);
    generation = tribus_load_rlx(&line->generation); /* on loan: nobody else stores it */
    if (generation > r->generation)
        r->generation = generation;
    tribus_store_rlx(&line->generation, ++r->generation); /* the ring's commit shows it */
    return 1;
}

static tribus_status loaned(tribus_region *r, uint32_t slot, tribus_slot_ref *out,
                            void **mem)
{
    *out = (tribus_slot_ref){.region = r->number,
                             .slot = slot,
                             .generation = r->generation,
                             .bytes = r->slot_bytes};
    *mem = slot_at(r, slot);
    return TRIBUS_OK;
}

tribus_status tribus_region_loan(tribus_region *r, tribus_slot_ref *out, void **mem)
{
    const uint32_t warm = r->warm;
    uint32_t slot = r->next;

    r->warm = NO_SLOT;
    if (warm != NO_SLOT && take(r, warm))
        return loaned(r, warm, out, mem);
    for (uint32_t i = 0; i < r->slots; i++) {
        const uint32_t next = slot + 1u < r->slots ? slot + 1u : 0;

        /* The first is free as a rule; after that look before taking the line from others.
         * Relaxed: taking it decides. */
        if ((i == 0 || tribus_load_rlx(&r->shm->lines[slot].held) == 0) && take(r, slot)) {
            r->next = next;
            return loaned(r, slot, out, mem);
        }
        slot = next;
    }
    tribus_counter_bump(r->counters, TRIBUS_COUNT_FULL, 1);
    return TRIBUS_FULL;
}

tribus_status tribus_region_commit(tribus_region *r, const tribus_slot_ref *ref,
                                   uint64_t holders)
{
    struct slot_line *line;

    if (ref->slot >= r->slots || (holders & ~HOLDERS) != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "region %u: commit slot %u of %u to %llx",
                                r->number, ref->slot, r->slots,
                                (unsigned long long)holders);
    line = &r->shm->lines[ref->slot];
    /* ours while on loan: nobody else stores them */
    if (tribus_load_rlx(&line->held) != (ON_LOAN | r->bit) ||
        tribus_load_rlx(&line->generation) != ref->generation)
        return tribus_error_set(TRIBUS_BAD_ARG, "region %u: slot %u is not on loan",
                                r->number, ref->slot);
    TRIBUS_STEP("region commit: before the holders");
    /* R1 pairs with A1 in take, for a slot that nobody gets; a holder learns of it by the
     * ring's commit. */
    tribus_store_rel(&line->held, holders);
    TRIBUS_STEP("region commit: after the holders");
    if (r->counters != NULL && holders != 0) {
        tribus_counter_bump(r->counters, TRIBUS_COUNT_MESSAGES, 1);
        tribus_counter_bump(r->counters, TRIBUS_COUNT_BYTES_BY_REF, ref->bytes);
    }
    return TRIBUS_OK;
}

/* The line of a slot that this holder holds, in this generation; NULL and the text set when
 * it does not. */
static struct slot_line *held_line(tribus_region *r, const tribus_slot_ref *ref)
{
    if (ref->slot < r->slots) {
        struct slot_line *line = &r->shm->lines[ref->slot];

        /* relaxed: we saw the reference, and that was shown after these */
        if ((tribus_load_rlx(&line->held) & (ON_LOAN | r->bit)) == r->bit && r->bit != 0 &&
            tribus_load_rlx(&line->generation) == ref->generation)
            return line;
    }
    tribus_counter_bump(r->counters, TRIBUS_COUNT_CORRUPT, 1);
    (void)tribus_error_set(
        TRIBUS_CORRUPT, "region %u: slot %u of %u, generation %llu, is not held by us",
        r->number, ref->slot, r->slots, (unsigned long long)ref->generation);
    return NULL;
}

tribus_status tribus_region_receive(tribus_region *r, const tribus_slot_ref *ref,
                                    const void **mem)
{
    struct slot_line *line = held_line(r, ref);

    if (line == NULL)
        return TRIBUS_CORRUPT;
    if (ref->offset > r->slot_bytes || ref->bytes > r->slot_bytes - ref->offset) {
        tribus_counter_bump(r->counters, TRIBUS_COUNT_CORRUPT, 1);
        return tribus_error_set(
            TRIBUS_CORRUPT, "region %u: %llu bytes at %llu of a slot of %llu", r->number,
            (unsigned long long)ref->bytes, (unsigned long long)ref->offset,
            (unsigned long long)r->slot_bytes);
    }
    TRIBUS_STEP("region receive: before the mark");
    (void)tribus_or_rlx(&line->received, r->bit); /* read by withdraw, after a death */
    TRIBUS_STEP("region receive: after the mark");
    *mem = slot_at(r, ref->slot) + ref->offset;
    return TRIBUS_OK;
}

/* Clear these bits. Nonzero when nobody has the slot any more because of it. */
static int let_go(struct slot_line *line, uint64_t bits)
{
    /* R1 pairs with A1 in take and take_over. */
    const uint64_t held = tribus_and_ar(&line->held, ~bits);

    return (held & bits) != 0 && (held & ~bits) == 0;
}

tribus_status tribus_region_release(tribus_region *r, const tribus_slot_ref *ref)
{
    struct slot_line *line = held_line(r, ref);

    if (line == NULL)
        return TRIBUS_CORRUPT;
    TRIBUS_STEP("region release: before the bit");
    if (let_go(line, r->bit))
        r->warm = ref->slot;
    TRIBUS_STEP("region release: after the bit");
    if (r->counters != NULL) {
        tribus_counter_bump(r->counters, TRIBUS_COUNT_MESSAGES, 1);
        tribus_counter_bump(r->counters, TRIBUS_COUNT_BYTES_BY_REF, ref->bytes);
    }
    return TRIBUS_OK;
}

tribus_status tribus_region_reuse(tribus_region *r, const tribus_slot_ref *ref, void **mem)
{
    struct slot_line *line = held_line(r, ref);

    if (line == NULL)
        return TRIBUS_CORRUPT;
    /* A1 pairs with R1 in let_go: what the others read, they read before we write. */
    if (tribus_load_acq(&line->held) != r->bit)
        return tribus_error_set(TRIBUS_REFUSED, "region %u: others hold slot %u, too",
                                r->number, ref->slot);
    *mem = slot_at(r, ref->slot);
    return TRIBUS_OK;
}

tribus_status tribus_region_pass(tribus_region *r, const tribus_slot_ref *ref,
                                 uint64_t holders)
{
    struct slot_line *line = held_line(r, ref);
    uint64_t held;

    if (line == NULL)
        return TRIBUS_CORRUPT;
    if (holders == 0 || (holders & ~HOLDERS) != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "region %u: pass slot %u to %llx",
                                r->number, ref->slot, (unsigned long long)holders);
    if (tribus_load_rlx(&line->loaner) != OWNER) /* it stands still while we hold it */
        return tribus_error_set(TRIBUS_REFUSED,
                                "region %u: slot %u was loaned by holder %llu: release it "
                                "and loan one",
                                r->number, ref->slot,
                                (unsigned long long)tribus_load_rlx(&line->loaner));
    (void)tribus_and_ar(&line->received, ~(holders & ~r->bit)); /* they have not yet */
    TRIBUS_STEP("region pass: before the exchange");
    held = tribus_load_rlx(&line->held); /* a first guess for the exchange */
    do {
        if ((held & r->bit) == 0)
            return tribus_error_set(TRIBUS_CORRUPT, "region %u: slot %u was taken from us",
                                    r->number, ref->slot);
        /* R1 pairs with A1 in tribus_region_loan. */
    } while (!tribus_cas_ar(&line->held, &held, (held & ~r->bit) | holders));
    if (r->counters != NULL) {
        tribus_counter_bump(r->counters, TRIBUS_COUNT_MESSAGES, 1);
        tribus_counter_bump(r->counters, TRIBUS_COUNT_BYTES_BY_REF, ref->bytes);
    }
    return TRIBUS_OK;
}

static int is_named(const tribus_slot_ref *refs, uint32_t count, uint32_t slot,
                    uint64_t generation)
{
    for (uint32_t i = 0; i < count; i++)
        if (refs[i].slot == slot && refs[i].generation == generation)
            return 1;
    return 0;
}

/* Whose slots to take back, and which of them. */
typedef struct taking {
    uint64_t bit;
    uint32_t which;  /* RECEIVED, NOT_RECEIVED or both */
    uint32_t loaner; /* only those it loaned; ANYONE */
    int loans;       /* those on loan to `bit`, too */
} taking;

static int to_take(struct slot_line *line, const taking *t, uint64_t held)
{
    /* A2 pairs with R2 in take. */
    const uint64_t received = tribus_load_acq(&line->received);

    if ((held & ON_LOAN) != 0)
        return t->loans;
    if ((t->which & ((received & t->bit) != 0 ? RECEIVED : NOT_RECEIVED)) == 0)
        return 0;
    return t->loaner == ANYONE || tribus_load_rlx(&line->loaner) == t->loaner; /* by A2 */
}

/* Clear a holder's bit where that is wanted, but for the references to keep. */
static uint32_t take_back(tribus_region *r, const taking *t, const tribus_slot_ref *keep,
                          uint32_t count)
{
    uint32_t freed = 0;

    for (uint32_t i = 0; i < r->slots && t->bit != 0; i++) {
        struct slot_line *line = &r->shm->lines[i];
        /* In this order, for the holder may go on: once it has received a slot of the dead
         * giver, what is found below is its own or another's. A2 pairs with R2 in take. */
        const uint64_t held = tribus_load_acq(&line->held);
        const uint64_t generation = tribus_load_acq(&line->generation);

        if ((held & t->bit) != 0 && to_take(line, t, held) &&
            ((held & ON_LOAN) != 0 || !is_named(keep, count, i, generation)))
            freed += let_go(line, t->bit | (held & ON_LOAN)) != 0;
    }
    tribus_counter_bump(r->counters, TRIBUS_COUNT_RECLAIMED, freed);
    return freed;
}

static uint64_t bit_of(uint32_t holder)
{
    return holder < HOLDERS_MAX ? (uint64_t)1 << holder : 0;
}

uint32_t tribus_region_reclaim(tribus_region *r, uint32_t holder)
{
    const taking t = {bit_of(holder), RECEIVED | NOT_RECEIVED, ANYONE, 1};

    return take_back(r, &t, NULL, 0);
}

uint32_t tribus_region_withdraw(tribus_region *r, uint32_t holder,
                                const tribus_slot_ref *keep, uint32_t count)
{
    const taking t = {bit_of(holder), NOT_RECEIVED, r->self, 0};

    return take_back(r, &t, keep, count);
}

uint32_t tribus_region_recover(tribus_region *r, const tribus_slot_ref *keep,
                               uint32_t count)
{
    const taking t = {r->bit, RECEIVED, ANYONE, 1};

    return take_back(r, &t, keep, count);
}

uint32_t tribus_region_forget(tribus_region *r, uint32_t giver)
{
    const taking t = {r->bit, NOT_RECEIVED, giver < HOLDERS_MAX ? giver : OWNER, 0};

    return take_back(r, &t, NULL, 0);
}

uint32_t tribus_region_free_slots(const tribus_region *r)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < r->slots; i++)
        n += tribus_load_rlx(&r->shm->lines[i].held) == 0; /* only a number */
    return n;
}
