/* test_kill.c -- kill -9 of a writer and a reader, at every labelled step and at random
 * moments, each succeeded by a new process, with messages in a ring and slots of a region.
 * labels: multiprocess
 * links: steps
 * timeout: 900
 *
 * At the end: every committed message was delivered, more than once only where it was marked
 * redelivered, no slot is lost, no wait outlived its deadline, and the counters add up.
 * TRIBUS_KILLS=10000 makes a soak of it (`make soak`). */
#include "two_maps.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/random.h"
#include "fabric/step.h"
#include "tribus/fabric.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define CELLS      8u
#define SLOTS      6u
#define SLOT_BYTES 256u
#define MESSAGES   (1u << 22)
#define TEXT_BYTES 200

typedef struct message {
    uint64_t number;
    uint64_t has_slot;
    tribus_slot_ref ref;
} message;

typedef struct shared {
    _Atomic(uint64_t) written, read; /* progress, for the parent */
    _Atomic(uint64_t) violations, redelivered, repeated;
    _Atomic(uint64_t) longest_wait_ns;
    char text[TEXT_BYTES];
    unsigned char seen[MESSAGES];
} shared;

typedef struct world {
    two_maps ring, region;
    shared *s;
} world;

/* ---- dying ---- */

static uint64_t steps_left; /* 0: never */

void tribus_step(const char *where)
{
    (void)where;
    if (steps_left != 0 && --steps_left == 0)
        (void)kill(getpid(), SIGKILL);
}

static void violate(shared *s, const char *what, uint64_t number)
{
    if (tribus_add_rlx(&s->violations, 1u) == 0)
        (void)snprintf(s->text, sizeof(s->text), "%s, message %llu: %s", what,
                       (unsigned long long)number, tribus_error_text());
    _exit(1);
}

static void timed(shared *s, int64_t since_ns)
{
    const uint64_t took = (uint64_t)(tribus_now_ns() - since_ns);

    if (took > tribus_load_rlx(&s->longest_wait_ns))
        tribus_store_rlx(&s->longest_wait_ns, took);
}

static const tribus_wait_cfg brief = {.spin_ns = 1, .timeout_ns = 20000000};

/* ---- the writer, and whoever succeeds it ---- */

static void write_one(world *w, tribus_ring *ring, tribus_region *region)
{
    const uint64_t number = tribus_ring_position(ring);
    message m = {.number = number, .has_slot = number % 3 != 0};
    void *cell, *mem;
    int64_t t0;
    tribus_status st;

    if (m.has_slot) {
        while ((st = tribus_region_loan(region, &m.ref, &mem)) == TRIBUS_FULL)
            (void)sched_yield();
        if (st != TRIBUS_OK)
            violate(w->s, "loan", number);
        for (uint64_t i = 0; i < SLOT_BYTES / 8; i++)
            ((uint64_t *)mem)[i] = number + i;
        if (tribus_region_commit(region, &m.ref, 1) != TRIBUS_OK)
            violate(w->s, "commit of a slot", number);
    }
    do {
        t0 = tribus_now_ns();
        st = tribus_ring_claim_wait(ring, &brief, &cell);
        if (st == TRIBUS_TIMEOUT)
            timed(w->s, t0);
    } while (st == TRIBUS_TIMEOUT || st == TRIBUS_FULL);
    if (st != TRIBUS_OK)
        violate(w->s, "claim", number);
    memcpy(cell, &m, sizeof(m));
    tribus_ring_commit(ring);
    tribus_store_rel(&w->s->written, number + 1);
}

static void writer(world *w)
{
    tribus_slot_ref refs[CELLS];
    tribus_region *region;
    tribus_ring *ring;
    uint32_t n;

    if (tribus_ring_open(w->ring.a, w->ring.bytes, TRIBUS_WRITER, &ring) != TRIBUS_OK ||
        tribus_region_open(w->region.a, w->region.bytes, TRIBUS_WRITER, 0, &region) !=
            TRIBUS_OK)
        violate(w->s, "writer cannot open", 0);
    n = tribus_ring_refs(ring, offsetof(message, ref), refs, CELLS);
    (void)tribus_region_withdraw(region, 0, refs, n);
    while (tribus_ring_position(ring) < MESSAGES)
        write_one(w, ring, region);
    for (;;)
        (void)pause();
}

