/* supervise.c -- see supervise.h. A small state machine for each process, advanced by
 * tribus_supervise_tick(); the end of a process is an event of its pidfd. */
#include "agent/supervise.h"
#include "agent/agent.h"
#include "agent/child.h"
#include "agent/server.h"
#include "agent/server_command.h"
#include "base/error.h"
#include "base/log.h"
#include "base/os.h"
#include "bus/redis_tls.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MS_NS         INT64_C(1000000)
#define BACKOFF_LEAST (100 * MS_NS)
#define BACKOFF_MOST  (5000 * MS_NS)
#define GOOD_RUN      (10000 * MS_NS) /* after this long the back-off starts over */
#define SETTLE        (5000 * MS_NS)  /* the next group waits this long for a slow one */
#define LOOK          (20 * MS_NS)    /* between two looks at a server that starts */
#define LOOK_WELL     (1000 * MS_NS)  /* between two at one that is not ours and answers */
#define LOOK_LEAST    (500 * MS_NS)   /* the same where none answers, doubling */
#define LOOK_MOST     (8000 * MS_NS)
#define PROBE         (1000 * MS_NS)
#define AWAY_LOOKS    3 /* whom a server belongs to has 1.5 s to start it again */
#define SILENT_LOOKS  3 /* a server on a busy machine may be slow to answer */
#define STOP_DEFAULT  (3000 * MS_NS)
#define READY_MOST    (20000 * MS_NS) /* for a file that says so */
#define EXIT_USAGE    2

typedef struct child {
    tribus_supervisor *supervisor;
    tribus_agent_child row;
    uint32_t group;
    tribus_restart restart;
    char **argv;      /* one block */
    char **stop_argv; /* NULL: SIGTERM */
    char **envp;      /* NULL: the supervisor's */
    pid_t stopper;    /* runs stop_argv; 0: does not run */
    char *ready_path; /* NULL: up when it registers */
    bool was_up;
    struct child *partner; /* that it runs with, or instead of; NULL: on its own */
    bool instead;
    bool standing_by; /* DONE, until the partner's state says otherwise */
    bool dragged;     /* its partner ended, and we ended it */
    bool redis;
    bool spawn;
    char host[64];
    tribus_redis_tls_copy tls;
    char data_folder[256]; /* "": keeps nothing */
    int lock_fd;           /* of that folder; -1: not taken */
    char log_path[256];
    tribus_source process;
    int64_t started_ns;
    int64_t due_ns; /* BACKOFF: start again; STARTING: look again; STOPPING: SIGKILL */
    int64_t backoff_ns;
    bool asking;     /* a question is under way */
    bool external;   /* a server that is not ours was there */
    uint32_t away;   /* looks in a row that found nobody in its place */
    int64_t look_ns; /* from one look at a server that is away to the next */
    uint32_t silent; /* looks in a row at a port that takes connections and says nothing */
} child;

/* Who answers at a child's port? Asked on a thread: it may take a second, and longer for a
 * name service, in which nobody would be seen to die. */
typedef struct question {
    tribus_work work; /* first */
    child *child;
    uint32_t state; /* of the child when it was asked: the answer is for that */
    int32_t pid;
    tribus_server_answer answer;
    char text[224];
} question;

struct tribus_supervisor {
    tribus_agent *agent;
    child *children;
    uint32_t count;
    uint32_t group; /* started up to here */
    bool stopping;
    bool stop_servers;
    char **envp;
    char folder[192];
    int64_t stop_timeout_ns;
};

static void ended(tribus_agent *agent, void *owner, uint32_t events);

/* ---- open and close ---- */

static bool name_is_good(const char *name)
{
    char padded[TRIBUS_NAME_BYTES] = {0};

    if (name == NULL || strlen(name) >= sizeof(padded) || name[0] == '.' ||
        strchr(name, '/') != NULL)
        return false;
    (void)snprintf(padded, sizeof(padded), "%s", name);
    return tribus_registry_name_is_good(padded) != 0;
}

