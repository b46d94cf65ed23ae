/* pipeline_fixture.h -- a pipeline and its hosts in one process over plain memory: no agent.
 * Participant 1 is the submitter, hosts are 2, 3, ...; a participant dies when its word in
 * fixture_lives is cleared. */
#ifndef TRIBUS_TESTS_PIPELINE_FIXTURE_H
#define TRIBUS_TESTS_PIPELINE_FIXTURE_H

#include "check.h"

#include "base/atomic.h"
#include "pipeline/host.h"
#include "pipeline/pipeline.h"

#include <pthread.h>

#define OK(call)                                                                           \
    do {                                                                                   \
        const tribus_status ok_ = (call);                                                  \
        if (ok_ != TRIBUS_OK) {                                                            \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call,              \
                    tribus_status_name(ok_), tribus_error_text());                         \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

#define FIXTURE_MOST        16u
#define FIXTURE_PATIENCE_NS INT64_C(120000000000)

static _Atomic(uint32_t) fixture_lives[FIXTURE_MOST];

static inline int fixture_alive(void *context, uint32_t participant, uint32_t epoch)
{
    (void)context;
    return participant < FIXTURE_MOST && epoch == 1 &&
           tribus_load_acq(&fixture_lives[participant]) != 0;
}

static inline tribus_peers fixture_peers(uint32_t participant)
{
    tribus_store_rel(&fixture_lives[participant], 1u);
    return (tribus_peers){.alive = fixture_alive, .participant = participant, .epoch = 1};
}

typedef struct fixture_plan {
    void *mem;
    size_t bytes;
    tribus_pipeline *pipe;
} fixture_plan;

/* Register a pipeline in plain memory. */
static inline fixture_plan fixture_register(const tribus_pipeline_cfg *cfg)
{
    const tribus_peers peers = fixture_peers(1);
    tribus_pipeline_source source;
    fixture_plan f = {0};
    tribus_plan *plan;

    OK(tribus_pipeline_read(cfg, &source));
    f.bytes = (size_t)source.plan_bytes;
    f.mem = aligned_alloc(4096, f.bytes);
    CHECK(f.mem != NULL);
    memset(f.mem, 0, f.bytes);
    const tribus_plan_cfg plan_cfg = {.text = source.text,
                                      .text_bytes = source.bytes,
                                      .origin = source.origin,
                                      .params = cfg->params,
                                      .param_count = cfg->param_count,
                                      .flags = cfg->flags,
                                      .participant = 1,
                                      .epoch = 1};
    OK(tribus_plan_create(f.mem, f.bytes, source.graph, &plan_cfg, &plan));
    source.graph = NULL;
    tribus_pipeline_source_close(&source);
    OK(tribus_pipeline_attach(plan, &peers, cfg, &f.pipe));
    return f;
}

static inline void fixture_close(fixture_plan *f)
{
    tribus_pipeline_close(f->pipe);
    free(f->mem);
}

/* A host on a thread. */
typedef struct fixture_host {
    pthread_t thread;
    const fixture_plan *plan;
    uint32_t participant, domains;
    int64_t spin_ns;
    const char *device; /* NULL: the CPU */
    _Atomic(uint32_t) stop;
} fixture_host;

static inline int fixture_stopped(void *context)
{
    return (int)tribus_load_acq(&((fixture_host *)context)->stop);
}

static inline void *fixture_host_main(void *context)
{
    fixture_host *f = context;
    const tribus_peers peers = fixture_peers(f->participant);
    const tribus_host_cfg cfg = {.device = f->device,
                                 .domains = f->domains,
                                 .spin_ns = f->spin_ns,
                                 .stopped = fixture_stopped,
                                 .context = f};
    tribus_host *host;

    OK(tribus_host_open(&cfg, &peers, &host));
    OK(tribus_host_attach(host, f->plan->mem, f->plan->bytes, 1));
    while (!fixture_stopped(f)) {
        tribus_status st;

        (void)tribus_host_balance(host);
        (void)tribus_host_take(host);
        while (tribus_host_step(host) > 0)
            ;
        st = tribus_host_wait(host, NULL, NULL, NULL, 20000000);
        CHECK(st == TRIBUS_OK || st == TRIBUS_TIMEOUT);
    }
    tribus_host_close(host);
    return NULL;
}

/* device: of the host, NULL the CPU. */
static inline void fixture_host_start_on(fixture_host *f, const fixture_plan *plan,
                                         uint32_t participant, uint32_t domains,
                                         const char *device)
{
    memset(f, 0, sizeof(*f));
    f->plan = plan;
    f->participant = participant;
    f->domains = domains;
    f->device = device;
    CHECK(pthread_create(&f->thread, NULL, fixture_host_main, f) == 0);
}

static inline void fixture_host_start(fixture_host *f, const fixture_plan *plan,
                                      uint32_t participant, uint32_t domains)
{
    fixture_host_start_on(f, plan, participant, domains, NULL);
}

static inline void fixture_host_stop(fixture_host *f)
{
    tribus_store_rel(&f->stop, 1u);
    for (uint32_t i = 0; i < TRIBUS_PLAN_MOST_HOSTS; i++)
        tribus_doorbell_press(tribus_plan_host_bell(f->plan->pipe->plan, i));
    CHECK(pthread_join(f->thread, NULL) == 0);
}

/* Wait for the next result, which must come. */
static inline tribus_pipeline_result fixture_await(tribus_pipeline *pipe)
{
    tribus_pipeline_result r;

    OK(tribus_pipeline_await_wait(pipe, FIXTURE_PATIENCE_NS, &r));
    return r;
}

#endif
