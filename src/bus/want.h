/* want.h -- which message types the processes of this host subscribe to, for the bridge.
 *
 * Each subscribing participant keeps an object want/<number> with the set of types; the
 * bridge fetches from the wire what is in any of them. It leaves with its participant. It
 * also says how far its owner has followed the registry, so that a publisher that ends at
 * once can wait until those who want its messages have joined it.
 * Threads   those of the session.
 * Cost      set and types are plain loads and stores; types looks at the registry only when
 *           its revision changed.
 */
#ifndef TRIBUS_BUS_WANT_H
#define TRIBUS_BUS_WANT_H

#include "tribus/session.h"

#include <stdbool.h>

/* ---- the subscriber's side ---- */

typedef struct tribus_want tribus_want;

/* Announce sets of types, bit 1 << type: what is to be fetched from the wire, and what is
 * followed (more, for those that only look on). session: borrowed until destroy.
 * Returns as tribus_session_create_object(). */
TRIBUS_MUST_CHECK tribus_status tribus_want_create(tribus_session *session, uint64_t types,
                                                   uint64_t followed, tribus_want **out);
void tribus_want_set(tribus_want *want, uint64_t types, uint64_t followed);
/* Say that all topics of this revision of the registry were joined. */
void tribus_want_looked(tribus_want *want, uint64_t revision);
void tribus_want_destroy(tribus_want *want);

/* ---- the side of the bridge and of publishers ---- */

typedef struct tribus_want_reader tribus_want_reader;

TRIBUS_MUST_CHECK tribus_status tribus_want_reader_open(tribus_session *session,
                                                        tribus_want_reader **out);
void tribus_want_reader_close(tribus_want_reader *reader);

/* The union of all sets announced now. */
uint64_t tribus_want_reader_types(tribus_want_reader *reader);

/* Has everybody who follows one of these types joined the topics of that revision? */
bool tribus_want_reader_all_looked(tribus_want_reader *reader, uint64_t types,
                                   uint64_t revision);

#endif
