/* worker.c -- see worker.h. */
#include "agent/worker.h"
#include "agent/agent.h"
#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct tribus_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    tribus_work *waiting; /* under the lock, as the next two; oldest first */
    tribus_work *done;
    bool stop;
    tribus_source event; /* eventfd: something is done */
};

static void append(tribus_work **list, tribus_work *work)
{
    while (*list != NULL)
        list = &(*list)->next;
    work->next = NULL;
    *list = work;
}

static void *thread_main(void *context)
{
    tribus_worker *w = context;
    const uint64_t one = 1;

    (void)pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        tribus_work *work = w->waiting;

        if (work == NULL) {
            (void)pthread_cond_wait(&w->more, &w->lock);
            continue;
        }
        w->waiting = work->next;
        (void)pthread_mutex_unlock(&w->lock);
        work->run(work);
        (void)pthread_mutex_lock(&w->lock);
        append(&w->done, work);
        if (write(w->event.fd, &one, sizeof(one)) < 0)
            continue; /* it is full of ones: the loop will come */
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void finish_all(tribus_agent *agent, tribus_work *list)
{
    while (list != NULL) {
        tribus_work *work = list;

        list = work->next;
        work->done(agent, work);
    }
}

static void take_done(tribus_agent *agent, void *owner, uint32_t events)
{
    tribus_worker *w = owner;
    uint64_t count;
    tribus_work *list;

    (void)events;
    if (read(w->event.fd, &count, sizeof(count)) < 0)
        return;
    (void)pthread_mutex_lock(&w->lock);
    list = w->done;
    w->done = NULL;
    (void)pthread_mutex_unlock(&w->lock);
    finish_all(agent, list);
}

tribus_status tribus_worker_open(tribus_agent *agent, tribus_worker **out)
{
    tribus_worker *w = calloc(1, sizeof(*w));
    sigset_t all, before;
    int fd = -1, err;

    if (w == NULL)
        return tribus_error_set(TRIBUS_SYSTEM, "worker");
    w->event = (tribus_source){.ready = take_done, .owner = w, .fd = -1};
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->more, NULL);
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0 || tribus_agent_watch(agent, &w->event, fd, EPOLLIN) != TRIBUS_OK)
        goto fail;
    (void)sigfillset(&all); /* signals belong to the program's own threads */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&w->thread, NULL, thread_main, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        errno = err;
        goto fail;
    }
    *out = w;
    return TRIBUS_OK;

fail:
    (void)tribus_error_set(TRIBUS_SYSTEM, "worker's thread");
    if (w->event.fd >= 0)
        tribus_agent_unwatch(agent, &w->event);
    else if (fd >= 0)
        (void)close(fd);
    free(w);
    return TRIBUS_SYSTEM;
}

void tribus_worker_submit(tribus_worker *w, tribus_work *work)
{
    (void)pthread_mutex_lock(&w->lock);
    append(&w->waiting, work);
    (void)pthread_cond_signal(&w->more);
    (void)pthread_mutex_unlock(&w->lock);
}

void tribus_worker_close(tribus_agent *agent, tribus_worker *w)
{
    if (w == NULL)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->stop = true;
    (void)pthread_cond_signal(&w->more);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    finish_all(NULL, w->waiting);
    finish_all(NULL, w->done);
    tribus_agent_unwatch(agent, &w->event);
    (void)pthread_cond_destroy(&w->more);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}
