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

/* About the hosts from row `first` on. */
TRIBUS_PRINTF(3, 4)
static void say(tribus_hosts *h, uint32_t first, const char *fmt, ...)
{
    char text[TRIBUS_AGENT_ABOUT_BYTES];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (uint32_t i = first; i < h->count; i++)
        memcpy(h->rows[i].about, text, sizeof(text));
}

bool tribus_hosts_want_mps(const tribus_platform *p)
{
    return p->gpu.mps && p->neural_host.enabled && p->gpu_host.enabled &&
           same_card(p->neural_host.device, p->gpu_host.device);
}

/* A host each while MPS is up; one for both should it fail. */
static void choose_mps(const tribus_platform *p, tribus_hosts *out)
{
    out->mps = true;
    add_neural(p, out);
    add_gpu(p, out, false);
    out->rows[0].with_mps = out->rows[1].with_mps = true;
    say(out, 0, "one host per domain under MPS: gpu.mps is set; both share %s",
        p->gpu_host.device);
    add_gpu(p, out, true);
    out->rows[2].without_mps = true;
    say(out, 2, "one host for both domains: gpu.mps is set, but MPS failed; see process %s",
        TRIBUS_HOSTS_MPS);
}

static void choose_one_card(const tribus_platform *p, const char *no_mps, tribus_hosts *out)
{
    if (tribus_hosts_want_mps(p) && no_mps == NULL) {
        choose_mps(p, out);
        return;
    }
    add_gpu(p, out, true);
    if (tribus_hosts_want_mps(p))
        say(out, 0, "one host for both domains: gpu.mps is set, but %s", no_mps);
    else
        say(out, 0,
            "one host for both domains: the contexts of two would take turns on %s, 140 us "
            "each",
            p->gpu_host.device);
}

void tribus_hosts_choose(const tribus_platform *p, const char *no_mps, tribus_hosts *out)
{
    const char *neural = p->neural_host.device, *gpu = p->gpu_host.device;

    memset(out, 0, sizeof(*out));
    if (!p->neural_host.enabled || !p->gpu_host.enabled) {
        if (p->neural_host.enabled)
            add_neural(p, out);
        if (p->gpu_host.enabled)
            add_gpu(p, out, false);
        say(out, 0, "one host for one domain: %s_host.enabled is false",
            p->neural_host.enabled ? "gpu" : "neural");
        return;
    }
    if (same_card(neural, gpu)) {
        choose_one_card(p, no_mps, out);
        return;
    }
    add_neural(p, out);
    add_gpu(p, out, false);
    if (is_card(neural) && is_card(gpu))
        say(out, 0, "one host per card: neural on %s, gpu on %s", neural, gpu);
    else if (!is_card(neural) && !is_card(gpu))
        say(out, 0, "one host per domain: both on the CPU, where none waits for the other");
    else
        say(out, 0, "one host per domain: neural on %s, gpu on %s", neural, gpu);
}
