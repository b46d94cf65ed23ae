/* watch.c -- see fabric.h: an eventfd that fires when a doorbell is pressed.
 *
 * The thread sleeps on the words of the bells, with the values that arm() saw when it
 * announced a sleeper, so a press between arm() and the thread's sleep changes a word and
 * the thread does not sleep (doorbell.c has the proof). The thread touches nothing but the
 * words of the bells and `armed`.
 *
 * Ordering
 *   R1 -> A1   arm -> thread    the thread sees the values of the words that belong to it
 * and the pair of doorbell.c: what was published before a press that arm() saw is seen by the
 * look after arm().
 */
#include "base/error.h"
#include "base/os.h"
#include "fabric/layout.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BELLS_MAX 127u /* one word of the 128 is our own */

#define DISARMED 0u
#define ARMED    1u
#define ENDING   2u

struct tribus_watch {
    _Atomic(uint32_t) armed; /* also what the thread sleeps on */
    uint32_t count;
    int event;
    pthread_t thread;
    _Atomic(uint32_t) *words[BELLS_MAX + 1];
    _Atomic(uint32_t) seen[BELLS_MAX + 1];
};

static void fire(tribus_watch *w)
{
    const uint64_t one = 1;

    if (write(w->event, &one, sizeof(one)) < 0)
        return; /* full: it is readable already, which is all we want */
}

static void *watch(void *context)
{
    tribus_watch *w = context;

    for (;;) {
        uint32_t seen[BELLS_MAX + 1];
        uint32_t armed =
            tribus_load_acq(&w->armed); /* A1 pairs with R1 in tribus_watch_arm */
        tribus_status st;

        if (armed == ENDING)
            return NULL;
        if (armed == DISARMED) {
            st = tribus_os_futex_wait(&w->armed, DISARMED, -1);
            if (st != TRIBUS_OK)
                break;
            continue;
        }
        for (uint32_t i = 0; i < w->count; i++)
            seen[i] = tribus_load_rlx(&w->seen[i]); /* shown by R1 */
        seen[w->count] = ARMED;
        st = tribus_os_futex_wait_any(w->words, seen, w->count + 1u, TRIBUS_SLEEP_STEP_NS);
        if (st != TRIBUS_OK && st != TRIBUS_TIMEOUT)
            break;
        /* Armed again meanwhile is still armed: the look then is one too many. */
        if (tribus_cas_ar(&w->armed, &armed, DISARMED))
            fire(w);
    }
    fire(w); /* a bell is no longer mapped, say: who waits for us must look */
    return NULL;
}

tribus_status tribus_watch_open(tribus_doorbell_shm *const *bells, uint32_t count,
                                tribus_watch **out)
{
    tribus_watch *w;

    if (bells == NULL || count == 0 || count > BELLS_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG, "watch %u doorbells: 1..%u allowed", count,
                                BELLS_MAX);
    w = calloc(1, sizeof(*w));
    if (w == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "watch: handle");
    for (uint32_t i = 0; i < count; i++)
        w->words[i] = &bells[i]->word;
    w->words[count] = &w->armed;
    w->count = count;
    w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->event < 0) {
        free(w);
        return tribus_error_set(TRIBUS_SYSTEM, "watch: eventfd");
    }
    errno = pthread_create(&w->thread, NULL, watch, w);
    if (errno != 0) {
        const tribus_status st = tribus_error_set(TRIBUS_SYSTEM, "watch: thread");

        (void)close(w->event);
        free(w);
        return st;
    }
    *out = w;
    return TRIBUS_OK;
}

void tribus_watch_close(tribus_watch *w)
{
    if (w == NULL)
        return;
    (void)tribus_swap_ar(&w->armed, ENDING);
    tribus_os_futex_wake(&w->armed, 1);
    (void)pthread_join(w->thread, NULL);
    (void)close(w->event);
    free(w);
}

int tribus_watch_fd(const tribus_watch *w)
{
    return w->event;
}

void tribus_watch_arm(tribus_watch *w)
{
    uint64_t fired;

    if (read(w->event, &fired, sizeof(fired)) < 0)
        fired = 0; /* it had not */
    for (uint32_t i = 0; i < w->count; i++)
        /* announces a sleeper, as in doorbell.c; the store is shown by R1 */
        tribus_store_rlx(&w->seen[i], tribus_or_ar(w->words[i], 1u) | 1u);
    /* R1 pairs with A1 in watch. */
    if (tribus_swap_ar(&w->armed, ARMED) == DISARMED)
        tribus_os_futex_wake(&w->armed, 1);
}
