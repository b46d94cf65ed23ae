/* table.c -- participants and objects: the agent's own copy, and the registry that shows
 * them. The copy is what the agent believes; the registry is only ever written. */
#include "agent/agent.h"
#include "base/error.h"
#include "base/log.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Epochs start at the seconds since this moment, so that they also grow from one run of the
 * agent to the next: 2023-11-14. */
#define EPOCH_ZERO_S INT64_C(1700000000)

/* ---- open and close ---- */

/* A memory file that only this process can write, through the mapping it already has. */
static tribus_status make_registry(tribus_agent *agent)
{
    const int fd = memfd_create("tribus-registry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *mem;
    tribus_status st;

    if (fd < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "memory for the registry");
    agent->registry_fd = fd;
    if (ftruncate(fd, (off_t)TRIBUS_REGISTRY_BYTES) != 0 ||
        posix_fallocate(fd, 0, (off_t)TRIBUS_REGISTRY_BYTES) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "memory for the registry: %zu bytes",
                                TRIBUS_REGISTRY_BYTES);
    st = tribus_os_map(fd, TRIBUS_REGISTRY_BYTES, true, true, &mem);
    if (st != TRIBUS_OK)
        return st;
    agent->registry = mem;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "seal the registry (needs Linux 5.1)");
    return TRIBUS_OK;
}

static tribus_status make_bell(int *fd, tribus_doorbell_shm **out)
{
    void *mem;
    tribus_status st =
        tribus_os_memory_create("tribus-bell", TRIBUS_BELL_FILE_BYTES, NULL, fd);

    if (st == TRIBUS_OK)
        st = tribus_os_map(*fd, TRIBUS_BELL_FILE_BYTES, true, true, &mem);
    if (st != TRIBUS_OK)
        return st;
    tribus_doorbell_create(mem);
    *out = mem;
    return TRIBUS_OK;
}

tribus_status tribus_table_open(tribus_agent *agent)
{
    const int64_t wall_ns = tribus_now_wall_ns();
    tribus_status st = make_registry(agent);

    if (st != TRIBUS_OK)
        return st;
    st = make_bell(&agent->bell_fd, &agent->bell);
    if (st == TRIBUS_OK)
        st = make_bell(&agent->readers_bell_fd, &agent->readers_bell);
    if (st != TRIBUS_OK)
        return st;
    tribus_registry_create(agent->registry, (uint64_t)wall_ns);
    agent->next_generation = (uint64_t)wall_ns;
    agent->first_epoch = (uint32_t)(wall_ns / 1000000000 - EPOCH_ZERO_S);
    return TRIBUS_OK;
}

void tribus_table_close(tribus_agent *agent)
{
    for (uint32_t i = 1; i < TRIBUS_REGISTRY_OBJECTS; i++)
        if (agent->objects[i].state == TRIBUS_AGENT_OBJECT_READY)
            (void)close(agent->objects[i].fd);
    tribus_os_unmap(agent->registry, TRIBUS_REGISTRY_BYTES);
    tribus_os_unmap(agent->bell, TRIBUS_BELL_FILE_BYTES);
    tribus_os_unmap(agent->readers_bell, TRIBUS_BELL_FILE_BYTES);
    if (agent->registry_fd >= 0)
        (void)close(agent->registry_fd);
    if (agent->bell_fd >= 0)
        (void)close(agent->bell_fd);
    if (agent->readers_bell_fd >= 0)
        (void)close(agent->readers_bell_fd);
}

void tribus_table_show_participant(tribus_agent *agent, const tribus_agent_participant *p)
{
    tribus_registry_put_participant(agent->registry, &p->row, p->start_time);
    if (agent->rows != NULL)
        tribus_registry_put_participant(agent->rows, &p->row, p->start_time);
    agent->changed = true;
}

void tribus_table_show_object(tribus_agent *agent, const tribus_object *row)
{
    tribus_registry_put_object(agent->registry, row);
    if (agent->rows != NULL)
        tribus_registry_put_object(agent->rows, row);
    agent->changed = true;
}

static void hide_participant(tribus_agent *agent, uint32_t number)
{
    tribus_registry_clear_participant(agent->registry, number);
    if (agent->rows != NULL)
        tribus_registry_clear_participant(agent->rows, number);
    agent->changed = true;
}

static void hide_object(tribus_agent *agent, uint32_t number)
{
    tribus_registry_clear_object(agent->registry, number);
    if (agent->rows != NULL)
        tribus_registry_clear_object(agent->rows, number);
    agent->changed = true;
}

