/* registry.c -- see registry.h.
 *
 * A row is a sequence lock without fences. The writer makes the sequence odd, stores every
 * word with release, and makes it even again; a reader that sees any new word therefore
 * also sees the odd (or a later) sequence when it looks again, and throws its copy away.
 *
 * Ordering:
 *   R1 -> A1   word -> copy       a new word implies that the odd sequence is visible
 *   R2 -> A2   sequence -> copy   an even sequence implies that its words are visible
 *   R3 -> A3   life -> alive      whoever sees a participant alive sees what it left to see
 *   R4 -> A4   revision           whoever sees the revision sees the rows behind it
 *   R5 -> A5   lease -> holders   whoever sees a holder dead sees its participant dead
 */
#include "fabric/registry.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"

#include <string.h>
#include <unistd.h>

/* A change of a row takes some 20 ns; a row that is still odd after this many looks belongs
 * to an agent that was killed in the middle, or was descheduled: we go on, and in the second
 * case the revision soon tells us to look again. */
#define ROW_LOOKS 2000u

static void row_write(tribus_registry_row_shm *row, const void *bytes, size_t n)
{
    uint64_t words[TRIBUS_REGISTRY_ROW_WORDS] = {0};
    const uint64_t sequence = tribus_load_rlx(&row->sequence); /* ours: one writer */

    if (n > 0)
        memcpy(words, bytes, n);
    tribus_store_rlx(&row->sequence, sequence + 1u); /* R1 carries it */
    for (uint32_t i = 0; i < TRIBUS_REGISTRY_ROW_WORDS; i++)
        tribus_store_rel(&row->words[i], words[i]);  /* R1 pairs with A1 in row_read */
    tribus_store_rel(&row->sequence, sequence + 2u); /* R2 pairs with A2 in row_read */
}

static tribus_status row_read(const tribus_registry_row_shm *row, void *out, size_t n)
{
    uint64_t words[TRIBUS_REGISTRY_ROW_WORDS];

    for (uint32_t look = 0; look < ROW_LOOKS; look++) {
        const uint64_t before = tribus_load_acq(&row->sequence); /* A2 pairs with R2 */

        if ((before & 1u) == 0) {
            for (uint32_t i = 0; i < TRIBUS_REGISTRY_ROW_WORDS; i++)
                words[i] = tribus_load_acq(&row->words[i]);  /* A1 pairs with R1 */
            if (tribus_load_rlx(&row->sequence) == before) { /* ordered by A1 */
                memcpy(out, words, n);
                return TRIBUS_OK;
            }
        }
        tribus_relax();
    }
    return TRIBUS_EMPTY;
}

void tribus_registry_create(tribus_registry_shm *registry, uint64_t instance)
{
    registry->magic = TRIBUS_REGISTRY_MAGIC;
    registry->version = TRIBUS_REGISTRY_VERSION;
    registry->participant_rows = TRIBUS_REGISTRY_PARTICIPANTS;
    registry->object_rows = TRIBUS_REGISTRY_OBJECTS;
    registry->agent_pid = (int32_t)getpid();
    registry->agent_start_time = tribus_os_start_time(getpid());
    registry->instance = instance;
    tribus_store_rlx(&registry->revision, instance); /* not shared yet, nor these */
    tribus_store_rlx(&registry->participants_high, 1u);
    tribus_store_rlx(&registry->objects_high, 1u);
    tribus_store_rlx(&registry->leases_high, 0u);
}

void tribus_registry_put_participant(tribus_registry_shm *registry,
                                     const tribus_participant *p, uint64_t start_time)
{
    const tribus_registry_life life = {.participant = *p, .start_time = start_time};
    const uint32_t i = p->number;

    row_write(&registry->participants[i], &life, sizeof(life));
    if (i >= tribus_load_rlx(&registry->participants_high))     /* ours: one writer */
        tribus_store_rlx(&registry->participants_high, i + 1u); /* R4 carries it */
    if (p->epoch > tribus_load_rlx(&registry->last_epoch))      /* ours: one writer */
        tribus_store_rlx(&registry->last_epoch, p->epoch);      /* read when we are gone */
    /* R3 pairs with A3 in tribus_registry_alive. */
    tribus_store_rel(&registry->lives[i], p->alive != 0 ? p->epoch : 0u);
}

