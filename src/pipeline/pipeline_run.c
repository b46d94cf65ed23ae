/* pipeline_run.c -- claim, submit, await, release: the submitter's side of the first and
 * the last node.
 *
 * Runs are numbered from 1. released < await_run <= next_run, and a run is claimed only
 * when next_run - released <= runs, so the slots of a claimed run are in nobody's hands.
 * A run flies from submit, is held from its result, and is back when it is released out of
 * order; then, and when those before it are released, too, its slot is free.
 */
#include "base/clock.h"
#include "base/error.h"
#include "pipeline/pipeline.h"

#include <stdio.h>
#include <string.h>

/* Hosts are looked at this often while a result is waited for: a death is seen by the agent
 * and by us within the 100 ms that are promised. */
#define LOOK_NS 20000000

static void count(_Atomic(uint64_t) *counter)
{
    tribus_store_rlx(counter, tribus_load_rlx(counter) + 1); /* ours alone to write */
}

static tribus_graph_node *last_node(const tribus_pipeline *p)
{
    return &p->plan->graph->nodes[p->plan->graph->node_count - 1];
}

enum { FREE, FLYING, HELD, BACK }; /* tribus_pipeline.phase */

/* ---- names ---- */

static tribus_status find(const char *what, const tribus_graph_port *ports,
                          uint32_t ports_n, const char *pipeline, const char *name,
                          uint32_t *out)
{
    char list[256] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < ports_n; i++) {
        if (strcmp(ports[i].name, name) == 0) {
            *out = i;
            return TRIBUS_OK;
        }
        if (used < sizeof(list))
            used +=
                (size_t)snprintf(list + used, sizeof(list) - used, " %s", ports[i].name);
    }
    return tribus_error_set(TRIBUS_NOT_FOUND, "pipeline %s has no %s %.60s; it has:%s",
                            pipeline, what, name, list);
}

tribus_status tribus_pipeline_find_input(const tribus_pipeline *pipe, const char *name,
                                         uint32_t *out)
{
    const tribus_graph_node *first = &pipe->plan->graph->nodes[0];

    return find("input", first->outputs, first->output_count, pipe->plan->graph->name, name,
                out);
}

tribus_status tribus_pipeline_find_result(const tribus_pipeline *pipe, const char *name,
                                          uint32_t *out)
{
    return find("result", last_node(pipe)->inputs, last_node(pipe)->input_count,
                pipe->plan->graph->name, name, out);
}

/* ---- claim and submit ---- */

tribus_status tribus_pipeline_claim(tribus_pipeline *pipe)
{
    const tribus_graph *g = pipe->plan->graph;

    if (pipe->claimed)
        return TRIBUS_OK;
    if (pipe->observer)
        return tribus_error_set(TRIBUS_BAD_ARG, "pipeline %s is another's to submit to",
                                g->name);
    if (tribus_load_rlx(&pipe->plan->shm->stopping) != 0) /* a request */
        return tribus_error_set(TRIBUS_STOPPED, "pipeline %s was asked to stop", g->name);
    if (pipe->next_run - pipe->released > g->runs) {
        count(&pipe->plan->shm->refused);
        return TRIBUS_FULL;
    }
    memset(pipe->kept_dirty, 0, sizeof(pipe->kept_dirty));
    pipe->claimed = true;
    pipe->claimed_priority = g->priority;
    return TRIBUS_OK;
}

tribus_status tribus_pipeline_set_priority(tribus_pipeline *pipe, uint32_t priority)
{
    if (!pipe->claimed || priority > TRIBUS_PIPELINE_MOST_PRIORITY)
        return tribus_error_set(TRIBUS_BAD_ARG, "pipeline %s: priority %u: %s",
                                pipe->plan->graph->name, priority,
                                pipe->claimed ? "0 (last) to 9 (first) is wanted"
                                              : "claim a run first");
    pipe->claimed_priority = priority;
    return TRIBUS_OK;
}

/* Where input i of the claimed run lies; a kept one gets a version of its own. */
static void *input_mem(tribus_pipeline *p, uint32_t i)
{
    const tribus_graph_port *port = &p->plan->graph->nodes[0].outputs[i];

    if (!port->keep)
        return tribus_plan_output(p->plan, 0, i, p->next_run);
    if (!p->kept_dirty[port->kept]) {
        p->version[port->kept] =
            (p->version[port->kept] + 1u) % tribus_plan_kept_versions(p->plan);
        p->kept_dirty[port->kept] = true;
        p->kept_written[port->kept] = true;
    }
    return tribus_plan_kept(p->plan, port->kept, p->version[port->kept]);
}

