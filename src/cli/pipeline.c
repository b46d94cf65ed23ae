/* pipeline.c -- `tribus pipeline`: check, list, show, draw, run, trace, stop pipelines. */
#include "tribus/pipeline.h"

#include "base/random.h"
#include "cli/commands.h"
#include "pipeline/plan.h"
#include "pipeline/pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_NS INT64_C(30000000000)

typedef struct pipeline_options {
    const char *what; /* name or file */
    const char *socket;
    tribus_cli_list dims, params;
    int64_t runs, seed;
    double seconds;
    bool json;
} pipeline_options;

static const char *const states[] = {"free", "loading", "ready", "failed"};

static const char *state_name(uint32_t state)
{
    return state < sizeof(states) / sizeof(states[0]) ? states[state] : "?";
}

static int open_session(const pipeline_options *o, const char *command,
                        tribus_session **out)
{
    const tribus_session_cfg cfg = {.socket_path = o->socket, .role = "tool"};
    const tribus_status st = tribus_session_open(&cfg, out);

    if (st == TRIBUS_OK)
        return TRIBUS_EXIT_DONE;
    (void)tribus_cli_fail(command);
    return st == TRIBUS_NOT_FOUND ? TRIBUS_EXIT_NOT_RUNNING : TRIBUS_EXIT_FAILED;
}

/* ---- list ---- */

static void list_one(const tribus_pipeline *pipe, const tribus_object *row, bool json)
{
    tribus_pipeline_stats s;
    tribus_pipeline_stage_row stage;
    uint32_t ready = 0;

    tribus_pipeline_get_stats(pipe, &s);
    for (uint32_t i = 0; tribus_pipeline_get_stage(pipe, i, &stage) == TRIBUS_OK; i++)
        ready += stage.state == TRIBUS_STAGE_READY ? 1 : 0;
    if (json)
        printf("{\"name\":\"%s\",\"stages\":%u,\"ready\":%u,\"submitted\":%" PRIu64
               ",\"finished\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"late\":%" PRIu64
               ",\"in_flight\":%u,\"memory_bytes\":%" PRIu64 ",\"owner\":%u}\n",
               s.name, s.stages, ready, s.submitted, s.finished, s.failed, s.late,
               s.runs_in_flight, s.memory_bytes, row->owner);
    else
        printf("%-32s %3u/%-3u %12" PRIu64 " %8" PRIu64 " %8" PRIu64 " %6u %8.1f\n", s.name,
               ready, s.stages, s.finished, s.failed, s.late, s.runs_in_flight,
               (double)s.memory_bytes / 1048576.0);
}

static int list(const pipeline_options *o)
{
    tribus_session *session;
    tribus_object row;
    uint32_t cursor = 0;
    const int code = open_session(o, "pipeline list", &session);

    if (code != TRIBUS_EXIT_DONE)
        return code;
    if (!o->json)
        printf("%-32s %7s %12s %8s %8s %6s %8s\n", "pipeline", "ready", "finished",
               "failed", "late", "flying", "MiB");
    while (tribus_session_next_object(session, &cursor, &row) == TRIBUS_OK) {
        tribus_pipeline *pipe;
        const char *slash = strchr(row.name, '/');

        if (row.kind != TRIBUS_OBJECT_PIPELINE || slash == NULL ||
            tribus_pipeline_open(session, slash + 1, &pipe) != TRIBUS_OK)
            continue;
        list_one(pipe, &row, o->json);
        tribus_pipeline_close(pipe);
    }
    tribus_session_close(session);
    return TRIBUS_EXIT_DONE;
}

/* ---- show ---- */

static void print_span(const char *what, const tribus_pipeline_span *s)
{
    printf("    %-10s %12" PRIu64 " %10.1f %10.1f %10.1f\n", what, s->count,
           (double)s->p50_ns / 1e3, (double)s->p99_ns / 1e3, (double)s->p999_ns / 1e3);
}

