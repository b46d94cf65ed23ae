/* child.c -- see child.h.
 *
 * Between fork() and exec() only calls that are safe after a fork of a process with threads:
 * everything that allocates was done before. */
#include "agent/child.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_NO_EXEC 127

tribus_status tribus_child_find(const char *name, char *path, size_t bytes)
{
    const char *at = getenv("PATH");

    if (strchr(name, '/') != NULL) {
        (void)snprintf(path, bytes, "%s", name);
        if (strlen(name) < bytes && access(path, X_OK) == 0)
            return TRIBUS_OK;
        return tribus_error_set(TRIBUS_NOT_FOUND, "%s: no such program", name);
    }
    if (at == NULL || at[0] == '\0')
        at = "/usr/local/bin:/usr/bin:/bin";
    while (*at != '\0') {
        const size_t n = strcspn(at, ":");
        struct stat s;

        if (n > 0 && (size_t)snprintf(path, bytes, "%.*s/%s", (int)n, at, name) < bytes &&
            access(path, X_OK) == 0 && stat(path, &s) == 0 && S_ISREG(s.st_mode))
            return TRIBUS_OK;
        at += at[n] == ':' ? n + 1 : n;
    }
    return tribus_error_set(TRIBUS_NOT_FOUND, "%s: no such program in PATH", name);
}

/* Copy variable to text and let *at point there; returns what is behind it. */
static char *keep(char **at, char *text, const char *variable)
{
    const size_t n = strlen(variable) + 1;

    memcpy(text, variable, n);
    *at = text;
    return text + n;
}

/* Is this variable among those that are set anew? */
static bool is_set_anew(const char *variable, const char *const *more)
{
    const size_t n = strcspn(variable, "=") + 1;

    for (; more != NULL && *more != NULL; more++)
        if (strncmp(variable, *more, n) == 0)
            return true;
    return strncmp(variable, "TRIBUS_SOCKET=", n) == 0 ||
           strncmp(variable, "NOTIFY_SOCKET=", n) == 0; /* that one is ours to answer */
}

char **tribus_child_environment(const char *socket_path, const char *const *more)
{
    static const char key[] = "TRIBUS_SOCKET=";
    const size_t key_bytes = sizeof(key) - 1 + strlen(socket_path) + 1;
    size_t count = 0, bytes = key_bytes, k = 0;
    char **out, *text;

    for (char **e = environ; e != NULL && *e != NULL; e++, count++)
        bytes += strlen(*e) + 1;
    for (const char *const *m = more; m != NULL && *m != NULL; m++, count++)
        bytes += strlen(*m) + 1;
    out = malloc((count + 2) * sizeof(*out) + bytes);
    if (out == NULL)
        return NULL;
    text = (char *)(out + count + 2);
    for (char **e = environ; e != NULL && *e != NULL && k < count; e++)
        if (!is_set_anew(*e, more))
            text = keep(&out[k++], text, *e);
    for (const char *const *m = more; m != NULL && *m != NULL && k < count; m++)
        text = keep(&out[k++], text, *m);
    (void)snprintf(text, key_bytes, "%s%s", key, socket_path);
    out[k++] = text;
    out[k] = NULL;
    return out;
}

/* In the child. */
static void become(const char *path, char *const *argv, char *const *envp, int null_fd,
                   int log_fd, pid_t parent)
{
    static const int defaults[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD, SIGQUIT};
    sigset_t none;

    /* SIGKILL: a program that hangs in its clean-up must not outlive us either. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died between fork() and prctl() */
        _exit(STATUS_NO_EXEC);
    (void)setpgid(0, 0); /* Ctrl-C is for the agent, which stops its children in order */
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        (void)signal(defaults[i], SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(STATUS_NO_EXEC);
    (void)execve(path, argv, envp);
    _exit(STATUS_NO_EXEC);
}

tribus_status tribus_child_start(const char *path, char *const *argv, char *const *envp,
                                 const char *log_path, pid_t *pid)
{
    const pid_t parent = getpid();
    const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int log_fd = open(
        log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    tribus_status st = TRIBUS_OK;
    pid_t child = -1;

    if (null_fd < 0 || log_fd < 0)
        st = tribus_error_set(TRIBUS_SYSTEM, "log %s", log_path);
    if (st == TRIBUS_OK) {
        child = fork();
        if (child == 0)
            become(path, argv, envp, null_fd, log_fd, parent);
        if (child > 0)
            (void)setpgid(child, child); /* whichever of the two is first */
        if (child < 0)
            st = tribus_error_set(TRIBUS_SYSTEM, "start %s", path);
    }
    if (null_fd >= 0)
        (void)close(null_fd);
    if (log_fd >= 0)
        (void)close(log_fd);
    if (st == TRIBUS_OK)
        *pid = child;
    return st;
}

/* While the leader is a zombie its number is nobody else's, so the group is the right one. */
static void kill_orphans(pid_t pid)
{
    siginfo_t info = {0};

    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid)
        (void)kill(-pid, SIGKILL);
}

tribus_status tribus_child_reap(pid_t pid, int *exit_status)
{
    int status = 0;
    pid_t got;

    kill_orphans(pid);
    do
        got = waitpid(pid, &status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        return TRIBUS_EMPTY;
    if (got < 0) /* SIGCHLD is ignored in this process: how it ended is lost */
        *exit_status = 0;
    else
        *exit_status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    return TRIBUS_OK;
}

void tribus_child_last_words(const char *log_path, char *buf, size_t bytes)
{
    char tail[1024];
    const int fd = open(log_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    const off_t from = size > (off_t)sizeof(tail) ? size - (off_t)sizeof(tail) : 0;
    ssize_t n = fd < 0 ? 0 : pread(fd, tail, sizeof(tail), from);
    size_t begin, end;

    buf[0] = '\0';
    if (fd >= 0)
        (void)close(fd);
    if (n <= 0)
        return;
    end = (size_t)n;
    while (end > 0 && (tail[end - 1] == '\n' || tail[end - 1] == ' '))
        end--;
    begin = end;
    while (begin > 0 && tail[begin - 1] != '\n')
        begin--;
    (void)snprintf(buf, bytes, "%.*s", (int)(end - begin), tail + begin);
    for (char *c = buf; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}
