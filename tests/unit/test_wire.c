/* The catalogue: names, channels, fields, filling a message. */
#include "tribus/base.h"
#include "tribus/wire.h"

#include "check.h"

static void every_type_has_a_name_a_bus_a_size_and_is_found(void)
{
    uint32_t of_bus[TRIBUS_BUSES] = {0};

    for (uint32_t type = 1; type < TRIBUS_MSG_END; type++) {
        tribus_msg_type found;

        CHECK(tribus_wire_type_find(tribus_wire_type_name(type), &found) == TRIBUS_OK);
        CHECK((uint32_t)found == type);
        CHECK(tribus_wire_message_bytes(type) > sizeof(tribus_msg_header));
        CHECK(tribus_wire_message_bytes(type) <= TRIBUS_WIRE_MESSAGE_BYTES);
        CHECK(strlen(tribus_wire_type_meaning(type)) > 0);
        of_bus[tribus_wire_bus_of(type)]++;
    }
    CHECK(of_bus[TRIBUS_BUS_MARKETDATA] == 3);
    CHECK(of_bus[TRIBUS_BUS_ENGINE_LOGIC] == 13 + 6);
    CHECK(of_bus[TRIBUS_BUS_NEURAL_GPU] == 6 + 5);
    CHECK(sizeof(tribus_msg_market_data) <= 512);
}

static void what_is_no_type_is_answered_and_never_read(void)
{
    static const uint32_t none[] = {0, TRIBUS_MSG_END, 65535, UINT32_MAX};
    tribus_wire_field_info f;
    tribus_msg_any msg;
    char buf[TRIBUS_WIRE_CHANNEL_BYTES];

    for (size_t i = 0; i < 4; i++) {
        CHECK_TEXT(tribus_wire_type_name(none[i]), "?");
        CHECK_TEXT(tribus_wire_type_meaning(none[i]), "");
        CHECK(tribus_wire_message_bytes(none[i]) == 0 && !tribus_wire_durable(none[i]));
        CHECK(tribus_wire_field_count(none[i]) == 0);
        CHECK(tribus_wire_field(none[i], 0, &f) == TRIBUS_BAD_ARG);
        CHECK(tribus_wire_channel(none[i], buf, sizeof(buf)) == TRIBUS_BAD_ARG);
        CHECK(tribus_wire_init(&msg, sizeof(msg), none[i]) == TRIBUS_BAD_ARG);
    }
    CHECK(tribus_wire_field(TRIBUS_MSG_PRICE_UPDATE, 8, &f) == TRIBUS_BAD_ARG);
    CHECK_TEXT(tribus_error_text(), "price_update has 8 fields, there is no field 8");
}

static void type_find_when_the_name_is_wrong_names_the_nearest(void)
{
    tribus_msg_type type;

    CHECK(tribus_wire_type_find("COMPUTE_QUEUE_SYNK", &type) == TRIBUS_NOT_FOUND);
    CHECK_TEXT(tribus_error_text(), "unknown message type \"COMPUTE_QUEUE_SYNK\"; the "
                                    "nearest known is \"COMPUTE_QUEUE_SYNC\"");
    CHECK(tribus_wire_type_find("riskmetric", &type) == TRIBUS_NOT_FOUND);
    CHECK(strstr(tribus_error_text(), "\"risk_metric\"") != NULL);
    CHECK(tribus_wire_type_find("", &type) == TRIBUS_NOT_FOUND);
    CHECK(tribus_wire_type_find(
              "a_name_of_more_than_sixty_four_characters_which_is_shown_only_in_part",
              &type) == TRIBUS_NOT_FOUND);
    CHECK(strstr(tribus_error_text(), "...\"; the nearest") != NULL);
}

static void the_types_that_must_not_be_lost_are_durable(void)
{
    uint32_t durable = 0;

    for (uint32_t type = 1; type < TRIBUS_MSG_END; type++)
        durable += tribus_wire_durable(type) ? 1u : 0u;
    CHECK(durable == 5);
    CHECK(tribus_wire_durable(TRIBUS_MSG_ORDER_REQUEST));
    CHECK(tribus_wire_durable(TRIBUS_MSG_POSITION_CHANGE));
    CHECK(tribus_wire_durable(TRIBUS_MSG_MARGIN_CALL));
    CHECK(tribus_wire_durable(TRIBUS_MSG_RISK_LIMIT_BREACH));
    CHECK(tribus_wire_durable(TRIBUS_MSG_SYSTEM_FAILURE));
}

