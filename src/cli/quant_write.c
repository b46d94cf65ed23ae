/* quant_write.c -- see quant_write.h. */
#include "cli/quant_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void quant_write_begin(quant_writer *w, const char *names, bool json)
{
    *w = (quant_writer){.names = names, .json = json, .at = names};
    if (!json)
        printf("%s\n", names);
}

static void put_escaped(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        const unsigned char c = (unsigned char)text[i];

        if (c < 0x20)
            printf("\\u%04x", c);
        else if (c == '"' || c == '\\')
            printf("\\%c", c);
        else
            (void)putchar(c);
    }
}

/* What stands before a value. */
static void open_column(quant_writer *w)
{
    if (!w->json) {
        printf("%s", w->column > 0 ? "," : "");
        return;
    }
    printf("%s\"", w->column > 0 ? "," : "{");
    put_escaped(w->at, strcspn(w->at, ","));
    printf("\":");
}

static void close_column(quant_writer *w)
{
    w->at += strcspn(w->at, ",");
    w->column++;
    if (*w->at == ',') {
        w->at++;
        return;
    }
    printf(w->json ? "}\n" : "\n");
    w->at = w->names;
    w->column = 0;
}

void quant_write_number(quant_writer *w, double x)
{
    open_column(w);
    if (isfinite(x))
        printf("%.12g", x);
    else if (w->json)
        printf("null");
    close_column(w);
}

void quant_write_text(quant_writer *w, tribus_quant_text text)
{
    bool quoted = false;

    open_column(w);
    for (uint32_t i = 0; i < text.bytes; i++)
        quoted = quoted || strchr(",\"\r\n", text.at[i]) != NULL;
    if (w->json) {
        (void)putchar('"');
        put_escaped(text.at, text.bytes);
        (void)putchar('"');
    } else if (!quoted) {
        printf("%.*s", (int)text.bytes, text.at);
    } else {
        (void)putchar('"');
        for (uint32_t i = 0; i < text.bytes; i++)
            printf(text.at[i] == '"' ? "\"%c" : "%c", text.at[i]);
        (void)putchar('"');
    }
    close_column(w);
}

char *quant_write_names(const char *before, const tribus_quant_text *names, uint32_t count)
{
    size_t bytes = strlen(before) + 1, used;
    char *out;

    for (uint32_t i = 0; i < count; i++)
        bytes += names[i].bytes + 1u;
    out = malloc(bytes);
    if (out == NULL)
        return NULL;
    used = strlen(before);
    memcpy(out, before, used);
    for (uint32_t i = 0; i < count; i++) {
        if (used > 0)
            out[used++] = ',';
        for (uint32_t k = 0; k < names[i].bytes; k++) /* a comma would begin a column */
            out[used++] = names[i].at[k] == ',' ? ';' : names[i].at[k];
    }
    out[used] = '\0';
    return out;
}
