/* parity.c -- risk parity and hierarchical risk parity. See tribus/quant_portfolio.h. */
#include "tribus/quant_portfolio.h"

#include <cblas.h>
#include <math.h>

/* Minimise 1/2 x'Cx - sum share_i ln x_i one coordinate at a time; at the optimum
 * x_i (Cx)_i = share_i, so the shares of variance are as wanted at any scale of x. */
tribus_status tribus_quant_risk_parity(tribus_quant_matrix cov, const double *share,
                                       double *weights, double *scratch, double *residual)
{
    const size_t n = cov.rows;
    double sum = 0.0, worst = INFINITY;

    if (cov.at == NULL || n == 0 || cov.cols != n || weights == NULL || scratch == NULL)
        return TRIBUS_BAD_ARG;
    for (size_t i = 0; i < n; i++) {
        const double b = share == NULL ? 1.0 / (double)n : share[i];

        if (!(cov.at[i * n + i] > 0.0) || !(b > 0.0) || isinf(cov.at[i * n + i] + b))
            return TRIBUS_BAD_DATA;
        weights[i] = sqrt(b / cov.at[i * n + i]);
    }
    cblas_dsymv(CblasRowMajor, CblasLower, (int)n, 1.0, cov.at, (int)n, weights, 1, 0.0,
                scratch, 1);
    for (int sweep = 0; sweep < 10000 && worst > 1e-12; sweep++) {
        double variance;

        for (size_t i = 0; i < n; i++) {
            const double b = share == NULL ? 1.0 / (double)n : share[i];
            const double c = cov.at[i * n + i], rest = scratch[i] - c * weights[i];
            const double next = (sqrt(rest * rest + 4.0 * c * b) - rest) / (2.0 * c);

            cblas_daxpy((int)n, next - weights[i], &cov.at[i * n], 1, scratch, 1);
            weights[i] = next;
        }
        cblas_dsymv(CblasRowMajor, CblasLower, (int)n, 1.0, cov.at, (int)n, weights, 1, 0.0,
                    scratch, 1);
        variance = cblas_ddot((int)n, weights, 1, scratch, 1);
        worst = 0.0;
        for (size_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(weights[i] * scratch[i] / variance -
                                     (share == NULL ? 1.0 / (double)n : share[i])));
        if (!isfinite(variance))
            return TRIBUS_BAD_DATA;
    }
    for (size_t i = 0; i < n; i++)
        sum += weights[i];
    for (size_t i = 0; i < n; i++)
        weights[i] /= sum;
    if (residual != NULL)
        *residual = worst;
    return worst <= 1e-10 ? TRIBUS_OK : TRIBUS_TIMEOUT;
}

/* ---- hierarchical risk parity ---- */

typedef struct merge {
    double distance;
    uint32_t a, b; /* before labelling: assets; after: clusters, a < b */
} merge;

size_t tribus_quant_hrp_bytes(uint32_t assets)
{
    const size_t n = assets;

    return n * (sizeof(double) + sizeof(merge)) + 6 * n * sizeof(uint32_t) + 16;
}

static double distance(tribus_quant_matrix cov, size_t i, size_t j)
{
    const size_t n = cov.rows;
    const double rho = cov.at[i * n + j] / sqrt(cov.at[i * n + i] * cov.at[j * n + j]);

    return sqrt(fmin(1.0, fmax(0.0, 0.5 * (1.0 - rho))));
}

/* Prim's algorithm gives the single-linkage merges; a stable sort puts them in order. */
static void link_single(tribus_quant_matrix cov, merge *m, double *nearest, uint32_t *done)
{
    const uint32_t n = cov.rows;
    uint32_t x = 0;

    for (uint32_t i = 0; i < n; i++) {
        nearest[i] = INFINITY;
        done[i] = 0;
    }
    for (uint32_t k = 0; k + 1 < n; k++) {
        uint32_t y = 0;
        double least = INFINITY;

        done[x] = 1;
        for (uint32_t j = 0; j < n; j++) {
            if (done[j])
                continue;
            nearest[j] = fmin(nearest[j], distance(cov, x, j));
            if (nearest[j] < least) {
                least = nearest[j];
                y = j;
            }
        }
        m[k] = (merge){least, x, y};
        x = y;
    }
    for (uint32_t k = 1; k + 1 < n; k++) {
        const merge moved = m[k];
        uint32_t at = k;

        for (; at > 0 && m[at - 1].distance > moved.distance; at--)
            m[at] = m[at - 1];
        m[at] = moved;
    }
}

