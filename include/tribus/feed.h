/* feed.h -- read a market, simulated or recorded, one event after the other.
 *
 * Use it to   get trades, top-of-book changes and 10-level books out of the simulator or a
 *             recorded file, all in one form: `sim:assets=8,seed=7`, `lobster:day.zip`,
 *             ...
 * Not for     publishing (bus.h), pacing (compare time_ns with your clock) or trading.
 *
 * Memory      A feed allocates when it is opened; reading recorded files inflates in
 *             blocks, so a file of any length takes a few megabytes.
 * Threads     A feed belongs to one thread at a time. Two feeds share nothing.
 * Trust       Files are hostile: every offset, length and number is checked before use. A
 *             bad line is skipped and counted up to a limit, then it is an error.
 * Cost        tribus_feed_next() never sleeps and never waits for a clock. The simulator
 *             allocates nothing and makes no system call after it is opened.
 *
 * docs/feeds.md lists the feeds, their options and what each skips and counts.
 */
#ifndef TRIBUS_FEED_H
#define TRIBUS_FEED_H

#include "tribus/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_FEED_LEVELS 10

typedef struct tribus_feed tribus_feed;

/* Kinds of event; bits, so that cfg.kinds can name several. */
typedef enum tribus_feed_kind {
    TRIBUS_FEED_TRADE = 1,
    TRIBUS_FEED_QUOTE = 2, /* best bid or ask changed in price or quantity */
    TRIBUS_FEED_BOOK = 4   /* the book after one message of the feed */
} tribus_feed_kind;

/* Who started a trade: the side that did not wait in the book. */
typedef enum tribus_feed_side {
    TRIBUS_FEED_SELL = -1,
    TRIBUS_FEED_UNKNOWN = 0,
    TRIBUS_FEED_BUY = 1
} tribus_feed_side;

/* Units: 1e-9 of the currency, 1e-9 of a share, contract or coin. */
typedef struct tribus_feed_level {
    int64_t price_e9;
    int64_t qty_e9;
} tribus_feed_level;

typedef struct tribus_feed_trade {
    int64_t price_e9;
    int64_t qty_e9;    /* > 0 */
    int32_t aggressor; /* a tribus_feed_side */
    uint32_t hidden;   /* 1: the resting order was not in the visible book */
} tribus_feed_trade;

/* An empty side has price 0 and quantity 0. */
typedef struct tribus_feed_quote {
    tribus_feed_level bid;
    tribus_feed_level ask;
} tribus_feed_quote;

/* Best level first; levels from the count on are zero. */
typedef struct tribus_feed_book {
    uint32_t bid_count; /* 0..TRIBUS_FEED_LEVELS */
    uint32_t ask_count;
    tribus_feed_level bid[TRIBUS_FEED_LEVELS];
    tribus_feed_level ask[TRIBUS_FEED_LEVELS];
} tribus_feed_book;

typedef struct tribus_feed_event {
    uint32_t kind;     /* one tribus_feed_kind: which member of the union is set */
    uint32_t symbol;   /* index for tribus_feed_symbol() */
    int64_t time_ns;   /* the feed's own clock (docs/feeds.md); never goes back */
    uint64_t sequence; /* message of the feed this came from, from 1; one message may give
                          trades, then a quote, then a book */
    union {
        tribus_feed_trade trade;
        tribus_feed_quote quote;
        tribus_feed_book book;
    };
} tribus_feed_event;

/* Zero means default everywhere. */
typedef struct tribus_feed_cfg {
    uint32_t kinds; /* wanted kinds, or-ed; 0: all. Others are neither made nor counted */
    int32_t bad_limit; /* bad lines skipped before it is an error; 0: 100; negative: none */
} tribus_feed_cfg;

typedef struct tribus_feed_totals {
    uint64_t trades; /* events given out, by kind */
    uint64_t quotes;
    uint64_t books;
    uint64_t messages; /* well-formed messages read: rows of a file, simulated arrivals */
    uint64_t ignored;  /* of those, ones that have no event of ours (docs/feeds.md) */
    uint64_t halts;    /* of those, trading halts and resumptions */
    uint64_t skipped;  /* bad lines or records that were skipped */
    int64_t first_ns;  /* time of the first and the last event given out; 0 before */
    int64_t last_ns;
} tribus_feed_totals;

/* Open a feed by its description, "<feed>" or "<feed>:<options or path>".
 * spec: copied. cfg: copied; NULL for the defaults.
 * out: set on TRIBUS_OK only; owned by the caller, give it to tribus_feed_close().
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (no such feed or file; the text lists the feeds),
 * TRIBUS_BAD_ARG (option unknown or out of range), TRIBUS_BAD_DATA (the file is not what it
 * should be), TRIBUS_UNSUPPORTED, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_feed_open(const char *spec,
                                                 const tribus_feed_cfg *cfg,
                                                 tribus_feed **out);

/* Read the next event. Never waits for time: events come as fast as they are asked for, and
 * the caller paces by event->time_ns. event: the caller's, written on TRIBUS_OK only.
 * Returns TRIBUS_OK, TRIBUS_STOPPED (the feed is over, and stays so), TRIBUS_BAD_DATA (file
 * truncated, damaged, or more bad lines than allowed; stays so), TRIBUS_NO_MEMORY or
 * TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_feed_next(tribus_feed *feed,
                                                 tribus_feed_event *event);

/* Close the feed. NULL is allowed. */
void tribus_feed_close(tribus_feed *feed);

/* Symbols known so far; it grows while some recorded files are read, an index never changes
 * its meaning. */
uint32_t tribus_feed_symbol_count(const tribus_feed *feed);

/* Name of a symbol, at most 31 characters; borrowed until tribus_feed_close(). NULL for an
 * index that is not below tribus_feed_symbol_count(). */
const char *tribus_feed_symbol(const tribus_feed *feed, uint32_t symbol);

/* What was read so far. out: the caller's. */
void tribus_feed_stats(const tribus_feed *feed, tribus_feed_totals *out);

/* One line of help for each feed, as "sim[:assets=...]  what it is"; constant.
 * NULL for an index past the last. */
const char *tribus_feed_usage(uint32_t index);

#ifdef __cplusplus
}
#endif

#endif
