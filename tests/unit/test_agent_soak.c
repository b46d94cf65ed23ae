/* test_agent_soak.c -- agent and clients are killed at random moments, again and again.
 * labels: multiprocess
 *
 * TRIBUS_KILLS=10000 makes a soak of it; every kill is followed by the check that all who live
 * are alive in the registry under the number they had, that their memory can be opened and
 * is theirs, and that who was killed is dead.
 */
#include "agent_fixture.h"
#include "base/random.h"

#define PEERS       4
#define KILLS       60
#define DEADLINE_NS (60 * SECOND_NS)

typedef struct peer {
    char name[16];
    pid_t pid;
    tribus_participant row; /* as the watcher saw it; number 0: not seen yet */
} peer;

static const struct timespec nap = {.tv_nsec = 1000000};

static void start_agent_and_stay(void *context)
{
    (void)fixture_agent(*(const tribus_agent_cfg *)context);
}

static pid_t agent_process(void)
{
    tribus_agent_cfg cfg = {.requests_per_s = 1000000};

    return fixture_child(start_agent_and_stay, &cfg);
}

/* Join, make an object, then look around for ever, whatever happens to the agent. */
static void live(const char *name)
{
    const tribus_session_cfg cfg = {
        .socket_path = fixture_path(), .name = name, .role = "peer"};
    tribus_session *s = NULL;
    char object[32];
    void *mem;

    while (tribus_session_open(&cfg, &s) != TRIBUS_OK)
        (void)nanosleep(&nap, NULL);
    (void)snprintf(object, sizeof(object), "%s/x", name);
    while (tribus_session_create_object(s, object, TRIBUS_OBJECT_RING, 4096, 0, NULL,
                                        &mem) != TRIBUS_OK)
        (void)nanosleep(&nap, NULL);
    (void)snprintf(mem, 4096, "of %s", name);
    for (;;) {
        uint32_t cursor = 0;
        tribus_object o, opened;

        while (tribus_session_next_object(s, &cursor, &o) == TRIBUS_OK)
            if (tribus_session_open_object(s, o.name, 0, &opened, &mem) == TRIBUS_OK &&
                strcmp(o.name, object) != 0)
                tribus_session_drop(s, &opened, 0);
        (void)nanosleep(&nap, NULL);
    }
}

static void start_peer(peer *p)
{
    (void)fflush(NULL);
    p->pid = fork();
    CHECK(p->pid >= 0);
    if (p->pid == 0)
        live(p->name);
    memset(&p->row, 0, sizeof(p->row));
}

/* Whether the registry shows this peer as it should. */
static int is_well(tribus_session *s, peer *p)
{
    tribus_participant row;
    tribus_object o;
    char object[32], want[32];
    void *mem;
    int same;

    if (!fixture_find(s, p->name, &row) || row.alive == 0 || row.pid != p->pid)
        return 0;
    if (p->row.number != 0)
        CHECK(row.number == p->row.number && row.epoch == p->row.epoch);
    (void)snprintf(object, sizeof(object), "%s/x", p->name);
    (void)snprintf(want, sizeof(want), "of %s", p->name);
    if (tribus_session_open_object(s, object, 0, &o, &mem) != TRIBUS_OK)
        return 0;
    same = strcmp(mem, want) == 0; /* written after it was created: maybe not yet */
    tribus_session_drop(s, &o, 0);
    if (same)
        p->row = row;
    return same && tribus_session_alive(s, row.number, row.epoch);
}

static void wait_until_all_is_well(tribus_session *s, peer *peers)
{
    const int64_t deadline = tribus_now_ns() + DEADLINE_NS;

    for (int i = 0; i < PEERS; i++)
        while (!is_well(s, &peers[i])) {
            if (tribus_now_ns() > deadline)
                fprintf(stderr, "%s (process %ld) does not come back\n", peers[i].name,
                        (long)peers[i].pid);
            CHECK(tribus_now_ns() < deadline);
            (void)nanosleep(&nap, NULL);
        }
}

static void wait_until_dead(const tribus_session *s, const tribus_participant *p)
{
    const int64_t deadline = tribus_now_ns() + DEADLINE_NS;

    while (tribus_session_alive(s, p->number, p->epoch)) {
        CHECK(tribus_now_ns() < deadline);
        (void)nanosleep(&nap, NULL);
    }
}

static void pause_up_to_ms(tribus_random *r, uint64_t ms)
{
    const struct timespec t = {.tv_nsec = (long)tribus_random_below(r, ms * 1000000u)};

    (void)nanosleep(&t, NULL);
}

int main(void)
{
    const char *given = getenv("TRIBUS_KILLS");
    const int kills = given != NULL ? atoi(given) : KILLS;
    tribus_session *watcher;
    peer peers[PEERS];
    tribus_random r;
    pid_t agent;

    tribus_random_init(&r, check_seed());
    (void)fixture_path();
    agent = agent_process();
    for (int i = 0; i < PEERS; i++) {
        (void)snprintf(peers[i].name, sizeof(peers[i].name), "p%d", i);
        start_peer(&peers[i]);
    }
    watcher = fixture_session("watcher");
    wait_until_all_is_well(watcher, peers);
    for (int k = 0; k < kills; k++) {
        const uint64_t what = tribus_random_below(&r, 3);

        pause_up_to_ms(&r, 30);
        if (what != 0) { /* the agent, and perhaps a peer while there is none */
            peer *p = &peers[tribus_random_below(&r, PEERS)];
            const tribus_participant dead = p->row;

            fixture_kill(agent, SIGKILL);
            if (what == 2) {
                fixture_kill(p->pid, SIGKILL);
                start_peer(p);
            }
            pause_up_to_ms(&r, 30);
            agent = agent_process();
            if (what == 2)
                wait_until_dead(watcher, &dead);
        } else {
            peer *p = &peers[tribus_random_below(&r, PEERS)];
            const tribus_participant dead = p->row;

            fixture_kill(p->pid, SIGKILL);
            start_peer(p);
            wait_until_dead(watcher, &dead);
        }
        wait_until_all_is_well(watcher, peers);
    }
    for (int i = 0; i < PEERS; i++)
        fixture_kill(peers[i].pid, SIGKILL);
    tribus_session_close(watcher);
    fixture_kill(agent, SIGKILL);
    tribus_agent_stop(fixture_agent((tribus_agent_cfg){0})); /* clears what it left away */
    return 0;
}
