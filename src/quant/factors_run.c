/* factors_run.c -- evaluate a factor program, over history or for one new bar.
 *
 * Every operation is a function of pointers to the newest operand values and of how many rows
 * there are; older values lie before them in memory. In a batch a node is an array over all
 * rows. Incrementally it is a buffer of twice its history: when it is full the newest half
 * moves to the front. So both ways see the same windows and give the same bits. */
#include "quant/factors_window.h"

#include "quant/factors.h"

#include <string.h>

/* ---- one node over a whole history, or over one row with `before` rows in front ---- */

static void run_node(const tribus_quant_factor_node *n, const double *a, const double *b,
                     double *out, uint32_t before, uint32_t count)
{
    switch ((factor_op)n->op) {
    case OP_FIELD: /* the caller put it there */
        return;
    case OP_NUMBER:
        for (uint32_t i = 0; i < count; i++)
            out[i] = n->value;
        return;
    case OP_ADD:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] + b[i];
        return;
    case OP_SUB:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] - b[i];
        return;
    case OP_MUL:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] * b[i];
        return;
    case OP_DIV:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] / b[i];
        return;
    case OP_GREATER_THAN:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] > b[i] ? 1.0 : 0.0;
        return;
    case OP_LESS_THAN:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] < b[i] ? 1.0 : 0.0;
        return;
    case OP_GREATER: /* a + b is NaN where either is */
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] > b[i] ? a[i] : a[i] <= b[i] ? b[i] : NAN;
        return;
    case OP_LESS:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] < b[i] ? a[i] : a[i] >= b[i] ? b[i] : NAN;
        return;
    case OP_ABS:
        for (uint32_t i = 0; i < count; i++)
            out[i] = fabs(a[i]);
        return;
    case OP_LOG:
        for (uint32_t i = 0; i < count; i++)
            out[i] = log(a[i]);
        return;
    case OP_REF:
        for (uint32_t i = 0; i < count; i++)
            out[i] = before + i >= n->window ? a[(ptrdiff_t)i - n->window] : NAN;
        return;
    default:
        if (before == 0 && count > 1)
            tribus_factor_history(n, a, b, out, count);
        else
            *out =
                tribus_factor_window(n, a, b, before < n->window ? before + 1 : n->window);
    }
}

/* ---- batch ---- */

/* A row of Ref(x, n) is x's memory, n rows further back: before x's first row lie as many NaN
 * as anyone looks back. Only where x is itself a Ref are its rows computed. */
static int is_view(const tribus_quant_factors *f, uint32_t node)
{
    const tribus_quant_factor_node *n = &f->nodes[node];

    return n->op == OP_REF && f->nodes[n->a].op != OP_REF;
}

size_t tribus_quant_factors_batch_bytes(const tribus_quant_factors *f, uint32_t rows)
{
    size_t doubles = 0;

    for (uint32_t i = 0; i < f->node_count; i++)
        doubles += is_view(f, i) ? 0u : (size_t)rows + f->nodes[i].history - 1u;
    return f->node_count * sizeof(double *) + doubles * sizeof(double);
}

/* Where each node's first row is: a view, its factor's place in out, or scratch. */
static void place_nodes(const tribus_quant_factors *f, uint32_t rows, double **first,
                        double *room, double *out)
{
    memset(first, 0, f->node_count * sizeof(*first));
    for (uint32_t k = 0; k < f->count; k++) {
        const uint32_t node = f->outputs[k];

        if (first[node] == NULL && f->nodes[node].history == 1 && !is_view(f, node))
            first[node] = &out[(size_t)k * rows];
    }
    for (uint32_t i = 0; i < f->node_count; i++) {
        const tribus_quant_factor_node *n = &f->nodes[i];

        if (is_view(f, i))
            first[i] = first[n->a] - n->window;
        if (first[i] != NULL)
            continue;
        for (uint32_t t = 1; t < n->history; t++)
            *room++ = NAN;
        first[i] = room;
        room += rows;
    }
}

