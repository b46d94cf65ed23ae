/* bench_hybrid.c -- `tribus bench hybrid`: each workload over the bus and over Redis, with
 * the same operations on the same numbers, in turns within one run.
 *
 * A run's time is from the submitter having its inputs in memory to it having the result in
 * memory. Compute is the time inside operations along the longest path; queue is where a stage
 * of that path had all its inputs and waited for its host to finish another stage (with one
 * host for both domains, stages that could run side by side do not); what is left is hand-off:
 * wake-ups, and on the Redis paths encoding, copying and decoding, and their queues.
 *
 * What a wake-up costs here and now is measured in the same turns: two threads that wake each
 * other by a bell and compute nothing, asleep for as long as a host of the case waits for its
 * next stage. Hand-off is printed as so many of those, beside how often the longest path goes
 * from one process to another: on a path of n crossings n wake-ups are the least.
 */
#include "cli/bench_hosts.h"
#include "cli/bench_case.h"
#include "cli/bench_remote.h"
#include "cli/commands.h"

#include "base/os.h"
#include "cli/bench_wake.h"
#include "pipeline/pipeline.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND     "bench hybrid"
#define ROUNDS      5
#define MOST        200000u /* samples of one path */
#define PATIENCE_NS INT64_C(60000000000)
#define WAKES       40 /* a round */

typedef struct options {
    const char *only, *server;
    double seconds;
    int64_t spin_us, hosts;
    bool json, no_redis;
} options;

typedef struct samples {
    int64_t *total, *compute, *queue, *handoff;
    uint32_t count;
    int64_t busy_ns; /* time the samples took together */
} samples;

typedef struct bench {
    options o;
    tribus_bench_hosts bus;
    tribus_bench_redis redis;
    uint64_t seed;
} bench;

static bool failed(void)
{
    (void)tribus_cli_fail(COMMAND);
    return false;
}

/* ---- the bus ---- */

static bool keep(samples *s, int64_t total, int64_t compute, int64_t queue)
{
    if (s->count == MOST)
        return false;
    s->total[s->count] = total;
    s->compute[s->count] = compute;
    s->queue[s->count] = queue;
    s->handoff[s->count] = total - compute - queue;
    s->count++;
    s->busy_ns += total;
    return true;
}

static bool fill_inputs(bench *b, tribus_pipeline *pipe, bool first)
{
    const tribus_graph_node *node = &pipe->plan->graph->nodes[0];

    if (tribus_pipeline_claim(pipe) != TRIBUS_OK)
        return false;
    for (uint32_t i = 0; i < node->output_count; i++) {
        tribus_tensor t;

        if (node->outputs[i].keep && !first)
            continue;
        if (tribus_pipeline_input(pipe, i, &t) != TRIBUS_OK)
            return false;
        tribus_bench_case_fill(node->outputs[i].name, &t, b->seed + i);
    }
    return true;
}

static bool bus_run(bench *b, tribus_pipeline *pipe, samples *s)
{
    tribus_pipeline_result r;

    if (!fill_inputs(b, pipe, pipe->next_run == 1) ||
        tribus_pipeline_submit(pipe, 0, NULL) != TRIBUS_OK ||
        tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r) != TRIBUS_OK)
        return failed();
    if (r.status != TRIBUS_OK) {
        (void)tribus_cli_complain(COMMAND, "stage %s: %s", r.stage, r.text);
        return false;
    }
    if (!keep(s, r.finished_ns - r.submitted_ns, r.compute_ns, r.queue_ns))
        return true;
    tribus_pipeline_release(pipe, r.run);
    return true;
}

/* As many runs as the pipeline lets in flight; inputs written once a slot. */
static double bus_rate(bench *b, tribus_pipeline *pipe, int64_t for_ns)
{
    const int64_t start = tribus_now_ns();
    const uint64_t filled = pipe->next_run + pipe->plan->graph->slots;
    uint64_t done = 0;
    int64_t now = start;

    while (now - start < for_ns || done == 0) {
        tribus_pipeline_result r;

        while (tribus_pipeline_claim(pipe) == TRIBUS_OK) {
            if (pipe->next_run < filled && !fill_inputs(b, pipe, false))
                return 0.0;
            if (tribus_pipeline_submit(pipe, 0, NULL) != TRIBUS_OK)
                return 0.0;
        }
        if (tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r) != TRIBUS_OK)
            return 0.0;
        tribus_pipeline_release(pipe, r.run);
        done++;
        now = tribus_now_ns();
    }
    for (tribus_pipeline_result r;
         tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r) == TRIBUS_OK;)
        tribus_pipeline_release(pipe, r.run);
    return (double)done * 1e9 / (double)(now - start);
}

/* ---- redis ---- */

