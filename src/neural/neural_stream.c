/* neural_stream.c -- recurrent models one time step at a time: the file, and the CPU.
 *
 * A file is followed from its input to its output: what only moves numbers is passed over,
 * recurrent layers and one dense layer are kept, anything else is refused by name.
 */
#include "neural/neural_stream.h"
#include "base/error.h"
#include "base/os.h"
#include "neural/onnx_graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES ((size_t)1 << 30)
#define MOST_UNITS 4096

struct tribus_model_stream {
    tribus_stream_model m;
    tribus_stream_cuda *card; /* NULL: on the CPU */
    double *h[TRIBUS_STREAM_LAYERS], *c[TRIBUS_STREAM_LAYERS];
    double *x, *s; /* the input of a layer, four sums a unit */
};

/* ---- reading the file ---- */

typedef struct reading {
    const tribus_onnx_graph *graph;
    const tribus_onnx_node *node;
    tribus_stream_model *m;
    uint32_t width; /* of what flows: numbers a time step */
    bool newest;    /* what flows is of the newest step only */
    bool biased;    /* the dense layer has its bias, or can have none any more */
} reading;

static tribus_status refuse(const reading *r, const char *why)
{
    return tribus_error_set(TRIBUS_UNSUPPORTED, "node %u \"%s\": operator %s: %s",
                            (unsigned)(r->node - r->graph->nodes), r->node->name,
                            r->node->op, why);
}

/* Constant input i of `elements` floats, or NULL: left out. */
static tribus_status constant_of(const reading *r, uint32_t i, uint64_t elements,
                                 const tribus_onnx_tensor **out)
{
    const uint32_t at = i < r->node->input_count ? r->node->inputs[i] : TRIBUS_ONNX_ABSENT;
    const tribus_onnx_value *v;

    *out = NULL;
    if (at == TRIBUS_ONNX_ABSENT)
        return TRIBUS_OK;
    v = &r->graph->values[at];
    if (v->kind != TRIBUS_ONNX_CONSTANT || v->constant.type != TRIBUS_ONNX_FLOAT ||
        v->constant.elements != elements)
        return refuse(r, "its weights are not constant floats of the size that fits");
    *out = &v->constant;
    return TRIBUS_OK;
}

static float at_of(const tribus_onnx_tensor *t, uint64_t i)
{
    return t == NULL ? 0.0f : (float)tribus_onnx_number(t, i);
}

static bool usual(const tribus_onnx_node *n, bool gru)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(n, "activations");

    for (uint32_t i = 0; a != NULL && i < a->count && a->type == 8; i++)
        if (strcmp(a->strings[i], i == 0 ? "Sigmoid" : "Tanh") != 0)
            return false;
    return strcmp(tribus_onnx_string(n, "direction", "forward"), "forward") == 0 &&
           tribus_onnx_attribute_find(n, "clip") == NULL &&
           tribus_onnx_int(n, "input_forget", 0) == 0 &&
           tribus_onnx_int(n, "layout", 0) == 0 &&
           (!gru || tribus_onnx_int(n, "linear_before_reset", 0) != 0);
}

static bool take_layer(tribus_stream_model *m, uint32_t l, uint32_t k)
{
    m->w[l] = calloc((size_t)m->units * 4 * k, sizeof(float));
    m->u[l] = calloc((size_t)m->units * 4 * m->units, sizeof(float));
    m->b[l] = calloc((size_t)m->units * 4, sizeof(float));
    return m->w[l] != NULL && m->u[l] != NULL && m->b[l] != NULL;
}

/* ONNX's order of gates: LSTM input, output, forget, cell; GRU update, reset, hidden. */
static const int lstm_gate[4] = {0, 3, 1, 2};

/* Row of ours for a gate of the file: from[unit of gate] to [unit][gate]. */
static void copy_rows(float *to, const tribus_onnx_tensor *from, uint32_t units, uint32_t k,
                      uint32_t gate, int row)
{
    for (uint32_t unit = 0; unit < units; unit++)
        for (uint32_t i = 0; i < k; i++)
            to[((size_t)unit * 4 + (size_t)row) * k + i] =
                at_of(from, ((uint64_t)gate * units + unit) * k + i);
}

static void copy_layer(tribus_stream_model *m, uint32_t l, uint32_t k,
                       const tribus_onnx_tensor *const *t)
{
    const uint32_t gates = m->gru ? 3 : 4, n = m->units;

    for (uint32_t g = 0; g < gates; g++) {
        const int row = m->gru ? (int)g : lstm_gate[g];
        const int again = m->gru && g == 2 ? 3 : row; /* fresh from h has its own row */

        copy_rows(m->w[l], t[0], n, k, g, row);
        copy_rows(m->u[l], t[1], n, n, g, again);
        for (uint32_t unit = 0; unit < n; unit++) {
            m->b[l][unit * 4 + (uint32_t)row] += at_of(t[2], (uint64_t)g * n + unit);
            m->b[l][unit * 4 + (uint32_t)again] +=
                at_of(t[2], (uint64_t)(gates + g) * n + unit);
        }
    }
}

