/* session_objects.c -- what a session creates, maps and holds. See session.h.
 *
 * Everything that asks for memory is one request to the agent and one reply; what was mapped
 * before is found again while the registry still lists it.
 */
#include "base/error.h"
#include "base/os.h"
#include "fabric/session_state.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The agent touches every page of a new object before it answers: 1 GiB takes 0.6 s. */
#define NS_PER_BYTE_CREATED 4
#define MOST_CREATED        (UINT64_C(1) << 44) /* no machine gives more: no overflow */

static tribus_session_mapped *find(tribus_session *s, uint32_t number, uint64_t generation)
{
    for (uint32_t i = 0; i < s->object_count; i++)
        if (s->objects[i].object.number == number &&
            s->objects[i].object.generation == generation)
            return &s->objects[i];
    return NULL;
}

static tribus_status room_for_one(tribus_session *s)
{
    const uint32_t room = s->object_room == 0 ? 16u : s->object_room * 2u;
    tribus_session_mapped *more;

    if (s->object_count < s->object_room)
        return TRIBUS_OK;
    more = realloc(s->objects, room * sizeof(*more));
    if (more == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "list of %u objects", room);
    s->objects = more;
    s->object_room = room;
    return TRIBUS_OK;
}

static tribus_status named_request(tribus_agent_request *request, const char *name)
{
    if (strlen(name) < sizeof(request->name))
        (void)snprintf(request->name, sizeof(request->name), "%s", name);
    if (!tribus_registry_name_is_good(request->name))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "object name \"%.80s\": 1 to %u of a-z 0-9 . _ - /", name,
                                TRIBUS_NAME_BYTES - 1u);
    return TRIBUS_OK;
}

static tribus_status check_object(const tribus_agent_reply *reply, const char *name,
                                  uint32_t fds)
{
    const tribus_object *o = &reply->body.object;

    if (reply->fd_count != fds || o->number == 0 || o->number >= TRIBUS_REGISTRY_OBJECTS ||
        o->bytes == 0 || o->bytes > (uint64_t)INT64_MAX ||
        !tribus_registry_name_is_good(o->name) || strcmp(o->name, name) != 0)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "the agent's answer about %s makes no sense", name);
    return TRIBUS_OK;
}

