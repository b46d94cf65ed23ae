/* test_bridge_answer.c -- coordination messages of local processes while no server of their
 * bus is there. labels: bus
 * timeout: 240 */
#include "bus_fixture.h"

#include "base/atomic.h"
#include "pipeline/pipeline_answer.h"

static tribus_subscription *replies;

static tribus_bridge *start_without_server(tribus_pipeline_answer *pipelines)
{
    const tribus_bridge_cfg cfg = {
        .socket_path = socket_path,
        .servers = {{.off = true}, {.off = true}, {.port = free_port()}},
        .pipeline = tribus_pipeline_answer_request,
        .tensor = tribus_pipeline_answer_tensor,
        .result = tribus_pipeline_answer_result,
        .pipeline_context = pipelines,
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

/* ---- tensors ---- */

static const char pipeline_text[] =
    "pipeline: turn\n"
    "inputs: [{name: x, dtype: f32, shape: [4]}, {name: y, dtype: f32, shape: [4]}]\n"
    "stages:\n"
    "  - {name: scale, domain: gpu, operation: affine, params: {scale: 2},\n"
    "     inputs: [{name: in, dtype: f32, shape: [4]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [4]}]}\n"
    "  - {name: both, domain: gpu, operation: sum,\n"
    "     inputs: [{name: l, dtype: f32, shape: [4]}, {name: r, dtype: f32, shape: [4]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [4]}]}\n"
    "  - {name: shift, domain: neural, operation: affine, params: {scale: 1, offset: "
    "100},\n"
    "     inputs: [{name: in, dtype: f32, shape: [4]}],\n"
    "     outputs: [{name: out, dtype: f32, shape: [4]}]}\n"
    "edges: [{from: x, to: scale.in}, {from: x, to: shift.in}, {from: x, to: both.l},\n"
    "        {from: y, to: both.r}]\n"
    "results: [%s]\n";

static char share[64];

/* A folder of the platform's files with two pipelines: one result each. */
static void make_share(void)
{
    const char *names[] = {"doubled", "shifted", "added"};
    const char *results[] = {"scale.out", "shift.out", "both.out"};
    char path[128], text[2048];

    (void)snprintf(share, sizeof(share), "/tmp/tribus-test-XXXXXX");
    CHECK(mkdtemp(share) != NULL);
    (void)snprintf(path, sizeof(path), "%s/pipelines", share);
    CHECK(mkdir(path, 0700) == 0);
    for (int i = 0; i < 3; i++) {
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s/pipelines/%s.yaml", share, names[i]);
        f = fopen(path, "w");
        CHECK(f != NULL);
        (void)snprintf(text, sizeof(text), pipeline_text, results[i]);
        CHECK(fputs(text, f) >= 0 && fclose(f) == 0);
    }
    CHECK(setenv("TRIBUS_SHARE", share, 1) == 0);
}

static void remove_share(void)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf %s", share);
    CHECK(system(command) == 0);
}

static _Atomic(uint32_t) host_stop;

static int host_stopped(void *context)
{
    (void)context;
    return (int)tribus_load_acq(&host_stop);
}

static void *host_main(void *context)
{
    const tribus_host_cfg cfg = {.stopped = host_stopped};

    CHECK(tribus_host_run(context, &cfg) == TRIBUS_OK);
    return NULL;
}

static tribus_msg_hybrid_pipeline_coord coordinate(bus_end *e, uint32_t operation,
                                                   const char *name)
{
    tribus_msg_hybrid_pipeline_coord m;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_HYBRID_PIPELINE_COORD) == TRIBUS_OK);
    m.phase = TRIBUS_WIRE_PHASE_REQUEST;
    m.operation = operation;
    CHECK(tribus_wire_text_set(m.pipeline, sizeof(m.pipeline), name));
    call(e, &m.header);
    return m;
}

/* A region of a local process, two slots of four floats. */
static tribus_region *slots;   /* its owner's */
static tribus_region *outside; /* what the agent sees: holder 61 */
static tribus_object slots_object;

static void open_slots(bus_end *e)
{
    tribus_region_cfg cfg = {.slot_bytes = 64, .slots = 2};
    const size_t bytes = tribus_region_bytes(&cfg);
    void *mem;

    CHECK(tribus_session_create_object(e->session, "region/given", TRIBUS_OBJECT_REGION,
                                       bytes, 0, &slots_object, &mem) == TRIBUS_OK);
    CHECK(tribus_region_create(mem, bytes, &cfg, slots_object.number) == TRIBUS_OK);
    CHECK(tribus_region_open(mem, bytes, TRIBUS_WRITER, 0, &slots) == TRIBUS_OK);
    CHECK(tribus_region_open(mem, bytes, TRIBUS_READER, TRIBUS_BRIDGE_HOLDER, &outside) ==
          TRIBUS_OK);
}

