/* stream_model.h -- recurrent models of random weights as ONNX files, for the tests of streams on
 * the CPU and on a card. */
#ifndef TRIBUS_TESTS_STREAM_MODEL_H
#define TRIBUS_TESTS_STREAM_MODEL_H

#include "base/random.h"
#include "onnx_writer.h"

#include <math.h>
#include <stdlib.h>

typedef struct stream_shape {
    bool gru, dense, matmul; /* matmul: MatMul and Add instead of Gemm */
    uint32_t layers, inputs, units, outputs, steps;
} stream_shape;

static inline bytes random_constant(tribus_random *r, const char *name, uint64_t a,
                                    uint64_t b, uint64_t c, double scale)
{
    const size_t n = a * (b > 0 ? b : 1) * (c > 0 ? c : 1);
    float *values = malloc(n * sizeof(*values));
    bytes t;

    CHECK(values != NULL);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(scale * (2.0 * tribus_random_unit(r) - 1.0));
    t = constant3(name, values, a, b, c);
    free(values);
    return t;
}

/* x [steps, 1, inputs] -> layers, a Squeeze behind each -> y [steps, outputs]. */
static inline bytes stream_graph(const stream_shape *s, tribus_random *r)
{
    const uint64_t gates = s->gru ? 3 : 4;
    const double scale = 1.5 / sqrt((double)s->units);
    char in[64], out[64], w[16], u[16], b[16];
    bytes g = {{0}, 0}, n;

    (void)snprintf(in, sizeof(in), "x");
    for (uint32_t l = 0; l < s->layers; l++) {
        char names[256];

        (void)snprintf(w, sizeof(w), "w%u", l);
        (void)snprintf(u, sizeof(u), "u%u", l);
        (void)snprintf(b, sizeof(b), "b%u", l);
        (void)snprintf(names, sizeof(names), "%s %s %s %s", in, w, u, b);
        (void)snprintf(out, sizeof(out), "l%u", l);
        n = node_of(s->gru ? "GRU" : "LSTM", out, names, out);
        put_int(&n, "hidden_size", s->units);
        if (s->gru)
            put_int(&n, "linear_before_reset", 1);
        put_part(&g, 1, n);
        put_part(&g, 5,
                 random_constant(r, w, 1, gates * s->units, l == 0 ? s->inputs : s->units,
                                 scale));
        put_part(&g, 5, random_constant(r, u, 1, gates * s->units, s->units, scale));
        put_part(&g, 5, random_constant(r, b, 1, 2 * gates * s->units, 0, 0.2));
        (void)snprintf(names, sizeof(names), "%s one", out);
        (void)snprintf(in, sizeof(in), "s%u", l);
        put_part(&g, 1, node_of("Squeeze", "", names, in)); /* the directions */
    }
    (void)snprintf(out, sizeof(out), "%s one", in);
    (void)snprintf(in, sizeof(in), "%s", s->dense ? "flat" : "y");
    put_part(&g, 1, node_of("Squeeze", "", out, in)); /* the batch */
    put_part(&g, 5, constant_whole("one", 1));
    if (s->dense && s->matmul) {
        char names[96];

        (void)snprintf(names, sizeof(names), "%s dw", in);
        put_part(&g, 1, node_of("MatMul", "dense", names, "m"));
        put_part(&g, 1, node_of("Add", "bias", "db m", "y"));
    } else if (s->dense) {
        char names[96];

        (void)snprintf(names, sizeof(names), "%s dw db", in);
        put_part(&g, 1, node_of("Gemm", "dense", names, "y"));
    }
    if (s->dense) {
        put_part(&g, 5, random_constant(r, "dw", s->units, s->outputs, 0, scale));
        put_part(&g, 5, random_constant(r, "db", s->outputs, 0, 0, 0.5));
    }
    put_part(&g, 11, value_info3("x", s->steps, 1, s->inputs));
    put_part(&g, 12, value_info3("y", s->steps, s->outputs, 0));
    return g;
}

#endif
