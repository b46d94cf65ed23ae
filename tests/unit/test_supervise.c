/* test_supervise.c -- the agent as a parent: servers, start order, restarts, stop.
 * labels: multiprocess
 */
#include "agent_fixture.h"
#include "port.h"
#include "agent/server.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define ROWS 8

/* Ask until row i is in this state, after this many restarts, at most 60 s. Not for BACKOFF:
 * it passes by itself, and a slow machine may look too late. */
static tribus_agent_child wait_restarted(uint32_t i, tribus_child_state state,
                                         uint32_t restarts)
{
    const int64_t deadline = tribus_now_ns() + 60 * SECOND_NS;
    tribus_agent_child rows[ROWS];
    uint32_t count = 0;

    memset(rows, 0, sizeof(rows));
    for (;;) {
        OK(tribus_agent_get_children(fixture_path(), 60 * SECOND_NS, rows, ROWS, &count));
        CHECK(i < count);
        if (rows[i].state == (uint32_t)state && rows[i].restarts >= restarts)
            return rows[i];
        if (tribus_now_ns() > deadline) {
            fprintf(stderr, "%s is %s: %s\n", rows[i].name,
                    tribus_child_state_name(rows[i].state), rows[i].text);
            CHECK(!"the state is reached");
        }
    }
}

static tribus_agent_child wait_state(uint32_t i, tribus_child_state state)
{
    return wait_restarted(i, state, 0);
}

static int gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

/* Until it has ended; it may stay a zombie where nobody reaps what lost its parent. */
static void wait_ended(pid_t pid)
{
    const int64_t deadline = tribus_now_ns() + 60 * SECOND_NS;

    while (!gone(pid)) {
        char path[64], text[256] = "";
        FILE *f;

        CHECK(tribus_now_ns() < deadline);
        (void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
        f = fopen(path, "r");
        if (f == NULL)
            return;
        if (fgets(text, sizeof(text), f) == NULL)
            text[0] = '\0';
        (void)fclose(f);
        if (strstr(text, ") Z ") != NULL)
            return;
        (void)usleep(1000);
    }
}

/* The number that a child wrote into the first line of its log. */
static pid_t number_in_log(const char *name)
{
    const int64_t deadline = tribus_now_ns() + 60 * SECOND_NS;
    char path[128], line[64] = "";

    (void)snprintf(path, sizeof(path), "%s/%s.log", fixture_folder, name);
    while (strchr(line, '\n') == NULL) {
        FILE *log = fopen(path, "r");

        CHECK(tribus_now_ns() < deadline);
        if (log != NULL && fgets(line, sizeof(line), log) == NULL)
            line[0] = '\0';
        if (log != NULL)
            (void)fclose(log);
    }
    return (pid_t)strtol(line, NULL, 10);
}

static int have_redis(void)
{
    return access("/usr/bin/redis-server", X_OK) == 0 ||
           access("/usr/local/bin/redis-server", X_OK) == 0;
}

static void a_child_that_dies_is_started_again_and_counted(void)
{
    const char *const sleep_long[] = {"sleep", "1000", NULL};
    const tribus_agent_child_cfg child = {
        .name = "sleeper", .kind = "engine", .argv = sleep_long};
    tribus_agent *agent =
        fixture_agent((tribus_agent_cfg){.children = &child, .child_count = 1});
    tribus_agent_child row = wait_state(0, TRIBUS_CHILD_STARTING);
    const pid_t first = row.pid;
    tribus_agent_status status;

    CHECK(first > 0 && strcmp(row.name, "sleeper") == 0 && row.restarts == 0);
    CHECK(getpgid(first) == first);
    CHECK(kill(first, SIGKILL) == 0);
    row = wait_restarted(0, TRIBUS_CHILD_STARTING, 1);
    CHECK(row.last_exit == -SIGKILL && row.restarts == 1);
    CHECK(strstr(row.text, "signal 9") != NULL);
    CHECK(row.pid != first);
    OK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status));
    CHECK(status.children == 1 && status.restarts == 1);
    tribus_agent_stop(agent);
    CHECK(gone(row.pid) && gone(first));
}

