/* bench_cuda_mps.c -- hand-overs between the streams of two processes on one card, under
 * NVIDIA's MPS, whose daemon is started for that and ended again: without it the two take turns,
 * milliseconds each.
 *
 * Side 0 ends a kernel and advances a timeline on the card; side 1's stream waits for it and
 * starts a kernel. Both stamp with the card's clock, which is one. */
#include "cli/bench_cuda.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK    TRIBUS_BENCH_CUDA_CHUNK
#define CHUNKS   40u
#define WAIT_NS  TRIBUS_BENCH_CUDA_WAIT_NS
#define START_NS INT64_C(10000000000)
#define STAMPS   4096u /* bytes into the card's memory, of each side 1024 apart */

typedef struct page {
    _Alignas(4096) unsigned char gate[TRIBUS_TIMELINE_BYTES]; /* registered by side 0 */
    _Alignas(4096) uint64_t stamps[2][CHUNKS * CHUNK];
    _Atomic(uint64_t) queued[2]; /* chunks whose hand-overs are all queued */
    _Atomic(uint64_t) done[2];
} page;

typedef struct side {
    tribus_cuda_context *c;
    tribus_device_memory card; /* two timelines, then stamps */
    tribus_cuda_timeline t[2], gate;
    page *p;
    int which;
} side;

static tribus_status await(const _Atomic(uint64_t) *word, uint64_t value)
{
    const int64_t until_ns = tribus_now_ns() + START_NS;

    while (tribus_load_acq(word) < value) {
        tribus_relax();
        if (tribus_now_ns() > until_ns)
            return tribus_error_set(TRIBUS_TIMEOUT, "the other process is silent");
    }
    return TRIBUS_OK;
}

static tribus_status side_open(side *s, int socket)
{
    void *data = NULL;
    int fd = -1;
    char byte = 'm';
    size_t got;
    uint32_t fds = 1;
    tribus_status st = tribus_cuda_context_open(0, &s->c);

    if (st == TRIBUS_OK && s->which == 0) {
        st = tribus_cuda_memory_create(s->c, 65536, &fd, &s->card);
        if (st == TRIBUS_OK)
            st = tribus_timeline_create(s->p->gate, TRIBUS_TIMELINE_BYTES, 0);
        if (st == TRIBUS_OK)
            st = tribus_cuda_memory_register(s->c, s->p->gate, 4096, &data);
        if (st == TRIBUS_OK)
            st = tribus_cuda_timeline_of_host(s->p->gate, data, &s->gate);
    } else if (st == TRIBUS_OK) {
        st = tribus_os_receive_wait(socket, &byte, 1, &got, &fd, &fds, START_NS);
        if (st == TRIBUS_OK)
            st = tribus_cuda_memory_open(s->c, fd, 65536, true, &s->card);
    }
    for (int i = 0; st == TRIBUS_OK && i < 2; i++)
        st = tribus_cuda_timeline_of_card(s->c, (unsigned char *)s->card.data + i * 128,
                                          s->which == 0, 0, &s->t[i]);
    if (st == TRIBUS_OK && s->which == 0) /* once the timelines are there */
        st = tribus_os_send(socket, &byte, 1, &fd, 1);
    if (fd >= 0)
        (void)close(fd);
    return st;
}

static uint64_t *stamp_at(const side *s, uint32_t i)
{
    return (uint64_t *)(void *)((unsigned char *)s->card.data + STAMPS +
                                (size_t)s->which * 1024) +
           i;
}

/* Side 0: stamp, advance, wait for the answer. Side 1: wait, stamp, answer. */
static tribus_status hand_over(side *s, int64_t value, uint32_t i)
{
    tribus_cuda_probe_args args = {.bad = stamp_at(s, i)};
    tribus_status st = TRIBUS_OK;

    if (s->which == 1)
        st = tribus_cuda_timeline_wait(&s->c->main, &s->t[0], value, WAIT_NS);
    if (st == TRIBUS_OK)
        st = tribus_bench_cuda_launch(&s->c->main, "tribus_cuda_probe_stamp", 1, 1, &args);
    if (st == TRIBUS_OK)
        st = tribus_cuda_timeline_advance(&s->c->main, &s->t[s->which], value);
    if (st == TRIBUS_OK && s->which == 0)
        st = tribus_cuda_timeline_wait(&s->c->main, &s->t[1], value, WAIT_NS);
    return st;
}

