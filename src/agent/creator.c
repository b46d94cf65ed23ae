/* creator.c -- memory files that take long, on a thread of its own.
 *
 * Reserving a page takes the kernel 2.4 us and it does so inside one call: 1 GiB would hold
 * the loop up for 0.6 s, in which nobody would be seen to die. The thread knows nothing of
 * the tables: it gets a copy of what it needs and gives back a descriptor or a reason. The
 * object may be gone by then, with its creator; then the descriptor is closed.
 */
#include "agent/agent.h"
#include "base/error.h"
#include "base/os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct job {
    struct job *next;
    char file[TRIBUS_NAME_BYTES + 8];
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

struct tribus_creator {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    job *waiting; /* under the lock, as the next three; oldest first */
    job *done;
    bool stop;
    const char *memory_dir;
    tribus_source event; /* eventfd: something is done */
};

static void append(job **list, job *j)
{
    while (*list != NULL)
        list = &(*list)->next;
    j->next = NULL;
    *list = j;
}

static void *thread_main(void *context)
{
    tribus_creator *k = context;
    const uint64_t one = 1;

    (void)pthread_mutex_lock(&k->lock);
    while (!k->stop) {
        job *j = k->waiting;

        if (j == NULL) {
            (void)pthread_cond_wait(&k->more, &k->lock);
            continue;
        }
        k->waiting = j->next;
        (void)pthread_mutex_unlock(&k->lock);
        j->status =
            tribus_os_memory_create(j->file, (size_t)j->bytes, k->memory_dir, &j->fd);
        if (j->status != TRIBUS_OK)
            (void)snprintf(j->text, sizeof(j->text), "%s", tribus_error_text());
        (void)pthread_mutex_lock(&k->lock);
        append(&k->done, j);
        if (write(k->event.fd, &one, sizeof(one)) < 0)
            continue; /* it is full of ones: the loop will come */
    }
    (void)pthread_mutex_unlock(&k->lock);
    return NULL;
}

static void finish(tribus_agent *agent, job *j)
{
    tribus_agent_object *o = &agent->objects[j->object];

    if (o->state != TRIBUS_AGENT_OBJECT_CREATING || o->row.generation != j->generation) {
        if (j->status == TRIBUS_OK)
            (void)close(j->fd);
        return;
    }
    if (j->status == TRIBUS_OK) {
        tribus_table_finish(agent, o, j->fd);
        tribus_clients_created(agent, j->participant, j->epoch, j->sequence, o, TRIBUS_OK);
        return;
    }
    tribus_table_abandon(agent, o);
    /* Its text has errno in it already. */
    (void)tribus_error_set(TRIBUS_REFUSED, "%s", j->text);
    tribus_clients_created(agent, j->participant, j->epoch, j->sequence, NULL, j->status);
}

static void take_done(tribus_agent *agent, void *owner, uint32_t events)
{
    tribus_creator *k = owner;
    uint64_t count;
    job *list;

    (void)events;
    if (read(k->event.fd, &count, sizeof(count)) < 0)
        return;
    (void)pthread_mutex_lock(&k->lock);
    list = k->done;
    k->done = NULL;
    (void)pthread_mutex_unlock(&k->lock);
    while (list != NULL) {
        job *j = list;

        list = j->next;
        finish(agent, j);
        free(j);
    }
}

static tribus_status start(tribus_agent *agent)
{
    tribus_creator *k = calloc(1, sizeof(*k));
    sigset_t all, before;
    int fd = -1, err;

    if (k == NULL)
        return tribus_error_set(TRIBUS_SYSTEM, "creator");
    k->memory_dir = agent->cfg.memory_dir;
    k->event = (tribus_source){.ready = take_done, .owner = k, .fd = -1};
    (void)pthread_mutex_init(&k->lock, NULL);
    (void)pthread_cond_init(&k->more, NULL);
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0 || tribus_agent_watch(agent, &k->event, fd, EPOLLIN) != TRIBUS_OK)
        goto fail;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&k->thread, NULL, thread_main, k);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        errno = err;
        goto fail;
    }
    agent->creator = k;
    return TRIBUS_OK;

fail:
    (void)tribus_error_set(TRIBUS_SYSTEM, "creator's thread");
    if (k->event.fd >= 0)
        tribus_agent_unwatch(agent, &k->event);
    else if (fd >= 0)
        (void)close(fd);
    free(k);
    return TRIBUS_SYSTEM;
}

tribus_status tribus_creator_submit(tribus_agent *agent, const tribus_client *client,
                                    const tribus_agent_object *o, uint64_t sequence)
{
    tribus_creator *k;
    job *j = calloc(1, sizeof(*j));

    if (j == NULL || (agent->creator == NULL && start(agent) != TRIBUS_OK)) {
        free(j);
        return TRIBUS_SYSTEM;
    }
    k = agent->creator;
    (void)snprintf(j->file, sizeof(j->file), "tribus-%s", o->row.name);
    j->bytes = o->row.bytes;
    j->object = o->row.number;
    j->generation = o->row.generation;
    j->participant = client->number;
    j->epoch = agent->participants[client->number].epoch;
    j->sequence = sequence;
    j->fd = -1;
    (void)pthread_mutex_lock(&k->lock);
    append(&k->waiting, j);
    (void)pthread_cond_signal(&k->more);
    (void)pthread_mutex_unlock(&k->lock);
    return TRIBUS_OK;
}

static void free_all(job *list)
{
    while (list != NULL) {
        job *j = list;

        list = j->next;
        if (j->fd >= 0)
            (void)close(j->fd);
        free(j);
    }
}

void tribus_creator_close(tribus_agent *agent)
{
    tribus_creator *k = agent->creator;

    if (k == NULL)
        return;
    (void)pthread_mutex_lock(&k->lock);
    k->stop = true;
    (void)pthread_cond_signal(&k->more);
    (void)pthread_mutex_unlock(&k->lock);
    (void)pthread_join(k->thread, NULL);
    free_all(k->waiting);
    free_all(k->done);
    tribus_agent_unwatch(agent, &k->event);
    (void)pthread_cond_destroy(&k->more);
    (void)pthread_mutex_destroy(&k->lock);
    free(k);
    agent->creator = NULL;
}
