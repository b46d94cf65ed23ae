/* bench_pipeline.c -- `tribus bench pipeline`: what the pipeline itself costs. Stages that do
 * next to nothing, in a chain and fanned out, one run at a time; how many small runs a second
 * go through with many in flight; and what is burnt when nothing runs. */
#include "cli/bench_hosts.h"
#include "cli/commands.h"

#include "base/clock.h"
#include "tribus/pipeline.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND     "bench pipeline"
#define FLOATS      64
#define PATIENCE_NS INT64_C(60000000000)
#define MOST        100000u
#define IDLE_US     2000000

typedef struct options {
    int64_t hosts, spin_us;
    double seconds;
    bool json;
} options;

/* What the rows say together. */
typedef struct findings {
    double least_edge[2], most_edge[2]; /* of chains and fan-outs of 10 and more stages */
    double runs_per_s, stages_per_s;
    uint32_t runs_stages, stages_stages; /* stages of the pipelines that did those */
} findings;

typedef struct shape {
    const char *name; /* "chain": one after the other; "fan-out": all read the input */
    uint32_t stages, runs;
} shape;

static const shape shapes[] = {
    {"chain", 1, 1},   {"chain", 10, 1},   {"chain", 100, 1},   {"chain", 1000, 1},
    {"fan-out", 1, 1}, {"fan-out", 10, 1}, {"fan-out", 100, 1}, {"fan-out", 1000, 1},
    {"chain", 1, 64},  {"chain", 4, 64},   {"chain", 16, 64},
};

/* Every shape computes on one host; domains alternate only where there are two. */
static char *text_of(const shape *s, int64_t hosts)
{
    const size_t room = 512 + (size_t)s->stages * 400;
    const bool chain = strcmp(s->name, "chain") == 0;
    char *text = malloc(room);
    size_t at;

    if (text == NULL)
        return NULL;
    at =
        (size_t)snprintf(text, room,
                         "pipeline: bench\nruns: %u\ninputs: [{name: x, dtype: f32, shape: "
                         "[%d]}]\nstages:\n",
                         s->runs, FLOATS);
    for (uint32_t i = 0; i < s->stages; i++)
        at += (size_t)snprintf(
            text + at, room - at,
            "  - {name: s%u, domain: %s, operation: affine, inputs: [{name: in, dtype: "
            "f32, "
            "shape: [%d]}], outputs: [{name: out, dtype: f32, shape: [%d]}]}\n",
            i, hosts == 2 && i % 2 == 1 ? "gpu" : "neural", FLOATS, FLOATS);
    at += (size_t)snprintf(text + at, room - at, "edges:\n");
    for (uint32_t i = 0; i < s->stages; i++) {
        if (!chain || i == 0)
            at += (size_t)snprintf(text + at, room - at, "  - {from: x, to: s%u.in}\n", i);
        else
            at += (size_t)snprintf(text + at, room - at,
                                   "  - {from: s%u.out, to: s%u.in}\n", i - 1, i);
    }
    (void)snprintf(text + at, room - at, "results: [s%u.out]\n", s->stages - 1);
    return text;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static bool finish(tribus_pipeline *pipe, int64_t *total)
{
    tribus_pipeline_result r;

    if (tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r) != TRIBUS_OK ||
        r.status != TRIBUS_OK)
        return false;
    *total = r.finished_ns - r.submitted_ns;
    tribus_pipeline_release(pipe, r.run);
    return true;
}

static bool measure(const options *o, tribus_pipeline *pipe, int64_t *samples,
                    uint32_t *count, double *rate)
{
    const int64_t start = tribus_now_ns();
    const int64_t until = start + (int64_t)(o->seconds * 1e9);
    int64_t now = start;
    uint64_t done = 0, sent = 0;

    while (now < until || done < 10) {
        int64_t total;

        while (tribus_pipeline_claim(pipe) == TRIBUS_OK) {
            if (tribus_pipeline_submit(pipe, 0, NULL) != TRIBUS_OK)
                return false;
            sent++;
        }
        if (!finish(pipe, &total))
            return false;
        if (*count < MOST && done > 2)
            samples[(*count)++] = total;
        done++;
        now = tribus_now_ns();
    }
    *rate = (double)done * 1e9 / (double)(now - start);
    while (done++ < sent)
        if (!finish(pipe, &now))
            return false;
    qsort(samples, *count, sizeof(*samples), by_value);
    return true;
}

