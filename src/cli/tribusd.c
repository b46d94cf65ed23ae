/* tribusd.c -- the agent as a program: settings in, signals in, log lines out.
 *
 * It stays in the foreground; `tribus up` puts it into the background, systemd need not.
 */
#include "agent/acl.h"
#include "agent/bridge.h"
#include "agent/child.h"
#include "agent/hosts.h"
#include "agent/scrape.h"
#include "base/error.h"
#include "base/log.h"
#include "base/os.h"
#include "cli/cli.h"
#include "monitor/nvml.h"
#include "pipeline/pipeline_answer.h"
#include "tribus/agent.h"
#include "tribus/session.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHILDREN_MOST 16u
#define MPS_CONTROL   "nvidia-cuda-mps-control"
#define ARGS_MOST     (16u + 2u * TRIBUS_CLI_LIST_MAX)

/* One child's command line; numbers are kept as text beside it. */
typedef struct command {
    const char *argv[ARGS_MOST];
    char numbers[2][24];
} command;

typedef struct daemon_state {
    tribus_platform platform;
    const char *config;
    tribus_cli_list set;
    char tribus[4096]; /* the program that hosts and engines are commands of */
    tribus_agent_redis_cfg redis[3];
    tribus_bus_id redis_bus[3];
    uint32_t redis_count;
    char acl_paths[3][512];
    char runtime_folder[108];                 /* the socket's */
    char data_folder[192];                    /* "": servers keep nothing */
    char password[TRIBUS_ACL_PASSWORD_BYTES]; /* of the agent, with redis.secure */
    tribus_hosts hosts;
    struct {
        char program[512];
        char folder[128], ready[144]; /* its pipes and logs; the pipe that says it is up */
        char pipes[160], logs[160];
        const char *argv[3], *env[3];
    } mps;
    tribus_agent_child_cfg children[CHILDREN_MOST];
    tribus_tls_cfg tls;
    command commands[CHILDREN_MOST];
    uint32_t child_count;
} daemon_state;

/* ---- the platform's settings as the agent's ---- */

static void add_bus(daemon_state *d, const char *name, tribus_bus_id bus, bool enabled,
                    const char *host, int64_t port, bool spawn)
{
    if (!enabled)
        return;
    d->redis_bus[d->redis_count] = bus;
    d->redis[d->redis_count++] =
        (tribus_agent_redis_cfg){.name = name,
                                 .host = host,
                                 .port = (int)port,
                                 .spawn = spawn,
                                 .program = d->platform.redis.program,
                                 .data_folder = d->data_folder,
                                 .fsync = d->platform.redis.fsync,
                                 .tls = &d->tls};
}

/* The words every child gets at its end: the same settings that we were given. */
static void finish_command(daemon_state *d, command *c, size_t n)
{
    if (d->config != NULL) {
        c->argv[n++] = "--config";
        c->argv[n++] = d->config;
    }
    for (size_t i = 0; i < d->set.count; i++) {
        c->argv[n++] = "--set";
        c->argv[n++] = d->set.items[i];
    }
    c->argv[n] = NULL;
}

static command *add_child(daemon_state *d, const char *name, const char *kind)
{
    command *c = &d->commands[d->child_count];

    c->argv[0] = d->tribus;
    d->children[d->child_count++] =
        (tribus_agent_child_cfg){.name = name, .kind = kind, .argv = c->argv};
    return c;
}

static void add_host(daemon_state *d, const tribus_hosts_row *host)
{
    command *c = add_child(d, host->name, "host");
    size_t n = 1;

    d->children[d->child_count - 1].about = host->about;
    if (host->with_mps) {
        d->children[d->child_count - 1].with = TRIBUS_HOSTS_MPS;
        d->children[d->child_count - 1].env = d->mps.env;
    }
    if (host->without_mps)
        d->children[d->child_count - 1].without = TRIBUS_HOSTS_MPS;
    (void)snprintf(c->numbers[0], sizeof(c->numbers[0]), "%lld", (long long)host->core);
    (void)snprintf(c->numbers[1], sizeof(c->numbers[1]), "%lld", (long long)host->spin_us);
    c->argv[n++] = "host";
    c->argv[n++] = "--domain";
    c->argv[n++] = host->domain;
    c->argv[n++] = "--name";
    c->argv[n++] = host->name;
    c->argv[n++] = "--device";
    c->argv[n++] = host->device;
    c->argv[n++] = "--core";
    c->argv[n++] = c->numbers[0];
    c->argv[n++] = "--spin-us";
    c->argv[n++] = c->numbers[1];
    finish_command(d, c, n);
}

