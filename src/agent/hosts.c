/* hosts.c -- see hosts.h. */
#include "agent/hosts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool is_card(const char *device)
{
    return strncmp(device, "cuda", 4) == 0;
}

static bool same_card(const char *a, const char *b)
{
    return is_card(a) && is_card(b) &&
           strcmp(a[4] == '\0' ? "cuda:0" : a, b[4] == '\0' ? "cuda:0" : b) == 0;
}

static tribus_hosts_row *add(tribus_hosts *h, const char *name, const char *domain,
                             const char *device)
{
    tribus_hosts_row *row = &h->rows[h->count++];

    row->name = name;
    row->domain = domain;
    row->device = device;
    return row;
}

static void add_neural(const tribus_platform *p, tribus_hosts *h)
{
    tribus_hosts_row *row = add(h, "host-neural", "neural", p->neural_host.device);

    row->core = p->neural_host.core;
    row->spin_us = p->neural_host.spin_us;
}

static void add_gpu(const tribus_platform *p, tribus_hosts *h, bool both)
{
    tribus_hosts_row *row =
        add(h, both ? "host-both" : "host-gpu", both ? "both" : "gpu", p->gpu_host.device);

    row->core = p->gpu_host.core;
    row->spin_us = p->gpu_host.spin_us;
}

TRIBUS_PRINTF(2, 3) static void say(tribus_hosts *h, const char *fmt, ...)
{
    char text[TRIBUS_AGENT_ABOUT_BYTES];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (uint32_t i = 0; i < h->count; i++)
        memcpy(h->rows[i].about, text, sizeof(text));
}

void tribus_hosts_choose(const tribus_platform *p, tribus_hosts *out)
{
    const char *neural = p->neural_host.device, *gpu = p->gpu_host.device;

    memset(out, 0, sizeof(*out));
    if (!p->neural_host.enabled || !p->gpu_host.enabled) {
        if (p->neural_host.enabled)
            add_neural(p, out);
        if (p->gpu_host.enabled)
            add_gpu(p, out, false);
        say(out, "one host for one domain: %s_host.enabled is false",
            p->neural_host.enabled ? "gpu" : "neural");
        return;
    }
    if (same_card(neural, gpu)) {
        add_gpu(p, out, true);
        say(out,
            "one host for both domains: the contexts of two would take turns on %s, "
            "140 us each",
            gpu);
        return;
    }
    add_neural(p, out);
    add_gpu(p, out, false);
    if (is_card(neural) && is_card(gpu))
        say(out, "one host per card: neural on %s, gpu on %s", neural, gpu);
    else if (!is_card(neural) && !is_card(gpu))
        say(out, "one host per domain: both on the CPU, where none waits for the other");
    else
        say(out, "one host per domain: neural on %s, gpu on %s", neural, gpu);
}
