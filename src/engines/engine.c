/* engine.c -- see engine.h. */
#include "engines/engine.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/http.h"
#include "base/log.h"
#include "base/os.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES_A_ROUND 512
#define LONGEST_NAP_NS   20000000 /* so that a stop is seen soon */
#define SECOND_NS        1000000000

struct tribus_engine {
    const tribus_engine_ops *ops;
    const tribus_engine_cfg *cfg;
    void *state;
    tribus_session *session;
    tribus_bus *bus;
    tribus_subscription *sub;
    tribus_http *http;
    pthread_mutex_t render_lock; /* guards rendered */
    tribus_engine_text rendered;
    tribus_engine_text scratch;
    char detail[96];
    int64_t started_ns, next_second_ns, complained_ns;
    double cpu_s, cpu; /* processor seconds at the last health message; cores since */
    uint64_t lost, errors, received;
    tribus_status fatal; /* what ends the engine after the step that met it */
    int port;
};

void tribus_engine_print(tribus_engine_text *t, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(t->bytes + t->used, sizeof(t->bytes) - t->used, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof(t->bytes) - t->used)
        t->used += (size_t)n;
    else
        t->bytes[t->used] = '\0';
}

const tribus_platform *tribus_engine_platform(const tribus_engine *e)
{
    return e->cfg->platform;
}

tribus_session *tribus_engine_session(tribus_engine *e)
{
    return e->session;
}

const tribus_engine_source *tribus_engine_source_of(const tribus_engine *e)
{
    return e->cfg->source;
}

bool tribus_engine_stopped(const tribus_engine *e)
{
    return e->cfg->stopped != NULL && e->cfg->stopped(e->cfg->context) != 0;
}

void tribus_engine_complain(tribus_engine *e, const char *what)
{
    const int64_t now = tribus_now_ns();

    e->errors++;
    if (e->complained_ns != 0 && now - e->complained_ns < SECOND_NS)
        return;
    e->complained_ns = now;
    tribus_log(TRIBUS_LOG_WARN, "%s: %s (%llu errors so far)", what, tribus_error_text(),
               (unsigned long long)e->errors);
}

void tribus_engine_detail(tribus_engine *e, const char *detail)
{
    (void)tribus_wire_text_set(e->detail, sizeof(e->detail), detail);
}

void tribus_engine_publish(tribus_engine *e, tribus_msg_header *msg)
{
    const tribus_status st = tribus_bus_publish(e->bus, msg);

    if (st ==
        TRIBUS_NO_MEMORY) /* no room for our topic: every later message would be lost */
        e->fatal = st;
    else if (st != TRIBUS_OK)
        tribus_engine_complain(e, "publish");
}

/* ---- once a second ---- */

static double processor_seconds(void)
{
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u) != 0)
        return 0.0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static uint64_t published(const tribus_engine *e)
{
    uint64_t n = 0;

    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        tribus_bus_stats s;

        if (tribus_bus_get_stats(e->bus, b, &s) == TRIBUS_OK)
            n += s.published;
    }
    return n;
}

static void publish_health(tribus_engine *e, uint32_t state)
{
    const double used = processor_seconds();
    tribus_msg_engine_health m;

    if (tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_ENGINE_HEALTH) != TRIBUS_OK)
        return;
    e->cpu = used - e->cpu_s;
    e->cpu_s = used;
    m.state = state;
    m.http_port = (uint32_t)e->port;
    m.process = (uint64_t)getpid();
    m.uptime_ns = tribus_now_ns() - e->started_ns;
    m.messages_received = e->received;
    m.messages_published = published(e);
    m.messages_lost = e->lost;
    m.errors = e->errors;
    m.resident_bytes = tribus_os_resident_bytes(0);
    m.cpu = e->cpu;
    (void)tribus_wire_text_set(m.detail, sizeof(m.detail), e->detail);
    tribus_engine_publish(e, &m.header);
}

static void render(tribus_engine *e)
{
    tribus_engine_text *t = &e->scratch;

    t->used = 0;
    tribus_engine_print(
        t,
        "{\"engine\":\"%s\",\"state\":\"%s\",\"process\":%ld,"
        "\"uptime_ns\":%lld,\"messages_received\":%llu,"
        "\"messages_published\":%llu,\"messages_lost\":%llu,\"errors\":%llu,"
        "\"resident_bytes\":%zu,\"cpu_cores\":%.4f",
        e->ops->name, e->detail[0] != '\0' ? "degraded" : "running", (long)getpid(),
        (long long)(tribus_now_ns() - e->started_ns), (unsigned long long)e->received,
        (unsigned long long)published(e), (unsigned long long)e->lost,
        (unsigned long long)e->errors, tribus_os_resident_bytes(0), e->cpu);
    if (e->ops->render != NULL)
        e->ops->render(e, e->state, t);
    tribus_engine_print(t, "}\n");
    (void)pthread_mutex_lock(&e->render_lock);
    memcpy(e->rendered.bytes, t->bytes, t->used + 1);
    e->rendered.used = t->used;
    (void)pthread_mutex_unlock(&e->render_lock);
}

