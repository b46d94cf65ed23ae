/* model.c -- open, check, bind and run a model, whatever its runtime; see neural.h.
 *
 * Slots rotate among few addresses, and making a binding costs a runtime several
 * allocations. So each binding is kept under its key, the addresses and shapes of all
 * tensors, and found again by comparing keys: 64 at most, the least recently used is
 * dropped.
 */
#include "neural/model.h"
#include "base/error.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_MAX_BYTES  ((size_t)1 << 30)
#define DEFAULT_BINDINGS 64u
#define MOST_BINDINGS    4096u

/* One line a runtime. */
static const tribus_model_ops *const runtimes[] = {
    &tribus_neural_onnx,
    &tribus_neural_cuda,
};
#define RUNTIMES (sizeof(runtimes) / sizeof(runtimes[0]))

/* One tensor of a key: what a binding depends on. The checks before settled the rest. */
typedef struct binding_key {
    const void *address;
    int64_t shape[TRIBUS_TENSOR_MAX_DIMS];
} binding_key;

/* What a look-up reads of every binding: four to a cache line, since the caller's own work
 * will have pushed them out of the cache between two binds. */
struct model_binding {
    uint64_t last_use; /* of model->clock; 0: free */
    uint64_t hash;
};
_Static_assert(sizeof(struct model_binding) == 16, "four to a cache line");

tribus_status tribus_model_runtime(uint32_t i, tribus_model_runtime_row *out)
{
    if (i >= RUNTIMES)
        return tribus_error_set(TRIBUS_NOT_FOUND, "model runtime %u: there are %zu", i,
                                RUNTIMES);
    memset(out, 0, sizeof(*out));
    out->name = runtimes[i]->name;
    out->suffix = runtimes[i]->suffix;
    out->present = runtimes[i]->probe(out->detail, sizeof(out->detail));
    return TRIBUS_OK;
}

/* By name, or the first for the file's suffix; either way one whose tensors lie on the
 * device. */
static const tribus_model_ops *runtime_for(const char *path, const char *name,
                                           int32_t device_type)
{
    const size_t length = strlen(path);

    for (size_t i = 0; i < RUNTIMES; i++) {
        const size_t suffix = strlen(runtimes[i]->suffix);

        if (runtimes[i]->device_type != device_type)
            continue;
        if (name != NULL ? strcmp(name, runtimes[i]->name) == 0
                         : (length > suffix &&
                            strcmp(path + length - suffix, runtimes[i]->suffix) == 0))
            return runtimes[i];
    }
    return NULL;
}

/* "f32[?,32]" */
static const char *port_text(const tribus_model_port *p, char *text, size_t bytes)
{
    char dtype[16];
    size_t used;

    used = (size_t)snprintf(text, bytes, "%s[",
                            tribus_dtype_name(p->dtype, dtype, sizeof(dtype)));
    for (int32_t i = 0; i < p->ndim && used < bytes; i++) {
        char size[24] = "?";

        if (p->shape[i] >= 0)
            (void)snprintf(size, sizeof(size), "%lld", (long long)p->shape[i]);
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i > 0 ? "," : "", size);
    }
    if (used < bytes)
        (void)snprintf(text + used, bytes - used, "]");
    return text;
}

/* ---- what the caller declared against what the file has ---- */

static tribus_status check_declared(const tribus_model_plan *plan, const char *side,
                                    const tribus_model_port *declared, uint32_t count)
{
    char want[128], got[128];

    if (declared == NULL)
        return TRIBUS_OK;
    if (count != plan->count)
        return tribus_error_set(TRIBUS_BAD_DATA, "wanted %u %ss, the file has %u", count,
                                side, plan->count);
    for (uint32_t i = 0; i < count; i++) {
        const tribus_model_port *w = &declared[i], *g = &plan->ports[i];
        bool fits = w->ndim == g->ndim && tribus_dtype_equal(w->dtype, g->dtype);

        if (strncmp(w->name, g->name, sizeof(w->name)) != 0)
            return tribus_error_set(TRIBUS_BAD_DATA,
                                    "%s %u: wanted \"%.63s\", the file has \"%s\"", side, i,
                                    w->name, g->name);
        for (int32_t d = 0; fits && d < w->ndim; d++)
            fits = w->shape[d] < 0 || g->shape[d] < 0 || w->shape[d] == g->shape[d];
        if (!fits)
            return tribus_error_set(TRIBUS_BAD_DATA, "%s %s: wanted %s, the file has %s",
                                    side, g->name, port_text(w, want, sizeof(want)),
                                    port_text(g, got, sizeof(got)));
    }
    return TRIBUS_OK;
}

