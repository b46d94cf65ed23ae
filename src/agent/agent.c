/* agent.c -- see tribus/agent.h: the loop, its start and its end. */
#include "agent/agent.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_A_ROUND   64
#define OBJECTS_DEFAULT  1024u
#define REQUESTS_DEFAULT 20000u

/* ---- watching ---- */

tribus_status tribus_agent_watch(tribus_agent *agent, tribus_source *source, int fd,
                                 uint32_t events)
{
    struct epoll_event e = {.events = events, .data = {.ptr = source}};

    if (epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "watch a descriptor");
    source->fd = fd;
    return TRIBUS_OK;
}

void tribus_agent_watch_change(tribus_agent *agent, tribus_source *source, uint32_t events)
{
    struct epoll_event e = {.events = events, .data = {.ptr = source}};

    if (source->fd >= 0)
        (void)epoll_ctl(agent->epoll_fd, EPOLL_CTL_MOD, source->fd, &e);
}

void tribus_agent_unwatch(tribus_agent *agent, tribus_source *source)
{
    if (source->fd < 0)
        return;
    (void)epoll_ctl(agent->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    (void)close(source->fd);
    source->fd = -1;
}

/* ---- the loop ---- */

/* Once is enough: what asked stays readable, and would keep us turning. */
static void asked_to_stop(tribus_agent *agent, void *owner, uint32_t events)
{
    const tribus_source *source = owner;

    (void)events;
    (void)epoll_ctl(agent->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    agent->stopping = true;
    if (source == &agent->wake)
        agent->finish = true;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int wait_ms(int64_t next_ns, int64_t now_ns)
{
    if (next_ns == INT64_MAX)
        return -1;
    if (next_ns <= now_ns)
        return 0;
    /* Rounded up: waking before the time would only make us wait again. */
    return (int)((next_ns - now_ns) / 1000000 % 60000 + 1);
}

void tribus_agent_announce(tribus_agent *agent)
{
    agent->changed = false;
    tribus_registry_announce(agent->registry, agent->bell);
    tribus_doorbell_press(agent->readers_bell);
}

/* True when everything that is to end before us has. */
static bool wind_down(tribus_agent *agent)
{
    tribus_supervise_stop(agent->supervisor, agent->finish || !agent->cfg.keep_servers);
    if (!tribus_supervise_stopped(agent->supervisor))
        return false;
    /* R1 pairs with A1 in tribus_agent_wait: who sees it sees the children down. */
    tribus_store_rel(&agent->quiet, 1u);
    tribus_os_futex_wake(&agent->quiet, INT32_MAX);
    return agent->finish || !agent->cfg.keep_servers;
}

static void serve(tribus_agent *agent)
{
    struct epoll_event events[EVENTS_A_ROUND];
    int64_t next_ns = 0;
    tribus_os_mark mark;

    tribus_os_mark_set(&mark, &agent->registry->server);
    while (!agent->stopping || !wind_down(agent)) {
        const int64_t now_ns = tribus_now_ns();
        const int64_t children_ns = tribus_supervise_tick(agent->supervisor, now_ns);
        const int n =
            epoll_wait(agent->epoll_fd, events, EVENTS_A_ROUND,
                       wait_ms(next_ns < children_ns ? next_ns : children_ns, now_ns));

        for (int i = 0; i < n; i++) {
            const tribus_source *source = events[i].data.ptr;

            source->ready(agent, source->owner, events[i].events);
        }
        next_ns = earlier(tribus_clients_tick(agent, tribus_now_ns()),
                          tribus_recover_tick(agent, tribus_now_ns()));
        tribus_clients_sweep(agent);
        next_ns = earlier(next_ns, tribus_left_tick(agent, tribus_now_ns()));
        if (agent->changed)
            tribus_agent_announce(agent);
    }
    tribus_os_mark_clear(&mark);
}

/* ---- start and end ---- */

static void set_defaults(tribus_agent_cfg *cfg)
{
    const char *where;

    if (cfg->memory_limit_bytes == 0)
        cfg->memory_limit_bytes = tribus_os_memory_left(&where) / 2u;
    if (cfg->objects_per_participant == 0)
        cfg->objects_per_participant = OBJECTS_DEFAULT;
    if (cfg->requests_per_s == 0)
        cfg->requests_per_s = REQUESTS_DEFAULT;
}

static void destroy(tribus_agent *agent)
{
    if (agent == NULL)
        return;
    tribus_creator_close(agent);
    tribus_worker_close(agent, agent->prober); /* its questions name children */
    agent->prober = NULL;
    if (agent->epoll_fd >= 0)
        tribus_recover_close(
            agent); /* while the lock is ours: an orderly end leaves none */
    /* The socket first: who waits for our end may start another agent at once. */
    tribus_endpoint_close(&agent->endpoint);
    if (agent->epoll_fd >= 0)
        tribus_clients_close_all(agent);
    if (agent->readers_bell != NULL) /* the last thing that is opened of the tables */
        tribus_agent_announce(agent);
    tribus_table_close(agent);
    if (agent->wake.fd >= 0)
        (void)close(agent->wake.fd);
    if (agent->epoll_fd >= 0)
        (void)close(agent->epoll_fd);
    if (agent->spare_fd >= 0)
        (void)close(agent->spare_fd);
    tribus_supervise_close(agent->supervisor);
    free((void *)(uintptr_t)agent->cfg.memory_dir);
    free(agent);
}

/* A group by name or number. */
static tribus_status find_group(const char *name, bool *has, gid_t *gid)
{
    char room[4096], *end = NULL;
    struct group entry, *found = NULL;
    unsigned long number;

    *has = name != NULL && name[0] != '\0';
    if (!*has)
        return TRIBUS_OK;
    if (getgrnam_r(name, &entry, room, sizeof(room), &found) == 0 && found != NULL) {
        *gid = found->gr_gid;
        return TRIBUS_OK;
    }
    number = strtoul(name, &end, 10);
    if (end == name || *end != '\0' || number >= UINT32_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG, "no group \"%s\" on this machine", name);
    *gid = (gid_t)number;
    return TRIBUS_OK;
}

static tribus_status watch_all(tribus_agent *agent)
{
    const int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    tribus_status st;

    if (wake < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "eventfd");
    agent->wake.fd = wake;
    st = tribus_agent_watch(agent, &agent->wake, wake, EPOLLIN);
    if (st == TRIBUS_OK && agent->cfg.stop_fd > 0)
        st = tribus_agent_watch(agent, &agent->signal, agent->cfg.stop_fd, EPOLLIN);
    if (st == TRIBUS_OK)
        st =
            tribus_agent_watch(agent, &agent->listener, agent->endpoint.listen_fd, EPOLLIN);
    return st;
}

static tribus_status create(const tribus_agent_cfg *cfg, tribus_agent **out)
{
    tribus_agent *agent = calloc(1, sizeof(*agent));
    tribus_status st;

    if (agent == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "agent: %zu bytes", sizeof(*agent));
    agent->cfg = *cfg;
    agent->cfg.socket_path = NULL;
    agent->cfg.memory_dir = NULL;
    agent->cfg.runtime_folder = NULL;
    agent->cfg.group = NULL;
    agent->cfg.readers_group = NULL;
    agent->cfg.redis = NULL;
    agent->cfg.children = NULL;
    set_defaults(&agent->cfg);
    agent->endpoint.lock_fd = agent->endpoint.listen_fd = -1;
    agent->registry_fd = agent->bell_fd = agent->readers_bell_fd = -1;
    agent->listener = (tribus_source){.ready = tribus_clients_accept, .fd = -1};
    agent->wake = (tribus_source){.ready = asked_to_stop, .owner = &agent->wake, .fd = -1};
    agent->signal =
        (tribus_source){.ready = asked_to_stop, .owner = &agent->signal, .fd = -1};
    agent->started_ns = tribus_now_ns();
    agent->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    agent->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    st = agent->epoll_fd < 0 ? tribus_error_set(TRIBUS_SYSTEM, "epoll") : TRIBUS_OK;
    if (st == TRIBUS_OK && cfg->memory_dir != NULL) {
        agent->cfg.memory_dir = strdup(cfg->memory_dir);
        if (agent->cfg.memory_dir == NULL)
            st = tribus_error_set(TRIBUS_NO_MEMORY, "agent");
    }
    if (st == TRIBUS_OK)
        st = find_group(cfg->group, &agent->has_group, &agent->group);
    if (st == TRIBUS_OK)
        st = find_group(cfg->readers_group, &agent->has_readers, &agent->readers_group);
    if (st == TRIBUS_OK)
        st = tribus_endpoint_open(&agent->endpoint, cfg->socket_path,
                                  agent->has_group || agent->has_readers);
    if (st == TRIBUS_OK)
        st = tribus_table_open(agent);
    if (st == TRIBUS_OK)
        st = tribus_supervise_open(agent, cfg, &agent->supervisor);
    if (st == TRIBUS_OK)
        tribus_recover_open(agent);
    if (st == TRIBUS_OK)
        st = watch_all(agent);
    if (st != TRIBUS_OK) {
        tribus_error_add("agent");
        destroy(agent);
        return st;
    }
    *out = agent;
    return TRIBUS_OK;
}

static void *thread_main(void *context)
{
    serve(context);
    return NULL;
}

tribus_status tribus_agent_start(const tribus_agent_cfg *cfg, tribus_agent **out)
{
    tribus_agent *agent = NULL;
    tribus_status st = create(cfg, &agent);
    sigset_t all, before;
    pthread_t thread;
    int err;

    if (st != TRIBUS_OK)
        return st;
    /* Signals belong to the program's own threads. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&thread, NULL, thread_main, agent);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        errno = err;
        st = tribus_error_set(TRIBUS_SYSTEM, "agent: thread");
        destroy(agent);
        return st;
    }
    agent->thread = thread;
    *out = agent;
    return TRIBUS_OK;
}

tribus_status tribus_agent_wait(tribus_agent *agent, int64_t timeout_ns)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns);

    /* A1 pairs with R1 in wind_down. */
    while (tribus_load_acq(&agent->quiet) == 0u) {
        const int64_t left = tribus_deadline_left_ns(deadline);
        const tribus_status st =
            tribus_os_futex_wait(&agent->quiet, 0u, deadline == INT64_MAX ? -1 : left);

        if (st == TRIBUS_SYSTEM)
            return st;
        if (left == 0)
            return TRIBUS_TIMEOUT;
    }
    return TRIBUS_OK;
}

void tribus_agent_stop(tribus_agent *agent)
{
    const uint64_t one = 1;

    if (agent == NULL)
        return;
    if (write(agent->wake.fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
        return; /* an eventfd that holds 0 or 1 takes another 1, always */
    (void)pthread_join(agent->thread, NULL);
    destroy(agent);
}

tribus_status tribus_agent_run(const tribus_agent_cfg *cfg)
{
    tribus_agent *agent = NULL;
    const tribus_status st = create(cfg, &agent);

    if (st != TRIBUS_OK)
        return st;
    agent->cfg.keep_servers = 0; /* nobody would come to end them */
    serve(agent);
    destroy(agent);
    return TRIBUS_OK;
}

const char *tribus_agent_socket(const tribus_agent *agent)
{
    return agent->endpoint.path;
}

void tribus_agent_fill_status(tribus_agent *agent, tribus_agent_status *out)
{
    *out = agent->status;
    (void)snprintf(out->release, sizeof(out->release), "%s", TRIBUS_RELEASE);
    out->pid = (int32_t)getpid();
    out->children = tribus_supervise_count(agent->supervisor);
    out->memory_limit_bytes = agent->cfg.memory_limit_bytes;
    out->resident_bytes = tribus_os_resident_bytes(0);
    out->uptime_ns = tribus_now_ns() - agent->started_ns;
}
