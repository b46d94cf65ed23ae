/* fuzz_agent.c -- everything that parses the agent's socket or its registry.
 *
 * The first byte chooses who is hostile:
 *   0   a client: the rest are messages to a real agent, which must answer each or end the
 *       connection, and still serve others afterwards;
 *   1   an agent: the rest is the reply to a request;
 *   2   the registry: the rest is laid over a valid one, and read.
 */
#include "require.h"

#include "base/os.h"
#include "fabric/agent_call.h"
#include "fabric/registry.h"
#include "tribus/agent.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/tribus-fuzz-XXXXXX";
static char path[64];
static tribus_agent *agent;
static tribus_session *bystander;

static void end(void)
{
    tribus_session_close(bystander);
    tribus_agent_stop(agent);
    (void)rmdir(folder);
}

static void begin(void)
{
    static const tribus_agent_cfg cfg = {.socket_path = path,
                                         .memory_limit_bytes = 1u << 20,
                                         .objects_per_participant = 16,
                                         .requests_per_s = 100000000};
    static const tribus_session_cfg session = {
        .socket_path = path, .name = "bystander", .role = "tool"};

    if (agent != NULL)
        return;
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/agent.sock", folder);
    REQUIRE(tribus_agent_start(&cfg, &agent) == TRIBUS_OK);
    REQUIRE(tribus_session_open(&session, &bystander) == TRIBUS_OK);
    (void)atexit(end);
}

/* True while the connection lives. Every message has an answer or is the last one. */
static int one_message(int sock, const uint8_t *bytes, size_t n)
{
    tribus_agent_reply reply;
    int fds[8];
    uint32_t fd_count = 8;
    size_t got = 0;
    tribus_status st;

    if (tribus_os_send(sock, bytes, n, NULL, 0) != TRIBUS_OK)
        return 0;
    st = tribus_os_receive_wait(sock, &reply, sizeof(reply), &got, fds, &fd_count,
                                INT64_C(10000000000));
    REQUIRE(st != TRIBUS_TIMEOUT);
    if (st != TRIBUS_OK)
        return 0;
    REQUIRE(reply.head.magic == TRIBUS_AGENT_MAGIC && reply.head.version == 1);
    for (uint32_t i = 0; i < fd_count; i++)
        (void)close(fds[i]);
    return 1;
}

/* Each message: a byte that says how much of a request is made valid, then its bytes. */
static void hostile_client(const uint8_t *data, size_t size)
{
    tribus_agent_channel channel;
    tribus_agent_status status;
    int alive = 1;

    begin();
    REQUIRE(tribus_agent_call_connect(&channel, path, INT64_C(10000000000)) == TRIBUS_OK);
    for (int i = 0; i < 32 && alive && size > 1; i++) {
        const uint8_t how = data[0];
        tribus_agent_request request =
            tribus_agent_call_request((tribus_agent_request_type)(how & 15));
        const size_t body = sizeof(request) - sizeof(request.head);
        size_t n;

        data++;
        size--;
        n = size < body ? size : body;
        if ((how & 128) != 0) { /* as it is */
            n = size < 400 ? size : 400;
            if (n >= 8 && data[6] == TRIBUS_AGENT_STOP && data[7] == 0)
                break; /* that one would be obeyed */
            alive = one_message(channel.sock, data, n);
        } else if ((how & 15) != TRIBUS_AGENT_STOP) {
            if ((how & 16) != 0)
                (void)snprintf(request.name, sizeof(request.name), "n%u", how & 3u);
            if ((how & 32) != 0)
                (void)snprintf(request.role, sizeof(request.role), "fuzz");
            if ((how & 48) == 48)
                n = n > 16 ? 16 : n;
            memcpy((how & 48) == 48 ? (uint8_t *)&request.kind
                                    : (uint8_t *)&request + sizeof(request.head),
                   data, n);
            if ((how & 64) != 0)
                (void)snprintf(request.name, sizeof(request.name), "n%u", how & 3u);
            alive = one_message(channel.sock, (const uint8_t *)&request, sizeof(request));
        }
        data += n;
        size -= n;
    }
    tribus_agent_call_close(&channel);
    REQUIRE(tribus_agent_get_status(path, INT64_C(10000000000), &status) == TRIBUS_OK);
    REQUIRE(status.memory_bytes <= status.memory_limit_bytes);
}

