/* status.h -- what every call of Tribus returns.
 *
 * Use it to   tell flow (try again, wait, give up) from fault (something is wrong).
 * Not for     carrying text: that is tribus_error_text() in base.h, set where a fault
 * happens.
 *
 * This header depends on nothing, so that every layer, src/quant included, shares one
 * vocabulary. Values are part of the ABI: they are never renumbered.
 */
#ifndef TRIBUS_STATUS_H
#define TRIBUS_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_MUST_CHECK        __attribute__((warn_unused_result))
#define TRIBUS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

typedef enum tribus_status {
    TRIBUS_OK = 0,
    /* flow: normal life, never logged, the caller decides */
    TRIBUS_FULL = -1,    /* no room now: the other side is behind */
    TRIBUS_EMPTY = -2,   /* nothing there now */
    TRIBUS_TIMEOUT = -3, /* the deadline passed first */
    TRIBUS_LAPPED = -4,  /* a topic reader fell behind; the number lost is reported */
    TRIBUS_STOPPED = -5, /* the thing was asked to stop */
    /* fault: something is wrong, text in tribus_error_text() */
    TRIBUS_BAD_ARG = -20,
    TRIBUS_NO_MEMORY = -21,
    TRIBUS_CORRUPT = -22, /* shared bytes that cannot be what they claim to be */
    TRIBUS_SYSTEM = -23,  /* a system call failed; errno is kept in tribus_error_errno() */
    TRIBUS_PEER_LOST = -24,   /* the process on the other side died */
    TRIBUS_POISONED = -25,    /* the timeline was poisoned: its producer failed */
    TRIBUS_NOT_FOUND = -26,   /* no such name, file or type */
    TRIBUS_EXISTS = -27,      /* the name is taken */
    TRIBUS_REFUSED = -28,     /* not allowed, or the path asked for cannot be had */
    TRIBUS_UNSUPPORTED = -29, /* valid, but this build, device or model cannot do it */
    TRIBUS_BAD_DATA = -30,    /* a file or message that does not parse or does not fit */
    TRIBUS_VERSION = -31      /* made by another version of the layout or protocol */
} tribus_status;

/* The constant's name, for logs and tests: "TRIBUS_FULL". Never NULL.
 * An unknown value gives "TRIBUS_?". */
const char *tribus_status_name(tribus_status st);

#ifdef __cplusplus
}
#endif

#endif
