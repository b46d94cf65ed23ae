/* ring.c -- see fabric.h for the contract, docs/shared-layout.md for the picture.
 *
 * Position p counts messages since creation and names cell p & mask. A cell's sequence word
 * says which message it carries: p + 1 once message p is committed, p + 1 - cells before
 * (the message of the lap before, or for the first lap what create() put there). The writer
 * touches nothing else that the reader looks at, so a message of one line costs one line.
 *
 * Invariant, at every moment:   head <= tail <= head + cells,   head <= offered <= tail
 *   tail     first position not committed; the writer's. A successor finds it from the
 * cells alone: from head on, up to the first whose word is not p + 1. head     first
 * position not released; the reader's offered  first position no reader was ever offered;
 * the reader's. What lies between head and offered when a reader opens was offered to one
 * that died. Unsigned subtraction survives wrap-around; 2^64 messages are not reached.
 *
 * Ordering
 *   R0 -> A0   create  -> open    whoever sees the magic sees the layout
 *   R1 -> A1   commit  -> peek    the reader sees the bytes of what it sees committed
 *   R2 -> A2   release -> claim   the writer overwrites only what the reader is done with
 *
 * Crashes. The writer between claim and commit: the word was not stored, the message never
 * existed. In mid-batch: the words are stored in order, so a prefix exists. The reader
 * between peek and release: offered > head, and the next reader is told. A killed process
 * loses no store it has retired, so program order is enough for both.
 */
#include "base/error.h"
#include "fabric/counter.h"

#include <stdlib.h>

#define CELLS_MAX      (1u << 24)
#define CELL_BYTES_MAX (1u << 20)
#define SEQUENCE_BYTES 8u

struct tribus_ring_shm {
    /* 0: fixed at creation */
    tribus_shm_head head;
    uint32_t cells;
    uint32_t cell_bytes;
    uint64_t unused0[14];
    /* 128: the writer's */
    _Atomic(uint64_t) tail_hint; /* for onlookers; the cells decide */
    uint64_t unused1[15];
    /* 256: the reader's */
    _Atomic(uint64_t) released;
    _Atomic(uint64_t) offered;
    uint64_t unused2[14];
    /* 384: pressed by commit */
    struct tribus_doorbell_shm reader_bell;
    uint64_t unused3[8];
    /* 512: pressed by release */
    struct tribus_doorbell_shm writer_bell;
    uint64_t unused4[8];
    /* 640: cells */
};

_Static_assert(offsetof(struct tribus_ring_shm, tail_hint) == 128, "layout");
_Static_assert(offsetof(struct tribus_ring_shm, released) == 256, "layout");
_Static_assert(offsetof(struct tribus_ring_shm, reader_bell) == 384, "layout");
_Static_assert(offsetof(struct tribus_ring_shm, writer_bell) == 512, "layout");
_Static_assert(sizeof(struct tribus_ring_shm) == 640, "layout");

struct tribus_ring {
    unsigned char *cells;
    struct tribus_ring_shm *shm;
    uint64_t position;  /* writer: tail; reader: head */
    uint64_t head_seen; /* writer: a past value of released */
    uint64_t offered;   /* reader: what shm->offered holds */
    uint64_t again;     /* reader: messages before this were offered to a dead one */
    uint32_t mask;
    uint32_t cell_bytes;
    uint32_t granted; /* cells claimed or peeked, not yet committed or released */
    tribus_end end;
    tribus_doorbell_shm *press; /* what we press; may be NULL */
    tribus_doorbell_shm *sleep; /* what we sleep on */
    tribus_counters *counters;  /* may be NULL */
};

static unsigned char *cell_at(const tribus_ring *r, uint64_t position)
{
    return r->cells + (size_t)(position & r->mask) * r->cell_bytes;
}

static _Atomic(uint64_t) *sequence_of(unsigned char *cell)
{
    return (_Atomic(uint64_t) *)(void *)cell;
}

static uint64_t cell_count(const tribus_ring *r)
{
    return (uint64_t)r->mask + 1u;
}

size_t tribus_ring_bytes(uint32_t cells, uint32_t cell_bytes)
{
    if (cells < 2 || cells > CELLS_MAX || (cells & (cells - 1u)) != 0)
        return 0;
    if (cell_bytes == 0 || cell_bytes > CELL_BYTES_MAX ||
        cell_bytes % TRIBUS_CACHE_LINE_BYTES != 0)
        return 0;
    return sizeof(struct tribus_ring_shm) + (size_t)cells * cell_bytes;
}

