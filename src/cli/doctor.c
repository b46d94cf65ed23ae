/* doctor.c -- `tribus doctor`: what of this machine is in the way, and the command that mends
 * it. Looks only; changes nothing.
 *
 * One function a subject, in a table: a new subject is one function and one line.
 */
#include "agent/child.h"
#include "agent/server.h"
#include "base/error.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/start.h"
#include "tribus/device.h"
#include "tribus/session.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FILES_WANTED 8192u
#define PROBE_NS     INT64_C(300000000)

typedef enum verdict { FINE, SLOW, BROKEN } verdict; /* SLOW: works, not at its best */

typedef struct finding {
    const char *subject;
    verdict verdict;
    char what[256];
    char mend[256]; /* a command, "" when there is nothing to do */
} finding;

typedef void (*look_fn)(const tribus_platform *p, finding *f);

static void say(finding *f, verdict v, const char *mend, const char *fmt, ...)
    TRIBUS_PRINTF(4, 5);

static void say(finding *f, verdict v, const char *mend, const char *fmt, ...)
{
    va_list args;

    f->verdict = v;
    va_start(args, fmt);
    (void)vsnprintf(f->what, sizeof(f->what), fmt, args);
    va_end(args);
    (void)snprintf(f->mend, sizeof(f->mend), "%s", mend);
}

/* The first line of a small file, "" when it cannot be read. */
static const char *line_of(const char *path, char *buf, size_t bytes)
{
    FILE *f = fopen(path, "re");

    buf[0] = '\0';
    if (f == NULL)
        return buf;
    if (fgets(buf, (int)bytes, f) == NULL)
        buf[0] = '\0';
    (void)fclose(f);
    buf[strcspn(buf, "\n")] = '\0';
    return buf;
}

/* ---- the subjects ---- */

static void look_kernel(const tribus_platform *p, finding *f)
{
    struct utsname u;
    int major = 0, minor = 0;

    (void)p;
    (void)uname(&u);
    (void)sscanf(u.release, "%d.%d", &major, &minor);
    if (major < 5 || (major == 5 && minor < 3))
        say(f, BROKEN, "apt install linux-image-amd64 and restart",
            "Linux %s: 5.3 is needed (pidfd, sealed memory)", u.release);
    else if (major == 5 && minor < 16)
        say(f, SLOW, "apt install linux-image-amd64 and restart",
            "Linux %s: before 5.16 waiting for several things polls every millisecond",
            u.release);
    else
        say(f, FINE, "", "Linux %s on %s", u.release, u.machine);
}

static void look_cores(const tribus_platform *p, finding *f)
{
    const int cores = tribus_os_core_count();

    (void)p;
    if (cores < 2)
        say(f, SLOW, "taskset -p 3 $$",
            "1 core for this process: every hand-off is a context switch");
    else
        say(f, FINE, "", "%d cores, %zu MiB last-level cache", cores,
            tribus_os_cache_bytes() >> 20);
}

static void look_memory(const tribus_platform *p, finding *f)
{
    const char *where;
    const size_t left_mib = tribus_os_memory_left(&where) >> 20;
    char mend[128];

    if ((int64_t)left_mib >= p->agent.memory_mib) {
        say(f, FINE, "", "%zu MiB left of %s, agent.memory_mib is %" PRId64, left_mib,
            where, p->agent.memory_mib);
        return;
    }
    (void)snprintf(mend, sizeof(mend), "tribus up --set agent.memory_mib=%zu",
                   left_mib / 2u);
    say(f, SLOW, mend, "%zu MiB left of %s, agent.memory_mib is %" PRId64, left_mib, where,
        p->agent.memory_mib);
}

static void look_memory_folder(const tribus_platform *p, finding *f)
{
    struct statvfs fs;

    if (p->agent.memory_dir[0] == '\0') {
        say(f, FINE, "", "memfd, no folder needed");
        return;
    }
    if (statvfs(p->agent.memory_dir, &fs) != 0) {
        say(f, BROKEN, "mount -t tmpfs -o huge=advise,mode=700 tmpfs FOLDER",
            "agent.memory_dir %s: %s", p->agent.memory_dir, strerror(errno));
        return;
    }
    say(f,
        ((uint64_t)fs.f_bavail * fs.f_bsize >> 20) < (uint64_t)p->agent.memory_mib ? SLOW
                                                                                   : FINE,
        "", "%s: %" PRIu64 " MiB free", p->agent.memory_dir,
        (uint64_t)fs.f_bavail * fs.f_bsize >> 20);
}