static void json_span(const char *what, const tribus_pipeline_span *s)
{
    printf(",\"%s\":{\"count\":%" PRIu64 ",\"p50_ns\":%" PRId64 ",\"p99_ns\":%" PRId64
           ",\"p999_ns\":%" PRId64 "}",
           what, s->count, s->p50_ns, s->p99_ns, s->p999_ns);
}

static void show_stage(const tribus_pipeline_stage_row *r, bool json)
{
    if (json) {
        printf("{\"stage\":\"%s\",\"domain\":\"%s\",\"operation\":\"%s\",\"state\":\"%s\","
               "\"host\":\"%s\",\"device\":\"%s\",\"runs\":%" PRIu64 ",\"calls\":%" PRIu64
               ",\"failed\":%" PRIu64 ",\"late\":%" PRIu64 ",\"skipped\":%" PRIu64
               ",\"redelivered\":%" PRIu64,
               r->name, r->domain, r->operation, state_name(r->state), r->host, r->device,
               r->runs, r->calls, r->failed, r->late, r->skipped, r->redelivered);
        json_span("queue", &r->queue);
        json_span("compute", &r->compute);
        json_span("handoff", &r->handoff);
        printf("}\n");
        return;
    }
    printf("  %s: %s on %s, %s%s%s%s%s\n", r->name, r->operation, r->domain,
           state_name(r->state), r->host[0] != '\0' ? " by " : "", r->host,
           r->device[0] != '\0' ? " on " : "", r->device);
    if (r->text[0] != '\0')
        printf("    %s\n", r->text);
    if (r->calls < r->runs)
        printf("    %" PRIu64 " runs in %" PRIu64 " calls\n", r->runs, r->calls);
    if (r->failed + r->late + r->skipped + r->redelivered > 0)
        printf("    failed %" PRIu64 ", late %" PRIu64 ", skipped %" PRIu64
               ", redelivered %" PRIu64 "\n",
               r->failed, r->late, r->skipped, r->redelivered);
    print_span("queue", &r->queue);
    print_span("compute", &r->compute);
    print_span("hand-off", &r->handoff);
}

static void show_link(const tribus_pipeline_link_row *l, bool json)
{
    if (json)
        printf("{\"from\":\"%s\",\"to\":\"%s\",\"state\":%s,\"runs\":%" PRIu64
               ",\"bytes_by_reference\":%" PRIu64 ",\"bytes_copied\":%" PRIu64 "}\n",
               l->from, l->to, l->state ? "true" : "false", l->runs, l->bytes_by_reference,
               l->bytes_copied);
    else
        printf("  %s -> %s%s: %" PRIu64 " runs, %.1f MiB by reference, %.1f MiB copied\n",
               l->from[0] != '\0' ? l->from : "(submitter)",
               l->to[0] != '\0' ? l->to : "(results)", l->state ? ", next run" : "",
               l->runs, (double)l->bytes_by_reference / 1048576.0,
               (double)l->bytes_copied / 1048576.0);
}

