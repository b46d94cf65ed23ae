/* cuda_watch.c -- see cuda_watch.h. One lock over one list of timelines; the thread holds it
 * while it looks, which is short: only a deadline that has passed makes it ask the card. */
#include "device/cuda_watch.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_NS   INT64_C(1000000)
#define AGAIN_NS  INT64_C(5000000) /* poison is written again, and deadlines are merged */
#define CARD_NS   INT64_C(1000000000)
#define DEADLINES 256u

typedef struct deadline {
    int64_t value, at_ns;
    uint64_t guard;
} deadline;

typedef struct watched {
    struct watched *next;
    tribus_cuda_timeline timeline;
    deadline deadlines[DEADLINES]; /* oldest first */
    uint32_t count;
    bool poisoned;
    int64_t again_ns;
} watched;

struct tribus_cuda_watch {
    tribus_cuda_context *context;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    tribus_cuda_stream stream;
    watched *list;
    uint64_t guards, late;
    bool stop;
};

/* ---- all of these hold the lock ---- */

static watched *find(tribus_cuda_watch *w, const tribus_cuda_timeline *t)
{
    for (watched *x = w->list; x != NULL; x = x->next)
        if (x->timeline.address == t->address)
            return x;
    return NULL;
}

static tribus_status write_poison(tribus_cuda_watch *w, watched *x)
{
    const tribus_cuda_driver *cu = w->context->cu;
    const tribus_cu_ptr at = x->timeline.address;
    tribus_cu_result result;

    x->poisoned = true;
    x->count = 0;
    x->again_ns = tribus_now_ns() + AGAIN_NS;
    if (x->timeline.host != NULL) {
        tribus_timeline_poison(x->timeline.host);
        return TRIBUS_OK;
    }
    /* The word that stays before the value that lets waiters through. */
    result = cu->stream_write_value_64(w->stream.stream, at + TRIBUS_CUDA_TIMELINE_POISON,
                                       1, TRIBUS_CU_WRITE_DEFAULT);
    if (result == TRIBUS_CU_OK)
        result = cu->stream_write_value_64(
            w->stream.stream, at + TRIBUS_CUDA_TIMELINE_VALUE,
            (uint64_t)TRIBUS_TIMELINE_POISON, TRIBUS_CU_WRITE_DEFAULT);
    return tribus_cuda_context_check(w->context, result, "poison a timeline of the card");
}

static tribus_status value_of(tribus_cuda_watch *w, const watched *x, int64_t *out)
{
    tribus_status st;

    if (x->timeline.host != NULL) {
        *out = tribus_timeline_get(x->timeline.host);
        return TRIBUS_OK;
    }
    st =
        tribus_cuda_context_check(w->context,
                                  w->context->cu->memcpy_dtoh_async(
                                      out, x->timeline.address + TRIBUS_CUDA_TIMELINE_VALUE,
                                      sizeof(*out), w->stream.stream),
                                  "look at a timeline of the card");
    return st == TRIBUS_OK ? tribus_cuda_stream_wait(&w->stream, CARD_NS) : st;
}

static void drop_reached(watched *x, int64_t value)
{
    uint32_t reached = 0;

    while (reached < x->count && x->deadlines[reached].value <= value)
        reached++;
    x->count -= reached;
    memmove(x->deadlines, x->deadlines + reached, x->count * sizeof(x->deadlines[0]));
}

/* The card is asked only when a deadline has passed; host memory is looked at each time. */
static void look(tribus_cuda_watch *w, watched *x, int64_t now_ns)
{
    const bool late = x->count > 0 && x->deadlines[0].at_ns <= now_ns;
    tribus_status st = TRIBUS_OK;
    int64_t value = 0;

    if (x->poisoned) {
        if (now_ns >= x->again_ns)
            st = write_poison(w, x);
    } else if (x->count > 0 && (late || x->timeline.host != NULL)) {
        st = value_of(w, x, &value);
        if (st == TRIBUS_OK)
            drop_reached(x, value);
        if (st == TRIBUS_OK && x->count > 0 && x->deadlines[0].at_ns <= now_ns) {
            w->late++;
            st = write_poison(w, x);
        }
    }
    if (st == TRIBUS_OK)
        return;
    /* A card that does not answer completes no wait either; say so once and let go. */
    tribus_log(TRIBUS_LOG_ERROR, "watch of %s: %s", w->context->base.name,
               tribus_error_text());
    x->poisoned = false;
    x->count = 0;
}

static bool anything(const tribus_cuda_watch *w)
{
    for (const watched *x = w->list; x != NULL; x = x->next)
        if (x->poisoned || x->count > 0)
            return true;
    return false;
}

/* ---- the thread ---- */

