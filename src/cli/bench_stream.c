/* bench_stream.c -- one way, as fast as it goes: a ring in batches, a bare loop over cells with
 * sequence words, a topic, and four writers to one reader. Every message's 56 bytes are written
 * and read, and the sum of what was read is checked. */
#include "cli/bench_paths.h"

#include "base/atomic.h"
#include "base/clock.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELLS      16384u /* 1 MiB: fits the second-level caches of both cores */
#define LANE_CELLS 8192u
#define CELL_BYTES 64u
#define BATCH      64u
#define WRITERS    4u
#define SPAN       16384u /* messages behind one time */
#define SPANS_MIN  8u
#define SPANS_MAX  65536u
#define FLOOR      20000u
#define GATHER     200 /* pauses: about 5 us */
#define WORDS      7u

typedef struct stream_shared {
    tribus_bench_stats before, after, stats;
    uint64_t messages;
    _Atomic(uint32_t) ready; /* 1: laid out, 2: the floor was measured */
    _Alignas(
        128) _Atomic(uint64_t) read; /* by the reader, for writers that must not lap it */
    _Alignas(4096) unsigned char mem[];
} stream_shared;

typedef struct stream {
    tribus_bench_stream what;
    double seconds;
} stream;

static const tribus_lanes_cfg lanes_cfg = {WRITERS, 1, LANE_CELLS, CELL_BYTES};

static size_t bytes_of(tribus_bench_stream what)
{
    switch (what) {
    case TRIBUS_STREAM_TOPIC:
        return tribus_topic_bytes(CELLS, CELL_BYTES);
    case TRIBUS_STREAM_LANES:
        return tribus_lanes_bytes(&lanes_cfg);
    case TRIBUS_STREAM_RING:
    case TRIBUS_STREAM_BARE:
        break;
    }
    return tribus_ring_bytes(CELLS, CELL_BYTES);
}

static bool fault(void)
{
    return tribus_bench_pair_fail("%s", tribus_error_text());
}

static void fill(void *cell, uint64_t i)
{
    uint64_t *word = cell;

    for (uint64_t k = 0; k < WORDS; k++)
        word[k] = i + k;
}

static uint64_t sum_of(const void *cell)
{
    const uint64_t *word = cell;
    uint64_t sum = 0;

    for (uint64_t k = 0; k < WORDS; k++)
        sum += word[k];
    return sum;
}

/* ---- the reader's clock: the time of a message over each span ---- */

typedef struct meter {
    double *ns;
    size_t spans;
    uint64_t messages, sum, expected, last_ticks;
    int64_t first_ns, until_ns, last_ns;
} meter;

static bool meter_start(meter *m, double seconds)
{
    *m = (meter){.ns = malloc(SPANS_MAX * sizeof(double))};
    if (m->ns == NULL)
        return tribus_bench_pair_fail("no memory for samples");
    m->first_ns = tribus_now_ns();
    m->until_ns = m->first_ns + (int64_t)(seconds * 1e9);
    m->last_ticks = tribus_clock_ticks();
    return true;
}

/* n more messages were read. Returns false when it is time to stop. */
static bool meter_add(meter *m, uint64_t n)
{
    const uint64_t before = m->messages / SPAN;

    m->messages += n;
    if (m->messages / SPAN == before)
        return true;
    {
        const uint64_t now = tribus_clock_ticks();

        if (m->spans < SPANS_MAX)
            m->ns[m->spans++] = tribus_clock_ns(now - m->last_ticks) / (double)SPAN;
        m->last_ticks = now;
        m->last_ns = tribus_now_ns();
    }
    return (m->spans < SPANS_MIN || m->last_ns < m->until_ns) && !tribus_bench_pair_ended();
}

