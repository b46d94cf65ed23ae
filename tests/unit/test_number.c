/* Decimal text <-> 1e-9 without a lost digit. */
#include "tribus/base.h"
#include "tribus/wire.h"

#include "base/random.h"
#include "check.h"
#include "wire/number.h"

static int64_t parsed(const char *text)
{
    int64_t out = 0;

    CHECK(tribus_wire_e9_parse(text, strlen(text), &out) == TRIBUS_OK);
    return out;
}

static void what_is_printed_is_read_back(void)
{
    char text[TRIBUS_WIRE_E9_BYTES];
    tribus_random r;

    tribus_random_init(&r, check_seed());
    for (int i = 0; i < 200000; i++) {
        const int64_t value = (int64_t)tribus_random_u64(&r) >> tribus_random_below(&r, 64);
        const size_t n = tribus_wire_e9_print(value, text);

        CHECK(n == strlen(text) && n < TRIBUS_WIRE_E9_BYTES);
        CHECK(parsed(text) == value);
    }
    (void)tribus_wire_e9_print(INT64_MIN, text);
    CHECK_TEXT(text, "-9223372036.854775808");
    (void)tribus_wire_e9_print(0, text);
    CHECK_TEXT(text, "0.0");
    (void)tribus_wire_e9_print(-1, text);
    CHECK_TEXT(text, "-0.000000001");
    (void)tribus_wire_e9_print(12345678123456789, text);
    CHECK_TEXT(text, "12345678.123456789");
}

static void what_is_not_a_number_in_json_is_refused(void)
{
    static const char *const bad[] = {"",    "-",   "+1",  ".5",    "1.",  "01",    "1e",
                                      "1e+", "0x1", "1 ",  " 1",    "--1", "1.2.3", "1e1e1",
                                      "NaN", "inf", "1,5", "1e1.5", "-.5", "00"};
    int64_t out = 77;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(tribus_wire_e9_parse(bad[i], strlen(bad[i]), &out) == TRIBUS_BAD_DATA);
        CHECK(out == 77);
    }
}

static void parse_rounds_half_away_from_zero(void)
{
    CHECK(parsed("1.0000000005") == 1000000001);
    CHECK(parsed("-1.0000000005") == -1000000001);
    CHECK(parsed("1.00000000049999999999999999999") == 1000000000);
    CHECK(parsed("5e-10") == 1 && parsed("4.999e-10") == 0 && parsed("5e-11") == 0);
    CHECK(parsed("0.00000000000000000012e12") == 120);
}

static void parse_when_out_of_range_saturates_and_says_so(void)
{
    static const char *const high[] = {"9223372036.854775808", "1e10", "1e400",
                                       "9223372036.8547758075",
                                       "99999999999999999999999999999999"};
    int64_t out;

    for (size_t i = 0; i < sizeof(high) / sizeof(high[0]); i++) {
        char negative[64];

        out = 0;
        CHECK(tribus_wire_e9_parse(high[i], strlen(high[i]), &out) == TRIBUS_BAD_DATA);
        CHECK(out == INT64_MAX);
        (void)snprintf(negative, sizeof(negative), "-%s", high[i]);
        if (i == 0)
            continue; /* -2^63 does fit */
        CHECK(tribus_wire_e9_parse(negative, strlen(negative), &out) == TRIBUS_BAD_DATA ||
              i == 3);
        CHECK(out == INT64_MIN || i == 3);
    }
    CHECK(parsed("-9223372036.854775808") == INT64_MIN);
    CHECK(tribus_wire_e9_parse("1e10", 4, &out) == TRIBUS_BAD_DATA);
    CHECK_TEXT(tribus_error_text(),
               "1e10 is out of range: at most 9223372036.854775807 fits");
}

static void doubles_convert_both_ways(void)
{
    tribus_random r;
    bool in_range = false;

    tribus_random_init(&r, check_seed());
    for (int i = 0; i < 100000; i++) {
        /* A double tells nine decimals of a number below 4 million apart. */
        const int64_t value = (int64_t)tribus_random_below(&r, 4000000000000000ull);

        CHECK(tribus_wire_e9_from_double(tribus_wire_e9_to_double(value), &in_range) ==
              value);
        CHECK(in_range);
    }
    CHECK(tribus_wire_e9_from_double(1e10, &in_range) == INT64_MAX && !in_range);
    CHECK(tribus_wire_e9_from_double(-INFINITY, &in_range) == INT64_MIN && !in_range);
    CHECK(tribus_wire_e9_from_double(NAN, &in_range) == 0 && !in_range);
    CHECK(tribus_wire_e9_from_double(100.1, NULL) == 100100000000);
    CHECK(tribus_wire_e9_to_double(INT64_MAX) == 9223372036.854775807);
    CHECK(tribus_wire_e9_to_double(-1500000000) == -1.5);
}

static void integers_say_what_was_cut(void)
{
    tribus_number d;

    CHECK(tribus_number_read("5.000", 5, 0, &d) && d.magnitude == 5 && !d.inexact);
    CHECK(tribus_number_read("1.7e18", 6, 0, &d) && d.magnitude == 1700000000000000000u);
    CHECK(tribus_number_read("18446744073709551615", 20, 0, &d) && !d.overflow &&
          d.magnitude == UINT64_MAX);
    CHECK(tribus_number_read("18446744073709551616", 20, 0, &d) && d.overflow);
    CHECK(tribus_number_read("-2.5", 4, 0, &d) && d.negative && d.inexact && d.half);
    CHECK(tribus_number_read("1e-999999999999", 15, 9, &d) && d.magnitude == 0 &&
          d.inexact);
}

int main(void)
{
    what_is_printed_is_read_back();
    what_is_not_a_number_in_json_is_refused();
    parse_rounds_half_away_from_zero();
    parse_when_out_of_range_saturates_and_says_so();
    doubles_convert_both_ways();
    integers_say_what_was_cut();
    return 0;
}
