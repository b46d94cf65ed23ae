/* fabric.h -- shared memory between processes of one host: region, slot, ring, topic,
 * timeline, doorbell.
 *
 * Use it to   hand bytes to another process without copying them and without the kernel.
 * Not for     finding the other process or getting memory: that is session.h.
 *
 * Memory      Every thing here is laid out inside memory that the caller mapped (a region
 *             of the agent's, or any mapping shared by a test), at a multiple of 64.
 *             Offsets and counters only, never pointers, so each process may map it at a
 *             different address. The memory is borrowed and must outlive every handle.
 *
 * Threads     A handle belongs to the thread that opened it. Who may hold one is said at
 *             each thing: one writer, one reader, many readers.
 *
 * Trust       The other side may be buggy, dead or hostile. open() checks every field once
 *             and keeps its own copy; afterwards the shared copy is not believed. Words
 * that change are copied, then checked, then used: nonsense gives TRIBUS_CORRUPT.
 *
 * Cost        Nothing allocates, blocks or enters the kernel but create, open, close, what
 *             ends in _wait, and the press of a doorbell on which somebody sleeps.
 */
#ifndef TRIBUS_FABRIC_H
#define TRIBUS_FABRIC_H

#include "tribus/base.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_CACHE_LINE_BYTES 64u

/* ======================== doorbell: how a waiter is woken ========================
 * One word in shared memory, any number of pressers and sleepers. Where everyone polls, a
 * press costs one locked instruction and no system call. */

typedef struct tribus_doorbell_shm tribus_doorbell_shm; /* 64 bytes, 64-byte aligned */

#define TRIBUS_DOORBELL_BYTES 64u

/* How a waiter spends its time. */
typedef struct tribus_wait_cfg {
    int64_t spin_ns; /* poll this long before sleeping; 0: 20 us; negative: never sleep */
    int64_t timeout_ns; /* give up after this; negative: no limit, 0: look once */
} tribus_wait_cfg;

/* Lay out a doorbell nobody sleeps on. mem: 64 zeroed or unused bytes. */
void tribus_doorbell_create(void *mem);

/* Wake every sleeper. Call after publishing what they wait for. */
void tribus_doorbell_press(tribus_doorbell_shm *bell);

/* What a waiter looks for: returns nonzero when there is something to do. */
typedef int (*tribus_ready_fn)(void *context);

/* The same for one of several who publish a part each: wake sleepers only if ready(context),
 * that is when all parts are there. It is called only when somebody sleeps, after the press
 * is counted, so of two pressers at the same time one sees the other's part. A sleeper that
 * waits for a part alone is not woken: let all sleepers of this bell wait for the whole. */
void tribus_doorbell_press_if(tribus_doorbell_shm *bell, tribus_ready_fn ready,
                              void *context);

/* Spin, then sleep, until ready(context) or the timeout. bells: 1..128 doorbells, any of
 * which announces a change. Returns TRIBUS_OK (ready), TRIBUS_TIMEOUT, TRIBUS_BAD_ARG,
 * TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_doorbell_wait(tribus_doorbell_shm *const *bells,
                                                     uint32_t count, tribus_ready_fn ready,
                                                     void *context,
                                                     const tribus_wait_cfg *cfg);

/* The same for who expects nothing soon: without a press it looks again after step_ns, where
 * tribus_doorbell_wait() looks 20 times a second in case that a presser died between publishing
 * and pressing. */
TRIBUS_MUST_CHECK tribus_status tribus_doorbell_wait_long(
    tribus_doorbell_shm *const *bells, uint32_t count, tribus_ready_fn ready, void *context,
    const tribus_wait_cfg *cfg, int64_t step_ns);

/* To sleep in an event loop instead: arm the bell, look once more at what you wait for, then
 * poll the eventfd. It fires at the next press by anyone who was given it with a set_event()
 * call, and no longer until the bell is armed again. */
void tribus_doorbell_arm(tribus_doorbell_shm *bell);

/* Press; when somebody sleeps, also write to an eventfd. event: -1 for none. */
void tribus_doorbell_press_event(tribus_doorbell_shm *bell, int event);

/* Where the pressers cannot be given a descriptor: a thread of ours sleeps on the bells and
 * fires an eventfd of this process. One wake-up slower than a direct one. */
typedef struct tribus_watch tribus_watch;

