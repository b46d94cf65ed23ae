/* engine.c -- `tribus engine <name>`: run one engine; the agent starts these. */
#include "cli/commands.h"
#include "base/error.h"
#include "base/log.h"
#include "base/os.h"
#include "engines/engine.h"
#include "feeds/message.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* The feed behind the market data engine's source. */
typedef struct feed_source {
    const char *spec;
    tribus_feed *feed;
    tribus_feed_message *messages;
} feed_source;

static tribus_status source_next(void *context, tribus_msg_any *msg, int64_t *time_ns)
{
    feed_source *s = context;
    tribus_feed_event event;
    tribus_status st = tribus_feed_next(s->feed, &event);

    if (st != TRIBUS_OK)
        return st;
    *time_ns = event.time_ns;
    return tribus_feed_message_make(s->messages, &event, msg);
}

static void source_close(feed_source *s)
{
    tribus_feed_message_close(s->messages);
    tribus_feed_close(s->feed);
    s->messages = NULL;
    s->feed = NULL;
}

static tribus_status source_rewind(void *context)
{
    feed_source *s = context;
    char venue[16];
    tribus_status st;

    source_close(s);
    (void)snprintf(venue, sizeof(venue), "%.*s", (int)strcspn(s->spec, ":"), s->spec);
    st = tribus_feed_open(s->spec, NULL, &s->feed);
    if (st == TRIBUS_OK)
        st = tribus_feed_message_open(s->feed, venue, &s->messages);
    return st;
}

static int stopped(void *context)
{
    (void)context;
    return tribus_cli_stopped();
}

/* The agent starts an engine again after a failure, but not after wrong usage: settings and
 * files that are wrong now would be wrong again. */
static int exit_code_of(tribus_status st)
{
    static const tribus_status wrong[] = {TRIBUS_BAD_ARG,  TRIBUS_NOT_FOUND,
                                          TRIBUS_BAD_DATA, TRIBUS_UNSUPPORTED,
                                          TRIBUS_REFUSED,  TRIBUS_NO_MEMORY};
    int code;

    if (st == TRIBUS_OK)
        return TRIBUS_EXIT_DONE;
    code = tribus_cli_fail("engine");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (st == wrong[i])
            code = TRIBUS_EXIT_USAGE;
    return code;
}

int tribus_cli_engine(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        "engine", "NAME [--config FILE] [--set section.key=value]...",
        "Run one engine against the running platform; `tribus up` starts those that the\n"
        "platform file enables. Without NAME: list the engines.",
        "  tribus engine risk --set risk_engine.var_limit=0.02"};
    const char *name = NULL, *config = NULL;
    tribus_cli_list set = {.count = 0};
    const tribus_cli_option options[] = {
        {"NAME", "NAME", "", TRIBUS_CLI_TEXT, &name},
        {"--config", "FILE", "platform file", TRIBUS_CLI_TEXT, &config},
        {"--set", "S.K=V", "one setting", TRIBUS_CLI_LIST, &set},
    };
    const tribus_engine_ops *ops;
    tribus_platform platform;
    feed_source feed = {.spec = platform.marketdata_engine.feed};
    const tribus_engine_source source = {source_next, source_rewind, &feed};
    tribus_engine_cfg cfg = {.platform = &platform, .stopped = stopped};
    tribus_status st;
    int code;

    if (!tribus_cli_parse(&usage, options, 3, argc, argv, &code))
        return code;
    if (name == NULL) {
        for (size_t i = 0; (ops = tribus_engine_at(i)) != NULL; i++)
            printf("%-12s %5d  %s\n", ops->name, ops->default_port, ops->text);
        return TRIBUS_EXIT_DONE;
    }
    ops = tribus_engine_find(name);
    if (ops == NULL) {
        (void)tribus_cli_complain("engine",
                                  "%s: no such engine; `tribus engine` lists them", name);
        return TRIBUS_EXIT_USAGE;
    }
    tribus_cli_catch_signals();
    tribus_cli_log_to_stderr(ops->name, TRIBUS_LOG_INFO);
    st = tribus_cli_platform(&platform, config, &set);
    if (platform.agent.socket[0] != '\0')
        cfg.socket_path = platform.agent.socket;
    if (st == TRIBUS_OK && strcmp(name, "marketdata") == 0) {
        st = source_rewind(&feed);
        cfg.source = &source;
    }
    if (st == TRIBUS_OK)
        st = tribus_engine_run(ops, &cfg);
    source_close(&feed);
    return exit_code_of(st);
}
