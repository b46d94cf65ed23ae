/* host.c -- see host.h.
 *
 * Ordering:
 *   R2 -> A2   take -> look    whoever sees a stage ready or failed sees its text
 * A stage changes hands by compare-and-swap of its claim word, from free or from a host that
 * is dead, so at every moment one host at most has it.
 */
#include "pipeline/host.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Measurements reach the histograms at the latest so long after a host had nothing to do. */
#define FLUSH_NS INT64_C(10000000)

#define SPIN_DEFAULT_NS INT64_C(20000) /* as tribus_wait_cfg has it */

typedef struct served {
    uint64_t key;
    tribus_plan *plan;
    uint32_t place; /* ours among the plan's hosts */
    void *device_mem;
    bool registered;       /* with a device that is not the CPU */
    tribus_stage **stages; /* those we have, producers first */
    uint32_t count;
    tribus_stage **by_node;                   /* the same, NULL where another has it */
    uint32_t deferred;                        /* looks at which a free stage was left */
    uint64_t pending[TRIBUS_PLAN_HINT_WORDS]; /* nodes to look at, where hints are used */
} served;

struct tribus_host {
    tribus_host_cfg cfg;
    tribus_peers peers;
    tribus_device *device;
    tribus_device *cpu; /* the same, or a second one for what the device cannot run */
    char device_name[16];
    served *plans[TRIBUS_HOST_MOST_PLANS]; /* by priority, highest first */
    uint32_t plan_count;
    int64_t free_ns;    /* when the last stage was done */
    int64_t flushed_ns; /* when measurements were last put where others see them */
};

static bool stopped(const tribus_host *host)
{
    return host->cfg.stopped != NULL && host->cfg.stopped(host->cfg.context) != 0;
}

/* The part of the card that is our domain's, if there is to be one. */
static void take_part(const tribus_host *h)
{
    const bool gpu = h->cfg.domains == TRIBUS_DOMAIN_GPU;

    if (h->cfg.neural_part <= 0.0 || h->device == h->cpu)
        return;
    if (!gpu && h->cfg.domains != TRIBUS_DOMAIN_NEURAL) {
        tribus_log(TRIBUS_LOG_WARN,
                   "gpu.neural_share: a host of both domains runs one stage at a time, on "
                   "the whole card; gpu.mps gives each domain a host");
        return;
    }
    if (tribus_device_take_part(h->device, h->cfg.neural_part, gpu) == TRIBUS_OK) {
        tribus_log(TRIBUS_LOG_INFO, "gpu.neural_share: %s part of %s",
                   gpu ? "the second" : "the first", h->device_name);
        return;
    }
    tribus_log(TRIBUS_LOG_WARN, "gpu.neural_share: %s; going on with the whole card",
               tribus_error_text());
    tribus_error_clear();
}

tribus_status tribus_host_open(const tribus_host_cfg *cfg, const tribus_peers *peers,
                               tribus_host **out)
{
    tribus_host *h = calloc(1, sizeof(*h));
    tribus_status st;

    if (h == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "compute host");
    h->cfg = *cfg;
    h->peers = *peers;
    if (h->cfg.domains == 0)
        h->cfg.domains = TRIBUS_DOMAIN_NEURAL | TRIBUS_DOMAIN_GPU;
    /* OpenBLAS would start a thread for every core, and they spin while they wait for each
     * other: with two hosts on two cores that took the optimiser from 170 runs/s to 2. */
    openblas_set_num_threads(cfg->threads > 0 ? (int)cfg->threads : 1);
    st = tribus_device_open(cfg->device != NULL ? cfg->device : "cpu", &h->device);
    h->cpu = h->device;
    if (st == TRIBUS_OK && tribus_device_type(h->device) != TRIBUS_DEVICE_CPU)
        st = tribus_device_open("cpu", &h->cpu);
    if (st != TRIBUS_OK) {
        tribus_device_close(h->device);
        free(h);
        return st;
    }
    (void)snprintf(h->device_name, sizeof(h->device_name), "%s",
                   tribus_device_name(h->device));
    take_part(h);
    *out = h;
    return TRIBUS_OK;
}

/* ---- stages ---- */

