/* neural_onnx.c -- ONNX Runtime through its C API, loaded when the first model is opened.
 *
 * No copies: each binding wraps the caller's addresses in OrtValues
 * (CreateTensorWithDataAsOrtValue) and binds them with an OrtIoBinding; the runtime reads
 * and writes there. Its intermediate tensors come from the session's arena, which it keeps.
 *
 * The library is never unloaded and its environment never released: it registers handlers
 * that outlive any one model.
 */
#include "base/error.h"
#include "base/log.h"
#include "neural/model.h"

#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every model of the process shares; written under `lock`, once. */
static struct {
    pthread_mutex_t lock;
    const OrtApi *api;
    OrtEnv *env;
    OrtMemoryInfo *host;
    char library[512];
    char version[32];
} onnx = {.lock = PTHREAD_MUTEX_INITIALIZER};

typedef struct onnx_state {
    OrtSession *session;
    OrtRunOptions *run_options;
} onnx_state;

typedef struct onnx_binding {
    OrtIoBinding *io;
    OrtValue *values[2 * TRIBUS_MODEL_MAX_PORTS];
} onnx_binding;

/* Take the runtime's error: its words on one line become the error text. */
static tribus_status fault(tribus_status st, OrtStatus *status)
{
    char text[400];

    (void)snprintf(text, sizeof(text), "%s", onnx.api->GetErrorMessage(status));
    for (char *c = text; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' ';
    onnx.api->ReleaseStatus(status);
    return tribus_error_set(st, "ONNX Runtime: %s", text);
}

/* ---- the library ---- */

static void ORT_API_CALL log_line(void *context, OrtLoggingLevel severity,
                                  const char *category, const char *id, const char *place,
                                  const char *text)
{
    (void)context;
    (void)category;
    (void)id;
    (void)place;
    tribus_log(severity >= ORT_LOGGING_LEVEL_ERROR ? TRIBUS_LOG_ERROR : TRIBUS_LOG_WARN,
               "onnx: %s", text);
}

/* The first of the caller's path, the environment's, `make deps`'s and the system's that is
 * asked for or there. A path that was asked for is not replaced by another. */
static void *load(const char *asked, char *name, size_t name_bytes)
{
    static const char *const places[] = {TRIBUS_ONNX_LIBRARY, "libonnxruntime.so.1",
                                         "libonnxruntime.so"};
    const char *wanted = asked != NULL ? asked : getenv("TRIBUS_ONNX_LIBRARY");
    void *handle = NULL;

    if (wanted != NULL && *wanted != '\0') {
        (void)snprintf(name, name_bytes, "%s", wanted);
        handle = dlopen(wanted, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL)
            (void)tribus_error_set(
                TRIBUS_UNSUPPORTED,
                "ONNX Runtime library %s cannot be loaded; run `make deps` "
                "or unset TRIBUS_ONNX_LIBRARY: %s",
                wanted, dlerror());
        return handle;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && handle == NULL; i++) {
        (void)snprintf(name, name_bytes, "%s", places[i]);
        handle = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (handle == NULL)
        (void)tribus_error_set(TRIBUS_UNSUPPORTED,
                               "ONNX Runtime is not installed: run `make deps`, or set "
                               "TRIBUS_ONNX_LIBRARY to libonnxruntime.so");
    return handle;
}

static tribus_status environment(const OrtApi *api)
{
    OrtStatus *status;

    onnx.api = api; /* fault() needs it; undone by the caller on a fault */
    status = api->CreateEnvWithCustomLogger(log_line, NULL, ORT_LOGGING_LEVEL_ERROR,
                                            "tribus", &onnx.env);
    if (status == NULL)
        status = api->DisableTelemetryEvents(onnx.env);
    if (status == NULL)
        status = api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &onnx.host);
    return status == NULL ? TRIBUS_OK : fault(TRIBUS_UNSUPPORTED, status);
}

static tribus_status start_locked(const char *asked)
{
    const OrtApiBase *(*base_of)(void) = NULL;
    const OrtApiBase *base;
    char name[sizeof(onnx.library)];
    unsigned major = 0, minor = 0;
    void *handle, *symbol;
    tribus_status st;

    if (onnx.api != NULL) {
        if (asked != NULL && strcmp(asked, onnx.library) != 0)
            return tribus_error_set(TRIBUS_UNSUPPORTED,
                                    "ONNX Runtime is loaded from %s already, not %s",
                                    onnx.library, asked);
        return TRIBUS_OK;
    }
    handle = load(asked, name, sizeof(name));
    if (handle == NULL)
        return TRIBUS_UNSUPPORTED;
    symbol = dlsym(handle, "OrtGetApiBase");
    if (symbol == NULL) {
        (void)dlclose(handle);
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "%s is not ONNX Runtime: it has no OrtGetApiBase", name);
    }
    memcpy(&base_of, &symbol, sizeof(base_of)); /* ISO C has no cast for this */
    base = base_of();
    /* GetApi() prints when the version is too new for it, so ask first. */
    if (sscanf(base->GetVersionString(), "%u.%u", &major, &minor) != 2 || major != 1 ||
        minor < ORT_API_VERSION || base->GetApi(ORT_API_VERSION) == NULL)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "%s is ONNX Runtime %s; 1.%d or newer is needed: run "
                                "`make deps`",
                                name, base->GetVersionString(), ORT_API_VERSION);
    st = environment(base->GetApi(ORT_API_VERSION));
    if (st != TRIBUS_OK) {
        onnx.api = NULL;
        return st;
    }
    (void)snprintf(onnx.library, sizeof(onnx.library), "%s", name);
    (void)snprintf(onnx.version, sizeof(onnx.version), "%s", base->GetVersionString());
    return TRIBUS_OK;
}

