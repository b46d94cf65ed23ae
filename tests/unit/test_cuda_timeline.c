/* test_cuda_timeline.c -- timelines between streams and the CPU on the fake driver: order,
 * the rule of publication, deadlines, poison that stays. */
#include "base/clock.h"
#include "device/cuda_timeline.h"
#include "device/cuda_watch.h"
#include "fake_card.h"
#include "tribus/base.h"

#include <stdlib.h>

#define LONG_NS INT64_C(10000000000)

static const tribus_wait_cfg patient = {.timeout_ns = LONG_NS};

static tribus_cuda_context *context_of_fake(void)
{
    tribus_cuda_context *c = NULL;

    CHECK(tribus_cuda_context_open(0, &c) == TRIBUS_OK);
    return c;
}

static tribus_cuda_timeline host_timeline(tribus_cuda_context *c, tribus_timeline_shm **shm)
{
    tribus_cuda_timeline t;
    void *mem = NULL;

    (void)c;
    CHECK(posix_memalign(&mem, 64, TRIBUS_TIMELINE_BYTES) == 0);
    CHECK(tribus_timeline_create(mem, TRIBUS_TIMELINE_BYTES, 0) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_of_host(mem, mem, &t) == TRIBUS_OK);
    *shm = t.host;
    return t;
}

static void of_host_when_there_is_no_timeline_is_corrupt(void)
{
    _Alignas(64) unsigned char mem[128] = {0};
    tribus_cuda_timeline t;

    CHECK(tribus_cuda_timeline_of_host(mem, mem, &t) == TRIBUS_CORRUPT);
}

static void streams_hand_over_through_a_timeline(void)
{
    tribus_cuda_context *c = context_of_fake();
    tribus_timeline_shm *ping_shm, *pong_shm;
    tribus_cuda_timeline ping = host_timeline(c, &ping_shm);
    tribus_cuda_timeline pong = host_timeline(c, &pong_shm);
    tribus_cuda_stream other;

    CHECK(tribus_cuda_stream_open(c, &other) == TRIBUS_OK);
    for (int64_t i = 1; i <= 20; i++) {
        CHECK(tribus_cuda_timeline_wait(&other, &ping, i, LONG_NS) == TRIBUS_OK);
        CHECK(tribus_cuda_timeline_advance(&other, &pong, i) == TRIBUS_OK);
    }
    CHECK(tribus_timeline_get(pong_shm) == 0);
    for (int64_t i = 1; i <= 20; i++) {
        CHECK(tribus_cuda_timeline_advance(&c->main, &ping, i) == TRIBUS_OK);
        CHECK(tribus_timeline_wait(pong_shm, i, &patient) == TRIBUS_OK);
        CHECK(tribus_timeline_get(pong_shm) == i);
    }
    /* The CPU as the waker of a stream. */
    CHECK(tribus_cuda_timeline_wait(&other, &ping, 21, LONG_NS) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_advance(&other, &pong, 21) == TRIBUS_OK);
    CHECK(tribus_timeline_advance(ping_shm, 21) == TRIBUS_OK);
    CHECK(tribus_timeline_wait(pong_shm, 21, &patient) == TRIBUS_OK);
    CHECK(tribus_cuda_watch_late(c) == 0);
    tribus_cuda_stream_close(&other);
    tribus_cuda_context_close(c);
    free(ping_shm);
    free(pong_shm);
}

typedef struct seen {
    tribus_ring *reader;
    int writes, visible_before;
} seen;

/* While the write is being queued, nobody may see the descriptor. */
static void look_at_ring(const char *symbol, void *context)
{
    seen *s = context;
    const void *cell;

    if (strcmp(symbol, "cuStreamWriteValue64_v2") != 0)
        return;
    s->writes++;
    if (tribus_ring_peek(s->reader, &cell, NULL) != TRIBUS_EMPTY)
        s->visible_before++;
}

