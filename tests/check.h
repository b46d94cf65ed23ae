/* check.h -- the whole test framework. One executable per file; main() calls the tests.
 *
 * CHECK stays on in release builds. SKIP ends the program with 77, which CTest shows as
 * skipped. Random tests take their seed from check_seed(), which prints it and obeys
 * TRIBUS_SEED. */
#ifndef TRIBUS_TESTS_CHECK_H
#define TRIBUS_TESTS_CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(cond)                                                                        \
    do {                                                                                   \
        if (!(cond)) {                                                                     \
            fprintf(stderr, "%s:%d: %s: CHECK(%s)\n", __FILE__, __LINE__, __func__,        \
                    #cond);                                                                \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

/* Equal within an absolute tolerance; NaN never is. Prints both values. */
#define CHECK_NEAR(got, want, tolerance)                                                   \
    do {                                                                                   \
        const double got_ = (double)(got), want_ = (double)(want);                         \
        if (!(fabs(got_ - want_) <= (double)(tolerance))) {                                \
            fprintf(stderr, "%s:%d: %s: %s is %.17g, wanted %.17g within %g\n", __FILE__,  \
                    __LINE__, __func__, #got, got_, want_, (double)(tolerance));           \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

#define CHECK_TEXT(got, want)                                                              \
    do {                                                                                   \
        const char *got_ = (got), *want_ = (want);                                         \
        if (strcmp(got_, want_) != 0) {                                                    \
            fprintf(stderr, "%s:%d: %s: %s is \"%s\", wanted \"%s\"\n", __FILE__,          \
                    __LINE__, __func__, #got, got_, want_);                                \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

#define SKIP(why)                                                                          \
    do {                                                                                   \
        printf("skip: %s\n", (why));                                                       \
        exit(77);                                                                          \
    } while (0)

static inline uint64_t check_seed(void)
{
    const char *given = getenv("TRIBUS_SEED");
    uint64_t seed = (uint64_t)time(NULL);

    if (given != NULL)
        seed = strtoull(given, NULL, 10);
    printf("TRIBUS_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Path of a file of the shared reference data, or NULL where that data is not present.
 * TRIBUS_DATA names the folder; the build sets it to ../shared/data beside the checkout. */
static inline const char *check_data(const char *relative)
{
    static char path[4096];
    const char *root = getenv("TRIBUS_DATA");
    FILE *f;

#ifdef TRIBUS_DATA_DIR
    if (root == NULL)
        root = TRIBUS_DATA_DIR;
#endif
    if (root == NULL)
        return NULL;
    (void)snprintf(path, sizeof(path), "%s/%s", root, relative);
    f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    (void)fclose(f);
    return path;
}

#endif
