/* test_pipeline_random.c -- random graphs, executed by compute hosts on threads and by a
 * sequential interpreter written here: the same results, to the last bit.
 * timeout: 300
 *
 * TRIBUS_GRAPHS=5000 makes thousands of it (`make soak`). */
#include "pipeline_fixture.h"

#include "base/random.h"

#include <stdarg.h>

#define WIDTH      4u
#define MOST       48u /* stages; above 32, hosts go by hints */
#define RUNS       6u
#define TEXT_BYTES 65536u

typedef enum kind { AFFINE, SUM, PRODUCT, ABOVE } kind;

typedef struct stage {
    kind kind;
    uint32_t sources[3]; /* stage + 1; 0: the pipeline's input */
    uint32_t count;
    uint32_t otherwise; /* of the first input: stage + 1, or 0 for none */
    uint32_t when;      /* stage + 1 of a gate, 0: always */
    bool state;         /* the last source is what this stage made the run before */
    float scale, offset;
} stage;

typedef struct world {
    stage stages[MOST];
    uint32_t count;
    char text[TEXT_BYTES];
} world;

static uint32_t below(tribus_random *r, uint32_t n)
{
    return (uint32_t)tribus_random_below(r, n);
}

/* A stage that makes numbers, before `at`, or the input. */
static uint32_t some_source(const world *w, tribus_random *r, uint32_t at)
{
    for (;;) {
        const uint32_t s = below(r, at + 1);

        if (s == 0 || w->stages[s - 1].kind != ABOVE)
            return s;
    }
}

static uint32_t some_gate(const world *w, tribus_random *r, uint32_t at)
{
    for (int attempt = 0; attempt < 4; attempt++) {
        const uint32_t s = below(r, at + 1);

        if (s > 0 && w->stages[s - 1].kind == ABOVE)
            return s;
    }
    return 0;
}

static void grow(world *w, tribus_random *r)
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
    }
}

/* ---- as a pipeline's text ---- */

static void add(world *w, size_t *at, const char *fmt, ...) TRIBUS_PRINTF(3, 4);

static void add(world *w, size_t *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    *at += (size_t)vsnprintf(w->text + *at, sizeof(w->text) - *at, fmt, args);
    va_end(args);
    CHECK(*at < sizeof(w->text));
}

static void add_source(world *w, size_t *at, uint32_t source)
{
    if (source == 0)
        add(w, at, "x");
    else
        add(w, at, "s%u.out", source - 1);
}

static void write_text(world *w, tribus_random *r)
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

static bool evaluate(const stage *s, const value *values, const value *input,
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

static void interpret(const world *w, float x, value *values)
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

/* ---- both, compared ---- */

static void compare(const world *w, tribus_pipeline *pipe, const tribus_pipeline_result *r,
                    const value *values)
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

static void run_world(const world *w, tribus_random *r)
{
    const tribus_pipeline_cfg cfg = {.text = w->text, .successor_ns = FIXTURE_PATIENCE_NS};
    fixture_plan f = fixture_register(&cfg);
    static value expected[RUNS][MOST];
    value state[MOST];
    fixture_host hosts[2];
    uint32_t sent = 0, got = 0;

    memset(state, 0, sizeof(state));
    fixture_host_start(&hosts[0], &f, 2, TRIBUS_DOMAIN_NEURAL);
    fixture_host_start(&hosts[1], &f, 3, TRIBUS_DOMAIN_GPU);
    while (got < RUNS) {
        tribus_tensor t;

        while (sent < RUNS && tribus_pipeline_claim(f.pipe) == TRIBUS_OK) {
            const float x = (float)below(r, 9) - 4.0f;

            OK(tribus_pipeline_input(f.pipe, 0, &t));
            for (uint32_t i = 0; i < WIDTH; i++)
                ((float *)t.data)[i] = x + (float)i;
            OK(tribus_pipeline_submit(f.pipe, 0, NULL));
            interpret(w, x, state);
            memcpy(expected[sent++], state, sizeof(state));
        }
        const tribus_pipeline_result result = fixture_await(f.pipe);
        compare(w, f.pipe, &result, expected[got++]);
        tribus_pipeline_release(f.pipe, result.run);
    }
    for (int i = 0; i < 2; i++)
        fixture_host_stop(&hosts[i]);
    fixture_close(&f);
}

static void random_graphs_give_what_a_sequential_interpreter_gives(void)
{
    const char *given = getenv("TRIBUS_GRAPHS");
    const long graphs = given != NULL ? strtol(given, NULL, 10) : 100;
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
