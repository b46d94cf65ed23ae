#!/bin/sh
# Fail on memory-order words outside base/atomic.h, on volatile and fences, and on an R label
# whose A is missing from the same file.
# usage: tools/check_atomics.sh [src]
set -eu
src=${1:-src}
bad=0
words='memory_order_|atomic_thread_fence|__atomic_|__sync_|\bvolatile\b'
if grep -rnE "$words" "$src" include --include='*.c' --include='*.h' |
    grep -v '/base/atomic\.h:' | grep -vE '__asm__ volatile'; then
    echo "use the words of base/atomic.h" >&2
    bad=1
fi
for file in $(grep -rlE '\bR[0-9]+ pairs with A[0-9]+' "$src" --include='*.c' --include='*.h' || true); do
    for n in $(grep -oE '\bR[0-9]+ pairs' "$file" | grep -oE '[0-9]+' | sort -u); do
        grep -qE "\bA$n pairs with R$n\b" "$file" || { echo "$file: R$n has no A$n" >&2; bad=1; }
    done
done
exit $bad
