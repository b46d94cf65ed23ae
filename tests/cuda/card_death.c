/* card_death.c -- processes killed in the middle of a kernel: who waited for them is released,
 * poisoned, within 100 ms; the bytes they had committed are intact; the card's memory returns.
 * Also a write through a read-only mapping, descriptors that lie, and many leases.
 *
 * The parent has no context. Like the agent it holds descriptors and watches processes. */
#include "card.h"

#include <poll.h>

#define BYTES    ((size_t)64 << 20)
#define WORDS    (BYTES / sizeof(uint32_t))
#define DEATH_NS INT64_C(100000000)
#define FOREVER  UINT64_C(60000000000)

typedef struct page {
    _Alignas(64) _Atomic(int64_t) step; /* what the child has done */
    _Alignas(64) _Atomic(int64_t) peer_lost;
    _Alignas(64) _Atomic(int64_t) released_ns;
    _Alignas(64) _Atomic(int64_t) value; /* as the waiter saw it afterwards */
    _Alignas(64) unsigned char host[TRIBUS_TIMELINE_BYTES];
} page;

static page *shared;

static void shared_reset(void)
{
    memset(shared, 0, sizeof(*shared));
    GOOD(tribus_timeline_create(shared->host, TRIBUS_TIMELINE_BYTES, 0));
}

static tribus_cuda_timeline host_timeline(tribus_cuda_context *c)
{
    tribus_cuda_timeline t;
    void *data;

    GOOD(tribus_cuda_memory_register(c, shared, sizeof(*shared), &data));
    GOOD(tribus_cuda_timeline_of_host(
        shared->host, (unsigned char *)data + (shared->host - (unsigned char *)shared),
        &t));
    return t;
}

static uint64_t bad_words(tribus_cuda_context *c, void *memory, uint32_t seed)
{
    uint64_t *bad = card_shared(4096), n;
    void *data;
    tribus_cuda_probe_args args = {.memory = memory, .words = WORDS, .seed = seed};

    GOOD(tribus_cuda_memory_register(c, bad, 4096, &data));
    args.bad = data;
    *bad = 0;
    GOOD(card_launch(&c->main, "tribus_cuda_probe_check", 256, 256, &args));
    GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
    n = *bad;
    tribus_cuda_memory_unregister(c, bad);
    CHECK(munmap(bad, 4096) == 0);
    return n;
}

/* Makes and fills memory, commits it as value 1, then dies in a kernel before value 2. */
static void producer_main(int socket, uint32_t seed)
{
    tribus_cuda_context *c = card_open();
    const tribus_cuda_timeline t = host_timeline(c);
    tribus_cuda_timeline on_card;
    tribus_device_memory mem, word;
    tribus_cuda_probe_args fill = {.words = WORDS, .seed = seed};
    tribus_cuda_probe_args spin = {.words = FOREVER};
    int fd = -1, word_fd = -1;

    GOOD(tribus_cuda_memory_create(c, BYTES, &fd, &mem));
    GOOD(tribus_cuda_memory_create(c, 4096, &word_fd, &word));
    GOOD(tribus_cuda_timeline_of_card(c, word.data, true, 0, &on_card));
    fill.memory = mem.data;
    card_send_fd(socket, fd);
    card_send_fd(socket, word_fd);
    GOOD(card_launch(&c->main, "tribus_cuda_probe_fill", 256, 256, &fill));
    GOOD(tribus_cuda_timeline_advance(&c->main, &t, 1));
    GOOD(card_launch(&c->main, "tribus_cuda_probe_spin", 8, 64, &spin));
    GOOD(tribus_cuda_timeline_advance(&c->main, &t, 2));
    GOOD(tribus_cuda_timeline_advance(&c->main, &on_card, 2));
    tribus_store_rel(&shared->step, 1);
    for (;;)
        (void)pause();
}

/* Waits on a stream for value 2 of a timeline whose producer will die. */
static void consumer_main(int mem_fd, int word_fd, bool on_card, uint32_t seed)
{
    tribus_cuda_context *c = card_open();
    tribus_cuda_timeline t = host_timeline(c);
    tribus_device_memory mem, word;
    int64_t value;

    GOOD(tribus_cuda_memory_open(c, mem_fd, BYTES, false, &mem));
    GOOD(tribus_cuda_memory_open(c, word_fd, 4096, true, &word));
    if (on_card)
        GOOD(tribus_cuda_timeline_of_card(c, word.data, false, 0, &t));
    GOOD(tribus_cuda_timeline_wait(&c->main, &t, 2, CARD_LONG_NS));
    tribus_store_rel(&shared->step, 2);
    /* What the agent's registry is to a host: the news of a death. A timeline in host memory
     * is poisoned by whoever hears it first, one on the card by its waiters. */
    card_await(&shared->peer_lost, 1);
    if (on_card)
        GOOD(tribus_cuda_timeline_poison(c, &t));
    GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
    tribus_store_rel(&shared->released_ns, tribus_now_ns());
    GOOD(tribus_cuda_timeline_get(c, &t, &value));
    CHECK(value == TRIBUS_TIMELINE_POISON);
    tribus_store_rel(&shared->value, value);
    CHECK(bad_words(c, mem.data, seed) == 0);
    tribus_cuda_timeline_forget(c, &t);
    tribus_cuda_context_close(c);
    exit(0);
}

