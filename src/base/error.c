/* error.c -- see error.h. One fixed buffer a thread, so that running out of memory can
 * still be reported. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERROR_TEXT_BYTES 1024

static _Thread_local char error_text[ERROR_TEXT_BYTES];
static _Thread_local int error_errno;

const char *tribus_status_name(tribus_status st)
{
    static const struct {
        tribus_status st;
        const char *name;
    } names[] = {
        {TRIBUS_OK, "TRIBUS_OK"},
        {TRIBUS_FULL, "TRIBUS_FULL"},
        {TRIBUS_EMPTY, "TRIBUS_EMPTY"},
        {TRIBUS_TIMEOUT, "TRIBUS_TIMEOUT"},
        {TRIBUS_LAPPED, "TRIBUS_LAPPED"},
        {TRIBUS_STOPPED, "TRIBUS_STOPPED"},
        {TRIBUS_BAD_ARG, "TRIBUS_BAD_ARG"},
        {TRIBUS_NO_MEMORY, "TRIBUS_NO_MEMORY"},
        {TRIBUS_CORRUPT, "TRIBUS_CORRUPT"},
        {TRIBUS_SYSTEM, "TRIBUS_SYSTEM"},
        {TRIBUS_PEER_LOST, "TRIBUS_PEER_LOST"},
        {TRIBUS_POISONED, "TRIBUS_POISONED"},
        {TRIBUS_NOT_FOUND, "TRIBUS_NOT_FOUND"},
        {TRIBUS_EXISTS, "TRIBUS_EXISTS"},
        {TRIBUS_REFUSED, "TRIBUS_REFUSED"},
        {TRIBUS_UNSUPPORTED, "TRIBUS_UNSUPPORTED"},
        {TRIBUS_BAD_DATA, "TRIBUS_BAD_DATA"},
        {TRIBUS_VERSION, "TRIBUS_VERSION"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].st == st)
            return names[i].name;
    return "TRIBUS_?";
}

tribus_status tribus_error_set(tribus_status st, const char *fmt, ...)
{
    const int saved = errno;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(error_text, sizeof(error_text), fmt, args);
    va_end(args);
    error_errno = 0;
    if (st == TRIBUS_SYSTEM) {
        error_errno = saved;
        if (n >= 0 && (size_t)n < sizeof(error_text)) {
            char why[128];
            /* The GNU form: it returns the text, which may be `why` or a constant. */
            const char *text = strerror_r(saved, why, sizeof(why));

            (void)snprintf(error_text + n, sizeof(error_text) - (size_t)n, ": %s", text);
        }
    }
    return st;
}

void tribus_error_add(const char *fmt, ...)
{
    char old[ERROR_TEXT_BYTES];
    va_list args;
    int n;

    memcpy(old, error_text, sizeof(old));
    va_start(args, fmt);
    n = vsnprintf(error_text, sizeof(error_text), fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof(error_text))
        (void)snprintf(error_text + n, sizeof(error_text) - (size_t)n, ": %s", old);
}

const char *tribus_error_text(void)
{
    return error_text;
}

int tribus_error_errno(void)
{
    return error_errno;
}

void tribus_error_clear(void)
{
    error_text[0] = '\0';
    error_errno = 0;
}