static uint32_t ports_of(const tribus_model *m)
{
    return m->inputs.count + m->outputs.count;
}

static tribus_status open_file(tribus_model *m, const tribus_model_cfg *cfg)
{
    char *bytes = NULL;
    size_t count = 0;
    tribus_status st = tribus_os_read_file(m->path, MODEL_MAX_BYTES, &bytes, &count);

    if (st != TRIBUS_OK)
        return st;
    st = m->ops->open(m, cfg, bytes, count);
    free(bytes);
    if (st == TRIBUS_OK)
        st = check_declared(&m->inputs, "input", cfg->inputs, cfg->input_count);
    if (st == TRIBUS_OK)
        st = check_declared(&m->outputs, "output", cfg->outputs, cfg->output_count);
    if (st != TRIBUS_OK)
        return st;
    m->keys = calloc((size_t)m->binding_most * ports_of(m), sizeof(*m->keys));
    return m->keys != NULL ? TRIBUS_OK : tribus_error_set(TRIBUS_NO_MEMORY, "bindings");
}

tribus_status tribus_model_open(const char *path, const tribus_model_cfg *cfg,
                                tribus_model **out)
{
    static const tribus_model_cfg defaults;
    const tribus_model_cfg *c = cfg != NULL ? cfg : &defaults;
    const int32_t device_type =
        c->device != NULL ? tribus_device_type(c->device) : TRIBUS_DEVICE_CPU;
    const tribus_model_ops *ops = runtime_for(path, c->runtime, device_type);
    tribus_model *m = NULL;
    tribus_status st;

    if (ops == NULL)
        return tribus_error_set(TRIBUS_NOT_FOUND,
                                "open model %s: no runtime for it on %s; onnx runs .onnx "
                                "files on the cpu, cuda runs them on a card",
                                path,
                                c->device != NULL ? tribus_device_name(c->device) : "cpu");
    m = calloc(1, sizeof(*m));
    if (m == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open model %s", path);
    m->ops = ops;
    m->device_type = device_type;
    m->device_index = c->device != NULL ? tribus_device_index(c->device) : 0;
    (void)snprintf(m->device_name, sizeof(m->device_name), "%s",
                   device_type != TRIBUS_DEVICE_CPU ? tribus_device_name(c->device)
                                                    : "cpu:0");
    m->binding_most = c->bindings == 0 ? DEFAULT_BINDINGS : c->bindings;
    if (m->binding_most > MOST_BINDINGS)
        m->binding_most = MOST_BINDINGS;
    m->path = strdup(path);
    m->bindings = calloc(m->binding_most, sizeof(*m->bindings));
    m->made_at = calloc(m->binding_most, sizeof(*m->made_at));
    st = m->path == NULL || m->bindings == NULL || m->made_at == NULL
             ? tribus_error_set(TRIBUS_NO_MEMORY, "bindings")
             : open_file(m, c);
    if (st != TRIBUS_OK) {
        tribus_model_close(m);
        tribus_error_add("open model %s", path);
        return st;
    }
    *out = m;
    return TRIBUS_OK;
}

void tribus_model_close(tribus_model *model)
{
    if (model == NULL)
        return;
    if (model->bindings != NULL && model->made_at != NULL)
        tribus_model_unbind(model);
    model->ops->close(model);
    free(model->keys);
    free(model->made_at);
    free(model->bindings);
    free(model->path);
    free(model);
}

const tribus_model_port *tribus_model_inputs(const tribus_model *model, uint32_t *count)
{
    *count = model->inputs.count;
    return model->inputs.ports;
}

const tribus_model_port *tribus_model_outputs(const tribus_model *model, uint32_t *count)
{
    *count = model->outputs.count;
    return model->outputs.ports;
}

/* ---- binding ---- */

/* Where keys and made_at have what belongs to b. */
static size_t index_of(const tribus_model *m, const struct model_binding *b)
{
    return (size_t)(b - m->bindings);
}

static void binding_drop(tribus_model *m, struct model_binding *b)
{
    if (b->last_use == 0)
        return;
    m->ops->binding_destroy(m, m->made_at[index_of(m, b)]);
    b->last_use = 0;
}

void tribus_model_unbind(tribus_model *model)
{
    for (uint32_t i = 0; i < model->binding_most; i++)
        binding_drop(model, &model->bindings[i]);
    model->bound = NULL;
}

void tribus_model_binding_counts(const tribus_model *model, uint64_t *made, uint64_t *found)
{
    *made = model->made;
    *found = model->found;
}

static tribus_status wrong(const tribus_model *m, const tribus_model_port *p,
                           const tribus_tensor *t, const char *why)
{
    char want[128], got[256];

    return tribus_error_set(
        TRIBUS_BAD_ARG, "model %s: tensor %s: wanted %s on %s, got %s%s%s", m->path,
        p->name, port_text(p, want, sizeof(want)), m->device_name,
        tribus_tensor_text(t, got, sizeof(got)), *why != '\0' ? ": " : "", why);
}

/* The size another tensor gave to this word, or -1. Looks at the first so many ports. */
static int64_t size_of_word(const tribus_model *m, const char *word,
                            const tribus_tensor *in, uint32_t inputs,
                            const tribus_tensor *out, uint32_t outputs)
{
    for (uint32_t i = 0; i < inputs; i++)
        for (int32_t d = 0; d < m->inputs.ports[i].ndim; d++)
            if (strcmp(m->inputs.words[i][d], word) == 0)
                return in[i].shape[d];
    for (uint32_t i = 0; i < outputs; i++)
        for (int32_t d = 0; d < m->outputs.ports[i].ndim; d++)
            if (strcmp(m->outputs.words[i][d], word) == 0)
                return out[i].shape[d];
    return -1;
}

static tribus_status check_alone(const tribus_model *m, const tribus_model_port *p,
                                 const tribus_tensor *t)
{
    bool fits = t->ndim == p->ndim && tribus_dtype_equal(t->dtype, p->dtype) &&
                t->device_type == m->device_type &&
                (t->device_type == TRIBUS_DEVICE_CPU || t->device_index == m->device_index);

    for (int32_t d = 0; fits && d < t->ndim; d++)
        fits = p->shape[d] < 0 || t->shape[d] == p->shape[d];
    if (!fits)
        return wrong(m, p, t, "");
    if (t->data == NULL || tribus_tensor_elements(t) == 0)
        return wrong(m, p, t, "empty");
    if (!tribus_tensor_is_dense(t))
        return wrong(m, p, t, "not dense");
    if ((uintptr_t)tribus_tensor_address(t) % (p->dtype.bits / 8u) != 0)
        return wrong(m, p, t, "not aligned");
    return TRIBUS_OK;
}

static tribus_status check_tensors(const tribus_model *m, const tribus_tensor *in,
                                   const tribus_tensor *out)
{
    const uint32_t total = ports_of(m);

    for (uint32_t k = 0; k < total; k++) {
        const bool is_in = k < m->inputs.count;
        const uint32_t i = is_in ? k : k - m->inputs.count;
        const tribus_model_plan *plan = is_in ? &m->inputs : &m->outputs;
        const tribus_tensor *t = is_in ? &in[i] : &out[i];
        const tribus_status st = check_alone(m, &plan->ports[i], t);

        if (st != TRIBUS_OK)
            return st;
        for (int32_t d = 0; d < t->ndim; d++) {
            int64_t size;
            char why[96];

            if (plan->words[i][d][0] == '\0')
                continue;
            size = size_of_word(m, plan->words[i][d], in, is_in ? i : m->inputs.count, out,
                                is_in ? 0 : i);
            if (size < 0 || size == t->shape[d])
                continue;
            (void)snprintf(why, sizeof(why), "%s is %lld here", plan->words[i][d],
                           (long long)size);
            return wrong(m, &plan->ports[i], t, why);
        }
    }
    return TRIBUS_OK;
}

static uint64_t key_of(const tribus_model *m, const tribus_tensor *in,
                       const tribus_tensor *out, binding_key *key)
{
    const uint32_t total = ports_of(m);
    uint64_t hash = 0x9e3779b97f4a7c15u; /* any odd constants with well-spread bits do */

    memset(key, 0, total * sizeof(*key));
    for (uint32_t k = 0; k < total; k++) {
        const tribus_tensor *t = k < m->inputs.count ? &in[k] : &out[k - m->inputs.count];

        key[k].address = tribus_tensor_address(t);
        hash = (hash ^ (uint64_t)(uintptr_t)key[k].address) * 0xbf58476d1ce4e5b9u;
        for (int32_t d = 0; d < t->ndim; d++) {
            key[k].shape[d] = t->shape[d];
            hash = (hash ^ (hash >> 29) ^ (uint64_t)t->shape[d]) * 0x94d049bb133111ebu;
        }
    }
    return hash;
}

static struct model_binding *find_binding(tribus_model *m, uint64_t hash,
                                          const binding_key *key,
                                          struct model_binding **victim)
{
    const uint32_t total = ports_of(m);

    *victim = &m->bindings[0];
    for (uint32_t i = 0; i < m->binding_most; i++) {
        struct model_binding *b = &m->bindings[i];

        if (b->last_use != 0 && b->hash == hash &&
            memcmp(&m->keys[(size_t)i * total], key, total * sizeof(*key)) == 0)
            return b;
        if (b->last_use < (*victim)->last_use)
            *victim = b;
        if (b->last_use == 0)
            break; /* they are filled in order and only unbind() frees: the rest is free too */
    }
    return NULL;
}

tribus_status tribus_model_bind(tribus_model *model, const tribus_tensor *inputs,
                                uint32_t input_count, const tribus_tensor *outputs,
                                uint32_t output_count)
{
    struct model_binding *b, *victim;
    binding_key key[2 * TRIBUS_MODEL_MAX_PORTS];
    uint64_t hash;
    void *made = NULL;
    tribus_status st;

    model->bound = NULL;
    if (input_count != model->inputs.count || output_count != model->outputs.count)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "model %s: wanted %u inputs and %u outputs, got %u and %u",
                                model->path, model->inputs.count, model->outputs.count,
                                input_count, output_count);
    st = check_tensors(model, inputs, outputs);
    if (st != TRIBUS_OK)
        return st;
    hash = key_of(model, inputs, outputs, key);
    b = find_binding(model, hash, key, &victim);
    if (b == NULL) {
        st = model->ops->binding_create(model, inputs, outputs, &made);
        if (st != TRIBUS_OK) {
            tribus_error_add("bind model %s", model->path);
            return st;
        }
        binding_drop(model, victim);
        b = victim;
        b->hash = hash;
        memcpy(&model->keys[index_of(model, b) * ports_of(model)], key,
               ports_of(model) * sizeof(*key));
        model->made_at[index_of(model, b)] = made;
        model->made++;
    } else {
        model->found++;
    }
    b->last_use = ++model->clock;
    model->bound = b;
    return TRIBUS_OK;
}

tribus_status tribus_model_run(tribus_model *model)
{
    tribus_status st;

    if (model->bound == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "run model %s: run before bind",
                                model->path);
    st = model->ops->run(model, model->made_at[index_of(model, model->bound)]);
    if (st != TRIBUS_OK)
        tribus_error_add("run model %s", model->path);
    return st;
}
