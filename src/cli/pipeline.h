/* pipeline.h -- what the files of `tribus pipeline` share. */
#ifndef TRIBUS_CLI_PIPELINE_H
#define TRIBUS_CLI_PIPELINE_H

#include "cli/cli.h"
#include "tribus/pipeline.h"

#define TRIBUS_CLI_PIPELINE_PATIENCE_NS INT64_C(30000000000)

typedef struct tribus_cli_pipeline_options {
    const char *what; /* name or file */
    const char *socket;
    tribus_cli_list dims, params;
    int64_t runs, seed;
    double seconds;
    bool json;
} tribus_cli_pipeline_options;

/* A session with the agent; returns an exit code, after saying what is wrong. */
int tribus_cli_pipeline_session(const tribus_cli_pipeline_options *o, const char *command,
                                tribus_session **out);

/* pipeline_show.c: print what is to be seen of a pipeline. json: one object a row; dot and
 * trace have one form. false: not to be had, and said. */
bool tribus_cli_pipeline_show(const tribus_pipeline *pipe, bool json);
bool tribus_cli_pipeline_dot(const tribus_pipeline *pipe, bool json);
bool tribus_cli_pipeline_trace(const tribus_pipeline *pipe, bool json);

/* pipeline_submit.c: `check` and `run` of a file; exit codes. */
int tribus_cli_pipeline_check(const tribus_cli_pipeline_options *o);
int tribus_cli_pipeline_run(const tribus_cli_pipeline_options *o);

#endif
