/* test_slab.c -- slots of several sizes in memory that the agent keeps: on the CPU and on the
 * fake card; creators, holders and the agent being killed; 100,000 lease cycles.
 * labels: multiprocess
 */
#include "agent_fixture.h"
#include "fake_card.h"
#include "tribus/slab.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const tribus_slab_cfg three = {.name = "slab",
                                      .classes = {{.slot_bytes = 4096, .slots = 4},
                                                  {.slot_bytes = 65536, .slots = 2},
                                                  {.slot_bytes = 1u << 20, .slots = 2}},
                                      .class_count = 3};

static tribus_device *device_of(const char *name)
{
    tribus_device *d = NULL;

    OK(tribus_device_open(name, &d));
    return d;
}

static void a_loan_is_of_the_smallest_class_with_a_free_slot(const char *device)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("owner");
    tribus_device *d = device_of(device);
    tribus_slab *slab = NULL;
    tribus_slot_ref refs[8];
    void *mem[8];

    OK(tribus_slab_create(s, d, &three, &slab));
    CHECK(tribus_slab_free_slots(slab) == 8);
    for (uint32_t i = 0; i < 8; i++) {
        OK(tribus_slab_loan(slab, 1000, &refs[i], &mem[i]));
        CHECK(refs[i].slot == i);
        CHECK(refs[i].bytes == (i < 4 ? 4096u : i < 6 ? 65536u : 1u << 20));
        memset(mem[i], (int)i, (size_t)refs[i].bytes); /* this device is host memory */
    }
    for (uint32_t i = 0; i < 8; i++)
        CHECK(((const unsigned char *)mem[i])[refs[i].bytes - 1] == i);
    CHECK(tribus_slab_loan(slab, 1000, &refs[0], &mem[0]) == TRIBUS_FULL);
    CHECK(tribus_slab_loan(slab, 2u << 20, &refs[0], &mem[0]) == TRIBUS_BAD_ARG);
    for (uint32_t i = 0; i < 8; i++)
        OK(tribus_slab_commit(slab, &refs[i], 0));
    CHECK(tribus_slab_free_slots(slab) == 8);
    OK(tribus_slab_loan(slab, 5000, &refs[0], &mem[0]));
    CHECK(refs[0].slot == 4);
    refs[0].slot = 8;
    CHECK(tribus_slab_commit(slab, &refs[0], 0) == TRIBUS_CORRUPT);
    tribus_slab_close(slab, 1);
    tribus_device_close(d);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void a_reader_sees_the_bytes_and_gives_them_back(const char *device)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("owner"), *r = fixture_session("reader");
    tribus_device *d = device_of(device), *e = device_of(device);
    tribus_slab *slab = NULL, *reads = NULL;
    tribus_agent_status status;
    tribus_slot_ref ref;
    const void *seen;
    void *mem;

    OK(tribus_slab_create(s, d, &three, &slab));
    OK(tribus_agent_get_status(fixture_path(), 0, &status));
    CHECK(status.device_bytes == 4 * 4096 + 2 * 65536 + (2u << 20));
    OK(tribus_slab_open(r, e, "slab", TRIBUS_READER, &reads));
    for (uint32_t i = 0; i < 100; i++) {
        OK(tribus_slab_loan(slab, 60000, &ref, &mem));
        (void)snprintf(mem, 60000, "round %u", i);
        OK(tribus_slab_commit(slab, &ref, UINT64_C(1) << tribus_slab_holder(reads)));
        CHECK(tribus_slab_free_slots(slab) == 7);
        OK(tribus_slab_receive(reads, &ref, &seen));
        CHECK(strtoul((const char *)seen + 6, NULL, 10) == i && seen != mem);
        OK(tribus_slab_release(reads, &ref));
        CHECK(tribus_slab_release(reads, &ref) == TRIBUS_CORRUPT);
    }
    CHECK(tribus_slab_free_slots(slab) == 8);
    tribus_slab_close(reads, 0);
    tribus_slab_close(slab, 1);
    OK(tribus_agent_get_status(fixture_path(), 0, &status));
    CHECK(status.device_bytes == 0 && status.objects == 0);
    tribus_device_close(d);
    tribus_device_close(e);
    tribus_session_close(s);
    tribus_session_close(r);
    tribus_agent_stop(agent);
}

/* A page that this process shares with its children. */
typedef struct page {
    const char *device;
    tribus_slot_ref ref;
    uint32_t holder;
} page;

static page *shared;

static void create_fill_and_stay(void *context)
{
    tribus_session *s = fixture_session("maker");
    tribus_device *d = device_of(((page *)context)->device);
    tribus_slab_cfg cfg = three;
    tribus_slab *slab = NULL;
    tribus_slot_ref on_loan;
    void *mem;

    cfg.stays = 1;
    OK(tribus_slab_create(s, d, &cfg, &slab));
    OK(tribus_slab_loan(slab, 4096, &on_loan, &mem));
    OK(tribus_slab_loan(slab, 1u << 20, &shared->ref, &mem));
    (void)snprintf(mem, 64, "made by the dead");
    OK(tribus_slab_commit(slab, &shared->ref, 1)); /* for the first holder */
}

