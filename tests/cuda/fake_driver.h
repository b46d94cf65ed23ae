/* fake_driver.h -- a driver of ours that does on host memory what NVIDIA's does on a card, so
 * that the protocol of the CUDA device is tested where there is none. Its streams are threads:
 * waits and writes of values are as asynchronous as on a card. Not a model of speed.
 *
 * The library is loaded through TRIBUS_CUDA_DRIVER; tests reach these by dlsym.
 */
#ifndef TRIBUS_TESTS_FAKE_DRIVER_H
#define TRIBUS_TESTS_FAKE_DRIVER_H

#include <stdint.h>

typedef struct fake_grid {
    unsigned blocks, threads;
} fake_grid;

/* Called on the thread that calls the driver, before each call does anything. */
typedef void (*fake_hook_fn)(const char *symbol, void *context);
/* Runs on the stream's thread. params: copies of the words behind the pointers given to the
 * launch; a kernel here has one argument, at most 2048 bytes. */
typedef void (*fake_kernel_fn)(const void *argument, fake_grid grid);

typedef struct fake_ops {
    void (*reset)(void);                                 /* no failures, no hook, count 0 */
    void (*fail)(const char *symbol, int nth, int code); /* nth call of it; NULL: of any */
    int (*failed)(void);                                 /* has that come? */
    uint64_t (*calls)(void);                             /* since reset */
    int (*live)(void); /* handles, mappings, streams ... not given back */
    void (*hook)(fake_hook_fn fn, void *context);
    void (*kernel)(const char *name, fake_kernel_fn fn, unsigned argument_bytes);
    void (*machine)(int devices, int version, int init_result);
} fake_ops;

/* The library's one symbol that NVIDIA's does not have. */
#define FAKE_OPS_SYMBOL "fake_driver_ops"

#endif
