/* test_hostile.c -- a process that writes nonsense into every shared word while others work.
 * labels: multiprocess
 * timeout: 900
 *
 * The others may be told TRIBUS_CORRUPT, lose messages or see wrong ones. They may not crash,
 * hang past a deadline, or touch a byte outside their mapping: it ends where a page without
 * access begins, and the build with AddressSanitizer watches the rest.
 * TRIBUS_ROUNDS=100000 makes a soak of it (`make soak`). */
#include "two_maps.h"

#include "base/atomic.h"
#include "base/random.h"
#include "tribus/fabric.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define CELLS 8u
#define SLOTS 4u

typedef struct things {
    unsigned char *ring, *latest, *topic, *region, *lanes, *timeline, *counters;
    size_t ring_bytes, topic_bytes, region_bytes, lanes_bytes;
    unsigned char *all;
    size_t bytes;
} things;

static const tribus_lanes_cfg lanes_cfg = {2, 2, CELLS, 64};
static tribus_region_cfg region_cfg = {.slot_bytes = 128, .slots = SLOTS};

static size_t pages(size_t n)
{
    return (n + 4095u) / 4096u * 4096u;
}

/* Each thing ends at the end of a page, and a page without access follows. */
static unsigned char *guarded(unsigned char **next, size_t bytes)
{
    unsigned char *at = *next + pages(bytes) - bytes;

    CHECK(mprotect(*next + pages(bytes), 4096, PROT_NONE) == 0);
    *next += pages(bytes) + 4096;
    return at;
}

