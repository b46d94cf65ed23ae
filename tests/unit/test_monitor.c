/* test_monitor.c -- metrics as text and JSON, and the page over HTTP. */
#include "agent_fixture.h"
#include "port.h"
#include "agent/scrape.h"
#include "monitor/collect.h"
#include "monitor/monitor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static const tribus_metric requests = {"tribus_test_requests_total", "Requests.",
                                       TRIBUS_METRIC_COUNTER};
static const tribus_metric depth = {"tribus_test_depth", "Depth.", TRIBUS_METRIC_GAUGE};

static void values_of_one_name_stand_together_with_one_help(void)
{
    tribus_metrics *m = tribus_metrics_open();
    const tribus_metric_label a[] = {{"link", "a"}, {NULL, NULL}};
    const tribus_metric_label b[] = {{"link", "b\"\n\\"}, {"bus", "x"}, {NULL, NULL}};
    size_t bytes = 0;
    char *text;

    tribus_metrics_add_count(m, &requests, a, UINT64_MAX);
    tribus_metrics_add(m, &depth, NULL, 0.25);
    tribus_metrics_add_count(m, &requests, b, 7);
    text = tribus_metrics_prometheus(m, &bytes);
    CHECK(text != NULL && bytes == strlen(text));
    CHECK_TEXT(text, "# HELP tribus_test_depth Depth.\n"
                     "# TYPE tribus_test_depth gauge\n"
                     "tribus_test_depth 0.25\n"
                     "# HELP tribus_test_requests_total Requests.\n"
                     "# TYPE tribus_test_requests_total counter\n"
                     "tribus_test_requests_total{link=\"a\"} 18446744073709551615\n"
                     "tribus_test_requests_total{link=\"b???\",bus=\"x\"} 7\n");
    free(text);
    text = tribus_metrics_json(m, &bytes);
    CHECK(text != NULL && bytes == strlen(text));
    CHECK(strstr(text,
                 "{\"name\":\"tribus_test_requests_total\",\"type\":\"counter\","
                 "\"labels\":{\"link\":\"b???\",\"bus\":\"x\"},\"value\":7}") != NULL);
    free(text);
    tribus_metrics_close(m);
}

static void times_become_cumulative_buckets_in_seconds(void)
{
    static const tribus_metric times = {"tribus_test_seconds", "Times.",
                                        TRIBUS_METRIC_HISTOGRAM};
    tribus_metrics *m = tribus_metrics_open();
    void *mem = aligned_alloc(64, TRIBUS_HISTOGRAM_BYTES);
    tribus_histogram *h = NULL;
    size_t bytes = 0;
    const char *sum;
    char *text;

    CHECK(mem != NULL);
    memset(mem, 0, TRIBUS_HISTOGRAM_BYTES);
    OK(tribus_histogram_create(mem, TRIBUS_HISTOGRAM_BYTES, &h));
    for (int i = 0; i < 10; i++)
        tribus_histogram_record(h, 300);
    tribus_histogram_record(h, 1500000);
    tribus_metrics_add_times(m, &times, NULL, h);
    text = tribus_metrics_prometheus(m, &bytes);
    CHECK(text != NULL);
    CHECK(strstr(text, "tribus_test_seconds_bucket{le=\"2e-07\"} 0\n") != NULL);
    CHECK(strstr(text, "tribus_test_seconds_bucket{le=\"5e-07\"} 10\n") != NULL);
    CHECK(strstr(text, "tribus_test_seconds_bucket{le=\"0.001\"} 10\n") != NULL);
    CHECK(strstr(text, "tribus_test_seconds_bucket{le=\"0.002\"} 11\n") != NULL);
    CHECK(strstr(text, "tribus_test_seconds_bucket{le=\"+Inf\"} 11\n") != NULL);
    CHECK(strstr(text, "tribus_test_seconds_count 11\n") != NULL);
    sum = strstr(text, "tribus_test_seconds_sum ");
    CHECK(sum != NULL);
    /* fabric.h: a histogram knows its sum within 1.6 %. */
    CHECK_NEAR(strtod(sum + strlen("tribus_test_seconds_sum "), NULL), 0.001503, 0.000024);
    free(text);
    free(mem);
    tribus_metrics_close(m);
}

static void too_many_values_are_dropped_and_counted(void)
{
    tribus_metrics *m = tribus_metrics_open();
    size_t bytes = 0;
    char *text;

    for (uint32_t i = 0; i < TRIBUS_METRICS_MOST + 10u; i++)
        tribus_metrics_add_count(m, &requests, NULL, i);
    text = tribus_metrics_prometheus(m, &bytes);
    CHECK(text != NULL && strstr(text, "\ntribus_metrics_dropped_total ") != NULL);
    free(text);
    tribus_metrics_close(m);
}