static void show_all(const tribus_pipeline *pipe, bool json)
{
    tribus_pipeline_stats s;
    tribus_pipeline_stage_row stage;
    tribus_pipeline_link_row link;

    tribus_pipeline_get_stats(pipe, &s);
    if (json) {
        printf("{\"pipeline\":\"%s\",\"submitted\":%" PRIu64 ",\"finished\":%" PRIu64
               ",\"failed\":%" PRIu64 ",\"late\":%" PRIu64 ",\"refused\":%" PRIu64
               ",\"in_flight\":%u,\"most_runs\":%u,\"memory_bytes\":%" PRIu64
               ",\"handoffs\":%" PRIu64 ",\"zero_copy\":%.6f",
               s.name, s.submitted, s.finished, s.failed, s.late, s.refused,
               s.runs_in_flight, s.most_runs, s.memory_bytes, s.handoffs, s.zero_copy);
        json_span("total", &s.total);
        json_span("handoff", &s.handoff);
        printf("}\n");
    } else {
        printf("%s: %" PRIu64 " runs, %" PRIu64 " failed, %" PRIu64 " late, %u of %u in "
               "flight, %.1f MiB, zero-copy %.1f %%\n\n    %-10s %12s %10s %10s %10s\n",
               s.name, s.finished, s.failed, s.late, s.runs_in_flight, s.most_runs,
               (double)s.memory_bytes / 1048576.0, 100.0 * s.zero_copy, "microsec.",
               "count", "p50", "p99", "p99.9");
        print_span("total", &s.total);
        print_span("hand-offs", &s.handoff);
    }
    for (uint32_t i = 0; tribus_pipeline_get_stage(pipe, i, &stage) == TRIBUS_OK; i++)
        show_stage(&stage, json);
    for (uint32_t i = 0; tribus_pipeline_get_link(pipe, i, &link) == TRIBUS_OK; i++)
        show_link(&link, json);
}

/* ---- dot ---- */

static void dot(const tribus_pipeline *pipe)
{
    tribus_pipeline_stats s;
    tribus_pipeline_stage_row r;
    tribus_pipeline_link_row l;

    tribus_pipeline_get_stats(pipe, &s);
    printf("digraph \"%s\" {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans\"];\n"
           "  \"(submitter)\" [shape=ellipse];\n  \"(results)\" [shape=ellipse, "
           "label=\"results\\n%" PRIu64 " runs\\np50 %.1f us\"];\n",
           s.name, s.finished, (double)s.total.p50_ns / 1e3);
    for (uint32_t i = 0; tribus_pipeline_get_stage(pipe, i, &r) == TRIBUS_OK; i++)
        printf("  \"%s\" [label=\"%s\\n%s on %s\\n%s\\ncompute p50 %.1f us\", color=%s];\n",
               r.name, r.name, r.operation, r.domain,
               r.host[0] != '\0' ? r.host : state_name(r.state),
               (double)r.compute.p50_ns / 1e3,
               r.state == TRIBUS_STAGE_READY    ? "darkgreen"
               : r.state == TRIBUS_STAGE_FAILED ? "red"
                                                : "gray");
    for (uint32_t i = 0; tribus_pipeline_get_link(pipe, i, &l) == TRIBUS_OK; i++)
        printf("  \"%s\" -> \"%s\" [label=\"%" PRIu64 "\"%s];\n",
               l.from[0] != '\0' ? l.from : "(submitter)",
               l.to[0] != '\0' ? l.to : "(results)", l.runs,
               l.state ? ", style=dashed, constraint=false" : "");
    printf("}\n");
}

/* ---- trace ---- */

/* The last finished run as Chrome trace JSON: one lane a stage, waiting and computing. */
static void trace(const tribus_pipeline *pipe)
{
    const tribus_graph *g = pipe->plan->graph;
    const uint64_t finished = tribus_load_rlx(&pipe->plan->shm->last);
    const tribus_plan_pass_shm *first = tribus_plan_pass(pipe->plan, finished, 0);
    const int64_t origin = tribus_load_rlx(&first->end_ns);
    const char *comma = "";

    printf(
        "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"pipeline\":\"%s\",\"run\":\"%" PRIu64
        "\"},\"traceEvents\":[",
        g->name, finished);
    for (uint32_t i = 1; finished > 0 && i + 1 < g->node_count; i++) {
        const tribus_plan_pass_shm *s = tribus_plan_pass(pipe->plan, finished, i);
        const int64_t begin = tribus_load_rlx(&s->begin_ns);
        const int64_t end = tribus_load_rlx(&s->end_ns);
        const int64_t queue = tribus_load_rlx(&s->queue_ns);

        printf("%s\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"args\":"
               "{\"name\":\"%s (%s)\"}}",
               comma, i, g->nodes[i].name, tribus_graph_domain_name(g->nodes[i].domain));
        comma = ",";
        if (queue > 0)
            printf(",\n{\"name\":\"queue\",\"cat\":\"queue\",\"ph\":\"X\",\"pid\":1,"
                   "\"tid\":%u,"
                   "\"ts\":%.3f,\"dur\":%.3f}",
                   i, (double)(begin - queue - origin) / 1e3, (double)queue / 1e3);
        printf(",\n{\"name\":\"%s\",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":%u,"
               "\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"operation\":\"%s\"}}",
               g->nodes[i].name, tribus_load_rlx(&s->ran) != 0 ? "compute" : "passed on", i,
               (double)(begin - origin) / 1e3, (double)(end - begin) / 1e3,
               g->nodes[i].operation);
    }
    printf("\n]}\n");
}

