/* test_place.c -- src/fabric/place.c: what cannot be had is reported, what is there stays. */
#include "two_maps.h"

#include "tribus/fabric.h"

#include <sys/mman.h>

static void wishes_never_fail_and_bytes_stay(void)
{
    two_maps m = two_maps_of((size_t)8 << 20);
    const tribus_place none = {.huge = 0, .node = -1}, all = {.huge = 1, .node = 0};
    tribus_place got = {9, 9};

    memset(m.a, 0x5a, m.bytes);
    CHECK(tribus_place_memory(m.a, m.bytes, &none, &got) == TRIBUS_OK);
    CHECK(got.node >= -1);
    CHECK(tribus_place_memory(m.a, m.bytes, &all, &got) == TRIBUS_OK);
    CHECK(got.node == 0 || got.node == -1);
    for (size_t i = 0; i < m.bytes; i++)
        CHECK(((unsigned char *)m.b)[i] == 0x5a);
    printf("huge pages: %s, node %d\n", got.huge ? "yes" : "no", got.node);
    two_maps_drop(&m);
}

static void bad_arguments_are_refused(void)
{
    two_maps m = two_maps_of(8192);
    const tribus_place beyond = {.node = 5000}, fine = {.node = -1};
    tribus_place got;

    CHECK(tribus_place_memory(m.a, m.bytes, &beyond, &got) == TRIBUS_BAD_ARG);
    CHECK(tribus_place_memory((char *)m.a + 64, 64, &fine, &got) == TRIBUS_BAD_ARG);
    CHECK(tribus_place_memory(NULL, 64, &fine, &got) == TRIBUS_BAD_ARG);
    two_maps_drop(&m);
}

int main(void)
{
    wishes_never_fail_and_bytes_stay();
    bad_arguments_are_refused();
    return 0;
}