static tribus_status chunk(side *s, uint32_t k)
{
    const int64_t first = (int64_t)k * CHUNK + 1;
    tribus_status st = TRIBUS_OK;

    if (s->which == 0)
        st = tribus_cuda_timeline_wait(&s->c->main, &s->gate, (int64_t)k + 1, WAIT_NS);
    for (uint32_t i = 0; st == TRIBUS_OK && i < CHUNK; i++)
        st = hand_over(s, first + i, i);
    tribus_store_rel(&s->p->queued[s->which], (uint64_t)k + 1);
    if (st == TRIBUS_OK)
        st = await(&s->p->queued[1 - s->which], (uint64_t)k + 1);
    if (st == TRIBUS_OK && s->which == 0)
        st = tribus_timeline_advance((tribus_timeline_shm *)(void *)s->p->gate,
                                     (int64_t)k + 1);
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&s->c->main, WAIT_NS);
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            s->c,
            s->c->cu->memcpy_dtoh_async(&s->p->stamps[s->which][k * CHUNK],
                                        (tribus_cu_ptr)(uintptr_t)stamp_at(s, 0),
                                        CHUNK * sizeof(uint64_t), s->c->main.stream),
            "copy stamps");
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&s->c->main, WAIT_NS);
    tribus_store_rel(&s->p->done[s->which], (uint64_t)k + 1);
    return st == TRIBUS_OK ? await(&s->p->done[1 - s->which], (uint64_t)k + 1) : st;
}

static bool side_main(int which, void *shared, void *context)
{
    side s = {.p = shared, .which = which};
    tribus_status st = side_open(&s, ((const int *)context)[which]);

    for (uint32_t k = 0; st == TRIBUS_OK && k < CHUNKS; k++)
        st = chunk(&s, k);
    if (st != TRIBUS_OK)
        return tribus_bench_pair_fail("%s: %s", tribus_status_name(st),
                                      tribus_error_text());
    tribus_cuda_context_close(s.c);
    return true;
}

/* ---- the daemon ---- */

static void nap(void)
{
    const struct timespec t = {.tv_nsec = 10000000};

    (void)nanosleep(&t, NULL);
}

/* Returns its process, 0 with the reason said. */
static pid_t daemon_start(const char *folder)
{
    const int64_t until_ns = tribus_now_ns() + START_NS;
    char control[128];
    pid_t pid;

    (void)snprintf(control, sizeof(control), "%s/control", folder);
    (void)setenv("CUDA_MPS_PIPE_DIRECTORY", folder, 1);
    (void)setenv("CUDA_MPS_LOG_DIRECTORY", folder, 1);
    pid = fork();
    if (pid == 0) {
        const int null = open("/dev/null", O_RDWR);

        tribus_os_die_with_parent(SIGTERM);
        (void)dup2(null, 0);
        (void)dup2(null, 1);
        (void)execlp("nvidia-cuda-mps-control", "nvidia-cuda-mps-control", "-f",
                     (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && tribus_now_ns() < until_ns) {
        struct stat s;

        if (stat(control, &s) == 0)
            return pid;
        if (waitpid(pid, NULL, WNOHANG) == pid)
            break;
        nap();
    }
    fprintf(stderr,
            "tribus bench cuda: nvidia-cuda-mps-control does not start; it comes with "
            "NVIDIA's driver\n");
    return 0;
}

static void daemon_stop(pid_t pid)
{
    const int64_t until_ns = tribus_now_ns() + START_NS;
    FILE *f = popen("nvidia-cuda-mps-control >/dev/null 2>&1", "w");

    if (f != NULL) {
        (void)fputs("quit\n", f);
        (void)pclose(f);
    }
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        if (tribus_now_ns() > until_ns) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            return;
        }
        nap();
    }
}

tribus_status tribus_bench_cuda_mps(tribus_bench_cuda *b)
{
    char folder[] = "/tmp/tribus-mps-XXXXXX", command[64];
    int sockets[2];
    void *shared = NULL;
    const page *p;
    pid_t pid;
    bool good;

    if (mkdtemp(folder) == NULL ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "a folder and sockets for two processes");
    pid = daemon_start(folder);
    if (pid == 0)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "no MPS");
    good = tribus_bench_pair_fork(side_main, 2, sizeof(page), &shared, sockets, 60.0);
    p = shared;
    for (uint32_t i = 0; good && i < CHUNKS * CHUNK; i++)
        b->ns[i] = (double)(int64_t)(p->stamps[1][i] - p->stamps[0][i]);
    if (good)
        tribus_bench_cuda_goal(
            b, "kernel end to kernel start, two processes, MPS",
            tribus_bench_cuda_report(b, "two-hosts", "MPS", 0, 0.0, CHUNKS * CHUNK) / 1e3,
            "us", TRIBUS_BENCH_CUDA_AT_MOST, 6.0);
    tribus_bench_pair_drop();
    daemon_stop(pid);
    (void)close(sockets[0]);
    (void)close(sockets[1]);
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (system(command) != 0)
        fprintf(stderr, "tribus bench cuda: %s stays\n", folder);
    return good ? TRIBUS_OK : tribus_error_set(TRIBUS_SYSTEM, "two processes under MPS");
}
