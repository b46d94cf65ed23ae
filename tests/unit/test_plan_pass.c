/* test_plan_pass.c -- src/pipeline/plan_pass.c: whom a pass wakes. Nobody runs at the same time
 * here: hosts are stepped by hand, and a bell that was armed shows whether it would have woken
 * somebody. */
#include "pipeline_fixture.h"

/* Two results, one of each domain; the second stage of `gpu` reads both. */
static const char text[] =
    "pipeline: wakes\nruns: 2\ninputs: [{name: x, dtype: f32, shape: [4]}]\nstages:\n"
    "  - {name: a, domain: neural, operation: affine, inputs: [{name: in, dtype: f32, "
    "shape: "
    "[4]}], outputs: [{name: out, dtype: f32, shape: [4]}]}\n"
    "  - {name: b, domain: gpu, operation: affine, inputs: [{name: in, dtype: f32, shape: "
    "[4]}], "
    "outputs: [{name: out, dtype: f32, shape: [4]}]}\n"
    "  - {name: c, domain: gpu, operation: sum, inputs: [{name: l, dtype: f32, shape: "
    "[4]}, "
    "{name: r, dtype: f32, shape: [4]}], outputs: [{name: out, dtype: f32, shape: [4]}]}\n"
    "edges:\n  - {from: x, to: a.in}\n  - {from: x, to: b.in}\n  - {from: a.out, to: c.l}\n"
    "  - {from: b.out, to: c.r}\nresults: [a.out, c.out]\n";

/* Would whoever sleeps on an armed bell have been woken? See doorbell.c: bit 0. */
static bool rang(tribus_doorbell_shm *bell)
{
    return (*(const uint32_t *)(const void *)bell & 1u) == 0;
}

typedef struct stage_host {
    tribus_host *host;
    tribus_peers peers;
} stage_host;

static void host_open(stage_host *h, const fixture_plan *f, uint32_t participant,
                      uint32_t domain)
{
    const tribus_host_cfg cfg = {.domains = domain};

    h->peers = fixture_peers(participant);
    OK(tribus_host_open(&cfg, &h->peers, &h->host));
    OK(tribus_host_attach(h->host, f->mem, f->bytes, 1));
    CHECK(tribus_host_take(h->host) > 0);
}

static void submit(const fixture_plan *f)
{
    tribus_tensor t;

    OK(tribus_pipeline_claim(f->pipe));
    OK(tribus_pipeline_input(f->pipe, 0, &t));
    memset(t.data, 0, 16);
    OK(tribus_pipeline_submit(f->pipe, 0, NULL));
}

static void whoever_waits_for_several_is_woken_by_the_last(void)
{
    const tribus_pipeline_cfg cfg = {.text = text, .path = "wakes"};
    fixture_plan f = fixture_register(&cfg);
    const tribus_plan *plan = f.pipe->plan;
    tribus_doorbell_shm *submitter = tribus_plan_bell(plan);
    tribus_doorbell_shm *neural_bell = tribus_plan_host_bell(plan, 0);
    tribus_doorbell_shm *gpu_bell = tribus_plan_host_bell(plan, 1);
    tribus_pipeline_result r;
    stage_host neural, gpu;

    host_open(&neural, &f, 2, TRIBUS_DOMAIN_NEURAL);
    host_open(&gpu, &f, 3, TRIBUS_DOMAIN_GPU);

    tribus_doorbell_arm(neural_bell);
    tribus_doorbell_arm(gpu_bell);
    submit(&f);
    CHECK(rang(neural_bell) && rang(gpu_bell));

    /* b is done, c waits for a: c's host has nothing to do, and the submitter no result */
    CHECK(tribus_host_step(gpu.host) == 1);
    tribus_doorbell_arm(submitter);
    tribus_doorbell_arm(gpu_bell);
    CHECK(tribus_host_step(neural.host) == 1);
    CHECK(rang(gpu_bell) && !rang(submitter)); /* a is one result of two */
    CHECK(tribus_host_step(gpu.host) == 1);
    CHECK(rang(submitter));
    OK(tribus_pipeline_await_wait(f.pipe, FIXTURE_PATIENCE_NS, &r));
    CHECK(r.status == TRIBUS_OK);
    tribus_pipeline_release(f.pipe, r.run);

    /* the other way round: a first wakes nobody, b is of c's own host */
    tribus_doorbell_arm(gpu_bell);
    submit(&f);
    CHECK(rang(gpu_bell));
    tribus_doorbell_arm(gpu_bell);
    CHECK(tribus_host_step(neural.host) == 1);
    CHECK(!rang(gpu_bell));
    CHECK(tribus_host_step(gpu.host) == 2);
    CHECK(rang(submitter));
    OK(tribus_pipeline_await_wait(f.pipe, FIXTURE_PATIENCE_NS, &r));
    CHECK(r.status == TRIBUS_OK);
    tribus_pipeline_release(f.pipe, r.run);

    tribus_host_close(gpu.host);
    tribus_host_close(neural.host);
    fixture_close(&f);
}

static void host_that_takes_a_stage_over_wakes_without_asking(void)
{
    const tribus_pipeline_cfg cfg = {.text = text, .path = "wakes"};
    fixture_plan f = fixture_register(&cfg);
    tribus_doorbell_shm *gpu_bell = tribus_plan_host_bell(f.pipe->plan, 0);
    stage_host neural, gpu;

    host_open(&gpu, &f, 3, TRIBUS_DOMAIN_GPU);
    submit(&f);
    tribus_doorbell_arm(gpu_bell);
    host_open(&neural, &f, 2,
              TRIBUS_DOMAIN_NEURAL); /* its forerunner may have told nobody */
    CHECK(rang(gpu_bell));
    tribus_host_close(gpu.host);
    tribus_host_close(neural.host);
    fixture_close(&f);
}

int main(void)
{
    whoever_waits_for_several_is_woken_by_the_last();
    host_that_takes_a_stage_over_wakes_without_asking();
    return 0;
}
