/* labels: multiprocess -- TSan would follow the engines' threads, but they share no memory
 * with each other except the fabric, which test_ring and test_topic run under TSan. */
#include "check.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "engines/engine.h"
#include "tribus/agent.h"

#include <pthread.h>
#include <unistd.h>

#define A_MINUTE 60000000000

static char socket_path[100];

typedef struct fixture {
    tribus_agent *agent;
    tribus_session *session;
    tribus_bus *bus;
    tribus_subscription *sub;
} fixture;

static fixture platform_of_one(uint64_t types)
{
    const tribus_session_cfg session = {
        .socket_path = socket_path, .name = "test", .role = "tool"};
    const tribus_agent_cfg agent = {.socket_path = socket_path};
    const tribus_bus_filter filter = {.types = types, .history = 1000};
    fixture f;

    CHECK(tribus_agent_start(&agent, &f.agent) == TRIBUS_OK);
    CHECK(tribus_session_open(&session, &f.session) == TRIBUS_OK);
    CHECK(tribus_bus_open(f.session, NULL, &f.bus) == TRIBUS_OK);
    CHECK(tribus_bus_subscribe(f.bus, &filter, &f.sub) == TRIBUS_OK);
    return f;
}

static void end(fixture *f)
{
    tribus_bus_unsubscribe(f->sub);
    tribus_bus_close(f->bus);
    tribus_session_close(f->session);
    tribus_agent_stop(f->agent);
}

static const tribus_msg_header *next(fixture *f)
{
    const tribus_wait_cfg wait = {.timeout_ns = A_MINUTE};
    const tribus_msg_header *msg;
    uint64_t lost = 0;

    CHECK(tribus_bus_next_wait(f->sub, &msg, &lost, &wait) == TRIBUS_OK && lost == 0);
    return msg;
}

/* ---- an engine on a thread ---- */

typedef struct running {
    const tribus_engine_ops *ops;
    tribus_engine_cfg cfg;
    tribus_status st;
    _Atomic(int) stop;
    pthread_t thread;
} running;

static int stop_asked(void *context)
{
    return tribus_load_rlx(&((running *)context)->stop); /* a flag alone */
}

static void *run(void *context)
{
    running *r = context;

    r->st = tribus_engine_run(r->ops, &r->cfg);
    return NULL;
}

static void start(running *r)
{
    r->cfg.socket_path = socket_path;
    r->cfg.stopped = stop_asked;
    r->cfg.context = r;
    CHECK(pthread_create(&r->thread, NULL, run, r) == 0);
}

static void stop(running *r)
{
    tribus_store_rlx(&r->stop, 1);
    CHECK(pthread_join(r->thread, NULL) == 0);
    CHECK(r->st == TRIBUS_OK);
}

/* ---- marketdata ---- */

#define TRADES 500

static tribus_status next_trade(void *context, tribus_msg_any *msg, int64_t *time_ns)
{
    int *n = context;

    if (*n == TRADES)
        return TRIBUS_STOPPED;
    CHECK(tribus_wire_init(msg, sizeof(*msg), TRIBUS_MSG_TRADE_EXECUTION) == TRIBUS_OK);
    (void)tribus_wire_text_set(msg->trade_execution.symbol, 16, "ABC");
    msg->trade_execution.price_e9 = 1000000000;
    msg->trade_execution.qty_e9 = 1000000000;
    msg->trade_execution.trade = (uint64_t)*n;
    *time_ns = 5000000000 + (int64_t)*n * 1000000; /* one a millisecond */
    (*n)++;
    return TRIBUS_OK;
}

static tribus_status rewind_trades(void *context)
{
    *(int *)context = 0;
    return TRIBUS_OK;
}

static void marketdata_publishes_every_message_of_its_source_in_order_and_in_time(void)
{
    fixture f = platform_of_one(UINT64_C(1) << TRIBUS_MSG_TRADE_EXECUTION);
    int n = 0;
    const tribus_engine_source source = {next_trade, rewind_trades, &n};
    tribus_platform p;
    running r = {.ops = tribus_engine_find("marketdata")};
    int64_t begun;

    tribus_platform_init(&p);
    p.marketdata_engine.port = 0;
    p.marketdata_engine.speed = 10.0; /* half a second of feed in a twentieth */
    r.cfg.platform = &p;
    r.cfg.source = &source;
    begun = tribus_now_ns();
    start(&r);
    for (uint64_t i = 0; i < TRADES; i++) {
        const tribus_msg_trade_execution *t = (const tribus_msg_trade_execution *)next(&f);

        CHECK(t->trade == i);
        CHECK_TEXT(t->header.engine_type, "marketdata");
    }
    CHECK(tribus_now_ns() - begun >= 49000000); /* never early; late is no fault */
    stop(&r);
    end(&f);
}

static void marketdata_starts_the_feed_again_when_told_to_repeat(void)
{
    fixture f = platform_of_one(UINT64_C(1) << TRIBUS_MSG_TRADE_EXECUTION);
    int n = 0;
    const tribus_engine_source source = {next_trade, rewind_trades, &n};
    tribus_platform p;
    running r = {.ops = tribus_engine_find("marketdata")};

    tribus_platform_init(&p);
    p.marketdata_engine.port = 0;
    p.marketdata_engine.speed = 1000.0;
    p.marketdata_engine.repeat = true;
    r.cfg.platform = &p;
    r.cfg.source = &source;
    start(&r);
    for (uint64_t i = 0; i < 3 * TRADES; i++)
        CHECK(((const tribus_msg_trade_execution *)next(&f))->trade == i % TRADES);
    stop(&r);
    end(&f);
}