/* ---- participants ---- */

static bool lives(const tribus_agent_participant *p)
{
    return p->client != NULL || p->returning;
}

/* A number for this name: the one it had before (an engine that is started again keeps its
 * number), else a free one, else the one that has been dead longest. 0: all live. */
static uint32_t choose_number(const tribus_agent *agent, const char *name)
{
    uint32_t free_one = 0, oldest = 0;

    for (uint32_t i = 1; i < TRIBUS_REGISTRY_PARTICIPANTS; i++) {
        const tribus_agent_participant *p = &agent->participants[i];

        if (lives(p))
            continue;
        if (p->row.number == 0) {
            if (free_one == 0)
                free_one = i;
            continue;
        }
        if (strcmp(p->row.name, name) == 0)
            return i;
        if (oldest == 0 || p->died < agent->participants[oldest].died)
            oldest = i;
    }
    return free_one != 0 ? free_one : oldest;
}

static const tribus_agent_participant *living(const tribus_agent *agent, const char *name)
{
    for (uint32_t i = 1; i < TRIBUS_REGISTRY_PARTICIPANTS; i++)
        if (lives(&agent->participants[i]) &&
            strcmp(agent->participants[i].row.name, name) == 0)
            return &agent->participants[i];
    return NULL;
}

static bool role_is_good(const char role[TRIBUS_AGENT_ROLE_BYTES])
{
    char name[TRIBUS_NAME_BYTES] = {0};

    if (memchr(role, '\0', TRIBUS_AGENT_ROLE_BYTES) == NULL)
        return false;
    memcpy(name, role, TRIBUS_AGENT_ROLE_BYTES);
    return tribus_registry_name_is_good(name) != 0;
}

tribus_status tribus_table_join(tribus_agent *agent, tribus_client *client,
                                const tribus_agent_request *request)
{
    const tribus_agent_participant *there;
    tribus_agent_participant *p;
    uint32_t number;

    if (client->number != 0)
        return tribus_error_set(TRIBUS_REFUSED, "this connection is participant %u already",
                                client->number);
    if (!tribus_registry_name_is_good(request->name) || !role_is_good(request->role))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "names are 1 to 63, roles 1 to 15 of a-z 0-9 . _ - /");
    if (request->number != 0)
        return tribus_recover_rejoin(agent, client, request);
    there = living(agent, request->name);
    if (there != NULL)
        return tribus_error_set(TRIBUS_EXISTS,
                                "the name \"%s\" is taken by process %ld: stop that one, "
                                "or give this one another name",
                                request->name, (long)there->row.pid);
    number = choose_number(agent, request->name);
    if (number == 0)
        return tribus_error_set(TRIBUS_FULL, "%u participants live already",
                                TRIBUS_REGISTRY_PARTICIPANTS - 1u);
    p = &agent->participants[number];
    p->epoch = p->epoch < agent->first_epoch ? agent->first_epoch : p->epoch + 1u;
    p->client = client;
    p->objects = 0;
    if (strcmp(p->row.name, request->name) != 0)
        tribus_lease_disinherit(agent, number);
    memset(&p->row, 0, sizeof(p->row));
    (void)snprintf(p->row.name, sizeof(p->row.name), "%s", request->name);
    (void)snprintf(p->row.role, sizeof(p->row.role), "%s", request->role);
    p->row.number = number;
    p->row.pid = client->pid;
    p->row.alive = 1;
    p->row.epoch = p->epoch;
    p->row.since_wall_ns = tribus_now_wall_ns();
    p->start_time = tribus_os_start_time(client->pid);
    client->number = number;
    agent->status.participants++;
    tribus_table_show_participant(agent, p);
    tribus_log(TRIBUS_LOG_INFO, "participant %u \"%s\" (%s, process %ld) joined", number,
               p->row.name, p->row.role, (long)client->pid);
    return TRIBUS_OK;
}

uint64_t *tribus_table_bytes(tribus_agent *agent, const tribus_object *row)
{
    return row->kind == TRIBUS_OBJECT_DEVICE ? &agent->status.device_bytes
                                             : &agent->status.memory_bytes;
}

