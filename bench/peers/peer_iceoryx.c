/* peer_iceoryx.c -- iceoryx (its C binding, polling) as a path of `tribus bench fabric`. Starts a
 * RouDi of its own. Its segment is sized by the configuration written here: payloads of 64 B,
 * 4 KiB, 256 KiB and 4 MiB. */
#include "peer.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/os.h"

#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char config[] = "[general]\nversion = 1\n"
                             "[[segment]]\n"
                             "[[segment.mempool]]\nsize = 128\ncount = 256\n"
                             "[[segment.mempool]]\nsize = 4608\ncount = 256\n"
                             "[[segment.mempool]]\nsize = 263168\ncount = 32\n"
                             "[[segment.mempool]]\nsize = 4195328\ncount = 16\n";

typedef struct ends {
    iox_pub_storage_t publisher_memory;
    iox_sub_storage_t subscriber_memory;
    iox_pub_t publisher;
    iox_sub_t subscriber;
} ends;

/* A name that no run before had: RouDi takes the subscribers of a run that ended away when it
 * gets to it, and until then each would keep a queue full of our chunks. */
static bool name_of_run(tribus_bench_end *e, char *name, size_t bytes)
{
    _Atomic(uint32_t) *run = e->shared; /* zero at first */

    if (e->side == 0)
        tribus_store_rel(run, (uint32_t)getpid());
    while (tribus_load_acq(run) == 0)
        if (tribus_bench_pair_ended())
            return false;
    (void)snprintf(name, bytes, "bench-%u", tribus_load_acq(run));
    return true;
}

static bool start(tribus_bench_end *e)
{
    static ends s;
    const int64_t until = tribus_now_ns() + 20000000000;
    char name[64], run[32];
    iox_pub_options_t po;
    iox_sub_options_t so;

    if (!name_of_run(e, run, sizeof(run)))
        return false;
    (void)snprintf(name, sizeof(name), "tribus-bench-%d", (int)getpid());
    iox_set_loglevel(Iceoryx_LogLevel_Error);
    iox_runtime_init(name);
    iox_pub_options_init(&po);
    iox_sub_options_init(&so);
    so.queueCapacity = 8;
    s.publisher = iox_pub_init(&s.publisher_memory, "tribus", run,
                               e->side == 0 ? "there" : "back", &po);
    s.subscriber = iox_sub_init(&s.subscriber_memory, "tribus", run,
                                e->side == 0 ? "back" : "there", &so);
    while (!iox_pub_has_subscribers(s.publisher) ||
           iox_sub_get_subscription_state(s.subscriber) != SubscribeState_SUBSCRIBED) {
        if (tribus_now_ns() > until)
            return tribus_bench_pair_fail("iceoryx: the two sides do not find each other");
        (void)usleep(1000);
    }
    e->state = &s;
    return true;
}

static void stop(tribus_bench_end *e)
{
    ends *s = e->state;

    iox_sub_deinit(s->subscriber);
    iox_pub_deinit(s->publisher);
    iox_runtime_shutdown();
}

static void *loan(tribus_bench_end *e)
{
    void *mem = NULL;

    if (iox_pub_loan_aligned_chunk(((ends *)e->state)->publisher, &mem,
                                   (uint32_t)e->size_bytes, 64) != AllocationResult_SUCCESS)
        return NULL;
    return mem;
}

static bool send_it(tribus_bench_end *e, void *mem)
{
    iox_pub_publish_chunk(((ends *)e->state)->publisher, mem);
    return true;
}

static const void *receive(tribus_bench_end *e)
{
    const void *mem;

    if (iox_sub_take_chunk(((ends *)e->state)->subscriber, &mem) !=
        ChunkReceiveResult_SUCCESS)
        return NULL;
    return mem;
}

static bool release(tribus_bench_end *e, const void *mem)
{
    iox_sub_release_chunk(((ends *)e->state)->subscriber, mem);
    return true;
}

static const tribus_bench_ops ops = {
    .path = "iceoryx",
    .start = start,
    .loan = loan,
    .send = send_it,
    .receive = receive,
    .release = release,
    .stop = stop,
};

static pid_t start_roudi(const char *file)
{
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        tribus_os_die_with_parent(SIGTERM);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
        /* It would take an application under SCHED_FIFO for dead, whose thread that says
         * otherwise gets no time. */
        (void)execlp("iox-roudi", "iox-roudi", "-m", "off", "-c", file, (char *)NULL);
        _exit(127);
    }
    return pid;
}

int main(int argc, char **argv)
{
    char file[] = "/tmp/tribus-roudi-XXXXXX";
    const int fd = mkstemp(file);
    pid_t roudi;
    int rc, status = 0;

    if (fd < 0 || write(fd, config, sizeof(config) - 1) != (ssize_t)sizeof(config) - 1) {
        fprintf(stderr, "peer_iceoryx: cannot write %s\n", file);
        return 1;
    }
    (void)close(fd);
    roudi = start_roudi(file);
    (void)usleep(1500000); /* it tells nobody when it is ready; applications wait, too */
    rc = roudi > 0 && waitpid(roudi, &status, WNOHANG) == 0
             ? tribus_peer_main(argc, argv, &ops, "2.0.3")
             : 1;
    if (roudi > 0 && status == 0) {
        (void)kill(roudi, SIGTERM);
        (void)waitpid(roudi, NULL, 0);
    }
    (void)unlink(file);
    return rc;
}
