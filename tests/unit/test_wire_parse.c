/* JSON both ways: every type, every complaint, every digit. */
#include "tribus/base.h"
#include "tribus/wire.h"

#include "base/random.h"
#include "check.h"

#include <locale.h>
#include <unistd.h>

static char json[TRIBUS_WIRE_JSON_BYTES];

/* ---- random valid messages ---- */

static void random_text(tribus_random *r, char *out, size_t bytes)
{
    static const char *const pieces[] = {"A",    "z", "0",      "-",  " ",         "\"",
                                         "\\",   "/", "\n",     "\t", "\x01",      "\x1f",
                                         "\x7f", "é", "\u20ac", "\b", "\U0001f600"};
    const size_t want = (size_t)tribus_random_below(r, bytes);
    size_t at = 0;

    memset(out, 0, bytes);
    while (at < want) {
        const char *piece =
            pieces[tribus_random_below(r, sizeof(pieces) / sizeof(pieces[0]))];

        if (at + strlen(piece) >= bytes)
            break;
        memcpy(out + at, piece, strlen(piece));
        at += strlen(piece);
    }
}

static uint64_t random_bits(tribus_random *r)
{
    return tribus_random_u64(r) >> tribus_random_below(r, 64);
}

static double random_double(tribus_random *r)
{
    const uint64_t bits = tribus_random_u64(r);
    double d;

    switch (tribus_random_below(r, 4)) {
    case 0:
        return (double)(int64_t)random_bits(r) / 1e4;
    case 1:
        return tribus_random_unit(r) - 0.5;
    case 2:
        return NAN;
    default:
        memcpy(&d, &bits, sizeof(d));
        return isfinite(d) ? d : -0.0;
    }
}

static void random_field(tribus_random *r, const tribus_wire_field_info *f, char *msg)
{
    char *at = msg + f->offset;
    const uint32_t count = (uint32_t)tribus_random_below(r, f->most + 1u);
    uint64_t bits = random_bits(r);
    uint32_t word = (uint32_t)random_bits(r);
    double real = random_double(r);

    switch (f->kind) {
    case TRIBUS_WIRE_KIND_TEXT:
        random_text(r, at, f->bytes);
        return;
    case TRIBUS_WIRE_KIND_LEVELS:
    case TRIBUS_WIRE_KIND_I64S:
        for (uint32_t i = 0; i < count * (f->bytes / f->most / 8u); i++) {
            bits = random_bits(r);
            memcpy(at + i * 8u, &bits, 8);
        }
        memcpy(msg + f->count_offset, &count, 4);
        return;
    case TRIBUS_WIRE_KIND_F64:
        memcpy(at, &real, 8);
        return;
    case TRIBUS_WIRE_KIND_FLAG:
        word = word & 1u;
        break;
    case TRIBUS_WIRE_KIND_PICK:
        word = (uint32_t)tribus_random_below(r, f->choice_count);
        break;
    case TRIBUS_WIRE_KIND_E9:
    case TRIBUS_WIRE_KIND_I64:
        if (tribus_random_below(r, 8) == 0)
            bits = 1ull << 63;
        break;
    case TRIBUS_WIRE_KIND_U64:
    case TRIBUS_WIRE_KIND_U32:
        break;
    }
    memcpy(at, f->bytes == 8u ? (const void *)&bits : (const void *)&word, f->bytes);
}

static void random_message(tribus_random *r, uint32_t type, tribus_msg_any *msg)
{
    memset(msg, 0, sizeof(*msg));
    CHECK(tribus_wire_init(msg, sizeof(*msg), type) == TRIBUS_OK);
    msg->header.priority = (uint8_t)tribus_random_below(r, 6);
    msg->header.timestamp_wall_ns = (int64_t)random_bits(r);
    msg->header.sequence = random_bits(r);
    msg->header.correlation = random_bits(r);
    msg->header.origin = (uint32_t)random_bits(r);
    if (tribus_random_below(r, 2) == 0)
        msg->header.flags |= TRIBUS_MSG_HARDWARE_ACCELERATED;
    random_text(r, msg->header.engine_type, sizeof(msg->header.engine_type));
    random_text(r, msg->header.engine_instance, sizeof(msg->header.engine_instance));
    for (uint32_t i = 0; i < tribus_wire_field_count(type); i++) {
        tribus_wire_field_info f;

        CHECK(tribus_wire_field(type, i, &f) == TRIBUS_OK);
        random_field(r, &f, (char *)msg);
    }
}

