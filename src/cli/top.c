/* top.c -- `tribus top`: the platform at work, once a second. */
#include "base/clock.h"
#include "base/error.h"
#include "cli/commands.h"
#include "cli/start.h"
#include "cli/top_look.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FIRST_NS 100000000LL /* what engines said before we came is read at once */

typedef struct top {
    const char *config;
    const char *socket;
    double interval;
    int64_t count;
    bool json;
    bool once;
    bool live; /* on a terminal: drawn over the last one */
} top;

static double percent(uint64_t by_reference, uint64_t copied)
{
    return by_reference + copied == 0
               ? 100.0
               : 100.0 * (double)by_reference / ((double)by_reference + (double)copied);
}

/* ---- text ---- */

static void print_head(FILE *f, const tribus_top *v)
{
    if (v->agent_answers)
        fprintf(f,
                "tribusd %s, process %d, up %.0f s, %u participants, %u objects, %" PRIu64
                " of %" PRIu64 " MiB, %" PRIu64 " deaths, %" PRIu64 " restarts\n",
                v->agent.release, (int)v->agent.pid, (double)v->agent.uptime_ns / 1e9,
                v->agent.participants, v->agent.objects, v->agent.memory_bytes >> 20,
                v->agent.memory_limit_bytes >> 20, v->agent.deaths, v->agent.restarts);
    else
        fprintf(f, "the agent does not answer; what follows was seen in shared memory\n");
    if (v->to_risk_count > 0)
        fprintf(f, "market event to risk metric: p50 %.1f us, p99 %.1f us (%" PRIu64 ")\n",
                (double)v->to_risk_p50_ns / 1e3, (double)v->to_risk_p99_ns / 1e3,
                v->to_risk_count);
}

static void print_buses(FILE *f, const tribus_top *v)
{
    fprintf(f, "\n%-14s %-22s %10s %12s %16s\n", "BUS", "SERVER", "PUBLISHERS",
            "MESSAGES/S", "MESSAGES");
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++)
        fprintf(f, "%-14s %-22s %10u %12.0f %16" PRIu64 "\n", tribus_wire_bus_title(b),
                v->buses[b].server[0] != '\0' ? v->buses[b].server : "-",
                v->buses[b].publishers, v->buses[b].per_s, v->buses[b].messages);
}

/* The message was validated, so its state is one of the choices. */
static const char *state_name(uint32_t state)
{
    tribus_wire_field_info field;

    return tribus_wire_field(TRIBUS_MSG_ENGINE_HEALTH, 0, &field) == TRIBUS_OK &&
                   state < field.choice_count
               ? field.choices[state]
               : "?";
}

static void print_engines(FILE *f, const tribus_top *v)
{
    fprintf(f, "\n%-22s %-9s %8s %11s %11s %9s %7s %6s %8s\n", "ENGINE", "STATE", "PID",
            "RECEIVED/S", "PUBLISHED/S", "LOST", "ERRORS", "CORES", "MIB");
    for (uint32_t i = 0; i < v->engine_count; i++) {
        const tribus_top_engine *e = &v->engines[i];

        fprintf(f,
                "%-22s %-9s %8" PRIu64 " %11.0f %11.0f %9" PRIu64 " %7" PRIu64
                " %6.2f %8" PRIu64 "\n",
                e->last.header.engine_instance, state_name(e->last.state), e->last.process,
                e->received_per_s, e->published_per_s, e->last.messages_lost,
                e->last.errors, e->last.cpu, e->last.resident_bytes >> 20);
    }
}

static void print_pipelines(FILE *f, const tribus_top *v)
{
    fprintf(f, "\n%-22s %9s %9s %9s %9s %9s %10s %7s %7s\n", "PIPELINE", "RUNS/S", "P50 US",
            "P99 US", "P99.9 US", "FLYING", "ZERO-COPY", "FAILED", "LATE");
    for (uint32_t i = 0; i < v->pipeline_count; i++) {
        const tribus_top_pipeline *p = &v->pipelines[i];
        const tribus_pipeline_stats *s = &p->stats;

        fprintf(f, "%-22s %9.0f %9.1f %9.1f %9.1f %9u %8.1f %% %7" PRIu64 " %7" PRIu64 "\n",
                s->name, p->per_s, (double)s->total.p50_ns / 1e3,
                (double)s->total.p99_ns / 1e3, (double)s->total.p999_ns / 1e3,
                s->runs_in_flight, s->zero_copy * 100.0, s->failed, s->late);
    }
}

