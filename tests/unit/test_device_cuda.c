/* test_device_cuda.c -- the CUDA device on the fake driver: memory by descriptor, registered
 * host memory, the kernel's launches; every call of the driver failing once; nothing leaks. */
#include "device/cuda_abi.h"
#include "device/cuda_graph.h"
#include "device/cuda_image.h"
#include "device/cuda_mc.h"
#include "fake_card.h"
#include "tribus/base.h"
#include "tribus/device.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static void row_describes_the_card(void)
{
    tribus_device_row rows[8];
    const uint32_t n = tribus_device_list(rows, 8);

    CHECK(n == 2);
    CHECK_TEXT(rows[1].name, "cuda:0");
    CHECK(rows[1].present && rows[1].device_type == TRIBUS_DEVICE_CUDA);
    CHECK(strstr(rows[1].detail, "a card made of host memory, 1 GiB") != NULL);
}

static void open_when_index_is_too_high_is_unsupported(void)
{
    tribus_device *d = NULL;

    CHECK(tribus_device_open("cuda:1", &d) == TRIBUS_UNSUPPORTED && d == NULL);
    CHECK(strstr(tribus_error_text(), "finds 1 device") != NULL);
}

static void memory_outlives_its_maker(const fake_ops *fake)
{
    tribus_device *maker, *reader;
    tribus_device_memory a, b;
    int fd = -1;

    CHECK(tribus_device_open("cuda", &maker) == TRIBUS_OK);
    CHECK(tribus_device_memory_create(maker, "t", 100000, &fd, &a) == TRIBUS_OK);
    CHECK(a.host == NULL && a.data != NULL && a.bytes == 100000 && a.writable);
    memcpy(a.data, "over", 5); /* the fake's card is host memory */
    tribus_device_memory_close(maker, &a);
    tribus_device_close(maker);
    CHECK(fake->live() == 0);

    CHECK(tribus_device_open("cuda:0", &reader) == TRIBUS_OK);
    CHECK(tribus_device_memory_open(reader, fd, 100000, false, &b) == TRIBUS_OK);
    CHECK_TEXT((const char *)b.data, "over");
    CHECK(!b.writable);
    CHECK(close(fd) == 0);
    CHECK_TEXT((const char *)b.data, "over");
    tribus_device_memory_close(reader, &b);
    tribus_device_close(reader);
    CHECK(fake->live() == 0);
}

static void count_imports(const char *symbol, void *context)
{
    if (strcmp(symbol, "cuMemImportFromShareableHandle") == 0)
        ++*(int *)context;
}

static void open_of_the_same_descriptor_imports_once(const fake_ops *fake)
{
    tribus_device *d;
    tribus_device_memory a, b, c, e;
    int fd = -1, imports = 0;

    CHECK(tribus_device_open("cuda", &d) == TRIBUS_OK);
    CHECK(tribus_device_memory_create(d, "t", 4096, &fd, &a) == TRIBUS_OK);
    fake->hook(count_imports, &imports);
    CHECK(tribus_device_memory_open(d, fd, 4096, false, &b) == TRIBUS_OK);
    CHECK(tribus_device_memory_open(d, fd, 4096, false, &c) == TRIBUS_OK);
    CHECK(imports == 1 && b.data == c.data && b.data != a.data);
    /* The writable mapping is there already. */
    CHECK(tribus_device_memory_open(d, fd, 4096, true, &e) == TRIBUS_OK);
    CHECK(imports == 1 && e.data == a.data);
    memcpy(a.data, "once", 5);
    tribus_device_memory_close(d, &b);
    CHECK_TEXT((const char *)c.data, "once");
    fake->hook(NULL, NULL);
    CHECK(close(fd) == 0);
    tribus_device_close(d); /* what is still open is unmapped */
    CHECK(fake->live() == 0);
}

