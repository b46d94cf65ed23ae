/* stage.c -- see stage.h.
 *
 * Ordering:
 *   R1 -> A1   step -> open    a successor that sees a run done sees its outputs and flags
 * Everything else is handed over by the rings.
 */
#include "pipeline/stage.h"

#include "base/error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run on which this many hosts died is not tried again. */
#define MOST_TRIES 2u

struct tribus_stage {
    tribus_plan *plan;
    const tribus_graph_node *node;
    tribus_plan_stage_shm *shm;
    tribus_operation *op;
    tribus_plan_end *in, *out; /* in the order of node->in_links, out_links */
    tribus_token *tokens;      /* of the current run, one per in-link */
    tribus_tensor *inputs, *outputs;
    uint64_t run;  /* the current one */
    uint32_t got;  /* in-links whose token has come */
    uint32_t sent; /* out-links that have the token; counted when worked */
    bool worked;
    bool carries; /* outputs feed the next run */
    uint32_t index;
    uint32_t flags;
    int64_t end_ns;
    uint8_t *mem; /* the plan's memory as the device reaches it */
    tribus_device *device;
    int32_t device_type, device_index;
    tribus_status broken; /* what ready() found wrong, for step() to report */
};

uint32_t tribus_stage_node(const tribus_stage *stage)
{
    return stage->index;
}

bool tribus_stage_is_idle(const tribus_stage *stage)
{
    return !stage->worked && stage->got == 0 && stage->broken == TRIBUS_OK;
}

/* ---- open and close ---- */

static tribus_status open_links(tribus_stage *s)
{
    const tribus_graph_node *n = s->node;

    s->in = calloc(n->in_count + 1u, sizeof(*s->in));
    s->out = calloc(n->out_count + 1u, sizeof(*s->out));
    s->tokens = calloc(n->in_count + 1u, sizeof(*s->tokens));
    s->inputs = calloc(n->input_count + 1u, sizeof(*s->inputs));
    s->outputs = calloc(n->output_count + 1u, sizeof(*s->outputs));
    if (s->in == NULL || s->out == NULL || s->tokens == NULL || s->inputs == NULL ||
        s->outputs == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "stage %s", n->name);
    for (uint32_t i = 0; i < n->in_count; i++) {
        const tribus_status st =
            tribus_plan_end_open(s->plan, n->in_links[i], TRIBUS_READER, &s->in[i]);

        if (st != TRIBUS_OK)
            return st;
    }
    for (uint32_t i = 0; i < n->out_count; i++) {
        const tribus_status st =
            tribus_plan_end_open(s->plan, n->out_links[i], TRIBUS_WRITER, &s->out[i]);

        if (st != TRIBUS_OK)
            return st;
        s->carries = s->carries || s->out[i].state;
    }
    for (uint32_t i = 0; i < n->input_count; i++)
        tribus_plan_tensor(&n->inputs[i], NULL, &s->inputs[i]);
    for (uint32_t i = 0; i < n->output_count; i++)
        tribus_plan_tensor(&n->outputs[i], NULL, &s->outputs[i]);
    return TRIBUS_OK;
}

static tribus_status send_all(tribus_stage *s, uint64_t run, uint32_t flags, int64_t at_ns)
{
    while (s->sent < s->node->out_count) {
        tribus_plan_end *end = &s->out[s->sent];
        const uint64_t bytes = (flags & (TRIBUS_TOKEN_SKIPPED | TRIBUS_TOKEN_FAILED)) != 0
                                   ? 0
                                   : s->plan->graph->links[end->link].bytes;
        const tribus_status st = tribus_plan_send(end, run, at_ns, flags, bytes);

        if (st != TRIBUS_OK)
            return st;
        s->sent++;
    }
    s->sent = 0;
    return TRIBUS_OK;
}

/* Take up where an earlier host left: send what it may have died before sending. */
static tribus_status take_over(tribus_stage *s)
{
    /* A1 pairs with R1 in work_and_measure. */
    const uint64_t done = tribus_load_acq(&s->shm->done_run);

    s->run = done + 1;
    if (done == 0)
        return TRIBUS_OK;
    return send_all(
        s, done, (uint32_t)tribus_load_rlx(&s->shm->done_flags) | TRIBUS_TOKEN_REDELIVERED,
        tribus_load_rlx(&tribus_plan_stamp(s->plan, done, s->index)->end_ns));
}

