/* fake_driver.c -- see fake_driver.h. Built as a library of its own, libcuda_fake.so: what
 * tests steer, and the calls about driver, device and contexts. */
#include "fake_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fake_state fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .devices = 1, .version = 13000};

void fake_count(int by)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.live += by;
    (void)pthread_mutex_unlock(&fake.lock);
}

tribus_cu_result fake_begin(const char *symbol)
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
    for (int i = 0; i < FAKE_KERNELS; i++)
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

/* Once a process: what is there without a test's doing. TRIBUS_FAKE_CARDS: how many cards. */
__attribute__((constructor)) static void load(void)
{
    const char *cards = getenv("TRIBUS_FAKE_CARDS");

    for (int i = 0; fake_kernels[i].name != NULL; i++)
        ops_kernel(fake_kernels[i].name, fake_kernels[i].fn, fake_kernels[i].bytes);
    if (cards != NULL)
        fake.devices = atoi(cards);
}

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
    fake_count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDevicePrimaryCtxRelease_v2(tribus_cu_device device)
{
    (void)device;
    fake_count(-1);
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