static void open_when_memory_is_smaller_than_said_is_corrupt(const fake_ops *fake)
{
    tribus_device *d;
    tribus_device_memory a, b;
    int fd = -1, file;

    CHECK(tribus_device_open("cuda", &d) == TRIBUS_OK);
    CHECK(tribus_device_memory_create(d, "t", 4096, &fd, &a) == TRIBUS_OK);
    CHECK(tribus_device_memory_open(d, fd, 1 << 20, true, &b) == TRIBUS_CORRUPT);
    file = open("/dev/null", O_RDONLY);
    CHECK(file >= 0);
    CHECK(tribus_device_memory_open(d, file, 4096, true, &b) != TRIBUS_OK);
    CHECK(close(file) == 0 && close(fd) == 0);
    tribus_device_memory_close(d, &a);
    tribus_device_close(d);
    CHECK(fake->live() == 0);
}

static void register_again_only_counts(const fake_ops *fake)
{
    _Alignas(4096) static unsigned char mem[8192];
    tribus_device *d;
    void *x, *y;
    int live;

    CHECK(tribus_device_open("cuda", &d) == TRIBUS_OK);
    live = fake->live();
    CHECK(tribus_device_register(d, mem, sizeof(mem), &x) == TRIBUS_OK);
    CHECK(tribus_device_register(d, mem, 4096, &y) == TRIBUS_OK && x == y);
    CHECK(fake->live() == live + 1);
    tribus_device_unregister(d, mem);
    CHECK(fake->live() == live + 1);
    tribus_device_unregister(d, mem);
    CHECK(fake->live() == live);
    tribus_device_unregister(d, mem);
    tribus_device_close(d);
    CHECK(fake->live() == 0);
}

/* ---- a kernel: which launches, in which order, with what ---- */

static struct {
    pthread_mutex_t lock;
    char order[256];
    tribus_cuda_mc_args args;
} ran = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void note(const char *name, const void *argument)
{
    (void)pthread_mutex_lock(&ran.lock);
    (void)strcat(strcat(ran.order, name), " ");
    memcpy(&ran.args, argument, sizeof(ran.args));
    (void)pthread_mutex_unlock(&ran.lock);
}

