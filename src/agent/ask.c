/* ask.c -- questions to a running agent; see tribus/agent.h. */
#include "tribus/agent.h"
#include "base/clock.h"
#include "base/error.h"
#include "fabric/agent_call.h"

#include <poll.h>
#include <string.h>

#define ASK_NS  INT64_C(10000000000)
#define STOP_NS INT64_C(60000000000)

_Static_assert(sizeof(tribus_agent_status) <= TRIBUS_AGENT_BODY_BYTES, "fits a reply");
_Static_assert(sizeof(tribus_agent_child) <= TRIBUS_AGENT_BODY_BYTES, "fits a reply");

static tribus_status ask(tribus_agent_channel *channel, tribus_agent_request_type type,
                         uint32_t number, int64_t deadline, tribus_agent_reply *reply)
{
    tribus_agent_request request = tribus_agent_call_request(type);

    request.number = number;
    return tribus_agent_call_wait(channel, &request, -1, reply, NULL,
                                  tribus_deadline_left_ns(deadline));
}

tribus_status tribus_agent_get_status(const char *socket_path, int64_t timeout_ns,
                                      tribus_agent_status *out)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns > 0 ? timeout_ns : ASK_NS);
    tribus_agent_channel channel;
    tribus_agent_reply reply;
    tribus_status st =
        tribus_agent_call_connect(&channel, socket_path, tribus_deadline_left_ns(deadline));

    if (st != TRIBUS_OK)
        return st;
    st = ask(&channel, TRIBUS_AGENT_STATUS, 0, deadline, &reply);
    if (st == TRIBUS_OK) {
        memcpy(out, reply.body.words, sizeof(*out));
        out->release[sizeof(out->release) - 1] = '\0';
    }
    tribus_agent_call_close(&channel);
    return st;
}

tribus_status tribus_agent_get_children(const char *socket_path, int64_t timeout_ns,
                                        tribus_agent_child *rows, uint32_t max,
                                        uint32_t *count)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns > 0 ? timeout_ns : ASK_NS);
    tribus_agent_channel channel;
    tribus_agent_reply reply;
    uint32_t n = 0;
    tribus_status st =
        tribus_agent_call_connect(&channel, socket_path, tribus_deadline_left_ns(deadline));

    if (st != TRIBUS_OK)
        return st;
    while (n < max) {
        tribus_agent_child *row = &rows[n];

        st = ask(&channel, TRIBUS_AGENT_CHILD, n, deadline, &reply);
        if (st != TRIBUS_OK)
            break;
        memcpy(row, reply.body.words, sizeof(*row));
        row->name[sizeof(row->name) - 1] = '\0';
        row->kind[sizeof(row->kind) - 1] = '\0';
        row->text[sizeof(row->text) - 1] = '\0';
        row->about[sizeof(row->about) - 1] = '\0';
        n++;
    }
    tribus_agent_call_close(&channel);
    if (st != TRIBUS_OK && st != TRIBUS_NOT_FOUND) /* NOT_FOUND: past the last */
        return st;
    *count = n;
    return TRIBUS_OK;
}

/* The agent closes our connection when it has stopped everything: the end of the socket is
 * the answer. */
static tribus_status wait_for_end(const tribus_agent_channel *channel, int64_t deadline)
{
    for (;;) {
        struct pollfd p = {.fd = channel->sock, .events = 0};
        const int64_t left_ms = tribus_deadline_left_ns(deadline) / 1000000;

        if (poll(&p, 1, left_ms > 1000 ? 1000 : (int)left_ms) > 0)
            return TRIBUS_OK;
        if (left_ms == 0)
            return tribus_error_set(TRIBUS_TIMEOUT, "the agent is still stopping");
    }
}

tribus_status tribus_agent_ask_stop(const char *socket_path, int64_t timeout_ns)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns > 0 ? timeout_ns : STOP_NS);
    tribus_agent_channel channel;
    tribus_agent_reply reply;
    tribus_status st =
        tribus_agent_call_connect(&channel, socket_path, tribus_deadline_left_ns(deadline));

    if (st != TRIBUS_OK)
        return st;
    st = ask(&channel, TRIBUS_AGENT_STOP, 0, deadline, &reply);
    if (st == TRIBUS_OK)
        st = wait_for_end(&channel, deadline);
    tribus_agent_call_close(&channel);
    return st;
}

const char *tribus_child_state_name(uint32_t state)
{
    static const char *const names[] = {
        [TRIBUS_CHILD_WAITING] = "waiting",
        [TRIBUS_CHILD_STARTING] = "starting",
        [TRIBUS_CHILD_UP] = "up",
        [TRIBUS_CHILD_BACKOFF] = "back-off",
        [TRIBUS_CHILD_DONE] = "done",
        [TRIBUS_CHILD_FAILED] = "failed",
        [TRIBUS_CHILD_EXTERNAL] = "external",
        [TRIBUS_CHILD_STOPPING] = "stopping",
    };

    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}