static char **copy_argv(const char *const *argv)
{
    size_t count = 0, bytes = 0;
    char **out, *text;

    for (; argv[count] != NULL; count++)
        bytes += strlen(argv[count]) + 1;
    out = malloc((count + 1) * sizeof(*out) + bytes);
    if (out == NULL)
        return NULL;
    text = (char *)(out + count + 1);
    for (size_t i = 0; i < count; i++) {
        const size_t n = strlen(argv[i]) + 1;

        memcpy(text, argv[i], n);
        out[i] = text;
        text += n;
    }
    out[count] = NULL;
    return out;
}

static tribus_status add(tribus_supervisor *s, const char *name, const char *kind,
                         const char *const *argv, child **out)
{
    child *c = &s->children[s->count];

    if (!name_is_good(name))
        return tribus_error_set(TRIBUS_BAD_ARG, "child \"%s\": 1 to 63 of a-z 0-9 . _ -",
                                name == NULL ? "" : name);
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->children[i].row.name, name) == 0)
            return tribus_error_set(TRIBUS_BAD_ARG, "two children are named %s", name);
    if (argv == NULL || argv[0] == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "child %s: no program", name);
    c->supervisor = s;
    c->process = (tribus_source){.ready = ended, .owner = c, .fd = -1};
    c->lock_fd = -1;
    (void)snprintf(c->row.name, sizeof(c->row.name), "%s", name);
    (void)snprintf(c->row.kind, sizeof(c->row.kind), "%s", kind == NULL ? "" : kind);
    (void)snprintf(c->log_path, sizeof(c->log_path), "%s/%s.log", s->folder, name);
    c->argv = copy_argv(argv);
    if (c->argv == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "child %s", name);
    s->count++;
    *out = c;
    return TRIBUS_OK;
}

static tribus_status add_partner(child *c, const tribus_agent_child_cfg *want)
{
    tribus_supervisor *s = c->supervisor;
    const char *name = want->with != NULL ? want->with : want->without;

    if (name == NULL)
        return TRIBUS_OK;
    c->instead = want->with == NULL;
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->children[i].row.name, name) == 0 &&
            s->children[i].ready_path != NULL && &s->children[i] != c)
            c->partner = &s->children[i];
    if (c->partner == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "child %s: none before it is %s and has a ready_path",
                                c->row.name, name);
    return TRIBUS_OK;
}

static tribus_status add_child(tribus_supervisor *s, const tribus_agent_child_cfg *want,
                               child **out)
{
    child *c;
    tribus_status st = add(s, want->name, want->kind, want->argv, &c);

    if (st != TRIBUS_OK)
        return st;
    *out = c;
    c->restart = want->restart;
    (void)snprintf(c->row.about, sizeof(c->row.about), "%s",
                   want->about != NULL ? want->about : "");
    if (want->env != NULL)
        c->envp = tribus_child_environment(s->agent->endpoint.path, want->env);
    if (want->ready_path != NULL)
        c->ready_path = strdup(want->ready_path);
    if (want->stop_argv != NULL)
        c->stop_argv = copy_argv(want->stop_argv);
    if ((want->env != NULL && c->envp == NULL) ||
        (want->ready_path != NULL && c->ready_path == NULL) ||
        (want->stop_argv != NULL && c->stop_argv == NULL))
        return tribus_error_set(TRIBUS_NO_MEMORY, "child %s", want->name);
    return add_partner(c, want);
}

static tribus_status add_redis(tribus_supervisor *s, const tribus_agent_redis_cfg *r)
{
    tribus_server_command command;
    child *c = NULL;
    tribus_status st = tribus_server_command_fill(r, s->folder, &command);

    if (st == TRIBUS_OK)
        st = add(s, r->name, "redis", command.argv, &c);
    if (st != TRIBUS_OK)
        return st;
    st = tribus_redis_tls_copy_cfg(r->tls, &c->tls);
    if (st != TRIBUS_OK)
        return st;
    (void)snprintf(c->host, sizeof(c->host), "%s",
                   r->host != NULL && r->host[0] != '\0' ? r->host : "127.0.0.1");
    c->redis = true;
    c->spawn = r->spawn != 0;
    if (r->data_folder != NULL && r->data_folder[0] != '\0')
        (void)snprintf(c->data_folder, sizeof(c->data_folder), "%s", command.folder);
    c->row.port = r->port;
    c->restart = TRIBUS_RESTART_ALWAYS;
    return TRIBUS_OK;
}