static void look_descriptors(const tribus_platform *p, finding *f)
{
    struct rlimit files = {0, 0};

    (void)p;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < FILES_WANTED)
        say(f, SLOW, "ulimit -Hn 20000 (or LimitNOFILE=20000 in the systemd unit)",
            "%" PRIu64 " descriptors at most: each object and client takes some",
            (uint64_t)files.rlim_max);
    else
        say(f, FINE, "", "%" PRIu64 " descriptors at most", (uint64_t)files.rlim_max);
}

static void look_huge_pages(const tribus_platform *p, finding *f)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    char line[128];

    (void)p;
    (void)line_of(path, line, sizeof(line));
    if (line[0] == '\0')
        say(f, SLOW, "", "no huge pages in this kernel: first touch of memory is slower");
    else if (strstr(line, "[never]") != NULL || strstr(line, "[deny]") != NULL)
        say(f, SLOW, "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled",
            "no huge pages for shared memory (%s): first touch of 1 GiB takes 0.6 s, not "
            "0.05",
            line);
    else
        say(f, FINE, "", "huge pages for shared memory: %s", line);
}

static void look_idle(const tribus_platform *p, finding *f)
{
    char line[64];
    int fd;

    (void)p;
    if (line_of("/sys/devices/system/cpu/cpuidle/current_driver", line, sizeof(line))[0] ==
            '\0' ||
        strcmp(line, "none") == 0) {
        say(f, FINE, "", "the cores' idle states are not ours to choose");
        return;
    }
    fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)close(fd); /* closing it gives the request up */
        say(f, FINE, "", "/dev/cpu_dma_latency can be held (%s)", line);
        return;
    }
    say(f, SLOW, "chgrp tribus /dev/cpu_dma_latency && chmod g+w /dev/cpu_dma_latency",
        "/dev/cpu_dma_latency: %s: a sleeping reader wakes in 22 us instead of 2.6",
        strerror(errno));
}

static void look_clock(const tribus_platform *p, finding *f)
{
    char line[64];

    (void)p;
    (void)line_of("/sys/devices/system/clocksource/clocksource0/current_clocksource", line,
                  sizeof(line));
    if (strcmp(line, "tsc") == 0 || strcmp(line, "arch_sys_counter") == 0 ||
        strcmp(line, "kvm-clock") == 0)
        say(f, FINE, "", "clock source %s", line);
    else
        say(f, SLOW,
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
            "clock source \"%s\": each look at the clock enters the kernel", line);
}

static void look_program(const tribus_platform *p, finding *f)
{
    char path[512];

    if (tribus_child_find(p->redis.program, path, sizeof(path)) == TRIBUS_OK)
        say(f, FINE, "", "%s", path);
    else
        say(f, SLOW, "apt install redis-server",
            "%s: not there: the fabric works, nothing reaches the wire", p->redis.program);
    tribus_error_clear();
}

static void look_bus(const tribus_platform *p, finding *f, bool enabled, const char *host,
                     int64_t port, bool spawn)
{
    const tribus_tls_cfg tls = tribus_cli_tls(p);
    char mend[128];

    if (!enabled) {
        say(f, FINE, "", "switched off");
        return;
    }
    switch (tribus_server_probe(host, (int)port, &tls, PROBE_NS)) {
    case TRIBUS_SERVER_REDIS:
        say(f, FINE, "", "a Redis server answers at %s:%" PRId64, host, port);
        return;
    case TRIBUS_SERVER_NOBODY:
        if (spawn)
            say(f, FINE, "", "port %" PRId64 " is free for the agent's server", port);
        else
            say(f, BROKEN, "start that server, or set spawn: true for this bus",
                "nobody answers at %s:%" PRId64, host, port);
        return;
    case TRIBUS_SERVER_REFUSED:
        say(f, BROKEN, "see the redis.tls settings", "%s", tribus_error_text());
        return;
    default:
        (void)snprintf(mend, sizeof(mend), "ss -ltnp 'sport = :%" PRId64 "'", port);
        say(f, BROKEN, mend, "port %" PRId64 " is taken by something that is not Redis",
            port);
    }
}

static void look_marketdata(const tribus_platform *p, finding *f)
{
    look_bus(p, f, p->marketdata_bus.enabled, p->marketdata_bus.host,
             p->marketdata_bus.port, p->marketdata_bus.spawn);
}

static void look_engine_logic(const tribus_platform *p, finding *f)
{
    look_bus(p, f, p->engine_logic_bus.enabled, p->engine_logic_bus.host,
             p->engine_logic_bus.port, p->engine_logic_bus.spawn);
}

static void look_neural_gpu(const tribus_platform *p, finding *f)
{
    look_bus(p, f, p->neural_gpu_bus.enabled, p->neural_gpu_bus.host,
             p->neural_gpu_bus.port, p->neural_gpu_bus.spawn);
}