static void a_killed_creators_slab_is_found_again(const char *device)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s, *r;
    tribus_device *d;
    tribus_slab *slab = NULL, *reads = NULL;
    tribus_slab_cfg cfg = three;
    const void *seen;
    pid_t maker;

    shared->device = device;
    maker = fixture_child(create_fill_and_stay, shared);
    fixture_kill(maker, SIGKILL);
    s = fixture_session("after");
    r = fixture_session("reader");
    d = device_of(device);
    cfg.stays = 1;
    CHECK(tribus_slab_create(s, d, &cfg, &slab) == TRIBUS_EXISTS);
    OK(tribus_slab_open(s, d, "slab", TRIBUS_WRITER, &slab));
    CHECK(tribus_slab_free_slots(slab) == 7); /* what was on loan is free */
    OK(tribus_slab_open(r, d, "slab", TRIBUS_READER, &reads));
    CHECK(tribus_slab_holder(reads) == 0);
    OK(tribus_slab_receive(reads, &shared->ref, &seen));
    CHECK_TEXT((const char *)seen, "made by the dead");
    OK(tribus_slab_release(reads, &shared->ref));
    CHECK(tribus_slab_free_slots(slab) == 8);
    tribus_slab_close(reads, 0);
    tribus_slab_close(slab, 1);
    CHECK(tribus_slab_open(s, d, "slab", TRIBUS_READER, &reads) == TRIBUS_NOT_FOUND);
    tribus_device_close(d);
    tribus_session_close(r);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void hold_and_stay(void *context)
{
    tribus_session *s = fixture_session("holder");
    tribus_device *d = device_of(((page *)context)->device);
    tribus_slab *slab = NULL;

    OK(tribus_slab_open(s, d, "slab", TRIBUS_READER, &slab));
    shared->holder = tribus_slab_holder(slab);
}

static void what_a_killed_holder_held_comes_back(const char *device)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("owner");
    tribus_device *d = device_of(device);
    tribus_slab *slab = NULL;
    tribus_slot_ref ref;
    uint64_t revision;
    uint32_t slots = 0;
    void *mem;
    pid_t holder;

    OK(tribus_slab_create(s, d, &three, &slab));
    shared->device = device;
    holder = fixture_child(hold_and_stay, shared);
    for (uint32_t i = 0; i < 8; i++) {
        OK(tribus_slab_loan(slab, 64, &ref, &mem));
        OK(tribus_slab_commit(slab, &ref, UINT64_C(1) << shared->holder));
    }
    CHECK(tribus_slab_free_slots(slab) == 0);
    revision = tribus_session_revision(s);
    fixture_kill(holder, SIGKILL);
    while (slots == 0) {
        fixture_wait_change(s, revision);
        revision = tribus_session_revision(s);
        OK(tribus_slab_reclaim(slab, &slots));
    }
    CHECK(slots == 8 && tribus_slab_free_slots(slab) == 8);
    tribus_slab_close(slab, 1);
    tribus_device_close(d);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void start_agent_and_stay(void *context)
{
    (void)context;
    (void)fixture_agent((tribus_agent_cfg){0});
}

static void a_killed_agents_successor_gets_the_memory_back(const char *device)
{
    const pid_t first = (fixture_path(), fixture_child(start_agent_and_stay, NULL));
    tribus_session *s = fixture_session("owner"), *late;
    tribus_device *d = device_of(device), *e = device_of(device);
    const int64_t deadline = tribus_now_ns() + 60 * SECOND_NS;
    tribus_slab *slab = NULL, *reads = NULL;
    tribus_slot_ref ref;
    tribus_agent *agent;
    const void *seen;
    void *mem;

    OK(tribus_slab_create(s, d, &three, &slab));
    fixture_kill(first, SIGKILL);
    OK(tribus_slab_loan(slab, 4096, &ref, &mem)); /* nothing stops */
    (void)snprintf(mem, 64, "in between");
    agent = fixture_agent((tribus_agent_cfg){0});
    late = fixture_session("late");
    (void)tribus_session_revision(s); /* comes back, with its descriptors */
    while (tribus_slab_open(late, e, "slab", TRIBUS_READER, &reads) != TRIBUS_OK) {
        (void)tribus_session_revision(s);
        CHECK(tribus_now_ns() < deadline);
    }
    OK(tribus_slab_commit(slab, &ref, UINT64_C(1) << tribus_slab_holder(reads)));
    OK(tribus_slab_receive(reads, &ref, &seen));
    CHECK_TEXT((const char *)seen, "in between");
    tribus_slab_close(reads, 0);
    tribus_slab_close(slab, 1);
    tribus_device_close(d);
    tribus_device_close(e);
    tribus_session_close(late);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void a_hundred_thousand_leases_leave_nothing_behind(const fake_ops *fake)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("owner"), *r = fixture_session("reader");
    tribus_device *d = device_of("cuda"), *e = device_of("cuda");
    tribus_slab *slab = NULL, *reads = NULL;
    uint64_t calls;
    int live;

    OK(tribus_slab_create(s, d, &three, &slab));
    OK(tribus_slab_open(r, e, "slab", TRIBUS_READER, &reads));
    fake->reset();
    live = fake->live();
    calls = fake->calls();
    for (uint32_t i = 0; i < 100000; i++) {
        tribus_slot_ref ref;
        const void *seen;
        void *mem;

        OK(tribus_slab_loan(slab,
                            i % 3 == 0   ? 100
                            : i % 3 == 1 ? 5000
                                         : 100000,
                            &ref, &mem));
        OK(tribus_slab_commit(slab, &ref, UINT64_C(1) << tribus_slab_holder(reads)));
        OK(tribus_slab_receive(reads, &ref, &seen));
        OK(tribus_slab_release(reads, &ref));
    }
    CHECK(fake->live() == live && fake->calls() == calls); /* the card was not asked */
    CHECK(tribus_slab_free_slots(slab) == 8);
    for (uint32_t i = 0; i < 100; i++) { /* opened again from the process's own mapping */
        tribus_slab_close(reads, 0);
        OK(tribus_slab_reclaim(slab, NULL));
        OK(tribus_slab_open(r, e, "slab", TRIBUS_READER, &reads));
    }
    CHECK(fake->live() == live);
    tribus_slab_close(reads, 0);
    tribus_slab_close(slab, 1);
    tribus_device_close(d);
    tribus_device_close(e);
    CHECK(fake->live() == 0);
    tribus_session_close(s);
    tribus_session_close(r);
    tribus_agent_stop(agent);
}