void tribus_table_abandon(tribus_agent *agent, tribus_agent_object *o)
{
    if (o->state == TRIBUS_AGENT_OBJECT_READY)
        (void)close(o->fd);
    if (o->state != TRIBUS_AGENT_OBJECT_CREATING) {
        tribus_lease_end_object(agent, o->row.number);
        hide_object(agent, o->row.number);
        agent->status.objects--;
    }
    *tribus_table_bytes(agent, &o->row) -= o->row.bytes;
    if (o->row.owner != 0)
        agent->participants[o->row.owner].objects--;
    memset(&o->row, 0, sizeof(o->row));
    o->state = TRIBUS_AGENT_OBJECT_FREE;
    o->fd = -1;
    if (o->left_until_ns != 0)
        agent->left_count--;
    o->left_until_ns = 0;
}

void tribus_table_end(tribus_agent *agent, uint32_t number, bool on_purpose)
{
    tribus_agent_participant *p = &agent->participants[number];

    p->client = NULL;
    p->returning = false;
    p->died = agent->next_died++;
    agent->status.participants--;
    /* The life first: whoever sees an object of his gone also sees him gone. */
    p->row.alive = 0;
    if (on_purpose) {
        hide_participant(agent, number);
    } else {
        tribus_table_show_participant(agent, p);
        agent->status.deaths++;
    }
    tribus_lease_end_participant(agent, number);
    for (uint32_t i = 1; i < TRIBUS_REGISTRY_OBJECTS; i++) {
        tribus_agent_object *o = &agent->objects[i];

        if (o->state == TRIBUS_AGENT_OBJECT_FREE || o->row.owner != number)
            continue;
        if (o->row.stays != 0 && o->state != TRIBUS_AGENT_OBJECT_CREATING) {
            if (o->state == TRIBUS_AGENT_OBJECT_RETURNING) /* others may have it */
                agent->orphans_until_ns = tribus_now_ns() + TRIBUS_AGENT_ORPHANS_NS;
            p->objects--;
            o->row.owner = 0;
            tribus_table_show_object(agent, &o->row);
        } else if (on_purpose) {
            tribus_table_abandon(agent, o); /* it had its time to leave or remove it */
        } else {
            tribus_left_keep(agent, o);
        }
    }
    tribus_log(TRIBUS_LOG_INFO, "participant %u \"%s\" (process %ld) %s", number,
               p->row.name, (long)p->row.pid, on_purpose ? "left" : "died");
    if (on_purpose)
        memset(&p->row, 0, sizeof(p->row));
}

void tribus_table_leave(tribus_agent *agent, tribus_client *client)
{
    if (client->number == 0)
        return;
    tribus_table_end(agent, client->number, client->said_bye);
    client->number = 0;
}

/* ---- objects ---- */

tribus_status tribus_table_find(tribus_agent *agent, const char name[TRIBUS_NAME_BYTES],
                                tribus_agent_object **out)
{
    if (!tribus_registry_name_is_good(name))
        return tribus_error_set(TRIBUS_BAD_ARG, "names are 1 to 63 of a-z 0-9 . _ - /");
    for (uint32_t i = 1; i < TRIBUS_REGISTRY_OBJECTS; i++)
        if (agent->objects[i].state != TRIBUS_AGENT_OBJECT_FREE &&
            strcmp(agent->objects[i].row.name, name) == 0) {
            *out = &agent->objects[i];
            return TRIBUS_OK;
        }
    return tribus_error_set(TRIBUS_NOT_FOUND, "no object of this name");
}

static uint64_t memory_left(const tribus_agent *agent)
{
    const uint64_t limit = agent->cfg.memory_limit_bytes;

    return limit > agent->status.memory_bytes ? limit - agent->status.memory_bytes : 0;
}