/* ---- the reader, and whoever succeeds it ---- */

static void check_message(world *w, const message *m, uint64_t expected, int redelivered)
{
    unsigned char *seen;

    if (m->number != expected || m->number >= MESSAGES)
        violate(w->s, "out of order", m->number);
    seen = &w->s->seen[m->number];
    if (*seen != 0 && !redelivered)
        violate(w->s, "delivered twice without the mark", m->number);
    if (*seen != 0)
        (void)tribus_add_rlx(&w->s->repeated, 1u);
    if (redelivered)
        (void)tribus_add_rlx(&w->s->redelivered, 1u);
    *seen = 1;
}

static void check_slot(world *w, const message *m, const void *mem)
{
    for (uint64_t i = 0; i < SLOT_BYTES / 8; i++)
        if (((const uint64_t *)mem)[i] != m->number + i)
            violate(w->s, "a slot was overwritten while held", m->number);
}

static int read_one(world *w, tribus_ring *ring, tribus_region *region)
{
    const void *cell, *mem = NULL;
    int redelivered = 0;
    message m;
    const int64_t t0 = tribus_now_ns();
    tribus_status st = tribus_ring_wait(ring, &brief);

    if (st == TRIBUS_TIMEOUT) {
        timed(w->s, t0);
        return 0;
    }
    if (st == TRIBUS_OK)
        st = tribus_ring_peek(ring, &cell, &redelivered);
    if (st != TRIBUS_OK)
        violate(w->s, "peek", tribus_ring_position(ring));
    memcpy(&m, cell, sizeof(m));
    if (m.has_slot && tribus_region_receive(region, &m.ref, &mem) != TRIBUS_OK)
        violate(w->s, "receive", m.number);
    check_message(w, &m, tribus_ring_position(ring), redelivered);
    if (m.has_slot)
        check_slot(w, &m, mem);
    tribus_ring_release(ring); /* first the message, then the slot */
    if (m.has_slot && tribus_region_release(region, &m.ref) != TRIBUS_OK)
        violate(w->s, "release of a slot", m.number);
    tribus_store_rel(&w->s->read, m.number + 1);
    return 1;
}

static void open_reader(world *w, tribus_ring **ring, tribus_region **region)
{
    tribus_slot_ref refs[CELLS];
    uint32_t n;

    if (tribus_ring_open(w->ring.b, w->ring.bytes, TRIBUS_READER, ring) != TRIBUS_OK ||
        tribus_region_open(w->region.b, w->region.bytes, TRIBUS_READER, 0, region) !=
            TRIBUS_OK)
        violate(w->s, "reader cannot open", 0);
    n = tribus_ring_refs(*ring, offsetof(message, ref), refs, CELLS);
    (void)tribus_region_recover(*region, refs, n);
}

static void reader(world *w)
{
    tribus_region *region;
    tribus_ring *ring;

    open_reader(w, &ring, &region);
    for (;;)
        (void)read_one(w, ring, region);
}

/* ---- the killer ---- */

typedef struct victim {
    pid_t pid;
    int reads;
    uint64_t steps;    /* it dies of the n-th step; 0: we kill it */
    uint64_t progress; /* when it has come this far */
} victim;

static _Atomic(uint64_t) *progress_of(world *w, const victim *v)
{
    return v->reads ? &w->s->read : &w->s->written;
}

static void start(world *w, victim *v, tribus_random *rnd)
{
    v->steps = tribus_random_below(rnd, 3) == 0 ? 0 : 1 + tribus_random_below(rnd, 200);
    v->progress = tribus_load_acq(progress_of(w, v)) + tribus_random_below(rnd, 100);
    v->pid = fork();
    CHECK(v->pid >= 0);
    if (v->pid == 0) {
        tribus_os_die_with_parent(SIGKILL);
        steps_left = v->steps;
        if (v->reads)
            reader(w);
        else
            writer(w);
        _exit(1);
    }
}