tribus_status tribus_ring_create(void *mem, size_t bytes, uint32_t cells,
                                 uint32_t cell_bytes)
{
    struct tribus_ring_shm *shm = mem;
    const size_t need = tribus_ring_bytes(cells, cell_bytes);
    unsigned char *first = (unsigned char *)mem + sizeof(*shm);

    if (need == 0)
        return tribus_error_set(
            TRIBUS_BAD_ARG,
            "ring of %u cells of %u bytes: cells must be a power of two "
            "2..2^24, bytes a multiple of 64 up to 1 MiB",
            cells, cell_bytes);
    if (mem == NULL || bytes < need || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "ring: needs %zu bytes at a multiple of 64, has %zu", need,
                                bytes);
    tribus_store_rlx(&shm->head.magic, 0u); /* not a ring while it is laid out */
    shm->head.version = TRIBUS_FABRIC_VERSION;
    shm->cells = cells;
    shm->cell_bytes = cell_bytes;
    tribus_store_rlx(&shm->tail_hint, 0u); /* these are shown by R0 */
    tribus_store_rlx(&shm->released, 0u);
    tribus_store_rlx(&shm->offered, 0u);
    tribus_doorbell_create(&shm->reader_bell);
    tribus_doorbell_create(&shm->writer_bell);
    for (uint64_t p = 0; p < cells; p++)
        tribus_store_rlx(sequence_of(first + (size_t)p * cell_bytes), p + 1u - cells);
    /* R0 pairs with A0 in check_layout. */
    tribus_store_rel(&shm->head.magic, TRIBUS_MAGIC_RING);
    return TRIBUS_OK;
}

static tribus_status check_layout(void *mem, size_t bytes, uint32_t *cells,
                                  uint32_t *cell_bytes)
{
    struct tribus_ring_shm *shm = mem;
    size_t need;

    if (mem == NULL || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "ring: memory is not at a multiple of 64");
    if (bytes < sizeof(*shm))
        return tribus_error_set(TRIBUS_CORRUPT, "ring: %zu bytes are too few for any",
                                bytes);
    /* A0 pairs with R0 in tribus_ring_create. */
    if (tribus_load_acq(&shm->head.magic) != TRIBUS_MAGIC_RING)
        return tribus_error_set(TRIBUS_CORRUPT, "ring: there is none in this memory");
    if (shm->head.version != TRIBUS_FABRIC_VERSION)
        return tribus_error_set(TRIBUS_VERSION, "ring: layout version %u, ours is %u",
                                shm->head.version, TRIBUS_FABRIC_VERSION);
    *cells = shm->cells;
    *cell_bytes = shm->cell_bytes;
    need = tribus_ring_bytes(*cells, *cell_bytes);
    if (need == 0 || need > bytes)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "ring: says %u cells of %u bytes, the memory has %zu",
                                *cells, *cell_bytes, bytes);
    return TRIBUS_OK;
}

/* Find where the end before us stopped. */
static tribus_status resume(tribus_ring *r)
{
    /* A2 pairs with R2 in tribus_ring_release_batch. */
    const uint64_t head = tribus_load_acq(&r->shm->released);
    const uint64_t offered =
        tribus_load_rlx(&r->shm->offered); /* ours, or a dead reader's */
    uint64_t p = head;

    if (offered - head > cell_count(r))
        return tribus_error_set(
            TRIBUS_CORRUPT, "ring: offered up to %llu, released up to %llu, %u cells",
            (unsigned long long)offered, (unsigned long long)head, r->mask + 1u);
    /* A1 pairs with R1 in tribus_ring_commit_batch. */
    while (p - head <= r->mask && tribus_load_acq(sequence_of(cell_at(r, p))) == p + 1u)
        p++;
    if (p - head <= r->mask &&
        tribus_load_acq(sequence_of(cell_at(r, p))) != p + 1u - cell_count(r) &&
        tribus_load_acq(sequence_of(cell_at(r, p))) != p + 1u)
        return tribus_error_set(TRIBUS_CORRUPT, "ring: message %llu has a wrong number",
                                (unsigned long long)p);
    if (r->end == TRIBUS_WRITER) {
        r->position = p;
        r->head_seen = head;
        r->press = &r->shm->reader_bell;
        r->sleep = &r->shm->writer_bell;
        return TRIBUS_OK;
    }
    if (offered - head > p - head)
        return tribus_error_set(TRIBUS_CORRUPT, "ring: offered %llu, committed %llu",
                                (unsigned long long)offered, (unsigned long long)p);
    r->position = head;
    r->offered = offered;
    r->again = offered;
    r->press = &r->shm->writer_bell;
    r->sleep = &r->shm->reader_bell;
    return TRIBUS_OK;
}

