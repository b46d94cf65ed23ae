/* ml.c -- keep a window of returns, run the pipeline ml-risk on every new bar.
 *
 * A bar is bar_ms of feed time. At its end each asset's return is the logarithm of its mid over
 * the mid one bar before. The window of the last returns is written straight into the input
 * slot of a run: nothing is serialised, copied or handed to Redis on the way to the model.
 *
 * Inputs the pipeline may have, by name:
 *   returns  [assets, window] float32, oldest first, one row an asset
 *   history  [assets, times]  float32, the longer window that correlations rest on
 *   weights  [assets]         float32, an equal-weight portfolio
 * Results: risk.result [4] float64 (VaR, ES, mean, sd) and, when there, forecast [assets, 2].
 */
#include "engines/engine.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "tribus/pipeline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_BARS  256        /* kept returns of an asset; windows are its newest part */
#define FORECAST_NS   1000000000 /* ml_prediction of every asset this often */
#define READY_STEP_NS 100000000
#define READY_NS      30000000000

typedef enum input_kind { INPUT_RETURNS, INPUT_HISTORY, INPUT_WEIGHTS } input_kind;

typedef struct asset {
    char symbol[16];
    int64_t mid_e9;   /* newest */
    double bar_price; /* at the end of the last bar; 0: none yet */
    float returns[HISTORY_BARS];
} asset;

/* What a run rests on, kept until its result comes. */
typedef struct flight {
    uint64_t run;
    int64_t market_wall_ns;
} flight;

typedef struct ml {
    tribus_pipeline *pipe;
    asset *assets;
    uint32_t asset_count, assets_seen;
    uint32_t input_count;
    input_kind inputs[8];
    uint32_t risk_result, forecast_result;
    bool has_forecast;
    int64_t bar_ns, bar_end_ns;
    uint64_t bars; /* complete ones since every asset had a price */
    uint32_t need_bars;
    int64_t newest_wall_ns;
    flight flights[64];
    uint64_t submitted, finished, failed, refused;
    int64_t forecast_due_ns;
    tribus_pipeline_result last;
    tribus_status awaited; /* of the last look for a result, kept in `last` */
    double last_var, last_es;
} ml;

static int port(const tribus_platform *p)
{
    return (int)p->ml_engine.port;
}

/* ---- opening ---- */

static tribus_status look_at_inputs(ml *m)
{
    static const char *const names[] = {"returns", "history", "weights"};
    tribus_tensor t;
    const char *name;

    for (uint32_t i = 0; tribus_pipeline_get_input(m->pipe, i, &name, &t) == TRIBUS_OK;
         i++) {
        uint32_t kind = 0;

        while (kind < 3 && strcmp(names[kind], name) != 0)
            kind++;
        if (kind == 3 || i == sizeof(m->inputs) / sizeof(m->inputs[0]))
            return tribus_error_set(TRIBUS_UNSUPPORTED,
                                    "pipeline input %s: this engine feeds returns, history "
                                    "and weights",
                                    name);
        if (t.dtype.code != TRIBUS_DTYPE_FLOAT || t.dtype.bits != 32)
            return tribus_error_set(TRIBUS_UNSUPPORTED, "pipeline input %s: not float32",
                                    name);
        if (t.ndim != (kind == INPUT_WEIGHTS ? 1 : 2) || t.shape[0] != m->asset_count ||
            (kind != INPUT_WEIGHTS && t.shape[1] > HISTORY_BARS))
            return tribus_error_set(TRIBUS_UNSUPPORTED,
                                    "pipeline input %s: wanted [%u%s], at most %d returns",
                                    name, m->asset_count,
                                    kind == INPUT_WEIGHTS ? "" : ", window", HISTORY_BARS);
        if (kind != INPUT_WEIGHTS && (uint32_t)t.shape[1] > m->need_bars)
            m->need_bars = (uint32_t)t.shape[1];
        m->inputs[i] = (input_kind)kind;
        m->input_count = i + 1;
    }
    return TRIBUS_OK;
}

