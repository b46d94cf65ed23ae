/* start.h -- start tribusd and wait until its children are up; shared by up and demo. */
#ifndef TRIBUS_CLI_START_H
#define TRIBUS_CLI_START_H

#include "cli/cli.h"
#include "tribus/agent.h"

#include <sys/types.h>

typedef struct tribus_start_cfg {
    const char *command; /* for complaints */
    const char *config;  /* NULL: none */
    const tribus_cli_list *set;
    const tribus_platform *platform; /* the same settings, already read */
    bool detach;                     /* outlive this process, else end with it */
} tribus_start_cfg;

/* The agent's socket according to the platform; NULL: the default. */
const char *tribus_start_socket(const tribus_platform *platform);

/* Start tribusd, which must not be running, and wait until every child is up, running already,
 * done or failed. *pid: of tribusd. Complaints go to stderr.
 * Returns TRIBUS_EXIT_DONE, or _FAILED after having ended what was started. */
int tribus_start(const tribus_start_cfg *cfg, pid_t *pid);

/* End a tribusd that tribus_start() started and wait for it. */
void tribus_start_end(pid_t pid);

#endif
