/* bench_fabric.c -- `tribus bench fabric`: how near the fabric is to what the hardware allows,
 * and to other transports, every ratio measured inside one run. */
#include "cli/bench_paths.h"
#include "cli/commands.h"

#include "base/os.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB(n)     ((size_t)(n) << 10)
#define MIB(n)     ((size_t)(n) << 20)
#define LOAN_LOOPS 20000

typedef struct bench {
    bool json, all_good, realtime;
    double seconds;
} bench;

static bool run_group(bench *b, tribus_bench_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rows[i].bench = "fabric";
        rows[i].seconds = b->seconds;
    }
    if (!tribus_bench_pair_group(rows, count)) {
        b->all_good = false;
        return false;
    }
    for (size_t i = 0; i < count; i++)
        tribus_bench_pair_print(&rows[i], b->json);
    return true;
}

static double ratio(const tribus_bench_row *a, const tribus_bench_row *b)
{
    return b->stats.p50_ns > 0.0 ? a->stats.p50_ns / b->stats.p50_ns : 0.0;
}

static void target(const bench *b, const char *what, double got, const char *wanted)
{
    if (!b->json)
        printf("    %-52s %8.2f   wanted: %s\n", what, got, wanted);
}

/* ---- 64 bytes, spinning ---- */

static void spin_small(bench *b)
{
    tribus_bench_row rows[] = {
        {.kase = "spin", .size_bytes = 64, .touched = true},
        {.kase = "spin",
         .path = "tribus",
         .ops = &tribus_bench_cell,
         .size_bytes = 64,
         .touched = true},
    };
    const tribus_bench_row *floor = &rows[0], *ours = &rows[1];

    if (!run_group(b, rows, 2))
        return;
    target(b, "64 B over the floor, p50", ratio(ours, floor), "at most 1.5, aim 1.2");
    target(b, "64 B over the floor, p99.9", ours->stats.p999_ns / floor->stats.p999_ns,
           "at most 2, aim 1.2");
}

/* ---- large payloads, against the better of rotating slots and a hot pool ---- */

static double least(double a, double b)
{
    return a < b ? a : b;
}

static void spin_large(bench *b, size_t size, uint32_t rotating)
{
    const tribus_bench_bare_cfg slots = {.slots = rotating},
                                pool = {.slots = 1, .pool = true};
    tribus_bench_row rows[] = {
        {.kase = "spin", .ops = &tribus_bench_bare, .config = &slots},
        {.kase = "spin", .ops = &tribus_bench_bare, .config = &pool},
        {.kase = "spin", .ops = &tribus_bench_slot, .path = "tribus"},
        {.kase = "spin", .ops = &tribus_bench_shared, .path = "tribus"},
        {.kase = "spin", .ops = &tribus_bench_reuse, .path = "tribus"},
    };
    static const char *const kinds[] = {"rotating", "hot pool", "a region a direction",
                                        "one region", "reuse and pass"};
    double floor, ours;

    for (size_t i = 0; i < 5; i++) {
        rows[i].size_bytes = size;
        rows[i].touched = true;
        rows[i].kind = kinds[i];
    }
    tribus_bench_bare_slots(rotating);
    if (!run_group(b, rows, 5))
        return;
    floor = least(rows[0].stats.p50_ns, rows[1].stats.p50_ns);
    ours = rows[3].stats.p50_ns;
    target(b, "one region over the better of the floor's, p50", ours / floor,
           "at most 1.15, aim 1");
}

static void handover(bench *b)
{
    tribus_bench_row rows[] = {
        {.kase = "handover", .path = "tribus", .ops = &tribus_bench_slot, .size_bytes = 64},
        {.kase = "handover",
         .path = "tribus",
         .ops = &tribus_bench_slot,
         .size_bytes = MIB(4)},
    };

    if (run_group(b, rows, 2))
        target(b, "hand-over of 4 MiB over 64 B, p50", ratio(&rows[1], &rows[0]),
               "at most 1.2, aim 1");
}

/* ---- blocking ---- */