/* NaN is one value on the wire: give every NaN the bits that from_json gives. */
static void same_nans(tribus_msg_any *msg)
{
    for (uint32_t i = 0; i < tribus_wire_field_count(msg->header.type); i++) {
        const double nan_of_ours = NAN;
        tribus_wire_field_info f;
        double d;

        CHECK(tribus_wire_field(msg->header.type, i, &f) == TRIBUS_OK);
        if (f.kind != TRIBUS_WIRE_KIND_F64)
            continue;
        memcpy(&d, (char *)msg + f.offset, 8);
        if (isnan(d))
            memcpy((char *)msg + f.offset, &nan_of_ours, 8);
    }
}

static void every_type_with_random_values_comes_back_equal(void)
{
    tribus_random r;
    size_t longest = 0;

    tribus_random_init(&r, check_seed());
    for (int round = 0; round < 200; round++) {
        for (uint32_t type = 1; type < TRIBUS_MSG_END; type++) {
            tribus_msg_any msg, back;
            size_t n = 0;

            memset(&back, 0, sizeof(back));
            random_message(&r, type, &msg);
            CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), &n) == TRIBUS_OK);
            CHECK(strlen(json) == n);
            if (tribus_wire_from_json(json, n, &back, sizeof(back), NULL) != TRIBUS_OK) {
                fprintf(stderr, "%s\n%s\n", json, tribus_error_text());
                exit(1);
            }
            CHECK(back.header.flags == (msg.header.flags | TRIBUS_MSG_FROM_WIRE));
            back.header.flags = msg.header.flags;
            same_nans(&msg);
            CHECK(memcmp(&msg, &back, tribus_wire_message_bytes(type)) == 0);
            longest = n > longest ? n : longest;
        }
    }
    printf("longest JSON: %zu bytes\n", longest);
}

static void to_json_of_the_worst_message_fits_the_promised_buffer(void)
{
    for (uint32_t type = 1; type < TRIBUS_MSG_END; type++) {
        tribus_msg_any msg;

        CHECK(tribus_wire_init(&msg, sizeof(msg), type) == TRIBUS_OK);
        memset(msg.header.engine_type, 1, sizeof(msg.header.engine_type) - 1);
        memset(msg.header.engine_instance, 1, sizeof(msg.header.engine_instance) - 1);
        msg.header.origin = UINT32_MAX;
        msg.header.sequence = msg.header.correlation = UINT64_MAX;
        msg.header.timestamp_wall_ns = INT64_MIN;
        for (uint32_t i = 0; i < tribus_wire_field_count(type); i++) {
            tribus_wire_field_info f;
            char *at;

            CHECK(tribus_wire_field(type, i, &f) == TRIBUS_OK);
            at = (char *)&msg + f.offset;
            if (f.kind == TRIBUS_WIRE_KIND_TEXT)
                memset(at, 1, f.bytes - 1u);
            else if (f.kind == TRIBUS_WIRE_KIND_F64)
                memcpy(at, &(double){-2.2250738585072014e-308}, 8);
            else if (f.bytes >= 8u)
                for (uint32_t k = 0; k < f.bytes; k += 8u)
                    memcpy(at + k, &(int64_t){INT64_MIN + 1}, 8);
            if (f.most > 1u)
                memcpy((char *)&msg + f.count_offset, &f.most, 4);
        }
        CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), NULL) == TRIBUS_OK);
    }
}

static void to_json_when_the_buffer_is_too_small_says_so_and_stays_inside(void)
{
    tribus_random r;
    tribus_msg_any msg;
    size_t whole = 0;

    tribus_random_init(&r, 7);
    random_message(&r, TRIBUS_MSG_MARKET_DATA, &msg);
    CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), &whole) == TRIBUS_OK);
    for (size_t n = 0; n <= whole; n++) {
        char *tight = malloc(n == 0u ? 1u : n);

        CHECK(tight != NULL);
        CHECK(tribus_wire_to_json(&msg.header, tight, n, NULL) == TRIBUS_BAD_ARG);
        CHECK(strstr(tribus_error_text(), "market_data: a buffer of") != NULL);
        free(tight);
    }
    CHECK(tribus_wire_to_json(&msg.header, json, whole + 1u, NULL) == TRIBUS_OK);
}

