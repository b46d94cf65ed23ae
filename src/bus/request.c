/* request.c -- a request, and the reply that carries its correlation. See bus.h. */
#include "bus/bus.h"

#include "base/clock.h"
#include "base/error.h"

#include <string.h>

/* A copy of a message, with another correlation. */
static tribus_status copy(const tribus_msg_header *from, uint64_t correlation,
                          tribus_msg_any *to)
{
    if (sizeof(*from) + from->body_bytes > sizeof(*to))
        return tribus_error_set(TRIBUS_BAD_ARG, "body_bytes: %u: larger than any message",
                                from->body_bytes);
    memcpy(to, from, sizeof(*from) + from->body_bytes);
    to->header.correlation = correlation;
    return TRIBUS_OK;
}

tribus_status tribus_bus_request_wait(tribus_bus *bus, tribus_subscription *sub,
                                      const tribus_msg_header *request, int64_t timeout_ns,
                                      const tribus_msg_header **out)
{
    /* Unlike any other process's, and unlike our own ones before. */
    const uint64_t correlation = (uint64_t)bus->origin << 32 | ++bus->requests;
    const int64_t deadline = tribus_deadline_ns(timeout_ns);
    tribus_msg_any m;
    tribus_status st = copy(request, correlation, &m);

    if (st == TRIBUS_OK)
        st = tribus_bus_publish(bus, &m.header);
    while (st == TRIBUS_OK) {
        const tribus_wait_cfg wait = {
            .timeout_ns = timeout_ns < 0 ? -1 : tribus_deadline_left_ns(deadline)};
        const tribus_msg_header *got = NULL;

        st = tribus_bus_next_wait(sub, &got, NULL, &wait);
        /* Our own request comes back when sub wants its type, too. */
        if (st == TRIBUS_OK && got->correlation == correlation &&
            got->origin != bus->origin) {
            *out = got;
            return TRIBUS_OK;
        }
    }
    return st;
}

tribus_status tribus_bus_reply(tribus_bus *bus, const tribus_msg_header *request,
                               const tribus_msg_header *reply)
{
    tribus_msg_any m;
    tribus_status st;

    if (request->correlation == 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "reply: %s asks for none: correlation is 0",
                                tribus_wire_type_name(request->type));
    st = copy(reply, request->correlation, &m);
    return st == TRIBUS_OK ? tribus_bus_publish(bus, &m.header) : st;
}
