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
#include "fabric/ring.h"

#include <stdlib.h>
#include <string.h>

#define CELLS_MAX      (1u << 24)
#define CELL_BYTES_MAX (1u << 20)
#define SEQUENCE_BYTES TRIBUS_RING_SEQUENCE_BYTES
#define cell_at        tribus_ring_cell_at
#define sequence_of    tribus_ring_sequence_of
#define cell_count     tribus_ring_cell_count
#define corrupt        tribus_ring_corrupt

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
    return tribus_ring_create_flow(mem, bytes, cells, cell_bytes, TRIBUS_FLOW_KEEP);
}

tribus_status tribus_ring_create_flow(void *mem, size_t bytes, uint32_t cells,
                                      uint32_t cell_bytes, tribus_flow flow)
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
    if (flow != TRIBUS_FLOW_KEEP && flow != TRIBUS_FLOW_OVERWRITE)
        return tribus_error_set(TRIBUS_BAD_ARG, "ring: %d is no flow", (int)flow);
    if (mem == NULL || bytes < need || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "ring: needs %zu bytes at a multiple of 64, has %zu", need,
                                bytes);
    tribus_store_rlx(&shm->head.magic, 0u); /* not a ring while it is laid out */
    shm->head.version = TRIBUS_FABRIC_VERSION;
    shm->cells = cells;
    shm->cell_bytes = cell_bytes;
    shm->flow = (uint32_t)flow;
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

static tribus_status check_layout(void *mem, size_t bytes, tribus_ring *r, uint32_t *flow)
{
    struct tribus_ring_shm *shm = mem;
    uint32_t cells;
    size_t need;

    if (mem == NULL || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "ring: memory is not at a multiple of 64");
    if (bytes < sizeof(*shm))
        return tribus_error_set(TRIBUS_CORRUPT, "ring: %zu bytes are too few for any",
                                bytes);
    /* A0 pairs with R0 in tribus_ring_create_flow. */
    if (tribus_load_acq(&shm->head.magic) != TRIBUS_MAGIC_RING)
        return tribus_error_set(TRIBUS_CORRUPT, "ring: there is none in this memory");
    if (shm->head.version != TRIBUS_FABRIC_VERSION)
        return tribus_error_set(TRIBUS_VERSION, "ring: layout version %u, ours is %u",
                                shm->head.version, TRIBUS_FABRIC_VERSION);
    cells = shm->cells;
    r->cell_bytes = shm->cell_bytes;
    *flow = shm->flow;
    need = tribus_ring_bytes(cells, r->cell_bytes);
    if (need == 0 || need > bytes || *flow > TRIBUS_FLOW_OVERWRITE)
        return tribus_error_set(
            TRIBUS_CORRUPT, "ring: says %u cells of %u bytes, flow %u, the memory has %zu",
            cells, r->cell_bytes, *flow, bytes);
    r->shm = shm;
    r->cells = (unsigned char *)mem + sizeof(*shm);
    r->mask = cells - 1u;
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
        return TRIBUS_OK;
    }
    if (offered - head > p - head)
        return tribus_error_set(TRIBUS_CORRUPT, "ring: offered %llu, committed %llu",
                                (unsigned long long)offered, (unsigned long long)p);
    r->position = head;
    r->offered = offered;
    r->again = offered;
    return TRIBUS_OK;
}

tribus_status tribus_ring_open(void *mem, size_t bytes, tribus_end end, tribus_ring **out)
{
    tribus_ring *r = NULL;
    uint32_t flow = 0;
    tribus_status st;

    if (end != TRIBUS_WRITER && end != TRIBUS_READER)
        return tribus_error_set(TRIBUS_BAD_ARG, "ring: %d is no end", (int)end);
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "ring: handle");
    r->end = end;
    r->event = -1;
    st = check_layout(mem, bytes, r, &flow);
    if (st != TRIBUS_OK)
        goto fail;
    r->press = end == TRIBUS_WRITER ? &r->shm->reader_bell : &r->shm->writer_bell;
    r->sleep = end == TRIBUS_WRITER ? &r->shm->writer_bell : &r->shm->reader_bell;
    if (flow == TRIBUS_FLOW_OVERWRITE) {
        r->copy = aligned_alloc(TRIBUS_CACHE_LINE_BYTES, r->cell_bytes);
        if (r->copy == NULL) {
            st = tribus_error_set(TRIBUS_NO_MEMORY, "ring: %u bytes for a copy",
                                  r->cell_bytes);
            goto fail;
        }
        st = tribus_ring_latest_resume(r);
    } else {
        st = resume(r);
    }
    if (st != TRIBUS_OK)
        goto fail;
    *out = r;
    return TRIBUS_OK;

fail:
    tribus_ring_close(r);
    return st;
}

void tribus_ring_close(tribus_ring *ring)
{
    if (ring == NULL)
        return;
    free(ring->copy);
    free(ring);
}

uint32_t tribus_ring_payload_bytes(const tribus_ring *ring)
{
    return ring->cell_bytes - SEQUENCE_BYTES;
}

tribus_status tribus_ring_corrupt(tribus_ring *r, const char *what, uint64_t value)
{
    tribus_counter_bump(r->counters, TRIBUS_COUNT_CORRUPT, 1);
    return tribus_error_set(TRIBUS_CORRUPT, "ring: %s %llu at position %llu of %u cells",
                            what, (unsigned long long)value,
                            (unsigned long long)r->position, r->mask + 1u);
}

static tribus_status claim_cells(tribus_ring *r, uint32_t want, uint32_t *got)
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

tribus_status tribus_ring_claim_batch(tribus_ring *r, uint32_t want, uint32_t *got)
{
    if (r->copy != NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "ring: no batches where the oldest goes");
    return claim_cells(r, want, got);
}

