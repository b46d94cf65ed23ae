/* card_slab.c -- slabs in memory of the card, kept by an agent: 100,000 lease cycles between two
 * processes, kernels writing and checking slots; the creator killed and its slab found again;
 * the agent killed and given the memory back; in the end the card's memory is what it was. The
 * parent has no context. With TRIBUS_CARD_CYCLES another number of cycles. */
#include "card.h"

#include "tribus/agent.h"
#include "tribus/slab.h"

#define SLOT_BYTES ((size_t)1 << 20)
#define SLOTS      16u
#define RING_CELLS 16u

typedef struct page {
    _Alignas(64) _Atomic(int64_t) step;
    _Alignas(64) _Atomic(int64_t) holder; /* + 1 */
    _Alignas(64) unsigned char ring[RING_CELLS * 64u + 1024u];
} page;

static page *shared;
static char socket_path[96];

static tribus_session *session_of(const char *name)
{
    const tribus_session_cfg cfg = {.socket_path = socket_path,
                                    .name = name,
                                    .role = "tool",
                                    .timeout_ns = CARD_LONG_NS};
    const int64_t until_ns = tribus_now_ns() + CARD_LONG_NS;
    tribus_session *s = NULL;

    while (tribus_session_open(&cfg, &s) != TRIBUS_OK)
        CHECK(tribus_now_ns() < until_ns);
    return s;
}

static tribus_slab *slab_of(tribus_session *s, tribus_cuda_context *c, tribus_end end)
{
    const int64_t until_ns = tribus_now_ns() + CARD_LONG_NS;
    tribus_slab *slab = NULL;

    while (tribus_slab_open(s, &c->base, "leases", end, &slab) != TRIBUS_OK) {
        (void)tribus_session_revision(s);
        CHECK(tribus_now_ns() < until_ns);
    }
    return slab;
}

static tribus_slab *slab_made(tribus_session *s, tribus_cuda_context *c, int stays)
{
    const tribus_slab_cfg cfg = {.name = "leases",
                                 .classes = {{.slot_bytes = 4096, .slots = SLOTS},
                                             {.slot_bytes = SLOT_BYTES, .slots = SLOTS}},
                                 .class_count = 2,
                                 .stays = stays};
    tribus_slab *slab = NULL;

    GOOD(tribus_slab_create(s, &c->base, &cfg, &slab));
    return slab;
}

static void fill(tribus_cuda_context *c, void *mem, uint32_t seed, size_t bytes)
{
    tribus_cuda_probe_args args = {.memory = mem, .words = bytes / 4, .seed = seed};

    GOOD(card_launch(&c->main, "tribus_cuda_probe_fill", 32, 256, &args));
    GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
}

static void check(tribus_cuda_context *c, const void *mem, uint32_t seed, size_t bytes)
{
    uint64_t *bad = card_shared(4096);
    void *data;
    tribus_cuda_probe_args args = {
        .memory = (void *)(uintptr_t)mem, .words = bytes / 4, .seed = seed};

    GOOD(tribus_cuda_memory_register(c, bad, 4096, &data));
    args.bad = data;
    GOOD(card_launch(&c->main, "tribus_cuda_probe_check", 32, 256, &args));
    GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
    CHECK(*bad == 0);
    tribus_cuda_memory_unregister(c, bad);
    CHECK(munmap(bad, 4096) == 0);
}

/* Holds what comes through the ring, checks every 256th slot with a kernel, releases. */
static void reader_main(uint32_t cycles, uint32_t seed)
{
    tribus_session *s = session_of("reader");
    tribus_cuda_context *c = card_open();
    tribus_slab *slab = slab_of(s, c, TRIBUS_READER);
    tribus_ring *ring = NULL;

    tribus_store_rel(&shared->holder, (int64_t)tribus_slab_holder(slab) + 1);
    GOOD(tribus_ring_open(shared->ring, sizeof(shared->ring), TRIBUS_READER, &ring));
    for (uint32_t i = 0; i < cycles; i++) {
        const int64_t until_ns = tribus_now_ns() + CARD_LONG_NS;
        tribus_slot_ref ref;
        const void *cell, *mem;

        while (tribus_ring_peek(ring, &cell, NULL) != TRIBUS_OK)
            CHECK(tribus_now_ns() < until_ns);
        memcpy(&ref, cell, sizeof(ref));
        tribus_ring_release(ring);
        GOOD(tribus_slab_receive(slab, &ref, &mem));
        if (i % 256 == 0)
            check(c, mem, seed + i, (size_t)ref.bytes);
        GOOD(tribus_slab_release(slab, &ref));
    }
    tribus_ring_close(ring);
    tribus_slab_close(slab, 0);
    tribus_cuda_context_close(c);
    tribus_session_close(s);
    exit(0);
}

