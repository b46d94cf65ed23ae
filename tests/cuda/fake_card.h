/* fake_card.h -- for tests that want the CUDA device on the fake driver. Call fake_card()
 * first thing in main(): the driver is loaded once a process. */
#ifndef TRIBUS_TESTS_FAKE_CARD_H
#define TRIBUS_TESTS_FAKE_CARD_H

#include "check.h"
#include "fake_driver.h"

#include <dlfcn.h>
#include <stdlib.h>

static inline const fake_ops *fake_card(void)
{
    void *library = dlopen(TRIBUS_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
    const fake_ops *ops;

    CHECK(library != NULL);
    ops = dlsym(library, FAKE_OPS_SYMBOL);
    CHECK(ops != NULL);
    CHECK(setenv("TRIBUS_CUDA_DRIVER", TRIBUS_FAKE_CUDA, 1) == 0);
    return ops;
}

#endif