static void offers_of_what_is_no_memory_are_refused(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("owner");
    tribus_object o;
    int sockets[2], fd = -1;
    void *mem;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
    CHECK(tribus_session_offer_object(s, "x", sockets[0], 4096, 0, &o) == TRIBUS_CORRUPT);
    fd = memfd_create("small", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
    CHECK(tribus_session_offer_object(s, "x", fd, 8192, 0, &o) == TRIBUS_CORRUPT);
    CHECK(tribus_session_offer_object(s, "x", fd, 4096, 0, &o) == TRIBUS_REFUSED);
    CHECK(strstr(tribus_error_text(), "not sealed") != NULL);
    CHECK(tribus_session_offer_object(s, "x", -1, 4096, 0, &o) == TRIBUS_BAD_ARG);
    CHECK(!fixture_find_object(s, "x", &o));
    OK(tribus_session_create_object(s, "host", TRIBUS_OBJECT_REGION, 4096, 0, &o, &mem));
    CHECK(tribus_session_open_descriptor(s, "host", &o, &fd) == TRIBUS_BAD_ARG);
    CHECK(tribus_session_create_object(s, "x", TRIBUS_OBJECT_DEVICE, 4096, 0, &o, &mem) ==
          TRIBUS_BAD_ARG);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

static void a_layout_of_nonsense_is_corrupt(const char *device)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *s = fixture_session("owner"), *r = fixture_session("reader");
    tribus_device *d = device_of(device);
    tribus_slab *slab = NULL, *reads = NULL;
    tribus_object o;
    uint64_t *words;
    void *mem;

    OK(tribus_slab_create(s, d, &three, &slab));
    OK(tribus_session_open_object(s, "slab", 1, &o, &mem));
    words = mem;
    for (uint32_t i = 1; i < 8u + 3u * 5u; i++) { /* the head and three classes */
        const uint64_t was = words[i];

        if (i >= 3 && i < 8)
            continue; /* not used */
        words[i] = i == 2 ? 1u : UINT64_C(0x7fffffffffffffff);
        CHECK(tribus_slab_open(r, d, "slab", TRIBUS_READER, &reads) != TRIBUS_OK);
        words[i] = was;
    }
    OK(tribus_slab_open(r, d, "slab", TRIBUS_READER, &reads));
    tribus_slab_close(reads, 0);
    tribus_slab_close(slab, 1);
    tribus_device_close(d);
    tribus_session_close(r);
    tribus_session_close(s);
    tribus_agent_stop(agent);
}

int main(void)
{
    const fake_ops *fake = fake_card();
    static const char *const devices[] = {"cpu", "cuda"};

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    CHECK(shared != MAP_FAILED);
    for (int i = 0; i < 2; i++) {
        a_loan_is_of_the_smallest_class_with_a_free_slot(devices[i]);
        a_reader_sees_the_bytes_and_gives_them_back(devices[i]);
        a_killed_creators_slab_is_found_again(devices[i]);
        what_a_killed_holder_held_comes_back(devices[i]);
        a_killed_agents_successor_gets_the_memory_back(devices[i]);
        a_layout_of_nonsense_is_corrupt(devices[i]);
    }
    a_hundred_thousand_leases_leave_nothing_behind(fake);
    offers_of_what_is_no_memory_are_refused();
    return 0;
}
