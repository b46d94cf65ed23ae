/* fuzz_inputs.c -- what a request from the wire makes of a pipeline: the words that say what a
 * run reads, and the members that define a pipeline. An agent is there, so that words about
 * regions find one, and a slot that was committed to us; there are no hosts.
 *
 * The first byte chooses: even, `inputs` of a start; odd, members of a register, and of a tensor
 * that is handed over. Whatever comes is
 * refused with a text, or done; and afterwards a good request is still answered.
 */
#include "require.h"

#include "pipeline/pipeline.h"
#include "pipeline/pipeline_answer.h"
#include "tribus/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char definition[] =
    "\"definition\":\"pipeline: p\\nruns: 2\\ninputs: [{name: f, dtype: f32, shape: [4]}, "
    "{name: d, dtype: f64, shape: [3]}, {name: i, dtype: i32, shape: [2]}, "
    "{name: b, dtype: u8, shape: [16]}, {name: k, dtype: f32, shape: [4], keep: true}]\\n"
    "stages:\\n"
    "  - {name: s, domain: gpu, operation: sum, inputs: [{name: l, dtype: f32, shape: "
    "[4]}, "
    "{name: r, dtype: f32, shape: [4]}], outputs: [{name: o, dtype: f32, shape: [4]}]}\\n"
    "edges: [{from: f, to: s.l}, {from: k, to: s.r}]\\nresults: [s.o]\\n\"";

static char folder[] = "/tmp/tribus-fuzz-XXXXXX";
static char path[64];
static tribus_agent *agent;
static tribus_session *session;
static tribus_pipeline_answer *answer;

static tribus_status ask(uint8_t operation, const char *name, const char *inputs,
                         const char *members)
{
    tribus_msg_hybrid_pipeline_coord m;

    memset(&m, 0, sizeof(m));
    m.operation = operation;
    (void)snprintf(m.pipeline, sizeof(m.pipeline), "%s", name);
    (void)snprintf(m.inputs, sizeof(m.inputs), "%s", inputs);
    return tribus_pipeline_answer_request(answer, session, &m, members);
}

static void end(void)
{
    (void)tribus_pipeline_answer_request(answer, session, NULL, NULL);
    tribus_pipeline_answer_close(answer);
    tribus_session_close(session);
    tribus_agent_stop(agent);
    (void)rmdir(folder);
}

/* A region of four slots; slot 0 is committed to us anew before every input. */
static tribus_region *region;

static void offer_slot(void)
{
    tribus_slot_ref ref;
    void *mem;

    while (tribus_region_loan(region, &ref, &mem) == TRIBUS_OK)
        if (tribus_region_commit(region, &ref,
                                 (uint64_t)1 << TRIBUS_PIPELINE_ANSWER_HOLDER) != TRIBUS_OK)
            abort();
}

static void begin(void)
{
    static const tribus_agent_cfg cfg = {.socket_path = path, .requests_per_s = 100000000};
    static const tribus_session_cfg session_cfg = {
        .socket_path = path, .name = "wire", .role = "tool"};
    tribus_region_cfg region_cfg = {.slot_bytes = 64, .slots = 4};
    const size_t bytes = tribus_region_bytes(&region_cfg);
    tribus_object object;
    void *mem;

    if (agent != NULL)
        return;
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/agent.sock", folder);
    REQUIRE(setenv("TRIBUS_SHARE", TRIBUS_SOURCE_DIR, 1) == 0); /* where pipelines/ is */
    REQUIRE(tribus_agent_start(&cfg, &agent) == TRIBUS_OK);
    REQUIRE(tribus_session_open(&session_cfg, &session) == TRIBUS_OK);
    REQUIRE(tribus_session_create_object(session, "region/r", TRIBUS_OBJECT_REGION, bytes,
                                         0, &object, &mem) == TRIBUS_OK);
    REQUIRE(tribus_region_create(mem, bytes, &region_cfg, object.number) == TRIBUS_OK);
    REQUIRE(tribus_region_open(mem, bytes, TRIBUS_WRITER, 0, &region) == TRIBUS_OK);
    REQUIRE(tribus_pipeline_answer_open(&answer) == TRIBUS_OK);
    (void)atexit(end);
}

static void inputs_of(const char *text)
{
    char words[104];

    if (ask(TRIBUS_WIRE_PIPELINE_REGISTER, "p", "", definition) != TRIBUS_OK)
        REQUIRE(strstr(tribus_error_text(), "p is registered") != NULL);
    offer_slot();
    (void)snprintf(words, sizeof(words), "%s", text);
    if (ask(TRIBUS_WIRE_PIPELINE_START, "p", words, NULL) == TRIBUS_OK) /* none finishes */
        REQUIRE(ask(TRIBUS_WIRE_PIPELINE_STOP, "p", "", NULL) == TRIBUS_OK);
    else
        REQUIRE(tribus_error_text()[0] != '\0');
}

static tribus_status take(void *context, const void *bytes, uint64_t n)
{
    (void)context;
    (void)bytes;
    return n > 0 ? TRIBUS_OK : TRIBUS_BAD_ARG;
}

static void tensor_of(const char *text)
{
    static const float x[4] = {1, 2, 3, 4};
    tribus_msg_neural_to_gpu_compute m;
    uint32_t ticket = 0;

    REQUIRE(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_NEURAL_TO_GPU_COMPUTE) == TRIBUS_OK);
    (void)snprintf(m.operation, sizeof(m.operation), "sum");
    m.dtype = TRIBUS_WIRE_DTYPE_FLOAT32;
    m.rank = 1;
    m.shape[0] = 4;
    if (ask(TRIBUS_WIRE_PIPELINE_REGISTER, "p", "", definition) != TRIBUS_OK)
        REQUIRE(strstr(tribus_error_text(), "p is registered") != NULL);
    offer_slot();
    if (tribus_pipeline_answer_tensor(answer, session, &m, text, x, &ticket) != TRIBUS_OK) {
        REQUIRE(tribus_error_text()[0] != '\0');
        return;
    }
    REQUIRE(tribus_pipeline_answer_result(answer, ticket, &m, take, NULL) == TRIBUS_EMPTY);
    REQUIRE(ask(TRIBUS_WIRE_PIPELINE_STOP, "p", "", NULL) == TRIBUS_OK); /* none finishes */
    REQUIRE(tribus_pipeline_answer_result(answer, ticket, &m, take, NULL) ==
            TRIBUS_STOPPED);
}

static void members_of(const char *text)
{
    if (ask(TRIBUS_WIRE_PIPELINE_REGISTER, "q", "", text) == TRIBUS_OK) {
        if (ask(TRIBUS_WIRE_PIPELINE_START, "q", "", NULL) != TRIBUS_OK)
            REQUIRE(tribus_error_text()[0] != '\0');
        REQUIRE(ask(TRIBUS_WIRE_PIPELINE_STOP, "q", "", NULL) == TRIBUS_OK);
    } else {
        REQUIRE(tribus_error_text()[0] != '\0');
    }
    tensor_of(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size < 1 || size > 4096)
        return 0;
    begin();
    text = malloc(size);
    REQUIRE(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    tribus_error_clear();
    if ((data[0] & 1u) == 0)
        inputs_of(text);
    else
        members_of(text);
    free(text);
    return 0;
}
