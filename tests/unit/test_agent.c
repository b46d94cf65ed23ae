/* test_agent.c -- the agent against dying, stopped, hostile and too many processes.
 * labels: multiprocess
 */
#include "agent_fixture.h"
#include "tribus/bus.h"
#include "base/os.h"
#include "base/random.h"
#include "fabric/agent_call.h"
#include "fabric/agent_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

static void join_with_an_object(void *context)
{
    const char *name = context;
    tribus_session *s = fixture_session(name);
    char object[64];
    void *mem;

    (void)snprintf(object, sizeof(object), "%s/x", name);
    OK(tribus_session_create_object(s, object, TRIBUS_OBJECT_RING, 4096, 0, NULL, &mem));
    (void)snprintf(object, sizeof(object), "%s/stays", name);
    OK(tribus_session_create_object(s, object, TRIBUS_OBJECT_REGION, 4096, 1, NULL, &mem));
    (void)snprintf(mem, 4096, "of %s", name);
}

typedef struct life {
    const tribus_session *session;
    uint32_t number, epoch;
} life;

static int is_dead(void *context)
{
    const life *l = context;

    return !tribus_session_alive(l->session, l->number, l->epoch);
}

static void wait_for_death(const tribus_session *s, const tribus_participant *p)
{
    tribus_doorbell_shm *bell = tribus_session_bell(s);
    life l = {.session = s, .number = p->number, .epoch = p->epoch};
    const tribus_wait_cfg wait = {.timeout_ns = 60 * SECOND_NS};

    OK(tribus_doorbell_wait(&bell, 1, is_dead, &l, &wait));
}

