/* status.c -- `tribus status`: what runs, on which device, and how it is. */
#include "cli/commands.h"
#include "cli/start.h"
#include "base/error.h"
#include "monitor/nvml.h"
#include "tribus/device.h"
#include "tribus/pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHILD_ROWS 64u

typedef struct view {
    tribus_agent_status agent;
    tribus_agent_child children[CHILD_ROWS];
    uint32_t child_count;
    tribus_session *session;
} view;

static void print_children(const view *v)
{
    printf("%-18s %-8s %-10s %8s %9s %6s  %s\n", "process", "kind", "state", "pid",
           "restarts", "port", "");
    for (uint32_t i = 0; i < v->child_count; i++) {
        const tribus_agent_child *c = &v->children[i];

        printf("%-18s %-8s %-10s %8d %9u %6d  %s\n", c->name, c->kind,
               tribus_child_state_name(c->state), (int)c->pid, c->restarts, (int)c->port,
               c->text);
    }
}

/* How the compute hosts are arranged, and why: the word of the first that is not done, which
 * is the same for all of them. NULL: there are none. */
static const char *arrangement(const view *v)
{
    for (uint32_t i = 0; i < v->child_count; i++) {
        const tribus_agent_child *c = &v->children[i];

        if (strcmp(c->kind, "host") == 0 && c->state != TRIBUS_CHILD_DONE &&
            c->about[0] != '\0')
            return c->about;
    }
    return NULL;
}

static void print_devices(const view *v)
{
    tribus_device_row rows[32];
    const uint32_t count = tribus_device_list(rows, 32);
    const char *hosts = arrangement(v);

    printf("\ncompute    %s\n", hosts != NULL ? hosts : "no hosts: the agent started none");
    printf("\n%-10s %-8s\n", "device", "");
    for (uint32_t i = 0; i < count && i < 32; i++)
        printf("%-10s %-8s %s\n", rows[i].name, rows[i].present ? "present" : "absent",
               rows[i].detail);
}

static void print_card(uint32_t index, const tribus_nvml_card *c)
{
    const double gib = 1073741824.0;

    printf("card %-5u %s", index, c->name);
    if ((c->known & TRIBUS_NVML_BUSY) != 0)
        printf(", busy %.0f %%, its memory %.0f %%", c->busy * 100.0,
               c->memory_busy * 100.0);
    if ((c->known & TRIBUS_NVML_MEMORY) != 0)
        printf(", %.1f of %.1f GiB used", (double)c->memory_used_bytes / gib,
               (double)c->memory_total_bytes / gib);
    if ((c->known & TRIBUS_NVML_CLOCKS) != 0)
        printf(", %.0f MHz, memory %.0f MHz", (double)c->multiprocessor_hz / 1e6,
               (double)c->memory_hz / 1e6);
    if ((c->known & TRIBUS_NVML_POWER) != 0)
        printf(", %.0f W", c->power_watts);
    if ((c->known & TRIBUS_NVML_TEMPERATURE) != 0)
        printf(", %.0f C", c->temperature_celsius);
    if ((c->known & TRIBUS_NVML_PCIE) != 0)
        printf(", PCIe %.2f GB/s out, %.2f GB/s in", (double)c->pcie_sent_bytes_per_s / 1e9,
               (double)c->pcie_received_bytes_per_s / 1e9);
    if ((c->known & TRIBUS_NVML_NVLINK) != 0)
        printf(", NVLink %.1f GB out, %.1f GB in", (double)c->nvlink_sent_bytes / 1e9,
               (double)c->nvlink_received_bytes / 1e9);
    printf("\n");
}

/* How the cards are, by the driver's management library; nothing where there is none. */
static void print_cards(void)
{
    const uint32_t count = tribus_nvml_count(NULL);

    for (uint32_t i = 0; i < count; i++) {
        tribus_nvml_card card;

        if (tribus_nvml_read(i, true, &card) == TRIBUS_OK)
            print_card(i, &card);
        else
            printf("card %-5u %s\n", i, tribus_error_text());
    }
}

static void print_pipelines(const view *v)
{
    uint32_t cursor = 0;
    tribus_object object;

    while (tribus_session_next_object(v->session, &cursor, &object) == TRIBUS_OK) {
        tribus_pipeline *pipe;
        tribus_pipeline_stats s;
        tribus_pipeline_stage_row row;
        const char *slash = strchr(object.name, '/');

        if (object.kind != TRIBUS_OBJECT_PIPELINE || slash == NULL ||
            tribus_pipeline_open(v->session, slash + 1, &pipe) != TRIBUS_OK)
            continue;
        tribus_pipeline_get_stats(pipe, &s);
        printf("\npipeline %s: %" PRIu64 " runs, %" PRIu64
               " failed, %u in flight, zero-copy "
               "%.1f %%, total p50 %.1f us p99 %.1f us\n",
               s.name, s.finished, s.failed, s.runs_in_flight, s.zero_copy * 100.0,
               (double)s.total.p50_ns / 1e3, (double)s.total.p99_ns / 1e3);
        for (uint32_t i = 0; tribus_pipeline_get_stage(pipe, i, &row) == TRIBUS_OK; i++)
            printf("  stage %-12s %-7s on %s (%s): compute p50 %.1f us p99 %.1f us  %s\n",
                   row.name, row.domain, row.host[0] != '\0' ? row.host : "no host",
                   row.device, (double)row.compute.p50_ns / 1e3,
                   (double)row.compute.p99_ns / 1e3, row.text);
        tribus_pipeline_close(pipe);
    }
}

