/* recover.c -- what an agent that was killed knew, and how its clients come back.
 *
 * Beside the registry in memory the agent keeps the same rows in a file, <socket>.rows. An
 * orderly end removes it. The next agent that finds one knows who was there:
 *
 *   - a participant whose process (pid and start time) still runs keeps number and epoch and
 *     counts as alive; it is watched by pidfd, and may take as long as it likes to come back;
 *   - its objects keep number and generation, and can be opened by others again as soon as
 *     somebody brings the descriptor;
 *   - an object that stays and belongs to nobody is dropped when nobody brings it for a while.
 *
 * The file is ours alone (mode 0600 in a folder that is ours), and is checked all the same: it
 * may have been cut off in the middle of a row.
 */
#include "agent/agent.h"
#include "base/atomic.h"
#include "base/error.h"
#include "base/log.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading what was left ---- */

static void died_at_last(tribus_agent *agent, void *owner, uint32_t events)
{
    tribus_agent_participant *p = owner;

    (void)events;
    tribus_agent_unwatch(agent, &p->process);
    if (p->returning)
        tribus_table_end(agent, p->row.number, false);
}

static void restore_participant(tribus_agent *agent, const tribus_participant *row,
                                uint64_t start_time)
{
    tribus_agent_participant *p = &agent->participants[row->number];
    int fd = -1;

    if (row->alive == 0 || row->epoch == 0 ||
        !tribus_os_process_runs((pid_t)row->pid, start_time) ||
        tribus_os_pidfd((pid_t)row->pid, &fd) != TRIBUS_OK)
        return;
    p->process = (tribus_source){.ready = died_at_last, .owner = p, .fd = -1};
    if (tribus_agent_watch(agent, &p->process, fd, EPOLLIN) != TRIBUS_OK) {
        (void)close(fd);
        return;
    }
    p->row = *row;
    p->start_time = start_time;
    p->epoch = row->epoch;
    p->returning = true;
    agent->status.participants++;
    tribus_table_show_participant(agent, p);
}

static void restore_object(tribus_agent *agent, const tribus_object *row)
{
    tribus_agent_object *o = &agent->objects[row->number];
    const bool owned = row->owner != 0 && row->owner < TRIBUS_REGISTRY_PARTICIPANTS &&
                       agent->participants[row->owner].returning;

    if ((!owned && row->stays == 0) || row->bytes == 0 ||
        (row->kind != TRIBUS_OBJECT_DEVICE &&
         row->bytes > agent->cfg.memory_limit_bytes - agent->status.memory_bytes))
        return;
    o->row = *row;
    o->state = TRIBUS_AGENT_OBJECT_RETURNING;
    o->fd = -1;
    if (owned)
        agent->participants[row->owner].objects++;
    else
        o->row.owner = 0;
    agent->status.objects++;
    *tribus_table_bytes(agent, row) += row->bytes;
    if (row->generation > agent->next_generation)
        agent->next_generation = row->generation;
    tribus_table_show_object(agent, &o->row);
}

static void restore(tribus_agent *agent, const tribus_registry_shm *left)
{
    tribus_participant p;
    tribus_object o;
    uint64_t start_time;
    /* Its writer is gone. Two agents may start within one second, so the clock alone would
     * give an epoch out twice; and nonsense must not use them up. */
    const uint32_t last_epoch = tribus_load_rlx(&left->last_epoch);

    if (last_epoch >= agent->first_epoch && last_epoch < UINT32_MAX / 2u)
        agent->first_epoch = last_epoch + 1u;
    for (uint32_t i = 1; i < TRIBUS_REGISTRY_PARTICIPANTS; i++)
        if (tribus_registry_participant(left, i, &p, &start_time) == TRIBUS_OK)
            restore_participant(agent, &p, start_time);
    for (uint32_t i = 1; i < TRIBUS_REGISTRY_OBJECTS; i++)
        if (tribus_registry_object(left, i, &o) == TRIBUS_OK)
            restore_object(agent, &o);
    tribus_lease_restore(agent, left);
    agent->orphans_until_ns = tribus_now_ns() + TRIBUS_AGENT_ORPHANS_NS;
    tribus_log(TRIBUS_LOG_WARN,
               "the agent before this one was killed: %u participants and %u objects are "
               "awaited back",
               agent->status.participants, agent->status.objects);
}

