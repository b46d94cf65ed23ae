/* random_graph.h -- random graphs as pipelines, and a sequential interpreter of them.
 *
 * Stages are affine, sum, product and above; with fan-out, fan-in, second choices, branches,
 * state and batches. grow() makes one, write_text() says it in YAML, interpret() computes
 * what every stage makes of an input, run after run. */
#ifndef TRIBUS_TESTS_RANDOM_GRAPH_H
#define TRIBUS_TESTS_RANDOM_GRAPH_H

#include "check.h"

#include "base/random.h"
#include "tribus/pipeline.h"

#include <stdarg.h>

#ifndef WIDTH
#define WIDTH 16u /* floats of a port: 64 bytes, so that runs lie side by side */
#endif
#define MOST       48u /* stages; above 32, hosts go by hints */
#define TEXT_BYTES 65536u

typedef enum kind { AFFINE, SUM, PRODUCT, ABOVE } kind;

typedef struct stage {
    kind kind;
    uint32_t sources[3]; /* stage + 1; 0: the pipeline's input */
    uint32_t count;
    uint32_t otherwise; /* of the first input: stage + 1, or 0 for none */
    uint32_t when;      /* stage + 1 of a gate, 0: always */
    bool state;         /* the last source is what this stage made the run before */
    uint32_t batch;     /* runs in one call, where that is allowed */
    float scale, offset;
} stage;

typedef struct world {
    stage stages[MOST];
    uint32_t count;
    char text[TEXT_BYTES];
} world;

static inline uint32_t below(tribus_random *r, uint32_t n)
{
    return (uint32_t)tribus_random_below(r, n);
}

/* A stage that makes numbers, before `at`, or the input. */
static inline uint32_t some_source(const world *w, tribus_random *r, uint32_t at)
{
    for (;;) {
        const uint32_t s = below(r, at + 1);

        if (s == 0 || w->stages[s - 1].kind != ABOVE)
            return s;
    }
}

static inline uint32_t some_gate(const world *w, tribus_random *r, uint32_t at)
{
    for (int attempt = 0; attempt < 4; attempt++) {
        const uint32_t s = below(r, at + 1);

        if (s > 0 && w->stages[s - 1].kind == ABOVE)
            return s;
    }
    return 0;
}

static inline void grow(world *w, tribus_random *r)
{
    w->count = 1 + below(r, below(r, 16) == 0 ? MOST : 12);
    for (uint32_t i = 0; i < w->count; i++) {
        stage *s = &w->stages[i];

        *s = (stage){.kind = (kind)below(r, 4),
                     .scale = (float)below(r, 5) * 0.5f - 1.0f,
                     .offset = (float)below(r, 7) - 3.0f};
        s->count = s->kind == PRODUCT ? 2 : s->kind == SUM ? 1 + below(r, 3) : 1;
        for (uint32_t k = 0; k < s->count; k++)
            s->sources[k] = some_source(w, r, i);
        s->state = s->kind == SUM && s->count > 1 && below(r, 3) == 0;
        if (below(r, 3) == 0)
            s->when = some_gate(w, r, i);
        if (below(r, 4) == 0)
            s->otherwise = some_source(w, r, i);
        if (s->otherwise == s->sources[0])
            s->otherwise = 0; /* the same edge twice says nothing */
        s->batch = s->kind == ABOVE || s->when != 0 || s->state ? 1 : 1 + below(r, 4);
    }
}

/* ---- as a pipeline's text ---- */

static inline void add(world *w, size_t *at, const char *fmt, ...) TRIBUS_PRINTF(3, 4);

static inline void add(world *w, size_t *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    *at += (size_t)vsnprintf(w->text + *at, sizeof(w->text) - *at, fmt, args);
    va_end(args);
    CHECK(*at < sizeof(w->text));
}

static inline void add_source(world *w, size_t *at, uint32_t source)
{
    if (source == 0)
        add(w, at, "x");
    else
        add(w, at, "s%u.out", source - 1);
}

