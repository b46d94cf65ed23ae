/* onnx_graph.c -- ModelProto and GraphProto: values, inputs, nodes and outputs; see
 * onnx_graph.h. The wire format is onnx_wire.c's, nodes onnx_node.c's, constants
 * onnx_tensor.c's. Field numbers are those of onnx.proto3 (ONNX 1.0 and later).
 */
#include "neural/onnx_reader.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static uint32_t hash_of(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++)
        h = (h ^ *c) * 16777619u;
    return h ^ h >> 15;
}

uint32_t tribus_onnx_find_value(const tribus_onnx_reader *r, const char *name,
                                uint32_t *slot)
{
    uint32_t at = hash_of(name) & r->slot_mask;

    while (r->slots[at] != 0) {
        if (strcmp(r->graph->values[r->slots[at] - 1].name, name) == 0)
            return r->slots[at] - 1;
        at = (at + 1) & r->slot_mask;
    }
    *slot = at;
    return TRIBUS_ONNX_ABSENT;
}

/* Add a value of a new name. */
tribus_status tribus_onnx_add_value(tribus_onnx_reader *r, const char *name,
                                    tribus_onnx_kind kind, uint32_t *out)
{
    tribus_onnx_graph *g = r->graph;
    uint32_t slot = 0;

    if (*name == '\0')
        return tribus_error_set(TRIBUS_BAD_DATA, "not an ONNX model: a value has no name");
    if (tribus_onnx_find_value(r, name, &slot) != TRIBUS_ONNX_ABSENT)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "not an ONNX model: value \"%s\" is made twice", name);
    if (g->value_count == r->value_room)
        return tribus_error_set(TRIBUS_BAD_DATA, "not an ONNX model: more than %u values",
                                r->value_room);
    g->values[g->value_count].name = name;
    g->values[g->value_count].kind = kind;
    *out = g->value_count;
    r->slots[slot] = ++g->value_count;
    return TRIBUS_OK;
}

/* ---- what the file says of a value's type ---- */

static tribus_status read_shape(const tribus_onnx_reader *r, tribus_onnx_span s,
                                tribus_onnx_value *v)
{
    tribus_onnx_field dim, f;

    while (s.bytes > 0) {
        tribus_status st = tribus_onnx_next_field(r, &s, &dim);

        if (st != TRIBUS_OK)
            return st;
        if (dim.number != 1)
            continue;
        st = tribus_onnx_expect(r, &dim, 2);
        if (st == TRIBUS_OK && v->ndim == TRIBUS_ONNX_MAX_DIMS)
            st = tribus_onnx_bad(r, &dim.inside, "a value has more than 8 dimensions");
        if (st != TRIBUS_OK)
            return st;
        v->shape[v->ndim] = -1;
        v->words[v->ndim] = "";
        for (tribus_onnx_span inside = dim.inside; inside.bytes > 0 && st == TRIBUS_OK;) {
            st = tribus_onnx_next_field(r, &inside, &f);
            if (st == TRIBUS_OK && f.number == 1) {
                st = tribus_onnx_expect(r, &f, 0);
                if (st == TRIBUS_OK && f.whole > (uint64_t)1 << 40)
                    st = tribus_onnx_bad(r, &f.inside, "a dimension is out of range");
                v->shape[v->ndim] = (int64_t)f.whole;
            } else if (st == TRIBUS_OK && f.number == 2) {
                st = tribus_onnx_read_text(r, &f, &v->words[v->ndim]);
            }
        }
        if (st != TRIBUS_OK)
            return st;
        v->ndim++;
    }
    return TRIBUS_OK;
}