/* bells: 1..127, borrowed until close. The watch starts disarmed.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_watch_open(tribus_doorbell_shm *const *bells,
                                                  uint32_t count, tribus_watch **out);
void tribus_watch_close(tribus_watch *watch);

/* The eventfd, non-blocking, owned by the watch. */
int tribus_watch_fd(const tribus_watch *watch);

/* Clear the eventfd and fire it at the next press of a bell, or after 50 ms for a look
 * without reason. After this call look once more at what you wait for, then poll. */
void tribus_watch_arm(tribus_watch *watch);

/* Keep the cores from sleeping deeply while *fd is open: a blocking wake costs 2.6 us
 * instead of 25. Costs power. Needs the right to write /dev/cpu_dma_latency.
 * fd: owned by the caller, close(). Returns TRIBUS_OK, TRIBUS_REFUSED or TRIBUS_NOT_FOUND. */
TRIBUS_MUST_CHECK tribus_status tribus_doorbell_hold_latency(int *fd);

/* ======================== timeline: a counter that only grows ========================
 * Any number of waiters; advanced by whoever owns the thing it describes. 64-bit value and
 * a doorbell, 128 bytes. INT64_MAX means poisoned: the producer failed, every wait
 * completes. */

#define TRIBUS_TIMELINE_BYTES  128u
#define TRIBUS_TIMELINE_POISON INT64_MAX

typedef struct tribus_timeline_shm tribus_timeline_shm;

/* Lay out a timeline at `value` >= 0. Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_timeline_create(void *mem, size_t bytes,
                                                       int64_t value);

/* Check that mem holds a timeline. *out points into mem. Returns TRIBUS_OK, TRIBUS_CORRUPT.
 */
TRIBUS_MUST_CHECK tribus_status tribus_timeline_open(void *mem, size_t bytes,
                                                     tribus_timeline_shm **out);

/* Current value; TRIBUS_TIMELINE_POISON when poisoned. Acquire: what was written before the
 * advance is visible. */
int64_t tribus_timeline_get(const tribus_timeline_shm *t);

/* The doorbell that advance and poison press, to wait for it together with others. */
tribus_doorbell_shm *tribus_timeline_bell(tribus_timeline_shm *t);

/* Raise to `value`; a lower or equal value changes nothing. Release. Wakes waiters.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (value < 0 or INT64_MAX) or TRIBUS_POISONED. */
TRIBUS_MUST_CHECK tribus_status tribus_timeline_advance(tribus_timeline_shm *t,
                                                        int64_t value);

/* Poison: every present and future wait returns TRIBUS_POISONED. */
void tribus_timeline_poison(tribus_timeline_shm *t);

/* Wait until the value is at least `value`.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT, TRIBUS_POISONED or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_timeline_wait(tribus_timeline_shm *t, int64_t value,
                                                     const tribus_wait_cfg *cfg);

/* Wait until all (all != 0) or any of count (1..128) timelines reached their values.
 * *which: for any, the index of one that has. Returns as tribus_timeline_wait(). */
TRIBUS_MUST_CHECK tribus_status tribus_timeline_wait_many(tribus_timeline_shm *const *t,
                                                          const int64_t *values,
                                                          uint32_t count, int all,
                                                          const tribus_wait_cfg *cfg,
                                                          uint32_t *which);

/* ======================== counters: what one end of a link did ========================
 * One writer, the process whose end it is; everybody else maps them read-only. Give them to
 * a ring, topic or region with its set_counters(); without, counting costs nothing. */

#define TRIBUS_HISTOGRAM_BYTES 9280u
#define TRIBUS_COUNTERS_BYTES  (192u + TRIBUS_HISTOGRAM_BYTES)

typedef enum tribus_counter {
    TRIBUS_COUNT_MESSAGES = 0,     /* committed (writer) or released (reader) */
    TRIBUS_COUNT_BYTES_BY_REF = 1, /* handed over in slots, not copied */
    TRIBUS_COUNT_BYTES_COPIED = 2, /* carried inside cells */
    TRIBUS_COUNT_WAITS = 3,        /* calls of _wait that did not find it ready */
    TRIBUS_COUNT_WAKES = 4,        /* of those, how many ended ready */
    TRIBUS_COUNT_LAPS = 5,         /* times a reader was lapped */
    TRIBUS_COUNT_LOST = 6,         /* messages lost by that */
    TRIBUS_COUNT_REDELIVERED = 7,  /* messages offered again after a crash */
    TRIBUS_COUNT_FULL = 8,         /* claims or loans refused for want of room */
    TRIBUS_COUNT_OVERWRITTEN = 9,  /* messages overwritten before they were read */
    TRIBUS_COUNT_CORRUPT = 10,     /* nonsense found in shared memory */
    TRIBUS_COUNT_RECLAIMED = 11,   /* slots taken back from the dead */
    TRIBUS_COUNTS = 12
} tribus_counter;

