/* plan.h -- everything of one registered pipeline that processes share, in one object.
 *
 *   plan_shm   header, dimensions, text, submitter's counters and doorbell
 *   hosts      who serves stages of it, each with a doorbell
 *   claims     a word per node: which host has it
 *   stages     one line of counters per node
 *   links      one line of counters per link
 *   runs       one per slot: deadline, priority, fault
 *   passes     one line per slot and node: the edges
 *   texts      one per node: why it could not be loaded
 *   spans      three histograms per node
 *   zeros      what an optional input reads when nothing came
 *   kept       slots + 1 versions of every kept input
 *   slots      graph.slots of every output: the tensors
 *
 * A run uses slot `run % slots` of every node. The submitter starts a run only when the one
 * `runs` before it is released, and a run's result has come only when every node has passed
 * it on, so a slot is never written while anybody reads it. That replaces loaning and
 * releasing per stage, lets an output have any number of readers, and makes an edge one
 * cache line: the host of a node writes the line of a run, whoever waits for the node reads
 * it. A ring of such lines can be written in any order, so that urgent runs overtake.
 *
 * Trust   Offsets are computed from the graph, which every process reads from its own copy
 *         of the text; none is read from shared memory.
 */
#ifndef TRIBUS_PIPELINE_PLAN_H
#define TRIBUS_PIPELINE_PLAN_H

#include "base/atomic.h"
#include "pipeline/graph.h"

/* A histogram of durations; zeroed memory is an empty one. */
typedef struct tribus_plan_span_shm {
    _Alignas(64) char bytes[TRIBUS_HISTOGRAM_BYTES];
} tribus_plan_span_shm;

static inline tribus_histogram *tribus_plan_span(tribus_plan_span_shm *span)
{
    return (tribus_histogram *)(void *)span->bytes;
}

#define TRIBUS_PLAN_MAGIC      0x4e4c503153425254ull /* "TRBS1PLN" */
#define TRIBUS_PLAN_VERSION    2u
#define TRIBUS_PLAN_MOST_HOSTS 32u
#define TRIBUS_PLAN_NO_HOST    UINT32_MAX

/* Who lives. Given by the session, or by a test. */
typedef struct tribus_peers {
    int (*alive)(void *context, uint32_t participant, uint32_t epoch);
    void *context;
    uint32_t participant, epoch; /* our own */
} tribus_peers;

enum {                            /* tribus_pass.flags; they gather on the way */
       TRIBUS_PASS_FAILED = 1u,   /* the run failed; pass it on, do not work */
       TRIBUS_PASS_SKIPPED = 2u,  /* this node did not run: its output is not there */
       TRIBUS_PASS_SOFTWARE = 4u, /* a stage ran without an accelerator */
       TRIBUS_PASS_REDELIVERED = 8u
};

/* All edges that lead from a node, for one run: written by the node's host, `run` last; read
 * by whoever waits for the node, and by its next host if this one dies. */
typedef struct tribus_plan_pass_shm {
    _Atomic(uint64_t) run; /* whose outputs are complete */
    _Atomic(uint64_t) flags;
    /* When all inputs were there and it began, when it ended, and how long before it began
     * they waited for a busy host. */
    _Atomic(int64_t) begin_ns, end_ns, queue_ns;
    _Atomic(uint64_t) ran;              /* 0: passed on without working */
    _Atomic(uint64_t) tried_run, tries; /* the run that was begun, and how often */
} tribus_plan_pass_shm;

/* A copy of what a pass says. */
typedef struct tribus_pass {
    uint64_t flags;
    int64_t end_ns;
} tribus_pass;

/* Nodes that may have something to do, a bit each: so that a host with hundreds of stages
 * need not look at all of them after every pass. */
#define TRIBUS_PLAN_HINT_WORDS 72u

_Static_assert(TRIBUS_PLAN_HINT_WORDS * 64u >= TRIBUS_GRAPH_MOST_STAGES + 2u,
               "every node has a bit");