static void a_killed_client_wakes_who_sleeps_and_its_objects_go(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("watcher");
    const pid_t pid = fixture_child(join_with_an_object, (void *)(uintptr_t) "victim");
    tribus_participant p;
    tribus_object o;
    void *mem;

    CHECK(fixture_find(s, "victim", &p) && p.pid == pid && p.alive == 1);
    CHECK(fixture_find_object(s, "victim/x", &o) && o.owner == p.number);
    OK(tribus_session_open_object(s, "victim/x", 0, NULL, &mem));
    fixture_kill(pid, SIGKILL);
    wait_for_death(s, &p);
    while (fixture_find_object(s, "victim/x", &o)) /* the row follows the life at once */
        fixture_wait_change(s, tribus_session_revision(s));
    CHECK(((const char *)mem)[4095] == 0); /* our mapping is good */
    CHECK(fixture_find(s, "victim", &p) && p.alive == 0);
    CHECK(fixture_find_object(s, "victim/stays", &o) && o.owner == 0);
    OK(tribus_session_open_object(s, "victim/stays", 0, NULL, &mem));
    CHECK_TEXT(mem, "of victim");
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void a_client_that_forked_is_dead_when_its_process_is(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("watcher");
    tribus_participant p;
    int hold[2], answer[2];
    pid_t pid, grandchild = 0;

    CHECK(pipe(hold) == 0 && pipe(answer) == 0);
    (void)fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) { /* its child keeps the socket open after it died */
        tribus_session *mine = fixture_session("forker");
        pid_t keeper;
        char byte;

        keeper = fork();
        if (keeper == 0) {
            (void)close(hold[1]);
            _exit(read(hold[0], &byte, 1) == 0 && mine != NULL ? 0 : 1);
        }
        CHECK(write(answer[1], &keeper, sizeof(keeper)) == (ssize_t)sizeof(keeper));
        for (;;)
            (void)pause();
    }
    CHECK(read(answer[0], &grandchild, sizeof(grandchild)) == (ssize_t)sizeof(grandchild));
    CHECK(fixture_find(s, "forker", &p) && p.alive == 1);
    fixture_kill(pid, SIGKILL);
    wait_for_death(s, &p);
    (void)close(hold[0]);
    (void)close(hold[1]); /* the keeper ends */
    (void)close(answer[0]);
    (void)close(answer[1]);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void a_stopped_client_is_not_dead(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("watcher");
    const pid_t pid = fixture_child(join_with_an_object, (void *)(uintptr_t) "sleeper");
    tribus_participant p;
    int status;

    CHECK(fixture_find(s, "sleeper", &p));
    fixture_kill(pid, SIGSTOP);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    for (int i = 0; i < 50; i++) { /* the agent turns round, the sleeper stays */
        tribus_session *other = fixture_session("other");

        CHECK(tribus_session_alive(s, p.number, p.epoch));
        tribus_session_close(other);
    }
    CHECK(kill(pid, SIGCONT) == 0);
    CHECK(tribus_session_alive(s, p.number, p.epoch));
    fixture_kill(pid, SIGKILL);
    wait_for_death(s, &p);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void a_client_that_comes_back_keeps_its_number_with_another_epoch(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("watcher");
    tribus_participant first, second;
    pid_t pid = fixture_child(join_with_an_object, (void *)(uintptr_t) "engine");
    tribus_object o;

    CHECK(fixture_find(s, "engine", &first));
    fixture_kill(pid, SIGKILL);
    wait_for_death(s, &first);
    CHECK(fixture_find_object(s, "engine/stays", &o));
    tribus_session_drop(s, &o, 1);
    pid = fixture_child(join_with_an_object, (void *)(uintptr_t) "engine");
    CHECK(fixture_find(s, "engine", &second));
    CHECK(second.number == first.number && second.epoch > first.epoch);
    CHECK(tribus_session_alive(s, second.number, second.epoch));
    CHECK(!tribus_session_alive(s, first.number, first.epoch));
    fixture_kill(pid, SIGKILL);
    wait_for_death(s, &second);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void a_second_agent_is_told_who_is_there(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0}), *second = NULL;
    const tribus_agent_cfg cfg = {.socket_path = fixture_path()};
    char pid[48];
    tribus_session *s;

    (void)snprintf(pid, sizeof(pid), "process %ld;", (long)getpid());
    CHECK(tribus_agent_start(&cfg, &second) == TRIBUS_EXISTS && second == NULL);
    CHECK(strstr(tribus_error_text(), pid) != NULL);
    CHECK(strstr(tribus_error_text(), fixture_path()) != NULL);
    s = fixture_session("still-served");
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void start_agent_and_stay(void *context)
{
    (void)context;
    (void)fixture_agent((tribus_agent_cfg){0});
}

static void what_a_killed_agent_left_is_cleared_away(void)
{
    const pid_t pid = fixture_child(start_agent_and_stay, NULL);
    tribus_agent_status status;
    tribus_agent *agent;
    char lock[128];

    OK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status));
    CHECK(status.pid == pid);
    fixture_kill(pid, SIGKILL);
    CHECK(access(fixture_path(), F_OK) == 0); /* its socket file is still there */
    CHECK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status) ==
          TRIBUS_NOT_FOUND);
    agent = fixture_agent((tribus_agent_cfg){0});
    OK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status));
    CHECK(status.pid == getpid());
    tribus_agent_stop(agent);
    (void)snprintf(lock, sizeof(lock), "%s.lock", fixture_path());
    CHECK(access(fixture_path(), F_OK) != 0 && access(lock, F_OK) != 0);
}

static void serve_here(void *context)
{
    (void)context;
    if (fork() == 0) {
        const tribus_agent_cfg cfg = {.socket_path = fixture_path()};

        _exit(tribus_agent_run(&cfg) == TRIBUS_OK ? 0 : 1);
    }
}