/* ---- numbers ---- */

#define PRICE_HEAD                                                                         \
    "{\"type\":\"price_update\",\"priority\":\"normal\",\"engine_type\":\"t\","            \
    "\"engine_instance\":\"t-1\",\"bus_type\":\"marketdata_bus\",\"timestamp_ns\":5,"      \
    "\"hardware_accelerated\":false,\"data\":"

static tribus_status parse(const char *text, tribus_msg_any *msg)
{
    return tribus_wire_from_json(text, strlen(text), msg, sizeof(*msg), NULL);
}

static tribus_status parse_price(const char *number, tribus_msg_any *msg)
{
    char text[1024];

    (void)snprintf(text, sizeof(text), PRICE_HEAD "{\"symbol\":\"X\",\"price\":%s}}",
                   number);
    return parse(text, msg);
}

static void every_digit_of_a_price_survives(void)
{
    static const struct {
        const char *text;
        int64_t e9;
    } cases[] = {{"12345678.123456789", 12345678123456789},
                 {"9223372036.854775807", INT64_MAX},
                 {"-9223372036.854775808", INT64_MIN},
                 {"0.000000001", 1},
                 {"-0.0", 0},
                 {"100", 100000000000},
                 {"1e-9", 1},
                 {"1.5E+2", 150000000000},
                 {"100.10000000000001", 100100000000},
                 {"0.0000000005", 1},
                 {"-0.0000000005", -1},
                 {"0.00000000049999999", 0},
                 {"1e-1000000000000", 0},
                 {"0e99999999", 0}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tribus_msg_any msg, again;
        size_t n;

        CHECK(parse_price(cases[i].text, &msg) == TRIBUS_OK);
        CHECK(msg.price_update.price_e9 == cases[i].e9);
        CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), &n) == TRIBUS_OK);
        CHECK(tribus_wire_from_json(json, n, &again, sizeof(again), NULL) == TRIBUS_OK);
        CHECK(again.price_update.price_e9 == cases[i].e9);
    }
}

static void integers_beyond_2_to_the_53_survive(void)
{
    tribus_msg_any msg, back;

    CHECK(tribus_wire_init(&msg, sizeof(msg), TRIBUS_MSG_COMPUTE_QUEUE_SYNC) == TRIBUS_OK);
    msg.compute_queue_sync.produced = UINT64_MAX;
    msg.compute_queue_sync.consumed = (1ull << 53) + 1u;
    msg.compute_queue_sync.timeout_ns = INT64_MIN;
    msg.header.timestamp_wall_ns = INT64_MAX;
    CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), NULL) == TRIBUS_OK);
    CHECK(strstr(json, "\"produced\":18446744073709551615,") != NULL);
    CHECK(strstr(json, "\"timestamp_ns\":9223372036854775807,") != NULL);
    CHECK(parse(json, &back) == TRIBUS_OK);
    CHECK(back.compute_queue_sync.produced == UINT64_MAX);
    CHECK(back.compute_queue_sync.consumed == (1ull << 53) + 1u);
    CHECK(back.compute_queue_sync.timeout_ns == INT64_MIN);
    CHECK(back.header.timestamp_wall_ns == INT64_MAX);
}

static void doubles_do_not_depend_on_the_locale(void)
{
    tribus_msg_any msg, back;

    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL &&
        setlocale(LC_NUMERIC, "de_DE.utf8") == NULL)
        printf("no German locale here: this case runs in the C locale\n");
    CHECK(tribus_wire_init(&msg, sizeof(msg), TRIBUS_MSG_RISK_METRIC) == TRIBUS_OK);
    msg.risk_metric.value_at_risk = 1.0 / 3.0;
    msg.risk_metric.beta = 1.5e300;
    CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), NULL) == TRIBUS_OK);
    CHECK(strstr(json, "0.33333333333333331,") != NULL);
    CHECK(parse(json, &back) == TRIBUS_OK);
    CHECK(back.risk_metric.value_at_risk == 1.0 / 3.0 && back.risk_metric.beta == 1.5e300);
    CHECK(setlocale(LC_NUMERIC, "C") != NULL);
}

