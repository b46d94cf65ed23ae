/* cuda_share.h -- a part of a card's multiprocessors for one domain: a green context.
 *
 * Use it to   keep the kernels of two domains on one card out of each other's way, where each
 *             domain has a host of its own.
 * Not for     memory or isolation: all else of the card is shared as before.
 *
 * Both hosts cut the card the same way: `first` multiprocessors, rounded up as the card wants
 * it, and the rest. So what the two take does not overlap although neither asks the other.
 */
#ifndef TRIBUS_DEVICE_CUDA_SHARE_H
#define TRIBUS_DEVICE_CUDA_SHARE_H

#include "device/cuda_context.h"

/* From here on the context's kernels run on its part only. Nothing may be queued yet.
 * first: fraction of the multiprocessors that the first part has, 0 < first < 1.
 * Returns TRIBUS_OK, TRIBUS_UNSUPPORTED (the driver has no green contexts, or the card cannot
 * be cut so), TRIBUS_NO_MEMORY or TRIBUS_SYSTEM; on a fault everything is as before. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_share_take(tribus_cuda_context *context,
                                                       double first, bool rest);

/* After the streams are closed. */
void tribus_cuda_share_close(tribus_cuda_context *context);

#endif