static void asking_for_a_stop_returns_when_the_socket_is_gone(void)
{
    const pid_t pid = fixture_child(serve_here, NULL);
    tribus_agent_status status;

    for (int i = 0;
         tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status) != TRIBUS_OK;
         i++) {
        CHECK(i < 60000);
        (void)usleep(1000); /* nothing to wait on before the socket is there */
    }
    OK(tribus_agent_ask_stop(fixture_path(), 60 * SECOND_NS));
    CHECK(access(fixture_path(), F_OK) != 0);
    CHECK(tribus_agent_ask_stop(fixture_path(), 0) == TRIBUS_NOT_FOUND);
    fixture_kill(pid, SIGKILL);
}

static void a_folder_of_somebody_else_is_refused(void)
{
    char folder[] = "/tmp/tribus-test-XXXXXX", path[64];
    tribus_agent *agent = NULL;
    tribus_agent_cfg cfg = {.socket_path = path};

    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/agent.sock", folder);
    CHECK(chmod(folder, 0777) == 0);
    CHECK(tribus_agent_start(&cfg, &agent) == TRIBUS_REFUSED);
    CHECK(strstr(tribus_error_text(), "chmod 700") != NULL);
    CHECK(chmod(folder, 0700) == 0);
    (void)snprintf(path, sizeof(path), "%s/agent.sock", folder);
    CHECK(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
    CHECK(tribus_agent_start(&cfg, &agent) == TRIBUS_EXISTS); /* not ours to remove */
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
}

/* ---- hostile ---- */

static int raw_connect(void)
{
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    CHECK(fd >= 0);
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", fixture_path());
    CHECK(connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0);
    return fd;
}

static void random_bytes_and_sizes_end_only_their_own_connection(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("bystander");
    tribus_agent_status status;
    tribus_random r;
    void *mem;

    tribus_random_init(&r, check_seed());
    OK(tribus_session_create_object(s, "x", TRIBUS_OBJECT_RING, 4096, 0, NULL, &mem));
    for (int i = 0; i < 2000; i++) {
        uint64_t bytes[64];
        const int fd = raw_connect();
        const size_t n = 1 + (size_t)tribus_random_below(&r, sizeof(bytes));
        int with[2] = {fd, fd};

        for (size_t k = 0; k < 64; k++)
            bytes[k] = tribus_random_u64(&r);
        if (tribus_random_below(&r, 2) == 0) {
            tribus_agent_request request =
                tribus_agent_call_request((tribus_agent_request_type)(i % 12));

            request.head.version = (uint16_t)tribus_random_below(&r, 3);
            if (request.head.type == TRIBUS_AGENT_STOP) /* that one would be obeyed */
                request.head.type = TRIBUS_AGENT_BYE;
            memcpy(bytes, &request.head, sizeof(request.head));
        }
        if (tribus_os_send(fd, bytes, i % 3 == 0 ? sizeof(tribus_agent_request) : n, with,
                           i % 5 == 0 ? 2u : 0u) != TRIBUS_OK)
            tribus_error_clear();
        (void)close(fd);
    }
    OK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status));
    CHECK(status.cut_off > 0 && status.participants == 1 && status.objects == 1);
    OK(tribus_session_create_object(s, "y", TRIBUS_OBJECT_RING, 4096, 0, NULL, &mem));
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void random_fields_of_valid_requests_are_answered_or_cut_off(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){.memory_limit_bytes = 1u << 20});
    tribus_session *s = fixture_session("bystander");
    tribus_random r;
    tribus_object mine;
    void *mem;

    tribus_random_init(&r, check_seed());
    OK(tribus_session_create_object(s, "x", TRIBUS_OBJECT_RING, 4096, 0, &mine, &mem));
    for (int i = 0; i < 3000; i++) {
        static const tribus_agent_request_type types[] = {
            TRIBUS_AGENT_HELLO,  TRIBUS_AGENT_CREATE, TRIBUS_AGENT_OPEN,
            TRIBUS_AGENT_REMOVE, TRIBUS_AGENT_STATUS, TRIBUS_AGENT_CHILD,
            TRIBUS_AGENT_OFFER};
        tribus_agent_channel channel;
        tribus_agent_request request;

        OK(tribus_agent_call_connect(&channel, fixture_path(), 60 * SECOND_NS));
        for (int k = 0; k < 4; k++) {
            unsigned char *at = (unsigned char *)&request;
            tribus_agent_reply reply;
            int fds[TRIBUS_AGENT_CALL_FDS];

            request = tribus_agent_call_request(types[tribus_random_below(&r, 7)]);
            (void)snprintf(request.name, sizeof(request.name), "n%d", i % 7);
            (void)snprintf(request.role, sizeof(request.role), "fuzz");
            request.kind = 1;
            request.bytes = 1 + tribus_random_below(&r, 8192);
            request.number = (uint32_t)tribus_random_below(&r, 5);
            request.generation = mine.generation + tribus_random_below(&r, 4);
            if (tribus_random_below(&r, 2) == 0)
                for (int b = 0; b < 8; b++)
                    at[16 + tribus_random_below(&r, sizeof(request) - 16)] =
                        (unsigned char)tribus_random_u64(&r);
            if (tribus_agent_call_wait(&channel, &request, -1, &reply, fds,
                                       60 * SECOND_NS) == TRIBUS_OK)
                for (uint32_t f = 0; f < reply.fd_count; f++)
                    (void)close(fds[f]);
        }
        tribus_agent_call_close(&channel);
    }
    CHECK(fixture_find_object(s, "x", &mine)); /* nobody else could remove it */
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void another_version_is_answered_with_both_versions(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_HELLO);
    tribus_agent_reply reply;
    const int fd = raw_connect();
    ssize_t n;

    request.head.version = 77;
    request.head.sequence = 5;
    CHECK(send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request));
    n = recv(fd, &reply, sizeof(reply), 0);
    CHECK(n >= (ssize_t)sizeof(reply.head) && reply.head.magic == TRIBUS_AGENT_MAGIC);
    CHECK(reply.head.version == TRIBUS_AGENT_VERSION && reply.head.sequence == 5);
    CHECK(recv(fd, &reply, sizeof(reply), 0) == 0);
    (void)close(fd);
    tribus_agent_stop(agent);
}

