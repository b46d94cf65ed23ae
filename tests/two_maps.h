/* two_maps.h -- one memory file mapped twice at different addresses, so that a pointer
 * stored in it would be found out. Under ThreadSanitizer both are the same mapping, because
 * it cannot know that two addresses are one word. */
#ifndef TRIBUS_TESTS_TWO_MAPS_H
#define TRIBUS_TESTS_TWO_MAPS_H

#include "check.h"

#include "base/os.h"

#include <unistd.h>

typedef struct two_maps {
    void *a, *b;
    size_t bytes;
} two_maps;

static inline two_maps two_maps_of(size_t bytes)
{
    two_maps m = {.bytes = bytes};
    int fd = -1;

    CHECK(tribus_os_memory_create("test", bytes, NULL, &fd) == TRIBUS_OK);
    CHECK(tribus_os_map(fd, bytes, true, false, &m.a) == TRIBUS_OK);
#if defined(__SANITIZE_THREAD__)
    m.b = m.a;
#else
    CHECK(tribus_os_map(fd, bytes, true, false, &m.b) == TRIBUS_OK);
    CHECK(m.a != m.b);
#endif
    CHECK(close(fd) == 0);
    return m;
}

static inline void two_maps_drop(two_maps *m)
{
    tribus_os_unmap(m->a, m->bytes);
    if (m->b != m->a)
        tribus_os_unmap(m->b, m->bytes);
}

#endif
