/* test_quant_memory.c -- what is called for each tick, trade, bar or event allocates nothing.
 *
 * labels: single_thread */
#include "base/atomic.h"
#include "check.h"
#include "tribus/quant.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#if defined(SANITIZED) || !defined(__GLIBC__)

int main(void)
{
    SKIP("the allocator belongs to somebody else");
}

#else

/* The C library's own, under the names that replace them leave free. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t align, size_t bytes);

/* Atomic, since compilers know that malloc() changes no variable of ours. */
static _Atomic(uint64_t) allocations;
static void *kept; /* so that the compiler cannot leave an allocation out */

void *malloc(size_t bytes)
{
    (void)tribus_add_rlx(&allocations, 1u);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    (void)tribus_add_rlx(&allocations, 1u);
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    (void)tribus_add_rlx(&allocations, 1u);
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    (void)tribus_add_rlx(&allocations, 1u);
    return __libc_memalign(align, bytes);
}

int posix_memalign(void **out, size_t align, size_t bytes)
{
    (void)tribus_add_rlx(&allocations, 1u);
    *out = __libc_memalign(align, bytes);
    return *out == NULL ? 12 : 0;
}

enum { TICKS = 300, ASSETS = 24 };

static float z[TICKS * ASSETS];

static void the_count_sees_an_allocation(void)
{
    const uint64_t before = tribus_load_rlx(&allocations);

    kept = malloc(100);
    CHECK(tribus_load_rlx(&allocations) == before + 1);
    free(kept);
}

static void trades_and_quotes_allocate_nothing(void)
{
    tribus_quant_level levels[2][10];
    tribus_quant_side_book side[2];
    tribus_quant_quote q[2] = {{99, 5, 101, 6}, {99, 5, 101, 6}};
    double ring[20], sum = 0.0;
    float inputs[40];
    tribus_quant_vpin v;
    uint64_t before;

    CHECK(tribus_quant_vpin_init(&v, 10.0, 20, ring) == TRIBUS_OK);
    tribus_quant_side_book_init(&side[0], levels[0], 10, 1);
    tribus_quant_side_book_init(&side[1], levels[1], 10, 0);
    before = tribus_load_rlx(&allocations);
    for (int t = 0; t < TICKS; t++) {
        const double size = fabs((double)z[t]);

        (void)tribus_quant_vpin_add(&v, size, 2.0 - size);
        sum += tribus_quant_vpin_value(&v) > 0.5;
        q[t % 2] = (tribus_quant_quote){99 - size, size, 101 + size, 1};
        sum += tribus_quant_ofi(&q[0], &q[1]) + tribus_quant_micro_price(&q[0]) +
               tribus_quant_spread_quoted(&q[1]);
        for (int s = 0; s < 2; s++)
            if (tribus_quant_side_book_add(&side[s], 100 + (s ? t % 15 : -t % 15),
                                           1 + t % 3) == TRIBUS_FULL)
                sum++;
        sum += tribus_quant_side_book_trim(&side[0], 95);
        tribus_quant_book_inputs(&side[0], &side[1], 10, 1.0, inputs);
    }
    CHECK(tribus_load_rlx(&allocations) == before);
    CHECK(isfinite(sum));
}

static void book_events_allocate_nothing(void)
{
    const tribus_quant_fi2010_cfg cfg = {.capacity = 64};
    void *memory = malloc(tribus_quant_fi2010_bytes(64));
    float book[TRIBUS_QUANT_FI2010_BOOK] = {0};
    double out[TRIBUS_QUANT_FI2010_FEATURES];
    tribus_quant_fi2010 f;
    uint64_t before;

    CHECK(memory != NULL && tribus_quant_fi2010_init(&f, &cfg, memory) == TRIBUS_OK);
    before = tribus_load_rlx(&allocations);
    for (int t = 0; t < TICKS; t++) {
        const tribus_quant_book_event event = {.at_ns = (int64_t)t * 300000000,
                                               .kind = TRIBUS_QUANT_EVENT_LIMIT,
                                               .side = t % 2 ? 1 : -1};

        book[t % 40] = z[t];
        CHECK(tribus_quant_fi2010_push(&f, &event, book, out) != TRIBUS_BAD_DATA);
    }
    CHECK(tribus_load_rlx(&allocations) == before);
    free(memory);
}

