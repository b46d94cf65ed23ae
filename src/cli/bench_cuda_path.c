/* bench_cuda_path.c -- the ways round, through the host and through Redis; a kernel by itself;
 * a card kept busy. */
#include "cli/bench_cuda.h"

#include "base/clock.h"
#include "base/error.h"
#include "cli/bench_paths.h"
#include "monitor/nvml.h"

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ASSETS       439u
#define REDIS_ROUNDS 200u
#define BUSY_BYTES   ((size_t)64 << 20)
#define AHEAD_EACH   16 /* runs to one event, of which AHEAD_EVENTS are under way */
#define AHEAD_EVENTS 4u

/* ---- through the host ---- */

tribus_status tribus_bench_cuda_copies(tribus_bench_cuda *b,
                                       const tribus_device_memory *tensor, size_t bytes,
                                       double bus_ns)
{
    const uint32_t samples = bytes > (size_t)16 << 20 ? 10 : REDIS_ROUNDS;
    void *data = NULL, *host = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    const tribus_cu_ptr at = (tribus_cu_ptr)(uintptr_t)tensor->data;
    tribus_status st;

    if (host == MAP_FAILED)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", bytes);
    st = tribus_cuda_memory_register(b->c, host, bytes, &data);
    for (uint32_t i = 0; st == TRIBUS_OK && i < samples; i++) {
        const int64_t start_ns = tribus_now_ns();
        tribus_cu_result result =
            b->c->cu->memcpy_dtoh_async(host, at, bytes, b->c->main.stream);

        st = tribus_cuda_context_check(b->c, result, "copy to the host");
        if (st == TRIBUS_OK)
            st = tribus_cuda_stream_wait(&b->c->main, TRIBUS_BENCH_CUDA_WAIT_NS);
        if (st == TRIBUS_OK)
            st = tribus_cuda_context_check(
                b->c, b->c->cu->memcpy_htod_async(at, host, bytes, b->other.stream),
                "copy to the card");
        if (st == TRIBUS_OK)
            st = tribus_cuda_stream_wait(&b->other, TRIBUS_BENCH_CUDA_WAIT_NS);
        b->ns[i] = (double)(tribus_now_ns() - start_ns);
    }
    if (st == TRIBUS_OK)
        (void)tribus_bench_cuda_report(b, "copies", "through host", bytes, bus_ns, samples);
    tribus_cuda_memory_unregister(b->c, host);
    (void)munmap(host, bytes);
    return st;
}

/* ---- through Redis, as JSON ---- */

typedef struct redis_way {
    redisContext *publish, *subscribed;
    float *host; /* registered */
    size_t count;
} redis_way;

static tribus_status lost(const redisContext *c)
{
    return tribus_error_set(TRIBUS_SYSTEM, "redis: %s",
                            c == NULL              ? "no memory"
                            : c->errstr[0] != '\0' ? c->errstr
                                                   : "lost");
}

static tribus_status say(redis_way *w)
{
    json_t *array = json_array(), *object;
    redisReply *reply = NULL;
    char *text;

    for (size_t i = 0; i < w->count; i++)
        (void)json_array_append_new(array, json_real((double)w->host[i]));
    object = json_pack("{s:s, s:o}", "type", "gpu_computation", "data", array);
    text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    if (text != NULL)
        reply =
            redisCommand(w->publish, "PUBLISH tribus-bench-cuda %b", text, strlen(text));
    free(text);
    json_decref(object);
    if (reply == NULL)
        return lost(w->publish);
    freeReplyObject(reply);
    return TRIBUS_OK;
}

static tribus_status hear(redis_way *w)
{
    redisReply *reply = NULL;
    const json_t *array;
    json_t *object;
    tribus_status st = TRIBUS_OK;

    if (redisGetReply(w->subscribed, (void **)&reply) != REDIS_OK)
        return lost(w->subscribed);
    object = reply->type == REDIS_REPLY_ARRAY && reply->elements == 3
                 ? json_loadb(reply->element[2]->str, reply->element[2]->len, 0, NULL)
                 : NULL;
    array = json_object_get(object, "data");
    if (json_array_size(array) != w->count)
        st = tribus_error_set(TRIBUS_BAD_DATA, "redis: a message does not parse");
    for (size_t i = 0; st == TRIBUS_OK && i < w->count; i++)
        w->host[i] = (float)json_number_value(json_array_get(array, i));
    json_decref(object);
    freeReplyObject(reply);
    return st;
}

