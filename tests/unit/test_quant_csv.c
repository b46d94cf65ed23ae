/* test_quant_csv.c -- rows, quotes, missing values and broken text.
 *
 * labels: single_thread */
#include "check.h"
#include "tribus/quant.h"

static void rows_give_their_fields_and_end(void)
{
    static const char text[] = "a,\"b,\"\"c\"\"\",\r\n\n1, 2.5e3 ,NA\nx";
    tribus_quant_csv csv;
    tribus_quant_text f[3];
    uint32_t n;
    double x;

    tribus_quant_csv_init(&csv, text, strlen(text));
    CHECK(tribus_quant_csv_next(&csv, f, 3, &n, NULL) == TRIBUS_OK && n == 3);
    CHECK(f[1].bytes == 7 && memcmp(f[1].at, "b,\"\"c\"\"", 7) == 0 && f[2].bytes == 0);
    CHECK(tribus_quant_csv_next(&csv, f, 3, &n, NULL) == TRIBUS_OK && csv.line == 3);
    CHECK(tribus_quant_csv_number(f[1], &x) == TRIBUS_OK && x == 2500);
    CHECK(tribus_quant_csv_number(f[2], &x) == TRIBUS_OK && isnan(x));
    CHECK(tribus_quant_csv_next(&csv, f, 3, &n, NULL) == TRIBUS_OK && n == 1);
    CHECK(tribus_quant_csv_number(f[0], &x) == TRIBUS_BAD_DATA && isnan(x));
    CHECK(tribus_quant_csv_next(&csv, f, 3, &n, NULL) == TRIBUS_EMPTY);
}

static void broken_rows_name_line_and_field(void)
{
    static const char text[] = "a,\"b\n1,2,3,4\n\"x\"y,1\n";
    tribus_quant_csv csv;
    tribus_quant_text f[3];
    tribus_quant_why why;
    uint32_t n;

    tribus_quant_csv_init(&csv, text, strlen(text));
    CHECK(tribus_quant_csv_next(&csv, f, 3, &n, &why) == TRIBUS_BAD_DATA);
    CHECK_TEXT(why.text, "line 1, field 2: a quote does not close, or text follows it");
    CHECK(tribus_quant_csv_next(&csv, f, 3, &n, &why) == TRIBUS_FULL && n == 4);
    CHECK_TEXT(why.text, "line 2 has 4 fields, more than 3");
    CHECK(tribus_quant_csv_next(&csv, f, 3, &n, &why) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_csv_next(&csv, f, 3, &n, &why) == TRIBUS_EMPTY);
}

static void empty_text_has_no_rows(void)
{
    tribus_quant_csv csv;
    tribus_quant_text f[1];
    uint32_t n;

    tribus_quant_csv_init(&csv, "", 0);
    CHECK(tribus_quant_csv_next(&csv, f, 1, &n, NULL) == TRIBUS_EMPTY);
    tribus_quant_csv_init(&csv, "\n\r\n", 3);
    CHECK(tribus_quant_csv_next(&csv, f, 1, &n, NULL) == TRIBUS_EMPTY);
}

int main(void)
{
    rows_give_their_fields_and_end();
    broken_rows_name_line_and_field();
    empty_text_has_no_rows();
    return 0;
}
