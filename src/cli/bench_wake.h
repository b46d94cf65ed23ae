/* bench_wake.h -- what waking a sleeper costs here and now, without any pipeline: two processes
 * and two doorbells.
 */
#ifndef TRIBUS_CLI_BENCH_WAKE_H
#define TRIBUS_CLI_BENCH_WAKE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tribus_bench_waker tribus_bench_waker;

/* Start the other process, which sleeps. Owned by the caller: tribus_bench_wake_stop(), NULL is
 * allowed there. Returns NULL with the error text set. */
tribus_bench_waker *tribus_bench_wake_start(void);
void tribus_bench_wake_stop(tribus_bench_waker *waker);

/* Compute for busy_ns while the other sleeps, wake it, and sleep until it wakes us, also after
 * busy_ns. *ns: from our press to its first instruction. Returns false with the error text
 * set when it does not answer within a minute. */
bool tribus_bench_wake(tribus_bench_waker *waker, int64_t busy_ns, int64_t *ns);

#endif