static tribus_status copy_tensor(tribus_bench_cuda *b, tribus_cuda_stream *s,
                                 const tribus_device_memory *tensor, redis_way *w,
                                 bool to_card)
{
    const tribus_cu_ptr at = (tribus_cu_ptr)(uintptr_t)tensor->data;
    const size_t bytes = w->count * sizeof(float);
    tribus_status st = tribus_cuda_context_check(
        b->c,
        to_card ? b->c->cu->memcpy_htod_async(at, w->host, bytes, s->stream)
                : b->c->cu->memcpy_dtoh_async(w->host, at, bytes, s->stream),
        "copy a tensor");

    return st == TRIBUS_OK ? tribus_cuda_stream_wait(s, TRIBUS_BENCH_CUDA_WAIT_NS) : st;
}

/* The same numbers come out as went in, or the row is none. */
static tribus_status redis_rounds(tribus_bench_cuda *b, const tribus_device_memory *tensor,
                                  redis_way *w, uint32_t rounds)
{
    uint64_t sum = 0;
    tribus_status st;

    for (size_t i = 0; i < w->count; i++)
        w->host[i] = (float)rand() / 1048573.0f; /* any numbers with all their digits */
    for (size_t i = 0; i < w->count; i++)
        sum += (uint64_t)(w->host[i] * 1024.0f);
    st = copy_tensor(b, &b->c->main, tensor, w, true);
    for (uint32_t i = 0; st == TRIBUS_OK && i < rounds; i++) {
        const int64_t start_ns = tribus_now_ns();

        st = copy_tensor(b, &b->c->main, tensor, w, false);
        if (st == TRIBUS_OK)
            st = say(w);
        if (st == TRIBUS_OK)
            st = hear(w);
        if (st == TRIBUS_OK)
            st = copy_tensor(b, &b->other, tensor, w, true);
        b->ns[i] = (double)(tribus_now_ns() - start_ns);
    }
    if (st == TRIBUS_OK)
        st = copy_tensor(b, &b->c->main, tensor, w, false);
    for (size_t i = 0; i < w->count; i++)
        sum -= (uint64_t)(w->host[i] * 1024.0f);
    if (st == TRIBUS_OK && sum != 0)
        st = tribus_error_set(TRIBUS_CORRUPT, "redis: other numbers came than were sent");
    return st;
}

/* One thread publishes and hears: a second process would add its wake-up to this way. */
tribus_status tribus_bench_cuda_redis(tribus_bench_cuda *b,
                                      const tribus_device_memory *tensor, size_t bytes,
                                      double bus_ns)
{
    const uint32_t rounds = bytes > 65536 ? 20 : REDIS_ROUNDS;
    tribus_bench_redis server;
    redis_way w = {.count = bytes / sizeof(float)};
    redisReply *reply;
    void *data = NULL, *host;
    tribus_status st;

    if (!tribus_bench_redis_start("bench cuda", b->redis_server, &server))
        return TRIBUS_OK; /* it said so, and the other rows are still wanted */
    w.publish = redisConnect("127.0.0.1", server.port);
    w.subscribed = redisConnect("127.0.0.1", server.port);
    host = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    st = host == MAP_FAILED ? tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", bytes)
                            : tribus_cuda_memory_register(b->c, host, bytes, &data);
    w.host = host;
    if (st == TRIBUS_OK && (w.publish == NULL || w.publish->err != 0))
        st = lost(w.publish);
    reply = st == TRIBUS_OK && w.subscribed != NULL
                ? redisCommand(w.subscribed, "SUBSCRIBE tribus-bench-cuda")
                : NULL;
    if (st == TRIBUS_OK && reply == NULL)
        st = lost(w.subscribed);
    if (reply != NULL)
        freeReplyObject(reply);
    if (st == TRIBUS_OK)
        st = redis_rounds(b, tensor, &w, rounds);
    if (st == TRIBUS_OK) {
        const double p50 = tribus_bench_cuda_report(b, "redis-json", "through redis", bytes,
                                                    bus_ns, rounds);

        tribus_bench_cuda_goal(b,
                               bytes > 65536 ? "1 MiB through Redis over hand-off"
                                             : "4 KiB through Redis over hand-off",
                               p50 / bus_ns, "x", TRIBUS_BENCH_CUDA_AT_LEAST, 10.0);
    }
    if (data != NULL)
        tribus_cuda_memory_unregister(b->c, host);
    if (host != MAP_FAILED)
        (void)munmap(host, bytes);
    if (w.publish != NULL)
        redisFree(w.publish);
    if (w.subscribed != NULL)
        redisFree(w.subscribed);
    tribus_bench_redis_stop(&server);
    return st;
}

/* ---- a kernel ---- */

