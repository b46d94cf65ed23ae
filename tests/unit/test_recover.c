/* test_recover.c -- an agent is killed: work goes on, the next one takes over.
 * labels: multiprocess
 */
#include "agent_fixture.h"
#include "base/os.h"
#include "base/random.h"
#include "fabric/agent_call.h"
#include "fabric/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

static void start_agent_and_stay(void *context)
{
    (void)fixture_agent(*(const tribus_agent_cfg *)context);
}

static pid_t agent_process(void)
{
    tribus_agent_cfg cfg = {0};

    (void)fixture_path();
    return fixture_child(start_agent_and_stay, &cfg);
}

/* A child that creates <name>/x, then looks at the registry all the time, as loops do. */
static pid_t peer_process(const char *name)
{
    int ready[2];
    char byte;
    pid_t pid;

    CHECK(pipe(ready) == 0);
    (void)fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        tribus_session *s = fixture_session(name);
        const struct timespec nap = {.tv_nsec = 1000000};
        char object[64];
        void *mem;

        (void)snprintf(object, sizeof(object), "%s/x", name);
        OK(tribus_session_create_object(s, object, TRIBUS_OBJECT_RING, 4096, 0, NULL,
                                        &mem));
        (void)snprintf(mem, 4096, "of %s", name);
        CHECK(write(ready[1], "1", 1) == 1);
        for (;;) {
            (void)tribus_session_revision(s);
            (void)nanosleep(&nap, NULL);
        }
    }
    (void)close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    (void)close(ready[0]);
    return pid;
}

static void turn_until_dead(const tribus_session *s, const tribus_participant *p)
{
    const int64_t deadline = tribus_now_ns() + 60 * SECOND_NS;

    while (tribus_session_alive(s, p->number, p->epoch))
        CHECK(tribus_now_ns() < deadline);
}

/* Until the object can be opened again. */
static void *open_again(tribus_session *s, const char *name, tribus_object *o)
{
    const int64_t deadline = tribus_now_ns() + 60 * SECOND_NS;
    void *mem = NULL;

    while (tribus_session_open_object(s, name, 0, o, &mem) != TRIBUS_OK)
        CHECK(tribus_now_ns() < deadline);
    return mem;
}

