/* test_slot.c -- src/fabric/slot.c: where a message of which size lies, hostile descriptors,
 * successors. */
#include "two_maps.h"

#include "base/random.h"
#include "tribus/fabric.h"

#define CELLS  8u
#define NUMBER 7u
#define FIRST  640u /* of the ring's cells, docs/shared-layout.md */

typedef struct fixture {
    two_maps ring, slots;
    tribus_ring *w, *r;
    tribus_slots *owner, *holder;
} fixture;

static const tribus_slots_cfg three = {
    .classes = {{.slot_bytes = 128, .slots = 4},
                {.slot_bytes = 1024, .slots = 3},
                {.slot_bytes = 65536, .slots = 2}},
    .class_count = 3,
};

static fixture fixture_of(const tribus_slots_cfg *cfg)
{
    tribus_slots_cfg full = *cfg;
    fixture f = {.ring = two_maps_of(tribus_ring_bytes(CELLS, 64)),
                 .slots = two_maps_of(tribus_slot_bytes(&full))};

    CHECK(tribus_ring_create(f.ring.a, f.ring.bytes, CELLS, 64) == TRIBUS_OK);
    CHECK(tribus_slot_create(f.slots.a, f.slots.bytes, cfg, NUMBER) == TRIBUS_OK);
    CHECK(tribus_ring_open(f.ring.a, f.ring.bytes, TRIBUS_WRITER, &f.w) == TRIBUS_OK);
    CHECK(tribus_ring_open(f.ring.b, f.ring.bytes, TRIBUS_READER, &f.r) == TRIBUS_OK);
    CHECK(tribus_slot_open(f.slots.a, f.slots.bytes, TRIBUS_WRITER, 0, &f.owner) ==
          TRIBUS_OK);
    CHECK(tribus_slot_open(f.slots.b, f.slots.bytes, TRIBUS_READER, 5, &f.holder) ==
          TRIBUS_OK);
    return f;
}

static void drop(fixture *f)
{
    tribus_slot_close(f->owner);
    tribus_slot_close(f->holder);
    tribus_ring_close(f->w);
    tribus_ring_close(f->r);
    two_maps_drop(&f->ring);
    two_maps_drop(&f->slots);
}

static tribus_status put(fixture *f, uint64_t bytes, unsigned char with)
{
    void *mem;
    const tribus_status st = tribus_slot_claim(f->owner, f->w, bytes, &mem);

    if (st != TRIBUS_OK)
        return st;
    memset(mem, with, bytes);
    return tribus_slot_commit(f->owner, bytes, 1u << 5);
}

static void take(fixture *f, uint64_t bytes, unsigned char with)
{
    const void *mem;
    uint64_t got = 9999999;
    int again = 9;

    CHECK(tribus_slot_peek(f->holder, f->r, &mem, &got, &again) == TRIBUS_OK);
    CHECK(got == bytes && again == 0);
    for (uint64_t i = 0; i < bytes; i++)
        CHECK(((const unsigned char *)mem)[i] == with);
    CHECK(tribus_slot_release(f->holder) == TRIBUS_OK);
}

static uint32_t free_of(const fixture *f, uint32_t which)
{
    uint32_t count = 0;
    tribus_region *const *regions = tribus_slot_regions(f->owner, &count);

    CHECK(which < count);
    return tribus_region_free_slots(regions[which]);
}

static void small_messages_lie_in_the_cell_and_use_no_slot(void)
{
    fixture f = fixture_of(&three);

    CHECK(tribus_slot_inline_bytes(f.w) == 48);
    for (uint64_t bytes = 0; bytes <= 48; bytes++) {
        CHECK(put(&f, bytes, (unsigned char)bytes) == TRIBUS_OK);
        CHECK(tribus_slot_free(f.owner) == 9);
        take(&f, bytes, (unsigned char)bytes);
    }
    drop(&f);
}

static void larger_ones_lie_in_the_smallest_class_that_has_room(void)
{
    fixture f = fixture_of(&three);

    CHECK(put(&f, 49, 1) == TRIBUS_OK && free_of(&f, 0) == 3);
    CHECK(put(&f, 129, 2) == TRIBUS_OK && free_of(&f, 1) == 2);
    CHECK(put(&f, 65536, 3) == TRIBUS_OK && free_of(&f, 2) == 1);
    CHECK(put(&f, 65537, 4) == TRIBUS_BAD_ARG);
    CHECK(strstr(tribus_error_text(), "65537") != NULL);
    take(&f, 49, 1);
    take(&f, 129, 2);
    take(&f, 65536, 3);
    CHECK(tribus_slot_free(f.owner) == 9);
    for (int i = 0; i < 3; i++)
        CHECK(put(&f, 1000, 5) == TRIBUS_OK);
    CHECK(free_of(&f, 1) == 0);
    CHECK(put(&f, 1000, 5) == TRIBUS_OK && free_of(&f, 2) == 1); /* the next larger */
    CHECK(put(&f, 1000, 5) == TRIBUS_OK);
    CHECK(put(&f, 1000, 5) == TRIBUS_FULL);
    CHECK(put(&f, 20, 6) == TRIBUS_OK); /* needs none */
    for (int i = 0; i < 5; i++)
        take(&f, 1000, 5);
    take(&f, 20, 6);
    CHECK(tribus_slot_free(f.owner) == 9);
    drop(&f);
}

