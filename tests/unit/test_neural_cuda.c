/* test_neural_cuda.c -- what a card cannot run is refused with its operator and its node: when
 * the file is opened, or when shapes are known. On the fake driver: nothing is computed. */
#include "device/cuda_image.h"
#include "fake_card.h"
#include "neural/neural_cuda_kernels.h"
#include "onnx_writer.h"
#include "tribus/base.h"
#include "tribus/neural.h"

static tribus_device *card;

/* x [4, 1, 3] -> the node -> y [4, 1, 3], with a constant k of one float. */
static bytes graph_of(const bytes *node)
{
    const float one = 1.0f;
    bytes g = {{0}, 0};

    put_message(&g, 1, node);
    put_part(&g, 5, constant("k", &one, 1, 1));
    put_part(&g, 11, value_info3("x", 4, 1, 3));
    put_part(&g, 12, value_info3("y", 4, 1, 3));
    return g;
}

static tribus_status open_on_card(const bytes *graph, tribus_model **out)
{
    const tribus_model_cfg cfg = {.device = card};

    return tribus_model_open(model_file(graph), &cfg, out);
}

static void says(const char *words)
{
    if (strstr(tribus_error_text(), words) == NULL) {
        fprintf(stderr, "wanted \"%s\" in: %s\n", words, tribus_error_text());
        exit(1);
    }
}

static void operator_that_no_card_has_is_named_with_its_node(void)
{
    static const char *const operators[] = {
        "LRN",    "Einsum", "MaxPool", "BatchNormalization",
        "If",     "ArgMax", "Resize",  "ConvTranspose",
        "Gather", "RNN"};

    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        const bytes n = node_of(operators[i], "the culprit", "x", "y"), g = graph_of(&n);
        tribus_model *m = NULL;
        char words[96];

        CHECK(open_on_card(&g, &m) == TRIBUS_UNSUPPORTED && m == NULL);
        (void)snprintf(words, sizeof(words), "node 0 \"the culprit\": operator %s ",
                       operators[i]);
        says(words);
    }
}

static void operator_of_another_domain_is_named_with_it(void)
{
    bytes n = node_of("Gelu", "fused", "x", "y"), g;
    tribus_model *m = NULL;

    put_text(&n, 7, "com.example");
    g = graph_of(&n);
    CHECK(open_on_card(&g, &m) == TRIBUS_UNSUPPORTED && m == NULL);
    says("node 0 \"fused\": operator com.example.Gelu ");
}

/* Refused when bound: the file alone does not say it. */
static void refused_at_bind(const bytes *n, const char *words)
{
    static float x[12], y[12];
    const int64_t shape[] = {4, 1, 3};
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1};
    const bytes g = graph_of(n);
    tribus_tensor tx, ty;
    tribus_model *m = NULL;

    if (open_on_card(&g, &m) != TRIBUS_OK) {
        fprintf(stderr, "%s\n", tribus_error_text());
        exit(1);
    }
    CHECK(tribus_tensor_init(&tx, f32, 3, shape, x, sizeof(x)) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&ty, f32, 3, shape, y, sizeof(y)) == TRIBUS_OK);
    tx.device_type = ty.device_type = TRIBUS_DEVICE_CUDA;
    CHECK(tribus_model_bind(m, &tx, 1, &ty, 1) != TRIBUS_OK);
    says(words);
    tribus_model_close(m);
}

static void form_that_no_card_has_is_named_with_its_node(void)
{
    bytes n = node_of("Softmax", "s", "x", "y");

    put_int(&n, "axis", 7);
    refused_at_bind(&n, "node 0 Softmax \"s\": axis out of range");
    n = node_of("Conv", "c", "x k", "y");
    refused_at_bind(&n, "node 0 Conv \"c\": ");
    n = node_of("LSTM", "l", "x k k", "y");
    refused_at_bind(&n, "node 0 LSTM \"l\": X, W and R have three dimensions");
    n = node_of("GRU", "g", "x k k", "y");
    put_int(&n, "layout", 1);
    refused_at_bind(&n, "node 0 GRU \"g\": sequence lengths");
    n = node_of("Reshape", "r", "x k", "y");
    refused_at_bind(&n, "node 0 Reshape \"r\": input 1 \"k\" is not a constant of whole");
    n = node_of("MatMul", "m", "x k", "y");
    refused_at_bind(&n, "node 0 MatMul \"m\": matrices that do not fit");
}

static void never(const void *argument, fake_grid grid)
{
    (void)argument;
    (void)grid;
    CHECK(!"nothing is launched here");
}

int main(void)
{
    static const char *const kernels[] = {"tribus_nn_unary",      "tribus_nn_binary",
                                          "tribus_nn_copy",       "tribus_nn_gemm_run",
                                          "tribus_nn_softmax",    "tribus_nn_layer_norm",
                                          "tribus_nn_reduce_run", "tribus_nn_conv_run",
                                          "tribus_nn_lstm",       "tribus_nn_gru"};
    const fake_ops *fake = fake_card();

    if (tribus_cuda_images[0].name == NULL)
        SKIP("this build has no kernels for NVIDIA cards");
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
        fake->kernel(kernels[i], never, sizeof(tribus_nn_gemm));
    CHECK(tribus_device_open("cuda", &card) == TRIBUS_OK);
    operator_that_no_card_has_is_named_with_its_node();
    operator_of_another_domain_is_named_with_it();
    form_that_no_card_has_is_named_with_its_node();
    tribus_device_close(card);
    CHECK(fake->live() == 0);
    return 0;
}
