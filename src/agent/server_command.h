/* server_command.h -- how a Redis server of ours is started: its command line and folder.
 *
 * A server that keeps what is durable has <data_folder>/<name> for itself, made here and
 * never removed by the agent: it holds the append-only file, which Redis rewrites when it has
 * doubled, and a file `lock`, held while an agent uses the folder.
 */
#ifndef TRIBUS_AGENT_SERVER_COMMAND_H
#define TRIBUS_AGENT_SERVER_COMMAND_H

#include "tribus/agent.h"

#define TRIBUS_SERVER_COMMAND_WORDS 40u

typedef struct tribus_server_command {
    const char *argv[TRIBUS_SERVER_COMMAND_WORDS]; /* NULL at the end */
    char port[16];
    char folder[256]; /* its working folder */
} tribus_server_command;

/* cfg: borrowed as long as the command. runtime_folder: where it works when it keeps nothing.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status
tribus_server_command_fill(const tribus_agent_redis_cfg *cfg, const char *runtime_folder,
                           tribus_server_command *out);

/* Make the folder of a server that keeps something and take it: *lock_fd (-1 before) is open
 * while it is ours. Returns TRIBUS_OK, TRIBUS_EXISTS (another agent has it) or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_server_command_take_folder(const char *folder,
                                                                  int *lock_fd);

#endif
