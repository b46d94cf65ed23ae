/* onnx_writer.h -- a writer of protobuf, for tests that build ONNX files by hand. */
#ifndef TRIBUS_TESTS_ONNX_WRITER_H
#define TRIBUS_TESTS_ONNX_WRITER_H

#include "check.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct bytes {
    unsigned char at[65536];
    size_t n;
} bytes;

static inline void put(bytes *b, const void *from, size_t n)
{
    CHECK(b->n + n <= sizeof(b->at));
    memcpy(b->at + b->n, from, n);
    b->n += n;
}

static inline void put_varint(bytes *b, uint64_t v)
{
    unsigned char c;

    do {
        c = (unsigned char)(v & 0x7fu);
        v >>= 7;
        if (v != 0)
            c |= 0x80u;
        put(b, &c, 1);
    } while (v != 0);
}

static inline void put_whole(bytes *b, uint32_t number, uint64_t v)
{
    put_varint(b, number << 3);
    put_varint(b, v);
}

static inline void put_span(bytes *b, uint32_t number, const void *from, size_t n)
{
    put_varint(b, number << 3 | 2u);
    put_varint(b, n);
    put(b, from, n);
}

static inline void put_text(bytes *b, uint32_t number, const char *text)
{
    put_span(b, number, text, strlen(text));
}

static inline void put_message(bytes *b, uint32_t number, const bytes *m)
{
    put_span(b, number, m->at, m->n);
}

/* A float tensor of up to three dimensions (0: no more), raw. */
static inline bytes constant3(const char *name, const float *values, uint64_t a, uint64_t b,
                              uint64_t c)
{
    bytes t = {{0}, 0};

    put_whole(&t, 1, a);
    if (b > 0)
        put_whole(&t, 1, b);
    if (c > 0)
        put_whole(&t, 1, c);
    put_whole(&t, 2, 1);
    put_text(&t, 8, name);
    put_span(&t, 9, values, a * (b > 0 ? b : 1) * (c > 0 ? c : 1) * sizeof(*values));
    return t;
}

/* A float tensor of one dimension, raw, that says it has another number of values. */
static inline bytes constant(const char *name, const float *values, uint64_t n,
                             uint64_t said)
{
    bytes t = {{0}, 0};

    put_whole(&t, 1, said);
    put_whole(&t, 2, 1);
    put_text(&t, 8, name);
    put_span(&t, 9, values, n * sizeof(*values));
    return t;
}

/* Floats of up to three dimensions; 0: no more. */
static inline bytes value_info3(const char *name, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t sizes[] = {a, b, c};
    bytes shape = {{0}, 0}, tensor = {{0}, 0}, type = {{0}, 0};
    bytes v = {{0}, 0};

    for (int d = 0; d < 3 && sizes[d] > 0; d++) {
        bytes dim = {{0}, 0};

        put_whole(&dim, 1, sizes[d]);
        put_message(&shape, 1, &dim);
    }
    put_whole(&tensor, 1, 1);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&v, 1, name);
    put_message(&v, 2, &type);
    return v;
}

static inline bytes value_info(const char *name, uint64_t size)
{
    return value_info3(name, size, 0, 0);
}

/* Inputs and outputs by names with spaces between; "-" is one left out. */
static inline void put_names(bytes *n, uint32_t number, const char *names)
{
    while (*names != '\0') {
        const size_t length = strcspn(names, " ");

        put_span(n, number, names, length == 1 && *names == '-' ? 0 : length);
        names += length + (names[length] == ' ' ? 1 : 0);
    }
}

static inline bytes node_of(const char *op, const char *name, const char *in,
                            const char *out)
{
    bytes n = {{0}, 0};

    put_names(&n, 1, in);
    put_names(&n, 2, out);
    put_text(&n, 3, name);
    put_text(&n, 4, op);
    return n;
}

static inline void put_int(bytes *node, const char *name, int64_t value)
{
    bytes a = {{0}, 0};

    put_text(&a, 1, name);
    put_whole(&a, 3, (uint64_t)value);
    put_whole(&a, 20, 2);
    put_message(node, 5, &a);
}

static inline bytes constant_whole(const char *name, int64_t value)
{
    bytes t = {{0}, 0};

    put_whole(&t, 1, 1);
    put_whole(&t, 2, 7);
    put_text(&t, 8, name);
    put_span(&t, 9, &value, sizeof(value));
    return t;
}

static inline void put_part(bytes *graph, uint32_t number, bytes part)
{
    put_message(graph, number, &part);
}

static inline bytes node(const char *op, const char *a, const char *b, const char *out)
{
    bytes n = {{0}, 0};

    put_text(&n, 1, a);
    if (b != NULL)
        put_text(&n, 1, b);
    put_text(&n, 2, out);
    put_text(&n, 4, op);
    return n;
}

static inline bytes model(const bytes *graph)
{
    bytes opset = {{0}, 0}, m = {{0}, 0};

    put_whole(&opset, 2, 13);
    put_whole(&m, 1, 8);
    put_message(&m, 8, &opset);
    put_message(&m, 7, graph);
    return m;
}

static char model_path[128];

static inline void model_forget(void)
{
    (void)unlink(model_path);
}

/* Write the model of a graph into this process's file, removed at its end; returns its path. */
static inline const char *model_file(const bytes *graph)
{
    const bytes m = model(graph);
    FILE *f;

    if (model_path[0] == '\0') {
        (void)snprintf(model_path, sizeof(model_path), "/tmp/tribus-model-%ld.onnx",
                       (long)getpid());
        CHECK(atexit(model_forget) == 0);
    }
    f = fopen(model_path, "wb");
    CHECK(f != NULL && fwrite(m.at, 1, m.n, f) == m.n && fclose(f) == 0);
    return model_path;
}

#endif