static void buses_and_priorities_are_found_by_name(void)
{
    tribus_bus_id bus;
    tribus_priority priority;

    CHECK(tribus_wire_bus_port(TRIBUS_BUS_MARKETDATA) == 6380);
    CHECK(tribus_wire_bus_port(TRIBUS_BUS_ENGINE_LOGIC) == 6381);
    CHECK(tribus_wire_bus_port(TRIBUS_BUS_NEURAL_GPU) == 6382);
    CHECK(tribus_wire_bus_port(3) == 0);
    CHECK_TEXT(tribus_wire_bus_name(3), "?");
    CHECK_TEXT(tribus_wire_bus_title(TRIBUS_BUS_NEURAL_GPU), "Neural-GPU");
    CHECK(tribus_wire_bus_find("MarketData", &bus) == TRIBUS_OK && bus == 0);
    CHECK(tribus_wire_bus_find("engine_logic", &bus) == TRIBUS_OK && bus == 1);
    CHECK(tribus_wire_bus_find("neural_gpu_bus", &bus) == TRIBUS_OK && bus == 2);
    CHECK(tribus_wire_bus_find("data\nbus", &bus) == TRIBUS_NOT_FOUND);
    CHECK_TEXT(tribus_error_text(), "unknown bus \"data?bus\"; use marketdata_bus, "
                                    "engine_logic_bus or neural_gpu_bus");
    for (uint32_t i = 0; i <= TRIBUS_PRIORITY_FLASH_CRASH; i++)
        CHECK(tribus_wire_priority_find(tribus_wire_priority_name(i), &priority) ==
                  TRIBUS_OK &&
              (uint32_t)priority == i);
    CHECK_TEXT(tribus_wire_priority_name(6), "?");
    CHECK(tribus_wire_priority_find("panic", &priority) == TRIBUS_NOT_FOUND);
}

static void channels_are_written_and_read_back(void)
{
    char buf[TRIBUS_WIRE_CHANNEL_BYTES];

    for (uint32_t type = 1; type < TRIBUS_MSG_END; type++) {
        tribus_msg_type back;

        CHECK(tribus_wire_channel(type, buf, sizeof(buf)) == TRIBUS_OK);
        CHECK(tribus_wire_channel_parse(buf, strlen(buf), &back) == TRIBUS_OK);
        CHECK((uint32_t)back == type);
    }
    CHECK(tribus_wire_channel(TRIBUS_MSG_COMPUTE_QUEUE_SYNC, buf, sizeof(buf)) ==
          TRIBUS_OK);
    CHECK_TEXT(buf, "nautilus-neural_gpu_bus-COMPUTE_QUEUE_SYNC");
    CHECK(tribus_wire_channel(TRIBUS_MSG_COMPUTE_QUEUE_SYNC, buf, 42) == TRIBUS_BAD_ARG);
}

static void channel_parse_when_the_name_is_wrong_says_how(void)
{
    static const struct {
        const char *text;
        tribus_status st;
        const char *why;
    } cases[] = {
        {"", TRIBUS_BAD_DATA, "channel \"\" is not of the form nautilus-<bus>-<type>"},
        {"nautilus-x", TRIBUS_BAD_DATA,
         "channel \"nautilus-x\" is not of the form nautilus-<bus>-<type>"},
        {"nautilus-x-price_update", TRIBUS_NOT_FOUND,
         "channel \"nautilus-x-price_update\": unknown bus"},
        {"nautilus-marketdata_bus-price", TRIBUS_NOT_FOUND,
         "channel \"nautilus-marketdata_bus-price\": unknown message type \"price\"; the "
         "nearest known is \"price_update\""},
        {"nautilus-marketdata_bus-risk_metric", TRIBUS_BAD_DATA,
         "channel \"nautilus-marketdata_bus-risk_metric\": risk_metric belongs to "
         "engine_logic_bus"}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tribus_msg_type type;

        CHECK(tribus_wire_channel_parse(cases[i].text, strlen(cases[i].text), &type) ==
              cases[i].st);
        CHECK_TEXT(tribus_error_text(), cases[i].why);
    }
}

