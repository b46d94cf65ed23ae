/* start.c -- see start.h. */
#include "cli/start.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"
#include "tribus/session.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_NS   30000000000
#define STOP_NS    15000000000
#define STEP_NS    20000000
#define CHILD_ROWS 64u

const char *tribus_start_socket(const tribus_platform *platform)
{
    return platform->agent.socket[0] != '\0' ? platform->agent.socket : NULL;
}

static void nap(void)
{
    const struct timespec t = {.tv_nsec = STEP_NS};

    (void)nanosleep(&t, NULL);
}

/* tribusd lies beside this program. */
static bool daemon_path(char *buf, size_t bytes)
{
    char exe[4096];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (n <= 0)
        return false;
    exe[n] = '\0';
    return snprintf(buf, bytes, "%s/tribusd", dirname(exe)) < (int)bytes;
}

/* The runtime folder's log of the agent itself. */
static int open_log(const tribus_platform *p, char *path, size_t bytes)
{
    char socket[108], *slash;

    if (p->agent.socket[0] != '\0')
        (void)snprintf(socket, sizeof(socket), "%s", p->agent.socket);
    else if (tribus_session_socket_path(socket, sizeof(socket)) != TRIBUS_OK)
        return -1;
    slash = strrchr(socket, '/');
    if (slash == NULL)
        return -1;
    *slash = '\0';
    if (tribus_os_make_folders(socket) != TRIBUS_OK)
        return -1;
    (void)snprintf(path, bytes, "%s/tribusd.log", socket);
    return open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
}

static void run_daemon(const tribus_start_cfg *cfg, const char *path, int log)
{
    char *argv[8 + 2 * TRIBUS_CLI_LIST_MAX];
    size_t n = 0;
    const int null = open("/dev/null", O_RDONLY);

    argv[n++] = (char *)(uintptr_t)path;
    if (cfg->config != NULL) {
        argv[n++] = (char *)(uintptr_t) "--config";
        argv[n++] = (char *)(uintptr_t)cfg->config;
    }
    for (size_t i = 0; cfg->set != NULL && i < cfg->set->count; i++) {
        argv[n++] = (char *)(uintptr_t) "--set";
        argv[n++] = (char *)(uintptr_t)cfg->set->items[i];
    }
    argv[n] = NULL;
    (void)setsid(); /* a Ctrl-C here is for us: we end it in order */
    if (!cfg->detach)
        tribus_os_die_with_parent(SIGTERM);
    (void)dup2(null, 0);
    (void)dup2(log, 1);
    (void)dup2(log, 2);
    (void)execv(path, argv);
    _exit(127);
}

/* The last line of the log is why the agent gave up. */
static int complain_with_log(const char *command, const char *log)
{
    char *text, *line;
    size_t bytes;

    if (tribus_os_read_file(log, (size_t)1 << 22, &text, &bytes) != TRIBUS_OK)
        return tribus_cli_complain(command, "tribusd ended; see %s", log);
    while (bytes > 0 && text[bytes - 1] == '\n')
        text[--bytes] = '\0';
    line = strrchr(text, '\n');
    line = line != NULL ? line + 1 : text;
    if (strncmp(line, "tribusd: ", 9) == 0)
        line += 9;
    (void)tribus_cli_complain(command, "%s", bytes > 0 ? line : "tribusd ended at once");
    free(text);
    return TRIBUS_EXIT_FAILED;
}

/* Whether every child has come to rest; complains about those that failed. */
static bool settled(const tribus_start_cfg *cfg, bool *failed)
{
    tribus_agent_child rows[CHILD_ROWS];
    uint32_t count = 0;

    if (tribus_agent_get_children(tribus_start_socket(cfg->platform), 0, rows, CHILD_ROWS,
                                  &count) != TRIBUS_OK)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].state == TRIBUS_CHILD_WAITING ||
            rows[i].state == TRIBUS_CHILD_STARTING || rows[i].state == TRIBUS_CHILD_BACKOFF)
            return false;
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].state != TRIBUS_CHILD_FAILED)
            continue;
        (void)tribus_cli_complain(cfg->command, "%s: %s", rows[i].name, rows[i].text);
        /* Without a server the fabric alone goes on; without an engine nothing does. */
        *failed = *failed || strcmp(rows[i].kind, "redis") != 0;
    }
    return true;
}

int tribus_start(const tribus_start_cfg *cfg, pid_t *pid)
{
    const char *socket = tribus_start_socket(cfg->platform);
    const int64_t deadline = tribus_deadline_ns(START_NS);
    tribus_agent_status status;
    char path[4096], log_path[4096];
    bool failed = false;
    int log, code;

    if (tribus_agent_get_status(socket, 0, &status) == TRIBUS_OK)
        return tribus_cli_complain(
            cfg->command, "an agent runs already (process %d); `tribus down` ends it",
            (int)status.pid);
    if (!daemon_path(path, sizeof(path)) || access(path, X_OK) != 0)
        return tribus_cli_complain(cfg->command, "%s: not there; build it with make", path);
    log = open_log(cfg->platform, log_path, sizeof(log_path));
    if (log < 0)
        return tribus_cli_complain(cfg->command, "%s: %s", log_path, strerror(errno));
    (void)fflush(NULL);
    *pid = fork();
    if (*pid == 0)
        run_daemon(cfg, path, log);
    (void)close(log);
    if (*pid < 0)
        return tribus_cli_complain(cfg->command, "fork: %s", strerror(errno));
    for (;;) {
        if (waitpid(*pid, &code, WNOHANG) == *pid)
            return complain_with_log(cfg->command, log_path);
        if (settled(cfg, &failed))
            break;
        if (tribus_cli_stopped() || tribus_deadline_left_ns(deadline) == 0) {
            if (!tribus_cli_stopped())
                (void)tribus_cli_complain(cfg->command, "not up after %d s; see %s",
                                          (int)(START_NS / 1000000000), log_path);
            failed = true;
            break;
        }
        nap();
    }
    if (!failed)
        return TRIBUS_EXIT_DONE;
    tribus_start_end(*pid);
    return TRIBUS_EXIT_FAILED;
}

void tribus_start_end(pid_t pid)
{
    const int64_t deadline = tribus_deadline_ns(STOP_NS);
    int code;

    (void)kill(pid, SIGTERM);
    while (waitpid(pid, &code, WNOHANG) == 0) {
        if (tribus_deadline_left_ns(deadline) == 0) {
            (void)kill(pid, SIGKILL); /* its children die with it */
            (void)waitpid(pid, &code, 0);
            return;
        }
        nap();
    }
}
