/* host_nursery.h -- compute hosts as processes of their own, under an agent of the test. */
#ifndef TRIBUS_TESTS_HOST_NURSERY_H
#define TRIBUS_TESTS_HOST_NURSERY_H

#include "agent_fixture.h"

#include "base/os.h"
#include "pipeline/pipeline.h"

#define PATIENCE_NS (120 * SECOND_NS)

/* Of the hosts of a nursery, NULL: the CPU; set it before nursery_open(). */
static const char *nursery_device;

/* A host in a process of its own, made before this process has threads. It connects when
 * the agent is there, which it waits for. */
static inline void host_main(const char *name, uint32_t domains)
{
    const tribus_session_cfg session_cfg = {
        .socket_path = fixture_path(), .name = name, .role = "host"};
    const tribus_host_cfg cfg = {.domains = domains, .device = nursery_device};
    const int64_t deadline = tribus_now_ns() + PATIENCE_NS;
    tribus_session *session;
    tribus_status st;

    tribus_os_die_with_parent(SIGKILL);
    do {
        (void)usleep(1000);
        st = tribus_session_open(&session_cfg, &session);
    } while (st != TRIBUS_OK && tribus_now_ns() < deadline);
    if (st == TRIBUS_OK)
        st = tribus_host_run(session, &cfg);
    _exit(st == TRIBUS_OK ? 0 : 1);
}

static inline pid_t host_start(const char *name, uint32_t domains)
{
    const pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0)
        host_main(name, domains);
    return pid;
}

/* A process that starts a host when told to: fork() only there, where no thread is. */
typedef struct nursery {
    pid_t pid;
    int orders[2], pids[2];
} nursery;

typedef struct order {
    char name[32];
    uint32_t domains;
} order;

static inline nursery nursery_open(void)
{
    nursery n;

    CHECK(pipe(n.orders) == 0 && pipe(n.pids) == 0);
    (void)fixture_path();
    n.pid = fork();
    CHECK(n.pid >= 0);
    if (n.pid == 0) {
        order o;

        tribus_os_die_with_parent(SIGKILL);
        (void)signal(SIGCHLD, SIG_IGN);
        (void)close(n.orders[1]);
        while (read(n.orders[0], &o, sizeof(o)) == (ssize_t)sizeof(o)) {
            const pid_t pid = host_start(o.name, o.domains);

            CHECK(write(n.pids[1], &pid, sizeof(pid)) == (ssize_t)sizeof(pid));
        }
        _exit(0);
    }
    (void)close(n.orders[0]);
    return n;
}

static inline pid_t nursery_start(const nursery *n, const char *name, uint32_t domains)
{
    order o = {.domains = domains};
    pid_t pid;

    (void)snprintf(o.name, sizeof(o.name), "%s", name);
    CHECK(write(n->orders[1], &o, sizeof(o)) == (ssize_t)sizeof(o));
    CHECK(read(n->pids[0], &pid, sizeof(pid)) == (ssize_t)sizeof(pid));
    return pid;
}

static inline void nursery_close(nursery *n)
{
    (void)close(n->orders[1]);
    (void)close(n->pids[0]);
    (void)close(n->pids[1]);
    CHECK(kill(n->pid, SIGKILL) == 0 && waitpid(n->pid, NULL, 0) == n->pid);
}

#endif
