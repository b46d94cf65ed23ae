/* ring_latest.c -- the ring that overwrites its oldest message; see ring.c for the rest.
 *
 * The reader borrows nothing, so the writer never waits: both ends copy, and a cell is a
 * sequence lock as in topic.c. A cell's word is p + 1 when message p is there, and the same
 * with bit 63 while it is being written. What is different from a topic: one reader, whose
 * position is in the ring, so that its successor goes on where it stopped and is told what
 * was offered before.
 *
 * Ordering
 *   R1 -> A1   commit -> peek   who sees the number of a message sees its payload
 *   R2 -> A2   commit -> peek   who sees a payload word sees the mark of the cell being
 *                               written, so the second look at the word differs
 *   R3 -> A3   commit -> resume, a lapped reader   who sees the tail sees the cells before it
 *   R4 -> A4   release -> commit   only to count what was overwritten; nothing depends on it
 */
#include "base/error.h"
#include "fabric/ring.h"

#include <string.h>

#define WRITING   ((uint64_t)1 << 63)
#define TRIES_MAX 256u /* as in topic.c */

static uint32_t words_of(const tribus_ring *r)
{
    return (r->cell_bytes - TRIBUS_RING_SEQUENCE_BYTES) / 8u;
}

tribus_status tribus_ring_latest_resume(tribus_ring *r)
{
    /* A3 pairs with R3 in tribus_ring_latest_commit. */
    uint64_t p = tribus_load_acq(&r->shm->tail_hint), tries = 0;

    if (r->end == TRIBUS_READER) {
        r->position = tribus_load_rlx(&r->shm->released); /* ours, or a dead reader's */
        r->offered = tribus_load_rlx(&r->shm->offered);
        r->again = r->offered;
        if (r->offered - r->position > WRITING / 2u)
            return tribus_ring_corrupt(r, "offered up to", r->offered);
        return TRIBUS_OK;
    }
    /* A1 pairs with R1 in tribus_ring_latest_commit. */
    while (tries++ <= r->mask &&
           tribus_load_acq(tribus_ring_sequence_of(tribus_ring_cell_at(r, p))) == p + 1u)
        p++;
    r->position = p;
    r->head_seen = tribus_load_rlx(&r->shm->released); /* for counting */
    return TRIBUS_OK;
}

void tribus_ring_latest_commit(tribus_ring *r)
{
    const uint64_t p = r->position;
    _Atomic(uint64_t) *cell = tribus_ring_sequence_of(tribus_ring_cell_at(r, p));
    const uint32_t words = words_of(r);

    if (p - r->head_seen > r->mask) {
        /* A4 pairs with R4 in tribus_ring_release_batch. */
        r->head_seen = tribus_load_acq(&r->shm->released);
        if (p - r->head_seen > r->mask)
            tribus_counter_bump(r->counters, TRIBUS_COUNT_OVERWRITTEN, 1);
    }
    TRIBUS_STEP("latest commit: before the mark");
    /* R1 pairs with A1 here, too: who is lapped sees the tail of what came before. */
    tribus_store_rel(cell, WRITING | (p + 1u));
    TRIBUS_STEP("latest commit: after the mark");
    for (uint32_t i = 0; i < words; i++)
        /* R2 pairs with A2 in copy_out. */
        tribus_store_rel(&cell[1 + i], r->copy[i]);
    TRIBUS_STEP("latest commit: before the number");
    /* R1 pairs with A1 in tribus_ring_latest_peek. */
    tribus_store_rel(cell, p + 1u);
    TRIBUS_STEP("latest commit: after the number");
    r->position = p + 1u;
    r->granted = 0;
    /* R3 pairs with A3 in catch_up and tribus_ring_latest_resume. */
    tribus_store_rel(&r->shm->tail_hint, p + 1u);
    tribus_counter_bump(r->counters, TRIBUS_COUNT_MESSAGES, 1);
    tribus_counter_bump(r->counters, TRIBUS_COUNT_BYTES_COPIED, (uint64_t)words * 8u);
    tribus_ring_press(r);
}

