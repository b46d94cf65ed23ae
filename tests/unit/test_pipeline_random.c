/* test_pipeline_random.c -- random graphs, executed by compute hosts on threads and by a
 * sequential interpreter: the same results, to the last bit.
 * timeout: 300
 *
 * TRIBUS_GRAPHS=5000 makes thousands of it (`make soak`). */
#include "pipeline_fixture.h"
#include "random_graph.h"

#define RUNS 6u

/* Results of urgent runs come first, but each once. */
static void run_world(const world *w, tribus_random *r)
{
    const tribus_pipeline_cfg cfg = {.text = w->text, .successor_ns = FIXTURE_PATIENCE_NS};
    fixture_plan f = fixture_register(&cfg);
    static value expected[RUNS][MOST];
    value state[MOST];
    fixture_host hosts[2];
    bool seen[RUNS] = {false};
    uint32_t sent = 0, got = 0;

    memset(state, 0, sizeof(state));
    fixture_host_start(&hosts[0], &f, 2, TRIBUS_DOMAIN_NEURAL);
    fixture_host_start(&hosts[1], &f, 3, TRIBUS_DOMAIN_GPU);
    while (got < RUNS) {
        while (sent < RUNS && tribus_pipeline_claim(f.pipe) == TRIBUS_OK) {
            const float x = (float)below(r, 9) - 4.0f;

            write_input(f.pipe, x);
            if (below(r, 4) == 0)
                OK(tribus_pipeline_set_priority(f.pipe, below(r, 10)));
            OK(tribus_pipeline_submit(f.pipe, 0, NULL));
            interpret(w, x, state);
            memcpy(expected[sent++], state, sizeof(state));
        }
        const tribus_pipeline_result result = fixture_await(f.pipe);
        CHECK(result.run >= 1 && result.run <= sent && !seen[result.run - 1]);
        seen[result.run - 1] = true;
        got++;
        compare(w, f.pipe, &result, expected[result.run - 1]);
        tribus_pipeline_release(f.pipe, result.run);
    }
    for (int i = 0; i < 2; i++)
        fixture_host_stop(&hosts[i]);
    fixture_close(&f);
}

static void random_graphs_give_what_a_sequential_interpreter_gives(void)
{
    const char *given = getenv("TRIBUS_GRAPHS");
    const long graphs = given != NULL ? strtol(given, NULL, 10) : 60;
    static world w;
    tribus_random r;

    tribus_random_init(&r, check_seed());
    for (long i = 0; i < graphs; i++) {
        memset(&w, 0, sizeof(w));
        grow(&w, &r);
        write_text(&w, &r);
        run_world(&w, &r);
    }
    printf("%ld graphs, %u runs each\n", graphs, RUNS);
}

int main(void)
{
    random_graphs_give_what_a_sequential_interpreter_gives();
    return 0;
}