/* "messages", "bytes_by_ref", ...: for people and metrics. Never NULL. */
const char *tribus_counter_name(tribus_counter which);

typedef struct tribus_counters tribus_counters; /* in shared memory */
typedef struct tribus_histogram tribus_histogram;

/* Lay out zeroed counters and a latency histogram. name: at most 55 bytes are kept.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_counter_create(void *mem, size_t bytes,
                                                      const char *name,
                                                      tribus_counters **out);

/* Look at counters, possibly in a read-only mapping. Returns TRIBUS_OK, TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_counter_open(const void *mem, size_t bytes,
                                                    const tribus_counters **out);
void tribus_counter_add(tribus_counters *c, tribus_counter which, uint64_t n);
uint64_t tribus_counter_get(const tribus_counters *c, tribus_counter which);
/* Copies the name, always ended by a zero. buf: 56 bytes. */
void tribus_counter_label(const tribus_counters *c, char buf[56]);
tribus_histogram *tribus_counter_latency(tribus_counters *c);
const tribus_histogram *tribus_counter_latency_of(const tribus_counters *c);

/* A histogram of times: log-linear, 32 steps an octave, so a value is kept within 3.2 %,
 * from 0 to 2^40 ns (18 minutes; longer ones count as that). One writer. */
TRIBUS_MUST_CHECK tribus_status tribus_histogram_create(void *mem, size_t bytes,
                                                        tribus_histogram **out);
TRIBUS_MUST_CHECK tribus_status tribus_histogram_open(const void *mem, size_t bytes,
                                                      const tribus_histogram **out);
void tribus_histogram_record(tribus_histogram *h, int64_t ns);

typedef struct tribus_histogram_values {
    uint64_t count;
    uint64_t sum_ns; /* within 1.6 % */
    uint64_t max_ns;
    uint64_t p50_ns, p90_ns, p99_ns, p999_ns;
} tribus_histogram_values;

/* The value below which fraction q (0..1) of what was recorded lies; 0 when empty. */
uint64_t tribus_histogram_quantile_ns(const tribus_histogram *h, double q);
void tribus_histogram_read(const tribus_histogram *h, tribus_histogram_values *out);
/* Count recorded in values <= ns (to the step), for cumulative buckets of metrics. */
uint64_t tribus_histogram_count_below(const tribus_histogram *h, uint64_t ns);

/* ======================== ring: one writer, one reader ========================
 * Fixed cells of cell_bytes (a multiple of 64). Each begins with an 8-byte sequence word,
 * so a 64-byte cell carries 56 bytes and costs one cache line in total. The reader's
 * position lives in the ring: a reader that dies is succeeded by one that opens the ring
 * again and is offered what the dead one had not released, marked redelivered. */

typedef struct tribus_ring tribus_ring; /* this process's handle */

typedef enum tribus_end { TRIBUS_WRITER = 1, TRIBUS_READER = 2 } tribus_end;

/* Bytes a ring needs; 0 when out of range. cells: power of two, 2..2^24; cell_bytes:
 * multiple of 64, at most 1 MiB. */
size_t tribus_ring_bytes(uint32_t cells, uint32_t cell_bytes);

/* Lay out an empty ring, before anyone opens it. Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_ring_create(void *mem, size_t bytes, uint32_t cells,
                                                   uint32_t cell_bytes);

/* What happens to a writer whose ring is full. */
typedef enum tribus_flow {
    TRIBUS_FLOW_KEEP = 0,     /* claim returns FULL, claim_wait waits; nothing is lost */
    TRIBUS_FLOW_OVERWRITE = 1 /* the oldest is overwritten, and counted at both ends */
} tribus_flow;

/* As tribus_ring_create() with a flow. In a ring that overwrites both ends copy: the writer
 * fills private memory, the reader is given a private copy, no batches; a claim never
 * returns FULL. */
TRIBUS_MUST_CHECK tribus_status tribus_ring_create_flow(void *mem, size_t bytes,
                                                        uint32_t cells, uint32_t cell_bytes,
                                                        tribus_flow flow);

