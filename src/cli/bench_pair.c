/* bench_pair.c -- see bench_pair.h. */
#include "cli/bench_pair.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/os.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLES_MAX  400000u
#define FLOOR_ROUNDS 30000u
#define REPEATS      4
#define FLOOR_MOVED  1.2
#define ROUNDS       5 /* of each row of a group, in turn; at most */
#define GROUP_MAX    8
#define SIDES_MAX    16
#define MESSAGE_MAX  256

typedef struct line {
    _Alignas(128) _Atomic(uint64_t) sequence;
    uint64_t payload[7];
} line;

/* What the processes of one run share, in front of what the benchmark asked for. */
typedef struct control {
    _Atomic(uint32_t) arrived;
    _Atomic(uint32_t) failed;
    _Atomic(uint32_t) laid_out;
    char reason[MESSAGE_MAX];
    _Alignas(128) _Atomic(uint32_t) stop;
    line lines[2];
    tribus_bench_stats stats, floor_before, floor_after;
    uint64_t measured;
} control;

#define CONTROL_BYTES ((sizeof(control) + 4095u) / 4096u * 4096u)

static control *running; /* this process's; set in the parent before the fork */
static size_t running_bytes;
static bool realtime; /* these two are set before the first run */
static uint32_t group_rounds = ROUNDS;

bool tribus_bench_pair_fail(const char *fmt, ...)
{
    va_list args;

    if (running != NULL && tribus_swap_ar(&running->failed, 1u) == 0) {
        va_start(args, fmt);
        (void)vsnprintf(running->reason, sizeof(running->reason), fmt, args);
        va_end(args);
    }
    return false;
}

void tribus_bench_pair_fill(void *mem, size_t bytes, uint64_t i)
{
    uint64_t *word = mem;

    for (size_t k = 0; k < bytes / 8; k++)
        word[k] = i + k;
}