static bool remote_run(bench *b, const tribus_graph *g, tribus_bench_remote *remote,
                       bool first, samples *s)
{
    int64_t total, compute;

    for (uint32_t i = 0; i < g->nodes[0].output_count; i++) {
        const tribus_graph_port *port = &g->nodes[0].outputs[i];
        tribus_tensor t;

        if (port->keep && !first)
            continue;
        tribus_plan_tensor(port, tribus_bench_remote_input(remote, i), &t);
        tribus_bench_case_fill(port->name, &t, b->seed + i);
    }
    if (!tribus_bench_remote_run(remote, &total, &compute))
        return false;
    (void)keep(s, total, compute, 0);
    return true;
}

/* ---- one case ---- */

enum { PATH_BUS, PATH_JSON, PATH_BINARY, PATHS };

static const char *const path_names[PATHS] = {"bus", "redis-json", "redis-binary"};

typedef struct run_of_case {
    const tribus_bench_case *c;
    tribus_pipeline *pipe;
    tribus_bench_remote *remote[PATHS];
    samples s[PATHS];
    tribus_bench_waker *waker;
    samples wake; /* total: one bare wake-up each */
    double rate;  /* of the bus with all runs in flight */
    bool equal;   /* all paths gave the same bits */
} run_of_case;

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static int64_t at_share(int64_t *values, uint32_t count, double share)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof(*values), by_value);
    return values[(uint32_t)((double)(count - 1) * share)];
}

static bool same_results(const run_of_case *r, uint32_t path, uint64_t run)
{
    const tribus_graph *g = r->pipe->plan->graph;
    const tribus_graph_node *last = &g->nodes[g->node_count - 1];

    for (uint32_t i = 0; i < last->input_count; i++) {
        const tribus_graph_source *s = &last->inputs[i].sources[0];

        if (memcmp(tribus_plan_output(r->pipe->plan, s->node, s->port, run),
                   tribus_bench_remote_result(r->remote[path], i),
                   (size_t)last->inputs[i].bytes) != 0)
            return false;
    }
    return true;
}

static bool one_run(bench *b, run_of_case *r, uint32_t path)
{
    const tribus_graph *g = r->pipe->plan->graph;

    if (path == PATH_BUS)
        return bus_run(b, r->pipe, &r->s[path]);
    if (r->remote[path] == NULL)
        return true;
    return remote_run(b, g, r->remote[path], r->s[path].count == 0, &r->s[path]);
}

/* How often the longest path goes from one process to another: from the submitter, between
 * hosts, and back. */
static uint32_t crossings(const bench *b, const tribus_graph *g)
{
    uint32_t most[2 + TRIBUS_GRAPH_MOST_STAGES] = {0};

    for (uint32_t i = 0; i < g->node_count; i++) {
        const uint32_t at = g->order[i];
        const tribus_graph_node *n = &g->nodes[at];

        for (uint32_t k = 0; k < n->in_count; k++) {
            const tribus_graph_link *l = &g->links[n->in_links[k]];
            const bool end = l->from == 0 || at + 1 == g->node_count;
            const bool crosses =
                end || (b->o.hosts > 1 && g->nodes[l->from].domain != n->domain);

            if (!l->state && most[l->from] + (crosses ? 1u : 0u) > most[at])
                most[at] = most[l->from] + (crosses ? 1u : 0u);
        }
    }
    return most[g->node_count - 1];
}

/* Some bare wake-ups, of who slept for half of what a run of the bus takes. */
static bool wake_up(run_of_case *r)
{
    const samples *bus = &r->s[PATH_BUS];
    const int64_t run_ns = bus->count > 0 ? bus->busy_ns / bus->count : 0;

    for (int i = 0; i < WAKES && r->wake.count < MOST; i++) {
        int64_t ns;

        if (!tribus_bench_wake(r->waker, run_ns / 2, &ns))
            return failed();
        r->wake.total[r->wake.count++] = ns;
    }
    return true;
}

static bool take_turns(bench *b, run_of_case *r)
{
    const int64_t share = (int64_t)(b->o.seconds * 1e9) / (ROUNDS * PATHS);

    r->equal = true;
    for (uint32_t path = 0; path < PATHS; path++) { /* the first run of each warms up */
        b->seed = 1;
        if (!one_run(b, r, path))
            return false;
        if (path != PATH_BUS && r->remote[path] != NULL)
            r->equal = r->equal && same_results(r, path, 1);
        r->s[path].count = 0;
        r->s[path].busy_ns = 0;
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t path = 0; path < PATHS; path++) {
            const int64_t until = tribus_now_ns() + share;

            do {
                b->seed++;
                if (!one_run(b, r, path))
                    return false;
            } while (tribus_now_ns() < until && r->s[path].count < MOST);
            if (path == PATH_BUS && !wake_up(r))
                return false;
        }
    }
    r->rate = bus_rate(b, r->pipe, share);
    return r->rate > 0.0 || failed();
}