static void producer_killed_in_mid_kernel_poisons_who_waits(bool on_card, uint32_t seed)
{
    int sockets[2], mem_fd, word_fd, pidfd, status;
    pid_t producer, consumer;
    int64_t killed_ns, heard_ns;
    struct pollfd poller;

    shared_reset();
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
    producer = card_fork();
    if (producer == 0)
        producer_main(sockets[1], seed);
    mem_fd = card_get_fd(sockets[0]);
    word_fd = card_get_fd(sockets[0]);
    card_await(&shared->step, 1);
    CHECK(tribus_timeline_wait((tribus_timeline_shm *)(void *)shared->host, 1,
                               &(tribus_wait_cfg){0, CARD_LONG_NS}) == TRIBUS_OK);
    consumer = card_fork();
    if (consumer == 0)
        consumer_main(mem_fd, word_fd, on_card, seed);
    card_await(&shared->step, 2);
    GOOD(tribus_os_pidfd(producer, &pidfd));
    killed_ns = tribus_now_ns();
    CHECK(kill(producer, SIGKILL) == 0);
    poller = (struct pollfd){.fd = pidfd, .events = POLLIN};
    CHECK(poll(&poller, 1, 20000) == 1);
    heard_ns = tribus_now_ns();
    if (!on_card)
        tribus_timeline_poison((tribus_timeline_shm *)(void *)shared->host);
    tribus_store_rel(&shared->peer_lost, 1);
    card_join(consumer);
    CHECK(waitpid(producer, &status, 0) == producer && WIFSIGNALED(status));
    printf("producer killed, timeline %-15s: dead seen after %6.2f ms, its waiter released "
           "%6.2f ms after that, 0 of %zu words changed\n",
           on_card ? "on the card" : "in host memory",
           (double)(heard_ns - killed_ns) * 1e-6,
           (double)(tribus_load_acq(&shared->released_ns) - heard_ns) * 1e-6, WORDS);
    CHECK(tribus_load_acq(&shared->value) == TRIBUS_TIMELINE_POISON);
    CHECK(tribus_load_acq(&shared->released_ns) - heard_ns < DEATH_NS);
    (void)close(pidfd);
    (void)close(mem_fd);
    (void)close(word_fd);
    (void)close(sockets[0]);
    (void)close(sockets[1]);
}

/* A consumer that dies in a kernel over the producer's memory harms neither. */
static void consumer_killed_in_mid_kernel_harms_nobody(uint32_t seed)
{
    int sockets[2], fd = -1, status;
    tribus_cuda_context *c;
    tribus_device_memory mem;
    tribus_cuda_probe_args fill = {.words = WORDS, .seed = seed};
    pid_t consumer, parent;

    shared_reset();
    parent = card_fork();
    if (parent != 0) {
        card_join(parent);
        return;
    }
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
    consumer = card_fork();
    if (consumer == 0) {
        tribus_device_memory got;
        tribus_cuda_context *mine = card_open();
        tribus_cuda_probe_args spin = {.words = FOREVER};

        GOOD(tribus_cuda_memory_open(mine, card_get_fd(sockets[1]), BYTES, false, &got));
        CHECK(bad_words(mine, got.data, seed) == 0);
        GOOD(card_launch(&mine->main, "tribus_cuda_probe_spin", 8, 64, &spin));
        tribus_store_rel(&shared->step, 1);
        for (;;)
            (void)pause();
    }
    c = card_open();
    GOOD(tribus_cuda_memory_create(c, BYTES, &fd, &mem));
    fill.memory = mem.data;
    GOOD(card_launch(&c->main, "tribus_cuda_probe_fill", 256, 256, &fill));
    GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
    card_send_fd(sockets[0], fd);
    card_await(&shared->step, 1);
    CHECK(kill(consumer, SIGKILL) == 0);
    CHECK(waitpid(consumer, &status, 0) == consumer && WIFSIGNALED(status));
    CHECK(bad_words(c, mem.data, seed) == 0);
    fill.seed = seed + 1;
    GOOD(card_launch(&c->main, "tribus_cuda_probe_fill", 256, 256, &fill));
    GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
    CHECK(bad_words(c, mem.data, seed + 1) == 0);
    (void)close(fd);
    tribus_cuda_context_close(c);
    printf("consumer killed: the producer works on, its bytes as they were\n");
    exit(0);
}

