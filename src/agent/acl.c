/* acl.c -- see acl.h. */
#include "agent/acl.h"
#include "base/error.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define RANDOM_BYTES ((TRIBUS_ACL_PASSWORD_BYTES - 1u) / 2u)
#define TEXT_BYTES   16384u
#define PATH_BYTES   512u

#define BUS(name) (1u << TRIBUS_BUS_##name)

/* The engines of the platform and the buses they may publish on. */
static const struct {
    const char *name;
    unsigned publishes;
} engines[] = {
    {"analytics", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"backtesting", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"risk", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"factor", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"ml", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"features", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"websocket", BUS(MARKETDATA) | BUS(ENGINE_LOGIC)},
    {"strategy", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"marketdata", BUS(MARKETDATA) | BUS(ENGINE_LOGIC)},
    {"portfolio", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"collateral", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"vpin", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
    {"enhanced_vpin", BUS(ENGINE_LOGIC) | BUS(NEURAL_GPU)},
};

#define ENGINES (sizeof(engines) / sizeof(engines[0]))

/* Text in a fixed buffer; too much of it is an error at the end. */
typedef struct text {
    char bytes[TEXT_BYTES];
    size_t used;
} text;

static void print(text *t, const char *fmt, ...) TRIBUS_PRINTF(2, 3);

static void print(text *t, const char *fmt, ...)
{
    const size_t left = sizeof(t->bytes) - t->used;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(t->bytes + t->used, left, fmt, args);
    va_end(args);
    t->used += n < 0 || (size_t)n >= left ? left - 1 : (size_t)n;
}

/* Into a file of our own, in place of the old one only when it is whole. */
static tribus_status write_file(const char *path, const text *t)
{
    char made[PATH_BYTES + 8];
    tribus_status st = TRIBUS_OK;
    int fd;

    (void)snprintf(made, sizeof(made), "%s.new", path);
    (void)unlink(made);
    fd = open(made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "write %s", made);
    if (t->used + 1 >= sizeof(t->bytes))
        st = tribus_error_set(TRIBUS_BAD_DATA, "%s: longer than %zu bytes", path,
                              sizeof(t->bytes));
    else if (write(fd, t->bytes, t->used) != (ssize_t)t->used || rename(made, path) != 0)
        st = tribus_error_set(TRIBUS_SYSTEM, "write %s", path);
    (void)close(fd);
    if (st != TRIBUS_OK)
        (void)unlink(made);
    return st;
}

static tribus_status add_user(text *t, const char *name)
{
    unsigned char random[RANDOM_BYTES];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return tribus_error_set(TRIBUS_SYSTEM, "random bytes for a password");
    print(t, "%s ", name);
    for (size_t i = 0; i < sizeof(random); i++)
        print(t, "%02x", random[i]);
    print(t, "\n");
    return TRIBUS_OK;
}

static tribus_status make_users(const char *path)
{
    text t = {.used = 0};
    tribus_status st;

    print(
        &t,
        "# user and password on the Redis servers; each engine needs its own line only\n");
    st = add_user(&t, TRIBUS_ACL_AGENT);
    for (size_t i = 0; i < ENGINES && st == TRIBUS_OK; i++)
        st = add_user(&t, engines[i].name);
    return st == TRIBUS_OK ? write_file(path, &t) : st;
}

static tribus_status read_users(const char *path, char **users)
{
    struct stat s;
    size_t bytes = 0;

    if (stat(path, &s) == 0 &&
        (s.st_uid != geteuid() || (s.st_mode & (S_IRWXG | S_IRWXO)) != 0))
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: others can reach it; chmod 600 and chown it", path);
    return tribus_os_read_file(path, TEXT_BYTES, users, &bytes);
}

/* The password of a user: 48 hexadecimal digits, nothing else could be put into a rule. */
static tribus_status find_password(const char *path, const char *users, const char *name,
                                   char out[TRIBUS_ACL_PASSWORD_BYTES])
{
    const size_t n = strlen(name);
    const char *line = users;

    while (line != NULL) {
        if (strncmp(line, name, n) == 0 && line[n] == ' ') {
            const char *at = line + n + 1;

            if (strspn(at, "0123456789abcdef") != TRIBUS_ACL_PASSWORD_BYTES - 1u)
                break;
            memcpy(out, at, TRIBUS_ACL_PASSWORD_BYTES - 1u);
            out[TRIBUS_ACL_PASSWORD_BYTES - 1u] = '\0';
            return TRIBUS_OK;
        }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return tribus_error_set(
        TRIBUS_BAD_DATA, "%s: no password for %s; remove the file to make all of them new",
        path, name);
}

static void users_path(const char *folder, char *path, size_t bytes)
{
    (void)snprintf(path, bytes, "%s/redis.users", folder);
}

tribus_status tribus_acl_prepare(const char *folder,
                                 char password[TRIBUS_ACL_PASSWORD_BYTES])
{
    char path[PATH_BYTES];
    char *users = NULL;
    tribus_status st;

    users_path(folder, path, sizeof(path));
    st = read_users(path, &users);
    if (st == TRIBUS_NOT_FOUND) {
        st = make_users(path);
        if (st == TRIBUS_OK)
            st = read_users(path, &users);
    }
    if (st == TRIBUS_OK)
        st = find_password(path, users, TRIBUS_ACL_AGENT, password);
    free(users);
    return st;
}

/* Subscribers may use patterns, which Redis compares with the rule letter by letter: so the
 * bus's own pattern stands beside the one for everything. */
static void print_engine(text *t, const char *name, const char *password, const char *bus,
                         bool publishes)
{
    print(t,
          "user %s on >%s resetchannels &nautilus-* &nautilus-%s-* ~nautilus-%s-* -@all "
          "+ping +quit +hello +auth +client|setname +subscribe +psubscribe +unsubscribe "
          "+punsubscribe +xread +xreadgroup +xack +xautoclaim +xgroup|create +time",
          name, password, bus, bus);
    if (publishes)
        print(t, " (-@all +publish &nautilus-%s-*) (-@all +xadd ~nautilus-%s-*)", bus, bus);
    print(t, "\n");
}

tribus_status tribus_acl_write(const char *folder, const char *name, tribus_bus_id bus,
                               char *path, size_t bytes)
{
    const char *bus_name = tribus_wire_bus_name((uint32_t)bus);
    char from[PATH_BYTES], password[TRIBUS_ACL_PASSWORD_BYTES];
    char *users = NULL;
    text t = {.used = 0};
    tribus_status st;

    users_path(folder, from, sizeof(from));
    (void)snprintf(path, bytes, "%s/%s.acl", folder, name);
    st = read_users(from, &users);
    if (st == TRIBUS_OK)
        st = find_password(from, users, TRIBUS_ACL_AGENT, password);
    if (st == TRIBUS_OK)
        print(&t,
              "user default off\n"
              "user " TRIBUS_ACL_AGENT " on >%s resetchannels &* ~nautilus-* -@all "
              "+@connection +@pubsub +@stream +@string +del +sadd +smembers +expire "
              "+pexpire -@dangerous +wait +role\n",
              password);
    for (size_t i = 0; i < ENGINES && st == TRIBUS_OK; i++) {
        st = find_password(from, users, engines[i].name, password);
        if (st == TRIBUS_OK)
            print_engine(&t, engines[i].name, password, bus_name,
                         (engines[i].publishes >> bus & 1u) != 0);
    }
    free(users);
    return st == TRIBUS_OK ? write_file(path, &t) : st;
}

tribus_status tribus_acl_write_password(const char *folder, const char *name,
                                        const char *password, char *path, size_t bytes)
{
    text t = {.used = 0};

    for (const char *c = password; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~')
            return tribus_error_set(TRIBUS_BAD_ARG,
                                    "password: letters, digits and signs, no spaces");
    }
    (void)snprintf(path, bytes, "%s/%s.acl", folder, name);
    print(&t, "user default on >%s ~* &* +@all\n", password);
    return write_file(path, &t);
}
