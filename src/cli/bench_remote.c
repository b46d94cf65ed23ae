/* bench_remote.c -- see bench_remote.h. */
#include "cli/bench_remote.h"
#include "cli/cli.h"

#include "base/clock.h"
#include "base/os.h"
#include "pipeline/operation.h"
#include "pipeline/plan.h"

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND   "bench hybrid"
#define TIMEOUT_S 60
#define PARTIES   3u /* submitter, neural, gpu */

/* What each party is subscribed to; by whether messages are JSON. */
static const char *const channels[2][PARTIES] = {
    {"bench-binary-result", "bench-binary-neural", "bench-binary-gpu"},
    {"bench-json-result", "bench-json-neural", "bench-json-gpu"}};

/* What every party has: the graph, a buffer of every node's outputs, two connections. */
typedef struct party {
    const tribus_graph *graph;
    uint32_t self; /* 0: the submitter, 1: neural, 2: gpu */
    bool json;
    redisContext *publish, *subscribed;
    unsigned char **mem[2]; /* of each node, for even and odd runs */
    uint64_t *made;         /* of each node: the last run whose outputs are here */
    int64_t *path_ns;       /* of each node: compute along the longest path to it */
    tribus_operation **ops; /* of our stages */
    uint64_t run;
    unsigned char *bytes; /* a message being made */
    size_t room, used;
} party;

struct tribus_bench_remote {
    party party;
    pid_t pids[2];
};

static bool fail(const char *what, const char *why)
{
    (void)tribus_cli_complain(COMMAND, "%s: %s", what, why);
    return false;
}

static uint32_t party_of(const tribus_graph *g, uint32_t node)
{
    if (node == 0 || node + 1 == g->node_count)
        return 0;
    return g->nodes[node].domain == TRIBUS_DOMAIN_NEURAL ? 1 : 2;
}

static void *port_mem(const party *p, uint32_t node, uint32_t port, uint64_t run)
{
    const tribus_graph_node *n = &p->graph->nodes[node];
    uint64_t at = 0;

    for (uint32_t i = 0; i < port; i++)
        at += (n->outputs[i].bytes + 63u) & ~(uint64_t)63u;
    return p->mem[n->outputs[port].keep ? 0 : run & 1u][node] + at;
}

/* ---- messages ---- */

static bool put(party *p, const void *bytes, size_t n)
{
    if (p->used + n > p->room) {
        const size_t room = 2 * (p->used + n);
        unsigned char *more = realloc(p->bytes, room);

        if (more == NULL)
            return fail("message", "no memory");
        p->bytes = more;
        p->room = room;
    }
    memcpy(p->bytes + p->used, bytes, n);
    p->used += n;
    return true;
}

/* An array of numbers with as many digits as a float32, or a double, has. */
static json_t *encode(const tribus_graph_port *port, const void *mem)
{
    const uint64_t n = port->bytes / tribus_dtype_bytes(port->dtype);
    json_t *list = json_array();

    for (uint64_t i = 0; i < n; i++) {
        json_t *item;

        if (port->dtype.code == TRIBUS_DTYPE_FLOAT && port->dtype.bits == 64)
            item = json_real(((const double *)mem)[i]);
        else if (port->dtype.code == TRIBUS_DTYPE_FLOAT)
            item = json_real((double)((const float *)mem)[i]);
        else
            item = json_integer(((const int32_t *)mem)[i]);
        (void)json_array_append_new(list, item);
    }
    return list;
}

static bool decode(const tribus_graph_port *port, const json_t *list, void *mem)
{
    const uint64_t n = port->bytes / tribus_dtype_bytes(port->dtype);

    if (json_array_size(list) != n)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);

        if (port->dtype.code == TRIBUS_DTYPE_FLOAT && port->dtype.bits == 64)
            ((double *)mem)[i] = json_number_value(item);
        else if (port->dtype.code == TRIBUS_DTYPE_FLOAT)
            ((float *)mem)[i] = (float)json_number_value(item);
        else
            ((int32_t *)mem)[i] = (int32_t)json_integer_value(item);
    }
    return true;
}

typedef struct head {
    uint64_t run;
    int64_t path_ns;
    uint32_t node, count;
} head;

typedef struct piece {
    uint32_t port, unused;
    uint64_t bytes;
} piece;

