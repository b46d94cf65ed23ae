/* plan_pass.c -- the edges of a plan; see plan.h.
 *
 * Ordering:
 *   R1 -> A1   show -> look       whoever sees a run passed sees flags, stamps and outputs
 *   R2 -> A2   hint -> take       whoever takes a hint sees the pass it is about
 * A slot is written again only by a run that the submitter began after it had seen the one
 * before pass every node, so the same pairs, from node to node, order that, too.
 */
#include "pipeline/plan.h"

#include "base/error.h"

_Static_assert(TRIBUS_PLAN_MOST_HOSTS <= 32, "a bit each in `press`");

tribus_status tribus_plan_look(const tribus_plan *p, uint32_t node, uint64_t run,
                               tribus_pass *out)
{
    const tribus_plan_pass_shm *pass = tribus_plan_pass(p, run, node);
    /* A1 pairs with R1 in tribus_plan_show. */
    const uint64_t shown = tribus_load_acq(&pass->run);

    if (shown != run) {
        if (shown < run)
            return TRIBUS_EMPTY;
        return tribus_error_set(
            TRIBUS_CORRUPT, "pipeline %s: %s%s passed run %llu where %llu is due",
            p->graph->name, node == 0 ? "the submitter" : "stage ",
            p->graph->nodes[node].name, (unsigned long long)shown, (unsigned long long)run);
    }
    out->flags = tribus_load_rlx(&pass->flags); /* shown by A1 */
    out->end_ns = tribus_load_rlx(&pass->end_ns);
    return TRIBUS_OK;
}

void tribus_plan_show(const tribus_plan *p, uint32_t node, uint64_t run)
{
    /* R1 pairs with A1 in tribus_plan_look. */
    tribus_store_rel(&tribus_plan_pass(p, run, node)->run, run);
}

uint64_t tribus_plan_take_hints(const tribus_plan *p, uint32_t host, uint32_t word)
{
    _Atomic(uint64_t) *hints = &tribus_plan_host(p, host)->hints[word];

    if (tribus_load_rlx(hints) == 0) /* only a look: the swap takes */
        return 0;
    return tribus_swap_ar(hints,
                          (uint64_t)0); /* A2 pairs with R2 in tribus_plan_announce */
}

/* Whoever waits for a node: a host, or with TRIBUS_PLAN_NO_HOST the submitter. */
typedef struct waiter {
    const tribus_plan *plan;
    const tribus_plan_shown *shown;
    uint32_t host;
} waiter;

/* Relaxed: a host that takes the stage at this moment looks at every pass before it sleeps,
 * and again after at most one tick. */
static uint32_t host_of(const tribus_plan *p, uint32_t node)
{
    if (node + 1 == p->graph->node_count)
        return TRIBUS_PLAN_NO_HOST;
    return tribus_plan_claim_host(tribus_load_rlx(tribus_plan_claim(p, node)));
}

/* Has every node that this one reads passed the run? They are looked at from the last on:
 * what is missing is mostly there. */
static bool all_came(const tribus_plan *p, const tribus_graph_node *n, uint64_t run)
{
    for (uint32_t i = n->in_count; i-- > 0;) {
        const tribus_graph_link *l = &p->graph->links[n->in_links[i]];
        tribus_pass pass;

        if (l->state) /* another run's: let the reader look */
            return true;
        if (tribus_plan_look(p, l->from, run, &pass) == TRIBUS_EMPTY)
            return false;
    }
    return true;
}

/* Has the waiter got all of something, by what was shown? */
static int has_all(void *context)
{
    const waiter *w = context;
    const tribus_graph *g = w->plan->graph;
    const tribus_graph_node *n = &g->nodes[w->shown->node];

    for (uint32_t i = 0; i < n->out_count; i++) {
        const uint32_t to = g->links[n->out_links[i]].to;
        const bool last = to + 1 == g->node_count;

        if (last != (w->host == TRIBUS_PLAN_NO_HOST) || host_of(w->plan, to) != w->host)
            continue;
        for (uint32_t k = 0; k < w->shown->runs; k++)
            if (all_came(w->plan, &g->nodes[to], w->shown->first + k))
                return 1;
    }
    return w->shown->runs == 0;
}

/* What needs several nodes is worth a wake-up when the last of them has passed: on two cores a
 * submitter that is woken for each takes the core on which the next stage is to run. */
static void press(const tribus_plan *p, const tribus_plan_shown *shown, uint32_t host)
{
    waiter w = {p, shown, host};

    tribus_doorbell_press_if(host == TRIBUS_PLAN_NO_HOST ? tribus_plan_bell(p)
                                                         : tribus_plan_host_bell(p, host),
                             has_all, &w);
}

void tribus_plan_announce(const tribus_plan *p, const tribus_plan_shown *shown,
                          uint32_t host, uint64_t *pending)
{
    const tribus_graph *g = p->graph;
    const tribus_graph_node *n = &g->nodes[shown->node];
    const bool hints = tribus_plan_has_hints(p);
    uint32_t others = 0; /* hosts, a bit each */
    bool result = false;

    for (uint32_t i = 0; i < n->out_count; i++) {
        const uint32_t to = g->links[n->out_links[i]].to;
        const uint32_t reader = host_of(p, to);

        result = result || to + 1 == g->node_count;
        if (reader == TRIBUS_PLAN_NO_HOST)
            continue;
        if (reader == host) { /* ours: we look before we sleep */
            pending[to / 64] |= (uint64_t)1 << to % 64;
            continue;
        }
        if (hints) /* R2 pairs with A2 in tribus_plan_take_hints: before the bell */
            (void)tribus_or_ar(&tribus_plan_host(p, reader)->hints[to / 64],
                               (uint64_t)1 << to % 64);
        others |= (uint32_t)1 << reader;
    }
    for (; others != 0; others &= others - 1)
        press(p, shown, (uint32_t)__builtin_ctz(others));
    if (result) /* after the hosts: they have work to do */
        press(p, shown, TRIBUS_PLAN_NO_HOST);
}

void tribus_plan_count(const tribus_plan *p, uint32_t link, const tribus_pass *pass)
{
    tribus_plan_link_shm *shm = tribus_plan_link(p, link);

    /* counters: ours alone to write, read by people */
    tribus_store_rlx(&shm->runs, tribus_load_rlx(&shm->runs) + 1);
    if ((pass->flags & (TRIBUS_PASS_SKIPPED | TRIBUS_PASS_FAILED)) == 0)
        tribus_store_rlx(&shm->bytes,
                         tribus_load_rlx(&shm->bytes) + p->graph->links[link].bytes);
}
