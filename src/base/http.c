/* http.c -- see http.h. */
#include "base/http.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define POKE_NS 5000000L /* between two pokes while the server stops */

struct tribus_http {
    struct mg_context *server;
    tribus_http_fn answer;
    void *context;
    struct sockaddr_in at; /* family 0: not an IPv4 address, nobody to poke */
};

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 503:
        return "Service Unavailable";
    default:
        return "Error";
    }
}

/* civetweb's threads have stacks of 100 KiB, which a page that looks at many rows overruns:
 * answers are made on a stack of ordinary size. */
#define ANSWER_STACK_BYTES ((size_t)2 << 20)

typedef struct answering {
    const tribus_http *http;
    const char *path;
    tribus_http_reply *reply;
} answering;

static void *make_answer(void *context)
{
    const answering *a = context;

    a->http->answer(a->http->context, a->path, a->reply);
    return NULL;
}

static void answer_on_own_stack(const tribus_http *http, const char *path,
                                tribus_http_reply *reply)
{
    answering a = {http, path, reply};
    pthread_attr_t attributes;
    pthread_t thread;
    int err;

    err = pthread_attr_init(&attributes);
    if (err == 0) {
        err = pthread_attr_setstacksize(&attributes, ANSWER_STACK_BYTES);
        if (err == 0)
            err = pthread_create(&thread, &attributes, make_answer, &a);
        (void)pthread_attr_destroy(&attributes);
    }
    if (err != 0)
        reply->status = 503;
    else
        (void)pthread_join(thread, NULL);
}

static int on_request(struct mg_connection *connection, void *context)
{
    const struct mg_request_info *request = mg_get_request_info(connection);
    const tribus_http *http = context;
    tribus_http_reply reply = {.status = 404, .type = "text/plain"};
    const int head = strcmp(request->request_method, "HEAD") == 0;

    if (!head && strcmp(request->request_method, "GET") != 0)
        reply.status = 405;
    else
        answer_on_own_stack(http, request->local_uri, &reply);
    (void)mg_printf(connection,
                    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                    "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                    reply.status, reason(reply.status), reply.type,
                    reply.body != NULL ? reply.bytes : 0);
    if (!head && reply.body != NULL)
        (void)mg_write(connection, reply.body, reply.bytes);
    free(reply.body);
    return reply.status;
}

/* civetweb would write its complaints to stderr. */
static int swallow(const struct mg_connection *connection, const char *text)
{
    (void)connection;
    (void)text;
    return 1;
}

tribus_status tribus_http_start(const char *address, int port, tribus_http_fn answer,
                                void *context, tribus_http **out)
{
    static const struct mg_callbacks callbacks = {.log_message = swallow};
    char where[80];
    const char *options[] = {"listening_ports",    where,  "num_threads", "2",
                             "request_timeout_ms", "5000", NULL};
    tribus_http *http;

    (void)snprintf(where, sizeof(where), "%s:%d", address, port);
    http = calloc(1, sizeof(*http));
    if (http == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "http server on %s", where);
    http->answer = answer;
    http->context = context;
    if (inet_pton(AF_INET, address, &http->at.sin_addr) == 1) {
        http->at.sin_family = AF_INET;
        http->at.sin_port = htons((uint16_t)port);
        if (http->at.sin_addr.s_addr == htonl(INADDR_ANY))
            http->at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    (void)mg_init_library(0);
    errno = 0;
    http->server = mg_start(&callbacks, http, options);
    if (http->server == NULL) {
        free(http);
        if (errno == 0)
            errno = EADDRINUSE;
        return tribus_error_set(
            TRIBUS_SYSTEM, "http server on %s: choose another port, or 0 for none", where);
    }
    mg_set_request_handler(http->server, "/", on_request, http);
    *out = http;
    return TRIBUS_OK;
}

static void *stop_server(void *server)
{
    mg_stop(server);
    return NULL;
}

/* civetweb looks at its stop flag only when a connection comes, or every two seconds. */
static void poke(const tribus_http *http)
{
    const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (s < 0)
        return;
    (void)connect(s, (const struct sockaddr *)&http->at, sizeof(http->at));
    (void)close(s);
}

void tribus_http_stop(tribus_http *http)
{
    pthread_t thread;

    if (http == NULL)
        return;
    if (http->at.sin_family == AF_INET &&
        pthread_create(&thread, NULL, stop_server, http->server) == 0) {
        struct timespec until;

        do {
            poke(http);
            (void)clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += POKE_NS;
            until.tv_sec += until.tv_nsec / 1000000000L;
            until.tv_nsec %= 1000000000L;
        } while (pthread_timedjoin_np(thread, NULL, &until) == ETIMEDOUT);
    } else {
        mg_stop(http->server);
    }
    (void)mg_exit_library();
    free(http);
}
