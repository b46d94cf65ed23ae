/* neural_cuda_gemm.c -- plans of products of matrices: Gemm and MatMul. */
#include "neural/neural_cuda_plan.h"

#include <string.h>

static void gemm_grid(tribus_nn_step *s, const tribus_nn_gemm *g, uint64_t batch)
{
    s->grid[0] = (g->n + 63) / 64;
    s->grid[1] = (g->m + 63) / 64;
    s->grid[2] = (uint32_t)batch;
    s->args.gemm = *g;
}

static tribus_status gemm_limits(const tribus_nn_node *n, int64_t m, int64_t columns,
                                 int64_t k, uint64_t batch)
{
    if (m > 4194240 || columns > INT32_MAX / 2 || k > INT32_MAX / 2 || batch > 65535)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "a product of that size");
    return TRIBUS_OK;
}

tribus_status tribus_nn_plan_gemm(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *a = tribus_nn_input(n, 0, &st);
    const tribus_nn_value *b = st == TRIBUS_OK ? tribus_nn_input(n, 1, &st) : NULL;
    const tribus_nn_value *c = st == TRIBUS_OK ? tribus_nn_optional(n, 2, &st) : NULL, *y;
    const bool ta = tribus_onnx_int(n->node, "transA", 0) != 0;
    const bool tb = tribus_onnx_int(n->node, "transB", 0) != 0;
    int64_t shape[2], wide[TRIBUS_ONNX_MAX_DIMS], step[TRIBUS_ONNX_MAX_DIMS];
    tribus_nn_gemm g;
    tribus_nn_step *s;

    if (st != TRIBUS_OK)
        return st;
    if (a->ndim != 2 || b->ndim != 2 || a->shape[ta ? 0 : 1] != b->shape[tb ? 1 : 0])
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "matrices that do not fit");
    shape[0] = a->shape[ta ? 1 : 0];
    shape[1] = b->shape[tb ? 0 : 1];
    st = gemm_limits(n, shape[0], shape[1], a->shape[ta ? 0 : 1], 1);
    if (st == TRIBUS_OK && c != NULL &&
        (c->ndim > 2 || !tribus_nn_broadcast(shape, 2, c->shape, c->ndim, wide) ||
         wide[0] != shape[0] || wide[1] != shape[1]))
        st = tribus_nn_fault(n, TRIBUS_BAD_DATA, "C does not fit the product");
    y = tribus_nn_output(n, 0, 2, shape, &st);
    s = y != NULL ? tribus_nn_launch(n->plan, TRIBUS_NN_KERNEL_GEMM, 1) : NULL;
    if (s == NULL)
        return st != TRIBUS_OK ? st : TRIBUS_NO_MEMORY;
    memset(&g, 0, sizeof(g));
    g.a = tribus_nn_floats(a->at);
    g.b = tribus_nn_floats(b->at);
    g.y = tribus_nn_floats(y->at);
    g.m = (uint32_t)shape[0];
    g.n = (uint32_t)shape[1];
    g.k = (uint32_t)a->shape[ta ? 0 : 1];
    g.alpha = tribus_onnx_float(n->node, "alpha", 1.0f);
    g.beta = tribus_onnx_float(n->node, "beta", 1.0f);
    g.a_row = ta ? 1 : a->shape[1];
    g.a_column = ta ? a->shape[1] : 1;
    g.b_row = tb ? 1 : b->shape[1];
    g.b_column = tb ? b->shape[1] : 1;
    if (c != NULL) {
        g.c = tribus_nn_floats(c->at);
        tribus_nn_spread_strides(c, 2, step);
        g.c_row = step[0];
        g.c_column = step[1];
    }
    gemm_grid(s, &g, 1);
    return TRIBUS_OK;
}

tribus_status tribus_nn_plan_matmul(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *in[2] = {tribus_nn_input(n, 0, &st), NULL}, *y;
    tribus_nn_value a, b;
    int64_t shape[TRIBUS_ONNX_MAX_DIMS], step[2][TRIBUS_ONNX_MAX_DIMS];
    uint64_t batch = 1;
    tribus_nn_gemm g;
    tribus_nn_step *s;
    int32_t dims, kept;

    in[1] = st == TRIBUS_OK ? tribus_nn_input(n, 1, &st) : NULL;
    if (st != TRIBUS_OK)
        return st;
    a = *in[0];
    b = *in[1];
    if (a.ndim < 1 || b.ndim < 1)
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "a number where a matrix is wanted");
    if (a.ndim == 1) { /* a row, whose dimension goes away again */
        a.shape[1] = a.shape[0];
        a.shape[0] = 1;
        a.ndim = 2;
    }
    if (b.ndim == 1) {
        b.shape[1] = 1;
        b.ndim = 2;
    }
    dims = (a.ndim > b.ndim ? a.ndim : b.ndim) - 2;
    if (a.shape[a.ndim - 1] != b.shape[b.ndim - 2] ||
        !tribus_nn_broadcast(a.shape, a.ndim - 2, b.shape, b.ndim - 2, shape))
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "matrices that do not fit");
    for (int32_t d = 0; d < dims; d++)
        batch *= (uint64_t)shape[d]; /* each divides a bounded product; checked below */
    shape[dims] = a.shape[a.ndim - 2];
    shape[dims + 1] = b.shape[b.ndim - 1];
    st = gemm_limits(n, shape[dims], shape[dims + 1], a.shape[a.ndim - 1], batch);
    memset(&g, 0, sizeof(g));
    g.m = (uint32_t)shape[dims];
    g.n = (uint32_t)shape[dims + 1];
    kept = dims;
    if (in[0]->ndim > 1)
        shape[kept++] = a.shape[a.ndim - 2];
    if (in[1]->ndim > 1)
        shape[kept++] = b.shape[b.ndim - 1];
    y = tribus_nn_output(n, 0, kept, shape, &st);
    s = y != NULL ? tribus_nn_launch(n->plan, TRIBUS_NN_KERNEL_GEMM, 1) : NULL;
    if (s == NULL)
        return st != TRIBUS_OK ? st : TRIBUS_NO_MEMORY;
    g.a = tribus_nn_floats(a.at);
    g.b = tribus_nn_floats(b.at);
    g.y = tribus_nn_floats(y->at);
    g.k = (uint32_t)a.shape[a.ndim - 1];
    g.alpha = 1.0f;
    g.a_row = a.shape[a.ndim - 1];
    g.b_row = b.shape[b.ndim - 1];
    g.a_column = g.b_column = 1;
    g.batch_dims = (uint32_t)dims;
    tribus_nn_spread_strides(&a, dims + 2, step[0]);
    tribus_nn_spread_strides(&b, dims + 2, step[1]);
    for (int32_t d = 0; d < dims; d++) {
        g.batch[d] = (uint64_t)shape[d];
        g.batch_a[d] = step[0][d];
        g.batch_b[d] = step[1][d];
    }
    gemm_grid(s, &g, batch);
    return TRIBUS_OK;
}