static void a_claim_is_given_up_by_the_next_and_a_commit_may_be_shorter(void)
{
    fixture f = fixture_of(&three);
    void *mem;

    for (int i = 0; i < 20; i++)
        CHECK(tribus_slot_claim(f.owner, f.w, 1000, &mem) == TRIBUS_OK);
    CHECK(tribus_slot_free(f.owner) == 8);
    memset(mem, 7, 1000);
    CHECK(tribus_slot_commit(f.owner, 1001, 1u << 5) == TRIBUS_BAD_ARG);
    CHECK(tribus_slot_commit(f.owner, 500, 0) == TRIBUS_BAD_ARG);
    CHECK(tribus_slot_commit(f.owner, 500, 1u << 5) == TRIBUS_OK);
    CHECK(tribus_slot_commit(f.owner, 500, 1u << 5) == TRIBUS_BAD_ARG);
    take(&f, 500, 7);
    CHECK(tribus_slot_release(f.holder) == TRIBUS_BAD_ARG);
    CHECK(tribus_slot_claim(f.owner, f.w, 1000, &mem) == TRIBUS_OK);
    tribus_slot_give_up(f.owner);
    CHECK(tribus_slot_free(f.owner) == 9);
    for (uint32_t i = 0; i < CELLS; i++)
        CHECK(put(&f, 8, 1) == TRIBUS_OK);
    CHECK(put(&f, 8, 1) == TRIBUS_FULL && put(&f, 1000, 1) == TRIBUS_FULL);
    CHECK(tribus_slot_free(f.owner) == 9); /* a full ring keeps no slot */
    drop(&f);
}

static void messages_of_random_sizes_arrive_whole(void)
{
    const tribus_slots_cfg chosen = {0};
    fixture f = fixture_of(&chosen);
    tribus_random rnd;
    uint64_t sizes[CELLS], in = 0, out = 0;

    tribus_random_init(&rnd, check_seed());
    while (out < 3000) {
        if (in - out < CELLS && in < 3000 && tribus_random_below(&rnd, 2) == 0) {
            const uint64_t most = tribus_random_below(&rnd, 2) == 0 ? 100 : 9000;

            sizes[in % CELLS] = tribus_random_below(&rnd, most);
            CHECK(put(&f, sizes[in % CELLS], (unsigned char)in) == TRIBUS_OK);
            in++;
        } else if (in != out) {
            take(&f, sizes[out % CELLS], (unsigned char)out);
            out++;
        }
    }
    drop(&f);
}

static void nonsense_in_a_descriptor_gives_corrupt_and_can_be_dropped(void)
{
    const tribus_slot_ref bad[] = {
        {.region = TRIBUS_SLOT_INLINE, .slot = 49},
        {.region = TRIBUS_SLOT_INLINE, .slot = UINT32_MAX},
        {.region = NUMBER + 1, .slot = 0, .generation = 1, .bytes = 8},
        {.region = NUMBER, .slot = 9, .generation = 1, .bytes = 8},
        {.region = NUMBER, .slot = UINT32_MAX, .generation = 1, .bytes = 8},
        {.region = NUMBER, .slot = 0, .generation = 2, .bytes = 8},
        {.region = NUMBER, .slot = 0, .generation = 1, .bytes = 129},
        {.region = NUMBER, .slot = 0, .generation = 1, .offset = UINT64_MAX, .bytes = 8},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fixture f = fixture_of(&three);
        const void *mem;
        uint64_t bytes;

        CHECK(put(&f, 100, 1) == TRIBUS_OK);
        memcpy((unsigned char *)f.ring.a + FIRST + 8, &bad[i], sizeof(bad[i]));
        CHECK(tribus_slot_peek(f.holder, f.r, &mem, &bytes, NULL) == TRIBUS_CORRUPT);
        CHECK(tribus_slot_release(f.holder) == TRIBUS_OK);
        CHECK(tribus_slot_peek(f.holder, f.r, &mem, &bytes, NULL) == TRIBUS_EMPTY);
        CHECK(put(&f, 90, 2) == TRIBUS_OK);
        take(&f, 90, 2);
        drop(&f);
    }
}

