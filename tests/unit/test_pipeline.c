/* test_pipeline.c -- submitting and serving on threads of one process, so that
 * ThreadSanitizer sees both sides of every hand-off. */
#include "pipeline_fixture.h"

#include "base/os.h"

/* x * 2 + 1 on neural, then * 3 on gpu; a gate skips `odd` unless the mean is above 10. */
static const char line[] =
    "pipeline: line\n"
    "runs: 4\n"
    "dims: {n: 32}\n"
    "inputs:\n"
    "  - {name: x, dtype: f32, shape: [n]}\n"
    "stages:\n"
    "  - {name: a, domain: neural, operation: affine, params: {scale: 2, offset: 1},\n"
    "     inputs: [{name: in, dtype: f32, shape: [n]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [n]}]}\n"
    "  - {name: b, domain: gpu, operation: affine, params: {scale: 3}, finite: true,\n"
    "     inputs: [{name: in, dtype: f32, shape: [n]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [n]}]}\n"
    "edges:\n"
    "  - {from: x, to: a.in}\n"
    "  - {from: a.out, to: b.in}\n"
    "results: [b.out, a.out]\n";

static void submit_value(tribus_pipeline *pipe, float value, int64_t deadline_ns)
{
    tribus_tensor x;

    OK(tribus_pipeline_claim(pipe));
    OK(tribus_pipeline_input(pipe, 0, &x));
    for (uint32_t i = 0; i < 32; i++)
        ((float *)x.data)[i] = value + (float)i;
    OK(tribus_pipeline_submit(pipe, deadline_ns, NULL));
}

static void submit_writes_straight_into_slots_and_results_come_in_order(void)
{
    const tribus_pipeline_cfg cfg = {.text = line, .successor_ns = FIXTURE_PATIENCE_NS};
    fixture_plan f = fixture_register(&cfg);
    fixture_host neural, gpu;
    tribus_pipeline_stats stats;
    uint64_t sent = 0, got = 0;

    fixture_host_start(&neural, &f, 2, TRIBUS_DOMAIN_NEURAL);
    fixture_host_start(&gpu, &f, 3, TRIBUS_DOMAIN_GPU);
    OK(tribus_pipeline_ready_wait(f.pipe, FIXTURE_PATIENCE_NS));
    while (got < 2000) {
        tribus_pipeline_result r;
        tribus_tensor out;

        while (sent < 2000 && tribus_pipeline_claim(f.pipe) == TRIBUS_OK)
            submit_value(f.pipe, (float)sent++, 0);
        r = fixture_await(f.pipe);
        got++;
        CHECK(r.run == got && r.status == TRIBUS_OK && !r.hardware_accelerated);
        CHECK(r.queue_ns + r.compute_ns + r.handoff_ns == r.finished_ns - r.submitted_ns);
        OK(tribus_pipeline_result_tensor(f.pipe, r.run, 0, &out));
        for (uint32_t i = 0; i < 32; i++)
            CHECK(((const float *)out.data)[i] ==
                  ((float)(got - 1 + i) * 2.0f + 1.0f) * 3.0f + 0.0f);
        tribus_pipeline_release(f.pipe, r.run);
    }
    fixture_host_stop(&neural); /* hosts count a hand-over after they passed it on */
    fixture_host_stop(&gpu);
    tribus_pipeline_get_stats(f.pipe, &stats);
    CHECK(stats.submitted == 2000 && stats.finished == 2000 && stats.failed == 0);
    CHECK(stats.runs_in_flight == 0 && stats.total.count == 2000);
    CHECK(stats.zero_copy == 1.0 && stats.bytes_copied == 0);
    /* x and a.out and two results, 128 bytes each */
    CHECK(stats.bytes_by_reference == 2000u * 4u * 128u && stats.handoffs == 2000u * 4u);
    fixture_close(&f);
}

