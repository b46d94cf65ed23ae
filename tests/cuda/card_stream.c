/* card_stream.c -- recurrent models one time step at a time on a card, against double arithmetic
 * on the CPU; then how long a step takes. Weights and inputs are drawn afresh from the printed
 * seed, outputs are poisoned before each step. The shapes A and B are STAC-ML's LSTM_A and
 * LSTM_B; the weights are random, so these are no STAC results. */
#include "card.h"
#include "neural/neural_stream.h"
#include "stream_model.h"
#include "tribus/device.h"

#define STEP_NS INT64_C(2000000000)

static double off_by(const float *got, const float *want, uint32_t n)
{
    double worst = 0.0;

    for (uint32_t i = 0; i < n; i++) {
        const double off = fabs((double)got[i] - (double)want[i]);

        worst = off <= worst ? worst : off; /* NaN sticks */
    }
    return worst;
}

/* A file, on both; the second time after a reset. */
static void file_agrees(tribus_device *card, const stream_shape *s, tribus_random *r)
{
    const tribus_model_stream_cfg cfg = {.device = card};
    const bytes g = stream_graph(s, r);
    const char *path = model_file(&g);
    tribus_model_stream *a, *b;
    float x[256], want[256], got[256];
    double worst = 0.0;

    CHECK(s->inputs <= 256 && s->outputs <= 256);
    GOOD(tribus_model_stream_open(path, NULL, &a));
    GOOD(tribus_model_stream_open(path, &cfg, &b));
    for (uint32_t t = 0; t < 200; t++) {
        double off;

        for (uint32_t i = 0; i < s->inputs; i++)
            x[i] = (float)(2.0 * tribus_random_unit(r) - 1.0);
        memset(got, 0xff, sizeof(got));
        GOOD(tribus_model_stream_step_wait(a, x, want, STEP_NS));
        GOOD(tribus_model_stream_step_wait(b, x, got, STEP_NS));
        off = off_by(got, want, s->outputs);
        worst = off <= worst ? worst : off;
        if (t == 99) {
            GOOD(tribus_model_stream_reset(a));
            GOOD(tribus_model_stream_reset(b));
        }
    }
    printf("%s, %u layers of %u, %u inputs, %u outputs: 200 steps, worst %.2g\n",
           s->gru ? "GRU" : "LSTM", s->layers, s->units, s->inputs, s->outputs, worst);
    CHECK(worst <= 5e-6);
    tribus_model_stream_close(a);
    tribus_model_stream_close(b);
}

static float *drawn(tribus_random *r, size_t n, double scale)
{
    float *v = malloc(n * sizeof(*v));

    CHECK(v != NULL);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(scale * (2.0 * tribus_random_unit(r) - 1.0));
    return v;
}

static void time_steps(tribus_device *card, const char *name, bool gru, uint32_t layers,
                       uint32_t inputs, uint32_t units, tribus_random *r)
{
    enum { STEPS = 20000 };
    static int64_t took_ns[STEPS];
    const tribus_model_stream_cfg cfg = {.device = card};
    const double scale = 1.0 / sqrt((double)units);
    tribus_stream_model m = {.layers = layers,
                             .inputs = inputs,
                             .units = units,
                             .outputs = 1,
                             .gru = gru,
                             .dense = true};
    tribus_stream_cuda *s;
    float *x = drawn(r, 64 * (size_t)inputs, 1.0), y;

    for (uint32_t l = 0; l < layers; l++) {
        m.w[l] = drawn(r, (size_t)units * 4 * (l == 0 ? inputs : units), scale);
        m.u[l] = drawn(r, (size_t)units * 4 * units, scale);
        m.b[l] = drawn(r, (size_t)units * 4, 0.1);
    }
    m.dense_w = drawn(r, units, scale);
    m.dense_b = drawn(r, 1, 0.1);
    GOOD(tribus_stream_cuda_open(&m, &cfg, &s));
    for (int i = 0; i < STEPS; i++) {
        const int64_t start_ns = tribus_now_ns();

        GOOD(tribus_stream_cuda_step_wait(s, x + (size_t)(i % 64) * inputs, &y, STEP_NS));
        took_ns[i] = tribus_now_ns() - start_ns;
        CHECK(isfinite(y));
    }
    tribus_stream_cuda_close(s);
    printf("%s: one new step, CPU to CPU, p50 %.2f us, p99 %.2f us\n", name,
           (double)card_quantile(took_ns, STEPS, 0.5) / 1e3,
           (double)card_quantile(took_ns, STEPS, 0.99) / 1e3);
    for (uint32_t l = 0; l < layers; l++) {
        free(m.w[l]);
        free(m.u[l]);
        free(m.b[l]);
    }
    free(m.dense_w);
    free(m.dense_b);
    free(x);
}

/* A card that nobody asks anything forgets the state, and says so. */
static void idle_stream_is_over_until_reset(tribus_device *card, tribus_random *r)
{
    const stream_shape s = {.layers = 1, .inputs = 3, .units = 5, .outputs = 5, .steps = 2};
    const tribus_model_stream_cfg cfg = {.device = card, .idle_ns = 50000000};
    const bytes g = stream_graph(&s, r);
    const struct timespec nap = {.tv_nsec = 300000000};
    float x[3] = {0.5f, -0.5f, 0.25f}, first[5], again[5];
    tribus_model_stream *stream;

    GOOD(tribus_model_stream_open(model_file(&g), &cfg, &stream));
    GOOD(tribus_model_stream_step_wait(stream, x, first, STEP_NS));
    CHECK(nanosleep(&nap, NULL) == 0);
    CHECK(tribus_model_stream_step_wait(stream, x, again, 100000000) == TRIBUS_TIMEOUT);
    CHECK(tribus_model_stream_step_wait(stream, x, again, 100000000) == TRIBUS_TIMEOUT);
    GOOD(tribus_model_stream_reset(stream));
    GOOD(tribus_model_stream_step_wait(stream, x, again, STEP_NS));
    CHECK(memcmp(first, again, sizeof(first)) == 0);
    tribus_model_stream_close(stream);
}

int main(void)
{
    static const stream_shape shapes[] = {
        {.layers = 1, .inputs = 3, .units = 5, .outputs = 5, .steps = 2},
        {.dense = true, .layers = 2, .inputs = 20, .units = 24, .outputs = 1, .steps = 2},
        {.dense = true,
         .matmul = true,
         .layers = 4,
         .inputs = 6,
         .units = 17,
         .outputs = 9,
         .steps = 2},
        {.dense = true, .layers = 1, .inputs = 150, .units = 12, .outputs = 2, .steps = 2},
        {.gru = true, .layers = 1, .inputs = 4, .units = 6, .outputs = 6, .steps = 2},
        {.gru = true,
         .dense = true,
         .layers = 3,
         .inputs = 11,
         .units = 24,
         .outputs = 2,
         .steps = 2}};
    tribus_device *card;
    tribus_random r;

    tribus_random_init(&r, check_seed());
    card_or_skip();
    GOOD(tribus_device_open("cuda", &card));
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        file_agrees(card, &shapes[i], &r);
    idle_stream_is_over_until_reset(card, &r);
    time_steps(card, "LSTM_A, 2 layers of 100, 100 inputs", false, 2, 100, 100, &r);
    time_steps(card, "LSTM_B, 3 layers of 200, 250 inputs", false, 3, 250, 200, &r);
    time_steps(card, "GRU, 2 layers of 100, 100 inputs", true, 2, 100, 100, &r);
    tribus_device_close(card);
    return 0;
}
