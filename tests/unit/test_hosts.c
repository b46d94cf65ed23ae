/* test_hosts.c -- which compute hosts a platform gets, and why. */
#include "check.h"

#include "agent/hosts.h"

static tribus_hosts hosts_of(const char *neural, const char *gpu)
{
    static tribus_platform p;
    tribus_hosts h;

    tribus_platform_init(&p);
    p.neural_host.enabled = neural != NULL;
    p.gpu_host.enabled = gpu != NULL;
    (void)snprintf(p.neural_host.device, sizeof(p.neural_host.device), "%s",
                   neural != NULL ? neural : "cpu");
    (void)snprintf(p.gpu_host.device, sizeof(p.gpu_host.device), "%s",
                   gpu != NULL ? gpu : "cpu");
    p.neural_host.core = 3;
    p.gpu_host.core = 5;
    tribus_hosts_choose(&p, NULL, &h);
    return h;
}

static void both_domains_on_one_card_are_one_host(void)
{
    static const char *const pairs[][2] = {
        {"cuda:0", "cuda:0"}, {"cuda", "cuda:0"}, {"cuda:1", "cuda:1"}};

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const tribus_hosts h = hosts_of(pairs[i][0], pairs[i][1]);

        CHECK(h.count == 1 && h.rows[0].core == 5);
        CHECK_TEXT(h.rows[0].name, "host-both");
        CHECK_TEXT(h.rows[0].domain, "both");
        CHECK_TEXT(h.rows[0].device, pairs[i][1]);
        CHECK(strncmp(h.rows[0].about, "one host for both domains: ", 27) == 0);
        CHECK(strstr(h.rows[0].about, pairs[i][1]) != NULL);
    }
}

static void two_cards_are_a_host_each(void)
{
    const tribus_hosts h = hosts_of("cuda", "cuda:1");

    CHECK(h.count == 2 && h.rows[0].core == 3 && h.rows[1].core == 5);
    CHECK_TEXT(h.rows[0].domain, "neural");
    CHECK_TEXT(h.rows[1].domain, "gpu");
    CHECK_TEXT(h.rows[0].about, "one host per card: neural on cuda, gpu on cuda:1");
    CHECK_TEXT(h.rows[1].about, h.rows[0].about);
}

static void without_two_domains_on_cards_there_is_a_host_a_domain(void)
{
    tribus_hosts h = hosts_of("cpu", "cpu");

    CHECK(h.count == 2);
    CHECK(strncmp(h.rows[0].about, "one host per domain: both on the CPU", 36) == 0);
    h = hosts_of("cpu", "cuda:0");
    CHECK(h.count == 2);
    CHECK_TEXT(h.rows[1].about, "one host per domain: neural on cpu, gpu on cuda:0");
}

static void a_domain_that_is_off_gets_no_host(void)
{
    tribus_hosts h = hosts_of(NULL, "cuda:0");

    CHECK(h.count == 1);
    CHECK_TEXT(h.rows[0].domain, "gpu");
    CHECK_TEXT(h.rows[0].about, "one host for one domain: neural_host.enabled is false");
    h = hosts_of("cpu", NULL);
    CHECK(h.count == 1);
    CHECK_TEXT(h.rows[0].about, "one host for one domain: gpu_host.enabled is false");
    h = hosts_of(NULL, NULL);
    CHECK(h.count == 0);
}

static void under_mps_one_card_has_a_host_a_domain_and_one_that_stands_by(void)
{
    tribus_platform p;
    tribus_hosts h;

    tribus_platform_init(&p);
    (void)snprintf(p.neural_host.device, sizeof(p.neural_host.device), "cuda:0");
    (void)snprintf(p.gpu_host.device, sizeof(p.gpu_host.device), "cuda:0");
    CHECK(!p.gpu.mps && !tribus_hosts_want_mps(&p));
    p.gpu.mps = true;
    CHECK(tribus_hosts_want_mps(&p));
    tribus_hosts_choose(&p, NULL, &h);
    CHECK(h.mps && h.count == 3);
    CHECK(h.rows[0].with_mps && h.rows[1].with_mps && h.rows[2].without_mps);
    CHECK(strncmp(h.rows[0].about, "one host per domain under MPS: ", 31) == 0);
    CHECK_TEXT(h.rows[1].about, h.rows[0].about);
    CHECK(strstr(h.rows[2].about, "MPS failed") != NULL);
    tribus_hosts_choose(&p, "there is no driver", &h);
    CHECK(!h.mps && h.count == 1 && !h.rows[0].without_mps);
    CHECK_TEXT(h.rows[0].about,
               "one host for both domains: gpu.mps is set, but there is no driver");
    (void)snprintf(p.gpu_host.device, sizeof(p.gpu_host.device), "cuda:1");
    CHECK(!tribus_hosts_want_mps(&p));
}

int main(void)
{
    under_mps_one_card_has_a_host_a_domain_and_one_that_stands_by();
    both_domains_on_one_card_are_one_host();
    two_cards_are_a_host_each();
    without_two_domains_on_cards_there_is_a_host_a_domain();
    a_domain_that_is_off_gets_no_host();
    return 0;
}
