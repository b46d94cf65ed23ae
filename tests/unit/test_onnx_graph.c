/* test_onnx_graph.c -- the shipped model is read whole; broken files are refused with the
 * reason, whatever byte is wrong. */
#include "check.h"
#include "neural/onnx_graph.h"
#include "onnx_writer.h"
#include "tribus/base.h"

#include <stdbool.h>

/* y = x + k with k = {1.5, -2}. The output stands before everything else on purpose. */
static bytes sum_graph(void)
{
    const float k[] = {1.5f, -2.0f};
    bytes g = {{0}, 0}, part;

    part = value_info("y", 2);
    put_message(&g, 12, &part);
    part = node("Add", "x", "k", "y");
    put_message(&g, 1, &part);
    part = constant("k", k, 2, 2);
    put_message(&g, 5, &part);
    part = value_info("x", 2);
    put_message(&g, 11, &part);
    return g;
}

static void refused(const bytes *m, tribus_status want, const char *words)
{
    tribus_onnx_graph *g = NULL;

    CHECK(tribus_onnx_graph_open(m->at, m->n, &g) == want);
    if (strstr(tribus_error_text(), words) == NULL) {
        fprintf(stderr, "wanted \"%s\" in: %s\n", words, tribus_error_text());
        exit(1);
    }
}

/* ---- tests ---- */

static unsigned char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    unsigned char *all;
    long size;

    CHECK(f != NULL);
    CHECK(fseek(f, 0, SEEK_END) == 0);
    size = ftell(f);
    CHECK(size > 0 && fseek(f, 0, SEEK_SET) == 0);
    all = malloc((size_t)size);
    CHECK(all != NULL && fread(all, 1, (size_t)size, f) == (size_t)size);
    (void)fclose(f);
    *n = (size_t)size;
    return all;
}

static void the_shipped_model_is_read_whole(void)
{
    size_t n;
    unsigned char *all = read_file(TRIBUS_SOURCE_DIR "/models/forecast.onnx", &n);
    tribus_onnx_graph *g = NULL;
    uint64_t weights = 0;
    bool gemm = false;

    CHECK(tribus_onnx_graph_open(all, n, &g) == TRIBUS_OK);
    CHECK(g->opset == 13 && g->ir_version == 8);
    CHECK(g->input_count == 1 && g->output_count == 1);
    CHECK_TEXT(g->values[g->inputs[0]].name, "returns");
    CHECK_TEXT(g->values[g->inputs[0]].words[0], "assets");
    CHECK(g->values[g->inputs[0]].shape[0] == -1 && g->values[g->inputs[0]].shape[1] == 32);
    CHECK_TEXT(g->values[g->outputs[0]].name, "forecast");
    for (uint32_t v = 0; v < g->value_count; v++)
        if (g->values[v].kind == TRIBUS_ONNX_CONSTANT &&
            (g->values[v].name[0] == 'w' || g->values[v].name[0] == 'b'))
            weights += g->values[v].constant.elements;
    CHECK(weights == 1982);
    for (uint32_t i = 0; i < g->node_count; i++) {
        gemm = gemm || strcmp(g->nodes[i].op, "Gemm") == 0;
        if (strcmp(g->nodes[i].op, "Concat") == 0)
            CHECK(tribus_onnx_int(&g->nodes[i], "axis", -7) == 1);
    }
    CHECK(gemm);
    tribus_onnx_graph_close(g);
    free(all);
}

