#include "check.h"

#include "base/platform.h"

#include <unistd.h>

static void expect_fault(const char *yaml, const char *text)
{
    tribus_platform p, before;

    tribus_platform_init(&p);
    before = p;
    CHECK(tribus_platform_parse(&p, "p.yaml", yaml, strlen(yaml)) == TRIBUS_BAD_DATA);
    CHECK_TEXT(tribus_error_text(), text);
    CHECK(memcmp(&p, &before, sizeof(p)) == 0);
}

static void init_gives_every_setting_its_default(void)
{
    tribus_platform p;
    size_t n;
    const tribus_setting *s = tribus_platform_settings(&n);
    char text[600];

    tribus_platform_init(&p);
    CHECK(p.marketdata_bus.port == 6380 && p.engine_logic_bus.port == 6381);
    CHECK(p.neural_gpu_bus.port == 6382 && p.neural_gpu_bus.enabled);
    CHECK_TEXT(p.redis.program, "redis-server");
    for (size_t i = 0; i < n; i++) {
        const char *got = tribus_platform_get_text(&p, &s[i], text, sizeof(text));

        if (s[i].type == TRIBUS_SETTING_REAL)
            CHECK_NEAR(atof(got), atof(s[i].default_text), 1e-12);
        else
            CHECK_TEXT(got, s[i].default_text);
        CHECK(strlen(s[i].text) > 10);
    }
}

static void parse_overlays_only_the_keys_it_names(void)
{
    static const char yaml[] = "# a platform\n"
                               "marketdata_bus:\n"
                               "  port: 7380\n"
                               "  spawn: false\n"
                               "risk_engine: {var_limit: 0.25}\n"
                               "redis:\n"
                               "  program: /opt/valkey-server\n";
    tribus_platform p;

    tribus_platform_init(&p);
    CHECK(tribus_platform_parse(&p, "p.yaml", yaml, sizeof(yaml) - 1) == TRIBUS_OK);
    CHECK(p.marketdata_bus.port == 7380 && !p.marketdata_bus.spawn);
    CHECK(p.marketdata_bus.enabled && p.engine_logic_bus.port == 6381);
    CHECK_NEAR(p.risk_engine.var_limit, 0.25, 1e-6);
    CHECK_TEXT(p.redis.program, "/opt/valkey-server");
    CHECK(tribus_platform_parse(&p, "p.yaml", "", 0) == TRIBUS_OK);
}

static void parse_when_key_is_unknown_names_file_line_and_key(void)
{
    expect_fault("agent:\n  memory_mib: 9\n  colour: red\n",
                 "p.yaml:3: agent: Unexpected key: colour");
    expect_fault("agnt:\n  memory_mib: 9\n", "p.yaml:1: Unexpected key: agnt");
}

static void parse_when_type_is_wrong_names_file_line_and_key(void)
{
    expect_fault("agent:\n  memory_mib: many\n",
                 "p.yaml:2: agent.memory_mib: Invalid INT value: 'many'");
    expect_fault("ml_engine: 7\n",
                 "p.yaml:1: ml_engine: Expecting MAPPING, got event: SCALAR");
}

static void parse_when_value_is_out_of_range_names_file_line_and_range(void)
{
    expect_fault("agent:\n  metrics_port: 1\nml_engine:\n  assets: 0\n",
                 "p.yaml:4: ml_engine.assets: 0 is not within 1..4096");
}

static void environment_and_set_overlay_the_file(void)
{
    tribus_platform p;

    tribus_platform_init(&p);
    CHECK(setenv("TRIBUS_ML_ENGINE_ASSETS", "12", 1) == 0);
    CHECK(tribus_platform_environment(&p) == TRIBUS_OK);
    CHECK(p.ml_engine.assets == 12);
    CHECK(tribus_platform_set(&p, "--set", "ml_engine.assets=13") == TRIBUS_OK);
    CHECK(p.ml_engine.assets == 13);
    CHECK(tribus_platform_set(&p, "--set", "ml_engine.assets=x") == TRIBUS_BAD_DATA);
    CHECK_TEXT(tribus_error_text(), "--set ml_engine.assets: 'x' is not a whole number");
    CHECK(tribus_platform_set(&p, "--set", "ml.assets=1") == TRIBUS_NOT_FOUND);
    CHECK(tribus_platform_set(&p, "--set", "ml.assets") == TRIBUS_BAD_DATA);
    CHECK(setenv("TRIBUS_ML_ENGINE_ASSETS", "-4", 1) == 0);
    CHECK(tribus_platform_environment(&p) == TRIBUS_BAD_DATA);
    CHECK_TEXT(tribus_error_text(),
               "environment: TRIBUS_ML_ENGINE_ASSETS: -4 is not within 1..4096");
    CHECK(unsetenv("TRIBUS_ML_ENGINE_ASSETS") == 0);
}

static void load_when_file_is_missing_returns_not_found(void)
{
    tribus_platform p;

    tribus_platform_init(&p);
    CHECK(tribus_platform_load(&p, "/nowhere/p.yaml") == TRIBUS_NOT_FOUND);
    CHECK_TEXT(tribus_error_text(), "/nowhere/p.yaml: no such file");
}

static void file_is_found_in_share_and_missing_one_lists_the_places(void)
{
    char path[4096];

    CHECK(setenv("TRIBUS_SHARE", TRIBUS_SOURCE_DIR, 1) == 0);
    CHECK(tribus_platform_file("src/base/platform.def", path, sizeof(path)) == TRIBUS_OK);
    CHECK(access(path, R_OK) == 0);
    CHECK(tribus_platform_file("models/none.onnx", path, sizeof(path)) == TRIBUS_NOT_FOUND);
    CHECK(strstr(tribus_error_text(), "models/none.onnx: not in this folder") != NULL);
}

int main(void)
{
    init_gives_every_setting_its_default();
    parse_overlays_only_the_keys_it_names();
    parse_when_key_is_unknown_names_file_line_and_key();
    parse_when_type_is_wrong_names_file_line_and_key();
    parse_when_value_is_out_of_range_names_file_line_and_range();
    environment_and_set_overlay_the_file();
    load_when_file_is_missing_returns_not_found();
    file_is_found_in_share_and_missing_one_lists_the_places();
    return 0;
}