/* Take one end. out: owned by the caller, tribus_ring_close().
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_NO_MEMORY, TRIBUS_VERSION, TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_ring_open(void *mem, size_t bytes, tribus_end end,
                                                 tribus_ring **out);
void tribus_ring_close(tribus_ring *ring);

/* Bytes a cell carries: cell_bytes - 8. */
uint32_t tribus_ring_payload_bytes(const tribus_ring *ring);

/* Writer: borrow the next free cell until commit. Claiming again before a commit returns
 * the same cell. Returns TRIBUS_OK, TRIBUS_FULL, TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_ring_claim(tribus_ring *ring, void **out);
void tribus_ring_commit(tribus_ring *ring);

/* As claim, but wait for room. Returns also TRIBUS_TIMEOUT, TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_ring_claim_wait(tribus_ring *ring,
                                                       const tribus_wait_cfg *cfg,
                                                       void **out);

/* Writer: the same for up to `want` cells at once. Cell i of the batch is at
 * tribus_ring_batch_at(ring, i). *got 1..want. commit_batch shows the first n of them. */
TRIBUS_MUST_CHECK tribus_status tribus_ring_claim_batch(tribus_ring *ring, uint32_t want,
                                                        uint32_t *got);
void *tribus_ring_batch_at(tribus_ring *ring, uint32_t i);
void tribus_ring_commit_batch(tribus_ring *ring, uint32_t n);

/* Reader: borrow the oldest message until release. redelivered may be NULL; set to nonzero
 * when an earlier reader was offered it and died. Returns TRIBUS_OK, TRIBUS_EMPTY,
 * TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_ring_peek(tribus_ring *ring, const void **out,
                                                 int *redelivered);
void tribus_ring_release(tribus_ring *ring);

/* Reader: up to `want` messages at once, at tribus_ring_batch_at(); release_batch gives the
 * first n back. */
TRIBUS_MUST_CHECK tribus_status tribus_ring_peek_batch(tribus_ring *ring, uint32_t want,
                                                       uint32_t *got);
void tribus_ring_release_batch(tribus_ring *ring, uint32_t n);

/* Messages ever committed (writer) or released (reader), by this end and those before it. */
uint64_t tribus_ring_position(const tribus_ring *ring);

/* Copy the slot reference at byte `offset` of each message whose cell still holds it
 * (writer, newest first) or that is not released (reader, oldest first), at most `most`.
 * They are unchecked bytes. Returns how many. For recovery: see tribus_region_withdraw(). */
struct tribus_slot_ref;
uint32_t tribus_ring_refs(const tribus_ring *ring, size_t offset,
                          struct tribus_slot_ref *refs, uint32_t most);

/* Reader of a ring that overwrites: messages lost by that since it opened. */
uint64_t tribus_ring_lost(const tribus_ring *ring);

/* Messages committed and not yet released, as this end sees it. */
uint64_t tribus_ring_waiting(const tribus_ring *ring);

/* The doorbell that commit presses (reader sleeps on it) and the one that release presses
 * (writer sleeps on it). They point into the ring's memory, or to the shared bell of a set
 * of lanes given by tribus_ring_set_bell(). */
tribus_doorbell_shm *tribus_ring_bell(tribus_ring *ring, tribus_end sleeper);

/* Use this bell for "a message came" instead of the ring's own: many rings, one reader. Set
 * it at both ends. bell: borrowed, shared memory that both sides can see. NULL: never press
 * at this end, commit or release, for two sides that both spin; a sleeper would then find
 * out only when it looks again, every 50 ms. */
void tribus_ring_set_bell(tribus_ring *ring, tribus_doorbell_shm *bell);

/* Also fire this eventfd when a press of ours finds a sleeper. -1: none. Borrowed. */
void tribus_ring_set_event(tribus_ring *ring, int event);

/* Count into c from now on; NULL: do not count. c: borrowed, this process is its writer. */
void tribus_ring_set_counters(tribus_ring *ring, tribus_counters *c);

/* Wait for a message (reader) or a free cell (writer).
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT, TRIBUS_CORRUPT, TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_ring_wait(tribus_ring *ring,
                                                 const tribus_wait_cfg *cfg);

/* ======================== lanes: many writers, many readers ========================
 * A ring from every writer to every reader, and one doorbell a reader. Order is kept per
 * writer and reader. A message goes to one reader: the next in turn with room, or the one
 * the writer names. Everything a ring promises holds for each lane. */

typedef struct tribus_lanes tribus_lanes;

