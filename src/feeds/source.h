/* source.h -- what a feed gives to feed.c, and what feed.c does for every feed.
 *
 * Use it to   add a feed: one file that defines its table of functions, one line in
 *             kinds.def.
 * Not for     users of feeds: that is tribus/feed.h.
 */
#ifndef TRIBUS_FEEDS_SOURCE_H
#define TRIBUS_FEEDS_SOURCE_H

#include "tribus/feed.h"

#include <stddef.h>

/* What a source shares with feed.c; lives as long as the source. */
typedef struct tribus_source_io {
    uint32_t kinds;            /* wanted kinds; a source makes no others */
    uint64_t bad_limit;        /* bad lines allowed */
    tribus_feed_totals totals; /* the source counts messages, ignored, halts, skipped */
    char **symbols;
    uint32_t symbol_count;
    uint32_t symbol_room;
} tribus_source_io;

typedef struct tribus_source_ops {
    const char *name;
    const char *usage; /* one line for tribus_feed_usage() */
    /* args: what follows "<name>:", "" when nothing does. out: owned by feed.c, for close.
     */
    tribus_status (*open)(const char *args, tribus_source_io *io, void **out);
    /* As tribus_feed_next(); need not remember that it ended or failed. */
    tribus_status (*next)(void *source, tribus_feed_event *event);
    void (*close)(void *source); /* takes NULL */
} tribus_source_ops;

/* Append a symbol, cut at 31 characters. index: set on TRIBUS_OK.
 * Returns TRIBUS_OK or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_source_add_symbol(tribus_source_io *io,
                                                         const char *name, size_t bytes,
                                                         uint32_t *index);

/* Count one bad line or record; the text says where and why.
 * Returns TRIBUS_OK while it may be skipped, else TRIBUS_BAD_DATA with that text. */
TRIBUS_MUST_CHECK tribus_status tribus_source_bad(tribus_source_io *io, const char *fmt,
                                                  ...) TRIBUS_PRINTF(2, 3);

/* The source behind a feed, for tests that audit its inside. Borrowed until close. */
void *tribus_source_of(tribus_feed *feed);

#define TRIBUS_FEED_LINE(name) extern const tribus_source_ops tribus_feed_##name##_ops;
#include "feeds/kinds.def"
#undef TRIBUS_FEED_LINE

#endif
