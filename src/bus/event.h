/* event.h -- a descriptor that says to an event loop that a subscription may have something.
 *
 * An epoll descriptor, so that what is behind it may change while the loop keeps its number:
 * the eventfd of a tribus_watch on the bells of the day, an eventfd of our own that says
 * "there is more", and a timer for what cannot ring a bell.
 * Threads   those of the subscription; the watch has one of its own.
 */
#ifndef TRIBUS_BUS_EVENT_H
#define TRIBUS_BUS_EVENT_H

#include "tribus/fabric.h"

#include <stdbool.h>

#define TRIBUS_EVENT_MOST_BELLS 127u /* of a tribus_watch */

typedef struct tribus_event tribus_event;

/* It begins readable. Returns TRIBUS_OK, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_event_open(tribus_event **out);
void tribus_event_close(tribus_event *event);
int tribus_event_fd(const tribus_event *event);

/* Make it readable until it is armed. */
void tribus_event_raise(tribus_event *event);

/* Make it not readable until one of the bells is pressed; with step_ns > 0 until that has
 * passed at the latest. After this call look once more at what is waited for. The bells stay
 * in use until tribus_event_forget(). */
void tribus_event_arm(tribus_event *event, tribus_doorbell_shm *const *bells,
                      uint32_t count, int64_t step_ns);

/* The bells are about to be unmapped: let go of them, and raise. */
void tribus_event_forget(tribus_event *event);

#endif
