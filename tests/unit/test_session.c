/* test_session.c -- what a participant sees of the agent, within one process. */
#include "agent_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

static void open_without_an_agent_says_how_to_start_one(void)
{
    const tribus_session_cfg cfg = {.socket_path = fixture_path(), .name = "a"};
    tribus_session *s = NULL;

    CHECK(tribus_session_open(&cfg, &s) == TRIBUS_NOT_FOUND && s == NULL);
    CHECK(strstr(tribus_error_text(), fixture_path()) != NULL);
    CHECK(strstr(tribus_error_text(), "tribus up") != NULL);
}

static void socket_path_follows_the_environment(void)
{
    char path[128];

    CHECK(setenv("TRIBUS_SOCKET", "/somewhere/x.sock", 1) == 0);
    OK(tribus_session_socket_path(path, sizeof(path)));
    CHECK_TEXT(path, "/somewhere/x.sock");
    CHECK(tribus_session_socket_path(path, 5) == TRIBUS_BAD_ARG);
    CHECK(unsetenv("TRIBUS_SOCKET") == 0);
    CHECK(setenv("XDG_RUNTIME_DIR", "/run/mine", 1) == 0);
    OK(tribus_session_socket_path(path, sizeof(path)));
    CHECK_TEXT(path, "/run/mine/tribus/agent.sock");
    CHECK(unsetenv("XDG_RUNTIME_DIR") == 0);
}

static void two_sessions_see_each_other_and_who_leaves(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *a = fixture_session("a"), *b = fixture_session("b");
    tribus_participant p;
    uint64_t revision;

    CHECK(fixture_find(a, "b", &p) && p.alive == 1 && p.pid == getpid());
    CHECK(p.number == tribus_session_participant(b));
    CHECK(tribus_session_alive(a, p.number, p.epoch));
    CHECK(!tribus_session_alive(a, p.number, p.epoch + 1));
    CHECK(!tribus_session_alive(a, 0, 0) && !tribus_session_alive(a, 5000, p.epoch));
    revision = tribus_session_revision(a);
    tribus_session_close(b);
    fixture_wait_change(a, revision);
    CHECK(!tribus_session_alive(a, p.number, p.epoch));
    CHECK(!fixture_find(a, "b", &p));
    tribus_session_close(a);
    tribus_agent_stop(agent);
    CHECK(access(fixture_path(), F_OK) != 0);
}

static void a_taken_name_is_refused_with_the_process_that_has_it(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *a = fixture_session("a"), *again = NULL;
    const tribus_session_cfg cfg = {
        .socket_path = fixture_path(), .name = "a", .timeout_ns = 60 * SECOND_NS};
    const tribus_session_cfg nameless = {.socket_path = fixture_path(),
                                         .timeout_ns = 60 * SECOND_NS};
    char pid[32];

    (void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    CHECK(tribus_session_open(&cfg, &again) == TRIBUS_EXISTS && again == NULL);
    CHECK(strstr(tribus_error_text(), pid) != NULL);
    OK(tribus_session_open(&nameless, &again));
    tribus_session_close(a);
    OK(tribus_session_open(&nameless, &a)); /* a second one without a name */
    tribus_session_close(again);
    tribus_session_close(a);
    tribus_agent_stop(agent);
}

static void names_with_other_characters_are_refused(void)
{
    const char *const bad[] = {"", "A", "a b", "a\n", "../\x01", "\xc3\xa4"};
    char too_long[80];
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *a = fixture_session("a/b.c_d-9"), *s = NULL;
    tribus_session_cfg cfg = {.socket_path = fixture_path(), .timeout_ns = 60 * SECOND_NS};
    void *mem;

    memset(too_long, 'a', sizeof(too_long));
    too_long[79] = '\0';
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cfg.name = bad[i];
        CHECK(tribus_session_open(&cfg, &s) == TRIBUS_BAD_ARG);
        CHECK(tribus_session_create_object(a, bad[i], TRIBUS_OBJECT_RING, 64, 0, NULL,
                                           &mem) == TRIBUS_BAD_ARG);
    }
    cfg.name = too_long;
    CHECK(tribus_session_open(&cfg, &s) == TRIBUS_BAD_ARG);
    CHECK(tribus_session_open_object(a, too_long, 0, NULL, &mem) == TRIBUS_BAD_ARG);
    tribus_session_close(a);
    tribus_agent_stop(agent);
}

