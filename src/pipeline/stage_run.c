/* stage_run.c -- one run, or several in one call, at a stage; see stage.h. */
#include "pipeline/stage_run.h"

#include "base/error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A run on which this many hosts died is not tried again. */
#define MOST_TRIES 2u

/* ---- inputs and outputs ---- */

/* What a node said of the current run. */
static const tribus_pass *pass_of(const tribus_stage *s, uint32_t link)
{
    for (uint32_t i = 0; i < s->feed_count; i++)
        if (s->feeds[i].link == link)
            return &s->passes[i];
    return NULL;
}

/* First byte of what an input reads in this run, NULL when no source ran. */
static uint8_t *source_of(const tribus_stage *s, const tribus_graph_port *port)
{
    const tribus_graph *g = s->plan->graph;
    const tribus_plan_run_shm *run = tribus_plan_run(s->plan, s->run);

    for (uint32_t i = 0; i < port->source_count; i++) {
        const tribus_graph_source *src = &port->sources[i];
        const tribus_graph_port *from = &g->nodes[src->node].outputs[src->port];

        if (src->state) /* always there: an unworked run carries the state on */
            return tribus_plan_output(s->plan, src->node, src->port, s->run - 1);
        if (from->keep)
            return tribus_plan_kept(s->plan, from->kept,
                                    tribus_load_rlx(&run->kept[from->kept]));
        if ((pass_of(s, src->link)->flags & TRIBUS_PASS_SKIPPED) == 0)
            return tribus_plan_output(s->plan, src->node, src->port, s->run);
    }
    return port->optional ? tribus_plan_zeros(s->plan) : NULL;
}

static void place(const tribus_stage *s, tribus_tensor *t, uint8_t *mem)
{
    t->data = s->mem + (mem - s->plan->mem);
    t->device_type = s->device_type;
    t->device_index = s->device_index;
}

static bool not_zero(const tribus_graph_port *port, const uint8_t *mem)
{
    const size_t n = tribus_dtype_bytes(port->dtype);

    for (size_t i = 0; i < n; i++)
        if (mem[i] != 0)
            return true;
    return false;
}

/* Find every input; false: a source was skipped, or `when` says no. */
static bool place_inputs(tribus_stage *s)
{
    const tribus_graph_node *n = s->node;

    for (uint32_t i = 0; i < n->input_count; i++) {
        uint8_t *mem = source_of(s, &n->inputs[i]);

        if (mem == NULL)
            return false;
        if (n->when && i + 1 == n->input_count && !not_zero(&n->inputs[i], mem))
            return false;
        place(s, &s->inputs[i], mem);
    }
    for (uint32_t i = 0; i < n->output_count; i++)
        place(s, &s->outputs[i], tribus_plan_output(s->plan, s->index, i, s->run));
    return true;
}

/* ---- working ---- */

/* The first fault of a run is the one its result tells. */
static void fault(tribus_stage *s, tribus_status st, const char *text)
{
    tribus_plan_run_shm *run = tribus_plan_run(s->plan, s->run);
    uint32_t none = 0;

    s->flags |= TRIBUS_PASS_FAILED;
    /* Ours already: a host that died while it wrote this. */
    if (!tribus_cas_ar(&run->fault, &none, s->index) && none != s->index)
        return;
    tribus_store_rlx(&run->fault_status, (int32_t)st); /* shown by the pass */
    (void)snprintf(run->text, sizeof(run->text), "%s", text);
}

/* Of what a NaN, or an infinity, is in: the output's name; NULL when all are finite. */
static const char *not_finite(const tribus_stage *s)
{
    for (uint32_t i = 0; i < s->node->output_count; i++) {
        const tribus_graph_port *port = &s->node->outputs[i];
        const void *mem = tribus_plan_output(s->plan, s->index, i, s->run);
        const uint64_t n = port->bytes / (port->dtype.bits / 8u);
        double sum = 0.0; /* x - x is 0, but NaN for NaN and infinities; so is their sum */

        if (port->dtype.code != TRIBUS_DTYPE_FLOAT)
            continue;
        for (uint64_t k = 0; port->dtype.bits == 32 && k < n; k++) {
            const float x = ((const float *)mem)[k];
            sum += (double)(x - x);
        }
        for (uint64_t k = 0; port->dtype.bits == 64 && k < n; k++) {
            const double x = ((const double *)mem)[k];
            sum += x - x;
        }
        if (isnan(sum))
            return port->name;
    }
    return NULL;
}