typedef struct tribus_lanes_cfg {
    uint32_t writers, readers;  /* 1..64 each, at most 1024 lanes in all */
    uint32_t cells, cell_bytes; /* of each lane, as for a ring */
} tribus_lanes_cfg;

/* 0 when out of range. */
size_t tribus_lanes_bytes(const tribus_lanes_cfg *cfg);
TRIBUS_MUST_CHECK tribus_status tribus_lanes_create(void *mem, size_t bytes,
                                                    const tribus_lanes_cfg *cfg);

/* number: which writer or reader this is, from 0, given by whoever wires them together; one
 * process at a time may be it. Returns as tribus_ring_open(). */
TRIBUS_MUST_CHECK tribus_status tribus_lanes_open(void *mem, size_t bytes, tribus_end end,
                                                  uint32_t number, tribus_lanes **out);
void tribus_lanes_close(tribus_lanes *lanes);

#define TRIBUS_LANES_NEXT UINT32_MAX /* whichever is next in turn */

/* Writer: the lane to a reader, or the next in turn that has room; use its claim, commit and
 * batch calls. Reader: the lane from a writer, or the next in turn that has a message; use
 * its peek, release and batch calls. *out: borrowed until close.
 * Returns TRIBUS_OK, TRIBUS_FULL or TRIBUS_EMPTY (none in turn has), TRIBUS_CORRUPT,
 * TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_lanes_select(tribus_lanes *lanes, uint32_t number,
                                                    tribus_ring **out);

/* Wait until select(TRIBUS_LANES_NEXT) finds one. Returns TRIBUS_OK, TRIBUS_TIMEOUT, TRIBUS_SYSTEM, TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_lanes_wait(tribus_lanes *lanes,
                                                  const tribus_wait_cfg *cfg);

/* Reader: the doorbell of all its lanes. */
tribus_doorbell_shm *tribus_lanes_bell(tribus_lanes *lanes);

/* Call on every lane of this end. */
void tribus_lanes_set_counters(tribus_lanes *lanes, tribus_counters *c);

/* ======================== topic: one writer, many readers ========================
 * Readers hold no claim: they copy a message out and are told when the writer lapped them.
 */

typedef struct tribus_topic tribus_topic;

/* cells: power of two, 2..2^24; cell_bytes: multiple of 64, at most 1 MiB, 8 of them are
 * the sequence word. Larger messages belong in a region's slot. */
size_t tribus_topic_bytes(uint32_t cells, uint32_t cell_bytes);
TRIBUS_MUST_CHECK tribus_status tribus_topic_create(void *mem, size_t bytes, uint32_t cells,
                                                    uint32_t cell_bytes);

/* Open as writer (one) or reader (any number). A reader may map the memory read-only; then
 * it cannot announce that it sleeps, and tribus_topic_wait() polls in steps of 1 ms at
 * most. A reader starts at the next message; see tribus_topic_rewind(). */
TRIBUS_MUST_CHECK tribus_status tribus_topic_open(void *mem, size_t bytes, tribus_end end,
                                                  int read_only, tribus_topic **out);
void tribus_topic_close(tribus_topic *topic);
uint32_t tribus_topic_payload_bytes(const tribus_topic *topic);

/* Writer: borrow room for the next payload, always there (private memory of the handle, so
 * that readers never see a half-filled cell); then show `bytes` of it. */
void *tribus_topic_claim(tribus_topic *topic);

/* bytes: 0..payload_bytes; more is cut to that. */
void tribus_topic_commit(tribus_topic *topic, uint32_t bytes);

/* Writer: fill up to `want` payloads, then show the first n with one press. *got: 1..want,
 * at most 64 and at most the cells. Payload i is at tribus_topic_batch_at(topic, i), sizes[i] bytes of it. */
void tribus_topic_claim_batch(tribus_topic *topic, uint32_t want, uint32_t *got);
void *tribus_topic_batch_at(tribus_topic *topic, uint32_t i);
void tribus_topic_commit_batch(tribus_topic *topic, uint32_t n, const uint32_t *sizes);

/* Reader: copy up to `want` messages to buf, message i at i * stride (at least
 * payload_bytes). sizes: `want` of them. Returns as tribus_topic_read(); a batch ends before
 * a loss, so *lost lies in front of the first. */
TRIBUS_MUST_CHECK tribus_status tribus_topic_read_batch(tribus_topic *topic, void *buf,
                                                        size_t stride, uint32_t want,
                                                        uint32_t *got, uint32_t *sizes,
                                                        uint64_t *lost);