static void every_second(tribus_engine *e, int64_t now_ns)
{
    if (now_ns < e->next_second_ns)
        return;
    e->next_second_ns = now_ns + SECOND_NS;
    publish_health(e, e->detail[0] != '\0' ? TRIBUS_WIRE_STATE_DEGRADED
                                           : TRIBUS_WIRE_STATE_RUNNING);
    render(e);
}

/* ---- HTTP ---- */

/* Turn the flat members of the state object into Prometheus text: numbers only. */
static size_t metrics_of(const char *json, const char *engine, char *out, size_t bytes)
{
    size_t used = 0;

    for (const char *at = strchr(json, '"'); at != NULL; at = strchr(at, '"')) {
        const char *end = strchr(at + 1, '"');
        const char *value = end != NULL ? end + 1 : NULL;
        char *after;
        double x;
        int n;

        if (value == NULL)
            break;
        if (*value != ':') { /* the text of a value */
            at = end + 1;
            continue;
        }
        x = strtod(value + 1, &after);
        if (after != value + 1 && used < bytes) {
            n = snprintf(
                out + used, bytes - used,
                "# TYPE tribus_engine_%.*s gauge\ntribus_engine_%.*s{engine=\"%s\"} "
                "%.17g\n",
                (int)(end - at - 1), at + 1, (int)(end - at - 1), at + 1, engine, x);
            if (n > 0 && (size_t)n < bytes - used)
                used += (size_t)n;
        }
        at = value;
    }
    out[used] = '\0';
    return used;
}

static void answer(void *context, const char *path, tribus_http_reply *reply)
{
    tribus_engine *e = context;
    const size_t room = 4 * sizeof(e->rendered.bytes);
    char *text = calloc(1, sizeof(e->rendered.bytes)), *body = calloc(1, room);

    if (text == NULL || body == NULL) {
        reply->status = 503;
    } else {
        (void)pthread_mutex_lock(&e->render_lock);
        memcpy(text, e->rendered.bytes, e->rendered.used + 1);
        (void)pthread_mutex_unlock(&e->render_lock);
        reply->status = 200;
        reply->type = "application/json";
        if (strcmp(path, "/state") == 0 || strcmp(path, "/") == 0) {
            reply->bytes = (size_t)snprintf(body, room, "%s", text);
        } else if (strcmp(path, "/health") == 0) {
            const bool fine = strstr(text, "\"state\":\"running\"") != NULL;

            reply->status = fine ? 200 : 503;
            reply->bytes =
                (size_t)snprintf(body, room, "{\"engine\":\"%s\",\"healthy\":%s}\n",
                                 e->ops->name, fine ? "true" : "false");
        } else if (strcmp(path, "/metrics") == 0) {
            reply->type = "text/plain; version=0.0.4";
            reply->bytes = metrics_of(text, e->ops->name, body, room);
        } else {
            reply->status = 404;
        }
    }
    free(text);
    if (reply->bytes > 0)
        reply->body = body;
    else
        free(body);
}

/* ---- running ---- */

static tribus_status open_engine(tribus_engine *e)
{
    const tribus_platform *p = e->cfg->platform;
    const tribus_session_cfg session = {
        .socket_path = e->cfg->socket_path, .name = e->ops->name, .role = "engine"};
    const tribus_bus_cfg bus = {.off = (p->marketdata_bus.enabled ? 0u : 1u) |
                                       (p->engine_logic_bus.enabled ? 0u : 2u) |
                                       (p->neural_gpu_bus.enabled ? 0u : 4u),
                                .cells = {(uint32_t)p->marketdata_bus.cells,
                                          (uint32_t)p->engine_logic_bus.cells,
                                          (uint32_t)p->neural_gpu_bus.cells},
                                .engine_type = e->ops->name};
    tribus_status st = tribus_session_open(&session, &e->session);

    if (st == TRIBUS_OK)
        st = tribus_bus_open(e->session, &bus, &e->bus);
    if (st == TRIBUS_OK)
        st = e->ops->open(e, &e->state);
    /* Only now: what opens slowly would be lapped before it reads its first message. */
    if (st == TRIBUS_OK && e->ops->types != 0) {
        const tribus_bus_filter filter = {.types = e->ops->types};

        st = tribus_bus_subscribe(e->bus, &filter, &e->sub);
    }
    if (st != TRIBUS_OK)
        return st;
    if (e->sub != NULL && e->ops->bell != NULL)
        tribus_bus_wait_also(e->sub, e->ops->bell(e->state), e->ops->ready, e->state);
    e->port = e->ops->port(p);
    if (e->port > 0 &&
        tribus_http_start("127.0.0.1", e->port, answer, e, &e->http) != TRIBUS_OK) {
        tribus_log(TRIBUS_LOG_WARN, "%s; going on without it", tribus_error_text());
        e->port = 0;
    }
    return TRIBUS_OK;
}

