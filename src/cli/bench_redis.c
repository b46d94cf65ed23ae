/* bench_redis.c -- Redis pub/sub as a path of bench_paths.h: a server of our own, and the
 * bytes as they are or as JSON. One connection publishes, one is subscribed; blocking
 * sockets, as in a program that waits for the next message. */
#include "cli/bench_paths.h"
#include "cli/cli.h"

#include "base/clock.h"
#include "base/os.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS   5000000000
#define TIMEOUT_NS 30000000000

/* ---- the server ---- */

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);
    int port = 0;
    const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (s >= 0 && bind(s, (struct sockaddr *)&a, n) == 0 &&
        getsockname(s, (struct sockaddr *)&a, &n) == 0)
        port = ntohs(a.sin_port);
    if (s >= 0)
        (void)close(s);
    return port;
}

static void run_server(const char *program, int port)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    char text[16];

    tribus_os_die_with_parent(SIGKILL);
    if (null >= 0) {
        (void)dup2(null, 0);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
    }
    (void)snprintf(text, sizeof(text), "%d", port);
    (void)execlp(program, program, "--port", text, "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0",
                 "--dir", "/tmp", (char *)NULL);
    _exit(127);
}

static bool answers(int port)
{
    const struct timeval t = {.tv_usec = 200000};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, t);
    redisReply *reply = NULL;
    bool ok;

    if (c != NULL && c->err == 0)
        reply = redisCommand(c, "PING");
    ok = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (reply != NULL)
        freeReplyObject(reply);
    if (c != NULL)
        redisFree(c);
    return ok;
}

bool tribus_bench_redis_start(const char *command, const char *program,
                              tribus_bench_redis *out)
{
    const int64_t until = tribus_now_ns() + START_NS;
    int status;

    out->port = free_port();
    out->pid = fork();
    if (out->pid == 0)
        run_server(program, out->port);
    while (out->pid > 0 && tribus_now_ns() < until) {
        if (answers(out->port))
            return true;
        if (waitpid(out->pid, &status, WNOHANG) == out->pid) {
            out->pid = 0;
            break;
        }
        (void)usleep(10000);
    }
    tribus_bench_redis_stop(out);
    (void)tribus_cli_complain(command,
                              "%s does not start on port %d: install redis-server, or name "
                              "one with --redis-server",
                              program, out->port);
    return false;
}

void tribus_bench_redis_stop(tribus_bench_redis *redis)
{
    if (redis->pid > 0) {
        (void)kill(redis->pid, SIGKILL);
        (void)waitpid(redis->pid, NULL, 0);
    }
    redis->pid = 0;
}

/* ---- the path ---- */

typedef struct connections {
    redisContext *publish, *subscribed;
    const char *out;
    unsigned char *buf; /* what is filled, and what was parsed */
    unsigned char *parsed;
    redisReply *message;
    bool unanswered; /* the reply to our last PUBLISH is still to be read */
} connections;

static const char *const channels[2] = {"tribus-bench-there", "tribus-bench-back"};

static bool lost(const redisContext *c)
{
    return tribus_bench_pair_fail("redis: %s", c == NULL      ? "no memory"
                                               : c->errstr[0] ? c->errstr
                                                              : "lost");
}

static redisContext *connect_to(int port)
{
    const struct timeval t = {.tv_sec = TIMEOUT_NS / 1000000000};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, t);

    if (c == NULL || c->err != 0) {
        (void)lost(c);
        return NULL;
    }
    (void)redisEnableKeepAlive(c);
    (void)redisSetTimeout(c, t);
    c->reader->maxbuf = 0; /* keep the buffer: freeing it after each large reply costs */
    return c;
}

static bool start(tribus_bench_end *e)
{
    static connections s;
    const tribus_bench_redis *redis = e->config;
    redisReply *reply;

    s.publish = connect_to(redis->port);
    s.subscribed = connect_to(redis->port);
    s.buf = malloc(e->size_bytes + 64);
    s.parsed = malloc(e->size_bytes + 64);
    if (s.publish == NULL || s.subscribed == NULL || s.buf == NULL || s.parsed == NULL)
        return tribus_bench_pair_fail("redis: cannot connect to port %d", redis->port);
    memset(s.buf, 0, e->size_bytes + 64);
    s.out = channels[e->side];
    reply = redisCommand(s.subscribed, "SUBSCRIBE %s", channels[1 - e->side]);
    if (reply == NULL)
        return lost(s.subscribed);
    freeReplyObject(reply);
    e->state = &s;
    return true;
}