static tribus_status register_pipeline(tribus_engine *e, ml *m)
{
    const tribus_platform *p = tribus_engine_platform(e);
    const tribus_pipeline_dim dims[] = {
        {"assets", p->ml_engine.assets},
        {"paths", p->ml_engine.paths},
        {"confidence", (int64_t)(p->ml_engine.confidence * 1e4 + 0.5)}};
    tribus_pipeline_cfg cfg = {.dims = dims,
                               .dim_count = 3,
                               .runs = (uint32_t)p->ml_engine.in_flight,
                               .flags = TRIBUS_PIPELINE_REQUIRE_ZERO_COPY,
                               .successor_ns = 5000000000};
    char file[300], path[4096];
    tribus_status st;

    (void)snprintf(file, sizeof(file), "%s%s",
                   strchr(p->ml_engine.pipeline, '/') != NULL ? "" : "pipelines/",
                   p->ml_engine.pipeline);
    st = tribus_platform_file(file, path, sizeof(path));
    cfg.path = path;
    if (st == TRIBUS_OK)
        st = tribus_pipeline_register(tribus_engine_session(e), &cfg, &m->pipe);
    if (st == TRIBUS_OK)
        st = look_at_inputs(m);
    if (st == TRIBUS_OK)
        st = tribus_pipeline_find_result(m->pipe, "risk.result", &m->risk_result);
    if (st == TRIBUS_OK)
        m->has_forecast = tribus_pipeline_find_result(m->pipe, "forecast.forecast",
                                                      &m->forecast_result) == TRIBUS_OK;
    return st;
}

static tribus_status wait_until_ready(tribus_engine *e, ml *m)
{
    const int64_t deadline = tribus_deadline_ns(READY_NS);
    tribus_status st = TRIBUS_TIMEOUT;

    while (st == TRIBUS_TIMEOUT && tribus_deadline_left_ns(deadline) > 0) {
        if (tribus_engine_stopped(e))
            return TRIBUS_STOPPED;
        st = tribus_pipeline_ready_wait(m->pipe, READY_STEP_NS);
    }
    return st;
}

static void close_ml(void *state)
{
    ml *m = state;

    if (m == NULL)
        return;
    tribus_pipeline_close(m->pipe);
    free(m->assets);
    free(m);
}

static tribus_status open_ml(tribus_engine *e, void **state)
{
    const tribus_platform *p = tribus_engine_platform(e);
    ml *m = calloc(1, sizeof(*m));
    tribus_status st;

    if (m == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "state of ml");
    m->asset_count = (uint32_t)p->ml_engine.assets;
    m->bar_ns = p->ml_engine.bar_ms * 1000000;
    m->assets = calloc(m->asset_count, sizeof(*m->assets));
    if (m->assets == NULL)
        st = tribus_error_set(TRIBUS_NO_MEMORY, "%u assets", m->asset_count);
    else
        st = register_pipeline(e, m);
    if (st == TRIBUS_OK)
        st = wait_until_ready(e, m);
    if (st != TRIBUS_OK) {
        close_ml(m);
        return st;
    }
    m->awaited = TRIBUS_EMPTY;
    *state = m;
    return TRIBUS_OK;
}

/* ---- market data in ---- */

static asset *find_asset(ml *m, const char *symbol)
{
    for (uint32_t i = 0; i < m->assets_seen; i++)
        if (strcmp(m->assets[i].symbol, symbol) == 0)
            return &m->assets[i];
    if (m->assets_seen == m->asset_count)
        return NULL;
    (void)tribus_wire_text_set(m->assets[m->assets_seen].symbol,
                               sizeof(m->assets[0].symbol), symbol);
    return &m->assets[m->assets_seen++];
}

static void end_bar(ml *m)
{
    if (m->assets_seen < m->asset_count)
        return;
    for (uint32_t i = 0; i < m->asset_count; i++) {
        asset *a = &m->assets[i];
        const double price = (double)a->mid_e9;

        memmove(a->returns, a->returns + 1, sizeof(a->returns) - sizeof(a->returns[0]));
        a->returns[HISTORY_BARS - 1] =
            a->bar_price > 0.0 && price > 0.0 ? (float)log(price / a->bar_price) : 0.0f;
        a->bar_price = price;
    }
    m->bars++;
}

