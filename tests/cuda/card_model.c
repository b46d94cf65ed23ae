/* card_model.c -- run ONNX models on a card over given inputs, for tools/cuda_neural_test.py
 * to compare with double arithmetic.
 *
 * usage: card_model FOLDER     reads FOLDER/cases: a line for each model
 *                                MODEL IN:2,3 IN:4 > OUT:5,6
 *        card_model --probe      is there a card?
 *        card_model --risk MODEL ASSETS PATHS RUNS
 *                              times forecast -> mc_var_es -> CPU on one card
 *        card_model --time MODEL RUNS
 *                              times one run over random inputs, host memory to host memory
 *
 * Inputs and outputs are raw floats in host memory registered with the card. Every output is
 * poisoned before each run; each model runs twice and must give the same bits. Ends with 77
 * where there is no card. */
#include "base/clock.h"
#include "check.h"
#include "device/cuda_context.h"
#include "tribus/base.h"
#include "tribus/neural.h"

#include <sys/mman.h>

#define WAIT_NS INT64_C(20000000000)

static void good(tribus_status st, const char *what)
{
    if (st == TRIBUS_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, tribus_status_name(st), tribus_error_text());
    exit(1);
}

static unsigned char *arena; /* registered; handed out from the front */
static size_t arena_bytes = (size_t)64 << 20, arena_used;
static tribus_device *card;

static void *take(size_t bytes)
{
    void *at = arena + arena_used;

    arena_used += (bytes + 255) / 256 * 256;
    CHECK(arena_used <= arena_bytes);
    return at;
}

static void open_card(void)
{
    const tribus_status st = tribus_device_open("cuda:0", &card);
    void *data;

    if (st == TRIBUS_UNSUPPORTED)
        SKIP(tribus_error_text());
    good(st, "open");
    arena =
        mmap(NULL, arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(arena != MAP_FAILED);
    good(tribus_device_register(card, arena, arena_bytes, &data), "register");
    CHECK(data == (void *)arena);
}

/* A tensor of the arena. */
static tribus_tensor tensor_of(const char *dtype, int32_t ndim, const int64_t *shape)
{
    tribus_dtype d;
    tribus_tensor t;
    size_t bytes;

    good(tribus_dtype_parse(dtype, &d), "dtype");
    bytes = tribus_dtype_bytes(d);
    for (int32_t i = 0; i < ndim; i++)
        bytes *= (size_t)shape[i];
    good(tribus_tensor_init(&t, d, ndim, shape, take(bytes), bytes), "tensor");
    t.device_type = TRIBUS_DEVICE_CUDA;
    t.device_index = 0;
    return t;
}

/* "name:2,3" */
static tribus_tensor parse(char *word)
{
    int64_t shape[TRIBUS_TENSOR_MAX_DIMS];
    char *at = strchr(word, ':');
    int32_t ndim = 0;

    CHECK(at != NULL);
    *at++ = '\0';
    while (*at != '\0' && ndim < TRIBUS_TENSOR_MAX_DIMS) {
        shape[ndim++] = strtoll(at, &at, 10);
        at += *at == ',' ? 1 : 0;
    }
    return tensor_of("f32", ndim, shape);
}

static size_t bytes_of(const tribus_tensor *t)
{
    return (size_t)tribus_tensor_elements(t) * 4;
}

static void transfer(const char *folder, const char *name, const char *mode,
                     const tribus_tensor *t)
{
    char path[512];
    FILE *f;
    size_t n;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, mode);
    CHECK(f != NULL);
    n = *mode == 'r' ? fread(t->data, 1, bytes_of(t), f)
                     : fwrite(t->data, 1, bytes_of(t), f);
    CHECK(n == bytes_of(t));
    CHECK(fclose(f) == 0);
}

static void run_once(tribus_model *model, const tribus_tensor *in, uint32_t ins,
                     const tribus_tensor *out, uint32_t outs)
{
    for (uint32_t i = 0; i < outs; i++)
        memset(out[i].data, 0xff, bytes_of(&out[i])); /* NaN */
    good(tribus_model_bind(model, in, ins, out, outs), "bind");
    good(tribus_model_run(model), "run");
    good(tribus_device_synchronise_wait(card, WAIT_NS), "wait");
}

