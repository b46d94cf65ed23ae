/* fuzz_topic.c -- a topic, counters and a timeline whose shared memory is hostile. */
#include "shared_bytes.h"

#include "tribus/fabric.h"

#define CELLS   4u
#define PAYLOAD 120u

static const tribus_wait_cfg once = {.timeout_ns = 0};

static void the_rest(fuzz_input *in)
{
    void *to_free;
    unsigned char *mem = shared_bytes((TRIBUS_COUNTERS_BYTES + 63u) / 64u * 64u, &to_free);
    tribus_timeline_shm *t = NULL;
    tribus_counters *c = NULL;
    const tribus_counters *seen = NULL;
    tribus_histogram_values v;
    char label[56];

    if (tribus_counter_create(mem, TRIBUS_COUNTERS_BYTES, "x", &c) != TRIBUS_OK)
        abort();
    scribble(in, mem, TRIBUS_COUNTERS_BYTES);
    if (tribus_counter_open(mem, TRIBUS_COUNTERS_BYTES, &seen) == TRIBUS_OK) {
        tribus_counter_label(seen, label);
        tribus_histogram_read(tribus_counter_latency_of(seen), &v);
        tribus_histogram_record(tribus_counter_latency(c), (int64_t)next_word(in));
    }
    if (tribus_timeline_create(mem, 128, 3) != TRIBUS_OK)
        abort();
    scribble(in, mem, 128);
    if (tribus_timeline_open(mem, 128, &t) == TRIBUS_OK &&
        tribus_timeline_advance(t, (int64_t)(next_word(in) >> 1)) == TRIBUS_OK &&
        tribus_timeline_wait(t, (int64_t)next_word(in), &once) == TRIBUS_OK)
        tribus_timeline_poison(t);
    free(to_free);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    const size_t bytes = tribus_topic_bytes(CELLS, PAYLOAD + 8);
    tribus_topic *w = NULL, *r = NULL;
    void *to_free;
    unsigned char *mem = shared_bytes(bytes, &to_free);
    unsigned char *buf =
        malloc((size_t)CELLS * PAYLOAD); /* to the byte, for the sanitizer */

    if (buf == NULL || tribus_topic_create(mem, bytes, CELLS, PAYLOAD + 8) != TRIBUS_OK)
        abort();
    if (next_byte(&in) & 1)
        scribble(&in, mem, bytes);
    if (tribus_topic_open(mem, bytes, TRIBUS_WRITER, 0, &w) != TRIBUS_OK)
        w = NULL;
    if (tribus_topic_open(mem, bytes, TRIBUS_READER, next_byte(&in) & 1, &r) != TRIBUS_OK)
        r = NULL;
    while (in.left > 0 && (w != NULL || r != NULL)) {
        uint32_t sizes[CELLS], got = 0;
        uint64_t lost = 0;

        scribble(&in, mem, bytes);
        if (w != NULL) {
            const uint32_t n = next_byte(&in);

            memset(tribus_topic_claim(w), 7, PAYLOAD);
            for (uint32_t i = 0; i < n % 8; i++)
                tribus_topic_commit(w, next_byte(&in));
            tribus_topic_claim_batch(w, 3, &got);
            for (uint32_t i = 0; i < 3; i++)
                sizes[i] = next_byte(&in);
            tribus_topic_commit_batch(w, 3, sizes);
        }
        if (r == NULL)
            continue;
        if (tribus_topic_wait(r, &once) == TRIBUS_OK &&
            tribus_topic_read(r, buf, sizes, &lost) == TRIBUS_OK && sizes[0] > PAYLOAD)
            abort();
        if (tribus_topic_read_batch(r, buf, PAYLOAD, CELLS, &got, sizes, &lost) ==
                TRIBUS_OK &&
            got > CELLS)
            abort();
        if (tribus_topic_rewind(r, next_byte(&in)) > CELLS)
            abort();
    }
    tribus_topic_close(w);
    tribus_topic_close(r);
    free(buf);
    free(to_free);
    in = (fuzz_input){data, size};
    the_rest(&in);
    return 0;
}
