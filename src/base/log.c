/* log.c -- see log.h. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* Set once before threads start, as tribus_log_set() says; read-only afterwards. */
static tribus_log_fn log_fn;
static void *log_context;
static tribus_log_level log_least;

void tribus_log_set(tribus_log_fn fn, void *context, tribus_log_level least)
{
    log_fn = fn;
    log_context = context;
    log_least = least;
}

const char *tribus_log_level_name(tribus_log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    return (unsigned)level < 4u ? names[level] : "?";
}

void tribus_log(tribus_log_level level, const char *fmt, ...)
{
    const int saved = errno;
    char line[1024];
    va_list args;

    if (log_fn == NULL || level < log_least)
        return;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    log_fn(log_context, level, line);
    errno = saved;
}