static void any_part_of_the_shipped_model_is_refused_or_read(void)
{
    size_t n;
    unsigned char *all = read_file(TRIBUS_SOURCE_DIR "/models/forecast.onnx", &n);
    uint64_t seed = check_seed();

    for (size_t cut = 0; cut < n; cut += 7) {
        unsigned char *exact = malloc(cut + 1);
        tribus_onnx_graph *g = NULL;

        CHECK(exact != NULL);
        memcpy(exact, all, cut);
        CHECK(tribus_onnx_graph_open(exact, cut, &g) != TRIBUS_OK);
        free(exact);
    }
    for (int i = 0; i < 20000; i++) {
        tribus_onnx_graph *g = NULL;
        size_t at;
        unsigned char was;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        at = (size_t)(seed >> 33) % n;
        was = all[at];
        all[at] = (unsigned char)(seed >> 20);
        (void)!tribus_onnx_graph_open(all, n, &g);
        tribus_onnx_graph_close(g);
        all[at] = was;
    }
    free(all);
}

static void parts_may_stand_in_any_order(void)
{
    const bytes g = sum_graph(), m = model(&g);
    tribus_onnx_graph *graph = NULL;

    CHECK(tribus_onnx_graph_open(m.at, m.n, &graph) == TRIBUS_OK);
    CHECK(graph->node_count == 1 && graph->nodes[0].input_count == 2);
    CHECK_TEXT(graph->nodes[0].op, "Add");
    CHECK_TEXT(graph->values[graph->nodes[0].inputs[0]].name, "x");
    CHECK_NEAR(tribus_onnx_number(&graph->values[graph->nodes[0].inputs[1]].constant, 1),
               -2.0, 0.0);
    CHECK(graph->values[graph->outputs[0]].shape[0] == 2);
    tribus_onnx_graph_close(graph);
}

static void a_constant_that_does_not_fit_its_shape_is_refused(void)
{
    const float k[] = {1.0f, 2.0f};
    bytes g = sum_graph(), part = constant("z", k, 2, 3), m;

    put_message(&g, 5, &part);
    m = model(&g);
    refused(&m, TRIBUS_BAD_DATA, "a tensor's bytes do not fit its shape");
}

static void sizes_that_overflow_are_refused(void)
{
    bytes g = sum_graph(), t = {{0}, 0}, m;

    for (int i = 0; i < 3; i++)
        put_whole(&t, 1, (uint64_t)1 << 30);
    put_whole(&t, 2, 1);
    put_text(&t, 8, "z");
    put_message(&g, 5, &t);
    m = model(&g);
    refused(&m, TRIBUS_BAD_DATA, "larger than any file");
}

static void typed_values_larger_than_the_file_take_no_memory(void)
{
    const float one = 1.0f;
    bytes g = sum_graph(), t = {{0}, 0}, m;

    put_whole(&t, 1, (uint64_t)1 << 38);
    put_whole(&t, 2, 1);
    put_text(&t, 8, "z");
    put_span(&t, 4, &one, sizeof(one));
    put_message(&g, 5, &t);
    m = model(&g);
    refused(&m, TRIBUS_BAD_DATA, "do not fit its shape");
}

static void a_node_that_reads_what_nothing_makes_is_refused_by_name(void)
{
    bytes g = sum_graph(), part = node("Mul", "y", "missing", "w"), m;

    put_message(&g, 1, &part);
    m = model(&g);
    refused(&m, TRIBUS_BAD_DATA, "node 1 reads \"missing\"");
}

static void a_node_cannot_read_what_it_makes(void)
{
    bytes g = sum_graph(), part = node("Mul", "loop", NULL, "loop"), m;

    put_message(&g, 1, &part);
    m = model(&g);
    refused(&m, TRIBUS_BAD_DATA, "reads \"loop\"");
}

static void a_value_made_twice_is_refused(void)
{
    bytes g = sum_graph(), part = node("Mul", "x", "x", "y"), m;

    put_message(&g, 1, &part);
    m = model(&g);
    refused(&m, TRIBUS_BAD_DATA, "\"y\" is made twice");
}

static void control_characters_in_names_are_refused(void)
{
    bytes g = sum_graph(), part = node("Mul", "x", NULL, "a\nb"), m;

    put_message(&g, 1, &part);
    m = model(&g);
    refused(&m, TRIBUS_BAD_DATA, "control characters");
}

