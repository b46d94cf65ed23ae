/* test_graph.c -- what a pipeline's text becomes, and the mistakes in one. */
#include "check.h"
#include "pipeline/graph.h"
#include "pipeline/operation.h"

#define HEAD "pipeline: p\ndims: {n: 4}\ninputs:\n  - {name: x, dtype: f32, shape: [n]}\n"
#define STAGE(name)                                                                        \
    "  - {name: " name ", domain: gpu, operation: affine,"                                 \
    " inputs: [{name: in, dtype: f32, shape: [n]}],"                                       \
    " outputs: [{name: out, dtype: f32, shape: [n]}]}\n"

static tribus_status open_with(const char *text, const tribus_pipeline_dim *dims,
                               uint32_t dim_count, tribus_graph **out)
{
    const tribus_graph_cfg cfg = {.text = text,
                                  .bytes = strlen(text),
                                  .origin = "p.yaml",
                                  .folder = "",
                                  .dims = dims,
                                  .dim_count = dim_count};

    return tribus_graph_open(&cfg, out);
}

static tribus_graph *graph_of(const char *text)
{
    tribus_graph *g = NULL;

    if (open_with(text, NULL, 0, &g) != TRIBUS_OK)
        fprintf(stderr, "%s\n", tribus_error_text());
    CHECK(g != NULL);
    return g;
}

static void open_when_line_of_stages_links_them_in_order(void)
{
    tribus_graph *g =
        graph_of(HEAD "stages:\n" STAGE("b") STAGE("a") "edges:\n"
                                                        "  - {from: x, to: a.in}\n"
                                                        "  - {from: a.out, to: b.in}\n"
                                                        "results: [b.out]\n");

    CHECK(g->node_count == 4 && g->link_count == 3);
    CHECK(g->order[0] == 0 && g->order[1] == 2 && g->order[2] == 1 && g->order[3] == 3);
    CHECK(g->runs == 8 && g->slots == 8);
    CHECK(g->nodes[1].slot_bytes == 64 && g->nodes[1].outputs[0].bytes == 16);
    CHECK(strcmp(g->nodes[3].inputs[0].name, "b.out") == 0);
    tribus_graph_close(g);
}

static void open_when_dims_are_given_they_go_before_those_of_the_text(void)
{
    const tribus_pipeline_dim dims[] = {{"n", 100}};
    tribus_graph *g = NULL;

    CHECK(open_with(HEAD "stages:\n" STAGE(
                        "a") "edges:\n  - {from: x, to: a.in}\nresults: [a.out]\n",
                    dims, 1, &g) == TRIBUS_OK);
    CHECK(g->nodes[0].outputs[0].shape[0] == 100 && g->nodes[1].slot_bytes == 448);
    tribus_graph_close(g);
}

static void open_when_state_is_declared_allows_the_cycle_and_adds_a_slot(void)
{
    tribus_graph *g = graph_of(HEAD "stages:\n"
                                    "  - name: s\n    domain: gpu\n    operation: sum\n"
                                    "    inputs:\n"
                                    "      - {name: a, dtype: f32, shape: [n]}\n"
                                    "      - {name: b, dtype: f32, shape: [n]}\n"
                                    "    outputs: [{name: out, dtype: f32, shape: [n]}]\n"
                                    "edges:\n"
                                    "  - {from: x, to: s.a}\n"
                                    "  - {from: s.out, to: s.b, state: true}\n"
                                    "results: [s.out]\n");

    CHECK(g->slots == 9 && g->link_count == 3);
    CHECK(tribus_operation_check(g, &g->nodes[1]) == TRIBUS_OK);
    tribus_graph_close(g);
}

static void open_when_ends_are_loose_ties_them_to_the_submitter(void)
{
    /* a reads nothing, c is read by nobody: every run must pass them all the same */
    tribus_graph *g =
        graph_of(HEAD "stages:\n"
                      "  - {name: a, domain: gpu, operation: o, outputs: [{name: "
                      "out, dtype: f32, shape: [n]}]}\n" STAGE("b")
                          STAGE("c") "edges:\n"
                                     "  - {from: a.out, to: b.in}\n"
                                     "  - {from: a.out, to: c.in}\n"
                                     "results: [b.out]\n");

    CHECK(g->link_count == 5); /* 0-a a-b a-c b-end c-end */
    CHECK(g->nodes[1].in_count == 1 && g->nodes[3].out_count == 1);
    tribus_graph_close(g);
}

typedef struct mistake {
    const char *text, *want;
} mistake;