/* The other way round: an agent of a later release. */
static void client_of_a_later_agent_names_both_versions(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const tribus_session_cfg cfg = {
        .socket_path = fixture_path(), .name = "old", .timeout_ns = 60 * SECOND_NS};
    tribus_session *s = NULL;
    pid_t pid;

    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", fixture_path());
    CHECK(bind(listener, (const struct sockaddr *)&at, sizeof(at)) == 0);
    CHECK(listen(listener, 1) == 0);
    (void)fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        const int fd = accept(listener, NULL, NULL);
        tribus_agent_request request;
        tribus_agent_reply reply;

        memset(&reply, 0, sizeof(reply));
        CHECK(recv(fd, &request, sizeof(request), 0) > 0);
        reply.head = request.head;
        reply.head.version = 9;
        CHECK(send(fd, &reply, 32, 0) == 32);
        _exit(0);
    }
    CHECK(tribus_session_open(&cfg, &s) == TRIBUS_VERSION);
    CHECK(strstr(tribus_error_text(), "version 9") != NULL);
    CHECK(strstr(tribus_error_text(), "program 1") != NULL);
    CHECK(waitpid(pid, NULL, 0) == pid);
    (void)close(listener);
    CHECK(unlink(fixture_path()) == 0);
}

static void a_flood_is_slowed_and_others_are_served(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){.requests_per_s = 5000});
    tribus_session *s = fixture_session("bystander");
    tribus_agent_status status;
    pid_t pid;
    int done;
    void *mem;

    (void)fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        tribus_agent_channel channel;
        tribus_agent_reply reply;
        int answered = 0;

        OK(tribus_agent_call_connect(&channel, fixture_path(), 60 * SECOND_NS));
        for (int i = 0; i < 20000; i++) {
            tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_HELLO);

            (void)snprintf(request.name, sizeof(request.name), "flood");
            (void)snprintf(request.role, sizeof(request.role), "tool");
            request.head.type = i == 0 ? TRIBUS_AGENT_HELLO : TRIBUS_AGENT_REMOVE;
            request.head.sequence = (uint64_t)i + 1;
            CHECK(send(channel.sock, &request, sizeof(request), 0) > 0);
            while (i - answered >= 32) { /* it does read, it only asks too much */
                struct pollfd p = {.fd = channel.sock, .events = POLLIN};

                CHECK(poll(&p, 1, 60000) == 1);
                CHECK(recv(channel.sock, &reply, sizeof(reply), 0) > 0);
                answered++;
            }
        }
        _exit(0);
    }
    for (int i = 0; i < 50; i++) {
        char name[32];
        tribus_object o;

        (void)snprintf(name, sizeof(name), "x/%d", i);
        OK(tribus_session_create_object(s, name, TRIBUS_OBJECT_RING, 64, 0, &o, &mem));
    }
    CHECK(waitpid(pid, &done, 0) == pid && WIFEXITED(done) && WEXITSTATUS(done) == 0);
    OK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status));
    printf("flood: throttled %llu times, %llu cut off, %llu requests\n",
           (unsigned long long)status.throttled, (unsigned long long)status.cut_off,
           (unsigned long long)status.requests);
    CHECK(status.throttled > 0 && status.cut_off == 0);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void a_client_that_never_reads_is_cut_off(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){.requests_per_s = 1000000});
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_STATUS);
    tribus_agent_status status;
    int fd = raw_connect();

    for (int i = 0; i < 100000; i++)
        if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) < 0)
            break;
    CHECK(errno == EPIPE || errno == ECONNRESET);
    (void)close(fd);
    OK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status));
    CHECK(status.cut_off == 1);
    tribus_agent_stop(agent);
}