static void clients_of_a_killed_agent_come_back_with_everything(void)
{
    const pid_t first = agent_process();
    const pid_t peer = peer_process("peer");
    tribus_session *s = fixture_session("survivor"), *late;
    const uint32_t number = tribus_session_participant(s);
    const uint64_t revision = tribus_session_revision(s);
    tribus_doorbell_shm *bell = tribus_session_bell(s);
    tribus_participant p, me, seen;
    tribus_object mine, stays, o;
    tribus_agent *agent;
    void *mem, *mem_stays, *other;

    OK(tribus_session_create_object(s, "mine", TRIBUS_OBJECT_REGION, 8192, 0, &mine, &mem));
    OK(tribus_session_create_object(s, "stays", TRIBUS_OBJECT_REGION, 8192, 1, &stays,
                                    &mem_stays));
    (void)snprintf(mem, 8192, "before");
    CHECK(fixture_find(s, "peer", &p) && fixture_find(s, "survivor", &me));
    fixture_kill(first, SIGKILL);
    (void)snprintf(mem, 8192, "in between"); /* nothing stops */
    CHECK(tribus_session_alive(s, p.number, p.epoch));
    agent = fixture_agent((tribus_agent_cfg){0});
    late = fixture_session("late");
    CHECK(tribus_session_participant(late) != number);
    CHECK(tribus_session_participant(late) != p.number);
    OK(tribus_session_open_object(s, "stays", 0, &o, &other)); /* comes back by itself */
    CHECK(other == mem_stays && o.generation == stays.generation);
    CHECK(tribus_session_participant(s) == number && tribus_session_bell(s) == bell);
    while (tribus_session_revision(s) == revision)
        ;
    CHECK(fixture_find(late, "survivor", &seen) && seen.alive == 1);
    CHECK(seen.number == me.number && seen.epoch == me.epoch);
    CHECK(tribus_session_alive(late, p.number, p.epoch));
    other = open_again(late, "mine", &o);
    CHECK_TEXT(other, "in between");
    CHECK(o.number == mine.number && o.generation == mine.generation);
    CHECK(o.owner == number);
    other = open_again(late, "peer/x", &o);
    CHECK_TEXT(other, "of peer");
    fixture_kill(peer, SIGKILL); /* the new agent sees it */
    turn_until_dead(s, &p);
    turn_until_dead(late, &p);
    tribus_session_close(late);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void who_dies_without_an_agent_is_seen_to(void)
{
    const pid_t first = agent_process();
    const pid_t peer = peer_process("peer");
    tribus_session *s = fixture_session("survivor");
    tribus_participant p, seen;
    tribus_object o;
    tribus_agent *agent;

    CHECK(fixture_find(s, "peer", &p));
    fixture_kill(first, SIGKILL);
    CHECK(kill(peer, SIGKILL) == 0); /* not waited for: a zombie is dead too */
    turn_until_dead(s, &p);
    agent = fixture_agent((tribus_agent_cfg){0});
    while (fixture_find(s, "peer", &seen) && seen.alive != 0)
        ;
    CHECK(!fixture_find_object(s, "peer/x", &o));
    CHECK(waitpid(peer, NULL, 0) == peer);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void who_dies_before_coming_back_is_seen_to(void)
{
    const pid_t first = agent_process();
    const pid_t peer = peer_process("peer");
    tribus_agent *agent;
    tribus_session *s;
    tribus_participant p;
    tribus_object o;

    CHECK(kill(peer, SIGSTOP) == 0); /* it cannot come back, and is not dead */
    CHECK(waitpid(peer, NULL, WUNTRACED) == peer);
    fixture_kill(first, SIGKILL);
    agent = fixture_agent((tribus_agent_cfg){0});
    s = fixture_session("watcher");
    CHECK(fixture_find(s, "peer", &p) && p.alive == 1 && p.pid == peer);
    CHECK(fixture_find_object(s, "peer/x", &o) && o.owner == p.number);
    fixture_kill(peer, SIGKILL);
    turn_until_dead(s, &p);
    while (fixture_find_object(s, "peer/x", &o))
        ;
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void three_restarts_in_a_row_lose_nothing(void)
{
    pid_t agent = agent_process();
    tribus_session *s = fixture_session("survivor");
    tribus_agent *last;
    tribus_object mine, o;
    tribus_session *late;
    void *mem, *other;

    OK(tribus_session_create_object(s, "mine", TRIBUS_OBJECT_REGION, 64, 0, &mine, &mem));
    (void)snprintf(mem, 64, "kept");
    for (int i = 0; i < 3; i++) {
        fixture_kill(agent, SIGKILL);
        agent = agent_process();
        if (i != 1) /* the second one dies before we come back */
            OK(tribus_session_open_object(s, "mine", 1, &o, &other));
    }
    fixture_kill(agent, SIGKILL);
    last = fixture_agent((tribus_agent_cfg){0});
    CHECK(tribus_session_revision(s) != 0);
    late = fixture_session("late");
    while (tribus_session_open_object(late, "mine", 0, &o, &other) != TRIBUS_OK)
        (void)tribus_session_revision(s);
    CHECK_TEXT(other, "kept");
    CHECK(o.generation == mine.generation);
    tribus_session_close(late);
    tribus_session_close(s);
    tribus_agent_stop(last);
}

static void an_agent_that_was_stopped_forgets_its_clients(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("left-over"), *fresh;
    void *mem;

    tribus_agent_stop(agent);
    CHECK(tribus_session_create_object(s, "x", TRIBUS_OBJECT_RING, 64, 0, NULL, &mem) ==
          TRIBUS_PEER_LOST);
    agent = fixture_agent((tribus_agent_cfg){0});
    CHECK(tribus_session_create_object(s, "x", TRIBUS_OBJECT_RING, 64, 0, NULL, &mem) ==
          TRIBUS_PEER_LOST);
    CHECK(strstr(tribus_error_text(), "started anew") != NULL);
    fresh = fixture_session("left-over");
    tribus_session_close(fresh);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

/* ---- offers that are not what they say ---- */

static tribus_status offer(tribus_agent_channel *channel, const tribus_object *o, int fd)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_OFFER);
    tribus_agent_reply reply;

    memcpy(request.name, o->name, sizeof(request.name));
    request.number = o->number;
    request.generation = o->generation;
    return tribus_agent_call_wait(channel, &request, fd, &reply, NULL, 60 * SECOND_NS);
}

static void descriptors_that_could_shrink_or_do_not_fit_are_refused(void)
{
    pid_t first = agent_process();
    tribus_session *s = fixture_session("survivor");
    tribus_agent_channel channel;
    tribus_agent_request hello = tribus_agent_call_request(TRIBUS_AGENT_HELLO);
    tribus_agent_reply reply;
    tribus_agent *agent;
    tribus_object mine, other;
    tribus_participant me;
    int fds[TRIBUS_AGENT_CALL_FDS], fd, small = -1, good = -1, read_only;
    char path[32];
    void *mem;

    OK(tribus_session_create_object(s, "mine", TRIBUS_OBJECT_REGION, 8192, 0, &mine, &mem));
    CHECK(fixture_find(s, "survivor", &me));
    fixture_kill(first, SIGKILL);
    agent = fixture_agent((tribus_agent_cfg){0});
    OK(tribus_agent_call_connect(&channel, fixture_path(), 60 * SECOND_NS));
    fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, 8192) == 0);
    OK(tribus_os_memory_create("small", 4096, NULL, &small));
    OK(tribus_os_memory_create("good", 8192, NULL, &good));
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", good);
    read_only = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(offer(&channel, &mine, good) == TRIBUS_REFUSED); /* no hello yet */
    (void)snprintf(hello.name, sizeof(hello.name), "survivor");
    (void)snprintf(hello.role, sizeof(hello.role), "tool");
    hello.number = me.number;
    hello.epoch = me.epoch + 1;
    CHECK(tribus_agent_call_wait(&channel, &hello, -1, &reply, fds, 60 * SECOND_NS) ==
          TRIBUS_REFUSED);
    hello.epoch = me.epoch;
    OK(tribus_agent_call_wait(&channel, &hello, -1, &reply, fds, 60 * SECOND_NS));
    (void)close(fds[0]);
    (void)close(fds[1]);
    CHECK(offer(&channel, &mine, -1) == TRIBUS_REFUSED);
    CHECK(offer(&channel, &mine, fd) == TRIBUS_REFUSED);
    CHECK(strstr(tribus_error_text(), "not sealed") != NULL);
    CHECK(offer(&channel, &mine, small) == TRIBUS_CORRUPT);
    CHECK(offer(&channel, &mine, read_only) == TRIBUS_CORRUPT);
    CHECK(offer(&channel, &mine, channel.sock) == TRIBUS_CORRUPT);
    other = mine;
    other.generation++;
    CHECK(offer(&channel, &other, good) == TRIBUS_NOT_FOUND);
    other.number = 5000;
    CHECK(offer(&channel, &other, good) == TRIBUS_NOT_FOUND);
    OK(offer(&channel, &mine, good));
    CHECK(offer(&channel, &mine, good) == TRIBUS_NOT_FOUND); /* it has it */
    tribus_agent_call_close(&channel);
    tribus_session_close(s);
    (void)close(fd);
    (void)close(small);
    (void)close(good);
    (void)close(read_only);
    tribus_agent_stop(agent);
}