static void claim_when_runs_are_in_flight_is_full_until_release(void)
{
    const tribus_pipeline_cfg cfg = {
        .text = line, .runs = 2, .successor_ns = FIXTURE_PATIENCE_NS};
    fixture_plan f = fixture_register(&cfg);
    fixture_host both;
    tribus_pipeline_result a, b, none;
    tribus_pipeline_stats stats;

    CHECK(tribus_pipeline_await_wait(f.pipe, 0, &none) == TRIBUS_EMPTY);
    submit_value(f.pipe, 0, 0);
    submit_value(f.pipe, 1, 0);
    CHECK(tribus_pipeline_claim(f.pipe) == TRIBUS_FULL);
    CHECK(tribus_pipeline_await_wait(f.pipe, 1000, &none) != TRIBUS_OK); /* no host */
    fixture_host_start(&both, &f, 2, 0);
    a = fixture_await(f.pipe);
    b = fixture_await(f.pipe);
    CHECK(tribus_pipeline_claim(f.pipe) == TRIBUS_FULL);
    tribus_pipeline_release(f.pipe, b.run); /* the older one still holds its slot */
    CHECK(tribus_pipeline_claim(f.pipe) == TRIBUS_FULL);
    tribus_pipeline_release(f.pipe, a.run);
    tribus_pipeline_release(f.pipe, a.run); /* twice does no harm */
    OK(tribus_pipeline_claim(f.pipe));
    tribus_pipeline_get_stats(f.pipe, &stats);
    CHECK(stats.refused == 3 && stats.most_runs == 2);
    fixture_host_stop(&both);
    fixture_close(&f);
}

static void late_run_is_cancelled_downstream_and_counted(void)
{
    const tribus_pipeline_cfg cfg = {.text = line, .successor_ns = FIXTURE_PATIENCE_NS};
    fixture_plan f = fixture_register(&cfg);
    fixture_host neural, gpu;
    tribus_pipeline_result r;
    tribus_pipeline_stage_row row;
    tribus_tensor out;

    submit_value(f.pipe, 0, 1); /* 1 ns: over before any host is there */
    fixture_host_start(&neural, &f, 2, TRIBUS_DOMAIN_NEURAL);
    fixture_host_start(&gpu, &f, 3, TRIBUS_DOMAIN_GPU);
    OK(tribus_pipeline_ready_wait(f.pipe, FIXTURE_PATIENCE_NS));
    r = fixture_await(f.pipe);
    CHECK(r.status == TRIBUS_TIMEOUT);
    CHECK_TEXT(r.stage, "a");
    CHECK(strstr(r.text, "us before it began") != NULL);
    CHECK(tribus_pipeline_result_tensor(f.pipe, r.run, 0, &out) == TRIBUS_EMPTY);
    OK(tribus_pipeline_get_stage(f.pipe, 0, &row));
    CHECK(row.late == 1);
    OK(tribus_pipeline_get_stage(f.pipe, 1, &row));
    CHECK(row.late == 0 && row.runs == 0); /* not computed for nothing */
    tribus_pipeline_release(f.pipe, r.run);
    submit_value(f.pipe, 5, 0);
    r = fixture_await(f.pipe);
    CHECK(r.status == TRIBUS_OK && r.run == 2);
    fixture_host_stop(&neural);
    fixture_host_stop(&gpu);
    fixture_close(&f);
}

static void result_that_is_not_finite_fails_the_run_where_declared(void)
{
    const tribus_pipeline_cfg cfg = {.text = line, .successor_ns = FIXTURE_PATIENCE_NS};
    fixture_plan f = fixture_register(&cfg);
    fixture_host both;
    tribus_pipeline_result r;
    tribus_tensor out;

    fixture_host_start(&both, &f, 2, 0);
    submit_value(f.pipe, INFINITY, 0);
    submit_value(f.pipe, 1, 0);
    r = fixture_await(f.pipe);
    CHECK(r.status == TRIBUS_BAD_DATA);
    CHECK_TEXT(r.stage, "b");
    CHECK_TEXT(r.text, "output out is not finite");
    CHECK(tribus_pipeline_result_tensor(f.pipe, r.run, 0, &out) == TRIBUS_EMPTY);
    OK(tribus_pipeline_result_tensor(f.pipe, r.run, 1, &out)); /* a did not say finite */
    r = fixture_await(f.pipe);
    CHECK(r.status == TRIBUS_OK);
    fixture_host_stop(&both);
    fixture_close(&f);
}

