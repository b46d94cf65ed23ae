/* peer.c -- see peer.h. */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char socket_path[64];

const char *tribus_peer_socket_path(void)
{
    return socket_path;
}

bool tribus_peer_hello(tribus_bench_end *e, const tribus_bench_ops *ops)
{
    const void *in;
    void *out;

    if (e->side == 0) {
        in = ops->receive(e);
        return in != NULL && ops->release(e, in);
    }
    out = ops->loan(e);
    if (out == NULL || !ops->send(e, out))
        return tribus_bench_pair_fail("%s: cannot say hello", ops->path);
    (void)usleep(300000);
    return true;
}

int tribus_peer_main(int argc, char **argv, const tribus_bench_ops *ops,
                     const char *version)
{
    static const size_t sizes[] = {64, 256u << 10, 4u << 20};
    const bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    int rc = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: %s --json|--table SECONDS [--realtime]\n", argv[0]);
        return 2;
    }
    if (argc > 3 && strcmp(argv[3], "--realtime") == 0)
        tribus_bench_pair_realtime();
    fprintf(stderr, "%s %s\n", ops->path, version);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        tribus_bench_row row = {.bench = "fabric",
                                .kase = "spin",
                                .ops = ops,
                                .size_bytes = sizes[i],
                                .touched = true,
                                .seconds = strtod(argv[2], NULL)};

        (void)snprintf(socket_path, sizeof(socket_path), "/tmp/tribus-peer-%d-%zu",
                       (int)getpid(), i);
        if (tribus_bench_pair_run(&row))
            tribus_bench_pair_print(&row, json);
        else
            rc = 1;
        (void)unlink(socket_path);
    }
    return rc;
}