static void look_agent(const tribus_platform *p, finding *f)
{
    tribus_agent_status status;
    const tribus_status st =
        tribus_agent_get_status(tribus_start_socket(p), PROBE_NS, &status);

    if (st == TRIBUS_OK && strcmp(status.release, TRIBUS_RELEASE) != 0)
        say(f, SLOW, "tribus down && tribus up", "process %d is of release %s, this is %s",
            status.pid, status.release, TRIBUS_RELEASE);
    else if (st == TRIBUS_OK)
        say(f, FINE, "", "process %d, %u participants, %" PRIu64 " restarts of children",
            status.pid, status.participants, status.restarts);
    else if (st == TRIBUS_NOT_FOUND)
        say(f, FINE, "", "none is running");
    else
        say(f, BROKEN, "tribus down", "%s", tribus_error_text());
    tribus_error_clear();
}

/* The places where src/neural looks, in its order. */
static void look_onnx(const tribus_platform *p, finding *f)
{
    const char *const places[] = {getenv("TRIBUS_ONNX_LIBRARY"), TRIBUS_ONNX_LIBRARY,
                                  "libonnxruntime.so.1", "libonnxruntime.so"};

    (void)p;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        void *library =
            places[i] == NULL ? NULL : dlopen(places[i], RTLD_LAZY | RTLD_LOCAL);

        if (library == NULL)
            continue;
        (void)dlclose(library);
        say(f, FINE, "", "ONNX Runtime: %s", places[i]);
        return;
    }
    say(f, BROKEN, "make deps", "no libonnxruntime.so.1: no model can run on the CPU");
}

static void look_gpu(const tribus_platform *p, finding *f)
{
    tribus_device_row rows[16];
    const uint32_t count = tribus_device_list(rows, 16);
    const bool wanted = strncmp(p->neural_host.device, "cuda", 4) == 0 ||
                        strncmp(p->gpu_host.device, "cuda", 4) == 0;

    for (uint32_t i = 0; i < count && i < 16; i++) {
        if (strncmp(rows[i].name, "cuda", 4) != 0)
            continue;
        say(f, rows[i].present || !wanted ? FINE : BROKEN,
            rows[i].present || !wanted ? "" : "nvidia-smi", "%s: %s", rows[i].name,
            rows[i].detail);
        return;
    }
    say(f, wanted ? BROKEN : FINE, "", "this build knows no GPU");
}

static const struct {
    const char *subject;
    look_fn look;
} subjects[] = {
    {"kernel", look_kernel},
    {"cores", look_cores},
    {"memory", look_memory},
    {"memory folder", look_memory_folder},
    {"descriptors", look_descriptors},
    {"huge pages", look_huge_pages},
    {"idle states", look_idle},
    {"clock", look_clock},
    {"redis-server", look_program},
    {"marketdata bus", look_marketdata},
    {"engine logic bus", look_engine_logic},
    {"neural-gpu bus", look_neural_gpu},
    {"agent", look_agent},
    {"model runtime", look_onnx},
    {"gpu", look_gpu},
};

static void print(const finding *f, bool json)
{
    static const char *const names[] = {"fine", "slow", "broken"};

    if (!json) {
        printf("%-7s %-17s %s\n", names[f->verdict], f->subject, f->what);
        if (f->mend[0] != '\0')
            printf("%-7s %-17s   mend: %s\n", "", "", f->mend);
        return;
    }
    printf("{\"subject\":\"%s\",\"verdict\":\"%s\",\"what\":", f->subject,
           names[f->verdict]);
    tribus_cli_json_text(stdout, f->what);
    printf(",\"mend\":");
    tribus_cli_json_text(stdout, f->mend);
    printf("}\n");
}

int tribus_cli_doctor(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        "doctor", "[--config FILE] [--set section.key=value]... [--json]",
        "Look at the machine: what is in the way of the platform, and the command that "
        "mends\n"
        "it. Changes nothing. Exit status 1 when something is broken; what is only slow\n"
        "does not count.",
        NULL};
    const char *config = NULL;
    tribus_cli_list set = {.count = 0};
    bool json = false, broken = false;
    const tribus_cli_option options[] = {
        {"--config", "FILE", "platform file (YAML)", TRIBUS_CLI_TEXT, &config},
        {"--set", "S.K=V", "one setting, may be given again", TRIBUS_CLI_LIST, &set},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &json},
    };
    tribus_platform platform;
    int code;

    if (!tribus_cli_parse(&usage, options, 3, argc, argv, &code))
        return code;
    if (tribus_cli_platform(&platform, config, &set) != TRIBUS_OK)
        return tribus_cli_fail("doctor");
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        finding f = {.subject = subjects[i].subject};

        subjects[i].look(&platform, &f);
        print(&f, json);
        broken = broken || f.verdict == BROKEN;
    }
    return broken ? TRIBUS_EXIT_FAILED : TRIBUS_EXIT_DONE;
}
