/* cuda_abi.h -- the types and constants of NVIDIA's driver interface that Tribus uses.
 *
 * Declared here so that the build needs no CUDA headers: the driver is loaded at run time.
 * Source: "CUDA Driver API", CUDA Toolkit 13.0 documentation and its cuda.h; the values are
 * part of that library's ABI and have not changed since the releases named at each.
 * tests/cuda/abi_check.c compares every one of them with the real header where it exists.
 */
#ifndef TRIBUS_DEVICE_CUDA_ABI_H
#define TRIBUS_DEVICE_CUDA_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t tribus_cu_result;  /* CUresult */
typedef int32_t tribus_cu_device;  /* CUdevice */
typedef uint64_t tribus_cu_ptr;    /* CUdeviceptr, an unsigned long long */
typedef uint64_t tribus_cu_handle; /* CUmemGenericAllocationHandle */
typedef struct tribus_cu_opaque_context *tribus_cu_context;
typedef struct tribus_cu_opaque_stream *tribus_cu_stream;
typedef struct tribus_cu_opaque_event *tribus_cu_event;
typedef struct tribus_cu_opaque_module *tribus_cu_module;
typedef struct tribus_cu_opaque_function *tribus_cu_function;
typedef struct tribus_cu_opaque_graph *tribus_cu_graph;
typedef struct tribus_cu_opaque_graph_exec *tribus_cu_graph_exec;
typedef struct tribus_cu_opaque_green *tribus_cu_green; /* CUgreenCtx */
typedef struct tribus_cu_opaque_resource_desc
    *tribus_cu_resource_desc; /* CUdevResourceDesc */

enum { /* CUresult */
       TRIBUS_CU_OK = 0,
       TRIBUS_CU_INVALID_VALUE = 1,
       TRIBUS_CU_OUT_OF_MEMORY = 2,
       TRIBUS_CU_NO_DEVICE = 100,
       TRIBUS_CU_NO_BINARY_FOR_GPU = 209,
       TRIBUS_CU_NOT_FOUND = 500,
       TRIBUS_CU_NOT_READY = 600,
       TRIBUS_CU_PEER_ACCESS_ALREADY_ENABLED = 704,
       TRIBUS_CU_HOST_ALREADY_REGISTERED = 712,
       TRIBUS_CU_NOT_SUPPORTED = 801,
       TRIBUS_CU_STREAM_CAPTURE_UNSUPPORTED = 900
};

enum { /* CUdevice_attribute */
       TRIBUS_CU_ATTRIBUTE_MULTIPROCESSORS = 16,
       TRIBUS_CU_ATTRIBUTE_L2_BYTES = 38,
       TRIBUS_CU_ATTRIBUTE_MAJOR = 75,
       TRIBUS_CU_ATTRIBUTE_MINOR = 76,
       TRIBUS_CU_ATTRIBUTE_VIRTUAL_MEMORY = 102,
       TRIBUS_CU_ATTRIBUTE_POSIX_FD = 103,
       TRIBUS_CU_ATTRIBUTE_STREAM_MEMOPS_64 = 122
};

enum { /* flags of the calls */
       TRIBUS_CU_STREAM_NON_BLOCKING = 1,
       TRIBUS_CU_EVENT_DISABLE_TIMING = 2,
       TRIBUS_CU_WAIT_GEQ = 0,      /* (int64_t)(*address - value) >= 0 */
       TRIBUS_CU_WRITE_DEFAULT = 0, /* after a memory barrier */
       TRIBUS_CU_HOST_REGISTER_PORTABLE = 1,
       TRIBUS_CU_HOST_REGISTER_DEVICEMAP = 2,
       TRIBUS_CU_ALLOCATION_PINNED = 1,
       TRIBUS_CU_HANDLE_POSIX_FD = 1,
       TRIBUS_CU_LOCATION_DEVICE = 1,
       TRIBUS_CU_ACCESS_READ = 1,
       TRIBUS_CU_ACCESS_READ_WRITE = 3,
       TRIBUS_CU_GRANULARITY_RECOMMENDED = 1,
       TRIBUS_CU_FUNC_MAX_DYNAMIC_SHARED = 8,
       TRIBUS_CU_FUNC_NON_PORTABLE_CLUSTER = 14,
       TRIBUS_CU_CAPTURE_THREAD_LOCAL = 1,
       TRIBUS_CU_RESOURCE_SM = 1,
       TRIBUS_CU_GREEN_DEFAULT_STREAM = 1
};

typedef struct tribus_cu_location { /* CUmemLocation */
    int32_t type;
    int32_t id;
} tribus_cu_location;

typedef struct tribus_cu_allocation { /* CUmemAllocationProp */
    int32_t type;
    int32_t handle_types;
    tribus_cu_location location;
    void *win32;
    uint8_t compression;
    uint8_t gpu_direct_rdma;
    uint16_t usage;
    uint8_t reserved[4];
} tribus_cu_allocation;

typedef struct tribus_cu_access { /* CUmemAccessDesc */
    tribus_cu_location location;
    int32_t flags;
} tribus_cu_access;

typedef struct tribus_cu_resource { /* CUdevResource of the type SM; CUDA 12.4 on */
    int32_t type;
    uint8_t reserved[92];
    uint32_t multiprocessors; /* sm.smCount */
    uint8_t more[44];
} tribus_cu_resource;

#ifndef __cplusplus
_Static_assert(sizeof(tribus_cu_resource) == 144, "ABI");
_Static_assert(sizeof(tribus_cu_allocation) == 32, "ABI");
_Static_assert(sizeof(tribus_cu_access) == 12, "ABI");
#endif

#endif
