/* os_process.c -- descriptors over sockets, processes and files; see os.h. */
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS_MAX 8u

tribus_status tribus_os_send(int sock, const void *bytes, size_t n, const int *fds,
                             uint32_t fd_count)
{
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    /* iov_base is not const, sendmsg() only reads it. */
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    if (fd_count > FDS_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG, "send %u descriptors: at most %u", fd_count,
                                FDS_MAX);
    if (fd_count > 0) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    do
        sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return TRIBUS_FULL;
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
        return tribus_error_set(TRIBUS_PEER_LOST, "send: the other side is gone");
    if (sent < 0 || (size_t)sent != n)
        return tribus_error_set(TRIBUS_SYSTEM, "send %zu bytes", n);
    return TRIBUS_OK;
}

static void close_all(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)close(fds[i]);
}

/* Descriptors are closed unless they are handed to the caller: a hostile peer must not be
 * able to fill our table. */
static tribus_status take_fds(struct msghdr *msg, int *fds, uint32_t *fd_count)
{
    uint32_t got = 0;
    uint32_t arrived = 0;
    const bool cut = (msg->msg_flags & MSG_CTRUNC) != 0;
    bool fits = !cut;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        const size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        arrived += (uint32_t)n;
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (fds != NULL && fd_count != NULL && got < *fd_count) {
                fds[got++] = fd;
            } else {
                (void)close(fd);
                fits = false;
            }
        }
    }
    if (!fits) {
        close_all(fds, got);
        got = 0;
    }
    if (fd_count != NULL)
        *fd_count = got;
    /* The kernel cuts where there is no room for more, and where we may have no more. */
    if (cut && arrived < FDS_MAX)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "receive: no descriptors left in this process: raise "
                                "`ulimit -n`, or LimitNOFILE of its unit");
    return fits ? TRIBUS_OK
                : tribus_error_set(TRIBUS_BAD_DATA,
                                   "receive: more descriptors than allowed");
}

tribus_status tribus_os_receive_wait(int sock, void *bytes, size_t n, size_t *got, int *fds,
                                     uint32_t *fd_count, int64_t timeout_ns)
{
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = bytes, .iov_len = n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    const int64_t deadline = tribus_deadline_ns(timeout_ns);
    ssize_t r;

    for (;;) {
        struct pollfd p = {.fd = sock, .events = POLLIN};
        const int64_t left = tribus_deadline_left_ns(deadline);
        struct timespec t = {.tv_sec = (time_t)(left / 1000000000),
                             .tv_nsec = (long)(left % 1000000000)};
        const int rc = ppoll(&p, 1, deadline == INT64_MAX ? NULL : &t, NULL);

        if (rc > 0)
            break;
        if (rc == 0)
            return TRIBUS_TIMEOUT;
        if (errno != EINTR)
            return tribus_error_set(TRIBUS_SYSTEM, "receive: poll");
    }
    msg.msg_control = control.bytes;
    msg.msg_controllen = sizeof(control.bytes);
    do
        r = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (r < 0 && errno == EINTR);
    if (r == 0 || (r < 0 && errno == ECONNRESET))
        return tribus_error_set(TRIBUS_PEER_LOST, "receive: the other side is gone");
    if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return TRIBUS_TIMEOUT;
    if (r < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "receive");
    *got = (size_t)r;
    if (take_fds(&msg, fds, fd_count) != TRIBUS_OK)
        return TRIBUS_BAD_DATA;
    if ((msg.msg_flags & MSG_TRUNC) != 0) {
        if (fds != NULL && fd_count != NULL)
            close_all(fds, *fd_count);
        if (fd_count != NULL)
            *fd_count = 0;
        return tribus_error_set(TRIBUS_BAD_DATA, "receive: message longer than %zu bytes",
                                n);
    }
    return TRIBUS_OK;
}

tribus_status tribus_os_pidfd(pid_t pid, int *out_fd)
{
    const long fd = syscall(SYS_pidfd_open, pid, 0u);

    if (fd < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "watch process %ld", (long)pid);
    *out_fd = (int)fd;
    return TRIBUS_OK;
}

