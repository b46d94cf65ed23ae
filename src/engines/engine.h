/* engine.h -- the frame every engine runs in: session, bus, subscription, health, HTTP, state.
 *
 * Use it to   write an engine as a handful of functions: open, on_message, step, state, close.
 * Not for     devices or models: an engine asks a pipeline (pipeline.h).
 *
 * A new engine is one file with its tribus_engine_ops and one line in the table of engines.c.
 *
 * Threads     everything of an engine runs on the thread that calls tribus_engine_run(); the
 *             HTTP server only reads the text that thread rendered last.
 */
#ifndef TRIBUS_ENGINES_ENGINE_H
#define TRIBUS_ENGINES_ENGINE_H

#include "base/platform.h"
#include "tribus/bus.h"
#include "tribus/wire.h"

#include <stdbool.h>
#include <stddef.h>

/* Where the market data engine gets its messages. The engine does not know feeds: whoever
 * starts it hands over a source. */
typedef struct tribus_engine_source {
    /* The next message and the feed's time of it. Returns TRIBUS_OK, TRIBUS_STOPPED at the
     * end, or a fault. */
    tribus_status (*next)(void *context, tribus_msg_any *msg, int64_t *time_ns);
    /* Start again from the beginning. */
    tribus_status (*rewind)(void *context);
    void *context;
} tribus_engine_source;

typedef struct tribus_engine_cfg {
    const tribus_platform *platform;
    const char *socket_path;            /* NULL: default */
    const tribus_engine_source *source; /* marketdata only */
    int (*stopped)(void *context);      /* asked between messages: nonzero to end */
    void *context;
} tribus_engine_cfg;

typedef struct tribus_engine tribus_engine;

/* JSON text being made: room is fixed, what does not fit is cut at a whole call. */
typedef struct tribus_engine_text {
    char bytes[16384];
    size_t used;
} tribus_engine_text;

void tribus_engine_print(tribus_engine_text *t, const char *fmt, ...) TRIBUS_PRINTF(2, 3);

/* Functions of one engine. state: what open() made. */
typedef struct tribus_engine_ops {
    const char *name; /* "risk": participant, engine_type, key of the platform file */
    const char *text; /* one line for people */
    int default_port;
    /* The port of this engine's section; 0: none. */
    int (*port)(const tribus_platform *p);
    /* Types it subscribes to, bits 1 << type; 0: it receives nothing. */
    uint64_t types;
    tribus_status (*open)(tribus_engine *e, void **state);
    /* (optional) one message it subscribed to. A fault ends the engine. */
    tribus_status (*on_message)(tribus_engine *e, void *state,
                                const tribus_msg_header *msg);
    /* (optional) what ends a wait besides messages: a bell, and whether there is work for
     * step() now. Asked often; must be cheap. */
    tribus_doorbell_shm *(*bell)(void *state);
    int (*ready)(void *state);
    /* (optional) work that no message starts. *next_ns: when to call again at the latest,
     * monotonic. A fault ends the engine, TRIBUS_STOPPED ends it well. */
    tribus_status (*step)(tribus_engine *e, void *state, int64_t now_ns, int64_t *next_ns);
    /* Members of the state object as JSON, starting with a comma when there are any. */
    void (*render)(tribus_engine *e, void *state, tribus_engine_text *out);
    void (*close)(void *state); /* takes NULL and a half-made state */
} tribus_engine_ops;

extern const tribus_engine_ops tribus_engine_marketdata;
extern const tribus_engine_ops tribus_engine_ml;
extern const tribus_engine_ops tribus_engine_risk;

/* The table, in the order of docs/engines.md; NULL past the last. */
const tribus_engine_ops *tribus_engine_at(size_t i);
/* Returns NULL when there is none of that name. */
const tribus_engine_ops *tribus_engine_find(const char *name);

/* Run until stopped, the source ends, or something is wrong.
 * Returns TRIBUS_OK or the fault. */
TRIBUS_MUST_CHECK tribus_status tribus_engine_run(const tribus_engine_ops *ops,
                                                  const tribus_engine_cfg *cfg);

/* ---- for the functions of an engine ---- */

const tribus_platform *tribus_engine_platform(const tribus_engine *e);
tribus_session *tribus_engine_session(tribus_engine *e);
const tribus_engine_source *tribus_engine_source_of(const tribus_engine *e);
bool tribus_engine_stopped(const tribus_engine *e);

/* Fill engine fields and publish; a fault is counted and logged once a second at most. */
void tribus_engine_publish(tribus_engine *e, tribus_msg_header *msg);

/* Count an error that does not end the engine; logged once a second at most. */
void tribus_engine_complain(tribus_engine *e, const char *what);

/* Say why the engine is degraded, or "" when it is fine again; appears in engine_health. */
void tribus_engine_detail(tribus_engine *e, const char *detail);

#endif
