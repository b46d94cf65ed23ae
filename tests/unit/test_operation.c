/* test_operation.c -- operations of users: the example of examples/, built here with the
 * system's compiler, in a pipeline; and libraries that are none. */
#include "pipeline_fixture.h"

#include "pipeline/operation.h"

#include <unistd.h>

static char folder[] = "/tmp/tribus-operation-XXXXXX";

static bool build(const char *source, const char *out)
{
    char command[4096];

    (void)snprintf(
        command, sizeof(command),
        "cc -std=c11 -O2 -fPIC -shared '-I%s/include' -o '%s/%s' '%s' 2>/dev/null",
        TRIBUS_SOURCE_DIR, folder, out, source);
    return system(command) == 0;
}

static void write_file(const char *name, const char *text, char *path, size_t bytes)
{
    FILE *f;

    (void)snprintf(path, bytes, "%s/%s", folder, name);
    f = fopen(path, "w");
    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

#define PIPE(library)                                                                      \
    "pipeline: p\ninputs: [{name: x, dtype: f32, shape: [4]}]\nstages:\n"                  \
    "  - {name: s, domain: gpu, operation: " library ", params: {most: 2},\n"              \
    "     inputs: [{name: in, dtype: f32, shape: [4]}],\n"                                 \
    "     outputs: [{name: out, dtype: f32, shape: [4]}]}\n"                               \
    "edges: [{from: x, to: s.in}]\nresults: [s.out]\n"

static void example_runs_in_a_pipeline_and_its_reason_comes_with_the_result(void)
{
    char path[128];
    static const float numbers[4] = {1.0f, -5.0f, 2.5f, 0.0f};
    static const float want[4] = {1.0f, -2.0f, 2.0f, 0.0f};
    tribus_pipeline_cfg cfg = {.path = path, .successor_ns = FIXTURE_PATIENCE_NS};
    fixture_plan f;
    fixture_host host;
    tribus_pipeline_result r;
    tribus_tensor t;

    write_file("p.yaml", PIPE("clip.so"), path, sizeof(path));
    f = fixture_register(&cfg);
    fixture_host_start(&host, &f, 2, TRIBUS_DOMAIN_GPU);
    OK(tribus_pipeline_ready_wait(f.pipe, FIXTURE_PATIENCE_NS));
    for (int i = 0; i < 2; i++) {
        OK(tribus_pipeline_claim(f.pipe));
        OK(tribus_pipeline_input(f.pipe, 0, &t));
        memcpy(t.data, numbers, sizeof(numbers));
        if (i == 1)
            ((float *)t.data)[3] = NAN;
        OK(tribus_pipeline_submit(f.pipe, 0, NULL));
    }
    r = fixture_await(f.pipe);
    CHECK(r.status == TRIBUS_OK);
    OK(tribus_pipeline_result_tensor(f.pipe, r.run, 0, &t));
    CHECK(memcmp(t.data, want, sizeof(want)) == 0);
    r = fixture_await(f.pipe);
    CHECK(r.status == TRIBUS_BAD_DATA);
    CHECK_TEXT(r.stage, "s");
    CHECK_TEXT(r.text, "clip: in[3] is not a number");
    fixture_host_stop(&host);
    fixture_close(&f);
}

/* One of four runs that go together is bad: it fails by itself, with its own reason. */
static void run_at_fault_in_a_batch_is_found_and_the_others_go_on(void)
{
    static const char text[] =
        "pipeline: p\nruns: 8\ninputs: [{name: x, dtype: f32, shape: [16]}]\nstages:\n"
        "  - {name: s, domain: gpu, operation: clip.so, batch: 4, params: {most: 2},\n"
        "     inputs: [{name: in, dtype: f32, shape: [16]}],\n"
        "     outputs: [{name: out, dtype: f32, shape: [16]}]}\n"
        "edges: [{from: x, to: s.in}]\nresults: [s.out]\n";
    char path[128];
    const tribus_pipeline_cfg cfg = {.path = path, .successor_ns = FIXTURE_PATIENCE_NS};
    tribus_pipeline_stage_row row;
    fixture_plan f;
    fixture_host host;
    tribus_tensor t;

    write_file("p.yaml", text, path, sizeof(path));
    f = fixture_register(&cfg);
    for (int i = 1; i <= 4; i++) { /* before there is a host: they wait together */
        OK(tribus_pipeline_claim(f.pipe));
        OK(tribus_pipeline_input(f.pipe, 0, &t));
        for (int k = 0; k < 16; k++)
            ((float *)t.data)[k] = (float)i;
        if (i == 3)
            ((float *)t.data)[5] = NAN;
        OK(tribus_pipeline_submit(f.pipe, 0, NULL));
    }
    fixture_host_start(&host, &f, 2, TRIBUS_DOMAIN_GPU);
    for (uint64_t i = 1; i <= 4; i++) {
        const tribus_pipeline_result r = fixture_await(f.pipe);

        CHECK(r.run == i && r.status == (i == 3 ? TRIBUS_BAD_DATA : TRIBUS_OK));
        if (i == 3) {
            CHECK_TEXT(r.text, "clip: in[5] is not a number");
            continue;
        }
        OK(tribus_pipeline_result_tensor(f.pipe, i, 0, &t));
        CHECK(((const float *)t.data)[15] == (i == 1 ? 1.0f : 2.0f));
    }
    fixture_host_stop(&host);
    OK(tribus_pipeline_get_stage(f.pipe, 0, &row));
    CHECK(row.runs == 4 && row.calls == 5 && row.failed == 1); /* together, then each */
    fixture_close(&f);
}

static void library_that_is_none_is_refused_with_the_reason(void)
{
    static const struct {
        const char *source, *want;
    } bad[] = {
        {"int x;\n", "exports no `tribus_operation`"},
        {"#include \"tribus/operation.h\"\n"
         "const tribus_operation_entry tribus_operation = {.abi = 99};\n",
         "its table is not of version 2"},
    };
    char path[128], source[128];
    tribus_pipeline_cfg cfg = {.path = path};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fixture_plan f;
        fixture_host host;

        write_file("bad.c", bad[i].source, source, sizeof(source));
        CHECK(build(source, "bad.so"));
        write_file("p.yaml", PIPE("bad.so"), path, sizeof(path));
        f = fixture_register(&cfg);
        fixture_host_start(&host, &f, 2, TRIBUS_DOMAIN_GPU);
        CHECK(tribus_pipeline_ready_wait(f.pipe, FIXTURE_PATIENCE_NS) == TRIBUS_REFUSED);
        CHECK(strstr(tribus_error_text(), "p.yaml:4: stage s: ") != NULL);
        CHECK(strstr(tribus_error_text(), bad[i].want) != NULL);
        fixture_host_stop(&host);
        fixture_close(&f);
    }
}

int main(void)
{
    static const char *const files[] = {"p.yaml", "bad.c", "bad.so", "clip.so"};
    char path[160];
    int built;

    CHECK(mkdtemp(folder) != NULL);
    built = build(TRIBUS_SOURCE_DIR "/examples/operation_clip.c", "clip.so");
    if (built) {
        example_runs_in_a_pipeline_and_its_reason_comes_with_the_result();
        run_at_fault_in_a_batch_is_found_and_the_others_go_on();
        library_that_is_none_is_refused_with_the_reason();
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        (void)unlink(path);
    }
    CHECK(rmdir(folder) == 0);
    if (!built)
        SKIP("no compiler to build the example with");
    return 0;
}