static inline void write_text(world *w, tribus_random *r)
{
    static const char *const operations[] = {"affine", "sum", "product", "above"};
    static const char *const names[] = {"a", "b", "c"};
    size_t at = 0;

    add(w, &at,
        "pipeline: random\nruns: %u\ninputs: [{name: x, dtype: f32, shape: [%u]}]\n",
        1 + below(r, 4), WIDTH);
    add(w, &at, "stages:\n");
    for (uint32_t i = 0; i < w->count; i++) {
        const stage *s = &w->stages[i];

        add(w, &at, "  - name: s%u\n    domain: %s\n    operation: %s\n", i,
            below(r, 2) == 0 ? "neural" : "gpu", operations[s->kind]);
        if (s->kind == AFFINE)
            add(w, &at, "    params: {scale: %g, offset: %g}\n", (double)s->scale,
                (double)s->offset);
        if (s->kind == ABOVE)
            add(w, &at, "    params: {threshold: %g}\n", (double)s->offset);
        if (s->batch > 1)
            add(w, &at, "    batch: %u\n", s->batch);
        if (s->when != 0)
            add(w, &at, "    when: s%u.out\n", s->when - 1);
        add(w, &at, "    inputs:\n");
        for (uint32_t k = 0; k < s->count; k++)
            add(w, &at, "      - {name: %s, dtype: f32, shape: [%u]}\n", names[k], WIDTH);
        add(w, &at, "    outputs: [{name: out, dtype: %s, shape: [%u]}]\n",
            s->kind == ABOVE ? "i32" : "f32", s->kind == ABOVE ? 1 : WIDTH);
    }
    add(w, &at, "edges:\n");
    for (uint32_t i = 0; i < w->count; i++) {
        const stage *s = &w->stages[i];

        for (uint32_t k = 0; k < s->count; k++) {
            const bool state = s->state && k + 1 == s->count;

            add(w, &at, "  - {from: ");
            add_source(w, &at, state ? i + 1 : s->sources[k]);
            add(w, &at, ", to: s%u.%s%s}\n", i, names[k], state ? ", state: true" : "");
        }
        if (s->otherwise != 0) {
            add(w, &at, "  - {from: ");
            add_source(w, &at, s->otherwise);
            add(w, &at, ", to: s%u.a, otherwise: true}\n", i);
        }
    }
    add(w, &at, "results: [");
    for (uint32_t i = 0; i < w->count; i++)
        add(w, &at, "%ss%u.out", i > 0 ? ", " : "", i);
    add(w, &at, "]\n");
}

/* ---- the sequential interpreter ---- */

typedef struct value {
    bool there;
    float f[WIDTH];
    int32_t gate;
} value;

static inline bool evaluate(const stage *s, const value *values, const value *input,
                            const value *before, value *out)
{
    const value *in[3];

    if (s->when != 0 && (!values[s->when - 1].there || values[s->when - 1].gate == 0))
        return false;
    for (uint32_t k = 0; k < s->count; k++) {
        in[k] = s->sources[k] == 0 ? input : &values[s->sources[k] - 1];
        if (s->state && k + 1 == s->count)
            in[k] = before;
        else if (!in[k]->there && k == 0 && s->otherwise != 0)
            in[k] = s->otherwise == 0 ? input : &values[s->otherwise - 1];
        if (!in[k]->there)
            return false;
    }
    if (s->kind == ABOVE) {
        float mean = 0.0f;

        for (uint32_t i = 0; i < WIDTH; i++)
            mean += in[0]->f[i];
        out->gate = mean / (float)WIDTH > s->offset ? 1 : 0;
        return true;
    }
    for (uint32_t i = 0; i < WIDTH; i++) {
        float v = in[0]->f[i];

        if (s->kind == AFFINE)
            v = v * s->scale + s->offset;
        else if (s->kind == PRODUCT)
            v *= in[1]->f[i];
        for (uint32_t k = 1; s->kind == SUM && k < s->count; k++)
            v += in[k]->f[i];
        out->f[i] = v;
    }
    return true;
}

static inline void interpret(const world *w, float x, value *values)
{
    value input = {.there = true};

    for (uint32_t i = 0; i < WIDTH; i++)
        input.f[i] = x + (float)i;
    for (uint32_t i = 0; i < w->count; i++) {
        value before = values[i], out = values[i];

        before.there = true; /* a stage that did not run hands its state on */
        out.there = evaluate(&w->stages[i], values, &input, &before, &out);
        values[i] = out;
    }
}

static inline void write_input(tribus_pipeline *pipe, float x)
{
    tribus_tensor t;

    CHECK(tribus_pipeline_input(pipe, 0, &t) == TRIBUS_OK);
    for (uint32_t i = 0; i < WIDTH; i++)
        ((float *)t.data)[i] = x + (float)i;
}

/* Every result of a run is what the interpreter says, to the last bit. */
static inline void compare(const world *w, tribus_pipeline *pipe,
                           const tribus_pipeline_result *r, const value *values)
{
    CHECK(r->status == TRIBUS_OK);
    for (uint32_t i = 0; i < w->count; i++) {
        tribus_tensor t;
        const tribus_status st = tribus_pipeline_result_tensor(pipe, r->run, i, &t);
        bool same = (st == TRIBUS_OK) == values[i].there;

        if (same && st == TRIBUS_OK)
            same = w->stages[i].kind == ABOVE
                       ? *(const int32_t *)t.data == values[i].gate
                       : memcmp(t.data, values[i].f, sizeof(values[i].f)) == 0;
        if (same)
            continue;
        fprintf(stderr, "stage s%u differs in run %llu of\n%s", i,
                (unsigned long long)r->run, w->text);
        exit(1);
    }
}

#endif