static void write_through_a_read_only_mapping_is_caught(uint32_t seed)
{
    int sockets[2], fd = -1;
    pid_t owner = card_fork(), writer;

    if (owner != 0) {
        card_join(owner);
        return;
    }
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
    writer = card_fork();
    if (writer == 0) {
        tribus_cuda_context *c = card_open();
        tribus_device_memory mem;
        tribus_cuda_probe_args fill = {.words = WORDS, .seed = seed + 7};
        tribus_status st;

        GOOD(tribus_cuda_memory_open(c, card_get_fd(sockets[1]), BYTES, false, &mem));
        CHECK(bad_words(c, mem.data, seed) == 0);
        fill.memory = mem.data;
        GOOD(card_launch(&c->main, "tribus_cuda_probe_fill", 256, 256, &fill));
        st = tribus_cuda_stream_wait(&c->main, CARD_LONG_NS);
        CHECK(st == TRIBUS_SYSTEM);
        printf("write through a read-only mapping: %s\n", tribus_error_text());
        (void)fflush(stdout);
        _exit(0); /* the context is beyond use, as the driver says */
    }
    {
        tribus_cuda_context *c = card_open();
        tribus_device_memory mem;
        tribus_cuda_probe_args fill = {.words = WORDS, .seed = seed};

        GOOD(tribus_cuda_memory_create(c, BYTES, &fd, &mem));
        fill.memory = mem.data;
        GOOD(card_launch(&c->main, "tribus_cuda_probe_fill", 256, 256, &fill));
        GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
        card_send_fd(sockets[0], fd);
        card_join(writer);
        CHECK(bad_words(c, mem.data, seed) == 0);
        tribus_cuda_context_close(c);
    }
    printf("read-only mapping: the owner's context works on, 0 words changed\n");
    exit(0);
}

/* Imports, cached openings and lies, in one process. */
static void leases_leave_nothing_behind(void)
{
    const pid_t child = card_fork();
    tribus_cuda_context *c;
    tribus_device_memory made, again;
    size_t before, after, total;
    int64_t start_ns, import_ns;
    int fd = -1, pipes[2];
    tribus_status st;

    if (child != 0) {
        card_join(child);
        return;
    }
    c = card_open();
    GOOD(tribus_cuda_memory_create(c, BYTES, &fd, &made));
    tribus_cuda_memory_close(c, &made);
    CHECK(c->cu->mem_get_info(&before, &total) == TRIBUS_CU_OK);
    start_ns = tribus_now_ns();
    for (int i = 0; i < 2000; i++) {
        GOOD(tribus_cuda_memory_open(c, fd, BYTES, false, &again));
        tribus_cuda_memory_close(c, &again);
    }
    import_ns = (tribus_now_ns() - start_ns) / 2000;
    GOOD(tribus_cuda_memory_open(c, fd, BYTES, false, &made));
    start_ns = tribus_now_ns();
    for (int i = 0; i < 100000; i++) {
        GOOD(tribus_cuda_memory_open(c, fd, BYTES, false, &again));
        tribus_cuda_memory_close(c, &again);
    }
    printf(
        "import, map, unmap %.1f us; opened again from the cache %.2f us (100,000 times)\n",
        (double)import_ns * 1e-3, (double)(tribus_now_ns() - start_ns) * 1e-8);
    tribus_cuda_memory_close(c, &made);
    CHECK(c->cu->mem_get_info(&after, &total) == TRIBUS_CU_OK);
    CHECK(before == after);
    st = tribus_cuda_memory_open(c, fd, BYTES * 2, true, &again);
    printf("64 MiB opened as 128 MiB: %s: %s\n", tribus_status_name(st),
           tribus_error_text());
    CHECK(st == TRIBUS_CORRUPT);
    CHECK(pipe(pipes) == 0);
    CHECK(tribus_cuda_memory_open(c, pipes[0], BYTES, true, &again) != TRIBUS_OK);
    printf("a descriptor that is no memory: %s\n", tribus_error_text());
    tribus_cuda_context_close(c);
    exit(0);
}

int main(void)
{
    const uint32_t seed = (uint32_t)check_seed();
    size_t before, after;

    card_or_skip();
    shared = card_shared(sizeof(page));
    before = card_free_bytes();
    producer_killed_in_mid_kernel_poisons_who_waits(false, seed);
    producer_killed_in_mid_kernel_poisons_who_waits(true, seed);
    consumer_killed_in_mid_kernel_harms_nobody(seed);
    write_through_a_read_only_mapping_is_caught(seed);
    leases_leave_nothing_behind();
    after = card_free_bytes();
    printf("free before %zu MiB, after %zu MiB\n", before >> 20, after >> 20);
    CHECK(after >= before);
    return 0;
}
