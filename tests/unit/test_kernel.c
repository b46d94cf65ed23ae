/* test_kernel.c -- what may be bound to a kernel, and how a refusal reads. Run over every
 * kernel of the table where it can be. */
#include "check.h"
#include "tribus/base.h"
#include "tribus/device.h"

static tribus_device *cpu;
static float forecast[8], factor[16], weights[4];
static double risk[4];

static tribus_tensor over(const char *dtype, void *mem, int32_t ndim, const int64_t *shape)
{
    tribus_tensor t;
    tribus_dtype d;

    CHECK(tribus_dtype_parse(dtype, &d) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&t, d, ndim, shape, mem, 1 << 20) == TRIBUS_OK);
    return t;
}

static void four_assets(tribus_tensor in[3], tribus_tensor *out)
{
    in[0] = over("f32", forecast, 2, (const int64_t[]){4, 2});
    in[1] = over("f32", factor, 2, (const int64_t[]){4, 4});
    in[2] = over("f32", weights, 1, (const int64_t[]){4});
    *out = over("f64", risk, 1, (const int64_t[]){4});
    for (int i = 0; i < 4; i++) {
        forecast[2 * i] = 0.0f;
        forecast[2 * i + 1] = 0.01f;
        weights[i] = 0.25f;
        for (int j = 0; j < 4; j++)
            factor[4 * i + j] = i == j ? 1.0f : 0.0f;
    }
}

static bool says(const char *text)
{
    if (strstr(tribus_error_text(), text) != NULL)
        return true;
    fprintf(stderr, "error text: %s\n", tribus_error_text());
    return false;
}

static void table_rows_are_complete_and_open(void)
{
    const tribus_kernel_entry *e;
    tribus_kernel *k;
    uint32_t n = 0;

    for (; (e = tribus_kernel_list(n)) != NULL; n++) {
        CHECK(tribus_kernel_find(e->name) == e && e->meaning != NULL);
        CHECK(e->input_count >= 1 && e->output_count >= 1);
        for (uint32_t i = 0; i < e->input_count; i++)
            CHECK(e->inputs[i].name != NULL && e->inputs[i].meaning != NULL);
        for (uint32_t i = 0; i < e->param_count; i++)
            CHECK(e->params[i].fallback >= e->params[i].least &&
                  e->params[i].fallback <= e->params[i].most &&
                  e->params[i].meaning != NULL);
        CHECK(tribus_kernel_open(cpu, e->name, &k) == TRIBUS_OK);
        CHECK(tribus_kernel_get_entry(k) == e);
        CHECK(tribus_kernel_run(k) == TRIBUS_BAD_ARG && says("run before bind"));
        tribus_kernel_close(k);
    }
    CHECK(n >= 2);
    k = NULL;
    CHECK(tribus_kernel_open(cpu, "mc_var", &k) == TRIBUS_NOT_FOUND && k == NULL);
    CHECK(says("mc_var_es") && says("correlation_factor"));
    CHECK(tribus_kernel_find(NULL) == NULL);
    tribus_kernel_close(NULL);
}

static void set_when_out_of_range_names_the_parameter(void)
{
    tribus_kernel *k;

    CHECK(tribus_kernel_open(cpu, "mc_var_es", &k) == TRIBUS_OK);
    CHECK(tribus_kernel_set(k, "paths", 1000) == TRIBUS_OK);
    CHECK(tribus_kernel_set(k, "paths", 1000.5) == TRIBUS_BAD_ARG && says("paths"));
    CHECK(tribus_kernel_set(k, "paths", 1) == TRIBUS_BAD_ARG);
    CHECK(tribus_kernel_set(k, "confidence", 1.0) == TRIBUS_BAD_ARG && says("confidence"));
    CHECK(tribus_kernel_set(k, "seed", (double)NAN) == TRIBUS_BAD_ARG);
    CHECK(tribus_kernel_set(k, "path", 1000) == TRIBUS_NOT_FOUND && says("\"path\""));
    tribus_kernel_close(k);
}