static void more_participants_than_numbers_are_refused(void)
{
    enum { MANY = 1023 };
    char name[32];
    static tribus_session *all[MANY];
    tribus_session *one_more = NULL;
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    const tribus_session_cfg cfg = {.socket_path = fixture_path(),
                                    .role = "tool",
                                    .name = name,
                                    .timeout_ns = 60 * SECOND_NS};
    int n = 0;
    tribus_status st = TRIBUS_OK;

    /* Every session costs three descriptors here, where client and agent share a process:
     * either the numbers run out, or the agent says that its descriptors do. */
    while (n < MANY && st == TRIBUS_OK) {
        (void)snprintf(name, sizeof(name), "n%d", n);
        st = tribus_session_open(&cfg, &all[n]);
        if (st == TRIBUS_OK)
            n++;
    }
    printf("%d sessions, then %s\n", n, tribus_status_name(st));
    CHECK(n > 100);
    CHECK(st == TRIBUS_OK || st == TRIBUS_NO_MEMORY || st == TRIBUS_SYSTEM ||
          st == TRIBUS_REFUSED || st == TRIBUS_PEER_LOST);
    if (n == MANY) {
        (void)snprintf(name, sizeof(name), "one-more");
        CHECK(tribus_session_open(&cfg, &one_more) == TRIBUS_FULL);
    }
    for (int i = 0; i < n; i++)
        tribus_session_close(all[i]);
    tribus_session_close(fixture_session("after"));
    tribus_agent_stop(agent);
}

/* ---- other users ---- */

typedef tribus_status (*as_other_fn)(void);

/* What fn() returns in a process of user 54321 and groups 54322, 54323. */
static tribus_status as_other_user(as_other_fn fn)
{
    static const gid_t groups[] = {54323};
    int status;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (setgroups(1, groups) != 0 || setgid(54322) != 0 || setuid(54321) != 0)
            _exit(99);
        _exit(-(int)fn());
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) != 99);
    return (tribus_status)-WEXITSTATUS(status);
}

