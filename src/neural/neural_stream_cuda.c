/* neural_stream_cuda.c -- streams on a card: the weights as neural_cuda_lstm.cu wants them, one
 * launch for the life of the stream, and a word a number between the CPU and it.
 *
 * A word carries the step with the number, so that whoever sees the step has the number: no
 * order is needed. Only the flag of larger inputs publishes what was written before it; the
 * other side of that release is the ld.acquire.sys of receive_flag() on the card.
 */
#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "device/cuda_context.h"
#include "device/cuda_memory.h"
#include "neural/neural_cuda_lstm.h"
#include "neural/neural_stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MOST_SHARED  232448u /* of a Hopper block */
#define MOST_WORDS   4096u   /* of an input or a result */
#define WORDS_INPUTS 512u    /* more inputs than this are floats behind a flag */
#define PINNED_BYTES ((2 * MOST_WORDS + 16) * sizeof(uint64_t))
#define DEFAULT_IDLE INT64_C(600000000000)

struct tribus_stream_cuda {
    tribus_cuda_context *context;
    tribus_lstm_run run;
    tribus_cu_function kernel;
    tribus_cuda_stream stream;
    tribus_cu_ptr weights, bias, dense;
    uint32_t shared_bytes;
    uint32_t step; /* of the last input */
    bool running, over;
    void *pinned;
    _Atomic(uint64_t) *in, *out, *flag; /* in pinned */
};

static uint32_t round_up(uint32_t x, uint32_t to)
{
    return (x + to - 1) / to * to;
}

/* ---- the shape: how many blocks, and what of each fits its shared memory ---- */

/* False: the input rows alone do not fit. */
static bool lay_out(const tribus_stream_model *m, uint32_t blocks, tribus_lstm_run *run,
                    uint32_t *shared_bytes)
{
    uint32_t bytes = 0, rows, x_floats;
    uint64_t shared;

    memset(run, 0, sizeof(*run));
    run->layers = m->layers;
    run->inputs = m->inputs;
    run->units = m->units;
    run->outputs = m->outputs;
    run->gru = m->gru ? 1 : 0;
    run->blocks = blocks;
    run->units_each = (m->units + blocks - 1) / blocks;
    run->input =
        m->inputs <= WORDS_INPUTS ? TRIBUS_LSTM_INPUT_WORDS : TRIBUS_LSTM_INPUT_PASS;
    run->first_step = 1;
    run->k_units = round_up(m->units, 4);
    run->exchange_row = m->inputs > m->units ? m->inputs : m->units;
    rows = run->units_each * 4;
    for (uint32_t l = 0; l < m->layers; l++) {
        run->k[l] = round_up(l == 0 ? m->inputs : m->units, 4);
        bytes += rows * run->k[l] * 4;
    }
    run->block_bytes = bytes + (uint64_t)m->layers * rows * run->k_units * 4;
    x_floats = round_up(run->k[0] > run->k_units ? run->k[0] : run->k_units, 8);
    shared = 8u * x_floats + bytes + 16 * (m->layers + 1u) * run->exchange_row;
    if (shared > MOST_SHARED || 32 * run->units_each > 512)
        return false;
    for (uint32_t l = 0; l < m->layers; l++)
        if (shared + rows * run->k_units * 4 <= MOST_SHARED) {
            shared += rows * run->k_units * 4;
            run->recurrent_shared |= 1u << l;
        }
    *shared_bytes = (uint32_t)shared;
    return true;
}

/* Rows of each block: for every layer the input rows, then for every layer the recurrent. */
static float *pack(const tribus_stream_model *m, const tribus_lstm_run *run)
{
    float *packed = calloc((size_t)run->block_bytes * run->blocks, 1), *at = packed;

    for (uint32_t b = 0; packed != NULL && b < run->blocks; b++) {
        for (uint32_t part = 0; part < 2 * run->layers; part++) {
            const uint32_t l = part % run->layers;
            const bool recurrent = part >= run->layers;
            const uint32_t stride = recurrent ? run->k_units : run->k[l];
            const uint32_t k = recurrent || l > 0 ? m->units : m->inputs;
            const float *from = recurrent ? m->u[l] : m->w[l];

            for (uint32_t r = 0; r < run->units_each * 4; r++, at += stride) {
                const uint32_t unit = b * run->units_each + r / 4;

                if (unit < m->units)
                    memcpy(at, from + ((size_t)unit * 4 + r % 4) * k, k * sizeof(*at));
            }
        }
    }
    return packed;
}

/* ---- memory ---- */