static void set_claim(const served *v, uint32_t node, tribus_stage_state state)
{
    /* R2 pairs with A2 in tribus_pipeline_ready_wait's look and in get_stage. */
    tribus_store_rel(tribus_plan_claim(v->plan, node),
                     tribus_plan_claim_word(state, v->place));
    tribus_doorbell_press(tribus_plan_bell(v->plan));
}

static void free_claim(const served *v, uint32_t node)
{
    tribus_store_rel(tribus_plan_claim(v->plan, node), (uint64_t)0);
}

/* Keep the stages in the order of the graph, so that one pass carries a run far. */
static void insert_stage(served *v, tribus_stage *stage)
{
    const tribus_graph *g = v->plan->graph;
    uint32_t at = 0;

    for (uint32_t i = 0; i < g->node_count && at < v->count; i++) {
        if (g->order[i] == tribus_stage_node(stage))
            break;
        if (g->order[i] == tribus_stage_node(v->stages[at]))
            at++;
    }
    memmove(&v->stages[at + 1], &v->stages[at], (v->count - at) * sizeof(*v->stages));
    v->stages[at] = stage;
    v->count++;
    v->by_node[tribus_stage_node(stage)] = stage;
}

/* A stage that cannot be had says why, to the submitter. */
static void refuse(const served *v, uint32_t node)
{
    (void)snprintf(tribus_plan_text(v->plan, node), TRIBUS_PIPELINE_TEXT_BYTES, "%s",
                   tribus_error_text());
    set_claim(v, node, TRIBUS_STAGE_FAILED);
    tribus_log(TRIBUS_LOG_ERROR, "pipeline %s: %s", v->plan->graph->name,
               tribus_error_text());
}

/* Why a stage is not where its host is, for `tribus status`. */
static void say_where(const tribus_host *h, const served *v, uint32_t node,
                      const tribus_stage *stage)
{
    char *text = tribus_plan_text(v->plan, node);

    if (tribus_stage_device(stage) == h->device)
        text[0] = '\0';
    else
        (void)snprintf(text, TRIBUS_PIPELINE_TEXT_BYTES, "runs on cpu, not on %s: %s",
                       h->device_name, tribus_stage_why_cpu(stage));
}

/* ---- placement ----
 *
 * A stage belongs to the living host of its domain that has least to do, by the mean compute
 * time of the stages each has: all stages of a pipeline run equally often. Moving one must
 * leave the receiver with less than the giver had, so nothing moves back and forth. */

/* A free stage is left to a less busy host for so many looks, then taken all the same. */
#define MOST_DEFERRED 20u

static uint64_t cost_of(const served *v, uint32_t node)
{
    const tribus_plan_stage_shm *shm = tribus_plan_stage(v->plan, node);
    const uint64_t runs = tribus_load_rlx(&shm->runs); /* counters: a guess will do */

    return runs > 0 ? tribus_load_rlx(&shm->compute_ns) / runs + 1 : 1000;
}

/* What every host of the plan has to do. */
typedef struct loads {
    uint64_t of[TRIBUS_PLAN_MOST_HOSTS];
    uint64_t domains[TRIBUS_PLAN_MOST_HOSTS]; /* 0: dead, free, or us */
    bool rivals;                              /* somebody else serves a domain of ours */
} loads;

static void read_loads(const tribus_host *h, const served *v, loads *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < TRIBUS_PLAN_MOST_HOSTS; i++) {
        const uint64_t domains = tribus_load_rlx(&tribus_plan_host(v->plan, i)->domains);

        if (i == v->place || (domains & h->cfg.domains) == 0 ||
            !tribus_plan_host_lives(v->plan, i, &h->peers))
            continue;
        out->domains[i] = domains;
        out->rivals = true;
    }
    for (uint32_t i = 1; out->rivals && i + 1 < v->plan->graph->node_count; i++) {
        const uint32_t host =
            tribus_plan_claim_host(tribus_load_rlx(tribus_plan_claim(v->plan, i)));

        if (host != TRIBUS_PLAN_NO_HOST)
            out->of[host] += cost_of(v, i);
    }
}

/* The least busy other host that could have the node; NO_HOST when there is none. */
static uint32_t least_busy(const served *v, uint32_t node, const loads *l)
{
    uint32_t best = TRIBUS_PLAN_NO_HOST;

    for (uint32_t i = 0; i < TRIBUS_PLAN_MOST_HOSTS; i++)
        if ((l->domains[i] & v->plan->graph->nodes[node].domain) != 0 &&
            (best == TRIBUS_PLAN_NO_HOST || l->of[i] < l->of[best]))
            best = i;
    return best;
}

