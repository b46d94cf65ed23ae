/* server_command.c -- see server_command.h. */
#include "agent/server_command.h"
#include "base/error.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void add(tribus_server_command *c, const char *word, const char *value)
{
    size_t n = 0;

    while (c->argv[n] != NULL)
        n++;
    c->argv[n] = word; /* the array has room for all of them, and stays zero behind */
    c->argv[n + 1] = value;
}

static bool is_text(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static tribus_status check(const tribus_agent_redis_cfg *r)
{
    static const char *const choices[] = {"always", "everysec", "no"};

    if (r->port < 1 || r->port > 65535)
        return tribus_error_set(TRIBUS_BAD_ARG, "%s: port %d is not within 1..65535",
                                r->name, r->port);
    if (r->spawn && r->tls != NULL && r->tls->on &&
        (!is_text(r->tls->cert_file) || !is_text(r->tls->key_file) ||
         !is_text(r->tls->ca_file)))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "%s: a server with TLS needs redis.tls_ca, tls_cert and "
                                "tls_key; or set spawn: false for the bus",
                                r->name);
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        if (!is_text(r->fsync) || strcmp(r->fsync, choices[i]) == 0)
            return TRIBUS_OK;
    }
    return tribus_error_set(TRIBUS_BAD_ARG, "%s: fsync %s is none of always, everysec, no",
                            r->name, r->fsync);
}

static void add_tls(tribus_server_command *c, const tribus_tls_cfg *tls)
{
    add(c, "--port", "0");
    add(c, "--tls-port", c->port);
    add(c, "--tls-cert-file", tls->cert_file);
    add(c, "--tls-key-file", tls->key_file);
    add(c, "--tls-ca-cert-file", tls->ca_file);
}

tribus_status tribus_server_command_fill(const tribus_agent_redis_cfg *r,
                                         const char *runtime_folder,
                                         tribus_server_command *out)
{
    const bool keeps = is_text(r->data_folder);
    tribus_status st = check(r);
    int n;

    if (st != TRIBUS_OK)
        return st;
    *out =
        (tribus_server_command){.argv = {r->program != NULL ? r->program : "redis-server"}};
    n = keeps ? snprintf(out->folder, sizeof(out->folder), "%s/%s", r->data_folder, r->name)
              : snprintf(out->folder, sizeof(out->folder), "%s", runtime_folder);
    if (n < 0 || (size_t)n >= sizeof(out->folder))
        return tribus_error_set(TRIBUS_BAD_ARG, "%s: data folder of over %zu characters",
                                r->name, sizeof(out->folder) - 1);
    (void)snprintf(out->port, sizeof(out->port), "%d", r->port);
    if (r->tls != NULL && r->tls->on)
        add_tls(out, r->tls);
    else
        add(out, "--port", out->port);
    add(out, "--bind", is_text(r->host) ? r->host : "127.0.0.1");
    add(out, "--save", "");
    add(out, "--daemonize", "no");
    add(out, "--dir", out->folder);
    add(out, "--appendonly", keeps ? "yes" : "no");
    if (keeps)
        add(out, "--appendfsync", is_text(r->fsync) ? r->fsync : "always");
    if (is_text(r->acl_path))
        add(out, "--aclfile", r->acl_path);
    return TRIBUS_OK;
}

tribus_status tribus_server_command_take_folder(const char *folder, int *lock_fd)
{
    char path[272];
    tribus_status st = tribus_os_make_folders(folder);
    int fd;

    if (st != TRIBUS_OK || *lock_fd >= 0)
        return st;
    (void)snprintf(path, sizeof(path), "%s/lock", folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        st = errno == EWOULDBLOCK
                 ? tribus_error_set(TRIBUS_EXISTS,
                                    "%s: another agent's server uses this folder: set "
                                    "redis.data_folder",
                                    folder)
                 : tribus_error_set(TRIBUS_SYSTEM, "lock %s", path);
        (void)close(fd);
        return st;
    }
    *lock_fd = fd;
    return TRIBUS_OK;
}
