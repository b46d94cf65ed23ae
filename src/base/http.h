/* http.h -- a small HTTP server for /health, /metrics and state, by civetweb.
 *
 * Use it to   answer GET requests with text that one function makes.
 * Not for     the message path.
 *
 * Threads   answer() is called on the server's own threads, several at once: it must only read
 *           what is safe to read there. Their stacks are small (100 KiB).
 * Trust     Requests come from anyone who reaches the port; only the path is looked at, other
 *           methods than GET and HEAD get 405.
 */
#ifndef TRIBUS_BASE_HTTP_H
#define TRIBUS_BASE_HTTP_H

#include "tribus/base.h"

#include <stddef.h>

typedef struct tribus_http tribus_http;

/* What to send. body: malloc'd by answer(), freed by the server; NULL: nothing. */
typedef struct tribus_http_reply {
    int status;       /* 200, 404 ... */
    const char *type; /* "application/json", "text/plain; version=0.0.4"; a constant */
    char *body;
    size_t bytes;
} tribus_http_reply;

typedef void (*tribus_http_fn)(void *context, const char *path, tribus_http_reply *reply);

/* Serve on address:port. out: owned by the caller, tribus_http_stop().
 * Returns TRIBUS_OK, or TRIBUS_SYSTEM: the port is taken or not allowed; the text names it. */
TRIBUS_MUST_CHECK tribus_status tribus_http_start(const char *address, int port,
                                                  tribus_http_fn answer, void *context,
                                                  tribus_http **out);

/* Answer no more; returns when the last answer() has. NULL is allowed. */
void tribus_http_stop(tribus_http *http);

#endif
