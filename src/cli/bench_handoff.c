/* bench_handoff.c -- `tribus bench handoff`: what a hand-off costs, from one cache line to Redis
 * with JSON, between two processes on two cores, in one run. */
#include "cli/bench_paths.h"
#include "cli/commands.h"

#include "base/os.h"

#include <stdio.h>
#include <string.h>

#define FLOATS_BYTES 8000u /* 1,000 doubles, the JSON case of the platform being replaced */

typedef struct plan {
    const tribus_bench_ops *ops; /* NULL: the floor */
    size_t size_bytes;
    bool touched;
    bool redis;
    int group; /* rows of one number are compared: measured at one distance of the cores */
} plan;

static const plan plans[] = {
    {NULL, 64, true, false, 1},
    {&tribus_bench_cell, 64, true, false, 1},
    {&tribus_bench_slot, 4096, true, false, 2},
    {&tribus_bench_slot, FLOATS_BYTES, true, false, 3},
    {&tribus_bench_slot, 256u << 10, true, false, 4},
    {&tribus_bench_slot, 4u << 20, true, false, 5},
    {&tribus_bench_slot, 64, false, false, 6},
    {&tribus_bench_slot, 4096, false, false, 6},
    {&tribus_bench_slot, 256u << 10, false, false, 6},
    {&tribus_bench_slot, 4u << 20, false, false, 6},
    {&tribus_bench_redis_binary, 64, true, true, 7},
    {&tribus_bench_redis_binary, 4096, true, true, 8},
    {&tribus_bench_redis_binary, FLOATS_BYTES, true, true, 9},
    {&tribus_bench_redis_binary, 256u << 10, true, true, 10},
    {&tribus_bench_redis_binary, 4u << 20, true, true, 11},
    {&tribus_bench_redis_json, FLOATS_BYTES, true, true, 12},
};

#define PLANS (sizeof(plans) / sizeof(plans[0]))

static double ratio(const tribus_bench_row *a, const tribus_bench_row *b)
{
    return b->stats.p50_ns > 0.0 ? a->stats.p50_ns / b->stats.p50_ns : 0.0;
}

static const tribus_bench_row *
row_of(const tribus_bench_row *rows, const tribus_bench_ops *ops, size_t size, bool touched)
{
    for (size_t i = 0; i < PLANS; i++)
        if (plans[i].ops == ops && plans[i].size_bytes == size &&
            plans[i].touched == touched)
            return &rows[i];
    return NULL;
}

static void print_targets(const tribus_bench_row *rows, bool redis)
{
    const tribus_bench_row *cell = row_of(rows, &tribus_bench_cell, 64, true);
    const tribus_bench_row *small = row_of(rows, &tribus_bench_slot, 64, false);
    const tribus_bench_row *large = row_of(rows, &tribus_bench_slot, 4u << 20, false);
    const tribus_bench_row *floats = row_of(rows, &tribus_bench_slot, FLOATS_BYTES, true);
    const tribus_bench_row *json =
        row_of(rows, &tribus_bench_redis_json, FLOATS_BYTES, true);

    printf("\n64 B over the floor            %6.2f   (wanted: at most 3)\n",
           cell->floor.p50_ns > 0.0 ? cell->stats.p50_ns / cell->floor.p50_ns : 0.0);
    printf("hand-over of 4 MiB over 64 B   %6.2f   (wanted: at most 2)\n",
           ratio(large, small));
    if (redis)
        printf("JSON over Redis over the ring, 1,000 doubles written and read %6.0f   "
               "(wanted: at least 100)\n",
               ratio(json, floats));
}

int tribus_cli_bench_handoff(int argc, char **argv)
{
    bool json = false, no_redis = false, realtime = false, redis_up = false, ok = true;
    double seconds = 0.5;
    const char *server = "redis-server";
    static tribus_bench_row rows[PLANS];
    tribus_bench_redis redis = {0};
    int64_t rounds = tribus_bench_pair_rounds();
    int exit_code;
    const tribus_cli_usage usage = {
        "bench handoff", "[--json] [--seconds N]",
        "Times of one hand-off between two processes on two cores: one cache line (the "
        "floor), "
        "our\nring, Redis pub/sub with the same bytes and with JSON. One way, from round "
        "trips.",
        "  tribus bench handoff --json | jq .p50_ns"};
    const tribus_cli_option options[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &json},
        {"--seconds", "N", "to measure each row (0.5)", TRIBUS_CLI_REAL, &seconds},
        {"--rounds", "N", "of rows that are compared, 1 to 5 (5)", TRIBUS_CLI_INT, &rounds},
        {"--no-redis", NULL, "leave the Redis rows out", TRIBUS_CLI_FLAG, &no_redis},
        {"--realtime", NULL, "under SCHED_FIFO: nothing else runs meanwhile",
         TRIBUS_CLI_FLAG, &realtime},
        {"--redis-server", "PROGRAM", "to start (redis-server)", TRIBUS_CLI_TEXT, &server},
    };

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &exit_code))
        return exit_code;
    if (!tribus_bench_pair_set_rounds(rounds))
        return TRIBUS_EXIT_USAGE;
    if (realtime)
        tribus_bench_pair_realtime();
    if (tribus_os_core_count() < 2)
        return tribus_cli_complain("bench handoff",
                                   "needs two cores, this machine has one");
    if (!no_redis)
        redis_up = tribus_bench_redis_start("bench handoff", server, &redis);
    if (!json)
        tribus_bench_pair_print_head();
    for (size_t i = 0; i < PLANS; i++)
        rows[i] = (tribus_bench_row){.bench = "handoff",
                                     .ops = plans[i].ops,
                                     .size_bytes = plans[i].size_bytes,
                                     .touched = plans[i].touched,
                                     .seconds = seconds,
                                     .config = plans[i].redis ? &redis : NULL};
    for (size_t i = 0, end; i < PLANS && ok; i = end) {
        for (end = i + 1; end < PLANS && plans[end].group == plans[i].group;)
            end++;
        if (plans[i].redis && !redis_up)
            continue;
        ok = tribus_bench_pair_group(&rows[i], end - i);
        for (size_t k = i; k < end && ok; k++)
            tribus_bench_pair_print(&rows[k], json);
    }
    tribus_bench_redis_stop(&redis);
    if (ok && !json)
        print_targets(rows, redis_up);
    return ok && (redis_up || no_redis) ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}