static void block(bench *b)
{
    const tribus_bench_bare_cfg bare = {.slots = 1};
    const tribus_bench_ring_cfg sleepy = {.spin_ns = 1};
    tribus_bench_row rows[] = {
        {.kase = "block",
         .ops = &tribus_bench_futex,
         .config = &bare,
         .size_bytes = 64,
         .touched = true},
        {.kase = "block",
         .path = "tribus",
         .ops = &tribus_bench_cell,
         .config = &sleepy,
         .size_bytes = 64,
         .touched = true},
    };

    tribus_bench_bare_slots(1);
    if (run_group(b, rows, 2))
        target(b, "blocking wake over a bare futex, p50", ratio(&rows[1], &rows[0]),
               "at most 1.15, aim 1.02");
}

/* ---- streams ---- */

static bool run_stream(bench *b, tribus_bench_row *row, tribus_bench_stream what)
{
    row->bench = "fabric";
    row->kase = what == TRIBUS_STREAM_TOPIC   ? "topic"
                : what == TRIBUS_STREAM_LANES ? "lanes4"
                                              : "throughput";
    row->path = what == TRIBUS_STREAM_BARE ? "floor" : "tribus";
    row->size_bytes = 64;
    row->touched = true;
    row->seconds = b->seconds;
    if (!tribus_bench_stream_run(row, what)) {
        b->all_good = false;
        return false;
    }
    return true;
}

#define ROUNDS_MAX 5 /* of each in turn: one is in one of two gears a run */

static int by_rate(const void *a, const void *b)
{
    const double x = ((const tribus_bench_row *)a)->stats.rate_per_s,
                 y = ((const tribus_bench_row *)b)->stats.rate_per_s;

    return x < y ? -1 : x > y;
}

static bool apart(const tribus_bench_row *a, const tribus_bench_row *b)
{
    const double moved = a->floor.p50_ns / b->floor.p50_ns;

    return moved > 1.2 || moved < 1 / 1.2;
}

/* The median of some runs of each. Rounds during which the cores moved are run again. */
static bool in_turn(bench *b, const tribus_bench_stream *what, tribus_bench_row *rows,
                    int count)
{
    tribus_bench_row runs[4][ROUNDS_MAX] = {0};
    const int rounds = (int)tribus_bench_pair_rounds();
    int n = 0;

    for (int tries = 0; n < rounds; tries++) {
        const bool last = tries >= 2 * rounds;
        bool good = true;

        for (int k = 0; k < count; k++) {
            if (!run_stream(b, &runs[k][n], what[k]))
                return false;
            good = good && (last || !apart(&runs[k][n], &runs[0][n]));
        }
        if (good && !last && apart(&runs[0][n], &runs[0][0])) {
            for (int k = 0; k < count; k++) /* from the start: of one distance */
                runs[k][0] = runs[k][n];
            n = 0;
        }
        n += good;
    }
    for (int k = 0; k < count; k++) {
        qsort(runs[k], (size_t)rounds, sizeof(runs[k][0]), by_rate);
        rows[k] = runs[k][rounds / 2];
        tribus_bench_pair_print(&rows[k], b->json);
    }
    return true;
}

static void streams(bench *b)
{
    static const tribus_bench_stream what[] = {TRIBUS_STREAM_BARE, TRIBUS_STREAM_RING,
                                               TRIBUS_STREAM_TOPIC};
    tribus_bench_row rows[3], lanes = {0};
    const double *bare = &rows[0].stats.rate_per_s, *ring = &rows[1].stats.rate_per_s,
                 *topic = &rows[2].stats.rate_per_s;

    if (!in_turn(b, what, rows, 3))
        return;
    target(b, "bare loop of sequence numbers, million a second", *bare / 1e6, "-");
    target(b, "ring, million messages a second", *ring / 1e6, "at least 150, aim 400, or");
    target(b, "  over the bare loop", *ring / *bare, "at least 0.7");
    target(b, "topic, million messages a second", *topic / 1e6, "at least 60, aim 200");
    target(b, "  over the bare loop", *topic / *bare, "1: it has a line a message, too");
    if (run_stream(b, &lanes, TRIBUS_STREAM_LANES)) {
        tribus_bench_pair_print(&lanes, b->json);
        target(b, "four writers to one reader, million a second",
               lanes.stats.rate_per_s / 1e6, "at least 20, aim 50");
    }
}

