/* bench_death.c -- how long until a death is seen: participants of an agent of our own are
 * killed with SIGKILL, and the time from before kill() until the registry shows it, as another
 * participant reads it, is measured. */
#include "cli/bench_paths.h"

#include "base/clock.h"
#include "base/os.h"
#include "tribus/agent.h"
#include "tribus/session.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOIN_NS INT64_C(10000000000)
#define SEEN_NS INT64_C(10000000000)

typedef struct death {
    char folder[32];
    char socket_path[64];
    tribus_agent *agent;
    tribus_session *watcher;
} death;

static bool fault(const char *what)
{
    fprintf(stderr, "tribus bench: death: %s: %s\n", what, tribus_error_text());
    return false;
}

static bool open_all(death *d)
{
    const tribus_agent_cfg agent = {.socket_path = d->socket_path};
    const tribus_session_cfg watcher = {
        .socket_path = d->socket_path, .name = "watcher", .role = "tool"};

    (void)snprintf(d->folder, sizeof(d->folder), "/tmp/tribus-bench-XXXXXX");
    if (mkdtemp(d->folder) == NULL)
        return fault(d->folder);
    (void)snprintf(d->socket_path, sizeof(d->socket_path), "%s/agent.sock", d->folder);
    if (tribus_agent_start(&agent, &d->agent) != TRIBUS_OK)
        return fault("agent");
    if (tribus_session_open(&watcher, &d->watcher) != TRIBUS_OK)
        return fault("session");
    return true;
}

static void close_all(death *d)
{
    tribus_session_close(d->watcher);
    tribus_agent_stop(d->agent);
    if (d->folder[0] != '\0')
        (void)rmdir(d->folder);
}

/* A process that joins and stays. */
static pid_t start_victim(const death *d)
{
    const tribus_session_cfg cfg = {
        .socket_path = d->socket_path, .name = "victim", .role = "tool"};
    tribus_session *session = NULL;
    const pid_t pid = fork();

    if (pid != 0)
        return pid;
    tribus_os_die_with_parent(SIGKILL);
    if (tribus_session_open(&cfg, &session) != TRIBUS_OK)
        _exit(1);
    for (;;)
        (void)pause();
}

static bool wait_joined(const death *d, pid_t pid, tribus_participant *out)
{
    const int64_t deadline_ns = tribus_deadline_ns(JOIN_NS);

    do {
        uint32_t cursor = 0;

        while (tribus_session_next_participant(d->watcher, &cursor, out) == TRIBUS_OK)
            if (out->pid == (int32_t)pid && out->alive != 0)
                return true;
    } while (tribus_deadline_left_ns(deadline_ns) > 0);
    return false;
}

static bool kill_one(const death *d, double *ns)
{
    tribus_participant row;
    const pid_t pid = start_victim(d);
    bool seen = false;
    int64_t t0;

    if (pid < 0 || !wait_joined(d, pid, &row)) {
        if (pid > 0)
            (void)kill(pid, SIGKILL);
        return fault("no victim");
    }
    t0 = tribus_now_ns();
    (void)kill(pid, SIGKILL);
    while (!seen && tribus_now_ns() - t0 < SEEN_NS)
        seen = tribus_session_alive(d->watcher, row.number, row.epoch) == 0;
    *ns = (double)(tribus_now_ns() - t0);
    (void)waitpid(pid, NULL, 0);
    return seen ? true : fault("not seen within 10 s");
}

bool tribus_bench_death_run(tribus_bench_row *row, uint32_t deaths, double *longest_ns)
{
    double *ns = calloc(deaths, sizeof(*ns));
    death d = {0};
    bool ok = ns != NULL && open_all(&d);

    *longest_ns = 0.0;
    for (uint32_t i = 0; ok && i < deaths; i++) {
        ok = kill_one(&d, &ns[i]);
        *longest_ns = ns[i] > *longest_ns ? ns[i] : *longest_ns;
    }
    if (ok)
        tribus_bench_pair_stats(ns, deaths, &row->stats);
    row->measured = deaths;
    close_all(&d);
    free(ns);
    return ok;
}
