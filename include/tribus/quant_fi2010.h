/* quant_fi2010.h -- the 144 hand-made features of an order book, from its stream of events.
 *
 * Use it to   feed models that were trained on such features: Kercheval and Zhang (2015),
 *             "Modelling high-frequency limit order book dynamics with support vector
 *             machines"; Ntakaris et al. (2018), who published FI-2010 with them.
 * Not for     the normalisation of that data set: these are values, not z-scores.
 *
 * Rows, ten levels each, in the order of the published files (i = 1 .. 10):
 *     0 ..  39   ask price, ask size, bid price, bid size of level i    tribus_quant_book_inputs
 *    40 ..  49   ask_i - bid_i
 *    50 ..  59   (ask_i + bid_i) / 2
 *    60 ..  69   |ask_i+1 - ask_i|, and |ask_10 - ask_1|
 *    70 ..  79   |bid_i+1 - bid_i|, and |bid_10 - bid_1|                (see `published`)
 *    80 ..  83   mean of ask prices, bid prices, ask sizes, bid sizes
 *    84 ..  85   sum of ask_i - bid_i, sum of ask size_i - bid size_i   (see `published`)
 *    86 .. 125   change per second of rows 0 .. 39
 *   126 .. 131   events per second: limit ask, limit bid, market ask, market bid, cancel ask,
 *                cancel bid
 *   132 .. 137   1 where such events are more frequent of late than over the long run
 *   138 .. 143   change per second of rows 126 .. 131
 * The definition of rows 0 .. 85 is public and holds in the published files row by row. Of
 * rows 86 .. 143 the form is public, their windows in FI-2010 are not (and half of its rows
 * 126 .. 143 are constant): the windows here are those of Kercheval and Zhang, or the caller's.
 *
 * Memory      The caller's, tribus_quant_fi2010_bytes(); nothing is allocated.
 * Threads     An object belongs to one thread at a time.
 * Cost        144 outputs and, amortised, one step of each of four windows: below 0.5 us.
 */
#ifndef TRIBUS_QUANT_FI2010_H
#define TRIBUS_QUANT_FI2010_H

#include "tribus/quant_series.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_QUANT_FI2010_BOOK     40u
#define TRIBUS_QUANT_FI2010_FEATURES 144u

typedef enum tribus_quant_event_kind {
    TRIBUS_QUANT_EVENT_LIMIT = 0, /* an order was added */
    TRIBUS_QUANT_EVENT_MARKET,    /* a resting order traded */
    TRIBUS_QUANT_EVENT_CANCEL     /* an order was removed or made smaller */
} tribus_quant_event_kind;

typedef struct tribus_quant_book_event {
    int64_t at_ns;
    tribus_quant_event_kind kind;
    int8_t side; /* of the book that changed: +1 bids, -1 asks */
} tribus_quant_book_event;

typedef struct tribus_quant_fi2010_cfg {
    int64_t step_ns;   /* of rates and changes; 0: 1 s */
    int64_t short_ns;  /* "of late"; 0: 10 s */
    int64_t long_ns;   /* "the long run", at least 2 * step_ns and short_ns; 0: 900 s */
    uint32_t capacity; /* events that the longest window may hold */
    /* Nonzero: rows 79 and 85 as the published files hold them, |ask_1 - bid_10| and the sum of
     * all twenty prices. Zero: as the papers define them. */
    int published;
} tribus_quant_fi2010_cfg;

/* Fields are read-only for the caller. */
typedef struct tribus_quant_fi2010 {
    tribus_quant_fi2010_cfg cfg;
    void *ring;           /* events and books; borrowed */
    uint64_t pushed;      /* events so far */
    uint64_t overrun;     /* events that left a window early because the ring was full */
    uint64_t tail[4];     /* first event inside step, 2 step, short and long */
    uint32_t count[4][6]; /* events inside them, by kind and side */
    int64_t last_ns;
    int known; /* a book of at least one step ago is known */
    double before[TRIBUS_QUANT_FI2010_BOOK];
} tribus_quant_fi2010;

/* Bytes of memory for a capacity; 0 for capacity 0. */
size_t tribus_quant_fi2010_bytes(uint32_t capacity);

/* memory: tribus_quant_fi2010_bytes(cfg->capacity) bytes, aligned to 8, borrowed until the last
 * use of f. Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_fi2010_init(tribus_quant_fi2010 *f,
                                                         const tribus_quant_fi2010_cfg *cfg,
                                                         void *memory);

/* Add an event and compute the features after it. book: the 40 inputs after the event.
 * out: 144 values. A window of W holds the events of (now - W, now]. Rows 86 .. 125 are 0 until
 * an event is at least a step old; the book of then is that of the last such event.
 * Returns TRIBUS_OK; TRIBUS_FULL: out is set, but a window is longer than the ring and was cut
 * (overrun counts); TRIBUS_BAD_ARG; TRIBUS_BAD_DATA when time goes backwards or a value of the
 * book is not finite, and then nothing changed. */
TRIBUS_MUST_CHECK tribus_status
tribus_quant_fi2010_push(tribus_quant_fi2010 *f, const tribus_quant_book_event *event,
                         const float *book, double *out);

#ifdef __cplusplus
}
#endif

#endif