static tribus_status check_create(tribus_agent *agent, const tribus_client *client,
                                  const tribus_agent_request *request, uint32_t *number)
{
    tribus_agent_object *there;
    uint64_t left;

    if (client->number == 0)
        return tribus_error_set(TRIBUS_REFUSED, "say hello first");
    if (tribus_table_find(agent, request->name, &there) == TRIBUS_OK &&
        there->state == TRIBUS_AGENT_OBJECT_RETURNING && there->row.owner == client->number)
        tribus_table_abandon(agent,
                             there); /* the reply to it died with the earlier agent */
    else if (tribus_table_find(agent, request->name, &there) == TRIBUS_OK)
        return tribus_error_set(TRIBUS_EXISTS,
                                "the name is taken by object %u of "
                                "participant %u",
                                there->row.number, there->row.owner);
    if (!tribus_registry_name_is_good(request->name) || request->bytes == 0 ||
        request->bytes > (uint64_t)INT64_MAX || request->kind < TRIBUS_OBJECT_TOPIC ||
        request->kind > TRIBUS_OBJECT_DEVICE ||
        (request->kind == TRIBUS_OBJECT_DEVICE) !=
            (request->head.type == TRIBUS_AGENT_OFFER))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "kind %u, %llu bytes: a good name, a known kind and a "
                                "size are needed",
                                request->kind, (unsigned long long)request->bytes);
    left = request->kind == TRIBUS_OBJECT_DEVICE ? UINT64_MAX : memory_left(agent);
    while (request->bytes > left && tribus_left_drop_one(agent))
        left = memory_left(agent);
    if (request->bytes > left)
        return tribus_error_set(
            TRIBUS_NO_MEMORY,
            "%llu MiB needed, %llu MiB left of the agent's limit of %llu MiB; "
            "raise agent: memory_limit in the platform file, or lower the sizes",
            (unsigned long long)((request->bytes + 1048575u) >> 20),
            (unsigned long long)(left >> 20),
            (unsigned long long)(agent->cfg.memory_limit_bytes >> 20));
    if (agent->participants[client->number].objects >= agent->cfg.objects_per_participant)
        return tribus_error_set(TRIBUS_FULL,
                                "this participant has %u objects already, "
                                "the most that are allowed",
                                agent->participants[client->number].objects);
    do
        for (uint32_t i = 1; i < TRIBUS_REGISTRY_OBJECTS; i++)
            if (agent->objects[i].state == TRIBUS_AGENT_OBJECT_FREE) {
                *number = i;
                return TRIBUS_OK;
            }
    while (tribus_left_drop_one(agent));
    return tribus_error_set(TRIBUS_FULL, "all %u objects are in use",
                            TRIBUS_REGISTRY_OBJECTS - 1u);
}

tribus_status tribus_table_reserve(tribus_agent *agent, const tribus_client *client,
                                   const tribus_agent_request *request,
                                   tribus_agent_object **out)
{
    uint32_t number = 0;
    tribus_agent_object *o;
    const tribus_status st = check_create(agent, client, request, &number);

    if (st != TRIBUS_OK)
        return st;
    o = &agent->objects[number];
    memset(&o->row, 0, sizeof(o->row));
    (void)snprintf(o->row.name, sizeof(o->row.name), "%s", request->name);
    o->row.number = number;
    o->row.kind = request->kind;
    o->row.owner = client->number;
    o->row.stays = (request->flags & TRIBUS_AGENT_FLAG_STAYS) != 0;
    o->row.bytes = request->bytes;
    o->row.generation = ++agent->next_generation;
    o->state = TRIBUS_AGENT_OBJECT_CREATING;
    o->fd = -1;
    agent->participants[client->number].objects++;
    *tribus_table_bytes(agent, &o->row) += o->row.bytes;
    *out = o;
    return TRIBUS_OK;
}

void tribus_table_finish(tribus_agent *agent, tribus_agent_object *o, int fd)
{
    if (o->row.kind != TRIBUS_OBJECT_DEVICE) /* that is the driver's own file */
        (void)fchmod(fd, 0600); /* nobody else may open it again through /proc */
    o->fd = fd;
    o->state = TRIBUS_AGENT_OBJECT_READY;
    agent->status.objects++;
    tribus_table_show_object(agent, &o->row);
    /* Before its creator can fill it, so that nobody who follows the registry misses what
     * is in it, and so that the creator can tell who has looked since. */
    tribus_agent_announce(agent);
}

tribus_status tribus_table_remove(tribus_agent *agent, const tribus_client *client,
                                  uint32_t number, uint64_t generation, bool later)
{
    tribus_agent_object *o;

    if (client->number == 0)
        return tribus_error_set(TRIBUS_REFUSED, "say hello first");
    if (number == 0 || number >= TRIBUS_REGISTRY_OBJECTS)
        return tribus_error_set(TRIBUS_BAD_ARG, "object %u: 1..%u", number,
                                TRIBUS_REGISTRY_OBJECTS - 1u);
    o = &agent->objects[number];
    if (o->state == TRIBUS_AGENT_OBJECT_FREE || o->state == TRIBUS_AGENT_OBJECT_CREATING ||
        o->row.generation != generation)
        return tribus_error_set(TRIBUS_NOT_FOUND, "object %u is gone already", number);
    if (o->row.owner != client->number && o->row.owner != 0)
        return tribus_error_set(TRIBUS_REFUSED, "object %u belongs to participant %u",
                                number, o->row.owner);
    if (later && o->left_until_ns == 0)
        tribus_left_keep(agent, o);
    else
        tribus_table_abandon(agent, o);
    return TRIBUS_OK;
}