static void count(_Atomic(uint64_t) *counter)
{
    tribus_store_rlx(counter, tribus_load_rlx(counter) + 1); /* ours alone to write */
}

/* How often has this run been begun, this time included? */
static uint64_t try_number(const tribus_stage *s, uint64_t run)
{
    tribus_plan_pass_shm *pass = tribus_plan_pass(s->plan, run, s->index);
    uint64_t tries = 1;

    if (tribus_load_rlx(&pass->tried_run) == run)
        tries += tribus_load_rlx(&pass->tries);
    tribus_store_rlx(&pass->tries, tries);
    tribus_store_rlx(&pass->tried_run, run);
    return tries;
}

/* When the current run must have begun here. */
static int64_t deadline_of(const tribus_stage *s)
{
    const tribus_plan_run_shm *run = tribus_plan_run(s->plan, s->run);
    const int64_t deadline = tribus_load_rlx(&run->deadline_ns);
    int64_t own;

    if (s->node->deadline_ns <= 0)
        return deadline;
    own = tribus_load_rlx(&run->submit_ns) + s->node->deadline_ns;
    return own < deadline ? own : deadline;
}

static bool too_late(tribus_stage *s, int64_t now_ns)
{
    const int64_t deadline = deadline_of(s);
    char text[TRIBUS_PIPELINE_TEXT_BYTES];

    if (now_ns <= deadline)
        return false;
    (void)snprintf(text, sizeof(text), "deadline passed %lld us before it began",
                   (long long)((now_ns - deadline) / 1000));
    fault(s, TRIBUS_TIMEOUT, text);
    count(&s->shm->late);
    return true;
}

/* Is every output of the current run what it was declared to be? */
static bool check_outputs(tribus_stage *s)
{
    char text[TRIBUS_PIPELINE_TEXT_BYTES];
    const char *bad = s->node->finite ? not_finite(s) : NULL;

    if (bad == NULL)
        return true;
    (void)snprintf(text, sizeof(text), "output %s is not finite", bad);
    fault(s, TRIBUS_BAD_DATA, text);
    return false;
}

static tribus_status call_operation(tribus_stage *s)
{
    const tribus_operation_call call = {.inputs = s->inputs,
                                        .outputs = s->outputs,
                                        .input_count = tribus_graph_operands(s->node),
                                        .output_count = s->node->output_count};

    count(&s->shm->calls);
    return tribus_operation_run(s->op, &call);
}

/* Run the operation on the placed tensors. Returns whether the outputs are good. */
static bool operate(tribus_stage *s)
{
    const uint64_t tries = try_number(s, s->run);
    tribus_status st;

    if (tries > 1)
        s->flags |= TRIBUS_PASS_REDELIVERED;
    if (tries > MOST_TRIES) {
        fault(s, TRIBUS_PEER_LOST, "its host died twice on this run");
        return false;
    }
    st = call_operation(s);
    if (st != TRIBUS_OK) {
        fault(s, st, tribus_error_text());
        return false;
    }
    return check_outputs(s);
}

/* An unworked run hands the state of the run before on, so that the next one finds it. */
static void carry_state(tribus_stage *s)
{
    const tribus_graph *g = s->plan->graph;
    const tribus_graph_node *n = s->node;

    if (!s->carries)
        return;
    for (uint32_t i = 0; i < n->output_count; i++)
        memcpy(tribus_plan_output(s->plan, s->index, i, s->run),
               tribus_plan_output(s->plan, s->index, i, s->run - 1),
               (size_t)n->outputs[i].bytes);
    for (uint32_t i = 0; i < n->out_count; i++) {
        tribus_plan_link_shm *link = tribus_plan_link(s->plan, n->out_links[i]);

        if (g->links[n->out_links[i]].state)
            tribus_store_rlx(&link->bytes_copied, tribus_load_rlx(&link->bytes_copied) +
                                                      g->links[n->out_links[i]].bytes);
    }
}

/* Work, or do not; afterwards flags say what the outputs are. */
static bool work(tribus_stage *s, int64_t now_ns)
{
    const tribus_plan_run_shm *run = tribus_plan_run(s->plan, s->run);
    bool good;

    if ((s->flags & TRIBUS_PASS_FAILED) != 0 || tribus_load_rlx(&run->fault) != 0) {
        s->flags |= TRIBUS_PASS_FAILED;
        carry_state(s);
        return false;
    }
    if (!place_inputs(s)) {
        s->flags |= TRIBUS_PASS_SKIPPED;
        count(&s->shm->skipped);
        carry_state(s);
        return false;
    }
    if (too_late(s, now_ns)) {
        carry_state(s);
        return false;
    }
    good = operate(s);
    if (!good) {
        count(&s->shm->failed);
        carry_state(s);
    }
    return true;
}