static void the_last_line_of_a_failed_child_is_shown(void)
{
    const char *const fails[] = {"sh", "-c", "echo first; echo no model here >&2; exit 2",
                                 NULL};
    const char *const done[] = {"sh", "-c", "echo \"$TRIBUS_SOCKET\"; exit 0", NULL};
    const char *const missing[] = {"/nowhere/tribus", NULL};
    const tribus_agent_child_cfg children[] = {
        {.name = "fails", .kind = "host", .argv = fails},
        {.name = "done", .kind = "host", .argv = done},
        {.name = "missing", .kind = "engine", .argv = missing}};
    tribus_agent *agent =
        fixture_agent((tribus_agent_cfg){.children = children, .child_count = 3});
    tribus_agent_child row = wait_state(0, TRIBUS_CHILD_FAILED);
    char path[128], line[128] = "";
    FILE *log;

    CHECK_TEXT(row.text, "exit status 2: no model here");
    CHECK(row.last_exit == 2 && row.restarts == 0);
    row = wait_state(1, TRIBUS_CHILD_DONE);
    (void)snprintf(path, sizeof(path), "%s/done.log", fixture_folder);
    log = fopen(path, "r");
    CHECK(log != NULL && fgets(line, sizeof(line), log) != NULL);
    (void)fclose(log);
    CHECK(strncmp(line, fixture_path(), strlen(fixture_path())) == 0);
    row = wait_state(2, TRIBUS_CHILD_FAILED);
    CHECK(strstr(row.text, "/nowhere/tribus") != NULL);
    tribus_agent_stop(agent);
}

static void a_child_that_ignores_sigterm_is_killed_with_all_it_started(void)
{
    const char *const stubborn[] = {
        "sh", "-c", "trap '' TERM; sleep 1000 & echo $!; while :; do wait; done", NULL};
    const tribus_agent_child_cfg child = {
        .name = "stubborn", .kind = "engine", .argv = stubborn};
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){
        .children = &child, .child_count = 1, .stop_timeout_ns = SECOND_NS / 5});
    const tribus_agent_child row = wait_state(0, TRIBUS_CHILD_STARTING);
    const pid_t started = number_in_log("stubborn");

    CHECK(started > 1 && !gone(started));
    tribus_agent_stop(agent);
    CHECK(gone(row.pid));
    wait_ended(started);
}

static void what_a_dead_child_started_dies_with_it(void)
{
    const char *const brief[] = {"sh", "-c", "sleep 1000 & echo $!; exit 0", NULL};
    const tribus_agent_child_cfg child = {
        .name = "brief", .kind = "engine", .argv = brief, .restart = TRIBUS_RESTART_NEVER};
    tribus_agent *agent =
        fixture_agent((tribus_agent_cfg){.children = &child, .child_count = 1});

    (void)wait_state(0, TRIBUS_CHILD_DONE);
    wait_ended(number_in_log("brief"));
    tribus_agent_stop(agent);
}

static void nothing_outlives_a_killed_agent(void)
{
    int tell[2];
    pid_t agent_pid, child = 0;

    CHECK(pipe(tell) == 0);
    (void)fixture_path();
    (void)fflush(NULL);
    agent_pid = fork();
    CHECK(agent_pid >= 0);
    if (agent_pid == 0) {
        const char *const stubborn[] = {"sh", "-c", "trap '' TERM; exec sleep 1000", NULL};
        const tribus_agent_child_cfg cfg = {
            .name = "orphan", .kind = "engine", .argv = stubborn};
        tribus_agent *agent =
            fixture_agent((tribus_agent_cfg){.children = &cfg, .child_count = 1});

        child = wait_state(0, TRIBUS_CHILD_STARTING).pid;
        CHECK(agent != NULL && write(tell[1], &child, sizeof(child)) == sizeof(child));
        for (;;)
            (void)pause();
    }
    CHECK(read(tell[0], &child, sizeof(child)) == sizeof(child));
    CHECK(!gone(child));
    fixture_kill(agent_pid, SIGKILL);
    wait_ended(child);
    (void)close(tell[0]);
    (void)close(tell[1]);
    CHECK(unlink(fixture_path()) == 0);
    tribus_agent_stop(fixture_agent((tribus_agent_cfg){0})); /* clears the lock away */
}