/* ---- the file ---- */

static tribus_registry_shm *begin_file(tribus_agent *agent)
{
    void *mem = NULL;
    const int fd = open(agent->rows_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    tribus_status st = TRIBUS_OK;

    if (fd < 0 || ftruncate(fd, (off_t)TRIBUS_REGISTRY_BYTES) != 0)
        st = tribus_error_set(TRIBUS_SYSTEM, "%s", agent->rows_path);
    if (st == TRIBUS_OK) {
        errno = posix_fallocate(fd, 0, (off_t)TRIBUS_REGISTRY_BYTES);
        if (errno != 0)
            st = tribus_error_set(TRIBUS_SYSTEM, "%s", agent->rows_path);
    }
    if (st == TRIBUS_OK)
        st = tribus_os_map(fd, TRIBUS_REGISTRY_BYTES, true, false, &mem);
    if (fd >= 0)
        (void)close(fd);
    if (st == TRIBUS_OK)
        return mem;
    (void)unlink(agent->rows_path);
    tribus_log(TRIBUS_LOG_WARN, "a restart of this agent will not be survived: %s",
               tribus_error_text());
    return NULL;
}

/* The rows that were left, mapped read-only; NULL: none, or none that can be used. */
static void *open_left(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    void *mem = NULL;
    struct stat s;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_uid == geteuid() &&
        tribus_os_map(fd, TRIBUS_REGISTRY_BYTES, false, true, &mem) == TRIBUS_OK &&
        tribus_registry_check(mem, TRIBUS_REGISTRY_BYTES) != TRIBUS_OK) {
        tribus_os_unmap(mem, TRIBUS_REGISTRY_BYTES);
        mem = NULL;
    }
    (void)close(fd);
    return mem;
}

void tribus_recover_open(tribus_agent *agent)
{
    void *left;

    (void)snprintf(agent->rows_path, sizeof(agent->rows_path), "%s.rows",
                   agent->endpoint.path);
    left = open_left(agent->rows_path);
    (void)unlink(agent->rows_path);
    agent->rows = begin_file(agent);
    if (agent->rows != NULL)
        tribus_registry_create(agent->rows, agent->registry->instance);
    if (left != NULL)
        restore(agent, left);
    tribus_os_unmap(left, TRIBUS_REGISTRY_BYTES);
}

void tribus_recover_close(tribus_agent *agent)
{
    for (uint32_t i = 1; i < TRIBUS_REGISTRY_PARTICIPANTS; i++)
        if (agent->participants[i].returning)
            tribus_agent_unwatch(agent, &agent->participants[i].process);
    if (agent->rows == NULL)
        return;
    (void)unlink(agent->rows_path);
    tribus_os_unmap(agent->rows, TRIBUS_REGISTRY_BYTES);
    agent->rows = NULL;
}

/* ---- coming back ---- */

tribus_status tribus_recover_rejoin(tribus_agent *agent, tribus_client *client,
                                    const tribus_agent_request *request)
{
    const uint32_t number = request->number;
    tribus_agent_participant *p =
        &agent->participants[number % TRIBUS_REGISTRY_PARTICIPANTS];

    if (number >= TRIBUS_REGISTRY_PARTICIPANTS || !p->returning ||
        p->epoch != request->epoch || strcmp(p->row.name, request->name) != 0 ||
        p->row.pid != client->pid || p->start_time != tribus_os_start_time(client->pid))
        return tribus_error_set(TRIBUS_REFUSED,
                                "this agent does not know participant %u \"%s\": it was "
                                "started anew; open a new session",
                                number, request->name);
    tribus_agent_unwatch(agent, &p->process);
    p->returning = false;
    p->client = client;
    client->number = number;
    tribus_log(TRIBUS_LOG_INFO, "participant %u \"%s\" (process %ld) is back", number,
               p->row.name, (long)client->pid);
    return TRIBUS_OK;
}

