/* fi2010.c -- the 144 hand-made order-book features. See tribus/quant_fi2010.h.
 *
 * One ring of events serves four windows; each keeps where it begins and how many events of
 * each type it holds, so an event costs as many steps as events leave. */
#include "tribus/quant_fi2010.h"

#include <math.h>
#include <string.h>

enum {
    LEVELS = 10,
    BOOK = (int)TRIBUS_QUANT_FI2010_BOOK,
    STEP = 0, /* windows, in the order of tail[] */
    TWO_STEPS,
    SHORT,
    LONG,
    WINDOWS
};

typedef struct entry {
    int64_t at_ns;
    uint32_t type;
    float book[BOOK];
} entry;

size_t tribus_quant_fi2010_bytes(uint32_t capacity)
{
    return (size_t)capacity * sizeof(entry);
}

static int64_t window_of(const tribus_quant_fi2010_cfg *cfg, int window)
{
    const int64_t all[WINDOWS] = {cfg->step_ns, 2 * cfg->step_ns, cfg->short_ns,
                                  cfg->long_ns};

    return all[window];
}

tribus_status tribus_quant_fi2010_init(tribus_quant_fi2010 *f,
                                       const tribus_quant_fi2010_cfg *cfg, void *memory)
{
    tribus_quant_fi2010_cfg c;

    if (f == NULL || cfg == NULL || memory == NULL)
        return TRIBUS_BAD_ARG;
    c = *cfg;
    c.step_ns = c.step_ns == 0 ? 1000000000 : c.step_ns;
    c.short_ns = c.short_ns == 0 ? 10000000000 : c.short_ns;
    c.long_ns = c.long_ns == 0 ? 900000000000 : c.long_ns;
    if (c.capacity == 0 || c.step_ns < 0 || c.short_ns < 0 || c.long_ns < c.short_ns ||
        c.step_ns > c.long_ns / 2)
        return TRIBUS_BAD_ARG;
    memset(f, 0, sizeof(*f));
    f->cfg = c;
    f->ring = memory;
    f->last_ns = INT64_MIN;
    return TRIBUS_OK;
}

static entry *at(const tribus_quant_fi2010 *f, uint64_t number)
{
    return (entry *)f->ring + number % f->cfg.capacity;
}

/* The oldest event of a window leaves it. */
static void leave(tribus_quant_fi2010 *f, int window)
{
    const entry *e = at(f, f->tail[window]);

    f->count[window][e->type]--;
    f->tail[window]++;
    if (window == STEP) {
        for (int i = 0; i < BOOK; i++)
            f->before[i] = (double)e->book[i];
        f->known = 1;
    }
}

/* Returns nonzero when a window had to be cut. */
static int make_room(tribus_quant_fi2010 *f, int64_t now)
{
    int cut = 0;

    for (int w = 0; w < WINDOWS; w++) {
        const int64_t length = window_of(&f->cfg, w);

        /* The difference, not now - length, which may not fit. */
        while (f->tail[w] < f->pushed &&
               (uint64_t)now - (uint64_t)at(f, f->tail[w])->at_ns >= (uint64_t)length)
            leave(f, w);
        if (f->pushed - f->tail[w] == f->cfg.capacity) {
            leave(f, w);
            cut = 1;
        }
    }
    f->overrun += (uint64_t)cut;
    return cut;
}

/* Rows 0 .. 85: of the book alone. */
static void put_book(const float *book, int published, double *out)
{
    double ask[LEVELS], bid[LEVELS], sum[4] = {0}, spread = 0.0;

    for (int i = 0; i < LEVELS; i++) {
        ask[i] = (double)book[4 * i];
        bid[i] = (double)book[4 * i + 2];
        for (int k = 0; k < 4; k++) {
            out[4 * i + k] = (double)book[4 * i + k];
            sum[k] += (double)book[4 * i + k];
        }
        out[40 + i] = ask[i] - bid[i];
        out[50 + i] = 0.5 * (ask[i] + bid[i]);
        spread += ask[i] - bid[i];
    }
    for (int i = 0; i + 1 < LEVELS; i++) {
        out[60 + i] = fabs(ask[i + 1] - ask[i]);
        out[70 + i] = fabs(bid[i + 1] - bid[i]);
    }
    out[69] = fabs(ask[LEVELS - 1] - ask[0]);
    out[79] = fabs(bid[LEVELS - 1] - (published ? ask[0] : bid[0]));
    out[80] = sum[0] / LEVELS;
    out[81] = sum[2] / LEVELS;
    out[82] = sum[1] / LEVELS;
    out[83] = sum[3] / LEVELS;
    out[84] = spread;
    out[85] = published ? sum[0] + sum[2] : sum[1] - sum[3];
}

tribus_status tribus_quant_fi2010_push(tribus_quant_fi2010 *f,
                                       const tribus_quant_book_event *event,
                                       const float *book, double *out)
{
    double step, near, far;
    uint32_t type;
    entry *e;
    int cut;

    if (f == NULL || event == NULL || book == NULL || out == NULL ||
        (unsigned)event->kind > TRIBUS_QUANT_EVENT_CANCEL ||
        (event->side != 1 && event->side != -1))
        return TRIBUS_BAD_ARG;
    for (int i = 0; i < BOOK; i++)
        if (!isfinite(book[i]))
            return TRIBUS_BAD_DATA;
    if (event->at_ns < f->last_ns)
        return TRIBUS_BAD_DATA;
    step = (double)f->cfg.step_ns * 1e-9;
    near = (double)f->cfg.short_ns;
    far = (double)f->cfg.long_ns;
    cut = make_room(f, event->at_ns);
    type = 2 * (uint32_t)event->kind + (event->side > 0);
    e = at(f, f->pushed);
    e->at_ns = f->last_ns = event->at_ns;
    e->type = type;
    memcpy(e->book, book, sizeof(e->book));
    f->pushed++;
    for (int w = 0; w < WINDOWS; w++)
        f->count[w][type]++;

    put_book(book, f->cfg.published, out);
    for (int i = 0; i < BOOK; i++)
        out[86 + i] = f->known ? ((double)book[i] - f->before[i]) / step : 0.0;
    for (int k = 0; k < 6; k++) {
        const double now = f->count[STEP][k];

        out[126 + k] = now / step;
        out[132 + k] = f->count[SHORT][k] / near > f->count[LONG][k] / far;
        out[138 + k] = (now - (f->count[TWO_STEPS][k] - now)) / (step * step);
    }
    return cut ? TRIBUS_FULL : TRIBUS_OK;
}