static void descriptor_is_visible_only_after_its_write_is_queued(const fake_ops *fake)
{
    tribus_cuda_context *c = context_of_fake();
    tribus_timeline_shm *shm;
    tribus_cuda_timeline t = host_timeline(c, &shm);
    const size_t bytes = tribus_ring_bytes(4, 64);
    tribus_ring *writer;
    void *mem = NULL, *cell;
    const void *got;
    seen s = {0};

    CHECK(posix_memalign(&mem, 64, bytes) == 0);
    CHECK(tribus_ring_create(mem, bytes, 4, 64) == TRIBUS_OK);
    CHECK(tribus_ring_open(mem, bytes, TRIBUS_WRITER, &writer) == TRIBUS_OK);
    CHECK(tribus_ring_open(mem, bytes, TRIBUS_READER, &s.reader) == TRIBUS_OK);
    fake->hook(look_at_ring, &s);
    CHECK(tribus_ring_claim(writer, &cell) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_publish(&c->main, &t, 1, writer) == TRIBUS_OK);
    CHECK(s.writes == 1 && s.visible_before == 0);
    CHECK(tribus_ring_peek(s.reader, &got, NULL) == TRIBUS_OK);
    tribus_ring_release(s.reader);
    CHECK(tribus_timeline_wait(shm, 1, &patient) == TRIBUS_OK);

    /* A write that cannot be queued: the descriptor stays hidden. */
    fake->fail("cuStreamWriteValue64_v2", 1, 719);
    CHECK(tribus_ring_claim(writer, &cell) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_publish(&c->main, &t, 2, writer) == TRIBUS_SYSTEM);
    CHECK(tribus_ring_peek(s.reader, &got, NULL) == TRIBUS_EMPTY);
    CHECK(tribus_cuda_timeline_publish(&c->main, &t, 2, writer) == TRIBUS_OK);
    CHECK(tribus_ring_peek(s.reader, &got, NULL) == TRIBUS_OK);
    fake->reset();
    tribus_ring_close(writer);
    tribus_ring_close(s.reader);
    tribus_cuda_context_close(c);
    free(mem);
    free(shm);
}

static void wait_past_its_deadline_is_poisoned_and_completes(void)
{
    tribus_cuda_context *c = context_of_fake();
    tribus_timeline_shm *shm;
    tribus_cuda_timeline t = host_timeline(c, &shm);

    CHECK(tribus_cuda_timeline_wait(&c->main, &t, 1, -1) == TRIBUS_BAD_ARG);
    CHECK(tribus_cuda_timeline_wait(&c->main, &t, 1, 2000000) == TRIBUS_OK);
    CHECK(tribus_cuda_stream_wait(&c->main, LONG_NS) == TRIBUS_OK);
    CHECK(tribus_timeline_get(shm) == TRIBUS_TIMELINE_POISON);
    CHECK(tribus_cuda_watch_late(c) == 1);
    /* A write that was queued before comes late: the poison stays, for the CPU at once and
     * for streams soon. */
    CHECK(tribus_cuda_timeline_advance(&c->main, &t, 1) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_wait(&c->main, &t, 1000, LONG_NS) == TRIBUS_OK);
    CHECK(tribus_timeline_wait(shm, 1, &patient) == TRIBUS_POISONED);
    CHECK(tribus_cuda_stream_wait(&c->main, LONG_NS) == TRIBUS_OK);
    CHECK(tribus_timeline_advance(shm, 5) == TRIBUS_POISONED);
    tribus_cuda_timeline_forget(c, &t);
    tribus_cuda_context_close(c);
    free(shm);
}

static void guard_of_a_wait_that_was_met_poisons_nothing(void)
{
    tribus_cuda_context *c = context_of_fake();
    tribus_timeline_shm *shm;
    tribus_cuda_timeline t = host_timeline(c, &shm);
    const int64_t until_ns = tribus_now_ns() + 30000000;

    for (int64_t i = 1; i <= 100; i++)
        CHECK(tribus_cuda_timeline_wait(&c->main, &t, i, 5000000 + 100000 * i) ==
              TRIBUS_OK);
    CHECK(tribus_timeline_advance(shm, 100) == TRIBUS_OK);
    CHECK(tribus_cuda_stream_wait(&c->main, LONG_NS) == TRIBUS_OK);
    while (tribus_now_ns() < until_ns)
        tribus_relax();
    CHECK(tribus_timeline_get(shm) == 100 && tribus_cuda_watch_late(c) == 0);
    tribus_cuda_context_close(c);
    free(shm);
}

static void timelines_in_memory_of_the_card_work_the_same(const fake_ops *fake)
{
    tribus_cuda_context *c = context_of_fake();
    tribus_device_memory mem;
    tribus_cuda_timeline t, again, bad;
    tribus_cuda_stream other;
    int64_t value = -1;
    int fd = -1;

    CHECK(tribus_device_memory_create(&c->base, "t", 4096, &fd, &mem) == TRIBUS_OK);
    CHECK(tribus_cuda_stream_open(c, &other) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_of_card(c, mem.data, false, 0, &t) == TRIBUS_CORRUPT);
    CHECK(tribus_cuda_timeline_of_card(c, mem.data, true, 7, &t) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_of_card(c, mem.data, false, 0, &again) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_of_card(c, (char *)mem.data + 8, true, 7, &bad) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_cuda_timeline_get(c, &again, &value) == TRIBUS_OK && value == 7);
    CHECK(tribus_cuda_timeline_wait(&other, &again, 8, LONG_NS) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_advance(&c->main, &t, 8) == TRIBUS_OK);
    CHECK(tribus_cuda_stream_wait(&other, LONG_NS) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_get(c, &t, &value) == TRIBUS_OK && value == 8);
    CHECK(tribus_cuda_timeline_wait(&other, &t, 9, 2000000) == TRIBUS_OK);
    CHECK(tribus_cuda_stream_wait(&other, LONG_NS) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_get(c, &t, &value) == TRIBUS_OK);
    CHECK(value == TRIBUS_TIMELINE_POISON && tribus_cuda_watch_late(c) == 1);
    CHECK(tribus_cuda_timeline_advance(&c->main, &t, 9) == TRIBUS_OK);
    CHECK(tribus_cuda_stream_wait(&c->main, LONG_NS) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_get(c, &t, &value) == TRIBUS_OK);
    CHECK(value == TRIBUS_TIMELINE_POISON);
    tribus_cuda_timeline_forget(c, &t);
    tribus_cuda_stream_close(&other);
    tribus_device_memory_close(&c->base, &mem);
    tribus_cuda_context_close(c);
    CHECK(fake->live() == 0);
}

