/* test_model.c -- models made by this file, a few bytes each: what may be opened, bound and
 * run, and that inputs and outputs stay where the caller has them. */
#include "check.h"
#include "tribus/base.h"
#include "tribus/neural.h"

#include <malloc.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* ---- the least of protocol buffers: ONNX's ModelProto, field numbers from onnx.proto ----
 */

typedef struct bytes {
    unsigned char at[1024];
    size_t n;
} bytes;

static void put_number(bytes *b, uint32_t field, uint64_t value)
{
    b->at[b->n++] = (unsigned char)(field << 3);
    for (; value >= 128; value >>= 7)
        b->at[b->n++] = (unsigned char)(value | 128);
    b->at[b->n++] = (unsigned char)value;
}

static void put_bytes(bytes *b, uint32_t field, const void *from, size_t n)
{
    put_number(b, field, n);
    b->at[b->n - (n >= 128 ? 3 : 2)] |= 2; /* length-delimited */
    CHECK(n < 16384 && b->n + n <= sizeof(b->at));
    memcpy(b->at + b->n, from, n);
    b->n += n;
}

static void put_text(bytes *b, uint32_t field, const char *text)
{
    put_bytes(b, field, text, strlen(text));
}

/* A tensor [rows, cols]; a negative size is the open dimension "n". type 1 is f32, 7 i64.
 */
static void put_port(bytes *graph, uint32_t field, const char *name, uint64_t type,
                     const int64_t *shape)
{
    bytes dims = {.n = 0}, tensor = {.n = 0}, outer = {.n = 0}, port = {.n = 0};

    for (int i = 0; i < 2; i++) {
        bytes dim = {.n = 0};

        if (shape[i] < 0)
            put_text(&dim, 2, "n");
        else
            put_number(&dim, 1, (uint64_t)shape[i]);
        put_bytes(&dims, 1, dim.at, dim.n);
    }
    put_number(&tensor, 1, type);
    put_bytes(&tensor, 2, dims.at, dims.n);
    put_bytes(&outer, 1, tensor.at, tensor.n);
    put_text(&port, 1, name);
    put_bytes(&port, 2, outer.at, outer.n);
    put_bytes(graph, field, port.at, port.n);
}

/* y = op(x) */
static bytes model_of(const char *op, uint64_t type, int64_t rows, int64_t cols)
{
    bytes node = {.n = 0}, graph = {.n = 0}, opset = {.n = 0}, model = {.n = 0};
    const int64_t shape[] = {rows, cols};

    put_text(&node, 1, "x");
    put_text(&node, 2, "y");
    put_text(&node, 4, op);
    put_bytes(&graph, 1, node.at, node.n);
    put_text(&graph, 2, "g");
    put_port(&graph, 11, "x", type, shape);
    put_port(&graph, 12, "y", type, shape);
    put_number(&opset, 2, 13);
    put_number(&model, 1, 8);
    put_bytes(&model, 7, graph.at, graph.n);
    put_bytes(&model, 8, opset.at, opset.n);
    return model;
}

static char folder[] = "/tmp/tribus_test_model_XXXXXX";
static char path[128];

static const char *file_of(const void *from, size_t n)
{
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/m.onnx", folder);
    f = fopen(path, "wb");
    CHECK(f != NULL && fwrite(from, 1, n, f) == n && fclose(f) == 0);
    return path;
}

static tribus_model *neg(int64_t rows, int64_t cols)
{
    const bytes b = model_of("Neg", 1, rows, cols);
    tribus_model *m = NULL;

    if (tribus_model_open(file_of(b.at, b.n), NULL, &m) != TRIBUS_OK)
        fprintf(stderr, "%s\n", tribus_error_text());
    CHECK(m != NULL);
    return m;
}

static tribus_tensor over(float *mem, int64_t rows, int64_t cols)
{
    tribus_tensor t;
    tribus_dtype f32;

    CHECK(tribus_dtype_parse("f32", &f32) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&t, f32, 2, (const int64_t[]){rows, cols}, mem,
                             (size_t)(rows * cols) * sizeof(float)) == TRIBUS_OK);
    return t;
}

static bool says(const char *text)
{
    if (strstr(tribus_error_text(), text) != NULL &&
        strchr(tribus_error_text(), '\n') == NULL)
        return true;
    fprintf(stderr, "error text: %s\n", tribus_error_text());
    return false;
}

