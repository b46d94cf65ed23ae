/* bridge_hosts.c -- see bridge_hosts.h. */
#include "agent/bridge_hosts.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TELL_NS 1000000000LL
#define LIVES_S "5"
#define ROOM    512u /* kept free for one more row and the end */

/* JSON into a fixed buffer; names in it have no characters to escape. */
typedef struct text {
    char *bytes;
    size_t used;
    bool cut;
} text;

static void print(text *t, const char *fmt, ...) TRIBUS_PRINTF(2, 3);

static void print(text *t, const char *fmt, ...)
{
    const size_t left = TRIBUS_BRIDGE_HOSTS_BYTES - t->used;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(t->bytes + t->used, left, fmt, args);
    va_end(args);
    t->used += n < 0 || (size_t)n >= left ? left - 1 : (size_t)n;
}

static bool has_room(text *t)
{
    t->cut = t->cut || TRIBUS_BRIDGE_HOSTS_BYTES - t->used < ROOM;
    return !t->cut;
}

static const char *kind_name(uint32_t kind)
{
    static const char *const names[] = {
        [TRIBUS_OBJECT_TOPIC] = "topic",       [TRIBUS_OBJECT_RING] = "ring",
        [TRIBUS_OBJECT_REGION] = "region",     [TRIBUS_OBJECT_TIMELINE] = "timeline",
        [TRIBUS_OBJECT_COUNTERS] = "counters", [TRIBUS_OBJECT_PIPELINE] = "pipeline"};

    return kind < sizeof(names) / sizeof(names[0]) && names[kind] != NULL ? names[kind]
                                                                          : "other";
}

static void print_participants(text *t, tribus_session *session)
{
    tribus_participant row;
    uint32_t cursor = 0;
    bool first = true;

    print(t, ",\"participants\":[");
    while (tribus_session_next_participant(session, &cursor, &row) == TRIBUS_OK) {
        if (row.alive == 0 || strcmp(row.role, "bridge") == 0 || !has_room(t))
            continue;
        print(t, "%s{\"number\":%u,\"name\":\"%s\",\"role\":\"%s\",\"process\":%d}",
              first ? "" : ",", row.number, row.name, row.role, row.pid);
        first = false;
    }
    print(t, "]");
}

static void print_objects(text *t, tribus_session *session)
{
    tribus_object row;
    uint32_t cursor = 0;
    bool first = true;

    print(t, ",\"objects\":[");
    while (tribus_session_next_object(session, &cursor, &row) == TRIBUS_OK) {
        if (row.owner == 0 || !has_room(t))
            continue;
        print(t,
              "%s{\"name\":\"%s\",\"kind\":\"%s\",\"number\":%u,\"owner\":%u,"
              "\"bytes\":%" PRIu64 ",\"generation\":%" PRIu64 "}",
              first ? "" : ",", row.name, kind_name(row.kind), row.number, row.owner,
              row.bytes, row.generation);
        first = false;
    }
    print(t, "]");
}

tribus_status tribus_bridge_hosts_tell(tribus_bridge_hosts *h, tribus_bridge_side *side)
{
    const char *host = side->bridge->cfg.host_name;
    char key[128];
    const char *set[] = {"SET", key, h->json, "EX", LIVES_S};
    const char *add[] = {"SADD", "nautilus-hosts", host};
    text t = {.bytes = h->json};
    tribus_status st;

    if (h->next_ns != 0 && tribus_deadline_left_ns(h->next_ns) > 0)
        return TRIBUS_OK;
    h->next_ns = tribus_deadline_ns(TELL_NS);
    (void)snprintf(key, sizeof(key), "nautilus-host-%s", host);
    print(&t, "{\"host\":\"%s\",\"agent_process\":%d,\"told_wall_ns\":%" PRId64, host,
          (int)getpid(), tribus_now_wall_ns());
    print_participants(&t, side->session);
    print_objects(&t, side->session);
    print(&t, ",\"truncated\":%s}", t.cut ? "true" : "false");
    st = tribus_redis_queue(side->redis, 5, set, NULL);
    return st == TRIBUS_OK ? tribus_redis_queue(side->redis, 3, add, NULL) : st;
}
