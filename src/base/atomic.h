/* atomic.h -- the only file that names a memory order.
 *
 * The order is in the word's name, so a reader sees it at the call, and a grep for "_rel("
 * lists every publication of the project. There is no sequentially consistent word and no
 * fence on purpose: ThreadSanitizer does not follow fences, and every algorithm here can be
 * written without them (store-then-look is a swap on both sides of one word).
 */
#ifndef TRIBUS_BASE_ATOMIC_H
#define TRIBUS_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "shared memory needs address-free atomics");

#define tribus_load_rlx(p)     atomic_load_explicit((p), memory_order_relaxed)
#define tribus_load_acq(p)     atomic_load_explicit((p), memory_order_acquire)
#define tribus_store_rlx(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define tribus_store_rel(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define tribus_add_rlx(p, v)   atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define tribus_add_ar(p, v)    atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define tribus_and_rel(p, v)   atomic_fetch_and_explicit((p), (v), memory_order_release)
#define tribus_or_rlx(p, v)    atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define tribus_or_ar(p, v)     atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define tribus_and_ar(p, v)    atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)
#define tribus_swap_ar(p, v)   atomic_exchange_explicit((p), (v), memory_order_acq_rel)
/* Compare and swap: *want_p is updated on failure, with an acquire load. */
#define tribus_cas_ar(p, want_p, v)                                                        \
    atomic_compare_exchange_strong_explicit((p), (want_p), (v), memory_order_acq_rel,      \
                                            memory_order_acquire)

#endif
