#include "check.h"
#include "port.h"

#include "base/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static void ask(int port, const char *request, char *reply, size_t bytes)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(0x7f000001),
                            .sin_port = htons((uint16_t)port)};
    const int s = socket(AF_INET, SOCK_STREAM, 0);
    size_t used = 0;
    ssize_t n;

    CHECK(s >= 0 && connect(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(write(s, request, strlen(request)) == (ssize_t)strlen(request));
    while (used + 1 < bytes && (n = read(s, reply + used, bytes - used - 1)) > 0)
        used += (size_t)n;
    reply[used] = '\0';
    (void)close(s);
}

/* A page may use more stack than civetweb's own threads have. */
static size_t deep(size_t bytes)
{
    char stack[65536];

    memset(stack, (int)bytes, sizeof(stack));
    return bytes <= sizeof(stack) ? (size_t)(unsigned char)stack[bytes / 2]
                                  : deep(bytes - sizeof(stack)) + (size_t)stack[9];
}

static void answer(void *context, const char *path, tribus_http_reply *reply)
{
    (void)context;
    if (deep((size_t)1 << 20) == SIZE_MAX)
        return;
    if (strcmp(path, "/health") != 0)
        return;
    reply->status = 200;
    reply->type = "application/json";
    reply->body = strdup("{\"ok\":true}");
    reply->bytes = strlen(reply->body);
}

static void get_returns_what_answer_makes_and_404_elsewhere(void)
{
    const int port = free_port();
    tribus_http *http, *second = NULL;
    char reply[2048];

    CHECK(tribus_http_start("127.0.0.1", port, answer, NULL, &http) == TRIBUS_OK);
    ask(port, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", reply, sizeof(reply));
    CHECK(strstr(reply, "HTTP/1.1 200 OK") == reply);
    CHECK(strstr(reply, "\r\n\r\n{\"ok\":true}") != NULL);
    ask(port, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", reply, sizeof(reply));
    CHECK(strstr(reply, "HTTP/1.1 404 Not Found") == reply);
    ask(port, "DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n", reply, sizeof(reply));
    CHECK(strstr(reply, "HTTP/1.1 405") == reply);
    CHECK(tribus_http_start("127.0.0.1", port, answer, NULL, &second) == TRIBUS_SYSTEM);
    CHECK(second == NULL && strstr(tribus_error_text(), "choose another port") != NULL);
    tribus_http_stop(http);
}

int main(void)
{
    get_returns_what_answer_makes_and_404_elsewhere();
    tribus_http_stop(NULL);
    return 0;
}
