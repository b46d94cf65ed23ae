/* test_pipeline_answer.c -- pipelines from the wire: what the agent does with a request. */
#include "agent_fixture.h"

#include "pipeline/pipeline.h"
#include "pipeline/pipeline_answer.h"

static tribus_status ask(tribus_pipeline_answer *a, tribus_session *s, uint8_t operation,
                         const char *inputs, tribus_msg_hybrid_pipeline_coord *m)
{
    memset(m, 0, sizeof(*m));
    m->operation = operation;
    (void)snprintf(m->pipeline, sizeof(m->pipeline), "ml-risk");
    (void)snprintf(m->inputs, sizeof(m->inputs), "%s", inputs);
    return tribus_pipeline_answer_request(a, s, m, NULL);
}

/* Input i of a run, as hosts would read it. */
static const float *input_of(const tribus_pipeline *look, uint32_t i, uint64_t run)
{
    return tribus_plan_output(look->plan, 0, i, run);
}

static void start_writes_inputs_from_numbers_and_from_slots_of_a_region(void)
{
    enum { FLOATS = 8 * 32 };
    tribus_region_cfg cfg = {.slot_bytes = FLOATS * 4, .slots = 2};
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *session = fixture_session("wire"), *peer = fixture_session("peer");
    tribus_msg_hybrid_pipeline_coord m;
    tribus_pipeline_answer *answer;
    tribus_pipeline *look;
    tribus_region *region;
    tribus_object object;
    tribus_slot_ref ref;
    char inputs[104];
    void *mem;

    OK(tribus_session_create_object(peer, "region/returns", TRIBUS_OBJECT_REGION,
                                    tribus_region_bytes(&cfg), 0, &object, &mem));
    OK(tribus_region_create(mem, tribus_region_bytes(&cfg), &cfg, object.number));
    OK(tribus_region_open(mem, tribus_region_bytes(&cfg), TRIBUS_WRITER, 0, &region));
    OK(tribus_region_loan(region, &ref, &mem));
    for (int i = 0; i < FLOATS; i++)
        ((float *)mem)[i] = (float)i;
    OK(tribus_region_commit(region, &ref, (uint64_t)1 << TRIBUS_PIPELINE_ANSWER_HOLDER));

    OK(tribus_pipeline_answer_open(&answer));
    OK(ask(answer, session, TRIBUS_WIRE_PIPELINE_REGISTER, "", &m));
    (void)snprintf(inputs, sizeof(inputs), " returns=%u:%u:%llu  weights=0.125 ",
                   ref.region, ref.slot, (unsigned long long)ref.generation);
    OK(ask(answer, session, TRIBUS_WIRE_PIPELINE_START, inputs, &m));
    CHECK(m.run == 1);
    OK(tribus_pipeline_open(peer, "ml-risk", &look));
    CHECK(input_of(look, 0, 1)[0] == 0.0f && input_of(look, 0, 1)[255] == 255.0f);
    CHECK(input_of(look, 1, 1)[0] == 0.0f && input_of(look, 1, 1)[1023] == 0.0f);
    CHECK(input_of(look, 2, 1)[0] == 0.125f && input_of(look, 2, 1)[7] == 0.125f);
    CHECK(tribus_region_free_slots(region) == 2); /* given back */

    OK(ask(answer, session, TRIBUS_WIRE_PIPELINE_START, "history=-2", &m));
    CHECK(m.run == 2 && input_of(look, 1, 2)[5] == -2.0f &&
          input_of(look, 2, 2)[0] == 0.0f);

    CHECK(ask(answer, session, TRIBUS_WIRE_PIPELINE_START, inputs, &m) == TRIBUS_CORRUPT);
    CHECK(ask(answer, session, TRIBUS_WIRE_PIPELINE_START, "return=1", &m) ==
          TRIBUS_NOT_FOUND);
    CHECK(strstr(tribus_error_text(), "it has: returns history weights") != NULL);
    CHECK(ask(answer, session, TRIBUS_WIRE_PIPELINE_START, "returns=9:0", &m) ==
          TRIBUS_BAD_ARG);
    CHECK(ask(answer, session, TRIBUS_WIRE_PIPELINE_START, "returns=9999:0:1", &m) ==
          TRIBUS_NOT_FOUND);
    CHECK_TEXT(tribus_error_text(), "inputs: there is no region 9999");
    CHECK(ask(answer, session, TRIBUS_WIRE_PIPELINE_START, "returns", &m) ==
          TRIBUS_BAD_ARG);
    CHECK_TEXT(tribus_error_text(), "inputs: returns: input=value is wanted");
    CHECK(ask(answer, session, TRIBUS_WIRE_PIPELINE_START, "returns=much", &m) ==
          TRIBUS_BAD_ARG);
    CHECK_TEXT(tribus_error_text(),
               "inputs: returns=much: a number, or region:slot:generation, is wanted");
    OK(ask(answer, session, TRIBUS_WIRE_PIPELINE_REPORT, "", &m));
    CHECK(m.runs_in_flight == 2); /* nothing that was refused was begun */
    tribus_pipeline_close(look);
    OK(tribus_pipeline_answer_request(answer, session, NULL, NULL));
    tribus_pipeline_answer_close(answer);
    tribus_region_close(region);
    tribus_session_close(peer);
    tribus_session_close(session);
    tribus_agent_stop(agent);
}

