#include "check.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/os.h"
#include "base/random.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers reserve terabytes of address space, which an address-space limit forbids.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHADOW_MEMORY 1
#else
#define SHADOW_MEMORY 0
#endif

static void error_text_reads_from_outer_to_inner_context(void)
{
    errno = ENOENT;
    CHECK(tribus_error_set(TRIBUS_SYSTEM, "map %s", "/x") == TRIBUS_SYSTEM);
    tribus_error_add("open region %d", 7);
    CHECK_TEXT(tribus_error_text(), "open region 7: map /x: No such file or directory");
    CHECK(tribus_error_errno() == ENOENT);
    tribus_error_clear();
    CHECK_TEXT(tribus_error_text(), "");
}

static void error_text_longer_than_its_buffer_is_cut_not_overrun(void)
{
    char big[3000];

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    (void)tribus_error_set(TRIBUS_SYSTEM, "%s", big);
    tribus_error_add("%s", big);
    CHECK(strlen(tribus_error_text()) == 1023);
}

static void *other_thread(void *unused)
{
    (void)unused;
    CHECK_TEXT(tribus_error_text(), "");
    (void)tribus_error_set(TRIBUS_BAD_ARG, "theirs");
    return NULL;
}

static void error_text_belongs_to_its_thread(void)
{
    pthread_t t;

    (void)tribus_error_set(TRIBUS_BAD_ARG, "mine");
    CHECK(pthread_create(&t, NULL, other_thread, NULL) == 0);
    CHECK(pthread_join(t, NULL) == 0);
    CHECK_TEXT(tribus_error_text(), "mine");
}

static void status_names_are_the_constants(void)
{
    CHECK_TEXT(tribus_status_name(TRIBUS_PEER_LOST), "TRIBUS_PEER_LOST");
    CHECK_TEXT(tribus_status_name((tribus_status)-999), "TRIBUS_?");
}

static void deadline_saturates_and_negative_means_none(void)
{
    CHECK(tribus_deadline_ns(-1) == INT64_MAX);
    CHECK(tribus_deadline_ns(INT64_MAX) == INT64_MAX);
    CHECK(tribus_deadline_left_ns(INT64_MAX) == INT64_MAX);
    CHECK(tribus_deadline_left_ns(tribus_now_ns() - 1) == 0);
    CHECK(tribus_deadline_left_ns(tribus_deadline_ns(1000000000)) > 0);
}

static void ticks_advance_at_the_measured_rate(void)
{
    uint64_t t0;
    int64_t n0, span;
    double ns;

    tribus_clock_calibrate(); /* or its 20 ms would fall into the span */
    t0 = tribus_clock_ticks();
    n0 = tribus_now_ns();

    while (tribus_now_ns() - n0 < 20000000)
        tribus_relax();
    ns = tribus_clock_ns(tribus_clock_ticks() - t0);
    span = tribus_now_ns() - n0;
    CHECK(ns > 0.5 * (double)span && ns < 2.0 * (double)span);
}

static void memory_file_is_mapped_twice_and_cannot_shrink(void)
{
    int fd;
    void *a, *b, *c;

    CHECK(tribus_os_memory_create("test", 8192, NULL, &fd) == TRIBUS_OK);
    CHECK(tribus_os_map(fd, 8192, true, true, &a) == TRIBUS_OK);
    CHECK(tribus_os_map(fd, 8192, false, false, &b) == TRIBUS_OK);
    CHECK(a != b);
    memcpy(a, "hello", 6);
    CHECK_TEXT(b, "hello");
    CHECK(ftruncate(fd, 4096) != 0);
    CHECK(tribus_os_map(fd, 8193, false, false, &c) == TRIBUS_CORRUPT);
    tribus_os_unmap(a, 8192);
    tribus_os_unmap(b, 8192);
    (void)close(fd);
}

