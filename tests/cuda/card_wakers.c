/* card_wakers.c -- who can wake whom: {stream write, kernel store, CPU store, copy} times
 * {memory of the card, registered host memory} times {same process, another}, for a stream
 * that waits, a kernel that polls and a CPU that spins. Each pair N times; a waiter that is
 * not woken within 2 s fails the test. Prints the median from the waker's call to the answer
 * in host memory, which includes the way of the answer. */
#include "card.h"

#define ROUNDS  100
#define PAIR_NS INT64_C(2000000000)

enum { BY_STREAM, BY_KERNEL, BY_CPU, BY_COPY, WAKERS };
enum { WAIT_STREAM, WAIT_KERNEL, WAIT_CPU, WAITERS };

static const char *const waker_names[] = {"stream write", "kernel store", "CPU store",
                                          "copy"};
static const char *const waiter_names[] = {"stream wait", "polling kernel", "CPU"};

/* Shared by both processes before either knows a card. */
typedef struct page {
    _Alignas(64) _Atomic(int64_t) armed; /* the waiter waits for this value */
    _Alignas(64) _Atomic(int64_t) job;   /* 16 * waiter + 2 * on_card + 1, or -1: end */
    _Alignas(64) _Atomic(int64_t) job_done;
    _Alignas(64) unsigned char answer[TRIBUS_TIMELINE_BYTES];
    _Alignas(64) unsigned char host[TRIBUS_TIMELINE_BYTES];
} page;

typedef struct side {
    tribus_cuda_context *c;
    tribus_cuda_stream stream;
    tribus_cuda_timeline timelines[2]; /* host, card */
    tribus_cuda_timeline answer;
    tribus_device_memory card;
} side;

static page *shared;

static side side_open(int fd, int *made_fd)
{
    side s = {.c = card_open()};
    void *data = NULL;
    unsigned char *base = (unsigned char *)shared;

    GOOD(tribus_cuda_stream_open(s.c, &s.stream));
    GOOD(tribus_cuda_memory_register(s.c, shared, sizeof(page), &data));
    GOOD(tribus_cuda_timeline_of_host(
        shared->answer, (unsigned char *)data + (shared->answer - base), &s.answer));
    GOOD(tribus_cuda_timeline_of_host(
        shared->host, (unsigned char *)data + (shared->host - base), &s.timelines[0]));
    if (fd < 0)
        GOOD(tribus_cuda_memory_create(s.c, 4096, made_fd, &s.card));
    else
        GOOD(tribus_cuda_memory_open(s.c, fd, 4096, true, &s.card));
    GOOD(tribus_cuda_timeline_of_card(s.c, s.card.data, fd < 0, 0, &s.timelines[1]));
    return s;
}

static void side_close(side *s)
{
    tribus_cuda_stream_close(&s->stream);
    tribus_cuda_memory_close(s->c, &s->card);
    tribus_cuda_memory_unregister(s->c, shared);
    tribus_cuda_context_close(s->c);
}

/* Queue one wait and the answer behind it; a CPU waits and answers itself. */
static void arm(side *s, int waiter, bool on_card, int64_t value, bool spin)
{
    const tribus_cuda_timeline *t = &s->timelines[on_card];
    const tribus_wait_cfg cfg = {.spin_ns = -1, .timeout_ns = PAIR_NS};

    if (waiter == WAIT_STREAM)
        GOOD(tribus_cuda_timeline_wait(&s->stream, t, value, PAIR_NS));
    else if (waiter == WAIT_KERNEL)
        GOOD(tribus_cuda_timeline_wait_by_kernel(&s->stream, t, value, PAIR_NS));
    if (waiter != WAIT_CPU)
        GOOD(tribus_cuda_timeline_advance(&s->stream, &s->answer, value));
    tribus_store_rel(&shared->armed, value);
    if (waiter == WAIT_CPU && spin) {
        GOOD(tribus_timeline_wait(t->host, value, &cfg));
        GOOD(tribus_timeline_advance(s->answer.host, value));
    }
}

static void wake(side *s, int waker, bool on_card, int64_t value, int64_t *source)
{
    const tribus_cuda_timeline *t = &s->timelines[on_card];

    switch (waker) {
    case BY_STREAM:
        GOOD(tribus_cuda_timeline_advance(&s->c->main, t, value));
        break;
    case BY_KERNEL:
        GOOD(tribus_cuda_timeline_advance_by_kernel(&s->c->main, t, value));
        break;
    case BY_CPU:
        GOOD(tribus_timeline_advance(t->host, value));
        break;
    default:
        *source = value;
        GOOD(tribus_cuda_context_check(
            s->c,
            s->c->cu->memcpy_htod_async(t->address + TRIBUS_CUDA_TIMELINE_VALUE, source,
                                        sizeof(*source), s->c->main.stream),
            "copy"));
        break;
    }
}

