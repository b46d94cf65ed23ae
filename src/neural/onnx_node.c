/* onnx_node.c -- NodeProto and AttributeProto, and how a planner asks for an attribute. */
#include "neural/onnx_reader.h"
#include "base/error.h"

#include <string.h>

/* ---- attributes ---- */

/* A list of an attribute, packed or not: counted, taken, filled. */
static tribus_status read_list(const tribus_onnx_reader *r, tribus_onnx_span s,
                               uint32_t number, tribus_onnx_attribute *a)
{
    const uint32_t wire = number == 7 ? 5u : 0u;
    uint64_t n = 0, value;
    int64_t *ints = NULL;
    float *floats = NULL;

    for (int pass = 0; pass < 2; pass++) {
        tribus_onnx_span left = s;
        tribus_onnx_field f;

        n = 0;
        while (left.bytes > 0) {
            tribus_status st = tribus_onnx_next_field(r, &left, &f);

            if (st != TRIBUS_OK)
                return st;
            if (f.number != number)
                continue;
            if (f.wire != 2 && f.wire != wire)
                return tribus_onnx_bad(r, &f.inside, "a list of the wrong kind");
            value = f.whole;
            for (bool more = f.wire != 2 || f.inside.bytes > 0; more;
                 more = f.wire == 2 && f.inside.bytes > 0) {
                if (f.wire == 2 && !(wire == 5 ? tribus_onnx_fixed(&f.inside, 4, &value)
                                               : tribus_onnx_varint(&f.inside, &value)))
                    return tribus_onnx_bad(r, &f.inside, "a list is cut off");
                if (ints != NULL)
                    ints[n] = (int64_t)value;
                else if (floats != NULL)
                    memcpy(&floats[n], &value, sizeof(floats[n]));
                n++;
            }
        }
        if (pass == 1)
            break;
        if (n > UINT32_MAX)
            return tribus_onnx_bad(r, &s, "a list is too long");
        if (wire == 5)
            floats = tribus_onnx_take(r->arena, (size_t)n * sizeof(*floats) + 1);
        else
            ints = tribus_onnx_take(r->arena, (size_t)n * sizeof(*ints) + 1);
        if (floats == NULL && ints == NULL)
            return tribus_onnx_no_memory();
    }
    a->ints = ints;
    a->floats = floats;
    a->count = (uint32_t)n;
    return TRIBUS_OK;
}

static tribus_status read_strings(const tribus_onnx_reader *r, tribus_onnx_span s,
                                  tribus_onnx_attribute *a)
{
    const char **strings;
    uint64_t n;
    tribus_onnx_field f;
    tribus_status st = tribus_onnx_count_fields(r, s, 9, &n);

    if (st != TRIBUS_OK)
        return st;
    if (n > TRIBUS_ONNX_MAX_PER_NODE)
        return tribus_onnx_bad(r, &s, "a list of strings is too long");
    strings = tribus_onnx_take(r->arena, (size_t)n * sizeof(*strings) + 1);
    if (strings == NULL)
        return tribus_onnx_no_memory();
    a->strings = strings;
    while (s.bytes > 0 && st == TRIBUS_OK) {
        st = tribus_onnx_next_field(r, &s, &f);
        if (st == TRIBUS_OK && f.number == 9)
            st = tribus_onnx_read_text(r, &f, &strings[a->count++]);
    }
    return st;
}

/* Which kind it is where the file does not say (IR version 3 and newer must). */
static int32_t kind_of_field(uint32_t number)
{
    switch (number) {
    case 2:
        return 1;
    case 3:
        return 2;
    case 4:
        return 3;
    case 5:
        return 4;
    case 7:
        return 6;
    case 8:
        return 7;
    case 9:
        return 8;
    default:
        return 0;
    }
}

static tribus_status read_attribute_field(const tribus_onnx_reader *r,
                                          const tribus_onnx_field *f,
                                          tribus_onnx_attribute *a, int32_t *seen)
{
    const int32_t kind = kind_of_field(f->number);
    uint32_t word;

    if (kind != 0)
        *seen = kind;
    switch (f->number) {
    case 1:
        return tribus_onnx_read_text(r, f, &a->name);
    case 2:
        word = (uint32_t)f->whole;
        memcpy(&a->f, &word, sizeof(a->f));
        return tribus_onnx_expect(r, f, 5);
    case 3:
        a->i = (int64_t)f->whole;
        return tribus_onnx_expect(r, f, 0);
    case 4:
        return tribus_onnx_read_text(r, f, &a->s);
    case 5:
        return tribus_onnx_expect(r, f, 2) == TRIBUS_OK
                   ? tribus_onnx_read_tensor(r, f->inside, &a->t, NULL)
                   : TRIBUS_BAD_DATA;
    case 20:
        a->type = (int32_t)(f->whole & 0x7fffffffu);
        return tribus_onnx_expect(r, f, 0);
    case 6:
    case 11:
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "an ONNX model with a graph inside a node");
    default:
        return TRIBUS_OK;
    }
}

static tribus_status read_attribute(const tribus_onnx_reader *r, tribus_onnx_span s,
                                    tribus_onnx_attribute *a)
{
    const tribus_onnx_span whole = s;
    int32_t seen = 0;
    tribus_onnx_field f;
    tribus_status st = TRIBUS_OK;

    a->name = "";
    a->s = "";
    while (s.bytes > 0 && st == TRIBUS_OK) {
        st = tribus_onnx_next_field(r, &s, &f);
        if (st == TRIBUS_OK)
            st = read_attribute_field(r, &f, a, &seen);
    }
    if (st != TRIBUS_OK)
        return st;
    if (a->type == 0)
        a->type = seen;
    if (a->type == 6)
        return read_list(r, whole, 7, a);
    if (a->type == 7)
        return read_list(r, whole, 8, a);
    if (a->type == 8)
        return read_strings(r, whole, a);
    if (a->type == 4 && a->t.type == 0)
        return tribus_onnx_bad(r, &whole, "an attribute says it is a tensor and has none");
    return TRIBUS_OK;
}