/* TypeProto: only tensors are wanted. */
static tribus_status read_type(const tribus_onnx_reader *r, tribus_onnx_span s,
                               tribus_onnx_value *v)
{
    tribus_onnx_field kind, f;

    v->ndim = 0;
    while (s.bytes > 0) {
        tribus_status st = tribus_onnx_next_field(r, &s, &kind);

        if (st != TRIBUS_OK)
            return st;
        if (kind.wire == 2 && (kind.number == 4 || kind.number == 5 || kind.number == 9))
            return tribus_error_set(TRIBUS_UNSUPPORTED,
                                    "an ONNX model with values that are no tensors");
        if (kind.number != 1)
            continue;
        st = tribus_onnx_expect(r, &kind, 2);
        while (st == TRIBUS_OK && kind.inside.bytes > 0) {
            st = tribus_onnx_next_field(r, &kind.inside, &f);
            if (st == TRIBUS_OK && f.number == 1) {
                st = tribus_onnx_expect(r, &f, 0);
                v->type = (int32_t)(f.whole & 0x7fffffffu);
            } else if (st == TRIBUS_OK && f.number == 2) {
                st = tribus_onnx_expect(r, &f, 2);
                if (st == TRIBUS_OK)
                    st = read_shape(r, f.inside, v);
            }
        }
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

static tribus_status read_value_info(const tribus_onnx_reader *r, tribus_onnx_span s,
                                     tribus_onnx_value *out)
{
    tribus_onnx_field f;

    memset(out, 0, sizeof(*out));
    out->name = "";
    while (s.bytes > 0) {
        tribus_status st = tribus_onnx_next_field(r, &s, &f);

        if (st == TRIBUS_OK && f.number == 1) {
            st = tribus_onnx_read_text(r, &f, &out->name);
        } else if (st == TRIBUS_OK && f.number == 2) {
            st = tribus_onnx_expect(r, &f, 2);
            if (st == TRIBUS_OK)
                st = read_type(r, f.inside, out);
        }
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* ---- the graph ---- */

static tribus_status take_graph(tribus_onnx_reader *r, tribus_onnx_span s)
{
    tribus_onnx_graph *g = r->graph;
    uint64_t nodes, constants, inputs, outputs, room;
    uint32_t slots = 16;
    tribus_status st = tribus_onnx_count_fields(r, s, 1, &nodes);

    if (st == TRIBUS_OK)
        st = tribus_onnx_count_fields(r, s, 5, &constants);
    if (st == TRIBUS_OK)
        st = tribus_onnx_count_fields(r, s, 11, &inputs);
    if (st == TRIBUS_OK)
        st = tribus_onnx_count_fields(r, s, 12, &outputs);
    if (st != TRIBUS_OK)
        return st;
    if (nodes > TRIBUS_ONNX_MAX_NODES || constants > TRIBUS_ONNX_MAX_VALUES / 4 ||
        inputs > TRIBUS_ONNX_MAX_VALUES / 4 || outputs > TRIBUS_ONNX_MAX_VALUES / 4)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "an ONNX model of %llu nodes, %llu constants, %llu inputs "
                                "and %llu outputs: too large",
                                (unsigned long long)nodes, (unsigned long long)constants,
                                (unsigned long long)inputs, (unsigned long long)outputs);
    /* Most nodes make one value. */
    room = nodes * 4 + constants + inputs + 16;
    r->value_room = room > TRIBUS_ONNX_MAX_VALUES ? TRIBUS_ONNX_MAX_VALUES : (uint32_t)room;
    while (slots < 2 * r->value_room)
        slots *= 2;
    r->slot_mask = slots - 1;
    r->slots = tribus_onnx_take(r->arena, slots * sizeof(*r->slots));
    g->values = tribus_onnx_take(r->arena, r->value_room * sizeof(*g->values));
    g->nodes = tribus_onnx_take(r->arena, (size_t)nodes * sizeof(*g->nodes) + 1);
    g->inputs = tribus_onnx_take(r->arena, (size_t)inputs * sizeof(*g->inputs) + 1);
    g->outputs = tribus_onnx_take(r->arena, (size_t)outputs * sizeof(*g->outputs) + 1);
    return r->slots != NULL && g->values != NULL && g->nodes != NULL && g->inputs != NULL &&
                   g->outputs != NULL
               ? TRIBUS_OK
               : tribus_onnx_no_memory();
}

static tribus_status read_constant(tribus_onnx_reader *r, const tribus_onnx_field *f)
{
    tribus_onnx_tensor t;
    const char *name = "";
    uint32_t at;
    tribus_status st = tribus_onnx_expect(r, f, 2);

    if (st == TRIBUS_OK)
        st = tribus_onnx_read_tensor(r, f->inside, &t, &name);
    if (st == TRIBUS_OK)
        st = tribus_onnx_add_value(r, name, TRIBUS_ONNX_CONSTANT, &at);
    if (st != TRIBUS_OK)
        return st;
    r->graph->values[at].type = t.type;
    r->graph->values[at].ndim = t.ndim;
    r->graph->values[at].constant = t;
    for (int32_t d = 0; d < TRIBUS_ONNX_MAX_DIMS; d++) {
        r->graph->values[at].shape[d] = t.shape[d];
        r->graph->values[at].words[d] = "";
    }
    return TRIBUS_OK;
}

/* An input that is also a constant is a constant (IR version 3). */
static tribus_status read_graph_input(tribus_onnx_reader *r, const tribus_onnx_field *f)
{
    tribus_onnx_graph *g = r->graph;
    tribus_onnx_value v;
    uint32_t at, slot;
    tribus_status st = tribus_onnx_expect(r, f, 2);

    if (st == TRIBUS_OK)
        st = read_value_info(r, f->inside, &v);
    if (st != TRIBUS_OK)
        return st;
    at = tribus_onnx_find_value(r, v.name, &slot);
    if (at != TRIBUS_ONNX_ABSENT && g->values[at].kind == TRIBUS_ONNX_CONSTANT)
        return TRIBUS_OK;
    st = tribus_onnx_add_value(r, v.name, TRIBUS_ONNX_INPUT, &at);
    if (st != TRIBUS_OK)
        return st;
    v.kind = TRIBUS_ONNX_INPUT;
    g->values[at] = v;
    g->inputs[g->input_count++] = at;
    return TRIBUS_OK;
}

/* Outputs and what the file notes of values between: types of values that are there. */
static tribus_status read_note(tribus_onnx_reader *r, const tribus_onnx_field *f,
                               bool is_output)
{
    tribus_onnx_graph *g = r->graph;
    tribus_onnx_value v;
    uint32_t at, slot;
    tribus_status st = tribus_onnx_expect(r, f, 2);

    if (st == TRIBUS_OK)
        st = read_value_info(r, f->inside, &v);
    if (st != TRIBUS_OK)
        return st;
    at = tribus_onnx_find_value(r, v.name, &slot);
    if (at == TRIBUS_ONNX_ABSENT)
        return is_output
                   ? tribus_error_set(TRIBUS_BAD_DATA,
                                      "not an ONNX model: nothing makes the output \"%s\"",
                                      v.name)
                   : TRIBUS_OK;
    if (g->values[at].kind == TRIBUS_ONNX_MADE) {
        v.kind = TRIBUS_ONNX_MADE;
        v.name = g->values[at].name;
        g->values[at] = v;
    }
    if (is_output)
        g->outputs[g->output_count++] = at;
    return TRIBUS_OK;
}

/* Constants, then inputs, then nodes, then outputs, in whatever order the file has them. */
static tribus_status read_graph(tribus_onnx_reader *r, tribus_onnx_span s)
{
    static const uint32_t order[] = {5, 11, 1, 13, 12};
    tribus_status st = take_graph(r, s);
    tribus_onnx_field f;

    for (size_t pass = 0; pass < sizeof(order) / sizeof(order[0]); pass++) {
        for (tribus_onnx_span left = s; left.bytes > 0 && st == TRIBUS_OK;) {
            st = tribus_onnx_next_field(r, &left, &f);
            if (st != TRIBUS_OK)
                break;
            if (f.number == 15)
                return tribus_error_set(TRIBUS_UNSUPPORTED,
                                        "an ONNX model with sparse tensors");
            if (f.number != order[pass])
                continue;
            if (f.number == 5)
                st = read_constant(r, &f);
            else if (f.number == 11)
                st = read_graph_input(r, &f);
            else if (f.number != 1)
                st = read_note(r, &f, f.number == 12);
            else if ((st = tribus_onnx_expect(r, &f, 2)) == TRIBUS_OK)
                st = tribus_onnx_read_node(r, f.inside,
                                           &r->graph->nodes[r->graph->node_count++]);
        }
    }
    if (st == TRIBUS_OK && r->graph->output_count == 0)
        st = tribus_error_set(TRIBUS_BAD_DATA, "not an ONNX model: it has no output");
    return st;
}

static tribus_status read_opset(tribus_onnx_reader *r, tribus_onnx_span s)
{
    const char *domain = "";
    uint64_t version = 0;
    tribus_onnx_field f;

    while (s.bytes > 0) {
        tribus_status st = tribus_onnx_next_field(r, &s, &f);

        if (st == TRIBUS_OK && f.number == 1)
            st = tribus_onnx_read_text(r, &f, &domain);
        else if (st == TRIBUS_OK && f.number == 2)
            version = f.whole;
        if (st != TRIBUS_OK)
            return st;
    }
    if (*domain == '\0' || strcmp(domain, "ai.onnx") == 0)
        r->graph->opset = (int64_t)(version & INT32_MAX);
    return TRIBUS_OK;
}

static tribus_status read_model(tribus_onnx_reader *r, tribus_onnx_span s)
{
    const tribus_onnx_span whole = s;
    tribus_onnx_span graph = {NULL, 0};
    tribus_status st;
    tribus_onnx_field f;

    while (s.bytes > 0) {
        st = tribus_onnx_next_field(r, &s, &f);
        if (st != TRIBUS_OK)
            return st;
        if (f.number == 1) {
            r->graph->ir_version = (int64_t)(f.whole & INT32_MAX);
        } else if (f.number == 7) {
            if (f.wire != 2 || graph.at != NULL)
                return tribus_onnx_bad(r, &f.inside, "not one graph");
            graph = f.inside;
        } else if (f.number == 8 && f.wire == 2) {
            st = read_opset(r, f.inside);
            if (st != TRIBUS_OK)
                return st;
        } else if (f.number == 25) {
            return tribus_error_set(TRIBUS_UNSUPPORTED, "an ONNX model with functions");
        }
    }
    if (graph.at == NULL)
        return tribus_onnx_bad(r, &whole, "there is no graph");
    if (r->graph->ir_version < 3)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "an ONNX model of IR version %lld; 3 or newer is read",
                                (long long)r->graph->ir_version);
    if (r->graph->opset < 1)
        return tribus_onnx_bad(r, &whole, "it does not say which operators it uses");
    return read_graph(r, graph);
}

tribus_status tribus_onnx_graph_open(const void *bytes, size_t count,
                                     tribus_onnx_graph **out)
{
    tribus_onnx_graph *g = calloc(1, sizeof(*g));
    tribus_onnx_reader r;
    tribus_status st;

    if (g == NULL)
        return tribus_onnx_no_memory();
    memset(&r, 0, sizeof(r));
    g->arena = tribus_onnx_arena_open();
    r.start = bytes;
    r.graph = g;
    r.arena = g->arena;
    st = g->arena == NULL ? tribus_onnx_no_memory()
                          : read_model(&r, (tribus_onnx_span){bytes, count});
    if (st != TRIBUS_OK) {
        tribus_onnx_graph_close(g);
        return st;
    }
    *out = g;
    return TRIBUS_OK;
}

void tribus_onnx_graph_close(tribus_onnx_graph *graph)
{
    if (graph == NULL)
        return;
    tribus_onnx_arena_close(graph->arena);
    free(graph);
}