/* ---- run ---- */

static bool parse_pairs(const tribus_cli_list *from, bool whole, char (*names)[96],
                        double *values)
{
    for (size_t i = 0; i < from->count; i++) {
        const char *eq = strchr(from->items[i], '=');
        char *end = NULL;

        if (eq == NULL || eq == from->items[i] || (size_t)(eq - from->items[i]) >= 96)
            return false;
        (void)snprintf(names[i], 96, "%.*s", (int)(eq - from->items[i]), from->items[i]);
        values[i] = whole ? (double)strtoll(eq + 1, &end, 10) : strtod(eq + 1, &end);
        if (end == eq + 1 || *end != '\0')
            return false;
    }
    return true;
}

/* Inputs without a source of their own get seeded uniform numbers in [-1, 1). */
static bool write_inputs(tribus_pipeline *pipe, tribus_random *random)
{
    const char *name;
    tribus_tensor t;

    for (uint32_t i = 0; tribus_pipeline_get_input(pipe, i, &name, &t) == TRIBUS_OK; i++) {
        if (tribus_pipeline_input(pipe, i, &t) != TRIBUS_OK)
            return false;
        for (uint64_t k = 0; k < tribus_tensor_elements(&t); k++) {
            const double v = 2.0 * tribus_random_unit(random) - 1.0;

            if (t.dtype.code == TRIBUS_DTYPE_FLOAT && t.dtype.bits == 32)
                ((float *)t.data)[k] = (float)v;
            else if (t.dtype.code == TRIBUS_DTYPE_FLOAT && t.dtype.bits == 64)
                ((double *)t.data)[k] = v;
            else
                ((unsigned char *)t.data)[k * tribus_dtype_bytes(t.dtype)] =
                    (unsigned char)(v > 0.0);
        }
    }
    return true;
}

static void print_result(tribus_pipeline *pipe, const tribus_pipeline_result *r)
{
    const char *name;
    tribus_tensor t;

    if (r->status != TRIBUS_OK) {
        printf("run %" PRIu64 ": %s: stage %s: %s\n", r->run, tribus_status_name(r->status),
               r->stage, r->text);
        return;
    }
    printf("run %" PRIu64 ": %.1f us, compute %.1f, queue %.1f, hand-off %.1f\n", r->run,
           (double)(r->finished_ns - r->submitted_ns) / 1e3, (double)r->compute_ns / 1e3,
           (double)r->queue_ns / 1e3, (double)r->handoff_ns / 1e3);
    for (uint32_t i = 0; tribus_pipeline_get_result(pipe, i, &name, &t) == TRIBUS_OK; i++) {
        char text[96];
        uint64_t n;

        if (tribus_pipeline_result_tensor(pipe, r->run, i, &t) != TRIBUS_OK) {
            printf("  %s: skipped\n", name);
            continue;
        }
        n = tribus_tensor_elements(&t);
        printf("  %s %s:", name, tribus_tensor_text(&t, text, sizeof(text)));
        for (uint64_t k = 0; k < n && k < 8; k++) {
            if (t.dtype.code == TRIBUS_DTYPE_FLOAT && t.dtype.bits == 32)
                printf(" %.6g", (double)((const float *)t.data)[k]);
            else if (t.dtype.code == TRIBUS_DTYPE_FLOAT && t.dtype.bits == 64)
                printf(" %.6g", ((const double *)t.data)[k]);
            else if (t.dtype.bits == 32)
                printf(" %d", ((const int32_t *)t.data)[k]);
        }
        printf("%s\n", n > 8 ? " ..." : "");
    }
}