/* Put a descriptor that we opened read-only before at the same address, writable now. */
static tribus_status map_again_writable(tribus_session_mapped *m, int fd)
{
    struct stat size;

    if (fstat(fd, &size) != 0 || (uint64_t)size.st_size < m->object.bytes)
        return tribus_error_set(TRIBUS_CORRUPT, "%s is smaller than announced",
                                m->object.name);
    if (mmap(m->mem, (size_t)m->object.bytes, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)
        return tribus_error_set(TRIBUS_SYSTEM, "map %s writable", m->object.name);
    m->writable = 1;
    return TRIBUS_OK;
}

/* Map what the agent sent and remember it. Takes fd. */
static tribus_status keep(tribus_session *s, const tribus_agent_reply *reply, int fd,
                          int writable, tribus_session_mapped **out)
{
    const tribus_object *o = &reply->body.object;
    tribus_session_mapped *m = find(s, o->number, o->generation);
    tribus_status st = TRIBUS_OK;

    if (m != NULL) {
        if (writable && !m->writable)
            st = map_again_writable(m, fd);
        if (st == TRIBUS_OK && writable && m->object.stays != 0 && m->fd < 0)
            m->fd = fd;
        else
            (void)close(fd);
        if (st == TRIBUS_OK)
            m->users++;
        *out = m;
        return st;
    }
    st = room_for_one(s);
    if (st == TRIBUS_OK) {
        m = &s->objects[s->object_count];
        *m = (tribus_session_mapped){
            .object = *o, .users = 1, .writable = writable, .fd = -1};
        st = tribus_os_map(fd, (size_t)o->bytes, writable != 0, true, &m->mem);
    }
    if (st != TRIBUS_OK) {
        (void)close(fd);
        return st;
    }
    s->object_count++;
    m->created = reply->head.type == TRIBUS_AGENT_CREATE;
    if (m->created || (writable && o->stays != 0))
        m->fd = fd;
    else
        (void)close(fd);
    *out = m;
    return TRIBUS_OK;
}

static tribus_status ask_for_object(tribus_session *s, tribus_agent_request *request,
                                    const char *name, tribus_object *out, void **mem)
{
    const int writable = (request->flags & TRIBUS_AGENT_FLAG_WRITABLE) != 0;
    const int64_t timeout_ns =
        s->timeout_ns +
        (int64_t)(request->bytes < MOST_CREATED ? request->bytes : MOST_CREATED) *
            NS_PER_BYTE_CREATED;
    tribus_agent_reply reply;
    tribus_session_mapped *m = NULL;
    int fds[TRIBUS_AGENT_CALL_FDS];
    tribus_status st;

    st = tribus_session_ask(s, request, -1, &reply, fds, timeout_ns);
    if (st != TRIBUS_OK)
        return st;
    st = check_object(&reply, name, 1);
    if (st == TRIBUS_OK && reply.body.object.kind == TRIBUS_OBJECT_DEVICE)
        st = tribus_error_set(TRIBUS_BAD_ARG,
                              "it is memory of a device: tribus_session_open_descriptor()");
    if (st != TRIBUS_OK) {
        for (uint32_t i = 0; i < reply.fd_count; i++)
            (void)close(fds[i]);
        return st;
    }
    st = keep(s, &reply, fds[0], writable, &m);
    if (st != TRIBUS_OK) {
        if (reply.head.type == TRIBUS_AGENT_CREATE) { /* nobody would ever use it */
            tribus_agent_request remove = tribus_agent_call_request(TRIBUS_AGENT_REMOVE);

            remove.number = reply.body.object.number;
            remove.generation = reply.body.object.generation;
            tribus_agent_call_tell(&s->channel, &remove);
        }
        return st;
    }
    if (out != NULL)
        *out = m->object;
    *mem = m->mem;
    return TRIBUS_OK;
}

tribus_status tribus_session_create_object(tribus_session *s, const char *name,
                                           tribus_object_kind kind, size_t bytes, int stays,
                                           tribus_object *out, void **mem)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_CREATE);
    tribus_status st = named_request(&request, name);

    if (st == TRIBUS_OK && (bytes == 0 || bytes > (size_t)INT64_MAX / 2u))
        st = tribus_error_set(TRIBUS_BAD_ARG, "%zu bytes", bytes);
    request.kind = (uint32_t)kind;
    request.bytes = bytes;
    request.flags =
        TRIBUS_AGENT_FLAG_WRITABLE | (stays != 0 ? TRIBUS_AGENT_FLAG_STAYS : 0u);
    if (st == TRIBUS_OK)
        st = ask_for_object(s, &request, name, out, mem);
    if (st != TRIBUS_OK)
        tribus_error_add("create %.63s", name);
    return st;
}

/* ---- memory of devices: descriptors that are kept, not mapped ---- */

static tribus_status keep_descriptor(tribus_session *s, const tribus_object *o, int fd,
                                     int created, tribus_session_mapped **out)
{
    const tribus_status st = room_for_one(s);

    if (st != TRIBUS_OK)
        return st;
    *out = &s->objects[s->object_count++];
    **out = (tribus_session_mapped){
        .object = *o, .users = 1, .writable = 1, .created = created, .fd = fd};
    return TRIBUS_OK;
}

tribus_status tribus_session_offer_object(tribus_session *s, const char *name, int fd,
                                          size_t bytes, int stays, tribus_object *out)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_OFFER);
    tribus_agent_reply reply;
    tribus_session_mapped *m;
    int copy = -1;
    tribus_status st = named_request(&request, name);

    if (st == TRIBUS_OK && (fd < 0 || bytes == 0 || bytes > (size_t)INT64_MAX / 2u))
        st = tribus_error_set(TRIBUS_BAD_ARG, "descriptor %d, %zu bytes", fd, bytes);
    if (st == TRIBUS_OK) {
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
            st = tribus_error_set(TRIBUS_SYSTEM, "keep descriptor %d", fd);
    }
    request.kind = TRIBUS_OBJECT_DEVICE;
    request.bytes = bytes;
    request.flags =
        TRIBUS_AGENT_FLAG_WRITABLE | (stays != 0 ? TRIBUS_AGENT_FLAG_STAYS : 0u);
    if (st == TRIBUS_OK)
        st = tribus_session_ask(s, &request, copy, &reply, NULL, s->timeout_ns);
    if (st == TRIBUS_OK)
        st = check_object(&reply, name, 0);
    if (st == TRIBUS_OK)
        st = keep_descriptor(s, &reply.body.object, copy, 1, &m);
    if (st != TRIBUS_OK) {
        tribus_error_add("offer %.63s", name);
        if (copy >= 0)
            (void)close(copy);
        return st;
    }
    *out = m->object;
    return TRIBUS_OK;
}