static void rows_of_nonsense_are_survived(void)
{
    char path[128];
    tribus_random r;

    tribus_random_init(&r, check_seed());
    (void)snprintf(path, sizeof(path), "%s.rows", fixture_path());
    for (int round = 0; round < 20; round++) {
        const pid_t first = agent_process();
        tribus_session *s = fixture_session("survivor"), *late;
        tribus_agent *agent;
        tribus_registry_shm *rows;
        void *mem;
        int fd;

        OK(tribus_session_create_object(s, "mine", TRIBUS_OBJECT_REGION, 64, 1, NULL,
                                        &mem));
        fixture_kill(first, SIGKILL);
        fd = open(path, O_RDWR | O_CLOEXEC);
        CHECK(fd >= 0);
        if (round == 0) {
            CHECK(ftruncate(fd, 1000) == 0); /* cut off */
        } else {
            uint64_t *words;

            rows = mmap(NULL, TRIBUS_REGISTRY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                        0);
            CHECK(rows != MAP_FAILED);
            words = (uint64_t *)rows;
            for (int i = 0; i < 20000; i++) { /* anything but the header's words */
                const uint64_t at =
                    16 + tribus_random_below(&r, TRIBUS_REGISTRY_BYTES / 8 - 16);

                words[at] =
                    round % 2 == 0 ? tribus_random_u64(&r) : tribus_random_below(&r, 5000);
            }
            CHECK(munmap(rows, TRIBUS_REGISTRY_BYTES) == 0);
        }
        (void)close(fd);
        agent = fixture_agent((tribus_agent_cfg){0});
        late = fixture_session("late");
        OK(tribus_session_create_object(late, "of-late", TRIBUS_OBJECT_REGION, 64, 0, NULL,
                                        &mem));
        (void)tribus_session_revision(s);
        tribus_session_close(late);
        tribus_session_close(s);
        tribus_agent_stop(agent);
        CHECK(access(path, F_OK) != 0);
    }
}

