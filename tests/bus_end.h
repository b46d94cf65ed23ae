/* bus_end.h -- an agent inside a test, and ends of the buses: a session with a handle. */
#ifndef TRIBUS_TESTS_BUS_END_H
#define TRIBUS_TESTS_BUS_END_H

#include "check.h"
#include "tribus/agent.h"
#include "tribus/bus.h"
#include "tribus/session.h"

#include <unistd.h>

static tribus_agent *agent;
static char folder[64];
static char socket_path[96];

static inline void start_agent(uint64_t memory_bytes)
{
    const tribus_agent_cfg cfg = {.socket_path = socket_path,
                                  .memory_limit_bytes = memory_bytes};

    (void)snprintf(folder, sizeof(folder), "/tmp/tribus-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(socket_path, sizeof(socket_path), "%s/agent.sock", folder);
    CHECK(tribus_agent_start(&cfg, &agent) == TRIBUS_OK);
}

/* Checks that it leaves nothing in its folder. */
static inline void stop_agent(void)
{
    tribus_agent_stop(agent);
    CHECK(rmdir(folder) == 0);
}

typedef struct bus_end {
    tribus_session *session;
    tribus_bus *bus;
} bus_end;

/* cfg: NULL for one that publishes and subscribes. */
static inline bus_end open_end(const char *name, const tribus_bus_cfg *cfg)
{
    const tribus_session_cfg session_cfg = {
        .socket_path = socket_path, .name = name, .role = "engine"};
    bus_end e = {0};

    CHECK(tribus_session_open(&session_cfg, &e.session) == TRIBUS_OK);
    CHECK(tribus_bus_open(e.session, cfg, &e.bus) == TRIBUS_OK);
    return e;
}

static inline void close_end(bus_end *e)
{
    tribus_bus_close(e->bus);
    tribus_session_close(e->session);
}

#endif