/* ---- a pipeline's text in the request ---- */

#define SMALL                                                                              \
    "runs: 2\\ninputs: [{name: x, dtype: f32, shape: [4]}]\\nstages:\\n"                   \
    "  - {name: s, domain: neural, operation: %s, inputs: [{name: in, dtype: f32, "        \
    "shape: [4]}], outputs: [{name: out, dtype: f32, shape: [4]}]}\\nedges: "              \
    "[{from: %s, to: s.in}]\\nresults: [s.out]\\n"

static tribus_status define(tribus_pipeline_answer *a, tribus_session *s,
                            const char *operation, const char *from,
                            tribus_msg_hybrid_pipeline_coord *m)
{
    char members[1024];

    memset(m, 0, sizeof(*m));
    m->operation = TRIBUS_WIRE_PIPELINE_REGISTER;
    (void)snprintf(m->pipeline, sizeof(m->pipeline), "mine");
    (void)snprintf(members, sizeof(members),
                   "\"other\":1,\"definition\":\"pipeline: told\\n" SMALL "\"", operation,
                   from);
    return tribus_pipeline_answer_request(a, s, m, members);
}

static void register_takes_the_text_of_a_file_and_names_line_and_stage(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *session = fixture_session("wire");
    tribus_msg_hybrid_pipeline_coord m;
    tribus_pipeline_answer *answer;
    tribus_pipeline *look;

    OK(tribus_pipeline_answer_open(&answer));
    OK(define(answer, session, "affine", "x", &m));
    OK(tribus_pipeline_open(session, "mine", &look));
    CHECK(look->plan->graph->node_count == 3);
    tribus_pipeline_close(look);
    CHECK(define(answer, session, "affine", "x", &m) == TRIBUS_EXISTS);
    m.operation = TRIBUS_WIRE_PIPELINE_STOP;
    OK(tribus_pipeline_answer_request(answer, session, &m, NULL));

    CHECK(define(answer, session, "afine", "x", &m) == TRIBUS_BAD_DATA);
    CHECK(strncmp(tribus_error_text(), "mine:5: stage s: operation `afine`", 34) == 0);
    CHECK(define(answer, session, "affine", "y", &m) == TRIBUS_BAD_DATA);
    CHECK(strncmp(tribus_error_text(), "mine:6: ", 8) == 0);

    /* no code, and no file, of the sender's choice */
    CHECK(define(answer, session, "/tmp/evil.so", "x", &m) != TRIBUS_OK);
    CHECK(define(answer, session, "evil.so", "x", &m) != TRIBUS_OK);
    CHECK(define(answer, session, "../models/../evil.onnx", "x", &m) != TRIBUS_OK);
    CHECK(define(answer, session, "/etc/passwd", "x", &m) != TRIBUS_OK);

    memset(&m, 0, sizeof(m));
    m.operation = TRIBUS_WIRE_PIPELINE_REGISTER;
    (void)snprintf(m.pipeline, sizeof(m.pipeline), "object");
    CHECK(tribus_pipeline_answer_request(answer, session, &m, "\"definition\":7") ==
          TRIBUS_BAD_DATA);
    CHECK_TEXT(tribus_error_text(), "definition: text or an object is wanted");
    OK(tribus_pipeline_answer_request(
        answer, session, &m,
        "\"definition\":{\"pipeline\":\"o\",\"inputs\":[{\"name\":\"x\",\"dtype\":\"f32\","
        "\"shape\":[4]}],\"stages\":[{\"name\":\"s\",\"domain\":\"gpu\",\"operation\":"
        "\"copy\",\"inputs\":[{\"name\":\"in\",\"dtype\":\"f32\",\"shape\":[4]}],"
        "\"outputs\":[{\"name\":\"out\",\"dtype\":\"f32\",\"shape\":[4]}]}],"
        "\"edges\":[{\"from\":\"x\",\"to\":\"s.in\"}],\"results\":[\"s.out\"]}"));
    (void)snprintf(m.pipeline, sizeof(m.pipeline), "long");
    (void)snprintf(m.text, sizeof(m.text), "definition: 4000 bytes, 3000 are possible");
    CHECK(tribus_pipeline_answer_request(answer, session, &m, NULL) == TRIBUS_BAD_ARG);
    CHECK_TEXT(tribus_error_text(), "definition: 4000 bytes, 3000 are possible");

    OK(tribus_pipeline_answer_request(answer, session, NULL, NULL));
    tribus_pipeline_answer_close(answer);
    tribus_session_close(session);
    tribus_agent_stop(agent);
}

int main(void)
{
    CHECK(setenv("TRIBUS_SHARE", TRIBUS_SOURCE_DIR, 1) == 0); /* where pipelines/ is */
    start_writes_inputs_from_numbers_and_from_slots_of_a_region();
    register_takes_the_text_of_a_file_and_names_line_and_stage();
    return 0;
}