/* Commit first, first + 1, ... to the agent. */
static tribus_slot_ref give(float first)
{
    tribus_slot_ref ref;
    void *mem;

    CHECK(tribus_region_loan(slots, &ref, &mem) == TRIBUS_OK);
    for (int i = 0; i < 4; i++)
        ((float *)mem)[i] = first + (float)i;
    CHECK(tribus_region_commit(slots, &ref, UINT64_C(1) << TRIBUS_BRIDGE_HOLDER) ==
          TRIBUS_OK);
    return ref;
}

static void take(const tribus_msg_neural_to_gpu_compute *m, float want[4])
{
    const tribus_slot_ref ref = {.region = m->region,
                                 .slot = m->slot,
                                 .generation = m->generation,
                                 .offset = m->offset_bytes,
                                 .bytes = 16};
    const void *mem;

    CHECK(tribus_region_receive(outside, &ref, &mem) == TRIBUS_OK);
    memcpy(want, mem, 16);
    CHECK(tribus_region_release(outside, &ref) == TRIBUS_OK);
}

/* Both types have the same fields at the same places; tribus_msg_any is as long as either. */
static tribus_msg_neural_to_gpu_compute tensor(uint32_t type, const char *pipeline,
                                               const char *operation,
                                               const tribus_slot_ref *ref)
{
    tribus_msg_neural_to_gpu_compute m;

    CHECK(tribus_wire_init(&m, sizeof(m), type) == TRIBUS_OK);
    m.phase = TRIBUS_WIRE_PHASE_REQUEST;
    CHECK(tribus_wire_text_set(m.pipeline, sizeof(m.pipeline), pipeline));
    CHECK(tribus_wire_text_set(m.operation, sizeof(m.operation), operation));
    m.region = ref->region;
    m.slot = ref->slot;
    m.generation = ref->generation;
    m.rank = 1;
    m.shape[0] = 4;
    m.dtype = TRIBUS_WIRE_DTYPE_FLOAT32;
    return m;
}

static void a_tensor_is_computed_with_and_refined_slot_by_slot(bus_end *e)
{
    const tribus_slot_ref ref = give(1);
    tribus_msg_neural_to_gpu_compute m =
        tensor(TRIBUS_MSG_NEURAL_TO_GPU_COMPUTE, "doubled", "scale", &ref);
    tribus_slot_ref result;
    float got[4];

    call(e, &m.header);
    CHECK_TEXT(m.text, "");
    CHECK(m.phase == TRIBUS_WIRE_PHASE_REPLY && m.run == 1 && m.region == ref.region);
    CHECK(m.rank == 1 && m.shape[0] == 4 && m.dtype == TRIBUS_WIRE_DTYPE_FLOAT32);
    result =
        (tribus_slot_ref){.region = m.region, .slot = m.slot, .generation = m.generation};
    m = tensor(TRIBUS_MSG_GPU_TO_NEURAL_REFINE, "shifted", "shift", &result);
    call(e, &m.header);
    CHECK_TEXT(m.text, "");
    CHECK(m.phase == TRIBUS_WIRE_PHASE_REPLY && m.run == 1);
    CHECK(m.header.type == TRIBUS_MSG_GPU_TO_NEURAL_REFINE);
    CHECK(tribus_region_free_slots(slots) == 1); /* the result's is the only one held */
    take(&m, got);
    for (int i = 0; i < 4; i++)
        CHECK(got[i] == 2.0f * (float)(i + 1) + 100.0f);
}

static void refused(bus_end *e, tribus_msg_neural_to_gpu_compute m, const char *why)
{
    call(e, &m.header);
    CHECK(m.phase == TRIBUS_WIRE_PHASE_ERROR);
    if (strstr(m.text, why) != m.text)
        fprintf(stderr, "%s, not %s\n", m.text, why);
    CHECK(strstr(m.text, why) == m.text);
}