static void print_row(const options *o, const shape *s, const tribus_pipeline *pipe,
                      const int64_t *samples, uint32_t count, double rate)
{
    const int64_t p50 = samples[count / 2], p99 = samples[count - 1 - count / 100];
    tribus_pipeline_stats stats;
    double edges;

    tribus_pipeline_get_stats(pipe, &stats);
    edges = (double)stats.links;
    if (o->json)
        printf("{\"bench\":\"pipeline\",\"case\":\"%s\",\"stages\":%u,\"links\":%u,"
               "\"size_bytes\":%zu,\"in_flight\":%u,\"hosts\":%lld,\"spin_us\":%lld,"
               "\"total_p50_ns\":%lld,\"total_p99_ns\":%lld,\"edge_ns\":%.1f,"
               "\"runs_per_s\":%.1f,\"stages_per_s\":%.1f,\"zero_copy\":%.4f}\n",
               s->name, s->stages, stats.links, FLOATS * sizeof(float), s->runs,
               (long long)o->hosts, (long long)o->spin_us, (long long)p50, (long long)p99,
               (double)p50 / edges, rate, rate * (double)s->stages, stats.zero_copy);
    else
        printf("%-8s %6u %9u %10.1f %10.1f %10.0f %12.0f %14.0f\n", s->name, s->stages,
               s->runs, (double)p50 / 1e3, (double)p99 / 1e3, (double)p50 / edges, rate,
               rate * (double)s->stages);
    (void)fflush(stdout);
}

static void note(findings *f, const shape *s, double edge_ns, double rate)
{
    const int kind = strcmp(s->name, "chain") == 0 ? 0 : 1;
    const double stages = rate * (double)s->stages;

    if (s->runs == 1 && s->stages >= 10) {
        if (f->least_edge[kind] <= 0.0 || edge_ns < f->least_edge[kind])
            f->least_edge[kind] = edge_ns;
        if (edge_ns > f->most_edge[kind])
            f->most_edge[kind] = edge_ns;
    }
    if (s->runs > 1 && s->stages > 1 && rate > f->runs_per_s) {
        f->runs_per_s = rate;
        f->runs_stages = s->stages;
    }
    if (s->runs > 1 && stages > f->stages_per_s) {
        f->stages_per_s = stages;
        f->stages_stages = s->stages;
    }
}

static bool run_shape(const options *o, const tribus_bench_hosts *bus, const shape *s,
                      int64_t *samples, findings *found)
{
    char *text = text_of(s, o->hosts);
    const tribus_pipeline_cfg cfg = {.text = text,
                                     .path = "bench",
                                     .spin_ns = o->spin_us < 0 ? -1 : o->spin_us * 1000,
                                     .flags = TRIBUS_PIPELINE_REQUIRE_ZERO_COPY};
    tribus_pipeline *pipe = NULL;
    uint32_t count = 0;
    double rate = 0.0;
    bool ok;

    ok = text != NULL && tribus_pipeline_register(bus->session, &cfg, &pipe) == TRIBUS_OK &&
         tribus_pipeline_ready_wait(pipe, PATIENCE_NS) == TRIBUS_OK &&
         measure(o, pipe, samples, &count, &rate);
    if (ok && count > 0) {
        const int64_t p50_ns = samples[count / 2];
        tribus_pipeline_stats stats;

        print_row(o, s, pipe, samples, count, rate);
        tribus_pipeline_get_stats(pipe, &stats);
        note(found, s, (double)p50_ns / (double)stats.links, rate);
    } else {
        (void)tribus_cli_fail(COMMAND);
    }
    tribus_pipeline_close(pipe);
    free(text);
    return ok;
}

/* ---- nothing to do ---- */

/* CPU time of all threads of a process so far; 0 when there is none. */
static uint64_t cpu_ns(int32_t pid)
{
    char path[320];
    uint64_t sum = 0;
    DIR *tasks;
    const struct dirent *e;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
    tasks = opendir(path);
    while (tasks != NULL && (e = readdir(tasks)) != NULL) {
        unsigned long long ns = 0;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, e->d_name);
        f = e->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (f != NULL && fscanf(f, "%llu", &ns) == 1)
            sum += ns;
        if (f != NULL)
            (void)fclose(f);
    }
    if (tasks != NULL)
        (void)closedir(tasks);
    return sum;
}

/* Of the agent, which is in this process, and of every host. */
static uint64_t platform_cpu_ns(const tribus_bench_hosts *bus, uint32_t *processes)
{
    tribus_participant row;
    uint32_t cursor = 0;
    uint64_t sum = cpu_ns((int32_t)getpid());

    *processes = 1;
    while (tribus_session_next_participant(bus->session, &cursor, &row) == TRIBUS_OK) {
        if (row.alive == 0 || row.pid == (int32_t)getpid())
            continue;
        sum += cpu_ns(row.pid);
        ++*processes;
    }
    return sum;
}