static void write_input(ml *m, input_kind kind, const tribus_tensor *t)
{
    float *out = t->data;

    if (kind == INPUT_WEIGHTS) {
        for (uint32_t i = 0; i < m->asset_count; i++)
            out[i] = 1.0f / (float)m->asset_count;
        return;
    }
    for (uint32_t i = 0; i < m->asset_count; i++) {
        const size_t n = (size_t)t->shape[1];

        memcpy(out + i * n, m->assets[i].returns + HISTORY_BARS - n, n * sizeof(*out));
    }
}

static tribus_status submit(tribus_engine *e, ml *m)
{
    tribus_status st = tribus_pipeline_claim(m->pipe);
    uint64_t run;

    if (st == TRIBUS_FULL) {
        m->refused++; /* the next bar replaces this one */
        return TRIBUS_OK;
    }
    for (uint32_t i = 0; st == TRIBUS_OK && i < m->input_count; i++) {
        tribus_tensor t;

        st = tribus_pipeline_input(m->pipe, i, &t);
        if (st == TRIBUS_OK)
            write_input(m, m->inputs[i], &t);
    }
    if (st == TRIBUS_OK)
        st = tribus_pipeline_submit(m->pipe, 0, &run);
    if (st != TRIBUS_OK) {
        tribus_engine_complain(e, "submit");
        return TRIBUS_OK;
    }
    m->submitted++;
    m->flights[run % 64] = (flight){run, m->newest_wall_ns};
    return TRIBUS_OK;
}

static tribus_status on_message(tribus_engine *e, void *state, const tribus_msg_header *msg)
{
    const tribus_msg_price_update *in = (const tribus_msg_price_update *)msg;
    ml *m = state;
    asset *a = find_asset(m, in->symbol);
    tribus_status st = TRIBUS_OK;

    if (a == NULL)
        return TRIBUS_OK; /* more symbols than this engine was asked to look at */
    /* A gap of many bars, such as a halt, makes one bar: flat returns would say that
     * nothing moved while nothing was seen. */
    if (m->bar_end_ns == 0 || in->event_wall_ns < m->bar_end_ns - 2 * m->bar_ns)
        m->bar_end_ns = in->event_wall_ns + m->bar_ns;
    if (in->event_wall_ns >= m->bar_end_ns) {
        end_bar(m);
        m->bar_end_ns += m->bar_ns * ((in->event_wall_ns - m->bar_end_ns) / m->bar_ns + 1);
        if (m->bars > m->need_bars)
            st = submit(e, m);
    }
    m->newest_wall_ns = msg->timestamp_wall_ns;
    if (in->bid_e9 > 0 && in->ask_e9 > 0)
        a->mid_e9 = in->bid_e9 / 2 + in->ask_e9 / 2;
    else
        a->mid_e9 = in->price_e9;
    return st;
}

/* ---- results out ---- */

static void publish_risk(tribus_engine *e, const ml *m, const tribus_pipeline_result *r,
                         const char *metric, double value)
{
    tribus_msg_analytics_result out;

    if (tribus_wire_init(&out, sizeof(out), TRIBUS_MSG_ANALYTICS_RESULT) != TRIBUS_OK)
        return;
    (void)tribus_wire_text_set(out.metric, sizeof(out.metric), metric);
    (void)tribus_wire_text_set(out.portfolio, sizeof(out.portfolio), "equal_weight");
    out.value = value;
    out.window_ns = m->bar_ns;
    out.market_wall_ns = m->flights[r->run % 64].market_wall_ns;
    out.header.correlation = r->run;
    if (r->hardware_accelerated)
        out.header.flags |= TRIBUS_MSG_HARDWARE_ACCELERATED;
    tribus_engine_publish(e, &out.header);
}

static void publish_forecasts(tribus_engine *e, const ml *m,
                              const tribus_pipeline_result *r)
{
    tribus_tensor t;

    if (tribus_pipeline_result_tensor(m->pipe, r->run, m->forecast_result, &t) != TRIBUS_OK)
        return;
    for (uint32_t i = 0; i < m->asset_count; i++) {
        const float *row = (const float *)t.data + 2 * (size_t)i;
        tribus_msg_ml_prediction out;

        if (tribus_wire_init(&out, sizeof(out), TRIBUS_MSG_ML_PREDICTION) != TRIBUS_OK)
            return;
        (void)tribus_wire_text_set(out.model, sizeof(out.model), "forecast");
        (void)tribus_wire_text_set(out.symbol, sizeof(out.symbol), m->assets[i].symbol);
        out.prediction = (double)row[0];
        out.volatility = (double)row[1];
        out.confidence = NAN;
        out.horizon_ns = m->bar_ns;
        out.market_wall_ns = m->flights[r->run % 64].market_wall_ns;
        out.run = r->run;
        out.header.correlation = r->run;
        tribus_engine_publish(e, &out.header);
    }
}