static void print_links(FILE *f, const tribus_top *v)
{
    fprintf(f, "\n%-38s %11s %9s %9s %10s %7s %7s %7s\n", "LINK", "MESSAGES/S", "P50 US",
            "P99 US", "ZERO-COPY", "LAPS", "LOST", "FULL");
    for (uint32_t i = 0; i < v->link_count; i++) {
        const tribus_top_link *l = &v->links[i];

        fprintf(f, "%-38s %11.0f ", l->name, l->per_s);
        if (l->p50_ns > 0)
            fprintf(f, "%9.2f %9.2f", (double)l->p50_ns / 1e3, (double)l->p99_ns / 1e3);
        else
            fprintf(f, "%9s %9s", "-", "-");
        fprintf(f, " %8.1f %% %7" PRIu64 " %7" PRIu64 " %7" PRIu64 "\n",
                percent(l->by_reference, l->copied), l->laps, l->lost, l->full);
    }
}

/* ---- JSON ---- */

static void json_text(FILE *f, const char *name, const char *text)
{
    fprintf(f, "\"%s\":\"", name);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\' || *c < ' ')
            fprintf(f, "\\u%04x", *c);
        else
            (void)fputc(*c, f);
    }
    fprintf(f, "\"");
}

static void json_links(FILE *f, const tribus_top *v)
{
    fprintf(f, ",\"links\":[");
    for (uint32_t i = 0; i < v->link_count; i++) {
        const tribus_top_link *l = &v->links[i];

        fprintf(f, "%s{", i > 0 ? "," : "");
        json_text(f, "name", l->name);
        fprintf(f,
                ",\"messages\":%" PRIu64 ",\"messages_per_s\":%.1f,\"p50_ns\":%" PRIu64
                ",\"p99_ns\":%" PRIu64 ",\"bytes_by_reference\":%" PRIu64
                ",\"bytes_copied\":%" PRIu64 ",\"zero_copy\":%.4f,\"laps\":%" PRIu64
                ",\"lost\":%" PRIu64 ",\"full\":%" PRIu64 "}",
                l->messages, l->per_s, l->p50_ns, l->p99_ns, l->by_reference, l->copied,
                percent(l->by_reference, l->copied) / 100.0, l->laps, l->lost, l->full);
    }
    fprintf(f, "]");
}

static void json_pipelines(FILE *f, const tribus_top *v)
{
    fprintf(f, ",\"pipelines\":[");
    for (uint32_t i = 0; i < v->pipeline_count; i++) {
        const tribus_top_pipeline *p = &v->pipelines[i];

        fprintf(f, "%s{", i > 0 ? "," : "");
        json_text(f, "name", p->stats.name);
        fprintf(f,
                ",\"runs\":%" PRIu64 ",\"runs_per_s\":%.1f,\"p50_ns\":%" PRId64
                ",\"p99_ns\":%" PRId64 ",\"p999_ns\":%" PRId64
                ",\"in_flight\":%u,\"zero_copy\":%.4f,\"failed\":%" PRIu64
                ",\"late\":%" PRIu64 "}",
                p->stats.finished, p->per_s, p->stats.total.p50_ns, p->stats.total.p99_ns,
                p->stats.total.p999_ns, p->stats.runs_in_flight, p->stats.zero_copy,
                p->stats.failed, p->stats.late);
    }
    fprintf(f, "]");
}

static void json_engines(FILE *f, const tribus_top *v)
{
    fprintf(f, ",\"engines\":[");
    for (uint32_t i = 0; i < v->engine_count; i++) {
        const tribus_top_engine *e = &v->engines[i];

        fprintf(f, "%s{", i > 0 ? "," : "");
        json_text(f, "name", e->last.header.engine_instance);
        fprintf(f, ",");
        json_text(f, "state", state_name(e->last.state));
        fprintf(f,
                ",\"pid\":%" PRIu64
                ",\"received_per_s\":%.1f,\"published_per_s\":%.1f,\"lost\":%" PRIu64
                ",\"errors\":%" PRIu64 ",\"resident_bytes\":%" PRIu64 "}",
                e->last.process, e->received_per_s, e->published_per_s,
                e->last.messages_lost, e->last.errors, e->last.resident_bytes);
    }
    fprintf(f, "]");
}

static void print_json(FILE *f, const tribus_top *v)
{
    fprintf(f,
            "{\"agent_answers\":%s,\"pid\":%d,\"uptime_ns\":%" PRId64
            ",\"participants\":%u,\"objects\":%u,\"memory_bytes\":%" PRIu64
            ",\"deaths\":%" PRIu64
            ",\"seconds\":%.3f,\"market_to_risk\":{\"count\":%" PRIu64
            ",\"p50_ns\":%" PRId64 ",\"p99_ns\":%" PRId64 "},\"buses\":[",
            v->agent_answers ? "true" : "false", (int)v->agent.pid, v->agent.uptime_ns,
            v->agent.participants, v->agent.objects, v->agent.memory_bytes, v->agent.deaths,
            v->seconds, v->to_risk_count, v->to_risk_p50_ns, v->to_risk_p99_ns);
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        fprintf(f, "%s{", b > 0 ? "," : "");
        json_text(f, "name", tribus_wire_bus_name(b));
        fprintf(f, ",");
        json_text(f, "server", v->buses[b].server);
        fprintf(f, ",\"publishers\":%u,\"messages\":%" PRIu64 ",\"messages_per_s\":%.1f}",
                v->buses[b].publishers, v->buses[b].messages, v->buses[b].per_s);
    }
    fprintf(f, "]");
    json_engines(f, v);
    json_pipelines(f, v);
    json_links(f, v);
    fprintf(f, "}\n");
}