/* A registered pipeline, ready, with nothing to do. */
static bool idle_row(const options *o, const tribus_bench_hosts *bus)
{
    const shape s = {"chain", 4, 8};
    char *text = text_of(&s, o->hosts);
    const tribus_pipeline_cfg cfg = {.text = text, .path = "bench"};
    tribus_pipeline *pipe = NULL;
    uint32_t processes = 0;
    uint64_t before;
    int64_t start;
    double share;
    bool ok = text != NULL &&
              tribus_pipeline_register(bus->session, &cfg, &pipe) == TRIBUS_OK &&
              tribus_pipeline_ready_wait(pipe, PATIENCE_NS) == TRIBUS_OK;

    if (!ok)
        (void)tribus_cli_fail(COMMAND);
    (void)usleep(IDLE_US / 4); /* until the last spinning is over */
    before = platform_cpu_ns(bus, &processes);
    start = tribus_now_ns();
    (void)usleep(IDLE_US);
    share = (double)(platform_cpu_ns(bus, &processes) - before) /
            (double)(tribus_now_ns() - start);
    if (ok && o->json)
        printf("{\"bench\":\"pipeline\",\"case\":\"idle\",\"processes\":%u,"
               "\"cpu_share\":%.5f}\n",
               processes, share);
    else if (ok)
        printf("    idle, agent and hosts together, of one core   %6.2f %%   wanted: 0\n",
               100.0 * share);
    tribus_pipeline_close(pipe);
    free(text);
    return ok;
}

static void print_findings(const findings *f)
{
    static const char *const kinds[] = {"chain", "fan-out"};

    printf("\n");
    for (int k = 0; k < 2; k++)
        printf("    %-7s of 10 to 1000, cost per edge: middle +- %4.0f %%   wanted: 20\n",
               kinds[k],
               100.0 * (f->most_edge[k] - f->least_edge[k]) /
                   (f->most_edge[k] + f->least_edge[k]));
    printf("    runs of %u stages of %d floats a second  %10.0f     wanted: 12000\n",
           f->runs_stages, FLOATS, f->runs_per_s);
    printf("    stages a second, %u in a run             %10.0f     wanted: 50000\n",
           f->stages_stages, f->stages_per_s);
}

int tribus_cli_bench_pipeline(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        .command = COMMAND,
        .synopsis = "[--json] [--hosts N] [--spin-us N]",
        .text =
            "What the pipeline itself costs: stages that do next to nothing, 64 floats.",
        .examples = "  tribus bench pipeline --hosts 1 --spin-us 1000\n"};
    options o = {.hosts = 1, .spin_us = 1000, .seconds = 1.0};
    const tribus_cli_option list[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &o.json},
        {"--hosts", "N", "1: one serves both domains; 2: one each", TRIBUS_CLI_INT,
         &o.hosts},
        {"--spin-us", "N", "everyone polls this long before sleeping; -1: never sleeps",
         TRIBUS_CLI_INT, &o.spin_us},
        {"--seconds", "N", "for each row", TRIBUS_CLI_REAL, &o.seconds},
    };
    int64_t *samples = calloc(MOST, sizeof(*samples));
    tribus_bench_hosts bus = {0};
    findings found = {0};
    bool ok;
    int code;

    if (!tribus_cli_parse(&usage, list, sizeof(list) / sizeof(list[0]), argc, argv,
                          &code)) {
        free(samples);
        return code;
    }
    ok = samples != NULL && o.hosts >= 1 && o.hosts <= 2 && o.spin_us >= -1 &&
         o.spin_us <= 60000000;
    if (!ok)
        (void)tribus_cli_complain(COMMAND, "--hosts 1..2, --spin-us -1..60000000");
    ok = ok && tribus_bench_hosts_start(COMMAND, (uint32_t)o.hosts, o.spin_us, &bus);
    if (ok && !o.json)
        printf("%lld host%s, spinning %lld us; microseconds, edge in nanoseconds\n\n"
               "%-8s %6s %9s %10s %10s %10s %12s %14s\n",
               (long long)o.hosts, o.hosts == 1 ? "" : "s", (long long)o.spin_us, "case",
               "stages", "in flight", "p50", "p99", "edge", "runs/s", "stages/s");
    for (size_t i = 0; ok && i < sizeof(shapes) / sizeof(shapes[0]); i++)
        ok = run_shape(&o, &bus, &shapes[i], samples, &found);
    if (ok && !o.json)
        print_findings(&found);
    if (ok && o.spin_us >= 0)
        ok = idle_row(&o, &bus);
    tribus_bench_hosts_stop(&bus);
    free(samples);
    return ok ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}
