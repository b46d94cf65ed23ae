/* bench_bus_paths.c -- see bench_bus_paths.h. */
#include "cli/bench_bus_paths.h"

#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool tribus_bench_agent_start(const char *command, tribus_bench_agent *out)
{
    tribus_agent_cfg cfg = {.socket_path = out->socket_path};

    (void)snprintf(out->folder, sizeof(out->folder), "/tmp/tribus-bench-XXXXXX");
    if (mkdtemp(out->folder) == NULL) {
        (void)tribus_cli_complain(command, "no temporary folder");
        return false;
    }
    (void)snprintf(out->socket_path, sizeof(out->socket_path), "%s/agent.sock",
                   out->folder);
    if (tribus_agent_start(&cfg, &out->agent) == TRIBUS_OK)
        return true;
    (void)tribus_cli_fail(command);
    (void)rmdir(out->folder);
    return false;
}

void tribus_bench_agent_stop(tribus_bench_agent *a)
{
    if (a->agent == NULL)
        return;
    tribus_agent_stop(a->agent);
    (void)rmdir(a->folder);
    a->agent = NULL;
}

bool tribus_bench_client_open(const char *socket_path, uint64_t types,
                              tribus_bench_client *c)
{
    return tribus_bench_client_open_as(NULL, socket_path, types, c);
}

bool tribus_bench_client_open_as(const char *name, const char *socket_path, uint64_t types,
                                 tribus_bench_client *c)
{
    const tribus_session_cfg cfg = {
        .socket_path = socket_path, .name = name, .role = "bench"};
    const tribus_bus_filter filter = {.types = types, .without_own = 1};
    tribus_status st;

    memset(c, 0, sizeof(*c));
    st = tribus_session_open(&cfg, &c->session);
    if (st == TRIBUS_OK)
        st = tribus_bus_open(c->session, NULL, &c->bus);
    if (st == TRIBUS_OK && types != 0)
        st = tribus_bus_subscribe(c->bus, &filter, &c->sub);
    return st == TRIBUS_OK || tribus_bench_pair_fail("%s", tribus_error_text());
}

void tribus_bench_client_close(tribus_bench_client *c)
{
    tribus_bus_close(c->bus);
    tribus_session_close(c->session);
}

const tribus_msg_header *tribus_bench_price(tribus_msg_price_update *m, int64_t price_e9)
{
    if (tribus_wire_init(m, sizeof(*m), TRIBUS_MSG_PRICE_UPDATE) != TRIBUS_OK)
        return NULL;
    (void)tribus_wire_text_set(m->symbol, sizeof(m->symbol), "AAPL");
    m->price_e9 = price_e9;
    return &m->header;
}

/* ---- ping-pong ---- */

typedef struct bus_state {
    tribus_bench_client client;
    tribus_msg_any message;
    uint64_t count;
} bus_state;

static bool bus_start(tribus_bench_end *e)
{
    bus_state *s = calloc(1, sizeof(*s));
    const uint64_t hear =
        1ull << (e->side == 0 ? TRIBUS_MSG_TRADE_EXECUTION : TRIBUS_MSG_PRICE_UPDATE);

    if (s == NULL)
        return tribus_bench_pair_fail("no memory");
    e->state = s;
    if (e->side == 0) {
        (void)tribus_bench_price(&s->message.price_update, 1);
    } else {
        if (tribus_wire_init(&s->message, sizeof(s->message), TRIBUS_MSG_TRADE_EXECUTION) !=
            TRIBUS_OK)
            return tribus_bench_pair_fail("%s", tribus_error_text());
        (void)tribus_wire_text_set(s->message.trade_execution.symbol, 16, "AAPL");
    }
    return tribus_bench_client_open(e->config, hear, &s->client);
}

static void *bus_loan(tribus_bench_end *e)
{
    bus_state *s = e->state;

    return &s->message;
}

static bool bus_send(tribus_bench_end *e, void *mem)
{
    bus_state *s = e->state;

    if (e->side == 0)
        s->message.price_update.price_e9++;
    else
        s->message.trade_execution.price_e9++;
    return tribus_bus_publish(s->client.bus, mem) == TRIBUS_OK ||
           tribus_bench_pair_fail("%s", tribus_error_text());
}

static const void *bus_receive(tribus_bench_end *e)
{
    bus_state *s = e->state;
    const tribus_msg_header *m = NULL;

    return tribus_bus_next(s->client.sub, &m, NULL) == TRIBUS_OK ? m : NULL;
}

static bool bus_release(tribus_bench_end *e, const void *mem)
{
    (void)e;
    (void)mem;
    return true;
}

static void bus_stop(tribus_bench_end *e)
{
    bus_state *s = e->state;

    if (s != NULL)
        tribus_bench_client_close(&s->client);
    free(s);
}

const tribus_bench_ops tribus_bench_bus = {.path = "bus",
                                           .start = bus_start,
                                           .loan = bus_loan,
                                           .send = bus_send,
                                           .receive = bus_receive,
                                           .release = bus_release,
                                           .stop = bus_stop};
