/* nvml.c -- see nvml.h. Types and numbers: "NVML API Reference", driver 580; all of them are
 * part of that library's ABI, and the newest call is from driver 450. */
#include "monitor/nvml.h"
#include "base/error.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CARDS_MOST        64u
#define CLOCK_SM          1
#define CLOCK_MEMORY      2
#define PCIE_SENT         0
#define PCIE_RECEIVED     1
#define FIELD_NVLINK_SENT 138u /* KiB of data, all links when the scope is UINT_MAX */
#define FIELD_NVLINK_GOT  139u

typedef struct nvml_card *card_handle; /* nvmlDevice_t */

typedef struct field_value { /* nvmlFieldValue_t */
    uint32_t field, scope;
    int64_t timestamp_us, latency_us;
    int32_t type, result;
    uint64_t value;
} field_value;

_Static_assert(sizeof(field_value) == 40, "ABI");

typedef struct library {
    void *handle;
    int (*init)(void);
    int (*device_count)(unsigned *count);
    int (*device_at)(unsigned index, card_handle *out);
    const char *(*error_text)(int result);
    int (*device_name)(card_handle card, char *name, unsigned bytes);
    int (*busy)(card_handle card, unsigned out[2]); /* nvmlUtilization_t: gpu, memory */
    int (*memory)(card_handle card, unsigned long long out[3]); /* total, free, used */
    int (*clock)(card_handle card, int type, unsigned *mhz);
    int (*power)(card_handle card, unsigned *milliwatts);
    int (*temperature)(card_handle card, int sensor, unsigned *celsius);
    int (*pcie)(card_handle card, int direction, unsigned *kb_per_s);
    int (*fields)(card_handle card, int count, field_value *values);
} library;

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
    {"nvmlInit_v2", offsetof(library, init)},
    {"nvmlDeviceGetCount_v2", offsetof(library, device_count)},
    {"nvmlDeviceGetHandleByIndex_v2", offsetof(library, device_at)},
    {"nvmlErrorString", offsetof(library, error_text)},
    {"nvmlDeviceGetName", offsetof(library, device_name)},
    {"nvmlDeviceGetUtilizationRates", offsetof(library, busy)},
    {"nvmlDeviceGetMemoryInfo", offsetof(library, memory)},
    {"nvmlDeviceGetClockInfo", offsetof(library, clock)},
    {"nvmlDeviceGetPowerUsage", offsetof(library, power)},
    {"nvmlDeviceGetTemperature", offsetof(library, temperature)},
    {"nvmlDeviceGetPcieThroughput", offsetof(library, pcie)},
    {"nvmlDeviceGetFieldValues", offsetof(library, fields)},
};

static struct {
    pthread_once_t once;
    library nvml;
    uint32_t count;
    char why[200];
} the = {.once = PTHREAD_ONCE_INIT};

/* Functions are looked up as data pointers; POSIX says that both have one size. */
static bool look_up(library *l)
{
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        void *const found = dlsym(l->handle, symbols[i].name);

        if (found == NULL) {
            (void)snprintf(the.why, sizeof(the.why), "the driver's library has no %s",
                           symbols[i].name);
            return false;
        }
        memcpy((unsigned char *)l + symbols[i].offset, &found, sizeof(found));
    }
    return true;
}

static void load_the(void)
{
    const char *path = getenv("TRIBUS_NVML");
    library *l = &the.nvml;
    unsigned count = 0;
    int result;

    path = path != NULL ? path : "libnvidia-ml.so.1";
    l->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (l->handle == NULL) {
        (void)snprintf(the.why, sizeof(the.why), "no %s: no NVIDIA driver", path);
        return;
    }
    if (!look_up(l))
        return;
    result = l->init();
    if (result == 0)
        result = l->device_count(&count);
    if (result != 0)
        (void)snprintf(the.why, sizeof(the.why), "%s does not start: %s", path,
                       l->error_text(result));
    else if (count == 0)
        (void)snprintf(the.why, sizeof(the.why), "%s finds no card", path);
    the.count = result != 0 ? 0 : count > CARDS_MOST ? CARDS_MOST : count;
}

