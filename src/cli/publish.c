/* publish.c -- `tribus publish`: put messages on the buses from the command line, as the
 * JSON of the wire. */
#include "base/clock.h"
#include "base/error.h"
#include "cli/commands.h"
#include "tribus/bus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORE_NS 10000000000LL
#define ROOM_NS  60000000000LL
#define STEP_NS  5000000LL

typedef struct publisher {
    tribus_bus *bus;
    uint64_t published;
    uint64_t refused;
} publisher;

/* Where too much that is durable waits to be stored, wait with it, within reason. */
static tribus_status publish_when_there_is_room(publisher *p, const tribus_msg_header *m)
{
    const int64_t deadline = tribus_deadline_ns(ROOM_NS);
    tribus_status st = tribus_bus_publish(p->bus, m);

    while (st == TRIBUS_FULL && !tribus_cli_stopped()) {
        if (tribus_deadline_left_ns(deadline) == 0)
            return tribus_error_set(TRIBUS_FULL,
                                    "too many durable messages wait for the bus's Redis "
                                    "server");
        if (tribus_bus_stored_wait(p->bus, STEP_NS) != TRIBUS_OK)
            tribus_error_clear();
        st = tribus_bus_publish(p->bus, m);
    }
    return st;
}

static void publish_one(publisher *p, const char *text, size_t n)
{
    tribus_msg_any m;
    tribus_status st = tribus_wire_from_json(text, n, &m, sizeof(m), NULL);

    if (st == TRIBUS_OK) {
        m.header.timestamp_wall_ns = 0; /* it is published now, and here */
        m.header.sequence = 0;
        st = publish_when_there_is_room(p, &m.header);
    }
    if (st == TRIBUS_OK) {
        p->published++;
        return;
    }
    p->refused++;
    (void)tribus_cli_fail("publish");
}

static void publish_lines(publisher *p)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    while (!tribus_cli_stopped() && (n = getline(&line, &room, stdin)) > 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            n--;
        if (n > 0)
            publish_one(p, line, (size_t)n);
    }
    free(line);
}

int tribus_cli_publish(int argc, char **argv)
{
    const char *socket = NULL;
    const char *engine = NULL;
    tribus_cli_list messages = {0};
    const tribus_cli_option options[] = {
        {"JSON", NULL, "an envelope; none: read one a line from stdin", TRIBUS_CLI_LIST,
         &messages},
        {"--engine", "NAME", "sender's instance where an envelope's is empty",
         TRIBUS_CLI_TEXT, &engine},
        {"--socket", "PATH", "the agent's socket", TRIBUS_CLI_TEXT, &socket},
    };
    const tribus_cli_usage usage = {
        .command = "publish",
        .synopsis = "[JSON ...]",
        .text = "Publish messages given as the JSON of the wire. The type selects the bus; "
                "the stamp is\nset to now.",
        .examples = "  tribus tap --json --bus engine_logic | ssh other tribus publish"};
    tribus_session_cfg session_cfg = {.role = "tool"};
    tribus_bus_cfg bus_cfg = {0};
    tribus_session *session = NULL;
    publisher p = {0};
    tribus_status st;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    tribus_cli_catch_signals();
    session_cfg.socket_path = socket;
    bus_cfg.engine_instance = engine;
    st = tribus_session_open(&session_cfg, &session);
    if (st == TRIBUS_OK)
        st = tribus_bus_open(session, &bus_cfg, &p.bus);
    if (st != TRIBUS_OK) {
        code = tribus_cli_fail("publish");
        return st == TRIBUS_NOT_FOUND ? TRIBUS_EXIT_NOT_RUNNING : code;
    }
    for (size_t i = 0; i < messages.count; i++)
        publish_one(&p, messages.items[i], strlen(messages.items[i]));
    if (messages.count == 0)
        publish_lines(&p);
    code = p.refused == 0 ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
    if (tribus_bus_stored_wait(p.bus, STORE_NS) != TRIBUS_OK)
        code =
            tribus_cli_complain("publish",
                                "what is durable is not stored within %d s: is the bus's "
                                "Redis server up? `tribus status` says",
                                (int)(STORE_NS / 1000000000));
    tribus_bus_close(p.bus);
    tribus_session_close(session);
    printf("%" PRIu64 " published, %" PRIu64 " refused\n", p.published, p.refused);
    return code;
}
