/* pipeline.c -- `tribus pipeline`: list and stop pipelines; its other commands are in
 * pipeline_show.c and pipeline_submit.c. */
#include "cli/pipeline.h"

#include "cli/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int tribus_cli_pipeline_session(const tribus_cli_pipeline_options *o, const char *command,
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

static int list(const tribus_cli_pipeline_options *o)
{
    tribus_session *session;
    tribus_object row;
    uint32_t cursor = 0;
    const int code = tribus_cli_pipeline_session(o, "pipeline list", &session);

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

/* ---- the rest ---- */

/* Open the pipeline that was named and do one thing with it. */
static int with_pipeline(const tribus_cli_pipeline_options *o, const char *command,
                         bool (*look)(const tribus_pipeline *, bool))
{
    tribus_session *session;
    tribus_pipeline *pipe;
    int code = tribus_cli_pipeline_session(o, command, &session);

    if (code != TRIBUS_EXIT_DONE)
        return code;
    if (tribus_pipeline_open(session, o->what, &pipe) == TRIBUS_OK) {
        if (!look(pipe, o->json))
            code = TRIBUS_EXIT_FAILED;
        tribus_pipeline_close(pipe);
    } else {
        code = tribus_cli_fail(command);
    }
    tribus_session_close(session);
    return code;
}

static int stop(const tribus_cli_pipeline_options *o)
{
    tribus_session *session;
    int code = tribus_cli_pipeline_session(o, "pipeline stop", &session);

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
                  tribus_cli_pipeline_options *o, int *code)
{
    const tribus_cli_usage usage = {.command = command,
                                    .synopsis = (has & WANTS_NAME) != 0 ? "NAME"
                                                : (has & WANTS_FILE) != 0
                                                    ? "FILE [--dim NAME=N]"
                                                    : "",
                                    .text = text};
    tribus_cli_option options[8];
    size_t n = 0;

    *o = (tribus_cli_pipeline_options){.runs = 1, .seed = 1};
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
    tribus_cli_pipeline_options o;
    int code;

    if (!parse("pipeline list", "Show every registered pipeline.", HAS_JSON, argc, argv, &o,
               &code))
        return code;
    return list(&o);
}

static int do_show(int argc, char **argv)
{
    tribus_cli_pipeline_options o;
    int code;

    if (!parse("pipeline show", "Show stages, links, times and counts of a pipeline.",
               WANTS_NAME | HAS_JSON, argc, argv, &o, &code))
        return code;
    return with_pipeline(&o, "pipeline show", tribus_cli_pipeline_show);
}

static int do_dot(int argc, char **argv)
{
    tribus_cli_pipeline_options o;
    int code;

    if (!parse("pipeline dot", "Print the graph for Graphviz, with live numbers.",
               WANTS_NAME, argc, argv, &o, &code))
        return code;
    return with_pipeline(&o, "pipeline dot", tribus_cli_pipeline_dot);
}

static int do_trace(int argc, char **argv)
{
    tribus_cli_pipeline_options o;
    int code;

    if (!parse("pipeline trace",
               "Print the last finished run as Chrome trace JSON (chrome://tracing, "
               "Perfetto).",
               WANTS_NAME, argc, argv, &o, &code))
        return code;
    return with_pipeline(&o, "pipeline trace", tribus_cli_pipeline_trace);
}

static int do_run(int argc, char **argv)
{
    tribus_cli_pipeline_options o;
    int code;

    if (!parse("pipeline run", "Register a pipeline, run it on random inputs, show it.",
               WANTS_FILE | HAS_RUNS | HAS_JSON, argc, argv, &o, &code))
        return code;
    return tribus_cli_pipeline_run(&o);
}

static int do_check(int argc, char **argv)
{
    tribus_cli_pipeline_options o;
    int code;

    if (!parse("pipeline check", "Check a pipeline without running it.", WANTS_FILE, argc,
               argv, &o, &code))
        return code;
    return tribus_cli_pipeline_check(&o);
}

static int do_stop(int argc, char **argv)
{
    tribus_cli_pipeline_options o;
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
