/* bench_paths.h -- the transports that the benchmarks compare; see bench_pair.h. */
#ifndef TRIBUS_CLI_BENCH_PATHS_H
#define TRIBUS_CLI_BENCH_PATHS_H

#include "cli/bench_pair.h"
#include "tribus/fabric.h"

#include <sys/types.h>

/* A ring whose cells carry 56 bytes; the size of the row must be 64. */
extern const tribus_bench_ops tribus_bench_cell;

/* A ring whose cells carry references to slots of a region, any size. */
extern const tribus_bench_ops tribus_bench_slot;

/* The same with one region for both directions: both sides loan from it and hold its slots. */
extern const tribus_bench_ops tribus_bench_shared;

/* The same with one slot that each side writes in place and passes back. */
extern const tribus_bench_ops tribus_bench_reuse;

/* config of those. spin_ns: negative or config NULL: both sides spin and no doorbell is
 * pressed; else as in tribus_wait_cfg. */
typedef struct tribus_bench_ring_cfg {
    int64_t spin_ns;
} tribus_bench_ring_cfg;

/* Slots of the rows to come; 0: the region chooses. */
void tribus_bench_ring_slots(uint32_t slots);

/* The least that a hand-off of this shape must do; see bench_bare.c. */
extern const tribus_bench_ops tribus_bench_bare;
extern const tribus_bench_ops tribus_bench_futex;

typedef struct tribus_bench_bare_cfg {
    uint32_t slots; /* in each direction */
    bool pool;      /* one buffer for both directions instead */
} tribus_bench_bare_cfg;

/* Room for that many slots in each direction, in the rows to come. */
void tribus_bench_bare_slots(uint32_t slots);

/* Streams: one way, as fast as it goes. They fill in row->stats (time of a message over
 * spans of messages, messages a second) and row->floor. Return false with the reason on
 * stderr. */
typedef enum tribus_bench_stream {
    TRIBUS_STREAM_RING,  /* batches of 64 through a ring */
    TRIBUS_STREAM_BARE,  /* a bare loop over cells with sequence words */
    TRIBUS_STREAM_TOPIC, /* batches through a topic, the writer waits for the reader */
    TRIBUS_STREAM_LANES  /* four writers, one reader */
} tribus_bench_stream;

bool tribus_bench_stream_run(tribus_bench_row *row, tribus_bench_stream what);

/* Kill participants of an agent of our own, one after the other. Fills in row->stats: from
 * before the kill until another participant sees it. */
bool tribus_bench_death_run(tribus_bench_row *row, uint32_t deaths, double *longest_ns);

/* A redis-server of our own on a free loopback port, without persistence. Returns 0 after
 * complaining as `command`. */
typedef struct tribus_bench_redis {
    pid_t pid;
    int port;
} tribus_bench_redis;

bool tribus_bench_redis_start(const char *command, const char *program,
                              tribus_bench_redis *out);
void tribus_bench_redis_stop(tribus_bench_redis *redis);

/* Redis PUBLISH of the bytes as they are, and as a JSON object with an array of doubles.
 * config: a const tribus_bench_redis *. */
extern const tribus_bench_ops tribus_bench_redis_binary;
extern const tribus_bench_ops tribus_bench_redis_json;

#endif