static things things_of(void)
{
    things t = {.ring_bytes = tribus_ring_bytes(CELLS, 64),
                .topic_bytes = tribus_topic_bytes(CELLS, 64),
                .region_bytes = tribus_region_bytes(&region_cfg),
                .lanes_bytes = tribus_lanes_bytes(&lanes_cfg)};
    unsigned char *next;

    t.bytes = 2 * (pages(t.ring_bytes) + 4096) + pages(t.topic_bytes) + 4096 +
              pages(t.region_bytes) + 4096 + pages(t.lanes_bytes) + 4096 + 2 * 8192 +
              pages(TRIBUS_COUNTERS_BYTES) + 4096;
    t.all = mmap(NULL, t.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(t.all != MAP_FAILED);
    next = t.all;
    t.ring = guarded(&next, t.ring_bytes);
    t.latest = guarded(&next, t.ring_bytes);
    t.topic = guarded(&next, t.topic_bytes);
    t.region = guarded(&next, t.region_bytes);
    t.lanes = guarded(&next, t.lanes_bytes);
    t.timeline = guarded(&next, 128);
    t.counters = guarded(&next, pages(TRIBUS_COUNTERS_BYTES));
    return t;
}

static void lay_out(const things *t)
{
    tribus_counters *c;

    CHECK(tribus_ring_create(t->ring, t->ring_bytes, CELLS, 64) == TRIBUS_OK);
    CHECK(tribus_ring_create_flow(t->latest, t->ring_bytes, CELLS, 64,
                                  TRIBUS_FLOW_OVERWRITE) == TRIBUS_OK);
    CHECK(tribus_topic_create(t->topic, t->topic_bytes, CELLS, 64) == TRIBUS_OK);
    CHECK(tribus_region_create(t->region, t->region_bytes, &region_cfg, 1) == TRIBUS_OK);
    CHECK(tribus_lanes_create(t->lanes, t->lanes_bytes, &lanes_cfg) == TRIBUS_OK);
    CHECK(tribus_timeline_create(t->timeline, 128, 0) == TRIBUS_OK);
    CHECK(tribus_counter_create(t->counters, TRIBUS_COUNTERS_BYTES, "x", &c) == TRIBUS_OK);
}

/* Values that look right are more dangerous than noise. */
static uint64_t nonsense(tribus_random *rnd, uint64_t old)
{
    switch (tribus_random_below(rnd, 8)) {
    case 0:
        return tribus_random_u64(rnd);
    case 1:
        return old + tribus_random_below(rnd, 2 * CELLS) - CELLS;
    case 2:
        return old ^ ((uint64_t)1 << tribus_random_below(rnd, 64));
    case 3:
        return tribus_random_below(rnd, 64);
    case 4:
        return UINT64_MAX - tribus_random_below(rnd, 64);
    case 5:
        return (uint64_t)1 << tribus_random_below(rnd, 64);
    case 6:
        return old + ((uint64_t)CELLS << tribus_random_below(rnd, 32));
    default:
        return 0;
    }
}

static void be_hostile(const things *t, uint64_t seed)
{
    struct {
        unsigned char *mem;
        size_t bytes;
    } targets[] = {{t->ring, t->ring_bytes},
                   {t->latest, t->ring_bytes},
                   {t->topic, t->topic_bytes},
                   {t->region, 128 + SLOTS * 64},
                   {t->lanes, t->lanes_bytes},
                   {t->timeline, 128},
                   {t->counters, TRIBUS_COUNTERS_BYTES}};
    tribus_random rnd;

    tribus_random_init(&rnd, seed);
    for (;;) {
        const size_t k = (size_t)tribus_random_below(&rnd, 7);
        _Atomic(uint64_t) *word =
            (_Atomic(uint64_t) *)(void *)(targets[k].mem +
                                          8 * tribus_random_below(&rnd,
                                                                  targets[k].bytes / 8));

        tribus_store_rlx(word, nonsense(&rnd, tribus_load_rlx(word)));
        if (tribus_random_below(&rnd, 64) == 0)
            (void)sched_yield();
    }
}

static const tribus_wait_cfg brief = {.spin_ns = 1, .timeout_ns = 200000};
static uint64_t ok, refused, faults;

static void note(tribus_status st)
{
    if (st == TRIBUS_OK)
        ok++;
    else if (st > TRIBUS_BAD_ARG)
        refused++;
    else
        faults++;
    CHECK(st == TRIBUS_OK || st > TRIBUS_BAD_ARG || st == TRIBUS_CORRUPT ||
          st == TRIBUS_VERSION || st == TRIBUS_BAD_ARG || st == TRIBUS_POISONED ||
          st == TRIBUS_PEER_LOST || st == TRIBUS_REFUSED);
}

static void use_ring(unsigned char *mem, size_t bytes)
{
    tribus_ring *w = NULL, *r = NULL;
    tribus_slot_ref refs[2 * CELLS];
    uint32_t got = 0;

    note(tribus_ring_open(mem, bytes, TRIBUS_WRITER, &w));
    note(tribus_ring_open(mem, bytes, TRIBUS_READER, &r));
    for (int i = 0; i < 20; i++) {
        void *cell;
        const void *seen;
        int again;

        if (w != NULL) {
            tribus_status st = tribus_ring_claim_wait(w, &brief, &cell);

            note(st);
            if (st == TRIBUS_OK) {
                memset(cell, i, tribus_ring_payload_bytes(w));
                tribus_ring_commit(w);
            }
            if (tribus_ring_claim_batch(w, 5, &got) == TRIBUS_OK)
                for (uint32_t k = 0; k < got; k++)
                    memset(tribus_ring_batch_at(w, k), 1, 56);
            tribus_ring_commit_batch(w, 2);
            got = tribus_ring_refs(w, 0, refs, 2 * CELLS);
            CHECK(got <= CELLS && tribus_ring_waiting(w) <= CELLS);
        }
        if (r != NULL) {
            tribus_status st = tribus_ring_wait(r, &brief);

            note(st);
            st = tribus_ring_peek(r, &seen, &again);
            note(st);
            if (st == TRIBUS_OK)
                CHECK(((const unsigned char *)seen)[55] <= 255);
            if (tribus_ring_peek_batch(r, 100, &got) == TRIBUS_OK)
                CHECK(got <= CELLS && tribus_ring_batch_at(r, got - 1) != NULL);
            tribus_ring_release_batch(r, 3);
        }
    }
    tribus_ring_close(w);
    tribus_ring_close(r);
}

static void use_topic(const things *t)
{
    tribus_topic *w = NULL, *r = NULL;
    unsigned char buf[8][64];
    uint32_t sizes[8], got;
    uint64_t lost;

    note(tribus_topic_open(t->topic, t->topic_bytes, TRIBUS_WRITER, 0, &w));
    note(tribus_topic_open(t->topic, t->topic_bytes, TRIBUS_READER, 0, &r));
    for (int i = 0; i < 20; i++) {
        if (w != NULL) {
            memset(tribus_topic_claim(w), i, 56);
            tribus_topic_commit(w, 56);
        }
        if (r != NULL) {
            const tribus_status st =
                tribus_topic_read_batch(r, buf, 64, 8, &got, sizes, &lost);

            note(st);
            if (st == TRIBUS_OK)
                CHECK(got <= 8 && sizes[got - 1] <= 56);
            note(tribus_topic_wait(r, &brief));
            CHECK(tribus_topic_rewind(r, 3) <= CELLS);
        }
    }
    tribus_topic_close(w);
    tribus_topic_close(r);
}

static void use_region(const things *t, tribus_random *rnd)
{
    tribus_region *owner = NULL, *holder = NULL;

    note(tribus_region_open(t->region, t->region_bytes, TRIBUS_WRITER, 0, &owner));
    note(tribus_region_open(t->region, t->region_bytes, TRIBUS_READER, 3, &holder));
    for (int i = 0; i < 20 && owner != NULL && holder != NULL; i++) {
        tribus_slot_ref ref = {0};
        const void *seen;
        void *mem;
        tribus_status st = tribus_region_loan(owner, &ref, &mem);

        note(st);
        if (st == TRIBUS_OK) {
            memset(mem, i, 128);
            note(tribus_region_commit(owner, &ref, 8));
        }
        if (tribus_random_below(rnd, 2))
            ref.bytes = nonsense(rnd, ref.bytes);
        if (tribus_random_below(rnd, 4) == 0)
            ref.slot = (uint32_t)nonsense(rnd, ref.slot);
        st = tribus_region_receive(holder, &ref, &seen);
        note(st);
        if (st == TRIBUS_OK && ref.bytes > 0)
            CHECK(((const unsigned char *)seen)[ref.bytes - 1] <= 255);
        note(tribus_random_below(rnd, 2) ? tribus_region_release(holder, &ref)
                                         : tribus_region_pass(holder, &ref, 1));
        st = tribus_region_loan(holder, &ref, &mem);
        note(st);
        if (st == TRIBUS_OK) {
            memset(mem, i, 128);
            note(tribus_region_commit(holder, &ref, 8));
        }
        (void)tribus_region_forget(holder, 3);
        (void)tribus_region_reclaim(owner, 0);
        (void)tribus_region_withdraw(owner, 3, &ref, 1);
        (void)tribus_region_recover(holder, NULL, 0);
        CHECK(tribus_region_free_slots(owner) <= SLOTS);
    }
    tribus_region_close(owner);
    tribus_region_close(holder);
}

static void use_lanes(const things *t)
{
    tribus_lanes *w = NULL, *r = NULL;

    note(tribus_lanes_open(t->lanes, t->lanes_bytes, TRIBUS_WRITER, 1, &w));
    note(tribus_lanes_open(t->lanes, t->lanes_bytes, TRIBUS_READER, 0, &r));
    for (int i = 0; i < 10; i++) {
        tribus_ring *lane;
        void *cell;
        const void *seen;

        if (w != NULL && tribus_lanes_select(w, TRIBUS_LANES_NEXT, &lane) == TRIBUS_OK &&
            tribus_ring_claim(lane, &cell) == TRIBUS_OK) {
            memset(cell, i, 56);
            tribus_ring_commit(lane);
        }
        if (r != NULL) {
            note(tribus_lanes_wait(r, &brief));
            if (tribus_lanes_select(r, TRIBUS_LANES_NEXT, &lane) == TRIBUS_OK &&
                tribus_ring_peek(lane, &seen, NULL) == TRIBUS_OK)
                tribus_ring_release(lane);
        }
    }
    tribus_lanes_close(w);
    tribus_lanes_close(r);
}

static void use_the_rest(const things *t)
{
    tribus_timeline_shm *timeline = NULL;
    const tribus_counters *counters = NULL;
    char name[56];

    note(tribus_timeline_open(t->timeline, 128, &timeline));
    if (timeline != NULL) {
        note(tribus_timeline_advance(timeline, 5));
        note(tribus_timeline_wait(timeline, INT64_MAX - 1, &brief));
    }
    note(tribus_counter_open(t->counters, TRIBUS_COUNTERS_BYTES, &counters));
    if (counters != NULL) {
        tribus_histogram_values v;

        tribus_counter_label(counters, name);
        CHECK(strlen(name) <= 55);
        tribus_histogram_read(tribus_counter_latency_of(counters), &v);
    }
}

int main(void)
{
    const char *wanted = getenv("TRIBUS_ROUNDS");
    const uint64_t rounds = wanted != NULL ? strtoull(wanted, NULL, 10) : 3000;
    const things t = things_of();
    const uint64_t seed = check_seed();
    int status = 0;
    tribus_random rnd;
    pid_t pid;

    tribus_random_init(&rnd, seed + 1);
    lay_out(&t);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        tribus_os_die_with_parent(SIGKILL);
        be_hostile(&t, seed);
    }
    for (uint64_t i = 0; i < rounds; i++) {
        if (i % 4 == 0)
            lay_out(&t); /* or soon nothing would open any more */
        use_ring(t.ring, t.ring_bytes);
        use_ring(t.latest, t.ring_bytes);
        use_topic(&t);
        use_region(&t, &rnd);
        use_lanes(&t);
        use_the_rest(&t);
    }
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    CHECK(ok > 0 && faults > 0);
    printf("%llu calls went well, %llu said not now, %llu said corrupt\n",
           (unsigned long long)ok, (unsigned long long)refused, (unsigned long long)faults);
    return 0;
}
