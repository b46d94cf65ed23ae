/* test_neural_stream.c -- a stream's steps are what the whole sequence gives in ONNX Runtime; a
 * file that cannot be a stream is refused with its node. */
#include "check.h"
#include "stream_model.h"
#include "tribus/base.h"
#include "tribus/neural.h"

/* The whole sequence at once. false: there is no ONNX Runtime. */
static bool whole(const char *path, const stream_shape *s, float *x, float *y)
{
    const int64_t in[] = {s->steps, 1, s->inputs}, out[] = {s->steps, s->outputs};
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1};
    tribus_model_runtime_row row;
    tribus_tensor tx, ty;
    tribus_model *m;

    CHECK(tribus_model_runtime(0, &row) == TRIBUS_OK);
    if (!row.present) {
        printf("%s: streams are not compared with it\n", row.detail);
        return false;
    }
    CHECK(tribus_tensor_init(&tx, f32, 3, in, x, 4 * s->steps * s->inputs) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&ty, f32, 2, out, y, 4 * s->steps * s->outputs) == TRIBUS_OK);
    CHECK(tribus_model_open(path, NULL, &m) == TRIBUS_OK);
    CHECK(tribus_model_bind(m, &tx, 1, &ty, 1) == TRIBUS_OK);
    CHECK(tribus_model_run(m) == TRIBUS_OK);
    tribus_model_close(m);
    return true;
}

static void steps_are_what_the_whole_sequence_gives(const stream_shape *s, tribus_random *r)
{
    const bytes g = stream_graph(s, r);
    const char *path = model_file(&g);
    float *x = calloc((size_t)s->steps * s->inputs, sizeof(*x));
    float *y = calloc((size_t)s->steps * s->outputs, sizeof(*y));
    float *one = calloc(s->outputs, sizeof(*one));
    tribus_model_stream *stream;
    uint32_t inputs, outputs;

    CHECK(x != NULL && y != NULL && one != NULL);
    for (size_t i = 0; i < (size_t)s->steps * s->inputs; i++)
        x[i] = (float)(2.0 * tribus_random_unit(r) - 1.0);
    if (tribus_model_stream_open(path, NULL, &stream) != TRIBUS_OK) {
        fprintf(stderr, "%s\n", tribus_error_text());
        exit(1);
    }
    tribus_model_stream_sizes(stream, &inputs, &outputs);
    CHECK(inputs == s->inputs && outputs == s->outputs);
    if (whole(path, s, x, y)) {
        for (int again = 0; again < 2; again++) {
            for (uint32_t t = 0; t < s->steps; t++) {
                memset(one, 0xff, s->outputs * sizeof(*one));
                CHECK(tribus_model_stream_step_wait(stream, x + t * s->inputs, one,
                                                    INT64_C(60000000000)) == TRIBUS_OK);
                for (uint32_t o = 0; o < s->outputs; o++)
                    CHECK_NEAR(one[o], y[t * s->outputs + o], 1e-5);
            }
            CHECK(tribus_model_stream_reset(stream) == TRIBUS_OK);
        }
    }
    tribus_model_stream_close(stream);
    free(x);
    free(y);
    free(one);
}

static void refused(const bytes *g, const char *words)
{
    tribus_model_stream *stream = NULL;

    CHECK(tribus_model_stream_open(model_file(g), NULL, &stream) == TRIBUS_UNSUPPORTED);
    if (strstr(tribus_error_text(), words) == NULL) {
        fprintf(stderr, "wanted \"%s\" in: %s\n", words, tribus_error_text());
        exit(1);
    }
    CHECK(stream == NULL);
}

static void file_that_is_no_stream_is_refused_by_node(tribus_random *r)
{
    const stream_shape s = {.layers = 1, .inputs = 3, .units = 4, .outputs = 4, .steps = 2};
    bytes g = {{0}, 0};

    put_part(&g, 1, node_of("Relu", "first", "x", "y"));
    put_part(&g, 11, value_info3("x", 2, 1, 3));
    put_part(&g, 12, value_info3("y", 2, 1, 3));
    refused(&g, "node 0 \"first\": operator Relu: no stream has it");

    g = (bytes){{0}, 0};
    put_part(&g, 1, node_of("Identity", "", "x", "y"));
    put_part(&g, 11, value_info3("x", 2, 1, 3));
    put_part(&g, 12, value_info3("y", 2, 1, 3));
    refused(&g, "without recurrent layers");

    g = stream_graph(&s, r);
    put_part(&g, 1, node_of("Abs", "aside", "w0", "other"));
    refused(&g, "node 3 \"aside\": operator Abs: it does not lie between");
}

int main(void)
{
    static const stream_shape shapes[] = {
        {.layers = 1, .inputs = 3, .units = 5, .outputs = 5, .steps = 7},
        {.dense = true, .layers = 2, .inputs = 10, .units = 12, .outputs = 1, .steps = 20},
        {.dense = true,
         .matmul = true,
         .layers = 4,
         .inputs = 6,
         .units = 9,
         .outputs = 3,
         .steps = 9},
        {.gru = true, .layers = 1, .inputs = 4, .units = 6, .outputs = 6, .steps = 9},
        {.gru = true,
         .dense = true,
         .layers = 3,
         .inputs = 11,
         .units = 8,
         .outputs = 2,
         .steps = 15}};
    tribus_random r;

    tribus_random_init(&r, check_seed());
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        steps_are_what_the_whole_sequence_gives(&shapes[i], &r);
    file_that_is_no_stream_is_refused_by_node(&r);
    return 0;
}