typedef struct tribus_plan_host_shm {
    _Atomic(uint64_t) who;       /* participant << 32 | epoch; 0: free */
    _Atomic(uint64_t) device[2]; /* its name, for people */
    _Atomic(uint64_t) domains;   /* TRIBUS_DOMAIN_ bits it serves */
    _Atomic(uint32_t) called;    /* look around: a stage was given up for you */
    char unused[28];
    char bell[TRIBUS_DOORBELL_BYTES];
    _Atomic(uint64_t) hints[TRIBUS_PLAN_HINT_WORDS];
} tribus_plan_host_shm;

/* The host that has the stage writes these; `calls` counts batches once. */
typedef struct tribus_plan_stage_shm {
    _Atomic(uint64_t) runs, failed, late, skipped, redelivered;
    _Atomic(uint64_t) calls, compute_ns; /* compute_ns: of all calls together */
    uint64_t unused;
} tribus_plan_stage_shm;

typedef struct tribus_plan_spans_shm {
    tribus_plan_span_shm queue, compute, handoff;
} tribus_plan_spans_shm;

typedef struct tribus_plan_link_shm {
    _Atomic(uint64_t) runs, bytes; /* its reader only */
    _Atomic(uint64_t)
        bytes_copied; /* its writer only; inputs that were copied are in bytes, too */
    char unused[40];
} tribus_plan_link_shm;

typedef struct tribus_plan_run_shm {
    _Atomic(uint64_t) run;
    _Atomic(int64_t) submit_ns, deadline_ns; /* deadline: INT64_MAX for none */
    _Atomic(uint32_t) priority;              /* 0 (last) to 9 (first) */
    _Atomic(uint32_t) fault;                 /* node that failed first, 0: none */
    _Atomic(int32_t) fault_status;
    char text[TRIBUS_PIPELINE_TEXT_BYTES];          /* by the node in fault */
    _Atomic(uint32_t) kept[TRIBUS_GRAPH_MOST_KEPT]; /* version slot of each kept input */
    uint32_t unused;
} tribus_plan_run_shm;

typedef struct tribus_plan_shm {
    _Atomic(uint64_t) magic;
    uint32_t version;
    uint32_t runs; /* in flight */
    uint64_t bytes;
    uint32_t text_bytes, dim_count, param_count, flags;
    uint32_t node_count, link_count; /* to notice another reading of the same text */
    char name[TRIBUS_PIPELINE_NAME_BYTES];
    char origin[256], folder[512];
    struct {
        char name[TRIBUS_PIPELINE_NAME_BYTES];
        int64_t size;
    } dims[TRIBUS_GRAPH_MOST_DIMS];
    struct {
        char name[2 * TRIBUS_PIPELINE_NAME_BYTES];
        double value;
    } params[TRIBUS_GRAPH_MOST_GIVEN];
    _Alignas(64) _Atomic(uint64_t) owner; /* the submitter: participant << 32 | epoch */
    _Atomic(uint32_t) closing;            /* the submitter has ended it */
    _Atomic(uint32_t) stopping;           /* somebody asks the submitter to */
    /* runs in flight whose priority is not the pipeline's; 0: hosts go in order */
    _Atomic(uint32_t) mixed;
    char unused0[44];
    _Atomic(uint64_t) submitted, finished, failed, late, refused, released;
    _Atomic(uint64_t) last; /* the run that finished last */
    tribus_plan_span_shm total, handoff;
    _Alignas(64) char bell[TRIBUS_DOORBELL_BYTES];
} tribus_plan_shm;

_Static_assert(sizeof(tribus_plan_pass_shm) == 64, "an edge is one line");
_Static_assert(offsetof(tribus_plan_host_shm, bell) == 64, "the bell has its own line");
_Static_assert(sizeof(tribus_plan_host_shm) % 64 == 0, "hosts do not share lines");
_Static_assert(sizeof(tribus_plan_stage_shm) == 64, "stages do not share lines");
_Static_assert(sizeof(tribus_plan_link_shm) == 64, "links do not share lines");
_Static_assert(sizeof(tribus_plan_run_shm) % 8 == 0, "runs are packed");

/* This process's view of a plan. */
typedef struct tribus_plan {
    tribus_graph *graph;
    uint8_t *mem; /* borrowed */
    size_t bytes;
    tribus_plan_shm *shm;
    uint64_t hosts_at, text_at, claims_at, stages_at, links_at, runs_at, passes_at;
    uint64_t texts_at, spans_at, zeros_at;
    uint64_t *slots_at; /* of each node */
    uint64_t *kept_at;  /* of each kept input */
    uint64_t total;
} tribus_plan;

