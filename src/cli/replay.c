/* replay.c -- `tribus replay FILE`: publish a recording again. */
#include "base/clock.h"
#include "base/error.h"
#include "cli/commands.h"
#include "cli/record_file.h"
#include "tribus/bus.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct replayer {
    const char *path;
    const char *socket;
    double speed;  /* times the original; 0: as fast as possible */
    double from_s; /* after its beginning */
    double for_s;  /* of the recording; 0: all */
    bool durable;
    bool keep_stamps;
    bool json;
    uint64_t published, held_back, invalid;
} replayer;

/* Sleep until a moment of this replay; false when it was stopped. */
static bool wait_until(int64_t at_ns)
{
    for (;;) {
        const int64_t left = at_ns - tribus_now_ns();
        const int64_t step = left < 50000000 ? left : 50000000;
        const struct timespec ts = {.tv_nsec = (long)step};

        if (tribus_cli_stopped())
            return false;
        if (left <= 0)
            return true;
        (void)nanosleep(&ts, NULL);
    }
}

static tribus_status publish(replayer *r, tribus_bus *bus, const void *bytes, size_t n)
{
    const struct timespec step = {.tv_nsec = 1000000};
    tribus_msg_any m;
    tribus_status st;

    if (tribus_wire_validate(bytes, n) != TRIBUS_OK) {
        r->invalid++;
        return TRIBUS_OK;
    }
    memcpy(&m, bytes, tribus_wire_message_bytes(((const tribus_msg_header *)bytes)->type));
    if (!r->durable && (m.header.flags & TRIBUS_MSG_DURABLE) != 0) {
        r->held_back++; /* nobody wants last week's orders to be sent again by mistake */
        return TRIBUS_OK;
    }
    if (!r->keep_stamps)
        m.header.timestamp_wall_ns = 0;
    while ((st = tribus_bus_publish(bus, &m.header)) == TRIBUS_FULL &&
           !tribus_cli_stopped())
        (void)nanosleep(&step, NULL);
    if (st == TRIBUS_OK)
        r->published++;
    return st == TRIBUS_FULL ? TRIBUS_OK : st;
}

static tribus_status run(replayer *r, tribus_record_file *file, tribus_bus *bus)
{
    const int64_t began = tribus_now_ns();
    const void *bytes = NULL;
    int64_t wall_ns = 0, zero_ns, from_ns, to_ns = INT64_MAX;
    size_t n = 0;
    tribus_status st = tribus_record_file_next(file, &zero_ns, &bytes, &n);

    if (st != TRIBUS_OK)
        return st == TRIBUS_EMPTY ? TRIBUS_OK : st;
    from_ns = zero_ns + (int64_t)(r->from_s * 1e9);
    if (r->for_s > 0)
        to_ns = from_ns + (int64_t)(r->for_s * 1e9);
    st = tribus_record_file_seek(file, from_ns);
    while (st == TRIBUS_OK &&
           (st = tribus_record_file_next(file, &wall_ns, &bytes, &n)) == TRIBUS_OK) {
        if (wall_ns < from_ns)
            continue;
        if (wall_ns >= to_ns || tribus_cli_stopped())
            return TRIBUS_OK;
        if (r->speed > 0 &&
            !wait_until(began + (int64_t)((double)(wall_ns - from_ns) / r->speed)))
            return TRIBUS_OK;
        st = publish(r, bus, bytes, n);
    }
    return st == TRIBUS_EMPTY ? TRIBUS_OK : st;
}

/* Print what is in a file, as the JSON of the wire. */
static tribus_status print(tribus_record_file *file)
{
    static char text[TRIBUS_WIRE_JSON_BYTES];
    const void *bytes = NULL;
    int64_t wall_ns = 0;
    size_t n = 0;
    tribus_status st;

    while ((st = tribus_record_file_next(file, &wall_ns, &bytes, &n)) == TRIBUS_OK) {
        if (tribus_wire_validate(bytes, n) == TRIBUS_OK &&
            tribus_wire_to_json(bytes, text, sizeof(text), NULL) == TRIBUS_OK)
            printf("%s\n", text);
    }
    return st == TRIBUS_EMPTY ? TRIBUS_OK : st;
}

static tribus_status replay(replayer *r, tribus_record_file *file, int *code)
{
    const tribus_session_cfg session_cfg = {.socket_path = r->socket, .role = "tool"};
    tribus_session *session = NULL;
    tribus_bus *bus = NULL;
    tribus_status st = tribus_session_open(&session_cfg, &session);

    if (st == TRIBUS_NOT_FOUND)
        *code = TRIBUS_EXIT_NOT_RUNNING;
    if (st == TRIBUS_OK)
        st = tribus_bus_open(session, NULL, &bus);
    if (st == TRIBUS_OK)
        st = run(r, file, bus);
    tribus_bus_close(bus);
    tribus_session_close(session);
    if (st == TRIBUS_OK) {
        printf("%" PRIu64 " published, %" PRIu64 " invalid\n", r->published, r->invalid);
        if (r->held_back > 0)
            printf("%" PRIu64 " durable messages (orders and such) held back; --durable "
                   "publishes them\n",
                   r->held_back);
    }
    return st;
}

int tribus_cli_replay(int argc, char **argv)
{
    replayer r = {.speed = 1.0};
    const tribus_cli_option options[] = {
        {"FILE", NULL, "to read", TRIBUS_CLI_TEXT, &r.path},
        {"--speed", "X", "times the original; 0: as fast as possible (1)", TRIBUS_CLI_REAL,
         &r.speed},
        {"--from", "S", "begin S seconds after its beginning", TRIBUS_CLI_REAL, &r.from_s},
        {"--seconds", "S", "of the recording; 0: all", TRIBUS_CLI_REAL, &r.for_s},
        {"--durable", NULL, "orders and other durable messages, too", TRIBUS_CLI_FLAG,
         &r.durable},
        {"--keep-stamps", NULL, "leave the stamps as they were", TRIBUS_CLI_FLAG,
         &r.keep_stamps},
        {"--json", NULL, "print it instead of publishing it", TRIBUS_CLI_FLAG, &r.json},
        {"--socket", "PATH", "the agent's socket", TRIBUS_CLI_TEXT, &r.socket},
    };
    const tribus_cli_usage usage = {
        .command = "replay",
        .synopsis = "FILE [--speed X] [--from S] [--seconds S]",
        .text =
            "Publish what `tribus record` recorded. A file without its end is replayed up "
            "to its\nlast good block.",
        .examples = "  tribus replay today.rec --speed 10"};
    tribus_record_file *file = NULL;
    bool truncated = false;
    int code;
    tribus_status st;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (r.path == NULL || r.speed < 0 || r.from_s < 0) {
        (void)tribus_cli_complain("replay",
                                  "a file is needed; --speed and --from: not below 0");
        return TRIBUS_EXIT_USAGE;
    }
    tribus_cli_catch_signals();
    code = TRIBUS_EXIT_FAILED;
    st = tribus_record_file_open(r.path, &truncated, &file);
    if (st == TRIBUS_OK && truncated)
        (void)tribus_cli_complain(
            "replay", "%s: its end is missing; reading its good blocks", r.path);
    if (st == TRIBUS_OK)
        st = r.json ? print(file) : replay(&r, file, &code);
    if (st == TRIBUS_OK)
        code = TRIBUS_EXIT_DONE;
    else
        (void)tribus_cli_fail("replay");
    if (tribus_record_file_close(file) != TRIBUS_OK)
        code = TRIBUS_EXIT_FAILED;
    return code;
}