tribus_status tribus_pipeline_input(tribus_pipeline *pipe, uint32_t i, tribus_tensor *out)
{
    const tribus_graph_node *first = &pipe->plan->graph->nodes[0];

    if (!pipe->claimed || i >= first->output_count)
        return tribus_error_set(TRIBUS_BAD_ARG, "pipeline %s: %s", pipe->plan->graph->name,
                                pipe->claimed ? "no such input"
                                              : "claim a run before writing its inputs");
    tribus_plan_tensor(&first->outputs[i], input_mem(pipe, i), out);
    return TRIBUS_OK;
}

/* Charge a copied input to every link that hands it on. */
static void charge(tribus_pipeline *p, uint32_t input)
{
    const tribus_graph *g = p->plan->graph;
    const tribus_graph_node *first = &g->nodes[0];

    for (uint32_t k = 0; k < first->out_count; k++) {
        const tribus_graph_node *to = &g->nodes[g->links[first->out_links[k]].to];
        tribus_plan_link_shm *shm = tribus_plan_link(p->plan, first->out_links[k]);

        for (uint32_t i = 0; i < to->input_count; i++) {
            for (uint32_t s = 0; s < to->inputs[i].source_count; s++) {
                const tribus_graph_source *src = &to->inputs[i].sources[s];

                if (src->node != 0 || src->port != input)
                    continue;
                tribus_store_rlx(&shm->bytes_copied,
                                 tribus_load_rlx(&shm->bytes_copied) + to->inputs[i].bytes);
            }
        }
    }
}

tribus_status tribus_pipeline_copy_input(tribus_pipeline *pipe, uint32_t i,
                                         const void *from, size_t bytes)
{
    tribus_tensor tensor;
    tribus_status st;

    if ((pipe->flags & TRIBUS_PIPELINE_REQUIRE_ZERO_COPY) != 0)
        return tribus_error_set(TRIBUS_REFUSED,
                                "pipeline %s requires zero copy: write the input through "
                                "tribus_pipeline_input()",
                                pipe->plan->graph->name);
    st = tribus_pipeline_input(pipe, i, &tensor);
    if (st != TRIBUS_OK)
        return st;
    if (bytes != pipe->plan->graph->nodes[0].outputs[i].bytes)
        return tribus_error_set(
            TRIBUS_BAD_ARG, "pipeline %s: input %s has %llu bytes, %zu given",
            pipe->plan->graph->name, pipe->plan->graph->nodes[0].outputs[i].name,
            (unsigned long long)pipe->plan->graph->nodes[0].outputs[i].bytes, bytes);
    memcpy(tensor.data, from, bytes);
    charge(pipe, i);
    return TRIBUS_OK;
}

static tribus_status write_run(tribus_pipeline *p, int64_t deadline_ns)
{
    const tribus_graph *g = p->plan->graph;
    tribus_plan_run_shm *run = tribus_plan_run(p->plan, p->next_run);
    tribus_plan_pass_shm *pass = tribus_plan_pass(p->plan, p->next_run, 0);
    const int64_t now = tribus_now_ns();
    const int64_t left = deadline_ns > 0 ? deadline_ns : p->deadline_ns;

    for (uint32_t i = 0; i < g->nodes[0].output_count; i++) {
        const tribus_graph_port *port = &g->nodes[0].outputs[i];

        if (!port->keep)
            continue;
        if (!p->kept_written[port->kept])
            return tribus_error_set(TRIBUS_BAD_ARG,
                                    "pipeline %s: kept input %s was never written", g->name,
                                    port->name);
        tribus_store_rlx(&run->kept[port->kept], p->version[port->kept]);
    }
    /* all shown by the pass */
    tribus_store_rlx(&run->run, p->next_run);
    tribus_store_rlx(&run->submit_ns, now);
    tribus_store_rlx(&run->deadline_ns, tribus_deadline_ns(left > 0 ? left : -1));
    tribus_store_rlx(&run->priority, p->claimed_priority);
    tribus_store_rlx(&run->fault, 0u);
    tribus_store_rlx(&pass->flags, (uint64_t)0);
    tribus_store_rlx(&pass->begin_ns, now);
    tribus_store_rlx(&pass->end_ns, now);
    return TRIBUS_OK;
}

