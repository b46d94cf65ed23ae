/* host.c -- `tribus host`: a compute host as a process. */
#include "base/log.h"
#include "base/os.h"
#include "cli/commands.h"
#include "tribus/pipeline.h"

#include <stdio.h>
#include <string.h>

/* A host that is woken does not wait for the slice of whoever computes on its core. */
#define SLICE_NS INT64_C(500000)

typedef struct host_options {
    const char *domain, *device, *name, *socket, *config;
    int64_t core, spin_us, threads;
    tribus_cli_list set;
} host_options;

static int stopped(void *context)
{
    (void)context;
    return tribus_cli_stopped() ? 1 : 0;
}

static bool domains_of(const char *word, uint32_t *out)
{
    if (strcmp(word, "neural") == 0)
        *out = TRIBUS_DOMAIN_NEURAL;
    else if (strcmp(word, "gpu") == 0)
        *out = TRIBUS_DOMAIN_GPU;
    else if (strcmp(word, "both") == 0)
        *out = TRIBUS_DOMAIN_NEURAL | TRIBUS_DOMAIN_GPU;
    else
        return false;
    return true;
}

static int serve(const host_options *o, const tribus_host_cfg *cfg)
{
    const tribus_session_cfg session_cfg = {
        .socket_path = o->socket, .name = o->name, .role = "host"};
    tribus_session *session;
    tribus_status st = TRIBUS_OK;

    if (o->core >= 0)
        st = tribus_os_pin((int)o->core);
    if (st != TRIBUS_OK)
        return tribus_cli_fail("host");
    if (tribus_os_slice(SLICE_NS) != TRIBUS_OK) /* slower where others compute, not wrong */
        tribus_log(TRIBUS_LOG_WARN, "%s", tribus_error_text());
    st = tribus_session_open(&session_cfg, &session);
    if (st == TRIBUS_NOT_FOUND) {
        (void)tribus_cli_fail("host");
        return TRIBUS_EXIT_NOT_RUNNING;
    }
    if (st != TRIBUS_OK)
        return tribus_cli_fail("host");
    tribus_log(TRIBUS_LOG_INFO, "serving %s on %s", o->domain, cfg->device);
    st = tribus_host_run(session, cfg);
    tribus_session_close(session);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE : tribus_cli_fail("host");
}

int tribus_cli_host(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        .command = "host",
        .synopsis = "[--domain neural|gpu|both] [--device NAME] [--core N]",
        .text = "Serve the stages of a domain for every pipeline of this host, until told\n"
                "to stop. The agent starts hosts by itself; this is for more of them.",
        .examples = "  tribus host --domain neural\n"
                    "  tribus host --domain gpu --device cuda:0 --core 3 --spin-us -1\n"};
    host_options o = {.domain = "both", .device = "cpu", .core = -1, .spin_us = 20};
    const tribus_cli_option options[] = {
        {"--domain", "NAME", "neural, gpu or both", TRIBUS_CLI_TEXT, &o.domain},
        {"--device", "NAME", "cpu, cuda:0, ...", TRIBUS_CLI_TEXT, &o.device},
        {"--name", "NAME", "of this participant", TRIBUS_CLI_TEXT, &o.name},
        {"--core", "N", "pin to this core; -1: do not", TRIBUS_CLI_INT, &o.core},
        {"--spin-us", "N", "poll this long before sleeping; -1: never sleep",
         TRIBUS_CLI_INT, &o.spin_us},
        {"--threads", "N", "that share one computation", TRIBUS_CLI_INT, &o.threads},
        {"--socket", "PATH", "of the agent", TRIBUS_CLI_TEXT, &o.socket},
        {"--config", "FILE", "the platform's settings", TRIBUS_CLI_TEXT, &o.config},
        {"--set", "KEY=VALUE", "one setting more", TRIBUS_CLI_LIST, &o.set},
    };
    tribus_platform platform;
    tribus_host_cfg cfg = {.stopped = stopped};
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (!domains_of(o.domain, &cfg.domains)) {
        (void)tribus_cli_complain("host", "--domain %s: neural, gpu or both", o.domain);
        return TRIBUS_EXIT_USAGE;
    }
    if (o.threads < 0 || o.threads > 1024 || o.spin_us < -1 || o.spin_us > 60000000) {
        (void)tribus_cli_complain("host",
                                  "--threads wants 0..1024, --spin-us -1..60000000");
        return TRIBUS_EXIT_USAGE;
    }
    if (tribus_cli_platform(&platform, o.config, &o.set) != TRIBUS_OK)
        return tribus_cli_fail("host");
    if (o.socket == NULL && platform.agent.socket[0] != 0)
        o.socket = platform.agent.socket;
    cfg.device = o.device;
    cfg.threads = (uint32_t)o.threads;
    cfg.neural_part = (double)platform.gpu.neural_share / 100.0;
    cfg.spin_ns = o.spin_us < 0 ? -1 : o.spin_us == 0 ? 1 : o.spin_us * 1000;
    tribus_cli_catch_signals();
    tribus_cli_log_to_stderr("host", TRIBUS_LOG_INFO);
    return serve(&o, &cfg);
}
