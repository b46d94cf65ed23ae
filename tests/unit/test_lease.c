/* test_lease.c -- holders of regions: numbers, death, successors, an agent that is killed.
 * labels: multiprocess
 */
#include "agent_fixture.h"

#include <sys/mman.h>

#define SLOTS 4u

typedef struct shared {
    tribus_session *session;
    tribus_object object;
    tribus_region *region;
} shared;

static shared owner_of_a_region(const char *name)
{
    tribus_region_cfg cfg = {.slot_bytes = 64, .slots = SLOTS};
    const size_t bytes = tribus_region_bytes(&cfg);
    shared s = {.session = fixture_session(name)};
    void *mem;

    OK(tribus_session_create_object(s.session, "region", TRIBUS_OBJECT_REGION, bytes, 0,
                                    &s.object, &mem));
    OK(tribus_region_create(mem, bytes, &cfg, s.object.number));
    OK(tribus_region_open(mem, bytes, TRIBUS_WRITER, 0, &s.region));
    return s;
}

static void close_shared(shared *s)
{
    tribus_region_close(s->region);
    tribus_session_close(s->session);
}

/* What a holder process tells its parent. */
typedef struct told {
    uint32_t holder;
    int successor;
} told;

static told *page;

/* Becomes a holder, receives slot after slot that it is given, and never releases. */
static void hold_and_stay(void *context)
{
    tribus_session *s = fixture_session(context);
    tribus_object o;
    void *mem;

    OK(tribus_session_open_object(s, "region", 1, &o, &mem));
    OK(tribus_session_hold(s, &o, &page->holder, &page->successor));
}

static void give(const shared *s, uint32_t holder)
{
    tribus_slot_ref ref;
    void *mem;

    OK(tribus_region_loan(s->region, &ref, &mem));
    OK(tribus_region_commit(s->region, &ref, UINT64_C(1) << holder));
}

/* The agent sees the end of a session when it gets to it. */
static void wait_gone(const tribus_session *s)
{
    const int64_t deadline = tribus_now_ns() + 60 * SECOND_NS;
    tribus_participant p;
    tribus_object o;

    while (fixture_find(s, "owner", &p) || fixture_find_object(s, "region", &o))
        CHECK(tribus_now_ns() < deadline);
}

static uint64_t wait_dead(const shared *s, uint64_t want)
{
    const int64_t deadline = tribus_now_ns() + 60 * SECOND_NS;
    uint64_t dead;

    while ((dead = tribus_session_dead_holders(s->session, &s->object)) != want)
        CHECK(tribus_now_ns() < deadline);
    return dead;
}

static void what_a_killed_holder_held_comes_back(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    shared s = owner_of_a_region("owner");
    pid_t first = fixture_child(hold_and_stay, (void *)(uintptr_t) "first"), second;
    const uint32_t h = page->holder;
    uint32_t slots = 0;

    CHECK(page->successor == 0);
    second = fixture_child(hold_and_stay, (void *)(uintptr_t) "second");
    CHECK(page->holder != h && page->successor == 0);
    give(&s, h);
    give(&s, h);
    give(&s, page->holder);
    CHECK(tribus_region_free_slots(s.region) == SLOTS - 3);
    OK(tribus_session_reclaim(s.session, &s.object, s.region, &slots)); /* nobody is dead */
    CHECK(slots == 0 && tribus_region_free_slots(s.region) == SLOTS - 3);
    fixture_kill(first, SIGKILL);
    (void)wait_dead(&s, UINT64_C(1) << h);
    OK(tribus_session_reclaim(s.session, &s.object, s.region, &slots));
    CHECK(slots == 2 && tribus_region_free_slots(s.region) == SLOTS - 1);
    CHECK(tribus_session_dead_holders(s.session, &s.object) == 0);
    fixture_kill(second, SIGKILL);
    (void)wait_dead(&s, UINT64_C(1) << page->holder);
    OK(tribus_session_reclaim(s.session, &s.object, s.region, &slots));
    CHECK(slots == 1 && tribus_region_free_slots(s.region) == SLOTS);
    close_shared(&s);
    tribus_agent_stop(agent);
}

static void a_holder_that_is_started_again_goes_on_until_it_is_taken_back(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    shared s = owner_of_a_region("owner");
    pid_t pid = fixture_child(hold_and_stay, (void *)(uintptr_t) "engine");
    const uint32_t h = page->holder;
    uint32_t slots = 0;

    give(&s, h);
    fixture_kill(pid, SIGKILL);
    (void)wait_dead(&s, UINT64_C(1) << h);
    pid = fixture_child(hold_and_stay, (void *)(uintptr_t) "engine");
    CHECK(page->holder == h && page->successor != 0);
    CHECK(tribus_session_dead_holders(s.session, &s.object) == 0);
    OK(tribus_session_reclaim(s.session, &s.object, s.region, &slots));
    CHECK(slots == 0 &&
          tribus_region_free_slots(s.region) == SLOTS - 1); /* still its own */
    fixture_kill(pid, SIGKILL);
    (void)wait_dead(&s, UINT64_C(1) << h);
    OK(tribus_session_reclaim(s.session, &s.object, s.region, &slots));
    CHECK(slots == 1);
    pid = fixture_child(hold_and_stay, (void *)(uintptr_t) "engine");
    CHECK(page->successor == 0);
    fixture_kill(pid, SIGKILL);
    close_shared(&s);
    tribus_agent_stop(agent);
}