static void an_object_is_the_same_memory_for_both(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *a = fixture_session("a"), *b = fixture_session("b");
    tribus_object created, opened;
    void *writer, *reader, *again;

    OK(tribus_session_create_object(a, "ring/x", TRIBUS_OBJECT_RING, 5000, 0, &created,
                                    &writer));
    CHECK(((const char *)writer)[0] == 0 && ((const char *)writer)[4999] == 0);
    CHECK(created.owner == tribus_session_participant(a) && created.bytes == 5000);
    CHECK(created.kind == TRIBUS_OBJECT_RING && created.number > 0);
    (void)snprintf(writer, 5000, "hello");
    OK(tribus_session_open_object(b, "ring/x", 0, &opened, &reader));
    CHECK(opened.number == created.number && opened.generation == created.generation);
    CHECK(reader != writer);
    CHECK_TEXT(reader, "hello");
    CHECK(mprotect(reader, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
    OK(tribus_session_open_object(b, "ring/x", 1, &opened, &again));
    CHECK(again == reader);
    (void)snprintf(again, 5000, "world");
    CHECK_TEXT(writer, "world");
    OK(tribus_session_open_object(b, "ring/x", 0, &opened, &again));
    CHECK(again == reader);
    CHECK(tribus_session_create_object(b, "ring/x", TRIBUS_OBJECT_RING, 64, 0, NULL,
                                       &again) == TRIBUS_EXISTS);
    CHECK(tribus_session_open_object(b, "ring/y", 0, NULL, &again) == TRIBUS_NOT_FOUND);
    CHECK(strstr(tribus_error_text(), "ring/y") != NULL);
    tribus_session_close(b);
    tribus_session_close(a);
    tribus_agent_stop(agent);
}

static void a_removed_name_can_be_used_again_and_is_another_object(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *a = fixture_session("a"), *b = fixture_session("b");
    tribus_object first, second, seen;
    void *mem_a, *mem_b, *mem_b2;

    OK(tribus_session_create_object(a, "x", TRIBUS_OBJECT_REGION, 64, 0, &first, &mem_a));
    OK(tribus_session_open_object(b, "x", 1, &seen, &mem_b));
    tribus_session_drop(b, &seen, 1); /* not his to remove */
    CHECK(fixture_find_object(b, "x", &seen));
    OK(tribus_session_open_object(b, "x", 1, &seen, &mem_b));
    tribus_session_drop(a, &first, 1);
    CHECK(tribus_session_open_object(a, "x", 0, NULL, &mem_a) == TRIBUS_NOT_FOUND);
    (void)snprintf(mem_b, 64, "still mine"); /* his mapping goes on working */
    OK(tribus_session_create_object(a, "x", TRIBUS_OBJECT_REGION, 64, 0, &second, &mem_a));
    CHECK(second.generation != first.generation);
    OK(tribus_session_open_object(b, "x", 1, &seen, &mem_b2));
    CHECK(seen.generation == second.generation && mem_b2 != mem_b);
    CHECK_TEXT(mem_b, "still mine");
    CHECK(((const char *)mem_b2)[0] == '\0');
    tribus_session_close(b);
    tribus_session_close(a);
    tribus_agent_stop(agent);
}

static void a_mapping_goes_with_its_last_user(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *a = fixture_session("a"), *b = fixture_session("b");
    tribus_object o, seen;
    void *mem_a, *mem_b, *again;
    unsigned char pages;

    OK(tribus_session_create_object(a, "x", TRIBUS_OBJECT_REGION, 64, 0, &o, &mem_a));
    OK(tribus_session_open_object(b, "x", 1, &seen, &mem_b));
    OK(tribus_session_open_object(b, "x", 0, &seen, &again));
    CHECK(again == mem_b);
    tribus_session_drop(b, &seen, 0);
    (void)snprintf(mem_a, 64, "still here");
    CHECK_TEXT(mem_b, "still here");
    tribus_session_drop(b, &seen, 0);
    CHECK(mincore(mem_b, 4096, &pages) == -1 && errno == ENOMEM);
    tribus_session_drop(b, &seen, 0); /* one too many harms nobody */
    CHECK_TEXT(mem_a, "still here");
    tribus_session_close(b);
    tribus_session_close(a);
    tribus_agent_stop(agent);
}

static void a_name_used_again_is_not_what_its_former_owner_left(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *a = fixture_session("a"), *b = fixture_session("b");
    tribus_object first, second, seen;
    void *mem_a, *mem_b, *mem_b2;

    OK(tribus_session_create_object(a, "x", TRIBUS_OBJECT_TOPIC, 64, 0, &first, &mem_a));
    OK(tribus_session_open_object(b, "x", 1, &seen, &mem_b));
    (void)snprintf(mem_a, 64, "the first");
    tribus_session_leave(a, &first);
    OK(tribus_session_create_object(a, "x", TRIBUS_OBJECT_TOPIC, 64, 0, &second, &mem_a));
    OK(tribus_session_open_object(b, "x", 1, &seen, &mem_b2));
    CHECK(seen.generation == second.generation && mem_b2 != mem_b);
    CHECK_TEXT(mem_b, "the first");
    tribus_session_close(b);
    tribus_session_close(a);
    tribus_agent_stop(agent);
}

static void objects_leave_with_their_creator_unless_they_stay(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *a = fixture_session("a"), *b = fixture_session("b");
    tribus_object o;
    void *mem, *kept;
    uint64_t revision;

    OK(tribus_session_create_object(a, "goes", TRIBUS_OBJECT_TOPIC, 64, 0, NULL, &mem));
    OK(tribus_session_create_object(a, "stays", TRIBUS_OBJECT_TOPIC, 64, 1, NULL, &mem));
    (void)snprintf(mem, 64, "from a");
    CHECK(fixture_find_object(b, "goes", &o) && o.stays == 0);
    revision = tribus_session_revision(b);
    tribus_session_close(a);
    fixture_wait_change(b, revision);
    CHECK(!fixture_find_object(b, "goes", &o));
    CHECK(fixture_find_object(b, "stays", &o) && o.owner == 0 && o.stays == 1);
    OK(tribus_session_open_object(b, "stays", 1, &o, &kept));
    CHECK_TEXT(kept, "from a");
    tribus_session_drop(b, &o, 1); /* nobody's: anybody may clear it away */
    CHECK(!fixture_find_object(b, "stays", &o));
    tribus_session_close(b);
    tribus_agent_stop(agent);
}

static void the_memory_limit_is_an_error_that_says_how_much(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){.memory_limit_bytes = 8u << 20});
    tribus_session *a = fixture_session("a");
    tribus_object o;
    void *mem;

    OK(tribus_session_create_object(a, "x", TRIBUS_OBJECT_REGION, 6u << 20, 0, &o, &mem));
    CHECK(tribus_session_create_object(a, "y", TRIBUS_OBJECT_REGION, 3u << 20, 0, NULL,
                                       &mem) == TRIBUS_NO_MEMORY);
    CHECK(strstr(tribus_error_text(), "create y: 3 MiB needed, 2 MiB left") != NULL);
    CHECK(strstr(tribus_error_text(), "8 MiB") != NULL);
    CHECK(tribus_session_create_object(a, "y", TRIBUS_OBJECT_REGION, SIZE_MAX / 4, 0, NULL,
                                       &mem) == TRIBUS_NO_MEMORY);
    CHECK(tribus_session_create_object(a, "y", TRIBUS_OBJECT_REGION, 0, 0, NULL, &mem) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_session_create_object(a, "y", (tribus_object_kind)99, 64, 0, NULL, &mem) ==
          TRIBUS_BAD_ARG);
    tribus_session_drop(a, &o, 1);
    OK(tribus_session_create_object(a, "y", TRIBUS_OBJECT_REGION, 8u << 20, 0, NULL, &mem));
    tribus_session_close(a);
    tribus_agent_stop(agent);
}

