/* bridge.c -- start and stop, connections, the set of our origins. See bridge.h. */
#include "agent/bridge.h"

#include "agent/bridge_answer.h"
#include "agent/bridge_side.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/sentinel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SETS_BITS    12u
#define SETS         (1u << SETS_BITS)
#define WAYS         16u /* 65,536 processes of one agent's life in all */
#define DEFAULT_LOOK 100000000LL
#define DEFAULT_SPIN 20000LL
#define MOST_SPIN    1000000000LL
#define CONNECT_TIME 1000000000LL
#define ATTEMPTS     4u /* refused before it is worth a line: about half a second */
#define IN_CELLS     4096u
#define IN_BYTES     1024u /* of a cell: 500 or more for members unknown to us */

/* ---- origins ---- */

/* Sets of WAYS origins; `next` goes round in each, so that the oldest of it makes room. */
struct tribus_bridge_origins {
    _Atomic(uint32_t) next[SETS];
    _Atomic(uint32_t) of[SETS][WAYS]; /* 0: free */
};

/* Relaxed: an echo comes back through the server after the send that followed the add, and
 * the kernel orders these. */
static uint32_t set_of(const tribus_bridge *bridge, uint32_t origin, bool *found)
{
    const uint32_t set = origin * 2654435761u >> (32u - SETS_BITS);

    *found = false;
    for (uint32_t i = 0; i < WAYS && !*found; i++)
        *found = tribus_load_rlx(&bridge->origins->of[set][i]) == origin;
    return set;
}

void tribus_bridge_origin_add(tribus_bridge *bridge, uint32_t origin)
{
    bool found;
    const uint32_t set = set_of(bridge, origin, &found);
    uint32_t at;

    if (found || origin == 0)
        return;
    at = tribus_add_rlx(&bridge->origins->next[set], 1u);
    tribus_store_rlx(&bridge->origins->of[set][at % WAYS], origin);
    if (at >= WAYS && tribus_add_rlx(&bridge->forgotten, 1u) == 0) /* counter */
        tribus_log(
            TRIBUS_LOG_WARN,
            "more than %u processes published to the wire: the oldest are forgotten; "
            "what comes back of theirs is taken for somebody else's",
            SETS * WAYS / 2u);
}

bool tribus_bridge_origin_is_ours(const tribus_bridge *bridge, uint32_t origin)
{
    bool found;

    (void)set_of(bridge, origin, &found);
    return found && origin != 0;
}

uint64_t tribus_bridge_types_of(uint32_t bus)
{
    uint64_t types = 0;

    for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
        if (tribus_wire_message_bytes(t) != 0 && tribus_wire_bus_of(t) == bus)
            types |= 1ull << t;
    }
    return types;
}

uint32_t tribus_bridge_jobs_of(uint32_t bus)
{
    return bus == TRIBUS_BUS_NEURAL_GPU ? TRIBUS_BRIDGE_JOBS : TRIBUS_BRIDGE_JOBS - 1u;
}

/* ---- connections ---- */

static void withdraw(tribus_bridge_side *side)
{
    if (side->server.number != 0)
        tribus_session_drop(side->session, &side->server, 1);
    side->server.number = 0;
}

tribus_status tribus_bridge_side_announce(tribus_bridge_side *side)
{
    return tribus_server_announce(side->session, side->bus, &side->at, &side->server);
}

static uint64_t place_of(const tribus_server *at)
{
    uint64_t h = 14695981039346656037u ^ at->port;

    for (const char *c = at->host; *c != '\0'; c++)
        h = (h ^ (unsigned char)*c) * 1099511628211u;
    return h;
}

static tribus_status find_place(const tribus_bridge_side *side, tribus_server *at)
{
    char name[24];

    tribus_bus_short_name(side->bus, name, sizeof(name));
    return tribus_sentinel_find(side->bridge->cfg.sentinels, &side->bridge->tls.cfg, name,
                                CONNECT_TIME, at);
}

