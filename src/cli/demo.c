/* demo.c -- `tribus demo`: start the platform, watch it for some seconds, sum it up, end it. */
#include "cli/commands.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"
#include "cli/start.h"
#include "cli/audience.h"
#include "tribus/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS  1000000000
#define STEADY_S   10 /* memory is compared from here on */
#define CHILD_ROWS 64u
#define PIPELINE   "ml-risk"
#define MARGIN_S   2.0 /* of the run that a recorded feed leaves empty at its end */
#define BARS_A_S   100.0

/* What a recorded feed holds, read once before the start. */
typedef struct recording {
    bool recorded;
    double span_s;
    uint32_t symbols;
    tribus_feed_totals totals;
} recording;

typedef struct demo {
    const char *config, *feed, *speed;
    int64_t seconds;
    bool json;
    tribus_cli_list set;
    char settings[6][600]; /* what this command adds to the list */
    tribus_platform platform;
    recording rec;
    tribus_audience watch;
    tribus_audience before; /* tallies one second ago; only numbers are looked at */
    size_t steady_bytes, resident_bytes;
    bool terminal;
} demo;

static void add_setting(demo *d, size_t i, const char *key, const char *value)
{
    (void)snprintf(d->settings[i], sizeof(d->settings[i]), "%s=%s", key, value);
    if (d->set.count < TRIBUS_CLI_LIST_MAX)
        d->set.items[d->set.count++] = d->settings[i];
}

static bool is_set(const demo *d, const char *key)
{
    const size_t n = strlen(key);

    for (size_t i = 0; i < d->set.count; i++)
        if (strncmp(d->set.items[i], key, n) == 0 && d->set.items[i][n] == '=')
            return true;
    return false;
}

/* Read a recorded feed to its end: its span decides the speed that fits it into the run. */
static tribus_status look_at_feed(demo *d)
{
    tribus_feed *feed;
    tribus_feed_event event;
    tribus_status st = tribus_feed_open(d->feed, NULL, &feed);

    d->rec.recorded = strncmp(d->feed, "sim", 3) != 0;
    if (st != TRIBUS_OK)
        return st;
    while (d->rec.recorded && st == TRIBUS_OK && !tribus_cli_stopped())
        st = tribus_feed_next(feed, &event);
    if (st == TRIBUS_STOPPED || !d->rec.recorded)
        st = TRIBUS_OK;
    tribus_feed_stats(feed, &d->rec.totals);
    d->rec.symbols = tribus_feed_symbol_count(feed);
    d->rec.span_s = (double)(d->rec.totals.last_ns - d->rec.totals.first_ns) * 1e-9;
    tribus_feed_close(feed);
    return st;
}

/* Fit a recorded feed into the run, 100 bars a second of ours either way. */
static tribus_status settle(demo *d)
{
    double speed = 1.0, room = (double)d->seconds - MARGIN_S;
    char text[64];
    tribus_status st = look_at_feed(d);

    if (st != TRIBUS_OK)
        return st;
    if (!is_set(d, "redis.keep"))
        add_setting(d, 4, "redis.keep", "false"); /* a demo leaves nothing behind */
    add_setting(d, 0, "marketdata_engine.feed", d->feed);
    if (d->speed == NULL && d->rec.recorded)
        speed = d->rec.span_s / (room > 1.0 ? room : 1.0);
    else if (d->speed != NULL)
        speed = strcmp(d->speed, "max") == 0 ? 0.0 : strtod(d->speed, NULL);
    if (!(speed >= 0.0))
        return tribus_error_set(TRIBUS_BAD_ARG, "--speed %s: a number above 0, or max",
                                d->speed);
    (void)snprintf(text, sizeof(text), "%.17g", speed);
    add_setting(d, 1, "marketdata_engine.speed", text);
    if (d->rec.recorded) {
        const double bar_ms = 1000.0 * (speed > 0.0 ? speed : 1000.0) / BARS_A_S;

        (void)snprintf(text, sizeof(text), "%" PRId64, bar_ms < 1.0 ? 1 : (int64_t)bar_ms);
        add_setting(d, 2, "ml_engine.bar_ms", text);
        (void)snprintf(text, sizeof(text), "%u", d->rec.symbols < 8 ? d->rec.symbols : 8);
        add_setting(d, 3, "ml_engine.assets", text);
    }
    return tribus_cli_platform(&d->platform, d->config, &d->set);
}