static int copy_out(tribus_ring *r, _Atomic(uint64_t) *cell, uint64_t sequence)
{
    const uint32_t words = words_of(r);

    for (uint32_t i = 0; i < words; i++)
        /* A2 pairs with R2 in tribus_ring_latest_commit. */
        r->copy[i] = tribus_load_acq(&cell[1 + i]);
    return tribus_load_rlx(cell) == sequence; /* cannot pass A2 */
}

/* Our message is gone: go to the oldest that is left, further when that goes as fast. */
static tribus_status catch_up(tribus_ring *r, uint64_t sequence, uint32_t tries)
{
    const uint64_t p = r->position, cells = tribus_ring_cell_count(r);
    const uint64_t ahead = (sequence & ~WRITING) - (p + 1u);
    uint64_t tail, oldest;

    if (ahead == 0 || ahead > WRITING / 2u || (ahead & r->mask) != 0)
        return tribus_ring_corrupt(r, "a cell is numbered", sequence);
    /* A3 pairs with R3 in tribus_ring_latest_commit. */
    tail = tribus_load_acq(&r->shm->tail_hint);
    if (tail - p > WRITING / 2u)
        return tribus_ring_corrupt(r, "committed up to", tail);
    oldest = p + ahead + 1u - cells;
    if (tail > oldest + cells)
        oldest = tail - cells;
    oldest += tribus_catch_up_slack(cells, tries, oldest, tail);
    r->lost += oldest - p;
    tribus_counter_bump(r->counters, TRIBUS_COUNT_LOST, oldest - p);
    r->position = oldest;
    if (r->offered - p < oldest - p)
        r->offered = oldest;
    /* ours: in this order a successor finds released <= offered at every moment */
    tribus_store_rlx(&r->shm->offered, r->offered);
    TRIBUS_STEP("latest catch up: between offered and released");
    tribus_store_rlx(&r->shm->released, oldest);
    return TRIBUS_OK;
}

tribus_status tribus_ring_latest_peek(tribus_ring *r, const void **out, int *redelivered)
{
    uint32_t laps = 0;

    for (uint32_t tries = 0; r->granted == 0 && tries < TRIES_MAX; tries++) {
        const uint64_t p = r->position;
        _Atomic(uint64_t) *cell = tribus_ring_sequence_of(tribus_ring_cell_at(r, p));
        /* A1 pairs with R1 in tribus_ring_latest_commit. */
        const uint64_t sequence = tribus_load_acq(cell);
        tribus_status st;

        if (sequence == p + 1u) {
            if (!copy_out(r, cell, sequence))
                continue;
            tribus_ring_offer(r, p + 1u);
            if (p < r->again)
                tribus_counter_bump(r->counters, TRIBUS_COUNT_REDELIVERED, 1);
            r->granted = 1;
            break;
        }
        if (sequence == p + 1u - tribus_ring_cell_count(r) ||
            sequence == (WRITING | (p + 1u)))
            return TRIBUS_EMPTY;
        st = catch_up(r, sequence, tries);
        if (st != TRIBUS_OK)
            return st;
        tribus_counter_bump(r->counters, TRIBUS_COUNT_LAPS, laps++ == 0);
    }
    if (r->granted == 0)
        return TRIBUS_EMPTY; /* what was stepped over stays counted in r->lost */
    if (redelivered != NULL)
        *redelivered = r->position < r->again;
    *out = r->copy;
    return TRIBUS_OK;
}

int tribus_ring_latest_ready(const tribus_ring *r)
{
    const uint64_t p = r->position;
    /* A1 pairs with R1 in tribus_ring_latest_commit. */
    const uint64_t sequence =
        tribus_load_acq(tribus_ring_sequence_of(tribus_ring_cell_at(r, p)));

    return r->end == TRIBUS_WRITER || r->granted != 0 ||
           (sequence != p + 1u - tribus_ring_cell_count(r) &&
            sequence != (WRITING | (p + 1u)));
}
