/* peer_nng.c -- nng pairs over ipc as a path of `tribus bench fabric`. Messages are built in
 * place in the library's buffers; no copy is ours. */
#include "peer.h"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include <stdio.h>
#include <unistd.h>

typedef struct sockets {
    nng_socket socket;
    nng_msg *out, *in;
} sockets;

static bool fault(const char *what, int rc)
{
    return tribus_bench_pair_fail("nng: %s: %s", what, nng_strerror(rc));
}

static const tribus_bench_ops ops;

static bool start(tribus_bench_end *e)
{
    static sockets s;
    char address[128];
    int rc = nng_pair0_open(&s.socket);

    if (rc != 0)
        return fault("open", rc);
    (void)snprintf(address, sizeof(address), "ipc://%s", tribus_peer_socket_path());
    (void)nng_socket_set_size(s.socket, NNG_OPT_RECVMAXSZ, 0);
    (void)nng_socket_set_ms(s.socket, NNG_OPT_RECVTIMEO, 20000);
    (void)nng_socket_set_ms(s.socket, NNG_OPT_SENDTIMEO, 20000);
    rc = e->side == 0 ? nng_listen(s.socket, address, NULL, 0)
                      : nng_dial(s.socket, address, NULL, NNG_FLAG_NONBLOCK);
    if (rc != 0)
        return fault(address, rc);
    e->state = &s;
    return tribus_peer_hello(e, &ops);
}

static void stop(tribus_bench_end *e)
{
    (void)nng_close(((sockets *)e->state)->socket);
}

static void *loan(tribus_bench_end *e)
{
    sockets *s = e->state;

    return nng_msg_alloc(&s->out, e->size_bytes) == 0 ? nng_msg_body(s->out) : NULL;
}

static bool send_it(tribus_bench_end *e, void *mem)
{
    sockets *s = e->state;
    const int rc = nng_sendmsg(s->socket, s->out, 0);

    (void)mem;
    return rc == 0 ? true : fault("send", rc);
}

static const void *receive(tribus_bench_end *e)
{
    sockets *s = e->state;
    const int rc = nng_recvmsg(s->socket, &s->in, 0);

    if (rc != 0) {
        (void)fault("receive", rc);
        return NULL;
    }
    return nng_msg_body(s->in);
}

static bool release(tribus_bench_end *e, const void *mem)
{
    (void)mem;
    nng_msg_free(((sockets *)e->state)->in);
    return true;
}

static const tribus_bench_ops ops = {
    .path = "nng",
    .start = start,
    .loan = loan,
    .send = send_it,
    .receive = receive,
    .release = release,
    .stop = stop,
};

int main(int argc, char **argv)
{
    /* Not under SCHED_FIFO: its many threads share the core with ours, which would starve them. */
    return tribus_peer_main(argc > 3 ? 3 : argc, argv, &ops, nng_version());
}