static bool open_case(bench *b, run_of_case *r)
{
    char file[128], path[PATH_MAX];
    tribus_pipeline_cfg cfg = {.dims = r->c->dims,
                               .dim_count = r->c->dim_count,
                               .params = r->c->params,
                               .param_count = r->c->param_count,
                               .spin_ns = b->o.spin_us < 0 ? -1 : b->o.spin_us * 1000,
                               .flags = TRIBUS_PIPELINE_REQUIRE_ZERO_COPY,
                               .path = path};

    (void)snprintf(file, sizeof(file), "pipelines/%s", r->c->file);
    if (tribus_platform_file(file, path, sizeof(path)) != TRIBUS_OK ||
        tribus_pipeline_register(b->bus.session, &cfg, &r->pipe) != TRIBUS_OK ||
        tribus_pipeline_ready_wait(r->pipe, PATIENCE_NS) != TRIBUS_OK)
        return failed();
    for (uint32_t p = PATH_JSON; p < PATHS && !b->o.no_redis; p++) {
        r->remote[p] =
            tribus_bench_remote_open(r->pipe->plan->graph, b->redis.port, p == PATH_JSON);
        if (r->remote[p] == NULL)
            return false;
    }
    return true;
}

static void print_rows(const bench *b, run_of_case *r)
{
    const int64_t wake = at_share(r->wake.total, r->wake.count, 0.5);
    const uint32_t crossed = crossings(b, r->pipe->plan->graph);
    int64_t json_total = 0, json_handoff = 0;
    tribus_pipeline_stats stats;

    tribus_pipeline_get_stats(r->pipe, &stats);
    for (uint32_t p = PATHS; p-- > 0;) {
        samples *s = &r->s[p];
        const double rate =
            s->busy_ns > 0 ? (double)s->count * 1e9 / (double)s->busy_ns : 0.0;
        const int64_t p50 = at_share(s->total, s->count, 0.5);
        const int64_t p99 = at_share(s->total, s->count, 0.99);
        const int64_t compute = at_share(s->compute, s->count, 0.5);
        const int64_t queue = at_share(s->queue, s->count, 0.5);
        const int64_t handoff = at_share(s->handoff, s->count, 0.5);
        const double share = p50 > 0 ? (double)handoff / (double)p50 : 0.0;

        if (s->count == 0)
            continue;
        if (p == PATH_JSON) {
            json_total = p50;
            json_handoff = handoff;
        }
        if (b->o.json) {
            printf("{\"bench\":\"hybrid\",\"case\":\"%s\",\"path\":\"%s\",\"sizes\":\"%s\","
                   "\"total_p50_ns\":%lld,\"total_p99_ns\":%lld,\"compute_p50_ns\":%lld,"
                   "\"queue_p50_ns\":%lld,"
                   "\"handoff_p50_ns\":%lld,\"handoff_share\":%.4f,\"runs_per_s\":%.1f,"
                   "\"runs\":%u,\"equal\":%s",
                   r->c->name, path_names[p], r->c->sizes, (long long)p50, (long long)p99,
                   (long long)compute, (long long)queue, (long long)handoff, share, rate,
                   s->count, r->equal ? "true" : "false");
            if (p == PATH_BUS)
                printf(",\"in_flight\":%u,\"in_flight_runs_per_s\":%.1f,\"hosts\":%lld,"
                       "\"spin_us\":%lld,\"zero_copy\":%.4f,\"wake_p50_ns\":%lld,"
                       "\"handoff_wakes\":%.2f,\"crossings\":%u",
                       stats.most_runs, r->rate, (long long)b->o.hosts,
                       (long long)b->o.spin_us, stats.zero_copy, (long long)wake,
                       wake > 0 ? (double)handoff / (double)wake : 0.0, crossed);
            printf("}\n");
            continue;
        }
        printf("%-18s %-13s %10.1f %10.1f %10.1f %8.1f %10.1f %6.1f %9.0f", r->c->name,
               path_names[p], (double)p50 / 1e3, (double)p99 / 1e3, (double)compute / 1e3,
               (double)queue / 1e3, (double)handoff / 1e3, 100.0 * share, rate);
        if (p == PATH_BUS && json_total > 0)
            printf("   total -%.0f %%, hand-off 1/%.0f, %.0f runs/s with %u in flight%s",
                   100.0 * (1.0 - (double)p50 / (double)json_total),
                   (double)json_handoff / (double)(handoff > 0 ? handoff : 1), r->rate,
                   stats.most_runs, r->equal ? "" : ", RESULTS DIFFER");
        if (p == PATH_BUS)
            printf("\n%-32s hand-off: %.1f wake-ups of %.1f us, %u crossings: %.1f each",
                   "", wake > 0 ? (double)handoff / (double)wake : 0.0, (double)wake / 1e3,
                   crossed,
                   wake > 0 ? (double)handoff / (double)wake / (double)crossed : 0.0);
        printf("\n");
    }
}

