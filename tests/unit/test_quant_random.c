/* test_quant_random.c -- Philox against Random123, normals against double arithmetic.
 *
 * labels: single_thread */
#include "check.h"
#include "tribus/quant.h"
#include "quant/mc.h"

/* Random123, examples/kat_vectors, lines "philox4x32 10". */
static void philox_matches_random123_known_answers(void)
{
    static const uint32_t kat[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1}};

    for (int i = 0; i < 3; i++) {
        uint32_t out[4];

        tribus_quant_philox(&kat[i][0], &kat[i][4], out);
        CHECK(memcmp(out, &kat[i][6], sizeof(out)) == 0);
    }
}

static void normals_are_box_muller_within_the_stated_tolerance(void)
{
    double worst = 0.0;

    for (uint32_t i = 0; i < 2000000; i++) {
        const uint32_t key[2] = {1, 2}, counter[4] = {i, 0, 0, 9};
        uint32_t bits[4];
        double u, angle, r, error;
        tribus_normal_pair z;

        tribus_quant_philox(counter, key, bits);
        if (i < 1000) /* the ends, where the logarithm is hardest */
            bits[0] = i < 500 ? i : 0xffffffffu - (i - 500) * 64;
        z = tribus_box_muller(bits[0], bits[1]);
        u = (double)tribus_uniform(bits[0]);
        angle = 2.0 * 3.14159265358979323846 * bits[1] / 4294967296.0;
        r = sqrt(-2.0 * log(u));
        error =
            fmax(fabs((double)z.z0 - r * cos(angle)), fabs((double)z.z1 - r * sin(angle)));
        worst = fmax(worst, error / fmax(r, 1e-6));
    }
    printf("largest error of a normal number: %.3g of its radius\n", worst);
    CHECK(worst < 4.0 * 1.1920929e-7);
}

static void normals_have_mean_0_variance_1_and_kurtosis_3(void)
{
    enum { N = 4000000 };
    float *z = malloc(N * sizeof(*z));
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;

    CHECK(z != NULL);
    tribus_quant_normals(2012, 7, 0, N, z);
    for (int i = 0; i < N; i++) {
        const double x = (double)z[i];

        m1 += x;
        m2 += x * x;
        m3 += x * x * x;
        m4 += x * x * x * x;
    }
    /* Five standard errors: sqrt(1, 2, 15, 96) / sqrt(N). */
    CHECK_NEAR(m1 / N, 0.0, 5.0 / sqrt(N));
    CHECK_NEAR(m2 / N, 1.0, 5.0 * sqrt(2.0 / N));
    CHECK_NEAR(m3 / N, 0.0, 5.0 * sqrt(15.0 / N));
    CHECK_NEAR(m4 / N, 3.0, 5.0 * sqrt(96.0 / N));
    free(z);
}

static void normals_when_a_range_is_split_are_the_same(void)
{
    float whole[37], part[37];

    tribus_quant_normals(5, 1, 4294967290u, 37, whole);
    tribus_quant_normals(5, 1, 4294967290u, 3, part);
    tribus_quant_normals(5, 1, 4294967293u, 15, part + 3);
    tribus_quant_normals(5, 1, 4294967308u, 19, part + 18);
    CHECK(memcmp(whole, part, sizeof(whole)) == 0);
}

static void chi2_has_mean_nu_and_variance_2_nu(void)
{
    enum { N = 1000000 };
    static const float nus[] = {2.5f, 5.0f, 30.0f};

    for (int k = 0; k < 3; k++) {
        const double nu = (double)nus[k];
        double m1 = 0, m2 = 0;

        for (uint32_t i = 0; i < N; i++) {
            const double x = (double)tribus_mc_chi2(nus[k], i, 99);

            m1 += x;
            m2 += (x - nu) * (x - nu);
        }
        CHECK_NEAR(m1 / N, nu, 5.0 * sqrt(2.0 * nu / N));
        CHECK_NEAR(m2 / N, 2.0 * nu, 5.0 * sqrt((48.0 * nu + 8.0 * nu * nu) / N));
    }
}

int main(void)
{
    philox_matches_random123_known_answers();
    normals_are_box_muller_within_the_stated_tolerance();
    normals_have_mean_0_variance_1_and_kurtosis_3();
    normals_when_a_range_is_split_are_the_same();
    chi2_has_mean_nu_and_variance_2_nu();
    return 0;
}