static void put_field(const double *const field[TRIBUS_QUANT_FIELDS], uint32_t which,
                      uint32_t rows, double *out)
{
    if (field[which] != NULL) {
        memcpy(out, field[which], rows * sizeof(*out));
        return;
    }
    for (uint32_t t = 0; t < rows; t++)
        out[t] = (field[TRIBUS_QUANT_HIGH][t] + field[TRIBUS_QUANT_LOW][t] +
                  field[TRIBUS_QUANT_CLOSE][t]) /
                 3.0;
}

tribus_status tribus_quant_factors_batch(const tribus_quant_factors *f,
                                         const double *const field[TRIBUS_QUANT_FIELDS],
                                         uint32_t rows, void *scratch, double *out)
{
    double **first = scratch;

    if (f == NULL || field == NULL || rows == 0 || scratch == NULL || out == NULL)
        return TRIBUS_BAD_ARG;
    for (int i = 0; i < TRIBUS_QUANT_VWAP; i++)
        if (field[i] == NULL)
            return TRIBUS_BAD_ARG;
    place_nodes(f, rows, first, (double *)(first + f->node_count), out);
    for (uint32_t i = 0; i < f->node_count; i++) {
        const tribus_quant_factor_node *n = &f->nodes[i];

        if (n->op == OP_FIELD)
            put_field(field, n->a, rows, first[i]);
        else if (!is_view(f, i))
            run_node(n, first[n->a], first[n->b], first[i], 0, rows);
    }
    for (uint32_t k = 0; k < f->count; k++)
        if (first[f->outputs[k]] != &out[(size_t)k * rows])
            memcpy(&out[(size_t)k * rows], first[f->outputs[k]], rows * sizeof(*out));
    return TRIBUS_OK;
}

/* ---- incremental ---- */

/* State: a header, the position of each node's newest value, then the buffers. */
typedef struct factor_state {
    uint64_t seen;
} factor_state;

static uint32_t buffer_rows(const tribus_quant_factor_node *n)
{
    return n->history == 1 ? 1 : 2 * n->history;
}

size_t tribus_quant_factors_state_bytes(const tribus_quant_factors *f)
{
    size_t doubles = 0;

    for (uint32_t i = 0; i < f->node_count; i++)
        doubles += 1 + buffer_rows(&f->nodes[i]);
    return sizeof(factor_state) + doubles * sizeof(double);
}

/* at[i]: offset of node i's newest value from the start of the buffers. */
static uint64_t *positions(void *state)
{
    return (uint64_t *)((factor_state *)state + 1);
}

void tribus_quant_factors_state_init(const tribus_quant_factors *f, void *state)
{
    uint64_t *at = positions(state), offset = 0;

    ((factor_state *)state)->seen = 0;
    for (uint32_t i = 0; i < f->node_count; i++) {
        at[i] = offset;
        offset += buffer_rows(&f->nodes[i]);
    }
}

void tribus_quant_factors_push(const tribus_quant_factors *f, void *state,
                               const double bar[TRIBUS_QUANT_FIELDS], double *out)
{
    factor_state *s = state;
    uint64_t *at = positions(state), start = 0;
    double *buffer = (double *)(at + f->node_count);
    const uint32_t before = s->seen > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)s->seen;

    for (uint32_t i = 0; i < f->node_count; i++) {
        const tribus_quant_factor_node *n = &f->nodes[i];
        const uint32_t rows = buffer_rows(n);

        if (rows > 1 && s->seen > 0 && at[i] + 1 == start + rows) {
            memcpy(&buffer[start], &buffer[start + n->history],
                   n->history * sizeof(*buffer));
            at[i] = start + n->history;
        } else if (rows > 1 && s->seen > 0) {
            at[i]++;
        }
        if (n->op == OP_FIELD)
            buffer[at[i]] = n->a == TRIBUS_QUANT_VWAP && isnan(bar[TRIBUS_QUANT_VWAP])
                                ? (bar[TRIBUS_QUANT_HIGH] + bar[TRIBUS_QUANT_LOW] +
                                   bar[TRIBUS_QUANT_CLOSE]) /
                                      3.0
                                : bar[n->a];
        else
            run_node(n, &buffer[at[n->a]], &buffer[at[n->b]], &buffer[at[i]], before, 1);
        start += rows;
    }
    s->seen++;
    for (uint32_t k = 0; k < f->count; k++)
        out[k] = buffer[at[f->outputs[k]]];
}
