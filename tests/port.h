/* port.h -- a TCP port of the loopback for a server that a test starts.
 *
 * Not one the kernel picks: between our look and the server's bind it could give the same
 * port to a connection that somebody opens. Those come from above 32768, ours from below.
 */
#ifndef TRIBUS_TESTS_PORT_H
#define TRIBUS_TESTS_PORT_H

#include "check.h"

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_FIRST 10000u
#define PORT_COUNT 22000u

static inline uint16_t free_port(void)
{
    for (int tries = 0; tries < 1000; tries++) {
        struct sockaddr_in a = {.sin_family = AF_INET};
        const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint16_t number = 0;
        int taken;

        CHECK(s >= 0 && getrandom(&number, sizeof(number), 0) == sizeof(number));
        number = (uint16_t)(PORT_FIRST + number % PORT_COUNT);
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        a.sin_port = htons(number);
        taken = bind(s, (const struct sockaddr *)&a, sizeof(a));
        (void)close(s);
        if (taken == 0)
            return number;
    }
    CHECK(!"a thousand ports are taken");
    return 0;
}

#endif