tribus_status tribus_ring_open(void *mem, size_t bytes, tribus_end end, tribus_ring **out)
{
    uint32_t cells = 0, cell_bytes = 0;
    tribus_ring *r;
    tribus_status st = check_layout(mem, bytes, &cells, &cell_bytes);

    if (st != TRIBUS_OK)
        return st;
    if (end != TRIBUS_WRITER && end != TRIBUS_READER)
        return tribus_error_set(TRIBUS_BAD_ARG, "ring: %d is no end", (int)end);
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "ring: handle");
    r->shm = mem;
    r->cells = (unsigned char *)mem + sizeof(struct tribus_ring_shm);
    r->mask = cells - 1u;
    r->cell_bytes = cell_bytes;
    r->end = end;
    st = resume(r);
    if (st != TRIBUS_OK) {
        free(r);
        return st;
    }
    *out = r;
    return TRIBUS_OK;
}

void tribus_ring_close(tribus_ring *ring)
{
    free(ring);
}

uint32_t tribus_ring_payload_bytes(const tribus_ring *ring)
{
    return ring->cell_bytes - SEQUENCE_BYTES;
}

static tribus_status corrupt(tribus_ring *r, const char *what, uint64_t value)
{
    tribus_counter_bump(r->counters, TRIBUS_COUNT_CORRUPT, 1);
    return tribus_error_set(TRIBUS_CORRUPT, "ring: %s %llu at position %llu of %u cells",
                            what, (unsigned long long)value,
                            (unsigned long long)r->position, r->mask + 1u);
}

tribus_status tribus_ring_claim_batch(tribus_ring *r, uint32_t want, uint32_t *got)
{
    uint64_t room = cell_count(r) - (r->position - r->head_seen);

    if (room < want) {
        /* A2 pairs with R2 in tribus_ring_release_batch. */
        const uint64_t head = tribus_load_acq(&r->shm->released);

        if (r->position - head > cell_count(r))
            return corrupt(r, "released up to", head);
        r->head_seen = head;
        room = cell_count(r) - (r->position - head);
        if (room == 0) {
            tribus_counter_bump(r->counters, TRIBUS_COUNT_FULL, 1);
            return TRIBUS_FULL;
        }
    }
    r->granted = room < want ? (uint32_t)room : want;
    *got = r->granted;
    return TRIBUS_OK;
}

tribus_status tribus_ring_claim(tribus_ring *r, void **out)
{
    if (r->position - r->head_seen > r->mask) {
        uint32_t got;
        const tribus_status st = tribus_ring_claim_batch(r, 1, &got);

        if (st != TRIBUS_OK)
            return st;
    }
    r->granted = 1;
    *out = cell_at(r, r->position) + SEQUENCE_BYTES;
    return TRIBUS_OK;
}

void *tribus_ring_batch_at(tribus_ring *r, uint32_t i)
{
    return cell_at(r, r->position + i) + SEQUENCE_BYTES;
}

void tribus_ring_commit_batch(tribus_ring *r, uint32_t n)
{
    const uint64_t end = r->position + (n < r->granted ? n : r->granted);

    if (end == r->position)
        return;
    n = (uint32_t)(end - r->position);
    for (uint64_t p = r->position; p != end; p++)
        /* R1 pairs with A1 in tribus_ring_peek_batch and tribus_ring_peek. */
        tribus_store_rel(sequence_of(cell_at(r, p)), p + 1u);
    r->position = end;
    r->granted = 0;
    tribus_store_rlx(&r->shm->tail_hint, end); /* only a hint */
    if (r->counters != NULL) {
        tribus_counter_bump(r->counters, TRIBUS_COUNT_MESSAGES, n);
        tribus_counter_bump(r->counters, TRIBUS_COUNT_BYTES_COPIED,
                            (uint64_t)n * (r->cell_bytes - SEQUENCE_BYTES));
    }
    if (r->press != NULL)
        tribus_doorbell_press(r->press);
}

void tribus_ring_commit(tribus_ring *r)
{
    tribus_ring_commit_batch(r, 1);
}

/* Remember, before anybody looks at them, that messages up to `end` were offered. */
static void offer(tribus_ring *r, uint64_t end)
{
    if (end - r->position > r->offered - r->position) {
        r->offered = end;
        tribus_store_rlx(&r->shm->offered, end); /* ours: read only by our successor */
    }
}

tribus_status tribus_ring_peek(tribus_ring *r, const void **out, int *redelivered)
{
    const uint64_t p = r->position;
    unsigned char *cell = cell_at(r, p);
    /* A1 pairs with R1 in tribus_ring_commit_batch. */
    const uint64_t sequence = tribus_load_acq(sequence_of(cell));

    if (sequence != p + 1u) {
        if (sequence == p + 1u - cell_count(r))
            return TRIBUS_EMPTY;
        return corrupt(r, "a cell is numbered", sequence);
    }
    offer(r, p + 1u);
    if (r->granted == 0 && p < r->again)
        tribus_counter_bump(r->counters, TRIBUS_COUNT_REDELIVERED, 1);
    if (redelivered != NULL)
        *redelivered = p < r->again;
    r->granted = 1;
    *out = cell + SEQUENCE_BYTES;
    return TRIBUS_OK;
}

