/* test_neural_onnx.c -- the shipped forecast model against models/forecast.test.csv, which
 * the training script computed without ONNX, and against sense. */
#include "base/random.h"
#include "check.h"
#include "tribus/base.h"
#include "tribus/neural.h"

#define WINDOW 32
#define MOST   439

static float returns[MOST * WINDOW], forecast[MOST * 2];
static tribus_model *model;

static void predict(uint32_t assets)
{
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1};
    tribus_tensor x, y;

    CHECK(tribus_tensor_init(&x, f32, 2, (const int64_t[]){assets, WINDOW}, returns,
                             sizeof(returns)) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&y, f32, 2, (const int64_t[]){assets, 2}, forecast,
                             sizeof(forecast)) == TRIBUS_OK);
    CHECK(tribus_model_bind(model, &x, 1, &y, 1) == TRIBUS_OK);
    CHECK(tribus_model_run(model) == TRIBUS_OK);
}

static void open_gives_the_declared_ports(void)
{
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1};
    const tribus_model_port in = {"returns", f32, 2, {-1, WINDOW}};
    const tribus_model_port out = {"forecast", f32, 2, {-1, 2}};
    const tribus_model_cfg cfg = {
        .inputs = &in, .input_count = 1, .outputs = &out, .output_count = 1};
    const tribus_model_port *ports;
    uint32_t n;
    const tribus_status st =
        tribus_model_open(TRIBUS_SOURCE_DIR "/models/forecast.onnx", &cfg, &model);

    if (st != TRIBUS_OK)
        fprintf(stderr, "%s\n", tribus_error_text());
    CHECK(st == TRIBUS_OK);
    ports = tribus_model_inputs(model, &n);
    CHECK(n == 1 && strcmp(ports[0].name, "returns") == 0 && ports[0].shape[0] == -1);
    ports = tribus_model_outputs(model, &n);
    CHECK(n == 1 && strcmp(ports[0].name, "forecast") == 0 && ports[0].shape[1] == 2);
}

/* Within 1e-5 of the window's own scale, since the model is linear in it. */
static void run_agrees_with_the_training_script(void)
{
    FILE *f = fopen(TRIBUS_SOURCE_DIR "/models/forecast.test.csv", "r");
    static double want[MOST][2];
    char line[4096];
    uint32_t rows = 0;

    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f) != NULL) {
        char *at = line;

        if (line[0] == '#')
            continue;
        CHECK(rows < MOST);
        for (int i = 0; i < WINDOW; i++, at++)
            returns[rows * WINDOW + (uint32_t)i] = strtof(at, &at);
        want[rows][0] = strtod(at, &at);
        CHECK(*at == ',');
        want[rows++][1] = strtod(at + 1, NULL);
    }
    (void)fclose(f);
    CHECK(rows >= 10);
    predict(rows);
    for (uint32_t i = 0; i < rows; i++) {
        CHECK_NEAR(forecast[2 * i], want[i][0], 1e-5 * want[i][1]);
        CHECK_NEAR(forecast[2 * i + 1], want[i][1], 1e-5 * want[i][1]);
    }
}

static void volatility_is_positive_and_rises_with_the_returns(void)
{
    tribus_random r;
    float before = 0.0f;

    tribus_random_init(&r, 7);
    for (int i = 0; i < WINDOW; i++)
        returns[i] = (float)(tribus_random_unit(&r) - 0.5);
    for (uint32_t k = 1; k < MOST; k++)
        for (int i = 0; i < WINDOW; i++)
            returns[k * WINDOW + (uint32_t)i] =
                returns[i] * powf(10.0f, (float)k / 100.0f - 5.0f);
    predict(MOST); /* row 0 is the largest but for the last few: not compared */
    for (uint32_t k = 1; k < MOST; k++) {
        CHECK(forecast[2 * k + 1] > before && isfinite(forecast[2 * k]));
        before = forecast[2 * k + 1];
    }
    for (int i = 0; i < WINDOW; i++) /* calm until the end, then the reverse */
        returns[i] = returns[2 * WINDOW - 1 - i] =
            (i % 2 ? 1e-3f : -1e-3f) * (i < 24 ? 1.0f : 4.0f);
    predict(2);
    CHECK(forecast[1] > forecast[3]); /* recent returns weigh more */
    memset(returns, 0, sizeof(float) * WINDOW);
    predict(1);
    CHECK(forecast[1] > 0.0f && forecast[1] < 1e-6f && fabsf(forecast[0]) < 1e-6f);
}

int main(void)
{
    tribus_model_runtime_row row;

    CHECK(tribus_model_runtime(0, &row) == TRIBUS_OK);
    if (!row.present)
        SKIP(row.detail);
    open_gives_the_declared_ports();
    run_agrees_with_the_training_script();
    volatility_is_positive_and_rises_with_the_returns();
    tribus_model_close(model);
    return 0;
}