static void copied_input_is_counted_or_refused(void)
{
    const tribus_pipeline_cfg cfg = {.text = line, .successor_ns = FIXTURE_PATIENCE_NS};
    const tribus_pipeline_cfg strict = {.text = line,
                                        .flags = TRIBUS_PIPELINE_REQUIRE_ZERO_COPY};
    const float x[32] = {1.0f};
    fixture_plan f = fixture_register(&cfg);
    fixture_host both;
    tribus_pipeline_stats stats;
    tribus_pipeline_link_row link;

    fixture_host_start(&both, &f, 2, 0);
    OK(tribus_pipeline_claim(f.pipe));
    CHECK(tribus_pipeline_copy_input(f.pipe, 0, x, 3) == TRIBUS_BAD_ARG);
    OK(tribus_pipeline_copy_input(f.pipe, 0, x, sizeof(x)));
    OK(tribus_pipeline_submit(f.pipe, 0, NULL));
    CHECK(fixture_await(f.pipe).status == TRIBUS_OK);
    fixture_host_stop(&both);
    OK(tribus_pipeline_get_link(f.pipe, 0, &link));
    CHECK(link.bytes_copied == 128 && link.bytes_by_reference == 0 && link.runs == 1);
    tribus_pipeline_get_stats(f.pipe, &stats);
    CHECK_NEAR(stats.zero_copy, 0.75, 1e-12);
    fixture_close(&f);

    f = fixture_register(&strict);
    OK(tribus_pipeline_claim(f.pipe));
    CHECK(tribus_pipeline_copy_input(f.pipe, 0, x, sizeof(x)) == TRIBUS_REFUSED);
    CHECK(strstr(tribus_error_text(), "requires zero copy") != NULL);
    fixture_close(&f);
}

static const char graph[] =
    "pipeline: graph\n"
    "runs: 3\n"
    "dims: {n: 8}\n"
    "inputs:\n"
    "  - {name: x, dtype: f32, shape: [n]}\n"
    "  - {name: w, dtype: f32, shape: [n], keep: true}\n"
    "stages:\n"
    "  - {name: gate, domain: neural, operation: above, params: {threshold: 10},\n"
    "     inputs: [{name: in, dtype: f32, shape: [n]}],\n"
    "     outputs: [{name: yes, dtype: i32, shape: [1]}]}\n"
    "  - {name: high, domain: gpu, operation: affine, when: gate.yes, params: {scale: "
    "10},\n"
    "     inputs: [{name: in, dtype: f32, shape: [n]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [n]}]}\n"
    "  - {name: pick, domain: neural, operation: product,\n"
    "     inputs: [{name: a, dtype: f32, shape: [n]}, {name: b, dtype: f32, shape: [n]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [n]}]}\n"
    "  - {name: total, domain: gpu, operation: sum,\n"
    "     inputs: [{name: new, dtype: f32, shape: [n]}, {name: old, dtype: f32, shape: "
    "[n]},\n"
    "              {name: bonus, dtype: f32, shape: [n], optional: true}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [n]}]}\n"
    "edges:\n"
    "  - {from: x, to: gate.in}\n"
    "  - {from: x, to: high.in}\n"
    "  - {from: high.out, to: pick.a}\n"
    "  - {from: x, to: pick.a, otherwise: true}\n"
    "  - {from: w, to: pick.b}\n"
    "  - {from: pick.out, to: total.new}\n"
    "  - {from: high.out, to: total.bonus}\n"
    "  - {from: total.out, to: total.old, state: true}\n"
    "results: [total.out, high.out]\n";

