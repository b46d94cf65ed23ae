/* Messages that another process wrote, and wrote wrongly. */
#include "tribus/base.h"
#include "tribus/wire.h"

#include "base/random.h"
#include "check.h"

static tribus_msg_any valid(uint32_t type)
{
    tribus_msg_any msg;

    memset(&msg, 0, sizeof(msg));
    CHECK(tribus_wire_init(&msg, sizeof(msg), type) == TRIBUS_OK);
    return msg;
}

static void refused(const tribus_msg_any *msg, const char *why)
{
    char json[TRIBUS_WIRE_JSON_BYTES];

    CHECK(tribus_wire_validate(msg, sizeof(*msg)) == TRIBUS_CORRUPT);
    CHECK_TEXT(tribus_error_text(), why);
    CHECK(tribus_wire_to_json(&msg->header, json, sizeof(json), NULL) == TRIBUS_CORRUPT);
    CHECK_TEXT(tribus_error_text(), why);
}

static void validate_when_bytes_are_missing_returns_corrupt(void)
{
    for (uint32_t type = 1; type < TRIBUS_MSG_END; type++) {
        const tribus_msg_any msg = valid(type);
        const size_t whole = tribus_wire_message_bytes(type);

        CHECK(tribus_wire_validate(&msg, whole) == TRIBUS_OK);
        CHECK(tribus_wire_validate(&msg, whole - 1u) == TRIBUS_CORRUPT);
        CHECK(tribus_wire_validate(&msg, sizeof(msg.header) - 1u) == TRIBUS_CORRUPT);
        CHECK(tribus_wire_validate(&msg, 0) == TRIBUS_CORRUPT);
    }
}

static void validate_when_the_header_lies_names_the_field(void)
{
    tribus_msg_any msg = valid(TRIBUS_MSG_PRICE_UPDATE);

    msg.header.type = 999;
    refused(&msg, "there is no message type 999");
    msg = valid(TRIBUS_MSG_PRICE_UPDATE);
    msg.header.bus = 1;
    refused(&msg, "price_update: bus: not the bus of this type");
    msg = valid(TRIBUS_MSG_PRICE_UPDATE);
    msg.header.priority = 6;
    refused(&msg, "price_update: priority: not one of its choices");
    msg = valid(TRIBUS_MSG_PRICE_UPDATE);
    msg.header.body_bytes++;
    refused(&msg, "price_update: body_bytes: not the size of this type");
    msg = valid(TRIBUS_MSG_PRICE_UPDATE);
    memset(msg.header.engine_type, 'a', sizeof(msg.header.engine_type));
    refused(&msg, "price_update: engine_type: the text has no end");
    msg = valid(TRIBUS_MSG_PRICE_UPDATE);
    msg.header.engine_instance[0] = (char)0xff;
    refused(&msg, "price_update: engine_instance: the text is not UTF-8");
}

static void validate_when_a_field_lies_names_it(void)
{
    static const uint32_t types[] = {TRIBUS_MSG_MARKET_DATA, TRIBUS_MSG_ORDER_REQUEST,
                                     TRIBUS_MSG_RISK_METRIC,
                                     TRIBUS_MSG_NEURAL_TO_GPU_COMPUTE};
    tribus_msg_any msg = valid(types[0]);

    msg.market_data.ask_count = 11;
    refused(&msg, "market_data: asks: more elements than it can hold");
    msg = valid(types[0]);
    memset(msg.market_data.symbol, 'X', 16);
    refused(&msg, "market_data: symbol: the text has no end");
    msg = valid(types[1]);
    msg.order_request.side = 3;
    refused(&msg, "order_request: side: not one of its choices");
    msg = valid(types[1]);
    msg.order_request.reduce_only = 2;
    refused(&msg, "order_request: reduce_only: neither 0 nor 1");
    msg = valid(types[2]);
    msg.risk_metric.value_at_risk = -INFINITY;
    refused(&msg, "risk_metric: value_at_risk: the number is infinite");
    msg.risk_metric.value_at_risk = NAN;
    CHECK(tribus_wire_validate(&msg, sizeof(msg)) == TRIBUS_OK);
    msg = valid(types[3]);
    msg.neural_to_gpu_compute.rank = UINT32_MAX;
    refused(&msg, "NEURAL_TO_GPU_COMPUTE: shape: more elements than it can hold");
}

static void text_that_is_not_utf8_is_refused(void)
{
    static const char *const bad[] = {
        "\x80",         "\xc0\x80",         "\xc3",
        "\xe0\x80\x80", "\xed\xa0\x80",     "\xe2\x82",
        "\xf5\x80\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80"};
    static const char *const good[] = {
        "\x7f",         "\xc2\x80",         "\xe0\xa0\x80",    "\xed\x9f\xbf",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    tribus_msg_any msg = valid(TRIBUS_MSG_PRICE_UPDATE);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(msg.price_update.symbol, 16, "a%s", bad[i]);
        refused(&msg, "price_update: symbol: the text is not UTF-8");
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        (void)snprintf(msg.price_update.symbol, 16, "a%sb", good[i]);
        CHECK(tribus_wire_validate(&msg, sizeof(msg)) == TRIBUS_OK);
    }
}

/* What validate accepts, to_json prints; what it refuses, to_json refuses. */
static void random_bytes_are_refused_or_printed_and_never_harm(void)
{
    char json[TRIBUS_WIRE_JSON_BYTES];
    tribus_random r;
    uint32_t accepted = 0;

    tribus_random_init(&r, check_seed());
    for (int round = 0; round < 20000; round++) {
        tribus_msg_any msg =
            valid(1u + (uint32_t)tribus_random_below(&r, TRIBUS_MSG_END - 1u));
        const uint64_t changes = tribus_random_below(&r, 6);
        tribus_status st;

        for (uint64_t i = 0; i < changes; i++)
            msg.bytes[tribus_random_below(&r, sizeof(msg))] =
                (uint8_t)tribus_random_u64(&r);
        st = tribus_wire_validate(&msg, sizeof(msg));
        CHECK(st == TRIBUS_OK || st == TRIBUS_CORRUPT);
        CHECK(tribus_wire_to_json(&msg.header, json, sizeof(json), NULL) == st);
        accepted += st == TRIBUS_OK ? 1u : 0u;
    }
    CHECK(accepted > 0);
}

int main(void)
{
    validate_when_bytes_are_missing_returns_corrupt();
    validate_when_the_header_lies_names_the_field();
    validate_when_a_field_lies_names_it();
    text_that_is_not_utf8_is_refused();
    random_bytes_are_refused_or_printed_and_never_harm();
    return 0;
}
