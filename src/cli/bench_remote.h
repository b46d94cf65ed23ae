/* bench_remote.h -- a pipeline over Redis pub/sub, as the platform does it today: one process
 * a domain, every tensor that crosses to another process published as JSON, or as its bytes.
 *
 * The same operations run on the same numbers as in compute hosts, so what differs is the
 * way between them. One run at a time. Graphs without branches, and with state only inside
 * a domain.
 */
#ifndef TRIBUS_CLI_BENCH_REMOTE_H
#define TRIBUS_CLI_BENCH_REMOTE_H

#include "cli/bench_paths.h"
#include "pipeline/graph.h"

typedef struct tribus_bench_remote tribus_bench_remote;

/* graph: borrowed. Returns NULL after complaining. */
tribus_bench_remote *tribus_bench_remote_open(const tribus_graph *graph, int port,
                                              bool json);
void tribus_bench_remote_close(tribus_bench_remote *remote);

/* Memory of an input of the pipeline, to write before a run; and of result i, after it. */
void *tribus_bench_remote_input(tribus_bench_remote *remote, uint32_t i);
const void *tribus_bench_remote_result(tribus_bench_remote *remote, uint32_t i);

/* One run. *total_ns: from first byte encoded to last byte decoded; *compute_ns: in
 * operations, along the longest path. Returns false after complaining. */
bool tribus_bench_remote_run(tribus_bench_remote *remote, int64_t *total_ns,
                             int64_t *compute_ns);

#endif
