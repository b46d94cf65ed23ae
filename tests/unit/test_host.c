/* test_host.c -- compute hosts as processes of their own, an agent, and kill -9.
 * labels: multiprocess
 * timeout: 180 */
#include "host_nursery.h"

#include "base/atomic.h"
#include "base/os.h"
#include "base/random.h"
#include "pipeline/operation.h"
#include "pipeline/pipeline.h"

/* ---- ml-risk in three processes ---- */

static const char *file_of(const char *relative)
{
    static char path[4096];

    (void)snprintf(path, sizeof(path), "%s/%s", TRIBUS_SOURCE_DIR, relative);
    return path;
}

static void fill(const tribus_tensor *t, uint64_t seed, float scale, float offset)
{
    tribus_random r;

    tribus_random_init(&r, seed);
    for (uint64_t i = 0; i < tribus_tensor_elements(t); i++)
        ((float *)t->data)[i] = scale * (float)(tribus_random_unit(&r) - 0.5) + offset;
}

/* The same stages, one after the other, in this process, on memory of its own. */
static void run_directly(const tribus_pipeline *pipe, unsigned char **mem)
{
    const tribus_graph *g = pipe->plan->graph;
    tribus_device *device;

    OK(tribus_device_open("cpu", &device));
    for (uint32_t k = 0; k < g->node_count; k++) {
        const uint32_t node = g->order[k];
        const tribus_graph_node *n = &g->nodes[node];
        tribus_tensor in[8], out[8];
        tribus_operation *op;

        if (node == 0 || node + 1 == g->node_count)
            continue;
        for (uint32_t i = 0; i < n->input_count; i++) {
            const tribus_graph_source *s = &n->inputs[i].sources[0];

            tribus_plan_tensor(&n->inputs[i],
                               mem[s->node] + g->nodes[s->node].outputs[s->port].offset,
                               &in[i]);
        }
        mem[node] = aligned_alloc(64, (size_t)n->slot_bytes);
        CHECK(mem[node] != NULL);
        for (uint32_t i = 0; i < n->output_count; i++)
            tribus_plan_tensor(&n->outputs[i], mem[node] + n->outputs[i].offset, &out[i]);
        const tribus_operation_call call = {.inputs = in,
                                            .outputs = out,
                                            .input_count = n->input_count,
                                            .output_count = n->output_count};
        OK(tribus_operation_open(g, n, device, 1, &op));
        OK(tribus_operation_run(op, &call));
        tribus_operation_close(op);
    }
    tribus_device_close(device);
}

static void write_ml_risk(tribus_pipeline *pipe, uint64_t seed)
{
    tribus_tensor t;

    OK(tribus_pipeline_claim(pipe));
    OK(tribus_pipeline_input(pipe, 0, &t));
    fill(&t, seed, 0.02f, 0.0f);
    OK(tribus_pipeline_input(pipe, 1, &t));
    fill(&t, seed + 1000, 0.02f, 0.0f);
    OK(tribus_pipeline_input(pipe, 2, &t));
    fill(&t, seed + 2000, 0.1f, 0.5f);
}

/* What was written for a run, one input behind the other. */
static unsigned char *inputs_of(const tribus_pipeline *pipe, uint64_t run)
{
    const tribus_graph_node *first = &pipe->plan->graph->nodes[0];
    unsigned char *mem = aligned_alloc(64, (size_t)first->slot_bytes);

    CHECK(mem != NULL);
    for (uint32_t i = 0; i < first->output_count; i++)
        memcpy(mem + first->outputs[i].offset, tribus_plan_output(pipe->plan, 0, i, run),
               (size_t)first->outputs[i].bytes);
    return mem;
}

