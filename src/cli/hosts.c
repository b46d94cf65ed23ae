/* hosts.c -- `tribus hosts`: what the hosts that share servers own, as they tell it.
 *
 * The agents write it once a second to the server of the Neural-GPU bus (agent/bridge_hosts.h);
 * nothing here needs an agent of this host.
 */
#include "agent/bridge.h"
#include "base/clock.h"
#include "base/error.h"
#include "bus/bus.h"
#include "bus/redis.h"
#include "bus/sentinel.h"
#include "cli/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define CALL_NS INT64_C(2000000000)

/* Connect to the server of the Neural-GPU bus, wherever it is. */
static tribus_status open_server(const tribus_platform *p, tribus_redis **out)
{
    const tribus_tls_cfg tls = tribus_cli_tls(p);
    tribus_server at = {.port = (uint16_t)p->neural_gpu_bus.port};
    tribus_redis_cfg cfg = {.host = at.host,
                            .password =
                                p->redis.password[0] != '\0' ? p->redis.password : NULL,
                            .timeout_ns = CALL_NS,
                            .tls = &tls};
    char name[24];
    tribus_status st = TRIBUS_OK;

    (void)snprintf(at.host, sizeof(at.host), "%s", p->neural_gpu_bus.host);
    tribus_bus_short_name(TRIBUS_BUS_NEURAL_GPU, name, sizeof(name));
    if (p->redis.sentinels[0] != '\0')
        st = tribus_sentinel_find(p->redis.sentinels, &tls, name, CALL_NS, &at);
    cfg.port = at.port;
    return st == TRIBUS_OK ? tribus_redis_open(&cfg, out) : st;
}

/* A text of a row, without what would move the cursor; another host wrote it. */
static const char *text_of(const json_t *row, const char *key, char *buf, size_t n)
{
    const char *text = json_string_value(json_object_get(row, key));

    (void)snprintf(buf, n, "%s", text != NULL ? text : "?");
    for (char *c = buf; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
            *c = '?';
    }
    return buf;
}

static const char *owner_of(const json_t *host, json_int_t number, char *buf, size_t n)
{
    const json_t *list = json_object_get(host, "participants");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);

        if (json_integer_value(json_object_get(row, "number")) == number)
            return text_of(row, "name", buf, n);
    }
    (void)snprintf(buf, n, "agent"); /* it keeps what no participant of ours owns */
    return buf;
}

static void show(const json_t *host)
{
    const json_t *objects = json_object_get(host, "objects");
    const int64_t told = json_integer_value(json_object_get(host, "told_wall_ns"));
    char a[TRIBUS_NAME_BYTES], b[TRIBUS_NAME_BYTES], c[TRIBUS_NAME_BYTES];

    printf("%s: agent is process %" PRId64 ", %zu participants, %zu objects, told %.1f s "
           "ago%s\n",
           text_of(host, "host", a, sizeof(a)),
           (int64_t)json_integer_value(json_object_get(host, "agent_process")),
           json_array_size(json_object_get(host, "participants")), json_array_size(objects),
           (double)(tribus_now_wall_ns() - told) / 1e9,
           json_is_true(json_object_get(host, "truncated")) ? " (too many to tell all)"
                                                            : "");
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *row = json_array_get(objects, i);
        const json_int_t owner = json_integer_value(json_object_get(row, "owner"));

        printf("  %-40s %-9s %12" PRId64 " bytes  %s\n", text_of(row, "name", a, sizeof(a)),
               text_of(row, "kind", b, sizeof(b)),
               (int64_t)json_integer_value(json_object_get(row, "bytes")),
               owner_of(host, owner, c, sizeof(c)));
    }
}

/* One host's row. It may have ended since its name was given: then it has none. */
static tribus_status show_host(tribus_redis *redis, const char *name, bool json,
                               unsigned *count)
{
    char key[128];
    const char *words[] = {"GET", key};
    redisReply *r = NULL;
    json_t *host;
    char *line;
    tribus_status st;

    (void)snprintf(key, sizeof(key), "nautilus-host-%.63s", name);
    st = tribus_redis_call_wait(redis, 2, words, CALL_NS, &r);
    if (st != TRIBUS_OK)
        return st;
    host = r->type == REDIS_REPLY_STRING ? json_loadb(r->str, r->len, 0, NULL) : NULL;
    line = host != NULL && json ? json_dumps(host, JSON_COMPACT) : NULL;
    if (line != NULL)
        printf("%s\n", line);
    else if (host != NULL)
        show(host);
    free(line);
    *count += host != NULL;
    json_decref(host);
    freeReplyObject(r);
    return TRIBUS_OK;
}

static tribus_status show_all(tribus_redis *redis, bool json, unsigned *count)
{
    const char *words[] = {"SMEMBERS", "nautilus-hosts"};
    redisReply *r = NULL;
    tribus_status st = tribus_redis_call_wait(redis, 2, words, CALL_NS, &r);

    if (st != TRIBUS_OK)
        return st;
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        if (st == TRIBUS_OK && r->element[i]->type == REDIS_REPLY_STRING)
            st = show_host(redis, r->element[i]->str, json, count);
    }
    freeReplyObject(r);
    return st;
}

int tribus_cli_hosts(int argc, char **argv)
{
    static const tribus_cli_usage usage = {
        "hosts", "[--json] [--config FILE] [--set section.key=value]...",
        "Show the hosts that use the same servers and what each of them owns. The agents\n"
        "tell it to the server of the Neural-GPU bus once a second.",
        "  tribus hosts\n"
        "  tribus hosts --json | jq '.objects[].name'"};
    static tribus_platform platform;
    const char *config = NULL;
    tribus_cli_list set = {0};
    bool json = false;
    const tribus_cli_option options[] = {
        {"--json", NULL, "one object a host", TRIBUS_CLI_FLAG, &json},
        {"--config", "FILE", "platform file (YAML)", TRIBUS_CLI_TEXT, &config},
        {"--set", "S.K=V", "one setting, may be given again", TRIBUS_CLI_LIST, &set},
    };
    tribus_redis *redis = NULL;
    unsigned count = 0;
    tribus_status st;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    st = tribus_cli_platform(&platform, config, &set);
    if (st == TRIBUS_OK)
        st = open_server(&platform, &redis);
    if (st == TRIBUS_OK)
        st = show_all(redis, json, &count);
    tribus_redis_close(redis);
    if (st != TRIBUS_OK)
        return tribus_cli_fail("hosts");
    if (count == 0)
        return tribus_cli_complain("hosts", "no agent uses this server: is the Neural-GPU "
                                            "bus on? `tribus status` says");
    return TRIBUS_EXIT_DONE;
}