void tribus_registry_put_object(tribus_registry_shm *registry, const tribus_object *o)
{
    row_write(&registry->objects[o->number], o, sizeof(*o));
    if (o->number >= tribus_load_rlx(&registry->objects_high))     /* ours: one writer */
        tribus_store_rlx(&registry->objects_high, o->number + 1u); /* R4 carries it */
}

void tribus_registry_clear_participant(tribus_registry_shm *registry, uint32_t number)
{
    tribus_store_rel(&registry->lives[number], 0u); /* R3 pairs with A3 */
    row_write(&registry->participants[number], NULL, 0);
}

void tribus_registry_clear_object(tribus_registry_shm *registry, uint32_t number)
{
    row_write(&registry->objects[number], NULL, 0);
}

#define LEASE_USED     UINT64_C(0x8000000000000000)
#define LEASE_DEAD     UINT64_C(0x4000000000000000)
#define LEASE_HEIRLESS UINT64_C(0x2000000000000000)

void tribus_registry_put_lease(tribus_registry_shm *registry, uint32_t i,
                               const tribus_registry_lease *lease)
{
    uint64_t word = 0;

    if (lease != NULL)
        word = LEASE_USED | (lease->dead ? LEASE_DEAD : 0u) |
               (lease->heirless ? LEASE_HEIRLESS : 0u) |
               (uint64_t)(lease->holder & 63u) << 32 |
               (uint64_t)(lease->object & 0xffffu) << 16 | (lease->participant & 0xffffu);
    if (i >= tribus_load_rlx(&registry->leases_high))     /* ours: one writer */
        tribus_store_rlx(&registry->leases_high, i + 1u); /* R4 carries it */
    tribus_store_rel(&registry->leases[i], word);         /* R5 pairs with A5 */
}

tribus_status tribus_registry_get_lease(const tribus_registry_shm *registry, uint32_t i,
                                        tribus_registry_lease *out)
{
    uint64_t word;
    tribus_registry_lease lease;

    if (i >= TRIBUS_REGISTRY_LEASES)
        return TRIBUS_EMPTY;
    word = tribus_load_acq(&registry->leases[i]); /* A5 pairs with R5 */
    lease.dead = (word & LEASE_DEAD) != 0;
    lease.heirless = (word & LEASE_HEIRLESS) != 0;
    lease.holder = (uint32_t)(word >> 32) & 63u;
    lease.object = (uint32_t)(word >> 16) & 0xffffu;
    lease.participant = (uint32_t)word & 0xffffu;
    if ((word & LEASE_USED) == 0 || lease.holder >= TRIBUS_REGISTRY_HOLDERS ||
        lease.object == 0 || lease.object >= TRIBUS_REGISTRY_OBJECTS ||
        lease.participant == 0 || lease.participant >= TRIBUS_REGISTRY_PARTICIPANTS)
        return TRIBUS_EMPTY;
    *out = lease;
    return TRIBUS_OK;
}

uint64_t tribus_registry_dead_holders(const tribus_registry_shm *registry, uint32_t object)
{
    uint32_t high = tribus_load_rlx(&registry->leases_high); /* checked below */
    uint64_t set = 0;
    tribus_registry_lease lease;

    if (high > TRIBUS_REGISTRY_LEASES)
        high = TRIBUS_REGISTRY_LEASES;
    for (uint32_t i = 0; i < high; i++)
        if (tribus_registry_get_lease(registry, i, &lease) == TRIBUS_OK && lease.dead &&
            lease.object == object)
            set |= UINT64_C(1) << lease.holder;
    return set;
}

void tribus_registry_announce(tribus_registry_shm *registry, tribus_doorbell_shm *bell)
{
    const uint64_t revision = tribus_load_rlx(&registry->revision); /* ours: one writer */

    /* R4 pairs with A4 in tribus_registry_revision. */
    tribus_store_rel(&registry->revision, revision + 1u);
    tribus_doorbell_press(bell);
}

