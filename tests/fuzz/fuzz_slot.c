/* fuzz_slot.c -- slots of two classes and their ring, whose shared memory is hostile. */
#include "shared_bytes.h"

#include "tribus/fabric.h"

#define CELLS      4u
#define RING_WORDS (640u + CELLS * 64u)

static const tribus_slots_cfg classes = {
    .classes = {{.slot_bytes = 64, .slots = 2}, {.slot_bytes = 192, .slots = 2}},
    .class_count = 2,
};

typedef struct ends {
    tribus_ring *w, *r;
    tribus_slots *owner, *holder;
} ends;

static void write_one(const ends *e, fuzz_input *in)
{
    const uint64_t bytes = next_byte(in);
    void *mem;

    if (tribus_slot_claim(e->owner, e->w, bytes, &mem) != TRIBUS_OK)
        return;
    memset(mem, 1, bytes);
    if ((next_byte(in) & 3) != 0 &&
        tribus_slot_commit(e->owner, next_byte(in), next_byte(in)) != TRIBUS_OK)
        tribus_slot_give_up(e->owner);
}

static void read_one(const ends *e, fuzz_input *in, unsigned char *ring, unsigned char *mem)
{
    const void *seen;
    uint64_t bytes = 0;
    unsigned sum = 0;
    const tribus_status st = tribus_slot_peek(e->holder, e->r, &seen, &bytes, NULL);

    if (st == TRIBUS_OK)
        for (uint64_t i = 0; i < bytes; i++)
            sum += ((const unsigned char *)seen)[i];
    if (sum == UINT32_MAX)
        abort();
    scribble(in, ring, RING_WORDS);
    scribble(in, mem, 512);
    if ((next_byte(in) & 7) != 0 && tribus_slot_release(e->holder) == TRIBUS_OK)
        return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    tribus_slots_cfg cfg = classes;
    const size_t ring_bytes = tribus_ring_bytes(CELLS, 64), bytes = tribus_slot_bytes(&cfg);
    void *ring_free, *to_free;
    unsigned char *ring = shared_bytes(ring_bytes, &ring_free),
                  *mem = shared_bytes(bytes, &to_free);
    ends e = {0};
    uint32_t freed;

    if (tribus_ring_create(ring, ring_bytes, CELLS, 64) != TRIBUS_OK ||
        tribus_slot_create(mem, bytes, &classes, 1) != TRIBUS_OK ||
        tribus_ring_open(ring, ring_bytes, TRIBUS_WRITER, &e.w) != TRIBUS_OK ||
        tribus_ring_open(ring, ring_bytes, TRIBUS_READER, &e.r) != TRIBUS_OK)
        abort();
    if (next_byte(&in) & 1)
        scribble(&in, mem, 512);
    if (tribus_slot_open(mem, bytes, TRIBUS_WRITER, 0, &e.owner) != TRIBUS_OK)
        e.owner = NULL;
    if (tribus_slot_open(mem, bytes, TRIBUS_READER, next_byte(&in), &e.holder) != TRIBUS_OK)
        e.holder = NULL;
    while (in.left > 0 && e.owner != NULL && e.holder != NULL) {
        scribble(&in, ring, RING_WORDS);
        /* the lines of the second class are where the first one's slots end */
        scribble(&in, mem, bytes);
        write_one(&e, &in);
        read_one(&e, &in, ring, mem);
        if (tribus_slot_withdraw(e.owner, e.w, next_byte(&in), &freed) != TRIBUS_OK ||
            tribus_slot_recover(e.holder, e.r, &freed) != TRIBUS_OK ||
            tribus_slot_free(e.owner) > 4)
            abort();
    }
    tribus_slot_close(e.owner);
    tribus_slot_close(e.holder);
    tribus_ring_close(e.w);
    tribus_ring_close(e.r);
    free(ring_free);
    free(to_free);
    return 0;
}
