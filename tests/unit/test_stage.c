/* test_stage.c -- which run a stage does next, and several in one call: a host stepped by hand
 * on this thread, so that every order is the one that is meant. */
#include "pipeline_fixture.h"

#define N 16u /* floats of a port: 64 bytes, so that runs lie side by side */

#define STAGE(name, domain, operation, more)                                               \
    "  - {name: " name ", domain: " domain ", operation: " operation ", " more             \
    "inputs: [{name: in, dtype: f32, shape: [16]}], outputs: [{name: out, dtype: f32, "    \
    "shape: [16]}]}\n"

static const char line[] =
    "pipeline: line\nruns: 8\ninputs: [{name: x, dtype: f32, shape: "
    "[16]}]\nstages:\n" STAGE("a", "neural", "affine", "params: {scale: 2}, ")
        STAGE("b", "gpu", "affine",
              "params: {offset: 1}, ") "edges: [{from: x, to: a.in}, {from: "
                                       "a.out, to: b.in}]\nresults: "
                                       "[b.out]\n";

typedef struct bench {
    fixture_plan f;
    tribus_host *host;
} bench;

static bench open_bench(const char *text)
{
    const tribus_pipeline_cfg cfg = {.text = text, .successor_ns = FIXTURE_PATIENCE_NS};
    const tribus_host_cfg host_cfg = {0};
    const tribus_peers peers = fixture_peers(2);
    bench b = {.f = fixture_register(&cfg)};

    OK(tribus_host_open(&host_cfg, &peers, &b.host));
    OK(tribus_host_attach(b.host, b.f.mem, b.f.bytes, 1));
    (void)tribus_host_take(b.host);
    OK(tribus_pipeline_ready_wait(b.f.pipe, FIXTURE_PATIENCE_NS));
    return b;
}

static void close_bench(bench *b)
{
    tribus_host_close(b->host);
    fixture_close(&b->f);
}

static void submit(bench *b, float x, int priority)
{
    tribus_tensor t;

    OK(tribus_pipeline_claim(b->f.pipe));
    OK(tribus_pipeline_input(b->f.pipe, 0, &t));
    for (uint32_t i = 0; i < N; i++)
        ((float *)t.data)[i] = x;
    if (priority >= 0)
        OK(tribus_pipeline_set_priority(b->f.pipe, (uint32_t)priority));
    OK(tribus_pipeline_submit(b->f.pipe, 0, NULL));
}

/* The next result, after as many steps as it takes; 0 when nothing is left to do. */
static uint64_t next_result(bench *b, float *value)
{
    tribus_pipeline_result r;
    tribus_status st = tribus_pipeline_await_wait(b->f.pipe, 0, &r);
    tribus_tensor t;

    while (st == TRIBUS_TIMEOUT && tribus_host_step(b->host) > 0)
        st = tribus_pipeline_await_wait(b->f.pipe, 0, &r);
    if (st != TRIBUS_OK)
        return 0;
    CHECK(r.status == TRIBUS_OK);
    OK(tribus_pipeline_result_tensor(b->f.pipe, r.run, 0, &t));
    *value = ((const float *)t.data)[N - 1];
    tribus_pipeline_release(b->f.pipe, r.run);
    return r.run;
}

static tribus_pipeline_stage_row row_of(const bench *b, uint32_t stage)
{
    tribus_pipeline_stage_row row;

    OK(tribus_pipeline_get_stage(b->f.pipe, stage, &row));
    return row;
}

static void urgent_run_overtakes_queued_ones_at_every_stage(void)
{
    bench b = open_bench(line);
    float value;

    for (int i = 1; i <= 4; i++)
        submit(&b, (float)i, -1);
    submit(&b, 50, 9);
    submit(&b, 60, 7);
    submit(&b, 70, 9);
    CHECK(next_result(&b, &value) == 5 && value == 101.0f);
    CHECK(row_of(&b, 0).runs == 1 && row_of(&b, 1).runs == 1); /* nothing else was done */
    CHECK(next_result(&b, &value) == 7 && value == 141.0f);    /* same priority: in order */
    CHECK(next_result(&b, &value) == 6 && value == 121.0f);
    for (uint64_t i = 1; i <= 4; i++)
        CHECK(next_result(&b, &value) == i && value == (float)i * 2.0f + 1.0f);
    CHECK(next_result(&b, &value) == 0);
    submit(&b, 8, -1); /* and in order again */
    submit(&b, 9, -1);
    CHECK(next_result(&b, &value) == 8 && next_result(&b, &value) == 9);
    close_bench(&b);
}

