/* tap.c -- `tribus tap`: watch the messages of any bus, decoded. Reads only: what others
 * own is mapped read-only, and nothing is fetched from the wire because of us. */
#include "base/clock.h"
#include "base/error.h"
#include "cli/commands.h"
#include "tribus/bus.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct tap {
    tribus_cli_list buses;
    tribus_cli_list types;
    const char *engine;
    const char *pattern;
    const char *socket;
    int64_t count;
    double seconds;
    int64_t history;
    bool json;
    bool ask;
    uint64_t shown;
    uint64_t lost;
} tap;

static tribus_status make_filter(const tap *t, tribus_bus_filter *f)
{
    *f = (tribus_bus_filter){
        .engine = t->engine, .pattern = t->pattern, .history = (uint32_t)t->history};
    for (size_t i = 0; i < t->buses.count; i++) {
        tribus_bus_id bus;
        const tribus_status st = tribus_wire_bus_find(t->buses.items[i], &bus);

        if (st != TRIBUS_OK)
            return st;
        f->buses |= 1u << bus;
    }
    for (size_t i = 0; i < t->types.count; i++) {
        tribus_msg_type type;
        const tribus_status st = tribus_wire_type_find(t->types.items[i], &type);

        if (st != TRIBUS_OK)
            return st;
        f->types |= 1ull << type;
    }
    return TRIBUS_OK;
}

static void print_time(int64_t wall_ns)
{
    const time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm tm;
    char text[16];

    if (localtime_r(&seconds, &tm) == NULL || strftime(text, sizeof(text), "%T", &tm) == 0)
        text[0] = '\0';
    printf("%s.%06d", text, (int)(wall_ns % 1000000000 / 1000));
}

/* Is a field empty, so that a line is shorter without it? */
static bool is_empty(const char *value)
{
    return strcmp(value, "\"\"") == 0 || strcmp(value, "null") == 0 ||
           strcmp(value, "[]") == 0;
}

static void print_plain(const tribus_msg_header *m)
{
    print_time(m->timestamp_wall_ns);
    printf(" %-12s %-20s %s%s", tribus_wire_bus_title(m->bus),
           tribus_wire_type_name(m->type),
           m->engine_instance[0] != '\0' ? m->engine_instance : m->engine_type,
           (m->flags & TRIBUS_MSG_FROM_WIRE) != 0 ? " (wire)" : "");
    if (m->priority > TRIBUS_PRIORITY_HIGH)
        printf(" !%s", tribus_wire_priority_name(m->priority));
    for (uint32_t i = 0; i < tribus_wire_field_count(m->type); i++) {
        tribus_wire_field_info field;
        char value[2048];

        if (tribus_wire_field(m->type, i, &field) != TRIBUS_OK ||
            tribus_wire_field_print(m, i, value, sizeof(value)) != TRIBUS_OK ||
            is_empty(value))
            continue;
        printf(" %s=%s", field.key, value);
    }
    printf("\n");
}

static bool print_json(const tribus_subscription *sub, const tribus_msg_header *m)
{
    static char text[TRIBUS_WIRE_JSON_BYTES + TRIBUS_WIRE_TEXT_BYTES];

    if (tribus_wire_to_json_extra(m, tribus_bus_extra(sub), text, sizeof(text), NULL) !=
        TRIBUS_OK)
        return false;
    printf("%s\n", text);
    return true;
}

