/* message.h -- turn the events of a feed into messages of the MarketData bus.
 *
 * A book becomes market_data, a top-of-book change price_update, a trade trade_execution.
 * event_wall_ns is the feed's own clock: what it counts from is said in docs/feeds.md.
 */
#ifndef TRIBUS_FEEDS_MESSAGE_H
#define TRIBUS_FEEDS_MESSAGE_H

#include "tribus/feed.h"
#include "tribus/wire.h"

typedef struct tribus_feed_message tribus_feed_message;

/* feed: borrowed until close. venue: copied, cut to 15 characters.
 * Returns TRIBUS_OK or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_feed_message_open(const tribus_feed *feed,
                                                         const char *venue,
                                                         tribus_feed_message **out);
void tribus_feed_message_close(tribus_feed_message *m);

/* Fill msg from an event. Volume is summed here, last prices are kept here.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (a kind that has no message), TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_feed_message_make(tribus_feed_message *m,
                                                         const tribus_feed_event *event,
                                                         tribus_msg_any *msg);

#endif