/* ---- complaints ---- */

static void complains(const char *text, tribus_status want, const char *why)
{
    tribus_msg_any msg, before;

    memset(&msg, 0x5a, sizeof(msg));
    before = msg;
    if (parse(text, &msg) != want || strcmp(tribus_error_text(), why) != 0) {
        fprintf(stderr, "for %.300s\n got: %s\nwant: %s\n", text, tribus_error_text(), why);
        exit(1);
    }
    CHECK(strchr(tribus_error_text(), '\n') == NULL);
    CHECK(memcmp(&msg, &before, sizeof(msg)) == 0);
}

static void malformed_json_is_placed(void)
{
    complains("", TRIBUS_BAD_DATA,
              "malformed JSON at line 1, column 0, byte 0: '[' or '{' expected near end of "
              "file");
    complains("{\"type\":\n 12.50 x}", TRIBUS_BAD_DATA,
              "malformed JSON at line 2, column 8, byte 17: '}' expected near 'x'");
    complains("{\"a\":1,\"a\":2}", TRIBUS_BAD_DATA,
              "malformed JSON at line 1, column 10, byte 10: duplicate object key near "
              "'\"a\"'");
    complains("{\"a\":\"\\u0000\"}", TRIBUS_BAD_DATA,
              "malformed JSON at line 1, column 13, byte 13: \\u0000 is not allowed "
              "without JSON_ALLOW_NUL near '\"\\u0000\"'");
    complains("{\"a\":01}", TRIBUS_BAD_DATA,
              "malformed JSON at line 1, column 6, byte 6: invalid token near '0'");
    complains("{1:2}", TRIBUS_BAD_DATA,
              "malformed JSON at line 1, column 2, byte 2: string or '}' expected near "
              "'1'");
    complains("{\"a\":NaN}", TRIBUS_BAD_DATA,
              "malformed JSON at line 1, column 8, byte 8: invalid token near 'NaN'");
    complains("[1]", TRIBUS_BAD_DATA, "a message must be a JSON object");
}

static void an_oversized_message_is_refused_before_it_is_parsed(void)
{
    static char big[TRIBUS_WIRE_TEXT_BYTES + 2];

    memset(big, ' ', sizeof(big) - 1);
    complains(big, TRIBUS_BAD_DATA,
              "a message of 65537 bytes is refused: the limit is 65536");
}

static void types_that_do_not_exist_are_named_with_the_nearest(void)
{
    complains("{}", TRIBUS_BAD_DATA, "envelope: type is missing");
    complains("{\"type\":3}", TRIBUS_BAD_DATA, "envelope: type must be text, not a number");
    complains("{\"type\":\"price_updates\"}", TRIBUS_NOT_FOUND,
              "unknown message type \"price_updates\"; the nearest known is "
              "\"price_update\"");
    complains("{\"type\":\"shared_memory_alloc\"}", TRIBUS_NOT_FOUND,
              "unknown message type \"shared_memory_alloc\"; the nearest known is "
              "\"SHARED_MEMORY_ALLOC\"");
    complains("{\"type\":\"\\n\x1b[31m\"}" + 0, TRIBUS_BAD_DATA,
              "malformed JSON at line 1, column 11, byte 11: control character 0x1b near "
              "'\"\\n'");
}

static void each_missing_member_is_named(void)
{
    static const char *const keys[] = {
        "data",     "priority",     "engine_type",         "engine_instance",
        "bus_type", "timestamp_ns", "hardware_accelerated"};
    static const char *const members[] = {"\"data\":{\"symbol\":\"X\",\"price\":1}",
                                          "\"priority\":\"low\"",
                                          "\"engine_type\":\"t\"",
                                          "\"engine_instance\":\"t-1\"",
                                          "\"bus_type\":\"marketdata_bus\"",
                                          "\"timestamp_ns\":5",
                                          "\"hardware_accelerated\":true"};

    for (size_t left_out = 0; left_out < 7; left_out++) {
        char text[512] = "{\"type\":\"price_update\"";
        char why[96];

        for (size_t i = 0; i < 7; i++) {
            if (i == left_out)
                continue;
            strcat(text, ",");
            strcat(text, members[i]);
        }
        strcat(text, "}");
        (void)snprintf(why, sizeof(why), "price_update: %s is missing", keys[left_out]);
        complains(text, TRIBUS_BAD_DATA, why);
    }
    complains(PRICE_HEAD "{\"symbol\":\"X\"}}", TRIBUS_BAD_DATA,
              "price_update: data.price is missing");
    complains(PRICE_HEAD "{\"price\":1}}", TRIBUS_BAD_DATA,
              "price_update: data.symbol is missing");
}