static void poison_completes_every_wait_now(const fake_ops *fake)
{
    tribus_cuda_context *c = context_of_fake();
    tribus_timeline_shm *shm;
    tribus_cuda_timeline t = host_timeline(c, &shm);
    tribus_cuda_stream streams[3];

    for (int i = 0; i < 3; i++) {
        CHECK(tribus_cuda_stream_open(c, &streams[i]) == TRIBUS_OK);
        CHECK(tribus_cuda_timeline_wait(&streams[i], &t, 10 + i, LONG_NS) == TRIBUS_OK);
    }
    CHECK(tribus_cuda_timeline_poison(c, &t) == TRIBUS_OK);
    CHECK(tribus_timeline_get(shm) == TRIBUS_TIMELINE_POISON);
    for (int i = 0; i < 3; i++) {
        CHECK(tribus_cuda_stream_wait(&streams[i], LONG_NS) == TRIBUS_OK);
        tribus_cuda_stream_close(&streams[i]);
    }
    tribus_cuda_context_close(c);
    CHECK(fake->live() == 0);
    free(shm);
}

static void stream_says_full_before_the_driver_would_block(void)
{
    tribus_cuda_context *c = context_of_fake();
    tribus_timeline_shm *gate_shm, *out_shm;
    tribus_cuda_timeline gate = host_timeline(c, &gate_shm);
    tribus_cuda_timeline out = host_timeline(c, &out_shm);
    int64_t queued = 0;
    tribus_status st;

    CHECK(tribus_cuda_timeline_wait(&c->main, &gate, 1, LONG_NS) == TRIBUS_OK);
    while ((st = tribus_cuda_timeline_advance(&c->main, &out, queued + 1)) == TRIBUS_OK) {
        queued++;
        CHECK(queued < 1000);
    }
    CHECK(st == TRIBUS_FULL);
    CHECK(queued >= (int64_t)TRIBUS_CUDA_QUEUE_OPERATIONS / 2);
    CHECK(tribus_timeline_advance(gate_shm, 1) == TRIBUS_OK);
    CHECK(tribus_timeline_wait(out_shm, queued, &patient) == TRIBUS_OK);
    CHECK(tribus_cuda_stream_wait(&c->main, LONG_NS) == TRIBUS_OK);
    CHECK(tribus_cuda_timeline_advance(&c->main, &out, queued + 1) == TRIBUS_OK);
    CHECK(tribus_cuda_stream_claim(&c->main, 65) == TRIBUS_BAD_ARG);
    tribus_cuda_context_close(c);
    free(gate_shm);
    free(out_shm);
}

static void values_that_are_none_are_refused(void)
{
    tribus_cuda_context *c = context_of_fake();
    tribus_timeline_shm *shm;
    tribus_cuda_timeline t = host_timeline(c, &shm);

    CHECK(tribus_cuda_timeline_advance(&c->main, &t, -1) == TRIBUS_BAD_ARG);
    CHECK(tribus_cuda_timeline_advance(&c->main, &t, TRIBUS_TIMELINE_POISON) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_cuda_timeline_wait(&c->main, &t, -1, 0) == TRIBUS_BAD_ARG);
    tribus_cuda_context_close(c);
    free(shm);
}

int main(void)
{
    const fake_ops *fake = fake_card();

    of_host_when_there_is_no_timeline_is_corrupt();
    streams_hand_over_through_a_timeline();
    descriptor_is_visible_only_after_its_write_is_queued(fake);
    wait_past_its_deadline_is_poisoned_and_completes();
    guard_of_a_wait_that_was_met_poisons_nothing();
    timelines_in_memory_of_the_card_work_the_same(fake);
    poison_completes_every_wait_now(fake);
    stream_says_full_before_the_driver_would_block();
    values_that_are_none_are_refused();
    return 0;
}
