/* pipeline.h -- graphs of neural and gpu stages: registered once, run many times.
 *
 * Use it to   run models and kernels in compute hosts on tensors you write straight into
 *             shared memory, several runs in flight, and to be such a compute host.
 * Not for     messages (bus.h), or running a model or kernel in this process (neural.h,
 *             device.h).
 *
 * Memory      tribus_pipeline_register() makes all memory at once, through the session.
 *             Every stage has as many slots as runs can be in flight; a run uses one slot
 *             of every stage, so nothing is allocated, loaned or copied while it runs.
 * Order       Runs of one priority pass every edge in the order they were submitted, and
 *             their results come in that order; a more urgent one overtakes them at every
 *             stage but those that carry state. A run that fails or is late still passes
 *             every edge, marked, so nothing is lost without a result.
 * Threads     A handle belongs to the thread that opened its session.
 * Trust       The text of a pipeline is hostile until checked; each process lays the
 *             memory out from its own checked copy and believes no offset found in shared
 *             memory. Descriptors are copied, checked, used. Bytes of a slot that a stage
 *             reads can be changed by a misbehaving host of the same user.
 * Cost        A hand-over is one 64-byte line that a stage's host writes and the hosts of
 *             its readers poll; neither agent nor submitter is on the path.
 *
 * docs/pipelines.md describes the YAML of a pipeline.
 */
#ifndef TRIBUS_PIPELINE_H
#define TRIBUS_PIPELINE_H

#include "tribus/device.h"
#include "tribus/fabric.h"
#include "tribus/session.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_PIPELINE_NAME_BYTES 48u
#define TRIBUS_PIPELINE_TEXT_BYTES 240u
#define TRIBUS_PIPELINE_MOST_RUNS  256u /* in flight */

#define TRIBUS_PIPELINE_MOST_PRIORITY 9u /* first; 0 is last */

typedef struct tribus_pipeline tribus_pipeline;

/* The size of a named dimension, e.g. {"assets", 439}. Borrowed during the call. */
typedef struct tribus_pipeline_dim {
    const char *name;
    int64_t size;
} tribus_pipeline_dim;

/* A param of a stage, e.g. {"risk.paths", 10000}. Borrowed during the call. */
typedef struct tribus_pipeline_param {
    const char *name;
    double value;
} tribus_pipeline_param;

enum { /* tribus_pipeline_cfg.flags */
       /* refuse, with the reason, whatever would copy a tensor between two stages */
       TRIBUS_PIPELINE_REQUIRE_ZERO_COPY = 1u
};

/* Zero is the default of every field but path or text. */
typedef struct tribus_pipeline_cfg {
    const char *path; /* YAML file; files it names are relative to its folder */
    const char *text; /* its text instead; then path is only its name in error texts */
    const char *name; /* name in the registry; NULL: the one in the YAML */
    const tribus_pipeline_dim *dims; /* sizes that go before those in the YAML */
    uint32_t dim_count;
    const tribus_pipeline_param *params; /* go before those in the YAML; at most 16 */
    uint32_t param_count;
    uint32_t runs; /* in flight at most; 0: the YAML's, else 8 */
    uint32_t flags;
    int64_t deadline_ns;  /* of a run, from submit; 0: the YAML's, else none */
    int64_t spin_ns;      /* poll this long before sleeping; as tribus_wait_cfg */
    int64_t successor_ns; /* how long await goes on after a host died before it returns
                             TRIBUS_PEER_LOST; 0: not at all */
} tribus_pipeline_cfg;

/* Check a pipeline without running it: types, shapes, cycles, operations, memory.
 * bytes: memory it would take; may be NULL.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (no such file), TRIBUS_BAD_DATA (text: file, line,
 * stage or edge, and what is wrong), TRIBUS_BAD_ARG or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_check(const tribus_pipeline_cfg *cfg,
                                                      uint64_t *bytes);

/* Check it, make its memory and announce it to the compute hosts. cfg is copied.
 * out: owned by the caller, tribus_pipeline_close().
 * Returns as tribus_pipeline_check(), and TRIBUS_EXISTS, TRIBUS_PEER_LOST, TRIBUS_TIMEOUT
 * of tribus_session_create_object(). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_register(tribus_session *session,
                                                         const tribus_pipeline_cfg *cfg,
                                                         tribus_pipeline **out);

/* End it: hosts drop its stages, runs in flight are abandoned. NULL is allowed. Close
 * before the session. */