static void run_that_is_not_urgent_lets_others_pass(void)
{
    bench b = open_bench(line);
    float value;

    submit(&b, 1, 0);
    submit(&b, 2, -1);
    CHECK(tribus_host_step(b.host) == 1); /* a does 2 */
    submit(&b, 3, -1);
    CHECK(next_result(&b, &value) == 2 && next_result(&b, &value) == 3);
    CHECK(next_result(&b, &value) == 1 && value == 3.0f);
    close_bench(&b);
}

static void slots_of_runs_that_were_overtaken_are_not_given_away(void)
{
    bench b = open_bench(line);
    float value;

    for (int i = 1; i <= 7; i++)
        submit(&b, (float)i, 3);
    submit(&b, 8, 9);
    CHECK(tribus_pipeline_claim(b.f.pipe) == TRIBUS_FULL);
    CHECK(next_result(&b, &value) == 8); /* and released: those before it are not */
    CHECK(tribus_pipeline_claim(b.f.pipe) == TRIBUS_FULL);
    CHECK(next_result(&b, &value) == 1);
    OK(tribus_pipeline_claim(b.f.pipe));
    CHECK(tribus_pipeline_set_priority(b.f.pipe, 10) == TRIBUS_BAD_ARG);
    for (uint64_t i = 2; i <= 7; i++)
        CHECK(next_result(&b, &value) == i && value == (float)i * 2.0f + 1.0f);
    close_bench(&b);
}

static void stage_with_state_keeps_the_order_of_submission(void)
{
    bench b = open_bench(
        "pipeline: p\nruns: 4\ninputs: [{name: x, dtype: f32, shape: "
        "[16]}]\nstages:\n" STAGE(
            "a", "gpu", "affine",
            "") "  - {name: s, domain: gpu, operation: sum, inputs: [{name: new, "
                "dtype: f32, shape: [16]}, {name: old, dtype: f32, shape: [16]}], "
                "outputs: [{name: out, dtype: f32, shape: [16]}]}\n"
                "edges: [{from: x, to: a.in}, {from: a.out, to: s.new}, {from: s.out, "
                "to: s.old, state: true}]\nresults: [s.out]\n");
    float value;

    submit(&b, 1, -1);
    submit(&b, 10, -1);
    submit(&b, 100, 9);
    CHECK(next_result(&b, &value) == 1 && value == 1.0f);
    CHECK(next_result(&b, &value) == 2 && value == 11.0f);
    CHECK(next_result(&b, &value) == 3 && value == 111.0f);
    close_bench(&b);
}

static void successor_takes_up_behind_what_overtook(void)
{
    bench b = open_bench(line);
    const tribus_host_cfg cfg = {0};
    const tribus_peers peers = fixture_peers(3);
    float value;

    submit(&b, 1, -1);
    submit(&b, 2, -1);
    submit(&b, 3, 9);
    CHECK(next_result(&b, &value) == 3);
    tribus_host_close(b.host);
    OK(tribus_host_open(&cfg, &peers, &b.host));
    OK(tribus_host_attach(b.host, b.f.mem, b.f.bytes, 1));
    CHECK(tribus_host_take(b.host) == 2);
    CHECK(next_result(&b, &value) == 1 && next_result(&b, &value) == 2);
    submit(&b, 4, -1);
    CHECK(next_result(&b, &value) == 4 && row_of(&b, 0).runs == 4);
    close_bench(&b);
}

