/* test_histogram.c -- src/fabric/histogram.c */
#include "check.h"

#include "base/random.h"
#include "tribus/fabric.h"

static tribus_histogram *histogram_of(void **mem)
{
    tribus_histogram *h = NULL;

    *mem = aligned_alloc(64, TRIBUS_HISTOGRAM_BYTES);
    CHECK(*mem != NULL);
    CHECK(tribus_histogram_create(*mem, TRIBUS_HISTOGRAM_BYTES, &h) == TRIBUS_OK);
    return h;
}

static void every_value_is_kept_within_its_step(void)
{
    void *mem;

    for (int bit = 0; bit < 40; bit++)
        for (int64_t off = -1; off <= 1; off++) {
            const int64_t v = ((int64_t)1 << bit) + off;
            tribus_histogram *h = histogram_of(&mem);
            uint64_t got;

            tribus_histogram_record(h, v);
            tribus_histogram_record(h, v + (v >> 6) + 1); /* so that max does not cap it */
            got = tribus_histogram_quantile_ns(h, 0.0);
            CHECK(got >= (uint64_t)v && got - (uint64_t)v <= (uint64_t)v / 32);
            free(mem);
        }
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void quantiles_agree_with_sorting(void)
{
    static int64_t values[20000];
    const size_t n = sizeof(values) / sizeof(values[0]);
    const double qs[] = {0.01, 0.5, 0.9, 0.99, 0.999};
    tribus_random rnd;
    void *mem;
    tribus_histogram *h = histogram_of(&mem);

    tribus_random_init(&rnd, check_seed());
    for (size_t i = 0; i < n; i++) {
        values[i] =
            (int64_t)(tribus_random_u64(&rnd) >> (24 + tribus_random_below(&rnd, 36)));
        tribus_histogram_record(h, values[i]);
    }
    {
        tribus_histogram_values v;
        double sum = 0.0;

        for (size_t i = 0; i < n; i++)
            sum += (double)values[i];
        tribus_histogram_read(h, &v);
        CHECK(v.count == n);
        CHECK_NEAR(v.sum_ns, sum, sum * 0.016);
    }
    qsort(values, n, sizeof(values[0]), compare);
    for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
        const double want = (double)values[(size_t)(qs[i] * (double)n)];

        CHECK_NEAR(tribus_histogram_quantile_ns(h, qs[i]), want, want / 31.0 + 1.0);
    }
    free(mem);
}

static void empty_negative_and_enormous_values_are_harmless(void)
{
    void *mem;
    tribus_histogram *h = histogram_of(&mem);
    tribus_histogram_values v;

    CHECK(tribus_histogram_quantile_ns(h, 0.5) == 0);
    tribus_histogram_record(h, -5);
    tribus_histogram_record(h, INT64_MAX);
    CHECK(tribus_histogram_quantile_ns(h, 0.0) == 0);
    CHECK(tribus_histogram_quantile_ns(h, 7.0) == ((uint64_t)1 << 40) - 1);
    tribus_histogram_read(h, &v);
    CHECK(v.count == 2 && v.max_ns == INT64_MAX);
    CHECK(tribus_histogram_count_below(h, 10) == 1);
    CHECK(tribus_histogram_count_below(h, UINT64_MAX) == 2);
    free(mem);
}

int main(void)
{
    every_value_is_kept_within_its_step();
    quantiles_agree_with_sorting();
    empty_negative_and_enormous_values_are_harmless();
    return 0;
}