static void ml_risk_over_three_processes_equals_the_same_stages_in_one(void)
{
    nursery n = nursery_open();
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *session = fixture_session("submitter");
    const tribus_pipeline_cfg cfg = {.path = file_of("pipelines/ml-risk.yaml"),
                                     .flags = TRIBUS_PIPELINE_REQUIRE_ZERO_COPY};
    tribus_pipeline *pipe;
    tribus_pipeline_stats stats;
    tribus_pipeline_stage_row row;

    (void)nursery_start(&n, "neural", TRIBUS_DOMAIN_NEURAL);
    (void)nursery_start(&n, "gpu", TRIBUS_DOMAIN_GPU);
    OK(tribus_pipeline_register(session, &cfg, &pipe));
    if (tribus_pipeline_ready_wait(pipe, PATIENCE_NS) == TRIBUS_REFUSED) {
        tribus_pipeline_close(pipe);
        tribus_session_close(session);
        tribus_agent_stop(agent);
        nursery_close(&n);
        SKIP(tribus_error_text());
    }
    OK(tribus_pipeline_get_stage(pipe, 0, &row));
    CHECK_TEXT(row.host, "neural");
    CHECK_TEXT(row.device, "cpu");
    for (uint64_t run = 1; run <= 20; run++) {
        unsigned char *mem[8] = {NULL};
        tribus_pipeline_result r;
        tribus_tensor var, forecast;

        write_ml_risk(pipe, run);
        mem[0] = inputs_of(pipe, run);
        OK(tribus_pipeline_submit(pipe, 0, NULL));
        OK(tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r));
        CHECK(r.status == TRIBUS_OK && r.run == run);
        OK(tribus_pipeline_result_tensor(pipe, run, 0, &var));
        OK(tribus_pipeline_result_tensor(pipe, run, 1, &forecast));
        run_directly(pipe, mem);
        CHECK(memcmp(var.data, mem[3], 32) == 0); /* to the last bit */
        CHECK(memcmp(forecast.data, mem[1], 64) == 0);
        CHECK(((const double *)var.data)[0] > 0.0);
        CHECK(((const double *)var.data)[1] >= ((const double *)var.data)[0]);
        for (uint32_t i = 0; i < 4; i++)
            free(mem[i]);
        tribus_pipeline_release(pipe, run);
    }
    tribus_pipeline_get_stats(pipe, &stats);
    CHECK(stats.zero_copy == 1.0 && stats.bytes_copied == 0 && stats.failed == 0);
    tribus_pipeline_close(pipe);
    tribus_session_close(session);
    tribus_agent_stop(agent);
    nursery_close(&n);
}

/* ---- nothing to do ---- */

/* How often a process has gone to sleep of its own accord, its first thread. */
static long sleeps_of(pid_t pid)
{
    char path[64], row[256];
    long n = -1;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    f = fopen(path, "r");
    CHECK(f != NULL);
    while (fgets(row, sizeof(row), f) != NULL)
        (void)sscanf(row, "voluntary_ctxt_switches: %ld", &n);
    (void)fclose(f);
    return n;
}

/* Looking 20 times a second, as it does with a run in flight, it would never be so quiet. */
static void host_with_nothing_to_do_sleeps(void)
{
    static const char text[] =
        "pipeline: quiet\ninputs: [{name: x, dtype: f32, shape: [16]}]\nstages:\n"
        "  - {name: a, domain: gpu, operation: affine,\n"
        "     inputs: [{name: in, dtype: f32, shape: [16]}],\n"
        "     outputs: [{name: out, dtype: f32, shape: [16]}]}\n"
        "edges: [{from: x, to: a.in}]\nresults: [a.out]\n";
    const tribus_pipeline_cfg cfg = {.text = text};
    nursery n = nursery_open();
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *session = fixture_session("submitter");
    const pid_t pid = nursery_start(&n, "both", 0);
    const int64_t deadline = tribus_now_ns() + PATIENCE_NS;
    tribus_pipeline_result r;
    tribus_pipeline *pipe;
    long before, sleeps;

    OK(tribus_pipeline_register(session, &cfg, &pipe));
    OK(tribus_pipeline_ready_wait(pipe, PATIENCE_NS));
    do {
        const int64_t until = tribus_now_ns() + SECOND_NS;

        before = sleeps_of(pid);
        while (tribus_now_ns() < until)
            (void)usleep(10000);
        sleeps = sleeps_of(pid) - before;
        CHECK(tribus_now_ns() < deadline);
    } while (sleeps > 5);
    printf("an idle host went to sleep %ld times in a second\n", sleeps);

    OK(tribus_pipeline_claim(pipe)); /* and is there when it is needed */
    OK(tribus_pipeline_submit(pipe, 0, NULL));
    OK(tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r));
    CHECK(r.status == TRIBUS_OK);
    tribus_pipeline_release(pipe, r.run);
    tribus_pipeline_close(pipe);
    tribus_session_close(session);
    tribus_agent_stop(agent);
    nursery_close(&n);
}