static void every_required_field_of_every_type_is_missed(void)
{
    for (uint32_t type = 1; type < TRIBUS_MSG_END; type++) {
        char text[256];
        char why[128];
        tribus_wire_field_info f;
        uint32_t first = 0;

        do {
            CHECK(tribus_wire_field(type, first++, &f) == TRIBUS_OK);
        } while (!f.required);
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"%s\",\"data\":{},\"priority\":\"low\",\"engine_type\":"
                       "\"\",\"engine_instance\":\"\",\"bus_type\":\"%s\",\"timestamp_ns\":"
                       "1,\"hardware_accelerated\":false}",
                       tribus_wire_type_name(type),
                       tribus_wire_bus_name(tribus_wire_bus_of(type)));
        (void)snprintf(why, sizeof(why), "%s: data.%s is missing",
                       tribus_wire_type_name(type), f.key);
        complains(text, TRIBUS_BAD_DATA, why);
    }
}

static void values_of_the_wrong_kind_or_range_are_named(void)
{
    tribus_msg_any msg;

    complains(PRICE_HEAD "[]}", TRIBUS_BAD_DATA,
              "price_update: data must be an object, not an array");
    complains(PRICE_HEAD "{\"symbol\":\"X\",\"price\":\"12\"}}", TRIBUS_BAD_DATA,
              "price_update: data.price must be a number, not text");
    complains(PRICE_HEAD "{\"symbol\":\"X\",\"price\":null}}", TRIBUS_BAD_DATA,
              "price_update: data.price must be a number, not null");
    complains(PRICE_HEAD "{\"symbol\":7,\"price\":1}}", TRIBUS_BAD_DATA,
              "price_update: data.symbol must be text, not a number");
    complains(PRICE_HEAD "{\"symbol\":\"ABCDEFGHIJKLMNOP\",\"price\":1}}", TRIBUS_BAD_DATA,
              "price_update: data.symbol: the text has 16 bytes, at most 15 fit");
    complains(PRICE_HEAD "{\"symbol\":\"X\",\"price\":1e30}}", TRIBUS_BAD_DATA,
              "price_update: data.price: 1e30 is out of range, at most "
              "9223372036.854775807 fits");
    complains(PRICE_HEAD "{\"symbol\":\"X\",\"price\":1,\"event_wall_ns\":1.5}}",
              TRIBUS_BAD_DATA,
              "price_update: data.event_wall_ns must be an integer, not 1.5");
    complains(
        PRICE_HEAD "{\"symbol\":\"X\",\"price\":1,\"event_wall_ns\":9223372036854775808}}",
        TRIBUS_BAD_DATA,
        "price_update: data.event_wall_ns: 9223372036854775808 is out of range, it must "
        "fit 64 bits");
    CHECK(parse(PRICE_HEAD
                "{\"symbol\":\"X\",\"price\":1,\"bid\":null,\"event_wall_ns\":1.7e18}}",
                &msg) == TRIBUS_OK);
    CHECK(msg.price_update.event_wall_ns == 1700000000000000000 &&
          msg.price_update.bid_e9 == 0);
}

/* The one-member error cases of a few other types: a full valid text with one exchange. */
static void exchange(uint32_t type, const char *find, const char *replace, const char *why)
{
    char text[2048];
    tribus_msg_any msg;
    const char *at;

    CHECK(tribus_wire_init(&msg, sizeof(msg), type) == TRIBUS_OK);
    CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), NULL) == TRIBUS_OK);
    at = strstr(json, find);
    CHECK(at != NULL);
    (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - json), json, replace,
                   at + strlen(find));
    complains(text, TRIBUS_BAD_DATA, why);
}