/* Memory of the agent and everything it started. */
static size_t platform_resident(const demo *d, pid_t agent)
{
    tribus_agent_child rows[CHILD_ROWS];
    uint32_t count = 0;
    size_t bytes = tribus_os_resident_bytes(agent);

    if (tribus_agent_get_children(tribus_start_socket(&d->platform), 0, rows, CHILD_ROWS,
                                  &count) != TRIBUS_OK)
        return bytes;
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].pid > 0 && rows[i].state != TRIBUS_CHILD_EXTERNAL)
            bytes += tribus_os_resident_bytes((pid_t)rows[i].pid);
    return bytes;
}

static tribus_status pipeline_of(const demo *d, tribus_pipeline_stats *stats,
                                 tribus_pipeline **pipe)
{
    const tribus_status st = tribus_pipeline_open(d->watch.session, PIPELINE, pipe);

    if (st == TRIBUS_OK)
        tribus_pipeline_get_stats(*pipe, stats);
    return st;
}

/* ---- while it runs ---- */

static void print_line(const demo *d, int64_t second)
{
    const tribus_audience *w = &d->watch, *b = &d->before;
    tribus_pipeline_stats s;
    tribus_pipeline *pipe = NULL;

    memset(&s, 0, sizeof(s));
    if (pipeline_of(d, &s, &pipe) == TRIBUS_OK)
        tribus_pipeline_close(pipe);
    printf("%4" PRId64 " s  MarketData %7" PRIu64 "/s  Engine Logic %5" PRIu64
           "/s  Neural-GPU %5" PRIu64 "/s  runs %7" PRIu64 "  lost %" PRIu64
           "  VaR %.6f  ES %.6f  %zu MiB\n",
           second, w->by_bus[0] - b->by_bus[0], w->by_bus[1] - b->by_bus[1],
           w->by_bus[2] - b->by_bus[2], s.finished, tribus_audience_lost(w),
           w->risk.value_at_risk, w->risk.expected_shortfall, d->resident_bytes >> 20);
    (void)fflush(stdout);
}

static void print_view(const demo *d, int64_t second)
{
    const tribus_audience *w = &d->watch, *b = &d->before;

    printf("\033[H\033[JTribus  %s   %" PRId64 " of %" PRId64 " s   Ctrl-C ends it\n\n",
           d->feed, second, d->seconds);
    printf("%-14s %14s %12s\n", "bus", "messages", "a second");
    for (uint32_t i = 0; i < TRIBUS_BUSES; i++)
        printf("%-14s %14" PRIu64 " %12" PRIu64 "\n", tribus_wire_bus_title(i),
               w->by_bus[i], w->by_bus[i] - b->by_bus[i]);
    printf("\n%-14s %10s %12s %12s %8s %8s %8s\n", "engine", "state", "received",
           "published", "lost", "cores", "MiB");
    for (uint32_t i = 0; i < w->engine_count; i++) {
        const tribus_msg_engine_health *m = &w->engines[i].last;

        printf("%-14s %10s %12" PRIu64 " %12" PRIu64 " %8" PRIu64 " %8.2f %8" PRIu64 "\n",
               m->header.engine_type,
               m->state == TRIBUS_WIRE_STATE_RUNNING ? "running" : m->detail,
               m->messages_received, m->messages_published, m->messages_lost, m->cpu,
               m->resident_bytes >> 20);
    }
    printf("\n");
    print_line(d, second);
}

static tribus_status watch_it(demo *d, pid_t agent)
{
    const int64_t start = tribus_now_ns();
    tribus_status st = TRIBUS_OK;

    for (int64_t second = 1; second <= d->seconds && st == TRIBUS_OK; second++) {
        const int64_t until = start + second * SECOND_NS;

        while (st == TRIBUS_OK && tribus_now_ns() < until && !tribus_cli_stopped()) {
            const int64_t left = until - tribus_now_ns();

            st = tribus_audience_listen(&d->watch, left < 50000000 ? left : 50000000);
        }
        if (tribus_cli_stopped())
            break;
        d->resident_bytes = platform_resident(d, agent);
        if (second == STEADY_S || second == 1)
            d->steady_bytes = d->resident_bytes;
        if (d->terminal && !d->json)
            print_view(d, second);
        else if (!d->json)
            print_line(d, second);
        d->before = d->watch;
    }
    return st;
}

/* ---- the summary ---- */

static void print_span(const char *name, const tribus_pipeline_span *s)
{
    printf("  %-26s %12" PRIu64 " %10.1f %10.1f %10.1f\n", name, s->count,
           (double)s->p50_ns / 1e3, (double)s->p99_ns / 1e3, (double)s->p999_ns / 1e3);
}