static void redis_servers_start_first_and_stop_last(void)
{
    const char *const sleep_long[] = {"sleep", "1000", NULL};
    const tribus_agent_child_cfg child = {
        .name = "engine", .kind = "engine", .argv = sleep_long};
    const tribus_agent_redis_cfg redis[] = {
        {.name = "redis-a", .port = free_port(), .spawn = 1},
        {.name = "redis-b", .port = free_port(), .spawn = 1}};
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){.redis = redis,
                                                           .redis_count = 2,
                                                           .children = &child,
                                                           .child_count = 1,
                                                           .keep_servers = 1});
    tribus_agent_child a, b, engine;
    const int64_t wait_ns = 60 * SECOND_NS;

    engine = wait_state(2, TRIBUS_CHILD_STARTING);
    a = wait_state(0, TRIBUS_CHILD_UP); /* both were up before the engine started */
    b = wait_state(1, TRIBUS_CHILD_UP);
    CHECK(a.port == redis[0].port && b.port == redis[1].port);
    CHECK(tribus_server_probe("127.0.0.1", a.port, NULL, 60 * SECOND_NS) ==
          TRIBUS_SERVER_REDIS);
    CHECK(kill(b.pid, SIGKILL) == 0);
    b = wait_restarted(1, TRIBUS_CHILD_UP, 1);
    CHECK(b.restarts == 1);
    CHECK(tribus_agent_wait(agent, 0) == TRIBUS_TIMEOUT);
    CHECK(tribus_agent_ask_stop(fixture_path(), SECOND_NS / 10) == TRIBUS_TIMEOUT);
    OK(tribus_agent_wait(agent, wait_ns));
    CHECK(gone(engine.pid) && !gone(a.pid) && !gone(b.pid));
    tribus_agent_stop(agent);
    CHECK(gone(a.pid) && gone(b.pid));
    CHECK(tribus_server_probe("127.0.0.1", a.port, NULL, 60 * SECOND_NS) ==
          TRIBUS_SERVER_NOBODY);
}

/* A second agent, beside the fixture's. */
static tribus_agent *other_agent(tribus_agent_cfg cfg, char *folder, char *path,
                                 size_t bytes)
{
    tribus_agent *agent = NULL;

    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(path, bytes, "%s/agent.sock", folder);
    cfg.socket_path = path;
    OK(tribus_agent_start(&cfg, &agent));
    return agent;
}

static tribus_agent_child await_other(const char *path, tribus_child_state state)
{
    const int64_t deadline = tribus_deadline_ns(60 * SECOND_NS);
    tribus_agent_child seen;
    uint32_t count = 0;

    do {
        CHECK(tribus_deadline_left_ns(deadline) > 0);
        OK(tribus_agent_get_children(path, 60 * SECOND_NS, &seen, 1, &count));
    } while (seen.state != state);
    return seen;
}

static void a_running_redis_is_used_and_left_alone(void)
{
    const tribus_agent_redis_cfg redis = {
        .name = "redis-a", .port = free_port(), .spawn = 1};
    const tribus_agent_cfg cfg = {.redis = &redis, .redis_count = 1};
    char folder[] = "/tmp/tribus-test-XXXXXX", path[64];
    tribus_agent *owner = fixture_agent(cfg);
    const tribus_agent_child row = wait_state(0, TRIBUS_CHILD_UP);
    tribus_agent *user = other_agent(cfg, folder, path, sizeof(path));

    CHECK(await_other(path, TRIBUS_CHILD_EXTERNAL).pid == 0);
    tribus_agent_stop(user);
    CHECK(!gone(row.pid));
    tribus_agent_stop(owner);
    CHECK(gone(row.pid));
    CHECK(rmdir(folder) == 0);
}

static void a_running_redis_that_goes_is_replaced(void)
{
    const tribus_agent_redis_cfg redis = {
        .name = "redis-a", .port = free_port(), .spawn = 1};
    const tribus_agent_cfg cfg = {.redis = &redis, .redis_count = 1};
    char folder[] = "/tmp/tribus-test-XXXXXX", path[64], log_path[128];
    tribus_agent *owner = fixture_agent(cfg);
    const tribus_agent_child row = wait_state(0, TRIBUS_CHILD_UP);
    tribus_agent *user = other_agent(cfg, folder, path, sizeof(path));
    tribus_agent_child seen;

    CHECK(await_other(path, TRIBUS_CHILD_EXTERNAL).pid == 0);
    tribus_agent_stop(owner);
    seen = await_other(path, TRIBUS_CHILD_UP);
    CHECK(gone(row.pid) && seen.pid != 0 && seen.port == row.port);
    tribus_agent_stop(user);
    CHECK(gone(seen.pid));
    (void)snprintf(log_path, sizeof(log_path), "%s/redis-a.log", folder);
    CHECK(unlink(log_path) == 0);
    CHECK(rmdir(folder) == 0);
}

/* As when the server of an agent that was killed has not ended yet. */
static void a_port_that_becomes_free_gets_its_server(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tribus_agent_redis_cfg redis = {.name = "redis-a", .port = free_port(), .spawn = 1};
    tribus_agent *agent;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)redis.port);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 4) == 0);
    agent = fixture_agent((tribus_agent_cfg){.redis = &redis, .redis_count = 1});
    (void)wait_state(0, TRIBUS_CHILD_FAILED);
    (void)close(fd);
    CHECK(wait_state(0, TRIBUS_CHILD_UP).pid != 0);
    tribus_agent_stop(agent);
}

