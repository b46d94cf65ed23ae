/* pipeline_show.c -- `tribus pipeline show | dot | trace`. */
#include "cli/pipeline.h"

#include "pipeline/pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TRACE_TRIES 1000

static const char *const states[] = {"free", "loading", "ready", "failed"};

static const char *state_name(uint32_t state)
{
    return state < sizeof(states) / sizeof(states[0]) ? states[state] : "?";
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

bool tribus_cli_pipeline_show(const tribus_pipeline *pipe, bool json)
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
    return true;
}

/* ---- dot ---- */

bool tribus_cli_pipeline_dot(const tribus_pipeline *pipe, bool json)
{
    tribus_pipeline_stats s;
    tribus_pipeline_stage_row r;
    tribus_pipeline_link_row l;

    (void)json;
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
    return true;
}

/* ---- trace ---- */

/* What a node did in one run; [0] is the whole run. */
typedef struct step {
    int64_t begin_ns, end_ns, queue_ns;
    bool ran;
} step;

/* Copy the last finished run. Its slot may be written again meanwhile: then false. */
static bool read_run(const tribus_pipeline *pipe, uint64_t *run, step *steps)
{
    const tribus_plan *plan = pipe->plan;
    const tribus_graph *g = plan->graph;

    *run = tribus_load_rlx(&plan->shm->last);
    if (*run == 0)
        return false;
    for (uint32_t i = 0; i + 1 < g->node_count; i++) {
        const tribus_plan_pass_shm *s = tribus_plan_pass(plan, *run, i);

        /* A1 pairs with R1 in plan_pass.c's tribus_plan_show. */
        if (tribus_load_acq(&s->run) != *run)
            return false;
        steps[i] = (step){tribus_load_rlx(&s->begin_ns), tribus_load_rlx(&s->end_ns),
                          tribus_load_rlx(&s->queue_ns), tribus_load_rlx(&s->ran) != 0};
        if (steps[i].end_ns > steps[0].end_ns)
            steps[0].end_ns = steps[i].end_ns;
    }
    /* The submitter writes this before anybody else touches the slot again. */
    return tribus_load_rlx(&tribus_plan_run(plan, *run)->run) == *run;
}

static void trace_lane(uint32_t lane, const char *name, const char *domain)
{
    printf("%s\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"args\":"
           "{\"name\":\"%s%s%s\"}}",
           lane > 0 ? "," : "", lane, name, domain[0] != '\0' ? " on " : "", domain);
}

static void trace_span(uint32_t lane, const char *name, const char *kind, int64_t from_ns,
                       int64_t for_ns)
{
    printf(",\n{\"name\":\"%s\",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":%u,"
           "\"ts\":%.3f,\"dur\":%.3f}",
           name, kind, lane, (double)from_ns / 1e3, (double)for_ns / 1e3);
}

static void print_trace(const tribus_graph *g, uint64_t run, const step *steps)
{
    const int64_t origin = steps[0].begin_ns;

    printf("{\"displayTimeUnit\":\"ns\",\"otherData\":{\"pipeline\":\"%s\","
           "\"run\":\"%" PRIu64 "\"},\"traceEvents\":[",
           g->name, run);
    trace_lane(0, "run", "");
    trace_span(0, g->name, "run", 0, steps[0].end_ns - origin);
    for (uint32_t i = 1; i + 1 < g->node_count; i++) {
        const step *s = &steps[i];
        const int64_t at = s->begin_ns - origin;

        trace_lane(i, g->nodes[i].name, tribus_graph_domain_name(g->nodes[i].domain));
        if (s->queue_ns > 0)
            trace_span(i, "queue", "queue", at - s->queue_ns, s->queue_ns);
        trace_span(i, g->nodes[i].name, s->ran ? "compute" : "passed on", at,
                   s->end_ns - s->begin_ns);
    }
    printf("\n]}\n");
}

/* The last finished run as Chrome trace JSON: a lane for the run and one a stage, in which it
 * waits and computes. */
bool tribus_cli_pipeline_trace(const tribus_pipeline *pipe, bool json)
{
    const tribus_graph *g = pipe->plan->graph;
    step *steps = calloc(g->node_count, sizeof(*steps));
    uint64_t run = 0;
    bool ok = false;

    (void)json;
    for (int i = 0; steps != NULL && !ok && i < TRACE_TRIES; i++) {
        steps[0].end_ns = 0;
        ok = read_run(pipe, &run, steps);
    }
    if (ok)
        print_trace(g, run, steps);
    else
        (void)tribus_cli_complain("pipeline trace",
                                  run == 0 ? "%s has finished no run yet"
                                           : "%s: runs pass faster than one can be copied; "
                                             "try again, or let more be in flight",
                                  g->name);
    free(steps);
    return ok;
}