static tribus_status start(const char *asked)
{
    tribus_status st;

    (void)pthread_mutex_lock(&onnx.lock);
    st = start_locked(asked);
    (void)pthread_mutex_unlock(&onnx.lock);
    return st;
}

static bool onnx_probe(char *detail, size_t detail_bytes)
{
    if (start(NULL) != TRIBUS_OK) {
        (void)snprintf(detail, detail_bytes, "%s", tribus_error_text());
        return false;
    }
    (void)snprintf(detail, detail_bytes, "ONNX Runtime %s, %s", onnx.version, onnx.library);
    return true;
}

/* ---- ports ---- */

static const struct {
    ONNXTensorElementDataType onnx;
    tribus_dtype ours;
} dtypes[] = {
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {TRIBUS_DTYPE_FLOAT, 32, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, {TRIBUS_DTYPE_FLOAT, 64, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, {TRIBUS_DTYPE_FLOAT, 16, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, {TRIBUS_DTYPE_BFLOAT, 16, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, {TRIBUS_DTYPE_INT, 8, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, {TRIBUS_DTYPE_INT, 16, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, {TRIBUS_DTYPE_INT, 32, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, {TRIBUS_DTYPE_INT, 64, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, {TRIBUS_DTYPE_UINT, 8, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, {TRIBUS_DTYPE_UINT, 16, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, {TRIBUS_DTYPE_UINT, 32, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, {TRIBUS_DTYPE_UINT, 64, 1}},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, {TRIBUS_DTYPE_BOOL, 8, 1}},
};
#define DTYPES (sizeof(dtypes) / sizeof(dtypes[0]))

static ONNXTensorElementDataType onnx_dtype(tribus_dtype ours)
{
    for (size_t i = 0; i < DTYPES; i++)
        if (tribus_dtype_equal(dtypes[i].ours, ours))
            return dtypes[i].onnx;
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

static tribus_status read_tensor_type(const OrtTensorTypeAndShapeInfo *shape,
                                      tribus_model_plan *plan, uint32_t i)
{
    tribus_model_port *p = &plan->ports[i];
    const char *words[TRIBUS_TENSOR_MAX_DIMS] = {NULL};
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t ndim = 0;
    OrtStatus *status = onnx.api->GetTensorElementType(shape, &type);

    if (status == NULL)
        status = onnx.api->GetDimensionsCount(shape, &ndim);
    if (status != NULL)
        return fault(TRIBUS_BAD_DATA, status);
    if (ndim > TRIBUS_TENSOR_MAX_DIMS)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "tensor %s has %zu dimensions, at most %d", p->name, ndim,
                                TRIBUS_TENSOR_MAX_DIMS);
    for (size_t k = 0; k < DTYPES; k++)
        if (dtypes[k].onnx == type)
            p->dtype = dtypes[k].ours;
    if (p->dtype.lanes == 0)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "tensor %s is of ONNX element type %d",
                                p->name, (int)type);
    p->ndim = (int32_t)ndim;
    status = onnx.api->GetDimensions(shape, p->shape, ndim);
    if (status == NULL)
        status = onnx.api->GetSymbolicDimensions(shape, words, ndim);
    if (status != NULL)
        return fault(TRIBUS_BAD_DATA, status);
    for (size_t d = 0; d < ndim; d++) {
        if (p->shape[d] >= 0)
            continue;
        p->shape[d] = -1;
        /* A word too long to keep whole could equal another: then it says nothing. */
        if (words[d] != NULL && strlen(words[d]) < sizeof(plan->words[i][d]))
            (void)snprintf(plan->words[i][d], sizeof(plan->words[i][d]), "%s", words[d]);
    }
    return TRIBUS_OK;
}

typedef struct side {
    const char *word;
    OrtStatus *(ORT_API_CALL *count)(const OrtSession *, size_t *);
    OrtStatus *(ORT_API_CALL *name)(const OrtSession *, size_t, OrtAllocator *, char **);
    OrtStatus *(ORT_API_CALL *type)(const OrtSession *, size_t, OrtTypeInfo **);
} side;

static tribus_status read_port(const OrtSession *session, const side *s,
                               tribus_model_plan *plan, uint32_t i)
{
    const OrtTensorTypeAndShapeInfo *shape = NULL;
    OrtAllocator *allocator = NULL;
    OrtTypeInfo *type = NULL;
    char *name = NULL;
    tribus_status st;
    OrtStatus *status = onnx.api->GetAllocatorWithDefaultOptions(&allocator);

    if (status == NULL)
        status = s->name(session, i, allocator, &name);
    if (status != NULL)
        return fault(TRIBUS_BAD_DATA, status);
    if (strlen(name) >= sizeof(plan->ports[i].name))
        st = tribus_error_set(TRIBUS_UNSUPPORTED, "%s %u: name longer than %d bytes",
                              s->word, i, TRIBUS_MODEL_NAME_BYTES - 1);
    else
        st = TRIBUS_OK;
    (void)snprintf(plan->ports[i].name, sizeof(plan->ports[i].name), "%s", name);
    allocator->Free(allocator, name);
    if (st != TRIBUS_OK)
        return st;
    status = s->type(session, i, &type);
    if (status == NULL)
        status = onnx.api->CastTypeInfoToTensorInfo(type, &shape);
    if (status != NULL)
        st = fault(TRIBUS_BAD_DATA, status);
    else if (shape == NULL)
        st = tribus_error_set(TRIBUS_UNSUPPORTED, "%s %s is not a tensor", s->word,
                              plan->ports[i].name);
    else
        st = read_tensor_type(shape, plan, i);
    if (type != NULL)
        onnx.api->ReleaseTypeInfo(type);
    return st;
}

static tribus_status read_side(const OrtSession *session, const side *s,
                               tribus_model_plan *plan)
{
    size_t count = 0;
    OrtStatus *status = s->count(session, &count);

    if (status != NULL)
        return fault(TRIBUS_BAD_DATA, status);
    if (count == 0 || count > TRIBUS_MODEL_MAX_PORTS)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "the file has %zu %ss; 1 to %d are possible", count,
                                s->word, TRIBUS_MODEL_MAX_PORTS);
    plan->count = (uint32_t)count;
    for (uint32_t i = 0; i < plan->count; i++) {
        const tribus_status st = read_port(session, s, plan, i);

        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* ---- sessions ---- */

/* Threads that spin would take the core from the process the result is for. */
static OrtStatus *set_options(OrtSessionOptions *o, const tribus_model_cfg *cfg)
{
    const uint32_t threads = cfg->threads == 0 ? 1 : cfg->threads;
    OrtStatus *status =
        onnx.api->SetIntraOpNumThreads(o, (int)(threads > 1024 ? 1024 : threads));

    if (status == NULL)
        status = onnx.api->SetInterOpNumThreads(o, 1);
    if (status == NULL)
        status = onnx.api->SetSessionExecutionMode(o, ORT_SEQUENTIAL);
    if (status == NULL)
        status = onnx.api->AddSessionConfigEntry(o, "session.intra_op.allow_spinning", "0");
    if (status == NULL)
        status = onnx.api->AddSessionConfigEntry(o, "session.inter_op.allow_spinning", "0");
    return status;
}

static tribus_status create_session(const tribus_model_cfg *cfg, const char *bytes,
                                    size_t count, onnx_state *state)
{
    OrtSessionOptions *options = NULL;
    tribus_status st = TRIBUS_OK;
    OrtStatus *status = onnx.api->CreateSessionOptions(&options);

    if (status == NULL)
        status = set_options(options, cfg);
    if (status == NULL)
        status = onnx.api->CreateRunOptions(&state->run_options);
    if (status != NULL) {
        st = fault(TRIBUS_SYSTEM, status);
    } else {
        status = onnx.api->CreateSessionFromArray(onnx.env, bytes, count, options,
                                                  &state->session);
        if (status != NULL) {
            st = fault(TRIBUS_BAD_DATA, status);
            tribus_error_add("not an ONNX model that can be run");
        }
    }
    if (options != NULL)
        onnx.api->ReleaseSessionOptions(options);
    return st;
}

static tribus_status onnx_open(tribus_model *model, const tribus_model_cfg *cfg,
                               const char *bytes, size_t count)
{
    onnx_state *state;
    tribus_status st = start(cfg->library);

    if (st != TRIBUS_OK)
        return st;
    state = calloc(1, sizeof(*state));
    if (state == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", sizeof(*state));
    model->state = state;
    st = create_session(cfg, bytes, count, state);
    if (st == TRIBUS_OK) {
        const side in = {"input", onnx.api->SessionGetInputCount,
                         onnx.api->SessionGetInputName, onnx.api->SessionGetInputTypeInfo};
        const side out = {"output", onnx.api->SessionGetOutputCount,
                          onnx.api->SessionGetOutputName,
                          onnx.api->SessionGetOutputTypeInfo};

        st = read_side(state->session, &in, &model->inputs);
        if (st == TRIBUS_OK)
            st = read_side(state->session, &out, &model->outputs);
    }
    return st;
}

static void onnx_close(tribus_model *model)
{
    onnx_state *state = model->state;

    if (state == NULL)
        return;
    if (state->session != NULL)
        onnx.api->ReleaseSession(state->session);
    if (state->run_options != NULL)
        onnx.api->ReleaseRunOptions(state->run_options);
    free(state);
}

/* ---- bindings ---- */

static OrtStatus *wrap(const tribus_tensor *t, OrtValue **out)
{
    const size_t bytes = (size_t)tribus_tensor_elements(t) * tribus_dtype_bytes(t->dtype);

    return onnx.api->CreateTensorWithDataAsOrtValue(onnx.host, tribus_tensor_address(t),
                                                    bytes, t->shape, (size_t)t->ndim,
                                                    onnx_dtype(t->dtype), out);
}

static void onnx_binding_destroy(tribus_model *model, void *binding)
{
    onnx_binding *b = binding;

    (void)model;
    if (b->io != NULL)
        onnx.api->ReleaseIoBinding(b->io);
    for (size_t i = 0; i < sizeof(b->values) / sizeof(b->values[0]); i++)
        if (b->values[i] != NULL)
            onnx.api->ReleaseValue(b->values[i]);
    free(b);
}

static tribus_status onnx_binding_create(tribus_model *model, const tribus_tensor *inputs,
                                         const tribus_tensor *outputs, void **out)
{
    onnx_state *state = model->state;
    onnx_binding *b = calloc(1, sizeof(*b));
    OrtStatus *status;
    uint32_t n = 0;

    if (b == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", sizeof(*b));
    status = onnx.api->CreateIoBinding(state->session, &b->io);
    for (uint32_t i = 0; status == NULL && i < model->inputs.count; i++, n++) {
        status = wrap(&inputs[i], &b->values[n]);
        if (status == NULL)
            status = onnx.api->BindInput(b->io, model->inputs.ports[i].name, b->values[n]);
    }
    for (uint32_t i = 0; status == NULL && i < model->outputs.count; i++, n++) {
        status = wrap(&outputs[i], &b->values[n]);
        if (status == NULL)
            status =
                onnx.api->BindOutput(b->io, model->outputs.ports[i].name, b->values[n]);
    }
    if (status != NULL) {
        const tribus_status st = fault(TRIBUS_SYSTEM, status);

        onnx_binding_destroy(model, b);
        return st;
    }
    *out = b;
    return TRIBUS_OK;
}

static tribus_status onnx_run(tribus_model *model, void *binding)
{
    onnx_state *state = model->state;
    const onnx_binding *b = binding;
    OrtStatus *status = onnx.api->RunWithBinding(state->session, state->run_options, b->io);

    return status == NULL ? TRIBUS_OK : fault(TRIBUS_SYSTEM, status);
}

const tribus_model_ops tribus_neural_onnx = {
    .name = "onnx",
    .suffix = ".onnx",
    .device_type = TRIBUS_DEVICE_CPU,
    .probe = onnx_probe,
    .open = onnx_open,
    .close = onnx_close,
    .binding_create = onnx_binding_create,
    .binding_destroy = onnx_binding_destroy,
    .run = onnx_run,
};