static tribus_status just_join(void)
{
    const tribus_session_cfg cfg = {
        .socket_path = fixture_path(), .name = "other", .timeout_ns = 60 * SECOND_NS};
    tribus_session *s = NULL;
    const tribus_status st = tribus_session_open(&cfg, &s);

    tribus_session_close(s);
    return st;
}

static tribus_status create_and_write(void)
{
    tribus_session *s = fixture_session("other");
    void *mem;
    tribus_status st = tribus_session_create_object(s, "of-other", TRIBUS_OBJECT_REGION, 64,
                                                    0, NULL, &mem);

    if (st == TRIBUS_OK)
        st = tribus_session_open_object(s, "ours", 1, NULL, &mem);
    if (st == TRIBUS_OK)
        (void)snprintf(mem, 64, "by other");
    if (st == TRIBUS_OK && tribus_agent_ask_stop(fixture_path(), 0) != TRIBUS_REFUSED)
        st = TRIBUS_CORRUPT;
    tribus_session_close(s);
    return st;
}

static void publish_one(tribus_bus *bus)
{
    tribus_msg_any m;

    OK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_ENGINE_HEALTH));
    OK(tribus_bus_publish(bus, &m.header));
}

static void look_on_messages(tribus_session *s)
{
    const tribus_bus_cfg cfg = {.observe = 1};
    const tribus_bus_filter last = {.history = 1};
    const tribus_wait_cfg patient = {.timeout_ns = 60000000000};
    const tribus_msg_header *m = NULL;
    tribus_subscription *sub;
    tribus_bus *bus;

    OK(tribus_bus_open(s, &cfg, &bus));
    OK(tribus_bus_subscribe(bus, &last, &sub));
    OK(tribus_bus_next_wait(sub, &m, NULL, &patient));
    CHECK(m->type == TRIBUS_MSG_ENGINE_HEALTH);
    tribus_bus_close(bus);
}

/* TRIBUS_OK when it can look at everything and change nothing. */
static tribus_status look_only(void)
{
    tribus_session *s = fixture_session("other");
    tribus_object o;
    tribus_participant p;
    uint32_t holder;
    void *mem;

    CHECK(fixture_find(s, "owner", &p) && fixture_find_object(s, "ours", &o));
    CHECK(tribus_session_create_object(s, "mine", TRIBUS_OBJECT_RING, 64, 0, NULL, &mem) ==
          TRIBUS_REFUSED);
    CHECK(tribus_session_open_object(s, "ours", 1, &o, &mem) == TRIBUS_REFUSED);
    CHECK(strstr(tribus_error_text(), "may only look") != NULL);
    OK(tribus_session_open_object(s, "ours", 0, &o, &mem));
    CHECK_TEXT(mem, "by owner");
    CHECK(mprotect(mem, 64, PROT_READ | PROT_WRITE) != 0);
    CHECK(tribus_session_hold(s, &o, &holder, NULL) == TRIBUS_REFUSED);
    CHECK(tribus_agent_ask_stop(fixture_path(), 0) == TRIBUS_REFUSED);
    tribus_session_drop(s, &o, 1);
    CHECK(fixture_find_object(s, "ours", &o));
    look_on_messages(s);
    tribus_session_close(s);
    return TRIBUS_OK;
}