/* Gather what came for a run, and make it the current one. Returns when the last of it was
 * shown. Once here, a pass stays until the run is released. */
static int64_t gather(tribus_stage *s, uint64_t run)
{
    int64_t stamp = 0;

    s->flags = 0;
    s->run = run;
    for (uint32_t i = 0; i < s->feed_count; i++) {
        const tribus_stage_feed *f = &s->feeds[i];
        tribus_pass *pass = &s->passes[i];

        *pass = (tribus_pass){0};
        if (run <= f->back)
            continue;
        if (tribus_plan_look(s->plan, f->node, run - f->back, pass) != TRIBUS_OK)
            s->broken = TRIBUS_CORRUPT; /* it was here when we looked before */
        stamp = pass->end_ns > stamp ? pass->end_ns : stamp;
        if (f->back == 0)
            s->flags |= pass->flags & (TRIBUS_PASS_FAILED | TRIBUS_PASS_SOFTWARE |
                                       TRIBUS_PASS_REDELIVERED);
    }
    return stamp;
}

typedef struct times {
    int64_t stamp_ns, queue_ns, begin_ns;
} times;

static times times_of(int64_t stamp_ns, int64_t free_ns, int64_t now_ns)
{
    return (times){stamp_ns, free_ns > stamp_ns ? free_ns - stamp_ns : 0, now_ns};
}

/* Write the pass of the current run and show it. ran: it was worked on. */
static void finish(tribus_stage *s, const times *t, bool ran)
{
    tribus_plan_pass_shm *pass = tribus_plan_pass(s->plan, s->run, s->index);

    if (ran && !tribus_operation_accelerated(s->op))
        s->flags |= TRIBUS_PASS_SOFTWARE;
    if ((s->flags & TRIBUS_PASS_REDELIVERED) != 0)
        count(&s->shm->redelivered);
    if (ran) {
        count(&s->shm->runs);
        s->recent[s->recent_count++] = (tribus_stage_recent){
            t->queue_ns, s->end_ns - t->begin_ns, t->begin_ns - t->stamp_ns - t->queue_ns};
        if (s->recent_count == TRIBUS_STAGE_RECENT)
            tribus_stage_flush(s);
    }
    /* all shown by the last, and read by people meanwhile */
    tribus_store_rlx(&pass->flags, s->flags);
    tribus_store_rlx(&pass->begin_ns, t->begin_ns);
    tribus_store_rlx(&pass->end_ns, s->end_ns);
    tribus_store_rlx(&pass->queue_ns, t->queue_ns);
    tribus_store_rlx(&pass->ran, (uint64_t)(ran ? 1 : 0));
    for (uint32_t i = 0; i < s->feed_count; i++)
        if (s->run > s->feeds[i].back)
            tribus_plan_count(s->plan, s->feeds[i].link, &s->passes[i]);
    s->got[tribus_plan_slot(s->plan, s->run)] = 0;
    tribus_plan_show(s->plan, s->index, s->run);
    if (s->run != s->oldest)
        s->ahead = true;
    while (s->run == s->oldest ||
           (s->ahead && tribus_stage_done_in(s, s->oldest) == s->oldest))
        s->oldest++;
}

static void charge(const tribus_stage *s, int64_t begin_ns)
{
    tribus_store_rlx(&s->shm->compute_ns, tribus_load_rlx(&s->shm->compute_ns) +
                                              (uint64_t)(s->end_ns - begin_ns));
}

static void do_one(tribus_stage *s, uint64_t run, int64_t free_ns)
{
    const int64_t stamp_ns = gather(s, run);
    const times t = times_of(stamp_ns, free_ns, tribus_now_ns());
    bool ran;

    if (s->broken != TRIBUS_OK)
        return;
    ran = work(s, t.begin_ns);
    s->end_ns = tribus_now_ns();
    if (ran)
        charge(s, t.begin_ns);
    finish(s, &t, ran);
}

/* ---- several runs in one call ----
 *
 * The slots of a port lie side by side, so k consecutive runs are one tensor of k times the
 * rows: nothing is gathered or copied. Only runs that would all be worked on are taken, and
 * none that was begun before: if a host dies in a batch, or the call fails, each is done
 * alone, so that the one at fault is found. */