static void add_engine(daemon_state *d, const char *name, bool enabled)
{
    command *c;

    if (!enabled)
        return;
    c = add_child(d, name, "engine");
    c->argv[1] = "engine";
    c->argv[2] = name;
    finish_command(d, c, 3);
}

/* Why MPS cannot run here; NULL: it can. */
static const char *no_mps(char *path, size_t bytes)
{
    const char *why = NULL;

    if (tribus_child_find(MPS_CONTROL, path, bytes) != TRIBUS_OK) {
        tribus_error_clear();
        return MPS_CONTROL " is not in PATH: it comes with NVIDIA's driver";
    }
    return tribus_nvml_count(&why) == 0 ? why : NULL;
}

/* NVIDIA's MPS, whose server runs the kernels of several processes in one context: a child
 * with a folder for its pipes and logs that only we and our hosts use. Decides on the hosts. */
static void add_mps(daemon_state *d)
{
    static const char *const end[] = {"sh", "-c", "echo quit | " MPS_CONTROL, NULL};
    const char *why = NULL;
    tribus_agent_child_cfg *c;

    if (tribus_hosts_want_mps(&d->platform))
        why = no_mps(d->mps.program, sizeof(d->mps.program));
    tribus_hosts_choose(&d->platform, why, &d->hosts);
    if (!d->hosts.mps)
        return;
    (void)snprintf(d->mps.folder, sizeof(d->mps.folder), "%s/mps", d->runtime_folder);
    if (tribus_os_private_folder(d->runtime_folder) != TRIBUS_OK ||
        tribus_os_private_folder(d->mps.folder) != TRIBUS_OK) {
        tribus_hosts_choose(&d->platform, tribus_error_text(), &d->hosts);
        return;
    }
    (void)snprintf(d->mps.ready, sizeof(d->mps.ready), "%s/control", d->mps.folder);
    (void)snprintf(d->mps.pipes, sizeof(d->mps.pipes), "CUDA_MPS_PIPE_DIRECTORY=%s",
                   d->mps.folder);
    (void)snprintf(d->mps.logs, sizeof(d->mps.logs), "CUDA_MPS_LOG_DIRECTORY=%s",
                   d->mps.folder);
    d->mps.env[0] = d->mps.pipes;
    d->mps.env[1] = d->mps.logs;
    c = &d->children[d->child_count];
    (void)add_child(d, TRIBUS_HOSTS_MPS, TRIBUS_HOSTS_MPS);
    d->mps.argv[0] = d->mps.program;
    d->mps.argv[1] = "-f";
    c->argv = d->mps.argv;
    c->env = d->mps.env;
    c->ready_path = d->mps.ready;
    c->stop_argv = end;
    c->restart = TRIBUS_RESTART_ALWAYS;
    c->about = "gpu.mps is set";
}

static void fill(daemon_state *d)
{
    const tribus_platform *p = &d->platform;

    d->tls = tribus_cli_tls(p);
    add_bus(d, "redis-marketdata", TRIBUS_BUS_MARKETDATA, p->marketdata_bus.enabled,
            p->marketdata_bus.host, p->marketdata_bus.port, p->marketdata_bus.spawn);
    add_bus(d, "redis-engine-logic", TRIBUS_BUS_ENGINE_LOGIC, p->engine_logic_bus.enabled,
            p->engine_logic_bus.host, p->engine_logic_bus.port, p->engine_logic_bus.spawn);
    add_bus(d, "redis-neural-gpu", TRIBUS_BUS_NEURAL_GPU, p->neural_gpu_bus.enabled,
            p->neural_gpu_bus.host, p->neural_gpu_bus.port, p->neural_gpu_bus.spawn);
    add_mps(d);
    for (uint32_t i = 0; i < d->hosts.count; i++)
        add_host(d, &d->hosts.rows[i]);
    if (d->hosts.count > 0)
        tribus_log(TRIBUS_LOG_INFO, "%s", d->hosts.rows[0].about);
    add_engine(d, "risk", p->risk_engine.enabled); /* listeners before talkers */
    add_engine(d, "ml", p->ml_engine.enabled);
    add_engine(d, "marketdata", p->marketdata_engine.enabled);
}

/* `tribus` lies beside `tribusd`. */
static tribus_status find_tribus(daemon_state *d)
{
    const ssize_t n = readlink("/proc/self/exe", d->tribus, sizeof(d->tribus) - 16);
    char *slash;

    if (n <= 0)
        return tribus_error_set(TRIBUS_SYSTEM, "/proc/self/exe");
    d->tribus[n] = '\0';
    slash = strrchr(d->tribus, '/');
    if (slash != NULL)
        (void)snprintf(slash + 1, sizeof("tribus"), "tribus");
    return TRIBUS_OK;
}