/* ---- instructions of a loan, counted by callgrind in a process of our own ---- */

/* loan + commit + receive + release, `loops` times; what callgrind runs. */
static int loan_loop(int64_t loops)
{
    tribus_region_cfg cfg = {.slot_bytes = 64, .slots = 4};
    const size_t bytes = tribus_region_bytes(&cfg);
    void *mem = aligned_alloc(64, bytes);
    tribus_region *owner = NULL, *holder = NULL;

    if (mem == NULL || tribus_region_create(mem, bytes, &cfg, 1) != TRIBUS_OK ||
        tribus_region_open(mem, bytes, TRIBUS_WRITER, 0, &owner) != TRIBUS_OK ||
        tribus_region_open(mem, bytes, TRIBUS_READER, 0, &holder) != TRIBUS_OK)
        return tribus_cli_fail("bench fabric");
    for (int64_t i = 0; i < loops; i++) {
        tribus_slot_ref ref;
        const void *seen;
        void *slot;

        if (tribus_region_loan(owner, &ref, &slot) != TRIBUS_OK ||
            tribus_region_commit(owner, &ref, 1) != TRIBUS_OK ||
            tribus_region_receive(holder, &ref, &seen) != TRIBUS_OK ||
            tribus_region_release(holder, &ref) != TRIBUS_OK)
            return tribus_cli_fail("bench fabric");
    }
    tribus_region_close(owner);
    tribus_region_close(holder);
    free(mem);
    return TRIBUS_EXIT_DONE;
}

/* Instructions of this program running that many loops; 0 where valgrind is not there. */
static unsigned long long count_instructions(int loops)
{
    char self[3072], command[4096], line[512];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    unsigned long long got = 0;
    FILE *f;

    if (n <= 0)
        return 0;
    self[n] = '\0';
    (void)snprintf(
        command, sizeof(command),
        "valgrind --tool=callgrind --callgrind-out-file=/dev/null '%s' bench fabric "
        "--loan-loop %d 2>&1",
        self, loops);
    f = popen(command, "r");
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof(line), f) != NULL) {
        const char *at = strstr(line, "Collected :");

        if (at != NULL)
            got = strtoull(at + strlen("Collected :"), NULL, 10);
    }
    (void)pclose(f);
    return got;
}

static void loan(bench *b)
{
    const unsigned long long few = count_instructions(LOAN_LOOPS);
    const unsigned long long many = few != 0 ? count_instructions(2 * LOAN_LOOPS) : 0;
    double each;

    if (many <= few) {
        fprintf(stderr, "tribus bench fabric: no instruction count: install valgrind\n");
        return;
    }
    each = (double)(many - few) / LOAN_LOOPS;
    if (b->json)
        printf(
            "{\"bench\":\"fabric\",\"case\":\"loan\",\"path\":\"tribus\",\"size_bytes\":64,"
            "\"touched\":false,\"p50_ns\":null,\"p99_ns\":null,\"p999_ns\":null,"
            "\"rate_per_s\":null,\"instructions\":%.1f}\n",
            each);
    target(b, "instructions of loan, commit, receive, release", each,
           "at most 250, aim 120");
}

/* ---- what counting costs, in one thread: the same messages with and without ---- */

#define COUNT_CELLS  64u
#define COUNT_LOOPS  50000u /* short, so that few rounds are preempted */
#define COUNT_ROUNDS 201

typedef struct counted {
    tribus_ring *w, *r;
    tribus_counters *c;
} counted;