tribus_status tribus_supervise_open(tribus_agent *agent, const tribus_agent_cfg *cfg,
                                    tribus_supervisor **out)
{
    tribus_supervisor *s = calloc(1, sizeof(*s));
    const uint32_t room = cfg->redis_count + cfg->child_count;
    uint32_t group = 0;
    tribus_status st = TRIBUS_OK;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "supervisor");
    s->agent = agent;
    s->stop_timeout_ns = cfg->stop_timeout_ns > 0 ? cfg->stop_timeout_ns : STOP_DEFAULT;
    (void)snprintf(s->folder, sizeof(s->folder), "%s",
                   cfg->runtime_folder != NULL ? cfg->runtime_folder
                                               : agent->endpoint.folder);
    s->envp = tribus_child_environment(agent->endpoint.path, NULL);
    s->children = calloc(room + 1u, sizeof(*s->children));
    if (s->envp == NULL || s->children == NULL)
        st = tribus_error_set(TRIBUS_NO_MEMORY, "supervisor of %u children", room);
    if (st == TRIBUS_OK && room > 0)
        st = tribus_os_make_folders(s->folder);
    for (uint32_t i = 0; st == TRIBUS_OK && i < cfg->redis_count; i++)
        st = add_redis(s, &cfg->redis[i]);
    for (uint32_t i = 0; st == TRIBUS_OK && i < cfg->child_count; i++) {
        const tribus_agent_child_cfg *want = &cfg->children[i];
        child *c = NULL;

        st = add_child(s, want, &c);
        if (st != TRIBUS_OK)
            break;
        if (i == 0 || strcmp(c->row.kind, c[-1].row.kind) != 0)
            group++;
        c->group = group;
    }
    if (st != TRIBUS_OK) {
        tribus_supervise_close(s);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

void tribus_supervise_close(tribus_supervisor *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        free(s->children[i].argv);
        free(s->children[i].stop_argv);
        free(s->children[i].envp);
        free(s->children[i].ready_path);
        if (s->children[i].lock_fd >= 0)
            (void)close(s->children[i].lock_fd);
    }
    free(s->children);
    free(s->envp);
    free(s);
}

/* ---- one child ---- */

static void fail(child *c, const char *why)
{
    c->row.state = TRIBUS_CHILD_FAILED;
    c->due_ns = INT64_MAX;
    (void)snprintf(c->row.text, sizeof(c->row.text), "%s", why);
    tribus_log(TRIBUS_LOG_WARN, "%s: %s", c->row.name, why);
}

static void back_off(child *c, int64_t now_ns)
{
    c->backoff_ns = c->backoff_ns == 0 ? BACKOFF_LEAST : c->backoff_ns * 2;
    if (c->backoff_ns > BACKOFF_MOST)
        c->backoff_ns = BACKOFF_MOST;
    c->row.state = TRIBUS_CHILD_BACKOFF;
    c->due_ns = now_ns + c->backoff_ns;
}

static const char *how_it_ended(const child *c, char *buf, size_t bytes)
{
    char words[160];

    words[0] = '\0';
    if (c->row.last_exit > 0)
        tribus_child_last_words(c->log_path, words, sizeof(words));
    if (c->row.last_exit < 0)
        (void)snprintf(buf, bytes, "killed by signal %d", -c->row.last_exit);
    else
        (void)snprintf(buf, bytes, "exit status %d%s%s", c->row.last_exit,
                       words[0] != '\0' ? ": " : "", words);
    return buf;
}

static bool again(const child *c)
{
    if (c->restart == TRIBUS_RESTART_NEVER)
        return false;
    return c->restart == TRIBUS_RESTART_ALWAYS || c->row.last_exit != 0;
}

static void reap_now(pid_t pid)
{
    int status;

    (void)kill(-pid, SIGKILL);
    while (tribus_child_reap(pid, &status) == TRIBUS_EMPTY)
        (void)usleep(1000);
}