uint64_t tribus_os_start_time(pid_t pid)
{
    char path[64], line[1024];
    const char *p;
    size_t n;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    f = fopen(path, "re");
    if (f == NULL)
        return 0;
    n = fread(line, 1, sizeof(line) - 1, f);
    (void)fclose(f);
    line[n] = '\0';
    p = strrchr(line, ')'); /* the name may hold spaces and brackets: count from its end */
    for (int field = 2; p != NULL && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p == NULL ? 0 : strtoull(p + 1, NULL, 10);
}

bool tribus_os_process_runs(pid_t pid, uint64_t start_time)
{
    struct pollfd p = {.events = POLLIN};
    int ended;

    if (pid <= 0 || start_time == 0)
        return false;
    p.fd = (int)syscall(SYS_pidfd_open, pid, 0u);
    if (p.fd < 0)
        return errno != ESRCH && tribus_os_start_time(pid) == start_time;
    ended = poll(&p, 1, 0) > 0; /* readable from the end on, waited for or not */
    (void)close(p.fd);
    return !ended && tribus_os_start_time(pid) == start_time;
}

tribus_status tribus_os_pin(int core)
{
    cpu_set_t set;

    if (core < 0 || core >= CPU_SETSIZE)
        return tribus_error_set(TRIBUS_BAD_ARG, "pin to core %d: there are %d", core,
                                tribus_os_core_count());
    CPU_ZERO(&set);
    CPU_SET((unsigned)core, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "pin to core %d", core);
    return TRIBUS_OK;
}

tribus_status tribus_os_slice(int64_t slice_ns)
{
    struct { /* sched_attr, as far as every kernel knows it; no header of C has it */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attr = {.size = sizeof(attr)};

    if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "read how this thread is scheduled");
    if (attr.policy != SCHED_OTHER)
        return TRIBUS_OK;
    attr.size = sizeof(attr);
    attr.runtime_ns = (uint64_t)slice_ns;
    if (syscall(SYS_sched_setattr, 0, &attr, 0) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "take slices of %lld ns",
                                (long long)slice_ns);
    return TRIBUS_OK;
}

int tribus_os_core_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return CPU_COUNT(&set);
    return 1;
}

void tribus_os_die_with_parent(int signal_number)
{
    (void)prctl(PR_SET_PDEATHSIG, signal_number);
}

tribus_status tribus_os_make_folders(const char *path)
{
    char part[4096];
    const size_t n = strlen(path);

    if (n == 0 || n >= sizeof(part))
        return tribus_error_set(TRIBUS_BAD_ARG, "folder name of %zu characters", n);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return tribus_error_set(TRIBUS_SYSTEM, "create folder %s", part);
        part[i] = path[i];
    }
    return TRIBUS_OK;
}

tribus_status tribus_os_private_folder(const char *folder)
{
    struct stat s;

    if (lstat(folder, &s) != 0 && errno == ENOENT) {
        const tribus_status st = tribus_os_make_folders(folder);

        if (st != TRIBUS_OK)
            return st;
    }
    if (lstat(folder, &s) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "folder %s", folder);
    if (!S_ISDIR(s.st_mode))
        return tribus_error_set(TRIBUS_REFUSED,
                                "%s is not a folder: remove it, or choose another place "
                                "with TRIBUS_SOCKET",
                                folder);
    if ((s.st_uid != geteuid() && s.st_uid != 0) ||
        ((s.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (s.st_mode & S_ISVTX) == 0))
        return tribus_error_set(TRIBUS_REFUSED,
                                "folder %s can be written by others (owner %lu, mode %o): "
                                "chmod 700 it, or choose another place with TRIBUS_SOCKET",
                                folder, (unsigned long)s.st_uid,
                                (unsigned)s.st_mode & 07777u);
    return TRIBUS_OK;
}

tribus_status tribus_os_read_file(const char *path, size_t max_bytes, char **out,
                                  size_t *bytes)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    size_t used = 0, room = 0;

    if (f == NULL)
        return tribus_error_set(errno == ENOENT ? TRIBUS_NOT_FOUND : TRIBUS_SYSTEM,
                                errno == ENOENT ? "%s: no such file" : "%s", path);
    for (;;) {
        size_t n;

        if (room - used < 2) {
            char *more;

            room = room == 0 ? 65536 : room * 2;
            more = realloc(text, room);
            if (more == NULL) {
                free(text);
                (void)fclose(f);
                return tribus_error_set(TRIBUS_NO_MEMORY, "%s: %zu bytes", path, room);
            }
            text = more;
        }
        n = fread(text + used, 1, room - used - 1, f);
        used += n;
        if (used > max_bytes) {
            free(text);
            (void)fclose(f);
            return tribus_error_set(TRIBUS_BAD_DATA, "%s: larger than %zu bytes", path,
                                    max_bytes);
        }
        if (n == 0)
            break;
    }
    if (ferror(f) != 0) {
        free(text);
        (void)fclose(f);
        return tribus_error_set(TRIBUS_SYSTEM, "read %s", path);
    }
    (void)fclose(f);
    text[used] = '\0';
    *out = text;
    *bytes = used;
    return TRIBUS_OK;
}
