/* test_tensor.c -- tensors and their descriptors, which may come from a hostile process. */
#include "base/random.h"
#include "check.h"
#include "tribus/base.h"
#include "tribus/device.h"

static const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1};

/* f32[4,8] in a slot of 256 bytes, 128 bytes in */
static tribus_tensor_desc good(void)
{
    tribus_tensor_desc d;
    tribus_tensor t;
    static float mem[64];

    CHECK(tribus_tensor_init(&t, f32, 2, (const int64_t[]){4, 8}, mem, 128) == TRIBUS_OK);
    t.byte_offset = 128;
    memset(&d, 0xff, sizeof(d));
    tribus_tensor_describe(&t, &d);
    return d;
}

static void dtype_names_go_there_and_back(void)
{
    static const char *const names[] = {"f16", "f32", "f64",  "bf16", "i8",
                                        "i16", "i32", "i64",  "u8",   "u16",
                                        "u32", "u64", "bool", "f32x4"};
    static const char *const bad[] = {"",     "f",    "f8",     "f33",   "int",
                                      "bf32", "f32x", "f32x65", "bool8", "F32"};
    tribus_dtype d;
    char text[16];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK(tribus_dtype_parse(names[i], &d) == TRIBUS_OK);
        CHECK_TEXT(tribus_dtype_name(d, text, sizeof(text)), names[i]);
    }
    CHECK(tribus_dtype_bytes(d) == 16);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(tribus_dtype_parse(bad[i], &d) == TRIBUS_BAD_ARG);
    CHECK(strstr(tribus_error_text(), "F32") != NULL);
    CHECK(tribus_dtype_bytes((tribus_dtype){TRIBUS_DTYPE_FLOAT, 24, 1}) == 0);
    CHECK(tribus_dtype_bytes((tribus_dtype){TRIBUS_DTYPE_FLOAT, 32, 0}) == 0);
}

static void init_when_it_does_not_fit_returns_bad_arg(void)
{
    float mem[32];
    tribus_tensor t;
    char text[64];

    CHECK(tribus_tensor_init(&t, f32, 2, (const int64_t[]){4, 8}, mem, sizeof(mem)) ==
          TRIBUS_OK);
    CHECK(t.strides[0] == 8 && t.strides[1] == 1 && tribus_tensor_is_dense(&t));
    CHECK(tribus_tensor_elements(&t) == 32);
    CHECK_TEXT(tribus_tensor_text(&t, text, sizeof(text)), "f32[4,8] on cpu:0");
    CHECK(tribus_tensor_init(&t, f32, 2, (const int64_t[]){4, 8}, mem, 127) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_tensor_init(&t, f32, 1, (const int64_t[]){-1}, mem, 128) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_tensor_init(&t, f32, 9, (const int64_t[9]){0}, mem, 128) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_tensor_init(&t, f32, 2, (const int64_t[]){INT64_MAX, 2}, mem, SIZE_MAX) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_tensor_init(&t, f32, 2, (const int64_t[]){INT64_MAX / 2, 1}, mem,
                             SIZE_MAX) == TRIBUS_BAD_ARG);
    CHECK(tribus_tensor_init(&t, (tribus_dtype){9, 32, 1}, 0, NULL, mem, 128) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_tensor_init(&t, f32, 0, NULL, mem, 4) == TRIBUS_OK);
    CHECK(tribus_tensor_elements(&t) == 1);
}

static void open_of_what_was_described_gives_the_same_tensor(void)
{
    tribus_tensor_desc d = good();
    unsigned char slot[256];
    tribus_tensor t;

    CHECK(d.reserved == 0 && d.shape[7] == 0 && d.strides[2] == 0);
    CHECK(tribus_tensor_check(&d, 256) == TRIBUS_OK);
    CHECK(tribus_tensor_open(&d, slot, sizeof(slot), &t) == TRIBUS_OK);
    CHECK(tribus_tensor_address(&t) == slot + 128 && t.shape[0] == 4 && t.strides[0] == 8);
    CHECK(tribus_tensor_check(&d, 255) == TRIBUS_CORRUPT);
    CHECK(tribus_tensor_open(&d, slot, 255, &t) == TRIBUS_CORRUPT);
}

static void check_when_a_field_lies_returns_corrupt(void)
{
    tribus_tensor_desc d;

#define LIE(change, want)                                                                  \
    do {                                                                                   \
        d = good();                                                                        \
        change;                                                                            \
        CHECK(tribus_tensor_check(&d, 256) == (want));                                     \
    } while (0)
    LIE(d.version = 2, TRIBUS_VERSION);
    LIE(d.dtype.code = 5, TRIBUS_CORRUPT);
    LIE(d.dtype.bits = 0, TRIBUS_CORRUPT);
    LIE(d.dtype.lanes = 0, TRIBUS_CORRUPT);
    LIE(d.dtype.lanes = 65535, TRIBUS_CORRUPT);
    LIE(d.ndim = -1, TRIBUS_CORRUPT);
    LIE(d.ndim = 9, TRIBUS_CORRUPT);
    LIE(d.ndim = INT32_MAX, TRIBUS_CORRUPT);
    LIE(d.reserved = 1, TRIBUS_CORRUPT);
    LIE(d.device_type = 0, TRIBUS_CORRUPT);
    LIE(d.device_index = -1, TRIBUS_CORRUPT);
    LIE(d.byte_offset = 132, TRIBUS_CORRUPT);
    LIE(d.byte_offset = 2, TRIBUS_CORRUPT);
    LIE(d.byte_offset = UINT64_MAX - 3, TRIBUS_CORRUPT);
    LIE(d.shape[0] = 5, TRIBUS_CORRUPT);
    LIE(d.shape[0] = -4, TRIBUS_CORRUPT);
    LIE(d.shape[0] = INT64_MAX, TRIBUS_CORRUPT);
    LIE(d.shape[2] = 1, TRIBUS_CORRUPT);
    LIE(d.strides[0] = 9, TRIBUS_CORRUPT);
    LIE(d.strides[1] = -1, TRIBUS_CORRUPT);
    LIE(d.strides[0] = INT64_MAX, TRIBUS_CORRUPT);
    LIE(d.strides[0] = INT64_MAX / 3 + 1, TRIBUS_CORRUPT);
    LIE(d.strides[3] = 1, TRIBUS_CORRUPT);
    /* few bytes, more elements than can be counted */
    LIE((d.shape[0] = d.shape[1] = INT64_MAX / 2, d.strides[0] = d.strides[1] = 0),
        TRIBUS_CORRUPT);
    LIE(d.shape[0] = 0, TRIBUS_OK);
    LIE(d.strides[0] = 0, TRIBUS_OK);
#undef LIE
}