static void new_bars_allocate_nothing_in_any_indicator(void)
{
    for (uint32_t i = 0; tribus_quant_indicator_at(i) != NULL; i++) {
        static const double sets[][TRIBUS_QUANT_INDICATOR_PARAMS] = {
            {5, 9, 14}, {0.02, 0.2}, {0.2}, {5, 0.2}, {0.2, 0.5}};
        const double *params = sets[0];
        size_t bytes = 0;
        void *memory;
        tribus_quant_indicator s;
        uint64_t before;

        for (size_t k = 0; bytes == 0 && k < sizeof(sets) / sizeof(sets[0]); k++) {
            params = sets[k];
            bytes = tribus_quant_indicator_bytes(i, params);
        }
        if (bytes == 0)
            printf("%s needs other parameters\n", tribus_quant_indicator_at(i)->name);
        memory = malloc(bytes + 1);
        CHECK(bytes > 0 && memory != NULL);
        CHECK(tribus_quant_indicator_init(&s, i, params, memory) == TRIBUS_OK);
        before = tribus_load_rlx(&allocations);
        for (int t = 0; t < TICKS; t++) {
            const double p = 100 + (double)z[t];
            double in[TRIBUS_QUANT_INDICATOR_INPUTS], out[TRIBUS_QUANT_INDICATOR_OUTPUTS];

            for (int k = 0; k < TRIBUS_QUANT_INDICATOR_INPUTS; k++)
                in[k] = p + k;
            (void)tribus_quant_indicator_push(&s, in, out);
        }
        CHECK(tribus_load_rlx(&allocations) == before);
        free(memory);
    }
}

static void a_new_bar_of_every_factor_function_allocates_nothing(void)
{
    static const char text[] =
        "a=Mean($close,5)+Sum($volume,3)\nb=Std($close,9)/Max($high,4)-Min($low,4)\n"
        "c=Slope($close,7)+Rsquare($close,7)*Resi($close,7)\nd=Rank($close,6)\n"
        "e=IdxMax($high,5)-IdxMin($low,5)\nf=Quantile($close,8,0.8)\n"
        "g=Corr($close,Log($volume),9)\nh=Ref($close,3)\ni=Greater($open,$close)\n"
        "j=Mean($close>Ref($close,1),5)\nk=Less(Abs($open-$close),$vwap)\n";
    void *memory = malloc(tribus_quant_factors_bytes(16, 128)), *state;
    tribus_quant_factor_error e;
    tribus_quant_factors f;
    double out[16];
    uint64_t before;

    CHECK(memory != NULL);
    tribus_quant_factors_init(&f, 16, 128, memory);
    CHECK(tribus_quant_factors_parse(&f, text, sizeof(text) - 1, &e) == TRIBUS_OK);
    state = malloc(tribus_quant_factors_state_bytes(&f));
    CHECK(state != NULL);
    tribus_quant_factors_state_init(&f, state);
    before = tribus_load_rlx(&allocations);
    for (int t = 0; t < TICKS; t++) {
        const double p = 100 + (double)z[t];
        const double bar[TRIBUS_QUANT_FIELDS] = {p, p + 2, p - 2, p + 1, 1000 + t, NAN};

        tribus_quant_factors_push(&f, state, bar, out);
    }
    CHECK(tribus_load_rlx(&allocations) == before);
    free(state);
    free(memory);
}

/* The first calls are left out: BLAS keeps buffers of its own. */
static void the_next_tick_of_a_portfolio_and_its_risk_allocates_nothing(void)
{
    static double cov[ASSETS * ASSETS], w[ASSETS], r[ASSETS], mean[ASSETS], part[ASSETS];
    const tribus_quant_portfolio p = {.assets = ASSETS, .cov = cov};
    void *work = calloc(1, tribus_quant_portfolio_bytes(ASSETS, 0));
    const tribus_quant_matrix m = {cov, ASSETS, ASSETS};
    tribus_quant_portfolio_result out;
    tribus_quant_risk risk;
    uint64_t before = 0;

    CHECK(work != NULL);
    for (int i = 0; i < ASSETS; i++)
        cov[i * ASSETS + i] = 1.0;
    for (int t = 0; t < TICKS; t++) {
        if (t == 3)
            before = tribus_load_rlx(&allocations);
        for (int i = 0; i < ASSETS; i++)
            r[i] = (double)z[t * ASSETS + i];
        CHECK(tribus_quant_cov_ewma_add(r, ASSETS, 0.97, cov) == TRIBUS_OK);
        CHECK(tribus_quant_min_variance(&p, work, w, &out, NULL) == TRIBUS_OK);
        CHECK(tribus_quant_var_components(m, mean, w, 0.99, part, &risk) == TRIBUS_OK);
    }
    CHECK(tribus_load_rlx(&allocations) == before);
    free(work);
}

int main(void)
{
    tribus_quant_normals(check_seed(), 0, 0, TICKS * ASSETS, z);
    the_count_sees_an_allocation();
    trades_and_quotes_allocate_nothing();
    book_events_allocate_nothing();
    new_bars_allocate_nothing_in_any_indicator();
    a_new_bar_of_every_factor_function_allocates_nothing();
    the_next_tick_of_a_portfolio_and_its_risk_allocates_nothing();
    return 0;
}

#endif
