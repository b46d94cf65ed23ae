/* model.h -- what a runtime implements, for the files of this folder.
 *
 * A new runtime is one file neural_<name>.c with one tribus_model_ops and one line in the
 * table of model.c. model.c checks everything a caller hands over and remembers bindings; a
 * runtime sees only tensors that fit its ports.
 */
#ifndef TRIBUS_NEURAL_MODEL_H
#define TRIBUS_NEURAL_MODEL_H

#include "tribus/neural.h"

typedef struct tribus_model_ops tribus_model_ops;

typedef struct tribus_model_plan {
    tribus_model_port ports[TRIBUS_MODEL_MAX_PORTS];
    /* The file's names of open dimensions; the same name has the same size. "": none. */
    char words[TRIBUS_MODEL_MAX_PORTS][TRIBUS_TENSOR_MAX_DIMS][32];
    uint32_t count;
} tribus_model_plan;

struct tribus_model {
    const tribus_model_ops *ops;
    char *path;
    int32_t device_type, device_index; /* of the tensors it is bound to */
    char device_name[16];
    tribus_model_plan inputs, outputs;
    void *state;                    /* the runtime's */
    struct model_binding *bindings; /* binding_most */
    struct binding_key *keys;       /* one a port and binding */
    void **made_at;                 /* the runtime's, one a binding */
    uint32_t binding_most;
    struct model_binding *bound;
    uint64_t clock, made, found;
};

struct tribus_model_ops {
    const char *name;
    const char *suffix;
    int32_t device_type; /* where its tensors lie: TRIBUS_DEVICE_CPU ... */
    /* Which library and version, or why there is none, into detail. */
    bool (*probe)(char *detail, size_t detail_bytes);
    /* Open the bytes of a file: fill inputs, outputs and state. On a fault, close()
     * follows. */
    tribus_status (*open)(tribus_model *model, const tribus_model_cfg *cfg,
                          const char *bytes, size_t count);
    void (*close)(tribus_model *model); /* also half open */
    tribus_status (*binding_create)(tribus_model *model, const tribus_tensor *inputs,
                                    const tribus_tensor *outputs, void **out);
    void (*binding_destroy)(tribus_model *model, void *binding);
    tribus_status (*run)(tribus_model *model, void *binding);
};

extern const tribus_model_ops tribus_neural_onnx;
extern const tribus_model_ops tribus_neural_cuda;

#endif