/* Should a free stage be left to another? Only at first: whoever does not come is not waited
 * for. */
static bool leave_it(const tribus_host *h, const served *v, uint32_t node)
{
    loads l;
    uint32_t other;

    if (v->deferred >= MOST_DEFERRED)
        return false;
    read_loads(h, v, &l);
    other = least_busy(v, node, &l);
    return other != TRIBUS_PLAN_NO_HOST && l.of[other] < l.of[v->place];
}

static bool claim(const tribus_host *h, served *v, uint32_t node)
{
    _Atomic(uint64_t) *word = tribus_plan_claim(v->plan, node);
    uint64_t now = tribus_load_acq(word); /* A2 pairs with R2 in set_claim */
    const uint32_t owner = tribus_plan_claim_host(now);

    if (owner != TRIBUS_PLAN_NO_HOST &&
        (owner == v->place || tribus_plan_host_lives(v->plan, owner, &h->peers)))
        return false;
    if (now == 0 && leave_it(h, v, node)) {
        v->deferred++;
        return false;
    }
    v->deferred = 0;
    return tribus_cas_ar(word, &now,
                         tribus_plan_claim_word(TRIBUS_STAGE_LOADING, v->place));
}

static bool take_stage(tribus_host *h, served *v, uint32_t node)
{
    const tribus_stage_cfg cfg = {.plan = v->plan,
                                  .node = node,
                                  .host = v->place,
                                  .device = h->device,
                                  .cpu = h->cpu,
                                  .device_mem = v->device_mem,
                                  .pending = v->pending,
                                  .threads = h->cfg.threads == 0 ? 1 : h->cfg.threads};
    tribus_stage *stage = NULL;
    tribus_status st;

    if (!claim(h, v, node))
        return false;
    st = tribus_stage_open(&cfg, &stage);
    if (st != TRIBUS_OK) {
        refuse(v, node);
        return false;
    }
    insert_stage(v, stage);
    say_where(h, v, node, stage);
    set_claim(v, node, TRIBUS_STAGE_READY);
    return true;
}

uint32_t tribus_host_take(tribus_host *h)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < h->plan_count; i++) {
        served *v = h->plans[i];
        const tribus_graph *g = v->plan->graph;

        memset(v->pending, 0xff, sizeof(v->pending)); /* a hint may have died with a host */
        for (uint32_t k = 0; k < g->node_count && !stopped(h); k++) {
            const uint32_t node = g->order[k];

            if (node != 0 && node + 1 != g->node_count &&
                (g->nodes[node].domain & h->cfg.domains) != 0)
                taken += take_stage(h, v, node) ? 1 : 0;
        }
    }
    return taken;
}

/* A stage whose links make no sense is given up and says so. */
static void drop_stage(served *v, uint32_t i)
{
    tribus_stage *stage = v->stages[i];
    const uint32_t node = tribus_stage_node(stage);

    refuse(v, node);
    v->by_node[node] = NULL;
    tribus_stage_close(stage);
    v->count--;
    memmove(&v->stages[i], &v->stages[i + 1], (v->count - i) * sizeof(*v->stages));
}

/* Give stage i up, between two runs: its next owner is offered nothing twice. */
static void give_up(served *v, uint32_t i, uint32_t to)
{
    const uint32_t node = tribus_stage_node(v->stages[i]);

    v->by_node[node] = NULL;
    tribus_stage_close(v->stages[i]);
    v->count--;
    memmove(&v->stages[i], &v->stages[i + 1], (v->count - i) * sizeof(*v->stages));
    free_claim(v, node);
    tribus_store_rlx(&tribus_plan_host(v->plan, to)->called, 1u); /* shown by the bell */
    tribus_doorbell_press(tribus_plan_host_bell(v->plan, to));
}

static bool is_called(const served *v)
{
    return tribus_load_rlx(&tribus_plan_host(v->plan, v->place)->called) != 0;
}

bool tribus_host_called(tribus_host *h)
{
    bool called = false;

    for (uint32_t i = 0; i < h->plan_count; i++) {
        if (!is_called(h->plans[i]))
            continue;
        tribus_store_rlx(&tribus_plan_host(h->plans[i]->plan, h->plans[i]->place)->called,
                         0u); /* before the look, so that the next call is met */
        called = true;
    }
    return called;
}