static void what_is_wrong_is_named_and_the_slot_stays(bus_end *e)
{
    const uint32_t compute = TRIBUS_MSG_NEURAL_TO_GPU_COMPUTE;
    const tribus_slot_ref ref = give(1);
    const tribus_msg_neural_to_gpu_compute good = tensor(compute, "doubled", "scale", &ref);
    tribus_msg_neural_to_gpu_compute m = good;
    float got[4];
    char text[96];

    m.region = 100000;
    refused(e, m, "there is no region 100000");
    m = good;
    m.slot = 2;
    (void)snprintf(text, sizeof(text), "slot: 2: region %u has 2 slots", ref.region);
    refused(e, m, text);
    m = good;
    m.generation++;
    (void)snprintf(text, sizeof(text), "generation: %llu: not what holder 61 has",
                   (unsigned long long)m.generation);
    refused(e, m, text);
    m = good;
    m.shape[0] = 8;
    refused(e, m, "shape: input x is f32[4], f32[8] came");
    m.shape[0] = 17;
    refused(e, m, "shape: 68 bytes at 0: a slot of region");
    m.shape[0] = -4;
    refused(e, m, "shape, dtype: a tensor of 1 to");
    m = good;
    m.offset_bytes = UINT64_MAX;
    refused(e, m, "shape: 16 bytes at 18446744073709551615");
    m = good;
    m.dtype = TRIBUS_WIRE_DTYPE_INT32;
    refused(e, m, "dtype: input x is f32[4], i32[4] came");
    m.dtype = TRIBUS_WIRE_DTYPE_NONE;
    refused(e, m, "shape, dtype: a tensor of 1 to");
    m = good;
    m.require_zero_copy = 1;
    refused(e, m, "require_zero_copy: ");
    refused(e, tensor(compute, "nonsense", "scale", &ref),
            "pipeline: nonsense was not registered from the wire");
    refused(e, tensor(compute, "doubled", "square", &ref),
            "operation: no gpu stage of doubled is or runs square");
    refused(e, tensor(compute, "doubled", "shift", &ref), /* a neural one */
            "operation: no gpu stage of doubled is or runs shift");
    refused(e, tensor(TRIBUS_MSG_GPU_TO_NEURAL_REFINE, "", "forecast", &ref),
            "model: no neural stage of a registered pipeline is or runs forecast");
    refused(e, tensor(compute, "", "scale", &ref), "pipeline: several have scale");
    refused(e, tensor(compute, "added", "both", &ref),
            "input: stage both reads x and y: name one");
    refused(e, tensor(compute, "", "fetch", &ref), "no redis server");
    refused(e, tensor(compute, "", "store", &ref),
            "region/given was not allocated from the wire");
    m = good; /* after all that the slot is there still */
    call(e, &m.header);
    CHECK(m.phase == TRIBUS_WIRE_PHASE_REPLY);
    take(&m, got);
    CHECK(got[0] == 2.0f && got[3] == 8.0f);
    refused(e, good, "generation: "); /* and then it was given back */
}

static void tensors_are_handed_over(bus_end *e)
{
    bus_end host = open_end("host", NULL);
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, host_main, host.session) == 0);
    open_slots(e);
    CHECK(coordinate(e, TRIBUS_WIRE_PIPELINE_REGISTER, "doubled").text[0] == '\0');
    CHECK(coordinate(e, TRIBUS_WIRE_PIPELINE_REGISTER, "shifted").text[0] == '\0');
    CHECK(coordinate(e, TRIBUS_WIRE_PIPELINE_REGISTER, "added").text[0] == '\0');
    a_tensor_is_computed_with_and_refined_slot_by_slot(e);
    what_is_wrong_is_named_and_the_slot_stays(e);
    CHECK(coordinate(e, TRIBUS_WIRE_PIPELINE_REPORT, "doubled").runs_done == 2);
    tribus_region_close(outside);
    tribus_region_close(slots);
    tribus_session_drop(e->session, &slots_object, 1);
    tribus_store_rel(&host_stop, 1u);
    CHECK(pthread_join(thread, NULL) == 0);
    close_end(&host);
}

int main(void)
{
    const tribus_bus_filter f = {.buses = 1u << TRIBUS_BUS_NEURAL_GPU, .without_own = 1};
    tribus_pipeline_answer *pipelines = NULL;
    tribus_bridge *bridge;
    bus_end e;

    start_platform(false);
    make_share();
    CHECK(tribus_pipeline_answer_open(&pipelines) == TRIBUS_OK);
    bridge = start_without_server(pipelines);
    e = open_end("asks", NULL);
    CHECK(tribus_bus_subscribe(e.bus, &f, &replies) == TRIBUS_OK);
    regions_are_made_and_outlive_a_resize_that_fails(&e);
    queues_of_too_large_slots_are_refused(&e);
    tensors_are_handed_over(&e);
    close_end(&e);
    tribus_bridge_stop(bridge);
    tribus_pipeline_answer_close(pipelines);
    stop_platform();
    remove_share();
    return 0;
}