/* Does `to` read this output of the node? A kept input only in the first run. */
static bool wants(const party *p, uint32_t to, uint32_t node, uint32_t port)
{
    const tribus_graph *g = p->graph;

    if (g->nodes[node].outputs[port].keep && p->run != 1)
        return false;
    for (uint32_t k = 1; k < g->node_count; k++) {
        if (party_of(g, k) != to)
            continue;
        for (uint32_t i = 0; i < g->nodes[k].input_count; i++)
            for (uint32_t s = 0; s < g->nodes[k].inputs[i].source_count; s++)
                if (g->nodes[k].inputs[i].sources[s].node == node &&
                    g->nodes[k].inputs[i].sources[s].port == port)
                    return true;
    }
    return false;
}

static bool make_json(party *p, uint32_t to, uint32_t node, bool *any)
{
    const tribus_graph_node *n = &p->graph->nodes[node];
    json_t *message = json_object(), *tensors = json_object();
    char *text;
    bool ok;

    for (uint32_t i = 0; i < n->output_count; i++) {
        if (!wants(p, to, node, i))
            continue;
        (void)json_object_set_new(tensors, n->outputs[i].name,
                                  encode(&n->outputs[i], port_mem(p, node, i, p->run)));
        *any = true;
    }
    (void)json_object_set_new(message, "run", json_integer((json_int_t)p->run));
    (void)json_object_set_new(message, "path_ns", json_integer(p->path_ns[node]));
    (void)json_object_set_new(message, "node", json_integer(node));
    (void)json_object_set_new(message, "tensors", tensors);
    text = json_dumps(message, JSON_COMPACT);
    ok = text != NULL && put(p, text, strlen(text));
    free(text);
    json_decref(message);
    return ok;
}

static bool make_binary(party *p, uint32_t to, uint32_t node, bool *any)
{
    const tribus_graph_node *n = &p->graph->nodes[node];
    head h = {.run = p->run, .path_ns = p->path_ns[node], .node = node};
    bool ok;

    for (uint32_t i = 0; i < n->output_count; i++)
        h.count += wants(p, to, node, i) ? 1u : 0u;
    *any = h.count > 0;
    ok = put(p, &h, sizeof(h));
    for (uint32_t i = 0; ok && i < n->output_count; i++) {
        const piece part = {.port = i, .bytes = n->outputs[i].bytes};

        if (wants(p, to, node, i))
            ok = put(p, &part, sizeof(part)) &&
                 put(p, port_mem(p, node, i, p->run), (size_t)part.bytes);
    }
    return ok;
}

static bool publish(const party *p, const char *channel, const void *bytes, size_t n)
{
    redisReply *reply = redisCommand(p->publish, "PUBLISH %s %b", channel, bytes, n);
    const bool ok = reply != NULL && reply->type == REDIS_REPLY_INTEGER;

    if (reply != NULL)
        freeReplyObject(reply);
    return ok || fail("redis", "publish failed");
}

/* Hand a node's outputs to every other party that reads them. */
static bool hand_over(party *p, uint32_t node)
{
    for (uint32_t to = 0; to < PARTIES; to++) {
        bool any = false;

        if (to == p->self)
            continue;
        p->used = 0;
        if (!(p->json ? make_json(p, to, node, &any) : make_binary(p, to, node, &any)))
            return false;
        if (any && !publish(p, channels[p->json][to], p->bytes, p->used))
            return false;
    }
    return true;
}

static bool take_json(party *p, const char *bytes, size_t n)
{
    json_t *message = json_loadb(bytes, n, 0, NULL);
    const json_t *tensors = json_object_get(message, "tensors");
    const uint32_t node = (uint32_t)json_integer_value(json_object_get(message, "node"));
    bool ok = message != NULL && node < p->graph->node_count;

    if (ok) {
        const tribus_graph_node *from = &p->graph->nodes[node];

        p->run = (uint64_t)json_integer_value(json_object_get(message, "run"));
        p->path_ns[node] = json_integer_value(json_object_get(message, "path_ns"));
        p->made[node] = p->run;
        for (uint32_t i = 0; ok && i < from->output_count; i++) {
            const json_t *list = json_object_get(tensors, from->outputs[i].name);

            if (list != NULL)
                ok = decode(&from->outputs[i], list, port_mem(p, node, i, p->run));
        }
    }
    json_decref(message);
    return ok || fail("redis", "a message that is none of ours");
}