static tribus_status read_layer(reading *r, bool gru)
{
    tribus_stream_model *m = r->m;
    const tribus_onnx_node *n = r->node;
    const uint32_t gates = gru ? 3 : 4, l = m->layers;
    const tribus_onnx_tensor *t[3];
    const int64_t units = tribus_onnx_int(n, "hidden_size", 0);
    tribus_status st;

    if (!usual(n, gru) || r->newest || m->dense || l == TRIBUS_STREAM_LAYERS)
        return refuse(r, "a stream has 1 to 4 forward layers with the usual activations, a "
                         "GRU's with linear_before_reset, before its dense layer");
    for (uint32_t i = 4; i < n->input_count; i++)
        if (n->inputs[i] != TRIBUS_ONNX_ABSENT)
            return refuse(r, "sequence lengths, initial states or peepholes");
    if (units < 1 || units > MOST_UNITS || (l > 0 && (units != m->units || gru != m->gru)))
        return refuse(r, "layers of a stream have one kind and one size");
    m->units = (uint32_t)units;
    m->gru = gru;
    st = constant_of(r, 1, (uint64_t)gates * m->units * r->width, &t[0]);
    if (st == TRIBUS_OK)
        st = constant_of(r, 2, (uint64_t)gates * m->units * m->units, &t[1]);
    if (st == TRIBUS_OK)
        st = constant_of(r, 3, (uint64_t)2 * gates * m->units, &t[2]);
    if (st != TRIBUS_OK)
        return st;
    if (t[0] == NULL || t[1] == NULL)
        return refuse(r, "no weights");
    if (!take_layer(m, l, r->width))
        return tribus_error_set(TRIBUS_NO_MEMORY, "weights");
    m->layers++;
    copy_layer(m, l, r->width, (const tribus_onnx_tensor *const *)t);
    r->width = m->units;
    return TRIBUS_OK;
}

/* Gemm or MatMul: y = x B (+ C). */
static tribus_status read_dense(reading *r)
{
    const bool gemm = strcmp(r->node->op, "Gemm") == 0;
    const bool turned = gemm && tribus_onnx_int(r->node, "transB", 0) != 0;
    const uint32_t at = r->node->input_count > 1 ? r->node->inputs[1] : TRIBUS_ONNX_ABSENT;
    const tribus_onnx_tensor *b, *c = NULL;
    tribus_stream_model *m = r->m;
    tribus_status st;

    if (m->layers == 0 || m->dense || at == TRIBUS_ONNX_ABSENT ||
        r->graph->values[at].kind != TRIBUS_ONNX_CONSTANT ||
        r->graph->values[at].constant.ndim != 2 ||
        (gemm && (tribus_onnx_int(r->node, "transA", 0) != 0 ||
                  tribus_onnx_float(r->node, "alpha", 1.0f) != 1.0f ||
                  tribus_onnx_float(r->node, "beta", 1.0f) != 1.0f)))
        return refuse(r, "a stream has one dense layer behind its recurrent ones");
    m->outputs = (uint32_t)r->graph->values[at].constant.shape[turned ? 0 : 1];
    st = m->outputs < 1 || m->outputs > MOST_UNITS
             ? refuse(r, "that many outputs")
             : constant_of(r, 1, (uint64_t)m->outputs * m->units, &b);
    if (st == TRIBUS_OK && gemm)
        st = constant_of(r, 2, m->outputs, &c);
    if (st != TRIBUS_OK)
        return st;
    m->dense_w = calloc((size_t)m->outputs * m->units, sizeof(float));
    m->dense_b = calloc(m->outputs, sizeof(float));
    if (m->dense_w == NULL || m->dense_b == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "weights");
    for (uint32_t o = 0; o < m->outputs; o++) {
        for (uint32_t i = 0; i < m->units; i++)
            m->dense_w[(size_t)o * m->units + i] = at_of(
                b, turned ? (uint64_t)o * m->units + i : (uint64_t)i * m->outputs + o);
        m->dense_b[o] = at_of(c, o);
    }
    m->dense = true;
    r->biased = gemm;
    r->width = m->outputs;
    return TRIBUS_OK;
}