tribus_status tribus_bridge_side_ask_place(tribus_bridge_side *side)
{
    tribus_server at = side->at;

    if (side->bridge->cfg.sentinels == NULL)
        return TRIBUS_OK;
    if (find_place(side, &at) != TRIBUS_OK) { /* nobody knows better */
        tribus_error_clear();
        return TRIBUS_OK;
    }
    return place_of(&at) == place_of(&side->at)
               ? TRIBUS_OK
               : tribus_error_set(TRIBUS_PEER_LOST, "redis at %s: it is %s:%u by now",
                                  tribus_redis_name(side->redis), at.host, at.port);
}

tribus_status tribus_bridge_side_follow(tribus_bridge_side *side)
{
    /* A hint: a server that was replaced may hang, or not know of it yet. */
    const uint64_t place = tribus_load_rlx(&side->bridge->counters[side->bus].place);

    if (place == side->place)
        return TRIBUS_OK;
    side->place = place;
    return place == place_of(&side->at) || side->redis == NULL
               ? TRIBUS_OK
               : tribus_error_set(TRIBUS_PEER_LOST, "redis at %s: it is elsewhere by now",
                                  tribus_redis_name(side->redis));
}

/* Is it a server that takes writes? One that will not say is taken at its word. */
static tribus_status check_role(tribus_bridge_side *side)
{
    const char *words[] = {"ROLE"};
    redisReply *r = NULL;
    tribus_status st = tribus_redis_call_wait(side->redis, 1, words, CONNECT_TIME, &r);

    if (st == TRIBUS_REFUSED) {
        tribus_error_clear();
        return TRIBUS_OK;
    }
    if (st == TRIBUS_OK && r->type == REDIS_REPLY_ARRAY && r->elements > 0 &&
        r->element[0]->type == REDIS_REPLY_STRING &&
        strcmp(r->element[0]->str, "master") != 0)
        st = tribus_error_set(TRIBUS_REFUSED, "redis at %s: is a replica",
                              tribus_redis_name(side->redis));
    if (r != NULL)
        freeReplyObject(r);
    return st;
}

/* Find the server, which may have moved, and connect. */
static tribus_status open_connection(tribus_bridge_side *side)
{
    const tribus_bridge_cfg *b = &side->bridge->cfg;
    tribus_server at = side->at;
    tribus_redis_cfg cfg = {.user = b->user,
                            .password = b->password,
                            .timeout_ns = CONNECT_TIME,
                            .tls = &side->bridge->tls.cfg};
    tribus_status st = TRIBUS_OK;

    if (b->sentinels != NULL)
        st = find_place(side, &at);
    cfg.host = at.host;
    cfg.port = at.port;
    if (st == TRIBUS_OK)
        st = tribus_redis_open(&cfg, &side->redis);
    if (st == TRIBUS_OK && b->sentinels != NULL)
        st = check_role(side);
    if (st != TRIBUS_OK) {
        tribus_redis_close(side->redis);
        side->redis = NULL;
        return st;
    }
    if (place_of(&at) != place_of(&side->at)) {
        side->at = at;
        if (side->job == TRIBUS_BRIDGE_STORE) /* connect() says where to now */
            withdraw(side);
    }
    return TRIBUS_OK;
}

tribus_status tribus_bridge_side_connect(tribus_bridge_side *side)
{
    tribus_bridge *b = side->bridge;
    tribus_bridge_counters *c = &b->counters[side->bus];

    if (side->redis != NULL)
        return TRIBUS_OK;
    if (tribus_redis_backoff_left_ns(&side->backoff) > 0)
        return TRIBUS_EMPTY;
    if (open_connection(side) != TRIBUS_OK) {
        tribus_bridge_side_disconnect(side);
        return TRIBUS_EMPTY;
    }
    if (side->job == TRIBUS_BRIDGE_STORE && side->server.number == 0 &&
        tribus_bridge_side_announce(side) != TRIBUS_OK)
        tribus_log(TRIBUS_LOG_WARN, "%s bus: %s", tribus_wire_bus_title(side->bus),
                   tribus_error_text());
    if (side->job == TRIBUS_BRIDGE_STORE)
        tribus_store_rlx(&c->place, place_of(&side->at)); /* a hint */
    (void)tribus_add_ar(&c->up, 1u);
    return TRIBUS_OK;
}

