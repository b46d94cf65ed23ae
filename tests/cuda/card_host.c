/* card_host.c -- a compute host on the card is killed in the middle of a kernel: who awaits its
 * run is told within 100 ms of the death, what was committed before is intact, its successor
 * finishes the run with the same bits, and the card's memory returns. The parent has no
 * context. TRIBUS_CARD_DEVICE=cpu tries the test itself on the CPU. */
#include "card.h"

#include "pipeline/pipeline.h"
#include "tribus/agent.h"

#include <poll.h>

#define ASSETS   439
#define DEATH_NS INT64_C(100000000)

static const char text[] =
    "pipeline: long\nruns: 4\ninputs:\n  - {name: f, dtype: f32, shape: [439, 2]}\n"
    "  - {name: l, dtype: f32, shape: [439, 439]}\n  - {name: w, dtype: f32, shape: "
    "[439]}\n"
    "stages:\n  - {name: mc, domain: gpu, operation: mc_var_es,\n"
    "     params: {paths: paths, exact: 1, nu: 5, seed: 3},\n"
    "     inputs: [{name: f, dtype: f32, shape: [439, 2]},"
    " {name: l, dtype: f32, shape: [439, 439]}, {name: w, dtype: f32, shape: [439]}],\n"
    "     outputs: [{name: out, dtype: f64, shape: [4]}]}\n"
    "edges: [{from: f, to: mc.f}, {from: l, to: mc.l}, {from: w, to: mc.w}]\n"
    "results: [mc.out]\ndims: {paths: 1000}\n";

typedef struct page {
    _Alignas(64) _Atomic(int64_t) go[2]; /* host i may start */
} page;

static page *shared;
static char socket_path[96];

static const char *device(void)
{
    const char *given = getenv("TRIBUS_CARD_DEVICE");

    return given != NULL ? given : "cuda:0";
}

static pid_t host_start(int which)
{
    const tribus_session_cfg session_cfg = {.socket_path = socket_path,
                                            .name = which == 0 ? "first" : "second",
                                            .role = "host",
                                            .timeout_ns = CARD_LONG_NS};
    const tribus_host_cfg cfg = {.device = device()};
    const pid_t pid = card_fork();
    tribus_session *session;

    if (pid != 0)
        return pid;
    card_await(&shared->go[which], 1);
    GOOD(tribus_session_open(&session_cfg, &session));
    GOOD(tribus_host_run(session, &cfg));
    _exit(0);
}

static void submit(tribus_pipeline *pipe)
{
    tribus_tensor t[3];

    GOOD(tribus_pipeline_claim(pipe));
    for (uint32_t i = 0; i < 3; i++) {
        GOOD(tribus_pipeline_input(pipe, i, &t[i]));
        memset(t[i].data, 0, (size_t)tribus_tensor_elements(&t[i]) * 4);
    }
    for (size_t i = 0; i < ASSETS; i++) {
        ((float *)t[0].data)[2 * i + 1] = 0.01f + 0.0001f * (float)(i % 37);
        ((float *)t[1].data)[i * ASSETS + i] = 1.0f;
        ((float *)t[2].data)[i] = 1000.0f;
    }
    GOOD(tribus_pipeline_submit(pipe, 0, NULL));
}

static void await(tribus_pipeline *pipe, double out[4], tribus_pipeline_result *r)
{
    const int64_t deadline_ns = tribus_now_ns() + CARD_LONG_NS;
    tribus_tensor t;
    tribus_status st;

    while ((st = tribus_pipeline_await_wait(pipe, CARD_LONG_NS, r)) == TRIBUS_PEER_LOST)
        CHECK(tribus_now_ns() < deadline_ns);
    GOOD(st);
    GOOD(r->status);
    GOOD(tribus_pipeline_result_tensor(pipe, r->run, 0, &t));
    memcpy(out, t.data, 4 * sizeof(double));
}

/* Waits for the death by its pidfd, as the agent does. Returns when it was seen. */
static int64_t kill_and_see(pid_t victim, int64_t *killed_ns)
{
    struct pollfd poller = {.events = POLLIN};
    int64_t seen_ns;

    GOOD(tribus_os_pidfd(victim, &poller.fd));
    *killed_ns = tribus_now_ns();
    CHECK(kill(victim, SIGKILL) == 0);
    CHECK(poll(&poller, 1, 20000) == 1);
    seen_ns = tribus_now_ns();
    (void)close(poller.fd);
    return seen_ns;
}