/* Slot 0 is that of run 8, so seven runs lie side by side, and then one. */
static void runs_that_wait_together_are_computed_in_one_call(void)
{
    bench b = open_bench(
        "pipeline: p\nruns: 8\ninputs: [{name: x, dtype: f32, shape: [16]},\n"
        "         {name: y, dtype: f32, shape: [16]}]\nstages:\n" STAGE(
            "a", "neural", "affine", "batch: 8, params: {scale: 2}, ")
            STAGE(
                "b", "gpu", "affine",
                "batch: 3, params: {offset: 1}, ") "  - {name: c, domain: gpu, operation: "
                                                   "product, batch: 64, inputs: [{name: a, "
                                                   "dtype: f32, shape: [16]}, {name: b, "
                                                   "dtype: f32, shape: [16]}], outputs: "
                                                   "[{name: out, dtype: f32, shape: "
                                                   "[16]}]}\n"
                                                   "edges: [{from: x, to: a.in}, {from: "
                                                   "a.out, to: b.in}, {from: b.out, to: "
                                                   "c.a}, {from: x, to: c.b}]\nresults: "
                                                   "[c.out]\n");
    tribus_pipeline_stats stats;
    float value;

    for (int i = 1; i <= 8; i++)
        submit(&b, (float)i, -1);
    CHECK(tribus_host_step(b.host) == 3); /* one call of each stage */
    CHECK(row_of(&b, 0).calls == 1 && row_of(&b, 0).runs == 7);
    CHECK(row_of(&b, 1).calls == 1 && row_of(&b, 1).runs == 3);
    CHECK(row_of(&b, 2).calls == 1 && row_of(&b, 2).runs == 3);
    for (uint64_t i = 1; i <= 8; i++)
        CHECK(next_result(&b, &value) == i && value == (float)(i * (2 * i + 1)));
    CHECK(row_of(&b, 0).calls == 2 && row_of(&b, 0).runs == 8);
    tribus_pipeline_get_stats(b.f.pipe, &stats);
    CHECK(stats.zero_copy == 1.0 && stats.bytes_copied == 0);
    CHECK(stats.bytes_by_reference == 8u * 5u * 64u); /* x twice, a, b and c */
    submit(&b, 3, -1); /* one that comes alone is not waited with */
    CHECK(next_result(&b, &value) == 9 && value == 21.0f);
    CHECK(row_of(&b, 0).calls == 3);
    close_bench(&b);
}

static void run_in_a_batch_that_is_not_finite_fails_alone(void)
{
    bench b = open_bench("pipeline: p\nruns: 8\ninputs: [{name: x, dtype: f32, shape: "
                         "[16]}]\nstages:\n" STAGE("a", "gpu", "affine",
                                                   "batch: 8, finite: true, ") "edges: "
                                                                               "[{from: "
                                                                               "x, to: "
                                                                               "a.in}]"
                                                                               "\nresul"
                                                                               "ts: [a."
                                                                               "out]\n");
    tribus_pipeline_result r;

    submit(&b, 1, -1);
    submit(&b, INFINITY, -1);
    submit(&b, 3, -1);
    CHECK(tribus_host_step(b.host) == 1 && row_of(&b, 0).calls == 1);
    for (uint64_t i = 1; i <= 3; i++) {
        OK(tribus_pipeline_await_wait(b.f.pipe, 0, &r));
        CHECK(r.run == i && r.status == (i == 2 ? TRIBUS_BAD_DATA : TRIBUS_OK));
    }
    CHECK(row_of(&b, 0).failed == 1 && row_of(&b, 0).runs == 3);
    close_bench(&b);
}

/* A late run is not taken into a batch; it is cancelled on its own, the others go on. */
static void late_run_is_left_out_of_the_batch(void)
{
    bench b = open_bench("pipeline: p\nruns: 8\ninputs: [{name: x, dtype: f32, shape: "
                         "[16]}]\nstages:\n" STAGE("a", "gpu", "affine", "batch: 8, ") //
                         "edges: [{from: x, to: a.in}]\nresults: [a.out]\n");
    tribus_pipeline_result r;

    submit(&b, 1, -1);
    submit(&b, 2, -1);
    OK(tribus_pipeline_claim(b.f.pipe));
    OK(tribus_pipeline_submit(b.f.pipe, 1, NULL)); /* 1 ns */
    submit(&b, 4, -1);
    while (tribus_host_step(b.host) > 0)
        ;
    for (uint64_t i = 1; i <= 4; i++) {
        OK(tribus_pipeline_await_wait(b.f.pipe, 0, &r));
        CHECK(r.run == i && r.status == (i == 3 ? TRIBUS_TIMEOUT : TRIBUS_OK));
    }
    CHECK(row_of(&b, 0).calls == 2 && row_of(&b, 0).runs == 3 && row_of(&b, 0).late == 1);
    close_bench(&b);
}

int main(void)
{
    urgent_run_overtakes_queued_ones_at_every_stage();
    run_that_is_not_urgent_lets_others_pass();
    slots_of_runs_that_were_overtaken_are_not_given_away();
    stage_with_state_keeps_the_order_of_submission();
    successor_takes_up_behind_what_overtook();
    runs_that_wait_together_are_computed_in_one_call();
    run_in_a_batch_that_is_not_finite_fails_alone();
    late_run_is_left_out_of_the_batch();
    return 0;
}