static void writer_main(uint32_t cycles, uint32_t seed)
{
    tribus_session *s = session_of("writer");
    tribus_cuda_context *c = card_open();
    tribus_slab *slab = slab_made(s, c, 0);
    tribus_ring *ring = NULL;
    size_t before, after, total;
    int64_t start_ns;

    GOOD(tribus_ring_open(shared->ring, sizeof(shared->ring), TRIBUS_WRITER, &ring));
    card_await(&shared->holder, 1);
    CHECK(c->cu->mem_get_info(&before, &total) == TRIBUS_CU_OK);
    start_ns = tribus_now_ns();
    for (uint32_t i = 0; i < cycles; i++) {
        const int64_t until_ns = tribus_now_ns() + CARD_LONG_NS;
        const uint64_t bytes = i % 2 == 0 ? SLOT_BYTES : 4096;
        tribus_slot_ref ref;
        void *cell, *mem;

        while (tribus_slab_loan(slab, bytes, &ref, &mem) != TRIBUS_OK)
            CHECK(tribus_now_ns() < until_ns);
        if (i % 256 == 0)
            fill(c, mem, seed + i, (size_t)ref.bytes);
        while (tribus_ring_claim(ring, &cell) != TRIBUS_OK)
            CHECK(tribus_now_ns() < until_ns);
        GOOD(tribus_slab_commit(slab, &ref,
                                UINT64_C(1) << (tribus_load_acq(&shared->holder) - 1)));
        memcpy(cell, &ref, sizeof(ref));
        tribus_ring_commit(ring);
    }
    start_ns = tribus_now_ns() - start_ns;
    while (tribus_slab_free_slots(slab) != 2 * SLOTS)
        CHECK(tribus_now_ns() - start_ns > 0);
    CHECK(c->cu->mem_get_info(&after, &total) == TRIBUS_CU_OK);
    printf("%u lease cycles between two processes, %.2f us each; %u of %u slots free, the "
           "card's free memory %s\n",
           cycles, (double)start_ns * 1e-3 / cycles, tribus_slab_free_slots(slab),
           2 * SLOTS, before == after ? "as before" : "CHANGED");
    CHECK(before == after);
    tribus_ring_close(ring);
    tribus_slab_close(slab, 1);
    tribus_cuda_context_close(c);
    tribus_session_close(s);
    exit(0);
}

static void leases_between_two_processes_leave_nothing(uint32_t cycles, uint32_t seed)
{
    pid_t writer, reader;

    memset(shared, 0, sizeof(*shared));
    GOOD(tribus_ring_create(shared->ring, sizeof(shared->ring), RING_CELLS, 64));
    reader = card_fork();
    if (reader == 0)
        reader_main(cycles, seed);
    writer = card_fork();
    if (writer == 0)
        writer_main(cycles, seed);
    card_join(writer);
    card_join(reader);
}

/* Makes a slab that stays, fills a slot for holder 0, stays until it is killed. */
static void maker_main(tribus_slot_ref *ref, uint32_t seed)
{
    tribus_session *s = session_of("maker");
    tribus_cuda_context *c = card_open();
    tribus_slab *slab = slab_made(s, c, 1);
    void *mem;

    GOOD(tribus_slab_loan(slab, SLOT_BYTES, ref, &mem));
    fill(c, mem, seed, SLOT_BYTES);
    GOOD(tribus_slab_commit(slab, ref, 1));
    tribus_store_rel(&shared->step, 1);
    for (;;) {
        (void)tribus_session_revision(
            s); /* comes back to an agent that was started again */
        (void)usleep(1000);
    }
}