/* Where the agent's socket is, and what servers keep. */
static tribus_status find_folders(daemon_state *d)
{
    const tribus_platform *p = &d->platform;
    char *slash;
    tribus_status st = TRIBUS_OK;

    if (p->agent.socket[0] != '\0')
        (void)snprintf(d->runtime_folder, sizeof(d->runtime_folder), "%s", p->agent.socket);
    else
        st = tribus_session_socket_path(d->runtime_folder, sizeof(d->runtime_folder));
    slash = st == TRIBUS_OK ? strrchr(d->runtime_folder, '/') : NULL;
    if (slash != NULL)
        *slash = '\0';
    if (p->redis.keep && p->redis.data_folder[0] != '\0')
        (void)snprintf(d->data_folder, sizeof(d->data_folder), "%s", p->redis.data_folder);
    else if (p->redis.keep)
        (void)snprintf(d->data_folder, sizeof(d->data_folder), "%s/data",
                       slash != NULL ? d->runtime_folder : ".");
    return st;
}

/* Users for the servers that we start. */
static tribus_status secure(daemon_state *d)
{
    tribus_status st = tribus_os_private_folder(d->runtime_folder);

    if (st == TRIBUS_OK && d->platform.redis.secure)
        st = tribus_acl_prepare(d->runtime_folder, d->password);
    for (uint32_t i = 0; i < d->redis_count && st == TRIBUS_OK; i++) {
        st = d->platform.redis.secure
                 ? tribus_acl_write(d->runtime_folder, d->redis[i].name, d->redis_bus[i],
                                    d->acl_paths[i], sizeof(d->acl_paths[i]))
                 : tribus_acl_write_password(d->runtime_folder, d->redis[i].name,
                                             d->platform.redis.password, d->acl_paths[i],
                                             sizeof(d->acl_paths[i]));
        d->redis[i].acl_path = d->acl_paths[i];
    }
    if (st != TRIBUS_OK)
        tribus_error_add(d->platform.redis.secure ? "redis.secure" : "redis.password");
    return st;
}

/* ---- running ---- */

static tribus_log_level level_named(const char *name)
{
    for (int i = TRIBUS_LOG_DEBUG; i <= TRIBUS_LOG_ERROR; i++)
        if (strcmp(name, tribus_log_level_name((tribus_log_level)i)) == 0)
            return (tribus_log_level)i;
    return TRIBUS_LOG_INFO;
}

static int stop_event = -1; /* set before the handler is installed */

static void on_stop(int number)
{
    const uint64_t one = 1;
    const int kept = errno;

    if (write(stop_event, &one, sizeof(one)) < 0)
        (void)number; /* it fires already */
    errno = kept;
}

/* A descriptor that fires on SIGINT and SIGTERM. A handler, not a blocked set: libraries start
 * threads before main(), and one that blocks nothing would take the signal and end us. */
static int signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_event < 0)
        return -1;
    (void)sigfillset(&stop.sa_mask);
    (void)sigaction(SIGINT, &stop, NULL);
    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGHUP, &stop, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    return stop_event;
}

/* Every object and client costs descriptors: take as many as we may have. */
static void raise_limits(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

/* Tell systemd (Type=notify) how far we are; elsewhere nobody listens. */
static void notify(const char *state)
{
    const char *to = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t bytes;
    int fd;

    if (to == NULL || (to[0] != '/' && to[0] != '@') || strlen(to) >= sizeof(at.sun_path))
        return;
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", to);
    bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to));
    if (to[0] == '@')
        at.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&at,
               bytes) < 0)
        tribus_log(TRIBUS_LOG_WARN, "systemd does not hear us: %s", strerror(errno));
    (void)close(fd);
}

static tribus_status start_bridge(const daemon_state *d, const char *socket,
                                  tribus_pipeline_answer *pipelines, tribus_bridge **out)
{
    const tribus_platform *p = &d->platform;
    const tribus_bridge_cfg cfg = {.socket_path = socket,
                                   .servers = {{.off = !p->marketdata_bus.enabled,
                                                .host = p->marketdata_bus.host,
                                                .port = (uint16_t)p->marketdata_bus.port},
                                               {.off = !p->engine_logic_bus.enabled,
                                                .host = p->engine_logic_bus.host,
                                                .port = (uint16_t)p->engine_logic_bus.port},
                                               {.off = !p->neural_gpu_bus.enabled,
                                                .host = p->neural_gpu_bus.host,
                                                .port = (uint16_t)p->neural_gpu_bus.port}},
                                   .user = p->redis.secure ? TRIBUS_ACL_AGENT : NULL,
                                   .password = p->redis.secure ? d->password
                                               : p->redis.password[0] != '\0'
                                                   ? p->redis.password
                                                   : NULL,
                                   .tls = &d->tls,
                                   .spin_ns = 1000 * p->redis.poll_us + 1, /* 0: default */
                                   .sentinels = p->redis.sentinels,
                                   .replicas = (uint32_t)p->redis.replicas,
                                   .host_name = p->agent.host,
                                   .pipeline = tribus_pipeline_answer_request,
                                   .tensor = tribus_pipeline_answer_tensor,
                                   .result = tribus_pipeline_answer_result,
                                   .pipeline_context = pipelines};

    return tribus_bridge_start(&cfg, out);
}

