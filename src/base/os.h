/* os.h -- the operating system, Linux: memory files, descriptors, futex, processes, limits.
 *
 * Every function that can fail sets the error text. Nothing here prints or exits.
 */
#ifndef TRIBUS_BASE_OS_H
#define TRIBUS_BASE_OS_H

#include "tribus/base.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* ---- memory ---- */

/* A new memory file of `bytes` bytes, sealed against shrinking and growing, close-on-exec.
 * dir NULL: a memfd. Else an unlinked file in that tmpfs folder (for folders mounted with
 * huge=advise); those cannot be sealed. The pages are reserved here, so a full tmpfs or an
 * exhausted memory limit is an error now and not a SIGBUS later.
 * Returns TRIBUS_OK, TRIBUS_NO_MEMORY (text says how much there is) or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_os_memory_create(const char *name, size_t bytes,
                                                        const char *dir, int *out_fd);

/* Map a whole memory file. Checks the real size first, so that no later access can fault:
 * a file smaller than `bytes` gives TRIBUS_CORRUPT. populate: touch every page now.
 * Returns TRIBUS_OK, TRIBUS_CORRUPT, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_os_map(int fd, size_t bytes, bool writable,
                                              bool populate, void **out);
void tribus_os_unmap(void *mem, size_t bytes);

/* Bytes this process may still take: the least of available memory, the cgroup's limit and
 * RLIMIT_AS. where: set to the name of the one that binds, a constant. */
size_t tribus_os_memory_left(const char **where);

/* Resident bytes of a process (0: this one); 0 when it cannot be read. */
size_t tribus_os_resident_bytes(pid_t pid);

/* Bytes of last-level cache that one core sees; 8 MiB when the kernel does not say. */
size_t tribus_os_cache_bytes(void);

/* ---- futex: 32-bit words in shared memory ---- */

/* Sleep while *word == expected, at most timeout_ns (negative: no limit). May return early.
 * Returns TRIBUS_OK (woken, changed, interrupted), TRIBUS_TIMEOUT or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_os_futex_wait(_Atomic(uint32_t) *word,
                                                     uint32_t expected, int64_t timeout_ns);
void tribus_os_futex_wake(_Atomic(uint32_t) *word, int count);

/* Sleep while every words[i] == expected[i], count 1..128. Where the kernel lacks
 * futex_waitv (before 5.16) this sleeps in steps of at most 1 ms.
 * Returns as tribus_os_futex_wait(). */
TRIBUS_MUST_CHECK tribus_status tribus_os_futex_wait_any(_Atomic(uint32_t) *const *words,
                                                         const uint32_t *expected,
                                                         uint32_t count,
                                                         int64_t timeout_ns);

/* ---- a word by which others see that a thread has ended ---- */

/* In a word's bit 30: its thread ended. Before, the word is the thread's number. */
#define TRIBUS_OS_ENDED UINT32_C(0x40000000)

/* The kernel's list of robust futexes of a thread, with one entry. */
typedef struct tribus_os_mark {
    void *first; /* as struct robust_list_head */
    long word_offset;
    void *pending;
    void *next; /* as struct robust_list: the entry */
    void *before;
    size_t before_bytes;
    _Atomic(uint32_t) *word;
} tribus_os_mark;

/* Put the calling thread's number into *word; when the thread ends, however it ends, the kernel
 * sets TRIBUS_OS_ENDED there. So whoever maps the word sees a death without a system call.
 * mark and word: borrowed until clear, by the same thread, which must lock no robust mutex
 * meanwhile. Where the kernel cannot do it (qemu-user), *word is 0. */
void tribus_os_mark_set(tribus_os_mark *mark, _Atomic(uint32_t) *word);
void tribus_os_mark_clear(tribus_os_mark *mark);

/* ---- descriptors over Unix sockets ---- */

/* Send bytes with up to 8 descriptors in one message (SCM_RIGHTS). fds may be NULL. Never
 * raises SIGPIPE. Returns TRIBUS_OK, TRIBUS_FULL (would block), TRIBUS_PEER_LOST or
 * TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_os_send(int sock, const void *bytes, size_t n,
                                               const int *fds, uint32_t fd_count);

/* Receive one message of at most n bytes and up to *fd_count descriptors (set to the number
 * got; close-on-exec; owned by the caller). *got: bytes received.
 * timeout_ns: negative for no limit, 0 for "now or never".
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT, TRIBUS_PEER_LOST (end of file), TRIBUS_BAD_DATA
 * (message or descriptors did not fit) or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_os_receive_wait(int sock, void *bytes, size_t n,
                                                       size_t *got, int *fds,
                                                       uint32_t *fd_count,
                                                       int64_t timeout_ns);

/* ---- processes ---- */

/* A descriptor that polls readable when the process ends. */
TRIBUS_MUST_CHECK tribus_status tribus_os_pidfd(pid_t pid, int *out_fd);

/* When the process started, in clock ticks since boot: with the pid, an identity that a
 * recycled pid does not have. 0 when there is no such process. */
uint64_t tribus_os_start_time(pid_t pid);

/* Whether the process with this pid and tribus_os_start_time() still runs. One that ended and
 * was not waited for yet does not; a stopped one does. */
bool tribus_os_process_runs(pid_t pid, uint64_t start_time);

/* Run this thread on one core. Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_os_pin(int core);
int tribus_os_core_count(void);

/* Ask for slices of so many nanoseconds (at least 100 us) for this thread: on Linux 6.12 and later
 * one with short slices takes the core, when it wakes, from one that has longer; without, it may
 * wait for the other's slice, some 3 ms. Older kernels take the wish and ignore it; a thread
 * with a real-time policy is left as it is. Needs no right. Returns TRIBUS_OK or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_os_slice(int64_t slice_ns);

/* Deliver this signal to the caller when its parent dies. */
void tribus_os_die_with_parent(int signal_number);

/* Create each missing folder of a path, mode 0700. */
TRIBUS_MUST_CHECK tribus_status tribus_os_make_folders(const char *path);

/* The same for the runtime folder: one that somebody else owns, or may write to without the
 * sticky bit, would let him put his own socket or file where we expect ours. Returns also
 * TRIBUS_REFUSED with a text that says so. */
TRIBUS_MUST_CHECK tribus_status tribus_os_private_folder(const char *folder);

/* Read a whole file, with a final zero byte that *bytes does not count. max_bytes guards
 * against a file that is not what it should be. out: owned by the caller, free().
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_BAD_DATA (larger than max_bytes),
 * TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_os_read_file(const char *path, size_t max_bytes,
                                                    char **out, size_t *bytes);

#endif