static void graph_with_branch_state_and_kept_input_is_what_a_loop_computes(void)
{
    const tribus_pipeline_cfg cfg = {.text = graph, .successor_ns = FIXTURE_PATIENCE_NS};
    fixture_plan f = fixture_register(&cfg);
    fixture_host neural, gpu;
    float state = 0.0f, weight = 0.0f;
    uint64_t sent = 0, got = 0;
    float wants[256];
    bool highs[256];
    tribus_tensor t;

    fixture_host_start(&neural, &f, 2, TRIBUS_DOMAIN_NEURAL);
    fixture_host_start(&gpu, &f, 3, TRIBUS_DOMAIN_GPU);
    OK(tribus_pipeline_claim(f.pipe));
    CHECK(tribus_pipeline_submit(f.pipe, 0, NULL) == TRIBUS_BAD_ARG); /* w never written */
    while (got < 256) {
        while (sent < 256 && tribus_pipeline_claim(f.pipe) == TRIBUS_OK) {
            const float x = (float)(sent * 7 % 23);

            OK(tribus_pipeline_input(f.pipe, 0, &t));
            for (uint32_t i = 0; i < 8; i++)
                ((float *)t.data)[i] = x;
            if (sent % 5 == 0) {
                weight = 1.0f + (float)(sent % 3);
                OK(tribus_pipeline_input(f.pipe, 1, &t));
                for (uint32_t i = 0; i < 8; i++)
                    ((float *)t.data)[i] = weight;
            }
            OK(tribus_pipeline_submit(f.pipe, 0, NULL));
            highs[sent] = x > 10.0f;
            state = (highs[sent] ? x * 10.0f : x) * weight + state +
                    (highs[sent] ? x * 10.0f : 0.0f);
            wants[sent++] = state;
        }
        const tribus_pipeline_result r = fixture_await(f.pipe);
        CHECK(r.status == TRIBUS_OK);
        OK(tribus_pipeline_result_tensor(f.pipe, r.run, 0, &t));
        CHECK(((const float *)t.data)[7] == wants[got]);
        CHECK((tribus_pipeline_result_tensor(f.pipe, r.run, 1, &t) == TRIBUS_OK) ==
              highs[got]);
        tribus_pipeline_release(f.pipe, r.run);
        got++;
    }
    fixture_host_stop(&neural);
    fixture_host_stop(&gpu);
    fixture_close(&f);
}

static void await_names_the_stage_nobody_serves_and_a_successor_finishes(void)
{
    const tribus_pipeline_cfg cfg = {.text = line};
    fixture_plan f = fixture_register(&cfg);
    fixture_host neural, gpu, successor;
    tribus_pipeline_result r;

    fixture_host_start(&neural, &f, 2, TRIBUS_DOMAIN_NEURAL);
    fixture_host_start(&gpu, &f, 3, TRIBUS_DOMAIN_GPU);
    OK(tribus_pipeline_ready_wait(f.pipe, FIXTURE_PATIENCE_NS));
    fixture_host_stop(&gpu); /* gives its stages up */
    submit_value(f.pipe, 3, 0);
    CHECK(tribus_pipeline_await_wait(f.pipe, FIXTURE_PATIENCE_NS, &r) == TRIBUS_PEER_LOST);
    CHECK_TEXT(tribus_error_text(),
               "pipeline line: stage b has no host; run 1 waits for one of the domain gpu");
    fixture_host_start(&successor, &f, 4, TRIBUS_DOMAIN_GPU);
    while (tribus_pipeline_await_wait(f.pipe, FIXTURE_PATIENCE_NS, &r) == TRIBUS_PEER_LOST)
        ;
    CHECK(r.status == TRIBUS_OK && r.run == 1);
    fixture_host_stop(&neural);
    fixture_host_stop(&successor);
    fixture_close(&f);
}