/* The bias behind a MatMul. */
static tribus_status read_bias(reading *r)
{
    const tribus_onnx_tensor *c = NULL;
    tribus_status st;

    if (!r->m->dense || r->biased)
        return refuse(r, "a stream adds only the bias of its dense layer");
    for (uint32_t i = 0; i < 2 && c == NULL; i++) {
        st = r->graph->values[r->node->inputs[i]].kind == TRIBUS_ONNX_CONSTANT
                 ? constant_of(r, i, r->m->outputs, &c)
                 : TRIBUS_OK;
        if (st != TRIBUS_OK)
            return st;
    }
    for (uint32_t o = 0; o < r->m->outputs; o++)
        r->m->dense_b[o] = at_of(c, o);
    r->biased = true;
    return TRIBUS_OK;
}

static bool only_moves(const char *op)
{
    static const char *const names[] = {"Squeeze", "Unsqueeze", "Transpose", "Identity",
                                        "Dropout"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], op) == 0)
            return true;
    return false;
}

static bool reads(const tribus_onnx_node *n, uint32_t value)
{
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] == value)
            return true;
    return false;
}

/* Which of a node's outputs goes on: the one that something reads. */
static uint32_t output_read(const tribus_onnx_graph *g, const tribus_onnx_node *n,
                            uint32_t *which)
{
    for (*which = 0; *which < n->output_count; ++*which) {
        const uint32_t v = n->outputs[*which];

        for (uint32_t i = 0; v != TRIBUS_ONNX_ABSENT && i < g->node_count; i++)
            if (reads(&g->nodes[i], v))
                return v;
        if (v != TRIBUS_ONNX_ABSENT && v == g->outputs[0])
            return v;
    }
    return TRIBUS_ONNX_ABSENT;
}

static tribus_status read_node(reading *r)
{
    const char *op = r->node->op;
    const bool recurrent = strcmp(op, "LSTM") == 0 || strcmp(op, "GRU") == 0;

    if (*r->node->domain != '\0')
        return refuse(r, "not one of ONNX's own");
    if (only_moves(op))
        return TRIBUS_OK;
    if (recurrent)
        return read_layer(r, op[0] == 'G');
    if (strcmp(op, "Gemm") == 0 || strcmp(op, "MatMul") == 0)
        return read_dense(r);
    if (strcmp(op, "Add") == 0)
        return read_bias(r);
    return refuse(r, "no stream has it");
}

static tribus_status read_graph(const tribus_onnx_graph *g, tribus_stream_model *m)
{
    reading r = {.graph = g, .m = m};
    const tribus_onnx_value *in = &g->values[g->inputs[0]];
    uint32_t flows = g->inputs[0], which = 0;
    tribus_status st = TRIBUS_OK;

    if (g->input_count != 1 || g->output_count != 1 || in->ndim < 1 ||
        in->type != TRIBUS_ONNX_FLOAT || in->shape[in->ndim - 1] < 1 ||
        in->shape[in->ndim - 1] > MOST_UNITS)
        return tribus_error_set(
            TRIBUS_UNSUPPORTED,
            "a stream has one input of floats, the last dimension known, "
            "and one output");
    m->inputs = r.width = (uint32_t)in->shape[in->ndim - 1];
    for (uint32_t i = 0; i < g->node_count && st == TRIBUS_OK; i++) {
        r.node = &g->nodes[i];
        if (!reads(r.node, flows))
            return refuse(&r, "it does not lie between the input and the output");
        st = read_node(&r);
        flows = output_read(g, r.node, &which);
        r.newest = r.newest || (which == 1 && !only_moves(r.node->op));
        if (st == TRIBUS_OK && (flows == TRIBUS_ONNX_ABSENT || which > 1 ||
                                (which > 0 && only_moves(r.node->op))))
            st = refuse(&r, "a cell state as an output");
    }
    if (st == TRIBUS_OK && (m->layers == 0 || flows != g->outputs[0]))
        st = tribus_error_set(TRIBUS_UNSUPPORTED, "a model without recurrent layers");
    if (st == TRIBUS_OK && !m->dense)
        m->outputs = m->units;
    return st;
}

static tribus_status read_file(const char *path, tribus_stream_model *m)
{
    tribus_onnx_graph *g = NULL;
    char *bytes = NULL;
    size_t count = 0;
    tribus_status st = tribus_os_read_file(path, MOST_BYTES, &bytes, &count);

    if (st == TRIBUS_OK)
        st = tribus_onnx_graph_open(bytes, count, &g);
    if (st == TRIBUS_OK)
        st = read_graph(g, m);
    tribus_onnx_graph_close(g);
    free(bytes);
    return st;
}

/* ---- on the CPU ---- */