static void memory_beyond_the_limit_is_refused_with_the_limits_name(void)
{
    const pid_t pid = fork();
    int status;

    CHECK(pid >= 0);
    if (pid == 0) {
        const struct rlimit limit = {.rlim_cur = 1u << 30, .rlim_max = 1u << 30};
        int fd;

        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
        CHECK(tribus_os_memory_create("big", (size_t)2 << 30, NULL, &fd) ==
              TRIBUS_NO_MEMORY);
        CHECK(strstr(tribus_error_text(), "ulimit -v") != NULL);
        CHECK(strstr(tribus_error_text(), "memory for big: 2048 MiB needed") != NULL);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void descriptors_travel_and_surplus_ones_are_closed(void)
{
    int pair[2], fd, fds[2];
    char text[8];
    size_t got;
    uint32_t n = 1;

    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    CHECK(tribus_os_memory_create("sent", 4096, NULL, &fd) == TRIBUS_OK);
    fds[0] = fds[1] = fd;
    CHECK(tribus_os_send(pair[0], "hi", 3, fds, 1) == TRIBUS_OK);
    CHECK(tribus_os_receive_wait(pair[1], text, sizeof(text), &got, fds, &n, 1000000000) ==
          TRIBUS_OK);
    CHECK(got == 3 && n == 1 && fds[0] != fd);
    (void)close(fds[0]);
    fds[0] = fds[1] = fd;
    CHECK(tribus_os_send(pair[0], "hi", 3, fds, 2) == TRIBUS_OK);
    n = 1;
    CHECK(tribus_os_receive_wait(pair[1], text, sizeof(text), &got, fds, &n, 1000000000) ==
          TRIBUS_BAD_DATA);
    CHECK(n == 0);
    CHECK(tribus_os_receive_wait(pair[1], text, sizeof(text), &got, fds, &n, 0) ==
          TRIBUS_TIMEOUT);
    (void)close(pair[0]);
    CHECK(tribus_os_receive_wait(pair[1], text, sizeof(text), &got, fds, &n, 1000000000) ==
          TRIBUS_PEER_LOST);
    (void)close(pair[1]);
    (void)close(fd);
}

static void futex_wait_any_returns_when_a_word_differs_or_time_is_up(void)
{
    _Atomic(uint32_t) a = 1, b = 2;
    _Atomic(uint32_t) *words[2] = {&a, &b};
    const uint32_t same[2] = {1, 2}, differs[2] = {1, 3};

    CHECK(tribus_os_futex_wait_any(words, differs, 2, 1000000000) == TRIBUS_OK);
    CHECK(tribus_os_futex_wait_any(words, same, 2, 1000000) == TRIBUS_TIMEOUT);
    CHECK(tribus_os_futex_wait_any(words, same, 1, 1000000) == TRIBUS_TIMEOUT);
    CHECK(tribus_os_futex_wait_any(words, same, 0, 0) == TRIBUS_BAD_ARG);
}

typedef struct marked {
    _Atomic(uint32_t) *word;
    tribus_os_mark mark;
} marked;

static void *set_and_end(void *context)
{
    marked *m = context;

    tribus_os_mark_set(&m->mark, m->word);
    return NULL;
}

static void word_says_that_its_thread_ended_however_it_ended(void)
{
    _Atomic(uint32_t) *word =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    marked m = {.word = word};
    uint32_t mine;
    pthread_t thread;
    pid_t pid;

    CHECK(word != MAP_FAILED);
    tribus_os_mark_set(&m.mark, word);
    mine = tribus_load_rlx(word);
    CHECK(mine == 0 || mine == (uint32_t)getpid());
    tribus_os_mark_clear(&m.mark);
    CHECK(tribus_load_rlx(word) == TRIBUS_OS_ENDED);
    if (mine == 0)
        return; /* this kernel does not tell */
    CHECK(pthread_create(&thread, NULL, set_and_end, &m) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK((tribus_load_rlx(word) & TRIBUS_OS_ENDED) != 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        tribus_os_mark_set(&m.mark, word);
        if (tribus_load_rlx(word) != (uint32_t)getpid())
            _exit(1);
        (void)raise(SIGKILL);
    }
    CHECK(waitpid(pid, NULL, 0) == pid);
    CHECK(munmap(word, 4096) == 0);
}

static void start_time_tells_processes_apart(void)
{
    CHECK(tribus_os_start_time(getpid()) != 0);
    CHECK(tribus_os_start_time(getpid()) == tribus_os_start_time(getpid()));
    CHECK(tribus_os_start_time(-5) == 0);
}

static void random_stream_is_the_published_one(void)
{
    /* xoshiro256** from state 1,2,3,4: the first outputs of the authors' reference code. */
    tribus_random r = {.s = {1, 2, 3, 4}};
    static const uint64_t want[] = {11520u, 0u, 1509978240u, 1215971899390074240u};

    for (int i = 0; i < 4; i++)
        CHECK(tribus_random_u64(&r) == want[i]);
    tribus_random_init(&r, 7);
    for (int i = 0; i < 1000; i++) {
        CHECK(tribus_random_below(&r, 10) < 10);
        CHECK(tribus_random_unit(&r) < 1.0);
    }
}

static void count_line(void *context, tribus_log_level level, const char *text)
{
    CHECK(level == TRIBUS_LOG_WARN);
    CHECK_TEXT(text, "n is 5");
    (*(int *)context)++;
}

static void log_reaches_the_hook_from_its_least_level_up(void)
{
    int lines = 0;

    tribus_log(TRIBUS_LOG_ERROR, "nobody listens");
    tribus_log_set(count_line, &lines, TRIBUS_LOG_WARN);
    tribus_log(TRIBUS_LOG_INFO, "below");
    tribus_log(TRIBUS_LOG_WARN, "n is %d", 5);
    tribus_log_set(NULL, NULL, TRIBUS_LOG_DEBUG);
    CHECK(lines == 1);
}

static void wall_clock_follows_the_real_one_and_never_runs_far_from_it(void)
{
    const int64_t least_ns = tribus_now_ns() + 30000000;
    const int64_t most_ns = least_ns + 60000000000;
    tribus_wall_clock clock = {0};
    uint64_t by_itself = 0;

    /* A machine that runs us a moment in every millisecond needs longer. */
    while (tribus_now_ns() < least_ns || by_itself == 0) {
        const uint64_t set_at = clock.ticks;
        const int64_t before_ns = tribus_now_wall_ns();
        const int64_t ns = tribus_wall_clock_ns(&clock);
        const int64_t after_ns = tribus_now_wall_ns();

        /* A thousandth of the millisecond that it goes by itself. */
        CHECK(ns >= before_ns - 1000 && ns <= after_ns + 1000);
        by_itself += clock.ticks == set_at;
        CHECK(tribus_now_ns() < most_ns);
    }
    clock.wall_ns += 3600000000000; /* as if the real one had been set back by an hour */
    clock.ticks -= clock.span_ticks;
    CHECK(tribus_wall_clock_ns(&clock) <= tribus_now_wall_ns() + 1000);
}

int main(void)
{
    error_text_reads_from_outer_to_inner_context();
    error_text_longer_than_its_buffer_is_cut_not_overrun();
    tribus_error_clear();
    error_text_belongs_to_its_thread();
    status_names_are_the_constants();
    deadline_saturates_and_negative_means_none();
    ticks_advance_at_the_measured_rate();
    memory_file_is_mapped_twice_and_cannot_shrink();
    if (!SHADOW_MEMORY)
        memory_beyond_the_limit_is_refused_with_the_limits_name();
    descriptors_travel_and_surplus_ones_are_closed();
    futex_wait_any_returns_when_a_word_differs_or_time_is_up();
    word_says_that_its_thread_ended_however_it_ended();
    start_time_tells_processes_apart();
    random_stream_is_the_published_one();
    log_reaches_the_hook_from_its_least_level_up();
    wall_clock_follows_the_real_one_and_never_runs_far_from_it();
    return 0;
}
