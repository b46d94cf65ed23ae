/* cuda_kernels.h -- the rows of kernels.c that run on a card: how each is launched.
 *
 * Scratch begins with TRIBUS_CUDA_KERNELS_WORK_BYTES for histograms and partial sums; what
 * the row asked for follows.
 */
#ifndef TRIBUS_DEVICE_CUDA_KERNELS_H
#define TRIBUS_DEVICE_CUDA_KERNELS_H

#include "device/device.h"

#define TRIBUS_CUDA_KERNELS_WORK_BYTES 65536u

/* Parameter "exact" 0, the fallback: mc_cuda.h, the same paths within the tolerance stated
 * in mc_cuda.cu. 1: the same paths, same bits as on the CPU; mean and deviation are summed in another order and
 * agree within 1e-12 of their size. Numbers that make no sense (not finite, a negative
 * volatility) give NaN results, since the card cannot return a status. */
TRIBUS_MUST_CHECK tribus_status
tribus_cuda_kernels_mc_var_es(tribus_device *device, const tribus_kernel_args *args);

#endif
