/* nvml.h -- how NVIDIA cards are: load, memory, clocks, power, traffic, by the driver's own
 * library, which is loaded at run time. Without it there are no cards, and a reason.
 *
 * Use it to   show cards in metrics and `tribus status`, and to see whether one is kept busy.
 * Not for     computing on them: that is device.h.
 *
 * Threads     Free for all.
 * Cost        A look takes a few microseconds a value; the traffic on PCIe 20 ms a direction,
 *             the library's own window, and is read only when asked for.
 */
#ifndef TRIBUS_MONITOR_NVML_H
#define TRIBUS_MONITOR_NVML_H

#include "monitor/metrics.h"

#include <stdbool.h>

enum { /* tribus_nvml_card.known: what the card tells */
       TRIBUS_NVML_BUSY = 1,
       TRIBUS_NVML_MEMORY = 2,
       TRIBUS_NVML_CLOCKS = 4,
       TRIBUS_NVML_POWER = 8,
       TRIBUS_NVML_TEMPERATURE = 16,
       TRIBUS_NVML_PCIE = 32,
       TRIBUS_NVML_NVLINK = 64
};

typedef struct tribus_nvml_card {
    char name[96];
    uint32_t known;
    double busy;        /* 0..1 of the time of the last sample a kernel ran */
    double memory_busy; /* the same, memory was read or written */
    uint64_t memory_used_bytes, memory_total_bytes;
    uint64_t multiprocessor_hz, memory_hz;
    double power_watts;
    double temperature_celsius;
    uint64_t pcie_sent_bytes_per_s, pcie_received_bytes_per_s;
    uint64_t nvlink_sent_bytes, nvlink_received_bytes; /* since the driver was loaded */
} tribus_nvml_card;

/* How many cards there are. 0: *why (may be NULL) says why, for as long as the process. */
uint32_t tribus_nvml_count(const char **why);

/* Look at card `index`, in the library's order. traffic: PCIe too, which takes 40 ms.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_nvml_read(uint32_t index, bool traffic,
                                                 tribus_nvml_card *out);

/* Everything of every card as metrics. */
void tribus_nvml_collect(tribus_metrics *m);

#endif
