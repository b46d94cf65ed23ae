/* topic.c -- see fabric.h for the contract, docs/shared-layout.md for the picture.
 *
 * Position p counts messages since creation and names cell p & mask. A cell is a word and a
 * payload. The word:
 *
 *   bits 63..21  position of the message, modulo 2^43
 *   bit  20      1: all of it is there, 0: it is being written
 *   bits 19..0   its size in bytes
 *
 * It is a sequence lock whose version is the message's position: the writer marks the cell
 * as being written, writes the payload, and marks it done; a reader copies between two
 * looks at the word and keeps the copy when both were the same. 2^43 messages would have to
 * pass between the two looks to fool it.
 *
 * The writer fills private memory and commit copies it in, so a cell is in between for the
 * length of that copy only, and a writer that dies while it fills a message has not yet
 * destroyed the one it would replace.
 *
 * Ordering. There is no fence: the payload words themselves carry the order, which costs
 * nothing on x86-64 and stays visible to ThreadSanitizer.
 *   R0 -> A0   create -> open   whoever sees the magic sees the layout
 *   R1 -> A1   commit -> read   who sees a message marked done sees its payload
 *   R2 -> A2   commit -> read   who sees a payload word sees that its cell is marked as
 * being written, so the second look at the word differs R3 -> A3   commit -> open, rewind,
 * seek, a lapped reader   who sees `published` sees the cells
 *
 * Crashes. The writer between its two marks: the position never existed, the message it
 * overwrote is lost to readers that had not got to it, and they count it. Between the
 * second mark and `published`: the message exists, and its successor finds it.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"
#include "fabric/counter.h"

#include <stdlib.h>
#include <string.h>

#define CELLS_MAX      (1u << 24)
#define CELL_BYTES_MAX (1u << 20)
#define WORD_BYTES     8u
#define SIZE_BITS      20u
#define DONE           ((uint64_t)1 << SIZE_BITS)
#define POSITION_SHIFT (SIZE_BITS + 1u)
#define POSITION_MASK  (UINT64_MAX >> POSITION_SHIFT)
#define POLL_STEP_NS   1000000
/* A reader that is overtaken while it copies goes, within 8 tries, to the newest message.
 * When even that is overwritten this often, the writer is too fast for it just now: EMPTY. */
#define TRIES_MAX     256u
#define BATCH_MAX     64u
#define STAGING_BYTES 65536u

struct tribus_topic_shm {
    /* 0: fixed at creation */
    tribus_shm_head head;
    uint32_t cells;
    uint32_t cell_bytes;
    uint64_t unused0[14];
    /* 128: the writer's */
    _Atomic(uint64_t) published;
    uint64_t unused1[15];
    /* 256: pressed by commit */
    struct tribus_doorbell_shm bell;
    uint64_t unused2[8];
    /* 384: cells */
};

_Static_assert(offsetof(struct tribus_topic_shm, published) == 128, "layout");
_Static_assert(offsetof(struct tribus_topic_shm, bell) == 256, "layout");
_Static_assert(sizeof(struct tribus_topic_shm) == 384, "layout");

typedef _Atomic(uint64_t) cell_word;

struct tribus_topic {
    unsigned char *cells;
    struct tribus_topic_shm *shm;
    uint64_t position; /* writer: next to publish; reader: next to read */
    uint64_t lost;     /* reader: not yet reported */
    uint32_t mask;
    uint32_t cell_bytes;
    tribus_end end;
    int read_only;
    int event;              /* eventfd to fire with a press, or -1 */
    unsigned char *staging; /* writer: payloads being filled, cell_bytes apart */
    uint32_t batch;         /* how many fit there */
    tribus_counters *counters;
};

static cell_word *cell_at(const tribus_topic *t, uint64_t position)
{
    return (cell_word *)(void *)(t->cells + (size_t)(position & t->mask) * t->cell_bytes);
}

static uint64_t cell_count(const tribus_topic *t)
{
    return (uint64_t)t->mask + 1u;
}

static uint64_t word_of(uint64_t position, uint64_t done_and_size)
{
    return position << POSITION_SHIFT | done_and_size;
}

/* Does the word belong to this position? */
static int is_at(uint64_t word, uint64_t position)
{
    return word >> POSITION_SHIFT == (position & POSITION_MASK);
}

size_t tribus_topic_bytes(uint32_t cells, uint32_t cell_bytes)
{
    if (cells < 2 || cells > CELLS_MAX || (cells & (cells - 1u)) != 0)
        return 0;
    if (cell_bytes == 0 || cell_bytes > CELL_BYTES_MAX ||
        cell_bytes % TRIBUS_CACHE_LINE_BYTES != 0)
        return 0;
    return sizeof(struct tribus_topic_shm) + (size_t)cells * cell_bytes;
}

