/* lease.c -- who is a holder of which region.
 *
 * A lease begins with HOLD and lives as long as its participant. When that is gone the lease
 * is marked dead and the owner of the region, which sees it in the registry, takes back what
 * the dead holder held; only then is the holder's number given out again. Used again too
 * early, the new holder would release, and the owner reclaim, what is not theirs. The one
 * exception is the same program started again, under the same name, which goes on where it
 * was; so the owner says before it reclaims, and then it is too late to go on.
 */
#include "agent/agent.h"
#include "agent/bridge.h"
#include "base/error.h"

#include <string.h>

static void show(tribus_agent *agent, uint32_t i)
{
    const tribus_registry_lease *lease =
        agent->leases[i].object == 0 ? NULL : &agent->leases[i];

    tribus_registry_put_lease(agent->registry, i, lease);
    if (agent->rows != NULL)
        tribus_registry_put_lease(agent->rows, i, lease);
    agent->changed = true;
}

static void free_lease(tribus_agent *agent, uint32_t i)
{
    memset(&agent->leases[i], 0, sizeof(agent->leases[i]));
    show(agent, i);
}

static tribus_status check_object(const tribus_agent *agent, const tribus_client *client,
                                  const tribus_agent_request *request)
{
    const tribus_agent_object *o;

    if (client->number == 0)
        return tribus_error_set(TRIBUS_REFUSED, "say hello first");
    if (request->number == 0 || request->number >= TRIBUS_REGISTRY_OBJECTS)
        return tribus_error_set(TRIBUS_NOT_FOUND, "there is no object %u", request->number);
    o = &agent->objects[request->number];
    if ((o->state != TRIBUS_AGENT_OBJECT_READY &&
         o->state != TRIBUS_AGENT_OBJECT_RETURNING) ||
        o->row.generation != request->generation)
        return tribus_error_set(TRIBUS_NOT_FOUND, "object %u is gone", request->number);
    return TRIBUS_OK;
}

/* The place of the lease of this object and holder; leases_high: none. */
static uint32_t find(const tribus_agent *agent, uint32_t object, uint32_t holder)
{
    uint32_t i = 0;

    while (i < agent->leases_high &&
           (agent->leases[i].object != object || agent->leases[i].holder != holder))
        i++;
    return i;
}

static uint32_t free_place(const tribus_agent *agent)
{
    uint32_t i = 0;

    while (i < agent->leases_high && agent->leases[i].object != 0)
        i++;
    return i;
}

tribus_status tribus_lease_hold(tribus_agent *agent, const tribus_client *client,
                                const tribus_agent_request *request, tribus_agent_held *out)
{
    const uint32_t place = free_place(agent);
    uint64_t taken = 0;
    uint32_t holder = 0;
    const tribus_status st = check_object(agent, client, request);

    if (st != TRIBUS_OK)
        return st;
    for (uint32_t i = 0; i < agent->leases_high; i++) {
        tribus_registry_lease *lease = &agent->leases[i];

        if (lease->object != request->number)
            continue;
        taken |= UINT64_C(1) << lease->holder;
        if (!lease->dead || lease->heirless || lease->participant != client->number ||
            agent->objects[request->number].row.owner == client->number)
            continue;
        lease->dead = false; /* a number is kept by its name: the same program again */
        show(agent, i);
        *out = (tribus_agent_held){.holder = lease->holder, .successor = 1};
        return TRIBUS_OK;
    }
    /* The last number stands for readers of other hosts, always. */
    while (holder < TRIBUS_BRIDGE_HOLDER && (taken >> holder & 1u) != 0)
        holder++;
    if (holder == TRIBUS_BRIDGE_HOLDER)
        return tribus_error_set(TRIBUS_FULL, "object %u has %u holders already",
                                request->number, TRIBUS_BRIDGE_HOLDER);
    if (place == TRIBUS_REGISTRY_LEASES)
        return tribus_error_set(TRIBUS_FULL, "all %u leases are in use",
                                TRIBUS_REGISTRY_LEASES);
    if (place == agent->leases_high)
        agent->leases_high++;
    agent->leases[place] = (tribus_registry_lease){.dead = false,
                                                   .holder = holder,
                                                   .object = request->number,
                                                   .participant = client->number};
    show(agent, place);
    *out = (tribus_agent_held){.holder = holder, .successor = 0};
    return TRIBUS_OK;
}

tribus_status tribus_lease_let_go(tribus_agent *agent, const tribus_client *client,
                                  const tribus_agent_request *request)
{
    const tribus_status st = check_object(agent, client, request);
    uint32_t i;

    if (st != TRIBUS_OK)
        return st;
    i = find(agent, request->number, request->kind);
    if (i == agent->leases_high || agent->leases[i].participant != client->number ||
        agent->leases[i].dead)
        return tribus_error_set(TRIBUS_NOT_FOUND, "participant %u is not holder %u",
                                client->number, request->kind);
    agent->leases[i].dead = true;
    show(agent, i);
    return TRIBUS_OK;
}

tribus_status tribus_lease_take_back(tribus_agent *agent, const tribus_client *client,
                                     const tribus_agent_request *request, bool done)
{
    const tribus_status st = check_object(agent, client, request);
    const tribus_object *row;
    uint32_t i;

    if (st != TRIBUS_OK)
        return st;
    row = &agent->objects[request->number].row;
    if (row->owner != client->number && row->owner != 0)
        return tribus_error_set(TRIBUS_REFUSED, "object %u belongs to participant %u",
                                request->number, row->owner);
    i = find(agent, request->number, request->kind);
    if (i == agent->leases_high || !agent->leases[i].dead)
        return tribus_error_set(TRIBUS_NOT_FOUND, "no dead holder %u", request->kind);
    if (done) {
        free_lease(agent, i);
        return TRIBUS_OK;
    }
    agent->leases[i].heirless = true; /* too late for a successor to go on */
    agent->leases[i].participant = client->number;
    show(agent, i);
    return TRIBUS_OK;
}

void tribus_lease_end_participant(tribus_agent *agent, uint32_t number)
{
    for (uint32_t i = 0; i < agent->leases_high; i++) {
        tribus_registry_lease *lease = &agent->leases[i];

        if (lease->object == 0 || lease->participant != number || lease->dead)
            continue;
        lease->dead = true;
        show(agent, i);
    }
}

void tribus_lease_disinherit(tribus_agent *agent, uint32_t number)
{
    for (uint32_t i = 0; i < agent->leases_high; i++) {
        tribus_registry_lease *lease = &agent->leases[i];

        if (lease->object == 0 || lease->participant != number || !lease->dead)
            continue;
        lease->heirless = true;
        show(agent, i);
    }
}

void tribus_lease_end_object(tribus_agent *agent, uint32_t number)
{
    for (uint32_t i = 0; i < agent->leases_high; i++)
        if (agent->leases[i].object == number)
            free_lease(agent, i);
}

void tribus_lease_restore(tribus_agent *agent, const tribus_registry_shm *left)
{
    for (uint32_t i = 0; i < TRIBUS_REGISTRY_LEASES; i++) {
        tribus_registry_lease lease;

        if (tribus_registry_get_lease(left, i, &lease) != TRIBUS_OK ||
            agent->objects[lease.object].state != TRIBUS_AGENT_OBJECT_RETURNING ||
            find(agent, lease.object, lease.holder) != agent->leases_high)
            continue;
        lease.dead = lease.dead || !agent->participants[lease.participant].returning;
        agent->leases[i] = lease;
        agent->leases_high = i + 1u;
        show(agent, i);
    }
}