/* What runs with a child that ended cannot go on. */
static void drag(const child *c)
{
    tribus_supervisor *s = c->supervisor;

    for (uint32_t i = 0; i < s->count; i++) {
        child *other = &s->children[i];

        if (other->partner == c && !other->instead && other->row.pid != 0 &&
            other->row.state != TRIBUS_CHILD_STOPPING) {
            other->dragged = true;
            (void)kill(-(pid_t)other->row.pid, SIGKILL);
        }
    }
}

static void ended(tribus_agent *agent, void *owner, uint32_t events)
{
    child *c = owner;
    const int64_t now_ns = tribus_now_ns();
    const pid_t pid = c->row.pid;
    const bool asked = c->row.state == TRIBUS_CHILD_STOPPING;
    char why[224];

    (void)events;
    if (pid <= 0 || tribus_child_reap(pid, &c->row.last_exit) != TRIBUS_OK)
        return;
    tribus_agent_unwatch(agent, &c->process);
    c->row.pid = 0;
    if (c->stopper > 0)
        reap_now(c->stopper);
    c->stopper = 0;
    if (c->dragged)
        (void)snprintf(why, sizeof(why), "ended because %s did", c->partner->row.name);
    else
        (void)how_it_ended(c, why, sizeof(why));
    c->dragged = false;
    drag(c);
    if (asked || (c->row.last_exit == 0 && !again(c))) {
        c->row.state = TRIBUS_CHILD_DONE;
        tribus_log(TRIBUS_LOG_INFO, "%s ended: %s", c->row.name, why);
        return;
    }
    (void)snprintf(c->row.text, sizeof(c->row.text), "%s", why);
    if (!again(c) || c->row.last_exit == EXIT_USAGE ||
        (c->ready_path != NULL && !c->was_up)) {
        fail(c, why);
        return;
    }
    if (now_ns - c->started_ns > GOOD_RUN)
        c->backoff_ns = 0;
    back_off(c, now_ns);
    c->row.restarts++;
    agent->status.restarts++;
    tribus_log(TRIBUS_LOG_WARN, "%s ended: %s; started again in %lld ms", c->row.name, why,
               (long long)(c->backoff_ns / MS_NS));
}

static void spawn(child *c, int64_t now_ns)
{
    tribus_agent *agent = c->supervisor->agent;
    char path[512], why[256];
    pid_t pid = 0;
    int fd = -1;
    tribus_status st = tribus_child_find(c->argv[0], path, sizeof(path));

    if (c->ready_path != NULL)
        (void)unlink(c->ready_path);
    if (st != TRIBUS_OK) {
        (void)snprintf(why, sizeof(why), "%s%s", tribus_error_text(),
                       c->redis ? "; install the package redis-server or set "
                                  "redis.program; the fabric works without it"
                                : "");
        fail(c, why);
        return;
    }
    st = tribus_child_start(path, c->argv, c->envp != NULL ? c->envp : c->supervisor->envp,
                            c->log_path, &pid);
    if (st == TRIBUS_OK)
        st = tribus_os_pidfd(pid, &fd);
    if (st == TRIBUS_OK)
        st = tribus_agent_watch(agent, &c->process, fd, EPOLLIN);
    if (st != TRIBUS_OK) { /* out of descriptors or processes: that may pass */
        (void)snprintf(c->row.text, sizeof(c->row.text), "%s", tribus_error_text());
        tribus_log(TRIBUS_LOG_WARN, "%s: %s", c->row.name, tribus_error_text());
        if (pid > 0)
            reap_now(pid);
        if (fd >= 0)
            (void)close(fd);
        back_off(c, now_ns);
        return;
    }
    c->row.pid = (int32_t)pid;
    c->row.state = TRIBUS_CHILD_STARTING;
    c->started_ns = now_ns;
    c->due_ns = now_ns + LOOK;
    tribus_log(TRIBUS_LOG_INFO, "%s started: process %ld", c->row.name, (long)pid);
}

/* ---- servers ---- */

