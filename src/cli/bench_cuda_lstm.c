/* bench_cuda_lstm.c -- one new time step of a recurrent model: written by the CPU, computed on
 * the card, read by the CPU. Shapes are those of STAC-ML's LSTM_A and LSTM_B and a GRU of A's
 * size; the weights are random, so that these are no STAC results. The state stays on the card
 * from step to step. LSTM_C does not fit a stream (neural.h): tools/cuda_neural_bench.cu has it.
 */
#include "cli/bench_cuda.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "neural/neural_stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WARM_STEPS 200u
#define INPUTS     64u /* different ones, in turn */

typedef struct recurrent {
    const char *name, *goal;
    bool gru;
    uint32_t layers, inputs, units;
    double most_us; /* p99; 0: no goal */
} recurrent;

static const recurrent models[] = {
    {"LSTM_A", "LSTM_A, one new step, p99", false, 2, 100, 100, 12.0},
    {"LSTM_B", "LSTM_B, one new step, p99", false, 3, 250, 200, 25.0},
    {"GRU_A", NULL, true, 2, 100, 100, 0.0},
};

static float *drawn(tribus_random *r, size_t n, double scale)
{
    float *v = malloc(n * sizeof(*v));

    for (size_t i = 0; v != NULL && i < n; i++)
        v[i] = (float)(scale * (2.0 * tribus_random_unit(r) - 1.0));
    return v;
}

static void model_free(tribus_stream_model *m)
{
    for (uint32_t l = 0; l < m->layers; l++) {
        free(m->w[l]);
        free(m->u[l]);
        free(m->b[l]);
    }
    free(m->dense_w);
    free(m->dense_b);
}

static tribus_status model_draw(const recurrent *k, tribus_random *r,
                                tribus_stream_model *m)
{
    const double scale = 1.0 / sqrt((double)k->units);
    bool good = true;

    *m = (tribus_stream_model){.layers = k->layers,
                               .inputs = k->inputs,
                               .units = k->units,
                               .outputs = 1,
                               .gru = k->gru,
                               .dense = true};
    for (uint32_t l = 0; l < k->layers; l++) {
        const size_t in = l == 0 ? k->inputs : k->units;

        m->w[l] = drawn(r, (size_t)k->units * 4 * in, scale);
        m->u[l] = drawn(r, (size_t)k->units * 4 * k->units, scale);
        m->b[l] = drawn(r, (size_t)k->units * 4, 0.1);
        good = good && m->w[l] != NULL && m->u[l] != NULL && m->b[l] != NULL;
    }
    m->dense_w = drawn(r, k->units, scale);
    m->dense_b = drawn(r, 1, 0.1);
    if (good && m->dense_w != NULL && m->dense_b != NULL)
        return TRIBUS_OK;
    model_free(m);
    return tribus_error_set(TRIBUS_NO_MEMORY, "weights of %s", k->name);
}

/* The next step starts when the result of the last has been read. */
static tribus_status time_steps(tribus_bench_cuda *b, tribus_stream_cuda *s, const float *x,
                                uint32_t inputs)
{
    tribus_status st = TRIBUS_OK;

    for (uint32_t i = 0; st == TRIBUS_OK && i < WARM_STEPS + TRIBUS_BENCH_CUDA_SAMPLES;
         i++) {
        const int64_t start_ns = tribus_now_ns();
        float y = NAN; /* poisoned */

        st = tribus_stream_cuda_step_wait(s, x + (size_t)(i % INPUTS) * inputs, &y,
                                          TRIBUS_BENCH_CUDA_WAIT_NS);
        if (i >= WARM_STEPS)
            b->ns[i - WARM_STEPS] = (double)(tribus_now_ns() - start_ns);
        if (st == TRIBUS_OK && !isfinite(y))
            st = tribus_error_set(TRIBUS_BAD_DATA, "step %u gives no number", i);
    }
    return st;
}

static tribus_status bench_model(tribus_bench_cuda *b, const recurrent *k, tribus_random *r)
{
    const tribus_model_stream_cfg cfg = {.device = &b->c->base};
    tribus_bench_cuda_row row = {.kase = k->name, .path = "one step"};
    tribus_stream_cuda *s = NULL;
    tribus_stream_model m;
    float *x = drawn(r, (size_t)INPUTS * k->inputs, 1.0);
    tribus_status st = x == NULL ? tribus_error_set(TRIBUS_NO_MEMORY, "inputs") : TRIBUS_OK;

    if (st == TRIBUS_OK)
        st = model_draw(k, r, &m);
    if (st != TRIBUS_OK) {
        free(x);
        return st;
    }
    st = tribus_stream_cuda_open(&m, &cfg, &s);
    if (st == TRIBUS_OK) {
        st = time_steps(b, s, x, k->inputs);
        tribus_stream_cuda_close(s);
    }
    if (st == TRIBUS_OK) {
        row.floor_ns = b->echo_ns;
        row.samples = TRIBUS_BENCH_CUDA_SAMPLES;
        tribus_bench_pair_stats(b->ns, TRIBUS_BENCH_CUDA_SAMPLES, &row.stats);
        tribus_bench_cuda_print(b, &row);
        if (k->goal != NULL)
            tribus_bench_cuda_goal(b, k->goal, row.stats.p99_ns / 1e3, "us",
                                   TRIBUS_BENCH_CUDA_AT_MOST, k->most_us);
    }
    model_free(&m);
    free(x);
    return st;
}

tribus_status tribus_bench_cuda_lstm(tribus_bench_cuda *b)
{
    tribus_random r;
    tribus_status st = TRIBUS_OK;

    tribus_random_init(&r, (uint64_t)tribus_now_ns());
    for (size_t i = 0; st == TRIBUS_OK && i < sizeof(models) / sizeof(models[0]); i++) {
        st = bench_model(b, &models[i], &r);
        if (st == TRIBUS_UNSUPPORTED) { /* the other rows are there all the same */
            fprintf(stderr, "tribus bench cuda: no row %s: %s\n", models[i].name,
                    tribus_error_text());
            tribus_error_clear();
            st = TRIBUS_OK;
        }
        if (st != TRIBUS_OK)
            tribus_error_add("%s", models[i].name);
    }
    return st;
}