tribus_status tribus_topic_create(void *mem, size_t bytes, uint32_t cells,
                                  uint32_t cell_bytes)
{
    struct tribus_topic_shm *shm = mem;
    const size_t need = tribus_topic_bytes(cells, cell_bytes);
    unsigned char *first = (unsigned char *)mem + sizeof(*shm);

    if (need == 0)
        return tribus_error_set(
            TRIBUS_BAD_ARG,
            "topic of %u cells of %u bytes: cells must be a power of two "
            "2..2^24, bytes a multiple of 64 up to 1 MiB",
            cells, cell_bytes);
    if (mem == NULL || bytes < need || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "topic: needs %zu bytes at a multiple of 64, has %zu", need,
                                bytes);
    tribus_store_rlx(&shm->head.magic, 0u); /* not a topic while it is laid out */
    shm->head.version = TRIBUS_FABRIC_VERSION;
    shm->cells = cells;
    shm->cell_bytes = cell_bytes;
    tribus_store_rlx(&shm->published, 0u); /* these are shown by R0 */
    tribus_doorbell_create(&shm->bell);
    for (uint64_t p = 0; p < cells; p++)
        tribus_store_rlx((cell_word *)(void *)(first + (size_t)p * cell_bytes),
                         word_of(p - cells, DONE));
    /* R0 pairs with A0 in check_layout. */
    tribus_store_rel(&shm->head.magic, TRIBUS_MAGIC_TOPIC);
    return TRIBUS_OK;
}

static tribus_status check_layout(void *mem, size_t bytes, uint32_t *cells,
                                  uint32_t *cell_bytes)
{
    struct tribus_topic_shm *shm = mem;
    size_t need;

    if (mem == NULL || (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "topic: memory is not at a multiple of 64");
    if (bytes < sizeof(*shm))
        return tribus_error_set(TRIBUS_CORRUPT, "topic: %zu bytes are too few for any",
                                bytes);
    /* A0 pairs with R0 in tribus_topic_create. */
    if (tribus_load_acq(&shm->head.magic) != TRIBUS_MAGIC_TOPIC)
        return tribus_error_set(TRIBUS_CORRUPT, "topic: there is none in this memory");
    if (shm->head.version != TRIBUS_FABRIC_VERSION)
        return tribus_error_set(TRIBUS_VERSION, "topic: layout version %u, ours is %u",
                                shm->head.version, TRIBUS_FABRIC_VERSION);
    *cells = shm->cells;
    *cell_bytes = shm->cell_bytes;
    need = tribus_topic_bytes(*cells, *cell_bytes);
    if (need == 0 || need > bytes)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "topic: says %u cells of %u bytes, the memory has %zu",
                                *cells, *cell_bytes, bytes);
    return TRIBUS_OK;
}

/* Writer: continue after the last message that is there. */
static tribus_status resume(tribus_topic *t)
{
    uint64_t word, tries = 0;

    do {
        /* A1 pairs with R1 in show. */
        word = tribus_load_acq(cell_at(t, t->position));
        if (!is_at(word, t->position) || (word & DONE) == 0)
            break;
        t->position++;
    } while (++tries <= t->mask);
    if (!is_at(word, t->position) && !is_at(word, t->position - cell_count(t)))
        return tribus_error_set(TRIBUS_CORRUPT, "topic: message %llu has a wrong number",
                                (unsigned long long)t->position);
    /* R3 pairs with A3 in tribus_topic_open, catch_up, tribus_topic_rewind and seek. */
    tribus_store_rel(&t->shm->published, t->position);
    return TRIBUS_OK;
}

/* How many payloads are filled at once. Never more than cells: a batch that laps itself
 * would let a reader get ahead of `published` and then be lapped. */
static uint32_t batch_of(uint32_t cells, uint32_t cell_bytes)
{
    uint32_t n = STAGING_BYTES / cell_bytes;

    if (n > BATCH_MAX)
        n = BATCH_MAX;
    if (n > cells)
        n = cells;
    return n < 1 ? 1 : n;
}