static void stop(tribus_bench_end *e)
{
    connections *s = e->state;

    if (s->message != NULL)
        freeReplyObject(s->message);
    redisFree(s->publish);
    redisFree(s->subscribed);
    free(s->buf);
    free(s->parsed);
}

static void *loan(tribus_bench_end *e)
{
    return ((connections *)e->state)->buf;
}

static bool publish(connections *s, const char *bytes, size_t n)
{
    const char *argv[3] = {"PUBLISH", s->out, bytes};
    const size_t lengths[3] = {7, strlen(s->out), n};
    int done = 0;
    redisReply *reply;

    if (s->unanswered) {
        if (redisGetReply(s->publish, (void **)&reply) != REDIS_OK)
            return lost(s->publish);
        freeReplyObject(reply);
    }
    if (redisAppendCommandArgv(s->publish, 3, argv, lengths) != REDIS_OK)
        return lost(s->publish);
    while (!done)
        if (redisBufferWrite(s->publish, &done) != REDIS_OK)
            return lost(s->publish);
    s->unanswered = true;
    return true;
}

/* The text of the next message; NULL after a failure. */
static const redisReply *next_message(connections *s)
{
    if (redisGetReply(s->subscribed, (void **)&s->message) != REDIS_OK) {
        (void)lost(s->subscribed);
        return NULL;
    }
    if (s->message->type != REDIS_REPLY_ARRAY || s->message->elements != 3) {
        (void)tribus_bench_pair_fail("redis: an unexpected reply");
        return NULL;
    }
    return s->message->element[2];
}

static bool release(tribus_bench_end *e, const void *mem)
{
    connections *s = e->state;

    (void)mem;
    freeReplyObject(s->message);
    s->message = NULL;
    return true;
}

static bool binary_send(tribus_bench_end *e, void *mem)
{
    return publish(e->state, mem, e->size_bytes);
}

static const void *binary_receive(tribus_bench_end *e)
{
    connections *s = e->state;
    const redisReply *text = next_message(s);

    if (text == NULL)
        return NULL;
    if (text->len != e->size_bytes) {
        (void)tribus_bench_pair_fail("redis: %zu bytes came, %zu were sent", text->len,
                                     e->size_bytes);
        return NULL;
    }
    if ((uintptr_t)text->str % 8 == 0)
        return text->str;
    memcpy(s->parsed, text->str, text->len);
    return s->parsed;
}

const tribus_bench_ops tribus_bench_redis_binary = {
    .path = "redis-binary",
    .start = start,
    .loan = loan,
    .send = binary_send,
    .receive = binary_receive,
    .release = release,
    .stop = stop,
};

/* What is filled and checked are 64-bit numbers below 2^53, so they survive as doubles. */
static bool json_send(tribus_bench_end *e, void *mem)
{
    const uint64_t *numbers = mem;
    json_t *array = json_array(), *object;
    char *text;
    bool ok;

    for (size_t i = 0; i < e->size_bytes / 8; i++)
        (void)json_array_append_new(array, json_real((double)numbers[i] / 1024.0));
    object = json_pack("{s:s, s:o}", "type", "gpu_computation", "data", array);
    text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    ok = text != NULL ? publish(e->state, text, strlen(text))
                      : tribus_bench_pair_fail("redis-json: no memory");
    free(text);
    json_decref(object);
    return ok;
}

static const void *json_receive(tribus_bench_end *e)
{
    connections *s = e->state;
    const redisReply *text = next_message(s);
    uint64_t *numbers = (uint64_t *)(void *)s->parsed;
    const json_t *array;
    json_t *object;

    if (text == NULL)
        return NULL;
    object = json_loadb(text->str, text->len, 0, NULL);
    array = json_object_get(object, "data");
    if (json_array_size(array) != e->size_bytes / 8) {
        json_decref(object);
        (void)tribus_bench_pair_fail("redis-json: a message does not parse");
        return NULL;
    }
    for (size_t i = 0; i < e->size_bytes / 8; i++)
        numbers[i] = (uint64_t)(json_number_value(json_array_get(array, i)) * 1024.0);
    json_decref(object);
    return numbers;
}

const tribus_bench_ops tribus_bench_redis_json = {
    .path = "redis-json",
    .start = start,
    .loan = loan,
    .send = json_send,
    .receive = json_receive,
    .release = release,
    .stop = stop,
};