static void print_summary(demo *d, double seconds)
{
    tribus_audience *w = &d->watch;
    tribus_pipeline_stats s;
    tribus_pipeline_stage_row row;
    tribus_pipeline *pipe;

    printf("\nTribus demo: %s, %.1f s\n\n", d->feed, seconds);
    printf("  %-26s %12s %10s\n", "bus", "messages", "a second");
    for (uint32_t i = 0; i < TRIBUS_BUSES; i++)
        printf("  %-26s %12" PRIu64 " %10.0f\n", tribus_wire_bus_title(i), w->by_bus[i],
               (double)w->by_bus[i] / seconds);
    printf("  %-26s %12" PRIu64 "\n\n", "lost", tribus_audience_lost(w));
    printf("  books %" PRIu64 ", price updates %" PRIu64 ", trades %" PRIu64
           ", VWAP %.6f\n",
           w->by_type[TRIBUS_MSG_MARKET_DATA], w->by_type[TRIBUS_MSG_PRICE_UPDATE],
           w->by_type[TRIBUS_MSG_TRADE_EXECUTION],
           w->traded_qty > 0.0 ? w->traded_value / w->traded_qty : 0.0);
    if (pipeline_of(d, &s, &pipe) == TRIBUS_OK) {
        printf("  pipeline %s: %" PRIu64 " runs (%.0f a second), %" PRIu64
               " failed, %" PRIu64 " hand-offs, zero-copy %.1f %%\n\n",
               s.name, s.finished, (double)s.finished / seconds, s.failed, s.handoffs,
               s.zero_copy * 100.0);
        printf("  %-26s %12s %10s %10s %10s\n", "microseconds", "count", "p50", "p99",
               "p99.9");
        for (uint32_t i = 0; tribus_pipeline_get_stage(pipe, i, &row) == TRIBUS_OK; i++) {
            char name[80];

            (void)snprintf(name, sizeof(name), "stage %s (%s)", row.name, row.domain);
            print_span(name, &row.compute);
            (void)snprintf(name, sizeof(name), "  hand-off to %s", row.name);
            print_span(name, &row.handoff);
        }
        print_span("run, all hand-offs", &s.handoff);
        print_span("run, submit to result", &s.total);
        tribus_pipeline_close(pipe);
    }
    printf("  %-26s %12zu %10.1f %10.1f %10.1f\n", "market event to risk metric",
           w->market_to_risk.count,
           (double)tribus_audience_percentile(&w->market_to_risk, 0.5) / 1e3,
           (double)tribus_audience_percentile(&w->market_to_risk, 0.99) / 1e3,
           (double)tribus_audience_percentile(&w->market_to_risk, 0.999) / 1e3);
    printf("\n  last VaR %.6f, ES %.6f of the portfolio at %.0f %% over one bar; %" PRIu64
           " metrics, %" PRIu64 " breach messages\n",
           w->risk.value_at_risk, w->risk.expected_shortfall, w->risk.confidence * 100.0,
           w->by_type[TRIBUS_MSG_RISK_METRIC], w->by_type[TRIBUS_MSG_RISK_LIMIT_BREACH]);
    printf("  resident memory of all processes: %.1f MiB after %d s, %.1f MiB at the end\n",
           (double)d->steady_bytes / 1048576.0, d->seconds < STEADY_S ? 1 : STEADY_S,
           (double)d->resident_bytes / 1048576.0);
}

static void json_span(const char *name, const tribus_pipeline_span *s)
{
    printf(",\"%s\":{\"count\":%" PRIu64 ",\"p50_ns\":%" PRId64 ",\"p99_ns\":%" PRId64
           ",\"p999_ns\":%" PRId64 "}",
           name, s->count, s->p50_ns, s->p99_ns, s->p999_ns);
}

