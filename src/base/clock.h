/* clock.h -- monotonic and wall time, deadlines, and the cheap counter behind histograms.
 *
 * tribus_now_ns() costs about 24 ns, tribus_clock_ticks() about 10: the second is for
 * measuring single messages. Ticks of two cores of one host agree (constant TSC on x86-64,
 * the generic timer on arm64).
 */
#ifndef TRIBUS_BASE_CLOCK_H
#define TRIBUS_BASE_CLOCK_H

#include "tribus/base.h"

/* The deadline timeout_ns from now, saturating. A negative timeout means "no limit" and
 * gives INT64_MAX. */
int64_t tribus_deadline_ns(int64_t timeout_ns);

/* Nanoseconds left until the deadline, 0 when it has passed. */
int64_t tribus_deadline_left_ns(int64_t deadline_ns);

#if defined(__x86_64__)
static inline uint64_t tribus_clock_ticks(void)
{
    return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
static inline uint64_t tribus_clock_ticks(void)
{
    uint64_t t;

    __asm__("mrs %0, cntvct_el0" : "=r"(t));
    return t;
}
#else
static inline uint64_t tribus_clock_ticks(void)
{
    return (uint64_t)tribus_now_ns();
}
#endif

/* Nanoseconds in a span of ticks. The rate is measured once a process, for 20 ms, at the
 * first call; call tribus_clock_calibrate() early to pay that at a time of your choosing.
 */
double tribus_clock_ns(uint64_t ticks);
void tribus_clock_calibrate(void);

/* A wall clock that is read for every message: the counter, set by the real clock once a
 * millisecond. It is within some 20 ns of that, and follows it when it is set anew within
 * the millisecond. One thread each; zero it before its first use. */
typedef struct tribus_wall_clock {
    uint64_t ticks; /* when it was set last */
    int64_t wall_ns;
    uint64_t span_ticks; /* how long it may go by itself; 0: its rate is not known yet */
    double ns_per_tick;
    uint64_t first_ticks; /* where its rate is measured from */
    int64_t first_ns;
} tribus_wall_clock;

int64_t tribus_wall_clock_set(tribus_wall_clock *clock);

static inline int64_t tribus_wall_clock_ns(tribus_wall_clock *clock)
{
    const uint64_t past = tribus_clock_ticks() - clock->ticks; /* backwards: very long */

    if (past >= clock->span_ticks)
        return tribus_wall_clock_set(clock);
    return clock->wall_ns + (int64_t)((double)past * clock->ns_per_tick);
}

/* Tell the core that this is a spin loop. */
static inline void tribus_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__("yield");
#endif
}

#endif