bool tribus_host_idle(const tribus_host *h)
{
    for (uint32_t i = 0; i < h->plan_count; i++) {
        const tribus_plan *p = h->plans[i]->plan;

        /* counters: a submitter that is between two of them presses a bell */
        if (tribus_load_rlx(&p->shm->submitted) != tribus_load_rlx(&p->shm->finished))
            return false;
        for (uint32_t k = 1; k + 1 < p->graph->node_count; k++)
            if ((p->graph->nodes[k].domain & h->cfg.domains) != 0 &&
                tribus_load_rlx(tribus_plan_claim(p, k)) == 0) /* left for another */
                return false;
    }
    return true;
}

static bool balance(const tribus_host *h, served *v)
{
    loads l;

    read_loads(h, v, &l);
    for (uint32_t k = l.rivals ? v->count : 0; k-- > 0;) {
        const uint32_t node = tribus_stage_node(v->stages[k]);
        const uint32_t to = least_busy(v, node, &l);

        if (to == TRIBUS_PLAN_NO_HOST || l.of[to] + cost_of(v, node) >= l.of[v->place])
            continue;
        give_up(v, k, to);
        return true; /* one at a look: the other's load is to be seen first */
    }
    return false;
}

uint32_t tribus_host_balance(tribus_host *h)
{
    uint32_t given = 0;

    for (uint32_t i = 0; i < h->plan_count; i++)
        given += balance(h, h->plans[i]) ? 1 : 0;
    return given;
}

/* ---- plans ---- */

static tribus_status reach(tribus_host *h, served *v)
{
    tribus_status st;

    v->device_mem = v->plan->mem;
    if (tribus_device_type(h->device) == TRIBUS_DEVICE_CPU)
        return TRIBUS_OK;
    st = tribus_device_register(h->device, v->plan->mem, (size_t)v->plan->total,
                                &v->device_mem);
    v->registered = st == TRIBUS_OK;
    return st;
}

static void served_free(tribus_host *h, served *v)
{
    if (v->registered)
        tribus_device_unregister(h->device, v->plan->mem);
    free(v->stages);
    free(v->by_node);
    tribus_plan_close(v->plan);
    free(v);
}

static tribus_status served_new(tribus_host *h, void *mem, size_t bytes, uint64_t key,
                                served **out)
{
    served *v = calloc(1, sizeof(*v));
    tribus_status st;

    if (v == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "serve a pipeline");
    v->key = key;
    st = tribus_plan_open(mem, bytes, &v->plan);
    if (st == TRIBUS_OK) {
        v->stages = calloc(v->plan->graph->node_count, sizeof(tribus_stage *));
        v->by_node = calloc(v->plan->graph->node_count, sizeof(tribus_stage *));
        if (v->stages == NULL || v->by_node == NULL)
            st = tribus_error_set(TRIBUS_NO_MEMORY, "serve %s", v->plan->graph->name);
    }
    if (st == TRIBUS_OK)
        st = reach(h, v);
    if (st == TRIBUS_OK)
        st = tribus_plan_join(v->plan, &h->peers, h->device_name, &v->place);
    if (st != TRIBUS_OK) {
        served_free(h, v);
        return st;
    }
    *out = v;
    return TRIBUS_OK;
}

tribus_status tribus_host_attach(tribus_host *h, void *mem, size_t bytes, uint64_t key)
{
    uint32_t at = h->plan_count;
    served *v = NULL;
    tribus_status st;

    if (h->plan_count == TRIBUS_HOST_MOST_PLANS)
        return tribus_error_set(TRIBUS_FULL, "a host serves %u pipelines at most",
                                TRIBUS_HOST_MOST_PLANS);
    st = served_new(h, mem, bytes, key, &v);
    if (st != TRIBUS_OK)
        return st;
    tribus_store_rlx(&tribus_plan_host(v->plan, v->place)->domains,
                     (uint64_t)h->cfg.domains); /* a wish, it publishes nothing */
    while (at > 0 && h->plans[at - 1]->plan->graph->priority < v->plan->graph->priority)
        at--;
    memmove(&h->plans[at + 1], &h->plans[at], (h->plan_count - at) * sizeof(*h->plans));
    h->plans[at] = v;
    h->plan_count++;
    return TRIBUS_OK;
}