/* Holder 0 of a slab whose maker, or agent, is dead. */
static void heir_main(const tribus_slot_ref *ref, uint32_t seed, bool owner)
{
    tribus_session *s = session_of("heir"), *o = session_of("owner");
    tribus_cuda_context *c = card_open();
    tribus_slab *slab = slab_of(s, c, TRIBUS_READER), *own = NULL;
    const void *mem;

    CHECK(tribus_slab_holder(slab) == 0);
    GOOD(tribus_slab_receive(slab, ref, &mem));
    check(c, mem, seed, SLOT_BYTES);
    GOOD(tribus_slab_release(slab, ref));
    tribus_slab_close(slab, 0);
    if (owner) {
        own = slab_of(o, c, TRIBUS_WRITER);
        CHECK(tribus_slab_free_slots(own) == 2 * SLOTS);
        tribus_slab_close(own, 1);
    }
    tribus_cuda_context_close(c);
    tribus_session_close(s);
    tribus_session_close(o);
    exit(0);
}

static void maker_killed_slab_is_found_again(uint32_t seed)
{
    tribus_slot_ref *ref = card_shared(4096);
    pid_t maker, heir;

    tribus_store_rel(&shared->step, 0);
    maker = card_fork();
    if (maker == 0)
        maker_main(ref, seed);
    card_await(&shared->step, 1);
    CHECK(kill(maker, SIGKILL) == 0 && waitpid(maker, NULL, 0) == maker);
    heir = card_fork();
    if (heir == 0)
        heir_main(ref, seed, true);
    card_join(heir);
    printf("maker killed: its slab was found again by name, %zu bytes of it intact\n",
           SLOT_BYTES);
    CHECK(munmap(ref, 4096) == 0);
}

static void agent_killed_gets_the_memory_back(pid_t *agent, uint32_t seed)
{
    tribus_slot_ref *ref = card_shared(4096);
    pid_t maker, heir;

    tribus_store_rel(&shared->step, 0);
    maker = card_fork();
    if (maker == 0)
        maker_main(ref, seed);
    card_await(&shared->step, 1);
    CHECK(kill(*agent, SIGKILL) == 0 && waitpid(*agent, NULL, 0) == *agent);
    *agent = card_agent(socket_path);
    heir = card_fork();
    if (heir == 0)
        heir_main(ref, seed, false);
    card_join(heir);
    CHECK(kill(maker, SIGKILL) == 0 && waitpid(maker, NULL, 0) == maker);
    heir = card_fork();
    if (heir == 0) { /* the maker is dead: its slab stays until somebody removes it */
        tribus_session *s = session_of("sweeper");
        tribus_cuda_context *c = card_open();

        tribus_slab_close(slab_of(s, c, TRIBUS_WRITER), 1);
        tribus_cuda_context_close(c);
        tribus_session_close(s);
        exit(0);
    }
    card_join(heir);
    printf("agent killed: its successor got the card's memory back from the maker\n");
    CHECK(munmap(ref, 4096) == 0);
}

int main(void)
{
    const char *cycles = getenv("TRIBUS_CARD_CYCLES");
    const uint32_t seed = (uint32_t)check_seed();
    char folder[] = "/tmp/tribus-card-XXXXXX", command[128];
    size_t before, after;
    pid_t agent;

    card_or_skip();
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(socket_path, sizeof(socket_path), "%s/agent.sock", folder);
    shared = card_shared(sizeof(page));
    before = card_free_bytes();
    agent = card_agent(socket_path);
    leases_between_two_processes_leave_nothing(
        cycles != NULL ? (uint32_t)strtoul(cycles, NULL, 10) : 100000u, seed);
    maker_killed_slab_is_found_again(seed);
    agent_killed_gets_the_memory_back(&agent, seed);
    after = card_free_bytes();
    printf("free before %zu MiB, after %zu MiB\n", before >> 20, after >> 20);
    CHECK(after >= before);
    CHECK(kill(agent, SIGKILL) == 0 && waitpid(agent, NULL, 0) == agent);
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    CHECK(system(command) == 0);
    return 0;
}