/* ---- kill -9 ---- */

static const char line[] =
    "pipeline: line\nruns: 200\ninputs: [{name: x, dtype: f32, shape: [4096]}]\nstages:\n"
    "  - {name: a, domain: neural, operation: affine, params: {scale: 2, offset: 1},\n"
    "     inputs: [{name: in, dtype: f32, shape: [4096]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [4096]}]}\n"
    "  - {name: b, domain: gpu, operation: affine, params: {scale: 3, offset: 1},\n"
    "     inputs: [{name: in, dtype: f32, shape: [4096]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [4096]}]}\n"
    "  - {name: c, domain: neural, operation: sum,\n"
    "     inputs: [{name: new, dtype: f32, shape: [4096]},"
    "              {name: old, dtype: f32, shape: [4096]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [4096]}]}\n"
    "edges: [{from: x, to: a.in}, {from: a.out, to: b.in}, {from: b.out, to: c.new},\n"
    "        {from: c.out, to: c.old, state: true}]\n"
    "results: [c.out]\n";

/* Scale 2 becomes scale 5 while runs are in flight: none is dropped, and each is computed by
 * the one it was submitted to. */
static void pipeline_replaced_under_load_drops_no_run(void)
{
    static const char text[] =
        "pipeline: p\nruns: 8\ninputs: [{name: x, dtype: f32, shape: [16]},\n"
        "         {name: k, dtype: f32, shape: [16], keep: true}]\nstages:\n"
        "  - {name: a, domain: gpu, operation: affine, params: {scale: s},\n"
        "     inputs: [{name: in, dtype: f32, shape: [16]}],\n"
        "     outputs: [{name: out, dtype: f32, shape: [16]}]}\n"
        "  - {name: b, domain: neural, operation: sum,\n"
        "     inputs: [{name: a, dtype: f32, shape: [16]},"
        " {name: b, dtype: f32, shape: [16]}],\n"
        "     outputs: [{name: out, dtype: f32, shape: [16]}]}\n"
        "edges: [{from: x, to: a.in}, {from: a.out, to: b.a}, {from: k, to: b.b}]\n"
        "results: [b.out]\n";
    static const char other[] =
        "pipeline: p\ninputs: [{name: y, dtype: f32, shape: [16]}]\nstages:\n"
        "  - {name: a, domain: gpu, operation: copy,\n"
        "     inputs: [{name: in, dtype: f32, shape: [16]}],\n"
        "     outputs: [{name: out, dtype: f32, shape: [16]}]}\n"
        "edges: [{from: y, to: a.in}]\nresults: [a.out]\n";
    nursery n = nursery_open();
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *session = fixture_session("submitter");
    tribus_pipeline_dim dim = {"s", 2};
    tribus_pipeline_cfg cfg = {
        .text = text, .dims = &dim, .dim_count = 1, .successor_ns = PATIENCE_NS};
    const tribus_pipeline_cfg wrong = {.text = other};
    uint64_t sent = 0, got = 0, changed[8] = {0}, changes = 0;
    float scales[8] = {2.0f};
    tribus_pipeline *pipe;

    (void)nursery_start(&n, "both", 0);
    OK(tribus_pipeline_register(session, &cfg, &pipe));
    OK(tribus_pipeline_ready_wait(pipe, PATIENCE_NS));
    while (got < 3000) {
        tribus_pipeline_result r;
        tribus_tensor t;
        uint64_t era = 0;

        while (sent < 3000 && tribus_pipeline_claim(pipe) == TRIBUS_OK) {
            uint64_t run;

            OK(tribus_pipeline_input(pipe, 0, &t));
            for (uint32_t i = 0; i < 16; i++)
                ((float *)t.data)[i] = (float)(sent % 17);
            if (sent == 0) {
                OK(tribus_pipeline_input(pipe, 1, &t));
                for (uint32_t i = 0; i < 16; i++)
                    ((float *)t.data)[i] = 0.5f;
            }
            OK(tribus_pipeline_submit(pipe, 0, &run));
            CHECK(run == ++sent);
        }
        if (sent < 3000 && sent > 400 * (changes + 1)) { /* with eight runs in flight */
            CHECK(tribus_pipeline_replace_wait(pipe, &wrong, PATIENCE_NS) ==
                  TRIBUS_BAD_DATA);
            dim.size += 3;
            OK(tribus_pipeline_replace_wait(pipe, &cfg, PATIENCE_NS));
            changed[++changes] = sent;
            scales[changes] = (float)dim.size;
        }
        OK(tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r));
        CHECK(r.status == TRIBUS_OK && r.run == ++got);
        while (era < changes && got > changed[era + 1])
            era++;
        OK(tribus_pipeline_result_tensor(pipe, r.run, 0, &t));
        CHECK(((const float *)t.data)[3] == (float)((got - 1) % 17) * scales[era] + 0.5f);
        tribus_pipeline_release(pipe, r.run);
    }
    printf("replaced %llu times under load\n", (unsigned long long)changes);
    CHECK(changes >= 5);
    tribus_pipeline_close(pipe);
    tribus_session_close(session);
    tribus_agent_stop(agent);
    nursery_close(&n);
}