static void print_json_hosts(const view *v)
{
    const char *about = arrangement(v);
    const char *why = about != NULL ? strstr(about, ": ") : NULL;
    char what[TRIBUS_AGENT_ABOUT_BYTES];

    if (why == NULL) {
        printf(",\"compute\":null");
        return;
    }
    (void)snprintf(what, sizeof(what), "%.*s", (int)(why - about), about);
    printf(",\"compute\":{\"arrangement\":");
    tribus_cli_json_text(stdout, what);
    printf(",\"why\":");
    tribus_cli_json_text(stdout, why + 2);
    printf("}");
}

static void print_json_devices(void)
{
    tribus_device_row rows[32];
    const uint32_t count = tribus_device_list(rows, 32);

    printf(",\"devices\":[");
    for (uint32_t i = 0; i < count && i < 32; i++) {
        printf("%s{\"name\":\"%s\",\"present\":%s,\"detail\":", i > 0 ? "," : "",
               rows[i].name, rows[i].present ? "true" : "false");
        tribus_cli_json_text(stdout, rows[i].detail);
        printf("}");
    }
    printf("]");
}

static void print_json(const view *v)
{
    printf("{\"status\":\"running\",\"pid\":%d,\"release\":\"%s\",\"uptime_ns\":%" PRId64
           ",\"participants\":%u,\"objects\":%u,\"memory_bytes\":%" PRIu64
           ",\"memory_limit_bytes\":%" PRIu64 ",\"resident_bytes\":%" PRIu64
           ",\"deaths\":%" PRIu64 ",\"restarts\":%" PRIu64 ",\"children\":[",
           (int)v->agent.pid, v->agent.release, v->agent.uptime_ns, v->agent.participants,
           v->agent.objects, v->agent.memory_bytes, v->agent.memory_limit_bytes,
           v->agent.resident_bytes, v->agent.deaths, v->agent.restarts);
    for (uint32_t i = 0; i < v->child_count; i++) {
        const tribus_agent_child *c = &v->children[i];

        printf("%s{\"name\":\"%s\",\"kind\":\"%s\",\"state\":\"%s\",\"pid\":%d,"
               "\"restarts\":%u,\"port\":%d,\"text\":",
               i > 0 ? "," : "", c->name, c->kind, tribus_child_state_name(c->state),
               (int)c->pid, c->restarts, (int)c->port);
        tribus_cli_json_text(stdout, c->text);
        printf("}");
    }
    printf("]");
    print_json_hosts(v);
    print_json_devices();
    printf("}\n");
}

int tribus_cli_status(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        "status", "[--config FILE] [--json]",
        "Show the agent, its processes, devices and pipelines. Exit 3 when nothing runs.",
        NULL};
    const char *config = NULL;
    bool json = false;
    const tribus_cli_option options[] = {
        {"--config", "FILE", "platform file (YAML)", TRIBUS_CLI_TEXT, &config},
        {"--json", NULL, "one JSON object", TRIBUS_CLI_FLAG, &json},
    };
    tribus_session_cfg session = {.role = "tool"};
    tribus_platform platform;
    view v = {.session = NULL};
    tribus_status st;
    int code;

    if (!tribus_cli_parse(&usage, options, 2, argc, argv, &code))
        return code;
    if (tribus_cli_platform(&platform, config, NULL) != TRIBUS_OK)
        return tribus_cli_fail("status");
    session.socket_path = tribus_start_socket(&platform);
    st = tribus_agent_get_status(session.socket_path, 0, &v.agent);
    if (st == TRIBUS_NOT_FOUND) {
        if (json)
            printf("{\"status\":\"not running\"}\n");
        else
            (void)tribus_cli_complain("status",
                                      "nothing is running; `tribus up` starts it");
        return TRIBUS_EXIT_NOT_RUNNING;
    }
    if (st == TRIBUS_OK)
        st = tribus_agent_get_children(session.socket_path, 0, v.children, CHILD_ROWS,
                                       &v.child_count);
    if (st == TRIBUS_OK)
        st = tribus_session_open(&session, &v.session);
    if (st != TRIBUS_OK)
        return tribus_cli_fail("status");
    if (json) {
        print_json(&v);
    } else {
        printf("tribusd %s, process %d, up %.0f s, %u participants, %u objects, %" PRIu64
               " of %" PRIu64 " MiB shared memory\n\n",
               v.agent.release, (int)v.agent.pid, (double)v.agent.uptime_ns / 1e9,
               v.agent.participants, v.agent.objects, v.agent.memory_bytes >> 20,
               v.agent.memory_limit_bytes >> 20);
        print_children(&v);
        print_devices(&v);
        print_cards();
        print_pipelines(&v);
    }
    tribus_session_close(v.session);
    return TRIBUS_EXIT_DONE;
}