void tribus_pipeline_close(tribus_pipeline *pipe);

/* Wait until a host has every stage ready.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT (text: which stage no host of its domain has taken),
 * TRIBUS_REFUSED (a host could not load a stage: text is the host's) or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_ready_wait(tribus_pipeline *pipe,
                                                           int64_t timeout_ns);

/* ---- submitting ---- */

/* Number of an input or result by name: "returns", "risk.result". Returns TRIBUS_OK or
 * TRIBUS_NOT_FOUND (text lists the names). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_find_input(const tribus_pipeline *pipe,
                                                           const char *name, uint32_t *out);
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_find_result(const tribus_pipeline *pipe,
                                                            const char *name,
                                                            uint32_t *out);

/* Borrow the input slots of the next run, until submit. Claiming again before that gives
 * the same slots, so giving up needs no call. Write inputs through tribus_pipeline_input().
 * Returns TRIBUS_OK, TRIBUS_FULL (as many runs in flight as allowed: await and release) or
 * TRIBUS_STOPPED (tribus_pipeline_stop() was called; runs in flight still finish). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_claim(tribus_pipeline *pipe);

/* The tensor of input i in the claimed slots, to write into; borrowed until submit. An
 * input declared `keep: true` holds its last value for the runs that follow: ask for it
 * only in runs that change it (then write all of it); the first run must.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG (no such input, nothing claimed). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_input(tribus_pipeline *pipe, uint32_t i,
                                                      tribus_tensor *out);

/* Copy bytes into input i of the claimed slots; counted as copied.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (not the input's size) or TRIBUS_REFUSED (the pipeline
 * requires zero copy). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_copy_input(tribus_pipeline *pipe,
                                                           uint32_t i, const void *from,
                                                           size_t bytes);

/* Give the claimed run a priority instead of the pipeline's: 0 (last) to 9 (first). At every
 * host its stages go before those of less urgent runs that wait there, and its result comes
 * as soon as it is there. A stage that carries state takes runs in the order of submission
 * all the same, and a full pipeline is full for urgent runs, too: leave room.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG (nothing claimed, no such priority). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_set_priority(tribus_pipeline *pipe,
                                                             uint32_t priority);

/* Start the claimed run. deadline_ns: from now; 0: that of the pipeline. run: its number,
 * from 1; may be NULL.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (nothing claimed, or a kept input never written). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_submit(tribus_pipeline *pipe,
                                                       int64_t deadline_ns, uint64_t *run);

typedef struct tribus_pipeline_result {
    uint64_t run;
    /* TRIBUS_OK, or what the failing stage returned; TRIBUS_TIMEOUT: the deadline passed
     * before `stage` began; TRIBUS_POISONED: its device failed; TRIBUS_PEER_LOST: its host
     * died twice on this run; TRIBUS_BAD_DATA: not finite though declared so */
    tribus_status status;
    char stage[TRIBUS_PIPELINE_NAME_BYTES]; /* "" when OK */
    char text[TRIBUS_PIPELINE_TEXT_BYTES];  /* why */
    bool hardware_accelerated;         /* every stage that ran, ran on an accelerator */
    bool redelivered;                  /* a host died on it and another one finished it */
    int64_t submitted_ns, finished_ns; /* monotonic */
    /* Along the path of stages that finished last: waiting for a busy host, computing, and
     * being handed over. Their sum is finished - submitted. */
    int64_t queue_ns, compute_ns, handoff_ns;
} tribus_pipeline_result;

