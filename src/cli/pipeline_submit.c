/* pipeline_submit.c -- `tribus pipeline run | check`. */
#include "cli/pipeline.h"

#include "base/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int run_pipe(const tribus_cli_pipeline_options *o, tribus_pipeline *pipe)
{
    tribus_random random;
    int code = TRIBUS_EXIT_DONE;

    tribus_random_init(&random, (uint64_t)o->seed);
    if (tribus_pipeline_ready_wait(pipe, TRIBUS_CLI_PIPELINE_PATIENCE_NS) != TRIBUS_OK)
        return tribus_cli_fail("pipeline run");
    for (int64_t i = 0; i < o->runs && !tribus_cli_stopped(); i++) {
        tribus_pipeline_result r;

        if (tribus_pipeline_claim(pipe) != TRIBUS_OK || !write_inputs(pipe, &random) ||
            tribus_pipeline_submit(pipe, 0, NULL) != TRIBUS_OK ||
            tribus_pipeline_await_wait(pipe, TRIBUS_CLI_PIPELINE_PATIENCE_NS, &r) !=
                TRIBUS_OK)
            return tribus_cli_fail("pipeline run");
        if (i < 3 || i + 1 == o->runs || r.status != TRIBUS_OK)
            print_result(pipe, &r);
        if (r.status != TRIBUS_OK)
            code = TRIBUS_EXIT_FAILED;
        tribus_pipeline_release(pipe, r.run);
    }
    (void)tribus_cli_pipeline_show(pipe, o->json);
    return code;
}

/* The settings of a registration from the options; the arrays live in *keep. */
typedef struct settings {
    char dim_names[TRIBUS_CLI_LIST_MAX][96], param_names[TRIBUS_CLI_LIST_MAX][96];
    double dim_values[TRIBUS_CLI_LIST_MAX], param_values[TRIBUS_CLI_LIST_MAX];
    tribus_pipeline_dim dims[TRIBUS_CLI_LIST_MAX];
    tribus_pipeline_param params[TRIBUS_CLI_LIST_MAX];
} settings;

static bool settle(const tribus_cli_pipeline_options *o, settings *s,
                   tribus_pipeline_cfg *cfg)
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

int tribus_cli_pipeline_run(const tribus_cli_pipeline_options *o)
{
    static settings s;
    tribus_pipeline_cfg cfg = {.successor_ns = TRIBUS_CLI_PIPELINE_PATIENCE_NS};
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
    code = tribus_cli_pipeline_session(o, "pipeline run", &session);
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

int tribus_cli_pipeline_check(const tribus_cli_pipeline_options *o)
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