static void await_is_told_of_a_host_killed_in_mid_kernel(const pid_t hosts[2],
                                                         tribus_session *session)
{
    const double paths = strcmp(device(), "cpu") == 0 ? 200000 : 10000000;
    const tribus_pipeline_param params[] = {{"mc.paths", paths}};
    const tribus_pipeline_cfg cfg = {.text = text, .params = params, .param_count = 1};
    const struct timespec into_the_kernel = {.tv_nsec = 3000000};
    tribus_pipeline *pipe;
    tribus_pipeline_result r;
    double before[4], kept[4], after[4];
    int64_t killed_ns, seen_ns, told_ns, until_ns;
    tribus_tensor t;
    int status;

    GOOD(tribus_pipeline_register(session, &cfg, &pipe));
    tribus_store_rel(&shared->go[0], 1);
    GOOD(tribus_pipeline_ready_wait(pipe, CARD_LONG_NS));
    submit(pipe);
    await(pipe, before, &r);
    CHECK(r.hardware_accelerated == (strcmp(device(), "cpu") != 0));
    submit(pipe);
    until_ns = tribus_now_ns() + CARD_LONG_NS;
    while (tribus_load_acq(&tribus_plan_pass(pipe->plan, 2, 1)->tried_run) != 2)
        CHECK(tribus_now_ns() < until_ns);
    (void)nanosleep(&into_the_kernel, NULL);
    seen_ns = kill_and_see(hosts[0], &killed_ns);
    CHECK(tribus_pipeline_await_wait(pipe, CARD_LONG_NS, &r) == TRIBUS_PEER_LOST);
    told_ns = tribus_now_ns();
    printf(
        "host killed in mid-kernel: dead seen after %.1f ms, its run's owner told %.1f ms "
        "after that: %s\n",
        (double)(seen_ns - killed_ns) * 1e-6, (double)(told_ns - seen_ns) * 1e-6,
        tribus_error_text());
    CHECK(told_ns - seen_ns < DEATH_NS);
    GOOD(tribus_pipeline_result_tensor(pipe, 1, 0, &t));
    memcpy(kept, t.data, sizeof(kept));
    CHECK(memcmp(before, kept, sizeof(before)) == 0);
    CHECK(waitpid(hosts[0], &status, 0) == hosts[0] && WIFSIGNALED(status));
    tribus_store_rel(&shared->go[1], 1);
    await(pipe, after, &r);
    CHECK(r.run == 2 && r.redelivered);
    CHECK(memcmp(before, after, sizeof(before)) == 0);
    printf("its successor finished the run %.1f ms after the kill, bit for bit the run "
           "before; the committed result is intact\n",
           (double)(tribus_now_ns() - killed_ns) * 1e-6);
    tribus_pipeline_close(pipe);
}

int main(void)
{
    const bool card = strncmp(device(), "cuda", 4) == 0;
    char folder[] = "/tmp/tribus-card-XXXXXX";
    const tribus_session_cfg cfg = {
        .socket_path = socket_path, .role = "tool", .timeout_ns = CARD_LONG_NS};
    tribus_session *session = NULL;
    size_t before = 0, after = 0;
    pid_t hosts[2], agent;
    int64_t until_ns;

    if (card)
        card_or_skip();
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(socket_path, sizeof(socket_path), "%s/agent.sock", folder);
    shared = card_shared(sizeof(page));
    if (card)
        before = card_free_bytes();
    hosts[0] = host_start(0);
    hosts[1] = host_start(1);
    agent = card_agent(socket_path);
    until_ns = tribus_now_ns() + CARD_LONG_NS;
    while (tribus_session_open(&cfg, &session) != TRIBUS_OK)
        CHECK(tribus_now_ns() < until_ns);
    await_is_told_of_a_host_killed_in_mid_kernel(hosts, session);
    tribus_session_close(session);
    CHECK(kill(hosts[1], SIGKILL) == 0 && waitpid(hosts[1], NULL, 0) == hosts[1]);
    CHECK(kill(agent, SIGTERM) == 0 && waitpid(agent, NULL, 0) == agent);
    if (card) {
        after = card_free_bytes();
        printf("free before %zu MiB, after %zu MiB\n", before >> 20, after >> 20);
        CHECK(after >= before);
    }
    (void)unlink(socket_path);
    (void)snprintf(socket_path, sizeof(socket_path), "rm -rf %s", folder);
    CHECK(system(socket_path) == 0);
    return 0;
}