/* Reader: copy the next message. buf: at least payload_bytes. *bytes: its size.
 * *lost: messages overwritten before this reader got to them, since the last call (exact).
 * Returns TRIBUS_OK (also when *lost > 0: the message is the oldest that survived, or a later
 * one where that is overwritten as fast as it is copied), TRIBUS_EMPTY (also when 256 copies
 * in a row were overwritten: the loss is told with the next message) or TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_topic_read(tribus_topic *topic, void *buf,
                                                  uint32_t *bytes, uint64_t *lost);

/* Reader: go back to the last n messages that are still there (0: the next one to come).
 * Returns how many will be read again. */
uint64_t tribus_topic_rewind(tribus_topic *topic, uint64_t n);

/* Reader: go to a position, counted since the topic was created: of the next message to read.
 * Returns the position reached: a later one when that is overwritten (the difference is not
 * told as lost again), the end when no message in front of it was ever published. Unlike
 * rewind(), what is published meanwhile does not shift it. */
uint64_t tribus_topic_seek(tribus_topic *topic, uint64_t position);

/* Messages ever published. */
uint64_t tribus_topic_published(const tribus_topic *topic);

/* NULL where the mapping is read-only. */
tribus_doorbell_shm *tribus_topic_bell(tribus_topic *topic);
/* Also fire this eventfd when a press of ours finds a sleeper. -1: none. Borrowed. */
void tribus_topic_set_event(tribus_topic *topic, int event);
void tribus_topic_set_counters(tribus_topic *topic, tribus_counters *c);
TRIBUS_MUST_CHECK tribus_status tribus_topic_wait(tribus_topic *topic,
                                                  const tribus_wait_cfg *cfg);

/* ============ region: slots that are loaned and handed over ============
 * One owner loans slots and fills them; up to 62 holders receive
 * them by number, in any order, and release them. A slot's state is a set of holders, not a
 * count, so that what a dead holder held can be taken from exactly it.
 *
 * Holders may loan, too. Two that answer each other should share one region, each a holder:
 * a loan prefers the slot that this handle was the last to release, so the answer is written
 * where the question was, in lines that are in this core's cache, and half as many move as
 * with a region for each direction (docs/fabric-notes.md, 17). What never comes back to the
 * one who loans rotates, within the cache. */

typedef struct tribus_region tribus_region;

typedef struct tribus_region_cfg {
    uint64_t slot_bytes; /* rounded up to a multiple of 64 */
    uint32_t slots;      /* 1..65536; 0: chosen so that rotation stays within the cache */
    uint32_t outside; /* nonzero: the slots' bytes are not in mem but elsewhere, in memory
                            of a device: open with tribus_region_open_outside() */
} tribus_region_cfg;

/* What travels in a ring cell to name a slot: 32 bytes, no pointers. */
typedef struct tribus_slot_ref {
    uint32_t region; /* the region's number in the agent's registry */
    uint32_t slot;
    uint64_t generation; /* grows each time the slot is loaned */
    uint64_t offset;     /* of the first byte inside the slot */
    uint64_t bytes;
} tribus_slot_ref;

/* Bytes of memory; 0 when out of range. Fills in cfg->slots when it was 0. */
size_t tribus_region_bytes(tribus_region_cfg *cfg);
TRIBUS_MUST_CHECK tribus_status tribus_region_create(void *mem, size_t bytes,
                                                     const tribus_region_cfg *cfg,
                                                     uint32_t region_number);

/* Open as owner (TRIBUS_WRITER, one) or holder (TRIBUS_READER). holder: 0..61, this
 * reader's number, given by whoever wired the processes together; ignored for the owner. An
 * owner that opens again after a crash finds its half-made loans free. */
TRIBUS_MUST_CHECK tribus_status tribus_region_open(void *mem, size_t bytes, tribus_end end,
                                                   uint32_t holder, tribus_region **out);

/* The same for a region whose slots lie outside: data, as this process's device reaches slot
 * 0, and how many bytes are there. Only the region's words in mem are touched, never data. */
typedef struct tribus_region_data {
    void *mem;
    size_t bytes;
} tribus_region_data;

TRIBUS_MUST_CHECK tribus_status tribus_region_open_outside(void *mem, size_t bytes,
                                                           tribus_end end, uint32_t holder,
                                                           const tribus_region_data *data,
                                                           tribus_region **out);
