/* cli.h -- what every command of `tribus` shares: its entry in the table, options, exit codes.
 *
 * A command is one file src/cli/<name>.c with `int tribus_cli_<name>(int argc, char **argv)`,
 * one line in the table of main.c, and a table of its options. argv[0] is the command's name.
 * Only this folder prints. Results go to stdout, complaints to stderr as
 * "tribus <command>: what: why".
 */
#ifndef TRIBUS_CLI_CLI_H
#define TRIBUS_CLI_CLI_H

#include "base/platform.h"
#include "tribus/base.h"
#include "tribus/tls.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stddef.h>

enum {
    TRIBUS_EXIT_DONE = 0,
    TRIBUS_EXIT_FAILED = 1,
    TRIBUS_EXIT_USAGE = 2,
    TRIBUS_EXIT_NOT_RUNNING = 3
};

typedef int (*tribus_cli_fn)(int argc, char **argv);

typedef struct tribus_cli_command {
    const char *name;
    tribus_cli_fn fn;
    const char *text; /* one line for the list */
    bool hidden;      /* started by the agent, not typed by people */
} tribus_cli_command;

/* How an option's value is stored. */
typedef enum tribus_cli_kind {
    TRIBUS_CLI_FLAG, /* bool *, no value */
    TRIBUS_CLI_INT,  /* int64_t * */
    TRIBUS_CLI_REAL, /* double * */
    TRIBUS_CLI_TEXT, /* const char ** */
    TRIBUS_CLI_LIST  /* tribus_cli_list *, may be given again */
} tribus_cli_kind;

#define TRIBUS_CLI_LIST_MAX 64u

typedef struct tribus_cli_list {
    const char *items[TRIBUS_CLI_LIST_MAX];
    size_t count;
} tribus_cli_list;

typedef struct tribus_cli_option {
    const char *name;  /* "--seconds"; a name without dashes is a positional argument */
    const char *value; /* "N", NULL for a flag */
    const char *text;
    tribus_cli_kind kind;
    void *target;
} tribus_cli_option;

typedef struct tribus_cli_usage {
    const char *command;  /* "up", "bench handoff" */
    const char *synopsis; /* "[--config FILE]" */
    const char *text;     /* what it does, some lines */
    const char *examples; /* NULL: none */
} tribus_cli_usage;

/* Parse argv[1..]. -h and --help print to stdout; "--name value" and "--name=value" both do.
 * Returns true to go on; else *exit_code is what the command returns. */
bool tribus_cli_parse(const tribus_cli_usage *usage, const tribus_cli_option *options,
                      size_t count, int argc, char **argv, int *exit_code);

/* Print "tribus <command>: <error text>" ("tribusd: ..." for tribusd) and return TRIBUS_EXIT_FAILED. */
int tribus_cli_fail(const char *command);

/* Complain in one line, printf-like; returns TRIBUS_EXIT_FAILED. */
int tribus_cli_complain(const char *command, const char *fmt, ...) TRIBUS_PRINTF(2, 3);

/* Print text as a string of JSON, quotes included. */
void tribus_cli_json_text(FILE *to, const char *text);

/* Send log lines of `least` and above to stderr, each with time, level and command name, as
 * text or, with agent.log_format: json, as one object a line. */
void tribus_cli_log_to_stderr(const char *command, tribus_log_level least);

/* Run the command named argv[1] out of a table; prints the list for -h and for nothing, and
 * suggests the nearest name for an unknown one. program: "tribus" or "tribus bench". */
int tribus_cli_dispatch(const char *program, const char *text,
                        const tribus_cli_command *commands, size_t count, int argc,
                        char **argv);

/* The flag that SIGINT and SIGTERM set once tribus_cli_catch_signals() was called: 0, then 1;
 * never cleared. Loops of other folders are given its address. */
void tribus_cli_catch_signals(void);
bool tribus_cli_stopped(void);
_Atomic(int) *tribus_cli_stop_flag(void);

/* Settings in their order: defaults, file (config NULL: /etc/tribus.yaml if it is there),
 * environment, then each "section.key=value" of the list. */
TRIBUS_MUST_CHECK tribus_status tribus_cli_platform(tribus_platform *p, const char *config,
                                                    const tribus_cli_list *set);

/* What its servers are spoken to with; borrows the platform's texts. */
tribus_tls_cfg tribus_cli_tls(const tribus_platform *p);

#endif
