/* peer_zeromq.c -- ZeroMQ pairs over ipc as a path of `tribus bench fabric`. Messages are built
 * in place in the library's buffers; no copy is ours. */
#include "peer.h"

#include <zmq.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct sockets {
    void *context, *socket;
    zmq_msg_t out, in;
} sockets;

static const tribus_bench_ops ops;

static bool start(tribus_bench_end *e)
{
    static sockets s;
    char address[128];
    const int wait_ms = 20000;

    (void)snprintf(address, sizeof(address), "ipc://%s", tribus_peer_socket_path());
    s.context = zmq_ctx_new();
    s.socket = zmq_socket(s.context, ZMQ_PAIR);
    if (s.socket == NULL ||
        zmq_setsockopt(s.socket, ZMQ_RCVTIMEO, &wait_ms, sizeof(int)) != 0)
        return tribus_bench_pair_fail("zeromq: %s", zmq_strerror(zmq_errno()));
    if ((e->side == 0 ? zmq_bind(s.socket, address) : zmq_connect(s.socket, address)) != 0)
        return tribus_bench_pair_fail("zeromq: %s: %s", address, zmq_strerror(zmq_errno()));
    e->state = &s;
    return tribus_peer_hello(e, &ops);
}

static void stop(tribus_bench_end *e)
{
    sockets *s = e->state;

    (void)zmq_close(s->socket);
    (void)zmq_ctx_term(s->context);
}

static void *loan(tribus_bench_end *e)
{
    sockets *s = e->state;

    return zmq_msg_init_size(&s->out, e->size_bytes) == 0 ? zmq_msg_data(&s->out) : NULL;
}

static bool send_it(tribus_bench_end *e, void *mem)
{
    sockets *s = e->state;

    (void)mem;
    if (zmq_msg_send(&s->out, s->socket, 0) < 0)
        return tribus_bench_pair_fail("zeromq: send: %s", zmq_strerror(zmq_errno()));
    return true;
}

static const void *receive(tribus_bench_end *e)
{
    sockets *s = e->state;

    (void)zmq_msg_init(&s->in);
    if (zmq_msg_recv(&s->in, s->socket, 0) < 0) {
        (void)tribus_bench_pair_fail("zeromq: receive: %s", zmq_strerror(zmq_errno()));
        return NULL;
    }
    return zmq_msg_data(&s->in);
}

static bool release(tribus_bench_end *e, const void *mem)
{
    (void)mem;
    (void)zmq_msg_close(&((sockets *)e->state)->in);
    return true;
}

static const tribus_bench_ops ops = {
    .path = "zeromq",
    .start = start,
    .loan = loan,
    .send = send_it,
    .receive = receive,
    .release = release,
    .stop = stop,
};

int main(int argc, char **argv)
{
    int major, minor, patch;
    char version[32];

    zmq_version(&major, &minor, &patch);
    (void)snprintf(version, sizeof(version), "%d.%d.%d", major, minor, patch);
    return tribus_peer_main(argc, argv, &ops, version);
}