tribus_status tribus_registry_check(const void *mem, size_t bytes)
{
    const tribus_registry_shm *r = mem;

    if (bytes < sizeof(*r) || r->magic != TRIBUS_REGISTRY_MAGIC)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "registry: %zu bytes that are not a registry", bytes);
    if (r->version != TRIBUS_REGISTRY_VERSION)
        return tribus_error_set(TRIBUS_VERSION,
                                "registry: layout %u from the agent, %u in this program; "
                                "use programs and agent of one release",
                                r->version, TRIBUS_REGISTRY_VERSION);
    if (r->participant_rows != TRIBUS_REGISTRY_PARTICIPANTS ||
        r->object_rows != TRIBUS_REGISTRY_OBJECTS)
        return tribus_error_set(TRIBUS_CORRUPT, "registry: %u and %u rows",
                                r->participant_rows, r->object_rows);
    return TRIBUS_OK;
}

uint64_t tribus_registry_revision(const tribus_registry_shm *registry)
{
    return tribus_load_acq(&registry->revision); /* A4 pairs with R4 */
}

tribus_status tribus_registry_object(const tribus_registry_shm *registry, uint32_t number,
                                     tribus_object *out)
{
    tribus_object o;

    if (number == 0 || number >= TRIBUS_REGISTRY_OBJECTS ||
        row_read(&registry->objects[number], &o, sizeof(o)) != TRIBUS_OK ||
        o.number != number || !tribus_registry_name_is_good(o.name))
        return TRIBUS_EMPTY;
    *out = o;
    return TRIBUS_OK;
}

tribus_status tribus_registry_next_object(const tribus_registry_shm *registry,
                                          uint32_t *cursor, tribus_object *out)
{
    uint32_t high = tribus_load_rlx(&registry->objects_high); /* checked below */
    uint32_t i = *cursor == 0 ? 1u : *cursor;

    if (high > TRIBUS_REGISTRY_OBJECTS)
        high = TRIBUS_REGISTRY_OBJECTS;
    for (; i < high; i++) {
        if (tribus_registry_object(registry, i, out) != TRIBUS_OK)
            continue;
        *cursor = i + 1u;
        return TRIBUS_OK;
    }
    *cursor = i;
    return TRIBUS_EMPTY;
}

tribus_status tribus_registry_participant(const tribus_registry_shm *registry,
                                          uint32_t number, tribus_participant *out,
                                          uint64_t *start_time)
{
    tribus_registry_life life;
    const tribus_participant *p = &life.participant;

    if (number == 0 || number >= TRIBUS_REGISTRY_PARTICIPANTS)
        return TRIBUS_EMPTY;
    if (row_read(&registry->participants[number], &life, sizeof(life)) != TRIBUS_OK ||
        p->number != number || !tribus_registry_name_is_good(p->name) ||
        memchr(p->role, '\0', sizeof(p->role)) == NULL)
        return TRIBUS_EMPTY;
    *out = *p;
    if (start_time != NULL)
        *start_time = life.start_time;
    return TRIBUS_OK;
}

tribus_status tribus_registry_next_participant(const tribus_registry_shm *registry,
                                               uint32_t *cursor, tribus_participant *out)
{
    uint32_t high = tribus_load_rlx(&registry->participants_high); /* checked below */
    uint32_t i = *cursor == 0 ? 1u : *cursor;

    if (high > TRIBUS_REGISTRY_PARTICIPANTS)
        high = TRIBUS_REGISTRY_PARTICIPANTS;
    for (; i < high; i++) {
        if (tribus_registry_participant(registry, i, out, NULL) != TRIBUS_OK)
            continue;
        *cursor = i + 1u;
        return TRIBUS_OK;
    }
    *cursor = i;
    return TRIBUS_EMPTY;
}

bool tribus_registry_served(const tribus_registry_shm *registry)
{
    const uint32_t server = tribus_load_rlx(&registry->server); /* a hint */

    return server != 0 && (server & TRIBUS_OS_ENDED) == 0;
}

int tribus_registry_alive(const tribus_registry_shm *registry, uint32_t participant,
                          uint32_t epoch)
{
    if (participant == 0 || participant >= TRIBUS_REGISTRY_PARTICIPANTS || epoch == 0)
        return 0;
    /* A3 pairs with R3 in tribus_registry_put_participant. */
    return tribus_load_acq(&registry->lives[participant]) == epoch;
}

int tribus_registry_name_is_good(const char name[TRIBUS_NAME_BYTES])
{
    size_t n = 0;

    while (n < TRIBUS_NAME_BYTES && name[n] != '\0') {
        const char c = name[n];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-' || c == '/'))
            return 0;
        n++;
    }
    return n > 0 && n < TRIBUS_NAME_BYTES;
}
