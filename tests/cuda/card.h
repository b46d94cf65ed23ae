/* card.h -- for the programs of this folder that need a real card: opening it or skipping
 * with the reason, a process of our own, memory that both see, times. */
#ifndef TRIBUS_TESTS_CARD_H
#define TRIBUS_TESTS_CARD_H

#include "base/atomic.h"
#include "base/clock.h"
#include "base/os.h"
#include "check.h"
#include "device/cuda_memory.h"
#include "device/cuda_timeline.h"
#include "device/cuda_timeline_kernels.h"
#include "tribus/agent.h"
#include "tribus/base.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CARD_LONG_NS INT64_C(20000000000)

/* Like CHECK, with the error text of the call. */
#define GOOD(call)                                                                         \
    do {                                                                                   \
        const tribus_status good_ = (call);                                                \
        if (good_ != TRIBUS_OK) {                                                          \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call,              \
                    tribus_status_name(good_), tribus_error_text());                       \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

static inline tribus_cuda_context *card_open(void)
{
    tribus_cuda_context *c = NULL;
    const tribus_status st = tribus_cuda_context_open(0, &c);

    if (st == TRIBUS_UNSUPPORTED)
        SKIP(tribus_error_text());
    GOOD(st);
    return c;
}

/* Is there a card? Asked in a process of its own, since CUDA does not survive a fork. */
static inline void card_or_skip(void)
{
    const pid_t child = fork();
    int status = 0;

    CHECK(child >= 0);
    if (child == 0) {
        tribus_cuda_context_close(card_open());
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        exit(77);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline pid_t card_fork(void)
{
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    CHECK(child >= 0);
    if (child == 0)
        tribus_os_die_with_parent(SIGKILL);
    return child;
}

static inline void card_join(pid_t child)
{
    int status = 0;

    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline void *card_shared(size_t bytes)
{
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    CHECK(mem != MAP_FAILED);
    return mem;
}

/* Free bytes of the card, seen by a process that has nothing else on it. */
static inline size_t card_free_bytes(void)
{
    size_t *out = card_shared(4096), bytes;
    const pid_t child = card_fork();

    if (child == 0) {
        tribus_cuda_context *c = card_open();
        size_t total;

        CHECK(c->cu->mem_get_info(out, &total) == TRIBUS_CU_OK);
        tribus_cuda_context_close(c);
        exit(0);
    }
    card_join(child);
    bytes = *out;
    CHECK(munmap(out, 4096) == 0);
    return bytes;
}

/* Spin until *word >= value; a test that waits longer than 20 s has failed. */
static inline void card_await(_Atomic(int64_t) *word, int64_t value)
{
    const int64_t until_ns = tribus_now_ns() + CARD_LONG_NS;

    while (tribus_load_acq(word) < value) {
        tribus_relax();
        CHECK(tribus_now_ns() < until_ns);
    }
}

static inline int card_compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static inline int64_t card_quantile(int64_t *ns, size_t n, double q)
{
    qsort(ns, n, sizeof(*ns), card_compare);
    return ns[(size_t)(q * (double)(n - 1))];
}

static inline tribus_status card_launch(tribus_cuda_stream *s, const char *name,
                                        uint32_t blocks, uint32_t threads, void *args)
{
    void *params[] = {args};
    tribus_cu_function function;
    tribus_status st = tribus_cuda_context_function(s->context, name, &function);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_launch(s, function, (tribus_cuda_grid){blocks, threads, 0},
                                       params);
    return st;
}

/* An agent in a process of its own, so that it can be killed. */
static inline pid_t card_agent(const char *socket_path)
{
    const tribus_agent_cfg cfg = {.socket_path = socket_path};
    const pid_t pid = card_fork();
    tribus_agent *agent;

    if (pid != 0)
        return pid;
    GOOD(tribus_agent_start(&cfg, &agent));
    for (;;)
        (void)pause();
}

/* Send and get one descriptor. */
static inline void card_send_fd(int socket, int fd)
{
    const char byte = 'd';

    GOOD(tribus_os_send(socket, &byte, 1, &fd, 1));
}

static inline int card_get_fd(int socket)
{
    char byte;
    size_t got;
    int fd = -1;
    uint32_t n = 1;

    GOOD(tribus_os_receive_wait(socket, &byte, 1, &got, &fd, &n, CARD_LONG_NS));
    CHECK(n == 1);
    return fd;
}

#endif