void tribus_bridge_side_works(tribus_bridge_side *side)
{
    tribus_bridge_counters *c = &side->bridge->counters[side->bus];

    if (side->works)
        return;
    side->works = true;
    side->attempts = 0;
    tribus_redis_backoff_reset(&side->backoff);
    if (tribus_add_ar(&c->working, 1u) == tribus_bridge_jobs_of(side->bus) - 1u &&
        tribus_swap_ar(&c->warned, 0u) != 0)
        tribus_log(TRIBUS_LOG_INFO, "%s bus: joined with redis at %s again",
                   tribus_wire_bus_title(side->bus), tribus_redis_name(side->redis));
}

void tribus_bridge_side_disconnect(tribus_bridge_side *side)
{
    tribus_bridge_counters *c = &side->bridge->counters[side->bus];
    const bool lost = side->redis != NULL;

    if (side->works)
        (void)tribus_add_ar(&c->working, UINT32_MAX); /* one less */
    side->works = false;
    if (lost) {
        (void)tribus_add_ar(&c->up, UINT32_MAX); /* one less */
        tribus_redis_close(side->redis);
        side->redis = NULL;
    }
    if (side->job == TRIBUS_BRIDGE_IN)
        tribus_store_rlx(&c->confirmed, 0u); /* a hint: corrected at the next look */
    (void)tribus_add_rlx(&c->outages, 1u);   /* counter, read by people */
    /* A server that starts with us may take a moment. */
    if ((lost || ++side->attempts >= ATTEMPTS) && tribus_swap_ar(&c->warned, 1u) == 0)
        tribus_log(TRIBUS_LOG_WARN,
                   "%s bus: %s; local traffic goes on, the wire is tried again",
                   tribus_wire_bus_title(side->bus), tribus_error_text());
    tribus_redis_backoff_fail(&side->backoff);
}

void tribus_bridge_side_sleep(tribus_bridge_side *side, int64_t timeout_ns)
{
    /* Who drains has heard of the stop. */
    const bool heard = tribus_load_rlx(&side->bridge->stopping) != 0;
    struct pollfd p[2] = {{.fd = heard ? -1 : side->bridge->stop_fd, .events = POLLIN},
                          {.fd = -1}};
    const struct timespec ts = {.tv_sec = timeout_ns / 1000000000,
                                .tv_nsec = timeout_ns % 1000000000};

    if (side->redis != NULL) {
        p[1].fd = tribus_redis_fd(side->redis);
        p[1].events = tribus_redis_events(side->redis);
    }
    (void)ppoll(p, 2, &ts, NULL); /* interrupted: the caller looks again */
}

/* ---- start and stop ---- */

static const char *keep(char *buf, size_t n, const char *text)
{
    if (text == NULL)
        return NULL;
    (void)snprintf(buf, n, "%s", text);
    return buf;
}

/* Letters, digits, dot and minus: part of a key, and nothing to escape in JSON. */
static void name_host(char *buf, size_t n, const char *name)
{
    if (name != NULL && name[0] != '\0')
        (void)snprintf(buf, n, "%.63s", name);
    else if (gethostname(buf, n - 1) != 0 || buf[0] == '\0')
        (void)snprintf(buf, n, "unnamed");
    buf[63] = '\0';
    for (char *c = buf; *c != '\0'; c++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-",
                   *c) == NULL)
            *c = '-';
    }
}

