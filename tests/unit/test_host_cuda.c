/* test_host_cuda.c -- the compute host's protocol on a card: hosts as processes of their own,
 * whose card is the fake driver's. What its kernel does is in a page that all processes share.
 * labels: multiprocess
 * timeout: 180 */
#include "fake_card.h"
#include "host_nursery.h"

#include "base/atomic.h"
#include "device/cuda_image.h"
#include "device/quant_cuda.h"
#include "pipeline/operation.h"

#include <sys/mman.h>

#define BUCKETS 8u

/* What hosts and the test tell each other. */
typedef struct page {
    _Atomic(uint32_t) begun; /* kernels */
    _Atomic(uint32_t) ended;
    _Atomic(uint32_t) closed;    /* nonzero: kernels wait before they write */
    _Atomic(uint32_t) launches;  /* calls of the driver */
    _Atomic(uint32_t) looks;     /* at the stream, after a launch */
    _Atomic(uint32_t) too_early; /* looked at before anything was launched */
} page;

static page *shared;

/* Instead of tribus_quant_score on a card. */
static void score(const void *argument, fake_grid grid)
{
    const tribus_quant_score_args *a = argument;
    const int64_t deadline = tribus_now_ns() + PATIENCE_NS;
    float sum = 0.0f;

    (void)tribus_add_rlx(&shared->begun, 1u);
    CHECK(grid.blocks == 1);
    while (tribus_load_acq(&shared->closed) != 0) {
        CHECK(tribus_now_ns() < deadline);
        (void)usleep(100);
    }
    for (uint32_t i = 0; i < a->buckets; i++)
        sum += a->imbalance[i];
    for (uint32_t i = 0; i < 4; i++)
        a->score[i] = sum + (float)i;
    (void)tribus_add_rlx(&shared->ended, 1u);
}

/* In the host, before each call of the driver. */
static void look(const char *symbol, void *context)
{
    (void)context;
    if (strcmp(symbol, "cuLaunchKernel") == 0 || strcmp(symbol, "cuGraphLaunch") == 0)
        (void)tribus_add_rlx(&shared->launches, 1u);
    if (strcmp(symbol, "cuStreamQuery") == 0)
        (void)tribus_add_rlx(tribus_load_rlx(&shared->launches) > 0 ? &shared->looks
                                                                    : &shared->too_early,
                             1u);
}

typedef struct bench {
    nursery nursery;
    tribus_agent *agent;
    tribus_session *session;
    tribus_pipeline *pipe;
    pid_t host;
} bench;

/* On the card, then doubled on the CPU of the same host. */
static const char text[] =
    "pipeline: card\nruns: 4\ninputs:\n  - {name: i, dtype: f32, shape: [8]}\n"
    "  - {name: r, dtype: f32, shape: [1, 3]}\nstages:\n"
    "  - {name: score, domain: gpu, operation: toxicity_score,\n"
    "     inputs: [{name: i, dtype: f32, shape: [8]}, {name: r, dtype: f32, shape: [1, "
    "3]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [4]}]}\n"
    "  - {name: twice, domain: neural, operation: affine, params: {scale: 2},\n"
    "     inputs: [{name: in, dtype: f32, shape: [4]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [4]}]}\n"
    "edges: [{from: i, to: score.i}, {from: r, to: score.r}, {from: score.out, to: "
    "twice.in}]\n"
    "results: [twice.out]\n";

static bench open_bench(bool closed)
{
    const tribus_pipeline_cfg cfg = {.text = text};
    bench b = {.nursery = nursery_open()};

    memset(shared, 0, sizeof(*shared));
    tribus_store_rel(&shared->closed, closed ? 1u : 0u);
    b.agent = fixture_agent((tribus_agent_cfg){0});
    b.session = fixture_session("submitter");
    b.host = nursery_start(&b.nursery, "card", 0);
    OK(tribus_pipeline_register(b.session, &cfg, &b.pipe));
    OK(tribus_pipeline_ready_wait(b.pipe, PATIENCE_NS));
    return b;
}

static void close_bench(bench *b)
{
    tribus_pipeline_close(b->pipe);
    tribus_session_close(b->session);
    tribus_agent_stop(b->agent);
    nursery_close(&b->nursery);
}

static void submit(bench *b, float value, int64_t deadline_ns)
{
    tribus_tensor t;

    OK(tribus_pipeline_claim(b->pipe));
    OK(tribus_pipeline_input(b->pipe, 0, &t));
    for (uint32_t i = 0; i < BUCKETS; i++)
        ((float *)t.data)[i] = value;
    OK(tribus_pipeline_input(b->pipe, 1, &t));
    memset(t.data, 0, 3 * sizeof(float));
    OK(tribus_pipeline_submit(b->pipe, deadline_ns, NULL));
}

static tribus_pipeline_result await(bench *b)
{
    tribus_pipeline_result r;

    OK(tribus_pipeline_await_wait(b->pipe, PATIENCE_NS, &r));
    return r;
}

static void check_value(bench *b, const tribus_pipeline_result *r, float value)
{
    tribus_tensor t;

    CHECK(r->status == TRIBUS_OK);
    OK(tribus_pipeline_result_tensor(b->pipe, r->run, 0, &t));
    for (uint32_t i = 0; i < 4; i++)
        CHECK(((const float *)t.data)[i] == 2.0f * (value * (float)BUCKETS + (float)i));
    tribus_pipeline_release(b->pipe, r->run);
}

