/* test_kernels.c -- the numbers of the kernels of the table, against closed forms. */
#include "base/random.h"
#include "check.h"
#include "tribus/base.h"
#include "tribus/device.h"
#include "tribus/quant.h"

#define N     12
#define TIMES 64

static tribus_device *cpu;
static float returns[N * TIMES], factor[N * N], forecast[2 * N], weights[N];
static double risk[4];

static tribus_tensor over(const char *dtype, void *mem, int32_t ndim, int64_t a, int64_t b)
{
    const int64_t shape[] = {a, b};
    tribus_tensor t;
    tribus_dtype d;

    CHECK(tribus_dtype_parse(dtype, &d) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&t, d, ndim, shape, mem, 1 << 20) == TRIBUS_OK);
    return t;
}

static tribus_status factor_of(uint32_t assets, uint32_t times, double shrinkage)
{
    const tribus_tensor in = over("f32", returns, 2, assets, times);
    const tribus_tensor out = over("f32", factor, 2, assets, assets);
    tribus_kernel *k;
    tribus_status st;

    CHECK(tribus_kernel_open(cpu, "correlation_factor", &k) == TRIBUS_OK);
    CHECK(tribus_kernel_set(k, "shrinkage", shrinkage) == TRIBUS_OK);
    CHECK(tribus_kernel_bind(k, &in, 1, &out, 1) == TRIBUS_OK);
    st = tribus_kernel_run(k);
    tribus_kernel_close(k);
    return st;
}

/* Entry of L L'. */
static double product(uint32_t n, uint32_t i, uint32_t j)
{
    double sum = 0.0;

    for (uint32_t k = 0; k < n; k++)
        sum += (double)factor[i * n + k] * (double)factor[j * n + k];
    return sum;
}

static void fill(void)
{
    tribus_random r;

    tribus_random_init(&r, 11);
    for (int t = 0; t < TIMES; t++) {
        const double market = tribus_random_unit(&r) - 0.5;

        for (int i = 0; i < N; i++)
            returns[i * TIMES + t] =
                (float)(0.01 * (market + (1 + i % 3) * (tribus_random_unit(&r) - 0.5)));
    }
    for (int i = 0; i < N; i++) {
        forecast[2 * i] = 0.0005f * (float)(i - 4);
        forecast[2 * i + 1] = 0.01f + 0.002f * (float)i;
        weights[i] = (i % 4 == 3 ? -1.0f : 1.0f) * 1000.0f * (float)(1 + i);
    }
}

static double correlation(int i, int j)
{
    double mi = 0, mj = 0, ii = 0, jj = 0, ij = 0;

    for (int t = 0; t < TIMES; t++) {
        mi += (double)returns[i * TIMES + t] / TIMES;
        mj += (double)returns[j * TIMES + t] / TIMES;
    }
    for (int t = 0; t < TIMES; t++) {
        const double a = (double)returns[i * TIMES + t] - mi;
        const double b = (double)returns[j * TIMES + t] - mj;

        ii += a * a;
        jj += b * b;
        ij += a * b;
    }
    return ij / sqrt(ii * jj);
}

static void factor_times_itself_is_the_shrunk_correlation(void)
{
    static const double shrinkages[] = {0.0, 0.1, 1.0};

    fill();
    for (int s = 0; s < 3; s++) {
        CHECK(factor_of(N, TIMES, shrinkages[s]) == TRIBUS_OK);
        for (uint32_t i = 0; i < N; i++)
            for (uint32_t j = 0; j < N; j++) {
                const double want =
                    i == j ? 1.0 : (1.0 - shrinkages[s]) * correlation((int)i, (int)j);

                CHECK_NEAR(product(N, i, j), want, 1e-6);
                CHECK(j <= i || factor[i * N + j] == 0.0f);
            }
    }
}

static void factor_when_assets_outnumber_times_or_stand_still_is_finite(void)
{
    fill();
    CHECK(factor_of(N, 4, 0.1) == TRIBUS_OK);
    for (uint32_t i = 0; i < N; i++)
        CHECK_NEAR(product(N, i, i), 1.0, 1e-6);
    memset(returns, 0, TIMES * sizeof(float));
    CHECK(factor_of(N, TIMES, 0.1) == TRIBUS_OK);
    CHECK(factor[0] == 1.0f);
    for (uint32_t i = 1; i < N; i++)
        CHECK_NEAR(product(N, i, 0), 0.0, 1e-7);
    returns[5] = NAN;
    CHECK(factor_of(N, TIMES, 0.1) == TRIBUS_BAD_DATA);
}