/* The other process: does one job after the other. */
static void waiter_main(int socket)
{
    side s = side_open(card_get_fd(socket), NULL);
    int64_t next = 1;

    tribus_store_rel(&shared->job_done, 0);
    for (int64_t jobs = 1;; jobs++) {
        int64_t job;

        while (tribus_load_acq(&shared->job_done) != jobs - 1)
            tribus_relax();
        while ((job = tribus_load_acq(&shared->job)) / 1000 != jobs && job >= 0)
            tribus_relax();
        if (job < 0)
            break;
        job %= 1000;
        for (int i = 0; i < ROUNDS; i++, next++) {
            arm(&s, (int)(job / 16), (job & 2) != 0, next, true);
            card_await(&shared->armed, next);
            GOOD(
                tribus_timeline_wait(s.answer.host, next, &(tribus_wait_cfg){-1, PAIR_NS}));
        }
        tribus_store_rel(&shared->job_done, jobs);
    }
    side_close(&s);
    exit(0);
}

static int64_t next_value = 1, jobs_given;

static void measure(side *mine, int waker, int waiter, bool on_card, bool other)
{
    static int64_t ns[ROUNDS];
    static int64_t source;

    if (other) {
        jobs_given++;
        tribus_store_rel(&shared->job, jobs_given * 1000 + 16 * waiter + 2 * on_card + 1);
    }
    for (int i = 0; i < ROUNDS; i++, next_value++) {
        int64_t start_ns;

        if (other)
            card_await(&shared->armed, next_value);
        else
            arm(mine, waiter, on_card, next_value, false);
        for (int64_t settle = tribus_now_ns() + 20000; tribus_now_ns() < settle;)
            tribus_relax();
        start_ns = tribus_now_ns();
        wake(mine, waker, on_card, next_value, &source);
        GOOD(tribus_timeline_wait(waiter == WAIT_CPU && !other ? mine->timelines[0].host
                                                               : mine->answer.host,
                                  next_value, &(tribus_wait_cfg){-1, PAIR_NS}));
        ns[i] = tribus_now_ns() - start_ns;
        if (waiter == WAIT_CPU && !other)
            GOOD(tribus_timeline_advance(mine->answer.host, next_value));
    }
    if (other)
        card_await(&shared->job_done, jobs_given);
    CHECK(tribus_timeline_get(mine->answer.host) == next_value - 1);
    printf("%-14s %-16s %-14s %-7s woken %d/%d  p50 %7.2f us  p99 %8.2f us\n",
           waker_names[waker], on_card ? "memory of card" : "registered host",
           waiter_names[waiter], other ? "other" : "same", ROUNDS, ROUNDS,
           (double)card_quantile(ns, ROUNDS, 0.5) * 1e-3,
           (double)card_quantile(ns, ROUNDS, 0.99) * 1e-3);
}

int main(void)
{
    int sockets[2];
    pid_t child;
    side mine;
    int fd = -1;

    card_or_skip();
    shared = card_shared(sizeof(page));
    GOOD(tribus_timeline_create(shared->answer, TRIBUS_TIMELINE_BYTES, 0));
    GOOD(tribus_timeline_create(shared->host, TRIBUS_TIMELINE_BYTES, 0));
    tribus_store_rel(&shared->job_done, -1);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
    child = card_fork();
    if (child == 0)
        waiter_main(sockets[1]);
    mine = side_open(-1, &fd);
    card_send_fd(sockets[0], fd);
    for (int64_t until = tribus_now_ns() + CARD_LONG_NS;
         tribus_load_acq(&shared->job_done) != 0;)
        CHECK(tribus_now_ns() < until);
    for (int other = 1; other >= 0; other--)
        for (int on_card = 0; on_card < 2; on_card++)
            for (int waiter = 0; waiter < WAITERS; waiter++)
                for (int waker = 0; waker < WAKERS; waker++) {
                    if (on_card && (waiter == WAIT_CPU || waker == BY_CPU))
                        continue; /* the CPU cannot address it: it sends a copy */
                    measure(&mine, waker, waiter, on_card != 0, other != 0);
                }
    tribus_store_rel(&shared->job, -1);
    card_join(child);
    side_close(&mine);
    (void)close(fd);
    return 0;
}
