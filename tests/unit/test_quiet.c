/* test_quiet.c -- the message path makes no system call and allocates nothing.
 * labels: multiprocess
 *
 * Through the fabric, and through the bus over an agent's session. A child installs a seccomp
 * filter under which any call but exit kills it, and hands 100,000 messages on through every
 * structure. malloc and its kin are counted: ours stand in front of the C library's. */
#include "two_maps.h"

#include "agent_fixture.h"
#include "base/clock.h"
#include "tribus/bus.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ROUNDS 100000u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
static uint64_t allocations(void)
{
    return 0;
}
#else
static uint64_t allocated;

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t each);
extern void *__libc_realloc(void *old, size_t n);

void *malloc(size_t n)
{
    allocated++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t each)
{
    allocated++;
    return __libc_calloc(n, each);
}

void *realloc(void *old, size_t n)
{
    allocated++;
    return __libc_realloc(old, n);
}

static uint64_t allocations(void)
{
    return allocated;
}
#endif

typedef struct all {
    tribus_ring *w, *r, *latest_w, *latest_r;
    tribus_topic *tw, *tr;
    tribus_region *owner, *holder;
    tribus_lanes *lw, *lr;
    tribus_timeline_shm *t;
    tribus_counters *c;
} all;

static void open_all(all *a)
{
    const tribus_lanes_cfg lanes = {1, 1, 8, 64};
    tribus_region_cfg cfg = {.slot_bytes = 64, .slots = 4};
    const size_t ring = tribus_ring_bytes(8, 64), topic = tribus_topic_bytes(8, 64),
                 region = tribus_region_bytes(&cfg), lane = tribus_lanes_bytes(&lanes);
    two_maps m[7] = {two_maps_of(ring),
                     two_maps_of(ring),
                     two_maps_of(topic),
                     two_maps_of(region),
                     two_maps_of(lane),
                     two_maps_of(4096),
                     two_maps_of(TRIBUS_COUNTERS_BYTES)};

    CHECK(tribus_ring_create(m[0].a, ring, 8, 64) == TRIBUS_OK);
    CHECK(tribus_ring_open(m[0].a, ring, TRIBUS_WRITER, &a->w) == TRIBUS_OK);
    CHECK(tribus_ring_open(m[0].b, ring, TRIBUS_READER, &a->r) == TRIBUS_OK);
    CHECK(tribus_ring_create_flow(m[1].a, ring, 8, 64, TRIBUS_FLOW_OVERWRITE) == TRIBUS_OK);
    CHECK(tribus_ring_open(m[1].a, ring, TRIBUS_WRITER, &a->latest_w) == TRIBUS_OK);
    CHECK(tribus_ring_open(m[1].b, ring, TRIBUS_READER, &a->latest_r) == TRIBUS_OK);
    CHECK(tribus_topic_create(m[2].a, topic, 8, 64) == TRIBUS_OK);
    CHECK(tribus_topic_open(m[2].a, topic, TRIBUS_WRITER, 0, &a->tw) == TRIBUS_OK);
    CHECK(tribus_topic_open(m[2].b, topic, TRIBUS_READER, 0, &a->tr) == TRIBUS_OK);
    CHECK(tribus_region_create(m[3].a, region, &cfg, 1) == TRIBUS_OK);
    CHECK(tribus_region_open(m[3].a, region, TRIBUS_WRITER, 0, &a->owner) == TRIBUS_OK);
    CHECK(tribus_region_open(m[3].b, region, TRIBUS_READER, 0, &a->holder) == TRIBUS_OK);
    CHECK(tribus_lanes_create(m[4].a, lane, &lanes) == TRIBUS_OK);
    CHECK(tribus_lanes_open(m[4].a, lane, TRIBUS_WRITER, 0, &a->lw) == TRIBUS_OK);
    CHECK(tribus_lanes_open(m[4].b, lane, TRIBUS_READER, 0, &a->lr) == TRIBUS_OK);
    CHECK(tribus_timeline_create(m[5].a, 128, 0) == TRIBUS_OK);
    CHECK(tribus_timeline_open(m[5].a, 128, &a->t) == TRIBUS_OK);
    CHECK(tribus_counter_create(m[6].a, m[6].bytes, "quiet", &a->c) == TRIBUS_OK);
    tribus_ring_set_counters(a->w, a->c);
    tribus_region_set_counters(a->owner, a->c);
    tribus_topic_set_counters(a->tw, a->c);
}

static int through_ring(tribus_ring *w, tribus_ring *r, uint64_t i)
{
    const tribus_wait_cfg once = {.timeout_ns = 0};
    const void *seen;
    void *cell;

    if (tribus_ring_claim(w, &cell) != TRIBUS_OK)
        return 0;
    memcpy(cell, &i, sizeof(i));
    tribus_ring_commit(w);
    if (tribus_ring_wait(r, &once) != TRIBUS_OK ||
        tribus_ring_peek(r, &seen, NULL) != TRIBUS_OK || memcmp(seen, &i, sizeof(i)) != 0)
        return 0;
    tribus_ring_release(r);
    return tribus_ring_peek(r, &seen, NULL) == TRIBUS_EMPTY;
}

static int through_slot(const all *a, uint64_t i)
{
    tribus_slot_ref ref;
    const void *seen;
    void *mem;

    if (tribus_region_loan(a->owner, &ref, &mem) != TRIBUS_OK)
        return 0;
    memcpy(mem, &i, sizeof(i));
    return tribus_region_commit(a->owner, &ref, 1) == TRIBUS_OK &&
           tribus_region_receive(a->holder, &ref, &seen) == TRIBUS_OK &&
           memcmp(seen, &i, sizeof(i)) == 0 &&
           tribus_region_release(a->holder, &ref) == TRIBUS_OK;
}