/* Look again later, less and less often. */
static void look_later(child *c, int64_t now_ns)
{
    c->look_ns = c->look_ns == 0 ? LOOK_LEAST : c->look_ns * 2;
    if (c->look_ns > LOOK_MOST)
        c->look_ns = LOOK_MOST;
    c->row.state = TRIBUS_CHILD_FAILED;
    c->due_ns = now_ns + c->look_ns;
}

/* A server that is not ours cannot be used: say so once for each reason, and look on. */
static void not_there(child *c, const char *why, int64_t now_ns)
{
    if (strcmp(c->row.text, why) != 0) {
        (void)snprintf(c->row.text, sizeof(c->row.text), "%s", why);
        tribus_log(TRIBUS_LOG_WARN, "%s: %s", c->row.name, why);
    }
    look_later(c, now_ns);
}

/* A server that answers there already is used as it is, and looked after. */
static void use_external(child *c, int64_t now_ns)
{
    if (c->row.state != TRIBUS_CHILD_EXTERNAL)
        tribus_log(TRIBUS_LOG_INFO, "%s: using the server that answers at %s:%d%s",
                   c->row.name, c->host, c->row.port, c->external ? " again" : "");
    c->row.state = TRIBUS_CHILD_EXTERNAL;
    c->row.text[0] = '\0';
    c->external = true;
    c->away = 0;
    c->look_ns = 0;
    c->due_ns = now_ns + LOOK_WELL;
}

static void spawn_server(child *c, int64_t now_ns)
{
    if (c->data_folder[0] != '\0' &&
        tribus_server_command_take_folder(c->data_folder, &c->lock_fd) != TRIBUS_OK)
        not_there(c, tribus_error_text(), now_ns); /* its last server may just end */
    else
        spawn(c, now_ns);
}

/* No server of ours runs: what did the look at the port say? */
static void take_look(child *c, const question *q, int64_t now_ns)
{
    char why[256];

    c->silent = q->answer == TRIBUS_SERVER_SILENT ? c->silent + 1 : 0;
    if (q->answer == TRIBUS_SERVER_REDIS) {
        use_external(c, now_ns);
        return;
    }
    if (c->silent > 0 && c->silent < SILENT_LOOKS) { /* it may be busy */
        if (c->row.state == TRIBUS_CHILD_EXTERNAL || c->row.state == TRIBUS_CHILD_FAILED)
            c->due_ns = now_ns + LOOK_LEAST;
        else
            back_off(c, now_ns);
        if (c->row.text[0] == '\0')
            (void)snprintf(c->row.text, sizeof(c->row.text),
                           "port %d takes connections and has not answered so far",
                           c->row.port);
        return;
    }
    if (c->external)
        (void)snprintf(why, sizeof(why),
                       "the server at %s:%d does not answer any more; the fabric works "
                       "without it, and it is looked for again",
                       c->host, c->row.port);
    else if (q->answer == TRIBUS_SERVER_NOBODY)
        (void)snprintf(why, sizeof(why),
                       "no server answers at %s:%d; the fabric works without it", c->host,
                       c->row.port);
    else if (q->answer == TRIBUS_SERVER_REFUSED)
        (void)snprintf(why, sizeof(why), "%s", q->text);
    else
        (void)snprintf(why, sizeof(why),
                       "port %d is taken by something that is not Redis: stop it, or set "
                       "another port for this bus; the fabric works without a server (%s)",
                       c->row.port, q->text);
    /* A port that is taken may be free later: the server of an agent that was killed takes
     * its time to end, and answers meanwhile. */
    if (q->answer != TRIBUS_SERVER_NOBODY || !c->spawn ||
        (c->external && ++c->away < AWAY_LOOKS)) {
        not_there(c, why, now_ns);
        return;
    }
    c->external = false;
    spawn_server(c, now_ns);
}

static void ask_server(tribus_work *work)
{
    question *q = (question *)work;

    q->answer =
        tribus_server_probe(q->child->host, q->child->row.port, &q->child->tls.cfg, PROBE);
    if (q->answer != TRIBUS_SERVER_REDIS)
        (void)snprintf(q->text, sizeof(q->text), "%s", tribus_error_text());
}

