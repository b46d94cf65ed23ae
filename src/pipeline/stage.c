/* stage.c -- see stage.h: opening, and which run is next. stage_run.c does it; what passes the
 * edges is ordered in plan_pass.c.
 *
 * What a run touches is kept small and side by side, because with a thousand stages nothing
 * stays in the first two caches from one run to the next: docs/pipelines.md has the count.
 */
#include "pipeline/stage_run.h"

#include "base/error.h"

#include <stdlib.h>

uint32_t tribus_stage_node(const tribus_stage *stage)
{
    return stage->index;
}

tribus_device *tribus_stage_device(const tribus_stage *stage)
{
    return stage->device;
}

/* ---- open and close ---- */

static tribus_status make_room(tribus_stage *s)
{
    const tribus_graph *g = s->plan->graph;
    const tribus_graph_node *n = s->node;

    s->feeds = calloc(n->in_count + 1u, sizeof(*s->feeds));
    s->passes = calloc(n->in_count + 1u, sizeof(*s->passes));
    s->got = calloc(g->slots, sizeof(*s->got));
    s->inputs = calloc(n->input_count + 1u, sizeof(*s->inputs));
    s->outputs = calloc(n->output_count + 1u, sizeof(*s->outputs));
    if (s->feeds == NULL || s->passes == NULL || s->got == NULL || s->inputs == NULL ||
        s->outputs == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "stage %s", n->name);
    s->feed_count = n->in_count;
    for (uint32_t i = 0; i < n->in_count; i++) {
        const tribus_graph_link *l = &g->links[n->in_links[i]];

        s->feeds[i] = (tribus_stage_feed){l->from, n->in_links[i], l->state ? 1u : 0u};
        s->in_order = s->in_order || l->state;
    }
    for (uint32_t i = 0; i < n->out_count; i++)
        s->carries = s->carries || g->links[n->out_links[i]].state;
    s->in_order = s->in_order || s->carries;
    for (uint32_t i = 0; i < n->input_count; i++)
        tribus_plan_tensor(&n->inputs[i], NULL, &s->inputs[i]);
    for (uint32_t i = 0; i < n->output_count; i++)
        tribus_plan_tensor(&n->outputs[i], NULL, &s->outputs[i]);
    return TRIBUS_OK;
}

/* The last run that is done in this slot. */
uint64_t tribus_stage_done_in(const tribus_stage *s, uint64_t slot)
{
    /* Ours alone to write, or an earlier host's, whose claim we took. */
    return tribus_load_rlx(&tribus_plan_pass(s->plan, slot, s->index)->run);
}

/* Take up where an earlier host left; it may have died before it woke anybody. */
static tribus_status take_over(tribus_stage *s)
{
    const uint64_t slots = s->plan->graph->slots;

    s->oldest = UINT64_MAX;
    for (uint64_t k = 0; k < slots; k++) {
        const uint64_t done = tribus_stage_done_in(s, k);
        const uint64_t next = done != 0 || k != 0 ? done + slots : slots;

        if (done != 0 && (done % slots != k || done > UINT64_MAX - 2 * slots))
            return tribus_error_set(TRIBUS_CORRUPT, "stage %s: run %llu is in slot %llu",
                                    s->node->name, (unsigned long long)done,
                                    (unsigned long long)k);
        if ((done == 0 && k != 0 ? k : next) < s->oldest)
            s->oldest = done == 0 && k != 0 ? k : next;
        s->ahead = s->ahead || done != 0;
    }
    tribus_plan_announce(s->plan, &(tribus_plan_shown){.node = s->index}, s->host,
                         s->pending);
    return TRIBUS_OK;
}

