/* onnx_graph.h -- read an ONNX file into nodes, values and constants, without a library.
 *
 * Use it to   find out what a model computes, where no runtime does that for us.
 * Not for     checking that operators exist or that shapes fit: whoever runs it does.
 *
 * Memory      A graph borrows the bytes it was read from: large constants stay there.
 * Threads     A graph is read by one thread; after that it is constant.
 * Trust       The bytes are hostile. Every length is checked before it is used, sizes are
 *             bounded by the constants below, nesting is four messages deep, and memory
 *             taken is at most a small multiple of the file.
 * Cost        One pass to count, one to read.
 *
 * Read: protobuf wire format of ModelProto, IR version 3 and newer, onnx.proto3 field
 * numbers. Not read: functions, sparse tensors, control flow, external data, strings as
 * tensors; a file that needs them is refused by name.
 */
#ifndef TRIBUS_NEURAL_ONNX_GRAPH_H
#define TRIBUS_NEURAL_ONNX_GRAPH_H

#include "tribus/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRIBUS_ONNX_MAX_DIMS       8
#define TRIBUS_ONNX_MAX_NODES      16384u
#define TRIBUS_ONNX_MAX_VALUES     65536u
#define TRIBUS_ONNX_MAX_PER_NODE   64u /* inputs, outputs or attributes */
#define TRIBUS_ONNX_MAX_NAME_BYTES 256u

/* Element types of onnx.proto3 that have a fixed size. */
typedef enum tribus_onnx_type {
    TRIBUS_ONNX_NONE = 0,
    TRIBUS_ONNX_FLOAT = 1,
    TRIBUS_ONNX_UINT8 = 2,
    TRIBUS_ONNX_INT8 = 3,
    TRIBUS_ONNX_UINT16 = 4,
    TRIBUS_ONNX_INT16 = 5,
    TRIBUS_ONNX_INT32 = 6,
    TRIBUS_ONNX_INT64 = 7,
    TRIBUS_ONNX_BOOL = 9,
    TRIBUS_ONNX_FLOAT16 = 10,
    TRIBUS_ONNX_DOUBLE = 11,
    TRIBUS_ONNX_UINT32 = 12,
    TRIBUS_ONNX_UINT64 = 13,
    TRIBUS_ONNX_BFLOAT16 = 16
} tribus_onnx_type;

/* Bytes of one element, 0 for a type that is none of the above. */
size_t tribus_onnx_type_bytes(int32_t type);

/* A constant. bytes holds elements * element size, little-endian, row-major, aligned to
 * nothing. */
typedef struct tribus_onnx_tensor {
    int32_t type;
    int32_t ndim;
    int64_t shape[TRIBUS_ONNX_MAX_DIMS];
    uint64_t elements;
    const unsigned char *bytes;
} tribus_onnx_tensor;

typedef enum tribus_onnx_kind {
    TRIBUS_ONNX_MADE = 0, /* by a node */
    TRIBUS_ONNX_INPUT,    /* by the caller */
    TRIBUS_ONNX_CONSTANT  /* an initialiser */
} tribus_onnx_kind;

typedef struct tribus_onnx_value {
    const char *name;
    tribus_onnx_kind kind;
    /* What the file says of it; type NONE: nothing. shape -1: open, words names it. */
    int32_t type;
    int32_t ndim;
    int64_t shape[TRIBUS_ONNX_MAX_DIMS];
    const char *words[TRIBUS_ONNX_MAX_DIMS]; /* "" or the file's name of the dimension */
    tribus_onnx_tensor constant;             /* of kind CONSTANT */
} tribus_onnx_value;

typedef struct tribus_onnx_attribute {
    const char *name;
    int32_t type; /* 1 float, 2 int, 3 string, 4 tensor, 6 floats, 7 ints, 8 strings */
    float f;
    int64_t i;
    const char *s;       /* string */
    const float *floats; /* count of them */
    const int64_t *ints;
    const char *const *strings;
    uint32_t count;
    tribus_onnx_tensor t;
} tribus_onnx_attribute;

typedef struct tribus_onnx_node {
    const char *op;         /* "Gemm" */
    const char *name;       /* "" when the file gives none */
    const char *domain;     /* "" is ONNX's own */
    const uint32_t *inputs; /* values; TRIBUS_ONNX_ABSENT: left out */
    const uint32_t *outputs;
    const tribus_onnx_attribute *attributes;
    uint32_t input_count, output_count, attribute_count;
} tribus_onnx_node;

#define TRIBUS_ONNX_ABSENT UINT32_MAX

typedef struct tribus_onnx_graph {
    int64_t ir_version;
    int64_t opset; /* of ONNX's own operators */
    tribus_onnx_value *values;
    uint32_t value_count;
    tribus_onnx_node *nodes; /* in order: a node reads only what stands before it */
    uint32_t node_count;
    uint32_t *inputs, *outputs; /* values; inputs without the constants */
    uint32_t input_count, output_count;
    struct tribus_onnx_arena *arena;
} tribus_onnx_graph;

/* Read `count` bytes, borrowed until tribus_onnx_graph_close().
 * out: owned by the caller, give it to tribus_onnx_graph_close().
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA (not a model; text says what and where),
 * TRIBUS_UNSUPPORTED (a model with parts that are not read, see above) or
 * TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_onnx_graph_open(const void *bytes, size_t count,
                                                       tribus_onnx_graph **out);
void tribus_onnx_graph_close(tribus_onnx_graph *graph);

/* The attribute of that name, or NULL. */
const tribus_onnx_attribute *tribus_onnx_attribute_find(const tribus_onnx_node *node,
                                                        const char *name);

/* The attribute, or the fallback where the node has none of that name and kind. */
int64_t tribus_onnx_int(const tribus_onnx_node *node, const char *name, int64_t fallback);
float tribus_onnx_float(const tribus_onnx_node *node, const char *name, float fallback);
const char *tribus_onnx_string(const tribus_onnx_node *node, const char *name,
                               const char *fallback);

/* Element i of a constant of a whole-number type as int64, of FLOAT, DOUBLE, FLOAT16 or
 * BFLOAT16 as double. i < elements. Other types give 0. */
int64_t tribus_onnx_whole(const tribus_onnx_tensor *tensor, uint64_t i);
double tribus_onnx_number(const tribus_onnx_tensor *tensor, uint64_t i);

#endif
