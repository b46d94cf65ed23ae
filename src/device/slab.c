/* slab.c -- see slab.h.
 *
 * The host's object: a head that says which classes there are, then the lines of each as a
 * region whose slots lie outside. A slot's number counts through all classes.
 *
 * Ordering
 *   R0 -> A0   create -> open   whoever sees the magic sees the layout
 */
#include "tribus/slab.h"
#include "base/atomic.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC      0x42414c53u /* "SLAB" */
#define VERSION    1u
#define HEAD_BYTES 1024u
#define SLOT_ALIGN 256u /* what kernels' widest loads and the card's copies like */

typedef struct slab_class {
    uint64_t slot_bytes;
    uint64_t lines_offset; /* in the host's object */
    uint64_t lines_bytes;
    uint64_t data_offset; /* in the device's memory */
    uint32_t slots;
    uint32_t first; /* number of its first slot */
} slab_class;

typedef struct slab_shm {
    _Atomic(uint32_t) magic;
    uint32_t version;
    int32_t device_type;
    uint32_t class_count;
    uint64_t data_bytes;
    uint64_t unused[5];
    slab_class classes[TRIBUS_SLAB_CLASSES];
} slab_shm;

_Static_assert(sizeof(slab_shm) <= HEAD_BYTES, "layout");
_Static_assert(offsetof(slab_shm, classes) == 64, "layout");

struct tribus_slab {
    tribus_session *session;
    tribus_device *device;
    tribus_object words, data; /* number 0: not there */
    void *mem;                 /* of words */
    tribus_device_memory memory;
    tribus_region *regions[TRIBUS_SLAB_CLASSES];
    slab_class classes[TRIBUS_SLAB_CLASSES]; /* our copy */
    uint32_t class_count;
    tribus_end end;
    uint32_t holder;
    bool holds;
};

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1u) / to * to;
}

static tribus_status name_of_data(const char *name, char out[TRIBUS_NAME_BYTES])
{
    if (name == NULL ||
        snprintf(out, TRIBUS_NAME_BYTES, "%s/mem", name) >= (int)TRIBUS_NAME_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG, "slab: a name of at most %u characters",
                                TRIBUS_NAME_BYTES - 5u);
    return TRIBUS_OK;
}

/* ---- layout ---- */

static tribus_status plan(const tribus_slab_cfg *cfg, slab_shm *out, uint64_t *words_bytes)
{
    uint64_t lines = HEAD_BYTES, data = 0;
    uint32_t first = 0;

    if (cfg->class_count == 0 || cfg->class_count > TRIBUS_SLAB_CLASSES)
        return tribus_error_set(TRIBUS_BAD_ARG, "slab: %u classes, 1..%u allowed",
                                cfg->class_count, TRIBUS_SLAB_CLASSES);
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < cfg->class_count; i++) {
        tribus_region_cfg region = {.slot_bytes =
                                        round_up(cfg->classes[i].slot_bytes, SLOT_ALIGN),
                                    .slots = cfg->classes[i].slots,
                                    .outside = 1};
        const uint64_t bytes = region.slots == 0 ? 0 : tribus_region_bytes(&region);

        if (bytes == 0 || (i > 0 && region.slot_bytes <= out->classes[i - 1].slot_bytes))
            return tribus_error_set(TRIBUS_BAD_ARG,
                                    "slab: class %u of %u slots of %llu bytes: 1..65536 "
                                    "slots, larger than those before",
                                    i, cfg->classes[i].slots,
                                    (unsigned long long)cfg->classes[i].slot_bytes);
        out->classes[i] = (slab_class){.slot_bytes = region.slot_bytes,
                                       .lines_offset = lines,
                                       .lines_bytes = bytes,
                                       .data_offset = data,
                                       .slots = region.slots,
                                       .first = first};
        lines = round_up(lines + bytes, TRIBUS_CACHE_LINE_BYTES);
        data += region.slots * region.slot_bytes;
        first += region.slots;
    }
    out->version = VERSION;
    out->class_count = cfg->class_count;
    out->data_bytes = data;
    *words_bytes = lines;
    return TRIBUS_OK;
}