static bool take_state(tribus_model_stream *s)
{
    const uint32_t n = s->m.units, most = s->m.inputs > n ? s->m.inputs : n;
    bool taken = true;

    s->x = calloc(most, sizeof(double));
    s->s = calloc((size_t)n * 4, sizeof(double));
    for (uint32_t l = 0; l < s->m.layers; l++) {
        s->h[l] = calloc(n, sizeof(double));
        s->c[l] = calloc(n, sizeof(double));
        taken = taken && s->h[l] != NULL && s->c[l] != NULL;
    }
    return taken && s->x != NULL && s->s != NULL;
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double product(const float *row, const double *x, uint32_t n)
{
    double sum = 0.0;

    for (uint32_t i = 0; i < n; i++)
        sum += (double)row[i] * x[i];
    return sum;
}

static void step_layer(tribus_model_stream *s, uint32_t l)
{
    const uint32_t n = s->m.units, k = l == 0 ? s->m.inputs : n;

    for (size_t row = 0; row < (size_t)n * 4; row++)
        s->s[row] = (double)s->m.b[l][row] + product(s->m.w[l] + row * k, s->x, k) +
                    product(s->m.u[l] + row * n, s->h[l], n);
    for (uint32_t i = 0; i < n; i++) {
        const double *g = s->s + 4 * (size_t)i;

        if (s->m.gru) {
            const double z = sigmoid(g[0]), fresh = tanh(g[2] + sigmoid(g[1]) * g[3]);

            s->h[l][i] = (1.0 - z) * fresh + z * s->h[l][i];
        } else {
            s->c[l][i] = sigmoid(g[1]) * s->c[l][i] + sigmoid(g[0]) * tanh(g[2]);
            s->h[l][i] = sigmoid(g[3]) * tanh(s->c[l][i]);
        }
    }
    memcpy(s->x, s->h[l], n * sizeof(*s->x));
}

static void step_cpu(tribus_model_stream *s, const float *input, float *output)
{
    for (uint32_t i = 0; i < s->m.inputs; i++)
        s->x[i] = (double)input[i];
    for (uint32_t l = 0; l < s->m.layers; l++)
        step_layer(s, l);
    for (uint32_t o = 0; o < s->m.outputs; o++)
        output[o] = (float)(s->m.dense ? (double)s->m.dense_b[o] +
                                             product(s->m.dense_w + (size_t)o * s->m.units,
                                                     s->x, s->m.units)
                                       : s->x[o]);
}

/* ---- the stream ---- */

tribus_status tribus_model_stream_open(const char *path, const tribus_model_stream_cfg *cfg,
                                       tribus_model_stream **out)
{
    static const tribus_model_stream_cfg defaults;
    const tribus_model_stream_cfg *c = cfg != NULL ? cfg : &defaults;
    tribus_model_stream *s = calloc(1, sizeof(*s));
    tribus_status st =
        s == NULL ? tribus_error_set(TRIBUS_NO_MEMORY, "a stream") : read_file(path, &s->m);

    if (st == TRIBUS_OK && !take_state(s))
        st = tribus_error_set(TRIBUS_NO_MEMORY, "the state");
    if (st == TRIBUS_OK && c->device != NULL &&
        tribus_device_type(c->device) != TRIBUS_DEVICE_CPU)
        st = tribus_device_type(c->device) == TRIBUS_DEVICE_CUDA
                 ? tribus_stream_cuda_open(&s->m, c, &s->card)
                 : tribus_error_set(TRIBUS_UNSUPPORTED, "device %s has no streams",
                                    tribus_device_name(c->device));
    if (st != TRIBUS_OK) {
        tribus_model_stream_close(s);
        tribus_error_add("open model %s as a stream", path);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

void tribus_model_stream_close(tribus_model_stream *s)
{
    if (s == NULL)
        return;
    tribus_stream_cuda_close(s->card);
    for (uint32_t l = 0; l < TRIBUS_STREAM_LAYERS; l++) {
        free(s->m.w[l]);
        free(s->m.u[l]);
        free(s->m.b[l]);
        free(s->h[l]);
        free(s->c[l]);
    }
    free(s->m.dense_w);
    free(s->m.dense_b);
    free(s->x);
    free(s->s);
    free(s);
}

void tribus_model_stream_sizes(const tribus_model_stream *s, uint32_t *inputs,
                               uint32_t *outputs)
{
    *inputs = s->m.inputs;
    *outputs = s->m.outputs;
}

tribus_status tribus_model_stream_step_wait(tribus_model_stream *s, const float *input,
                                            float *output, int64_t timeout_ns)
{
    if (s->card != NULL)
        return tribus_stream_cuda_step_wait(s->card, input, output, timeout_ns);
    step_cpu(s, input, output);
    return TRIBUS_OK;
}

tribus_status tribus_model_stream_reset(tribus_model_stream *s)
{
    for (uint32_t l = 0; l < s->m.layers; l++) {
        memset(s->h[l], 0, s->m.units * sizeof(double));
        memset(s->c[l], 0, s->m.units * sizeof(double));
    }
    return s->card != NULL ? tribus_stream_cuda_reset(s->card) : TRIBUS_OK;
}