/* Long enough to be killed in: 8 assets, some million paths. */
static void host_killed_in_mid_run_is_named_and_its_successor_finishes_the_run(void)
{
    nursery n = nursery_open();
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *session = fixture_session("submitter");
    static const char text[] =
        "pipeline: long\ninputs:\n  - {name: f, dtype: f32, shape: [8, 2]}\n"
        "  - {name: l, dtype: f32, shape: [8, 8]}\n  - {name: w, dtype: f32, shape: [8]}\n"
        "stages:\n  - {name: mc, domain: gpu, operation: mc_var_es,\n"
        "     params: {paths: 4000000},\n     inputs: [{name: f, dtype: f32, shape: [8, "
        "2]},"
        " {name: l, dtype: f32, shape: [8, 8]}, {name: w, dtype: f32, shape: [8]}],\n"
        "     outputs: [{name: out, dtype: f64, shape: [4]}]}\n"
        "edges: [{from: f, to: mc.f}, {from: l, to: mc.l}, {from: w, to: mc.w}]\n"
        "results: [mc.out]\n";
    const tribus_pipeline_cfg cfg = {.text = text};
    pid_t victim = nursery_start(&n, "gpu", TRIBUS_DOMAIN_GPU);
    tribus_pipeline *pipe;
    tribus_pipeline_result r;
    tribus_tensor t;
    int64_t killed_ns;

    OK(tribus_pipeline_register(session, &cfg, &pipe));
    OK(tribus_pipeline_ready_wait(pipe, PATIENCE_NS));
    OK(tribus_pipeline_claim(pipe));
    for (uint32_t i = 0; i < 3; i++) {
        OK(tribus_pipeline_input(pipe, i, &t));
        memset(t.data, 0, (size_t)tribus_tensor_elements(&t) * 4);
    }
    for (uint32_t i = 0; i < 8; i++)
        ((float *)t.data)[i] = 1.0f;
    OK(tribus_pipeline_input(pipe, 0, &t));
    for (uint32_t i = 0; i < 8; i++)
        ((float *)t.data)[2 * i + 1] = 0.01f;
    OK(tribus_pipeline_input(pipe, 1, &t));
    for (uint32_t i = 0; i < 8; i++)
        ((float *)t.data)[9 * i] = 1.0f;
    OK(tribus_pipeline_submit(pipe, 0, NULL));
    while (tribus_load_acq(&tribus_plan_pass(pipe->plan, 1, 1)->tried_run) != 1)
        (void)usleep(100);
    CHECK(kill(victim, SIGKILL) == 0);
    killed_ns = tribus_now_ns();
    CHECK(tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r) == TRIBUS_PEER_LOST);
    printf("told after %.1f ms: %s\n", (double)(tribus_now_ns() - killed_ns) / 1e6,
           tribus_error_text());
    CHECK(strstr(tribus_error_text(), "stage mc lost its host, which died") != NULL);
    (void)nursery_start(&n, "gpu-2", TRIBUS_DOMAIN_GPU);
    while (tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r) == TRIBUS_PEER_LOST)
        (void)usleep(1000);
    CHECK(r.status == TRIBUS_OK && r.redelivered && r.run == 1);
    OK(tribus_pipeline_result_tensor(pipe, 1, 0, &t));
    /* sd of the sum of eight independent normals of 0.01; 5 % quantile 1.645 of them */
    CHECK_NEAR(((const double *)t.data)[0], 1.6449 * 0.01 * sqrt(8.0), 1e-4);
    tribus_pipeline_close(pipe);
    tribus_session_close(session);
    tribus_agent_stop(agent);
    nursery_close(&n);
}

