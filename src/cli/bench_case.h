/* bench_case.h -- the workloads of `tribus bench hybrid`: a pipeline file each, the sizes it
 * is measured at, and numbers to feed it. */
#ifndef TRIBUS_CLI_BENCH_CASE_H
#define TRIBUS_CLI_BENCH_CASE_H

#include "tribus/pipeline.h"

typedef struct tribus_bench_case {
    const char *name;
    const char *file;  /* in the folder pipelines */
    const char *sizes; /* for people */
    tribus_pipeline_dim dims[6];
    uint32_t dim_count;
    tribus_pipeline_param params[4];
    uint32_t param_count;
} tribus_bench_case;

/* Case i, NULL past the last. */
const tribus_bench_case *tribus_bench_case_at(uint32_t i);

/* Write plausible numbers into an input of that name: the same for a seed, on every path. */
void tribus_bench_case_fill(const char *input, const tribus_tensor *tensor, uint64_t seed);

#endif