static tribus_status upload(tribus_stream_cuda *s, const float *from, uint64_t floats,
                            tribus_cu_ptr *to)
{
    tribus_cuda_context *c = s->context;
    tribus_status st;

    if (from == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "weights of a stream");
    st = tribus_cuda_context_check(c, c->cu->mem_alloc(to, (size_t)floats * 4),
                                   "memory for weights");
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c, c->cu->memcpy_htod_async(*to, from, (size_t)floats * 4, s->stream.stream),
            "copy weights");
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(c, c->cu->stream_synchronize(s->stream.stream),
                                       "copy weights");
    return st;
}

static tribus_status upload_all(tribus_stream_cuda *s, const tribus_stream_model *m)
{
    const size_t units = m->units, outputs = m->outputs;
    float *packed = pack(m, &s->run);
    float *small =
        calloc(m->layers * units * 4 + outputs * units + outputs, sizeof(*small));
    tribus_status st =
        upload(s, packed, s->run.block_bytes * s->run.blocks / 4, &s->weights);

    for (uint32_t l = 0; small != NULL && l < m->layers; l++)
        memcpy(small + l * units * 4, m->b[l], units * 4 * sizeof(*small));
    if (st == TRIBUS_OK)
        st = upload(s, small, m->layers * units * 4, &s->bias);
    if (st == TRIBUS_OK && m->dense) {
        memcpy(small, m->dense_w, outputs * units * sizeof(*small));
        memcpy(small + outputs * units, m->dense_b, outputs * sizeof(*small));
        st = upload(s, small, outputs * units + outputs, &s->dense);
    }
    free(packed);
    free(small);
    s->run.weights = s->weights;
    s->run.bias = s->bias;
    s->run.dense = s->dense;
    return st;
}

static tribus_status pin(tribus_stream_cuda *s)
{
    void *data = NULL;
    tribus_status st;

    s->pinned = mmap(NULL, PINNED_BYTES, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (s->pinned == MAP_FAILED) {
        s->pinned = NULL;
        return tribus_error_set(TRIBUS_SYSTEM, "memory between the CPU and the card");
    }
    st = tribus_cuda_memory_register(s->context, s->pinned, PINNED_BYTES, &data);
    if (st != TRIBUS_OK) {
        (void)munmap(s->pinned, PINNED_BYTES);
        s->pinned = NULL;
        return st;
    }
    s->in = s->pinned;
    s->out = s->in + MOST_WORDS;
    s->flag = s->out + MOST_WORDS;
    s->run.in = (uint64_t)(uintptr_t)data;
    s->run.out = s->run.in + MOST_WORDS * sizeof(uint64_t);
    s->run.flag = s->run.out + MOST_WORDS * sizeof(uint64_t);
    return TRIBUS_OK;
}

/* ---- the kernel's life ---- */

static tribus_status find_kernel(tribus_stream_cuda *s, uint32_t blocks)
{
    const tribus_cuda_driver *cu = s->context->cu;
    tribus_status st = tribus_cuda_context_function(
        s->context, blocks == 8 ? "tribus_lstm_cluster8_f32" : "tribus_lstm_cluster16_f32",
        &s->kernel);

    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            s->context,
            cu->func_set_attribute(s->kernel, TRIBUS_CU_FUNC_MAX_DYNAMIC_SHARED,
                                   (int)s->shared_bytes),
            "shared memory of a stream");
    if (st == TRIBUS_OK && blocks > 8)
        st = tribus_cuda_context_check(
            s->context,
            cu->func_set_attribute(s->kernel, TRIBUS_CU_FUNC_NON_PORTABLE_CLUSTER, 1),
            "a cluster of 16 blocks");
    return st;
}

static tribus_status start(tribus_stream_cuda *s)
{
    void *params[] = {&s->run};
    tribus_status st;

    for (uint32_t i = 0; i < 2 * MOST_WORDS + 16; i++)
        tribus_store_rlx(&s->in[i], (uint64_t)0); /* nobody reads yet */
    s->run.first_step = s->step + 1;
    st = tribus_cuda_stream_launch(
        &s->stream, s->kernel,
        (tribus_cuda_grid){s->run.blocks, 32 * s->run.units_each, s->shared_bytes}, params);
    s->running = st == TRIBUS_OK;
    s->over = false;
    return st;
}

/* Tell the kernel that it is over, and wait until it is. */
static tribus_status stop(tribus_stream_cuda *s)
{
    if (!s->running)
        return TRIBUS_OK;
    for (uint32_t i = 0; i < s->run.inputs; i++)
        tribus_store_rlx(&s->in[i],
                         (uint64_t)TRIBUS_LSTM_STOP << 32); /* a word says it all */
    tribus_store_rel(s->flag,
                     (uint64_t)TRIBUS_LSTM_STOP); /* to receive_flag() on the card */
    s->running = false;
    return tribus_cuda_context_check(
        s->context, s->context->cu->stream_synchronize(s->stream.stream), "end a stream");
}