/* Show messages until the count, the time or a signal ends it. */
static int watch(tap *t, tribus_subscription *sub)
{
    const int64_t deadline =
        tribus_deadline_ns(t->seconds > 0 ? (int64_t)(t->seconds * 1e9) : -1);
    int64_t flush_ns = 0;

    while (!tribus_cli_stopped() && (t->count == 0 || t->shown < (uint64_t)t->count)) {
        const tribus_wait_cfg wait = {.spin_ns = 1, .timeout_ns = 100000000};
        const tribus_msg_header *m = NULL;
        uint64_t lost = 0;
        tribus_status st = tribus_bus_next(sub, &m, &lost);

        if (st == TRIBUS_EMPTY) {
            uint64_t more = 0;

            if (fflush(stdout) != 0)
                return TRIBUS_EXIT_DONE; /* the reader of our output left */
            st = tribus_bus_next_wait(sub, &m, &more, &wait);
            lost += more;
        }
        t->lost += lost;
        if (lost > 0 && !t->json)
            printf("--- fell behind: %" PRIu64 " messages were not seen ---\n", lost);
        if (tribus_deadline_left_ns(deadline) == 0)
            break;
        if (st == TRIBUS_TIMEOUT)
            continue;
        if (st != TRIBUS_OK)
            return tribus_cli_fail("tap");
        if (!t->json)
            print_plain(m);
        else if (!print_json(sub, m))
            return tribus_cli_fail("tap");
        t->shown++;
        if (tribus_deadline_left_ns(flush_ns) == 0) {
            flush_ns = tribus_deadline_ns(200000000);
            if (fflush(stdout) != 0)
                return TRIBUS_EXIT_DONE;
        }
    }
    (void)fflush(stdout);
    fprintf(stderr, "tribus tap: %" PRIu64 " messages shown, %" PRIu64 " lost\n", t->shown,
            t->lost);
    return TRIBUS_EXIT_DONE;
}

int tribus_cli_tap(int argc, char **argv)
{
    tap t = {0};
    const tribus_cli_option options[] = {
        {"--bus", "NAME", "marketdata, engine_logic or neural_gpu; may be repeated",
         TRIBUS_CLI_LIST, &t.buses},
        {"--type", "NAME", "message type, such as risk_metric; may be repeated",
         TRIBUS_CLI_LIST, &t.types},
        {"--engine", "GLOB", "sender's type or instance, such as 'ml*'", TRIBUS_CLI_TEXT,
         &t.engine},
        {"--pattern", "GLOB", "channel, such as 'nautilus-*-risk_*'", TRIBUS_CLI_TEXT,
         &t.pattern},
        {"--history", "N", "begin with the last N messages of each sender", TRIBUS_CLI_INT,
         &t.history},
        {"--count", "N", "end after N messages", TRIBUS_CLI_INT, &t.count},
        {"--seconds", "S", "end after S seconds", TRIBUS_CLI_REAL, &t.seconds},
        {"--json", NULL, "one envelope a line, as on the wire", TRIBUS_CLI_FLAG, &t.json},
        {"--ask", NULL, "subscribe like an engine: fetches from the wire what it shows",
         TRIBUS_CLI_FLAG, &t.ask},
        {"--socket", "PATH", "the agent's socket", TRIBUS_CLI_TEXT, &t.socket},
    };
    const tribus_cli_usage usage = {
        .command = "tap",
        .synopsis = "[--bus NAME] [--type NAME] [--engine GLOB] [--json]",
        .text =
            "Show messages of any bus, decoded, as they pass. Never slows a sender: what "
            "is\nmissed is counted and said at the end, on stderr.",
        .examples = "  tribus tap --bus engine_logic\n"
                    "  tribus tap --type risk_metric --json --count 10"};
    tribus_bus_cfg bus_cfg = {0};
    tribus_session_cfg cfg = {.role = "tool"};
    tribus_session *session = NULL;
    tribus_bus *bus = NULL;
    tribus_subscription *sub = NULL;
    tribus_bus_filter filter;
    tribus_status st;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (t.history < 0 || t.history > UINT32_MAX || t.count < 0) {
        (void)tribus_cli_complain("tap", "--history and --count: not below 0");
        return TRIBUS_EXIT_USAGE;
    }
    if (make_filter(&t, &filter) != TRIBUS_OK) {
        (void)tribus_cli_fail("tap");
        return TRIBUS_EXIT_USAGE;
    }
    tribus_cli_catch_signals();
    cfg.socket_path = t.socket;
    bus_cfg.observe = t.ask ? 0 : 1;
    st = tribus_session_open(&cfg, &session);
    if (st == TRIBUS_OK)
        st = tribus_bus_open(session, &bus_cfg, &bus);
    if (st == TRIBUS_OK)
        st = tribus_bus_subscribe(bus, &filter, &sub);
    if (st == TRIBUS_OK) {
        code = watch(&t, sub);
    } else {
        code = tribus_cli_fail("tap");
        if (st == TRIBUS_NOT_FOUND)
            code = TRIBUS_EXIT_NOT_RUNNING;
        else if (st == TRIBUS_BAD_ARG)
            code = TRIBUS_EXIT_USAGE;
    }
    tribus_bus_close(bus);
    tribus_session_close(session);
    return code;
}