static void init_sets_what_follows_from_the_type(void)
{
    tribus_msg_any msg;

    memset(&msg, 0xff, sizeof(msg));
    CHECK(tribus_wire_init(&msg, sizeof(msg), TRIBUS_MSG_MARGIN_CALL) == TRIBUS_OK);
    CHECK(msg.header.type == TRIBUS_MSG_MARGIN_CALL);
    CHECK(msg.header.bus == TRIBUS_BUS_ENGINE_LOGIC);
    CHECK(msg.header.priority == TRIBUS_PRIORITY_CRITICAL);
    CHECK(msg.header.flags == TRIBUS_MSG_DURABLE);
    CHECK(msg.header.body_bytes == sizeof(msg.margin_call) - sizeof(msg.header));
    CHECK(msg.margin_call.account[31] == 0 && msg.margin_call.pad == 0);
    CHECK(tribus_wire_validate(&msg, sizeof(msg.margin_call)) == TRIBUS_OK);
    CHECK(tribus_wire_init(&msg, 20, TRIBUS_MSG_MARGIN_CALL) == TRIBUS_BAD_ARG);
}

static void text_set_cuts_between_characters_and_says_so(void)
{
    char field[8];

    memset(field, 'x', sizeof(field));
    CHECK(tribus_wire_text_set(field, sizeof(field), "GOOG"));
    CHECK(memcmp(field, "GOOG\0\0\0\0", 8) == 0);
    CHECK(tribus_wire_text_set(field, sizeof(field), "1234567"));
    CHECK(!tribus_wire_text_set(field, sizeof(field), "12345678"));
    CHECK_TEXT(field, "1234567");
    CHECK(!tribus_wire_text_set(field, sizeof(field), "12345€"));
    CHECK_TEXT(field, "12345");
    CHECK(tribus_wire_text_set(field, sizeof(field), NULL));
    CHECK_TEXT(field, "");
    CHECK(!tribus_wire_text_set(field, 0, "a"));
}

static void fields_lie_inside_the_message_and_do_not_overlap(void)
{
    for (uint32_t type = 1; type < TRIBUS_MSG_END; type++) {
        uint8_t taken[TRIBUS_WIRE_MESSAGE_BYTES] = {0};

        CHECK(tribus_wire_field_count(type) > 0);
        for (uint32_t i = 0; i < tribus_wire_field_count(type); i++) {
            tribus_wire_field_info f;

            CHECK(tribus_wire_field(type, i, &f) == TRIBUS_OK);
            CHECK(f.offset >= sizeof(tribus_msg_header));
            CHECK(f.offset + f.bytes <= tribus_wire_message_bytes(type));
            CHECK(strlen(f.key) > 0 && strlen(f.meaning) > 0 && f.unit != NULL);
            CHECK((f.kind == TRIBUS_WIRE_KIND_PICK) == (f.choice_count > 0));
            for (uint32_t at = f.offset; at < f.offset + f.bytes; at++)
                CHECK(taken[at]++ == 0);
        }
    }
}

static void a_field_is_printed_as_in_json(void)
{
    tribus_msg_any msg;
    char buf[64];

    CHECK(tribus_wire_init(&msg, sizeof(msg), TRIBUS_MSG_MARKET_DATA) == TRIBUS_OK);
    msg.market_data.bid_count = 2;
    msg.market_data.bids[0] = (tribus_level){100250000000, 3000000000};
    CHECK(tribus_wire_text_set(msg.market_data.symbol, 16, "a\"b"));
    CHECK(tribus_wire_field_print(&msg.header, 0, buf, sizeof(buf)) == TRIBUS_OK);
    CHECK_TEXT(buf, "\"a\\\"b\"");
    CHECK(tribus_wire_field_print(&msg.header, 4, buf, sizeof(buf)) == TRIBUS_OK);
    CHECK_TEXT(buf, "[[100.25,3.0],[0.0,0.0]]");
    CHECK(tribus_wire_field_print(&msg.header, 4, buf, 24) == TRIBUS_BAD_ARG);
    CHECK(tribus_wire_field_print(&msg.header, 0, buf, 0) == TRIBUS_BAD_ARG);
    CHECK(tribus_wire_field_print(&msg.header, 6, buf, sizeof(buf)) == TRIBUS_BAD_ARG);
}

int main(void)
{
    every_type_has_a_name_a_bus_a_size_and_is_found();
    what_is_no_type_is_answered_and_never_read();
    type_find_when_the_name_is_wrong_names_the_nearest();
    the_types_that_must_not_be_lost_are_durable();
    buses_and_priorities_are_found_by_name();
    channels_are_written_and_read_back();
    channel_parse_when_the_name_is_wrong_says_how();
    init_sets_what_follows_from_the_type();
    text_set_cuts_between_characters_and_says_so();
    fields_lie_inside_the_message_and_do_not_overlap();
    a_field_is_printed_as_in_json();
    return 0;
}