static bool meter_end(meter *m, stream_shared *s)
{
    if (m->spans < SPANS_MIN)
        return tribus_bench_pair_fail("only %zu spans were measured", m->spans);
    tribus_bench_pair_stats(m->ns, m->spans, &s->stats);
    s->stats.rate_per_s = (double)m->messages * 1e9 / (double)(m->last_ns - m->first_ns);
    s->messages = m->messages;
    free(m->ns);
    tribus_bench_pair_end();
    return m->sum == m->expected ? true : tribus_bench_pair_fail("wrong bytes arrived");
}

static uint64_t expected_sum(uint64_t i)
{
    return WORDS * i + WORDS * (WORDS - 1) / 2;
}

/* A reader of batches that finds nothing lets one gather: each look takes a line away from the
 * writer that is filling it, which costs both of them a round trip. */
static void let_gather(void)
{
    for (int i = 0; i < GATHER; i++)
        tribus_relax();
}

/* ---- ring ---- */

static bool write_ring(tribus_ring *w)
{
    uint64_t i = 0;

    while (!tribus_bench_pair_ended()) {
        uint32_t got = 0;

        if (tribus_ring_claim_batch(w, BATCH, &got) != TRIBUS_OK)
            continue;
        for (uint32_t k = 0; k < got; k++)
            fill(tribus_ring_batch_at(w, k), i++);
        tribus_ring_commit_batch(w, got);
    }
    return true;
}

static bool read_ring(tribus_ring *r, stream_shared *s, double seconds)
{
    meter m;
    uint64_t i = 0;
    bool on = meter_start(&m, seconds);

    while (on) {
        uint32_t got = 0;
        const tribus_status st = tribus_ring_peek_batch(r, BATCH, &got);

        if (st == TRIBUS_EMPTY) {
            let_gather();
            continue;
        }
        if (st != TRIBUS_OK)
            return fault();
        for (uint32_t k = 0; k < got; k++, i++) {
            m.sum += sum_of(tribus_ring_batch_at(r, k));
            m.expected += expected_sum(i);
        }
        tribus_ring_release_batch(r, got);
        on = meter_add(&m, got);
    }
    return meter_end(&m, s);
}

static bool ring_side(int side, stream_shared *s, double seconds)
{
    const size_t bytes = tribus_ring_bytes(CELLS, CELL_BYTES);
    tribus_ring *r = NULL;
    bool ok;

    if (tribus_ring_open(s->mem, bytes, side == 0 ? TRIBUS_READER : TRIBUS_WRITER, &r) !=
        TRIBUS_OK)
        return fault();
    tribus_ring_set_bell(r, NULL); /* both sides spin */
    ok = side == 0 ? read_ring(r, s, seconds) : write_ring(r);
    tribus_ring_close(r);
    return ok;
}

/* ---- the bare loop: no position in shared memory but the reader's, now and then ---- */

typedef struct bare_cell {
    _Alignas(64) _Atomic(uint64_t) sequence;
    uint64_t words[WORDS];
} bare_cell;

static bool bare_side(int side, stream_shared *s, double seconds)
{
    bare_cell *cells = (bare_cell *)(void *)s->mem;
    uint64_t i = 0, read = 0;
    meter m;
    bool on;

    if (side == 1) {
        while (!tribus_bench_pair_ended()) {
            if (i - read >= CELLS) {
                read = tribus_load_acq(&s->read);
                continue;
            }
            fill(cells[i % CELLS].words, i);
            tribus_store_rel(&cells[i % CELLS].sequence, i + 1);
            i++;
        }
        return true;
    }
    on = meter_start(&m, seconds);
    while (on) {
        if (tribus_load_acq(&cells[i % CELLS].sequence) != i + 1)
            continue;
        m.sum += sum_of(cells[i % CELLS].words);
        m.expected += expected_sum(i);
        i++;
        if (i % BATCH == 0) {
            tribus_store_rel(&s->read, i);
            on = meter_add(&m, BATCH);
        }
    }
    return meter_end(&m, s);
}

/* ---- topic ---- */