static void members_of_other_types_are_named_as_well(void)
{
    exchange(TRIBUS_MSG_TRADE_EXECUTION, "\"side\":\"none\"", "\"side\":\"bought\"",
             "trade_execution: data.side: \"bought\" is none of: none buy sell");
    exchange(TRIBUS_MSG_TRADE_EXECUTION, "\"normal\"", "\"panic\"",
             "trade_execution: priority: \"panic\" is none of: low normal high urgent "
             "critical flash_crash");
    exchange(TRIBUS_MSG_TRADE_EXECUTION, "\"marketdata_bus\"", "\"neural_gpu_bus\"",
             "trade_execution: bus_type: it belongs to marketdata_bus, not to "
             "neural_gpu_bus");
    exchange(TRIBUS_MSG_TRADE_EXECUTION, "\"hardware_accelerated\":false",
             "\"hardware_accelerated\":0",
             "trade_execution: hardware_accelerated must be true or false, not a number");
    exchange(TRIBUS_MSG_TRADE_EXECUTION, "\"trade\":0", "\"trade\":-1",
             "trade_execution: data.trade: -1 is out of range, 0 to 18446744073709551615 "
             "fits");
    exchange(TRIBUS_MSG_ENGINE_HEALTH, "\"http_port\":0", "\"http_port\":4294967296",
             "engine_health: data.http_port: 4294967296 is out of range, 0 to 4294967295 "
             "fits");
    exchange(TRIBUS_MSG_RISK_METRIC, "\"confidence\":0.0", "\"confidence\":1e999",
             "risk_metric: data.confidence: 1e999 is out of range, at most "
             "1.7976931348623157e308 fits");
    exchange(TRIBUS_MSG_MARKET_DATA, "\"bids\":[]", "\"bids\":[[1,2],[1]]",
             "market_data: data.bids: each level must be [price, qty]");
    exchange(TRIBUS_MSG_MARKET_DATA, "\"asks\":[]",
             "\"asks\":[[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1]]",
             "market_data: data.asks: 11 elements, at most 10 fit");
    exchange(TRIBUS_MSG_NEURAL_TO_GPU_COMPUTE, "\"shape\":[]", "\"shape\":[2,\"3\"]",
             "NEURAL_TO_GPU_COMPUTE: data.shape must be an integer, not text");
    exchange(TRIBUS_MSG_PRICE_UPDATE, "\"hardware", "\"tribus\":{\"origin\":-3},\"hardware",
             "price_update: tribus.origin: -3 is out of range, 0 to 4294967295 fits");
    exchange(TRIBUS_MSG_PRICE_UPDATE, "\"hardware", "\"tribus\":1,\"hardware",
             "price_update: tribus must be an object, not a number");
}

static void choices_ignore_case_and_absent_options_have_defaults(void)
{
    tribus_msg_any msg;

    CHECK(parse("{\"type\":\"strategy_signal\",\"data\":{\"strategy\":\"m\",\"symbol\":"
                "\"X\",\"strength\":null,\"side\":\"BUY\"},\"priority\":\"High\","
                "\"engine_type\":\"s\",\"engine_instance\":\"\",\"bus_type\":"
                "\"engine_logic_bus\",\"timestamp_ns\":1.0,\"hardware_accelerated\":true}",
                &msg) == TRIBUS_OK);
    CHECK(msg.strategy_signal.side == TRIBUS_SIDE_BUY);
    CHECK(isnan(msg.strategy_signal.strength) && isnan(msg.strategy_signal.confidence));
    CHECK(msg.strategy_signal.horizon_ns == 0);
    CHECK(msg.header.priority == TRIBUS_PRIORITY_HIGH);
    CHECK(msg.header.flags == (TRIBUS_MSG_FROM_WIRE | TRIBUS_MSG_HARDWARE_ACCELERATED));
    CHECK(tribus_wire_validate(&msg, sizeof(msg)) == TRIBUS_OK);
}

static void from_json_when_the_message_does_not_fit_says_what_it_takes(void)
{
    char small[64];
    const char *text = PRICE_HEAD "{\"symbol\":\"X\",\"price\":1}}";

    CHECK(tribus_wire_from_json(text, strlen(text), small, sizeof(small), NULL) ==
          TRIBUS_BAD_ARG);
    CHECK_TEXT(tribus_error_text(), "price_update: a message takes 168 bytes, not 64");
}

/* ---- unknown members ---- */

