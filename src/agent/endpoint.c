/* endpoint.c -- the agent's place in the file system: folder, lock, socket.
 *
 * The lock (flock on <socket>.lock) says whether an agent serves this socket: the kernel
 * drops it when its holder dies, however it dies. A socket file without a held lock is what
 * a killed agent left, and is removed.
 */
#include "agent/agent.h"
#include "base/error.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG     128
#define LOCK_ROUNDS 16

static tribus_status set_paths(tribus_endpoint *e, const char *path)
{
    const char *slash;
    size_t n;

    if (path == NULL) {
        const tribus_status st = tribus_session_socket_path(e->path, sizeof(e->path));

        if (st != TRIBUS_OK)
            return st;
    } else {
        if (path[0] == '\0' || strlen(path) >= sizeof(e->path))
            return tribus_error_set(TRIBUS_BAD_ARG,
                                    "socket path \"%s\": 1 to %zu characters allowed", path,
                                    sizeof(e->path) - 1);
        (void)snprintf(e->path, sizeof(e->path), "%s", path);
    }
    slash = strrchr(e->path, '/');
    n = slash == NULL ? 0 : (size_t)(slash - e->path);
    (void)snprintf(e->folder, sizeof(e->folder), "%.*s", n == 0 ? 1 : (int)n,
                   n > 0              ? e->path
                   : slash == e->path ? "/"
                                      : ".");
    (void)snprintf(e->lock_path, sizeof(e->lock_path), "%s.lock", e->path);
    return TRIBUS_OK;
}

static long read_pid(int fd)
{
    char text[32] = "";
    const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static tribus_status write_pid(tribus_endpoint *e)
{
    char text[32];
    const int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (ftruncate(e->lock_fd, 0) != 0 || pwrite(e->lock_fd, text, (size_t)n, 0) != n)
        return tribus_error_set(TRIBUS_SYSTEM, "write %s", e->lock_path);
    return TRIBUS_OK;
}

/* The holder before us may have removed the file between our open() and our flock(): then we
 * hold a lock that nobody else will ever see, and try again. */
static tribus_status take_lock(tribus_endpoint *e)
{
    for (int round = 0; round < LOCK_ROUNDS; round++) {
        struct stat ours, there;

        e->lock_fd = open(e->lock_path,
                          O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (e->lock_fd < 0)
            return tribus_error_set(TRIBUS_SYSTEM, "lock %s", e->lock_path);
        if (flock(e->lock_fd, LOCK_EX | LOCK_NB) != 0) {
            const tribus_status st =
                errno == EWOULDBLOCK
                    ? tribus_error_set(TRIBUS_EXISTS,
                                       "an agent serves %s already: process %ld; stop it "
                                       "with `tribus down`, or give this one another "
                                       "socket with TRIBUS_SOCKET",
                                       e->path, read_pid(e->lock_fd))
                    : tribus_error_set(TRIBUS_SYSTEM, "lock %s", e->lock_path);

            (void)close(e->lock_fd);
            e->lock_fd = -1;
            return st;
        }
        if (fstat(e->lock_fd, &ours) == 0 && stat(e->lock_path, &there) == 0 &&
            ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
            return write_pid(e);
        (void)close(e->lock_fd);
        e->lock_fd = -1;
    }
    return tribus_error_set(TRIBUS_EXISTS, "lock %s: other agents keep taking it",
                            e->lock_path);
}

static tribus_status listen_there(tribus_endpoint *e, bool open_to_groups)
{
    const mode_t mode = open_to_groups ? 0666 : 0600;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat s;

    if (lstat(e->path, &s) == 0) {
        if (!S_ISSOCK(s.st_mode))
            return tribus_error_set(TRIBUS_EXISTS, "%s is there and is not a socket",
                                    e->path);
        (void)unlink(e->path); /* of a killed agent: the lock is ours */
    }
    e->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->listen_fd < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "socket %s", e->path);
    memcpy(at.sun_path, e->path, sizeof(at.sun_path));
    /* The mode is set on the descriptor before bind(), so that there is no moment at which
     * the file is open to others. */
    if (fchmod(e->listen_fd, mode) != 0 ||
        bind(e->listen_fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "socket %s", e->path);
    e->bound = true;
    if (chmod(e->path, mode) != 0 || listen(e->listen_fd, BACKLOG) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "listen at %s", e->path);
    return TRIBUS_OK;
}

/* Others may pass through our folder to the socket; what else is in it has mode 0600. */
static tribus_status let_pass(const char *folder)
{
    struct stat s;

    if (stat(folder, &s) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "folder %s", folder);
    if ((s.st_mode & S_IXOTH) != 0 || s.st_uid != geteuid())
        return TRIBUS_OK;
    if (chmod(folder, (s.st_mode & 07777) | S_IXGRP | S_IXOTH) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "folder %s", folder);
    return TRIBUS_OK;
}

tribus_status tribus_endpoint_open(tribus_endpoint *e, const char *path,
                                   bool open_to_groups)
{
    tribus_status st;

    e->lock_fd = -1;
    e->listen_fd = -1;
    e->bound = false;
    st = set_paths(e, path);
    if (st == TRIBUS_OK)
        st = tribus_os_private_folder(e->folder);
    if (st == TRIBUS_OK && open_to_groups)
        st = let_pass(e->folder);
    if (st == TRIBUS_OK)
        st = take_lock(e);
    if (st == TRIBUS_OK)
        st = listen_there(e, open_to_groups);
    return st;
}

void tribus_endpoint_close(tribus_endpoint *e)
{
    if (e->bound)
        (void)unlink(e->path);
    e->bound = false;
    if (e->listen_fd >= 0)
        (void)close(e->listen_fd);
    e->listen_fd = -1;
    if (e->lock_fd >= 0) {
        (void)unlink(e->lock_path); /* while it is ours */
        (void)close(e->lock_fd);
    }
    e->lock_fd = -1;
}