static bool write_topic(tribus_topic *w, stream_shared *s)
{
    uint32_t sizes[BATCH];
    uint64_t i = 0, read = 0;

    for (uint32_t k = 0; k < BATCH; k++)
        sizes[k] = WORDS * 8;
    while (!tribus_bench_pair_ended()) {
        uint32_t got = 0;

        if (i - read > CELLS - BATCH) {
            read = tribus_load_acq(&s->read);
            continue;
        }
        tribus_topic_claim_batch(w, BATCH, &got);
        for (uint32_t k = 0; k < got; k++)
            fill(tribus_topic_batch_at(w, k), i++);
        tribus_topic_commit_batch(w, got, sizes);
    }
    return true;
}

static bool read_topic(tribus_topic *r, stream_shared *s, double seconds)
{
    uint64_t buf[BATCH][WORDS + 1], i = 0, lost = 0;
    uint32_t sizes[BATCH];
    meter m;
    bool on = meter_start(&m, seconds);

    while (on) {
        uint32_t got = 0;
        const tribus_status st =
            tribus_topic_read_batch(r, buf, sizeof(buf[0]), BATCH, &got, sizes, &lost);

        if (st == TRIBUS_EMPTY) {
            let_gather();
            continue;
        }
        if (st != TRIBUS_OK)
            return fault();
        if (lost != 0)
            return tribus_bench_pair_fail("the reader was lapped");
        for (uint32_t k = 0; k < got; k++, i++) {
            m.sum += sum_of(buf[k]);
            m.expected += expected_sum(i);
        }
        tribus_store_rel(&s->read, i);
        on = meter_add(&m, got);
    }
    return meter_end(&m, s);
}

static bool topic_side(int side, stream_shared *s, double seconds)
{
    const size_t bytes = tribus_topic_bytes(CELLS, CELL_BYTES);
    tribus_topic *t = NULL;
    bool ok;

    if (tribus_topic_open(s->mem, bytes, side == 0 ? TRIBUS_READER : TRIBUS_WRITER, 0,
                          &t) != TRIBUS_OK)
        return fault();
    if (side == 0)
        (void)tribus_topic_rewind(t, CELLS); /* the writer may have begun already */
    ok = side == 0 ? read_topic(t, s, seconds) : write_topic(t, s);
    tribus_topic_close(t);
    return ok;
}

/* ---- lanes: more processes than cores, so who has nothing to do gives the core away ---- */

static bool write_lane(tribus_lanes *w)
{
    tribus_ring *lane;
    uint64_t i = 0;

    if (tribus_lanes_select(w, 0, &lane) != TRIBUS_OK)
        return fault();
    while (!tribus_bench_pair_ended()) {
        uint32_t got = 0;

        if (tribus_ring_claim_batch(lane, BATCH, &got) != TRIBUS_OK) {
            (void)sched_yield();
            continue;
        }
        for (uint32_t k = 0; k < got; k++)
            fill(tribus_ring_batch_at(lane, k), i++);
        tribus_ring_commit_batch(lane, got);
    }
    return true;
}

static bool read_lanes(tribus_lanes *r, stream_shared *s, double seconds)
{
    uint64_t next[WRITERS] = {0};
    tribus_ring *lanes[WRITERS];
    uint32_t idle = 0;
    meter m;
    bool on = meter_start(&m, seconds);

    for (uint32_t w = 0; w < WRITERS; w++)
        if (tribus_lanes_select(r, w, &lanes[w]) != TRIBUS_OK)
            return fault();
    for (uint32_t w = 0; on; w = (w + 1) % WRITERS) {
        uint32_t got = 0;
        const tribus_status st = tribus_ring_peek_batch(lanes[w], 4 * BATCH, &got);

        if (st == TRIBUS_EMPTY) {
            if (++idle > 2 * WRITERS) {
                (void)sched_yield();
                idle = 0;
            }
            continue;
        }
        if (st != TRIBUS_OK)
            return fault();
        idle = 0;
        for (uint32_t k = 0; k < got; k++, next[w]++) {
            m.sum += sum_of(tribus_ring_batch_at(lanes[w], k));
            m.expected += expected_sum(next[w]);
        }
        tribus_ring_release_batch(lanes[w], got);
        on = meter_add(&m, got);
    }
    return meter_end(&m, s);
}

