/* quant_table.h -- a CSV file, plain or .gz, as a table of numbers for `tribus quant`. */
#ifndef TRIBUS_CLI_QUANT_TABLE_H
#define TRIBUS_CLI_QUANT_TABLE_H

#include "tribus/quant.h"

#include <stdbool.h>

#define QUANT_COLUMNS_MAX 2048u

typedef struct quant_table {
    char *text;               /* owns names and labels */
    tribus_quant_text *names; /* of the numeric columns */
    double *value;            /* rows x cols; NaN: missing */
    tribus_quant_text *label; /* rows x label_cols: columns that are not numbers */
    tribus_quant_text *label_names;
    uint32_t rows, cols, label_cols;
} quant_table;

/* path: a file, or "-" for stdin. A column is numeric when its first row is. The first line
 * holds the names; where its first name is empty, that column is a label.
 * Returns true, or complains and returns false. */
bool quant_table_read(const char *command, const char *path, quant_table *out);
void quant_table_free(quant_table *t);

/* Index of a column by name; -1 after a complaint that lists what there is. */
int quant_table_column(const char *command, const quant_table *t, const char *name);

/* The same without a complaint. */
int quant_table_find(const quant_table *t, const char *name);

/* Index of a label column by name, or -1. */
int quant_table_label(const quant_table *t, const char *name);

/* A number for each numeric column of `assets` out of a file of assets: its first column that
 * is not a number names them, `column` has the values. An asset that is not in it, or has no
 * value, gets `fallback`; a name that is no asset is complained about. */
bool quant_table_per_asset(const char *command, const char *path, const char *column,
                           const quant_table *assets, double fallback, double *out);

/* out: t->rows x assets->cols, zeroed: the columns of t that are named as assets. A column that
 * is neither that nor named in `other` (NULL ends it) is complained about. */
bool quant_table_by_asset(const char *command, const char *path, const quant_table *t,
                          const quant_table *assets, const char *const *other, double *out);

/* Prices to simple returns, one row fewer; or complains and returns false. */
bool quant_table_to_returns(const char *command, const char *path, quant_table *t);

/* A progress bar on stderr, only on a terminal; done == count ends it. */
void quant_progress(const char *what, uint32_t done, uint32_t count);

#endif