static int run_pipe(const pipeline_options *o, tribus_pipeline *pipe)
{
    tribus_random random;
    int code = TRIBUS_EXIT_DONE;

    tribus_random_init(&random, (uint64_t)o->seed);
    if (tribus_pipeline_ready_wait(pipe, PATIENCE_NS) != TRIBUS_OK)
        return tribus_cli_fail("pipeline run");
    for (int64_t i = 0; i < o->runs && !tribus_cli_stopped(); i++) {
        tribus_pipeline_result r;

        if (tribus_pipeline_claim(pipe) != TRIBUS_OK || !write_inputs(pipe, &random) ||
            tribus_pipeline_submit(pipe, 0, NULL) != TRIBUS_OK ||
            tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r) != TRIBUS_OK)
            return tribus_cli_fail("pipeline run");
        if (i < 3 || i + 1 == o->runs || r.status != TRIBUS_OK)
            print_result(pipe, &r);
        if (r.status != TRIBUS_OK)
            code = TRIBUS_EXIT_FAILED;
        tribus_pipeline_release(pipe, r.run);
    }
    show_all(pipe, o->json);
    return code;
}

/* The settings of a registration from the options; the arrays live in *keep. */
typedef struct settings {
    char dim_names[TRIBUS_CLI_LIST_MAX][96], param_names[TRIBUS_CLI_LIST_MAX][96];
    double dim_values[TRIBUS_CLI_LIST_MAX], param_values[TRIBUS_CLI_LIST_MAX];
    tribus_pipeline_dim dims[TRIBUS_CLI_LIST_MAX];
    tribus_pipeline_param params[TRIBUS_CLI_LIST_MAX];
} settings;

static bool settle(const pipeline_options *o, settings *s, tribus_pipeline_cfg *cfg)
{
    if (!parse_pairs(&o->dims, true, s->dim_names, s->dim_values) ||
        !parse_pairs(&o->params, false, s->param_names, s->param_values))
        return false;
    for (size_t i = 0; i < o->dims.count; i++)
        s->dims[i] = (tribus_pipeline_dim){s->dim_names[i], (int64_t)s->dim_values[i]};
    for (size_t i = 0; i < o->params.count; i++)
        s->params[i] = (tribus_pipeline_param){s->param_names[i], s->param_values[i]};
    cfg->path = o->what;
    cfg->dims = s->dims;
    cfg->dim_count = (uint32_t)o->dims.count;
    cfg->params = s->params;
    cfg->param_count = (uint32_t)o->params.count;
    return true;
}

static int run(const pipeline_options *o)
{
    static settings s;
    tribus_pipeline_cfg cfg = {.successor_ns = PATIENCE_NS};
    tribus_session *session;
    tribus_pipeline *pipe;
    char name[TRIBUS_PIPELINE_NAME_BYTES];
    int code;

    if (!settle(o, &s, &cfg)) {
        (void)tribus_cli_complain("pipeline run",
                                  "--dim NAME=N, --param STAGE.PARAM=VALUE");
        return TRIBUS_EXIT_USAGE;
    }
    (void)snprintf(name, sizeof(name), "run-%d", (int)getpid());
    cfg.name = name;
    if (tribus_pipeline_check(&cfg, NULL) != TRIBUS_OK)
        return tribus_cli_fail("pipeline run");
    tribus_cli_catch_signals();
    code = open_session(o, "pipeline run", &session);
    if (code != TRIBUS_EXIT_DONE)
        return code;
    if (tribus_pipeline_register(session, &cfg, &pipe) == TRIBUS_OK) {
        code = run_pipe(o, pipe);
        tribus_pipeline_close(pipe);
    } else {
        code = tribus_cli_fail("pipeline run");
    }
    tribus_session_close(session);
    return code;
}

