/* cuda_image.h -- the kernels of this build, as nvcc made them and cmake/cuda.cmake embedded
 * them: one fat binary for each .cu file. A build without nvcc has none. */
#ifndef TRIBUS_DEVICE_CUDA_IMAGE_H
#define TRIBUS_DEVICE_CUDA_IMAGE_H

#include <stdint.h>

typedef struct tribus_cuda_image {
    const char *name; /* of the source file, "cuda_kernels" */
    const void *start;
} tribus_cuda_image;

extern const tribus_cuda_image tribus_cuda_images[]; /* ends with a name of NULL */

/* "nvcc 13.0", or why there are none. */
extern const char tribus_cuda_image_origin[];

#endif
