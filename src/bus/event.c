/* event.c -- see event.h. */
#include "bus/event.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct tribus_event {
    int epoll;
    int more;  /* eventfd: raised */
    int timer; /* timerfd, stopped where bells say it all */
    tribus_watch *watch;
    uint32_t count;
    tribus_doorbell_shm *bells[TRIBUS_EVENT_MOST_BELLS]; /* of the watch */
};

static bool add(tribus_event *e, int fd)
{
    struct epoll_event interest = {.events = EPOLLIN};

    return fd >= 0 && epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &interest) == 0;
}

tribus_status tribus_event_open(tribus_event **out)
{
    tribus_event *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "event descriptor");
    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    e->more = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    e->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (e->epoll < 0 || !add(e, e->more) || !add(e, e->timer)) {
        const tribus_status st = tribus_error_set(TRIBUS_SYSTEM, "event descriptor");

        tribus_event_close(e);
        return st;
    }
    *out = e;
    return TRIBUS_OK;
}

static void close_watch(tribus_event *e)
{
    if (e->watch != NULL)
        (void)epoll_ctl(e->epoll, EPOLL_CTL_DEL, tribus_watch_fd(e->watch), NULL);
    tribus_watch_close(e->watch);
    e->watch = NULL;
    e->count = 0;
}

void tribus_event_close(tribus_event *e)
{
    if (e == NULL)
        return;
    close_watch(e);
    if (e->timer >= 0)
        (void)close(e->timer);
    if (e->more >= 0)
        (void)close(e->more);
    if (e->epoll >= 0)
        (void)close(e->epoll);
    free(e);
}

int tribus_event_fd(const tribus_event *e)
{
    return e->epoll;
}

void tribus_event_raise(tribus_event *e)
{
    const uint64_t one = 1;

    if (write(e->more, &one, sizeof(one)) < 0)
        return; /* full: it is readable already, which is all we want */
}

static void lower(tribus_event *e)
{
    uint64_t raised;

    if (read(e->more, &raised, sizeof(raised)) < 0)
        return; /* it was not raised */
}

/* false: there is no watch, the timer has to do. */
static bool watch_these(tribus_event *e, tribus_doorbell_shm *const *bells, uint32_t count)
{
    if (e->watch != NULL && count == e->count &&
        memcmp(e->bells, bells, count * sizeof(*bells)) == 0)
        return true;
    close_watch(e);
    if (tribus_watch_open(bells, count, &e->watch) != TRIBUS_OK) {
        e->watch = NULL;
        tribus_error_clear();
        return false;
    }
    if (!add(e, tribus_watch_fd(e->watch))) {
        tribus_watch_close(e->watch);
        e->watch = NULL;
        return false;
    }
    memcpy(e->bells, bells, count * sizeof(*bells));
    e->count = count;
    return true;
}

void tribus_event_arm(tribus_event *e, tribus_doorbell_shm *const *bells, uint32_t count,
                      int64_t step_ns)
{
    struct itimerspec step = {.it_value = {.tv_nsec = 0}};

    lower(e);
    if (!watch_these(e, bells, count) && step_ns == 0)
        step_ns = 1000000; /* out of threads or descriptors: slower, not deaf */
    if (e->watch != NULL)
        tribus_watch_arm(e->watch);
    step.it_value.tv_sec = step_ns / 1000000000;
    step.it_value.tv_nsec = step_ns % 1000000000;
    (void)timerfd_settime(e->timer, 0, &step,
                          NULL); /* 0 stops it, and it is not readable */
}

void tribus_event_forget(tribus_event *e)
{
    if (e->watch == NULL)
        return;
    close_watch(e);
    tribus_event_raise(e);
}