/* Whatever passes the check lies inside the slot: asked of each extreme element. */
static void check_when_bytes_are_random_never_lets_an_element_out(void)
{
    tribus_random r;
    uint64_t passed = 0;

    tribus_random_init(&r, check_seed());
    for (int round = 0; round < 200000; round++) {
        tribus_tensor_desc d = good();
        double last = 0.0; /* exact while it is small */
        bool empty = false;

        d.ndim = (int32_t)tribus_random_below(&r, 4);
        for (int i = 0; i < 8; i++) {
            const bool in = i < d.ndim;
            const int wide = (int)tribus_random_below(&r, 40) == 0;

            d.shape[i] = in ? (int64_t)tribus_random_below(&r, 6) : 0;
            d.strides[i] = in ? (int64_t)tribus_random_below(&r, 12) : 0;
            if (in && wide)
                d.strides[i] = (int64_t)tribus_random_u64(&r);
        }
        d.byte_offset = 4u * tribus_random_below(&r, 40);
        if (tribus_tensor_check(&d, 256) != TRIBUS_OK)
            continue;
        passed++;
        for (int i = 0; i < d.ndim; i++) {
            empty = empty || d.shape[i] == 0;
            if (d.shape[i] > 0)
                last += (double)(d.shape[i] - 1) * (double)d.strides[i];
        }
        CHECK((double)d.byte_offset + (empty ? 0.0 : (last + 1.0) * 4.0) <= 256.0);
    }
    CHECK(passed > 1000);
}

static int released;

static void count_release(void *context)
{
    released += *(int *)context;
}

static void export_lends_and_calls_release_once(void)
{
    float mem[32];
    int one = 1;
    tribus_tensor t, back;
    tribus_dlpack *lent;

    CHECK(tribus_tensor_init(&t, f32, 2, (const int64_t[]){4, 8}, mem, 128) == TRIBUS_OK);
    t.strides[0] = 4;
    CHECK(tribus_tensor_export(&t, count_release, &one, &lent) == TRIBUS_OK);
    CHECK(lent->tensor.data == mem && lent->tensor.shape[1] == 8);
    CHECK(tribus_tensor_import(lent, &back) == TRIBUS_OK);
    CHECK(memcmp(&back, &t, sizeof(t)) == 0);
    CHECK(released == 0);
    lent->deleter(lent);
    CHECK(released == 1);
}

static void import_when_not_ours_to_describe_is_refused(void)
{
    int64_t shape[] = {2, 3}, strides[] = {3, -1};
    float mem[6];
    tribus_dlpack d;
    tribus_tensor t;

    memset(&d, 0, sizeof(d));
    d.tensor.data = mem;
    d.tensor.device.type = 1;
    d.tensor.ndim = 2;
    d.tensor.dtype = f32;
    d.tensor.shape = shape;
    CHECK(tribus_tensor_import(&d, &t) == TRIBUS_OK && t.strides[0] == 3);
    d.tensor.strides = strides;
    CHECK(tribus_tensor_import(&d, &t) == TRIBUS_UNSUPPORTED);
    d.tensor.strides = NULL;
    d.tensor.ndim = 9;
    CHECK(tribus_tensor_import(&d, &t) == TRIBUS_UNSUPPORTED);
    d.tensor.ndim = 2;
    d.tensor.dtype.code = 5;
    CHECK(tribus_tensor_import(&d, &t) == TRIBUS_UNSUPPORTED);
    d.tensor.dtype = f32;
    shape[0] = -1;
    CHECK(tribus_tensor_import(&d, &t) == TRIBUS_BAD_ARG);
    shape[0] = INT64_MAX;
    CHECK(tribus_tensor_import(&d, &t) == TRIBUS_BAD_ARG);
    d.tensor.shape = NULL;
    CHECK(tribus_tensor_import(&d, &t) == TRIBUS_BAD_ARG);
}

int main(void)
{
    dtype_names_go_there_and_back();
    init_when_it_does_not_fit_returns_bad_arg();
    open_of_what_was_described_gives_the_same_tensor();
    check_when_a_field_lies_returns_corrupt();
    check_when_bytes_are_random_never_lets_an_element_out();
    export_lends_and_calls_release_once();
    import_when_not_ours_to_describe_is_refused();
    return 0;
}
