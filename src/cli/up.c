/* up.c -- `tribus up`, `tribus down`. */
#include "cli/commands.h"
#include "cli/start.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Value and origin of every setting, as a file that can be given to --config. */
static int print_config(const char *config, const tribus_cli_list *set)
{
    tribus_platform stage[4]; /* defaults, + file, + environment, + --set */
    size_t count;
    const tribus_setting *s = tribus_platform_settings(&count);
    const char *section = "";

    if (config == NULL && access("/etc/tribus.yaml", R_OK) == 0)
        config = "/etc/tribus.yaml";
    tribus_platform_init(&stage[0]);
    stage[1] = stage[0];
    if ((config != NULL && tribus_platform_load(&stage[1], config) != TRIBUS_OK) ||
        tribus_cli_platform(&stage[2], config, NULL) != TRIBUS_OK ||
        tribus_cli_platform(&stage[3], config, set) != TRIBUS_OK)
        return tribus_cli_fail("up");
    for (size_t i = 0; i < count; i++) {
        const char *const origins[] = {"default", config, "environment", "--set"};
        const char *origin = origins[0],
                   *quote = s[i].type == TRIBUS_SETTING_TEXT ? "\"" : "";
        char text[4][600], line[700];

        for (int k = 0; k < 4; k++) {
            (void)tribus_platform_get_text(&stage[k], &s[i], text[k], sizeof(text[k]));
            if (k > 0 && strcmp(text[k], text[k - 1]) != 0)
                origin = origins[k];
        }
        if (strcmp(section, s[i].section) != 0)
            printf("%s%s:\n", section[0] != '\0' ? "\n" : "", s[i].section);
        section = s[i].section;
        (void)snprintf(line, sizeof(line), "%s: %s%s%s", s[i].key, quote, text[3], quote);
        printf("  %-34s # %s; %s\n", line, origin, s[i].text);
    }
    return TRIBUS_EXIT_DONE;
}

int tribus_cli_up(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        "up", "[--config FILE] [--set section.key=value]... [--secure] [--print-config]",
        "Start the platform: the agent, three Redis servers, compute hosts and engines.\n"
        "Returns when all of them are up.",
        "  tribus up\n"
        "  tribus up --config platform.yaml --set marketdata_engine.speed=0\n"
        "  tribus up --print-config > platform.yaml"};
    const char *config = NULL;
    tribus_cli_list set = {.count = 0};
    bool print = false, secure = false;
    const tribus_cli_option options[] = {
        {"--config", "FILE", "platform file (YAML)", TRIBUS_CLI_TEXT, &config},
        {"--set", "S.K=V", "one setting, may be given again", TRIBUS_CLI_LIST, &set},
        {"--secure", NULL,
         "a Redis user for every engine, as --set redis.secure=true; see redis.users in "
         "the "
         "runtime folder",
         TRIBUS_CLI_FLAG, &secure},
        {"--print-config", NULL, "print every setting, its value and origin; start nothing",
         TRIBUS_CLI_FLAG, &print},
    };
    tribus_platform platform;
    tribus_start_cfg cfg = {"up", NULL, &set, &platform, true};
    pid_t pid;
    int code;

    if (!tribus_cli_parse(&usage, options, 4, argc, argv, &code))
        return code;
    if (secure && set.count < TRIBUS_CLI_LIST_MAX)
        set.items[set.count++] = "redis.secure=true";
    if (print)
        return print_config(config, &set);
    if (tribus_cli_platform(&platform, config, &set) != TRIBUS_OK)
        return tribus_cli_fail("up");
    tribus_cli_catch_signals();
    cfg.config = config;
    code = tribus_start(&cfg, &pid);
    if (code == TRIBUS_EXIT_DONE)
        printf("up: process %ld; `tribus status` shows it, `tribus down` ends it\n",
               (long)pid);
    return code;
}

int tribus_cli_down(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        "down", "[--config FILE]",
        "End the platform: engines, compute hosts, servers it started, the agent.", NULL};
    const char *config = NULL;
    const tribus_cli_option options[] = {
        {"--config", "FILE", "platform file (YAML)", TRIBUS_CLI_TEXT, &config},
    };
    tribus_platform platform;
    tribus_status st;
    int code;

    if (!tribus_cli_parse(&usage, options, 1, argc, argv, &code))
        return code;
    if (tribus_cli_platform(&platform, config, NULL) != TRIBUS_OK)
        return tribus_cli_fail("down");
    st = tribus_agent_ask_stop(tribus_start_socket(&platform), 0);
    if (st == TRIBUS_NOT_FOUND) {
        (void)tribus_cli_complain("down", "nothing is running");
        return TRIBUS_EXIT_NOT_RUNNING;
    }
    if (st != TRIBUS_OK)
        return tribus_cli_fail("down");
    printf("down\n");
    return TRIBUS_EXIT_DONE;
}