static uint32_t root_of(uint32_t *parent, uint32_t x)
{
    while (parent[x] != x) {
        parent[x] = parent[parent[x]];
        x = parent[x];
    }
    return x;
}

/* Number the clusters as scipy does (merge k makes cluster n + k) and read the leaves of the
 * tree from left to right, the older cluster on the left. */
static void quasi_diagonal(uint32_t n, merge *m, uint32_t *parent, uint32_t *stack,
                           uint32_t *order)
{
    uint32_t depth = 0, count = 0;

    for (uint32_t i = 0; i < 2 * n - 1; i++)
        parent[i] = i;
    for (uint32_t k = 0; k + 1 < n; k++) {
        const uint32_t a = root_of(parent, m[k].a), b = root_of(parent, m[k].b);

        m[k].a = a < b ? a : b;
        m[k].b = a < b ? b : a;
        parent[a] = parent[b] = n + k;
    }
    stack[depth++] = 2 * n - 2;
    while (depth > 0) {
        const uint32_t c = stack[--depth];

        if (c < n) {
            order[count++] = c;
            continue;
        }
        stack[depth++] = m[c - n].b;
        stack[depth++] = m[c - n].a;
    }
}

/* Variance of a cluster held by inverse variance. */
static double cluster_variance(tribus_quant_matrix cov, const uint32_t *items, uint32_t n)
{
    double sum = 0.0, total = 0.0;

    for (uint32_t i = 0; i < n; i++) {
        const double *row = &cov.at[(size_t)items[i] * cov.rows];
        const double wi = 1.0 / row[items[i]];

        total += wi;
        for (uint32_t j = 0; j < n; j++)
            sum += wi * row[items[j]] / cov.at[(size_t)items[j] * cov.rows + items[j]];
    }
    return sum / (total * total);
}

tribus_status tribus_quant_hrp(tribus_quant_matrix cov, double *weights, void *scratch)
{
    const uint32_t n = cov.rows;
    double *nearest = scratch;
    merge *merges;
    uint32_t *parent, *stack, *order, depth = 0;

    if (cov.at == NULL || n == 0 || cov.cols != n || weights == NULL || scratch == NULL)
        return TRIBUS_BAD_ARG;
    for (size_t i = 0; i < (size_t)n * n; i++)
        if (!isfinite(cov.at[i]))
            return TRIBUS_BAD_DATA;
    for (size_t i = 0; i < n; i++) {
        if (!(cov.at[i * n + i] > 0.0))
            return TRIBUS_BAD_DATA;
        weights[i] = 1.0;
    }
    merges = (merge *)(nearest + n);
    parent = (uint32_t *)(merges + n);
    stack = parent + 2 * n;
    order = stack + 2 * n;
    link_single(cov, merges, nearest, order);
    quasi_diagonal(n, merges, parent, stack, order);
    /* Halve each run of the order, richer half to the lower variance. */
    stack[depth++] = 0;
    stack[depth++] = n;
    while (depth > 0) {
        const uint32_t count = stack[--depth], first = stack[--depth], half = count / 2;
        double left, right, share;

        if (count < 2)
            continue;
        left = cluster_variance(cov, &order[first], half);
        right = cluster_variance(cov, &order[first + half], count - half);
        share = 1.0 - left / (left + right);
        for (uint32_t i = 0; i < count; i++)
            weights[order[first + i]] *= i < half ? share : 1.0 - share;
        stack[depth++] = first;
        stack[depth++] = half;
        stack[depth++] = first + half;
        stack[depth++] = count - half;
    }
    return TRIBUS_OK;
}