static void letting_go_is_like_dying_for_one_region(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    shared s = owner_of_a_region("owner");
    tribus_session *reader = fixture_session("reader"), *other = fixture_session("other");
    uint32_t h = 99, again = 99, slots = 0;

    OK(tribus_session_hold(reader, &s.object, &h, NULL));
    give(&s, h);
    CHECK(tribus_session_let_go(other, &s.object, h) == TRIBUS_NOT_FOUND);
    CHECK(tribus_session_reclaim(other, &s.object, s.region, NULL) == TRIBUS_OK);
    OK(tribus_session_let_go(reader, &s.object, h));
    CHECK(tribus_session_let_go(reader, &s.object, h) == TRIBUS_NOT_FOUND);
    CHECK(tribus_session_reclaim(other, &s.object, s.region, &slots) == TRIBUS_REFUSED);
    CHECK(tribus_region_free_slots(s.region) == SLOTS - 1);
    OK(tribus_session_hold(other, &s.object, &again, NULL));
    CHECK(again != h); /* not free before the owner took it back */
    OK(tribus_session_reclaim(s.session, &s.object, s.region, &slots));
    CHECK(slots == 1 && tribus_region_free_slots(s.region) == SLOTS);
    tribus_session_close(other);
    tribus_session_close(reader);
    close_shared(&s);
    tribus_agent_stop(agent);
}

static void a_number_that_goes_to_another_name_does_not_go_on(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    shared s = owner_of_a_region("owner");
    tribus_session *first = fixture_session("first"), *second;
    uint32_t h = 99, again = 99, slots = 0;
    int successor = 7;

    OK(tribus_session_hold(first, &s.object, &h, NULL));
    give(&s, h);
    tribus_session_close(first);
    (void)wait_dead(&s, UINT64_C(1) << h);
    second =
        fixture_session("second"); /* the lowest number that is free: that of the first */
    OK(tribus_session_hold(second, &s.object, &again, &successor));
    CHECK(again != h && successor == 0);
    OK(tribus_session_reclaim(s.session, &s.object, s.region, &slots));
    CHECK(slots == 1 && tribus_region_free_slots(s.region) == SLOTS);
    tribus_session_close(second);
    close_shared(&s);
    tribus_agent_stop(agent);
}

static void there_are_sixty_one_holders_and_leases_go_with_their_region(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    shared s = owner_of_a_region("owner");
    tribus_session *readers[62];
    tribus_object gone;
    uint64_t seen = 0;
    uint32_t h = 0;

    for (int i = 0; i < 62; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "r%d", i);
        readers[i] = fixture_session(name);
        if (i == 61)
            break;
        OK(tribus_session_hold(readers[i], &s.object, &h, NULL));
        CHECK(h < 61 && (seen >> h & 1) == 0);
        seen |= UINT64_C(1) << h;
    }
    CHECK(tribus_session_hold(readers[61], &s.object, &h, NULL) == TRIBUS_FULL);
    gone = s.object;
    close_shared(&s);
    wait_gone(readers[0]);
    CHECK(tribus_session_hold(readers[0], &gone, &h, NULL) == TRIBUS_NOT_FOUND);
    s = owner_of_a_region("owner");
    CHECK(tribus_session_hold(readers[0], &gone, &h, NULL) == TRIBUS_NOT_FOUND);
    OK(tribus_session_hold(readers[61], &s.object, &h, NULL));
    for (int i = 0; i < 62; i++)
        tribus_session_close(readers[i]);
    close_shared(&s);
    tribus_agent_stop(agent);
}

static void start_agent_and_stay(void *context)
{
    (void)fixture_agent(*(const tribus_agent_cfg *)context);
}

static void leases_survive_the_agent(void)
{
    tribus_agent_cfg cfg = {0};
    pid_t first, dies, lives;
    tribus_agent *agent;
    uint32_t h_dies, h_lives, slots = 0;
    shared s;

    (void)fixture_path();
    first = fixture_child(start_agent_and_stay, &cfg);
    s = owner_of_a_region("owner");
    dies = fixture_child(hold_and_stay, (void *)(uintptr_t) "dies");
    h_dies = page->holder;
    lives = fixture_child(hold_and_stay, (void *)(uintptr_t) "lives");
    h_lives = page->holder;
    give(&s, h_dies);
    give(&s, h_lives);
    fixture_kill(first, SIGKILL);
    fixture_kill(dies, SIGKILL); /* nobody is there to see it */
    agent = fixture_agent((tribus_agent_cfg){0});
    (void)wait_dead(&s, UINT64_C(1) << h_dies);
    OK(tribus_session_reclaim(s.session, &s.object, s.region, &slots));
    CHECK(slots == 1 && tribus_region_free_slots(s.region) == SLOTS - 1);
    fixture_kill(lives, SIGKILL);
    (void)wait_dead(&s, UINT64_C(1) << h_lives);
    OK(tribus_session_reclaim(s.session, &s.object, s.region, &slots));
    CHECK(slots == 1 && tribus_region_free_slots(s.region) == SLOTS);
    close_shared(&s);
    tribus_agent_stop(agent);
}

int main(void)
{
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    what_a_killed_holder_held_comes_back();
    a_holder_that_is_started_again_goes_on_until_it_is_taken_back();
    letting_go_is_like_dying_for_one_region();
    a_number_that_goes_to_another_name_does_not_go_on();
    there_are_sixty_one_holders_and_leases_go_with_their_region();
    leases_survive_the_agent();
    return 0;
}
