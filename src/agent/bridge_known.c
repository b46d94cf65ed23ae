/* bridge_known.c -- see bridge_known.h. */
#include "agent/bridge_known.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE       2048u
#define PAGE_TEXT  "2048"
#define MOST_PAGES 64u /* others may add to a stream while we are away; 131,072 entries */
#define LEAST_ROOM 64u
#define CALL_NS    1000000000LL

void tribus_bridge_known_clear(tribus_bridge_known *k)
{
    free(k->slots);
    *k = (tribus_bridge_known){0};
}

static tribus_bridge_origin *slot_of(const tribus_bridge_known *k, uint32_t origin)
{
    uint32_t i = origin * 2654435761u;

    while (k->slots[i & (k->room - 1u)].origin != origin &&
           k->slots[i & (k->room - 1u)].origin != 0)
        i++;
    return &k->slots[i & (k->room - 1u)];
}

bool tribus_bridge_known_has(const tribus_bridge_known *k, uint32_t origin,
                             uint64_t sequence)
{
    const tribus_bridge_origin *slot;

    if (k->count == 0 || origin == 0)
        return false;
    slot = slot_of(k, origin);
    return slot->origin == origin && sequence <= slot->sequence;
}

static tribus_status grow(tribus_bridge_known *k)
{
    tribus_bridge_known more = {.room = k->room == 0 ? LEAST_ROOM : k->room * 2u};

    more.slots = calloc(more.room, sizeof(*more.slots));
    if (more.slots == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%u publishers in streams", more.room);
    for (uint32_t i = 0; i < k->room; i++) {
        if (k->slots[i].origin != 0)
            *slot_of(&more, k->slots[i].origin) = k->slots[i];
    }
    more.count = k->count;
    free(k->slots);
    *k = more;
    return TRIBUS_OK;
}

static tribus_status note(tribus_bridge_known *k, uint32_t origin, uint64_t sequence)
{
    tribus_bridge_origin *slot;

    if (origin == 0)
        return TRIBUS_OK;
    if (k->count * 2u >= k->room) {
        const tribus_status st = grow(k);

        if (st != TRIBUS_OK)
            return st;
    }
    slot = slot_of(k, origin);
    if (slot->origin == 0) {
        slot->origin = origin;
        k->count++;
    }
    if (sequence > slot->sequence)
        slot->sequence = sequence;
    return TRIBUS_OK;
}

static uint64_t number_in(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(fields->element[i]->str, name) == 0)
            return strtoull(fields->element[i + 1]->str, NULL, 10);
    }
    return 0;
}

/* Note all entries of a page; id: of the last, which is the oldest. */
static tribus_status note_page(tribus_bridge_known *k, const redisReply *page, char *id)
{
    tribus_status st = TRIBUS_OK;

    for (size_t i = 0; i < page->elements && st == TRIBUS_OK; i++) {
        const redisReply *entry = page->element[i];

        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
            entry->element[0]->type != REDIS_REPLY_STRING ||
            entry->element[1]->type != REDIS_REPLY_ARRAY)
            continue;
        (void)snprintf(id, TRIBUS_BRIDGE_ENTRY_BYTES, "%.47s", entry->element[0]->str);
        st = note(k, (uint32_t)number_in(entry->element[1], "origin"),
                  number_in(entry->element[1], "sequence"));
    }
    return st;
}

tribus_status tribus_bridge_known_read(tribus_bridge_known *k, tribus_redis *redis,
                                       const char *stream, const char *from)
{
    char newest[TRIBUS_BRIDGE_ENTRY_BYTES] = "+";
    const char *words[] = {"XREVRANGE", stream,   newest, from[0] != '\0' ? from : "-",
                           "COUNT",     PAGE_TEXT};

    for (uint32_t page = 0; page < MOST_PAGES; page++) {
        char oldest[TRIBUS_BRIDGE_ENTRY_BYTES] = "";
        redisReply *r = NULL;
        tribus_status st = tribus_redis_call_wait(redis, 6, words, CALL_NS, &r);
        bool more;

        if (st != TRIBUS_OK)
            return st;
        more = r->type == REDIS_REPLY_ARRAY && r->elements == PAGE && from[0] != '\0';
        if (r->type == REDIS_REPLY_ARRAY)
            st = note_page(k, r, oldest);
        freeReplyObject(r);
        /* The next page begins with the entry this one ends with. */
        if (st != TRIBUS_OK || !more || strcmp(oldest, newest) == 0)
            return st;
        (void)snprintf(newest, sizeof(newest), "%s", oldest);
    }
    return TRIBUS_OK;
}
