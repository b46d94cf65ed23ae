/* test_counter.c -- src/fabric/counter.c */
#include "two_maps.h"

#include "tribus/fabric.h"

#include <sys/mman.h>

static void counts_are_read_through_a_read_only_mapping(void)
{
    two_maps m = two_maps_of(TRIBUS_COUNTERS_BYTES);
    tribus_counters *c;
    const tribus_counters *seen;
    char name[56];

    CHECK(tribus_counter_create(m.a, m.bytes, "ml -> risk", &c) == TRIBUS_OK);
    tribus_counter_add(c, TRIBUS_COUNT_BYTES_BY_REF, 4096);
    tribus_counter_add(c, TRIBUS_COUNT_BYTES_BY_REF, 4);
    tribus_counter_add(c, (tribus_counter)99, 1); /* no such counter: nothing happens */
    tribus_histogram_record(tribus_counter_latency(c), 100);
    if (m.b != m.a)
        CHECK(mprotect(m.b, m.bytes, PROT_READ) == 0);
    CHECK(tribus_counter_open(m.b, m.bytes, &seen) == TRIBUS_OK);
    CHECK(tribus_counter_get(seen, TRIBUS_COUNT_BYTES_BY_REF) == 4100);
    CHECK(tribus_counter_get(seen, TRIBUS_COUNT_LOST) == 0);
    CHECK(tribus_counter_get(seen, (tribus_counter)-1) == 0);
    CHECK(tribus_histogram_quantile_ns(tribus_counter_latency_of(seen), 0.5) == 100);
    tribus_counter_label(seen, name);
    CHECK_TEXT(name, "ml -> risk");
    two_maps_drop(&m);
}

static void names_are_distinct_and_too_long_labels_are_cut(void)
{
    two_maps m = two_maps_of(TRIBUS_COUNTERS_BYTES);
    tribus_counters *c;
    char longer[100], name[56];

    for (int i = 0; i < TRIBUS_COUNTS; i++)
        for (int k = 0; k < i; k++)
            CHECK(strcmp(tribus_counter_name((tribus_counter)i),
                         tribus_counter_name((tribus_counter)k)) != 0);
    memset(longer, 'x', sizeof(longer));
    longer[99] = '\0';
    CHECK(tribus_counter_create(m.a, m.bytes, longer, &c) == TRIBUS_OK);
    memset((char *)m.a + 8, 'y', 56); /* a hostile writer forgets the final zero */
    tribus_counter_label(c, name);
    CHECK(strlen(name) == 55);
    two_maps_drop(&m);
}

static void open_when_it_is_something_else_returns_corrupt(void)
{
    two_maps m = two_maps_of(TRIBUS_COUNTERS_BYTES);
    tribus_counters *c;
    const tribus_counters *seen = NULL;

    CHECK(tribus_counter_open(m.a, m.bytes, &seen) == TRIBUS_CORRUPT);
    CHECK(tribus_counter_create(m.a, 100, "", &c) == TRIBUS_BAD_ARG);
    CHECK(tribus_counter_create(m.a, m.bytes, NULL, &c) == TRIBUS_OK);
    CHECK(tribus_counter_open(m.a, m.bytes - 1, &seen) == TRIBUS_CORRUPT);
    ((uint32_t *)m.a)[1] = 77;
    CHECK(tribus_counter_open(m.a, m.bytes, &seen) == TRIBUS_CORRUPT);
    CHECK(seen == NULL);
    two_maps_drop(&m);
}

int main(void)
{
    counts_are_read_through_a_read_only_mapping();
    names_are_distinct_and_too_long_labels_are_cut();
    open_when_it_is_something_else_returns_corrupt();
    return 0;
}