static uint32_t stages_of(const tribus_pipeline *pipe, const char *host)
{
    tribus_pipeline_stage_row row;
    uint32_t n = 0;

    for (uint32_t i = 0; tribus_pipeline_get_stage(pipe, i, &row) == TRIBUS_OK; i++)
        n += strcmp(row.host, host) == 0 && row.state == TRIBUS_STAGE_READY ? 1 : 0;
    return n;
}

static void hosts_of_one_domain_share_the_stages_while_runs_go_on(void)
{
    static char text[4096];
    tribus_pipeline_cfg cfg = {.text = text, .successor_ns = FIXTURE_PATIENCE_NS};
    const int64_t deadline = tribus_now_ns() + FIXTURE_PATIENCE_NS;
    fixture_plan f;
    fixture_host first, second;
    tribus_pipeline_stage_row row;
    size_t at = (size_t)snprintf(text, sizeof(text),
                                 "pipeline: four\ninputs: [{name: x, dtype: f32, shape: "
                                 "[32]}]\nstages:\n");
    uint64_t runs = 0;

    for (int i = 0; i < 4; i++)
        at +=
            (size_t)snprintf(text + at, sizeof(text) - at,
                             "  - {name: s%d, domain: gpu, operation: affine, params: "
                             "{offset: 1}, inputs: [{name: in, dtype: f32, shape: [32]}], "
                             "outputs: [{name: out, dtype: f32, shape: [32]}]}\n",
                             i);
    (void)snprintf(
        text + at, sizeof(text) - at,
        "edges: [{from: x, to: s0.in}, {from: s0.out, to: s1.in}, {from: s1.out, "
        "to: s2.in}, {from: s2.out, to: s3.in}]\nresults: [s3.out]\n");
    f = fixture_register(&cfg);
    fixture_host_start(&first, &f, 2, TRIBUS_DOMAIN_GPU);
    OK(tribus_pipeline_ready_wait(f.pipe, FIXTURE_PATIENCE_NS));
    CHECK(stages_of(f.pipe, "participant 2") == 4);
    fixture_host_start(&second, &f, 3, TRIBUS_DOMAIN_GPU);
    while (runs < 500 || stages_of(f.pipe, "participant 3") == 0) {
        tribus_pipeline_result r;
        tribus_tensor t;

        CHECK(tribus_now_ns() < deadline);
        submit_value(f.pipe, (float)(runs % 100), 0);
        r = fixture_await(f.pipe);
        CHECK(r.status == TRIBUS_OK && r.run == ++runs);
        OK(tribus_pipeline_result_tensor(f.pipe, r.run, 0, &t));
        CHECK(((const float *)t.data)[0] == (float)((runs - 1) % 100) + 4.0f);
        tribus_pipeline_release(f.pipe, r.run);
    }
    CHECK(stages_of(f.pipe, "participant 2") > 0);
    fixture_host_stop(&first);
    fixture_host_stop(&second);
    for (uint32_t i = 0; tribus_pipeline_get_stage(f.pipe, i, &row) == TRIBUS_OK; i++)
        CHECK(row.runs == runs);
    fixture_close(&f);
}

/* Keeps as many runs in flight as there may be, until enough are done. */
typedef struct feeder {
    uint64_t sent, got, want;
} feeder;

static void feed(feeder *f, tribus_pipeline *pipe)
{
    while (f->sent < f->want && tribus_pipeline_claim(pipe) == TRIBUS_OK)
        submit_value(pipe, (float)(f->sent++ % 64), 0);
}

static void take_result(void *context, tribus_pipeline *pipe,
                        const tribus_pipeline_result *r)
{
    feeder *f = context;
    tribus_tensor t;

    CHECK(r->status == TRIBUS_OK && r->run == ++f->got);
    OK(tribus_pipeline_result_tensor(pipe, r->run, 0, &t));
    CHECK(((const float *)t.data)[0] == ((float)((f->got - 1) % 64) * 2.0f + 1.0f) * 3.0f);
}

