/* sentinel.c -- see sentinel.h. */
#include "bus/sentinel.h"

#include "base/error.h"
#include "bus/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A port, or 0. */
static uint16_t port_of(const char *text)
{
    char *end = NULL;
    const long n = strtol(text, &end, 10);

    return end != text && *end == '\0' && n > 0 && n < 65536 ? (uint16_t)n : 0;
}

static tribus_status ask(const tribus_redis_cfg *cfg, const char *name, tribus_server *out)
{
    const char *words[] = {"SENTINEL", "get-master-addr-by-name", name};
    tribus_redis *redis = NULL;
    redisReply *r = NULL;
    tribus_status st = tribus_redis_open(cfg, &redis);

    if (st == TRIBUS_OK)
        st = tribus_redis_call_wait(redis, 3, words, cfg->timeout_ns, &r);
    tribus_redis_close(redis);
    if (st != TRIBUS_OK)
        return st;
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
        r->element[0]->type == REDIS_REPLY_STRING &&
        r->element[1]->type == REDIS_REPLY_STRING && r->element[0]->len > 0 &&
        r->element[0]->len < sizeof(out->host) && port_of(r->element[1]->str) != 0) {
        *out = (tribus_server){.port = port_of(r->element[1]->str)};
        (void)snprintf(out->host, sizeof(out->host), "%s", r->element[0]->str);
    } else {
        st = tribus_error_set(TRIBUS_NOT_FOUND, "sentinel at %s:%u knows no server %s",
                              cfg->host, cfg->port, name);
    }
    freeReplyObject(r);
    return st;
}

tribus_status tribus_sentinel_find(const char *sentinels, const tribus_tls_cfg *tls,
                                   const char *name, int64_t timeout_ns, tribus_server *out)
{
    tribus_redis_cfg cfg = {.timeout_ns = timeout_ns, .tls = tls};
    tribus_status st = TRIBUS_BAD_ARG;

    for (const char *at = sentinels; *at != '\0';) {
        const size_t n = strcspn(at, ",");
        char host[TRIBUS_SERVER_HOST_BYTES];
        char *colon;

        (void)snprintf(host, sizeof(host), "%.*s", (int)n, at);
        colon = strrchr(host, ':');
        if (colon == NULL || port_of(colon + 1) == 0 || n >= sizeof(host))
            return tribus_error_set(TRIBUS_BAD_ARG,
                                    "redis.sentinels: %s: host:port,host:port is needed",
                                    sentinels);
        cfg.port = port_of(colon + 1);
        *colon = '\0';
        cfg.host = host;
        st = ask(&cfg, name, out);
        if (st == TRIBUS_OK)
            return st;
        at += n + (at[n] == ',' ? 1u : 0u);
    }
    return st == TRIBUS_NOT_FOUND || st == TRIBUS_BAD_ARG ? st : TRIBUS_PEER_LOST;
}