/* May this run be part of a batch that begins with `first`? The current one afterwards. */
static bool joins(tribus_stage *s, uint64_t first, uint64_t run, uint8_t **at,
                  int64_t now_ns)
{
    const tribus_graph_node *n = s->node;
    const tribus_plan_run_shm *shm = tribus_plan_run(s->plan, run);
    const tribus_plan_pass_shm *pass = tribus_plan_pass(s->plan, run, s->index);

    if (run < s->alone || tribus_load_rlx(&pass->tried_run) == run ||
        !tribus_stage_all_came(s, run) || s->broken != TRIBUS_OK)
        return false;
    (void)gather(s, run);
    if (s->broken != TRIBUS_OK || (s->flags & TRIBUS_PASS_FAILED) != 0 ||
        tribus_load_rlx(&shm->fault) != 0 || now_ns > deadline_of(s))
        return false;
    for (uint32_t i = 0; i < n->input_count; i++) {
        uint8_t *mem = source_of(s, &n->inputs[i]);

        if (run == first)
            at[i] = mem;
        if (mem == NULL || mem != at[i] + (run - first) * n->inputs[i].bytes)
            return false;
    }
    return true;
}

/* How many runs from `first` on can be computed in one call. */
static uint32_t runs_together(tribus_stage *s, uint64_t first)
{
    const uint32_t slots = s->plan->graph->slots;
    const uint32_t left = slots - tribus_plan_slot(s->plan, first);
    const uint32_t most = s->batch < left ? s->batch : left;
    uint8_t *at[TRIBUS_GRAPH_MOST_PORTS + 1];
    int64_t now_ns;
    uint32_t k = 0;

    if (most < 2 || tribus_load_rlx(&s->plan->shm->mixed) != 0 || first != s->oldest)
        return 1;
    now_ns = tribus_now_ns();
    while (k < most && joins(s, first, first + k, at, now_ns))
        k++;
    return k > 1 ? k : 1;
}

/* Returns false when the call failed: nothing is shown, and each is to be done alone. */
static bool do_together(tribus_stage *s, uint64_t first, uint32_t runs, int64_t free_ns)
{
    const tribus_graph_node *n = s->node;
    const int64_t begin_ns = tribus_now_ns();
    tribus_status st;

    (void)gather(s, first);
    if (s->broken != TRIBUS_OK || !place_inputs(s))
        return false;
    for (uint32_t i = 0; i < n->input_count; i++)
        s->inputs[i].shape[0] = n->inputs[i].shape[0] * runs;
    for (uint32_t i = 0; i < n->output_count; i++)
        s->outputs[i].shape[0] = n->outputs[i].shape[0] * runs;
    for (uint32_t k = 0; k < runs; k++)
        (void)try_number(s, first + k);
    st = call_operation(s);
    for (uint32_t i = 0; i < n->input_count; i++)
        s->inputs[i].shape[0] = n->inputs[i].shape[0];
    for (uint32_t i = 0; i < n->output_count; i++)
        s->outputs[i].shape[0] = n->outputs[i].shape[0];
    if (st != TRIBUS_OK) { /* begun together is not begun: each has its tries still */
        for (uint32_t k = 0; k < runs; k++)
            tribus_store_rlx(&tribus_plan_pass(s->plan, first + k, s->index)->tried_run,
                             (uint64_t)0);
        return false;
    }
    s->end_ns = tribus_now_ns();
    charge(s, begin_ns);
    for (uint32_t k = 0; k < runs; k++) {
        const int64_t stamp_ns = gather(s, first + k);
        const times t = times_of(stamp_ns, free_ns, begin_ns);

        if (!check_outputs(s))
            count(&s->shm->failed);
        finish(s, &t, true);
    }
    return true;
}

tribus_status tribus_stage_step(tribus_stage *s, uint64_t run, int64_t *free_ns)
{
    const uint32_t together = s->broken == TRIBUS_OK ? runs_together(s, run) : 1;

    const bool alone = s->broken == TRIBUS_OK &&
                       (together == 1 || !do_together(s, run, together, *free_ns));

    if (alone) {
        if (together > 1)
            s->alone = run + together;
        do_one(s, run, *free_ns);
    }
    if (s->broken != TRIBUS_OK)
        return s->broken;
    *free_ns = s->end_ns;
    tribus_plan_announce(s->plan, &(tribus_plan_shown){s->index, run, alone ? 1 : together},
                         s->host, s->pending);
    return TRIBUS_OK;
}