void tribus_region_close(tribus_region *region);
uint64_t tribus_region_slot_bytes(const tribus_region *region);
uint32_t tribus_region_slots(const tribus_region *region);

/* Borrow a free slot to write: the one released last by this handle, if nobody else held it
 * and it is still free, else the next in rotation.
 * Returns TRIBUS_OK, TRIBUS_FULL (every slot is loaned or held). */
TRIBUS_MUST_CHECK tribus_status tribus_region_loan(tribus_region *region,
                                                   tribus_slot_ref *out, void **mem);

/* Who loaned it: make `holders` (a set of bits 0..61) hold it, and give up the loan. Call before
 * the reference is published in a ring; the ring's commit is what releases the bytes. An
 * empty set frees the slot. Returns TRIBUS_OK or TRIBUS_BAD_ARG (not on loan). */
TRIBUS_MUST_CHECK tribus_status tribus_region_commit(tribus_region *region,
                                                     const tribus_slot_ref *ref,
                                                     uint64_t holders);

/* Holder: the bytes of a slot this holder was given; checks number, generation, offset and
 * size. Returns TRIBUS_OK, TRIBUS_CORRUPT (out of range, not held by us, another
 * generation). */
TRIBUS_MUST_CHECK tribus_status tribus_region_receive(tribus_region *region,
                                                      const tribus_slot_ref *ref,
                                                      const void **mem);

/* Holder: give it back; free for the owner once nobody holds it.
 * Returns TRIBUS_OK or TRIBUS_CORRUPT (not held by us). */
TRIBUS_MUST_CHECK tribus_status tribus_region_release(tribus_region *region,
                                                      const tribus_slot_ref *ref);

/* Holder: write into what was received, to pass it on: one buffer that goes through a
 * pipeline stays in the caches, and no second slot is needed. Only while nobody else holds
 * it. Returns TRIBUS_OK, TRIBUS_REFUSED (others hold it, too), TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_region_reuse(tribus_region *region,
                                                    const tribus_slot_ref *ref, void **mem);

/* Holder: pass it on to other holders without copying: they hold it, we do not any more.
 * Only what the owner loaned: of the others nobody could tell whose it is when we die before
 * we publish it. Returns TRIBUS_OK, TRIBUS_BAD_ARG (to nobody), TRIBUS_REFUSED (loaned by a
 * holder: release it and loan one), TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_region_pass(tribus_region *region,
                                                   const tribus_slot_ref *ref,
                                                   uint64_t holders);

/* Owner, or any holder where there is none: take everything a dead holder held or had on loan.
 * Only after its death is certain. Returns the number of slots that nobody holds any more
 * because of it. */
uint32_t tribus_region_reclaim(tribus_region *region, uint32_t holder);

/* After the death of a giver, by its successor, as owner or under the same number: take from
 * `holder` what the giver loaned and gave to it, but it never received and was never told of. keep: the references in the cells of the giver's
 * ring to that holder, from tribus_ring_refs(); the holder may go on meanwhile. Returns as
 * tribus_region_reclaim(). */
uint32_t tribus_region_withdraw(tribus_region *region, uint32_t holder,
                                const tribus_slot_ref *keep, uint32_t count);

/* After the death of a holder, by its successor under the same number: release what it had
 * received, except `keep`, the references in messages that are offered again, from
 * tribus_ring_refs(). Holds when every holder releases the message first, then the slot.
 * Returns as tribus_region_reclaim(). */
uint32_t tribus_region_recover(tribus_region *region, const tribus_slot_ref *keep,
                               uint32_t count);

/* Holder: after the death of a giver that nobody succeeds, and after its ring was read to the
 * end: release what it loaned and gave to us without telling. giver: a holder's number; 62 or
 * more: the owner. Returns as tribus_region_reclaim(). */
uint32_t tribus_region_forget(tribus_region *region, uint32_t giver);

/* Slots that are neither loaned nor held. */
uint32_t tribus_region_free_slots(const tribus_region *region);
void tribus_region_set_counters(tribus_region *region, tribus_counters *c);

/* ============ slots: messages of any size through one ring ============
 * A message of at most tribus_slot_inline_bytes(), 48 in a cell of 64, lies in the ring's
 * cell beside its descriptor: one cache line, no slot. A larger one lies in a slot of the
 * smallest class that has room, and only its reference is in the cell. Neither is copied.
 * For one reader at a time: to give a slot to several, use a region. */

