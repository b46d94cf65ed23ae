/* clock.c -- see clock.h. */
#include "base/clock.h"

#include <pthread.h>
#include <time.h>

#define SPAN_NS 1000000 /* a wall clock goes by itself */

static pthread_once_t calibrate_once = PTHREAD_ONCE_INIT;
static double ns_per_tick; /* written once under calibrate_once */

static int64_t clock_read(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t); /* cannot fail for these two clocks */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t tribus_now_ns(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

int64_t tribus_now_wall_ns(void)
{
    return clock_read(CLOCK_REALTIME);
}

int64_t tribus_deadline_ns(int64_t timeout_ns)
{
    const int64_t now = tribus_now_ns();

    if (timeout_ns < 0 || timeout_ns > INT64_MAX - now)
        return INT64_MAX;
    return now + timeout_ns;
}

int64_t tribus_deadline_left_ns(int64_t deadline_ns)
{
    const int64_t now = tribus_now_ns();

    if (deadline_ns == INT64_MAX)
        return INT64_MAX;
    return deadline_ns > now ? deadline_ns - now : 0;
}

static void calibrate(void)
{
    double best = 0.0;
    uint64_t best_ticks = UINT64_MAX;

    /* The shortest of three spans was disturbed least. */
    for (int i = 0; i < 3; i++) {
        const int64_t n0 = tribus_now_ns();
        const uint64_t t0 = tribus_clock_ticks();
        int64_t n1;
        uint64_t ticks;

        do
            n1 = tribus_now_ns();
        while (n1 - n0 < 7000000);
        ticks = tribus_clock_ticks() - t0;
        if (ticks < best_ticks) {
            best_ticks = ticks;
            best = ticks == 0 ? 1.0 : (double)(n1 - n0) / (double)ticks;
        }
    }
    ns_per_tick = best;
}

void tribus_clock_calibrate(void)
{
    (void)pthread_once(&calibrate_once, calibrate);
}

double tribus_clock_ns(uint64_t ticks)
{
    tribus_clock_calibrate();
    return (double)ticks * ns_per_tick;
}

int64_t tribus_wall_clock_set(tribus_wall_clock *clock)
{
    const int64_t now_ns = tribus_now_ns();
    const uint64_t ticks = tribus_clock_ticks();

    clock->wall_ns = tribus_now_wall_ns();
    clock->ticks = ticks;
    if (clock->first_ns == 0) {
        clock->first_ns = now_ns;
        clock->first_ticks = ticks;
    } else if (now_ns - clock->first_ns > 5 * SPAN_NS && ticks > clock->first_ticks) {
        clock->ns_per_tick =
            (double)(now_ns - clock->first_ns) / (double)(ticks - clock->first_ticks);
        clock->span_ticks = (uint64_t)((double)SPAN_NS / clock->ns_per_tick);
    }
    return clock->wall_ns;
}