static void take_answer(tribus_agent *agent, tribus_work *work)
{
    question *q = (question *)work;
    child *c = q->child;

    c->asking = false;
    /* Else the answer is for what was then. */
    if (agent != NULL && !c->supervisor->stopping && c->row.state == q->state &&
        c->row.pid == q->pid) {
        if (q->state != TRIBUS_CHILD_STARTING) {
            take_look(c, q, tribus_now_ns());
        } else if (q->answer == TRIBUS_SERVER_REDIS) {
            c->row.state = TRIBUS_CHILD_UP;
            c->row.text[0] = '\0';
        }
    }
    free(q);
}

static void ask(child *c, int64_t now_ns)
{
    tribus_agent *agent = c->supervisor->agent;
    question *q = calloc(1, sizeof(*q));

    if (q == NULL ||
        (agent->prober == NULL && tribus_worker_open(agent, &agent->prober) != TRIBUS_OK)) {
        free(q);
        back_off(c, now_ns); /* out of memory or threads: that may pass */
        return;
    }
    q->work = (tribus_work){.run = ask_server, .done = take_answer};
    q->child = c;
    q->state = (uint32_t)c->row.state;
    q->pid = c->row.pid;
    c->asking = true;
    tribus_worker_submit(agent->prober, &q->work);
}

static bool has_joined(const tribus_agent *agent, int32_t pid)
{
    for (uint32_t i = 1; i < TRIBUS_REGISTRY_PARTICIPANTS; i++)
        if (agent->participants[i].client != NULL && agent->participants[i].row.pid == pid)
            return true;
    return false;
}

/* For what is no server: those are asked on a thread of their own. */
static bool is_up(const child *c)
{
    if (c->ready_path != NULL)
        return access(c->ready_path, F_OK) == 0;
    return has_joined(c->supervisor->agent, c->row.pid);
}

/* Start it, if its partner lets it run. */
static void start(child *c, int64_t now_ns)
{
    const uint32_t state = c->partner != NULL ? c->partner->row.state : TRIBUS_CHILD_UP;

    if (c->partner != NULL && state != TRIBUS_CHILD_UP && state != TRIBUS_CHILD_FAILED) {
        c->due_ns = now_ns + LOOK; /* nobody knows yet */
        return;
    }
    c->standing_by = c->partner != NULL && (state == TRIBUS_CHILD_FAILED) != c->instead;
    if (c->standing_by) {
        c->row.state = TRIBUS_CHILD_DONE;
        c->row.text[0] = '\0';
    } else if (c->redis) {
        ask(c, now_ns);
    } else {
        spawn(c, now_ns);
    }
}

static void advance(child *c, int64_t now_ns)
{
    if (c->asking)
        return;
    switch ((tribus_child_state)c->row.state) {
    case TRIBUS_CHILD_BACKOFF:
        if (now_ns < c->due_ns)
            return;
        /* fall through */
    case TRIBUS_CHILD_WAITING:
        start(c, now_ns);
        return;
    case TRIBUS_CHILD_DONE:
        if (c->standing_by)
            start(c, now_ns);
        return;
    case TRIBUS_CHILD_STARTING:
        if (now_ns < c->due_ns)
            return;
        c->due_ns = now_ns + LOOK;
        if (c->redis) {
            ask(c, now_ns);
        } else if (is_up(c)) {
            c->row.state = TRIBUS_CHILD_UP;
            c->row.text[0] = '\0';
            c->was_up = true;
        } else if (c->ready_path != NULL && now_ns - c->started_ns > READY_MOST) {
            (void)kill(-(pid_t)c->row.pid, SIGKILL); /* its end is the next event */
        }
        return;
    case TRIBUS_CHILD_FAILED:
    case TRIBUS_CHILD_EXTERNAL:
        if (c->redis && now_ns >= c->due_ns) /* fail() sets none */
            ask(c, now_ns);
        return;
    default:
        return;
    }
}

/* ---- all of them ---- */

static bool settled(const child *c, int64_t now_ns)
{
    if (c->row.state == TRIBUS_CHILD_WAITING)
        return false;
    return c->row.state != TRIBUS_CHILD_STARTING || now_ns - c->started_ns > SETTLE;
}