static bool take_binary(party *p, const char *bytes, size_t n)
{
    head h;
    size_t at = sizeof(h);

    if (n < sizeof(h))
        return fail("redis", "a message that is none of ours");
    memcpy(&h, bytes, sizeof(h));
    if (h.node >= p->graph->node_count)
        return fail("redis", "a message that is none of ours");
    p->run = h.run;
    p->path_ns[h.node] = h.path_ns;
    p->made[h.node] = h.run;
    for (uint32_t i = 0; i < h.count; i++) {
        const tribus_graph_node *from = &p->graph->nodes[h.node];
        piece part;

        if (n - at < sizeof(part))
            return fail("redis", "a message that is cut off");
        memcpy(&part, bytes + at, sizeof(part));
        at += sizeof(part);
        if (part.port >= from->output_count || n - at < from->outputs[part.port].bytes)
            return fail("redis", "a message that is cut off");
        memcpy(port_mem(p, h.node, part.port, h.run), bytes + at,
               (size_t)from->outputs[part.port].bytes);
        at += (size_t)from->outputs[part.port].bytes;
    }
    return true;
}

/* Wait for the next message of our channel; NULL after complaining. */
static redisReply *next_message(const party *p)
{
    redisReply *reply = NULL;

    if (redisGetReply(p->subscribed, (void **)&reply) != REDIS_OK || reply == NULL) {
        (void)fail("redis", p->subscribed->errstr);
        return NULL;
    }
    return reply;
}

static bool take(party *p)
{
    redisReply *reply = next_message(p);
    bool ok = reply != NULL;

    if (ok && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3) {
        const redisReply *m = reply->element[2];

        ok = p->json ? take_json(p, m->str, m->len) : take_binary(p, m->str, m->len);
    }
    if (reply != NULL)
        freeReplyObject(reply);
    return ok;
}

/* ---- stages ---- */

static bool ready(const party *p, const tribus_graph_node *n)
{
    for (uint32_t i = 0; i < n->input_count; i++) {
        const tribus_graph_source *s = &n->inputs[i].sources[0];
        const bool kept =
            s->node == 0 && p->graph->nodes[0].outputs[s->port].keep && p->made[0] > 0;

        if (!s->state && !kept && p->made[s->node] != p->run)
            return false;
    }
    return true;
}

static bool run_stage(party *p, uint32_t node)
{
    const tribus_graph_node *n = &p->graph->nodes[node];
    tribus_tensor in[TRIBUS_GRAPH_MOST_PORTS], out[TRIBUS_GRAPH_MOST_PORTS];
    const tribus_operation_call call = {.inputs = in,
                                        .outputs = out,
                                        .input_count = n->input_count,
                                        .output_count = n->output_count};
    int64_t before = 0, start;

    for (uint32_t i = 0; i < n->input_count; i++) {
        const tribus_graph_source *s = &n->inputs[i].sources[0];

        tribus_plan_tensor(&n->inputs[i],
                           port_mem(p, s->node, s->port, p->run - (s->state ? 1u : 0u)),
                           &in[i]);
        if (!s->state && p->path_ns[s->node] > before)
            before = p->path_ns[s->node];
    }
    for (uint32_t i = 0; i < n->output_count; i++)
        tribus_plan_tensor(&n->outputs[i], port_mem(p, node, i, p->run), &out[i]);
    start = tribus_now_ns();
    if (tribus_operation_run(p->ops[node], &call) != TRIBUS_OK)
        return fail(n->name, tribus_error_text());
    p->path_ns[node] = before + tribus_now_ns() - start;
    p->made[node] = p->run;
    return hand_over(p, node);
}

static bool run_ready(party *p)
{
    for (uint32_t k = 0; k < p->graph->node_count; k++) {
        const uint32_t node = p->graph->order[k];

        if (party_of(p->graph, node) == p->self && p->ops[node] != NULL &&
            p->made[node] != p->run && ready(p, &p->graph->nodes[node]) &&
            !run_stage(p, node))
            return false;
    }
    return true;
}

/* ---- parties ---- */

static redisContext *connect_to(int port)
{
    const struct timeval patience = {.tv_sec = TIMEOUT_S};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, patience);

    if (c == NULL || c->err != 0) {
        (void)fail("redis", c != NULL ? c->errstr : "no memory");
        return NULL;
    }
    (void)redisSetTimeout(c, patience);
    c->reader->maxbuf = 0; /* keep the buffer: freeing it after each large reply costs */
    return c;
}