static void every_mistake_is_named_with_its_line(void)
{
    static const mistake mistakes[] = {
        {"", "p.yaml:1: empty: a pipeline starts with `pipeline: <name>`"},
        {"pipeline: [", "p.yaml:2: not YAML: did not find expected node content"},
        {"stages: []\n", "p.yaml:1: `pipeline: <name>` is missing"},
        {"pipeline: a b\n", "p.yaml:1: pipeline: `a b` is not a name: 1 to 47 letters, "
                            "digits, _ or -"},
        {"pipeline: p\nstaegs: []\n",
         "p.yaml:2: pipeline: unknown key `staegs`; known are pipeline, about, runs, "
         "deadline_ms, priority, dims, inputs, stages, edges, results"},
        {"pipeline: p\npipeline: q\n", "p.yaml:2: pipeline: key `pipeline` is here twice"},
        {"pipeline: p\nruns: many\n", "p.yaml:2: runs: `many` is not a whole number"},
        {"pipeline: p\nruns: 1000\n",
         "p.yaml:2: runs: 1000 in flight; 1 to 256 are possible"},
        {"pipeline: p\npriority: 11\n",
         "p.yaml:2: priority: 11 is not one of 0 (last) to 9 (first)"},
        {"pipeline: p\ndims: {n: 0}\n",
         "p.yaml:2: dimension n: 0 is not a size from 1 to 2147483647"},
        {"pipeline: p\n", "p.yaml:1: stages: a list of 1 to 4096 stages is wanted"},
        {HEAD "stages:\n  - {domain: gpu}\n", "p.yaml:6: stage: name is missing"},
        {HEAD "stages:\n  - {name: a, domain: tpu}\n",
         "p.yaml:6: stage a: domain `tpu`: neural or gpu is wanted"},
        {HEAD "stages:\n  - {name: a, domain: gpu}\n",
         "p.yaml:6: stage a: operation is missing: a model file or a kernel's name"},
        {HEAD "stages:\n" STAGE("a") STAGE("a"),
         "p.yaml:7: stage a: the name is taken by line 6"},
        {HEAD "stages:\n  - {name: a, domain: gpu, operation: o,\n"
              "     inputs: [{name: in, dtype: f33, shape: [n]}]}\n",
         NULL},
        {HEAD "stages:\n  - {name: a, domain: gpu, operation: o,\n"
              "     inputs: [{name: in, dtype: f32, shape: [m]}]}\n",
         "p.yaml:7: stage a: input in: dimension `m` has no size: add it to `dims` or give "
         "it when registering"},
        {HEAD "stages:\n" STAGE("a"),
         "p.yaml:1: results: a list of stage.output is wanted, 1 to 4096"},
        {HEAD "stages:\n" STAGE("a") "results: [a.out]\n",
         "p.yaml:6: stage a: input in: no edge leads to it"},
        {HEAD "stages:\n" STAGE("a") "edges:\n  - {from: y, to: a.in}\n",
         "p.yaml:8: edge y -> a.in: the pipeline has no input y; it has: x"},
        {HEAD "stages:\n" STAGE("a") "edges:\n  - {from: x, to: b.in}\n",
         "p.yaml:8: edge x -> b.in: there is no stage b"},
        {HEAD "stages:\n" STAGE("a") "edges:\n  - {from: x, to: a.input}\n",
         "p.yaml:8: edge x -> a.input: stage a has no input input; it has: in"},
        {HEAD "stages:\n" STAGE("a") "edges:\n  - {from: a.o, to: a.in}\n",
         "p.yaml:8: edge a.o -> a.in: stage a has no output o; it has: out"},
        {HEAD "stages:\n" STAGE(
             "a") "edges:\n  - {from: x, to: a.in}\n  - {from: x, to: a.in}\n",
         "p.yaml:9: edge x -> a.in: the input has an edge already; a second choice for "
         "when "
         "the first was skipped says `otherwise: true`"},
        {HEAD "stages:\n" STAGE("a") "edges:\n  - {from: x, to: a.in, state: true}\n",
         "p.yaml:8: edge x -> a.in: an input is no state; a stage's output can be"},
        {"pipeline: p\ninputs:\n  - {name: x, dtype: f64, shape: [2, 3]}\n"
         "stages:\n  - {name: a, domain: gpu, operation: o,\n"
         "     inputs: [{name: in, dtype: f32, shape: [6]}],\n"
         "     outputs: [{name: out, dtype: f32, shape: [6]}]}\n"
         "edges:\n  - {from: x, to: a.in}\n",
         "p.yaml:9: edge x -> a.in: brings f64[2,3], but in (line 6) is f32[6]"},
        {HEAD "stages:\n" STAGE("a") STAGE("b")
             STAGE("c") "edges:\n  - {from: a.out, to: b.in}\n  - {from: b.out, to: c.in}\n"
                        "  - {from: c.out, to: a.in}\nresults: [c.out]\n",
         "p.yaml:6: stages in a cycle: a <- c <- b <- a; say `state: true` at the edge "
         "that "
         "brings what the run before made"},
        {HEAD "stages:\n" STAGE("a") "edges:\n  - {from: x, to: a.in}\nresults: [a]\n",
         "p.yaml:9: result a: stage.output is wanted, at most 47 letters"},
        {HEAD "stages:\n  - {name: a, domain: gpu, operation: o, when: x}\n"
              "results: [a.out]\n",
         "p.yaml:7: result a.out: stage a has no output out; it has: none"},
    };

    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        tribus_graph *g = NULL;

        CHECK(open_with(mistakes[i].text, NULL, 0, &g) == TRIBUS_BAD_DATA && g == NULL);
        if (mistakes[i].want != NULL)
            CHECK_TEXT(tribus_error_text(), mistakes[i].want);
        else
            CHECK(strncmp(tribus_error_text(), "p.yaml:7: stage a: input in: ", 29) == 0);
    }
}