static void hostile_agent(const uint8_t *data, size_t size)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_CREATE);
    tribus_agent_channel channel = {.sock = -1, .sequence = 0};
    uint8_t bytes[1200] = {0};
    tribus_agent_reply reply;
    int pair[2], fds[TRIBUS_AGENT_CALL_FDS], with[2];
    const size_t n = size < sizeof(bytes) ? size : sizeof(bytes);

    if (n < 1)
        return;
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) ==
            0);
    memcpy(bytes, data + 1, n - 1);
    if ((data[0] & 1) != 0) { /* a good head and size */
        const tribus_agent_head head = {TRIBUS_AGENT_MAGIC, TRIBUS_AGENT_VERSION,
                                        TRIBUS_AGENT_CREATE, 1};

        memcpy(bytes, &head, sizeof(head));
    }
    with[0] = with[1] = pair[0];
    if (tribus_os_send(pair[1], bytes, (data[0] & 1) != 0 ? sizeof(reply) : n, with,
                       (uint32_t)((data[0] >> 1) & 1)) == TRIBUS_OK) {
        channel.sock = pair[0];
        if (tribus_agent_call_wait(&channel, &request, -1, &reply, fds, 1) == TRIBUS_OK) {
            REQUIRE(reply.fd_count <= TRIBUS_AGENT_CALL_FDS);
            for (uint32_t i = 0; i < reply.fd_count; i++)
                (void)close(fds[i]);
        }
    }
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void hostile_registry(const uint8_t *data, size_t size)
{
    static tribus_registry_shm *registry;
    uint8_t *bytes;
    tribus_participant p;
    tribus_object o;
    uint32_t cursor = 0;

    if (registry == NULL)
        registry = aligned_alloc(64, (TRIBUS_REGISTRY_BYTES + 63u) / 64u * 64u);
    REQUIRE(registry != NULL);
    memset(registry, 0, TRIBUS_REGISTRY_BYTES);
    tribus_registry_create(registry, 1);
    bytes = (uint8_t *)registry;
    while (size > 4) { /* where, how many, bytes */
        const size_t at =
            (size_t)(data[0] | data[1] << 8 | data[2] << 16) * 8u % TRIBUS_REGISTRY_BYTES;
        size_t n = data[3];

        data += 4;
        size -= 4;
        n = n < size ? n : size;
        n = n < TRIBUS_REGISTRY_BYTES - at ? n : TRIBUS_REGISTRY_BYTES - at;
        memcpy(bytes + at, data, n);
        data += n;
        size -= n;
    }
    if (tribus_registry_check(registry, TRIBUS_REGISTRY_BYTES) != TRIBUS_OK)
        return;
    while (tribus_registry_next_participant(registry, &cursor, &p) == TRIBUS_OK) {
        REQUIRE(tribus_registry_name_is_good(p.name) && memchr(p.role, 0, 16) != NULL);
        (void)tribus_registry_alive(registry, p.number, p.epoch);
    }
    cursor = 0;
    while (tribus_registry_next_object(registry, &cursor, &o) == TRIBUS_OK)
        REQUIRE(tribus_registry_name_is_good(o.name) && o.number < 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    switch (data[0] % 3) {
    case 0:
        hostile_client(data + 1, size - 1);
        break;
    case 1:
        hostile_agent(data + 1, size - 1);
        break;
    default:
        hostile_registry(data + 1, size - 1);
        break;
    }
    return 0;
}