static void objects_of_one_participant_are_bounded(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){.objects_per_participant = 20});
    tribus_session *a = fixture_session("a"), *b = fixture_session("b");
    char name[32];
    void *mem;

    for (int i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof(name), "o/%d", i);
        OK(tribus_session_create_object(a, name, TRIBUS_OBJECT_TIMELINE, 128, 0, NULL,
                                        &mem));
    }
    CHECK(tribus_session_create_object(a, "one-more", TRIBUS_OBJECT_TIMELINE, 128, 0, NULL,
                                       &mem) == TRIBUS_FULL);
    OK(tribus_session_create_object(b, "one-more", TRIBUS_OBJECT_TIMELINE, 128, 0, NULL,
                                    &mem));
    tribus_session_close(b);
    tribus_session_close(a);
    tribus_agent_stop(agent);
}

static void a_session_outlives_its_agent(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *a = fixture_session("a");
    void *mem, *other;

    OK(tribus_session_create_object(a, "x", TRIBUS_OBJECT_RING, 4096, 0, NULL, &mem));
    tribus_agent_stop(agent);
    memset(mem, 7, 4096); /* the memory is ours as long as we map it */
    CHECK(tribus_session_create_object(a, "y", TRIBUS_OBJECT_RING, 64, 0, NULL, &other) ==
          TRIBUS_PEER_LOST);
    tribus_session_close(a);
}