static void copy_cfg(tribus_bridge *b, const tribus_bridge_cfg *cfg)
{
    const size_t n = sizeof(b->texts[0]);

    b->cfg = *cfg;
    b->cfg.socket_path = NULL; /* used at the start only */
    b->cfg.tls = NULL;         /* see tls */
    b->cfg.sentinels = cfg->sentinels != NULL && cfg->sentinels[0] != '\0'
                           ? keep(b->sentinels, sizeof(b->sentinels), cfg->sentinels)
                           : NULL;
    b->cfg.user = keep(b->texts[3], n, cfg->user);
    b->cfg.password = keep(b->texts[4], n, cfg->password);
    name_host(b->texts[5], n, cfg->host_name);
    b->cfg.host_name = b->texts[5];
    if (b->cfg.look_ns <= 0)
        b->cfg.look_ns = DEFAULT_LOOK;
    if (b->cfg.spin_ns <= 0)
        b->cfg.spin_ns = DEFAULT_SPIN;
    if (b->cfg.spin_ns > MOST_SPIN)
        b->cfg.spin_ns = MOST_SPIN;
    for (uint32_t bus = 0; bus < TRIBUS_BUSES; bus++) {
        b->cfg.servers[bus].host = keep(b->texts[bus], n, cfg->servers[bus].host);
        if (b->cfg.servers[bus].port == 0)
            b->cfg.servers[bus].port = tribus_wire_bus_port(bus);
    }
}

/* What each job is called in the registry, and what runs it. */
static const struct {
    const char *name;
    void *(*run)(void *side);
} jobs[TRIBUS_BRIDGE_JOBS] = {
    [TRIBUS_BRIDGE_IN] = {"in", tribus_bridge_in_run},
    [TRIBUS_BRIDGE_OUT] = {"out", tribus_bridge_out_run},
    [TRIBUS_BRIDGE_STORE] = {"store", tribus_bridge_store_run},
    [TRIBUS_BRIDGE_ANSWER] = {"answer", tribus_bridge_answer_run}};

static tribus_status start_side(tribus_bridge *b, uint32_t bus, tribus_bridge_job job,
                                const char *socket_path)
{
    tribus_bridge_side *side = &b->sides[bus][job];
    char name[TRIBUS_NAME_BYTES];
    char short_name[24];
    const tribus_session_cfg session_cfg = {
        .socket_path = socket_path, .name = name, .role = "bridge"};
    const tribus_bus_cfg bus_cfg = {.off = (1u << TRIBUS_BUSES) - 1u - (1u << bus),
                                    .cells = {IN_CELLS, IN_CELLS, IN_CELLS}};
    tribus_status st;
    int fault;

    tribus_bus_short_name(bus, short_name, sizeof(short_name));
    (void)snprintf(name, sizeof(name), "bridge-%s-%s", short_name, jobs[job].name);
    side->bridge = b;
    side->bus = bus;
    side->at.port = b->cfg.servers[bus].port;
    (void)snprintf(side->at.host, sizeof(side->at.host), "%s",
                   b->cfg.servers[bus].host != NULL ? b->cfg.servers[bus].host
                                                    : "127.0.0.1");
    side->job = job;
    st = tribus_session_open(&session_cfg, &side->session);
    if (st == TRIBUS_OK)
        st = tribus_bus_open(side->session, &bus_cfg, &side->handle);
    if (st != TRIBUS_OK)
        return st;
    side->handle->quiet = job != TRIBUS_BRIDGE_ANSWER;
    if (job == TRIBUS_BRIDGE_ANSWER) {
        st = tribus_bridge_answer_open(side);
        if (st != TRIBUS_OK)
            return st;
    }
    if (job == TRIBUS_BRIDGE_IN)
        side->handle->cell_bytes =
            side->bus == TRIBUS_BUS_NEURAL_GPU ? TRIBUS_BUS_WIDE_CELL_BYTES : IN_BYTES;
    fault = pthread_create(&side->thread, NULL, jobs[job].run, side);
    if (fault != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "thread: %s", strerror(fault));
    side->running = true;
    return TRIBUS_OK;
}