static void *watch_main(void *context)
{
    tribus_cuda_watch *w = context;

    if (tribus_cuda_context_enter(w->context) != TRIBUS_OK)
        tribus_log(TRIBUS_LOG_ERROR, "watch: %s", tribus_error_text());
    (void)pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        if (anything(w)) {
            const int64_t until_ns = tribus_now_ns() + TICK_NS;
            const struct timespec until = {.tv_sec = until_ns / 1000000000,
                                           .tv_nsec = until_ns % 1000000000};

            (void)pthread_cond_timedwait(&w->changed, &w->lock, &until);
        } else {
            (void)pthread_cond_wait(&w->changed, &w->lock);
        }
        for (watched *x = w->list; x != NULL; x = x->next)
            look(w, x, tribus_now_ns());
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

static tribus_status start(tribus_cuda_context *c)
{
    tribus_cuda_watch *w = calloc(1, sizeof(*w));
    pthread_condattr_t monotonic;
    tribus_status st;

    if (w == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "watch: %zu bytes", sizeof(*w));
    w->context = c;
    st = tribus_cuda_stream_open(c, &w->stream);
    if (st != TRIBUS_OK) {
        free(w);
        return st;
    }
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (pthread_create(&w->thread, NULL, watch_main, w) != 0) {
        tribus_cuda_stream_close(&w->stream);
        free(w);
        return tribus_error_set(TRIBUS_SYSTEM, "watch: start its thread");
    }
    c->watch = w;
    return TRIBUS_OK;
}

void tribus_cuda_watch_close(tribus_cuda_watch *w)
{
    if (w == NULL)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->stop = true;
    (void)pthread_cond_signal(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    while (w->list != NULL) {
        watched *x = w->list;

        w->list = x->next;
        free(x);
    }
    (void)pthread_cond_destroy(&w->changed);
    (void)pthread_mutex_destroy(&w->lock);
    (void)w->context->cu->ctx_set_current(w->context->context);
    tribus_cuda_stream_close(&w->stream);
    free(w);
}

/* ---- callers ---- */

static void add_deadline(watched *x, int64_t value, int64_t at_ns, uint64_t guard)
{
    deadline *last = x->count > 0 ? &x->deadlines[x->count - 1] : NULL;

    if (last == NULL || (at_ns - last->at_ns >= AGAIN_NS && x->count < DEADLINES))
        last = &x->deadlines[x->count++];
    else if (value < last->value)
        value = last->value;
    *last = (deadline){value, at_ns, guard};
}

tribus_status tribus_cuda_watch_guard(tribus_cuda_context *c, const tribus_cuda_timeline *t,
                                      int64_t value, int64_t timeout_ns, uint64_t *guard)
{
    tribus_cuda_watch *w;
    watched *x;
    tribus_status st = c->watch == NULL ? start(c) : TRIBUS_OK;

    if (st != TRIBUS_OK)
        return st;
    w = c->watch;
    (void)pthread_mutex_lock(&w->lock);
    x = find(w, t);
    if (x == NULL) {
        x = calloc(1, sizeof(*x));
        if (x == NULL) {
            (void)pthread_mutex_unlock(&w->lock);
            return tribus_error_set(TRIBUS_NO_MEMORY, "watch: %zu bytes", sizeof(*x));
        }
        x->timeline = *t;
        x->next = w->list;
        w->list = x;
    }
    *guard = ++w->guards;
    if (value == TRIBUS_TIMELINE_POISON)
        st = write_poison(w, x);
    else if (!x->poisoned)
        add_deadline(x, value, tribus_deadline_ns(timeout_ns), *guard);
    (void)pthread_cond_signal(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
    return st;
}

void tribus_cuda_watch_release(tribus_cuda_context *c, uint64_t guard)
{
    tribus_cuda_watch *w = c->watch;

    (void)pthread_mutex_lock(&w->lock);
    for (watched *x = w->list; x != NULL; x = x->next)
        if (x->count > 0 && x->deadlines[x->count - 1].guard == guard)
            x->count--;
    (void)pthread_mutex_unlock(&w->lock);
}

void tribus_cuda_watch_forget(tribus_cuda_context *c, const tribus_cuda_timeline *t)
{
    tribus_cuda_watch *w = c->watch;

    if (w == NULL)
        return;
    (void)pthread_mutex_lock(&w->lock);
    for (watched **at = &w->list; *at != NULL; at = &(*at)->next) {
        watched *x = *at;

        if (x->timeline.address != t->address)
            continue;
        *at = x->next;
        free(x);
        break;
    }
    (void)pthread_mutex_unlock(&w->lock);
}

uint64_t tribus_cuda_watch_late(const tribus_cuda_context *c)
{
    tribus_cuda_watch *w = c->watch;
    uint64_t late;

    if (w == NULL)
        return 0;
    (void)pthread_mutex_lock(&w->lock);
    late = w->late;
    (void)pthread_mutex_unlock(&w->lock);
    return late;
}
