/* creator.c -- memory files that take long, on a thread of its own.
 *
 * Reserving a page takes the kernel 2.4 us and it does so inside one call: 1 GiB would hold
 * the loop up for 0.6 s, in which nobody would be seen to die. The thread knows nothing of
 * the tables: it gets a copy of what it needs and gives back a descriptor or a reason. The
 * object may be gone by then, with its creator; then the descriptor is closed.
 */
#include "agent/agent.h"
#include "agent/worker.h"
#include "base/error.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct job {
    tribus_work work; /* first */
    char file[TRIBUS_NAME_BYTES + 8];
    const char *memory_dir;
    uint64_t bytes;
    uint32_t object;
    uint64_t generation;
    uint32_t participant;
    uint32_t epoch;
    uint64_t sequence;
    tribus_status status;
    int fd;
    char text[TRIBUS_AGENT_TEXT_BYTES];
} job;

static void run(tribus_work *work)
{
    job *j = (job *)work;

    j->status = tribus_os_memory_create(j->file, (size_t)j->bytes, j->memory_dir, &j->fd);
    if (j->status != TRIBUS_OK)
        (void)snprintf(j->text, sizeof(j->text), "%s", tribus_error_text());
}

static void finish(tribus_agent *agent, job *j)
{
    tribus_agent_object *o = &agent->objects[j->object];

    if (o->state != TRIBUS_AGENT_OBJECT_CREATING || o->row.generation != j->generation)
        return;
    if (j->status == TRIBUS_OK) {
        tribus_table_finish(agent, o, j->fd);
        j->fd = -1; /* taken */
        tribus_clients_created(agent, j->participant, j->epoch, j->sequence, o, TRIBUS_OK);
        return;
    }
    tribus_table_abandon(agent, o);
    /* Its text has errno in it already. */
    (void)tribus_error_set(TRIBUS_REFUSED, "%s", j->text);
    tribus_clients_created(agent, j->participant, j->epoch, j->sequence, NULL, j->status);
}

static void done(tribus_agent *agent, tribus_work *work)
{
    job *j = (job *)work;

    if (agent != NULL)
        finish(agent, j);
    if (j->fd >= 0)
        (void)close(j->fd);
    free(j);
}

tribus_status tribus_creator_submit(tribus_agent *agent, const tribus_client *client,
                                    const tribus_agent_object *o, uint64_t sequence)
{
    job *j = calloc(1, sizeof(*j));

    if (j == NULL || (agent->creator == NULL &&
                      tribus_worker_open(agent, &agent->creator) != TRIBUS_OK)) {
        free(j);
        return TRIBUS_SYSTEM;
    }
    j->work = (tribus_work){.run = run, .done = done};
    (void)snprintf(j->file, sizeof(j->file), "tribus-%s", o->row.name);
    j->memory_dir = agent->cfg.memory_dir;
    j->bytes = o->row.bytes;
    j->object = o->row.number;
    j->generation = o->row.generation;
    j->participant = client->number;
    j->epoch = agent->participants[client->number].epoch;
    j->sequence = sequence;
    j->fd = -1;
    tribus_worker_submit(agent->creator, &j->work);
    return TRIBUS_OK;
}

void tribus_creator_close(tribus_agent *agent)
{
    tribus_worker_close(agent, agent->creator);
    agent->creator = NULL;
}
