/* bus_event_loop.c -- receive messages in an event loop, beside everything else it waits for.
 * A program of a platform has its agent elsewhere; this one brings its own, to be complete.
 */
#include "tribus/agent.h"
#include "tribus/bus.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PRICES 20

static void complain(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, tribus_error_text());
}

/* Publish a few prices at once, each time the timer fires. */
static tribus_status publish_some(tribus_bus *bus, int64_t *price)
{
    tribus_msg_header *room[4];
    uint32_t got = 0;
    tribus_status st = tribus_bus_claim(bus, TRIBUS_MSG_PRICE_UPDATE, 4, room, &got);

    for (uint32_t i = 0; st == TRIBUS_OK && i < got; i++) {
        tribus_msg_price_update *m = (tribus_msg_price_update *)room[i];

        (void)tribus_wire_text_set(m->symbol, sizeof(m->symbol), "ABC");
        m->price_e9 = ++*price * 1000000000;
    }
    return st == TRIBUS_OK ? tribus_bus_commit(bus, got) : st;
}

static tribus_status loop(tribus_bus *bus, tribus_subscription *sub, int timer)
{
    struct pollfd fds[2] = {{.fd = timer, .events = POLLIN}, {.events = POLLIN}};
    int64_t published = 0, received = 0;
    tribus_status st = tribus_bus_event_fd(sub, &fds[1].fd);

    while (st == TRIBUS_OK && received < PRICES && poll(fds, 2, -1) > 0) {
        const tribus_msg_header *m;
        uint64_t times;

        if ((fds[0].revents & POLLIN) != 0 && read(timer, &times, sizeof(times)) > 0 &&
            published < PRICES)
            st = publish_some(bus, &published);
        /* One message a turn; the descriptor stays readable while there are more. */
        if ((fds[1].revents & POLLIN) != 0 && tribus_bus_next(sub, &m, NULL) == TRIBUS_OK) {
            received++;
            printf("%s from %s: %" PRId64 "\n", tribus_wire_type_name(m->type),
                   m->engine_instance,
                   ((const tribus_msg_price_update *)m)->price_e9 / 1000000000);
        }
    }
    return st;
}

int main(void)
{
    char folder[] = "/tmp/tribus-example-XXXXXX";
    char path[64];
    const tribus_agent_cfg agent_cfg = {.socket_path = path};
    const tribus_session_cfg session_cfg = {.socket_path = path, .role = "engine"};
    const tribus_bus_filter filter = {.types = 1ull << TRIBUS_MSG_PRICE_UPDATE};
    const struct itimerspec often = {.it_value = {.tv_nsec = 1000000},
                                     .it_interval = {.tv_nsec = 1000000}};
    const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    tribus_agent *agent = NULL;
    tribus_session *session = NULL;
    tribus_bus *bus = NULL;
    tribus_subscription *sub = NULL;
    tribus_status st;

    if (mkdtemp(folder) == NULL || timer < 0 ||
        timerfd_settime(timer, 0, &often, NULL) != 0)
        return EXIT_FAILURE;
    (void)snprintf(path, sizeof(path), "%s/agent.sock", folder);
    st = tribus_agent_start(&agent_cfg, &agent);
    if (st == TRIBUS_OK)
        st = tribus_session_open(&session_cfg, &session);
    if (st == TRIBUS_OK)
        st = tribus_bus_open(session, NULL, &bus);
    if (st == TRIBUS_OK)
        st = tribus_bus_subscribe(bus, &filter, &sub);
    if (st == TRIBUS_OK)
        st = loop(bus, sub, timer);
    if (st != TRIBUS_OK)
        complain("event loop");
    tribus_bus_close(bus);
    tribus_session_close(session);
    tribus_agent_stop(agent);
    (void)close(timer);
    (void)rmdir(folder);
    return st == TRIBUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