static double ns_a_message(const counted *t, bool on)
{
    const int64_t t0 = tribus_now_ns();

    tribus_ring_set_counters(t->w, on ? t->c : NULL);
    for (uint32_t i = 0; i < COUNT_LOOPS; i++) {
        const void *seen;
        void *cell;

        if (tribus_ring_claim(t->w, &cell) != TRIBUS_OK)
            return -1.0;
        *(uint64_t *)cell = i;
        tribus_ring_commit(t->w);
        if (tribus_ring_peek(t->r, &seen, NULL) != TRIBUS_OK)
            return -1.0;
        tribus_ring_release(t->r);
        if (on)
            tribus_histogram_record(tribus_counter_latency(t->c), 60 + (i & 63));
    }
    return (double)(tribus_now_ns() - t0) / COUNT_LOOPS;
}

static void counting(bench *b)
{
    const size_t bytes = tribus_ring_bytes(COUNT_CELLS, 64);
    void *mem = aligned_alloc(64, bytes),
         *block = aligned_alloc(64, (TRIBUS_COUNTERS_BYTES + 63u) / 64u * 64u);
    counted t = {0};
    double quickest = 1e18, cost = 0.0;

    if (mem == NULL || block == NULL ||
        tribus_ring_create(mem, bytes, COUNT_CELLS, 64) != TRIBUS_OK ||
        tribus_ring_open(mem, bytes, TRIBUS_WRITER, &t.w) != TRIBUS_OK ||
        tribus_ring_open(mem, bytes, TRIBUS_READER, &t.r) != TRIBUS_OK ||
        tribus_counter_create(block, TRIBUS_COUNTERS_BYTES, "bench", &t.c) != TRIBUS_OK) {
        (void)tribus_cli_fail("bench fabric");
        b->all_good = false;
    } else {
        /* of pairs, because the machine may be slower a moment later; the least disturbed */
        for (int i = 0; i < COUNT_ROUNDS; i++) {
            const double off = ns_a_message(&t, false), on = ns_a_message(&t, true);

            if (off + on < quickest) {
                quickest = off + on;
                cost = on - off;
            }
        }
        if (b->json)
            printf("{\"bench\":\"fabric\",\"case\":\"counting\",\"path\":\"tribus\","
                   "\"size_bytes\":64,\"touched\":true,\"p50_ns\":%.2f,\"p99_ns\":null,"
                   "\"p999_ns\":null,\"rate_per_s\":null}\n",
                   cost);
        target(b, "counters and histogram, ns a message", cost, "below 5");
    }
    tribus_ring_close(t.w);
    tribus_ring_close(t.r);
    free(mem);
    free(block);
}

/* ---- a death ---- */

#define DEATHS 100u

static void death(bench *b)
{
    tribus_bench_row row = {.bench = "fabric", .kase = "death", .path = "tribus"};
    double longest_ns;

    if (!tribus_bench_death_run(&row, DEATHS, &longest_ns)) {
        b->all_good = false;
        return;
    }
    tribus_bench_pair_print(&row, b->json);
    target(b, "longest until a SIGKILL was seen, ms", longest_ns / 1e6, "at most 100");
}

/* ---- other transports ---- */

static void redis(bench *b, const char *server)
{
    static const size_t sizes[] = {64, KIB(256), MIB(4)};
    tribus_bench_redis r;

    if (!tribus_bench_redis_start("bench fabric", server, &r)) {
        b->all_good = false;
        return;
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        tribus_bench_row row = {.kase = "spin",
                                .path = "redis",
                                .ops = &tribus_bench_redis_binary,
                                .config = &r,
                                .size_bytes = sizes[i],
                                .touched = true};

        (void)run_group(b, &row, 1);
    }
    tribus_bench_redis_stop(&r);
}

/* Each program of the folder prints rows of its own, measured by the same code. */
static void peers(bench *b, const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    if (dir == NULL) {
        fprintf(stderr, "tribus bench fabric: %s: no such folder; make bench-peers\n",
                folder);
        b->all_good = false;
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        char command[4096];

        if (strncmp(entry->d_name, "peer_", 5) != 0)
            continue;
        (void)snprintf(command, sizeof(command), "'%s/%s' %s %g %s", folder, entry->d_name,
                       b->json ? "--json" : "--table", b->seconds,
                       b->realtime ? "--realtime" : "");
        (void)fflush(stdout);
        if (system(command) != 0)
            fprintf(stderr, "tribus bench fabric: %s failed\n", entry->d_name);
    }
    (void)closedir(dir);
}