static void other_users_get_what_their_groups_say(void)
{
    tribus_agent *agent;
    tribus_session *s;
    tribus_bus *bus;
    struct stat st;
    void *mem;

    if (getuid() != 0) {
        printf("skip: other users: becoming one needs root\n");
        return;
    }
    agent = fixture_agent((tribus_agent_cfg){0});
    CHECK(as_other_user(just_join) == TRIBUS_REFUSED);
    CHECK(stat(fixture_path(), &st) == 0 && (st.st_mode & 0777) == 0600);
    tribus_agent_stop(agent);
    agent = fixture_agent((tribus_agent_cfg){.group = "4", .readers_group = "5"});
    CHECK(as_other_user(just_join) == TRIBUS_REFUSED);
    tribus_agent_stop(agent);
    agent = fixture_agent((tribus_agent_cfg){.group = "54323"});
    s = fixture_session("owner");
    OK(tribus_session_create_object(s, "ours", TRIBUS_OBJECT_REGION, 64, 0, NULL, &mem));
    CHECK(as_other_user(create_and_write) == TRIBUS_OK);
    CHECK_TEXT(mem, "by other");
    tribus_session_close(s);
    tribus_agent_stop(agent);
    agent = fixture_agent((tribus_agent_cfg){.readers_group = "54322"});
    s = fixture_session("owner");
    OK(tribus_session_create_object(s, "ours", TRIBUS_OBJECT_REGION, 64, 0, NULL, &mem));
    (void)snprintf(mem, 64, "by owner");
    OK(tribus_bus_open(s, NULL, &bus));
    publish_one(bus);
    CHECK(as_other_user(look_only) == TRIBUS_OK);
    tribus_bus_close(bus);
    tribus_session_close(s);
    tribus_agent_stop(agent);
    agent = NULL;
    {
        const tribus_agent_cfg cfg = {.socket_path = fixture_path(), .group = "no-such"};

        CHECK(tribus_agent_start(&cfg, &agent) == TRIBUS_BAD_ARG);
        CHECK(strstr(tribus_error_text(), "no-such") != NULL);
    }
}

/* ---- memory ---- */

static void a_small_tmpfs_is_an_error_that_names_it(void)
{
    char folder[] = "/tmp/tribus-test-XXXXXX";
    tribus_agent *agent;
    tribus_session *s;
    void *mem;

    CHECK(mkdtemp(folder) != NULL);
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=1m") != 0) {
        printf("skip: small tmpfs: mounting needs root\n");
        (void)rmdir(folder);
        return;
    }
    agent = fixture_agent((tribus_agent_cfg){.memory_dir = folder});
    s = fixture_session("a");
    OK(tribus_session_create_object(s, "fits", TRIBUS_OBJECT_REGION, 512u << 10, 0, NULL,
                                    &mem));
    CHECK(tribus_session_create_object(s, "big", TRIBUS_OBJECT_REGION, 2u << 20, 0, NULL,
                                       &mem) == TRIBUS_NO_MEMORY);
    CHECK(strstr(tribus_error_text(), folder) != NULL);
    OK(tribus_session_create_object(s, "small", TRIBUS_OBJECT_REGION, 64u << 10, 0, NULL,
                                    &mem));
    tribus_session_close(s);
    tribus_agent_stop(agent);
    CHECK(umount(folder) == 0 && rmdir(folder) == 0);
}

int main(void)
{
    a_killed_client_wakes_who_sleeps_and_its_objects_go();
    a_client_that_forked_is_dead_when_its_process_is();
    a_stopped_client_is_not_dead();
    a_client_that_comes_back_keeps_its_number_with_another_epoch();
    a_second_agent_is_told_who_is_there();
    what_a_killed_agent_left_is_cleared_away();
    asking_for_a_stop_returns_when_the_socket_is_gone();
    a_folder_of_somebody_else_is_refused();
    random_bytes_and_sizes_end_only_their_own_connection();
    random_fields_of_valid_requests_are_answered_or_cut_off();
    another_version_is_answered_with_both_versions();
    client_of_a_later_agent_names_both_versions();
    a_flood_is_slowed_and_others_are_served();
    a_client_that_never_reads_is_cut_off();
    more_participants_than_numbers_are_refused();
    other_users_get_what_their_groups_say();
    a_small_tmpfs_is_an_error_that_names_it();
    return 0;
}