static tribus_status lay_out(void *mem, const slab_shm *planned, uint32_t number)
{
    slab_shm *shm = mem;

    shm->version = planned->version;
    shm->device_type = planned->device_type;
    shm->class_count = planned->class_count;
    shm->data_bytes = planned->data_bytes;
    memcpy(shm->classes, planned->classes, sizeof(shm->classes));
    for (uint32_t i = 0; i < planned->class_count; i++) {
        const slab_class *c = &planned->classes[i];
        const tribus_region_cfg region = {
            .slot_bytes = c->slot_bytes, .slots = c->slots, .outside = 1};
        const tribus_status st =
            tribus_region_create((unsigned char *)mem + c->lines_offset,
                                 (size_t)c->lines_bytes, &region, number);

        if (st != TRIBUS_OK)
            return st;
    }
    /* R0 pairs with A0 in read_layout. */
    tribus_store_rel(&shm->magic, MAGIC);
    return TRIBUS_OK;
}

/* Copy the head that others can write, then check the copy. */
static tribus_status read_layout(tribus_slab *s)
{
    const slab_shm *shm = s->mem;
    uint64_t data_bytes, data = 0;
    uint32_t magic, version, first = 0;
    int32_t device_type;

    if (s->words.bytes < HEAD_BYTES)
        return tribus_error_set(TRIBUS_CORRUPT, "slab: %llu bytes are too few for any",
                                (unsigned long long)s->words.bytes);
    magic = tribus_load_acq(&shm->magic); /* A0 pairs with R0 in lay_out */
    if (magic == 0)
        return TRIBUS_EMPTY;
    version = shm->version;
    device_type = shm->device_type;
    data_bytes = shm->data_bytes;
    s->class_count = shm->class_count;
    memcpy(s->classes, shm->classes, sizeof(s->classes));
    if (magic != MAGIC)
        return tribus_error_set(TRIBUS_CORRUPT, "slab: there is none in this object");
    if (version != VERSION)
        return tribus_error_set(TRIBUS_VERSION, "slab: layout version %u, ours is %u",
                                version, VERSION);
    if (device_type != tribus_device_type(s->device))
        return tribus_error_set(TRIBUS_BAD_ARG, "slab: its memory is not of the kind of %s",
                                tribus_device_name(s->device));
    if (s->class_count == 0 || s->class_count > TRIBUS_SLAB_CLASSES ||
        data_bytes != s->data.bytes)
        return tribus_error_set(TRIBUS_CORRUPT, "slab: %u classes, %llu bytes of %llu",
                                s->class_count, (unsigned long long)data_bytes,
                                (unsigned long long)s->data.bytes);
    for (uint32_t i = 0; i < s->class_count; i++) {
        const slab_class *c = &s->classes[i];

        if (c->slots == 0 || c->slots > 65536u || c->slot_bytes == 0 ||
            c->slot_bytes > ((uint64_t)1 << 40) || c->data_offset != data ||
            c->first != first || c->lines_offset % TRIBUS_CACHE_LINE_BYTES != 0 ||
            c->lines_offset < HEAD_BYTES || c->lines_offset > s->words.bytes ||
            c->lines_bytes > s->words.bytes - c->lines_offset ||
            c->slots * c->slot_bytes > s->data.bytes - data)
            return tribus_error_set(TRIBUS_CORRUPT, "slab: class %u makes no sense", i);
        data += c->slots * c->slot_bytes;
        first += c->slots;
    }
    return TRIBUS_OK;
}

static tribus_status open_regions(tribus_slab *s)
{
    tribus_status st = TRIBUS_OK;

    for (uint32_t i = 0; st == TRIBUS_OK && i < s->class_count; i++) {
        const slab_class *c = &s->classes[i];
        const tribus_region_data data = {.mem = (unsigned char *)s->memory.data +
                                                c->data_offset,
                                         .bytes = (size_t)(c->slots * c->slot_bytes)};

        st = tribus_region_open_outside((unsigned char *)s->mem + c->lines_offset,
                                        (size_t)c->lines_bytes, s->end, s->holder, &data,
                                        &s->regions[i]);
        /* Its own words may say something else than the head by now. */
        if (st == TRIBUS_OK && (tribus_region_slots(s->regions[i]) != c->slots ||
                                tribus_region_slot_bytes(s->regions[i]) != c->slot_bytes))
            st = tribus_error_set(TRIBUS_CORRUPT, "slab: class %u makes no sense", i);
    }
    return st;
}

/* ---- create, open, close ---- */

static tribus_status start(tribus_session *session, tribus_device *device, tribus_end end,
                           tribus_slab **out)
{
    tribus_slab *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "slab: %zu bytes", sizeof(*s));
    s->session = session;
    s->device = device;
    s->end = end;
    *out = s;
    return TRIBUS_OK;
}

