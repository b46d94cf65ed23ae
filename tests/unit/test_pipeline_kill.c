/* test_pipeline_kill.c -- random graphs on hosts that are killed with -9 all the time: every
 * run gives what the sequential interpreter gives, or fails with the reason; none is lost.
 * labels: multiprocess
 * timeout: 300
 *
 * TRIBUS_GRAPHS=300 makes more of it (`make soak`). */
#define WIDTH 1024u /* so that a host is killed in a computation now and then */

#include "host_nursery.h"
#include "random_graph.h"

#define RUNS 120u

typedef struct scene {
    nursery nursery;
    tribus_session *session;
    pid_t hosts[2];
    uint32_t born;
    tribus_random random;
    uint64_t kills, failed, redelivered, results;
} scene;

static void host_born(scene *s, uint32_t i)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "h%u", s->born++);
    s->hosts[i] =
        nursery_start(&s->nursery, name, i == 0 ? TRIBUS_DOMAIN_NEURAL : TRIBUS_DOMAIN_GPU);
}

static void kill_one(scene *s)
{
    const uint32_t i = below(&s->random, 2);

    CHECK(kill(s->hosts[i], SIGKILL) == 0);
    s->kills++;
    host_born(s, i);
}

/* A failed run hands the state on unchanged from the stage that failed, so what a later run
 * of a graph with state is worth depends on where that was: only order and reason are checked
 * from then on. */
static bool has_state(const world *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->stages[i].state)
            return true;
    return false;
}

static void run_world(scene *s, const world *w)
{
    const tribus_pipeline_cfg cfg = {.text = w->text, .successor_ns = PATIENCE_NS};
    static value expected[RUNS][MOST];
    value state[MOST];
    tribus_pipeline *pipe;
    bool exact = true;
    uint32_t sent = 0;

    memset(state, 0, sizeof(state));
    OK(tribus_pipeline_register(s->session, &cfg, &pipe));
    OK(tribus_pipeline_ready_wait(pipe, PATIENCE_NS));
    for (uint64_t got = 1; got <= RUNS; got++) {
        tribus_pipeline_result r;

        while (sent < RUNS && tribus_pipeline_claim(pipe) == TRIBUS_OK) {
            const float x = (float)below(&s->random, 9) - 4.0f;

            write_input(pipe, x);
            OK(tribus_pipeline_submit(pipe, 0, NULL));
            interpret(w, x, state);
            memcpy(expected[sent++], state, sizeof(state));
        }
        if (got % 20 == 10) /* with runs in flight */
            kill_one(s);
        OK(tribus_pipeline_await_wait(pipe, PATIENCE_NS, &r));
        CHECK(r.run == got);
        s->results++;
        s->redelivered += r.redelivered ? 1 : 0;
        if (r.status != TRIBUS_OK) { /* unlucky twice: failed with stage and reason */
            CHECK(r.status == TRIBUS_PEER_LOST && r.stage[0] != '\0');
            CHECK_TEXT(r.text, "its host died twice on this run");
            s->failed++;
            exact = exact && !has_state(w);
        } else if (exact) {
            compare(w, pipe, &r, expected[got - 1]);
        }
        tribus_pipeline_release(pipe, r.run);
    }
    tribus_pipeline_close(pipe);
}

static void random_graphs_on_hosts_that_are_killed_lose_no_run(void)
{
    const char *given = getenv("TRIBUS_GRAPHS");
    const long graphs = given != NULL ? strtol(given, NULL, 10) : 6;
    static world w;
    scene s = {.nursery = nursery_open()};
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});

    tribus_random_init(&s.random, check_seed());
    s.session = fixture_session("submitter");
    host_born(&s, 0);
    host_born(&s, 1);
    for (long i = 0; i < graphs; i++) {
        memset(&w, 0, sizeof(w));
        grow(&w, &s.random);
        write_text(&w, &s.random);
        run_world(&s, &w);
    }
    CHECK(s.results == (uint64_t)graphs * RUNS &&
          s.kills == (uint64_t)graphs * (RUNS / 20));
    printf(
        "%ld graphs, %llu runs, %llu hosts killed, %llu runs redelivered, %llu failed with "
        "the reason\n",
        graphs, (unsigned long long)s.results, (unsigned long long)s.kills,
        (unsigned long long)s.redelivered, (unsigned long long)s.failed);
    tribus_session_close(s.session);
    tribus_agent_stop(agent);
    nursery_close(&s.nursery);
}

int main(void)
{
    random_graphs_on_hosts_that_are_killed_lose_no_run();
    return 0;
}
