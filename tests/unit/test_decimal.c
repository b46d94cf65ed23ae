#include "check.h"

#include "feeds/decimal.h"

typedef const char *(*reader)(const char *p, const char *end, int places, int64_t *out);

/* The value of a text that is read to its end; INT64_MIN where it is refused. */
static int64_t value_of(reader read, const char *text, int places)
{
    int64_t out = INT64_MIN;
    const char *end = read(text, text + strlen(text), places, &out);

    if (end == NULL) {
        CHECK(out == INT64_MIN);
        return out;
    }
    CHECK(*end == '\0');
    return out;
}

static void read_is_exact_and_refuses_what_it_would_have_to_round(void)
{
    CHECK(value_of(tribus_decimal_read, "0", 0) == 0);
    CHECK(value_of(tribus_decimal_read, "-12.5", 1) == -125);
    CHECK(value_of(tribus_decimal_read, "12.5", 9) == 12500000000);
    CHECK(value_of(tribus_decimal_read, "34200.017459617", 9) == 34200017459617);
    CHECK(value_of(tribus_decimal_read, "1.50000", 1) == 15);
    CHECK(value_of(tribus_decimal_read, "1.51", 1) == INT64_MIN);
    CHECK(value_of(tribus_decimal_read, "1.5", 0) == INT64_MIN);
    CHECK(value_of(tribus_decimal_read, "9223372036854775807", 0) == INT64_MAX);
    CHECK(value_of(tribus_decimal_read, "9223372036854775808", 0) == INT64_MIN);
    CHECK(value_of(tribus_decimal_read, "9223372037", 9) == INT64_MIN);
}

static void read_refuses_what_is_not_a_number(void)
{
    static const char *const texts[] = {"",   "-",  ".5",  "1.",  "x",
                                        "+1", " 1", "--1", "1..2"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t out = 7;
        const char *end =
            tribus_decimal_read(texts[i], texts[i] + strlen(texts[i]), 3, &out);

        CHECK(end == NULL && out == 7);
    }
}

static void read_stops_where_the_number_or_the_text_ends(void)
{
    const char text[] = "12,3456";
    int64_t out = 0;

    CHECK(tribus_decimal_read(text, text + 7, 0, &out) == text + 2 && out == 12);
    CHECK(tribus_decimal_read(text + 3, text + 5, 0, &out) == text + 5 && out == 34);
}

static void round_goes_to_the_nearest_and_halves_go_away_from_zero(void)
{
    CHECK(value_of(tribus_decimal_round, "43002.632812672004", 9) == 43002632812672);
    CHECK(value_of(tribus_decimal_round, "1.49999", 0) == 1);
    CHECK(value_of(tribus_decimal_round, "1.5", 0) == 2);
    CHECK(value_of(tribus_decimal_round, "-1.5", 0) == -2);
    CHECK(value_of(tribus_decimal_round, "0.9996", 3) == 1000);
    CHECK(value_of(tribus_decimal_round, "9223372036854775807.5", 0) == INT64_MIN);
}

int main(void)
{
    read_is_exact_and_refuses_what_it_would_have_to_round();
    read_refuses_what_is_not_a_number();
    read_stops_where_the_number_or_the_text_ends();
    round_goes_to_the_nearest_and_halves_go_away_from_zero();
    return 0;
}