static void wait_begun(uint32_t kernels)
{
    const int64_t deadline = tribus_now_ns() + PATIENCE_NS;

    while (tribus_load_acq(&shared->begun) < kernels) {
        CHECK(tribus_now_ns() < deadline);
        (void)usleep(100);
    }
}

/* The ordering rule: what follows sees a stage's output only when the card is done with it. */
static void a_pass_is_shown_only_when_the_card_is_done(void)
{
    bench b = open_bench(true);
    tribus_pipeline_stage_row row;
    tribus_pipeline_result r;

    OK(tribus_pipeline_get_stage(b.pipe, 0, &row));
    CHECK_TEXT(row.device, "cuda:0");
    OK(tribus_pipeline_get_stage(b.pipe, 1, &row));
    CHECK(strstr(row.text, "runs on cpu, not on cuda:0") != NULL);
    submit(&b, 1.0f, 0);
    wait_begun(1);
    for (uint32_t i = 0; i < 5; i++) { /* the kernel runs; nothing may be seen of it */
        CHECK(tribus_pipeline_await_wait(b.pipe, 2000000, &r) == TRIBUS_TIMEOUT);
        CHECK(tribus_load_acq(&tribus_plan_pass(b.pipe->plan, 1, 2)->tried_run) != 1);
    }
    CHECK(tribus_load_acq(&shared->ended) == 0);
    tribus_store_rel(&shared->closed, 0u);
    r = await(&b);
    CHECK(tribus_load_acq(&shared->ended) == 1);
    check_value(&b, &r, 1.0f);
    for (uint32_t run = 2; run <= 40; run++) { /* every slot again and again: graphs, too */
        submit(&b, (float)run, 0);
        r = await(&b);
        check_value(&b, &r, (float)run);
        CHECK(tribus_load_acq(&shared->ended) == run);
    }
    CHECK(tribus_load_acq(&shared->launches) >= 40);
    CHECK(tribus_load_acq(&shared->looks) >= 40 &&
          tribus_load_acq(&shared->too_early) == 0);
    close_bench(&b);
}

/* A run whose deadline has passed does not reach the card. */
static void a_run_that_is_too_late_launches_nothing(void)
{
    bench b = open_bench(false);
    tribus_pipeline_result r;

    submit(&b, 1.0f, 1);
    r = await(&b);
    CHECK(r.status == TRIBUS_TIMEOUT);
    CHECK_TEXT(r.stage, "score");
    CHECK(tribus_load_acq(&shared->begun) == 0);
    tribus_pipeline_release(b.pipe, r.run);
    submit(&b, 2.0f, 0);
    r = await(&b);
    check_value(&b, &r, 2.0f);
    close_bench(&b);
}

/* A call that fails fails its run, with the stage's name and the driver's words; nothing that
 * follows works on what was not computed, and the next run is right. */
static void a_failed_launch_poisons_its_run_only(const fake_ops *fake)
{
    tribus_pipeline_result r;
    bench b;

    fake->fail("cuLaunchKernel", 1, 719); /* inherited by the host */
    b = open_bench(false);
    fake->reset();
    fake->hook(look, NULL);
    submit(&b, 1.0f, 0);
    r = await(&b);
    CHECK(r.status != TRIBUS_OK);
    CHECK_TEXT(r.stage, "score");
    CHECK(strstr(r.text, "a failure of the fake") != NULL);
    CHECK(tribus_load_acq(&shared->begun) == 0);
    tribus_pipeline_release(b.pipe, r.run);
    submit(&b, 3.0f, 0);
    r = await(&b);
    check_value(&b, &r, 3.0f);
    close_bench(&b);
}

/* The producer of what `twice` waits for dies in mid-kernel. */
static void a_host_killed_in_mid_kernel_is_named_and_its_successor_finishes(void)
{
    bench b = open_bench(true);
    tribus_pipeline_result r;
    tribus_status st;

    submit(&b, 5.0f, 0);
    wait_begun(1);
    CHECK(kill(b.host, SIGKILL) == 0);
    st = tribus_pipeline_await_wait(b.pipe, PATIENCE_NS, &r);
    CHECK(st == TRIBUS_PEER_LOST);
    CHECK(strstr(tribus_error_text(), "stage score lost its host, which died") != NULL);
    CHECK(tribus_load_acq(&shared->ended) == 0);
    tribus_store_rel(&shared->closed, 0u);
    (void)nursery_start(&b.nursery, "card-2", 0);
    do
        st = tribus_pipeline_await_wait(b.pipe, PATIENCE_NS, &r);
    while (st == TRIBUS_PEER_LOST);
    OK(st);
    CHECK(r.redelivered && r.run == 1);
    check_value(&b, &r, 5.0f);
    CHECK(tribus_load_acq(&shared->begun) == 2 && tribus_load_acq(&shared->ended) == 1);
    close_bench(&b);
}

int main(void)
{
    const fake_ops *fake = fake_card();

    if (tribus_cuda_images[0].name == NULL)
        SKIP("this build has no kernels for NVIDIA cards: no stage runs on one");
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    CHECK(shared != MAP_FAILED);
    fake->kernel("tribus_quant_score", score, sizeof(tribus_quant_score_args));
    fake->hook(look, NULL);
    nursery_device = "cuda:0";
    a_pass_is_shown_only_when_the_card_is_done();
    a_run_that_is_too_late_launches_nothing();
    a_failed_launch_poisons_its_run_only(fake);
    a_host_killed_in_mid_kernel_is_named_and_its_successor_finishes();
    return 0;
}
