/* nvml_fake.c -- NVIDIA's management library as far as src/monitor/nvml.c uses it, with two
 * cards that never change: the second one tells only its memory. */
#include <stdio.h>

#define NOT_SUPPORTED 3

typedef struct card {
    int index;
} card;

static card cards[2] = {{0}, {1}};

int nvmlInit_v2(void)
{
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = 2;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, card **out)
{
    if (index > 1)
        return 2;
    *out = &cards[index];
    return 0;
}

const char *nvmlErrorString(int result)
{
    return result == NOT_SUPPORTED ? "Not Supported" : "Invalid Argument";
}

int nvmlDeviceGetName(card *c, char *name, unsigned bytes)
{
    (void)snprintf(name, bytes, "a card of numbers %d", c->index);
    return 0;
}

int nvmlDeviceGetUtilizationRates(card *c, unsigned out[2])
{
    out[0] = 99;
    out[1] = 42;
    return c->index == 0 ? 0 : NOT_SUPPORTED;
}

int nvmlDeviceGetMemoryInfo(card *c, unsigned long long out[3])
{
    (void)c;
    out[0] = 1000;
    out[1] = 600;
    out[2] = 400;
    return 0;
}

int nvmlDeviceGetClockInfo(card *c, int type, unsigned *mhz)
{
    *mhz = type == 1 ? 1980 : 3201;
    return c->index == 0 ? 0 : NOT_SUPPORTED;
}

int nvmlDeviceGetPowerUsage(card *c, unsigned *milliwatts)
{
    *milliwatts = 350500;
    return c->index == 0 ? 0 : NOT_SUPPORTED;
}

int nvmlDeviceGetTemperature(card *c, int sensor, unsigned *celsius)
{
    *celsius = sensor == 0 ? 45 : 0;
    return c->index == 0 ? 0 : NOT_SUPPORTED;
}

int nvmlDeviceGetPcieThroughput(card *c, int direction, unsigned *kb_per_s)
{
    *kb_per_s = direction == 0 ? 100 : 200;
    return c->index == 0 ? 0 : NOT_SUPPORTED;
}

/* nvmlFieldValue_t as NVIDIA documents it. */
typedef struct field_value {
    unsigned field, scope;
    long long timestamp, latency;
    int type, result;
    union {
        unsigned long long ull;
    } value;
} field_value;

int nvmlDeviceGetFieldValues(card *c, int count, field_value *values)
{
    for (int i = 0; i < count; i++) {
        values[i].result =
            c->index == 0 && values[i].scope == 0xffffffffu ? 0 : NOT_SUPPORTED;
        values[i].value.ull = values[i].field == 138 ? 7 : values[i].field == 139 ? 9 : 0;
    }
    return 0;
}
