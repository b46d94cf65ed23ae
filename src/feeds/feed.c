/* feed.c -- see tribus/feed.h. Finds the source that a description names, counts what it
 * gives out, and keeps it ended once it ended. */
#include "feeds/source.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_KINDS    ((uint32_t)TRIBUS_FEED_TRADE | TRIBUS_FEED_QUOTE | TRIBUS_FEED_BOOK)
#define BAD_LIMIT    100u
#define SYMBOL_BYTES 32u
#define SYMBOLS_MAX  65536u

struct tribus_feed {
    const tribus_source_ops *ops;
    void *source;
    tribus_source_io io;
    tribus_status ended; /* TRIBUS_OK while events may come */
    char why[512];       /* the text of the fault that ended it */
};

static const tribus_source_ops *const feeds[] = {
#define TRIBUS_FEED_LINE(name) &tribus_feed_##name##_ops,
#include "feeds/kinds.def"
#undef TRIBUS_FEED_LINE
};
static const uint32_t feed_count = sizeof(feeds) / sizeof(feeds[0]);

static const tribus_source_ops *ops_named(const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < feed_count; i++)
        if (strlen(feeds[i]->name) == bytes && memcmp(feeds[i]->name, name, bytes) == 0)
            return feeds[i];
    return NULL;
}

static tribus_status unknown_feed(const char *name, size_t bytes)
{
    char known[256] = "";
    size_t at = 0;

    for (uint32_t i = 0; i < feed_count; i++) {
        const int n = snprintf(known + at, sizeof(known) - at, "%s%s", i == 0 ? "" : ", ",
                               feeds[i]->name);

        if (n < 0 || (size_t)n >= sizeof(known) - at)
            break;
        at += (size_t)n;
    }
    return tribus_error_set(TRIBUS_NOT_FOUND, "feed \"%.*s\": no such feed; there are: %s",
                            bytes > 40 ? 40 : (int)bytes, name, known);
}

tribus_status tribus_feed_open(const char *spec, const tribus_feed_cfg *cfg,
                               tribus_feed **out)
{
    tribus_feed *feed;
    tribus_status st;
    size_t bytes;

    if (spec == NULL || out == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "open feed: spec and out must be given");
    if (cfg != NULL && (cfg->kinds & ~ALL_KINDS) != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "open feed: kinds 0x%x has unknown bits",
                                cfg->kinds);
    feed = calloc(1, sizeof(*feed));
    if (feed == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open feed: %zu bytes", sizeof(*feed));
    feed->io.kinds = ALL_KINDS;
    feed->io.bad_limit = BAD_LIMIT;
    if (cfg != NULL && cfg->kinds != 0)
        feed->io.kinds = cfg->kinds;
    if (cfg != NULL && cfg->bad_limit != 0)
        feed->io.bad_limit = cfg->bad_limit < 0 ? 0 : (uint64_t)cfg->bad_limit;

    bytes = strcspn(spec, ":");
    feed->ops = ops_named(spec, bytes);
    if (feed->ops == NULL) {
        st = unknown_feed(spec, bytes);
        goto fail;
    }
    st = feed->ops->open(spec[bytes] == ':' ? spec + bytes + 1 : "", &feed->io,
                         &feed->source);
    if (st != TRIBUS_OK) {
        tribus_error_add("feed %s", feed->ops->name);
        goto fail;
    }
    *out = feed;
    return TRIBUS_OK;

fail:
    tribus_feed_close(feed);
    return st;
}

static void count_event(tribus_feed_totals *totals, const tribus_feed_event *event)
{
    if (totals->trades + totals->quotes + totals->books == 0)
        totals->first_ns = event->time_ns;
    totals->last_ns = event->time_ns;
    totals->trades += event->kind == TRIBUS_FEED_TRADE;
    totals->quotes += event->kind == TRIBUS_FEED_QUOTE;
    totals->books += event->kind == TRIBUS_FEED_BOOK;
}

tribus_status tribus_feed_next(tribus_feed *feed, tribus_feed_event *event)
{
    tribus_status st = feed->ended;

    if (st == TRIBUS_OK) {
        st = feed->ops->next(feed->source, event);
        if (st == TRIBUS_OK) {
            count_event(&feed->io.totals, event);
            return TRIBUS_OK;
        }
        if (st != TRIBUS_STOPPED) {
            tribus_error_add("feed %s", feed->ops->name);
            (void)snprintf(feed->why, sizeof(feed->why), "%s", tribus_error_text());
        }
        feed->ended = st;
        return st;
    }
    if (st == TRIBUS_STOPPED)
        return st;
    return tribus_error_set(st, "%s", feed->why);
}

void tribus_feed_close(tribus_feed *feed)
{
    if (feed == NULL)
        return;
    if (feed->ops != NULL)
        feed->ops->close(feed->source);
    for (uint32_t i = 0; i < feed->io.symbol_count; i++)
        free(feed->io.symbols[i]);
    free(feed->io.symbols);
    free(feed);
}

uint32_t tribus_feed_symbol_count(const tribus_feed *feed)
{
    return feed->io.symbol_count;
}

const char *tribus_feed_symbol(const tribus_feed *feed, uint32_t symbol)
{
    return symbol < feed->io.symbol_count ? feed->io.symbols[symbol] : NULL;
}

void tribus_feed_stats(const tribus_feed *feed, tribus_feed_totals *out)
{
    *out = feed->io.totals;
}

const char *tribus_feed_usage(uint32_t index)
{
    return index < feed_count ? feeds[index]->usage : NULL;
}

tribus_status tribus_source_add_symbol(tribus_source_io *io, const char *name, size_t bytes,
                                       uint32_t *index)
{
    char *copy;

    if (io->symbol_count == io->symbol_room) {
        const uint32_t room = io->symbol_room == 0 ? 16u : io->symbol_room * 2u;
        char **grown;

        if (room > SYMBOLS_MAX)
            return tribus_error_set(TRIBUS_NO_MEMORY, "more than %u symbols", SYMBOLS_MAX);
        grown = realloc(io->symbols, room * sizeof(*grown));
        if (grown == NULL)
            return tribus_error_set(TRIBUS_NO_MEMORY, "table of %u symbols", room);
        io->symbols = grown;
        io->symbol_room = room;
    }
    copy = calloc(1, SYMBOL_BYTES);
    if (copy == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "symbol name");
    memcpy(copy, name, bytes < SYMBOL_BYTES ? bytes : SYMBOL_BYTES - 1u);
    *index = io->symbol_count;
    io->symbols[io->symbol_count++] = copy;
    return TRIBUS_OK;
}

tribus_status tribus_source_bad(tribus_source_io *io, const char *fmt, ...)
{
    char why[400];
    va_list args;

    io->totals.skipped++;
    if (io->totals.skipped <= io->bad_limit)
        return TRIBUS_OK;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    return tribus_error_set(TRIBUS_BAD_DATA, "%s (bad lines: %llu, allowed: %llu)", why,
                            (unsigned long long)io->totals.skipped,
                            (unsigned long long)io->bad_limit);
}

void *tribus_source_of(tribus_feed *feed)
{
    return feed->source;
}
