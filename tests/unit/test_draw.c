/* The integer draws have the moments they claim. Seeds are fixed: the bounds are five
 * standard errors, and a fixed seed makes them a fact. */
#include "check.h"

#include "feeds/draw.h"

#define DRAWS 1000000

static void exponential_has_mean_and_variance_one_and_its_tail(void)
{
    static tribus_draw draw;
    double sum = 0, square = 0;
    int beyond_1 = 0, beyond_9 = 0;

    tribus_draw_init(&draw, 42);
    for (int i = 0; i < DRAWS; i++) {
        const double x = (double)tribus_draw_exponential_q24(&draw) / 16777216.0;

        sum += x;
        square += x * x;
        beyond_1 += x > 1.0;
        beyond_9 += x > 9.0; /* past the table, ln 4096 = 8.3 */
    }
    CHECK_NEAR(sum / DRAWS, 1.0, 5e-3);
    CHECK_NEAR(square / DRAWS, 2.0, 3e-2);
    CHECK_NEAR((double)beyond_1 / DRAWS, exp(-1.0), 2.5e-3);
    CHECK_NEAR((double)beyond_9 / DRAWS, exp(-9.0), 5.6e-5);
}

static void exponential_table_is_minus_the_logarithm(void)
{
    static tribus_draw draw;

    tribus_draw_init(&draw, 1);
    for (int i = 1; i <= TRIBUS_DRAW_STEPS; i++)
        CHECK_NEAR((double)draw.exponential_q24[i] / 16777216.0,
                   -log((double)i / TRIBUS_DRAW_STEPS), 1.0 / 8388608.0);
}

static void normal_has_mean_zero_variance_one_and_no_skew(void)
{
    static tribus_draw draw;
    double sum = 0, square = 0, cube = 0, fourth = 0;

    tribus_draw_init(&draw, 43);
    for (int i = 0; i < DRAWS; i++) {
        const double x = (double)tribus_draw_normal_q16(&draw) / 65536.0;

        CHECK(fabs(x) <= 6.0);
        sum += x;
        square += x * x;
        cube += x * x * x;
        fourth += x * x * x * x;
    }
    CHECK_NEAR(sum / DRAWS, 0.0, 5e-3);
    CHECK_NEAR(square / DRAWS, 1.0, 7e-3);
    CHECK_NEAR(cube / DRAWS, 0.0, 2e-2);
    CHECK_NEAR(fourth / DRAWS, 2.9, 5e-2); /* 3 - 6 / (5 * 12) */
}

static void root_is_the_floor_of_the_square_root(void)
{
    for (uint64_t n = 0; n < 70000; n++) {
        CHECK(tribus_draw_root(n * n) == n);
        CHECK(tribus_draw_root(n * n + 2 * n) == n);
    }
    CHECK(tribus_draw_root((uint64_t)1 << 32) == 65536);
    CHECK(tribus_draw_root(UINT64_MAX) == UINT32_MAX);
}

int main(void)
{
    exponential_has_mean_and_variance_one_and_its_tail();
    exponential_table_is_minus_the_logarithm();
    normal_has_mean_zero_variance_one_and_no_skew();
    root_is_the_floor_of_the_square_root();
    return 0;
}