/* ---- memory that takes long ---- */

static void a_client_killed_while_its_memory_is_made_leaves_none(void)
{
    tribus_agent *agent =
        fixture_agent((tribus_agent_cfg){.memory_limit_bytes = (uint64_t)1 << 30});
    tribus_session *s = fixture_session("watcher");
    const int64_t deadline = tribus_now_ns() + 60 * SECOND_NS;
    tribus_agent_status status;
    tribus_object o;
    void *mem;

    for (int i = 0; i < 5; i++) {
        tribus_agent_channel channel;
        tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_HELLO);
        tribus_agent_reply reply;
        int fds[TRIBUS_AGENT_CALL_FDS];

        OK(tribus_agent_call_connect(&channel, fixture_path(), 60 * SECOND_NS));
        (void)snprintf(request.name, sizeof(request.name), "hasty");
        (void)snprintf(request.role, sizeof(request.role), "tool");
        OK(tribus_agent_call_wait(&channel, &request, -1, &reply, fds, 60 * SECOND_NS));
        (void)close(fds[0]);
        (void)close(fds[1]);
        request = tribus_agent_call_request(TRIBUS_AGENT_CREATE);
        (void)snprintf(request.name, sizeof(request.name), "big");
        request.kind = TRIBUS_OBJECT_REGION;
        request.bytes = (uint64_t)64 << 20;
        tribus_agent_call_tell(&channel, &request);
        OK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status));
        tribus_agent_call_close(&channel); /* without waiting for the answer */
    }
    do {
        OK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status));
        CHECK(tribus_now_ns() < deadline);
    } while (status.memory_bytes != 0 || status.participants != 1);
    OK(tribus_session_create_object(s, "big", TRIBUS_OBJECT_REGION, 64u << 20, 0, &o,
                                    &mem));
    CHECK(((const char *)mem)[(64u << 20) - 1] == 0);
    tribus_session_drop(s, &o, 1);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

int main(void)
{
    clients_of_a_killed_agent_come_back_with_everything();
    who_dies_without_an_agent_is_seen_to();
    who_dies_before_coming_back_is_seen_to();
    three_restarts_in_a_row_lose_nothing();
    an_agent_that_was_stopped_forgets_its_clients();
    descriptors_that_could_shrink_or_do_not_fit_are_refused();
    rows_of_nonsense_are_survived();
    a_client_killed_while_its_memory_is_made_leaves_none();
    return 0;
}