static tribus_status simulate(double paths, double nu, double seed)
{
    const tribus_tensor in[] = {over("f32", forecast, 2, N, 2),
                                over("f32", factor, 2, N, N),
                                over("f32", weights, 1, N, 0)};
    const tribus_tensor out = over("f64", risk, 1, 4, 0);
    tribus_kernel *k;
    tribus_status st;

    CHECK(tribus_kernel_open(cpu, "mc_var_es", &k) == TRIBUS_OK);
    CHECK(tribus_kernel_set(k, "paths", paths) == TRIBUS_OK);
    CHECK(tribus_kernel_set(k, "nu", nu) == TRIBUS_OK);
    CHECK(tribus_kernel_set(k, "seed", seed) == TRIBUS_OK);
    CHECK(tribus_kernel_bind(k, in, 3, &out, 1) == TRIBUS_OK);
    st = tribus_kernel_run(k);
    tribus_kernel_close(k);
    return st;
}

/* The VaR of n paths scatters around the closed form by sqrt(p (1 - p) / n) / density there;
 * five such deviations, and for ES and the moments what follows from the same n. */
static void mc_agrees_with_the_closed_form(void)
{
    const double paths = 400000;
    double mean = 0.0, variance = 0.0, sd;
    tribus_quant_risk want;

    fill();
    CHECK(factor_of(N, TIMES, 0.1) == TRIBUS_OK);
    for (uint32_t i = 0; i < N; i++) {
        mean += (double)weights[i] * (double)forecast[2 * i];
        for (uint32_t j = 0; j < N; j++)
            variance += (double)weights[i] * (double)forecast[2 * i + 1] *
                        (double)weights[j] * (double)forecast[2 * j + 1] * product(N, i, j);
    }
    sd = sqrt(variance);
    CHECK(simulate(paths, 0, 42) == TRIBUS_OK);
    CHECK(tribus_quant_var_gaussian(mean, sd, 0.95, &want) == TRIBUS_OK);
    printf("normal: VaR %.3f wanted %.3f, ES %.3f wanted %.3f, sd %.3f wanted %.3f\n",
           risk[0], want.var, risk[1], want.es, risk[3], sd);
    CHECK_NEAR(risk[0], want.var, 5 * sd * sqrt(0.05 * 0.95 / paths) / 0.10314);
    CHECK_NEAR(risk[1], want.es, 5 * sd * sqrt(1.0 / (0.05 * paths)));
    CHECK_NEAR(risk[2], mean, 5 * sd / sqrt(paths));
    CHECK_NEAR(risk[3], sd, 5 * sd / sqrt(2 * paths));
    CHECK(simulate(paths, 5, 42) == TRIBUS_OK);
    CHECK(tribus_quant_var_student(mean, sd, 5, 0.95, &want) == TRIBUS_OK);
    printf("Student-t(5): VaR %.3f wanted %.3f, ES %.3f wanted %.3f\n", risk[0], want.var,
           risk[1], want.es);
    CHECK_NEAR(risk[0], want.var, 0.01 * sd);
    CHECK_NEAR(risk[1], want.es, 0.03 * sd);
}

static void mc_when_the_seed_is_the_same_gives_the_same_bits(void)
{
    double first[4];

    fill();
    CHECK(factor_of(N, TIMES, 0.1) == TRIBUS_OK);
    CHECK(simulate(10000, 0, 9007199254740991.0) == TRIBUS_OK);
    memcpy(first, risk, sizeof(first));
    CHECK(simulate(10000, 0, 9007199254740991.0) == TRIBUS_OK);
    CHECK(memcmp(first, risk, sizeof(first)) == 0);
    CHECK(simulate(10000, 0, 2) == TRIBUS_OK);
    CHECK(memcmp(first, risk, sizeof(first)) != 0);
}

static void mc_when_numbers_make_no_sense_says_which(void)
{
    fill();
    CHECK(factor_of(N, TIMES, 0.1) == TRIBUS_OK);
    forecast[7] = -0.01f;
    CHECK(simulate(1000, 0, 1) == TRIBUS_BAD_DATA);
    CHECK(strstr(tribus_error_text(), "asset 3") != NULL);
    forecast[7] = (float)NAN;
    CHECK(simulate(1000, 0, 1) == TRIBUS_BAD_DATA);
    forecast[7] = 0.0f; /* an asset that does not move is fine */
    CHECK(simulate(1000, 0, 1) == TRIBUS_OK);
    weights[2] = (float)INFINITY;
    CHECK(simulate(1000, 0, 1) == TRIBUS_BAD_DATA);
    CHECK(strstr(tribus_error_text(), "weight of asset 2") != NULL);
    weights[2] = 1.0f;
    factor[N] = (float)NAN;
    CHECK(simulate(1000, 0, 1) == TRIBUS_BAD_DATA);
    factor[N] = 0.0f;
    CHECK(simulate(1000, 1.5, 1) == TRIBUS_BAD_DATA);
    CHECK(strstr(tribus_error_text(), "nu") != NULL);
}

int main(void)
{
    CHECK(tribus_device_open("cpu", &cpu) == TRIBUS_OK);
    factor_times_itself_is_the_shrunk_correlation();
    factor_when_assets_outnumber_times_or_stand_still_is_finite();
    mc_agrees_with_the_closed_form();
    mc_when_the_seed_is_the_same_gives_the_same_bits();
    mc_when_numbers_make_no_sense_says_which();
    tribus_device_close(cpu);
    return 0;
}