static void status_counts_what_is_there(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){.memory_limit_bytes = 1u << 20});
    tribus_session *a = fixture_session("a");
    tribus_agent_status status;
    tribus_agent_child rows[4];
    uint32_t count = 9;
    void *mem;

    OK(tribus_session_create_object(a, "x", TRIBUS_OBJECT_RING, 4096, 0, NULL, &mem));
    OK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status));
    CHECK(status.pid == getpid() && status.participants == 1 && status.objects == 1);
    CHECK(status.memory_bytes == 4096 && status.memory_limit_bytes == 1u << 20);
    CHECK(status.requests >= 3 && status.uptime_ns > 0 && status.release[0] != '\0');
    OK(tribus_agent_get_children(fixture_path(), 0, rows, 4, &count));
    CHECK(count == 0);
    tribus_session_close(a);
    tribus_agent_stop(agent);
    CHECK(tribus_agent_get_status(fixture_path(), 60 * SECOND_NS, &status) ==
          TRIBUS_NOT_FOUND);
}

/* Reads every row over and over while others come and go: for ThreadSanitizer, and for the
 * promise that a row is never half old and half new. */
static void *read_rows(void *context)
{
    const tribus_session *s = context;
    tribus_participant p;
    tribus_object o;
    uint64_t seen = 0;

    for (;;) {
        uint32_t cursor = 0;
        int done = 0;

        while (tribus_session_next_participant(s, &cursor, &p) == TRIBUS_OK) {
            char want[TRIBUS_NAME_BYTES];

            seen++;
            done |= strcmp(p.name, "end") == 0;
            if (strncmp(p.name, "n-", 2) != 0)
                continue;
            (void)snprintf(want, sizeof(want), "n-%s", p.role);
            CHECK_TEXT(p.name, want);
        }
        cursor = 0;
        while (tribus_session_next_object(s, &cursor, &o) == TRIBUS_OK)
            CHECK(o.bytes == 64u + (uint64_t)strtoull(o.name + 2, NULL, 10));
        if (done)
            break;
    }
    CHECK(seen > 0);
    return NULL;
}

static void rows_are_never_torn(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *watcher = fixture_session("watcher"), *end;
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, read_rows, watcher) == 0);
    for (unsigned i = 0; i < 200; i++) {
        char name[32], role[16], object[32];
        const tribus_session_cfg cfg = {.socket_path = fixture_path(),
                                        .name = name,
                                        .role = role,
                                        .timeout_ns = 60 * SECOND_NS};
        tribus_session *s = NULL;
        void *mem;

        (void)snprintf(role, sizeof(role), "%x", i * 7919u);
        (void)snprintf(name, sizeof(name), "n-%s", role);
        (void)snprintf(object, sizeof(object), "o-%u", i);
        OK(tribus_session_open(&cfg, &s));
        OK(tribus_session_create_object(s, object, TRIBUS_OBJECT_RING, 64u + i, 0, NULL,
                                        &mem));
        tribus_session_close(s);
    }
    end = fixture_session("end");
    CHECK(pthread_join(thread, NULL) == 0);
    tribus_session_close(end);
    tribus_session_close(watcher);
    tribus_agent_stop(agent);
}

int main(void)
{
    CHECK(unsetenv("TRIBUS_SOCKET") == 0);
    open_without_an_agent_says_how_to_start_one();
    socket_path_follows_the_environment();
    two_sessions_see_each_other_and_who_leaves();
    a_taken_name_is_refused_with_the_process_that_has_it();
    names_with_other_characters_are_refused();
    an_object_is_the_same_memory_for_both();
    a_removed_name_can_be_used_again_and_is_another_object();
    a_mapping_goes_with_its_last_user();
    a_name_used_again_is_not_what_its_former_owner_left();
    objects_leave_with_their_creator_unless_they_stay();
    the_memory_limit_is_an_error_that_says_how_much();
    objects_of_one_participant_are_bounded();
    a_session_outlives_its_agent();
    status_counts_what_is_there();
    rows_are_never_torn();
    return 0;
}