static void publish_result(tribus_engine *e, ml *m, int64_t now_ns)
{
    const tribus_pipeline_result *r = &m->last;
    tribus_tensor t;

    if (r->status == TRIBUS_OK)
        r = tribus_pipeline_result_tensor(m->pipe, r->run, m->risk_result, &t) == TRIBUS_OK
                ? r
                : NULL;
    if (r == NULL || r->status != TRIBUS_OK) {
        m->failed++;
        if (r != NULL)
            (void)tribus_error_set(r->status, "run %llu: stage %s: %s",
                                   (unsigned long long)r->run, r->stage, r->text);
        tribus_engine_complain(e, "pipeline");
        return;
    }
    m->finished++;
    m->last_var = ((const double *)t.data)[0];
    m->last_es = ((const double *)t.data)[1];
    publish_risk(e, m, r, "var", m->last_var);
    publish_risk(e, m, r, "es", m->last_es);
    if (m->has_forecast && now_ns >= m->forecast_due_ns) {
        m->forecast_due_ns = now_ns + FORECAST_NS;
        publish_forecasts(e, m, r);
    }
}

/* Look for a result without waiting; one that came lies in m->last until step() has it. */
static int ready(void *state)
{
    ml *m = state;

    if (m->awaited != TRIBUS_OK)
        m->awaited = tribus_pipeline_await_wait(m->pipe, 0, &m->last);
    return m->awaited == TRIBUS_OK; /* a fault can wait for the next step */
}

static tribus_doorbell_shm *bell(void *state)
{
    return tribus_pipeline_bell(((ml *)state)->pipe);
}

static tribus_status step(tribus_engine *e, void *state, int64_t now_ns, int64_t *next_ns)
{
    ml *m = state;

    while (ready(m) != 0) {
        m->awaited = TRIBUS_EMPTY;
        publish_result(e, m, now_ns);
        tribus_pipeline_release(m->pipe, m->last.run);
        tribus_engine_detail(e, ""); /* only a result shows that there is a host again */
    }
    if (m->awaited == TRIBUS_PEER_LOST) {
        tribus_engine_complain(e, "waiting for a new compute host");
        tribus_engine_detail(e, "a compute host died");
        *next_ns = now_ns + 10000000;
        return TRIBUS_OK;
    }
    if (m->awaited != TRIBUS_EMPTY && m->awaited != TRIBUS_TIMEOUT)
        return m->awaited;
    return TRIBUS_OK;
}

static void render(tribus_engine *e, void *state, tribus_engine_text *out)
{
    const ml *m = state;

    (void)e;
    tribus_engine_print(
        out,
        ",\"assets\":%u,\"assets_seen\":%u,\"bars\":%llu,\"submitted\":%llu,"
        "\"finished\":%llu,\"failed\":%llu,\"refused\":%llu,"
        "\"value_at_risk\":%.9g,\"expected_shortfall\":%.9g,"
        "\"last_queue_ns\":%lld,\"last_compute_ns\":%lld,"
        "\"last_handoff_ns\":%lld",
        m->asset_count, m->assets_seen, (unsigned long long)m->bars,
        (unsigned long long)m->submitted, (unsigned long long)m->finished,
        (unsigned long long)m->failed, (unsigned long long)m->refused, m->last_var,
        m->last_es, (long long)m->last.queue_ns, (long long)m->last.compute_ns,
        (long long)m->last.handoff_ns);
}

const tribus_engine_ops tribus_engine_ml = {
    .name = "ml",
    .text = "forecasts returns and the portfolio's risk on every bar",
    .default_port = 8400,
    .port = port,
    .types = UINT64_C(1) << TRIBUS_MSG_PRICE_UPDATE,
    .open = open_ml,
    .on_message = on_message,
    .bell = bell,
    .ready = ready,
    .step = step,
    .render = render,
    .close = close_ml,
};
