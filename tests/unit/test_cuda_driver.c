/* test_cuda_driver.c -- loading the driver, and the words for every way it can be absent. */
#include "device/cuda_driver.h"
#include "fake_card.h"
#include "tribus/base.h"

static tribus_status load(const char *path, char *why, tribus_cuda_driver *driver)
{
    why[0] = '\0';
    return tribus_cuda_driver_load(path, driver, why, 200);
}

static void load_when_there_is_no_library_says_no_driver(void)
{
    tribus_cuda_driver driver;
    char why[200];

    CHECK(load("libcuda-there-is-none.so.1", why, &driver) == TRIBUS_UNSUPPORTED);
    CHECK_TEXT(why, "no libcuda-there-is-none.so.1: no NVIDIA driver");
    CHECK_TEXT(tribus_error_text(), why);
}

static void load_when_the_library_is_another_names_the_missing_call(void)
{
    tribus_cuda_driver driver;
    char why[200];

    CHECK(load("libc.so.6", why, &driver) == TRIBUS_UNSUPPORTED);
    CHECK(strstr(why, "has no cuInit") != NULL && driver.library == NULL);
}

static void load_when_the_driver_is_old_says_which_is_needed(const fake_ops *fake)
{
    tribus_cuda_driver driver;
    char why[200];

    fake->machine(1, 11040, 0);
    CHECK(load(TRIBUS_FAKE_CUDA, why, &driver) == TRIBUS_UNSUPPORTED);
    CHECK(strstr(why, "supports CUDA 11.4; 12.4 is needed") != NULL);
}

static void load_when_there_is_no_card_says_so(const fake_ops *fake)
{
    tribus_cuda_driver driver;
    char why[200];

    fake->machine(1, 13000, TRIBUS_CU_NO_DEVICE);
    CHECK(load(TRIBUS_FAKE_CUDA, why, &driver) == TRIBUS_UNSUPPORTED);
    CHECK_TEXT(why, "the driver finds no CUDA device");
    fake->machine(0, 13000, 0);
    CHECK(load(TRIBUS_FAKE_CUDA, why, &driver) == TRIBUS_UNSUPPORTED);
    CHECK_TEXT(why, "the driver finds no CUDA device");
    fake->machine(1, 13000, 803);
    CHECK(load(TRIBUS_FAKE_CUDA, why, &driver) == TRIBUS_UNSUPPORTED);
    CHECK(strstr(why, "does not start: a failure of the fake") != NULL);
}

static void load_finds_every_call(const fake_ops *fake)
{
    tribus_cuda_driver driver;
    char why[200];

    fake->machine(2, 12080, 0);
    CHECK(load(TRIBUS_FAKE_CUDA, why, &driver) == TRIBUS_OK);
    CHECK(driver.devices == 2 && driver.version == 12080);
#define CALL(field, symbol, args) CHECK(driver.field != NULL);
#include "device/cuda_calls.def"
#undef CALL
    tribus_cuda_driver_unload(&driver);
    fake->machine(1, 13000, 0);
}

static void check_names_call_and_cause(void)
{
    const char *why;
    const tribus_cuda_driver *cu = tribus_cuda_driver_get(&why);

    CHECK(cu != NULL && tribus_cuda_driver_get(NULL) == cu);
    CHECK(tribus_cuda_driver_check(cu, TRIBUS_CU_OK, "x") == TRIBUS_OK);
    CHECK(tribus_cuda_driver_check(cu, TRIBUS_CU_OUT_OF_MEMORY, "make memory") ==
          TRIBUS_NO_MEMORY);
    CHECK_TEXT(tribus_error_text(),
               "make memory: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory");
    CHECK(tribus_cuda_driver_check(cu, 719, "work") == TRIBUS_SYSTEM);
    CHECK(strncmp(tribus_error_text(), "work: CUDA_ERROR_FAKE (719)", 27) == 0);
}

int main(void)
{
    const fake_ops *fake = fake_card();

    load_when_there_is_no_library_says_no_driver();
    load_when_the_library_is_another_names_the_missing_call();
    load_when_the_driver_is_old_says_which_is_needed(fake);
    load_when_there_is_no_card_says_so(fake);
    load_finds_every_call(fake);
    check_names_call_and_cause();
    return 0;
}
