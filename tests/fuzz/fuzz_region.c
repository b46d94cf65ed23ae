/* fuzz_region.c -- a region whose shared memory and references are hostile. */
#include "shared_bytes.h"

#include "tribus/fabric.h"

#define SLOTS 3u

static tribus_slot_ref next_ref(fuzz_input *in, const tribus_slot_ref *real)
{
    tribus_slot_ref ref = *real;
    const uint8_t how = next_byte(in);

    if (how & 1)
        ref.slot = (uint32_t)next_word(in);
    if (how & 2)
        ref.generation = next_word(in);
    if (how & 4)
        ref.offset = next_word(in);
    if (how & 8)
        ref.bytes = next_word(in);
    return ref;
}

static void use(tribus_region *holder, const tribus_slot_ref *ref, fuzz_input *in)
{
    const void *seen;
    const unsigned char *bytes;
    unsigned sum = 0;

    if (tribus_region_receive(holder, ref, &seen) == TRIBUS_OK) {
        bytes = seen;
        for (uint64_t i = 0; i < ref->bytes; i++)
            sum += bytes[i];
        if (sum == UINT32_MAX)
            abort();
    }
    if (tribus_region_pass(holder, ref, next_byte(in)) == TRIBUS_OK)
        return;
    if (tribus_region_release(holder, ref) == TRIBUS_OK)
        return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    tribus_region_cfg cfg = {.slot_bytes = 192, .slots = SLOTS};
    const size_t bytes = tribus_region_bytes(&cfg), words = 128 + SLOTS * 64;
    tribus_region *owner = NULL, *holder = NULL;
    tribus_slot_ref real = {0};
    void *to_free;
    unsigned char *mem = shared_bytes(bytes, &to_free);

    if (tribus_region_create(mem, bytes, &cfg, 1) != TRIBUS_OK)
        abort();
    if (next_byte(&in) & 1)
        scribble(&in, mem, words);
    if (tribus_region_open(mem, bytes, TRIBUS_WRITER, 0, &owner) != TRIBUS_OK)
        owner = NULL;
    if (tribus_region_open(mem, bytes, TRIBUS_READER, next_byte(&in), &holder) != TRIBUS_OK)
        holder = NULL;
    while (in.left > 0 && (owner != NULL || holder != NULL)) {
        void *slot;

        scribble(&in, mem, words);
        if (owner != NULL) {
            const uint64_t to = next_byte(&in);

            if (tribus_region_loan(owner, &real, &slot) == TRIBUS_OK)
                memset(slot, 1, tribus_region_slot_bytes(owner));
            real = next_ref(&in, &real);
            if (tribus_region_commit(owner, &real, to) != TRIBUS_OK)
                real.slot = 0;
            (void)tribus_region_reclaim(owner, next_byte(&in));
            (void)tribus_region_withdraw(owner, next_byte(&in), &real, 1);
            if (tribus_region_free_slots(owner) > SLOTS)
                abort();
        }
        if (holder != NULL) {
            const tribus_slot_ref ref = next_ref(&in, &real);

            use(holder, &ref, &in);
            (void)tribus_region_recover(holder, &real, 1);
        }
    }
    tribus_region_close(owner);
    tribus_region_close(holder);
    free(to_free);
    return 0;
}