/* Whether the object we have under this name is still the one in the registry, under this
 * name: one that its owner left to the agent is there under another. */
static tribus_session_mapped *still_there(tribus_session *s, const char *name, int writable)
{
    for (uint32_t i = 0; i < s->object_count; i++) {
        tribus_session_mapped *m = &s->objects[i];
        tribus_object now;

        if (strcmp(m->object.name, name) != 0 || (writable != 0 && m->writable == 0))
            continue;
        if (tribus_registry_object(s->registry, m->object.number, &now) == TRIBUS_OK &&
            now.generation == m->object.generation && strcmp(now.name, name) == 0)
            return m;
    }
    return NULL;
}

tribus_status tribus_session_open_descriptor(tribus_session *s, const char *name,
                                             tribus_object *out, int *fd)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_OPEN);
    tribus_session_mapped *m = still_there(s, name, 0);
    tribus_agent_reply reply = {.fd_count = 0};
    int fds[TRIBUS_AGENT_CALL_FDS];
    tribus_status st = named_request(&request, name);

    if (st == TRIBUS_OK && m == NULL) {
        request.flags = TRIBUS_AGENT_FLAG_WRITABLE;
        st = tribus_session_ask(s, &request, -1, &reply, fds, s->timeout_ns);
        if (st == TRIBUS_OK)
            st = check_object(&reply, name, 1);
        if (st == TRIBUS_OK && reply.body.object.kind == TRIBUS_OBJECT_DEVICE)
            st = keep_descriptor(s, &reply.body.object, fds[0], 0, &m);
        for (uint32_t i = m != NULL ? 1 : 0; i < reply.fd_count; i++)
            (void)close(fds[i]);
    } else if (st == TRIBUS_OK && m->object.kind == TRIBUS_OBJECT_DEVICE)
        m->users++;
    if (st == TRIBUS_OK && (m == NULL || m->object.kind != TRIBUS_OBJECT_DEVICE))
        st = tribus_error_set(TRIBUS_BAD_ARG, "it is memory of the host");
    if (st != TRIBUS_OK) {
        tribus_error_add("open %.63s", name);
        return st;
    }
    if (out != NULL)
        *out = m->object;
    *fd = m->fd;
    return TRIBUS_OK;
}

tribus_status tribus_session_open_object(tribus_session *s, const char *name, int writable,
                                         tribus_object *out, void **mem)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_OPEN);
    tribus_session_mapped *m = still_there(s, name, writable);
    tribus_status st;

    if (m != NULL && m->mem != NULL) {
        m->users++;
        if (out != NULL)
            *out = m->object;
        *mem = m->mem;
        return TRIBUS_OK;
    }
    st = named_request(&request, name);
    request.flags = writable != 0 ? TRIBUS_AGENT_FLAG_WRITABLE : 0u;
    if (st == TRIBUS_OK)
        st = ask_for_object(s, &request, name, out, mem);
    if (st != TRIBUS_OK)
        tribus_error_add("open %.63s", name);
    return st;
}

static void give_up(tribus_session *s, const tribus_object *object, uint32_t flags)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_REMOVE);
    tribus_agent_reply reply;

    request.number = object->number;
    request.generation = object->generation;
    request.flags = flags;
    if (tribus_session_ask(s, &request, -1, &reply, NULL, s->timeout_ns) != TRIBUS_OK)
        tribus_error_clear(); /* gone already, or the agent is: both are what we want */
}

/* What left the registry is not offered to a later agent. Descriptors of device memory are
 * lent out until the last user drops them. */