uint32_t tribus_nvml_count(const char **why)
{
    (void)pthread_once(&the.once, load_the);
    if (why != NULL)
        *why = the.why;
    return the.count;
}

/* ---- one look ---- */

static void read_traffic(const library *l, card_handle card, tribus_nvml_card *out)
{
    unsigned sent = 0, received = 0;

    if (l->pcie(card, PCIE_SENT, &sent) != 0 ||
        l->pcie(card, PCIE_RECEIVED, &received) != 0)
        return;
    out->known |= TRIBUS_NVML_PCIE;
    out->pcie_sent_bytes_per_s = (uint64_t)sent * 1024u;
    out->pcie_received_bytes_per_s = (uint64_t)received * 1024u;
}

static void read_links(const library *l, card_handle card, tribus_nvml_card *out)
{
    field_value values[2] = {{.field = FIELD_NVLINK_SENT, .scope = UINT32_MAX},
                             {.field = FIELD_NVLINK_GOT, .scope = UINT32_MAX}};

    if (l->fields(card, 2, values) != 0 || values[0].result != 0 || values[1].result != 0)
        return;
    out->known |= TRIBUS_NVML_NVLINK;
    out->nvlink_sent_bytes = values[0].value * 1024u;
    out->nvlink_received_bytes = values[1].value * 1024u;
}

static void read_load(const library *l, card_handle card, tribus_nvml_card *out)
{
    unsigned long long memory[3] = {0};
    unsigned busy[2] = {0}, sm = 0, mhz = 0, milliwatts = 0, celsius = 0;

    if (l->busy(card, busy) == 0) {
        out->known |= TRIBUS_NVML_BUSY;
        out->busy = (double)busy[0] / 100.0;
        out->memory_busy = (double)busy[1] / 100.0;
    }
    if (l->memory(card, memory) == 0) {
        out->known |= TRIBUS_NVML_MEMORY;
        out->memory_total_bytes = memory[0];
        out->memory_used_bytes = memory[2];
    }
    if (l->clock(card, CLOCK_SM, &sm) == 0 && l->clock(card, CLOCK_MEMORY, &mhz) == 0) {
        out->known |= TRIBUS_NVML_CLOCKS;
        out->multiprocessor_hz = (uint64_t)sm * 1000000u;
        out->memory_hz = (uint64_t)mhz * 1000000u;
    }
    if (l->power(card, &milliwatts) == 0) {
        out->known |= TRIBUS_NVML_POWER;
        out->power_watts = (double)milliwatts / 1000.0;
    }
    if (l->temperature(card, 0, &celsius) == 0) {
        out->known |= TRIBUS_NVML_TEMPERATURE;
        out->temperature_celsius = (double)celsius;
    }
}

tribus_status tribus_nvml_read(uint32_t index, bool traffic, tribus_nvml_card *out)
{
    const char *why = NULL;
    const uint32_t count = tribus_nvml_count(&why);
    const library *l = &the.nvml;
    card_handle card = NULL;
    int result;

    if (index >= count)
        return tribus_error_set(TRIBUS_NOT_FOUND, "card %u of %u: %s", index, count,
                                count > 0 ? "there are no more" : why);
    memset(out, 0, sizeof(*out));
    result = l->device_at(index, &card);
    if (result != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "card %u: %s", index, l->error_text(result));
    if (l->device_name(card, out->name, sizeof(out->name)) != 0)
        (void)snprintf(out->name, sizeof(out->name), "card without a name");
    out->name[sizeof(out->name) - 1] = '\0';
    read_load(l, card, out);
    read_links(l, card, out);
    if (traffic)
        read_traffic(l, card, out);
    return TRIBUS_OK;
}

/* ---- metrics ---- */

typedef struct value_row {
    tribus_metric metric;
    uint32_t known;
    bool whole;
    size_t offset;
    const char *direction; /* a second label, or NULL */
} value_row;