/* A creator died between making a slab that stays and laying it out: what it left has nobody
 * and nothing in it. Returns whether that was so; it is gone then. */
static bool clear_away(tribus_session *session, const char *name, const char *data_name)
{
    tribus_object words, data;
    void *mem;
    int fd;
    bool unfinished;

    if (tribus_session_open_object(session, name, 1, &words, &mem) != TRIBUS_OK)
        return false;
    unfinished = words.kind == TRIBUS_OBJECT_REGION && words.owner == 0 &&
                 words.bytes >= HEAD_BYTES &&
                 tribus_load_rlx(&((slab_shm *)mem)->magic) == 0; /* nothing is read */
    if (unfinished &&
        tribus_session_open_descriptor(session, data_name, &data, &fd) == TRIBUS_OK)
        tribus_session_drop(session, &data, 1);
    tribus_session_drop(session, &words, unfinished ? 1 : 0);
    return unfinished;
}

static tribus_status make_objects(tribus_slab *s, const tribus_slab_cfg *cfg,
                                  const slab_shm *planned, uint64_t words_bytes)
{
    char name[TRIBUS_NAME_BYTES];
    int fd = -1;
    tribus_status st = name_of_data(cfg->name, name);

    /* The words first: whoever loses the race for the name has made no memory. */
    if (st == TRIBUS_OK)
        st = tribus_session_create_object(s->session, cfg->name, TRIBUS_OBJECT_REGION,
                                          (size_t)words_bytes, cfg->stays, &s->words,
                                          &s->mem);
    if (st == TRIBUS_EXISTS && clear_away(s->session, cfg->name, name))
        st = tribus_session_create_object(s->session, cfg->name, TRIBUS_OBJECT_REGION,
                                          (size_t)words_bytes, cfg->stays, &s->words,
                                          &s->mem);
    if (st == TRIBUS_OK)
        st = tribus_device_memory_create(s->device, name, (size_t)planned->data_bytes, &fd,
                                         &s->memory);
    if (st == TRIBUS_OK)
        st = tribus_session_offer_object(s->session, name, fd, (size_t)planned->data_bytes,
                                         cfg->stays, &s->data);
    if (fd >= 0)
        (void)close(fd);
    if (st == TRIBUS_OK)
        st = lay_out(s->mem, planned, s->words.number);
    return st;
}