static int check(const pipeline_options *o)
{
    static settings s;
    tribus_pipeline_cfg cfg = {0};
    uint64_t bytes;

    if (!settle(o, &s, &cfg)) {
        (void)tribus_cli_complain("pipeline check",
                                  "--dim NAME=N, --param STAGE.PARAM=VALUE");
        return TRIBUS_EXIT_USAGE;
    }
    if (tribus_pipeline_check(&cfg, &bytes) != TRIBUS_OK)
        return tribus_cli_fail("pipeline check");
    printf("%s: good; takes %.1f MiB of shared memory\n", o->what,
           (double)bytes / 1048576.0);
    return TRIBUS_EXIT_DONE;
}

/* ---- the rest ---- */

/* Open the pipeline that was named and do one thing with it. */
static int with_pipeline(const pipeline_options *o, const char *command,
                         void (*look)(const tribus_pipeline *, bool))
{
    tribus_session *session;
    tribus_pipeline *pipe;
    int code = open_session(o, command, &session);

    if (code != TRIBUS_EXIT_DONE)
        return code;
    if (tribus_pipeline_open(session, o->what, &pipe) == TRIBUS_OK) {
        look(pipe, o->json);
        tribus_pipeline_close(pipe);
    } else {
        code = tribus_cli_fail(command);
    }
    tribus_session_close(session);
    return code;
}

static void dot_it(const tribus_pipeline *pipe, bool json)
{
    (void)json;
    dot(pipe);
}

static void trace_it(const tribus_pipeline *pipe, bool json)
{
    (void)json;
    trace(pipe);
}

static int stop(const pipeline_options *o)
{
    tribus_session *session;
    int code = open_session(o, "pipeline stop", &session);

    if (code != TRIBUS_EXIT_DONE)
        return code;
    if (tribus_pipeline_stop(session, o->what) != TRIBUS_OK)
        code = tribus_cli_fail("pipeline stop");
    tribus_session_close(session);
    return code;
}

/* One parser for all: which options a command has is a bit set. */
enum { WANTS_NAME = 1, WANTS_FILE = 2, HAS_RUNS = 4, HAS_JSON = 8 };

static bool parse(const char *command, const char *text, int has, int argc, char **argv,
                  pipeline_options *o, int *code)
{
    const tribus_cli_usage usage = {.command = command,
                                    .synopsis = (has & WANTS_NAME) != 0 ? "NAME"
                                                : (has & WANTS_FILE) != 0
                                                    ? "FILE [--dim NAME=N]"
                                                    : "",
                                    .text = text};
    tribus_cli_option options[8];
    size_t n = 0;

    *o = (pipeline_options){.runs = 1, .seed = 1};
    if ((has & (WANTS_NAME | WANTS_FILE)) != 0)
        options[n++] = (tribus_cli_option){(has & WANTS_NAME) != 0 ? "NAME" : "FILE", NULL,
                                           (has & WANTS_NAME) != 0
                                               ? "as `tribus pipeline list` shows it"
                                               : "YAML of a pipeline",
                                           TRIBUS_CLI_TEXT, &o->what};
    if ((has & WANTS_FILE) != 0) {
        options[n++] = (tribus_cli_option){"--dim", "NAME=N", "size of a named dimension",
                                           TRIBUS_CLI_LIST, &o->dims};
        options[n++] =
            (tribus_cli_option){"--param", "STAGE.PARAM=VALUE", "goes before the file's",
                                TRIBUS_CLI_LIST, &o->params};
    }
    if ((has & HAS_RUNS) != 0) {
        options[n++] = (tribus_cli_option){"--runs", "N", "one after the other",
                                           TRIBUS_CLI_INT, &o->runs};
        options[n++] = (tribus_cli_option){"--seed", "N", "of the numbers in the inputs",
                                           TRIBUS_CLI_INT, &o->seed};
    }
    if ((has & HAS_JSON) != 0)
        options[n++] = (tribus_cli_option){"--json", NULL, "one object a row",
                                           TRIBUS_CLI_FLAG, &o->json};
    options[n++] = (tribus_cli_option){"--socket", "PATH", "of the agent", TRIBUS_CLI_TEXT,
                                       &o->socket};
    if (!tribus_cli_parse(&usage, options, n, argc, argv, code))
        return false;
    if ((has & (WANTS_NAME | WANTS_FILE)) == 0 || o->what != NULL)
        return true;
    (void)tribus_cli_complain(command, "%s is missing",
                              (has & WANTS_NAME) != 0 ? "the pipeline's name" : "the file");
    *code = TRIBUS_EXIT_USAGE;
    return false;
}

