/* cuda_driver.h -- NVIDIA's driver as a table of functions, loaded when first asked for.
 *
 * Use it to   call the driver: cu->stream_create(&stream, 0).
 * Not for     deciding what to do when it is absent: the device's row says why (device.h).
 *
 * Memory      tribus_cuda_driver_get() gives one table a process, never freed: the driver
 *             cannot be unloaded while a context of anybody's lives.
 * Threads     Loaded once, whoever comes first; the table is constant afterwards.
 * Trust       TRIBUS_CUDA_DRIVER names another library than libcuda.so.1, for tests; it is
 *             code we run, so it is as trusted as LD_LIBRARY_PATH.
 */
#ifndef TRIBUS_DEVICE_CUDA_DRIVER_H
#define TRIBUS_DEVICE_CUDA_DRIVER_H

#include "device/cuda_abi.h"
#include "tribus/status.h"

#include <stdbool.h>

/* The least driver, for cuFuncLoad: without it a kernel is loaded at its first launch, which
 * waits for the card to be idle and so for a stream that may be waiting for that launch. */
#define TRIBUS_CUDA_LEAST_VERSION 12040

typedef struct tribus_cuda_driver {
#define CALL(field, symbol, args) tribus_cu_result(*field) args;
#include "device/cuda_calls.def"
#include "device/cuda_calls_green.def" /* all NULL where one is missing */
#undef CALL
    void *library;
    int version; /* 1000 * major + 10 * minor of the CUDA that the driver supports */
    int devices;
} tribus_cuda_driver;

/* Load a library, look every call up, initialise it and count its devices. why: one line
 * when it cannot be used. out: fill of the caller's struct; give it to
 * tribus_cuda_driver_unload() unless contexts were made.
 * Returns TRIBUS_OK or TRIBUS_UNSUPPORTED (*why and the error text say why). */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_driver_load(const char *path,
                                                        tribus_cuda_driver *out, char *why,
                                                        size_t why_bytes);
void tribus_cuda_driver_unload(tribus_cuda_driver *driver);

/* This process's driver, or NULL: *why, a constant, says why. */
const tribus_cuda_driver *tribus_cuda_driver_get(const char **why);

/* Turn a driver's answer into a status, with "what: name: text" as the error text.
 * Out of memory gives TRIBUS_NO_MEMORY, anything else TRIBUS_SYSTEM; OK stays OK. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_driver_check(const tribus_cuda_driver *driver,
                                                         tribus_cu_result result,
                                                         const char *what);

#endif