static void what_is_not_read_is_refused_as_unsupported(void)
{
    bytes g = sum_graph(), attribute = {{0}, 0}, n = node("If", "x", NULL, "w"), m;

    put_text(&attribute, 1, "then_branch");
    put_span(&attribute, 6, "", 0);
    put_message(&n, 5, &attribute);
    put_message(&g, 1, &n);
    m = model(&g);
    refused(&m, TRIBUS_UNSUPPORTED, "a graph inside a node");
    g = sum_graph();
    put_span(&g, 15, "", 0);
    m = model(&g);
    refused(&m, TRIBUS_UNSUPPORTED, "sparse");
}

static void lists_are_read_packed_and_one_by_one(void)
{
    bytes g = sum_graph(), a = {{0}, 0}, b = {{0}, 0}, n = node("Conv", "x", NULL, "w"), m;
    const unsigned char packed[] = {1, 2, 0xac, 0x02};
    tribus_onnx_graph *graph = NULL;
    const tribus_onnx_attribute *found;

    put_text(&a, 1, "pads");
    put_span(&a, 8, packed, sizeof(packed));
    put_whole(&a, 20, 7);
    put_text(&b, 1, "strides");
    put_whole(&b, 8, 3);
    put_whole(&b, 8, (uint64_t)-4);
    put_message(&n, 5, &a);
    put_message(&n, 5, &b);
    put_message(&g, 1, &n);
    m = model(&g);
    CHECK(tribus_onnx_graph_open(m.at, m.n, &graph) == TRIBUS_OK);
    found = tribus_onnx_attribute_find(&graph->nodes[1], "pads");
    CHECK(found != NULL && found->count == 3 && found->ints[2] == 300);
    found = tribus_onnx_attribute_find(&graph->nodes[1], "strides");
    CHECK(found != NULL && found->count == 2 && found->ints[1] == -4);
    CHECK(tribus_onnx_attribute_find(&graph->nodes[1], "group") == NULL);
    tribus_onnx_graph_close(graph);
}

static void numbers_of_every_type_are_read(void)
{
    const unsigned char half[] = {0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0x00, 0x7c};
    const unsigned char small[] = {0x80, 0xff, 0xff, 0xff};
    tribus_onnx_tensor t;

    memset(&t, 0, sizeof(t));
    t.type = TRIBUS_ONNX_FLOAT16;
    t.elements = 4;
    t.bytes = half;
    CHECK_NEAR(tribus_onnx_number(&t, 0), 1.0, 0.0);
    CHECK_NEAR(tribus_onnx_number(&t, 1), -2.0, 0.0);
    CHECK_NEAR(tribus_onnx_number(&t, 2), 1.0 / 16777216.0, 0.0);
    CHECK(isinf(tribus_onnx_number(&t, 3)));
    t.bytes = small;
    t.type = TRIBUS_ONNX_INT8;
    CHECK(tribus_onnx_whole(&t, 0) == -128);
    t.type = TRIBUS_ONNX_UINT8;
    CHECK(tribus_onnx_whole(&t, 0) == 128);
    t.type = TRIBUS_ONNX_INT32;
    t.elements = 1;
    CHECK(tribus_onnx_whole(&t, 0) == -128);
    CHECK(tribus_onnx_whole(&t, 1) == 0);
}

int main(void)
{
    the_shipped_model_is_read_whole();
    any_part_of_the_shipped_model_is_refused_or_read();
    parts_may_stand_in_any_order();
    a_constant_that_does_not_fit_its_shape_is_refused();
    sizes_that_overflow_are_refused();
    typed_values_larger_than_the_file_take_no_memory();
    a_node_that_reads_what_nothing_makes_is_refused_by_name();
    a_node_cannot_read_what_it_makes();
    a_value_made_twice_is_refused();
    control_characters_in_names_are_refused();
    what_is_not_read_is_refused_as_unsupported();
    lists_are_read_packed_and_one_by_one();
    numbers_of_every_type_are_read();
    return 0;
}