tribus_status tribus_stage_open(const tribus_stage_cfg *cfg, tribus_stage **out)
{
    tribus_stage *s = calloc(1, sizeof(*s));
    tribus_status st;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open stage");
    s->plan = cfg->plan;
    s->index = cfg->node;
    s->host = cfg->host;
    s->pending = cfg->pending;
    s->node = &cfg->plan->graph->nodes[cfg->node];
    s->shm = tribus_plan_stage(cfg->plan, cfg->node);
    s->batch = s->node->batch;
    s->device = tribus_operation_runs_on(cfg->plan->graph, s->node, cfg->device, s->why_cpu,
                                         sizeof(s->why_cpu))
                    ? cfg->device
                    : cfg->cpu;
    s->mem = s->device == cfg->device ? cfg->device_mem : cfg->plan->mem;
    s->device_type = tribus_device_type(s->device);
    s->device_index = tribus_device_index(s->device);
    st = make_room(s);
    if (st == TRIBUS_OK)
        st = tribus_operation_open(cfg->plan->graph, s->node, s->device, cfg->threads,
                                   &s->op);
    if (st == TRIBUS_OK)
        st = take_over(s);
    if (st != TRIBUS_OK) {
        tribus_stage_close(s);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

void tribus_stage_flush(tribus_stage *s)
{
    tribus_plan_spans_shm *spans = tribus_plan_spans(s->plan, s->index);

    for (uint32_t i = 0; i < s->recent_count; i++) {
        tribus_histogram_record(tribus_plan_span(&spans->queue), s->recent[i].queue_ns);
        tribus_histogram_record(tribus_plan_span(&spans->compute), s->recent[i].compute_ns);
        tribus_histogram_record(tribus_plan_span(&spans->handoff), s->recent[i].handoff_ns);
    }
    s->recent_count = 0;
}

const char *tribus_stage_why_cpu(const tribus_stage *stage)
{
    return stage->why_cpu;
}

void tribus_stage_close(tribus_stage *stage)
{
    if (stage == NULL)
        return;
    tribus_stage_flush(stage);
    tribus_operation_close(stage->op);
    free(stage->feeds);
    free(stage->passes);
    free(stage->got);
    free(stage->inputs);
    free(stage->outputs);
    free(stage);
}

/* ---- which run ---- */

/* Has everything come that the run needs? Goes on where the last look ended. */
bool tribus_stage_all_came(tribus_stage *s, uint64_t run)
{
    uint32_t *got = &s->got[tribus_plan_slot(s->plan, run)];

    while (*got < s->feed_count) {
        const tribus_stage_feed *f = &s->feeds[*got];
        tribus_pass pass;

        if (run > f->back) { /* nothing before the first run: zeros */
            const tribus_status st =
                tribus_plan_look(s->plan, f->node, run - f->back, &pass);

            if (st == TRIBUS_EMPTY)
                return false;
            if (st != TRIBUS_OK) {
                s->broken = st;
                return true;
            }
        }
        (*got)++;
    }
    return true;
}

uint32_t tribus_stage_priority(const tribus_stage *s, uint64_t run)
{
    return tribus_load_rlx(&tribus_plan_run(s->plan, run)->priority); /* shown by a pass */
}

/* The most urgent of the runs that are here; of equal ones the oldest. */
static uint64_t most_urgent(tribus_stage *s)
{
    const uint64_t end = s->oldest + s->plan->graph->slots;
    uint64_t best = 0;

    for (uint64_t run = s->oldest; run < end; run++) {
        if (tribus_stage_done_in(s, run) == run || !tribus_stage_all_came(s, run))
            continue;
        if (s->broken != TRIBUS_OK)
            return run;
        if (best == 0 || tribus_stage_priority(s, run) > tribus_stage_priority(s, best))
            best = run;
    }
    return best;
}

uint64_t tribus_stage_next(tribus_stage *s)
{
    if (s->broken != TRIBUS_OK)
        return s->oldest;
    /* Relaxed: shown by the passes of the run it is about. */
    if (!s->in_order && tribus_load_rlx(&s->plan->shm->mixed) != 0)
        return most_urgent(s);
    return tribus_stage_all_came(s, s->oldest) ? s->oldest : 0;
}
