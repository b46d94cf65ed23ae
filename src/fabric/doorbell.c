/* doorbell.c -- see fabric.h. Any number of pressers and sleepers on one 32-bit word.
 *
 *   bit 0       somebody may be asleep
 *   bits 1..31  presses, modulo 2^31
 *
 *   press   publish; old = word += 2; if (old & 1) { word &= ~1; wake everybody }
 *   sleep   seen = (word |= 1) | 1; look again; sleep while word == seen
 *
 * Why no wake-up is lost. Every change of the word is a read-modify-write, so all of them
 * are in one order and each continues the release sequence of those before it. Take a
 * publication and its press (the addition P) and a sleeper's announcement (the or S).
 *   P before S   S reads a value of P's release sequence (R1 -> A1), so the look after S
 *                finds what was published.
 *   S before P   P moves bits 1..31, so a sleeper not yet in the kernel finds word != seen
 *                and does not sleep. If it is in the kernel, bit 0 was set by S, and
 *                whoever cleared it since, be it P or a presser between S and P, wakes
 *                everybody after clearing it.
 * A flag without the count is not enough once there are two sleepers: the first announces
 * and looks; the presser clears and wakes nobody; the second sets the flag again; the first
 * then sleeps on a flag it takes for its own. tests/model/doorbell.pml finds that run when
 * it is built with -DNO_COUNT, and none in the protocol above.
 *
 * Sleepers never clear the bit on leaving: it might be another's. The price is one needless
 * wake call at the next press.
 *
 * 2^31 presses between S and the sleep would fool the comparison. So could a presser that
 * dies between publishing and pressing, and a hostile peer. Each sleep is therefore at most
 * TRIBUS_SLEEP_STEP_NS long, after which the sleeper looks again.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"
#include "fabric/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#define BELLS_MAX      128u
#define SPIN_DEFAULT   20000
#define POLLS_PER_LOOK 32u /* polls between two readings of the clock */

void tribus_doorbell_create(void *mem)
{
    struct tribus_doorbell_shm *bell = mem;

    tribus_store_rlx(&bell->word, 0u); /* before anybody knows of it */
}

void tribus_doorbell_press(tribus_doorbell_shm *bell)
{
    TRIBUS_STEP("doorbell press: before the count");
    /* R1 pairs with A1 in announce. */
    if ((tribus_add_ar(&bell->word, 2u) & 1u) != 0) {
        TRIBUS_STEP("doorbell press: before the flag");
        (void)tribus_and_ar(&bell->word, ~(uint32_t)1u);
        TRIBUS_STEP("doorbell press: before the wake");
        tribus_os_futex_wake(&bell->word, INT_MAX);
    }
}

void tribus_doorbell_press_if(tribus_doorbell_shm *bell, tribus_ready_fn ready,
                              void *context)
{
    /* R1 pairs with A1 in announce, and with itself: of two additions the later one continues
     * the release sequence of the earlier, so who makes it sees both publications. */
    if ((tribus_add_ar(&bell->word, 2u) & 1u) == 0 || ready(context) == 0)
        return;
    (void)tribus_and_ar(&bell->word, ~(uint32_t)1u);
    tribus_os_futex_wake(&bell->word, INT_MAX);
}

void tribus_doorbell_press_event(tribus_doorbell_shm *bell, int event)
{
    const uint64_t one = 1;

    /* R1 pairs with A1 in announce. */
    if ((tribus_add_ar(&bell->word, 2u) & 1u) != 0) {
        (void)tribus_and_ar(&bell->word, ~(uint32_t)1u);
        tribus_os_futex_wake(&bell->word, INT_MAX);
        if (event >= 0 && write(event, &one, sizeof(one)) < 0)
            return; /* full: it is readable already, which is all we want */
    }
}

static uint32_t announce(tribus_doorbell_shm *bell)
{
    /* A1 pairs with R1 in tribus_doorbell_press. */
    return tribus_or_ar(&bell->word, 1u) | 1u;
}