tribus_status tribus_stream_cuda_open(const tribus_stream_model *m,
                                      const tribus_model_stream_cfg *cfg,
                                      tribus_stream_cuda **out)
{
    tribus_stream_cuda *s = calloc(1, sizeof(*s));
    uint32_t blocks = 8;
    tribus_status st;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "a stream");
    s->context = (tribus_cuda_context *)cfg->device; /* the caller checked its type */
    if (m->inputs > MOST_WORDS || m->outputs > MOST_WORDS)
        st = tribus_error_set(TRIBUS_UNSUPPORTED, "%u inputs, %u outputs; %u are possible",
                              m->inputs, m->outputs, MOST_WORDS);
    else if (lay_out(m, 8, &s->run, &s->shared_bytes) &&
             s->run.recurrent_shared == (1u << m->layers) - 1u)
        st = tribus_cuda_context_enter(s->context);
    else if (blocks = 16, lay_out(m, 16, &s->run, &s->shared_bytes))
        st = tribus_cuda_context_enter(s->context);
    else
        st = tribus_error_set(TRIBUS_UNSUPPORTED,
                              "%u layers of %u units are too large for a stream on a card: "
                              "the weights of 16 blocks must fit their shared memory",
                              m->layers, m->units);
    s->run.idle_ns = (uint64_t)(cfg->idle_ns > 0 ? cfg->idle_ns : DEFAULT_IDLE);
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_open(s->context, &s->stream);
    if (st == TRIBUS_OK)
        st = find_kernel(s, blocks);
    if (st == TRIBUS_OK)
        st = upload_all(s, m);
    if (st == TRIBUS_OK)
        st = pin(s);
    if (st == TRIBUS_OK)
        st = start(s);
    if (st != TRIBUS_OK) {
        tribus_stream_cuda_close(s);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

void tribus_stream_cuda_close(tribus_stream_cuda *s)
{
    if (s == NULL)
        return;
    if (s->stream.context != NULL && tribus_cuda_context_enter(s->context) == TRIBUS_OK) {
        const tribus_cu_ptr blocks[] = {s->weights, s->bias, s->dense};

        (void)stop(s);
        for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
            if (blocks[i] != 0)
                (void)s->context->cu->mem_free(blocks[i]);
        if (s->pinned != NULL) {
            tribus_cuda_memory_unregister(s->context, s->pinned);
            (void)munmap(s->pinned, PINNED_BYTES);
        }
        tribus_cuda_stream_close(&s->stream);
    }
    free(s);
}

/* ---- steps ---- */

static void send(tribus_stream_cuda *s, const float *input)
{
    uint32_t bits;

    if (s->run.input == TRIBUS_LSTM_INPUT_PASS) {
        memcpy(s->pinned, input, s->run.inputs * sizeof(*input));
        tribus_store_rel(s->flag, (uint64_t)s->step); /* to receive_flag() on the card */
        return;
    }
    for (uint32_t i = 0; i < s->run.inputs; i++) {
        memcpy(&bits, &input[i], sizeof(bits));
        tribus_store_rlx(&s->in[i],
                         (uint64_t)s->step << 32 | bits); /* a word says it all */
    }
}

tribus_status tribus_stream_cuda_step_wait(tribus_stream_cuda *s, const float *input,
                                           float *output, int64_t timeout_ns)
{
    const int64_t until_ns = tribus_deadline_ns(timeout_ns);
    uint32_t turns = 0;

    if (s->over || !s->running || s->step + 2 == TRIBUS_LSTM_STOP)
        return tribus_error_set(TRIBUS_TIMEOUT, "the stream is over: reset it");
    s->step++;
    send(s, input);
    for (uint32_t i = 0; i < s->run.outputs; i++) {
        uint64_t word;
        uint32_t bits;

        while (word = tribus_load_rlx(&s->out[i]), word >> 32 != s->step) { /* as above */
            tribus_relax();
            if (++turns % 1024 == 0 && tribus_now_ns() > until_ns) {
                s->over = true; /* a late answer would be taken for the next step's */
                return tribus_error_set(TRIBUS_TIMEOUT, "step %u was not answered",
                                        s->step);
            }
        }
        bits = (uint32_t)word;
        memcpy(&output[i], &bits, sizeof(bits));
    }
    return TRIBUS_OK;
}

tribus_status tribus_stream_cuda_reset(tribus_stream_cuda *s)
{
    tribus_status st = tribus_cuda_context_enter(s->context);

    if (st == TRIBUS_OK)
        st = stop(s);
    if (st == TRIBUS_OK && s->step + 2 >= TRIBUS_LSTM_STOP)
        s->step = 0;
    return st == TRIBUS_OK ? start(s) : st;
}