#define TRIBUS_SLOT_CLASSES 8u
#define TRIBUS_SLOT_ALIGN   4096u
#define TRIBUS_SLOT_INLINE                                                                 \
    UINT32_MAX /* region in the descriptor of a message in its cell */

typedef struct tribus_slots tribus_slots;

typedef struct tribus_slots_cfg {
    tribus_region_cfg classes[TRIBUS_SLOT_CLASSES]; /* slot_bytes ascending */
    uint32_t class_count; /* 0: 256 B, 4 KiB, 64 KiB and 1 MiB, slots as regions choose */
} tribus_slots_cfg;

/* Bytes of memory, of all classes; 0 when out of range. Fills in what was 0 in cfg. */
size_t tribus_slot_bytes(tribus_slots_cfg *cfg);

/* number: of the memory in the agent's registry, as for a region; never
 * TRIBUS_SLOT_INLINE. Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_slot_create(void *mem, size_t bytes,
                                                   const tribus_slots_cfg *cfg,
                                                   uint32_t number);

/* As tribus_region_open(), for all classes. One writer may serve several rings, one message
 * in hand at a time; so may a reader. out: owned by the caller, tribus_slot_close(). */
TRIBUS_MUST_CHECK tribus_status tribus_slot_open(void *mem, size_t bytes, tribus_end end,
                                                 uint32_t holder, tribus_slots **out);
void tribus_slot_close(tribus_slots *slots);

/* The largest message that lies in this ring's cells. */
uint32_t tribus_slot_inline_bytes(const tribus_ring *ring);

/* Writer: borrow room for a message of `bytes` in this ring until commit or give_up; *out at
 * a multiple of 8, in a slot of 64. Claiming again gives up what was claimed. Returns
 * TRIBUS_OK, TRIBUS_FULL (the ring, or every class that is large enough), TRIBUS_BAD_ARG (no
 * class is), TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_slot_claim(tribus_slots *slots, tribus_ring *ring,
                                                  uint64_t bytes, void **out);

/* Writer: show the first `bytes` of what was claimed to the reader of that ring, who opened
 * the slots as one of `holders` (a set of bits). Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_slot_commit(tribus_slots *slots, uint64_t bytes,
                                                   uint64_t holders);
void tribus_slot_give_up(tribus_slots *slots);

/* Reader: borrow the oldest message of this ring until release. redelivered: as
 * tribus_ring_peek(). Returns TRIBUS_OK, TRIBUS_EMPTY, TRIBUS_BAD_ARG, or TRIBUS_CORRUPT
 * (the descriptor is nonsense: release drops the message). */
TRIBUS_MUST_CHECK tribus_status tribus_slot_peek(tribus_slots *slots, tribus_ring *ring,
                                                 const void **out, uint64_t *bytes,
                                                 int *redelivered);

/* Reader: give back what was peeked last. Returns TRIBUS_OK, TRIBUS_BAD_ARG or
 * TRIBUS_CORRUPT (its slot was taken from us). */
TRIBUS_MUST_CHECK tribus_status tribus_slot_release(tribus_slots *slots);

/* After the death of the writer, by its successor, for each ring and its holder; after the
 * death of a reader, by its successor of the same number: as tribus_region_withdraw() and
 * tribus_region_recover() for all classes. *freed: slots nobody holds any more. Return
 * TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_slot_withdraw(tribus_slots *slots, tribus_ring *ring,
                                                     uint32_t holder, uint32_t *freed);
TRIBUS_MUST_CHECK tribus_status tribus_slot_recover(tribus_slots *slots, tribus_ring *ring,
                                                    uint32_t *freed);

/* The classes, smallest first, for tribus_session_reclaim_all() and counters: borrowed. */
tribus_region *const *tribus_slot_regions(const tribus_slots *slots, uint32_t *count);

/* Slots of all classes that are neither loaned nor held. */
uint32_t tribus_slot_free(const tribus_slots *slots);

/* ======================== place: where memory lies ========================
 * For whoever creates memory, right after mapping it. What cannot be had is not a fault: got
 * says what was. */

typedef struct tribus_place {
    int huge; /* wanted: try huge pages. got: nonzero where the kernel made some */
    int node; /* NUMA node, -1: do not care. got: the node of the first page, -1: unknown */
} tribus_place;

/* Ask for huge pages and a node, then touch every page, so that nothing faults later.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_place_memory(void *mem, size_t bytes,
                                                    const tribus_place *want,
                                                    tribus_place *got);

#ifdef __cplusplus
}
#endif

#endif