/* Has it died of its step? Or is it time to kill it? */
static int is_dead(world *w, victim *v)
{
    int status = 0;

    if (v->steps == 0 && tribus_load_acq(progress_of(w, v)) >= v->progress) {
        CHECK(kill(v->pid, SIGKILL) == 0);
        CHECK(waitpid(v->pid, &status, 0) == v->pid);
    } else if (waitpid(v->pid, &status, WNOHANG) != v->pid) {
        return 0;
    }
    if (tribus_load_acq(&w->s->violations) != 0) {
        fprintf(stderr, "%s\n", w->s->text);
        exit(1);
    }
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 1;
}

static void finish(world *w)
{
    tribus_slot_ref refs[CELLS];
    tribus_ring *in, *out;
    tribus_region *held, *owned;
    uint64_t last;
    uint32_t n;

    CHECK(tribus_ring_open(w->ring.a, w->ring.bytes, TRIBUS_WRITER, &out) == TRIBUS_OK);
    CHECK(tribus_region_open(w->region.a, w->region.bytes, TRIBUS_WRITER, 0, &owned) ==
          TRIBUS_OK);
    n = tribus_ring_refs(out, offsetof(message, ref), refs, CELLS);
    (void)tribus_region_withdraw(owned, 0, refs, n);
    open_reader(w, &in, &held);
    last = tribus_ring_position(out);
    while (tribus_ring_position(in) < last)
        CHECK(read_one(w, in, held));
    for (uint64_t i = 0; i < last; i++)
        CHECK(w->s->seen[i] == 1);
    CHECK(w->s->seen[last] == 0);
    CHECK(tribus_region_free_slots(owned) == SLOTS);
    CHECK(tribus_load_rlx(&w->s->repeated) <= tribus_load_rlx(&w->s->redelivered));
    printf("%llu messages, %llu marked redelivered, %llu of those seen twice, longest wait "
           "%.1f ms of 20\n",
           (unsigned long long)last,
           (unsigned long long)tribus_load_rlx(&w->s->redelivered),
           (unsigned long long)tribus_load_rlx(&w->s->repeated),
           (double)tribus_load_rlx(&w->s->longest_wait_ns) / 1e6);
    tribus_ring_close(in);
    tribus_ring_close(out);
    tribus_region_close(held);
    tribus_region_close(owned);
}

int main(void)
{
    const char *wanted = getenv("TRIBUS_KILLS");
    const uint64_t kills = wanted != NULL ? strtoull(wanted, NULL, 10) : 300;
    tribus_region_cfg cfg = {.slot_bytes = SLOT_BYTES, .slots = SLOTS};
    world w = {.ring = two_maps_of(tribus_ring_bytes(CELLS, 64)),
               .region = two_maps_of(tribus_region_bytes(&cfg)),
               .s = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0)};
    tribus_random rnd;
    victim victims[2] = {{.reads = 0}, {.reads = 1}};
    int64_t deadline_ns;

    tribus_random_init(&rnd, check_seed());
    CHECK(w.s != MAP_FAILED);
    CHECK(tribus_ring_create(w.ring.a, w.ring.bytes, CELLS, 64) == TRIBUS_OK);
    CHECK(tribus_region_create(w.region.a, w.region.bytes, &cfg, 1) == TRIBUS_OK);
    for (int i = 0; i < 2; i++)
        start(&w, &victims[i], &rnd);
    deadline_ns = tribus_deadline_ns(60000000000);
    for (uint64_t killed = 0; killed < kills;) {
        CHECK(tribus_deadline_left_ns(deadline_ns) > 0);
        if (tribus_load_acq(&w.s->written) > MESSAGES - 100000u)
            break;
        for (int i = 0; i < 2; i++)
            if (is_dead(&w, &victims[i])) {
                killed++;
                deadline_ns = tribus_deadline_ns(60000000000);
                start(&w, &victims[i], &rnd);
            }
        (void)sched_yield();
    }
    for (int i = 0; i < 2; i++) {
        (void)kill(victims[i].pid, SIGKILL);
        CHECK(waitpid(victims[i].pid, NULL, 0) == victims[i].pid);
    }
    finish(&w);
    return 0;
}
