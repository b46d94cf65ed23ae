/* fake_driver.c -- see fake_driver.h. Built as a library of its own, libcuda_fake.so. */
#include "device/cuda_abi.h"
#include "fake_driver.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GRANULARITY 65536u
#define KERNELS     32

static struct {
    pthread_mutex_t lock;
    const char *fail_symbol;
    int fail_nth, fail_code, failed;
    uint64_t calls;
    int live;
    fake_hook_fn hook;
    void *hook_context;
    int devices, version, init_result;
    struct {
        const char *name;
        fake_kernel_fn fn;
        unsigned bytes;
    } kernels[KERNELS];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .devices = 1, .version = 13000};

static void count(int by)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.live += by;
    (void)pthread_mutex_unlock(&fake.lock);
}

/* What this call is to answer before it does anything. */
static tribus_cu_result begin(const char *symbol)
{
    tribus_cu_result result = TRIBUS_CU_OK;
    fake_hook_fn hook;
    void *context;

    (void)pthread_mutex_lock(&fake.lock);
    fake.calls++;
    if (fake.fail_nth > 0 &&
        (fake.fail_symbol == NULL || strcmp(fake.fail_symbol, symbol) == 0) &&
        --fake.fail_nth == 0) {
        fake.failed = 1;
        result = fake.fail_code;
    }
    hook = fake.hook;
    context = fake.hook_context;
    (void)pthread_mutex_unlock(&fake.lock);
    if (hook != NULL)
        hook(symbol, context);
    return result;
}

#define BEGIN(symbol)                                                                      \
    do {                                                                                   \
        const tribus_cu_result begun = begin(symbol);                                      \
        if (begun != TRIBUS_CU_OK)                                                         \
            return begun;                                                                  \
    } while (0)

/* ---- what tests steer ---- */

static void ops_reset(void)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.fail_symbol = NULL;
    fake.fail_nth = fake.failed = 0;
    fake.calls = 0;
    fake.hook = NULL;
    (void)pthread_mutex_unlock(&fake.lock);
}

static void ops_fail(const char *symbol, int nth, int code)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.fail_symbol = symbol;
    fake.fail_nth = nth;
    fake.fail_code = code;
    fake.failed = 0;
    (void)pthread_mutex_unlock(&fake.lock);
}

static int ops_failed(void)
{
    int failed;

    (void)pthread_mutex_lock(&fake.lock);
    failed = fake.failed;
    (void)pthread_mutex_unlock(&fake.lock);
    return failed;
}

static uint64_t ops_calls(void)
{
    uint64_t calls;

    (void)pthread_mutex_lock(&fake.lock);
    calls = fake.calls;
    (void)pthread_mutex_unlock(&fake.lock);
    return calls;
}

static int ops_live(void)
{
    int live;

    (void)pthread_mutex_lock(&fake.lock);
    live = fake.live;
    (void)pthread_mutex_unlock(&fake.lock);
    return live;
}

static void ops_hook(fake_hook_fn fn, void *context)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.hook = fn;
    fake.hook_context = context;
    (void)pthread_mutex_unlock(&fake.lock);
}

static void ops_kernel(const char *name, fake_kernel_fn fn, unsigned bytes)
{
    for (int i = 0; i < KERNELS; i++)
        if (fake.kernels[i].name == NULL || strcmp(fake.kernels[i].name, name) == 0) {
            fake.kernels[i].name = name;
            fake.kernels[i].fn = fn;
            fake.kernels[i].bytes = bytes;
            return;
        }
}

static void ops_machine(int devices, int version, int init_result)
{
    fake.devices = devices;
    fake.version = version;
    fake.init_result = init_result;
}

const fake_ops fake_driver_ops = {ops_reset, ops_fail, ops_failed, ops_calls,
                                  ops_live,  ops_hook, ops_kernel, ops_machine};

/* ---- driver and device ---- */

tribus_cu_result cuInit(unsigned flags)
{
    (void)flags;
    return fake.init_result;
}

