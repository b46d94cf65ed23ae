/* left.c -- topics whose writer is gone, kept for a while.
 *
 * A writer may end, or die, before those who follow the registry had the time to open what
 * it wrote: that was published and must be delivered. So its topics stay in the registry,
 * without an owner and under another name, because a successor may come under the old one.
 * Who had them open reads them to their end and lets go; who had not opens them now. They go
 * after LEFT_NS, and before that when somebody needs the memory or the row.
 */
#include "agent/agent.h"
#include "base/log.h"

#include <stdio.h>

#define LEFT_NS INT64_C(30000000000)

void tribus_left_keep(tribus_agent *agent, tribus_agent_object *o)
{
    char name[TRIBUS_NAME_BYTES];

    if (o->state != TRIBUS_AGENT_OBJECT_READY || o->row.kind != TRIBUS_OBJECT_TOPIC) {
        tribus_table_abandon(agent, o);
        return;
    }
    (void)snprintf(name, sizeof(name), TRIBUS_SESSION_LEFT "%u/%.50s", o->row.number,
                   o->row.name);
    (void)snprintf(o->row.name, sizeof(o->row.name), "%s", name);
    if (o->row.owner != 0)
        agent->participants[o->row.owner].objects--;
    o->row.owner = 0;
    o->row.stays = 0;
    o->left_until_ns = tribus_now_ns() + LEFT_NS;
    agent->left_count++;
    tribus_table_show_object(agent, &o->row);
}

static tribus_agent_object *oldest(tribus_agent *agent)
{
    tribus_agent_object *found = NULL;

    for (uint32_t i = 1; i < TRIBUS_REGISTRY_OBJECTS && agent->left_count > 0; i++) {
        tribus_agent_object *o = &agent->objects[i];

        if (o->left_until_ns != 0 &&
            (found == NULL || o->left_until_ns < found->left_until_ns))
            found = o;
    }
    return found;
}

bool tribus_left_drop_one(tribus_agent *agent)
{
    tribus_agent_object *o = oldest(agent);

    if (o == NULL)
        return false;
    tribus_log(TRIBUS_LOG_INFO, "%s goes early: its memory is needed", o->row.name);
    tribus_table_abandon(agent, o);
    return true;
}

int64_t tribus_left_tick(tribus_agent *agent, int64_t now_ns)
{
    tribus_agent_object *o;

    while ((o = oldest(agent)) != NULL) {
        if (o->left_until_ns > now_ns)
            return o->left_until_ns;
        tribus_table_abandon(agent, o);
    }
    return INT64_MAX;
}
