/* agent_fixture.h -- an agent inside the test's process, on a socket of its own. */
#ifndef TRIBUS_TESTS_AGENT_FIXTURE_H
#define TRIBUS_TESTS_AGENT_FIXTURE_H

#include "check.h"
#include "tribus/agent.h"
#include "tribus/session.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

/* Stop with the agent's or session's own words when a call that must work does not. */
#define OK(call)                                                                           \
    do {                                                                                   \
        const tribus_status st_ = (call);                                                  \
        if (st_ != TRIBUS_OK) {                                                            \
            fprintf(stderr, "%s:%d: %s gives %s: %s\n", __FILE__, __LINE__, #call,         \
                    tribus_status_name(st_), tribus_error_text());                         \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

static char fixture_folder[64];
static char fixture_socket[96];

static pid_t fixture_owner;

static inline void fixture_remove(void)
{
    DIR *folder = opendir(fixture_folder);

    if (folder == NULL || getpid() != fixture_owner)
        return;
    for (struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        const char *dot = strrchr(e->d_name, '.');

        if (dot != NULL && strcmp(dot, ".log") == 0)
            (void)unlinkat(dirfd(folder), e->d_name, 0);
    }
    (void)closedir(folder);
    (void)rmdir(fixture_folder);
}

/* A folder that only this test uses, gone when it ends. */
static inline const char *fixture_path(void)
{
    if (fixture_folder[0] == '\0') {
        (void)snprintf(fixture_folder, sizeof(fixture_folder), "/tmp/tribus-test-XXXXXX");
        CHECK(mkdtemp(fixture_folder) != NULL);
        (void)snprintf(fixture_socket, sizeof(fixture_socket), "%s/agent.sock",
                       fixture_folder);
        fixture_owner = getpid();
        (void)atexit(fixture_remove);
    }
    return fixture_socket;
}

static inline tribus_agent *fixture_agent(tribus_agent_cfg cfg)
{
    tribus_agent *agent = NULL;

    cfg.socket_path = fixture_path();
    OK(tribus_agent_start(&cfg, &agent));
    return agent;
}

static inline tribus_session *fixture_session(const char *name)
{
    const tribus_session_cfg cfg = {.socket_path = fixture_path(),
                                    .name = name,
                                    .role = "tool",
                                    .timeout_ns = 60 * SECOND_NS};
    tribus_session *s = NULL;

    OK(tribus_session_open(&cfg, &s));
    return s;
}

static inline int fixture_find(const tribus_session *s, const char *name,
                               tribus_participant *out)
{
    uint32_t cursor = 0;

    while (tribus_session_next_participant(s, &cursor, out) == TRIBUS_OK)
        if (strcmp(out->name, name) == 0)
            return 1;
    return 0;
}

static inline int fixture_find_object(const tribus_session *s, const char *name,
                                      tribus_object *out)
{
    uint32_t cursor = 0;

    while (tribus_session_next_object(s, &cursor, out) == TRIBUS_OK)
        if (strcmp(out->name, name) == 0)
            return 1;
    return 0;
}

typedef struct fixture_change {
    const tribus_session *session;
    uint64_t revision;
} fixture_change;

static inline int fixture_changed(void *context)
{
    const fixture_change *c = context;

    return tribus_session_revision(c->session) != c->revision;
}

/* Sleep on the registry's bell until its revision is another, at most 60 s. */
static inline void fixture_wait_change(const tribus_session *s, uint64_t revision)
{
    tribus_doorbell_shm *bell = tribus_session_bell(s);
    fixture_change c = {.session = s, .revision = revision};
    const tribus_wait_cfg wait = {.timeout_ns = 60 * SECOND_NS};

    OK(tribus_doorbell_wait(&bell, 1, fixture_changed, &c, &wait));
}

/* A child process that runs body(context) and stays until it is killed. Returns when the
 * body is done. */
static inline pid_t fixture_child(void (*body)(void *), void *context)
{
    int ready[2];
    char byte = 0;
    pid_t pid;

    CHECK(pipe(ready) == 0);
    (void)fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)close(ready[0]);
        body(context);
        CHECK(write(ready[1], "1", 1) == 1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    (void)close(ready[0]);
    return pid;
}

static inline void fixture_kill(pid_t pid, int signal_number)
{
    CHECK(kill(pid, signal_number) == 0);
    if (signal_number == SIGKILL)
        CHECK(waitpid(pid, NULL, 0) == pid);
}

#endif
