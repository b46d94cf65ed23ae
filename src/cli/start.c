/* start.c -- see start.h. */
#include "cli/start.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"
#include "cli/audience.h"
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

#define START_NS   60000000000
#define STOP_NS    60000000000
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

static bool runtime_folder(const tribus_platform *p, char *buf, size_t bytes)
{
    char *slash;

    if (p->agent.socket[0] != '\0')
        (void)snprintf(buf, bytes, "%s", p->agent.socket);
    else if (tribus_session_socket_path(buf, bytes) != TRIBUS_OK)
        return false;
    slash = strrchr(buf, '/');
    if (slash != NULL)
        *slash = '\0';
    return slash != NULL;
}

/* The runtime folder's log of the agent itself. -1: there is an error text. */
static int open_log(const tribus_platform *p, char *path, size_t bytes)
{
    char folder[108];
    int fd;

    if (!runtime_folder(p, folder, sizeof(folder)) ||
        tribus_os_private_folder(folder) != TRIBUS_OK)
        return -1;
    (void)snprintf(path, bytes, "%s/tribusd.log", folder);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        (void)tribus_error_set(TRIBUS_SYSTEM, "%s", path);
    return fd;
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

/* The last line of a log, without the program's name in front: why that process ended. */
static const char *last_words(const char *log, char *buf, size_t bytes)
{
    char *text, *line;
    size_t n;

    if (tribus_os_read_file(log, (size_t)1 << 22, &text, &n) != TRIBUS_OK) {
        (void)snprintf(buf, bytes, "ended; see %s", log);
        return buf;
    }
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    line = strrchr(text, '\n');
    line = line != NULL ? line + 1 : text;
    if (strncmp(line, "tribus", 6) == 0 && strstr(line, ": ") != NULL)
        line = strstr(line, ": ") + 2;
    (void)snprintf(buf, bytes, "%s", n > 0 ? line : "ended without a word");
    free(text);
    return buf;
}

/* Why a child will not be started again; the agent's own words are cut where its log's are
 * not. */
static void complain_about(const tribus_start_cfg *cfg, const tribus_agent_child *child,
                           const char *after)
{
    char folder[108], path[256], words[2048];

    if (child->last_exit != 0 && runtime_folder(cfg->platform, folder, sizeof(folder))) {
        (void)snprintf(path, sizeof(path), "%s/%s.log", folder, child->name);
        (void)tribus_cli_complain(cfg->command, "%s: %s%s", child->name,
                                  last_words(path, words, sizeof(words)), after);
    } else {
        (void)tribus_cli_complain(cfg->command, "%s: %s%s", child->name, child->text,
                                  after);
    }
}

typedef enum start_state { START_WAITING, START_SETTLED, START_FAILED } start_state;

/* Have the children come to rest? Complains about each that failed; quiet: only about those
 * whose failure ends the start. engines: how many engines live. */
static start_state look(const tribus_start_cfg *cfg, bool quiet, uint32_t *engines)
{
    tribus_agent_child rows[CHILD_ROWS];
    uint32_t count = 0;
    start_state state = START_SETTLED;

    *engines = 0;
    if (tribus_agent_get_children(tribus_start_socket(cfg->platform), 0, rows, CHILD_ROWS,
                                  &count) != TRIBUS_OK)
        return START_WAITING;
    for (uint32_t i = 0; i < count; i++) {
        /* Without a server the fabric alone goes on, without MPS one host serves both domains;
         * without an engine nothing goes on. */
        if (rows[i].state == TRIBUS_CHILD_FAILED && strcmp(rows[i].kind, "redis") != 0 &&
            strcmp(rows[i].kind, "mps") != 0) {
            complain_about(cfg, &rows[i], "");
            return START_FAILED;
        }
        if (rows[i].state == TRIBUS_CHILD_WAITING ||
            rows[i].state == TRIBUS_CHILD_STARTING ||
            (rows[i].state == TRIBUS_CHILD_BACKOFF && strcmp(rows[i].kind, "redis") != 0))
            state = START_WAITING;
        if (rows[i].state == TRIBUS_CHILD_UP && strcmp(rows[i].kind, "engine") == 0)
            (*engines)++;
    }
    for (uint32_t i = 0; state == START_SETTLED && !quiet && i < count; i++)
        if (rows[i].state == TRIBUS_CHILD_FAILED || rows[i].state == TRIBUS_CHILD_BACKOFF)
            complain_about(cfg, &rows[i], "; going on without it");
    return state;
}

/* Wait until the agent answers and its children have settled. */
static int wait_for_children(const tribus_start_cfg *cfg, pid_t pid, const char *log,
                             int64_t deadline, uint32_t *engines)
{
    char words[2048];
    int code;

    for (;;) {
        if (waitpid(pid, &code, WNOHANG) == pid)
            return tribus_cli_complain(cfg->command, "%s",
                                       last_words(log, words, sizeof(words)));
        switch (look(cfg, false, engines)) {
        case START_SETTLED:
            return TRIBUS_EXIT_DONE;
        case START_FAILED:
            return TRIBUS_EXIT_FAILED;
        case START_WAITING:
            break;
        }
        if (tribus_cli_stopped())
            return TRIBUS_EXIT_FAILED;
        if (tribus_deadline_left_ns(deadline) == 0)
            return tribus_cli_complain(cfg->command, "not up after %d s; see %s",
                                       (int)(START_NS / 1000000000), log);
        nap();
    }
}

/* A process that registered may still be loading: an engine is up once it says so. */
static int wait_for_engines(const tribus_start_cfg *cfg, const char *log, int64_t deadline,
                            uint32_t engines)
{
    tribus_audience a;
    tribus_status st = tribus_audience_open(&a, tribus_start_socket(cfg->platform), NULL);
    int code = TRIBUS_EXIT_DONE;

    while (st == TRIBUS_OK && code == TRIBUS_EXIT_DONE && a.engine_count < engines) {
        uint32_t still = 0;

        st = tribus_audience_listen(&a, STEP_NS);
        if (look(cfg, true, &still) == START_FAILED || tribus_cli_stopped())
            code = TRIBUS_EXIT_FAILED;
        else if (tribus_deadline_left_ns(deadline) == 0)
            code = tribus_cli_complain(
                cfg->command, "only %u of %u engines are up after %d s; see %s",
                a.engine_count, engines, (int)(START_NS / 1000000000), log);
    }
    if (st != TRIBUS_OK)
        code = tribus_cli_fail(cfg->command);
    tribus_audience_close(&a);
    return code;
}

int tribus_start(const tribus_start_cfg *cfg, pid_t *pid)
{
    const char *socket = tribus_start_socket(cfg->platform);
    const int64_t deadline = tribus_deadline_ns(START_NS);
    tribus_agent_status status;
    char path[4096], log_path[4096];
    uint32_t engines = 0;
    int log, code;

    if (tribus_agent_get_status(socket, 0, &status) == TRIBUS_OK)
        return tribus_cli_complain(
            cfg->command, "an agent runs already (process %d); `tribus down` ends it",
            (int)status.pid);
    if (!daemon_path(path, sizeof(path)) || access(path, X_OK) != 0)
        return tribus_cli_complain(cfg->command, "%s: not there; build it with make", path);
    log = open_log(cfg->platform, log_path, sizeof(log_path));
    if (log < 0)
        return tribus_cli_fail(cfg->command);
    (void)fflush(NULL);
    *pid = fork();
    if (*pid == 0)
        run_daemon(cfg, path, log);
    (void)close(log);
    if (*pid < 0)
        return tribus_cli_complain(cfg->command, "fork: %s", strerror(errno));
    code = wait_for_children(cfg, *pid, log_path, deadline, &engines);
    if (code == TRIBUS_EXIT_DONE && cfg->platform->engine_logic_bus.enabled)
        code = wait_for_engines(cfg, log_path, deadline, engines);
    if (code != TRIBUS_EXIT_DONE)
        tribus_start_end(*pid);
    return code;
}

void tribus_start_end(pid_t pid)
{
    const int64_t deadline = tribus_deadline_ns(STOP_NS);
    int code;

    if (kill(pid, SIGTERM) != 0)
        return; /* ended and was waited for */
    while (waitpid(pid, &code, WNOHANG) == 0) {
        if (tribus_deadline_left_ns(deadline) == 0) {
            (void)kill(pid, SIGKILL); /* its children die with it */
            (void)waitpid(pid, &code, 0);
            return;
        }
        nap();
    }
}
