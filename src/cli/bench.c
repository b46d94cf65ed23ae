/* bench.c -- the table of benchmarks of `tribus bench`. */
#include "cli/commands.h"

#include <stdio.h>

int tribus_cli_bench(int argc, char **argv)
{
    /* clang-format off */
    static const tribus_cli_command benches[] = {
        {"bus", tribus_cli_bench_bus, "the typed client, and the bridge to Redis", false},
        {"cuda", tribus_cli_bench_cuda, "hand-offs on an NVIDIA card, and their floors", false},
        {"fabric", tribus_cli_bench_fabric, "how near the fabric is to the hardware", false},
        {"handoff", tribus_cli_bench_handoff, "one hand-off, from a cache line to Redis", false},
        {"pipeline", tribus_cli_bench_pipeline, "what stages and links cost: chain, fan-out, small runs", false},
        {"hybrid", tribus_cli_bench_hybrid, "workloads over the bus and over Redis", false},
        {"quant", tribus_cli_bench_quant, "the mathematics, and numpy and pandas beside it", false},
        {NULL, NULL, NULL, false},
    };
    /* clang-format on */

    return tribus_cli_dispatch(
        "tribus bench", "Each prints a table, or with --json one object a row.", benches,
        sizeof(benches) / sizeof(benches[0]) - 1, argc, argv);
}
