/* record.c -- `tribus record FILE`: keep the traffic of the buses, to be replayed. */
#include "base/clock.h"
#include "base/error.h"
#include "cli/commands.h"
#include "cli/record_file.h"
#include "tribus/bus.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FLUSH_NS 1000000000LL

typedef struct recorder {
    const char *path;
    const char *socket;
    tribus_cli_list buses;
    double seconds;
    int64_t count;
    bool force;
    uint64_t messages;
    uint64_t lost;
    int64_t last_ns; /* time of the last message, as recorded */
} recorder;

/* When it was published, by its stamp: we may be late. But time does not run backwards in a
 * file, nor into the future, whatever a stamp says. */
static int64_t time_of(recorder *r, const tribus_msg_header *m)
{
    const int64_t now = tribus_now_wall_ns();
    int64_t at = m->timestamp_wall_ns;

    at = at > now ? now : at;
    r->last_ns = at > r->last_ns ? at : r->last_ns;
    return r->last_ns;
}

/* A message, and behind it what it had that is unknown to us, as in a topic's cell. */
static tribus_status keep(recorder *r, tribus_record_file *file,
                          const tribus_subscription *sub, const tribus_msg_header *m)
{
    static unsigned char cell[TRIBUS_RECORD_MOST_BYTES];
    const tribus_wire_extra *extra = tribus_bus_extra(sub);
    size_t n = sizeof(*m) + m->body_bytes;

    memcpy(cell, m, n);
    if (extra != NULL &&
        n + extra->envelope_bytes + extra->data_bytes + 2 <= sizeof(cell)) {
        memcpy(cell + n, extra->envelope, extra->envelope_bytes);
        n += extra->envelope_bytes;
        cell[n++] = '\0';
        memcpy(cell + n, extra->data, extra->data_bytes);
        n += extra->data_bytes;
        cell[n++] = '\0';
    }
    return tribus_record_file_append(file, time_of(r, m), cell, n);
}

static tribus_status run(recorder *r, tribus_record_file *file, tribus_subscription *sub)
{
    const int64_t deadline =
        tribus_deadline_ns(r->seconds > 0 ? (int64_t)(r->seconds * 1e9) : -1);
    const tribus_wait_cfg wait = {.spin_ns = 1, .timeout_ns = 100000000};
    int64_t flush_ns = tribus_deadline_ns(FLUSH_NS);
    tribus_status st = TRIBUS_OK;

    while (st == TRIBUS_OK && !tribus_cli_stopped() &&
           tribus_deadline_left_ns(deadline) > 0 &&
           (r->count == 0 || r->messages < (uint64_t)r->count)) {
        const tribus_msg_header *m = NULL;
        uint64_t lost = 0;

        st = tribus_bus_next_wait(sub, &m, &lost, &wait);
        r->lost += lost;
        if (st == TRIBUS_OK) {
            st = keep(r, file, sub, m);
            r->messages++;
        } else if (st == TRIBUS_TIMEOUT) {
            st = TRIBUS_OK;
        }
        if (st == TRIBUS_OK && tribus_deadline_left_ns(flush_ns) == 0) {
            st = tribus_record_file_flush(file);
            flush_ns = tribus_deadline_ns(FLUSH_NS);
        }
    }
    return st;
}

int tribus_cli_record(int argc, char **argv)
{
    recorder r = {0};
    const tribus_cli_option options[] = {
        {"FILE", NULL, "to write", TRIBUS_CLI_TEXT, &r.path},
        {"--bus", "NAME", "this bus alone; may be repeated", TRIBUS_CLI_LIST, &r.buses},
        {"--seconds", "S", "end after S seconds", TRIBUS_CLI_REAL, &r.seconds},
        {"--count", "N", "end after N messages", TRIBUS_CLI_INT, &r.count},
        {"--force", NULL, "replace a file that is there", TRIBUS_CLI_FLAG, &r.force},
        {"--socket", "PATH", "the agent's socket", TRIBUS_CLI_TEXT, &r.socket},
    };
    const tribus_cli_usage usage = {
        .command = "record",
        .synopsis = "FILE [--bus NAME] [--seconds S]",
        .text =
            "Record the messages of all buses until it is stopped. `tribus replay FILE` "
            "publishes\nthem again. What is on disk is complete up to the last second, "
            "whatever happens.",
        .examples = "  tribus record today.rec --seconds 60"};
    const tribus_bus_cfg bus_cfg = {.observe = 1};
    tribus_session_cfg session_cfg = {.role = "tool"};
    tribus_session *session = NULL;
    tribus_bus *bus = NULL;
    tribus_subscription *sub = NULL;
    tribus_record_file *file = NULL;
    tribus_bus_filter filter = {0};
    tribus_status st, ended;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (r.path == NULL) {
        (void)tribus_cli_complain("record", "a file to write is needed");
        return TRIBUS_EXIT_USAGE;
    }
    for (size_t i = 0; i < r.buses.count; i++) {
        tribus_bus_id b;

        if (tribus_wire_bus_find(r.buses.items[i], &b) != TRIBUS_OK) {
            (void)tribus_cli_fail("record");
            return TRIBUS_EXIT_USAGE;
        }
        filter.buses |= 1u << b;
    }
    tribus_cli_catch_signals();
    session_cfg.socket_path = r.socket;
    st = tribus_session_open(&session_cfg, &session);
    code = st == TRIBUS_NOT_FOUND ? TRIBUS_EXIT_NOT_RUNNING : TRIBUS_EXIT_FAILED;
    if (st == TRIBUS_OK)
        st = tribus_bus_open(session, &bus_cfg, &bus);
    if (st == TRIBUS_OK)
        st = tribus_bus_subscribe(bus, &filter, &sub);
    if (st == TRIBUS_OK)
        st = tribus_record_file_create(r.path, r.force, &file);
    if (st == TRIBUS_OK)
        st = run(&r, file, sub);
    ended = tribus_record_file_close(file);
    if (st != TRIBUS_OK || ended != TRIBUS_OK)
        (void)tribus_cli_fail("record");
    else
        code = TRIBUS_EXIT_DONE;
    tribus_bus_close(bus);
    tribus_session_close(session);
    if (file != NULL)
        printf("%" PRIu64 " recorded, %" PRIu64 " lost\n", r.messages, r.lost);
    return code;
}
