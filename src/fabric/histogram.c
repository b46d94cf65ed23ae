/* histogram.c -- see fabric.h.
 *
 * Values below 32 have a bucket each. Above, the octave [2^e, 2^(e+1)) is cut into 32 equal
 * steps, so a bucket is at most 1/32 of its value wide. All words are relaxed: one process
 * writes them, and a reader that sees one message more in one word than in another is no
 * worse off. */
#include "fabric/histogram.h"

#include "base/error.h"

#define STEPS   (1u << TRIBUS_HISTOGRAM_STEP_BITS)
#define BUCKETS TRIBUS_HISTOGRAM_BUCKETS
#define TOP     (((uint64_t)1 << TRIBUS_HISTOGRAM_TOP_BITS) - 1u)

static uint32_t bucket_of(uint64_t ns)
{
    uint32_t octave;

    if (ns < STEPS)
        return (uint32_t)ns;
    if (ns > TOP)
        ns = TOP;
    octave = 63u - (uint32_t)__builtin_clzll(ns) - TRIBUS_HISTOGRAM_STEP_BITS;
    return ((octave + 1u) << TRIBUS_HISTOGRAM_STEP_BITS) +
           (uint32_t)((ns >> octave) & (STEPS - 1u));
}

/* The largest value of a bucket. */
static uint64_t bucket_top(uint32_t i)
{
    const uint32_t octave = i >> TRIBUS_HISTOGRAM_STEP_BITS;

    if (octave == 0)
        return i;
    return (((uint64_t)STEPS + (i & (STEPS - 1u)) + 1u) << (octave - 1u)) - 1u;
}

static tribus_status check(const void *mem, size_t bytes, tribus_status fault)
{
    if (mem == NULL || bytes < TRIBUS_HISTOGRAM_BYTES ||
        (uintptr_t)mem % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(fault,
                                "histogram: needs %u bytes at a multiple of 64, has %zu",
                                TRIBUS_HISTOGRAM_BYTES, bytes);
    return TRIBUS_OK;
}

tribus_status tribus_histogram_create(void *mem, size_t bytes, tribus_histogram **out)
{
    struct tribus_histogram *h = mem;
    const tribus_status st = check(mem, bytes, TRIBUS_BAD_ARG);

    if (st != TRIBUS_OK)
        return st;
    tribus_store_rlx(&h->max_ns, 0u);
    for (uint32_t i = 0; i < BUCKETS; i++)
        tribus_store_rlx(&h->buckets[i], 0u);
    *out = h;
    return TRIBUS_OK;
}

tribus_status tribus_histogram_open(const void *mem, size_t bytes,
                                    const tribus_histogram **out)
{
    const tribus_status st = check(mem, bytes, TRIBUS_CORRUPT);

    if (st == TRIBUS_OK)
        *out = mem;
    return st;
}

static void raise_by(_Atomic(uint64_t) *word, uint64_t n)
{
    tribus_store_rlx(word, tribus_load_rlx(word) + n); /* ours: nobody else stores it */
}

void tribus_histogram_record(tribus_histogram *h, int64_t ns)
{
    const uint64_t value =
        ns < 0 ? 0 : (uint64_t)ns; /* two clocks that disagree a little */

    raise_by(&h->buckets[bucket_of(value)], 1);
    if (value > tribus_load_rlx(&h->max_ns)) /* ours: nobody else stores it */
        tribus_store_rlx(&h->max_ns, value);
}

uint64_t tribus_histogram_quantile_ns(const tribus_histogram *h, double q)
{
    uint64_t total = 0, want, seen = 0;
    const uint64_t max_ns = tribus_load_rlx(&h->max_ns); /* read alone, by people */

    for (uint32_t i = 0; i < BUCKETS; i++)
        total += tribus_load_rlx(&h->buckets[i]);
    if (total == 0)
        return 0;
    q = q >= 0.0 ? (q <= 1.0 ? q : 1.0) : 0.0;
    want = (uint64_t)(q * (double)total);
    if (want >= total)
        want = total - 1;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        seen += tribus_load_rlx(&h->buckets[i]);
        if (seen > want) {
            const uint64_t top = bucket_top(i);

            return top < max_ns || i == BUCKETS - 1 ? top : max_ns;
        }
    }
    return max_ns; /* a writer took counts away while we looked */
}

uint64_t tribus_histogram_count_below(const tribus_histogram *h, uint64_t ns)
{
    const uint32_t last = bucket_of(ns);
    uint64_t n = 0;

    for (uint32_t i = 0; i <= last; i++)
        n += tribus_load_rlx(&h->buckets[i]); /* read alone, by people */
    return n;
}

/* Each bucket counted at its middle: within 1.6 %. */
static uint64_t sum_of(const tribus_histogram *h)
{
    uint64_t sum = 0, low = 0;

    for (uint32_t i = 0; i < BUCKETS; i++) {
        const uint64_t top = bucket_top(i);

        sum += tribus_load_rlx(&h->buckets[i]) * (low + (top - low) / 2u); /* as above */
        low = top + 1u;
    }
    return sum;
}

void tribus_histogram_read(const tribus_histogram *h, tribus_histogram_values *out)
{
    out->count = tribus_histogram_count_below(h, TOP);
    out->sum_ns = sum_of(h);
    out->max_ns = tribus_load_rlx(&h->max_ns); /* read alone, by people */
    out->p50_ns = tribus_histogram_quantile_ns(h, 0.50);
    out->p90_ns = tribus_histogram_quantile_ns(h, 0.90);
    out->p99_ns = tribus_histogram_quantile_ns(h, 0.99);
    out->p999_ns = tribus_histogram_quantile_ns(h, 0.999);
}
