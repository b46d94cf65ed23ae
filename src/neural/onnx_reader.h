/* onnx_reader.h -- what the files onnx_*.c share while they read a model.
 *
 * Memory comes from an arena of blocks that dies with the graph. Lists are counted first, so
 * that each is taken once and a hostile file cannot ask for more than its own size implies.
 */
#ifndef TRIBUS_NEURAL_ONNX_READER_H
#define TRIBUS_NEURAL_ONNX_READER_H

#include "neural/onnx_graph.h"

typedef struct tribus_onnx_span {
    const unsigned char *at;
    size_t bytes;
} tribus_onnx_span;

typedef struct tribus_onnx_field {
    uint32_t number;
    uint32_t wire; /* 0 varint, 1 eight bytes, 2 span, 5 four bytes */
    uint64_t whole;
    tribus_onnx_span inside;
} tribus_onnx_field;

typedef struct tribus_onnx_reader {
    const unsigned char *start; /* of the file, for the offsets in errors */
    struct tribus_onnx_arena *arena;
    tribus_onnx_graph *graph;
    uint32_t *slots; /* hash table of names: value + 1, or 0 */
    uint32_t slot_mask;
    uint32_t value_room;
} tribus_onnx_reader;

/* ---- memory (onnx_wire.c) ---- */

/* NULL: no memory. Given to tribus_onnx_arena_close() with all that was taken from it. */
struct tribus_onnx_arena *tribus_onnx_arena_open(void);
void tribus_onnx_arena_close(struct tribus_onnx_arena *arena);

/* Zeroed, aligned to 16; NULL when there is none. */
void *tribus_onnx_take(struct tribus_onnx_arena *arena, size_t bytes);

/* ---- the wire format (onnx_wire.c) ---- */

/* Faults: TRIBUS_BAD_DATA with the offset in the file; TRIBUS_NO_MEMORY. */
tribus_status tribus_onnx_bad(const tribus_onnx_reader *r, const tribus_onnx_span *s,
                              const char *what);
tribus_status tribus_onnx_no_memory(void);

/* Cut a number off the front; false: it is cut off. */
bool tribus_onnx_varint(tribus_onnx_span *s, uint64_t *out);
bool tribus_onnx_fixed(tribus_onnx_span *s, size_t bytes, uint64_t *out);

/* Cut the next field off s. Only while s->bytes > 0. */
tribus_status tribus_onnx_next_field(const tribus_onnx_reader *r, tribus_onnx_span *s,
                                     tribus_onnx_field *f);

/* Is the field of the kind that the schema fixes? */
tribus_status tribus_onnx_expect(const tribus_onnx_reader *r, const tribus_onnx_field *f,
                                 uint32_t wire);

/* How often a field stands in a message. */
tribus_status tribus_onnx_count_fields(const tribus_onnx_reader *r, tribus_onnx_span s,
                                       uint32_t number, uint64_t *out);

/* A name as a C string; control characters and zero bytes are refused, since names go into
 * error texts and logs. */
tribus_status tribus_onnx_read_text(const tribus_onnx_reader *r, const tribus_onnx_field *f,
                                    const char **out);

/* ---- values (onnx_graph.c) ---- */

/* Its index, or ABSENT; then *slot is where a value of that name would go. */
uint32_t tribus_onnx_find_value(const tribus_onnx_reader *r, const char *name,
                                uint32_t *slot);

/* Add a value of a new name. */
tribus_status tribus_onnx_add_value(tribus_onnx_reader *r, const char *name,
                                    tribus_onnx_kind kind, uint32_t *out);

/* ---- messages ---- */

/* TensorProto (onnx_tensor.c). name may be NULL: a tensor inside an attribute. */
tribus_status tribus_onnx_read_tensor(const tribus_onnx_reader *r, tribus_onnx_span s,
                                      tribus_onnx_tensor *t, const char **name);

/* NodeProto (onnx_node.c). What it makes is added to the graph's values. */
tribus_status tribus_onnx_read_node(tribus_onnx_reader *r, tribus_onnx_span s,
                                    tribus_onnx_node *n);

#endif