static void run_case(const char *folder, char *line)
{
    tribus_model_cfg cfg;
    tribus_model *model = NULL;
    tribus_tensor in[8], out[8];
    char *names[16], path[512], *save = NULL;
    const char *file = strtok_r(line, " \n", &save);
    uint32_t ins = 0, outs = 0;
    bool behind = false;
    uint64_t made, found;

    arena_used = 0;
    memset(&cfg, 0, sizeof(cfg));
    cfg.device = card;
    for (char *w = strtok_r(NULL, " \n", &save); w != NULL;
         w = strtok_r(NULL, " \n", &save)) {
        if (strcmp(w, ">") == 0) {
            behind = true;
            continue;
        }
        CHECK(ins < 8 && outs < 8);
        names[ins + outs] = w;
        if (behind) {
            out[outs++] = parse(w);
        } else {
            in[ins] = parse(w);
            transfer(folder, w, "rb", &in[ins++]);
        }
    }
    (void)snprintf(path, sizeof(path), "%s/%s", folder, file);
    if (tribus_model_open(path, &cfg, &model) != TRIBUS_OK) {
        printf("%s refused: %s\n", file, tribus_error_text());
        return;
    }
    run_once(model, in, ins, out, outs);
    for (uint32_t i = 0; i < outs; i++)
        transfer(folder, names[ins + i], "wb", &out[i]);
    run_once(model, in, ins, out, outs);
    tribus_model_binding_counts(model, &made, &found);
    CHECK(made == 1 && found == 1);
    for (uint32_t i = 0; i < outs; i++) {
        void *first = malloc(bytes_of(&out[i]));
        const tribus_tensor copy = {
            .data = first, .dtype = out[i].dtype, .ndim = out[i].ndim};
        tribus_tensor t = copy;

        CHECK(first != NULL);
        memcpy(t.shape, out[i].shape, sizeof(t.shape));
        transfer(folder, names[ins + i], "rb", &t);
        CHECK(memcmp(first, out[i].data, bytes_of(&out[i])) == 0);
        free(first);
    }
    tribus_model_close(model);
    printf("%s ran\n", file);
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : (x > y ? 1 : 0);
}

/* Copy to the card's memory at `offset`; where that is. */
static void *put(const tribus_device_memory *to, size_t offset, const void *from,
                 size_t bytes)
{
    const tribus_cuda_context *c = (const tribus_cuda_context *)card;
    void *at = (unsigned char *)to->data + offset;

    CHECK(offset + bytes <= to->bytes);
    CHECK(c->cu->memcpy_htod_async((tribus_cu_ptr)(uintptr_t)at, from, bytes,
                                   c->main.stream) == TRIBUS_CU_OK);
    good(tribus_device_synchronise_wait(card, WAIT_NS), "copy");
    return at;
}

/* The pipeline ml-risk without its processes: returns in host memory, forecast on the card,
 * risk in host memory. */
static void time_risk(const char *path, int64_t assets, double paths, uint32_t runs)
{
    const int64_t window[] = {assets, 32}, two[] = {assets, 2}, square[] = {assets, assets};
    const int64_t four[] = {4};
    tribus_model_cfg cfg;
    tribus_model *model;
    tribus_kernel *kernel;
    tribus_tensor returns = tensor_of("f32", 2, window),
                  forecast = tensor_of("f32", 2, two);
    tribus_tensor input[3], risk = tensor_of("f64", 1, four);
    tribus_device_memory memory;
    int64_t *took = calloc(runs, sizeof(*took));
    uint64_t seed = check_seed();
    float *values = returns.data;
    int fd = -1;
    double *got = risk.data;

    CHECK(took != NULL);
    memset(&cfg, 0, sizeof(cfg));
    cfg.device = card;
    for (int64_t i = 0; i < assets * 32; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        values[i] = (float)((double)(int64_t)seed / 9.3e20);
    }
    input[1] = tensor_of("f32", 2, square);
    input[2] = tensor_of("f32", 1, four);
    input[2].shape[0] = assets;
    input[2].data = take((size_t)assets * 4);
    values = input[1].data;
    for (int64_t i = 0; i < assets * assets; i++)
        values[i] = i / assets == i % assets ? 1.0f : 0.0f;
    for (int64_t i = 0; i < assets; i++)
        ((float *)input[2].data)[i] = 100.0f;
    /* What stays on the card lies on the card: the forecast, the factor, the weights. */
    good(tribus_device_memory_create(card, "risk", (size_t)16 << 20, &fd, &memory),
         "memory");
    good(tribus_model_open(path, &cfg, &model), "model");
    good(tribus_kernel_open(card, "mc_var_es", &kernel), "kernel");
    good(tribus_kernel_set(kernel, "paths", paths), "paths");
    good(tribus_kernel_set(kernel, "nu", 5), "nu");
    good(tribus_kernel_set(kernel, "confidence", 0.99), "confidence");
    forecast.data = memory.data;
    input[0] = forecast;
    input[1].data = put(&memory, 1u << 20, input[1].data, (size_t)(assets * assets) * 4);
    input[2].data = put(&memory, 1u << 19, input[2].data, (size_t)assets * 4);
    good(tribus_model_bind(model, &returns, 1, &forecast, 1), "bind model");
    good(tribus_kernel_bind(kernel, input, 3, &risk, 1), "bind kernel");
    for (uint32_t i = 0; i < runs; i++) {
        int64_t start;

        memset(got, 0xff, 32);
        start = tribus_now_ns();
        good(tribus_model_run(model), "run model");
        good(tribus_kernel_run(kernel), "run kernel");
        good(tribus_device_synchronise_wait(card, WAIT_NS), "wait");
        took[i] = tribus_now_ns() - start;
        CHECK(got[0] > 0.0 && got[1] >= got[0]);
    }
    qsort(took, runs, sizeof(*took), compare);
    printf(
        "{\"bench\":\"cuda\",\"case\":\"ml-risk %lld assets %.0f paths, forecast to CPU\","
        "\"p50_ns\":%lld,\"p99_ns\":%lld,\"runs\":%u,\"var\":%.9g,\"es\":%.9g}\n",
        (long long)assets, paths, (long long)took[runs / 2],
        (long long)took[runs - 1 - runs / 100], runs, got[0], got[1]);
    tribus_kernel_close(kernel);
    tribus_model_close(model);
    tribus_device_memory_close(card, &memory);
    free(took);
}

