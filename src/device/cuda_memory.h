/* cuda_memory.h -- memory of a card that processes share, and host memory it can reach.
 *
 * An allocation is exported as a file descriptor at once and its handle given back: from
 * then on descriptors and mappings keep the bytes, whoever made them. A descriptor imported
 * before gives the same mapping again: an import and its mapping cost 186 us on an H200.
 */
#ifndef TRIBUS_DEVICE_CUDA_MEMORY_H
#define TRIBUS_DEVICE_CUDA_MEMORY_H

#include "device/cuda_context.h"

/* As tribus_device_memory_create() and its kin. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_memory_create(tribus_cuda_context *context,
                                                          size_t bytes, int *fd,
                                                          tribus_device_memory *out);
TRIBUS_MUST_CHECK tribus_status tribus_cuda_memory_open(tribus_cuda_context *context,
                                                        int fd, size_t bytes, bool writable,
                                                        tribus_device_memory *out);
void tribus_cuda_memory_close(tribus_cuda_context *context, tribus_device_memory *memory);

/* As tribus_device_register() and its kin; registering the same memory again only counts. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_memory_register(tribus_cuda_context *context,
                                                            void *mem, size_t bytes,
                                                            void **data);
void tribus_cuda_memory_unregister(tribus_cuda_context *context, void *mem);

/* Everything still open, when the context goes. */
void tribus_cuda_memory_close_all(tribus_cuda_context *context);

#endif
