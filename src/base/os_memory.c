/* os_memory.c -- memory files, mappings and limits; see os.h. */
#include "base/error.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static size_t read_number(const char *path)
{
    char line[64];
    unsigned long long n = 0;
    FILE *f = fopen(path, "re");

    if (f == NULL)
        return 0;
    if (fgets(line, sizeof(line), f) != NULL)
        n = strtoull(line, NULL, 10); /* "max" gives 0: no limit */
    (void)fclose(f);
    return (size_t)n;
}

static size_t memory_available(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");

    if (f == NULL)
        return SIZE_MAX;
    while (fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    (void)fclose(f);
    return kib == 0 ? SIZE_MAX : (size_t)kib * 1024u;
}

/* The cgroup v2 or v1 memory limit of this process minus what it uses. */
static size_t cgroup_left(void)
{
    char line[512];
    size_t left = SIZE_MAX;
    FILE *f = fopen("/proc/self/cgroup", "re");

    if (f == NULL)
        return left;
    while (fgets(line, sizeof(line), f) != NULL) {
        char *path = strrchr(line, ':');
        const char *root, *max_name, *now_name;
        char file[640];
        size_t max, now;

        if (path == NULL)
            continue;
        path++;
        path[strcspn(path, "\n")] = '\0';
        if (strncmp(line, "0::", 3) == 0) {
            root = "/sys/fs/cgroup";
            max_name = "memory.max";
            now_name = "memory.current";
        } else if (strstr(line, ":memory:") != NULL) {
            root = "/sys/fs/cgroup/memory";
            max_name = "memory.limit_in_bytes";
            now_name = "memory.usage_in_bytes";
        } else {
            continue;
        }
        (void)snprintf(file, sizeof(file), "%s%s/%s", root, path, max_name);
        max = read_number(file);
        (void)snprintf(file, sizeof(file), "%s%s/%s", root, path, now_name);
        now = read_number(file);
        if (max != 0 && max < ((size_t)1 << 60) && (max > now ? max - now : 0) < left)
            left = max > now ? max - now : 0;
    }
    (void)fclose(f);
    return left;
}

size_t tribus_os_memory_left(const char **where)
{
    size_t left = memory_available();
    const size_t group = cgroup_left();
    struct rlimit limit;

    *where = "available memory (MemAvailable)";
    if (group < left) {
        left = group;
        *where = "the memory limit of this cgroup";
    }
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        size_t used = 0, room;
        FILE *f = fopen("/proc/self/statm", "re");

        if (f != NULL) {
            unsigned long pages = 0;

            if (fscanf(f, "%lu", &pages) == 1)
                used = (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
            (void)fclose(f);
        }
        room = limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
        if (room < left) {
            left = room;
            *where = "the address-space limit (ulimit -v)";
        }
    }
    return left;
}

static tribus_status no_room(const char *name, size_t bytes, size_t left, const char *where)
{
    return tribus_error_set(
        TRIBUS_NO_MEMORY,
        "memory for %s: %zu MiB needed, %zu MiB left of %s; lower the "
        "sizes under `memory:` in the platform file, or raise that limit",
        name, bytes >> 20, left >> 20, where);
}

tribus_status tribus_os_memory_create(const char *name, size_t bytes, const char *dir,
                                      int *out_fd)
{
    const char *where;
    const size_t left = tribus_os_memory_left(&where);
    tribus_status st;
    int fd, err;

    if (bytes == 0 || bytes > (size_t)INT64_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG, "memory for %s: %zu bytes is no size", name,
                                bytes);
    if (bytes > left)
        return no_room(name, bytes, left, where);
    if (dir == NULL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    else
        fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "memory for %s in %s", name,
                                dir == NULL ? "memfd" : dir);
    err = ftruncate(fd, (off_t)bytes) != 0 ? errno : posix_fallocate(fd, 0, (off_t)bytes);
    if (err != 0) {
        struct statvfs fs;

        if ((err == ENOSPC || err == ENOMEM) && dir != NULL && fstatvfs(fd, &fs) == 0) {
            st = no_room(name, bytes, (size_t)fs.f_bavail * fs.f_bsize, dir);
        } else if (err == ENOSPC || err == ENOMEM) {
            st = no_room(name, bytes, left, where);
        } else {
            errno = err;
            st = tribus_error_set(TRIBUS_SYSTEM, "memory for %s: %zu bytes", name, bytes);
        }
        (void)close(fd);
        return st;
    }
    if (dir == NULL &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        st = tribus_error_set(TRIBUS_SYSTEM, "seal memory for %s", name);
        (void)close(fd);
        return st;
    }
    *out_fd = fd;
    return TRIBUS_OK;
}

tribus_status tribus_os_map(int fd, size_t bytes, bool writable, bool populate, void **out)
{
    struct stat s;
    void *mem;

    if (fstat(fd, &s) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "map: size of the memory file");
    if (bytes == 0 || s.st_size < 0 || (uint64_t)s.st_size < bytes)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "map: %zu bytes announced, the memory file has %lld", bytes,
                                (long long)s.st_size);
    mem = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
               MAP_SHARED | (populate ? MAP_POPULATE : 0), fd, 0);
    if (mem == MAP_FAILED)
        return tribus_error_set(errno == ENOMEM ? TRIBUS_NO_MEMORY : TRIBUS_SYSTEM,
                                "map %zu bytes", bytes);
    *out = mem;
    return TRIBUS_OK;
}

void tribus_os_unmap(void *mem, size_t bytes)
{
    if (mem != NULL)
        (void)munmap(mem, bytes);
}

size_t tribus_os_resident_bytes(pid_t pid)
{
    char path[64];
    unsigned long total, resident = 0;
    FILE *f;

    if (pid == 0)
        pid = getpid();
    (void)snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
    f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    (void)fclose(f);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

size_t tribus_os_cache_bytes(void)
{
    size_t best = 0;

    for (int level = 0; level < 8; level++) {
        char path[96];
        size_t kib;

        (void)snprintf(path, sizeof(path),
                       "/sys/devices/system/cpu/cpu0/cache/index%d/size", level);
        kib = read_number(path);
        if (kib * 1024u > best)
            best = kib * 1024u;
    }
    return best != 0 ? best : (size_t)8 << 20;
}
