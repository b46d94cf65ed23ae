/* child.h -- one process that the agent started: its start, its end, its last words. */
#ifndef TRIBUS_AGENT_CHILD_H
#define TRIBUS_AGENT_CHILD_H

#include "tribus/base.h"

#include <stddef.h>
#include <sys/types.h>

/* Where to find a program: name itself when it has a slash, else in PATH.
 * Returns TRIBUS_OK or TRIBUS_NOT_FOUND. */
TRIBUS_MUST_CHECK tribus_status tribus_child_find(const char *name, char *path,
                                                  size_t bytes);

/* The environment of this process with TRIBUS_SOCKET set, and with more ("KEY=value", NULL at
 * the end; may be NULL); owned by the caller, free() (one block). NULL: no memory. */
char **tribus_child_environment(const char *socket_path, const char *const *more);

/* Start path with argv and envp: own process group, killed with us, output appended to
 * log_path (emptied first). Returns TRIBUS_OK or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_child_start(const char *path, char *const *argv,
                                                   char *const *envp, const char *log_path,
                                                   pid_t *pid);

/* Take the exit status of a process that ended: 0..255, or minus the signal. What is left of
 * its process group is killed first: nothing it started outlives it. Returns TRIBUS_OK, or TRIBUS_EMPTY while it runs. */
TRIBUS_MUST_CHECK tribus_status tribus_child_reap(pid_t pid, int *exit_status);

/* The last line of a log, printable, "" when there is none. */
void tribus_child_last_words(const char *log_path, char *buf, size_t bytes);

#endif
