#!/usr/bin/env bash
# Cross-compile the fabric for arm64 and run its unit tests under qemu-user: what relies on x86
# ordering or word sizes shows in the generated code's behaviour only by luck, but what does
# not compile, or asks the kernel for something of x86, shows for certain. docs/ordering.md says
# what this proves and what not.
# usage: tools/check_arm64.sh [folder]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/arm64}
cc=${ARM64_CC:-aarch64-linux-gnu-gcc}
qemu=${ARM64_QEMU:-qemu-aarch64}
for tool in "$cc" "$qemu"; do
    command -v "$tool" >/dev/null || { echo "skip: $tool is not installed; make deps" >&2; exit 77; }
done
mkdir -p "$out"

flags=(-std=c11 -O2 -g -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
    -Wundef -Werror -fno-strict-overflow -ffp-contract=off -D_GNU_SOURCE -Iinclude -Isrc -Itests)
base=(src/base/clock.c src/base/error.c src/base/log.c src/base/os_futex.c
    src/base/os_memory.c src/base/os_process.c src/base/random.c)
fabric=(src/fabric/counter.c src/fabric/doorbell.c src/fabric/histogram.c src/fabric/lanes.c
    src/fabric/place.c src/fabric/region.c src/fabric/ring.c src/fabric/ring_latest.c src/fabric/slot.c
    src/fabric/timeline.c src/fabric/topic.c src/fabric/watch.c)

build() { # build <folder> <extra flag> <source>...
    local folder=$out/$1 extra=$2 source object
    shift 2
    mkdir -p "$folder"
    for source in "$@"; do
        object=$folder/$(basename "${source%.c}").o
        if [ ! "$object" -nt "$source" ] || [ -n "$(find include src/base src/fabric -name '*.h' -newer "$object")" ]; then
            printf '%q ' "$cc" "${flags[@]}" "$extra" -c "$source" -o "$object" && echo
        fi
    done | xargs -r -P "$(nproc)" -d '\n' -I{} sh -c '{}'
}
build plain -DPLAIN "${base[@]}" "${fabric[@]}"
build steps -DTRIBUS_STEPS "${fabric[@]}"

bad=0
for name in counter histogram doorbell timeline ring ring_latest topic region slot lanes watch place \
    hostile kill kill_slot kill_topic kill_lanes; do
    objects=("$out"/plain/{clock,error,log,os_futex,os_memory,os_process,random}.o)
    variant=plain
    [[ $name == kill* ]] && variant=steps
    for source in "${fabric[@]}"; do
        objects+=("$out/$variant/$(basename "${source%.c}").o")
    done
    "$cc" "${flags[@]}" -static -o "$out/test_$name" "tests/unit/test_$name.c" "${objects[@]}" \
        -lpthread -lm
    if TRIBUS_KILLS=${TRIBUS_KILLS:-60} TRIBUS_ROUNDS=${TRIBUS_ROUNDS:-300} \
        timeout 300 "$qemu" "$out/test_$name" >"$out/test_$name.log" 2>&1; then
        echo "arm64 test_$name: passed"
    else
        echo "arm64 test_$name: failed" >&2
        tail -5 "$out/test_$name.log" >&2
        bad=1
    fi
done
exit $bad
