/* place.c -- see fabric.h: huge pages and a NUMA node for a mapping, as far as the kernel
 * gives them. Through system calls, so that no library of NUMA policies is needed. */
#include "base/atomic.h"
#include "base/error.h"
#include "tribus/fabric.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/mempolicy.h, which not every system has */
#define POLICY_BIND   2
#define FLAG_MOVE     2
#define QUERY_NODE    1
#define QUERY_ADDRESS 2
#define NODES_MAX     1024
#define BITS          (8 * (int)sizeof(unsigned long))

static void bind_to(void *mem, size_t bytes, int node)
{
    unsigned long mask[NODES_MAX / BITS] = {0};

    mask[node / BITS] |= 1ul << (node % BITS);
    /* Not to be had is not a fault: got says so. */
    (void)syscall(SYS_mbind, mem, bytes, POLICY_BIND, mask, (unsigned long)NODES_MAX + 1,
                  FLAG_MOVE);
}

static int node_of(void *mem)
{
    int node = -1;

    if (syscall(SYS_get_mempolicy, &node, NULL, 0ul, mem, QUERY_NODE | QUERY_ADDRESS) != 0)
        return -1;
    return node;
}

/* Are any of the pages of this mapping huge? The kernel says so in smaps only. */
static int has_huge_pages(const void *mem)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    int inside = 0;
    unsigned long kib = 0, total = 0;

    if (f == NULL)
        return 0;
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)mem >= from && (uintptr_t)mem < to;
        else if (inside && (sscanf(line, "AnonHugePages: %lu kB", &kib) == 1 ||
                            sscanf(line, "ShmemPmdMapped: %lu kB", &kib) == 1 ||
                            sscanf(line, "Shared_Hugetlb: %lu kB", &kib) == 1 ||
                            sscanf(line, "FilePmdMapped: %lu kB", &kib) == 1))
            total += kib;
    }
    (void)fclose(f);
    return total != 0;
}

tribus_status tribus_place_memory(void *mem, size_t bytes, const tribus_place *want,
                                  tribus_place *got)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *first = mem;

    if (mem == NULL || bytes == 0 || (uintptr_t)mem % page != 0 || want->node < -1 ||
        want->node >= NODES_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "place: %zu bytes at a page of their own, node %d of 0..%d",
                                bytes, want->node, NODES_MAX - 1);
    if (want->huge)
        (void)madvise(mem, bytes, MADV_HUGEPAGE); /* a wish */
    if (want->node >= 0)
        bind_to(mem, bytes, want->node);
    for (size_t i = 0; i < bytes; i += page) {
        _Atomic(unsigned char) *byte = (_Atomic(unsigned char) *)(void *)(first + i);

        (void)tribus_add_rlx(byte, (unsigned char)0); /* a write that changes nothing */
    }
    got->huge = has_huge_pages(mem);
    got->node = node_of(mem);
    return TRIBUS_OK;
}
