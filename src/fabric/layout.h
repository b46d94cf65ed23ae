/* layout.h -- what every structure in shared memory begins with, and the doorbell's layout.
 *
 * docs/shared-layout.md draws all of them. Numbers are native-endian: the memory never
 * leaves the host. A change of any layout changes TRIBUS_FABRIC_VERSION. */
#ifndef TRIBUS_FABRIC_LAYOUT_H
#define TRIBUS_FABRIC_LAYOUT_H

#include "base/atomic.h"
#include "fabric/step.h"
#include "tribus/fabric.h"

#define TRIBUS_FABRIC_VERSION 2u

#define TRIBUS_MAGIC_RING     0x474e4952u /* "RING" */
#define TRIBUS_MAGIC_TOPIC    0x49504f54u /* "TOPI" */
#define TRIBUS_MAGIC_REGION   0x49474552u /* "REGI" */
#define TRIBUS_MAGIC_TIMELINE 0x454d4954u /* "TIME" */
#define TRIBUS_MAGIC_LANES    0x454e414cu /* "LANE" */
#define TRIBUS_MAGIC_LINK     0x4b4e494cu /* "LINK" */
#define TRIBUS_MAGIC_SLOTS    0x544f4c53u /* "SLOT" */

/* 0: what the structure is; stored last by create, with a release.   4: its version. */
typedef struct tribus_shm_head {
    _Atomic(uint32_t) magic;
    uint32_t version;
} tribus_shm_head;

_Static_assert(sizeof(tribus_shm_head) == 8, "layout");

/* How far past the oldest message a reader goes that was overtaken `tries` times in a row:
 * an eighth of the cells each time, until it is at the newest. */
static inline uint64_t tribus_catch_up_slack(uint64_t cells, uint32_t tries,
                                             uint64_t oldest, uint64_t end)
{
    const uint64_t want = (uint64_t)tries * cells / 8u;

    if (end - oldest > cells || end == oldest) /* the end is behind the cells */
        return 0;
    return want < end - oldest ? want : end - oldest - 1u;
}

/* One word on a line of its own. Bit 0: someone may sleep. Bits 1..31: presses, modulo
 * 2^31. */
struct tribus_doorbell_shm {
    _Atomic(uint32_t) word;
    uint32_t unused[15];
};

_Static_assert(sizeof(struct tribus_doorbell_shm) == TRIBUS_DOORBELL_BYTES, "layout");

/* The longest sleep without another look. A presser that is killed between publishing and
 * pressing leaves a message nobody announces; this bounds how long it can go unseen. */
#define TRIBUS_SLEEP_STEP_NS 50000000

#endif