/* The bound kernel: 439 assets with an identity factor, Student-t(5). */
static tribus_status portfolio(tribus_bench_cuda *b, double paths, tribus_kernel **out)
{
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1}, f64 = {TRIBUS_DTYPE_FLOAT, 64, 1};
    const int64_t n2[] = {ASSETS, 2}, nn[] = {ASSETS, ASSETS}, four[] = {4};
    const size_t bytes = 4096 + sizeof(float) * (ASSETS * ASSETS + 3 * ASSETS + 64);
    float *host = calloc(1, bytes);
    unsigned char *card = (unsigned char *)b->card.data + (1u << 20);
    tribus_tensor t[4];
    tribus_status st = TRIBUS_OK;

    if (host == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", bytes);
    for (uint32_t i = 0; i < ASSETS; i++) { /* forecast, weights, an identity factor */
        host[2 * i + 1] = 0.01f + 0.0001f * (float)(i % 37);
        host[2 * ASSETS + i] = 1000.0f;
        host[3 * ASSETS + i * ASSETS + i] = 1.0f;
    }
    st = tribus_cuda_context_check(
        b->c,
        b->c->cu->memcpy_htod_async((tribus_cu_ptr)(uintptr_t)card, host, bytes,
                                    b->c->main.stream),
        "copy a portfolio");
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->c->main, TRIBUS_BENCH_CUDA_WAIT_NS);
    if (st == TRIBUS_OK)
        st = tribus_tensor_init(&t[0], f32, 2, n2, card, bytes);
    if (st == TRIBUS_OK)
        st = tribus_tensor_init(&t[1], f32, 2, nn, card + 12 * ASSETS, bytes);
    if (st == TRIBUS_OK)
        st = tribus_tensor_init(&t[2], f32, 1, n2, card + 8 * ASSETS, bytes);
    if (st == TRIBUS_OK) /* the result straight into host memory */
        st = tribus_tensor_init(&t[3], f64, 1, four, tribus_bench_cuda_words_data(b), 32);
    for (int i = 0; i < 4; i++)
        t[i].device_type = TRIBUS_DEVICE_CUDA;
    if (st == TRIBUS_OK)
        st = tribus_kernel_open(&b->c->base, "mc_var_es", out);
    if (st == TRIBUS_OK)
        st = tribus_kernel_set(*out, "paths", paths);
    if (st == TRIBUS_OK)
        st = tribus_kernel_set(*out, "nu", 5);
    if (st == TRIBUS_OK)
        st = tribus_kernel_bind(*out, t, 3, &t[3], 1);
    free(host);
    return st;
}

tribus_status tribus_bench_cuda_mc(tribus_bench_cuda *b, double paths, uint32_t samples)
{
    tribus_kernel *k = NULL;
    tribus_status st = portfolio(b, paths, &k);

    for (uint32_t i = 0; st == TRIBUS_OK && i < samples + 3; i++) {
        const int64_t start_ns = tribus_now_ns();

        st = tribus_kernel_run(k);
        if (st == TRIBUS_OK)
            st = tribus_device_synchronise_wait(&b->c->base, TRIBUS_BENCH_CUDA_WAIT_NS);
        if (i >= 3)
            b->ns[i - 3] = (double)(tribus_now_ns() - start_ns);
    }
    if (st == TRIBUS_OK)
        (void)tribus_bench_cuda_report(
            b, paths > 500000.0 ? "mc_var_es-1M" : "mc_var_es-.1M", "bus", 0, 0.0, samples);
    tribus_kernel_close(k);
    return st;
}

/* ---- a card kept busy ---- */

typedef struct sampler {
    double sum;
    uint32_t count;
    int64_t next_ns;
} sampler;

/* NVML's own window is a sixth of a second to a second: five looks a second see each. */
static void sample(sampler *s, int64_t now_ns, int64_t from_ns)
{
    tribus_nvml_card card;

    if (now_ns < s->next_ns || now_ns < from_ns)
        return;
    s->next_ns = now_ns + 200000000;
    if (tribus_nvml_read(0, false, &card) != TRIBUS_OK ||
        (card.known & TRIBUS_NVML_BUSY) == 0)
        return;
    s->sum += card.busy;
    s->count++;
}

/* Run i: a tensor of 64 MiB written on one stream; a Monte-Carlo over 439 assets on the other,
 * once it is there; the next but one run may write it again once that is done. The two stages
 * of two runs overlap, so that one works while the other is handed over. */