static void bind_when_a_tensor_does_not_fit_names_it(void)
{
    tribus_tensor in[3], out, bad;
    tribus_kernel *k;

    CHECK(tribus_kernel_open(cpu, "mc_var_es", &k) == TRIBUS_OK);
    four_assets(in, &out);
    CHECK(tribus_kernel_bind(k, in, 3, &out, 1) == TRIBUS_OK);
    CHECK(tribus_kernel_run(k) == TRIBUS_OK);
    CHECK(tribus_kernel_bind(k, in, 2, &out, 1) == TRIBUS_BAD_ARG && says("3 inputs"));
    CHECK(tribus_kernel_run(k) == TRIBUS_BAD_ARG); /* a failed bind leaves nothing bound */

#define WITH(slot, value, text)                                                            \
    do {                                                                                   \
        four_assets(in, &out);                                                             \
        bad = (value);                                                                     \
        slot = bad;                                                                        \
        CHECK(tribus_kernel_bind(k, in, 3, &out, 1) == TRIBUS_BAD_ARG && says(text));      \
    } while (0)
    WITH(in[0], over("f64", forecast, 2, (const int64_t[]){4, 2}),
         "forecast: wanted f32[assets,2] on cpu, got f64[4,2]");
    WITH(in[0], over("f32", forecast, 2, (const int64_t[]){2, 4}), "that size is 2 here");
    WITH(in[0], over("f32", forecast, 1, (const int64_t[]){8}), "got f32[8]");
    WITH(in[0], over("f32", forecast, 2, (const int64_t[]){0, 2}), "empty");
    WITH(in[1], over("f32", factor, 2, (const int64_t[]){4, 3}),
         "factor: wanted f32[assets,assets] on cpu, got f32[4,3] on cpu:0: assets is 4 "
         "here");
    WITH(in[2], over("f32", weights, 1, (const int64_t[]){3}), "weights");
    WITH(in[2], over("f32", NULL, 1, (const int64_t[]){4}), "no memory");
    WITH(in[2], over("f32", (char *)weights + 2, 1, (const int64_t[]){4}), "not aligned");
    WITH(out, over("f64", risk, 1, (const int64_t[]){3}), "risk");
    WITH(out, over("f64", factor, 1, (const int64_t[]){4}), "overlaps an input");
    four_assets(in, &out);
    in[1].strides[0] = 1;
    CHECK(tribus_kernel_bind(k, in, 3, &out, 1) == TRIBUS_BAD_ARG && says("not dense"));
    four_assets(in, &out);
    in[1].device_type = TRIBUS_DEVICE_CUDA;
    CHECK(tribus_kernel_bind(k, in, 3, &out, 1) == TRIBUS_BAD_ARG && says("cuda:0"));
#undef WITH
    tribus_kernel_close(k);
}

static void set_after_bind_makes_room_for_more(void)
{
    tribus_tensor in[3], out;
    tribus_kernel *k;

    CHECK(tribus_kernel_open(cpu, "mc_var_es", &k) == TRIBUS_OK);
    four_assets(in, &out);
    CHECK(tribus_kernel_set(k, "paths", 100) == TRIBUS_OK);
    CHECK(tribus_kernel_bind(k, in, 3, &out, 1) == TRIBUS_OK);
    CHECK(tribus_kernel_set(k, "paths", 200000) == TRIBUS_OK);
    CHECK(tribus_kernel_run(k) == TRIBUS_OK);
    CHECK_NEAR(risk[3], 0.005, 1e-4);
    tribus_kernel_close(k);
}

int main(void)
{
    CHECK(tribus_device_open("cpu", &cpu) == TRIBUS_OK);
    table_rows_are_complete_and_open();
    set_when_out_of_range_names_the_parameter();
    bind_when_a_tensor_does_not_fit_names_it();
    set_after_bind_makes_room_for_more();
    tribus_device_close(cpu);
    return 0;
}
