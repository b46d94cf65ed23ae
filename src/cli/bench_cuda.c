/* bench_cuda.c -- `tribus bench cuda`: what handing over costs on an NVIDIA card, next to the
 * floors of the same card in the same run.
 *
 *   memops       two streams that answer each other by write-value and wait-value  (floor)
 *   timeline     end of a kernel on one stream to the start of one on another, by the card's
 *                clock, with a tensor of size_bytes written by the first
 *   after-wait   the same when the other stream has waited for 300 us before: a card takes
 *                longer to come back to a stream that it has put aside
 *   graph        the same as an edge of a CUDA graph
 *   flags        two blocks of one thread and a flag each way  (floor)
 *   two-hosts    timeline, between the streams of two processes under MPS
 *   persistent   one more stage in a chain of persistent stages
 *   echo         CPU, one thread of a kernel, CPU, a flag each way  (floor)
 *   cpu-stage    CPU, a persistent stage, CPU, through two rings
 *   operations   256 floats scaled by a persistent stage, as many as it takes
 *   streaming    timeline, the tensor written by stores that leave the cache early
 *   touch        timeline, one word of each 2 MiB of the tensor written
 *   cards        one more stage in a chain on two cards in turn; its floor is cards-flags
 *   copies       the tensor to the host and back again, as without shared memory
 *   redis-json   the tensor to the host, as JSON through Redis, parsed, and to the card
 *   sustained    a tensor and a Monte-Carlo on two streams, for as long as told
 *   LSTM_A, ...  one new time step, input written and result read by the CPU; floor: echo
 *   mc_var_es    439 assets, Student-t(5): one run, launch to result in host memory
 */
#include "cli/bench_cuda.h"
#include "cli/commands.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES (256u + 2u * TRIBUS_BENCH_CUDA_SAMPLES * 8u)

uint64_t *tribus_bench_cuda_words(const tribus_bench_cuda *b)
{
    return (uint64_t *)(void *)(b->page + 256);
}

uint64_t *tribus_bench_cuda_words_data(const tribus_bench_cuda *b)
{
    return (uint64_t *)(void *)(b->page_data + 256);
}

/* ---- printing ---- */

static void print_head(const tribus_bench_cuda *b)
{
    if (!b->json)
        printf("%-12s %-14s %12s %11s %11s %11s %13s %10s %8s\n", "case", "path", "bytes",
               "p50 ns", "p99 ns", "p99.9 ns", "per second", "floor ns", "x floor");
}

void tribus_bench_cuda_print(const tribus_bench_cuda *b, const tribus_bench_cuda_row *r)
{
    const tribus_bench_stats *s = &r->stats;

    if (b->json)
        printf("{\"bench\":\"cuda\",\"case\":\"%s\",\"path\":\"%s\",\"size_bytes\":%zu,"
               "\"touched\":%s,\"p50_ns\":%.1f,\"p99_ns\":%.1f,\"p999_ns\":%.1f,"
               "\"rate_per_s\":%.0f,\"floor_p50_ns\":%.1f,\"samples\":%" PRIu64 "}\n",
               r->kase, r->path, r->size_bytes, r->size_bytes > 0 ? "true" : "false",
               s->p50_ns, s->p99_ns, s->p999_ns, s->rate_per_s, r->floor_ns, r->samples);
    else
        printf("%-12s %-14s %12zu %11.1f %11.1f %11.1f %13.0f %10.1f %8.2f\n", r->kase,
               r->path, r->size_bytes, s->p50_ns, s->p99_ns, s->p999_ns, s->rate_per_s,
               r->floor_ns, r->floor_ns > 0.0 ? s->p50_ns / r->floor_ns : 0.0);
    (void)fflush(stdout);
}

double tribus_bench_cuda_report(tribus_bench_cuda *b, const char *kase, const char *path,
                                size_t size_bytes, double floor_ns, uint32_t n)
{
    tribus_bench_cuda_row r = {
        .kase = kase, .path = path, .size_bytes = size_bytes, .floor_ns = floor_ns};

    tribus_bench_pair_stats(b->ns, n, &r.stats);
    r.samples = n;
    tribus_bench_cuda_print(b, &r);
    return r.stats.p50_ns;
}

void tribus_bench_cuda_goal(tribus_bench_cuda *b, const char *what, double value,
                            const char *unit, tribus_bench_cuda_bound bound, double goal)
{
    const bool at_most = bound == TRIBUS_BENCH_CUDA_AT_MOST;
    const bool met = at_most ? value <= goal : value >= goal;

    if (b->json)
        printf("{\"bench\":\"cuda\",\"goal\":\"%s\",\"value\":%.4g,\"unit\":\"%s\","
               "\"%s\":%.4g,\"met\":%s}\n",
               what, value, unit, at_most ? "at_most" : "at_least", goal,
               met ? "true" : "false");
    else if (b->goal_count < sizeof(b->goals) / sizeof(b->goals[0]))
        (void)snprintf(b->goals[b->goal_count++].text, sizeof(b->goals[0].text),
                       "%-42s %10.4g %-3s %s %-9.4g %s", what, value, unit,
                       at_most ? "at most " : "at least", goal, met ? "reached" : "MISSED");
}

tribus_status tribus_bench_cuda_launch(tribus_cuda_stream *s, const char *name,
                                       uint32_t blocks, uint32_t threads, void *args)
{
    void *params[] = {args};
    tribus_cu_function function;
    tribus_status st = tribus_cuda_context_function(s->context, name, &function);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_launch(s, function, (tribus_cuda_grid){blocks, threads, 0},
                                       params);
    return st;
}