/* First of all tests: nothing has loaded the library yet. */
static void open_when_the_library_is_missing_says_make_deps(void)
{
    const bytes b = model_of("Neg", 1, 2, 2);
    const char *file = file_of(b.at, b.n);
    const tribus_model_cfg not_onnx = {.library = "libm.so.6"};
    tribus_model_runtime_row row;
    tribus_model *m = NULL;

    CHECK(setenv("TRIBUS_ONNX_LIBRARY", "/nowhere/libonnxruntime.so", 1) == 0);
    CHECK(tribus_model_open(file, NULL, &m) == TRIBUS_UNSUPPORTED && m == NULL);
    CHECK(says("make deps") && says("/nowhere/libonnxruntime.so") && says("m.onnx"));
    CHECK(tribus_model_runtime(0, &row) == TRIBUS_OK && !row.present);
    CHECK(strstr(row.detail, "make deps") != NULL);
    CHECK(unsetenv("TRIBUS_ONNX_LIBRARY") == 0);
    CHECK(tribus_model_open(file, &not_onnx, &m) == TRIBUS_UNSUPPORTED && m == NULL);
    CHECK(says("libm.so.6 is not ONNX Runtime"));
}

static void open_when_the_file_is_no_model_says_why(void)
{
    const bytes b = model_of("Neg", 1, 2, 2);
    const bytes unknown_op = model_of("NoSuchOperation", 1, 2, 2);
    const tribus_model_cfg other = {.runtime = "tensorflow"};
    tribus_model *m = NULL;

    CHECK(tribus_model_open("/nowhere/m.onnx", NULL, &m) == TRIBUS_NOT_FOUND);
    CHECK(says("/nowhere/m.onnx"));
    CHECK(tribus_model_open("m.txt", NULL, &m) == TRIBUS_NOT_FOUND && says("m.txt"));
    CHECK(tribus_model_open(path, &other, &m) == TRIBUS_NOT_FOUND);
    CHECK(tribus_model_open(file_of("", 0), NULL, &m) == TRIBUS_BAD_DATA);
    CHECK(says("not an ONNX model"));
    CHECK(tribus_model_open(file_of("hello, world", 12), NULL, &m) == TRIBUS_BAD_DATA);
    CHECK(says("not an ONNX model") && says("m.onnx"));
    for (size_t n = 1; n < b.n; n += 7) /* truncated anywhere */
        CHECK(tribus_model_open(file_of(b.at, n), NULL, &m) == TRIBUS_BAD_DATA);
    CHECK(tribus_model_open(file_of(unknown_op.at, unknown_op.n), NULL, &m) ==
          TRIBUS_BAD_DATA);
    CHECK(says("NoSuchOperation") && m == NULL);
}

static tribus_status open_declared(const tribus_model_port *in, uint32_t ins,
                                   const tribus_model_port *out, uint32_t outs)
{
    const tribus_model_cfg cfg = {
        .inputs = in, .input_count = ins, .outputs = out, .output_count = outs};
    tribus_model *m = NULL;
    const tribus_status st = tribus_model_open(path, &cfg, &m);

    CHECK((st == TRIBUS_OK) == (m != NULL));
    tribus_model_close(m);
    return st;
}

static void open_when_ports_differ_from_the_declared_names_the_tensor(void)
{
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1}, i64 = {TRIBUS_DTYPE_INT, 64, 1};
    const tribus_model_port x = {"x", f32, 2, {-1, 4}}, y = {"y", f32, 2, {7, 4}};
    const tribus_model_port name = {"z", f32, 2, {-1, 4}}, type = {"x", i64, 2, {-1, 4}};
    const tribus_model_port rank = {"x", f32, 1, {4}}, size = {"y", f32, 2, {7, 5}};
    const bytes b = model_of("Neg", 1, -1, 4);

    (void)file_of(b.at, b.n);
    CHECK(open_declared(&x, 1, &y, 1) == TRIBUS_OK);
    CHECK(open_declared(&name, 1, &y, 1) == TRIBUS_BAD_DATA && says("wanted \"z\""));
    CHECK(says("the file has \"x\""));
    CHECK(open_declared(&type, 1, NULL, 0) == TRIBUS_BAD_DATA);
    CHECK(says("input x: wanted i64[?,4], the file has f32[?,4]"));
    CHECK(open_declared(&rank, 1, NULL, 0) == TRIBUS_BAD_DATA && says("wanted f32[4]"));
    CHECK(open_declared(NULL, 0, &size, 1) == TRIBUS_BAD_DATA);
    CHECK(says("output y: wanted f32[7,5], the file has f32[?,4]"));
    CHECK(open_declared(&x, 2, NULL, 0) == TRIBUS_BAD_DATA);
    CHECK(says("wanted 2 inputs, the file has 1"));
}