tribus_status tribus_bridge_start(const tribus_bridge_cfg *cfg, tribus_bridge **out)
{
    tribus_bridge *b = calloc(1, sizeof(*b));
    tribus_status st = TRIBUS_OK;
    sigset_t all;
    sigset_t before;

    if (b == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "start bridge");
    b->origins = calloc(1, sizeof(*b->origins));
    b->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    copy_cfg(b, cfg);
    st = tribus_redis_tls_copy_cfg(cfg->tls, &b->tls);
    if (b->origins == NULL)
        st = tribus_error_set(TRIBUS_NO_MEMORY, "start bridge");
    else if (b->stop_fd < 0)
        st = tribus_error_set(TRIBUS_SYSTEM, "start bridge: eventfd");
    (void)sigfillset(&all); /* signals are the process's own business */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t bus = 0; bus < TRIBUS_BUSES && st == TRIBUS_OK; bus++) {
        for (uint32_t job = 0; job < tribus_bridge_jobs_of(bus) && st == TRIBUS_OK; job++) {
            if (!b->cfg.servers[bus].off)
                st = start_side(b, bus, (tribus_bridge_job)job, cfg->socket_path);
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (st != TRIBUS_OK) {
        tribus_error_add("start bridge");
        tribus_bridge_stop(b);
        return st;
    }
    *out = b;
    return TRIBUS_OK;
}

void tribus_bridge_stop(tribus_bridge *b)
{
    const uint64_t one = 1;

    if (b == NULL)
        return;
    tribus_store_rlx(&b->stopping, 1); /* looked at again and again */
    if (b->stop_fd >= 0 && write(b->stop_fd, &one, sizeof(one)) < 0)
        tribus_log(TRIBUS_LOG_WARN, "stop bridge: wake: %s", strerror(errno));
    for (uint32_t bus = 0; bus < TRIBUS_BUSES; bus++) {
        for (uint32_t job = 0; job < TRIBUS_BRIDGE_JOBS; job++) {
            tribus_bridge_side *side = &b->sides[bus][job];

            if (side->running)
                (void)pthread_join(side->thread, NULL);
            tribus_redis_close(side->redis);
            tribus_bus_close(side->handle);
            tribus_session_close(side->session);
        }
    }
    if (b->stop_fd >= 0)
        (void)close(b->stop_fd);
    free(b->origins);
    free(b);
}

tribus_status tribus_bridge_get_stats(const tribus_bridge *b, uint32_t bus,
                                      tribus_bridge_stats *out)
{
    const tribus_bridge_counters *c;

    if (bus >= TRIBUS_BUSES)
        return tribus_error_set(TRIBUS_BAD_ARG, "%u is no bus", bus);
    c = &b->counters[bus]; /* all of them counters and hints, read by people */
    *out = (tribus_bridge_stats){
        .connected = tribus_load_rlx(&c->up) == tribus_bridge_jobs_of(bus),
        .listening = tribus_load_rlx(&c->listening),
        .wanted = tribus_load_rlx(&c->confirmed),
        .sent = tribus_load_rlx(&c->sent),
        .sent_bytes = tribus_load_rlx(&c->sent_bytes),
        .lost = tribus_load_rlx(&c->lost),
        .received = tribus_load_rlx(&c->received),
        .echoes = tribus_load_rlx(&c->echoes),
        .malformed = tribus_load_rlx(&c->malformed),
        .unknown = tribus_load_rlx(&c->unknown),
        .cut = tribus_load_rlx(&c->cut),
        .outages = tribus_load_rlx(&c->outages),
        .stored = tribus_load_rlx(&c->stored),
        .copied_bytes = tribus_load_rlx(&c->copied_bytes),
        .store_lost = tribus_load_rlx(&c->store_lost),
        .forgotten = tribus_load_rlx(&b->forgotten),
    };
    return TRIBUS_OK;
}