/* Wait for the result of the oldest run that has none yet, or of a more urgent one that is
 * through. Its tensors are borrowed until tribus_pipeline_release().
 * Returns TRIBUS_OK (look at out->status), TRIBUS_EMPTY (nothing in flight),
 * TRIBUS_TIMEOUT, TRIBUS_PEER_LOST (text names the stage whose host died; the run stays in
 * flight, and awaiting again gets it when a successor has finished it), TRIBUS_CORRUPT or
 * TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_await_wait(tribus_pipeline *pipe,
                                                           int64_t timeout_ns,
                                                           tribus_pipeline_result *out);

/* Tensor i of the awaited result. Returns TRIBUS_OK, TRIBUS_BAD_ARG (no such result,
 * none awaited) or TRIBUS_EMPTY (the run failed or skipped the stage that makes it). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_result_tensor(tribus_pipeline *pipe,
                                                              uint64_t run, uint32_t i,
                                                              tribus_tensor *out);

/* Give the slots of that run back. Runs are released in any order, but a slot becomes free
 * for claim only when those before it are. Unknown runs are ignored. */
void tribus_pipeline_release(tribus_pipeline *pipe, uint64_t run);

/* Called with a result, whose tensors are borrowed during the call. */
typedef void (*tribus_pipeline_result_fn)(void *context, tribus_pipeline *pipe,
                                          const tribus_pipeline_result *result);

/* Wait for a result, call fn with it and with every other that is there, and release them.
 * count: how many; may be NULL. fn may claim and submit, not await.
 * Returns TRIBUS_OK (one or more), else as tribus_pipeline_await_wait(). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_on_result_wait(tribus_pipeline *pipe,
                                                               int64_t timeout_ns,
                                                               tribus_pipeline_result_fn fn,
                                                               void *context,
                                                               uint32_t *count);

/* Take cfg's pipeline instead, without dropping a run: it is registered beside the old one
 * under the old name with ".2", ".3", ... behind it, and when hosts have it ready the next
 * claim is its. Runs in flight finish where they are, their results come first, and run
 * numbers go on. Inputs and results must be those of the old one, in name, order, dtype and
 * shape. Kept inputs hold their values; state begins anew. The bell is another one afterwards.
 * Nothing may be claimed.
 * Returns TRIBUS_OK, TRIBUS_FULL (the replacement before has runs in flight still),
 * TRIBUS_BAD_DATA (other inputs or results), or as tribus_pipeline_register() and
 * tribus_pipeline_ready_wait(); on any but TRIBUS_OK the old one goes on. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_replace_wait(tribus_pipeline *pipe,
                                                             const tribus_pipeline_cfg *cfg,
                                                             int64_t timeout_ns);

/* What results ring: for a thread that waits for several things at once. Then await with
 * timeout 0. */
tribus_doorbell_shm *tribus_pipeline_bell(tribus_pipeline *pipe);

/* ---- looking ---- */

/* Look at somebody's pipeline; every call of this part works on it, none above does.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_CORRUPT or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_open(tribus_session *session,
                                                     const char *name,
                                                     tribus_pipeline **out);

/* Ask whoever submits to a pipeline to end it: its next claim says TRIBUS_STOPPED.
 * Returns as tribus_pipeline_open(). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_stop(tribus_session *session,
                                                     const char *name);

/* Durations in nanoseconds, each within 3.2 % of the true value. */
typedef struct tribus_pipeline_span {
    uint64_t count;
    int64_t p50_ns, p99_ns, p999_ns, most_ns;
} tribus_pipeline_span;

typedef enum tribus_stage_state {
    TRIBUS_STAGE_FREE = 0,    /* no host has taken it */
    TRIBUS_STAGE_LOADING = 1, /* a host is loading its operation */
    TRIBUS_STAGE_READY = 2,
    TRIBUS_STAGE_FAILED = 3 /* the host could not; text says why */
} tribus_stage_state;

