/* main.c -- the table of commands of `tribus`. */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

static const tribus_cli_command commands[] = {
    {"up", tribus_cli_up, "start the platform: agent, servers, compute hosts, engines",
     false},
    {"down", tribus_cli_down, "end it", false},
    {"status", tribus_cli_status, "show what runs", false},
    {"hosts", tribus_cli_hosts, "show the hosts on the same servers and what each owns",
     false},
    {"doctor", tribus_cli_doctor, "look what is in the way on this machine", false},
    {"demo", tribus_cli_demo, "run the platform on a feed for a while and sum it up",
     false},
    {"bench", tribus_cli_bench, "measure: handoff, hybrid, fabric, ...", false},
    {"publish", tribus_cli_publish, "put messages on the buses", false},
    {"quant", tribus_cli_quant, "the mathematics on CSV files: var, vpin, optimise, ...",
     false},
    {"record", tribus_cli_record, "keep the traffic of the buses in a file", false},
    {"replay", tribus_cli_replay, "publish a recording again", false},
    {"tap", tribus_cli_tap, "watch the messages of any bus", false},
    {"top", tribus_cli_top, "show the platform at work: rates, latencies, losses", false},
    {"pipeline", tribus_cli_pipeline, "list, show, run, check, draw, trace, stop pipelines",
     false},
    {"host", tribus_cli_host, "serve the stages of a domain; the agent starts these",
     false},
    {"engine", tribus_cli_engine, "run one engine; the agent starts these", false},
};

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("tribus %s\n", TRIBUS_RELEASE);
        return TRIBUS_EXIT_DONE;
    }
    return tribus_cli_dispatch("tribus",
                               "Three message buses for a trading platform, and tensors "
                               "handed between processes without a copy.",
                               commands, sizeof(commands) / sizeof(commands[0]), argc,
                               argv);
}