/* ---- nodes ---- */

typedef struct node_lists {
    uint32_t *inputs, *outputs;
    tribus_onnx_attribute *attributes;
} node_lists;

static tribus_status take_lists(const tribus_onnx_reader *r, tribus_onnx_span s,
                                node_lists *l)
{
    uint64_t in, out, attributes;
    tribus_status st = tribus_onnx_count_fields(r, s, 1, &in);

    if (st == TRIBUS_OK)
        st = tribus_onnx_count_fields(r, s, 2, &out);
    if (st == TRIBUS_OK)
        st = tribus_onnx_count_fields(r, s, 5, &attributes);
    if (st != TRIBUS_OK)
        return st;
    if (in > TRIBUS_ONNX_MAX_PER_NODE || out > TRIBUS_ONNX_MAX_PER_NODE ||
        attributes > TRIBUS_ONNX_MAX_PER_NODE)
        return tribus_onnx_bad(r, &s,
                               "a node has more than 64 inputs, outputs or attributes");
    l->inputs = tribus_onnx_take(r->arena, (size_t)in * sizeof(*l->inputs) + 1);
    l->outputs = tribus_onnx_take(r->arena, (size_t)out * sizeof(*l->outputs) + 1);
    l->attributes =
        tribus_onnx_take(r->arena, (size_t)attributes * sizeof(*l->attributes) + 1);
    return l->inputs != NULL && l->outputs != NULL && l->attributes != NULL
               ? TRIBUS_OK
               : tribus_onnx_no_memory();
}

static tribus_status read_input(const tribus_onnx_reader *r, const tribus_onnx_field *f,
                                const tribus_onnx_node *n, uint32_t *out)
{
    const char *name = "";
    uint32_t slot;
    const tribus_status st = tribus_onnx_read_text(r, f, &name);

    if (st != TRIBUS_OK)
        return st;
    *out = *name == '\0' ? TRIBUS_ONNX_ABSENT : tribus_onnx_find_value(r, name, &slot);
    if (*name != '\0' && *out == TRIBUS_ONNX_ABSENT)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "not an ONNX model: node %u reads \"%s\", which nothing "
                                "before it makes",
                                (unsigned)(n - r->graph->nodes), name);
    return TRIBUS_OK;
}

/* Inputs come before outputs in what writers make, but protobuf does not promise it: two
 * passes, so that a node cannot read what it makes. */
tribus_status tribus_onnx_read_node(tribus_onnx_reader *r, tribus_onnx_span s,
                                    tribus_onnx_node *n)
{
    node_lists l = {NULL, NULL, NULL};
    const tribus_onnx_span whole = s;
    const char *name = "";
    tribus_status st = take_lists(r, s, &l);
    tribus_onnx_field f;

    *n = (tribus_onnx_node){.op = "",
                            .name = "",
                            .domain = "",
                            .inputs = l.inputs,
                            .outputs = l.outputs,
                            .attributes = l.attributes};
    while (s.bytes > 0 && st == TRIBUS_OK) {
        st = tribus_onnx_next_field(r, &s, &f);
        if (st != TRIBUS_OK)
            return st;
        if (f.number == 1)
            st = read_input(r, &f, n, &l.inputs[n->input_count++]);
        else if (f.number == 3)
            st = tribus_onnx_read_text(r, &f, &n->name);
        else if (f.number == 4)
            st = tribus_onnx_read_text(r, &f, &n->op);
        else if (f.number == 7)
            st = tribus_onnx_read_text(r, &f, &n->domain);
        else if (f.number == 5 && (st = tribus_onnx_expect(r, &f, 2)) == TRIBUS_OK)
            st = read_attribute(r, f.inside, &l.attributes[n->attribute_count++]);
    }
    for (s = whole; s.bytes > 0 && st == TRIBUS_OK;) {
        st = tribus_onnx_next_field(r, &s, &f);
        if (st != TRIBUS_OK || f.number != 2)
            continue;
        st = tribus_onnx_read_text(r, &f, &name);
        if (st == TRIBUS_OK && *name == '\0')
            l.outputs[n->output_count++] = TRIBUS_ONNX_ABSENT;
        else if (st == TRIBUS_OK)
            st = tribus_onnx_add_value(r, name, TRIBUS_ONNX_MADE,
                                       &l.outputs[n->output_count++]);
    }
    if (st == TRIBUS_OK && *n->op == '\0')
        st = tribus_onnx_bad(r, &whole, "a node without an operator");
    if (strcmp(n->domain, "ai.onnx") == 0)
        n->domain = "";
    return st;
}

/* ---- attributes of a node ---- */

const tribus_onnx_attribute *tribus_onnx_attribute_find(const tribus_onnx_node *node,
                                                        const char *name)
{
    for (uint32_t i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            return &node->attributes[i];
    return NULL;
}

int64_t tribus_onnx_int(const tribus_onnx_node *node, const char *name, int64_t fallback)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(node, name);

    return a != NULL && a->type == 2 ? a->i : fallback;
}

float tribus_onnx_float(const tribus_onnx_node *node, const char *name, float fallback)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(node, name);

    return a != NULL && a->type == 1 ? a->f : fallback;
}

const char *tribus_onnx_string(const tribus_onnx_node *node, const char *name,
                               const char *fallback)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(node, name);

    return a != NULL && a->type == 3 ? a->s : fallback;
}