static bool is_due_later(const child *c)
{
    return !c->asking && /* the answer wakes the loop */
           (c->row.state == TRIBUS_CHILD_STARTING || c->row.state == TRIBUS_CHILD_BACKOFF ||
            c->row.state == TRIBUS_CHILD_FAILED || c->row.state == TRIBUS_CHILD_EXTERNAL);
}

/* The latest group that still has a running process; false: nothing runs. */
static bool last_running(const tribus_supervisor *s, uint32_t *group)
{
    bool any = false;

    for (uint32_t i = 0; i < s->count; i++)
        if (s->children[i].row.pid != 0 && (s->stop_servers || !s->children[i].redis)) {
            *group = s->children[i].group;
            any = true;
        }
    return any;
}

static void ask_to_end(child *c)
{
    char path[512], log_path[sizeof(c->log_path) + 8];

    (void)snprintf(log_path, sizeof(log_path), "%s/%s-stop.log", c->supervisor->folder,
                   c->row.name);
    if (c->stop_argv != NULL && c->stopper == 0 &&
        tribus_child_find(c->stop_argv[0], path, sizeof(path)) == TRIBUS_OK &&
        tribus_child_start(path, c->stop_argv,
                           c->envp != NULL ? c->envp : c->supervisor->envp, log_path,
                           &c->stopper) == TRIBUS_OK)
        return;
    (void)kill((pid_t)c->row.pid, SIGTERM);
}

static int64_t stop_some(tribus_supervisor *s, int64_t now_ns)
{
    uint32_t group = 0;
    int64_t next = INT64_MAX;

    for (uint32_t i = 0; i < s->count; i++)
        if (s->children[i].row.pid == 0 && (s->stop_servers || !s->children[i].redis))
            s->children[i].row.state = TRIBUS_CHILD_DONE;
    if (!last_running(s, &group))
        return next;
    for (uint32_t i = 0; i < s->count; i++) {
        child *c = &s->children[i];

        if (c->row.pid == 0 || c->group != group || (c->redis && !s->stop_servers))
            continue;
        if (c->row.state != TRIBUS_CHILD_STOPPING) {
            c->row.state = TRIBUS_CHILD_STOPPING;
            c->due_ns = now_ns + s->stop_timeout_ns;
            ask_to_end(c);
        } else if (now_ns >= c->due_ns) {
            tribus_log(TRIBUS_LOG_WARN, "%s does not stop: killed", c->row.name);
            (void)kill(-(pid_t)c->row.pid, SIGKILL); /* it leads its group: child.c */
            c->due_ns = now_ns + s->stop_timeout_ns;
        }
        if (c->due_ns < next)
            next = c->due_ns;
    }
    return next;
}

int64_t tribus_supervise_tick(tribus_supervisor *s, int64_t now_ns)
{
    int64_t next = INT64_MAX;
    bool all_settled = true, more = false;

    if (s->stopping)
        return stop_some(s, now_ns);
    for (uint32_t i = 0; i < s->count; i++) {
        child *c = &s->children[i];

        if (c->group > s->group) {
            more = true;
            continue;
        }
        advance(c, now_ns);
        all_settled = all_settled && settled(c, now_ns);
        if (is_due_later(c) && c->due_ns < next)
            next = c->due_ns;
    }
    if (more && all_settled) {
        s->group++;
        next = now_ns;
    }
    return next;
}

void tribus_supervise_stop(tribus_supervisor *s, bool servers)
{
    s->stopping = true;
    s->stop_servers = s->stop_servers || servers;
}

bool tribus_supervise_stopped(const tribus_supervisor *s)
{
    uint32_t group;

    return s->stopping && !last_running(s, &group);
}

uint32_t tribus_supervise_count(const tribus_supervisor *s)
{
    return s->count;
}

tribus_status tribus_supervise_get(const tribus_supervisor *s, uint32_t index,
                                   tribus_agent_child *out)
{
    if (index >= s->count)
        return tribus_error_set(TRIBUS_NOT_FOUND, "there is no child %u", index);
    *out = s->children[index].row;
    if (out->pid != 0)
        out->running_ns = tribus_now_ns() - s->children[index].started_ns;
    return TRIBUS_OK;
}