/* A descriptor whose size can be changed under us would make every mapping of it a trap. Memory
 * of a card is a file of its driver, without a size: who imports it learns the size from the
 * driver. Sockets are refused, for they could hold descriptors of sockets in a circle. */
tribus_status tribus_recover_check(const tribus_agent *agent, const tribus_object *row,
                                   int fd)
{
    const int seals = fcntl(fd, F_GET_SEALS), flags = fcntl(fd, F_GETFL);
    const bool device = row->kind == TRIBUS_OBJECT_DEVICE;
    struct stat s, dir;

    if (device && fstat(fd, &s) == 0 && (S_ISCHR(s.st_mode) || (s.st_mode & S_IFMT) == 0))
        return TRIBUS_OK;
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size < 0 ||
        (uint64_t)s.st_size < row->bytes ||
        (!device && (uint64_t)s.st_size != row->bytes) || flags < 0 ||
        (flags & O_ACCMODE) != O_RDWR)
        return tribus_error_set(TRIBUS_CORRUPT, "%s: not a memory file of %llu bytes",
                                row->name, (unsigned long long)row->bytes);
    if (seals >= 0 && (seals & F_SEAL_SHRINK) != 0)
        return TRIBUS_OK;
    if (agent->cfg.memory_dir != NULL && stat(agent->cfg.memory_dir, &dir) == 0 &&
        dir.st_dev == s.st_dev)
        return TRIBUS_OK;
    return tribus_error_set(TRIBUS_REFUSED, "%s: the memory file is not sealed", row->name);
}

tribus_status tribus_recover_offer(tribus_agent *agent, const tribus_client *client,
                                   const tribus_agent_request *request, int fd)
{
    tribus_agent_object *o;
    tribus_status st;

    if (client->number == 0 || fd < 0)
        return tribus_error_set(TRIBUS_REFUSED, "an offer needs a hello and a descriptor");
    if (request->number == 0 || request->number >= TRIBUS_REGISTRY_OBJECTS)
        return tribus_error_set(TRIBUS_NOT_FOUND, "there is no object %u", request->number);
    o = &agent->objects[request->number];
    if (o->state != TRIBUS_AGENT_OBJECT_RETURNING ||
        o->row.generation != request->generation ||
        !tribus_registry_name_is_good(request->name) ||
        strcmp(o->row.name, request->name) != 0)
        return tribus_error_set(TRIBUS_NOT_FOUND, "object %u is not awaited",
                                request->number);
    if (o->row.owner != client->number && o->row.stays == 0)
        return tribus_error_set(TRIBUS_REFUSED, "object %u belongs to participant %u",
                                request->number, o->row.owner);
    st = tribus_recover_check(agent, &o->row, fd);
    if (st != TRIBUS_OK)
        return st;
    o->fd = fd;
    o->state = TRIBUS_AGENT_OBJECT_READY;
    agent->changed = true;
    return TRIBUS_OK;
}

int64_t tribus_recover_tick(tribus_agent *agent, int64_t now_ns)
{
    if (agent->orphans_until_ns == 0)
        return INT64_MAX;
    if (now_ns < agent->orphans_until_ns)
        return agent->orphans_until_ns;
    agent->orphans_until_ns = 0;
    for (uint32_t i = 1; i < TRIBUS_REGISTRY_OBJECTS; i++) {
        tribus_agent_object *o = &agent->objects[i];

        if (o->state == TRIBUS_AGENT_OBJECT_RETURNING && o->row.owner == 0)
            tribus_table_abandon(agent, o);
    }
    return INT64_MAX;
}