/* ---- showing ---- */

/* Draw over what is there, as many lines as fit, so that nothing scrolls or flickers. */
static void draw(char *text)
{
    struct winsize size = {.ws_row = 0};
    char *rest = NULL;
    int row = 0;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 ||
        size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    printf("\033[H");
    for (char *line = text; *line != '\0' && ++row < (int)size.ws_row; line = rest) {
        rest = line + strcspn(line, "\n");
        printf("%.*s\033[K\n",
               (int)(rest - line) < size.ws_col ? (int)(rest - line) : size.ws_col, line);
        rest += *rest == '\n';
    }
    printf("\033[J");
}

static bool show(const top *t, const tribus_top *v)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    if (f == NULL)
        return false;
    if (t->json) {
        print_json(f, v);
    } else {
        print_head(f, v);
        print_buses(f, v);
        print_engines(f, v);
        print_pipelines(f, v);
        print_links(f, v);
    }
    if (fclose(f) != 0) {
        free(text);
        return false;
    }
    if (t->live)
        draw(text);
    else
        printf("%s%s", text, t->json || t->once ? "" : "\n");
    free(text);
    return fflush(stdout) == 0;
}

static void run(const top *t, tribus_top_eye *eye)
{
    int64_t next_ns = tribus_now_ns() + FIRST_NS;
    int64_t shown = 0;

    tribus_top_listen(eye, next_ns);
    (void)tribus_top_look(eye); /* where the rates begin */
    if (t->live)
        printf("\033[?1049h\033[?25l");
    while (!tribus_cli_stopped() && (t->count == 0 || shown < t->count)) {
        next_ns += (int64_t)(t->interval * 1e9);
        tribus_top_listen(eye, next_ns);
        if (tribus_cli_stopped() || !show(t, tribus_top_look(eye)))
            break; /* the reader of our output left */
        shown++;
    }
    if (t->live) {
        printf("\033[?25h\033[?1049l");
        (void)fflush(stdout);
    }
}

int tribus_cli_top(int argc, char **argv)
{
    top t = {.interval = 1.0};
    const tribus_cli_option options[] = {
        {"--interval", "S", "seconds between two looks (1)", TRIBUS_CLI_REAL, &t.interval},
        {"--count", "N", "end after N looks", TRIBUS_CLI_INT, &t.count},
        {"--once", NULL, "one look, then end", TRIBUS_CLI_FLAG, &t.once},
        {"--json", NULL, "one object a look", TRIBUS_CLI_FLAG, &t.json},
        {"--config", "FILE", "platform file (YAML)", TRIBUS_CLI_TEXT, &t.config},
        {"--socket", "PATH", "the agent's socket", TRIBUS_CLI_TEXT, &t.socket},
    };
    const tribus_cli_usage usage = {
        .command = "top",
        .synopsis = "[--interval S] [--once] [--json]",
        .text =
            "Show the platform at work: buses, engines, pipelines and links with their "
            "rates,\nlatencies, zero-copy ratio and losses. A live table on a terminal, "
            "plain lines elsewhere.\nReads only, and costs those who are watched "
            "nothing.",
        .examples = "  tribus top\n  tribus top --once --json | jq .buses"};
    tribus_platform platform;
    tribus_top_eye *eye = NULL;
    tribus_status st;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (!(t.interval >= 0.01 && t.interval <= 3600.0) || t.count < 0) {
        (void)tribus_cli_complain("top", "--interval: 0.01 to 3600; --count: not below 0");
        return TRIBUS_EXIT_USAGE;
    }
    if (tribus_cli_platform(&platform, t.config, NULL) != TRIBUS_OK)
        return tribus_cli_fail("top");
    if (t.once)
        t.count = 1;
    t.live = !t.json && !t.once && isatty(STDOUT_FILENO) == 1;
    tribus_cli_catch_signals();
    st =
        tribus_top_open(t.socket != NULL ? t.socket : tribus_start_socket(&platform), &eye);
    if (st != TRIBUS_OK) {
        code = tribus_cli_fail("top");
        return st == TRIBUS_NOT_FOUND ? TRIBUS_EXIT_NOT_RUNNING : code;
    }
    run(&t, eye);
    tribus_top_close(eye);
    return TRIBUS_EXIT_DONE;
}