tribus_status tribus_slab_create(tribus_session *session, tribus_device *device,
                                 const tribus_slab_cfg *cfg, tribus_slab **out)
{
    slab_shm planned;
    uint64_t words_bytes = 0;
    tribus_slab *s = NULL;
    tribus_status st = plan(cfg, &planned, &words_bytes);

    if (st == TRIBUS_OK)
        st = start(session, device, TRIBUS_WRITER, &s);
    if (st != TRIBUS_OK)
        return st;
    planned.device_type = tribus_device_type(device);
    st = make_objects(s, cfg, &planned, words_bytes);
    if (st == TRIBUS_OK)
        st = read_layout(s);
    if (st == TRIBUS_OK)
        st = open_regions(s);
    if (st != TRIBUS_OK) {
        tribus_error_add("slab %.63s", cfg->name == NULL ? "" : cfg->name);
        tribus_slab_close(s, 1);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

static tribus_status find_objects(tribus_slab *s, const char *name)
{
    char data_name[TRIBUS_NAME_BYTES];
    int fd = -1;
    tribus_status st = name_of_data(name, data_name);

    if (st == TRIBUS_OK)
        st = tribus_session_open_object(s->session, name, 1, &s->words, &s->mem);
    if (st == TRIBUS_OK)
        st = tribus_session_open_descriptor(s->session, data_name, &s->data, &fd);
    if (st == TRIBUS_NOT_FOUND && s->mem != NULL)
        return TRIBUS_EMPTY; /* its words are there, its memory is still being made */
    if (st == TRIBUS_OK)
        st = read_layout(s);
    if (st == TRIBUS_OK)
        st = tribus_device_memory_open(s->device, fd, (size_t)s->data.bytes,
                                       s->end == TRIBUS_WRITER, &s->memory);
    return st;
}

tribus_status tribus_slab_open(tribus_session *session, tribus_device *device,
                               const char *name, tribus_end end, tribus_slab **out)
{
    tribus_slab *s = NULL;
    tribus_status st = start(session, device, end, &s);

    if (st != TRIBUS_OK)
        return st;
    st = find_objects(s, name);
    if (st == TRIBUS_OK && end == TRIBUS_READER) {
        st = tribus_session_hold(session, &s->words, &s->holder, NULL);
        s->holds = st == TRIBUS_OK;
    }
    if (st == TRIBUS_OK)
        st = open_regions(s);
    if (st != TRIBUS_OK) {
        if (st != TRIBUS_EMPTY)
            tribus_error_add("slab %.63s", name == NULL ? "" : name);
        tribus_slab_close(s, 0);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

void tribus_slab_close(tribus_slab *s, int remove)
{
    if (s == NULL)
        return;
    if (s->holds && tribus_session_let_go(s->session, &s->words, s->holder) != TRIBUS_OK)
        tribus_error_clear(); /* gone, or the agent is: there is nobody to tell */
    for (uint32_t i = 0; i < TRIBUS_SLAB_CLASSES; i++)
        tribus_region_close(s->regions[i]);
    tribus_device_memory_close(s->device, &s->memory);
    if (s->data.number != 0)
        tribus_session_drop(s->session, &s->data, remove);
    if (s->words.number != 0)
        tribus_session_drop(s->session, &s->words, remove);
    free(s);
}

uint32_t tribus_slab_holder(const tribus_slab *s)
{
    return s->holder;
}

/* ---- slots ---- */

tribus_status tribus_slab_loan(tribus_slab *s, uint64_t bytes, tribus_slot_ref *out,
                               void **mem)
{
    bool fits = false;

    for (uint32_t i = 0; i < s->class_count; i++) {
        tribus_status st;

        if (s->classes[i].slot_bytes < bytes)
            continue;
        fits = true;
        st = tribus_region_loan(s->regions[i], out, mem);
        if (st == TRIBUS_FULL)
            continue;
        if (st == TRIBUS_OK)
            out->slot += s->classes[i].first;
        return st;
    }
    if (fits)
        return TRIBUS_FULL;
    return tribus_error_set(TRIBUS_BAD_ARG, "slab %.63s: no slot has %llu bytes",
                            s->words.name, (unsigned long long)bytes);
}

/* The class of a slot, and the reference as the class counts it. */
static tribus_status class_of(const tribus_slab *s, const tribus_slot_ref *ref,
                              tribus_region **region, tribus_slot_ref *local)
{
    *local = *ref; /* checked and used from here on, whatever becomes of the caller's */
    for (uint32_t i = 0; i < s->class_count; i++) {
        const slab_class *c = &s->classes[i];

        if (local->slot < c->first || local->slot - c->first >= c->slots)
            continue;
        local->slot -= c->first;
        *region = s->regions[i];
        return TRIBUS_OK;
    }
    return tribus_error_set(TRIBUS_CORRUPT, "slab %.63s: there is no slot %u",
                            s->words.name, local->slot);
}

tribus_status tribus_slab_commit(tribus_slab *s, const tribus_slot_ref *ref,
                                 uint64_t holders)
{
    tribus_region *region = NULL;
    tribus_slot_ref local;
    const tribus_status st = class_of(s, ref, &region, &local);

    return st == TRIBUS_OK ? tribus_region_commit(region, &local, holders) : st;
}

tribus_status tribus_slab_receive(tribus_slab *s, const tribus_slot_ref *ref,
                                  const void **mem)
{
    tribus_region *region = NULL;
    tribus_slot_ref local;
    const tribus_status st = class_of(s, ref, &region, &local);

    return st == TRIBUS_OK ? tribus_region_receive(region, &local, mem) : st;
}

tribus_status tribus_slab_release(tribus_slab *s, const tribus_slot_ref *ref)
{
    tribus_region *region = NULL;
    tribus_slot_ref local;
    const tribus_status st = class_of(s, ref, &region, &local);

    return st == TRIBUS_OK ? tribus_region_release(region, &local) : st;
}

tribus_status tribus_slab_reclaim(tribus_slab *s, uint32_t *slots)
{
    return tribus_session_reclaim_all(s->session, &s->words, s->regions, s->class_count,
                                      slots);
}

uint32_t tribus_slab_free_slots(const tribus_slab *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->class_count; i++)
        n += tribus_region_free_slots(s->regions[i]);
    return n;
}