static void counters_of_others_are_read_without_touching_them(void)
{
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_session *writer = fixture_session("writer"),
                   *watcher = fixture_session("watcher");
    tribus_metrics *m = tribus_metrics_open();
    tribus_counters *c = NULL;
    size_t bytes = 0;
    char *text;
    void *mem, *junk;

    OK(tribus_session_create_object(writer, "writer/counters", TRIBUS_OBJECT_COUNTERS,
                                    2 * TRIBUS_COUNTERS_BYTES, 0, NULL, &mem));
    OK(tribus_counter_create(mem, TRIBUS_COUNTERS_BYTES, "edge forecast", &c));
    tribus_counter_add(c, TRIBUS_COUNT_MESSAGES, 5);
    tribus_counter_add(c, TRIBUS_COUNT_BYTES_BY_REF, 300);
    tribus_counter_add(c, TRIBUS_COUNT_BYTES_COPIED, 100);
    tribus_histogram_record(tribus_counter_latency(c), 700);
    OK(tribus_session_create_object(writer, "writer/junk", TRIBUS_OBJECT_COUNTERS,
                                    TRIBUS_COUNTERS_BYTES, 0, NULL, &junk));
    memset(junk, 0xa5, TRIBUS_COUNTERS_BYTES);
    tribus_collect_fabric(watcher, m);
    text = tribus_metrics_prometheus(m, &bytes);
    CHECK(text != NULL);
    CHECK(strstr(text, "tribus_link_messages_total{link=\"edge forecast\","
                       "object=\"writer/counters\"} 5\n") != NULL);
    CHECK(strstr(text, "tribus_link_zero_copy_ratio{link=\"edge forecast\","
                       "object=\"writer/counters\"} 0.75\n") != NULL);
    CHECK(strstr(text, "tribus_participant_up{participant=\"writer\",role=\"tool\"} 1\n") !=
          NULL);
    CHECK(strstr(text, "tribus_objects{kind=\"counters\"} 2\n") != NULL);
    CHECK(strstr(text, "writer/junk") == NULL);
    free(text);
    tribus_metrics_close(m);
    tribus_session_close(watcher);
    tribus_session_close(writer);
    tribus_agent_stop(agent);
}

static void fetch(int port, const char *path, char *buf, size_t bytes)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char request[128];
    size_t used = 0;
    ssize_t n;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    (void)snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);
    CHECK(send(fd, request, strlen(request), 0) == (ssize_t)strlen(request));
    while (used < bytes - 1 && (n = recv(fd, buf + used, bytes - 1 - used, 0)) > 0)
        used += (size_t)n;
    buf[used] = '\0';
    (void)close(fd);
}

static void the_page_shows_the_agent_and_its_health(void)
{
    static char buf[1 << 18];
    const char *const fails[] = {"sh", "-c", "exit 2", NULL};
    const tribus_agent_child_cfg child = {
        .name = "broken", .kind = "engine", .argv = fails};
    tribus_agent *agent =
        fixture_agent((tribus_agent_cfg){.children = &child, .child_count = 1});
    const int port = free_port();
    tribus_scrape *scrape = NULL, *second = NULL;
    tribus_agent_child row = {.state = TRIBUS_CHILD_WAITING};
    uint32_t count = 0;

    OK(tribus_scrape_start(fixture_path(), port, NULL, &scrape));
    CHECK(tribus_scrape_start(fixture_path(), port, NULL, &second) == TRIBUS_EXISTS);
    while (row.state != TRIBUS_CHILD_FAILED)
        OK(tribus_agent_get_children(fixture_path(), 0, &row, 1, &count));
    fetch(port, "/health", buf, sizeof(buf));
    CHECK(strncmp(buf, "HTTP/1.1 200", 12) == 0);
    CHECK(strstr(buf, "\"status\":\"degraded\"") != NULL);
    CHECK(strstr(buf, "\"name\":\"broken\",\"kind\":\"engine\",\"state\":\"failed\"") !=
          NULL);
    fetch(port, "/metrics", buf, sizeof(buf));
    CHECK(strstr(buf, "text/plain; version=0.0.4") != NULL);
    CHECK(strstr(buf, "\ntribus_agent_deaths_total 0\n") != NULL);
    CHECK(strstr(buf, "\ntribus_child_up{child=\"broken\",kind=\"engine\"} 0\n") != NULL);
    CHECK(strstr(buf, "\n# TYPE tribus_agent_memory_limit_bytes gauge\n") != NULL);
    fetch(port, "/metrics.json", buf, sizeof(buf));
    CHECK(strstr(buf, "\"name\":\"tribus_agent_uptime_seconds\"") != NULL);
    fetch(port, "/nothing", buf, sizeof(buf));
    CHECK(strncmp(buf, "HTTP/1.1 404", 12) == 0);
    tribus_scrape_stop(scrape);
    tribus_agent_stop(agent);
}

static void a_taken_port_is_an_error_that_names_it(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof(at);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tribus_agent *agent = fixture_agent((tribus_agent_cfg){0});
    tribus_monitor_cfg cfg = {.socket_path = fixture_path()};
    tribus_monitor *monitor = NULL;
    char want[32];

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 1) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    cfg.port = ntohs(at.sin_port);
    CHECK(tribus_monitor_start(&cfg, &monitor) == TRIBUS_SYSTEM);
    (void)snprintf(want, sizeof(want), "127.0.0.1:%d", cfg.port);
    CHECK(strstr(tribus_error_text(), want) != NULL);
    (void)close(fd);
    tribus_agent_stop(agent);
}

int main(void)
{
    values_of_one_name_stand_together_with_one_help();
    times_become_cumulative_buckets_in_seconds();
    too_many_values_are_dropped_and_counted();
    counters_of_others_are_read_without_touching_them();
    the_page_shows_the_agent_and_its_health();
    a_taken_port_is_an_error_that_names_it();
    return 0;
}
