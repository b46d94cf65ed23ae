/* error.h -- set the text behind a fault where it happens, add context on the way up.
 *
 * tribus_error_set(TRIBUS_SYSTEM, "map %s: %zu bytes", path, bytes)  at the place of
 * failure tribus_error_add("open region %s", name)                           once per layer
 * above gives "open region risk: map /x: 4096 bytes: Cannot allocate memory".
 *
 * Threads   the text belongs to the calling thread.
 * Cost      formats into a fixed buffer; too long a text is cut at the end.
 */
#ifndef TRIBUS_BASE_ERROR_H
#define TRIBUS_BASE_ERROR_H

#include "tribus/base.h"

/* Replace this thread's text. With TRIBUS_SYSTEM, errno is kept and its text is appended.
 * Returns st, so that a failing function can end with `return tribus_error_set(...)`. */
tribus_status tribus_error_set(tribus_status st, const char *fmt, ...) TRIBUS_PRINTF(2, 3);

/* Put "<context>: " in front of this thread's text. */
void tribus_error_add(const char *fmt, ...) TRIBUS_PRINTF(1, 2);

#endif
