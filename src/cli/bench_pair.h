/* bench_pair.h -- two processes on two cores that hand messages to each other, measured.
 *
 * A benchmark fills in a tribus_bench_ops for its transport; the loops, the floor, the
 * percentiles and the printing are here, so that every path is measured by the same code.
 * The floor is one cache line carrying a sequence word and 56 bytes, each direction one line,
 * spun on without a pause: what the hardware does. It is measured in the same two processes
 * before and after each row; a row during which it moved by more than a fifth is measured
 * again, because the host moved the cores.
 */
#ifndef TRIBUS_CLI_BENCH_PAIR_H
#define TRIBUS_CLI_BENCH_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tribus_bench_end tribus_bench_end;

/* What a transport does. Functions that return bool report failure with
 * tribus_bench_pair_fail(). loan() never fails for want of room: one message is under way. */
typedef struct tribus_bench_ops {
    const char *path;
    size_t (*shared_bytes)(
        size_t size_bytes); /* of memory both processes see; may be NULL */
    bool (*setup)(void *shared, size_t size_bytes); /* before the fork; may be NULL */
    bool (*start)(tribus_bench_end *e);             /* in each process */
    void *(*loan)(tribus_bench_end *e);             /* room for size_bytes */
    bool (*send)(tribus_bench_end *e, void *mem);
    const void *(*receive)(tribus_bench_end *e); /* NULL: nothing yet, ask again */
    bool (*release)(tribus_bench_end *e, const void *mem);
    void (*stop)(tribus_bench_end *e); /* may be NULL */
    /* Instead of the four above, for a path so short that calling them through pointers would
     * be half of it: a whole round trip with the payloads of messages i and 3 * i. answer
     * returns false at the end, too: it looks at tribus_bench_pair_ended(). May be NULL. */
    bool (*ask)(tribus_bench_end *e, uint64_t i);
    bool (*answer)(tribus_bench_end *e, uint64_t i);
} tribus_bench_ops;

struct tribus_bench_end {
    int side; /* 0 sends first, 1 answers */
    size_t size_bytes;
    void *shared;
    const void *config; /* tribus_bench_row.config */
    void *state;        /* the transport's */
};

typedef struct tribus_bench_stats {
    double p50_ns, p99_ns, p999_ns, rate_per_s;
} tribus_bench_stats;

typedef struct tribus_bench_row {
    const char *bench;           /* "handoff", "fabric" */
    const char *kase;            /* the field "case"; NULL: none */
    const char *path;            /* NULL: ops->path */
    const tribus_bench_ops *ops; /* NULL: the floor itself */
    const void *config;
    size_t size_bytes;
    bool touched;     /* payload written and read, or handed over only */
    double seconds;   /* how long to measure */
    uint64_t samples; /* at most; 0: 400,000 */
    /* results */
    tribus_bench_stats stats;
    tribus_bench_stats floor; /* of before and after, the one nearer to the row's minimum */
    bool floor_moved;         /* still, after the last repetition */
    uint64_t measured;
    const char *kind; /* the field "kind"; NULL: none */
} tribus_bench_row;

/* From now on the processes run under SCHED_FIFO, so that nothing else preempts them. For a
 * machine that others use: they stand still while a row is measured. */
void tribus_bench_pair_realtime(void);

/* Measure. Returns false with the reason on stderr. */
bool tribus_bench_pair_run(tribus_bench_row *row);

/* How often each row of a group is measured, 1 to 5 (5). False with the reason on stderr. */
bool tribus_bench_pair_set_rounds(int64_t wanted);
uint32_t tribus_bench_pair_rounds(void);

/* Measure rows that are compared, rounds times each in turn, while the cores are equally far
 * apart: all floors agree within a fifth, or the round is measured again, up to as often again.
 * Each number of a row is the median of its rounds. A row alone is measured once.
 * Returns as run. */
bool tribus_bench_pair_group(tribus_bench_row *rows, size_t count);

/* Run a function in two pinned processes that share `bytes` zeroed bytes, for benchmarks with
 * another shape than ping-pong. fn(side, shared, context) returns false after
 * tribus_bench_pair_fail(). Returns false with the reason on stderr. */
typedef bool (*tribus_bench_fn)(int side, void *shared, void *context);
bool tribus_bench_pair_fork(tribus_bench_fn fn, int sides, size_t bytes, void **shared,
                            void *context, double limit_seconds);
void tribus_bench_pair_drop(void); /* forget the shared memory of the last run */

/* Where the floor of the present run may be measured. */
void *tribus_bench_pair_line(void);

/* Has the run failed, or was it told to stop? Streams look now and then. */
bool tribus_bench_pair_ended(void);
void tribus_bench_pair_end(void);

/* Floor of this moment, both processes call it. line: 256 zeroed shared bytes. Side 0 gets
 * the result. */
void tribus_bench_pair_floor(int side, void *line, uint64_t rounds,
                             tribus_bench_stats *out);

/* Sort and summarise one-way times. */
void tribus_bench_pair_stats(double *ns, size_t count, tribus_bench_stats *out);

/* Keep the reason for the parent process; returns false. */
bool tribus_bench_pair_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One line of JSON, or one row of the table. */
void tribus_bench_pair_print(const tribus_bench_row *row, bool json);
void tribus_bench_pair_print_head(void);

/* Payload of message i, and the check of it. */
void tribus_bench_pair_fill(void *mem, size_t bytes, uint64_t i);
bool tribus_bench_pair_check(const void *mem, size_t bytes, uint64_t i);

#endif