static void bind_when_a_tensor_does_not_fit_names_it(void)
{
    float a[12], b[12];
    tribus_model *m = neg(-1, 4);
    tribus_tensor x = over(a, 3, 4), y = over(b, 3, 4), bad;

    CHECK(tribus_model_run(m) == TRIBUS_BAD_ARG && says("run before bind"));
    CHECK(tribus_model_bind(m, &x, 1, &y, 0) == TRIBUS_BAD_ARG);
    bad = over(a, 4, 3);
    CHECK(tribus_model_bind(m, &bad, 1, &y, 1) == TRIBUS_BAD_ARG);
    CHECK(says("tensor x: wanted f32[?,4] on cpu:0, got f32[4,3] on cpu:0"));
    bad = over(b, 2, 4);
    CHECK(tribus_model_bind(m, &x, 1, &bad, 1) == TRIBUS_BAD_ARG);
    CHECK(says("tensor y") && says("n is 3 here"));
    bad = x;
    bad.strides[0] = 5;
    CHECK(tribus_model_bind(m, &bad, 1, &y, 1) == TRIBUS_BAD_ARG && says("not dense"));
    bad = x;
    bad.byte_offset = 2;
    CHECK(tribus_model_bind(m, &bad, 1, &y, 1) == TRIBUS_BAD_ARG && says("not aligned"));
    bad = x;
    bad.device_type = TRIBUS_DEVICE_CUDA;
    CHECK(tribus_model_bind(m, &bad, 1, &y, 1) == TRIBUS_BAD_ARG && says("on cuda:0"));
    bad = x;
    bad.dtype.bits = 64;
    CHECK(tribus_model_bind(m, &bad, 1, &y, 1) == TRIBUS_BAD_ARG && says("f64"));
    bad = x;
    bad.shape[0] = 0;
    CHECK(tribus_model_bind(m, &bad, 1, &y, 1) == TRIBUS_BAD_ARG && says("empty"));
    CHECK(tribus_model_bind(m, &x, 1, &y, 1) == TRIBUS_OK);
    CHECK(tribus_model_bind(m, &bad, 1, &y, 1) == TRIBUS_BAD_ARG);
    CHECK(tribus_model_run(m) == TRIBUS_BAD_ARG); /* a failed bind leaves nothing bound */
    tribus_model_close(m);
    tribus_model_close(NULL);
}

static void run_reads_and_writes_the_bound_addresses(void)
{
    float a[2][12], b[2][12];
    tribus_model *m = neg(-1, 4);
    uint64_t made, found;

    for (int round = 0; round < 10; round++) {
        const int slot = round % 2;
        const int64_t rows = round < 6 ? 3 : 2; /* another shape at the same address */
        const tribus_tensor x = over(a[slot], rows, 4), y = over(b[slot], rows, 4);

        for (int i = 0; i < 12; i++) {
            a[slot][i] = (float)(round * 100 + i);
            b[slot][i] = 7.0f;
        }
        CHECK(tribus_model_bind(m, &x, 1, &y, 1) == TRIBUS_OK);
        CHECK(tribus_model_run(m) == TRIBUS_OK);
        a[slot][0] += 1.0f; /* the next run must see this without another bind */
        CHECK(tribus_model_run(m) == TRIBUS_OK);
        for (int i = 0; i < 12; i++)
            CHECK(b[slot][i] == (i < rows * 4 ? -a[slot][i] : 7.0f));
    }
    tribus_model_binding_counts(m, &made, &found);
    CHECK(made == 4 && found == 6);
    tribus_model_unbind(m);
    CHECK(tribus_model_run(m) == TRIBUS_BAD_ARG);
    tribus_model_close(m);
}

