/* Any bytes as any recorded feed: the first byte picks the feed, the rest is the file.
 * Run: build/fuzz/tests/fuzz_feed -max_total_time=120 */
#include "tribus/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define EVENTS_MAX 100000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const char *const kinds[] = {"lobster", "itch", "dbn", "binance"};
    char spec[64];
    tribus_feed *feed = NULL;
    tribus_feed_event event;
    int fd;

    if (count == 0)
        return 0;
    fd = memfd_create("fuzz_feed", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes + 1, count - 1) != (ssize_t)(count - 1))
        abort();
    (void)snprintf(spec, sizeof(spec), "%s:/proc/self/fd/%d", kinds[bytes[0] % 4u], fd);
    if (tribus_feed_open(spec, NULL, &feed) == TRIBUS_OK) {
        for (int i = 0; i < EVENTS_MAX; i++)
            if (tribus_feed_next(feed, &event) != TRIBUS_OK)
                break;
        if (tribus_feed_symbol_count(feed) > 0 && tribus_feed_symbol(feed, 0) == NULL)
            abort();
    }
    tribus_feed_close(feed);
    (void)close(fd);
    return 0;
}