static tribus_status queue_run(tribus_bench_cuda *b, tribus_kernel *k,
                               const tribus_device_memory *tensors, int64_t i)
{
    tribus_cuda_probe_args fill = {.memory = (unsigned char *)tensors->data +
                                             (size_t)(i % 2) * BUSY_BYTES,
                                   .words = BUSY_BYTES / 4,
                                   .seed = (uint32_t)i};
    tribus_status st = TRIBUS_OK;

    if (i > b->value + 2)
        st = tribus_cuda_timeline_wait(&b->other, &b->t[1], i - 2,
                                       TRIBUS_BENCH_CUDA_WAIT_NS);
    if (st == TRIBUS_OK)
        st =
            tribus_bench_cuda_launch(&b->other, "tribus_cuda_probe_fill", 1056, 256, &fill);
    if (st == TRIBUS_OK)
        st = tribus_cuda_timeline_advance(&b->other, &b->t[0], i);
    if (st == TRIBUS_OK)
        st = tribus_cuda_timeline_wait(&b->c->main, &b->t[0], i, TRIBUS_BENCH_CUDA_WAIT_NS);
    if (st == TRIBUS_OK)
        st = tribus_kernel_run(k);
    if (st == TRIBUS_OK)
        st = tribus_cuda_timeline_advance(&b->c->main, &b->t[1], i);
    return st;
}

/* At most AHEAD_EACH * AHEAD_EVENTS runs are queued ahead. */
static tribus_status pace(tribus_bench_cuda *b, uint64_t turn, sampler *s, int64_t from_ns)
{
    const struct timespec nap = {.tv_nsec = 50000};
    const tribus_cu_event event = b->events[turn % AHEAD_EVENTS];
    const int64_t until_ns = tribus_now_ns() + TRIBUS_BENCH_CUDA_WAIT_NS;

    while (turn >= AHEAD_EVENTS && b->c->cu->event_query(event) == TRIBUS_CU_NOT_READY) {
        if (tribus_now_ns() > until_ns)
            return tribus_error_set(TRIBUS_TIMEOUT, "the card is silent");
        (void)nanosleep(&nap, NULL);
        sample(s, tribus_now_ns(), from_ns);
    }
    return tribus_cuda_context_check(b->c, b->c->cu->event_record(event, b->c->main.stream),
                                     "keep count of what is queued");
}

tribus_status tribus_bench_cuda_busy(tribus_bench_cuda *b, double seconds)
{
    const int64_t start_ns = tribus_now_ns();
    const int64_t until_ns = start_ns + (int64_t)(seconds * 1e9);
    tribus_bench_cuda_row r = {
        .kase = "sustained", .path = "bus", .size_bytes = BUSY_BYTES};
    sampler s = {0.0, 0, 0};
    int64_t now_ns = start_ns, run = b->value;
    tribus_device_memory tensors = {0};
    tribus_kernel *k = NULL;
    int fd = -1;
    tribus_status st = portfolio(b, 100000, &k);

    if (st == TRIBUS_OK)
        st = tribus_cuda_memory_create(b->c, 2 * BUSY_BYTES, &fd, &tensors);
    while (st == TRIBUS_OK && now_ns < until_ns) {
        if ((run - b->value) % AHEAD_EACH == 0)
            st =
                pace(b, (uint64_t)(run - b->value) / AHEAD_EACH, &s, start_ns + 1000000000);
        if (st == TRIBUS_OK)
            st = queue_run(b, k, &tensors, ++run);
        now_ns = tribus_now_ns();
        sample(&s, now_ns, start_ns + 1000000000);
    }
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->c->main, TRIBUS_BENCH_CUDA_WAIT_NS);
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->other, TRIBUS_BENCH_CUDA_WAIT_NS);
    r.samples = (uint64_t)(run - b->value);
    r.stats.rate_per_s = (double)r.samples * 1e9 / (double)(tribus_now_ns() - start_ns);
    r.stats.p50_ns = r.samples > 0 ? 1e9 / r.stats.rate_per_s : 0.0;
    b->value = run;
    tribus_kernel_close(k);
    if (tensors.data != NULL)
        tribus_cuda_memory_close(b->c, &tensors);
    if (fd >= 0)
        (void)close(fd);
    if (st != TRIBUS_OK)
        return st;
    tribus_bench_cuda_print(b, &r);
    if (s.count > 0)
        tribus_bench_cuda_goal(b, "card busy by NVML, mean", s.sum * 100.0 / s.count, "%",
                               TRIBUS_BENCH_CUDA_AT_LEAST, 98.0);
    else if (!b->json)
        printf("no NVML: how busy the card was is not known\n");
    return TRIBUS_OK;
}