static tribus_status receive(tribus_engine *e)
{
    tribus_status st = TRIBUS_OK;

    for (int i = 0; e->sub != NULL && i < MESSAGES_A_ROUND; i++) {
        const tribus_msg_header *msg;
        uint64_t lost = 0;

        st = tribus_bus_next(e->sub, &msg, &lost);
        e->lost += lost;
        if (st == TRIBUS_EMPTY)
            return TRIBUS_OK;
        if (st != TRIBUS_OK)
            return st;
        e->received++;
        st = e->ops->on_message(e, e->state, msg);
        if (st != TRIBUS_OK)
            return st;
    }
    return st;
}

/* Sleep until a message comes or it is time for the next step. */
static tribus_status nap(tribus_engine *e, int64_t next_ns)
{
    const int64_t now = tribus_now_ns();
    int64_t left = next_ns - now;
    tribus_status st;

    if (left > LONGEST_NAP_NS)
        left = LONGEST_NAP_NS;
    if (left <= 0)
        return TRIBUS_OK;
    if (e->sub != NULL) {
        const tribus_wait_cfg wait = {.timeout_ns = left};
        const tribus_msg_header *msg;
        uint64_t lost = 0;

        st = tribus_bus_next_wait(e->sub, &msg, &lost, &wait);
        e->lost += lost;
        if (st == TRIBUS_TIMEOUT || st == TRIBUS_EMPTY)
            return TRIBUS_OK;
        if (st != TRIBUS_OK)
            return st;
        e->received++;
        return e->ops->on_message(e, e->state, msg);
    }
    {
        const struct timespec t = {.tv_sec = (time_t)(left / SECOND_NS),
                                   .tv_nsec = (long)(left % SECOND_NS)};

        (void)nanosleep(&t, NULL);
    }
    return TRIBUS_OK;
}

static tribus_status serve(tribus_engine *e)
{
    tribus_status st = TRIBUS_OK;

    while (st == TRIBUS_OK && !tribus_engine_stopped(e)) {
        int64_t now, next;

        st = receive(e);
        now = tribus_now_ns();
        next = e->next_second_ns;
        if (st == TRIBUS_OK && e->ops->step != NULL) {
            int64_t due = INT64_MAX;

            st = e->ops->step(e, e->state, now, &due);
            next = due < next ? due : next;
        }
        every_second(e, now);
        if (st == TRIBUS_OK)
            st = e->fatal;
        if (st == TRIBUS_OK)
            st = nap(e, next);
    }
    return st == TRIBUS_STOPPED ? TRIBUS_OK : st;
}

tribus_status tribus_engine_run(const tribus_engine_ops *ops, const tribus_engine_cfg *cfg)
{
    tribus_engine *e = calloc(1, sizeof(*e));
    tribus_status st;

    if (e == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "engine %s", ops->name);
    e->ops = ops;
    e->cfg = cfg;
    e->started_ns = tribus_now_ns();
    (void)pthread_mutex_init(&e->render_lock, NULL);
    st = open_engine(e);
    if (st == TRIBUS_OK) {
        tribus_log(TRIBUS_LOG_INFO, "running");
        st = serve(e);
        publish_health(e, TRIBUS_WIRE_STATE_STOPPED);
    }
    if (st != TRIBUS_OK)
        tribus_error_add("engine %s", ops->name);
    tribus_http_stop(e->http);
    ops->close(e->state);
    tribus_bus_unsubscribe(e->sub);
    tribus_bus_close(e->bus);
    tribus_session_close(e->session);
    (void)pthread_mutex_destroy(&e->render_lock);
    free(e);
    return st;
}
