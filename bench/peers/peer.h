/* peer.h -- what the programs of this folder share: each is one transport, measured by the
 * loops of `tribus bench` and printed as its rows. */
#ifndef TRIBUS_BENCH_PEER_H
#define TRIBUS_BENCH_PEER_H

#include "cli/bench_pair.h"

/* usage: peer_x --json|--table SECONDS [--realtime]. Measures 64 B, 256 KiB and 4 MiB, written
 * and read. version: the library's, goes to stderr. */
int tribus_peer_main(int argc, char **argv, const tribus_bench_ops *ops,
                     const char *version);

/* Side 1 says hello and side 0 waits for it, so that the connection stands before anybody spins
 * on the core that the transport's own threads need. For the end of start(). */
bool tribus_peer_hello(tribus_bench_end *e, const tribus_bench_ops *ops);

/* Where a socket may lie; the same for both sides, another for each run. */
const char *tribus_peer_socket_path(void);

#endif