static void leave(tribus_host *h, uint32_t i)
{
    served *v = h->plans[i];

    for (uint32_t k = 0; k < v->count; k++) {
        free_claim(v, tribus_stage_node(v->stages[k]));
        tribus_stage_close(v->stages[k]);
    }
    for (uint32_t k = 1; k + 1 < v->plan->graph->node_count; k++) {
        const uint64_t claim_word = tribus_load_rlx(tribus_plan_claim(v->plan, k));

        if (tribus_plan_claim_host(claim_word) == v->place)
            free_claim(v, k); /* one that failed */
    }
    tribus_plan_leave(v->plan, v->place);
    served_free(h, v);
    h->plan_count--;
    memmove(&h->plans[i], &h->plans[i + 1], (h->plan_count - i) * sizeof(*h->plans));
}

void tribus_host_detach(tribus_host *h, uint64_t key)
{
    for (uint32_t i = 0; i < h->plan_count; i++) {
        if (h->plans[i]->key == key) {
            leave(h, i);
            return;
        }
    }
}

void tribus_host_close(tribus_host *host)
{
    if (host == NULL)
        return;
    while (host->plan_count > 0)
        leave(host, host->plan_count - 1);
    if (host->cpu != host->device)
        tribus_device_close(host->cpu);
    tribus_device_close(host->device);
    free(host);
}

bool tribus_host_serves(const tribus_host *h, uint64_t key)
{
    for (uint32_t i = 0; i < h->plan_count; i++)
        if (h->plans[i]->key == key)
            return true;
    return false;
}

uint32_t tribus_host_plans(const tribus_host *h)
{
    return h->plan_count;
}

uint64_t tribus_host_plan_key(const tribus_host *h, uint32_t i, bool *over)
{
    const tribus_plan_shm *shm = h->plans[i]->plan->shm;
    const uint64_t owner = tribus_load_rlx(&shm->owner); /* an identity to ask about */

    *over = tribus_load_rlx(&shm->closing) != 0 ||
            h->peers.alive(h->peers.context, (uint32_t)(owner >> 32), (uint32_t)owner) == 0;
    return h->plans[i]->key;
}

/* ---- running ---- */

/* Returns whether it ran; a stage that must be given up is gone afterwards. */
static bool step_stage(tribus_host *h, served *v, tribus_stage *stage, uint64_t run)
{
    uint32_t i = 0;

    if (tribus_stage_step(stage, run, &h->free_ns) == TRIBUS_OK)
        return true;
    while (v->stages[i] != stage)
        i++;
    drop_stage(v, i);
    return false;
}

/* Look at every stage, producers first. */
static uint32_t step_all(tribus_host *h, served *v)
{
    uint32_t ran = 0;

    for (uint32_t k = 0; k < v->count;) {
        tribus_stage *stage = v->stages[k];
        const uint64_t run = tribus_stage_next(stage);

        if (run != 0 && step_stage(h, v, stage, run))
            ran++;
        if (k < v->count && v->stages[k] == stage) /* not given up */
            k++;
    }
    return ran;
}

/* Gather hints; the first pending node whose stage has a run to do, or UINT32_MAX. Bits of
 * stages that have none, or are not ours, are cleared: what comes next hints again. */
static uint32_t next_hinted(served *v, uint64_t *run)
{
    const uint32_t words = tribus_plan_hint_words(v->plan);

    for (uint32_t w = 0; w < words; w++) {
        v->pending[w] |= tribus_plan_take_hints(v->plan, v->place, w);
        while (v->pending[w] != 0) {
            const uint32_t node = w * 64 + (uint32_t)__builtin_ctzll(v->pending[w]);
            tribus_stage *stage =
                node < v->plan->graph->node_count ? v->by_node[node] : NULL;

            *run = stage != NULL ? tribus_stage_next(stage) : 0;
            if (*run != 0)
                return node;
            v->pending[w] &= v->pending[w] - 1;
        }
    }
    return UINT32_MAX;
}

/* Look only where hints say; a stage stays pending until it has nothing to do. */
static uint32_t step_hinted(tribus_host *h, served *v)
{
    uint32_t ran = 0;

    while (ran < v->count) {
        uint64_t run;
        const uint32_t node = next_hinted(v, &run);

        if (node == UINT32_MAX || !step_stage(h, v, v->by_node[node], run))
            break;
        ran++;
    }
    return ran;
}