static tribus_status run(const daemon_state *d, int stop_fd)
{
    const tribus_platform *p = &d->platform;
    const tribus_agent_cfg cfg = {
        .socket_path = p->agent.socket[0] != '\0' ? p->agent.socket : NULL,
        .memory_dir = p->agent.memory_dir[0] != '\0' ? p->agent.memory_dir : NULL,
        .memory_limit_bytes = (uint64_t)p->agent.memory_mib << 20,
        .group = p->agent.group,
        .readers_group = p->agent.readers_group,
        .stop_fd = stop_fd,
        .redis = d->redis,
        .redis_count = d->redis_count,
        .children = d->children,
        .child_count = d->child_count,
        .keep_servers = 1};
    tribus_agent *agent = NULL;
    tribus_bridge *bridge = NULL;
    tribus_pipeline_answer *pipelines = NULL;
    tribus_scrape *scrape = NULL;
    tribus_status st = tribus_agent_start(&cfg, &agent);

    if (st != TRIBUS_OK)
        return st;
    tribus_log(TRIBUS_LOG_INFO, "serving %s", tribus_agent_socket(agent));
    st = tribus_pipeline_answer_open(&pipelines);
    if (st == TRIBUS_OK)
        st = start_bridge(d, tribus_agent_socket(agent), pipelines, &bridge);
    if (st == TRIBUS_OK && p->agent.metrics_port != 0 &&
        tribus_scrape_start(tribus_agent_socket(agent), (int)p->agent.metrics_port, bridge,
                            &scrape) != TRIBUS_OK) /* everything else works without */
        tribus_log(TRIBUS_LOG_WARN, "no metrics page: %s; set agent.metrics_port",
                   tribus_error_text());
    if (st == TRIBUS_OK) {
        notify("READY=1");
        st = tribus_agent_wait(agent, -1);
    }
    notify("STOPPING=1");
    tribus_log(TRIBUS_LOG_INFO, "stopping");
    tribus_scrape_stop(scrape);
    tribus_bridge_stop(bridge);
    tribus_pipeline_answer_close(pipelines);
    tribus_agent_stop(agent);
    return st;
}

int main(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        "tribusd", "[--config FILE] [--set section.key=value]...",
        "The agent of this host: owns shared memory, watches who lives, runs the Redis\n"
        "servers, compute hosts and engines of the platform file, joins fabric and wire.\n"
        "Stays in the foreground until SIGINT, SIGTERM or `tribus down`.",
        "  tribusd --config /etc/tribus.yaml\n"
        "  tribusd --set agent.socket=/run/tribus/agent.sock"};
    static daemon_state d;
    const tribus_cli_option options[] = {
        {"--config", "FILE", "platform file (YAML)", TRIBUS_CLI_TEXT, &d.config},
        {"--set", "S.K=V", "one setting, may be given again", TRIBUS_CLI_LIST, &d.set},
    };
    int code, stop_fd;

    if (!tribus_cli_parse(&usage, options, 2, argc, argv, &code))
        return code;
    if (tribus_cli_platform(&d.platform, d.config, &d.set) != TRIBUS_OK ||
        find_tribus(&d) != TRIBUS_OK || find_folders(&d) != TRIBUS_OK)
        return tribus_cli_fail("tribusd");
    tribus_cli_log_to_stderr("tribusd", level_named(d.platform.agent.log_level));
    stop_fd = signals();
    if (stop_fd < 0)
        return tribus_cli_complain("tribusd", "eventfd failed");
    raise_limits();
    fill(&d);
    if ((d.platform.redis.secure || d.platform.redis.password[0] != '\0') &&
        secure(&d) != TRIBUS_OK)
        return tribus_cli_fail("tribusd");
    code = run(&d, stop_fd) == TRIBUS_OK ? TRIBUS_EXIT_DONE : tribus_cli_fail("tribusd");
    (void)close(stop_fd);
    return code;
}