static void marketdata_without_a_source_returns_bad_arg(void)
{
    const tribus_agent_cfg agent_cfg = {.socket_path = socket_path};
    tribus_agent *agent;
    tribus_platform p;
    tribus_engine_cfg cfg = {.platform = &p, .socket_path = socket_path};

    tribus_platform_init(&p);
    CHECK(tribus_engine_run(tribus_engine_find("marketdata"), &cfg) == TRIBUS_NOT_FOUND);
    CHECK(tribus_agent_start(&agent_cfg, &agent) == TRIBUS_OK);
    CHECK(tribus_engine_run(tribus_engine_find("marketdata"), &cfg) == TRIBUS_BAD_ARG);
    CHECK_TEXT(tribus_error_text(), "engine marketdata: no feed was given");
    tribus_agent_stop(agent);
}

/* ---- risk ---- */

static void publish_figure(fixture *f, const char *metric, double value, uint64_t run)
{
    tribus_msg_analytics_result m;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_ANALYTICS_RESULT) == TRIBUS_OK);
    (void)tribus_wire_text_set(m.metric, sizeof(m.metric), metric);
    (void)tribus_wire_text_set(m.portfolio, sizeof(m.portfolio), "book");
    m.value = value;
    m.header.correlation = run;
    m.market_wall_ns = 77;
    CHECK(tribus_bus_publish(f->bus, &m.header) == TRIBUS_OK);
}

/* What the risk engine told of one run. A breach is urgent and may overtake its metric. */
typedef struct told {
    tribus_msg_risk_metric metric;
    tribus_msg_risk_limit_breach breach;
    uint32_t metrics, breaches;
} told;

static told what_is_told(fixture *f, uint32_t metrics, uint32_t breaches)
{
    told t = {0};

    while (t.metrics < metrics || t.breaches < breaches) {
        const tribus_msg_header *m = next(f);

        if (m->type == TRIBUS_MSG_RISK_METRIC) {
            t.metric = *(const tribus_msg_risk_metric *)m;
            t.metrics++;
        } else if (m->type == TRIBUS_MSG_RISK_LIMIT_BREACH) {
            t.breach = *(const tribus_msg_risk_limit_breach *)m;
            t.breaches++;
        } else {
            CHECK(m->type == TRIBUS_MSG_ENGINE_HEALTH);
        }
    }
    CHECK(t.metrics == metrics && t.breaches == breaches);
    return t;
}

static void risk_pairs_var_with_es_and_reports_a_breach(void)
{
    fixture f = platform_of_one(UINT64_C(1) << TRIBUS_MSG_RISK_METRIC |
                                UINT64_C(1) << TRIBUS_MSG_RISK_LIMIT_BREACH |
                                UINT64_C(1) << TRIBUS_MSG_ENGINE_HEALTH);
    const tribus_msg_engine_health *health;
    told t;
    tribus_platform p;
    running r = {.ops = tribus_engine_find("risk")};

    tribus_platform_init(&p);
    p.risk_engine.port = 0;
    p.risk_engine.var_limit = 0.02;
    r.cfg.platform = &p;
    start(&r);
    health = (const tribus_msg_engine_health *)next(&f);
    CHECK(health->header.type == TRIBUS_MSG_ENGINE_HEALTH);
    CHECK_TEXT(health->header.engine_type, "risk");
    CHECK(health->process == (uint64_t)getpid());

    publish_figure(&f, "var", 0.01, 1);
    publish_figure(&f, "es", 0.015, 1);
    t = what_is_told(&f, 1, 0);
    CHECK(t.metric.run == 1 && t.metric.market_wall_ns == 77);
    CHECK_NEAR(t.metric.value_at_risk, 0.01, 0.0);
    CHECK_NEAR(t.metric.expected_shortfall, 0.015, 0.0);
    CHECK_TEXT(t.metric.portfolio, "book");

    publish_figure(&f, "var", 0.09, 2); /* its es never comes */
    publish_figure(&f, "es", NAN, 2);
    publish_figure(&f, "var", 0.05, 3);
    publish_figure(&f, "es", 0.06, 3);
    t = what_is_told(&f, 1, 1);
    CHECK(t.metric.run == 3);
    CHECK_NEAR(t.breach.value, 0.05, 0.0);
    CHECK_NEAR(t.breach.threshold, 0.02, 0.0);
    CHECK(t.breach.severity == TRIBUS_SEVERITY_CRITICAL && t.breach.breaches == 1);
    CHECK_TEXT(t.breach.limit, "var_95");
    stop(&r);
    end(&f);
}

static void table_names_every_engine_once(void)
{
    CHECK(tribus_engine_find("nobody") == NULL);
    for (size_t i = 0; tribus_engine_at(i) != NULL; i++)
        CHECK(tribus_engine_find(tribus_engine_at(i)->name) == tribus_engine_at(i));
}

int main(void)
{
    (void)snprintf(socket_path, sizeof(socket_path),
                   "/tmp/tribus-test-engine-%ld/agent.sock", (long)getpid());
    table_names_every_engine_once();
    marketdata_without_a_source_returns_bad_arg();
    marketdata_publishes_every_message_of_its_source_in_order_and_in_time();
    marketdata_starts_the_feed_again_when_told_to_repeat();
    risk_pairs_var_with_es_and_reports_a_breach();
    return 0;
}