static bool goes_before(const tribus_stage *a, uint64_t run, const tribus_stage *b,
                        uint64_t other)
{
    const uint32_t pa = tribus_stage_priority(a, run), pb = tribus_stage_priority(b, other);

    return pa != pb ? pa > pb : run < other;
}

/* Runs differ in priority: do the most urgent that any of our stages has, of equal ones the
 * oldest. */
static uint32_t step_urgent(tribus_host *h, served *v)
{
    tribus_stage *best = NULL;
    uint64_t best_run = 0;

    for (uint32_t k = 0; k < v->count; k++) {
        tribus_stage *stage = v->stages[k];
        const uint64_t run = tribus_stage_next(stage);

        if (run != 0 && (best == NULL || goes_before(stage, run, best, best_run))) {
            best = stage;
            best_run = run;
        }
    }
    return best != NULL && step_stage(h, v, best, best_run) ? 1 : 0;
}

static uint32_t step_plan(tribus_host *h, served *v)
{
    /* Relaxed: shown by the passes of the runs it is about. */
    if (tribus_load_rlx(&v->plan->shm->mixed) != 0)
        return step_urgent(h, v);
    return tribus_plan_has_hints(v->plan) ? step_hinted(h, v) : step_all(h, v);
}

uint32_t tribus_host_step(tribus_host *h)
{
    uint32_t ran = 0;

    for (uint32_t i = 0; i < h->plan_count; i++)
        ran += step_plan(h, h->plans[i]);
    return ran;
}

static bool plan_ready(served *v)
{
    uint64_t run;

    if (tribus_plan_has_hints(v->plan) && tribus_load_rlx(&v->plan->shm->mixed) == 0)
        return next_hinted(v, &run) != UINT32_MAX;
    for (uint32_t k = 0; k < v->count; k++)
        if (tribus_stage_next(v->stages[k]) != 0)
            return true;
    return false;
}

/* Now and then, when there is nothing else to do. */
static void flush(tribus_host *h, int64_t now)
{
    if (now - h->flushed_ns < FLUSH_NS)
        return;
    h->flushed_ns = now;
    for (uint32_t i = 0; i < h->plan_count; i++)
        for (uint32_t k = 0; k < h->plans[i]->count; k++)
            tribus_stage_flush(h->plans[i]->stages[k]);
}

typedef struct waiting {
    tribus_host *host;
    tribus_ready_fn extra;
    void *context;
} waiting;

static int something_ready(void *context)
{
    waiting *w = context;
    tribus_host *h = w->host;

    for (uint32_t i = 0; i < h->plan_count; i++)
        if (plan_ready(h->plans[i]) || is_called(h->plans[i]))
            return 1;
    return stopped(h) || (w->extra != NULL && w->extra(w->context) != 0);
}

/* Poll that long after the last work, not after every look at the clock. */
static int64_t spin_left(const tribus_host *h, int64_t now)
{
    const int64_t spin = h->cfg.spin_ns == 0 ? SPIN_DEFAULT_NS : h->cfg.spin_ns;

    if (spin < 0)
        return spin;
    return h->free_ns + spin > now ? h->free_ns + spin - now : 1;
}

tribus_status tribus_host_wait(tribus_host *h, tribus_doorbell_shm *extra,
                               tribus_ready_fn extra_ready, void *extra_context,
                               int64_t timeout_ns)
{
    tribus_doorbell_shm *bells[TRIBUS_HOST_MOST_PLANS + 1];
    waiting w = {.host = h, .extra = extra_ready, .context = extra_context};
    const int64_t now = tribus_now_ns();
    const tribus_wait_cfg cfg = {.spin_ns = spin_left(h, now), .timeout_ns = timeout_ns};
    uint32_t count = 0;

    flush(h, now);
    for (uint32_t i = 0; i < h->plan_count; i++)
        bells[count++] = tribus_plan_host_bell(h->plans[i]->plan, h->plans[i]->place);
    if (extra != NULL)
        bells[count++] = extra;
    return timeout_ns < TRIBUS_HOST_LONG_NS
               ? tribus_doorbell_wait(bells, count, something_ready, &w, &cfg)
               : tribus_doorbell_wait_long(bells, count, something_ready, &w, &cfg,
                                           timeout_ns);
}