static int one_round(const all *a, uint64_t i)
{
    tribus_ring *lane_w, *lane_r;
    unsigned char buf[64];
    uint32_t bytes;
    uint64_t lost;

    memcpy(tribus_topic_claim(a->tw), &i, sizeof(i));
    tribus_topic_commit(a->tw, sizeof(i));
    tribus_histogram_record(tribus_counter_latency(a->c), (int64_t)i);
    return through_ring(a->w, a->r, i) && through_ring(a->latest_w, a->latest_r, i) &&
           through_slot(a, i) &&
           tribus_topic_read(a->tr, buf, &bytes, &lost) == TRIBUS_OK &&
           tribus_topic_read(a->tr, buf, &bytes, &lost) == TRIBUS_EMPTY &&
           tribus_lanes_select(a->lw, TRIBUS_LANES_NEXT, &lane_w) == TRIBUS_OK &&
           tribus_lanes_select(a->lr, 0, &lane_r) == TRIBUS_OK &&
           through_ring(lane_w, lane_r, i) &&
           tribus_timeline_advance(a->t, (int64_t)i + 1) == TRIBUS_OK &&
           tribus_timeline_get(a->t) == (int64_t)i + 1;
}

/* From here on every system call but exit kills this process. A filter and not the strict
 * mode, which forbids to read the cycle counter, too. */
static uint64_t be_quiet(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]),
                                       .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
    return allocations();
}

static void end_quietly(uint64_t before, uint64_t failed)
{
    (void)syscall(SYS_exit, failed != 0 ? 2 : allocations() != before ? 3 : 0);
}

static void fabric_quietly(void)
{
    uint64_t before, failed = 0;
    all a;

    open_all(&a);
    before = be_quiet();
    for (uint64_t i = 0; i < ROUNDS; i++)
        failed += !one_round(&a, i);
    end_quietly(before, failed);
}

/* Some machines have no clock that can be read without the kernel. */
static void clock_quietly(void)
{
    const uint64_t before = be_quiet();

    end_quietly(before, tribus_now_ns() == 0 || tribus_now_wall_ns() == 0);
}

typedef struct bus_ends {
    tribus_session *session;
    tribus_bus *bus;
    tribus_subscription *sub;
    int64_t sent, got;
} bus_ends;

static int send_one(bus_ends *e)
{
    tribus_msg_price_update m;

    if (tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_PRICE_UPDATE) != TRIBUS_OK ||
        !tribus_wire_text_set(m.symbol, sizeof(m.symbol), "ABC"))
        return 0;
    m.price_e9 = e->sent++;
    return tribus_bus_publish(e->bus, &m.header) == TRIBUS_OK;
}

static int take_one(bus_ends *e)
{
    const tribus_msg_header *got;
    uint64_t lost;

    return tribus_bus_next(e->sub, &got, &lost) == TRIBUS_OK && lost == 0 &&
           ((const tribus_msg_price_update *)(const void *)got)->price_e9 == e->got++;
}

/* Both ends in this process, the topic made and joined. */
static bus_ends open_bus(void)
{
    const tribus_bus_filter filter = {.types = UINT64_C(1) << TRIBUS_MSG_PRICE_UPDATE};
    const tribus_bus_cfg cfg = {0};
    bus_ends e = {.session = fixture_session("quiet")};
    const tribus_msg_header *got;

    OK(tribus_bus_open(e.session, &cfg, &e.bus));
    OK(tribus_bus_subscribe(e.bus, &filter, &e.sub));
    CHECK(tribus_bus_next(e.sub, &got, NULL) == TRIBUS_EMPTY);
    CHECK(send_one(&e) && take_one(&e));
    return e;
}

/* Longer than the 20 ms between two looks whether the agent is there, several times. */
#define READ_EACH_NS INT64_C(200000)
#define READ_COUNT   500

static void read_bus_quietly(void)
{
    bus_ends e = open_bus();
    uint64_t before, failed = 0;

    for (int i = 0; i < READ_COUNT; i++)
        CHECK(send_one(&e));
    before = be_quiet();
    for (int i = 0; i < READ_COUNT; i++) {
        const int64_t until = tribus_now_ns() + READ_EACH_NS;

        failed += !take_one(&e);
        while (tribus_now_ns() < until)
            ;
    }
    end_quietly(before, failed);
}

/* A publisher looks after the agent itself, too: at a word that the kernel marks. */
static void publish_quietly(void)
{
    bus_ends e = open_bus();
    const int64_t until = tribus_now_ns() + SECOND_NS / 10;
    const uint64_t before = be_quiet();
    uint64_t failed = 0;

    while (e.sent < 10000 || tribus_now_ns() < until)
        failed += !send_one(&e) || !take_one(&e);
    end_quietly(before, failed);
}

/* How the child ended; nothing of it is left. */
static int run(void (*body)(void))
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        body();
    CHECK(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("this kernel has no seccomp");
    return status;
}

static void check_quiet(int status)
{
    CHECK(!WIFSIGNALED(status));     /* killed: there was a system call */
    CHECK(WEXITSTATUS(status) != 2); /* a message went wrong */
    CHECK(WEXITSTATUS(status) != 3); /* something was allocated */
    CHECK(WEXITSTATUS(status) == 0);
}

int main(void)
{
    tribus_agent *agent;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("the sanitizers make system calls of their own");
#endif
    check_quiet(run(fabric_quietly));
    if (WIFSIGNALED(run(clock_quietly))) {
        printf("skip: the bus: reading the clock enters the kernel here\n");
        return 0;
    }
    agent = fixture_agent((tribus_agent_cfg){0});
    check_quiet(run(read_bus_quietly));
    check_quiet(run(publish_quietly));
    tribus_agent_stop(agent);
    return 0;
}