tribus_status tribus_topic_open(void *mem, size_t bytes, tribus_end end, int read_only,
                                tribus_topic **out)
{
    uint32_t cells = 0, cell_bytes = 0;
    tribus_topic *t;
    tribus_status st = check_layout(mem, bytes, &cells, &cell_bytes);

    if (st != TRIBUS_OK)
        return st;
    if ((end != TRIBUS_WRITER && end != TRIBUS_READER) ||
        (end == TRIBUS_WRITER && read_only))
        return tribus_error_set(TRIBUS_BAD_ARG, "topic: end %d, read only %d", (int)end,
                                read_only);
    t = calloc(1, sizeof(*t));
    if (t == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "topic: handle");
    t->shm = mem;
    t->cells = (unsigned char *)mem + sizeof(struct tribus_topic_shm);
    t->mask = cells - 1u;
    t->cell_bytes = cell_bytes;
    t->end = end;
    t->read_only = read_only;
    t->event = -1;
    /* A3 pairs with R3 in shown and resume. */
    t->position = tribus_load_acq(&t->shm->published);
    if (end == TRIBUS_WRITER) {
        t->batch = batch_of(cells, cell_bytes);
        t->staging = aligned_alloc(TRIBUS_CACHE_LINE_BYTES, (size_t)t->batch * cell_bytes);
        st = TRIBUS_NO_MEMORY;
        if (t->staging == NULL)
            (void)tribus_error_set(st, "topic: %u bytes to fill messages in", cell_bytes);
        else
            st = resume(t);
    }
    if (st != TRIBUS_OK) {
        tribus_topic_close(t);
        return st;
    }
    *out = t;
    return TRIBUS_OK;
}

void tribus_topic_close(tribus_topic *topic)
{
    if (topic == NULL)
        return;
    free(topic->staging);
    free(topic);
}

uint32_t tribus_topic_payload_bytes(const tribus_topic *topic)
{
    return topic->cell_bytes - WORD_BYTES;
}

void tribus_topic_set_counters(tribus_topic *topic, tribus_counters *c)
{
    topic->counters = c;
}

void tribus_topic_set_event(tribus_topic *topic, int event)
{
    topic->event = event;
}

void *tribus_topic_claim(tribus_topic *t)
{
    return t->staging;
}

void tribus_topic_claim_batch(tribus_topic *t, uint32_t want, uint32_t *got)
{
    *got = want < t->batch ? want : t->batch;
}

void *tribus_topic_batch_at(tribus_topic *t, uint32_t i)
{
    return t->staging + (size_t)i * t->cell_bytes;
}

static uint32_t show(tribus_topic *t, uint64_t p, const unsigned char *from, uint32_t bytes)
{
    cell_word *cell = cell_at(t, p);
    const uint64_t *payload = (const uint64_t *)(const void *)from;
    uint32_t words;

    if (bytes > t->cell_bytes - WORD_BYTES)
        bytes = t->cell_bytes - WORD_BYTES;
    words = (bytes + WORD_BYTES - 1u) / WORD_BYTES;
    TRIBUS_STEP("topic commit: before the mark");
    /* R1 pairs with A1 here, too: who is lapped sees `published` of what came before. */
    tribus_store_rel(cell, word_of(p, 0));
    TRIBUS_STEP("topic commit: after the mark");
    for (uint32_t i = 0; i < words; i++)
        /* R2 pairs with A2 in copy_out. */
        tribus_store_rel(&cell[1 + i], payload[i]);
    /* R1 pairs with A1 in tribus_topic_read, read_batch, seek, ready and resume. */
    tribus_store_rel(cell, word_of(p, DONE | bytes));
    TRIBUS_STEP("topic commit: after the second mark");
    return bytes;
}

static void shown(tribus_topic *t, uint64_t position, uint64_t bytes)
{
    if (t->counters != NULL) {
        tribus_counter_bump(t->counters, TRIBUS_COUNT_MESSAGES, position - t->position);
        tribus_counter_bump(t->counters, TRIBUS_COUNT_BYTES_COPIED, bytes);
    }
    t->position = position;
    TRIBUS_STEP("topic commit: before the count");
    /* R3 pairs with A3 in tribus_topic_open, catch_up, tribus_topic_rewind and seek. */
    tribus_store_rel(&t->shm->published, position);
    tribus_doorbell_press_event(&t->shm->bell, t->event);
}

void tribus_topic_commit(tribus_topic *t, uint32_t bytes)
{
    bytes = show(t, t->position, t->staging, bytes);
    shown(t, t->position + 1u, bytes);
}

void tribus_topic_commit_batch(tribus_topic *t, uint32_t n, const uint32_t *sizes)
{
    uint64_t bytes = 0;

    if (n > t->batch)
        n = t->batch;
    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        bytes += show(t, t->position + i, t->staging + (size_t)i * t->cell_bytes, sizes[i]);
    shown(t, t->position + n, bytes);
}

