/* test_device.c -- the table of devices, and memory of the cpu device. */
#include "check.h"
#include "tribus/base.h"
#include "tribus/device.h"

#include <fcntl.h>
#include <unistd.h>

static void list_names_every_kind_with_the_reason_of_absence(void)
{
    tribus_device_row rows[16];
    const uint32_t n = tribus_device_list(rows, 16);
    bool cuda = false;

    CHECK(n >= 2 && tribus_device_list(NULL, 0) == n);
    CHECK_TEXT(rows[0].name, "cpu");
    CHECK(rows[0].present && rows[0].device_type == TRIBUS_DEVICE_CPU);
    for (uint32_t i = 0; i < n; i++) {
        CHECK(rows[i].detail[0] != '\0');
        cuda = cuda || strcmp(rows[i].name, "cuda:0") == 0;
    }
    CHECK(cuda);
}

static void open_when_absent_or_unknown_says_so(void)
{
    static const char *const unknown[] = {"",     "gpu",     "cpu:",       "cpu:x",
                                          "cpux", "cuda:-1", "cuda:99999", ":0"};
    tribus_device_row rows[16];
    tribus_device *d = NULL;
    const uint32_t n = tribus_device_list(rows, 16);

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        CHECK(tribus_device_open(unknown[i], &d) == TRIBUS_NOT_FOUND && d == NULL);
    CHECK(tribus_device_open(NULL, &d) == TRIBUS_NOT_FOUND);
    CHECK(tribus_device_open("cpu:1", &d) == TRIBUS_UNSUPPORTED);
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].present)
            continue;
        CHECK(tribus_device_open(rows[i].name, &d) == TRIBUS_UNSUPPORTED && d == NULL);
        CHECK(strstr(tribus_error_text(), rows[i].detail) != NULL);
    }
    CHECK(tribus_device_open("cpu:0", &d) == TRIBUS_OK);
    CHECK_TEXT(tribus_device_name(d), "cpu");
    CHECK(tribus_device_type(d) == TRIBUS_DEVICE_CPU && tribus_device_index(d) == 0);
    tribus_device_close(d);
    tribus_device_close(NULL);
}

static void memory_is_shared_through_its_descriptor(void)
{
    tribus_device *d;
    tribus_device_memory a, b;
    void *data;
    int fd = -1;

    CHECK(tribus_device_open("cpu", &d) == TRIBUS_OK);
    CHECK(tribus_device_memory_create(d, "t", 8192, &fd, &a) == TRIBUS_OK);
    CHECK(a.bytes == 8192 && a.host == a.data && a.writable && fd >= 0);
    CHECK(tribus_device_memory_open(d, fd, 8192, false, &b) == TRIBUS_OK);
    CHECK(b.data != a.data && !b.writable);
    memcpy(a.host, "over", 5);
    CHECK_TEXT((const char *)b.host, "over");
    CHECK(tribus_device_register(d, a.host, a.bytes, &data) == TRIBUS_OK && data == a.host);
    tribus_device_unregister(d, a.host);
    CHECK(tribus_device_synchronise_wait(d, 0) == TRIBUS_OK);
    tribus_device_memory_close(d, &b);
    CHECK(b.data == NULL);
    tribus_device_memory_close(d, &b);
    CHECK(tribus_device_memory_open(d, fd, 1 << 20, true, &b) == TRIBUS_CORRUPT);
    CHECK(tribus_device_memory_open(d, fd, 0, true, &b) == TRIBUS_BAD_ARG);
    CHECK(tribus_device_memory_open(d, -1, 8192, true, &b) == TRIBUS_BAD_ARG);
    CHECK(tribus_device_memory_create(d, "t", 0, &fd, &b) == TRIBUS_BAD_ARG);
    CHECK(tribus_device_register(d, NULL, 8, &data) == TRIBUS_BAD_ARG);
    tribus_device_memory_close(d, &a);
    (void)close(fd);
    tribus_device_close(d);
}

int main(void)
{
    list_names_every_kind_with_the_reason_of_absence();
    open_when_absent_or_unknown_says_so();
    memory_is_shared_through_its_descriptor();
    return 0;
}