/* The same for operations: what the text cannot know by itself. */
static void every_misused_operation_is_named_with_its_line(void)
{
#define ONE(operation, domain, in_shape, params)                                           \
    HEAD "stages:\n  - {name: a, domain: " domain ", operation: " operation                \
         ", inputs: [{name: in, dtype: f32, shape: " in_shape "}], outputs: [{name: out, " \
         "dtype: f32, shape: [n]}]" params "}\n  - {name: feed, domain: gpu, operation: "  \
         "copy, outputs: [{name: out, dtype: f32, shape: " in_shape "}]}\nedges: [{from: " \
         "feed.out, to: a.in}]\nresults: [a.out]\n"
    static const mistake mistakes[] = {
        {ONE("nonsense", "gpu", "[n]", ""),
         "p.yaml:6: stage a: operation `nonsense`: neither a model file (.onnx), a library "
         "(.so) nor one of: "},
        {ONE("gone.onnx", "neural", "[n]", ""),
         "p.yaml:6: stage a: model gone.onnx cannot be read: paths are relative to the "
         "pipeline's folder"},
        {ONE("gone.onnx", "gpu", "[n]", ""),
         "p.yaml:6: stage a: a model runs on the domain neural, not gpu"},
        {ONE("gone.so", "gpu", "[n]", ""), "p.yaml:6: stage a: library gone.so cannot be "},
        {ONE("affine", "gpu", "[n]", ", params: {slope: 2}"),
         "p.yaml:6: stage a: affine has no param slope (line 6)"},
        {ONE("affine", "gpu", "[n]", ", params: {scale: 1e40}"),
         "p.yaml:6: stage a: param scale (line 6) is 1e+40; affine wants -1e+30 to 1e+30"},
        {ONE("affine", "gpu", "[7]", ""),
         "p.yaml:6: stage a: output out (line 6) is f32[4], but affine wants f32[...] for "
         "out"},
        {ONE("above", "gpu", "[7]", ""), "p.yaml:6: stage a: output out (line 6) is "
                                         "f32[4], but above wants i32[1] for yes"},
        {ONE("product", "gpu", "[n]", ""),
         "p.yaml:6: stage a: 1 inputs, but product has 2"},
        {ONE("mc_var_es", "neural", "[n]", ""),
         "p.yaml:6: stage a: 1 inputs, but mc_var_es "},
    };

    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        tribus_graph *g = graph_of(mistakes[i].text);

        CHECK(tribus_operation_check(g, &g->nodes[1]) == TRIBUS_BAD_DATA);
        if (strncmp(tribus_error_text(), mistakes[i].want, strlen(mistakes[i].want)) != 0)
            CHECK_TEXT(tribus_error_text(), mistakes[i].want);
        tribus_graph_close(g);
    }
}

int main(void)
{
    open_when_line_of_stages_links_them_in_order();
    open_when_dims_are_given_they_go_before_those_of_the_text();
    open_when_state_is_declared_allows_the_cycle_and_adds_a_slot();
    open_when_ends_are_loose_ties_them_to_the_submitter();
    every_mistake_is_named_with_its_line();
    every_misused_operation_is_named_with_its_line();
    return 0;
}