tribus_status tribus_stage_open(const tribus_stage_cfg *cfg, tribus_stage **out)
{
    tribus_stage *s = calloc(1, sizeof(*s));
    tribus_status st;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open stage");
    s->plan = cfg->plan;
    s->index = cfg->node;
    s->node = &cfg->plan->graph->nodes[cfg->node];
    s->shm = tribus_plan_stage(cfg->plan, cfg->node);
    s->device = tribus_operation_runs_on(s->node, cfg->device) ? cfg->device : cfg->cpu;
    s->mem = s->device == cfg->device ? cfg->device_mem : cfg->plan->mem;
    s->device_type = tribus_device_type(s->device);
    s->device_index = tribus_device_index(s->device);
    st = tribus_operation_open(cfg->plan->graph, s->node, s->device, cfg->threads, &s->op);
    if (st == TRIBUS_OK)
        st = open_links(s);
    if (st == TRIBUS_OK)
        st = take_over(s);
    if (st != TRIBUS_OK) {
        tribus_stage_close(s);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

tribus_device *tribus_stage_device(const tribus_stage *stage)
{
    return stage->device;
}

void tribus_stage_close(tribus_stage *stage)
{
    if (stage == NULL)
        return;
    for (uint32_t i = 0; stage->in != NULL && i < stage->node->in_count; i++)
        tribus_plan_end_close(&stage->in[i]);
    for (uint32_t i = 0; stage->out != NULL && i < stage->node->out_count; i++)
        tribus_plan_end_close(&stage->out[i]);
    tribus_operation_close(stage->op);
    free(stage->in);
    free(stage->out);
    free(stage->tokens);
    free(stage->inputs);
    free(stage->outputs);
    free(stage);
}

/* ---- tokens ---- */

bool tribus_stage_ready(tribus_stage *s)
{
    if (s->worked || s->broken != TRIBUS_OK)
        return true;
    while (s->got < s->node->in_count) {
        tribus_plan_end *end = &s->in[s->got];
        tribus_status st;

        if (end->state && s->run == 1) { /* nothing before the first run: zeros */
            s->tokens[s->got++] = (tribus_token){.run = 0};
            continue;
        }
        st = tribus_plan_receive(end, s->run, &s->tokens[s->got]);
        if (st == TRIBUS_EMPTY)
            return false;
        if (st != TRIBUS_OK) {
            s->broken = st;
            return true;
        }
        s->got++;
    }
    return true;
}

/* The token of a link, among those of this stage. */
static const tribus_token *token_of(const tribus_stage *s, uint32_t link)
{
    for (uint32_t i = 0; i < s->node->in_count; i++)
        if (s->node->in_links[i] == link)
            return &s->tokens[i];
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
        if ((token_of(s, src->link)->flags & TRIBUS_TOKEN_SKIPPED) == 0)
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

    s->flags |= TRIBUS_TOKEN_FAILED;
    /* Ours already: a host that died while it wrote this. */
    if (!tribus_cas_ar(&run->fault, &none, s->index) && none != s->index)
        return;
    tribus_store_rlx(&run->fault_status, (int32_t)st); /* shown by the token */
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
static uint64_t try_number(tribus_stage *s)
{
    uint64_t tries = 1;

    if (tribus_load_rlx(&s->shm->tried_run) == s->run)
        tries += tribus_load_rlx(&s->shm->tries);
    tribus_store_rlx(&s->shm->tries, tries);
    tribus_store_rlx(&s->shm->tried_run, s->run);
    return tries;
}

static bool too_late(tribus_stage *s, int64_t now_ns)
{
    const tribus_plan_run_shm *run = tribus_plan_run(s->plan, s->run);
    int64_t deadline = tribus_load_rlx(&run->deadline_ns);
    char text[TRIBUS_PIPELINE_TEXT_BYTES];

    if (s->node->deadline_ns > 0) {
        const int64_t own = tribus_load_rlx(&run->submit_ns) + s->node->deadline_ns;

        deadline = own < deadline ? own : deadline;
    }
    if (now_ns <= deadline)
        return false;
    (void)snprintf(text, sizeof(text), "deadline passed %lld us before it began",
                   (long long)((now_ns - deadline) / 1000));
    fault(s, TRIBUS_TIMEOUT, text);
    count(&s->shm->late);
    return true;
}

/* Run the operation on the placed tensors. Returns whether the outputs are good. */
static bool operate(tribus_stage *s)
{
    const tribus_operation_call call = {.inputs = s->inputs,
                                        .outputs = s->outputs,
                                        .input_count = tribus_graph_operands(s->node),
                                        .output_count = s->node->output_count};
    char text[TRIBUS_PIPELINE_TEXT_BYTES];
    const char *bad = NULL;
    tribus_status st;

    if (try_number(s) > MOST_TRIES) {
        fault(s, TRIBUS_PEER_LOST, "its host died twice on this run");
        return false;
    }
    st = tribus_operation_run(s->op, &call);
    if (st != TRIBUS_OK) {
        fault(s, st, tribus_error_text());
        return false;
    }
    if (s->node->finite && (bad = not_finite(s)) != NULL) {
        (void)snprintf(text, sizeof(text), "output %s is not finite", bad);
        fault(s, TRIBUS_BAD_DATA, text);
        return false;
    }
    return true;
}

/* An unworked run hands the state of the run before on, so that the next one finds it. */
static void carry_state(tribus_stage *s)
{
    const tribus_graph_node *n = s->node;

    if (!s->carries)
        return;
    for (uint32_t i = 0; i < n->output_count; i++)
        memcpy(tribus_plan_output(s->plan, s->index, i, s->run),
               tribus_plan_output(s->plan, s->index, i, s->run - 1),
               (size_t)n->outputs[i].bytes);
    for (uint32_t i = 0; i < n->out_count; i++) {
        tribus_plan_link_shm *link = tribus_plan_link(s->plan, s->out[i].link);

        if (s->out[i].state)
            tribus_store_rlx(&link->bytes_copied,
                             tribus_load_rlx(&link->bytes_copied) +
                                 s->plan->graph->links[s->out[i].link].bytes);
    }
}

/* Work, or do not; afterwards flags say what the outputs are. */
static bool work(tribus_stage *s, int64_t now_ns)
{
    const tribus_plan_run_shm *run = tribus_plan_run(s->plan, s->run);
    bool good;

    if ((s->flags & TRIBUS_TOKEN_FAILED) != 0 || tribus_load_rlx(&run->fault) != 0) {
        s->flags |= TRIBUS_TOKEN_FAILED;
        carry_state(s);
        return false;
    }
    if (!place_inputs(s)) {
        s->flags |= TRIBUS_TOKEN_SKIPPED;
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
    if (!tribus_operation_accelerated(s->op))
        s->flags |= TRIBUS_TOKEN_SOFTWARE;
    count(&s->shm->runs);
    return true;
}

/* Gather what came; returns when the last token was committed. */
static int64_t gather(tribus_stage *s)
{
    int64_t stamp = 0;

    s->flags = 0;
    for (uint32_t i = 0; i < s->node->in_count; i++) {
        const tribus_token *t = &s->tokens[i];

        stamp = t->stamp_ns > stamp ? t->stamp_ns : stamp;
        if (!s->in[i].state)
            s->flags |= t->flags & (TRIBUS_TOKEN_FAILED | TRIBUS_TOKEN_SOFTWARE |
                                    TRIBUS_TOKEN_REDELIVERED);
    }
    return stamp;
}

static void stamp_run(tribus_stage *s, int64_t begin_ns, int64_t queue_ns, bool ran)
{
    tribus_plan_stamp_shm *stamp = tribus_plan_stamp(s->plan, s->run, s->index);

    /* shown to the submitter by the tokens, and to people who look meanwhile */
    tribus_store_rlx(&stamp->begin_ns, begin_ns);
    tribus_store_rlx(&stamp->end_ns, s->end_ns);
    tribus_store_rlx(&stamp->queue_ns, queue_ns);
    tribus_store_rlx(&stamp->ran, (uint64_t)(ran ? 1 : 0));
}

static void work_and_measure(tribus_stage *s, int64_t free_ns)
{
    const int64_t stamp_ns = gather(s), now_ns = tribus_now_ns();
    const int64_t queue_ns = free_ns > stamp_ns ? free_ns - stamp_ns : 0;
    bool ran;

    if ((s->flags & TRIBUS_TOKEN_REDELIVERED) != 0)
        count(&s->shm->redelivered);
    ran = work(s, now_ns);
    s->end_ns = tribus_now_ns();
    stamp_run(s, now_ns, queue_ns, ran);
    if (ran) {
        tribus_histogram_record(tribus_plan_span(&s->shm->queue), queue_ns);
        tribus_histogram_record(tribus_plan_span(&s->shm->handoff),
                                now_ns - stamp_ns - queue_ns);
        tribus_histogram_record(tribus_plan_span(&s->shm->compute), s->end_ns - now_ns);
        tribus_store_rlx(&s->shm->compute_ns, tribus_load_rlx(&s->shm->compute_ns) +
                                                  (uint64_t)(s->end_ns - now_ns));
    }
    tribus_store_rlx(&s->shm->done_flags, (uint64_t)s->flags); /* shown by the next */
    /* R1 pairs with A1 in take_over. */
    tribus_store_rel(&s->shm->done_run, s->run);
    s->worked = true;
}

tribus_status tribus_stage_step(tribus_stage *s, int64_t *free_ns)
{
    tribus_status st;

    if (s->broken != TRIBUS_OK)
        return s->broken;
    if (!s->worked) {
        work_and_measure(s, *free_ns);
        *free_ns = s->end_ns;
    }
    st = send_all(s, s->run, s->flags, s->end_ns);
    if (st != TRIBUS_OK)
        return st;
    for (uint32_t i = 0; i < s->node->in_count; i++)
        if (!s->in[i].state || s->run > 1)
            tribus_plan_release(&s->in[i], &s->tokens[i]);
    s->run++;
    s->got = 0;
    s->worked = false;
    return TRIBUS_OK;
}