typedef struct tribus_pipeline_stage_row {
    char name[TRIBUS_PIPELINE_NAME_BYTES];
    char domain[16];
    char operation[128];
    char host[TRIBUS_NAME_BYTES]; /* participant that has it, "" when none */
    char device[16];
    uint32_t state; /* tribus_stage_state */
    char text[TRIBUS_PIPELINE_TEXT_BYTES];
    uint64_t runs, failed, late, skipped, redelivered;
    uint64_t calls; /* of the operation: fewer than runs where it took several at once */
    tribus_pipeline_span queue, compute, handoff;
} tribus_pipeline_stage_row;

/* A link: what one stage (or the submitter, "") hands to another (or to the results). */
typedef struct tribus_pipeline_link_row {
    char from[TRIBUS_PIPELINE_NAME_BYTES], to[TRIBUS_PIPELINE_NAME_BYTES];
    bool state; /* feeds the next run */
    uint64_t runs;
    uint64_t bytes_by_reference, bytes_copied;
} tribus_pipeline_link_row;

typedef struct tribus_pipeline_stats {
    char name[TRIBUS_PIPELINE_NAME_BYTES];
    uint32_t stages, links, inputs, results;
    uint32_t runs_in_flight, most_runs;
    uint64_t memory_bytes;
    uint64_t submitted, finished, failed, late, refused; /* refused: FULL at claim */
    uint64_t handoffs;                                   /* runs that passed a link */
    uint64_t bytes_by_reference, bytes_copied;
    double zero_copy; /* share of bytes by reference, 0..1; 1 when nothing passed */
    tribus_pipeline_span total, handoff; /* of a run: submit to result; all its hand-offs */
} tribus_pipeline_stats;

void tribus_pipeline_get_stats(const tribus_pipeline *pipe, tribus_pipeline_stats *out);

/* Rows 0..stages-1 and 0..links-1. Returns TRIBUS_OK or TRIBUS_EMPTY past the last. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_get_stage(const tribus_pipeline *pipe,
                                                          uint32_t i,
                                                          tribus_pipeline_stage_row *out);
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_get_link(const tribus_pipeline *pipe,
                                                         uint32_t i,
                                                         tribus_pipeline_link_row *out);

/* Name, dtype and shape of input or result i; data is NULL. Returns TRIBUS_OK or
 * TRIBUS_EMPTY past the last. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_get_input(const tribus_pipeline *pipe,
                                                          uint32_t i, const char **name,
                                                          tribus_tensor *shape);
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_get_result(const tribus_pipeline *pipe,
                                                           uint32_t i, const char **name,
                                                           tribus_tensor *shape);

/* ---- being a compute host ---- */

enum { /* tribus_host_cfg.domains, bits */
       TRIBUS_DOMAIN_NEURAL = 1u,
       TRIBUS_DOMAIN_GPU = 2u
};

typedef struct tribus_host_cfg {
    uint32_t domains;   /* 0: both */
    const char *device; /* NULL: "cpu" */
    uint32_t threads;   /* that share one stage's computation; 0: 1 */
    int64_t spin_ns;    /* as tribus_wait_cfg; negative: never sleep (own core) */
    /* Fraction of a card's multiprocessors for the neural domain, the rest for gpu; 0: none.
     * Only for a host of one domain; where the card cannot, it is whole and the log says so. */
    double neural_part;
    /* Asked between stages and at least every 100 ms: nonzero to stop. NULL: never. */
    int (*stopped)(void *context);
    void *context;
} tribus_host_cfg;

/* Serve every pipeline of this host's domains until stopped: take its stages, load their
 * operations, run them. Other processes' mistakes never end it.
 * Returns TRIBUS_OK (stopped), TRIBUS_BAD_ARG, TRIBUS_PEER_LOST (the agent is gone and
 * nothing is left to serve), TRIBUS_UNSUPPORTED or TRIBUS_NOT_FOUND (the device). */
TRIBUS_MUST_CHECK tribus_status tribus_host_run(tribus_session *session,
                                                const tribus_host_cfg *cfg);

#ifdef __cplusplus
}
#endif

#endif