static int do_list(int argc, char **argv)
{
    pipeline_options o;
    int code;

    if (!parse("pipeline list", "Show every registered pipeline.", HAS_JSON, argc, argv, &o,
               &code))
        return code;
    return list(&o);
}

static int do_show(int argc, char **argv)
{
    pipeline_options o;
    int code;

    if (!parse("pipeline show", "Show stages, links, times and counts of a pipeline.",
               WANTS_NAME | HAS_JSON, argc, argv, &o, &code))
        return code;
    return with_pipeline(&o, "pipeline show", show_all);
}

static int do_dot(int argc, char **argv)
{
    pipeline_options o;
    int code;

    if (!parse("pipeline dot", "Print the graph for Graphviz, with live numbers.",
               WANTS_NAME, argc, argv, &o, &code))
        return code;
    return with_pipeline(&o, "pipeline dot", dot_it);
}

static int do_trace(int argc, char **argv)
{
    pipeline_options o;
    int code;

    if (!parse("pipeline trace",
               "Print the last finished run as Chrome trace JSON (chrome://tracing, "
               "Perfetto).",
               WANTS_NAME, argc, argv, &o, &code))
        return code;
    return with_pipeline(&o, "pipeline trace", trace_it);
}

static int do_run(int argc, char **argv)
{
    pipeline_options o;
    int code;

    if (!parse("pipeline run", "Register a pipeline, run it on random inputs, show it.",
               WANTS_FILE | HAS_RUNS | HAS_JSON, argc, argv, &o, &code))
        return code;
    return run(&o);
}

static int do_check(int argc, char **argv)
{
    pipeline_options o;
    int code;

    if (!parse("pipeline check", "Check a pipeline without running it.", WANTS_FILE, argc,
               argv, &o, &code))
        return code;
    return check(&o);
}

static int do_stop(int argc, char **argv)
{
    pipeline_options o;
    int code;

    if (!parse("pipeline stop",
               "Ask whoever submits to a pipeline to end it; runs in flight finish.",
               WANTS_NAME, argc, argv, &o, &code))
        return code;
    return stop(&o);
}

int tribus_cli_pipeline(int argc, char **argv)
{
    static const tribus_cli_command commands[] = {
        {"list", do_list, "every registered pipeline", false},
        {"show", do_show, "stages, links, times, counts", false},
        {"run", do_run, "run a pipeline file on random inputs", false},
        {"check", do_check, "look for mistakes in a pipeline file", false},
        {"dot", do_dot, "the graph, for Graphviz", false},
        {"trace", do_trace, "the last run, as Chrome trace JSON", false},
        {"stop", do_stop, "ask its submitter to end it", false},
    };

    return tribus_cli_dispatch(
        "tribus pipeline", "Graphs of neural and gpu stages: look at them, run them.",
        commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}