tribus_status tribus_ring_claim(tribus_ring *r, void **out)
{
    if (r->copy != NULL) {
        r->granted = 1;
        *out = r->copy;
        return TRIBUS_OK;
    }
    if (r->position - r->head_seen > r->mask) {
        uint32_t got;
        const tribus_status st = claim_cells(r, 1, &got);

        if (st != TRIBUS_OK)
            return st;
    }
    r->granted = 1;
    *out = cell_at(r, r->position) + SEQUENCE_BYTES;
    return TRIBUS_OK;
}

tribus_status tribus_ring_claim_wait(tribus_ring *r, const tribus_wait_cfg *cfg, void **out)
{
    tribus_status st = tribus_ring_claim(r, out);

    if (st != TRIBUS_FULL)
        return st;
    st = tribus_ring_wait(r, cfg);
    return st == TRIBUS_OK ? tribus_ring_claim(r, out) : st;
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
    if (r->copy != NULL) {
        tribus_ring_latest_commit(r);
        return;
    }
    n = (uint32_t)(end - r->position);
    for (uint64_t p = r->position; p != end; p++) {
        TRIBUS_STEP("ring commit: before the number");
        /* R1 pairs with A1 in tribus_ring_peek_batch and tribus_ring_peek. */
        tribus_store_rel(sequence_of(cell_at(r, p)), p + 1u);
        TRIBUS_STEP("ring commit: after the number");
    }
    r->position = end;
    r->granted = 0;
    tribus_store_rlx(&r->shm->tail_hint, end); /* only a hint */
    if (r->counters != NULL) {
        tribus_counter_bump(r->counters, TRIBUS_COUNT_MESSAGES, n);
        tribus_counter_bump(r->counters, TRIBUS_COUNT_BYTES_COPIED,
                            (uint64_t)n * (r->cell_bytes - SEQUENCE_BYTES));
    }
    tribus_ring_press(r);
}

void tribus_ring_commit(tribus_ring *r)
{
    tribus_ring_commit_batch(r, 1);
}

tribus_status tribus_ring_peek(tribus_ring *r, const void **out, int *redelivered)
{
    const uint64_t p = r->position;
    unsigned char *cell = cell_at(r, p);
    uint64_t sequence;

    if (r->copy != NULL)
        return tribus_ring_latest_peek(r, out, redelivered);
    /* A1 pairs with R1 in tribus_ring_commit_batch. */
    sequence = tribus_load_acq(sequence_of(cell));
    if (sequence != p + 1u) {
        if (sequence == p + 1u - cell_count(r))
            return TRIBUS_EMPTY;
        return corrupt(r, "a cell is numbered", sequence);
    }
    tribus_ring_offer(r, p + 1u);
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

    if (r->copy != NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "ring: no batches where the oldest goes");
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
    tribus_ring_offer(r, p + n);
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
    TRIBUS_STEP("ring release: before the position");
    /* R2 pairs with A2 in claim_cells and resume. */
    tribus_store_rel(&r->shm->released, r->position);
    TRIBUS_STEP("ring release: after the position");
    tribus_counter_bump(r->counters, TRIBUS_COUNT_MESSAGES, n);
    tribus_ring_press(r);
}

void tribus_ring_release(tribus_ring *r)
{
    tribus_ring_release_batch(r, 1);
}

uint64_t tribus_ring_position(const tribus_ring *r)
{
    return r->position;
}

uint32_t tribus_ring_refs(const tribus_ring *r, size_t offset, tribus_slot_ref *refs,
                          uint32_t most)
{
    uint32_t n = 0;

    if (r->copy != NULL || offset > r->cell_bytes ||
        offset + sizeof(*refs) + SEQUENCE_BYTES > r->cell_bytes)
        return 0;
    for (uint64_t i = 0; i <= r->mask && n < most; i++) {
        /* The writer goes back over what it wrote, the reader on over what is there. */
        const uint64_t p = r->end == TRIBUS_WRITER ? r->position - 1u - i : r->position + i;
        unsigned char *cell = cell_at(r, p);

        /* The cell that comes next may hold half of a message that a dead writer never
         * committed, under the number of the one before: believe it only while that one is
         * not released, for then it was not claimed. Found by tests/model/reclaim.pml. */
        if (r->end == TRIBUS_WRITER && i == r->mask &&
            /* A2 pairs with R2 in tribus_ring_release_batch. */
            r->position - tribus_load_acq(&r->shm->released) != cell_count(r))
            break;
        /* A1 pairs with R1 in tribus_ring_commit_batch. */
        if (tribus_load_acq(sequence_of(cell)) != p + 1u || p + 1u == 0)
            break;
        memcpy(&refs[n++], cell + SEQUENCE_BYTES + offset, sizeof(*refs));
    }
    return n;
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

void tribus_ring_set_event(tribus_ring *r, int event)
{
    r->event = event;
}

uint64_t tribus_ring_lost(const tribus_ring *r)
{
    return r->lost;
}

void tribus_ring_set_counters(tribus_ring *r, tribus_counters *c)
{
    r->counters = c;
}

int tribus_ring_ready(void *context)
{
    const tribus_ring *r = context;

    if (r->copy != NULL)
        return tribus_ring_latest_ready(r);
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

    if (!tribus_ring_ready(r)) {
        tribus_counter_bump(r->counters, TRIBUS_COUNT_WAITS, 1);
        st = tribus_doorbell_wait(&r->sleep, 1, tribus_ring_ready, r, cfg);
        if (st != TRIBUS_OK)
            return st;
        tribus_counter_bump(r->counters, TRIBUS_COUNT_WAKES, 1);
    }
    if (r->copy != NULL)
        return TRIBUS_OK; /* peek says what it found */
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