#define ROW(name, help, type, bit, whole, field, direction)                                \
    {                                                                                      \
        {"tribus_card_" name, help, type}, bit, whole, offsetof(tribus_nvml_card, field),  \
            direction                                                                      \
    }

static const value_row value_rows[] = {
    ROW("busy_ratio", "Part of the time in which a kernel ran.", TRIBUS_METRIC_GAUGE,
        TRIBUS_NVML_BUSY, false, busy, NULL),
    ROW("memory_busy_ratio", "Part of the time in which memory was read or written.",
        TRIBUS_METRIC_GAUGE, TRIBUS_NVML_BUSY, false, memory_busy, NULL),
    ROW("memory_used_bytes", "Memory of the card in use.", TRIBUS_METRIC_GAUGE,
        TRIBUS_NVML_MEMORY, true, memory_used_bytes, NULL),
    ROW("memory_total_bytes", "Memory of the card.", TRIBUS_METRIC_GAUGE,
        TRIBUS_NVML_MEMORY, true, memory_total_bytes, NULL),
    ROW("multiprocessor_hertz", "Clock of the multiprocessors.", TRIBUS_METRIC_GAUGE,
        TRIBUS_NVML_CLOCKS, true, multiprocessor_hz, NULL),
    ROW("memory_hertz", "Clock of the memory.", TRIBUS_METRIC_GAUGE, TRIBUS_NVML_CLOCKS,
        true, memory_hz, NULL),
    ROW("power_watts", "Power drawn.", TRIBUS_METRIC_GAUGE, TRIBUS_NVML_POWER, false,
        power_watts, NULL),
    ROW("temperature_celsius", "Temperature.", TRIBUS_METRIC_GAUGE, TRIBUS_NVML_TEMPERATURE,
        false, temperature_celsius, NULL),
    ROW("pcie_bytes_per_second", "Traffic between the card and the host.",
        TRIBUS_METRIC_GAUGE, TRIBUS_NVML_PCIE, true, pcie_sent_bytes_per_s, "sent"),
    ROW("pcie_bytes_per_second", "Traffic between the card and the host.",
        TRIBUS_METRIC_GAUGE, TRIBUS_NVML_PCIE, true, pcie_received_bytes_per_s, "received"),
    ROW("nvlink_bytes_total", "Data between this card and others.", TRIBUS_METRIC_COUNTER,
        TRIBUS_NVML_NVLINK, true, nvlink_sent_bytes, "sent"),
    ROW("nvlink_bytes_total", "Data between this card and others.", TRIBUS_METRIC_COUNTER,
        TRIBUS_NVML_NVLINK, true, nvlink_received_bytes, "received"),
};

static void collect_card(tribus_metrics *m, uint32_t index)
{
    tribus_nvml_card card;
    char number[16];

    if (tribus_nvml_read(index, true, &card) != TRIBUS_OK) {
        tribus_error_clear(); /* fallen off the bus: no values are the news */
        return;
    }
    (void)snprintf(number, sizeof(number), "%u", index);
    for (size_t i = 0; i < sizeof(value_rows) / sizeof(value_rows[0]); i++) {
        const value_row *row = &value_rows[i];
        const unsigned char *at = (const unsigned char *)&card + row->offset;
        const tribus_metric_label labels[] = {
            {"card", number},
            {"name", card.name},
            {row->direction != NULL ? "direction" : NULL, row->direction}};
        uint64_t whole;
        double value;

        if ((card.known & row->known) == 0)
            continue;
        memcpy(&whole, at, sizeof(whole));
        memcpy(&value, at, sizeof(value));
        if (row->whole)
            tribus_metrics_add_count(m, &row->metric, labels, whole);
        else
            tribus_metrics_add(m, &row->metric, labels, value);
    }
}

void tribus_nvml_collect(tribus_metrics *m)
{
    const uint32_t count = tribus_nvml_count(NULL);

    for (uint32_t i = 0; i < count; i++)
        collect_card(m, i);
}
