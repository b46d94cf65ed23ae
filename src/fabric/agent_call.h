/* agent_call.h -- one request to the agent and its reply, for session.c and the agent's own
 * questions (status, stop).
 *
 * Threads   One thread a channel.
 * Trust     Replies are checked for size, magic, version and sequence. A reply that comes
 *           after its caller gave up is thrown away with its descriptors, and an object it
 *           announces is removed again.
 */
#ifndef TRIBUS_FABRIC_AGENT_CALL_H
#define TRIBUS_FABRIC_AGENT_CALL_H

#include "fabric/agent_protocol.h"

#define TRIBUS_AGENT_CALL_FDS 2u

typedef struct tribus_agent_channel {
    int sock; /* -1: not connected */
    uint64_t sequence;
} tribus_agent_channel;

/* Connect to the agent. path NULL: the default of the user. timeout_ns: until accepted.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (no agent there), TRIBUS_BAD_ARG (path too long),
 * TRIBUS_REFUSED (not allowed to reach the socket), TRIBUS_TIMEOUT, TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_agent_call_connect(tribus_agent_channel *channel,
                                                          const char *path,
                                                          int64_t timeout_ns);
void tribus_agent_call_close(tribus_agent_channel *channel);

/* Send a request of this type with cleared fields. */
tribus_agent_request tribus_agent_call_request(tribus_agent_request_type type);

/* Send the request, wait for its reply. fds: at least TRIBUS_AGENT_CALL_FDS, or NULL when
 * none are wanted; on TRIBUS_OK the caller owns reply->fd_count of them. send_fd: goes along
 * with the request, -1: none. A fault that the agent answers is returned as it is, with its
 * text. Returns also TRIBUS_TIMEOUT, TRIBUS_PEER_LOST, TRIBUS_VERSION, TRIBUS_CORRUPT,
 * TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_agent_call_wait(tribus_agent_channel *channel,
                                                       tribus_agent_request *request,
                                                       int send_fd,
                                                       tribus_agent_reply *reply, int *fds,
                                                       int64_t timeout_ns);

/* Send without waiting for a reply. */
void tribus_agent_call_tell(tribus_agent_channel *channel, tribus_agent_request *request);

#endif
