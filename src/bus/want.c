/* want.c -- see want.h.
 *
 *   R1 -> A1   create -> types   whoever sees the magic sees the set behind it
 */
#include "bus/want.h"

#include "base/atomic.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x31746e6177627274ull /* "trbwant1" */
#define MOST  1024u

typedef struct want_shm {
    _Atomic(uint64_t) magic;
    _Atomic(uint64_t) types; /* written by the subscriber alone, as are these */
    _Atomic(uint64_t) followed;
    _Atomic(uint64_t) looked; /* revision of the registry */
    uint64_t reserved[4];
} want_shm;

_Static_assert(sizeof(want_shm) == 64, "one cache line");

struct tribus_want {
    tribus_session *session;
    tribus_object object;
    want_shm *shm;
};

typedef struct entry {
    tribus_object object;
    const want_shm *shm;
    bool seen;
} entry;

struct tribus_want_reader {
    tribus_session *session;
    uint64_t revision;
    bool looked;
    bool missed; /* one of them could not be opened: nothing is known of it */
    uint32_t count;
    entry entries[MOST];
};

tribus_status tribus_want_create(tribus_session *session, uint64_t types, uint64_t followed,
                                 tribus_want **out)
{
    tribus_want *want = calloc(1, sizeof(*want));
    char name[TRIBUS_NAME_BYTES];
    void *mem = NULL;
    tribus_status st;

    if (want == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "announce what is subscribed to");
    (void)snprintf(name, sizeof(name), "want/%u", tribus_session_participant(session));
    st = tribus_session_create_object(session, name, TRIBUS_OBJECT_COUNTERS,
                                      sizeof(want_shm), 0, &want->object, &mem);
    if (st == TRIBUS_EXISTS) /* made for us when we had stopped waiting for the answer */
        st = tribus_session_open_object(session, name, 1, &want->object, &mem);
    if (st == TRIBUS_OK && want->object.bytes < sizeof(want_shm))
        st = tribus_error_set(TRIBUS_CORRUPT, "%s is too small", name);
    if (st != TRIBUS_OK) {
        tribus_error_add("announce what is subscribed to");
        free(want);
        return st;
    }
    want->session = session;
    want->shm = mem;
    tribus_want_set(want, types, followed);
    tribus_store_rel(&want->shm->magic, MAGIC); /* R1 pairs with A1 */
    *out = want;
    return TRIBUS_OK;
}

void tribus_want_set(tribus_want *want, uint64_t types, uint64_t followed)
{
    /* hints: they are read again soon */
    tribus_store_rlx(&want->shm->types, types);
    tribus_store_rlx(&want->shm->followed, followed);
}

void tribus_want_looked(tribus_want *want, uint64_t revision)
{
    tribus_store_rlx(&want->shm->looked, revision); /* nothing else hangs on it */
}

void tribus_want_destroy(tribus_want *want)
{
    if (want == NULL)
        return;
    tribus_session_drop(want->session, &want->object, 1);
    free(want);
}

tribus_status tribus_want_reader_open(tribus_session *session, tribus_want_reader **out)
{
    tribus_want_reader *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "read what is subscribed to");
    r->session = session;
    *out = r;
    return TRIBUS_OK;
}

void tribus_want_reader_close(tribus_want_reader *r)
{
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->count; i++)
        tribus_session_drop(r->session, &r->entries[i].object, 0);
    free(r);
}

static entry *find(tribus_want_reader *r, const tribus_object *row)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->entries[i].object.number == row->number &&
            r->entries[i].object.generation == row->generation)
            return &r->entries[i];
    }
    return NULL;
}

static void look(tribus_want_reader *r)
{
    tribus_object row;
    uint32_t cursor = 0;

    r->revision = tribus_session_revision(r->session);
    r->looked = true;
    r->missed = false;
    for (uint32_t i = 0; i < r->count; i++)
        r->entries[i].seen = false;
    while (tribus_session_next_object(r->session, &cursor, &row) == TRIBUS_OK) {
        entry *e;
        void *mem = NULL;

        if (row.kind != TRIBUS_OBJECT_COUNTERS || row.owner == 0 ||
            strncmp(row.name, "want/", 5) != 0 || row.bytes < sizeof(want_shm))
            continue;
        e = find(r, &row);
        if (e == NULL && r->count == MOST)
            r->missed = true;
        if (e == NULL && r->count < MOST) {
            tribus_status st;

            e = &r->entries[r->count];
            st = tribus_session_open_object(r->session, row.name, 0, &e->object, &mem);
            if (st != TRIBUS_OK) {
                if (st != TRIBUS_NOT_FOUND) { /* else it left between the two calls */
                    r->missed = true;
                    r->looked = false; /* again at the next call */
                }
                continue;
            }
            e->shm = mem;
            r->count++;
        }
        if (e != NULL)
            e->seen = true;
    }
    for (uint32_t i = r->count; i-- > 0;) {
        if (r->entries[i].seen)
            continue;
        tribus_session_drop(r->session, &r->entries[i].object, 0);
        r->entries[i] = r->entries[--r->count];
    }
}

uint64_t tribus_want_reader_types(tribus_want_reader *r)
{
    uint64_t types = 0;

    if (!r->looked || tribus_session_revision(r->session) != r->revision)
        look(r);
    for (uint32_t i = 0; i < r->count; i++) {
        const want_shm *shm = r->entries[i].shm;

        if (tribus_load_acq(&shm->magic) == MAGIC) /* A1 pairs with R1 */
            types |= tribus_load_rlx(&shm->types); /* a hint: read again soon */
    }
    return types;
}

bool tribus_want_reader_all_looked(tribus_want_reader *r, uint64_t types, uint64_t revision)
{
    (void)tribus_want_reader_types(r); /* follow the registry */
    for (uint32_t i = 0; i < r->count; i++) {
        const want_shm *shm = r->entries[i].shm;

        /* A1 pairs with R1; the rest are hints: looked at again soon */
        if (tribus_load_acq(&shm->magic) == MAGIC &&
            (tribus_load_rlx(&shm->followed) & types) != 0 &&
            tribus_load_rlx(&shm->looked) < revision)
            return false;
    }
    return !r->missed;
}