/* Bytes a plan of this graph takes. Returns TRIBUS_OK, TRIBUS_BAD_DATA (more than any
 * memory) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_plan_size(const tribus_graph *graph,
                                                 size_t text_bytes, uint64_t *bytes);

typedef struct tribus_plan_cfg {
    const char *text;
    size_t text_bytes;
    const char *origin;
    const tribus_pipeline_param *params; /* those the graph was given */
    uint32_t param_count;
    uint32_t flags;
    uint32_t participant, epoch; /* of the submitter */
} tribus_plan_cfg;

/* Lay a plan out in zeroed memory. graph: taken on TRIBUS_OK. mem: borrowed.
 * out: owned by the caller, tribus_plan_close().
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (too little memory) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_plan_create(void *mem, size_t bytes,
                                                   tribus_graph *graph,
                                                   const tribus_plan_cfg *cfg,
                                                   tribus_plan **out);

/* Read a plan somebody else laid out: copy its text, check it, lay it out again.
 * Returns TRIBUS_OK, TRIBUS_EMPTY (not laid out yet), TRIBUS_VERSION, TRIBUS_CORRUPT,
 * TRIBUS_BAD_DATA or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_plan_open(void *mem, size_t bytes,
                                                 tribus_plan **out);
void tribus_plan_close(tribus_plan *plan);

/* ---- places; indices are our own, never a peer's ---- */

static inline tribus_plan_host_shm *tribus_plan_host(const tribus_plan *p, uint32_t i)
{
    return (tribus_plan_host_shm *)(void *)(p->mem + p->hosts_at) + i;
}

static inline tribus_plan_stage_shm *tribus_plan_stage(const tribus_plan *p, uint32_t node)
{
    return (tribus_plan_stage_shm *)(void *)(p->mem + p->stages_at) + node;
}

/* state | (host + 1) << 8; changed by compare-and-swap */
static inline _Atomic(uint64_t) *tribus_plan_claim(const tribus_plan *p, uint32_t node)
{
    return (_Atomic(uint64_t) *)(void *)(p->mem + p->claims_at) + node;
}

/* Why the stage could not be loaded, or is not where its host is: shown by the claim. */
static inline char *tribus_plan_text(const tribus_plan *p, uint32_t node)
{
    return (char *)p->mem + p->texts_at + (uint64_t)node * TRIBUS_PIPELINE_TEXT_BYTES;
}

static inline tribus_plan_spans_shm *tribus_plan_spans(const tribus_plan *p, uint32_t node)
{
    return (tribus_plan_spans_shm *)(void *)(p->mem + p->spans_at) + node;
}

static inline tribus_plan_link_shm *tribus_plan_link(const tribus_plan *p, uint32_t link)
{
    return (tribus_plan_link_shm *)(void *)(p->mem + p->links_at) + link;
}

static inline uint32_t tribus_plan_slot(const tribus_plan *p, uint64_t run)
{
    return (uint32_t)(run % p->graph->slots);
}

static inline tribus_plan_run_shm *tribus_plan_run(const tribus_plan *p, uint64_t run)
{
    return (tribus_plan_run_shm *)(void *)(p->mem + p->runs_at) + tribus_plan_slot(p, run);
}

static inline tribus_plan_pass_shm *tribus_plan_pass(const tribus_plan *p, uint64_t run,
                                                     uint32_t node)
{
    return (tribus_plan_pass_shm *)(void *)(p->mem + p->passes_at) +
           (size_t)tribus_plan_slot(p, run) * p->graph->node_count + node;
}

static inline tribus_doorbell_shm *tribus_plan_bell(const tribus_plan *p)
{
    return (tribus_doorbell_shm *)(void *)p->shm->bell;
}

static inline tribus_doorbell_shm *tribus_plan_host_bell(const tribus_plan *p, uint32_t i)
{
    return (tribus_doorbell_shm *)(void *)tribus_plan_host(p, i)->bell;
}