static bool lanes_side(int side, stream_shared *s, double seconds)
{
    tribus_lanes *l = NULL;
    bool ok;

    if (tribus_lanes_open(s->mem, tribus_lanes_bytes(&lanes_cfg),
                          side == 0 ? TRIBUS_READER : TRIBUS_WRITER,
                          side == 0 ? 0 : (uint32_t)side - 1u, &l) != TRIBUS_OK)
        return fault();
    ok = side == 0 ? read_lanes(l, s, seconds) : write_lane(l);
    tribus_lanes_close(l);
    return ok;
}

/* ---- all of them ---- */

static bool lay_out(tribus_bench_stream what, void *mem)
{
    tribus_status st = TRIBUS_OK;

    if (what == TRIBUS_STREAM_RING)
        st = tribus_ring_create(mem, bytes_of(what), CELLS, CELL_BYTES);
    else if (what == TRIBUS_STREAM_TOPIC)
        st = tribus_topic_create(mem, bytes_of(what), CELLS, CELL_BYTES);
    else if (what == TRIBUS_STREAM_LANES)
        st = tribus_lanes_create(mem, bytes_of(what), &lanes_cfg);
    return st == TRIBUS_OK ? true : fault();
}

static bool one_side(int side, void *shared, void *context)
{
    const stream *what = context;
    stream_shared *s = shared;
    bool ok = true;

    if (side == 0) {
        if (!lay_out(what->what, s->mem))
            return false;
        tribus_store_rel(&s->ready, 1u);
    }
    while (tribus_load_acq(&s->ready) < (side < 2 ? 1u : 2u)) {
        if (tribus_bench_pair_ended())
            return false;
        (void)sched_yield(); /* two sides may share a core */
    }
    if (side < 2)
        tribus_bench_pair_floor(side, tribus_bench_pair_line(), FLOOR, &s->before);
    if (side == 0)
        tribus_store_rel(&s->ready, 2u);
    switch (what->what) {
    case TRIBUS_STREAM_RING:
        ok = ring_side(side, s, what->seconds);
        break;
    case TRIBUS_STREAM_BARE:
        ok = bare_side(side, s, what->seconds);
        break;
    case TRIBUS_STREAM_TOPIC:
        ok = topic_side(side, s, what->seconds);
        break;
    case TRIBUS_STREAM_LANES:
        ok = lanes_side(side, s, what->seconds);
        break;
    }
    if (side < 2)
        tribus_bench_pair_floor(side, tribus_bench_pair_line(), FLOOR, &s->after);
    return ok;
}

bool tribus_bench_stream_run(tribus_bench_row *row, tribus_bench_stream what)
{
    stream context = {.what = what, .seconds = row->seconds};
    const int sides = what == TRIBUS_STREAM_LANES ? (int)WRITERS + 1 : 2;

    for (int i = 0; i < 4; i++) {
        void *shared;
        const bool ok =
            tribus_bench_pair_fork(one_side, sides, sizeof(stream_shared) + bytes_of(what),
                                   &shared, &context, 240.0 + row->seconds);
        const stream_shared *s = shared;
        double ratio;

        if (!ok) {
            tribus_bench_pair_drop();
            return false;
        }
        row->stats = s->stats;
        row->floor = s->before.p50_ns < s->after.p50_ns ? s->before : s->after;
        row->measured = s->messages;
        ratio = s->before.p50_ns / s->after.p50_ns;
        row->floor_moved = ratio > 1.2 || ratio < 1 / 1.2;
        tribus_bench_pair_drop();
        if (!row->floor_moved)
            break;
    }
    return true;
}
