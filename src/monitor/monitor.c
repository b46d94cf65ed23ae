/* monitor.c -- see monitor.h. */
#include "monitor/monitor.h"
#include "base/error.h"
#include "base/http.h"
#include "monitor/collect.h"
#include "monitor/nvml.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tribus_monitor {
    tribus_monitor_cfg cfg;
    tribus_http *http;
    pthread_mutex_t turn; /* the session and the callbacks have one user at a time */
    tribus_session *session;
};

static void answer_metrics(tribus_monitor *mon, int json, tribus_http_reply *reply)
{
    tribus_metrics *m = tribus_metrics_open();

    if (m != NULL) {
        (void)pthread_mutex_lock(&mon->turn);
        tribus_collect_fabric(mon->session, m);
        if (mon->cfg.metrics != NULL)
            mon->cfg.metrics(mon->cfg.context, m);
        (void)pthread_mutex_unlock(&mon->turn);
        tribus_nvml_collect(m);
        reply->body = json ? tribus_metrics_json(m, &reply->bytes)
                           : tribus_metrics_prometheus(m, &reply->bytes);
    }
    tribus_metrics_close(m);
    reply->status = reply->body != NULL ? 200 : 500;
    reply->type = json ? "application/json" : "text/plain; version=0.0.4; charset=utf-8";
}

static void answer_health(tribus_monitor *mon, tribus_http_reply *reply)
{
    reply->status = 200;
    reply->type = "application/json";
    if (mon->cfg.health == NULL) {
        reply->body = strdup("{\"status\":\"ok\"}\n");
    } else {
        (void)pthread_mutex_lock(&mon->turn);
        reply->body = mon->cfg.health(mon->cfg.context, &reply->status);
        (void)pthread_mutex_unlock(&mon->turn);
    }
    if (reply->body == NULL)
        reply->status = 503;
    else
        reply->bytes = strlen(reply->body);
}

static void answer(void *context, const char *path, tribus_http_reply *reply)
{
    tribus_monitor *mon = context;

    if (strcmp(path, "/metrics") == 0) {
        answer_metrics(mon, 0, reply);
    } else if (strcmp(path, "/metrics.json") == 0) {
        answer_metrics(mon, 1, reply);
    } else if (strcmp(path, "/health") == 0) {
        answer_health(mon, reply);
    } else {
        reply->status = 404;
        reply->type = "text/plain";
        reply->body = strdup("/metrics /metrics.json /health\n");
        reply->bytes = reply->body != NULL ? strlen(reply->body) : 0;
    }
}

tribus_status tribus_monitor_start(const tribus_monitor_cfg *cfg, tribus_monitor **out)
{
    const char *address = cfg->address != NULL ? cfg->address : "127.0.0.1";
    tribus_session_cfg session = {.socket_path = cfg->socket_path, .role = "monitor"};
    char name[TRIBUS_NAME_BYTES];
    tribus_monitor *mon = calloc(1, sizeof(*mon));
    tribus_status st;

    if (mon == NULL || pthread_mutex_init(&mon->turn, NULL) != 0) {
        free(mon);
        return tribus_error_set(TRIBUS_NO_MEMORY, "monitor");
    }
    mon->cfg = *cfg;
    (void)snprintf(name, sizeof(name), "monitor-%d", cfg->port);
    session.name = name;
    st = tribus_session_open(&session, &mon->session);
    if (st == TRIBUS_OK)
        st = tribus_http_start(address, cfg->port, answer, mon, &mon->http);
    if (st != TRIBUS_OK) {
        tribus_error_add("monitor");
        tribus_monitor_stop(mon);
        return st;
    }
    *out = mon;
    return TRIBUS_OK;
}

void tribus_monitor_stop(tribus_monitor *mon)
{
    if (mon == NULL)
        return;
    tribus_http_stop(mon->http);
    tribus_session_close(mon->session);
    (void)pthread_mutex_destroy(&mon->turn);
    free(mon);
}