tribus_cu_result cuDriverGetVersion(int *version)
{
    *version = fake.version;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuGetErrorName(tribus_cu_result result, const char **text)
{
    *text =
        result == TRIBUS_CU_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_FAKE";
    return TRIBUS_CU_OK;
}

tribus_cu_result cuGetErrorString(tribus_cu_result result, const char **text)
{
    *text = result == TRIBUS_CU_OUT_OF_MEMORY ? "out of memory" : "a failure of the fake";
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDeviceGetCount(int *n)
{
    *n = fake.devices;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDeviceGet(tribus_cu_device *device, int index)
{
    BEGIN("cuDeviceGet");
    *device = index;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDeviceGetName(char *name, int bytes, tribus_cu_device device)
{
    (void)device;
    (void)snprintf(name, (size_t)bytes, "a card made of host memory");
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDeviceGetAttribute(int *value, int which, tribus_cu_device device)
{
    (void)device;
    *value = which == TRIBUS_CU_ATTRIBUTE_MAJOR   ? 9
             : which == TRIBUS_CU_ATTRIBUTE_MINOR ? 0
                                                  : 4;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDeviceTotalMem_v2(size_t *bytes, tribus_cu_device device)
{
    (void)device;
    *bytes = (size_t)1 << 30;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDeviceCanAccessPeer(int *can, tribus_cu_device a, tribus_cu_device b)
{
    *can = a != b;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDevicePrimaryCtxRetain(tribus_cu_context *context,
                                          tribus_cu_device device)
{
    static char cards[16];

    BEGIN("cuDevicePrimaryCtxRetain");
    *context = (tribus_cu_context)(void *)&cards[device];
    count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDevicePrimaryCtxRelease_v2(tribus_cu_device device)
{
    (void)device;
    count(-1);
    return TRIBUS_CU_OK;
}

static _Thread_local tribus_cu_context current;

tribus_cu_result cuCtxSetCurrent(tribus_cu_context context)
{
    BEGIN("cuCtxSetCurrent");
    current = context;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuCtxGetCurrent(tribus_cu_context *context)
{
    *context = current;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuCtxEnablePeerAccess(tribus_cu_context peer, unsigned flags)
{
    (void)peer, (void)flags;
    return TRIBUS_CU_OK;
}

/* ---- memory ---- */

typedef struct fake_handle {
    int fd;
} fake_handle;

static tribus_cu_result make_handle(int fd, tribus_cu_handle *out)
{
    fake_handle *h = malloc(sizeof(*h));

    if (h == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    h->fd = fd;
    *out = (tribus_cu_handle)(uintptr_t)h;
    count(1);
    return TRIBUS_CU_OK;
}

static fake_handle *handle_of(tribus_cu_handle handle)
{
    return (fake_handle *)(uintptr_t)handle;
}

static void *at(tribus_cu_ptr address)
{
    return (void *)(uintptr_t)address;
}

tribus_cu_result cuMemGetInfo_v2(size_t *left, size_t *total)
{
    *left = *total = (size_t)1 << 30;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemGetAllocationGranularity(size_t *bytes, const tribus_cu_allocation *a,
                                               int option)
{
    (void)a, (void)option;
    BEGIN("cuMemGetAllocationGranularity");
    *bytes = GRANULARITY;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemCreate(tribus_cu_handle *handle, size_t bytes,
                             const tribus_cu_allocation *a, unsigned long long flags)
{
    int fd;

    (void)flags;
    BEGIN("cuMemCreate");
    if (bytes % GRANULARITY != 0 || a->handle_types != TRIBUS_CU_HANDLE_POSIX_FD)
        return TRIBUS_CU_INVALID_VALUE;
    fd = memfd_create("fake-card", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
        return TRIBUS_CU_OUT_OF_MEMORY;
    return make_handle(fd, handle);
}

tribus_cu_result cuMemRelease(tribus_cu_handle handle)
{
    (void)close(handle_of(handle)->fd);
    free(handle_of(handle));
    count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemExportToShareableHandle(void *fd, tribus_cu_handle handle, int type,
                                              unsigned long long flags)
{
    const int copy = dup(handle_of(handle)->fd);

    (void)type, (void)flags;
    if (copy < 0)
        return TRIBUS_CU_INVALID_VALUE;
    if (begin("cuMemExportToShareableHandle") != TRIBUS_CU_OK) {
        (void)close(copy);
        return TRIBUS_CU_INVALID_VALUE;
    }
    memcpy(fd, &copy, sizeof(copy));
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemImportFromShareableHandle(tribus_cu_handle *handle, void *fd,
                                                int type)
{
    int copy;

    (void)type;
    BEGIN("cuMemImportFromShareableHandle");
    copy = dup((int)(intptr_t)fd);
    return copy < 0 ? TRIBUS_CU_INVALID_VALUE : make_handle(copy, handle);
}

tribus_cu_result cuMemAddressReserve(tribus_cu_ptr *address, size_t bytes, size_t alignment,
                                     tribus_cu_ptr hint, unsigned long long flags)
{
    void *mem;

    (void)alignment, (void)hint, (void)flags;
    BEGIN("cuMemAddressReserve");
    mem = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED)
        return TRIBUS_CU_OUT_OF_MEMORY;
    *address = (tribus_cu_ptr)(uintptr_t)mem;
    count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemAddressFree(tribus_cu_ptr address, size_t bytes)
{
    (void)munmap(at(address), bytes);
    count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemMap(tribus_cu_ptr address, size_t bytes, size_t offset,
                          tribus_cu_handle handle, unsigned long long flags)
{
    struct stat size;

    (void)flags;
    BEGIN("cuMemMap");
    if (offset != 0 || fstat(handle_of(handle)->fd, &size) != 0 ||
        (size_t)size.st_size < bytes ||
        mmap(at(address), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, handle_of(handle)->fd,
             0) == MAP_FAILED)
        return TRIBUS_CU_INVALID_VALUE;
    count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemUnmap(tribus_cu_ptr address, size_t bytes)
{
    (void)mmap(at(address), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0);
    count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemSetAccess(tribus_cu_ptr address, size_t bytes,
                                const tribus_cu_access *access, size_t n)
{
    (void)n;
    BEGIN("cuMemSetAccess");
    return mprotect(at(address), bytes,
                    access->flags == TRIBUS_CU_ACCESS_READ ? PROT_READ
                                                           : PROT_READ | PROT_WRITE) == 0
               ? TRIBUS_CU_OK
               : TRIBUS_CU_INVALID_VALUE;
}

tribus_cu_result cuMemAlloc_v2(tribus_cu_ptr *address, size_t bytes)
{
    void *mem;

    BEGIN("cuMemAlloc_v2");
    mem = calloc(1, bytes);
    if (mem == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    *address = (tribus_cu_ptr)(uintptr_t)mem;
    count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemFree_v2(tribus_cu_ptr address)
{
    free(at(address));
    count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemHostRegister_v2(void *mem, size_t bytes, unsigned flags)
{
    (void)mem, (void)bytes, (void)flags;
    BEGIN("cuMemHostRegister_v2");
    count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemHostUnregister(void *mem)
{
    (void)mem;
    count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemHostGetDevicePointer_v2(tribus_cu_ptr *address, void *mem,
                                              unsigned flags)
{
    (void)flags;
    BEGIN("cuMemHostGetDevicePointer_v2");
    *address = (tribus_cu_ptr)(uintptr_t)mem;
    return TRIBUS_CU_OK;
}

/* ---- streams and events: a queue of operations and a thread that does them ---- */

enum { OP_WRITE, OP_WAIT, OP_COPY, OP_SET, OP_KERNEL, OP_EVENT, OP_WAIT_EVENT };

typedef struct fake_event {
    uint64_t recorded, done;
} fake_event;

typedef struct operation {
    struct operation *next;
    int kind;
    void *to;
    const void *from;
    uint64_t value;
    size_t bytes;
    fake_event *event;
    fake_kernel_fn kernel;
    fake_grid grid;
    _Alignas(16) unsigned char argument[2048];
} operation;

typedef struct fake_stream {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    operation *first, **last;
    uint64_t pending;
    int stop;
} fake_stream;

static bool stopped(fake_stream *s)
{
    bool stop;

    (void)pthread_mutex_lock(&s->lock);
    stop = s->stop != 0;
    (void)pthread_mutex_unlock(&s->lock);
    return stop;
}

static void nap(void)
{
    const struct timespec t = {.tv_nsec = 20000};

    (void)nanosleep(&t, NULL);
}

static void perform(fake_stream *s, operation *op)
{
    switch (op->kind) {
    case OP_WRITE:
        __atomic_store_n((uint64_t *)op->to, op->value, __ATOMIC_RELEASE);
        break;
    case OP_WAIT:
        while ((int64_t)(__atomic_load_n((const uint64_t *)op->from, __ATOMIC_ACQUIRE) -
                         op->value) < 0 &&
               !stopped(s))
            nap();
        break;
    case OP_COPY:
        if (op->bytes == sizeof(uint64_t)) {
            const uint64_t v =
                __atomic_load_n((const uint64_t *)op->from, __ATOMIC_ACQUIRE);

            __atomic_store_n((uint64_t *)op->to, v, __ATOMIC_RELEASE);
        } else {
            for (size_t i = 0; i < op->bytes;
                 i++) { /* words that others change lie in it */
                const unsigned char v =
                    __atomic_load_n((const unsigned char *)op->from + i, __ATOMIC_ACQUIRE);

                __atomic_store_n((unsigned char *)op->to + i, v, __ATOMIC_RELEASE);
            }
        }
        break;
    case OP_SET:
        memset(op->to, (int)op->value, op->bytes);
        break;
    case OP_KERNEL:
        op->kernel(op->argument, op->grid);
        break;
    case OP_EVENT:
        __atomic_store_n(&op->event->done, op->value, __ATOMIC_RELEASE);
        break;
    case OP_WAIT_EVENT:
        while (__atomic_load_n(&op->event->done, __ATOMIC_ACQUIRE) < op->value &&
               !stopped(s))
            nap();
        break;
    default:
        break;
    }
}

static void *stream_main(void *context)
{
    fake_stream *s = context;

    (void)pthread_mutex_lock(&s->lock);
    for (;;) {
        operation *op = s->first;

        if (op == NULL) {
            if (s->stop)
                break;
            (void)pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        s->first = op->next;
        if (s->first == NULL)
            s->last = &s->first;
        (void)pthread_mutex_unlock(&s->lock);
        perform(s, op);
        free(op);
        (void)pthread_mutex_lock(&s->lock);
        s->pending--;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

static fake_stream *stream_of(tribus_cu_stream stream)
{
    return (fake_stream *)(void *)stream;
}

static tribus_cu_result enqueue(tribus_cu_stream stream, const operation *given)
{
    fake_stream *s = stream_of(stream);
    operation *op = malloc(sizeof(*op));

    if (op == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    *op = *given;
    op->next = NULL;
    (void)pthread_mutex_lock(&s->lock);
    *s->last = op;
    s->last = &op->next;
    s->pending++;
    (void)pthread_cond_signal(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuStreamCreate(tribus_cu_stream *stream, unsigned flags)
{
    fake_stream *s;

    (void)flags;
    BEGIN("cuStreamCreate");
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    s->last = &s->first;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    if (pthread_create(&s->thread, NULL, stream_main, s) != 0) {
        free(s);
        return TRIBUS_CU_OUT_OF_MEMORY;
    }
    *stream = (tribus_cu_stream)(void *)s;
    count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuStreamDestroy_v2(tribus_cu_stream stream)
{
    fake_stream *s = stream_of(stream);

    (void)pthread_mutex_lock(&s->lock);
    s->stop = 1;
    (void)pthread_cond_signal(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->thread, NULL);
    free(s);
    count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuStreamQuery(tribus_cu_stream stream)
{
    fake_stream *s = stream_of(stream);
    uint64_t pending;

    BEGIN("cuStreamQuery");
    (void)pthread_mutex_lock(&s->lock);
    pending = s->pending;
    (void)pthread_mutex_unlock(&s->lock);
    return pending == 0 ? TRIBUS_CU_OK : TRIBUS_CU_NOT_READY;
}

tribus_cu_result cuStreamSynchronize(tribus_cu_stream stream)
{
    while (cuStreamQuery(stream) == TRIBUS_CU_NOT_READY)
        nap();
    return TRIBUS_CU_OK;
}

tribus_cu_result cuStreamWriteValue64_v2(tribus_cu_stream stream, tribus_cu_ptr address,
                                         uint64_t value, unsigned flags)
{
    const operation op = {.kind = OP_WRITE, .to = at(address), .value = value};

    (void)flags;
    BEGIN("cuStreamWriteValue64_v2");
    return enqueue(stream, &op);
}

tribus_cu_result cuStreamWaitValue64_v2(tribus_cu_stream stream, tribus_cu_ptr address,
                                        uint64_t value, unsigned flags)
{
    const operation op = {.kind = OP_WAIT, .from = at(address), .value = value};

    (void)flags;
    BEGIN("cuStreamWaitValue64_v2");
    return enqueue(stream, &op);
}

tribus_cu_result cuStreamWaitEvent(tribus_cu_stream stream, tribus_cu_event event,
                                   unsigned flags)
{
    fake_event *e = (fake_event *)(void *)event;
    const operation op = {.kind = OP_WAIT_EVENT, .event = e, .value = e->recorded};

    (void)flags;
    BEGIN("cuStreamWaitEvent");
    return enqueue(stream, &op);
}

tribus_cu_result cuEventCreate(tribus_cu_event *event, unsigned flags)
{
    fake_event *e;

    (void)flags;
    BEGIN("cuEventCreate");
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    *event = (tribus_cu_event)(void *)e;
    count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuEventDestroy_v2(tribus_cu_event event)
{
    free(event);
    count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuEventRecord(tribus_cu_event event, tribus_cu_stream stream)
{
    fake_event *e = (fake_event *)(void *)event;
    operation op = {.kind = OP_EVENT, .event = e};

    BEGIN("cuEventRecord");
    op.value = ++e->recorded;
    return enqueue(stream, &op);
}

tribus_cu_result cuEventQuery(tribus_cu_event event)
{
    const fake_event *e = (const fake_event *)(void *)event;

    BEGIN("cuEventQuery");
    return __atomic_load_n(&e->done, __ATOMIC_ACQUIRE) == e->recorded ? TRIBUS_CU_OK
                                                                      : TRIBUS_CU_NOT_READY;
}

tribus_cu_result cuEventElapsedTime(float *ms, tribus_cu_event a, tribus_cu_event b)
{
    (void)a, (void)b;
    *ms = 0.0f;
    return TRIBUS_CU_OK;
}

static tribus_cu_result copy(void *to, const void *from, size_t bytes,
                             tribus_cu_stream stream)
{
    const operation op = {.kind = OP_COPY, .to = to, .from = from, .bytes = bytes};

    return enqueue(stream, &op);
}

tribus_cu_result cuMemcpyHtoDAsync_v2(tribus_cu_ptr to, const void *from, size_t bytes,
                                      tribus_cu_stream stream)
{
    BEGIN("cuMemcpyHtoDAsync_v2");
    return copy(at(to), from, bytes, stream);
}

tribus_cu_result cuMemcpyDtoHAsync_v2(void *to, tribus_cu_ptr from, size_t bytes,
                                      tribus_cu_stream stream)
{
    BEGIN("cuMemcpyDtoHAsync_v2");
    return copy(to, at(from), bytes, stream);
}

tribus_cu_result cuMemcpyDtoDAsync_v2(tribus_cu_ptr to, tribus_cu_ptr from, size_t bytes,
                                      tribus_cu_stream stream)
{
    BEGIN("cuMemcpyDtoDAsync_v2");
    return copy(at(to), at(from), bytes, stream);
}

tribus_cu_result cuMemsetD8Async(tribus_cu_ptr to, unsigned char value, size_t bytes,
                                 tribus_cu_stream stream)
{
    const operation op = {.kind = OP_SET, .to = at(to), .value = value, .bytes = bytes};

    BEGIN("cuMemsetD8Async");
    return enqueue(stream, &op);
}

/* ---- kernels ---- */

tribus_cu_result cuModuleLoadData(tribus_cu_module *module, const void *image)
{
    BEGIN("cuModuleLoadData");
    *module = (tribus_cu_module)(uintptr_t)image;
    count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuModuleUnload(tribus_cu_module module)
{
    (void)module;
    count(-1);
    return TRIBUS_CU_OK;
}

/* Every module has every kernel that a test has registered. */
tribus_cu_result cuModuleGetFunctionCount(unsigned *n, tribus_cu_module module)
{
    (void)module;
    BEGIN("cuModuleGetFunctionCount");
    for (*n = 0; *n < KERNELS && fake.kernels[*n].name != NULL;)
        ++*n;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuModuleEnumerateFunctions(tribus_cu_function *functions, unsigned most,
                                            tribus_cu_module module)
{
    (void)module;
    BEGIN("cuModuleEnumerateFunctions");
    for (unsigned i = 0; i < most; i++)
        functions[i] = (tribus_cu_function)(void *)&fake.kernels[i];
    return TRIBUS_CU_OK;
}

tribus_cu_result cuFuncGetName(const char **name, tribus_cu_function function)
{
    const __typeof__(&fake.kernels[0]) kernel = (void *)function;

    BEGIN("cuFuncGetName");
    *name = kernel->name;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuFuncLoad(tribus_cu_function function)
{
    (void)function;
    BEGIN("cuFuncLoad");
    return TRIBUS_CU_OK;
}

tribus_cu_result cuFuncSetAttribute(tribus_cu_function function, int attribute, int value)
{
    (void)function, (void)attribute, (void)value;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuLaunchKernel(tribus_cu_function function, unsigned grid_x,
                                unsigned grid_y, unsigned grid_z, unsigned block_x,
                                unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                tribus_cu_stream stream, void **params, void **extra)
{
    const int which =
        (int)((__typeof__(&fake.kernels[0]))(void *)function - &fake.kernels[0]);
    operation op = {.kind = OP_KERNEL, .grid = {grid_x, block_x}};

    (void)grid_y, (void)grid_z, (void)block_y, (void)block_z, (void)shared_bytes,
        (void)extra;
    BEGIN("cuLaunchKernel");
    op.kernel = fake.kernels[which].fn;
    memcpy(op.argument, params[0], fake.kernels[which].bytes);
    return enqueue(stream, &op);
}

/* Graphs are not part of the fake: a program must do without them. */
#define UNSUPPORTED 801

tribus_cu_result cuStreamBeginCapture_v2(tribus_cu_stream stream, int mode)
{
    (void)stream, (void)mode;
    return UNSUPPORTED;
}

tribus_cu_result cuStreamEndCapture(tribus_cu_stream stream, tribus_cu_graph *graph)
{
    (void)stream, (void)graph;
    return UNSUPPORTED;
}

tribus_cu_result cuGraphInstantiateWithFlags(tribus_cu_graph_exec *exec,
                                             tribus_cu_graph graph,
                                             unsigned long long flags)
{
    (void)exec, (void)graph, (void)flags;
    return UNSUPPORTED;
}

tribus_cu_result cuGraphLaunch(tribus_cu_graph_exec exec, tribus_cu_stream stream)
{
    (void)exec, (void)stream;
    return UNSUPPORTED;
}

tribus_cu_result cuGraphExecDestroy(tribus_cu_graph_exec exec)
{
    (void)exec;
    return UNSUPPORTED;
}

tribus_cu_result cuGraphDestroy(tribus_cu_graph graph)
{
    (void)graph;
    return UNSUPPORTED;
}