/* Nonzero when the copy is whole: the cell still says the same after it. */
static int copy_out(cell_word *cell, uint64_t word, void *buf, uint32_t bytes)
{
    unsigned char *to = buf;
    const uint32_t whole = bytes / WORD_BYTES;

    for (uint32_t i = 0; i < whole; i++) {
        /* A2 pairs with R2 in show. */
        const uint64_t part = tribus_load_acq(&cell[1 + i]);

        memcpy(to + (size_t)i * WORD_BYTES, &part, WORD_BYTES);
    }
    if (bytes % WORD_BYTES != 0) {
        /* A2 pairs with R2 in show. */
        const uint64_t part = tribus_load_acq(&cell[1 + whole]);

        memcpy(to + (size_t)whole * WORD_BYTES, &part, bytes % WORD_BYTES);
    }
    return tribus_load_rlx(cell) == word; /* cannot pass A2 */
}

static tribus_status corrupt(tribus_topic *t, const char *what, uint64_t value)
{
    tribus_counter_bump(t->counters, TRIBUS_COUNT_CORRUPT, 1);
    return tribus_error_set(TRIBUS_CORRUPT, "topic: %s %llx at position %llu of %u cells",
                            what, (unsigned long long)value,
                            (unsigned long long)t->position, t->mask + 1u);
}

/* The writer overtook us: its cell holds a later message. Go to the oldest that is left, or
 * further when that is overwritten as fast as we look. Every message stepped over is
 * counted. */
static tribus_status catch_up(tribus_topic *t, uint64_t word, uint32_t tries)
{
    const uint64_t p = t->position;
    const uint64_t ahead = ((word >> POSITION_SHIFT) - p) & POSITION_MASK;
    uint64_t published, oldest;

    if (ahead == 0 || ahead > POSITION_MASK / 2u || (ahead & t->mask) != 0)
        return corrupt(t, "a cell says", word);
    /* A3 pairs with R3 in shown and resume. */
    published = tribus_load_acq(&t->shm->published);
    if (published < p || published - p > POSITION_MASK / 2u)
        return corrupt(t, "published is", published);
    oldest = p + ahead + 1u - cell_count(t);
    if (published > oldest + cell_count(t))
        oldest = published - cell_count(t);
    oldest += tribus_catch_up_slack(cell_count(t), tries, oldest, published);
    t->lost += oldest - p;
    t->position = oldest;
    tribus_counter_bump(t->counters, TRIBUS_COUNT_LOST, oldest - p);
    return TRIBUS_OK;
}

tribus_status tribus_topic_read(tribus_topic *t, void *buf, uint32_t *bytes, uint64_t *lost)
{
    uint32_t laps = 0;

    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        const uint64_t p = t->position;
        cell_word *cell = cell_at(t, p);
        /* A1 pairs with R1 in show. */
        const uint64_t word = tribus_load_acq(cell);
        const uint32_t size = (uint32_t)(word & (DONE - 1u));
        tribus_status st;

        if (is_at(word, p) && (word & DONE) != 0) {
            if (size > t->cell_bytes - WORD_BYTES)
                return corrupt(t, "a cell says", word);
            if (!copy_out(cell, word, buf, size))
                continue; /* overwritten meanwhile: the next look says by what */
            t->position = p + 1u;
            *bytes = size;
            *lost = t->lost;
            t->lost = 0;
            tribus_counter_bump(t->counters, TRIBUS_COUNT_MESSAGES, 1);
            return TRIBUS_OK;
        }
        if (is_at(word, p) || is_at(word, p - cell_count(t)))
            return TRIBUS_EMPTY;
        st = catch_up(t, word, tries);
        if (st != TRIBUS_OK)
            return st;
        tribus_counter_bump(t->counters, TRIBUS_COUNT_LAPS, laps++ == 0);
    }
    return TRIBUS_EMPTY; /* what was stepped over stays counted in t->lost */
}