tribus_status tribus_ring_peek_batch(tribus_ring *r, uint32_t want, uint32_t *got)
{
    const uint64_t p = r->position;
    uint32_t n = 0;

    if (want > r->mask + 1u)
        want = r->mask + 1u;
    while (n < want) {
        /* A1 pairs with R1 in tribus_ring_commit_batch. */
        const uint64_t sequence = tribus_load_acq(sequence_of(cell_at(r, p + n)));

        if (sequence == p + n + 1u) {
            n++;
            continue;
        }
        if (n == 0 && sequence != p + 1u - cell_count(r))
            return corrupt(r, "a cell is numbered", sequence);
        break;
    }
    if (n == 0)
        return TRIBUS_EMPTY;
    offer(r, p + n);
    if (r->granted == 0 && p < r->again)
        tribus_counter_bump(r->counters, TRIBUS_COUNT_REDELIVERED,
                            r->again - p < n ? r->again - p : n);
    r->granted = n;
    *got = n;
    return TRIBUS_OK;
}

void tribus_ring_release_batch(tribus_ring *r, uint32_t n)
{
    if (n > r->granted)
        n = r->granted;
    if (n == 0)
        return;
    r->granted = 0;
    r->position += n;
    /* R2 pairs with A2 in tribus_ring_claim_batch and resume. */
    tribus_store_rel(&r->shm->released, r->position);
    tribus_counter_bump(r->counters, TRIBUS_COUNT_MESSAGES, n);
    if (r->press != NULL)
        tribus_doorbell_press(r->press);
}

void tribus_ring_release(tribus_ring *r)
{
    tribus_ring_release_batch(r, 1);
}

uint64_t tribus_ring_waiting(const tribus_ring *r)
{
    uint64_t n;

    if (r->end == TRIBUS_WRITER)
        n = r->position - tribus_load_rlx(&r->shm->released); /* only a hint */
    else
        n = tribus_load_rlx(&r->shm->tail_hint) - r->position; /* only a hint */
    return n <= cell_count(r) ? n : 0;
}

tribus_doorbell_shm *tribus_ring_bell(tribus_ring *r, tribus_end sleeper)
{
    tribus_doorbell_shm *bell = sleeper == r->end ? r->sleep : r->press;

    if (bell != NULL)
        return bell;
    return sleeper == TRIBUS_READER ? &r->shm->reader_bell : &r->shm->writer_bell;
}

void tribus_ring_set_bell(tribus_ring *r, tribus_doorbell_shm *bell)
{
    if (bell == NULL)
        r->press = NULL;
    else if (r->end == TRIBUS_WRITER)
        r->press = bell;
    else
        r->sleep = bell;
}

void tribus_ring_set_counters(tribus_ring *r, tribus_counters *c)
{
    r->counters = c;
}

/* Nonzero when peek or claim would not say EMPTY or FULL. */
static int ready(void *context)
{
    const tribus_ring *r = context;

    if (r->end == TRIBUS_READER)
        /* A1 pairs with R1 in tribus_ring_commit_batch. */
        return tribus_load_acq(sequence_of(cell_at(r, r->position))) !=
               r->position + 1u - cell_count(r);
    /* A2 pairs with R2 in tribus_ring_release_batch. */
    return r->position - tribus_load_acq(&r->shm->released) != cell_count(r);
}

tribus_status tribus_ring_wait(tribus_ring *r, const tribus_wait_cfg *cfg)
{
    tribus_status st;

    if (!ready(r)) {
        tribus_counter_bump(r->counters, TRIBUS_COUNT_WAITS, 1);
        st = tribus_doorbell_wait(&r->sleep, 1, ready, r, cfg);
        if (st != TRIBUS_OK)
            return st;
        tribus_counter_bump(r->counters, TRIBUS_COUNT_WAKES, 1);
    }
    if (r->end == TRIBUS_READER) {
        /* A1 pairs with R1 in tribus_ring_commit_batch. */
        const uint64_t sequence = tribus_load_acq(sequence_of(cell_at(r, r->position)));

        return sequence == r->position + 1u ? TRIBUS_OK
                                            : corrupt(r, "a cell is numbered", sequence);
    }
    /* A2 pairs with R2 in tribus_ring_release_batch. */
    if (r->position - tribus_load_acq(&r->shm->released) > cell_count(r))
        return corrupt(r, "released up to", tribus_load_rlx(&r->shm->released));
    return TRIBUS_OK;
}