static void print_json(demo *d, double seconds)
{
    tribus_audience *w = &d->watch;
    tribus_pipeline_stats s;
    tribus_pipeline_stage_row row;
    tribus_pipeline *pipe;

    printf("{\"feed\":\"%s\",\"seconds\":%.3f", d->feed, seconds);
    for (uint32_t i = 0; i < TRIBUS_BUSES; i++)
        printf(",\"%s\":%" PRIu64, tribus_wire_bus_name(i), w->by_bus[i]);
    for (uint32_t i = 1; i < TRIBUS_MSG_END; i++)
        if (w->by_type[i] != 0)
            printf(",\"%s\":%" PRIu64, tribus_wire_type_name(i), w->by_type[i]);
    printf(",\"lost\":%" PRIu64 ",\"vwap\":%.9f", tribus_audience_lost(w),
           w->traded_qty > 0.0 ? w->traded_value / w->traded_qty : 0.0);
    if (pipeline_of(d, &s, &pipe) == TRIBUS_OK) {
        printf(",\"pipeline\":{\"name\":\"%s\",\"submitted\":%" PRIu64
               ",\"finished\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"handoffs\":%" PRIu64
               ",\"bytes_by_reference\":%" PRIu64 ",\"bytes_copied\":%" PRIu64
               ",\"zero_copy\":%.6f",
               s.name, s.submitted, s.finished, s.failed, s.handoffs, s.bytes_by_reference,
               s.bytes_copied, s.zero_copy);
        json_span("total", &s.total);
        json_span("handoff", &s.handoff);
        for (uint32_t i = 0; tribus_pipeline_get_stage(pipe, i, &row) == TRIBUS_OK; i++)
            json_span(row.name, &row.compute);
        printf("}");
        tribus_pipeline_close(pipe);
    }
    printf(",\"market_to_risk_p50_ns\":%" PRId64 ",\"market_to_risk_p99_ns\":%" PRId64
           ",\"value_at_risk\":%.12g,\"expected_shortfall\":%.12g"
           ",\"resident_steady_bytes\":%zu,\"resident_end_bytes\":%zu}\n",
           tribus_audience_percentile(&w->market_to_risk, 0.5),
           tribus_audience_percentile(&w->market_to_risk, 0.99), w->risk.value_at_risk,
           w->risk.expected_shortfall, d->steady_bytes, d->resident_bytes);
}

static int run(demo *d)
{
    const tribus_start_cfg start = {"demo", d->config, &d->set, &d->platform, false};
    int64_t begun;
    pid_t agent;
    int code = tribus_start(&start, &agent);
    tribus_status st;

    if (code != TRIBUS_EXIT_DONE)
        return code;
    st = tribus_audience_open(&d->watch, tribus_start_socket(&d->platform), "demo");
    begun = tribus_now_ns();
    if (st == TRIBUS_OK)
        st = watch_it(d, agent);
    if (st != TRIBUS_OK)
        code = tribus_cli_fail("demo");
    else if (d->json)
        print_json(d, (double)(tribus_now_ns() - begun) * 1e-9);
    else
        print_summary(d, (double)(tribus_now_ns() - begun) * 1e-9);
    (void)fflush(stdout);
    tribus_audience_close(&d->watch);
    tribus_start_end(agent);
    return code;
}

int tribus_cli_demo(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        "demo", "[--feed FEED] [--seconds N] [--speed X|max] [--json]",
        "Start the whole platform on a feed, show it live, sum it up and end it.\n"
        "A recorded feed is played so fast that all of it fits into the seconds given.",
        "  tribus demo --seconds 10\n"
        "  tribus demo --feed lobster:LOBSTER_SampleFile_GOOG_2012-06-21_10.zip\n"
        "  tribus demo --feed sim:assets=20,seed=3 --json"};
    static demo d; /* large, and there is one */
    const tribus_cli_option options[] = {
        {"--feed", "FEED", "sim[:options], lobster:FILE.zip, ...", TRIBUS_CLI_TEXT,
         &d.feed},
        {"--seconds", "N", "how long, 60", TRIBUS_CLI_INT, &d.seconds},
        {"--speed", "X", "times real time, or max; recorded feeds: what fits",
         TRIBUS_CLI_TEXT, &d.speed},
        {"--config", "FILE", "platform file (YAML)", TRIBUS_CLI_TEXT, &d.config},
        {"--set", "S.K=V", "one setting, may be given again", TRIBUS_CLI_LIST, &d.set},
        {"--json", NULL, "only the summary, as one JSON object", TRIBUS_CLI_FLAG, &d.json},
    };
    int code;

    d.feed = "sim";
    d.seconds = 60;
    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (d.seconds < 1 || d.seconds > 86400) {
        (void)tribus_cli_complain("demo", "--seconds %" PRId64 ": 1..86400", d.seconds);
        return TRIBUS_EXIT_USAGE;
    }
    d.terminal = isatty(STDOUT_FILENO) != 0;
    tribus_cli_catch_signals();
    if (settle(&d) != TRIBUS_OK)
        return tribus_cli_fail("demo");
    return run(&d);
}
