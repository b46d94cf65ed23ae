/* kill.h -- processes that die again and again: at a labelled step of the fabric (step.h) or
 * at a random moment, each succeeded by a new one of the same role. For tests with
 * "links: steps". */
#ifndef TRIBUS_TESTS_KILL_H
#define TRIBUS_TESTS_KILL_H

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

#define KILL_VICTIMS_MAX 8
#define KILL_PATIENCE_NS INT64_C(60000000000)

/* What every victim waits for at most. A wait may end later than that on a machine that does
 * not run the process; one that is this much late hangs. */
#define KILL_WAIT_NS INT64_C(20000000)
#define KILL_LATE_NS INT64_C(60000000000)

static const tribus_wait_cfg kill_wait = {.spin_ns = 1, .timeout_ns = KILL_WAIT_NS};

/* Shared with the victims. */
typedef struct kill_board {
    _Atomic(uint64_t) progress[KILL_VICTIMS_MAX]; /* of each role */
    _Atomic(uint64_t) violations;
    _Atomic(uint64_t) waits, longest_wait_ns;
    char text[200];
} kill_board;

typedef struct kill_victim {
    pid_t pid;
    uint64_t steps;    /* it dies of the n-th step; 0: we kill it */
    uint64_t progress; /* when it has come this far */
} kill_victim;

typedef struct kill_plan {
    kill_board *board;
    void (*live)(void *world, uint32_t role); /* never returns */
    void *world;
    uint32_t roles;
    uint64_t most; /* stop when any role has come this far */
} kill_plan;

static uint64_t kill_steps_left; /* 0: never */

void tribus_step(const char *where)
{
    (void)where;
    if (kill_steps_left != 0 && --kill_steps_left == 0)
        (void)kill(getpid(), SIGKILL);
}

static inline void *kill_memory(size_t bytes)
{
    void *mem =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(mem != MAP_FAILED);
    return mem;
}

/* A victim found a promise broken. The first says what. */
static inline void kill_violate(kill_board *b, const char *what, uint64_t number)
{
    if (tribus_add_rlx(&b->violations, 1u) == 0)
        (void)snprintf(b->text, sizeof(b->text), "%s, message %llu: %s", what,
                       (unsigned long long)number, tribus_error_text());
    _exit(1);
}

/* After each wait: how long it took. */
static inline void kill_waited(kill_board *b, int64_t since_ns)
{
    const uint64_t took = (uint64_t)(tribus_now_ns() - since_ns);

    (void)tribus_add_rlx(&b->waits, 1u);
    if (took > tribus_load_rlx(&b->longest_wait_ns))
        tribus_store_rlx(&b->longest_wait_ns, took);
}

static inline void kill_start(const kill_plan *plan, uint32_t role, kill_victim *v,
                              tribus_random *rnd)
{
    v->steps = tribus_random_below(rnd, 3) == 0 ? 0 : 1 + tribus_random_below(rnd, 200);
    v->progress =
        tribus_load_acq(&plan->board->progress[role]) + tribus_random_below(rnd, 100);
    v->pid = fork();
    CHECK(v->pid >= 0);
    if (v->pid == 0) {
        tribus_os_die_with_parent(SIGKILL);
        kill_steps_left = v->steps;
        plan->live(plan->world, role);
        _exit(1);
    }
}

/* Has it died of its step? Or is it time to kill it? */
static inline int kill_is_dead(const kill_plan *plan, uint32_t role, const kill_victim *v)
{
    int status = 0;

    if (v->steps == 0 && tribus_load_acq(&plan->board->progress[role]) >= v->progress) {
        CHECK(kill(v->pid, SIGKILL) == 0);
        CHECK(waitpid(v->pid, &status, 0) == v->pid);
    } else if (waitpid(v->pid, &status, WNOHANG) != v->pid) {
        return 0;
    }
    if (tribus_load_acq(&plan->board->violations) != 0) {
        fprintf(stderr, "%s\n", plan->board->text);
        exit(1);
    }
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 1;
}

static inline int kill_is_over(const kill_plan *plan)
{
    for (uint32_t i = 0; i < plan->roles; i++)
        if (tribus_load_acq(&plan->board->progress[i]) > plan->most)
            return 1;
    return 0;
}

/* Run every role and kill until TRIBUS_KILLS (or `kills`) have died. Afterwards nobody
 * lives. A minute in which nobody dies is a hang. */
static inline void kill_run(const kill_plan *plan, uint64_t kills, tribus_random *rnd)
{
    const char *wanted = getenv("TRIBUS_KILLS");
    kill_victim victims[KILL_VICTIMS_MAX];
    int64_t deadline_ns = tribus_deadline_ns(KILL_PATIENCE_NS);
    uint64_t killed = 0;

    CHECK(plan->roles <= KILL_VICTIMS_MAX);
    if (wanted != NULL)
        kills = strtoull(wanted, NULL, 10);
    for (uint32_t i = 0; i < plan->roles; i++)
        kill_start(plan, i, &victims[i], rnd);
    while (killed < kills && !kill_is_over(plan)) {
        CHECK(tribus_deadline_left_ns(deadline_ns) > 0);
        for (uint32_t i = 0; i < plan->roles; i++)
            if (kill_is_dead(plan, i, &victims[i])) {
                killed++;
                deadline_ns = tribus_deadline_ns(KILL_PATIENCE_NS);
                kill_start(plan, i, &victims[i], rnd);
            }
        (void)sched_yield();
    }
    for (uint32_t i = 0; i < plan->roles; i++) {
        (void)kill(victims[i].pid, SIGKILL);
        CHECK(waitpid(victims[i].pid, NULL, 0) == victims[i].pid);
    }
    printf("%llu killed, %llu waits, the longest %.1f ms of %.0f\n",
           (unsigned long long)killed,
           (unsigned long long)tribus_load_rlx(&plan->board->waits),
           (double)tribus_load_rlx(&plan->board->longest_wait_ns) / 1e6,
           (double)KILL_WAIT_NS / 1e6);
    CHECK(tribus_load_rlx(&plan->board->longest_wait_ns) <= KILL_WAIT_NS + KILL_LATE_NS);
}

/* What readers saw: only what was marked may have come twice. */
static inline void kill_report(uint64_t messages, uint64_t redelivered, uint64_t repeated)
{
    CHECK(repeated <= redelivered);
    printf("%llu messages, %llu marked redelivered, %llu of those seen twice\n",
           (unsigned long long)messages, (unsigned long long)redelivered,
           (unsigned long long)repeated);
}

#endif
