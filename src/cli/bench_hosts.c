/* bench_hosts.c -- see bench_hosts.h. The hosts are processes, as the agent of a platform starts
 * them. */
#include "cli/bench_hosts.h"
#include "cli/cli.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"both", "neural", "gpu"};

bool tribus_bench_hosts_start(const char *command, uint32_t hosts, int64_t spin_us,
                              tribus_bench_hosts *out)
{
    char program[PATH_MAX], spin[24], socket[96];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    const uint32_t first = hosts == 1 ? 0 : 1;
    const char *argv[2][9];
    tribus_agent_child_cfg children[2];
    const tribus_session_cfg session_cfg = {
        .socket_path = socket, .name = "bench", .role = "tool"};
    const tribus_agent_cfg cfg = {
        .socket_path = socket, .children = children, .child_count = hosts};

    (void)snprintf(out->folder, sizeof(out->folder), "/tmp/tribus-bench-XXXXXX");
    if (n <= 0 || hosts > 2 || mkdtemp(out->folder) == NULL) {
        out->folder[0] = '\0';
        (void)tribus_cli_complain(command, "cannot make a folder in /tmp");
        return false;
    }
    program[n] = '\0';
    (void)snprintf(spin, sizeof(spin), "%lld", (long long)spin_us);
    (void)snprintf(socket, sizeof(socket), "%s/agent.sock", out->folder);
    for (uint32_t i = 0; i < hosts; i++) {
        const char *const words[9] = {program,          "host",   "--domain",
                                      names[first + i], "--name", names[first + i],
                                      "--spin-us",      spin,     NULL};

        memcpy(argv[i], words, sizeof(words));
        children[i] = (tribus_agent_child_cfg){
            .name = names[first + i], .kind = "host", .argv = argv[i]};
    }
    if (tribus_agent_start(&cfg, &out->agent) == TRIBUS_OK &&
        tribus_session_open(&session_cfg, &out->session) == TRIBUS_OK)
        return true;
    (void)tribus_cli_fail(command);
    return false;
}

void tribus_bench_hosts_stop(tribus_bench_hosts *bus)
{
    char path[128];

    tribus_session_close(bus->session);
    tribus_agent_stop(bus->agent);
    if (bus->folder[0] == '\0')
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s.log", bus->folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(bus->folder);
}