/* First byte of output port `port` of a node in the slot of a run. The slots of a port lie
 * side by side, so consecutive runs of one whose bytes are a multiple of 64 are one tensor
 * with more rows. */
void *tribus_plan_output(const tribus_plan *p, uint32_t node, uint32_t port, uint64_t run);

/* The tensor over it. */
void tribus_plan_tensor(const tribus_graph_port *port, void *mem, tribus_tensor *out);

/* Version `version` (taken modulo what there is) of kept input k. */
void *tribus_plan_kept(const tribus_plan *p, uint32_t k, uint32_t version);
uint32_t tribus_plan_kept_versions(const tribus_plan *p);

/* What an optional input reads when nothing came. */
static inline void *tribus_plan_zeros(const tribus_plan *p)
{
    return p->mem + p->zeros_at;
}

/* ---- claims ---- */

static inline uint64_t tribus_plan_claim_word(tribus_stage_state state, uint32_t host)
{
    return (uint64_t)state | ((uint64_t)host + 1u) << 8;
}

static inline uint32_t tribus_plan_claim_state(uint64_t claim)
{
    return (uint32_t)(claim & 0xffu);
}

/* The host in a claim word, TRIBUS_PLAN_NO_HOST when there is none or it is nonsense. */
static inline uint32_t tribus_plan_claim_host(uint64_t claim)
{
    const uint64_t h = claim >> 8;

    return h >= 1 && h <= TRIBUS_PLAN_MOST_HOSTS ? (uint32_t)h - 1u : TRIBUS_PLAN_NO_HOST;
}

static inline uint64_t tribus_plan_who(uint32_t participant, uint32_t epoch)
{
    return (uint64_t)participant << 32 | epoch;
}

/* Does the host at this place live? */
bool tribus_plan_host_lives(const tribus_plan *p, uint32_t host, const tribus_peers *peers);

/* Take a place among the hosts: a free one, or a dead one's that has no stage left.
 * Returns TRIBUS_OK or TRIBUS_FULL. */
TRIBUS_MUST_CHECK tribus_status tribus_plan_join(tribus_plan *p, const tribus_peers *peers,
                                                 const char *device, uint32_t *out);
void tribus_plan_leave(tribus_plan *p, uint32_t host);

/* Are hints used? In a graph of few stages looking at all is cheaper. */
static inline bool tribus_plan_has_hints(const tribus_plan *p)
{
    return p->graph->node_count > 34;
}

static inline uint32_t tribus_plan_hint_words(const tribus_plan *p)
{
    return (p->graph->node_count + 63u) / 64u;
}

/* Hints of one word, taken: bit i is node 64 * word + i. What they hint at is visible. A
 * host that died between showing a pass and hinting leaves none: look at all now and then. */
uint64_t tribus_plan_take_hints(const tribus_plan *p, uint32_t host, uint32_t word);

/* ---- edges, plan_pass.c ---- */

/* Has the node passed this run on? out: a copy of what it says.
 * Returns TRIBUS_OK, TRIBUS_EMPTY (not yet) or TRIBUS_CORRUPT (it is ahead of what can be). */
TRIBUS_MUST_CHECK tribus_status tribus_plan_look(const tribus_plan *p, uint32_t node,
                                                 uint64_t run, tribus_pass *out);

/* The node's host: show that it has passed the run on. What the pass and the outputs hold was
 * written before. */
void tribus_plan_show(const tribus_plan *p, uint32_t node, uint64_t run);

/* What was shown: runs `first` to `first + runs - 1` of a node; runs 0: some, and a host that
 * died may have told nobody. */
typedef struct tribus_plan_shown {
    uint32_t node;
    uint64_t first;
    uint32_t runs;
} tribus_plan_shown;

/* Wake whoever waits for the node and has all else that it waits for, after showing. host:
 * our place, TRIBUS_PLAN_NO_HOST for the submitter; pending: our own hints, a bit a node. */
void tribus_plan_announce(const tribus_plan *p, const tribus_plan_shown *shown,
                          uint32_t host, uint64_t *pending);

/* The reader has passed the run on: count what came. */
void tribus_plan_count(const tribus_plan *p, uint32_t link, const tribus_pass *pass);

#endif