static void unknown_members_are_kept_and_passed_on(void)
{
    static const char text[] =
        "{ \"type\" : \"price_update\", \"trace\" : \"a\\u00e9\\n\", \"data\" : {"
        " \"symbol\":\"X\", \"latency\" : 0.10000000000000000001 , \"price\":2.5,"
        " \"deep\": [ 1, { \"k\" : [ ] , \"b\":true}, null ] }, \"priority\":\"low\","
        " \"engine_type\":\"t\", \"engine_instance\":\"i\","
        " \"bus_type\":\"marketdata_bus\", \"timestamp_ns\":7,"
        " \"hardware_accelerated\":false }";
    char envelope[256], data[256], tiny[8], second[TRIBUS_WIRE_JSON_BYTES];
    tribus_wire_extra extra = {envelope, sizeof(envelope), 0, data, sizeof(data), 0};
    tribus_wire_extra again = extra;
    tribus_wire_extra small = {NULL, 0, 0, tiny, sizeof(tiny), 0};
    tribus_msg_any msg;
    size_t n;

    CHECK(tribus_wire_from_json(text, strlen(text), &msg, sizeof(msg), &extra) ==
          TRIBUS_OK);
    CHECK_TEXT(envelope, "\"trace\":\"aé\\n\"");
    CHECK_TEXT(data, "\"latency\":0.10000000000000000001,\"deep\":[1,{\"k\":[],\"b\":true},"
                     "null]");
    CHECK(extra.envelope_bytes == strlen(envelope) && extra.data_bytes == strlen(data));
    CHECK(tribus_wire_to_json_extra(&msg.header, &extra, json, sizeof(json), &n) ==
          TRIBUS_OK);
    CHECK(tribus_wire_from_json(json, n, &msg, sizeof(msg), &again) == TRIBUS_OK);
    CHECK(tribus_wire_to_json_extra(&msg.header, &again, second, sizeof(second), &n) ==
          TRIBUS_OK);
    CHECK_TEXT(second, json);
    CHECK(tribus_wire_from_json(text, strlen(text), &msg, sizeof(msg), &small) ==
          TRIBUS_BAD_DATA);
    CHECK_TEXT(tribus_error_text(),
               "price_update: the unknown members do not fit the buffer for them");
}

/* ---- another reader of JSON agrees ---- */

static void python_reads_what_we_write(void)
{
    static const uint32_t types[] = {TRIBUS_MSG_MARKET_DATA, TRIBUS_MSG_RISK_METRIC,
                                     TRIBUS_MSG_SHARED_MEMORY_ALLOC};
    tribus_random r;
    FILE *python;

    if (access("/usr/bin/python3", X_OK) != 0) {
        printf("no /usr/bin/python3 here: its reading is not compared\n");
        return;
    }
    python = popen(
        "/usr/bin/python3 -c 'import json,sys\n"
        "for line in sys.stdin.buffer:\n"
        "  m=json.loads(line)\n"
        "  assert set(m)-{\"tribus\"}=={\"type\",\"data\",\"priority\",\"engine_type\","
        "\"engine_instance\",\"bus_type\",\"timestamp_ns\",\"hardware_accelerated\"},m\n"
        "  assert isinstance(m[\"data\"],dict) and isinstance(m[\"timestamp_ns\"],int)\n"
        "  if m[\"type\"]==\"market_data\": assert all(isinstance(x,float) for l in "
        "m[\"data\"][\"bids\"] for x in l)\n'",
        "w");
    CHECK(python != NULL);
    tribus_random_init(&r, 11);
    for (int i = 0; i < 300; i++) {
        tribus_msg_any msg;

        random_message(&r, types[i % 3], &msg);
        CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), NULL) == TRIBUS_OK);
        CHECK(fprintf(python, "%s\n", json) > 0);
    }
    CHECK(pclose(python) == 0);
}

