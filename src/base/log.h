/* log.h -- log lines of this process, sent to the hook given to tribus_log_set().
 *
 * Not for   the message path: no line is logged per message.
 * Threads   any; the hook must be safe to call from any thread.
 */
#ifndef TRIBUS_BASE_LOG_H
#define TRIBUS_BASE_LOG_H

#include "tribus/base.h"

void tribus_log(tribus_log_level level, const char *fmt, ...) TRIBUS_PRINTF(2, 3);

/* "debug", "info", "warn", "error". */
const char *tribus_log_level_name(tribus_log_level level);

#endif
