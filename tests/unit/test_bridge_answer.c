/* test_bridge_answer.c -- coordination messages of local processes while no server of their
 * bus is there. labels: bus
 * timeout: 240 */
#include "bus_fixture.h"

static tribus_subscription *replies;

static tribus_bridge *start_without_server(void)
{
    const tribus_bridge_cfg cfg = {
        .socket_path = socket_path,
        .servers = {{.off = true}, {.off = true}, {.port = free_port()}},
    };
    tribus_bridge *bridge = NULL;

    CHECK(tribus_bridge_start(&cfg, &bridge) == TRIBUS_OK);
    return bridge;
}

static uint64_t calls;

/* Publish a request under a number of its own, and copy the answer to it. The bridge listens
 * from its start on, so that nothing has to be waited for. */
static void call(bus_end *e, tribus_msg_header *m)
{
    const tribus_msg_header *answer = NULL;

    m->correlation = ++calls;
    CHECK(tribus_bus_publish(e->bus, m) == TRIBUS_OK);
    do
        CHECK(tribus_bus_next_wait(replies, &answer, NULL, &patient) == TRIBUS_OK);
    while (answer->type != m->type || answer->correlation != m->correlation);
    memcpy(m, answer, sizeof(*answer) + answer->body_bytes);
}

static tribus_msg_shared_memory_alloc memory(bus_end *e, uint32_t operation,
                                             uint64_t slot_bytes)
{
    tribus_msg_shared_memory_alloc m;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_SHARED_MEMORY_ALLOC) == TRIBUS_OK);
    m.phase = TRIBUS_WIRE_PHASE_REQUEST;
    m.operation = operation;
    CHECK(tribus_wire_text_set(m.name, sizeof(m.name), "forecasts"));
    m.slot_bytes = slot_bytes;
    m.slots = slot_bytes != 0 ? 4 : 0;
    call(e, &m.header);
    return m;
}

static void regions_are_made_and_outlive_a_resize_that_fails(bus_end *e)
{
    tribus_msg_shared_memory_alloc m = memory(e, TRIBUS_WIRE_MEMORY_ALLOCATE, 4096);

    CHECK(m.phase == TRIBUS_WIRE_PHASE_REPLY && m.slots == 4);
    m = memory(e, TRIBUS_WIRE_MEMORY_RESIZE, 1u << 30); /* 4 GiB, of 512 MiB */
    CHECK(m.phase == TRIBUS_WIRE_PHASE_ERROR);
    m = memory(e, TRIBUS_WIRE_MEMORY_DESCRIBE, 0);
    CHECK(m.phase == TRIBUS_WIRE_PHASE_REPLY && m.slots == 4 && m.slot_bytes == 4096);
    m = memory(e, TRIBUS_WIRE_MEMORY_RESIZE, 8192);
    CHECK(m.phase == TRIBUS_WIRE_PHASE_REPLY && m.slot_bytes == 8192);
    m = memory(e, TRIBUS_WIRE_MEMORY_FREE, 0);
    CHECK(m.phase == TRIBUS_WIRE_PHASE_REPLY);
    m = memory(e, TRIBUS_WIRE_MEMORY_DESCRIBE, 0);
    CHECK(m.phase == TRIBUS_WIRE_PHASE_ERROR);
}

static void queues_of_too_large_slots_are_refused(bus_end *e)
{
    const uint32_t sizes[] = {UINT32_MAX, UINT32_MAX - 70, UINT32_MAX - 8, 1u << 20, 56};

    for (int i = 0; i < 5; i++) {
        tribus_msg_compute_queue_sync m;

        CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_COMPUTE_QUEUE_SYNC) == TRIBUS_OK);
        m.phase = TRIBUS_WIRE_PHASE_REQUEST;
        m.operation = TRIBUS_WIRE_QUEUE_CREATE;
        CHECK(tribus_wire_text_set(m.queue, sizeof(m.queue), "work"));
        m.slots = 4;
        m.slot_bytes = sizes[i];
        call(e, &m.header);
        CHECK(m.phase == (i < 4 ? TRIBUS_WIRE_PHASE_ERROR : TRIBUS_WIRE_PHASE_REPLY));
    }
}

int main(void)
{
    const tribus_bus_filter f = {.buses = 1u << TRIBUS_BUS_NEURAL_GPU, .without_own = 1};
    tribus_bridge *bridge;
    bus_end e;

    start_platform(false);
    bridge = start_without_server();
    e = open_end("asks", NULL);
    CHECK(tribus_bus_subscribe(e.bus, &f, &replies) == TRIBUS_OK);
    regions_are_made_and_outlive_a_resize_that_fails(&e);
    queues_of_too_large_slots_are_refused(&e);
    close_end(&e);
    tribus_bridge_stop(bridge);
    stop_platform();
    return 0;
}