/* ---- all of it ---- */

static tribus_status bench_open(tribus_bench_cuda *b)
{
    void *data = NULL;
    tribus_status st = tribus_cuda_context_open(0, &b->c);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_open(b->c, &b->other);
    if (st != TRIBUS_OK)
        return st;
    b->page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (b->page == MAP_FAILED)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%u bytes", PAGE_BYTES);
    st = tribus_cuda_memory_register(b->c, b->page, PAGE_BYTES, &data);
    b->page_data = data;
    if (st == TRIBUS_OK)
        st = tribus_cuda_memory_create(b->c, 4u << 20, &b->card_fd, &b->card);
    for (int i = 0; st == TRIBUS_OK && i < 2; i++)
        st = tribus_cuda_timeline_of_card(b->c, (unsigned char *)b->card.data + i * 128,
                                          true, 0, &b->t[i]);
    for (uint32_t i = 0; st == TRIBUS_OK && i < TRIBUS_BENCH_CUDA_CHUNK; i++)
        st = tribus_cuda_context_check(
            b->c, b->c->cu->event_create(&b->events[i], TRIBUS_CU_EVENT_DISABLE_TIMING),
            "make an event");
    return st;
}

/* What is to be measured besides. */
typedef struct wanted {
    double seconds, busy_seconds;
    bool cards, mps;
} wanted;

static tribus_status bench_one_card(tribus_bench_cuda *b, const wanted *w)
{
    tribus_status st = tribus_bench_cuda_memops(b);

    if (st == TRIBUS_OK)
        st = tribus_bench_cuda_graph(b);
    if (st == TRIBUS_OK)
        st = tribus_bench_cuda_stages(b);
    if (st == TRIBUS_OK)
        st = tribus_bench_cuda_operations(b, w->seconds);
    if (st == TRIBUS_OK)
        st = tribus_bench_cuda_lstm(b);
    if (st == TRIBUS_OK)
        st = tribus_bench_cuda_mc(b, 100000, 200);
    if (st == TRIBUS_OK)
        st = tribus_bench_cuda_mc(b, 1000000, 50);
    if (st == TRIBUS_OK && w->busy_seconds > 0.0)
        st = tribus_bench_cuda_busy(b, w->busy_seconds);
    return st == TRIBUS_OK ? tribus_bench_cuda_sizes(b) : st;
}

static tribus_status bench_all(tribus_bench_cuda *b, const wanted *w)
{
    tribus_status st = TRIBUS_OK;

    print_head(b);
    if (w->mps)
        st = tribus_bench_cuda_mps(b);
    else
        st = bench_open(b);
    if (st == TRIBUS_OK && !w->mps)
        st = w->cards ? tribus_bench_cuda_cards(b) : bench_one_card(b, w);
    for (uint32_t i = 0; i < b->goal_count; i++)
        printf("%s%s\n", i == 0 ? "\n" : "", b->goals[i].text);
    return st;
}

int tribus_cli_bench_cuda(int argc, char **argv)
{
    static tribus_bench_cuda b;
    wanted w = {.seconds = 2.0};
    int exit_code;
    tribus_device_row rows[8];
    tribus_status st;
    const tribus_cli_usage usage = {
        "bench cuda",
        "[--json] [--seconds N] [--busy N] [--cards | --mps] [--redis-server PROGRAM]",
        "What handing a tensor over costs on the first NVIDIA card: streams, persistent\n"
        "stages, ways round, with the floors of the same card in the same run; at the end\n"
        "what is to be reached, and whether it was.",
        "  tribus bench cuda --json | jq .p50_ns\n"
        "  tribus bench cuda --busy 30 --redis-server redis-server\n"
        "  tribus bench cuda --cards"};
    const tribus_cli_option options[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &b.json},
        {"--seconds", "N", "to measure the rate of operations (2)", TRIBUS_CLI_REAL,
         &w.seconds},
        {"--busy", "N", "keep the card busy for so many seconds, watched by NVML (0)",
         TRIBUS_CLI_REAL, &w.busy_seconds},
        {"--cards", NULL, "only the rows of stages on the first two cards", TRIBUS_CLI_FLAG,
         &w.cards},
        {"--mps", NULL, "only the row of two processes, under MPS that is started for it",
         TRIBUS_CLI_FLAG, &w.mps},
        {"--redis-server", "PROGRAM", "for the way through Redis; without: not measured",
         TRIBUS_CLI_TEXT, &b.redis_server},
    };

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &exit_code))
        return exit_code;
    for (uint32_t i = 0, n = w.mps ? 0 : tribus_device_list(rows, 8);
         i < n && i < 8 && !b.json; i++)
        if (rows[i].device_type == TRIBUS_DEVICE_CUDA)
            printf("%s: %s\n", rows[i].name, rows[i].detail);
    b.card_fd = -1;
    st = bench_all(&b, &w);
    if (b.card_fd >= 0)
        (void)close(b.card_fd);
    for (uint32_t i = 0; i < TRIBUS_BENCH_CUDA_CHUNK; i++)
        if (b.events[i] != NULL)
            (void)b.c->cu->event_destroy(b.events[i]);
    if (b.c != NULL)
        tribus_cuda_stream_close(&b.other);
    tribus_cuda_context_close(b.c);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE : tribus_cli_fail("bench cuda");
}