/* Count runs whose priority is not the pipeline's: while there are any, nobody goes in order.
 * Relaxed: shown by the pass of the run. */
static void count_mixed(tribus_pipeline *p, uint64_t run, uint32_t by)
{
    if (p->priority[tribus_plan_slot(p->plan, run)] == p->plan->graph->priority)
        return;
    p->mixed += by;
    tribus_store_rlx(&p->plan->shm->mixed, p->mixed);
}

tribus_status tribus_pipeline_submit(tribus_pipeline *pipe, int64_t deadline_ns,
                                     uint64_t *run)
{
    const tribus_graph *g = pipe->plan->graph;
    const uint32_t slot = tribus_plan_slot(pipe->plan, pipe->next_run);
    tribus_status st;

    if (!pipe->claimed)
        return tribus_error_set(TRIBUS_BAD_ARG, "pipeline %s: nothing claimed", g->name);
    st = write_run(pipe, deadline_ns);
    if (st != TRIBUS_OK)
        return st;
    pipe->phase[slot] = FLYING;
    pipe->priority[slot] = pipe->claimed_priority;
    pipe->got[slot] = 0;
    pipe->flying++;
    count_mixed(pipe, pipe->next_run, 1);
    tribus_plan_show(pipe->plan, 0, pipe->next_run);
    tribus_plan_announce(pipe->plan, &(tribus_plan_shown){0, pipe->next_run, 1},
                         TRIBUS_PLAN_NO_HOST, NULL);
    pipe->claimed = false;
    if (run != NULL)
        *run = pipe->next_run + pipe->offset;
    pipe->next_run++;
    count(&pipe->plan->shm->submitted);
    return TRIBUS_OK;
}

/* ---- await ---- */

