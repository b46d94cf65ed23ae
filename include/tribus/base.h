/* base.h -- error text, time and log hook for users of any Tribus header.
 *
 * Threads   Error text is per thread. The log hook is set once, before other threads start.
 * Cost      Setting an error formats into a fixed thread-local buffer; no allocation.
 */
#ifndef TRIBUS_BASE_H
#define TRIBUS_BASE_H

#include "tribus/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Text of the last fault of this thread, with the context each layer added in front:
 * "open region: map 1073741824 bytes: Cannot allocate memory". Borrowed until the next
 * fault of this thread. "" when there was none. */
const char *tribus_error_text(void);

/* errno of the last TRIBUS_SYSTEM fault of this thread, else 0. */
int tribus_error_errno(void);

/* Forget the last fault of this thread. */
void tribus_error_clear(void);

/* Monotonic time, for intervals and deadlines. */
int64_t tribus_now_ns(void);

/* Wall-clock time since 1970-01-01 UTC, for stamps. */
int64_t tribus_now_wall_ns(void);

typedef enum tribus_log_level {
    TRIBUS_LOG_DEBUG = 0,
    TRIBUS_LOG_INFO = 1,
    TRIBUS_LOG_WARN = 2,
    TRIBUS_LOG_ERROR = 3
} tribus_log_level;

/* Called for each log line. text: borrowed, without a newline. */
typedef void (*tribus_log_fn)(void *context, tribus_log_level level, const char *text);

/* Send log lines of this process to fn. Without a hook nothing is printed anywhere:
 * libraries never print. Call once, before other threads start. fn NULL: silence again. */
void tribus_log_set(tribus_log_fn fn, void *context, tribus_log_level least);

#ifdef __cplusplus
}
#endif

#endif