static bool wanted(const char *only, const char *what)
{
    return only == NULL || strcmp(only, what) == 0;
}

int tribus_cli_bench_fabric(int argc, char **argv)
{
    bench b = {.seconds = 0.5, .all_good = true};
    const char *folder = NULL, *server = "redis-server", *only = NULL;
    bool no_redis = false, hold = false;
    int64_t loops = 0, slots = 0, rounds = tribus_bench_pair_rounds();
    int exit_code, latency = -1;
    const tribus_cli_usage usage = {
        "bench fabric", "[--json] [--seconds N] [--peers FOLDER]",
        "How near the fabric is to the floor: one cache line carrying 56 bytes between two "
        "cores,\nbare slots, a bare futex, a bare loop. With --peers also what `make "
        "bench-peers` built.",
        "  tribus bench fabric --peers build/peers --json"};
    const tribus_cli_option options[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &b.json},
        {"--seconds", "N", "to measure each row (0.5)", TRIBUS_CLI_REAL, &b.seconds},
        {"--rounds", "N", "of rows that are compared, 1 to 5 (5)", TRIBUS_CLI_INT, &rounds},
        {"--peers", "FOLDER", "run the programs peer_* there, too", TRIBUS_CLI_TEXT,
         &folder},
        {"--only", "PART", "spin, handover, block, streams, loan, counting, death or peers",
         TRIBUS_CLI_TEXT, &only},
        {"--no-redis", NULL, "leave the Redis rows out", TRIBUS_CLI_FLAG, &no_redis},
        {"--realtime", NULL, "under SCHED_FIFO: nothing else runs meanwhile",
         TRIBUS_CLI_FLAG, &b.realtime},
        {"--redis-server", "PROGRAM", "to start (redis-server)", TRIBUS_CLI_TEXT, &server},
        {"--slots", "N", "of the regions; 0: as the region chooses (0)", TRIBUS_CLI_INT,
         &slots},
        {"--hold-latency", NULL, "hold /dev/cpu_dma_latency at 0", TRIBUS_CLI_FLAG, &hold},
        {"--loan-loop", "N", "only loan slots N times, to count instructions",
         TRIBUS_CLI_INT, &loops},
    };

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &exit_code))
        return exit_code;
    if (loops > 0)
        return loan_loop(loops);
    if (!tribus_bench_pair_set_rounds(rounds))
        return TRIBUS_EXIT_USAGE;
    if (b.realtime)
        tribus_bench_pair_realtime();
    if (slots < 0 || slots > 65536)
        return tribus_cli_complain("bench fabric", "--slots: 0..65536");
    tribus_bench_ring_slots((uint32_t)slots);
    if (tribus_os_core_count() < 2)
        return tribus_cli_complain("bench fabric", "needs two cores, this machine has one");
    if (hold && tribus_doorbell_hold_latency(&latency) != TRIBUS_OK)
        return tribus_cli_fail("bench fabric");
    if (!b.json)
        tribus_bench_pair_print_head();
    if (wanted(only, "spin")) {
        spin_small(&b);
        spin_large(&b, KIB(4), 64);
        spin_large(&b, KIB(256), 8);
        spin_large(&b, MIB(4), 2);
    }
    if (wanted(only, "handover"))
        handover(&b);
    if (wanted(only, "block"))
        block(&b);
    if (wanted(only, "streams"))
        streams(&b);
    if (wanted(only, "loan"))
        loan(&b);
    if (wanted(only, "counting"))
        counting(&b);
    if (wanted(only, "death"))
        death(&b);
    if (!no_redis && wanted(only, "peers"))
        redis(&b, server);
    if (folder != NULL)
        peers(&b, folder);
    if (latency >= 0)
        (void)close(latency);
    return b.all_good ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}
