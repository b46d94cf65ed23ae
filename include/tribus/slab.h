/* slab.h -- loaned slots of several sizes in memory of a device, kept by the agent.
 *
 * Use it to   hand tensors that lie on a card from process to process: slots are loaned,
 *             filled by kernels, given to holders and released, as those of a region.
 * Not for     ordering the work of streams on a slot: that is a timeline (fabric.h), which a
 *             descriptor names beside the slot.
 *
 * Memory      Two objects of the agent: NAME, host memory with who holds what, and NAME/mem,
 *             the device's memory as a descriptor. Imported once a process. A slab that stays
 *             outlives its creator: who is started again opens it as writer and finds its
 *             half-made loans free. The bytes are given back when the objects are removed
 *             and the last process has closed.
 * Threads     Those of a region: one owner, a handle belongs to one thread. A session has one
 *             handle of a slab at a time: the mapping is the session's.
 * Trust       The layout is copied, checked, used; so is every reference. Readers map the
 *             device's memory read-only, which a card enforces.
 * Cost        As a region's: nothing here touches the device after open.
 */
#ifndef TRIBUS_SLAB_H
#define TRIBUS_SLAB_H

#include "tribus/device.h"
#include "tribus/session.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_SLAB_CLASSES 8u

typedef struct tribus_slab tribus_slab;

typedef struct tribus_slab_cfg {
    const char *name;                               /* at most 59 characters */
    tribus_region_cfg classes[TRIBUS_SLAB_CLASSES]; /* slot_bytes ascending; slots >= 1 */
    uint32_t class_count;                           /* 1.. */
    int stays;                                      /* nonzero: outlives its creator */
} tribus_slab_cfg;

/* Make a slab on the device and be its owner. session and device are borrowed until close.
 * out: owned by the caller. Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_EXISTS (open it as
 * TRIBUS_WRITER, if it was yours), TRIBUS_NO_MEMORY, TRIBUS_FULL, TRIBUS_PEER_LOST,
 * TRIBUS_TIMEOUT, TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_slab_create(tribus_session *session,
                                                   tribus_device *device,
                                                   const tribus_slab_cfg *cfg,
                                                   tribus_slab **out);

/* Open one that is there, on a device of its kind: as owner (TRIBUS_WRITER, one, after the
 * one before is dead) or as a holder (TRIBUS_READER), registered with the agent.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_EMPTY (not laid out yet: try again),
 * TRIBUS_BAD_ARG, TRIBUS_CORRUPT, TRIBUS_VERSION, TRIBUS_FULL (62 holders),
 * TRIBUS_PEER_LOST, TRIBUS_TIMEOUT, TRIBUS_NO_MEMORY, TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_slab_open(tribus_session *session,
                                                 tribus_device *device, const char *name,
                                                 tribus_end end, tribus_slab **out);

/* remove nonzero (owner): the agent lets go of it, too. A holder holds no more. NULL is
 * allowed. */
void tribus_slab_close(tribus_slab *slab, int remove);

/* Our number as a holder; the bit of it is what the owner gives. */
uint32_t tribus_slab_holder(const tribus_slab *slab);

/* Owner: a free slot of the smallest class that has `bytes` and one to spare. *mem: its
 * address on the device. Returns TRIBUS_OK, TRIBUS_FULL or TRIBUS_BAD_ARG (no class is that
 * large). */
TRIBUS_MUST_CHECK tribus_status tribus_slab_loan(tribus_slab *slab, uint64_t bytes,
                                                 tribus_slot_ref *out, void **mem);

/* As the calls of a region of the same names, fabric.h. */
TRIBUS_MUST_CHECK tribus_status tribus_slab_commit(tribus_slab *slab,
                                                   const tribus_slot_ref *ref,
                                                   uint64_t holders);
TRIBUS_MUST_CHECK tribus_status tribus_slab_receive(tribus_slab *slab,
                                                    const tribus_slot_ref *ref,
                                                    const void **mem);
TRIBUS_MUST_CHECK tribus_status tribus_slab_release(tribus_slab *slab,
                                                    const tribus_slot_ref *ref);

/* Owner: take back what dead holders held; *slots (may be NULL): how many are free because
 * of it. Returns as tribus_session_reclaim(). */
TRIBUS_MUST_CHECK tribus_status tribus_slab_reclaim(tribus_slab *slab, uint32_t *slots);

/* Slots of all classes that are neither loaned nor held. */
uint32_t tribus_slab_free_slots(const tribus_slab *slab);

#ifdef __cplusplus
}
#endif

#endif