tribus_status tribus_topic_read_batch(tribus_topic *t, void *buf, size_t stride,
                                      uint32_t want, uint32_t *got, uint32_t *sizes,
                                      uint64_t *lost)
{
    unsigned char *to = buf;
    uint32_t n = 1;
    tribus_status st;

    if (want == 0)
        return TRIBUS_EMPTY;
    st = tribus_topic_read(t, to, &sizes[0], lost);
    if (st != TRIBUS_OK)
        return st;
    for (; n < want; n++) {
        const uint64_t p = t->position;
        cell_word *cell = cell_at(t, p);
        /* A1 pairs with R1 in show. */
        const uint64_t word = tribus_load_acq(cell);
        const uint32_t size = (uint32_t)(word & (DONE - 1u));

        /* Whatever else it says is for the next call to find out. */
        if (!is_at(word, p) || (word & DONE) == 0 || size > t->cell_bytes - WORD_BYTES ||
            !copy_out(cell, word, to + n * stride, size))
            break;
        sizes[n] = size;
        t->position = p + 1u;
    }
    tribus_counter_bump(t->counters, TRIBUS_COUNT_MESSAGES, n - 1u);
    *got = n;
    return TRIBUS_OK;
}

uint64_t tribus_topic_rewind(tribus_topic *t, uint64_t n)
{
    /* A3 pairs with R3 in shown and resume. */
    const uint64_t published = tribus_load_acq(&t->shm->published);

    if (n > published)
        n = published;
    if (n > cell_count(t))
        n = cell_count(t);
    t->position = published - n;
    t->lost = 0;
    return n;
}

uint64_t tribus_topic_seek(tribus_topic *t, uint64_t position)
{
    /* A3 pairs with R3 in shown and resume. */
    const uint64_t published = tribus_load_acq(&t->shm->published);

    if (position > published) {
        /* A1 pairs with R1 in show. A batch may be there and not be counted yet. */
        const uint64_t word = tribus_load_acq(cell_at(t, position - 1u));

        if (position - published > BATCH_MAX || !is_at(word, position - 1u) ||
            (word & DONE) == 0)
            position = published;
    } else if (published - position > cell_count(t)) {
        position = published - cell_count(t);
    }
    t->position = position;
    t->lost = 0;
    return position;
}

uint64_t tribus_topic_published(const tribus_topic *t)
{
    return tribus_load_rlx(&t->shm->published); /* only a number */
}

tribus_doorbell_shm *tribus_topic_bell(tribus_topic *t)
{
    return t->read_only ? NULL : &t->shm->bell;
}

/* Nonzero when read would not say EMPTY. */
static int ready(void *context)
{
    const tribus_topic *t = context;
    /* A1 pairs with R1 in show. */
    const uint64_t word = tribus_load_acq(cell_at(t, t->position));

    if (is_at(word, t->position))
        return (word & DONE) != 0;
    return !is_at(word, t->position - cell_count(t));
}

/* A read-only mapping cannot announce a sleeper: nap and look. */
static tribus_status wait_in_steps(tribus_topic *t, const tribus_wait_cfg *cfg)
{
    const int64_t deadline_ns = tribus_deadline_ns(cfg->timeout_ns);
    tribus_wait_cfg spin = {.spin_ns = -1, .timeout_ns = 20000};
    tribus_doorbell_shm *none = &t->shm->bell; /* never touched: the spin does not end */
    _Atomic(uint32_t) nap = 0;

    if (cfg->spin_ns != 0)
        spin.timeout_ns = cfg->spin_ns;
    if (spin.timeout_ns < 0 || (cfg->timeout_ns >= 0 && cfg->timeout_ns < spin.timeout_ns))
        spin.timeout_ns = cfg->timeout_ns;
    if (tribus_doorbell_wait(&none, 1, ready, t, &spin) == TRIBUS_OK)
        return TRIBUS_OK;
    for (;;) {
        const int64_t left_ns = tribus_deadline_left_ns(deadline_ns);
        tribus_status st;

        if (ready(t))
            return TRIBUS_OK;
        if (left_ns == 0)
            return TRIBUS_TIMEOUT;
        st = tribus_os_futex_wait(&nap, 0, left_ns < POLL_STEP_NS ? left_ns : POLL_STEP_NS);
        if (st != TRIBUS_OK && st != TRIBUS_TIMEOUT)
            return st;
    }
}

tribus_status tribus_topic_wait(tribus_topic *t, const tribus_wait_cfg *cfg)
{
    tribus_doorbell_shm *bell = &t->shm->bell;
    tribus_status st;

    if (cfg == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "topic: wait without a deadline");
    if (ready(t))
        return TRIBUS_OK;
    tribus_counter_bump(t->counters, TRIBUS_COUNT_WAITS, 1);
    st = t->read_only ? wait_in_steps(t, cfg)
                      : tribus_doorbell_wait(&bell, 1, ready, t, cfg);
    if (st == TRIBUS_OK)
        tribus_counter_bump(t->counters, TRIBUS_COUNT_WAKES, 1);
    return st;
}
