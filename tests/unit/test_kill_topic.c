/* test_kill_topic.c -- kill -9 of a topic's writer and of its readers, one of which maps it
 * read-only, at every labelled step and at random moments.
 * labels: multiprocess
 * links: steps
 * timeout: 900
 *
 * Every reader at every moment: each message whole, in order, and what is missing between two
 * is exactly what the reader was told it lost. At the end: what a writer has committed is
 * there, and no wait outlived its deadline. TRIBUS_KILLS=10000 makes a soak of it. */
#include "kill.h"

#define CELLS      16u
#define CELL_BYTES 128u
#define WORDS      15u
#define BATCH      5u
#define MESSAGES   (1u << 30)

enum { WRITER, READER, ONLOOKER, ROLES };

typedef struct world {
    two_maps topic;
    kill_board *board;
    _Atomic(uint64_t) *read, *lost;
} world;

/* ---- the writer, and whoever succeeds it ---- */

static void fill(void *to, uint64_t number)
{
    for (uint64_t k = 0; k < WORDS; k++)
        ((uint64_t *)to)[k] = number * (k + 1u);
}

static void writer(world *w)
{
    const uint32_t sizes[BATCH] = {WORDS * 8, WORDS * 8, WORDS * 8, WORDS * 8, WORDS * 8};
    tribus_topic *t;

    if (tribus_topic_open(w->topic.a, w->topic.bytes, TRIBUS_WRITER, 0, &t) != TRIBUS_OK)
        kill_violate(w->board, "writer cannot open", 0);
    for (;;) {
        const uint64_t number = tribus_topic_published(t);
        uint32_t got = 1;

        if (number < tribus_load_rlx(&w->board->progress[WRITER]))
            kill_violate(w->board, "what was committed is gone", number);
        if (number % 7 == 0) {
            tribus_topic_claim_batch(t, BATCH, &got);
            for (uint32_t i = 0; i < got; i++)
                fill(tribus_topic_batch_at(t, i), number + i);
            tribus_topic_commit_batch(t, got, sizes);
        } else {
            fill(tribus_topic_claim(t), number);
            tribus_topic_commit(t, WORDS * 8);
        }
        tribus_store_rel(&w->board->progress[WRITER], number + got);
        if (number % 64 == 0)
            (void)sched_yield(); /* else nobody is ever in time on one core */
    }
}

/* ---- a reader, and whoever succeeds it ---- */

static uint64_t first_of(const uint64_t *words, uint32_t bytes, world *w)
{
    if (bytes != WORDS * 8)
        kill_violate(w->board, "a message of another size", bytes);
    for (uint64_t k = 1; k < WORDS; k++)
        if (words[k] != words[0] * (k + 1u))
            kill_violate(w->board, "a torn message", words[0]);
    return words[0];
}

static void reader(world *w, uint32_t role)
{
    uint64_t words[WORDS], lost = 0, next = 0;
    tribus_topic *t;
    int started = 0;

    if (tribus_topic_open(w->topic.b, w->topic.bytes, TRIBUS_READER, role == ONLOOKER,
                          &t) != TRIBUS_OK)
        kill_violate(w->board, "reader cannot open", 0);
    for (;;) {
        uint32_t bytes = 0;
        const int64_t t0 = tribus_now_ns();
        tribus_status st = tribus_topic_wait(t, &kill_wait);

        kill_waited(w->board, t0);
        if (st == TRIBUS_OK)
            st = tribus_topic_read(t, words, &bytes, &lost);
        if (st == TRIBUS_EMPTY || st == TRIBUS_TIMEOUT)
            continue;
        if (st != TRIBUS_OK)
            kill_violate(w->board, "read", next);
        if (!started)
            next = first_of(words, bytes, w) - lost;
        started = 1;
        if (first_of(words, bytes, w) != next + lost)
            kill_violate(w->board, "the loss is not exact", next);
        next += lost + 1u;
        (void)tribus_add_rlx(w->read, 1u);
        (void)tribus_add_rlx(w->lost, lost);
        tribus_store_rel(&w->board->progress[role],
                         tribus_load_rlx(&w->board->progress[role]) + 1u);
    }
}

static void live(void *context, uint32_t role)
{
    if (role == WRITER)
        writer(context);
    else
        reader(context, role);
}

/* ---- afterwards ---- */

static void finish(world *w)
{
    uint64_t words[WORDS], lost = 0, last, n;
    tribus_topic *out, *in;
    uint32_t bytes = 0;

    CHECK(tribus_topic_open(w->topic.a, w->topic.bytes, TRIBUS_WRITER, 0, &out) ==
          TRIBUS_OK);
    CHECK(tribus_topic_open(w->topic.b, w->topic.bytes, TRIBUS_READER, 0, &in) ==
          TRIBUS_OK);
    last = tribus_topic_published(out);
    CHECK(last >= tribus_load_acq(&w->board->progress[WRITER]));
    /* the cell a writer died in may be half a message: one more makes it whole */
    fill(tribus_topic_claim(out), last);
    tribus_topic_commit(out, WORDS * 8);
    n = tribus_topic_rewind(in, CELLS);
    CHECK(n == CELLS);
    for (uint64_t i = last + 1u - n; i <= last; i++) {
        CHECK(tribus_topic_read(in, words, &bytes, &lost) == TRIBUS_OK && lost == 0);
        CHECK(first_of(words, bytes, w) == i);
    }
    CHECK(tribus_topic_read(in, words, &bytes, &lost) == TRIBUS_EMPTY);
    printf("%llu messages, %llu read, %llu lost and told\n", (unsigned long long)last,
           (unsigned long long)tribus_load_rlx(w->read),
           (unsigned long long)tribus_load_rlx(w->lost));
    CHECK(tribus_load_rlx(w->read) > 0);
    tribus_topic_close(in);
    tribus_topic_close(out);
}

int main(void)
{
    _Atomic(uint64_t) *totals = kill_memory(2 * sizeof(*totals));
    world w = {.topic = two_maps_of(tribus_topic_bytes(CELLS, CELL_BYTES)),
               .board = kill_memory(sizeof(kill_board)),
               .read = &totals[0],
               .lost = &totals[1]};
    const kill_plan plan = {
        .board = w.board, .live = live, .world = &w, .roles = ROLES, .most = MESSAGES};
    tribus_random rnd;

    tribus_random_init(&rnd, check_seed());
    CHECK(tribus_topic_create(w.topic.a, w.topic.bytes, CELLS, CELL_BYTES) == TRIBUS_OK);
    kill_run(&plan, 200, &rnd);
    finish(&w);
    return 0;
}
