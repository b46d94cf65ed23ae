/* os_futex.c -- sleeping on words of shared memory; see os.h.
 *
 * Shared futexes, not FUTEX_PRIVATE: the other side is another process. */
#include "base/atomic.h"
#include "base/error.h"
#include "base/os.h"

#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define WAIT_ANY_MAX 128u

_Static_assert(TRIBUS_OS_ENDED == FUTEX_OWNER_DIED, "the kernel's bit");
_Static_assert(offsetof(tribus_os_mark, next) == sizeof(struct robust_list_head) &&
                   offsetof(tribus_os_mark, word_offset) ==
                       offsetof(struct robust_list_head, futex_offset) &&
                   offsetof(tribus_os_mark, pending) ==
                       offsetof(struct robust_list_head, list_op_pending),
               "the kernel's layout");

static struct timespec span(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

static tribus_status wait_result(long rc)
{
    if (rc >= 0 || errno == EAGAIN || errno == EINTR)
        return TRIBUS_OK;
    if (errno == ETIMEDOUT)
        return TRIBUS_TIMEOUT;
    return tribus_error_set(TRIBUS_SYSTEM, "futex wait");
}

tribus_status tribus_os_futex_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                   int64_t timeout_ns)
{
    const struct timespec t = span(timeout_ns < 0 ? 0 : timeout_ns);

    return wait_result(syscall(SYS_futex, word, FUTEX_WAIT, expected,
                               timeout_ns < 0 ? NULL : &t, NULL, 0));
}

void tribus_os_futex_wake(_Atomic(uint32_t) *word, int count)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

/* For kernels without futex_waitv: look, sleep a little, look again. */
static tribus_status wait_any_in_steps(_Atomic(uint32_t) *const *words,
                                       const uint32_t *expected, uint32_t count,
                                       int64_t timeout_ns)
{
    const int64_t step = timeout_ns >= 0 && timeout_ns < 1000000 ? timeout_ns : 1000000;
    int64_t left = timeout_ns;

    for (;;) {
        struct timespec t;

        for (uint32_t i = 0; i < count; i++)
            if (tribus_load_rlx(words[i]) !=
                expected[i]) /* a hint: the caller looks again */
                return TRIBUS_OK;
        if (timeout_ns >= 0 && left <= 0)
            return TRIBUS_TIMEOUT;
        t = span(step);
        (void)nanosleep(&t, NULL);
        left -= step;
    }
}

tribus_status tribus_os_futex_wait_any(_Atomic(uint32_t) *const *words,
                                       const uint32_t *expected, uint32_t count,
                                       int64_t timeout_ns)
{
    struct futex_waitv v[WAIT_ANY_MAX] = {{0}};
    struct timespec until;
    long rc;

    if (count == 0 || count > WAIT_ANY_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG, "wait for any of %u words: 1..%u allowed",
                                count, WAIT_ANY_MAX);
    if (count == 1)
        return tribus_os_futex_wait(words[0], expected[0], timeout_ns);
    for (uint32_t i = 0; i < count; i++) {
        v[i].uaddr = (uintptr_t)words[i];
        v[i].val = expected[i];
        v[i].flags = FUTEX_32;
    }
    if (timeout_ns >= 0) {
        const int64_t now = tribus_now_ns();

        until = span(timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns);
    }
    rc = syscall(SYS_futex_waitv, v, count, 0, timeout_ns < 0 ? NULL : &until,
                 CLOCK_MONOTONIC);
    if (rc < 0 && errno == ENOSYS)
        return wait_any_in_steps(words, expected, count, timeout_ns);
    return wait_result(rc);
}

void tribus_os_mark_set(tribus_os_mark *mark, _Atomic(uint32_t) *word)
{
    void *now = NULL;
    size_t bytes = 0;

    *mark = (tribus_os_mark){.word = word};
    mark->first = &mark->next;
    mark->next = &mark->first;
    mark->word_offset = (long)((intptr_t)word - (intptr_t)&mark->next);
    tribus_store_rlx(word, 0u); /* a hint for others, as all of this */
    if (syscall(SYS_get_robust_list, 0, &mark->before, &mark->before_bytes) != 0)
        mark->before = NULL;
    else if (syscall(SYS_set_robust_list, mark, sizeof(struct robust_list_head)) == 0 &&
             syscall(SYS_get_robust_list, 0, &now, &bytes) == 0 && now == mark)
        tribus_store_rlx(word, (uint32_t)syscall(SYS_gettid));
}

void tribus_os_mark_clear(tribus_os_mark *mark)
{
    if (mark->before != NULL)
        (void)syscall(SYS_set_robust_list, mark->before, mark->before_bytes);
    tribus_store_rlx(mark->word, TRIBUS_OS_ENDED);
}