/* TRIBUS_RUNS=1000000 for the million of the promise. */
static void memory_is_flat_over_many_runs(void)
{
    const char *given = getenv("TRIBUS_RUNS");
    const tribus_pipeline_cfg cfg = {
        .text = line, .runs = 64, .successor_ns = FIXTURE_PATIENCE_NS};
    feeder f = {.want = given != NULL ? strtoull(given, NULL, 10) : 20000};
    fixture_plan plan = fixture_register(&cfg);
    fixture_host neural, gpu;
    size_t before = 0;

    fixture_host_start(&neural, &plan, 2, TRIBUS_DOMAIN_NEURAL);
    fixture_host_start(&gpu, &plan, 3, TRIBUS_DOMAIN_GPU);
    while (f.got < f.want) {
        feed(&f, plan.pipe);
        OK(tribus_pipeline_on_result_wait(plan.pipe, FIXTURE_PATIENCE_NS, take_result, &f,
                                          NULL));
        if (before == 0 && f.got > f.want / 10)
            before = tribus_os_resident_bytes(0);
    }
    printf("%llu runs, resident %zu KiB after a tenth, %zu KiB at the end\n",
           (unsigned long long)f.got, before >> 10, tribus_os_resident_bytes(0) >> 10);
    CHECK(tribus_os_resident_bytes(0) <= before + (1u << 20));
    fixture_host_stop(&neural);
    fixture_host_stop(&gpu);
    fixture_close(&plan);
}

static void ready_wait_tells_who_is_missing_and_why_a_host_refused(void)
{
    static const char bad[] =
        "pipeline: bad\ninputs: [{name: x, dtype: f32, shape: [4]}]\nstages:\n"
        "  - {name: m, domain: neural, operation: test_pipeline.onnx,\n"
        "     inputs: [{name: in, dtype: f32, shape: [4]}],\n"
        "     outputs: [{name: out, dtype: f32, shape: [4]}]}\n"
        "edges: [{from: x, to: m.in}]\nresults: [m.out]\n";
    const tribus_pipeline_cfg cfg = {.text = bad, .path = "bad.yaml"};
    FILE *file = fopen("test_pipeline.onnx", "w");
    fixture_plan f;
    fixture_host both;

    CHECK(file != NULL && fputs("this is not a model", file) > 0 && fclose(file) == 0);
    f = fixture_register(&cfg);
    CHECK(tribus_pipeline_ready_wait(f.pipe, 1000) == TRIBUS_TIMEOUT);
    CHECK_TEXT(tribus_error_text(),
               "pipeline bad: stage m: no host has it ready; start one "
               "with `tribus host --domain neural`");
    fixture_host_start(&both, &f, 2, 0);
    CHECK(tribus_pipeline_ready_wait(f.pipe, FIXTURE_PATIENCE_NS) == TRIBUS_REFUSED);
    CHECK(strncmp(tribus_error_text(), "bad.yaml:4: stage m: ", 21) == 0);
    CHECK(strstr(tribus_error_text(), "test_pipeline.onnx") != NULL);
    fixture_host_stop(&both);
    fixture_close(&f);
    (void)remove("test_pipeline.onnx");
}

int main(void)
{
    submit_writes_straight_into_slots_and_results_come_in_order();
    claim_when_runs_are_in_flight_is_full_until_release();
    late_run_is_cancelled_downstream_and_counted();
    result_that_is_not_finite_fails_the_run_where_declared();
    copied_input_is_counted_or_refused();
    graph_with_branch_state_and_kept_input_is_what_a_loop_computes();
    await_names_the_stage_nobody_serves_and_a_successor_finishes();
    hosts_of_one_domain_share_the_stages_while_runs_go_on();
    memory_is_flat_over_many_runs();
    ready_wait_tells_who_is_missing_and_why_a_host_refused();
    return 0;
}