static void print_times(const char *name, int64_t *took, uint32_t runs)
{
    qsort(took, runs, sizeof(*took), compare);
    printf("{\"bench\":\"cuda\",\"case\":\"%s\",\"p50_ns\":%lld,\"p99_ns\":%lld,"
           "\"runs\":%u}\n",
           name, (long long)took[runs / 2], (long long)took[runs - 1 - runs / 100], runs);
}

/* Every open dimension is 1. */
static void time_model(const char *path, uint32_t runs)
{
    tribus_model_cfg cfg;
    tribus_model *model;
    tribus_tensor t[2][8];
    uint32_t count[2];
    int64_t *took = calloc(runs, sizeof(*took));
    uint64_t seed = check_seed();

    CHECK(took != NULL && runs > 0);
    memset(&cfg, 0, sizeof(cfg));
    cfg.device = card;
    good(tribus_model_open(path, &cfg, &model), "model");
    for (int side = 0; side < 2; side++) {
        const tribus_model_port *ports = side == 0 ? tribus_model_inputs(model, &count[0])
                                                   : tribus_model_outputs(model, &count[1]);

        CHECK(count[side] <= 8);
        for (uint32_t i = 0; i < count[side]; i++) {
            int64_t shape[TRIBUS_TENSOR_MAX_DIMS];

            for (int32_t d = 0; d < ports[i].ndim; d++)
                shape[d] = ports[i].shape[d] < 0 ? 1 : ports[i].shape[d];
            t[side][i] = tensor_of("f32", ports[i].ndim, shape);
        }
    }
    for (uint32_t r = 0; r < runs; r++) {
        float *x = t[0][0].data;
        int64_t start;

        for (size_t i = 0; i < bytes_of(&t[0][0]) / 4; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            x[i] = (float)((double)(int64_t)seed / 9.3e18);
        }
        start = tribus_now_ns();
        run_once(model, t[0], count[0], t[1], count[1]);
        took[r] = tribus_now_ns() - start;
    }
    CHECK(isfinite(*(float *)t[1][0].data));
    print_times(path, took, runs);
    tribus_model_close(model);
    free(took);
}

int main(int argc, char **argv)
{
    char path[512], line[4096];
    FILE *f;

    open_card();
    if (argc < 2)
        SKIP("needs models: tools/cuda_neural_test.sh");
    if (strcmp(argv[1], "--probe") == 0) {
        printf("there is a card\n");
    } else if (strcmp(argv[1], "--time") == 0) {
        CHECK(argc == 4);
        time_model(argv[2], (uint32_t)atoi(argv[3]));
    } else if (strcmp(argv[1], "--risk") == 0) {
        CHECK(argc == 6);
        time_risk(argv[2], atoll(argv[3]), atof(argv[4]), (uint32_t)atoi(argv[5]));
    } else {
        (void)snprintf(path, sizeof(path), "%s/cases", argv[1]);
        f = fopen(path, "r");
        CHECK(f != NULL);
        while (fgets(line, sizeof(line), f) != NULL)
            run_case(argv[1], line);
        (void)fclose(f);
    }
    tribus_device_unregister(card, arena);
    tribus_device_close(card);
    return 0;
}