static void keep_no_offer(tribus_session_mapped *m)
{
    if (m->fd < 0 || m->object.kind == TRIBUS_OBJECT_DEVICE)
        return;
    (void)close(m->fd);
    m->fd = -1;
}

void tribus_session_drop(tribus_session *s, const tribus_object *object, int remove)
{
    tribus_session_mapped *m = find(s, object->number, object->generation);

    if (remove != 0)
        give_up(s, object, 0);
    if (m == NULL)
        return;
    if (remove != 0)
        keep_no_offer(m);
    if (--m->users > 0) /* others in this process use the same mapping */
        return;
    tribus_session_unmap(m);
    *m = s->objects[--s->object_count];
}

void tribus_session_leave(tribus_session *s, const tribus_object *object)
{
    tribus_session_mapped *m = find(s, object->number, object->generation);

    give_up(s, object, TRIBUS_AGENT_FLAG_LATER);
    if (m != NULL)
        keep_no_offer(m);
    tribus_session_drop(s, object, 0);
}

/* ---- holding ---- */

static tribus_status about_holder(tribus_session *s, tribus_agent_request_type type,
                                  const tribus_object *o, uint32_t holder,
                                  tribus_agent_reply *reply)
{
    tribus_agent_request request = tribus_agent_call_request(type);

    request.number = o->number;
    request.generation = o->generation;
    request.kind = holder;
    return tribus_session_ask(s, &request, -1, reply, NULL, s->timeout_ns);
}

tribus_status tribus_session_hold(tribus_session *s, const tribus_object *region,
                                  uint32_t *holder, int *successor)
{
    tribus_agent_reply reply;
    tribus_status st = about_holder(s, TRIBUS_AGENT_HOLD, region, 0, &reply);

    if (st == TRIBUS_OK && reply.body.held.holder >= TRIBUS_REGISTRY_HOLDERS)
        st = tribus_error_set(TRIBUS_CORRUPT, "holder %u", reply.body.held.holder);
    if (st != TRIBUS_OK) {
        tribus_error_add("hold %.63s", region->name);
        return st;
    }
    *holder = reply.body.held.holder;
    if (successor != NULL)
        *successor = reply.body.held.successor != 0;
    return TRIBUS_OK;
}

tribus_status tribus_session_let_go(tribus_session *s, const tribus_object *region,
                                    uint32_t holder)
{
    tribus_agent_reply reply;

    return about_holder(s, TRIBUS_AGENT_LET_GO, region, holder, &reply);
}

uint64_t tribus_session_dead_holders(const tribus_session *s, const tribus_object *region)
{
    tribus_session_look_after(s);
    return tribus_registry_dead_holders(s->registry, region->number);
}

tribus_status tribus_session_reclaim(tribus_session *s, const tribus_object *object,
                                     tribus_region *region, uint32_t *slots)
{
    return tribus_session_reclaim_all(s, object, &region, 1, slots);
}

tribus_status tribus_session_reclaim_all(tribus_session *s, const tribus_object *object,
                                         tribus_region *const *regions, uint32_t regions_n,
                                         uint32_t *slots)
{
    const uint64_t dead = tribus_session_dead_holders(s, object);
    uint32_t count = 0;
    tribus_status st = TRIBUS_OK;

    for (uint32_t h = 0; h < TRIBUS_REGISTRY_HOLDERS && st == TRIBUS_OK; h++) {
        tribus_agent_reply reply;

        if ((dead >> h & 1u) == 0)
            continue;
        st = about_holder(s, TRIBUS_AGENT_TAKE_BACK, object, h, &reply);
        if (st == TRIBUS_NOT_FOUND) { /* its successor came first */
            st = TRIBUS_OK;
            continue;
        }
        if (st != TRIBUS_OK)
            break;
        for (uint32_t i = 0; i < regions_n; i++)
            count += tribus_region_reclaim(regions[i], h);
        st = about_holder(s, TRIBUS_AGENT_TAKEN_BACK, object, h, &reply);
    }
    if (slots != NULL)
        *slots = count;
    if (st != TRIBUS_OK)
        tribus_error_add("reclaim %.63s", object->name);
    return st;
}