static pid_t run_server(int port)
{
    char text[16];
    pid_t pid;

    (void)snprintf(text, sizeof(text), "%d", port);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)execlp("redis-server", "redis-server", "--port", text, "--save", "", "--bind",
                     "127.0.0.1", "--logfile", "/dev/null", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void end_server(pid_t pid)
{
    int status;

    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
}

static void a_server_of_others_that_goes_away_is_looked_for_again(void)
{
    const tribus_agent_redis_cfg redis = {.name = "redis-a", .port = free_port()};
    pid_t pid = run_server(redis.port);
    tribus_agent *agent =
        fixture_agent((tribus_agent_cfg){.redis = &redis, .redis_count = 1});
    tribus_agent_child row;

    (void)wait_state(0, TRIBUS_CHILD_EXTERNAL);
    end_server(pid);
    row = wait_state(0, TRIBUS_CHILD_FAILED);
    CHECK(strstr(row.text, "does not answer any more") != NULL);
    pid = run_server(redis.port);
    row = wait_state(0, TRIBUS_CHILD_EXTERNAL);
    CHECK(row.pid == 0 && row.text[0] == '\0');
    tribus_agent_stop(agent);
    CHECK(kill(pid, 0) == 0); /* left alone */
    end_server(pid);
}

static void a_taken_port_and_a_missing_program_leave_the_fabric_working(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof(at);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tribus_agent_redis_cfg redis[3] = {
        {.name = "redis-a", .spawn = 1},
        {.name = "redis-b", .port = free_port(), .spawn = 1, .program = "no-such-redis"},
        {.name = "redis-c", .port = free_port(), .spawn = 0}};
    tribus_agent *agent;
    tribus_agent_child row;
    char want[64];

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 4) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    redis[0].port = ntohs(at.sin_port);
    agent = fixture_agent((tribus_agent_cfg){.redis = redis, .redis_count = 3});
    row = wait_state(0, TRIBUS_CHILD_FAILED);
    (void)snprintf(want, sizeof(want), "port %d is taken by something that is not Redis",
                   redis[0].port);
    CHECK(strstr(row.text, want) != NULL);
    row = wait_state(1, TRIBUS_CHILD_FAILED);
    CHECK(strstr(row.text, "no-such-redis: no such program") != NULL);
    CHECK(strstr(row.text, "install the package redis-server") != NULL);
    row = wait_state(2, TRIBUS_CHILD_FAILED);
    CHECK(strstr(row.text, "no server answers") != NULL);
    tribus_session_close(fixture_session("works"));
    tribus_agent_stop(agent);
    (void)close(fd);
}

static void names_of_children_must_be_file_names_and_different(void)
{
    const char *const argv[] = {"true", NULL};
    tribus_agent_child_cfg children[2] = {{.name = "a/b", .kind = "x", .argv = argv},
                                          {.name = "a", .kind = "x", .argv = argv}};
    tribus_agent_cfg cfg = {
        .socket_path = fixture_path(), .children = children, .child_count = 2};
    tribus_agent *agent = NULL;

    CHECK(tribus_agent_start(&cfg, &agent) == TRIBUS_BAD_ARG);
    children[0].name = "a";
    CHECK(tribus_agent_start(&cfg, &agent) == TRIBUS_BAD_ARG);
    CHECK(strstr(tribus_error_text(), "two children are named a") != NULL);
    CHECK(access(fixture_path(), F_OK) != 0);
}

int main(void)
{
    names_of_children_must_be_file_names_and_different();
    a_child_that_dies_is_started_again_and_counted();
    the_last_line_of_a_failed_child_is_shown();
    a_child_that_ignores_sigterm_is_killed_with_all_it_started();
    what_a_dead_child_started_dies_with_it();
    nothing_outlives_a_killed_agent();
    a_taken_port_and_a_missing_program_leave_the_fabric_working();
    if (have_redis()) {
        redis_servers_start_first_and_stop_last();
        a_running_redis_is_used_and_left_alone();
        a_running_redis_that_goes_is_replaced();
        a_server_of_others_that_goes_away_is_looked_for_again();
        a_port_that_becomes_free_gets_its_server();
    } else {
        printf("skip: redis servers: no redis-server here\n");
    }
    return 0;
}
