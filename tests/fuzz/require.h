/* require.h -- what a fuzz target's own set-up needs, whatever the input; abort() is how a
 * target reports. */
#ifndef TRIBUS_FUZZ_REQUIRE_H
#define TRIBUS_FUZZ_REQUIRE_H

#include "tribus/base.h"

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(cond)                                                                      \
    do {                                                                                   \
        if (!(cond)) {                                                                     \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #cond,                  \
                    tribus_error_text());                                                  \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

#endif