bool tribus_bench_pair_check(const void *mem, size_t bytes, uint64_t i)
{
    const uint64_t *word = mem;
    const uint64_t n = bytes / 8;
    uint64_t sum = 0;

    for (size_t k = 0; k < n; k++)
        sum += word[k];
    return sum == n * i + n * (n - 1) / 2;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

void tribus_bench_pair_stats(double *ns, size_t count, tribus_bench_stats *out)
{
    double sum = 0.0;

    for (size_t i = 0; i < count; i++)
        sum += ns[i];
    qsort(ns, count, sizeof(*ns), compare);
    out->p50_ns = ns[count / 2];
    out->p99_ns = ns[count * 99 / 100];
    out->p999_ns = ns[(size_t)((double)count * 0.999)];
    out->rate_per_s = sum > 0.0 ? (double)count * 1e9 / sum : 0.0;
}

/* ---- the floor ---- */

static bool wait_for(line *l, uint64_t i)
{
    uint64_t polls = 0;

    while (tribus_load_acq(&l->sequence) != i)
        if ((++polls & 0xffffu) == 0 && tribus_load_rlx(&running->failed) != 0)
            return false; /* a hint is enough: it only ends the run */
    return true;
}

void tribus_bench_pair_floor(int side, void *mem, uint64_t rounds, tribus_bench_stats *out)
{
    line *l = mem;
    const uint64_t base = tribus_load_acq(&l[1].sequence);
    double *ns = side == 0 ? malloc(rounds * sizeof(*ns)) : NULL;
    uint64_t sum = 0;

    if (side == 0 && ns == NULL) {
        (void)tribus_bench_pair_fail("no memory for %llu samples",
                                     (unsigned long long)rounds);
        return;
    }
    for (uint64_t i = base + 1; i <= base + rounds; i++) {
        const uint64_t t0 = tribus_clock_ticks();

        if (side == 1 && !wait_for(&l[0], i))
            return;
        for (uint64_t k = 0; side == 1 && k < 7; k++)
            sum += l[0].payload[k];
        for (uint64_t k = 0; k < 7; k++)
            l[side].payload[k] = i + k;
        tribus_store_rel(&l[side].sequence, i);
        if (side == 1)
            continue;
        if (!wait_for(&l[1], i))
            break;
        for (uint64_t k = 0; k < 7; k++)
            sum += l[1].payload[k];
        ns[i - base - 1] = tribus_clock_ns(tribus_clock_ticks() - t0) / 2.0;
    }
    if (sum == 1)
        (void)tribus_bench_pair_fail("the floor lost its bytes");
    if (side == 0)
        tribus_bench_pair_stats(ns, rounds, out);
    free(ns);
}

void *tribus_bench_pair_line(void)
{
    return running->lines;
}

bool tribus_bench_pair_ended(void)
{
    /* hints: they only end the run */
    return tribus_load_rlx(&running->stop) != 0 || tribus_load_rlx(&running->failed) != 0;
}

void tribus_bench_pair_end(void)
{
    tribus_store_rel(&running->stop, 1u);
}

/* ---- processes ---- */

bool tribus_bench_pair_set_rounds(int64_t wanted)
{
    if (wanted < 1 || wanted > ROUNDS)
        return tribus_bench_pair_fail("--rounds: 1 to %d", ROUNDS);
    group_rounds = (uint32_t)wanted;
    return true;
}

uint32_t tribus_bench_pair_rounds(void)
{
    return group_rounds;
}

void tribus_bench_pair_realtime(void)
{
    realtime = true;
}

static void arrive(int sides)
{
    (void)tribus_add_ar(&running->arrived, 1u);
    while (tribus_load_acq(&running->arrived) < (uint32_t)sides) {
        if (tribus_load_acq(&running->failed) != 0)
            return;
        (void)sched_yield(); /* two sides may share a core */
    }
}

static void child(tribus_bench_fn fn, int side, int sides, void *shared, void *context)
{
    tribus_os_die_with_parent(SIGKILL);
    (void)setpriority(PRIO_PROCESS, 0, -20); /* a benchmark should not be preempted */
    if (realtime) {
        const struct sched_param first = {.sched_priority = 1};

        if (sched_setscheduler(0, SCHED_FIFO, &first) != 0) {
            (void)tribus_bench_pair_fail("--realtime: not allowed, run as root");
            _exit(1);
        }
    }
    if (tribus_os_pin(side % tribus_os_core_count()) != TRIBUS_OK) {
        (void)tribus_bench_pair_fail("%s", tribus_error_text());
        _exit(1);
    }
    arrive(sides);
    _exit(fn(side, shared, context) ? 0 : 1);
}

static bool wait_for_children(pid_t *pids, int sides, double limit_seconds)
{
    const int64_t deadline_ns = tribus_now_ns() + (int64_t)(limit_seconds * 1e9);
    int left = sides;
    bool ok = true;

    while (left > 0) {
        for (int i = 0; i < sides; i++) {
            int status = 0;

            if (pids[i] <= 0 || waitpid(pids[i], &status, WNOHANG) != pids[i])
                continue;
            pids[i] = 0;
            left--;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                ok = tribus_bench_pair_fail("a process ended with status %#x", status);
        }
        if (left > 0 && tribus_now_ns() > deadline_ns)
            ok = tribus_bench_pair_fail("no end after %.0f s", limit_seconds);
        if (!ok)
            for (int i = 0; i < sides; i++)
                if (pids[i] > 0)
                    (void)kill(pids[i], SIGKILL);
        if (left > 0)
            (void)usleep(1000);
    }
    return ok;
}

bool tribus_bench_pair_fork(tribus_bench_fn fn, int sides, size_t bytes, void **shared,
                            void *context, double limit_seconds)
{
    unsigned char *mem = mmap(NULL, CONTROL_BYTES + bytes, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    pid_t pids[SIDES_MAX] = {0};
    bool ok;

    if (mem == MAP_FAILED) {
        fprintf(stderr, "tribus bench: no %zu MiB of shared memory\n", bytes >> 20);
        return false;
    }
    tribus_clock_calibrate(); /* once, before the fork */
    running = (control *)(void *)mem;
    running_bytes = CONTROL_BYTES + bytes;
    *shared = mem + CONTROL_BYTES;
    for (int i = 0; i < sides && i < SIDES_MAX; i++) {
        (void)fflush(stdout);
        pids[i] = fork();
        if (pids[i] == 0)
            child(fn, i, sides, *shared, context);
        if (pids[i] < 0)
            (void)tribus_bench_pair_fail("cannot fork");
    }
    ok = wait_for_children(pids, sides, limit_seconds);
    if (!ok)
        fprintf(stderr, "tribus bench: %s\n", running->reason);
    return ok;
}

void tribus_bench_pair_drop(void)
{
    if (running != NULL)
        (void)munmap(running, running_bytes);
    running = NULL;
}

/* ---- ping-pong ---- */

static const void *receive(const tribus_bench_ops *ops, tribus_bench_end *e)
{
    uint64_t polls = 0;

    for (;;) {
        const void *mem = ops->receive(e);

        if (mem != NULL)
            return mem;
        if ((++polls & 0xffffu) == 0 && tribus_load_rlx(&running->failed) != 0)
            return NULL; /* a hint is enough: it only ends the run */
    }
}

static size_t payload_bytes(const tribus_bench_row *row)
{
    /* 64 bytes are one cache line, the ring's sequence word included, on every path. */
    return row->size_bytes == 64 ? 56 : row->size_bytes;
}

/* One message there and one back. */
static bool round_trip(const tribus_bench_row *row, tribus_bench_end *e, uint64_t i)
{
    const tribus_bench_ops *ops = row->ops;
    const size_t bytes = payload_bytes(row);
    void *out;
    const void *in;

    if (ops->ask != NULL && row->touched)
        return ops->ask(e, i);
    out = ops->loan(e);
    if (out == NULL)
        return tribus_bench_pair_fail("%s: no room for message %llu", ops->path,
                                      (unsigned long long)i);
    if (row->touched)
        tribus_bench_pair_fill(out, bytes, i);
    if (!ops->send(e, out))
        return false;
    in = receive(ops, e);
    if (in == NULL)
        return false;
    if (row->touched && !tribus_bench_pair_check(in, bytes, 3 * i))
        return tribus_bench_pair_fail("%s: answer %llu arrived with wrong bytes", ops->path,
                                      (unsigned long long)i);
    return ops->release(e, in);
}

static bool answer_all(const tribus_bench_row *row, tribus_bench_end *e)
{
    const tribus_bench_ops *ops = row->ops;
    const size_t bytes = payload_bytes(row);

    if (ops->answer != NULL && row->touched) {
        for (uint64_t i = 0; ops->answer(e, i); i++)
            ;
        return tribus_load_acq(&running->failed) == 0;
    }
    for (uint64_t i = 0;; i++) {
        const void *in = receive(ops, e);
        void *out;

        if (in == NULL)
            return false;
        if (tribus_load_acq(&running->stop) != 0)
            return ops->release(e, in);
        if (row->touched && !tribus_bench_pair_check(in, bytes, i))
            return tribus_bench_pair_fail("%s: message %llu arrived with wrong bytes",
                                          ops->path, (unsigned long long)i);
        if (!ops->release(e, in))
            return false;
        out = ops->loan(e);
        if (out == NULL)
            return tribus_bench_pair_fail("%s: no room for answer %llu", ops->path,
                                          (unsigned long long)i);
        if (row->touched)
            tribus_bench_pair_fill(out, bytes, 3 * i);
        if (!ops->send(e, out))
            return false;
    }
}

static bool ask_all(const tribus_bench_row *row, tribus_bench_end *e)
{
    const uint64_t most = row->samples != 0 ? row->samples : SAMPLES_MAX;
    double *ns = malloc(most * sizeof(*ns));
    uint64_t i = 0, n = 0;
    int64_t until;
    void *last;

    if (ns == NULL)
        return tribus_bench_pair_fail("no memory for %llu samples",
                                      (unsigned long long)most);
    memset(ns, 0, most * sizeof(*ns)); /* touched now, not while measuring */
    until = tribus_now_ns() + (int64_t)(row->seconds * 0.1 * 1e9);
    do
        if (!round_trip(row, e, i++))
            return false;
    while (i < 20 || (i < most / 10 && tribus_now_ns() < until));
    until = tribus_now_ns() + (int64_t)(row->seconds * 1e9);
    while (n < most && (n < 100 || (n & 15u) != 0 || tribus_now_ns() < until)) {
        const uint64_t t0 = tribus_clock_ticks();

        if (!round_trip(row, e, i++))
            return false;
        ns[n++] = tribus_clock_ns(tribus_clock_ticks() - t0) / 2.0;
    }
    tribus_store_rel(&running->stop, 1u);
    last = row->ops->loan(e);
    if (last == NULL || !row->ops->send(e, last))
        return tribus_bench_pair_fail("%s: cannot end", row->ops->path);
    (void)usleep(1000); /* a transport's own threads may need this core to send it */
    tribus_bench_pair_stats(ns, n, &running->stats);
    running->measured = n;
    free(ns);
    return true;
}

/* The pages are there; map them into this process before anything is measured. */
static void touch_pages(const unsigned char *mem, const tribus_bench_row *row)
{
    const size_t bytes =
        row->ops->shared_bytes != NULL ? row->ops->shared_bytes(row->size_bytes) : 0;
    unsigned sum = 0;

    for (size_t i = 0; i < bytes; i += 4096)
        sum += mem[i];
    if (sum == UINT32_MAX)
        (void)tribus_bench_pair_fail("pages cannot sum to that");
}

static bool one_side(int side, void *shared, void *context)
{
    const tribus_bench_row *row = context;
    tribus_bench_end e = {.side = side,
                          .size_bytes = row->size_bytes,
                          .shared = shared,
                          .config = row->config};
    bool ok = true;

    if (row->ops == NULL) {
        tribus_bench_pair_floor(side, running->lines, FLOOR_ROUNDS, &running->floor_before);
        tribus_bench_pair_floor(side, running->lines, SAMPLES_MAX, &running->stats);
        tribus_bench_pair_floor(side, running->lines, FLOOR_ROUNDS, &running->floor_after);
        running->measured = SAMPLES_MAX;
        return true;
    }
    touch_pages(shared, row);
    if (!row->ops->start(&e))
        return false;
    tribus_bench_pair_floor(side, running->lines, FLOOR_ROUNDS, &running->floor_before);
    ok = side == 0 ? ask_all(row, &e) : answer_all(row, &e);
    tribus_bench_pair_floor(side, running->lines, FLOOR_ROUNDS, &running->floor_after);
    if (row->ops->stop != NULL)
        row->ops->stop(&e);
    return ok;
}

/* Side 0 lays the shared memory out, then both go. */
static bool setup_then_side(int side, void *shared, void *context)
{
    const tribus_bench_row *row = context;
    const tribus_bench_ops *ops = row->ops;

    if (ops != NULL && ops->setup != NULL && side == 0) {
        if (!ops->setup(shared, row->size_bytes))
            return false;
        tribus_store_rel(&running->laid_out, 1u);
    }
    while (ops != NULL && ops->setup != NULL && tribus_load_acq(&running->laid_out) == 0)
        if (tribus_load_acq(&running->failed) != 0)
            return false;
    return one_side(side, shared, context);
}

bool tribus_bench_pair_run(tribus_bench_row *row)
{
    const tribus_bench_ops *ops = row->ops;
    const size_t bytes = ops != NULL && ops->shared_bytes != NULL
                             ? ops->shared_bytes(row->size_bytes)
                             : 4096;

    for (int i = 0; i < REPEATS; i++) {
        void *shared;
        const tribus_bench_stats *before, *after;
        const bool ok = tribus_bench_pair_fork(setup_then_side, 2, bytes, &shared, row,
                                               240.0 + row->seconds);
        double ratio;

        if (!ok) {
            tribus_bench_pair_drop();
            return false;
        }
        before = &running->floor_before;
        after = &running->floor_after;
        row->stats = running->stats;
        row->measured = running->measured;
        row->floor = before->p50_ns < after->p50_ns ? *before : *after;
        ratio = before->p50_ns / after->p50_ns;
        row->floor_moved = ratio > FLOOR_MOVED || ratio < 1.0 / FLOOR_MOVED;
        tribus_bench_pair_drop();
        if (!row->floor_moved)
            break;
    }
    return true;
}

/* ---- printing ---- */

static double middle(const double *values, uint32_t n)
{
    double sorted[ROUNDS];

    memcpy(sorted, values, n * sizeof(*values));
    qsort(sorted, n, sizeof(*sorted), compare);
    return sorted[n / 2];
}

/* Each number of the row becomes the median of that number in its runs. */
static void take_medians(tribus_bench_row *row, const tribus_bench_row *runs, uint32_t n)
{
    double p50[ROUNDS], p99[ROUNDS], p999[ROUNDS], rate[ROUNDS];

    for (uint32_t i = 0; i < n; i++) {
        p50[i] = runs[i].stats.p50_ns;
        p99[i] = runs[i].stats.p99_ns;
        p999[i] = runs[i].stats.p999_ns;
        rate[i] = runs[i].stats.rate_per_s;
    }
    *row = runs[n - 1u];
    row->stats = (tribus_bench_stats){.p50_ns = middle(p50, n),
                                      .p99_ns = middle(p99, n),
                                      .p999_ns = middle(p999, n),
                                      .rate_per_s = middle(rate, n)};
}

bool tribus_bench_pair_group(tribus_bench_row *rows, size_t count)
{
    tribus_bench_row runs[GROUP_MAX][ROUNDS];
    const uint32_t enough = count > 1 ? group_rounds : 1;
    double floor_ns = 0.0;
    uint32_t n = 0;

    if (count > GROUP_MAX)
        return false;
    for (uint32_t tries = 0; n < enough; tries++) {
        double least = 1e18, most = 0.0;

        for (size_t i = 0; i < count; i++) {
            runs[i][n] = rows[i];
            if (!tribus_bench_pair_run(&runs[i][n]))
                return false;
            least = runs[i][n].floor.p50_ns < least ? runs[i][n].floor.p50_ns : least;
            most = runs[i][n].floor.p50_ns > most ? runs[i][n].floor.p50_ns : most;
        }
        if (tries >= 2 * enough) {
            n++; /* it does not come to rest: the floor beside each row says so */
            continue;
        }
        if (most > FLOOR_MOVED * least)
            continue;
        if (n > 0 && (least > FLOOR_MOVED * floor_ns || floor_ns > FLOOR_MOVED * least)) {
            for (size_t i = 0; i < count; i++) /* from the start: of one distance */
                runs[i][0] = runs[i][n];
            n = 0;
        }
        floor_ns = n == 0 ? least : floor_ns;
        n++;
    }
    for (size_t i = 0; i < count; i++)
        take_medians(&rows[i], runs[i], n);
    return true;
}

void tribus_bench_pair_print_head(void)
{
    printf("%-10s %-12s %10s %8s %10s %10s %10s %12s %8s %7s\n", "case", "path", "bytes",
           "touched", "p50 ns", "p99 ns", "p99.9 ns", "per second", "floor ns", "x floor");
}

void tribus_bench_pair_print(const tribus_bench_row *r, bool json)
{
    const char *path = r->path != NULL ? r->path : r->ops != NULL ? r->ops->path : "floor";
    const tribus_bench_stats *s = &r->stats;

    if (!json) {
        printf("%-10s %-12s %10zu %8s %10.1f %10.1f %10.1f %12.0f %8.1f %7.2f  %s%s\n",
               r->kase != NULL ? r->kase : r->bench, path, r->size_bytes,
               r->touched ? "yes" : "no", s->p50_ns, s->p99_ns, s->p999_ns, s->rate_per_s,
               r->floor.p50_ns, r->floor.p50_ns > 0.0 ? s->p50_ns / r->floor.p50_ns : 0.0,
               r->kind != NULL ? r->kind : "", r->floor_moved ? " (floor moved)" : "");
        (void)fflush(stdout);
        return;
    }
    printf("{\"bench\":\"%s\"", r->bench);
    if (r->kase != NULL)
        printf(",\"case\":\"%s\"", r->kase);
    printf(",\"path\":\"%s\",\"size_bytes\":%zu,\"touched\":%s,\"p50_ns\":%.1f,"
           "\"p99_ns\":%.1f,\"p999_ns\":%.1f,\"rate_per_s\":%.0f,\"floor_p50_ns\":%.1f,"
           "\"floor_p999_ns\":%.1f,\"floor_moved\":%s,\"samples\":%llu",
           path, r->size_bytes, r->touched ? "true" : "false", s->p50_ns, s->p99_ns,
           s->p999_ns, s->rate_per_s, r->floor.p50_ns, r->floor.p999_ns,
           r->floor_moved ? "true" : "false", (unsigned long long)r->measured);
    if (r->kind != NULL)
        printf(",\"kind\":\"%s\"", r->kind);
    printf("}\n");
    (void)fflush(stdout);
}
