/* bench_case.c -- see bench_case.h. */
#include "cli/bench_case.h"

#include "base/random.h"

#include <string.h>

/* clang-format off */
static const tribus_bench_case cases[] = {
    {.name = "ml-risk", .file = "ml-risk.yaml", .sizes = "439 assets, 10000 paths",
     .dims = {{"assets", 439}}, .dim_count = 1,
     .params = {{"risk.paths", 10000}}, .param_count = 1},
    {.name = "vpin-enhanced", .file = "vpin-enhanced.yaml",
     .sizes = "2000 trades, 10 levels, 50 buckets"},
    {.name = "portfolio", .file = "portfolio.yaml", .sizes = "439 assets, 516 factors"},
    {.name = "strategy-analytics", .file = "strategy-analytics.yaml",
     .sizes = "439 assets, 32 returns"},
    {.name = "hybrid-backtest", .file = "hybrid-backtest.yaml",
     .sizes = "1000 scenarios, 128 steps"},
    {.name = "ml-risk-small", .file = "ml-risk.yaml", .sizes = "8 assets, 1000 paths",
     .dims = {{"assets", 8}}, .dim_count = 1,
     .params = {{"risk.paths", 1000}}, .param_count = 1},
};
/* clang-format on */

const tribus_bench_case *tribus_bench_case_at(uint32_t i)
{
    return i < sizeof(cases) / sizeof(cases[0]) ? &cases[i] : NULL;
}

/* A normal number by the sum of twelve uniform ones: plain arithmetic, so the same bits
 * everywhere. */
static double normal(tribus_random *r)
{
    double sum = -6.0;

    for (int i = 0; i < 12; i++)
        sum += tribus_random_unit(r);
    return sum;
}

static float value_of(const char *input, tribus_random *r, uint64_t count)
{
    if (strcmp(input, "returns") == 0 || strcmp(input, "history") == 0)
        return (float)(0.01 * normal(r));
    if (strcmp(input, "weights") == 0)
        return 1.0f / (float)count;
    if (strcmp(input, "size") == 0)
        return (float)(1.0 + 100.0 * tribus_random_unit(r));
    return (float)normal(r);
}

/* A price that walks by a basis point a trade. */
static void fill_price(float *out, uint64_t n, tribus_random *r)
{
    double price = 100.0;

    for (uint64_t i = 0; i < n; i++) {
        price *= 1.0 + 1e-4 * normal(r);
        out[i] = (float)price;
    }
}

/* Levels of bid, size, ask, size around 100. */
static void fill_book(float *out, uint64_t n, tribus_random *r)
{
    for (uint64_t i = 0; i < n / 4; i++) {
        out[4 * i] = 99.99f - 0.01f * (float)i;
        out[4 * i + 1] = (float)(1.0 + 500.0 * tribus_random_unit(r));
        out[4 * i + 2] = 100.01f + 0.01f * (float)i;
        out[4 * i + 3] = (float)(1.0 + 500.0 * tribus_random_unit(r));
    }
}

/* One factor that all share, and a part of each asset's own: positive definite. */
static void fill_covariance(float *out, uint64_t assets, tribus_random *r)
{
    for (uint64_t i = 0; i < assets; i++) {
        const float own = (float)(1e-4 * (1.0 + tribus_random_unit(r)));

        for (uint64_t k = 0; k < assets; k++)
            out[i * assets + k] = 0.5e-4f + (i == k ? own : 0.0f);
    }
}

void tribus_bench_case_fill(const char *input, const tribus_tensor *tensor, uint64_t seed)
{
    const uint64_t n = tribus_tensor_elements(tensor);
    float *out = tribus_tensor_address(tensor);
    tribus_random r;

    tribus_random_init(&r, seed);
    if (strcmp(input, "price") == 0)
        fill_price(out, n, &r);
    else if (strcmp(input, "book") == 0)
        fill_book(out, n, &r);
    else if (strcmp(input, "covariance") == 0)
        fill_covariance(out, (uint64_t)tensor->shape[0], &r);
    else
        for (uint64_t i = 0; i < n; i++)
            out[i] = value_of(input, &r, n);
}