#define NOTED(name)                                                                        \
    static void noted_##name(const void *argument, fake_grid grid)                         \
    {                                                                                      \
        CHECK(grid.threads == TRIBUS_CUDA_MC_THREADS && grid.blocks > 0);                  \
        note(#name, argument);                                                             \
    }
NOTED(load)
NOTED(paths)
NOTED(middle)
NOTED(low)
NOTED(tail)

static void noted_risk(const void *argument, fake_grid grid)
{
    const tribus_cuda_mc_args *a = argument;

    CHECK(grid.blocks == 1);
    note("risk", argument);
    for (int i = 0; i < 4; i++)
        a->risk[i] = i + 1;
}

static void kernel_launches_in_order_on_the_given_tensors(const fake_ops *fake)
{
    static const struct {
        const char *name;
        fake_kernel_fn fn;
    } kernels[] = {
        {"tribus_cuda_mc_load", noted_load},     {"tribus_cuda_mc_paths", noted_paths},
        {"tribus_cuda_mc_middle", noted_middle}, {"tribus_cuda_mc_low", noted_low},
        {"tribus_cuda_mc_tail", noted_tail},     {"tribus_cuda_mc_risk", noted_risk}};
    static float forecast[10], factor[25], weights[5];
    static double risk[4];
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1}, f64 = {TRIBUS_DTYPE_FLOAT, 64, 1};
    const int64_t n2[] = {5, 2}, nn[] = {5, 5}, four[] = {4};
    tribus_tensor in[3], out;
    tribus_cuda_graph_counts counts;
    tribus_device *d;
    tribus_kernel *k;

    if (tribus_cuda_images[0].name == NULL) {
        printf("this build has no kernels for NVIDIA cards: launches not tested\n");
        return;
    }
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
        fake->kernel(kernels[i].name, kernels[i].fn, sizeof(tribus_cuda_mc_args));
    CHECK(tribus_tensor_init(&in[0], f32, 2, n2, forecast, sizeof(forecast)) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&in[1], f32, 2, nn, factor, sizeof(factor)) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&in[2], f32, 1, n2, weights, sizeof(weights)) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&out, f64, 1, four, risk, sizeof(risk)) == TRIBUS_OK);
    for (int i = 0; i < 3; i++)
        in[i].device_type = TRIBUS_DEVICE_CUDA;
    CHECK(tribus_device_open("cuda", &d) == TRIBUS_OK);
    for (uint32_t i = 0; tribus_kernel_list(i) != NULL; i++) { /* every row has a kernel */
        CHECK(tribus_kernel_open(d, tribus_kernel_list(i)->name, &k) == TRIBUS_OK);
        tribus_kernel_close(k);
    }
    CHECK(tribus_kernel_open(d, "mc_var_es", &k) == TRIBUS_OK);
    CHECK(tribus_kernel_set(k, "exact", 1) == TRIBUS_OK);
    CHECK(tribus_kernel_bind(k, in, 3, &out, 1) == TRIBUS_BAD_ARG); /* risk is on the cpu */
    out.device_type = TRIBUS_DEVICE_CUDA;
    CHECK(tribus_kernel_bind(k, in, 3, &out, 1) == TRIBUS_OK);
    CHECK(tribus_kernel_run(k) == TRIBUS_OK);
    CHECK(tribus_device_synchronise_wait(d, INT64_C(10000000000)) == TRIBUS_OK);
    CHECK_TEXT(ran.order, "load paths middle low tail risk ");
    CHECK(ran.args.forecast == forecast && ran.args.factor == factor &&
          ran.args.weights == weights && ran.args.risk == risk);
    CHECK(ran.args.assets == 5 && ran.args.paths == 10000 && ran.args.rank == 500);
    CHECK(risk[3] == 4.0);
    /* Again the same: captured; then a graph, until something changes. */
    for (uint32_t i = 0; i < 5; i++) {
        ran.order[0] = '\0';
        if (i == 3)
            CHECK(tribus_kernel_set(k, "seed", 7) == TRIBUS_OK);
        CHECK(tribus_kernel_run(k) == TRIBUS_OK);
        CHECK(tribus_device_synchronise_wait(d, INT64_C(60000000000)) == TRIBUS_OK);
        CHECK_TEXT(ran.order, "load paths middle low tail risk ");
        CHECK((ran.args.seed == 7) == (i >= 3));
        counts = tribus_cuda_graph_get_counts((tribus_cuda_context *)d);
        CHECK(counts.launched == (i < 3 ? i + 1 : i) && counts.queued == (i < 3 ? 1u : 2u));
    }
    tribus_kernel_close(k);
    tribus_device_close(d);
    CHECK(fake->live() == 0);
}

