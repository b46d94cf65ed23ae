/* cuda_driver.c -- see cuda_driver.h. */
#include "device/cuda_driver.h"
#include "base/error.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_BYTES 200

typedef struct symbol {
    const char *name;
    size_t offset; /* of its pointer in the table */
} symbol;

static const symbol symbols[] = {
#define CALL(field, symbol, args) {symbol, offsetof(tribus_cuda_driver, field)},
#include "device/cuda_calls.def"
#undef CALL
};

static const symbol green[] = {
#define CALL(field, symbol, args) {symbol, offsetof(tribus_cuda_driver, field)},
#include "device/cuda_calls_green.def"
#undef CALL
};
#define GREEN (sizeof(green) / sizeof(green[0]))

/* Functions are looked up as data pointers; POSIX says that both have one size. */
static bool look_up(tribus_cuda_driver *driver, char *why, size_t why_bytes)
{
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        void *const found = dlsym(driver->library, symbols[i].name);

        if (found == NULL) {
            (void)snprintf(why, why_bytes,
                           "the driver has no %s: older than CUDA %d.%d (driver 550)",
                           symbols[i].name, TRIBUS_CUDA_LEAST_VERSION / 1000,
                           TRIBUS_CUDA_LEAST_VERSION % 1000 / 10);
            return false;
        }
        memcpy((unsigned char *)driver + symbols[i].offset, &found, sizeof(found));
    }
    return true;
}

/* Green contexts: all of their calls or none. */
static void look_up_green(tribus_cuda_driver *driver)
{
    void *found[GREEN];

    for (size_t i = 0; i < GREEN; i++) {
        found[i] = dlsym(driver->library, green[i].name);
        if (found[i] == NULL)
            return;
    }
    for (size_t i = 0; i < GREEN; i++)
        memcpy((unsigned char *)driver + green[i].offset, &found[i], sizeof(found[i]));
}

static const char *text_of(const tribus_cuda_driver *driver, tribus_cu_result result)
{
    const char *text = NULL;

    if (driver->get_error_string(result, &text) != TRIBUS_CU_OK || text == NULL)
        return "an error without a text";
    return text;
}

static bool start(tribus_cuda_driver *driver, char *why, size_t why_bytes)
{
    tribus_cu_result result = driver->driver_get_version(&driver->version);

    if (result == TRIBUS_CU_OK && driver->version < TRIBUS_CUDA_LEAST_VERSION) {
        (void)snprintf(why, why_bytes,
                       "the driver supports CUDA %d.%d; %d.%d is needed: install driver "
                       "550 or later",
                       driver->version / 1000, driver->version % 1000 / 10,
                       TRIBUS_CUDA_LEAST_VERSION / 1000,
                       TRIBUS_CUDA_LEAST_VERSION % 1000 / 10);
        return false;
    }
    if (result == TRIBUS_CU_OK)
        result = driver->init(0);
    if (result == TRIBUS_CU_OK)
        result = driver->device_get_count(&driver->devices);
    if (result == TRIBUS_CU_NO_DEVICE || (result == TRIBUS_CU_OK && driver->devices < 1)) {
        (void)snprintf(why, why_bytes, "the driver finds no CUDA device");
        return false;
    }
    if (result != TRIBUS_CU_OK) {
        (void)snprintf(why, why_bytes, "the driver does not start: %s",
                       text_of(driver, result));
        return false;
    }
    return true;
}

tribus_status tribus_cuda_driver_load(const char *path, tribus_cuda_driver *out, char *why,
                                      size_t why_bytes)
{
    memset(out, 0, sizeof(*out));
    out->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (out->library == NULL) {
        const char *text = dlerror();

        /* "x: cannot open shared object file: No such file or directory" says only that. */
        if (text == NULL || strstr(text, "No such file") != NULL)
            (void)snprintf(why, why_bytes, "no %s: no NVIDIA driver", path);
        else
            (void)snprintf(why, why_bytes, "%s cannot be loaded: %s", path, text);
        return tribus_error_set(TRIBUS_UNSUPPORTED, "%s", why);
    }
    if (!look_up(out, why, why_bytes) || !start(out, why, why_bytes)) {
        tribus_cuda_driver_unload(out);
        return tribus_error_set(TRIBUS_UNSUPPORTED, "%s", why);
    }
    look_up_green(out);
    return TRIBUS_OK;
}

void tribus_cuda_driver_unload(tribus_cuda_driver *driver)
{
    if (driver->library != NULL)
        (void)dlclose(driver->library);
    memset(driver, 0, sizeof(*driver));
}

static struct {
    pthread_once_t once;
    tribus_cuda_driver driver;
    char why[WHY_BYTES];
    bool usable;
} the = {.once = PTHREAD_ONCE_INIT};

static void load_the(void)
{
    const char *path = getenv("TRIBUS_CUDA_DRIVER");

    the.usable = tribus_cuda_driver_load(path != NULL ? path : "libcuda.so.1", &the.driver,
                                         the.why, sizeof(the.why)) == TRIBUS_OK;
    tribus_error_clear(); /* to be absent is no fault; who asks gets the reason */
}

const tribus_cuda_driver *tribus_cuda_driver_get(const char **why)
{
    (void)pthread_once(&the.once, load_the);
    if (why != NULL)
        *why = the.why;
    return the.usable ? &the.driver : NULL;
}

tribus_status tribus_cuda_driver_check(const tribus_cuda_driver *driver,
                                       tribus_cu_result result, const char *what)
{
    const char *name = NULL;

    if (result == TRIBUS_CU_OK)
        return TRIBUS_OK;
    if (driver->get_error_name(result, &name) != TRIBUS_CU_OK || name == NULL)
        name = "CUDA error";
    errno = EIO; /* the system's own number for "a device failed" */
    return tribus_error_set(result == TRIBUS_CU_OUT_OF_MEMORY ? TRIBUS_NO_MEMORY
                                                              : TRIBUS_SYSTEM,
                            "%s: %s (%d): %s", what, name, result, text_of(driver, result));
}