static bool run_case(bench *b, const tribus_bench_case *c)
{
    run_of_case r = {.c = c};
    bool ok = true;

    for (uint32_t p = 0; p < PATHS; p++) {
        r.s[p].total = calloc(MOST, sizeof(int64_t));
        r.s[p].compute = calloc(MOST, sizeof(int64_t));
        r.s[p].queue = calloc(MOST, sizeof(int64_t));
        r.s[p].handoff = calloc(MOST, sizeof(int64_t));
        ok = ok && r.s[p].total != NULL && r.s[p].compute != NULL && r.s[p].queue != NULL &&
             r.s[p].handoff != NULL;
    }
    r.wake.total = calloc(MOST, sizeof(int64_t));
    r.waker = tribus_bench_wake_start();
    ok = ok && r.wake.total != NULL && (r.waker != NULL || failed()) && open_case(b, &r) &&
         take_turns(b, &r);
    if (ok)
        print_rows(b, &r);
    for (uint32_t p = 0; p < PATHS; p++) {
        tribus_bench_remote_close(r.remote[p]);
        free(r.s[p].total);
        free(r.s[p].compute);
        free(r.s[p].queue);
        free(r.s[p].handoff);
    }
    tribus_bench_wake_stop(r.waker);
    free(r.wake.total);
    tribus_pipeline_close(r.pipe);
    return ok && r.equal;
}

static bool run_all(bench *b)
{
    bool ok = true, any = false;

    if (!b->o.json)
        printf("microseconds; same compute on every path, one run at a time, %lld host%s, "
               "spinning %lld us\n\n%-18s %-13s %10s %10s %10s %8s %10s %6s %9s\n",
               (long long)b->o.hosts, b->o.hosts == 1 ? "" : "s", (long long)b->o.spin_us,
               "case", "path", "p50", "p99", "compute", "queue", "hand-off", "%", "runs/s");
    for (uint32_t i = 0; ok && tribus_bench_case_at(i) != NULL; i++) {
        const tribus_bench_case *c = tribus_bench_case_at(i);

        if (b->o.only != NULL && strcmp(b->o.only, c->name) != 0)
            continue;
        any = true;
        ok = run_case(b, c);
        (void)fflush(stdout);
    }
    if (!any)
        (void)tribus_cli_complain(COMMAND, "no case %s", b->o.only);
    return ok && any;
}

int tribus_cli_bench_hybrid(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        .command = COMMAND,
        .synopsis = "[--json] [--case NAME] [--seconds N]",
        .text = "Run each workload over the bus and over Redis with the same compute.",
        .examples = "  tribus bench hybrid --case ml-risk\n"
                    "  tribus bench hybrid --json --seconds 10\n"};
    bench b = {.o = {.server = "redis-server", .seconds = 10.0, .spin_us = 20, .hosts = 2}};
    const tribus_cli_option list[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &b.o.json},
        {"--case", "NAME", "only this workload", TRIBUS_CLI_TEXT, &b.o.only},
        {"--seconds", "N", "for each workload", TRIBUS_CLI_REAL, &b.o.seconds},
        {"--spin-us", "N", "everyone polls this long before sleeping; -1: never sleeps",
         TRIBUS_CLI_INT, &b.o.spin_us},
        {"--hosts", "N", "1: one compute host serves both domains; 2: one each",
         TRIBUS_CLI_INT, &b.o.hosts},
        {"--no-redis", NULL, "only the bus", TRIBUS_CLI_FLAG, &b.o.no_redis},
        {"--redis-server", "PROGRAM", "to compare with", TRIBUS_CLI_TEXT, &b.o.server},
    };
    int code;
    bool ok;

    if (!tribus_cli_parse(&usage, list, sizeof(list) / sizeof(list[0]), argc, argv, &code))
        return code;
    if (b.o.hosts < 1 || b.o.hosts > 2 || b.o.spin_us < -1 || b.o.spin_us > 60000000 ||
        !(b.o.seconds > 0.0 && b.o.seconds < 86400.0)) {
        (void)tribus_cli_complain(COMMAND,
                                  "--hosts 1..2, --spin-us -1..60000000, --seconds "
                                  "above 0");
        return TRIBUS_EXIT_USAGE;
    }
    ok = b.o.no_redis || tribus_bench_redis_start(COMMAND, b.o.server, &b.redis);
    ok = ok && tribus_bench_hosts_start(COMMAND, (uint32_t)b.o.hosts, b.o.spin_us, &b.bus);
    ok = ok && run_all(&b);
    tribus_bench_hosts_stop(&b.bus);
    tribus_bench_redis_stop(&b.redis);
    return ok ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}
