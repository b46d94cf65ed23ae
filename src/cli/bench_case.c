/* bench_case.c -- see bench_case.h. */
#include "cli/bench_case.h"

#include "base/random.h"

#include <string.h>

/* clang-format off */
static const tribus_bench_case cases[] = {
    {.name = "ml-risk", .file = "ml-risk.yaml", .sizes = "439 assets, 10000 paths",
     .dims = {{"assets", 439}}, .dim_count = 1,
     .params = {{"risk.paths", 10000}}, .param_count = 1},
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
    return (float)normal(r);
}

void tribus_bench_case_fill(const char *input, const tribus_tensor *tensor, uint64_t seed)
{
    const uint64_t n = tribus_tensor_elements(tensor);
    float *out = tribus_tensor_address(tensor);
    tribus_random r;

    tribus_random_init(&r, seed);
    for (uint64_t i = 0; i < n; i++)
        out[i] = value_of(input, &r, n);
}
