/* bench_wake.c -- see bench_wake.h.
 *
 * Ordering: the words below are read and written between the press of a bell and the wait for
 * it; they are released and acquired all the same, because a waiter may look without a press.
 *   R1 -> A1   ask -> answer      whoever sees a number asked for sees when, and how long to compute
 *   R2 -> A2   answer -> done     whoever sees it answered sees when it was woken
 */
#include "cli/bench_wake.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"
#include "tribus/fabric.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_NS INT64_C(60000000000)
#define SPIN_NS     1 /* sleep at once */

typedef struct shared {
    _Alignas(64) char bells[2][TRIBUS_DOORBELL_BYTES]; /* the other's, ours */
    _Alignas(64) _Atomic(uint64_t) asked;
    _Atomic(int64_t) pressed_ns, busy_ns;
    _Alignas(64) _Atomic(uint64_t) answered;
    _Atomic(int64_t) took_ns;
} shared;

struct tribus_bench_waker {
    shared *mem;
    pid_t pid;
    uint64_t number;
};

static tribus_doorbell_shm *bell(shared *s, int side)
{
    return (tribus_doorbell_shm *)(void *)s->bells[side];
}

static void compute(int64_t ns)
{
    const int64_t until = tribus_now_ns() + ns;

    while (tribus_now_ns() < until)
        tribus_relax();
}

typedef struct wanted {
    const _Atomic(uint64_t) *word;
    uint64_t number;
} wanted;

static int there(void *context)
{
    const wanted *w = context;

    /* A1 pairs with R1 in tribus_bench_wake, A2 pairs with R2 in answer_forever. */
    return tribus_load_acq(w->word) == w->number;
}

static void answer_forever(shared *s)
{
    const tribus_wait_cfg wait = {.spin_ns = SPIN_NS, .timeout_ns = -1};
    tribus_doorbell_shm *mine = bell(s, 0);

    tribus_os_die_with_parent(SIGKILL);
    for (uint64_t number = 1;; number++) {
        wanted w = {&s->asked, number};

        if (tribus_doorbell_wait(&mine, 1, there, &w, &wait) != TRIBUS_OK)
            _exit(1);
        tribus_store_rlx(&s->took_ns, tribus_now_ns() - tribus_load_rlx(&s->pressed_ns));
        compute(tribus_load_rlx(&s->busy_ns));
        tribus_store_rel(&s->answered, number); /* R2 pairs with A2 in there */
        tribus_doorbell_press(bell(s, 1));
    }
}

tribus_bench_waker *tribus_bench_wake_start(void)
{
    tribus_bench_waker *w = calloc(1, sizeof(*w));
    void *mem = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (w == NULL || mem == MAP_FAILED) {
        (void)tribus_error_set(TRIBUS_NO_MEMORY, "measure wake-ups");
        free(w);
        return NULL;
    }
    w->mem = mem;
    tribus_doorbell_create(w->mem->bells[0]);
    tribus_doorbell_create(w->mem->bells[1]);
    w->pid = fork();
    if (w->pid == 0)
        answer_forever(w->mem);
    if (w->pid < 0) {
        (void)tribus_error_set(TRIBUS_SYSTEM, "measure wake-ups: fork");
        tribus_bench_wake_stop(w);
        return NULL;
    }
    return w;
}

void tribus_bench_wake_stop(tribus_bench_waker *w)
{
    if (w == NULL)
        return;
    if (w->pid > 0) {
        (void)kill(w->pid, SIGKILL);
        (void)waitpid(w->pid, NULL, 0);
    }
    (void)munmap(w->mem, sizeof(*w->mem));
    free(w);
}

bool tribus_bench_wake(tribus_bench_waker *w, int64_t busy_ns, int64_t *ns)
{
    const tribus_wait_cfg wait = {.spin_ns = SPIN_NS, .timeout_ns = PATIENCE_NS};
    tribus_doorbell_shm *mine = bell(w->mem, 1);
    wanted answered = {&w->mem->answered, ++w->number};
    tribus_status st;

    compute(busy_ns);
    tribus_store_rlx(&w->mem->busy_ns, busy_ns); /* both shown by R1 */
    tribus_store_rlx(&w->mem->pressed_ns, tribus_now_ns());
    tribus_store_rel(&w->mem->asked, w->number); /* R1 pairs with A1 in there */
    tribus_doorbell_press(bell(w->mem, 0));
    st = tribus_doorbell_wait(&mine, 1, there, &answered, &wait);
    if (st != TRIBUS_OK) {
        (void)tribus_error_set(st, "measure wake-ups: no answer");
        return false;
    }
    *ns = tribus_load_rlx(&w->mem->took_ns);
    return true;
}