static void no_run_is_lost_or_done_twice_while_hosts_are_killed(void)
{
    nursery n = nursery_open();
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *session = fixture_session("submitter");
    const tribus_pipeline_cfg cfg = {.text = line, .successor_ns = PATIENCE_NS};
    pid_t hosts[2] = {nursery_start(&n, "h0", TRIBUS_DOMAIN_NEURAL),
                      nursery_start(&n, "h1", TRIBUS_DOMAIN_GPU)};
    uint64_t sent = 0, got = 0, kills = 0, redelivered = 0, gave_up = 0;
    tribus_pipeline *pipe;
    tribus_random random;
    float state = 0.0f;

    tribus_random_init(&random, check_seed());
    OK(tribus_pipeline_register(session, &cfg, &pipe));
    OK(tribus_pipeline_ready_wait(pipe, PATIENCE_NS));
    while (got < 4000) {
        tribus_pipeline_result r;
        tribus_tensor t;

        while (sent < 4000 && tribus_pipeline_claim(pipe) == TRIBUS_OK) {
            OK(tribus_pipeline_input(pipe, 0, &t));
            for (uint32_t i = 0; i < 4096; i++)
                ((float *)t.data)[i] = (float)(sent % 13);
            OK(tribus_pipeline_submit(pipe, 0, NULL));
            sent++;
        }
        if (got / 100 > kills) { /* forty times, while many runs are in flight */
            const uint32_t i = (uint32_t)tribus_random_below(&random, 2);
            char name[32];

            CHECK(kill(hosts[i], SIGKILL) == 0);
            (void)snprintf(name, sizeof(name), "h%llu", (unsigned long long)(2 + kills));
            hosts[i] =
                nursery_start(&n, name, i == 0 ? TRIBUS_DOMAIN_NEURAL : TRIBUS_DOMAIN_GPU);
            kills++;
        }
        OK(tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r));
        got++;
        CHECK(r.run == got);
        redelivered += r.redelivered ? 1 : 0;
        if (r.status == TRIBUS_PEER_LOST) { /* unlucky twice: failed with the reason */
            gave_up++;
            tribus_pipeline_release(pipe, r.run);
            continue;
        }
        CHECK(r.status == TRIBUS_OK);
        state += ((float)((got - 1) % 13) * 2.0f + 1.0f) * 3.0f + 1.0f;
        OK(tribus_pipeline_result_tensor(pipe, r.run, 0, &t));
        CHECK(((const float *)t.data)[0] == state);
        tribus_pipeline_release(pipe, r.run);
    }
    printf("%llu hosts killed, %llu results redelivered, %llu given up\n",
           (unsigned long long)kills, (unsigned long long)redelivered,
           (unsigned long long)gave_up);
    tribus_pipeline_close(pipe);
    tribus_session_close(session);
    tribus_agent_stop(agent);
    nursery_close(&n);
}

int main(void)
{
    host_with_nothing_to_do_sleeps();
    host_killed_in_mid_run_is_named_and_its_successor_finishes_the_run();
    pipeline_replaced_under_load_drops_no_run();
    no_run_is_lost_or_done_twice_while_hosts_are_killed();
    ml_risk_over_three_processes_equals_the_same_stages_in_one();
    return 0;
}
