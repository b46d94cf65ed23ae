/* test_nvml.c -- cards as metrics, by a management library of our own. */
#include "check.h"
#include "monitor/nvml.h"
#include "tribus/base.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_card_tells_everything(void)
{
    tribus_nvml_card card;

    CHECK(tribus_nvml_count(NULL) == 2);
    CHECK(tribus_nvml_read(0, true, &card) == TRIBUS_OK);
    CHECK_TEXT(card.name, "a card of numbers 0");
    CHECK(card.known == 127u);
    CHECK(card.busy > 0.989 && card.busy < 0.991);
    CHECK(card.memory_busy > 0.419 && card.memory_busy < 0.421);
    CHECK(card.memory_total_bytes == 1000 && card.memory_used_bytes == 400);
    CHECK(card.multiprocessor_hz == UINT64_C(1980000000));
    CHECK(card.memory_hz == UINT64_C(3201000000));
    CHECK(card.power_watts > 350.4 && card.power_watts < 350.6);
    CHECK(card.temperature_celsius > 44.9 && card.temperature_celsius < 45.1);
    CHECK(card.pcie_sent_bytes_per_s == 102400 && card.pcie_received_bytes_per_s == 204800);
    CHECK(card.nvlink_sent_bytes == 7 * 1024 && card.nvlink_received_bytes == 9 * 1024);
}

static void what_is_not_asked_for_or_not_supported_is_not_known(void)
{
    tribus_nvml_card card;

    CHECK(tribus_nvml_read(0, false, &card) == TRIBUS_OK);
    CHECK((card.known & TRIBUS_NVML_PCIE) == 0);
    CHECK(tribus_nvml_read(1, true, &card) == TRIBUS_OK);
    CHECK(card.known == TRIBUS_NVML_MEMORY);
    CHECK(tribus_nvml_read(2, true, &card) == TRIBUS_NOT_FOUND);
}

static void metrics_show_what_is_known(void)
{
    tribus_metrics *m = tribus_metrics_open();
    size_t bytes;
    char *text;

    CHECK(m != NULL);
    tribus_nvml_collect(m);
    text = tribus_metrics_prometheus(m, &bytes);
    CHECK(text != NULL);
    CHECK(strstr(text, "tribus_card_busy_ratio{card=\"0\",name=\"a card of numbers 0\"} "
                       "0.99") != NULL);
    CHECK(strstr(text, "tribus_card_busy_ratio{card=\"1\"") == NULL);
    CHECK(strstr(text, "tribus_card_memory_used_bytes{card=\"1\",name=\"a card of numbers "
                       "1\"} 400") != NULL);
    CHECK(strstr(text, "tribus_card_nvlink_bytes_total{card=\"0\",name=\"a card of numbers "
                       "0\",direction=\"received\"} 9216") != NULL);
    free(text);
    tribus_metrics_close(m);
}

static void without_the_library_there_are_no_cards_and_a_reason(void)
{
    const pid_t child = fork(); /* the library is loaded once a process */
    int status;

    CHECK(child >= 0);
    if (child == 0) {
        const char *why = NULL;
        tribus_nvml_card card;

        CHECK(setenv("TRIBUS_NVML", "/nowhere/libnvidia-ml.so.1", 1) == 0);
        CHECK(tribus_nvml_count(&why) == 0);
        CHECK_TEXT(why, "no /nowhere/libnvidia-ml.so.1: no NVIDIA driver");
        CHECK(tribus_nvml_read(0, true, &card) == TRIBUS_NOT_FOUND);
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) &&
          WEXITSTATUS(status) == 0);
}

int main(void)
{
    without_the_library_there_are_no_cards_and_a_reason();
    CHECK(setenv("TRIBUS_NVML", TRIBUS_FAKE_NVML, 1) == 0);
    a_card_tells_everything();
    what_is_not_asked_for_or_not_supported_is_not_known();
    metrics_show_what_is_known();
    return 0;
}