/* OK: the run has passed every node. */
static tribus_status look_at(tribus_pipeline *p, uint64_t run)
{
    const tribus_graph *g = p->plan->graph;
    const tribus_graph_node *last = last_node(p);
    uint32_t *got = &p->got[tribus_plan_slot(p->plan, run)];
    tribus_pass pass;

    for (; *got < last->in_count; (*got)++) {
        const tribus_status st =
            tribus_plan_look(p->plan, g->links[last->in_links[*got]].from, run, &pass);

        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* The run whose result comes next: of those of one priority the oldest, of several that are
 * through the most urgent. */
static tribus_status look(tribus_pipeline *p, uint64_t *out)
{
    uint32_t waiting = 0; /* a bit per priority of which an older run is not through */
    uint64_t best = 0;

    *out = p->await_run;
    if (p->mixed == 0)
        return look_at(p, p->await_run);
    for (uint64_t run = p->await_run; run < p->next_run; run++) {
        const uint32_t slot = tribus_plan_slot(p->plan, run);
        tribus_status st;

        if (p->phase[slot] != FLYING || (waiting >> p->priority[slot] & 1u) != 0)
            continue;
        st = look_at(p, run);
        if (st != TRIBUS_OK && st != TRIBUS_EMPTY)
            return st;
        if (st == TRIBUS_EMPTY)
            waiting |= 1u << p->priority[slot];
        else if (best == 0 ||
                 p->priority[slot] > p->priority[tribus_plan_slot(p->plan, best)])
            best = run;
    }
    *out = best;
    return best != 0 ? TRIBUS_OK : TRIBUS_EMPTY;
}

static int result_ready(void *context)
{
    uint64_t run;

    return look(context, &run) != TRIBUS_EMPTY;
}

/* Is a stage that the awaited run has not passed without a living host? */
static tribus_status check_hosts(tribus_pipeline *p, int64_t now_ns)
{
    const tribus_graph *g = p->plan->graph;

    p->checked_ns = now_ns;
    for (uint32_t i = 1; i + 1 < g->node_count; i++) {
        /* A2 pairs with R2 in host.c's set_claim. */
        const uint64_t claim = tribus_load_acq(tribus_plan_claim(p->plan, i));
        const uint32_t host = tribus_plan_claim_host(claim);
        tribus_pass pass;

        if (tribus_plan_look(p->plan, i, p->await_run, &pass) == TRIBUS_OK)
            continue;
        if (tribus_plan_claim_state(claim) == TRIBUS_STAGE_FAILED)
            return tribus_error_set(TRIBUS_CORRUPT, "%.*s",
                                    (int)TRIBUS_PIPELINE_TEXT_BYTES - 1,
                                    tribus_plan_text(p->plan, i));
        if (host != TRIBUS_PLAN_NO_HOST && tribus_plan_host_lives(p->plan, host, &p->peers))
            continue;
        if (p->lost_ns == 0)
            p->lost_ns = now_ns;
        if (now_ns - p->lost_ns < p->successor_ns)
            return TRIBUS_OK;
        p->lost_ns = 0;
        return tribus_error_set(
            TRIBUS_PEER_LOST,
            "pipeline %s: stage %s %s; run %llu waits for one of the domain %s", g->name,
            g->nodes[i].name,
            host != TRIBUS_PLAN_NO_HOST ? "lost its host, which died" : "has no host",
            (unsigned long long)p->await_run, tribus_graph_domain_name(g->nodes[i].domain));
    }
    p->lost_ns = 0;
    return TRIBUS_OK;
}

/* Walk back from the result along the passes that came last. */
static void measure(const tribus_pipeline *p, tribus_pipeline_result *out)
{
    const tribus_graph *g = p->plan->graph;
    uint32_t at = g->node_count - 1;
    int64_t until = out->finished_ns;

    while (at != 0) {
        const tribus_graph_node *n = &g->nodes[at];
        uint32_t before = 0;
        int64_t latest = INT64_MIN, queue = 0;

        for (uint32_t i = 0; i < n->in_count; i++) {
            const tribus_graph_link *l = &g->links[n->in_links[i]];
            const int64_t end =
                tribus_load_rlx(&tribus_plan_pass(p->plan, out->run, l->from)->end_ns);

            if (!l->state && end > latest) {
                latest = end;
                before = l->from;
            }
        }
        if (at + 1 != g->node_count) {
            const tribus_plan_pass_shm *s = tribus_plan_pass(p->plan, out->run, at);
            const int64_t begin = tribus_load_rlx(&s->begin_ns);

            out->compute_ns += until - begin;
            queue = tribus_load_rlx(&s->queue_ns);
            until = begin;
        }
        out->queue_ns += queue;
        out->handoff_ns += until - latest - queue;
        until = latest;
        at = before;
    }
}

/* A node's number and text came from shared memory: only what makes sense is told. */
static void read_fault(const tribus_pipeline *p, tribus_pipeline_result *out)
{
    const tribus_graph *g = p->plan->graph;
    const tribus_plan_run_shm *run = tribus_plan_run(p->plan, out->run);
    const uint32_t node = tribus_load_rlx(&run->fault); /* shown by the passes */

    out->status = (tribus_status)tribus_load_rlx(&run->fault_status);
    if (out->status == TRIBUS_OK || node == 0 || node + 1 >= g->node_count)
        out->status = TRIBUS_CORRUPT;
    else
        (void)snprintf(out->stage, sizeof(out->stage), "%s", g->nodes[node].name);
    memcpy(out->text, run->text, sizeof(out->text));
    out->text[sizeof(out->text) - 1] = '\0';
}

static bool came(const tribus_pipeline *p, const tribus_graph_port *result)
{
    const tribus_graph_node *last = last_node(p);

    for (uint32_t i = 0; i < last->in_count; i++)
        if (last->in_links[i] == result->sources[0].link)
            return (p->passes[i].flags & (TRIBUS_PASS_SKIPPED | TRIBUS_PASS_FAILED)) == 0;
    return false;
}

/* Read what the last nodes said of a run that has come; returns their flags. */
static tribus_status gather(tribus_pipeline *p, uint64_t run, uint64_t *flags)
{
    const tribus_graph *g = p->plan->graph;
    const tribus_graph_node *last = last_node(p);

    *flags = 0;
    for (uint32_t i = 0; i < last->in_count; i++) {
        const uint32_t link = last->in_links[i];
        const tribus_status st =
            tribus_plan_look(p->plan, g->links[link].from, run, &p->passes[i]);

        if (st != TRIBUS_OK)
            return tribus_error_set(TRIBUS_CORRUPT, "pipeline %s: run %llu came and went",
                                    g->name, (unsigned long long)run);
        tribus_plan_count(p->plan, link, &p->passes[i]);
        *flags |= p->passes[i].flags;
    }
    return TRIBUS_OK;
}

static void count_result(tribus_pipeline *p, const tribus_pipeline_result *r)
{
    tribus_plan_shm *shm = p->plan->shm;

    count(&shm->finished);
    tribus_store_rlx(&shm->last, r->run); /* for people */
    if (r->status == TRIBUS_TIMEOUT)
        count(&shm->late);
    else if (r->status != TRIBUS_OK)
        count(&shm->failed);
    tribus_histogram_record(tribus_plan_span(&shm->total),
                            r->finished_ns - r->submitted_ns);
    tribus_histogram_record(tribus_plan_span(&shm->handoff), r->handoff_ns);
}

static tribus_status finish(tribus_pipeline *p, uint64_t run, tribus_pipeline_result *out)
{
    const tribus_graph_node *last = last_node(p);
    const uint32_t slot = tribus_plan_slot(p->plan, run);
    uint64_t flags;
    tribus_status st;

    memset(out, 0, sizeof(*out));
    out->run = run;
    out->finished_ns = tribus_now_ns();
    out->submitted_ns = tribus_load_rlx(&tribus_plan_run(p->plan, run)->submit_ns);
    st = gather(p, run, &flags);
    if (st != TRIBUS_OK)
        return st;
    for (uint32_t i = 0; i < last->input_count; i++)
        p->result_made[(size_t)slot * last->input_count + i] =
            (uint8_t)(came(p, &last->inputs[i]) ? 1 : 0);
    out->hardware_accelerated = (flags & TRIBUS_PASS_SOFTWARE) == 0;
    out->redelivered = (flags & TRIBUS_PASS_REDELIVERED) != 0;
    if ((flags & TRIBUS_PASS_FAILED) != 0)
        read_fault(p, out);
    measure(p, out);
    count_result(p, out);
    p->phase[slot] = HELD;
    p->flying--;
    count_mixed(p, run, UINT32_MAX); /* one less */
    while (p->await_run < p->next_run &&
           p->phase[tribus_plan_slot(p->plan, p->await_run)] != FLYING)
        p->await_run++;
    return TRIBUS_OK;
}

static tribus_status await_own(tribus_pipeline *pipe, int64_t timeout_ns,
                               tribus_pipeline_result *out)
{
    const int64_t deadline_ns = tribus_deadline_ns(timeout_ns);
    tribus_doorbell_shm *bell = tribus_plan_bell(pipe->plan);

    if (pipe->flying == 0)
        return TRIBUS_EMPTY;
    for (;;) {
        uint64_t run;
        tribus_status st = look(pipe, &run);
        int64_t left_ns, now_ns;

        if (st == TRIBUS_OK)
            return finish(pipe, run, out);
        if (st != TRIBUS_EMPTY)
            return st;
        now_ns = tribus_now_ns();
        if (now_ns - pipe->checked_ns >= LOOK_NS) {
            st = check_hosts(pipe, now_ns);
            if (st != TRIBUS_OK)
                return st;
        }
        left_ns = tribus_deadline_left_ns(deadline_ns);
        if (left_ns == 0)
            return TRIBUS_TIMEOUT;
        const tribus_wait_cfg wait = {.spin_ns = pipe->spin_ns,
                                      .timeout_ns = left_ns < LOOK_NS ? left_ns : LOOK_NS};
        st = tribus_doorbell_wait(&bell, 1, result_ready, pipe, &wait);
        if (st != TRIBUS_OK && st != TRIBUS_TIMEOUT)
            return st;
    }
}

tribus_status tribus_pipeline_await_wait(tribus_pipeline *pipe, int64_t timeout_ns,
                                         tribus_pipeline_result *out)
{
    tribus_status st;

    if (pipe->before != NULL && pipe->before->flying > 0)
        return tribus_pipeline_await_wait(pipe->before, timeout_ns, out);
    st = await_own(pipe, timeout_ns, out);
    if (st == TRIBUS_OK)
        out->run += pipe->offset;
    return st;
}

static bool held(const tribus_pipeline *p, uint64_t run)
{
    return run > p->released && run < p->next_run &&
           p->phase[tribus_plan_slot(p->plan, run)] == HELD;
}

tribus_status tribus_pipeline_result_tensor(tribus_pipeline *pipe, uint64_t run, uint32_t i,
                                            tribus_tensor *out)
{
    const tribus_graph_node *last = last_node(pipe);
    const tribus_graph_port *port;

    if (pipe->before != NULL && run <= pipe->offset)
        return tribus_pipeline_result_tensor(pipe->before, run, i, out);
    run -= pipe->offset;
    if (pipe->observer || i >= last->input_count || !held(pipe, run))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "pipeline %s: result %u of run %llu is not held",
                                pipe->plan->graph->name, i, (unsigned long long)run);
    if (pipe->result_made[(size_t)tribus_plan_slot(pipe->plan, run) * last->input_count +
                          i] == 0)
        return TRIBUS_EMPTY;
    port = &last->inputs[i];
    tribus_plan_tensor(
        port,
        tribus_plan_output(pipe->plan, port->sources[0].node, port->sources[0].port, run),
        out);
    return TRIBUS_OK;
}

void tribus_pipeline_release(tribus_pipeline *pipe, uint64_t run)
{
    if (pipe->before != NULL && run <= pipe->offset) {
        tribus_pipeline_release(pipe->before, run);
        if (pipe->before->released + 1 == pipe->before->next_run) {
            tribus_pipeline_close(pipe->before);
            pipe->before = NULL;
        }
        return;
    }
    run -= pipe->offset;
    if (pipe->observer || !held(pipe, run))
        return;
    pipe->phase[tribus_plan_slot(pipe->plan, run)] = BACK;
    while (pipe->released + 1 < pipe->await_run &&
           pipe->phase[tribus_plan_slot(pipe->plan, pipe->released + 1)] == BACK) {
        pipe->released++;
        pipe->phase[tribus_plan_slot(pipe->plan, pipe->released)] = FREE;
    }
    /* for people who look */
    tribus_store_rlx(&pipe->plan->shm->released, pipe->released);
}

tribus_status tribus_pipeline_on_result_wait(tribus_pipeline *pipe, int64_t timeout_ns,
                                             tribus_pipeline_result_fn fn, void *context,
                                             uint32_t *count)
{
    tribus_pipeline_result result;
    uint32_t done = 0;
    tribus_status st = tribus_pipeline_await_wait(pipe, timeout_ns, &result);

    while (st == TRIBUS_OK) {
        fn(context, pipe, &result);
        tribus_pipeline_release(pipe, result.run);
        done++;
        st = tribus_pipeline_await_wait(pipe, 0, &result);
    }
    if (count != NULL)
        *count = done;
    return done > 0 ? TRIBUS_OK : st;
}

tribus_doorbell_shm *tribus_pipeline_bell(tribus_pipeline *pipe)
{
    return tribus_plan_bell(pipe->plan);
}

/* ---- ready ---- */

/* EMPTY: not yet. The text names the first stage that no host has ready. */
static tribus_status look_ready(const tribus_pipeline *p)
{
    const tribus_graph *g = p->plan->graph;
    tribus_status st = TRIBUS_OK;

    for (uint32_t i = 1; i + 1 < g->node_count; i++) {
        /* A2 pairs with R2 in host.c's set_claim. */
        const uint64_t claim = tribus_load_acq(tribus_plan_claim(p->plan, i));

        switch (tribus_plan_claim_state(claim)) {
        case TRIBUS_STAGE_READY:
            break;
        case TRIBUS_STAGE_FAILED:
            return tribus_error_set(TRIBUS_REFUSED, "%.*s",
                                    (int)TRIBUS_PIPELINE_TEXT_BYTES - 1,
                                    tribus_plan_text(p->plan, i));
        default:
            if (st == TRIBUS_OK)
                st = tribus_error_set(
                    TRIBUS_EMPTY,
                    "pipeline %s: stage %s: no host has it ready; start one with "
                    "`tribus host --domain %s`",
                    g->name, g->nodes[i].name,
                    tribus_graph_domain_name(g->nodes[i].domain));
        }
    }
    return st;
}

static int ready_or_refused(void *context)
{
    return look_ready(context) != TRIBUS_EMPTY;
}

tribus_status tribus_pipeline_ready_wait(tribus_pipeline *pipe, int64_t timeout_ns)
{
    const tribus_wait_cfg wait = {.spin_ns = pipe->spin_ns, .timeout_ns = timeout_ns};
    tribus_doorbell_shm *bell = tribus_plan_bell(pipe->plan);
    const tribus_status st = tribus_doorbell_wait(&bell, 1, ready_or_refused, pipe, &wait);

    if (st != TRIBUS_OK && st != TRIBUS_TIMEOUT)
        return st;
    const tribus_status state = look_ready(pipe);
    return state == TRIBUS_EMPTY ? TRIBUS_TIMEOUT : state;
}