static bool open_party(party *p, int port)
{
    const tribus_graph *g = p->graph;
    redisReply *reply;

    for (int side = 0; side < 2; side++) {
        p->mem[side] = calloc(g->node_count, sizeof(*p->mem[side]));
        for (uint32_t i = 0; p->mem[side] != NULL && i < g->node_count; i++) {
            uint64_t bytes = 64;

            for (uint32_t k = 0; k < g->nodes[i].output_count; k++)
                bytes += (g->nodes[i].outputs[k].bytes + 63u) & ~(uint64_t)63u;
            p->mem[side][i] = aligned_alloc(64, bytes);
            if (p->mem[side][i] == NULL)
                return fail("buffers", "no memory");
            memset(p->mem[side][i], 0, bytes);
        }
    }
    p->made = calloc(g->node_count, sizeof(*p->made));
    p->path_ns = calloc(g->node_count, sizeof(*p->path_ns));
    p->ops = calloc(g->node_count, sizeof(tribus_operation *));
    if (p->mem[0] == NULL || p->mem[1] == NULL || p->made == NULL || p->path_ns == NULL ||
        p->ops == NULL)
        return fail("buffers", "no memory");
    p->publish = connect_to(port);
    p->subscribed = p->publish != NULL ? connect_to(port) : NULL;
    if (p->subscribed == NULL)
        return false;
    reply = redisCommand(p->subscribed, "SUBSCRIBE %s", channels[p->json][p->self]);
    if (reply == NULL)
        return fail("redis", p->subscribed->errstr);
    freeReplyObject(reply);
    return true;
}

static bool open_stages(party *p, tribus_device *device)
{
    for (uint32_t i = 1; i + 1 < p->graph->node_count; i++)
        if (party_of(p->graph, i) == p->self &&
            tribus_operation_open(p->graph, &p->graph->nodes[i], device, 1, &p->ops[i]) !=
                TRIBUS_OK)
            return fail("load", tribus_error_text());
    return true;
}

/* A domain's process; ends with its parent. */
static void serve(party *p, int port)
{
    tribus_device *device = NULL;

    tribus_os_die_with_parent(SIGKILL);
    if (tribus_device_open("cpu", &device) != TRIBUS_OK || !open_party(p, port) ||
        !open_stages(p, device) || !publish(p, channels[p->json][0], "ready", 5))
        _exit(1);
    while (take(p) && run_ready(p))
        ;
    _exit(1);
}

tribus_bench_remote *tribus_bench_remote_open(const tribus_graph *graph, int port,
                                              bool json)
{
    tribus_bench_remote *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->party = (party){.graph = graph, .json = json};
    if (!open_party(&r->party, port)) {
        tribus_bench_remote_close(r);
        return NULL;
    }
    for (uint32_t i = 0; i < 2; i++) {
        party theirs = {.graph = graph, .json = json, .self = i + 1};

        r->pids[i] = fork();
        if (r->pids[i] == 0)
            serve(&theirs, port);
    }
    for (uint32_t i = 0; i < 2; i++) {
        redisReply *hello = next_message(&r->party);

        if (hello == NULL) {
            tribus_bench_remote_close(r);
            return NULL;
        }
        freeReplyObject(hello);
    }
    return r;
}

void tribus_bench_remote_close(tribus_bench_remote *r)
{
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < 2; i++) {
        if (r->pids[i] > 0) {
            (void)kill(r->pids[i], SIGKILL);
            (void)waitpid(r->pids[i], NULL, 0);
        }
    }
    redisFree(r->party.publish);
    redisFree(r->party.subscribed);
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; r->party.mem[side] != NULL && i < r->party.graph->node_count;
             i++)
            free(r->party.mem[side][i]);
        free(r->party.mem[side]);
    }
    free(r->party.made);
    free(r->party.path_ns);
    free(r->party.ops);
    free(r->party.bytes);
    free(r);
}

void *tribus_bench_remote_input(tribus_bench_remote *r, uint32_t i)
{
    return port_mem(&r->party, 0, i, r->party.run + 1);
}

const void *tribus_bench_remote_result(tribus_bench_remote *r, uint32_t i)
{
    const tribus_graph *g = r->party.graph;
    const tribus_graph_source *s = &g->nodes[g->node_count - 1].inputs[i].sources[0];

    return port_mem(&r->party, s->node, s->port, r->party.run);
}

bool tribus_bench_remote_run(tribus_bench_remote *r, int64_t *total_ns, int64_t *compute_ns)
{
    party *p = &r->party;
    const tribus_graph_node *last = &p->graph->nodes[p->graph->node_count - 1];
    const int64_t start = tribus_now_ns();

    p->run++;
    p->made[0] = p->run;
    if (!hand_over(p, 0))
        return false;
    while (!ready(p, last))
        if (!take(p))
            return false;
    *total_ns = tribus_now_ns() - start;
    *compute_ns = 0;
    for (uint32_t i = 0; i < last->input_count; i++)
        if (p->path_ns[last->inputs[i].sources[0].node] > *compute_ns)
            *compute_ns = p->path_ns[last->inputs[i].sources[0].node];
    return true;
}
