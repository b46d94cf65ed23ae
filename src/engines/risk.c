/* risk.c -- publish risk metrics, and a breach when a limit is passed.
 *
 * It hears analytics_result messages of the ml engine: "<portfolio>" with the metrics var and
 * es of one pipeline run, as fractions of the portfolio (positive is a loss). Both belong to
 * one run when their correlation is equal; a run whose half is missing is dropped and counted
 * when the next one comes. */
#include "engines/engine.h"
#include "base/error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct risk {
    uint64_t run; /* correlation of the half we hold */
    double var;
    uint64_t metrics, breaches, incomplete, not_finite;
    double last_var, last_es, largest_var;
    int64_t breach_after_ns; /* wall clock: no breach message before */
} risk;

static int port(const tribus_platform *p)
{
    return (int)p->risk_engine.port;
}

static tribus_status open_risk(tribus_engine *e, void **state)
{
    risk *r = calloc(1, sizeof(*r));

    (void)e;
    if (r == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "state of risk");
    *state = r;
    return TRIBUS_OK;
}

static void publish_metric(tribus_engine *e, risk *r, const tribus_msg_analytics_result *in,
                           double es)
{
    const tribus_platform *p = tribus_engine_platform(e);
    tribus_msg_risk_metric m;

    if (tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_RISK_METRIC) != TRIBUS_OK)
        return;
    (void)tribus_wire_text_set(m.portfolio, sizeof(m.portfolio), in->portfolio);
    (void)tribus_wire_text_set(m.method, sizeof(m.method), "monte_carlo");
    m.confidence = p->ml_engine.confidence;
    m.value_at_risk = r->var;
    m.expected_shortfall = es;
    m.volatility = NAN;
    m.portfolio_value = 1.0; /* var and es are fractions of it */
    m.max_drawdown = NAN;
    m.beta = NAN;
    m.horizon_ns = in->window_ns;
    m.scenarios = (uint64_t)p->ml_engine.paths;
    m.market_wall_ns = in->market_wall_ns;
    m.run = in->header.correlation;
    m.header.correlation = in->header.correlation;
    if ((in->header.flags & TRIBUS_MSG_HARDWARE_ACCELERATED) != 0)
        m.header.flags |= TRIBUS_MSG_HARDWARE_ACCELERATED;
    tribus_engine_publish(e, &m.header);
    r->metrics++;
}

static void publish_breach(tribus_engine *e, risk *r, const tribus_msg_analytics_result *in)
{
    const tribus_platform *p = tribus_engine_platform(e);
    const int64_t now = tribus_now_wall_ns();
    tribus_msg_risk_limit_breach m;

    r->breaches++;
    if (now < r->breach_after_ns)
        return;
    r->breach_after_ns = now + (int64_t)(p->risk_engine.breach_every_s * 1e9);
    if (tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_RISK_LIMIT_BREACH) != TRIBUS_OK)
        return;
    (void)tribus_wire_text_set(m.portfolio, sizeof(m.portfolio), in->portfolio);
    (void)snprintf(m.limit, sizeof(m.limit), "var_%.0f", p->ml_engine.confidence * 100.0);
    m.value = r->var;
    m.threshold = p->risk_engine.var_limit;
    m.breaches = r->breaches;
    m.market_wall_ns = in->market_wall_ns;
    m.severity =
        r->var > 2.0 * m.threshold ? TRIBUS_SEVERITY_CRITICAL : TRIBUS_SEVERITY_WARNING;
    (void)snprintf(m.text, sizeof(m.text), "VaR %.6g is above the limit %.6g", r->var,
                   m.threshold);
    m.header.correlation = in->header.correlation;
    tribus_engine_publish(e, &m.header);
}

static tribus_status on_message(tribus_engine *e, void *state, const tribus_msg_header *msg)
{
    /* The type was asked for and its size checked by the bus. */
    const tribus_msg_analytics_result *in = (const tribus_msg_analytics_result *)msg;
    risk *r = state;

    if (!isfinite(in->value)) {
        r->not_finite++;
        return TRIBUS_OK;
    }
    if (strcmp(in->metric, "var") == 0) {
        if (r->run != 0)
            r->incomplete++;
        r->run = msg->correlation;
        r->var = in->value;
        return TRIBUS_OK;
    }
    if (strcmp(in->metric, "es") != 0)
        return TRIBUS_OK;
    if (r->run == 0 || r->run != msg->correlation) {
        r->incomplete++;
        r->run = 0;
        return TRIBUS_OK;
    }
    r->run = 0;
    r->last_var = r->var;
    r->last_es = in->value;
    if (r->var > r->largest_var)
        r->largest_var = r->var;
    publish_metric(e, r, in, in->value);
    if (r->var > tribus_engine_platform(e)->risk_engine.var_limit)
        publish_breach(e, r, in);
    return TRIBUS_OK;
}

static void render(tribus_engine *e, void *state, tribus_engine_text *out)
{
    const risk *r = state;

    tribus_engine_print(out,
                        ",\"value_at_risk\":%.9g,\"expected_shortfall\":%.9g,"
                        "\"largest_value_at_risk\":%.9g,\"limit\":%.9g,\"metrics\":%llu,"
                        "\"breaches\":%llu,\"incomplete\":%llu,\"not_finite\":%llu",
                        r->last_var, r->last_es, r->largest_var,
                        tribus_engine_platform(e)->risk_engine.var_limit,
                        (unsigned long long)r->metrics, (unsigned long long)r->breaches,
                        (unsigned long long)r->incomplete,
                        (unsigned long long)r->not_finite);
}

static void close_risk(void *state)
{
    free(state);
}

const tribus_engine_ops tribus_engine_risk = {
    .name = "risk",
    .text = "publishes VaR and ES, and breaches of their limit",
    .default_port = 8200,
    .port = port,
    .types = UINT64_C(1) << TRIBUS_MSG_ANALYTICS_RESULT,
    .open = open_risk,
    .on_message = on_message,
    .render = render,
    .close = close_risk,
};
