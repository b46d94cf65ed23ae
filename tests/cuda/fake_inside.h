/* fake_inside.h -- what the files of the fake driver share.
 *
 * fake_driver.c   what tests steer; driver, device, contexts
 * fake_memory.c   allocations, descriptors, mappings, registered memory
 * fake_stream.c   streams, events, copies: a queue of operations and a thread that does them
 * fake_module.c   modules, kernels, graphs
 * fake_kernels.c  kernels that are always there
 */
#ifndef TRIBUS_TESTS_FAKE_INSIDE_H
#define TRIBUS_TESTS_FAKE_INSIDE_H

#include "device/cuda_abi.h"
#include "fake_driver.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define FAKE_KERNELS        64
#define FAKE_ARGUMENT_BYTES 2048u

typedef struct fake_kernel {
    const char *name;
    fake_kernel_fn fn;
    unsigned bytes; /* of its argument */
} fake_kernel;

typedef struct fake_state {
    pthread_mutex_t lock;
    const char *fail_symbol;
    int fail_nth, fail_code, failed;
    uint64_t calls;
    int live;
    fake_hook_fn hook;
    void *hook_context;
    int devices, version, init_result;
    fake_kernel kernels[FAKE_KERNELS];
} fake_state;

extern fake_state fake;

/* Registered when the library is loaded; NULL ends them. */
extern const fake_kernel fake_kernels[];

/* Handles, mappings, streams ... made and given back. */
void fake_count(int by);

/* What this call is to answer before it does anything. */
tribus_cu_result fake_begin(const char *symbol);

#define BEGIN(symbol)                                                                      \
    do {                                                                                   \
        const tribus_cu_result begun = fake_begin(symbol);                                 \
        if (begun != TRIBUS_CU_OK)                                                         \
            return begun;                                                                  \
    } while (0)

/* ---- streams ---- */

typedef enum fake_kind {
    FAKE_WRITE,
    FAKE_WAIT,
    FAKE_COPY,
    FAKE_SET,
    FAKE_KERNEL,
    FAKE_EVENT,
    FAKE_WAIT_EVENT
} fake_kind;

typedef struct fake_event {
    uint64_t recorded, done;
} fake_event;

typedef struct fake_operation {
    struct fake_operation *next;
    fake_kind kind;
    void *to;
    const void *from;
    uint64_t value;
    size_t bytes;
    fake_event *event;
    fake_kernel_fn kernel;
    fake_grid grid;
    _Alignas(16) unsigned char argument[FAKE_ARGUMENT_BYTES];
} fake_operation;

/* Operations in their order; what a captured stream was given. */
typedef struct fake_list {
    fake_operation *first, **last;
} fake_list;

/* Queue a copy of the operation, or add it to what the stream captures. */
tribus_cu_result fake_enqueue(tribus_cu_stream stream, const fake_operation *given);

/* From here on what the stream is given is kept in list, which is the caller's, and not
 * done; NULL ends that. Returns the list until now. */
fake_list *fake_capture(tribus_cu_stream stream, fake_list *list);

static inline void *fake_at(tribus_cu_ptr address)
{
    return (void *)(uintptr_t)address;
}

#endif