/* One message of each bus, letter by letter: this is what existing engines read. */
static void the_text_of_a_message_is_this(void)
{
    tribus_msg_any msg;

    CHECK(tribus_wire_init(&msg, sizeof(msg), TRIBUS_MSG_TRADE_EXECUTION) == TRIBUS_OK);
    CHECK(tribus_wire_text_set(msg.trade_execution.symbol, 16, "GOOG"));
    CHECK(tribus_wire_text_set(msg.header.engine_type, 24, "marketdata"));
    CHECK(tribus_wire_text_set(msg.header.engine_instance, 32, "marketdata-8800"));
    msg.trade_execution.price_e9 = 585330000000;
    msg.trade_execution.qty_e9 = 100000000000;
    msg.trade_execution.side = TRIBUS_SIDE_SELL;
    msg.header.timestamp_wall_ns = 1340285400000000001;
    CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), NULL) == TRIBUS_OK);
    CHECK_TEXT(json,
               "{\"type\":\"trade_execution\",\"data\":{\"symbol\":\"GOOG\",\"venue\":\"\","
               "\"price\":585.33,\"qty\":100.0,\"trade\":0,\"event_wall_ns\":0,\"side\":"
               "\"sell\"},\"priority\":\"normal\",\"engine_type\":\"marketdata\","
               "\"engine_instance\":\"marketdata-8800\",\"bus_type\":\"marketdata_bus\","
               "\"timestamp_ns\":1340285400000000001,\"hardware_accelerated\":false}");
    CHECK(tribus_wire_init(&msg, sizeof(msg), TRIBUS_MSG_TOXICITY_ALERT) == TRIBUS_OK);
    msg.toxicity_alert.vpin = 0.875;
    msg.toxicity_alert.score = NAN;
    msg.header.correlation = 9;
    CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), NULL) == TRIBUS_OK);
    CHECK_TEXT(json,
               "{\"type\":\"toxicity_alert\",\"data\":{\"symbol\":\"\",\"vpin\":0.875,"
               "\"threshold\":0.0,\"score\":null,\"regime\":0,\"severity\":\"info\"},"
               "\"priority\":\"urgent\",\"engine_type\":\"\",\"engine_instance\":\"\","
               "\"bus_type\":\"engine_logic_bus\",\"timestamp_ns\":0,"
               "\"hardware_accelerated\":false,\"tribus\":{\"origin\":0,\"sequence\":0,"
               "\"correlation\":9}}");
    CHECK(tribus_wire_init(&msg, sizeof(msg), TRIBUS_MSG_NEURAL_TO_GPU_COMPUTE) ==
          TRIBUS_OK);
    msg.neural_to_gpu_compute.rank = 2;
    msg.neural_to_gpu_compute.shape[0] = 10;
    msg.neural_to_gpu_compute.shape[1] = 64;
    msg.neural_to_gpu_compute.dtype = TRIBUS_WIRE_DTYPE_FLOAT32;
    msg.header.flags |= TRIBUS_MSG_HARDWARE_ACCELERATED;
    CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), NULL) == TRIBUS_OK);
    CHECK_TEXT(json,
               "{\"type\":\"NEURAL_TO_GPU_COMPUTE\",\"data\":{\"request\":0,\"pipeline\":"
               "\"\",\"operation\":\"\",\"run\":0,\"generation\":0,\"offset_bytes\":0,"
               "\"region\":0,\"slot\":0,\"shape\":[10,64],\"dtype\":\"float32\",\"phase\":"
               "\"request\",\"require_zero_copy\":false,\"reply_channel\":\"\",\"text\":"
               "\"\"},\"priority\":\"high\",\"engine_type\":\"\",\"engine_instance\":\"\","
               "\"bus_type\":\"neural_gpu_bus\",\"timestamp_ns\":0,"
               "\"hardware_accelerated\":true}");
}

int main(void)
{
    every_type_with_random_values_comes_back_equal();
    to_json_of_the_worst_message_fits_the_promised_buffer();
    to_json_when_the_buffer_is_too_small_says_so_and_stays_inside();
    every_digit_of_a_price_survives();
    integers_beyond_2_to_the_53_survive();
    doubles_do_not_depend_on_the_locale();
    malformed_json_is_placed();
    an_oversized_message_is_refused_before_it_is_parsed();
    types_that_do_not_exist_are_named_with_the_nearest();
    each_missing_member_is_named();
    every_required_field_of_every_type_is_missed();
    values_of_the_wrong_kind_or_range_are_named();
    members_of_other_types_are_named_as_well();
    choices_ignore_case_and_absent_options_have_defaults();
    from_json_when_the_message_does_not_fit_says_what_it_takes();
    unknown_members_are_kept_and_passed_on();
    python_reads_what_we_write();
    the_text_of_a_message_is_this();
    return 0;
}