/* A capture that fails leaves the run as it was without graphs. */
static void a_run_that_cannot_be_captured_is_queued(const fake_ops *fake)
{
    static const char *const calls[] = {"cuStreamBeginCapture_v2", "cuStreamEndCapture",
                                        "cuGraphInstantiateWithFlags"};
    static float forecast[10], factor[25], weights[5];
    static double risk[4];
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1}, f64 = {TRIBUS_DTYPE_FLOAT, 64, 1};
    const int64_t n2[] = {5, 2}, nn[] = {5, 5}, four[] = {4};
    tribus_tensor in[3], out;

    if (tribus_cuda_images[0].name == NULL)
        return;
    CHECK(tribus_tensor_init(&in[0], f32, 2, n2, forecast, sizeof(forecast)) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&in[1], f32, 2, nn, factor, sizeof(factor)) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&in[2], f32, 1, n2, weights, sizeof(weights)) == TRIBUS_OK);
    CHECK(tribus_tensor_init(&out, f64, 1, four, risk, sizeof(risk)) == TRIBUS_OK);
    for (int i = 0; i < 3; i++)
        in[i].device_type = TRIBUS_DEVICE_CUDA;
    out.device_type = TRIBUS_DEVICE_CUDA;
    for (size_t call = 0; call < 3; call++) {
        tribus_device *d;
        tribus_kernel *k;

        CHECK(tribus_device_open("cuda", &d) == TRIBUS_OK);
        CHECK(tribus_kernel_open(d, "mc_var_es", &k) == TRIBUS_OK);
        CHECK(tribus_kernel_set(k, "exact", 1) == TRIBUS_OK);
        CHECK(tribus_kernel_bind(k, in, 3, &out, 1) == TRIBUS_OK);
        fake->reset();
        fake->fail(calls[call], 1, TRIBUS_CU_NOT_SUPPORTED);
        for (uint32_t i = 0; i < 4; i++) {
            ran.order[0] = '\0';
            CHECK(tribus_kernel_run(k) == TRIBUS_OK);
            CHECK(tribus_device_synchronise_wait(d, INT64_C(60000000000)) == TRIBUS_OK);
            CHECK_TEXT(ran.order, "load paths middle low tail risk ");
        }
        CHECK(fake->failed());
        CHECK(tribus_cuda_graph_get_counts((tribus_cuda_context *)d).launched == 0);
        fake->reset();
        tribus_kernel_close(k);
        tribus_device_close(d);
        CHECK(fake->live() == 0);
    }
}

/* ---- failures ---- */

/* What a host does with a device; stops at the first fault. */
static tribus_status use_a_device(void)
{
    _Alignas(4096) static unsigned char mem[4096];
    tribus_device *d = NULL;
    tribus_device_memory a = {0}, b = {0};
    void *data;
    int fd = -1;
    tribus_status st = tribus_device_open("cuda", &d);

    if (st != TRIBUS_OK)
        return st;
    st = tribus_device_memory_create(d, "t", 4096, &fd, &a);
    if (st == TRIBUS_OK)
        st = tribus_device_memory_open(d, fd, 4096, false, &b);
    if (st == TRIBUS_OK) {
        st = tribus_device_register(d, mem, sizeof(mem), &data);
        if (st == TRIBUS_OK)
            tribus_device_unregister(d, mem);
    }
    if (st == TRIBUS_OK)
        st = tribus_device_synchronise_wait(d, INT64_C(1000000000));
    tribus_device_memory_close(d, &b);
    tribus_device_memory_close(d, &a);
    if (fd >= 0)
        (void)close(fd);
    tribus_device_close(d);
    return st;
}

static void
every_call_that_fails_is_a_fault_with_a_text_and_leaks_nothing(const fake_ops *fake)
{
    int failed = 0;

    for (int nth = 1; nth < 1000; nth++) {
        tribus_status st;

        fake->reset();
        fake->fail(NULL, nth, nth % 2 == 0 ? TRIBUS_CU_OUT_OF_MEMORY : 719);
        tribus_error_clear();
        st = use_a_device();
        if (!fake->failed())
            break;
        failed++;
        /* Only what is done on the way out may fail unseen. */
        if (st != TRIBUS_OK)
            CHECK(tribus_error_text()[0] != '\0');
        CHECK(fake->live() == 0);
    }
    fake->reset();
    printf("%d calls failed in turn\n", failed);
    CHECK(failed > 20 && failed < 999);
    CHECK(use_a_device() == TRIBUS_OK);
}

int main(void)
{
    const fake_ops *fake = fake_card();

    row_describes_the_card();
    open_when_index_is_too_high_is_unsupported();
    memory_outlives_its_maker(fake);
    open_of_the_same_descriptor_imports_once(fake);
    open_when_memory_is_smaller_than_said_is_corrupt(fake);
    register_again_only_counts(fake);
    kernel_launches_in_order_on_the_given_tensors(fake);
    a_run_that_cannot_be_captured_is_queued(fake);
    every_call_that_fails_is_a_fault_with_a_text_and_leaks_nothing(fake);
    return 0;
}