void tribus_doorbell_arm(tribus_doorbell_shm *bell)
{
    (void)announce(bell);
}

tribus_status tribus_doorbell_hold_latency(int *fd)
{
    const int32_t none = 0;
    const int device = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);

    if (device < 0)
        return tribus_error_set(errno == ENOENT ? TRIBUS_NOT_FOUND : TRIBUS_REFUSED,
                                "/dev/cpu_dma_latency cannot be opened: %s",
                                errno == ENOENT ? "this kernel has none"
                                                : "run as root or change its mode");
    if (write(device, &none, sizeof(none)) != (ssize_t)sizeof(none)) {
        (void)close(device);
        return tribus_error_set(TRIBUS_REFUSED, "/dev/cpu_dma_latency takes no value");
    }
    *fd = device;
    return TRIBUS_OK;
}

/* Poll until ready or until `spin_ns` of the time to the deadline are gone. */
static int spin(tribus_ready_fn ready, void *context, int64_t spin_ns, int64_t deadline_ns)
{
    const int64_t until = tribus_deadline_ns(spin_ns);

    for (;;) {
        int64_t now;

        for (uint32_t i = 0; i < POLLS_PER_LOOK; i++) {
            if (ready(context))
                return 1;
            tribus_relax();
        }
        now = tribus_now_ns();
        if (now >= until || now >= deadline_ns)
            return ready(context) != 0;
    }
}

static tribus_status check_args(tribus_doorbell_shm *const *bells, uint32_t count,
                                tribus_ready_fn ready, const tribus_wait_cfg *cfg)
{
    if (count == 0 || count > BELLS_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG, "wait on %u doorbells: 1..%u allowed",
                                count, BELLS_MAX);
    if (bells == NULL || ready == NULL || cfg == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "wait on doorbells: bells, ready or cfg is NULL");
    return TRIBUS_OK;
}

tribus_status tribus_doorbell_wait(tribus_doorbell_shm *const *bells, uint32_t count,
                                   tribus_ready_fn ready, void *context,
                                   const tribus_wait_cfg *cfg)
{
    return tribus_doorbell_wait_long(bells, count, ready, context, cfg,
                                     TRIBUS_SLEEP_STEP_NS);
}

tribus_status tribus_doorbell_wait_long(tribus_doorbell_shm *const *bells, uint32_t count,
                                        tribus_ready_fn ready, void *context,
                                        const tribus_wait_cfg *cfg, int64_t step_ns)
{
    _Atomic(uint32_t) *words[BELLS_MAX];
    uint32_t seen[BELLS_MAX];
    int64_t deadline_ns;
    tribus_status st = check_args(bells, count, ready, cfg);

    if (st != TRIBUS_OK)
        return st;
    if (ready(context))
        return TRIBUS_OK;
    if (cfg->timeout_ns == 0)
        return TRIBUS_TIMEOUT;
    deadline_ns = tribus_deadline_ns(cfg->timeout_ns);
    if (spin(ready, context, cfg->spin_ns == 0 ? SPIN_DEFAULT : cfg->spin_ns, deadline_ns))
        return TRIBUS_OK;
    for (;;) {
        const int64_t left_ns = tribus_deadline_left_ns(deadline_ns);

        if (left_ns == 0)
            return TRIBUS_TIMEOUT;
        for (uint32_t i = 0; i < count; i++) {
            words[i] = &bells[i]->word;
            seen[i] = announce(bells[i]);
        }
        TRIBUS_STEP("doorbell wait: announced");
        if (ready(context))
            return TRIBUS_OK;
        st = tribus_os_futex_wait_any(words, seen, count,
                                      left_ns < step_ns ? left_ns : step_ns);
        if (st != TRIBUS_OK && st != TRIBUS_TIMEOUT)
            return st;
        if (ready(context))
            return TRIBUS_OK;
    }
}