static void open_when_the_layout_is_nonsense_returns_corrupt(void)
{
    fixture f = fixture_of(&three);
    tribus_slots *s = NULL;
    uint32_t *head = f.slots.a;
    uint64_t *class1 = (uint64_t *)f.slots.a + 10;

    CHECK(tribus_slot_open(f.slots.b, f.slots.bytes - 1, TRIBUS_READER, 0, &s) ==
          TRIBUS_CORRUPT);
    head[3] = 9;
    CHECK(tribus_slot_open(f.slots.b, f.slots.bytes, TRIBUS_READER, 0, &s) ==
          TRIBUS_CORRUPT);
    head[3] = 3;
    *class1 += 64;
    CHECK(tribus_slot_open(f.slots.b, f.slots.bytes, TRIBUS_READER, 0, &s) ==
          TRIBUS_CORRUPT);
    *class1 = UINT64_MAX - 4095;
    CHECK(tribus_slot_open(f.slots.b, f.slots.bytes, TRIBUS_READER, 0, &s) ==
          TRIBUS_CORRUPT);
    head[1]++;
    CHECK(tribus_slot_open(f.slots.b, f.slots.bytes, TRIBUS_READER, 0, &s) ==
          TRIBUS_VERSION);
    head[0] = 0;
    CHECK(tribus_slot_open(f.slots.b, f.slots.bytes, TRIBUS_READER, 0, &s) ==
          TRIBUS_CORRUPT);
    CHECK(s == NULL);
    drop(&f);
}

static void classes_must_grow_and_rings_must_not_overwrite(void)
{
    tribus_slots_cfg same = {.classes = {{.slot_bytes = 128}, {.slot_bytes = 128}},
                             .class_count = 2};
    tribus_slots_cfg many = {.class_count = 9};
    two_maps m = two_maps_of(tribus_ring_bytes(CELLS, 64));
    fixture f = fixture_of(&three);
    tribus_ring *latest;
    void *mem;

    CHECK(tribus_slot_bytes(&same) == 0 && tribus_slot_bytes(&many) == 0);
    CHECK(tribus_slot_create(f.slots.a, f.slots.bytes, &same, 1) == TRIBUS_BAD_ARG);
    CHECK(tribus_ring_create_flow(m.a, m.bytes, CELLS, 64, TRIBUS_FLOW_OVERWRITE) ==
          TRIBUS_OK);
    CHECK(tribus_ring_open(m.a, m.bytes, TRIBUS_WRITER, &latest) == TRIBUS_OK);
    CHECK(tribus_slot_claim(f.owner, latest, 8, &mem) == TRIBUS_BAD_ARG);
    CHECK(tribus_slot_claim(f.holder, f.w, 8, &mem) == TRIBUS_BAD_ARG);
    tribus_ring_close(latest);
    two_maps_drop(&m);
    drop(&f);
}

static void a_readers_successor_is_offered_its_messages_and_keeps_their_slots(void)
{
    fixture f = fixture_of(&three);
    const void *mem;
    uint64_t bytes;
    uint32_t freed = 9;
    int again = 0;

    CHECK(put(&f, 100, 1) == TRIBUS_OK && put(&f, 1000, 2) == TRIBUS_OK);
    CHECK(tribus_slot_peek(f.holder, f.r, &mem, &bytes, &again) == TRIBUS_OK);
    tribus_slot_close(f.holder);
    tribus_ring_close(f.r);
    CHECK(tribus_ring_open(f.ring.b, f.ring.bytes, TRIBUS_READER, &f.r) == TRIBUS_OK);
    CHECK(tribus_slot_open(f.slots.b, f.slots.bytes, TRIBUS_READER, 5, &f.holder) ==
          TRIBUS_OK);
    CHECK(tribus_slot_recover(f.holder, f.r, &freed) == TRIBUS_OK && freed == 0);
    CHECK(tribus_slot_peek(f.holder, f.r, &mem, &bytes, &again) == TRIBUS_OK);
    CHECK(again != 0 && bytes == 100 && ((const unsigned char *)mem)[99] == 1);
    CHECK(tribus_slot_release(f.holder) == TRIBUS_OK);
    CHECK(tribus_slot_withdraw(f.owner, f.w, 5, &freed) == TRIBUS_OK && freed == 0);
    take(&f, 1000, 2);
    CHECK(tribus_slot_free(f.owner) == 9);
    drop(&f);
}

int main(void)
{
    small_messages_lie_in_the_cell_and_use_no_slot();
    larger_ones_lie_in_the_smallest_class_that_has_room();
    a_claim_is_given_up_by_the_next_and_a_commit_may_be_shorter();
    messages_of_random_sizes_arrive_whole();
    nonsense_in_a_descriptor_gives_corrupt_and_can_be_dropped();
    open_when_the_layout_is_nonsense_returns_corrupt();
    classes_must_grow_and_rings_must_not_overwrite();
    a_readers_successor_is_offered_its_messages_and_keeps_their_slots();
    return 0;
}