static void bindings_past_the_limit_drop_the_least_recent(void)
{
    const bytes file = model_of("Neg", 1, -1, 4);
    const tribus_model_cfg cfg = {.bindings = 2, .threads = 2};
    float a[3][4], b[4];
    tribus_model *m;
    uint64_t made, found;
    static const int order[] = {0, 1, 0, 2, 0, 1};

    CHECK(tribus_model_open(file_of(file.at, file.n), &cfg, &m) == TRIBUS_OK);
    for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
        const tribus_tensor x = over(a[order[k]], 1, 4), y = over(b, 1, 4);

        a[order[k]][3] = (float)k;
        CHECK(tribus_model_bind(m, &x, 1, &y, 1) == TRIBUS_OK);
        CHECK(tribus_model_run(m) == TRIBUS_OK && b[3] == -(float)k);
    }
    tribus_model_binding_counts(m, &made, &found);
    CHECK(made == 4 && found == 2); /* 1 was dropped for 2 and made again; 0 stayed */
    tribus_model_close(m);
}

/* 32 MiB in and out: a copy of either would show in what the process takes from the system,
 * because the runtime keeps what it allocated. */
static void run_copies_neither_input_nor_output(void)
{
#ifdef SANITIZED
    printf("skip: the sanitizer's allocator does not say what is in use\n");
#else
    const int64_t rows = 2 << 20;
    float *a = malloc((size_t)rows * 16), *b = malloc((size_t)rows * 16);
    tribus_model *m = neg(-1, 4);
    tribus_tensor x, y;
    struct mallinfo2 before, after;

    CHECK(a != NULL && b != NULL);
    memset(a, 0, (size_t)rows * 16);
    memset(b, 1, (size_t)rows * 16);
    a[0] = 1.0f;
    x = over(a, rows, 4);
    y = over(b, rows, 4);
    before = mallinfo2();
    CHECK(tribus_model_bind(m, &x, 1, &y, 1) == TRIBUS_OK);
    CHECK(tribus_model_run(m) == TRIBUS_OK && tribus_model_run(m) == TRIBUS_OK);
    after = mallinfo2();
    CHECK(b[0] == -1.0f);
    CHECK(after.arena + after.hblkhd < before.arena + before.hblkhd + (1u << 20));
    tribus_model_close(m);
    free(a);
    free(b);
#endif
}

static void run_when_nothing_is_new_allocates_nothing_that_stays(void)
{
#ifndef SANITIZED
    float a[12] = {0}, b[12];
    tribus_model *m = neg(-1, 4);
    const tribus_tensor x = over(a, 3, 4), y = over(b, 3, 4);
    size_t used;

    for (int i = 0; i < 100; i++)
        CHECK(tribus_model_bind(m, &x, 1, &y, 1) == TRIBUS_OK &&
              tribus_model_run(m) == TRIBUS_OK);
    used = mallinfo2().uordblks;
    for (int i = 0; i < 10000; i++)
        CHECK(tribus_model_bind(m, &x, 1, &y, 1) == TRIBUS_OK &&
              tribus_model_run(m) == TRIBUS_OK);
    CHECK(mallinfo2().uordblks <= used + 4096);
    tribus_model_close(m);
#endif
}

static void open_when_another_library_is_loaded_is_refused(void)
{
    const bytes b = model_of("Neg", 1, 2, 2);
    const tribus_model_cfg cfg = {.library = "/nowhere/other.so"};
    tribus_model *m = NULL;

    CHECK(tribus_model_open(file_of(b.at, b.n), &cfg, &m) == TRIBUS_UNSUPPORTED);
    CHECK(says("/nowhere/other.so") && m == NULL);
}

int main(void)
{
    tribus_model_runtime_row row;

    CHECK(mkdtemp(folder) != NULL);
    CHECK(tribus_model_runtime(1000, &row) == TRIBUS_NOT_FOUND);
    open_when_the_library_is_missing_says_make_deps();
    CHECK(tribus_model_runtime(0, &row) == TRIBUS_OK);
    if (row.present) {
        open_when_the_file_is_no_model_says_why();
        open_when_ports_differ_from_the_declared_names_the_tensor();
        bind_when_a_tensor_does_not_fit_names_it();
        run_reads_and_writes_the_bound_addresses();
        bindings_past_the_limit_drop_the_least_recent();
        run_copies_neither_input_nor_output();
        run_when_nothing_is_new_allocates_nothing_that_stays();
        open_when_another_library_is_loaded_is_refused();
    }
    (void)unlink(path);
    (void)rmdir(folder);
    if (!row.present)
        SKIP(row.detail);
    return 0;
}
