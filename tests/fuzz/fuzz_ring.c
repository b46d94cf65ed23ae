/* fuzz_ring.c -- a ring (either flow) and lanes whose shared memory is hostile. */
#include "shared_bytes.h"

#include "tribus/fabric.h"

#define CELLS 4u

static const tribus_wait_cfg once = {.timeout_ns = 0};

static void write_some(tribus_ring *w, fuzz_input *in)
{
    uint32_t got = 0;
    void *cell;

    if (tribus_ring_wait(w, &once) == TRIBUS_OK &&
        tribus_ring_claim(w, &cell) == TRIBUS_OK) {
        memset(cell, next_byte(in), tribus_ring_payload_bytes(w));
        tribus_ring_commit(w);
    }
    if (tribus_ring_claim_batch(w, next_byte(in), &got) == TRIBUS_OK)
        for (uint32_t i = 0; i < got; i++)
            memset(tribus_ring_batch_at(w, i), 1, tribus_ring_payload_bytes(w));
    tribus_ring_commit_batch(w, next_byte(in));
}

static uint64_t read_some(tribus_ring *r, fuzz_input *in)
{
    const unsigned char *bytes;
    const void *cell;
    uint32_t got = 0;
    uint64_t sum = 0;
    int again;

    if (tribus_ring_wait(r, &once) == TRIBUS_OK &&
        tribus_ring_peek(r, &cell, &again) == TRIBUS_OK) {
        bytes = cell;
        for (uint32_t i = 0; i < tribus_ring_payload_bytes(r); i++)
            sum += bytes[i];
        tribus_ring_release(r);
    }
    if (tribus_ring_peek_batch(r, next_byte(in), &got) == TRIBUS_OK)
        for (uint32_t i = 0; i < got; i++)
            sum += *(const unsigned char *)tribus_ring_batch_at(r, i);
    tribus_ring_release_batch(r, next_byte(in));
    return sum + tribus_ring_waiting(r) + tribus_ring_lost(r);
}

static void lanes(fuzz_input *in)
{
    const tribus_lanes_cfg cfg = {2, 1, CELLS, 64};
    const size_t bytes = tribus_lanes_bytes(&cfg);
    tribus_lanes *w = NULL, *r = NULL;
    tribus_ring *lane;
    void *to_free;
    unsigned char *mem = shared_bytes(bytes, &to_free);

    if (tribus_lanes_create(mem, bytes, &cfg) != TRIBUS_OK)
        abort();
    scribble(in, mem, bytes);
    if (tribus_lanes_open(mem, bytes, TRIBUS_WRITER, next_byte(in), &w) == TRIBUS_OK) {
        if (tribus_lanes_select(w, TRIBUS_LANES_NEXT, &lane) == TRIBUS_OK)
            write_some(lane, in);
    }
    scribble(in, mem, bytes);
    if (tribus_lanes_open(mem, bytes, TRIBUS_READER, next_byte(in), &r) == TRIBUS_OK) {
        if (tribus_lanes_wait(r, &once) == TRIBUS_OK &&
            tribus_lanes_select(r, TRIBUS_LANES_NEXT, &lane) == TRIBUS_OK)
            (void)read_some(lane, in);
    }
    tribus_lanes_close(w);
    tribus_lanes_close(r);
    free(to_free);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    const size_t bytes = tribus_ring_bytes(CELLS, 128);
    const uint8_t how = next_byte(&in);
    tribus_slot_ref refs[CELLS];
    tribus_ring *w = NULL, *r = NULL;
    void *to_free;
    unsigned char *mem = shared_bytes(bytes, &to_free);

    if (tribus_ring_create_flow(mem, bytes, CELLS, 128,
                                how & 1 ? TRIBUS_FLOW_OVERWRITE : TRIBUS_FLOW_KEEP) !=
        TRIBUS_OK)
        abort();
    if (how & 2)
        scribble(&in, mem, bytes);
    if (tribus_ring_open(mem, bytes, TRIBUS_WRITER, &w) != TRIBUS_OK)
        w = NULL;
    if (tribus_ring_open(mem, bytes, TRIBUS_READER, &r) != TRIBUS_OK)
        r = NULL;
    while (in.left > 0 && (w != NULL || r != NULL)) {
        scribble(&in, mem, bytes);
        if (w != NULL) {
            write_some(w, &in);
            (void)tribus_ring_refs(w, next_byte(&in), refs, CELLS);
        }
        if (r != NULL) {
            (void)read_some(r, &in);
            (void)tribus_ring_refs(r, next_byte(&in), refs, CELLS);
        }
    }
    tribus_ring_close(w);
    tribus_ring_close(r);
    free(to_free);
    in = (fuzz_input){data, size};
    if (how & 4)
        lanes(&in);
    return 0;
}
