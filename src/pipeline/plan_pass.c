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

void tribus_plan_announce(const tribus_plan *p, uint32_t node, uint32_t host,
                          uint64_t *pending)
{
    const tribus_graph *g = p->graph;
    const tribus_graph_node *n = &g->nodes[node];
    const bool hints = tribus_plan_has_hints(p);
    uint32_t press = 0; /* hosts, a bit each */

    for (uint32_t i = 0; i < n->out_count; i++) {
        const uint32_t to = g->links[n->out_links[i]].to;
        uint32_t reader;

        if (to + 1 == g->node_count) {
            tribus_doorbell_press(tribus_plan_bell(p));
            continue;
        }
        /* Relaxed: a host that takes the stage at this moment looks at every pass before it
         * sleeps, and again after at most one tick. */
        reader = tribus_plan_claim_host(tribus_load_rlx(tribus_plan_claim(p, to)));
        if (reader == TRIBUS_PLAN_NO_HOST)
            continue;
        if (reader == host) { /* ours: we look before we sleep */
            pending[to / 64] |= (uint64_t)1 << to % 64;
            continue;
        }
        if (hints) /* R2 pairs with A2 in tribus_plan_take_hints: before the bell */
            (void)tribus_or_ar(&tribus_plan_host(p, reader)->hints[to / 64],
                               (uint64_t)1 << to % 64);
        press |= (uint32_t)1 << reader;
    }
    for (; press != 0; press &= press - 1)
        tribus_doorbell_press(tribus_plan_host_bell(p, (uint32_t)__builtin_ctz(press)));
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
