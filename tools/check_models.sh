#!/usr/bin/env bash
# Check the spin models of tests/model: each holds as it is, and each of the listed changes to
# it is found out. A model that cannot fail proves nothing.
# usage: tools/check_models.sh [folder for spin's files]
set -euo pipefail
cd "$(dirname "$0")/.."
models=$PWD/tests/model
work=${1:-$(mktemp -d)}
command -v spin >/dev/null || { echo "skip: spin is not installed" >&2; exit 77; }
cd "$work"

# Prints the number of errors spin found.
check() {
    local name=$1 flags=$2
    spin $flags -a "$models/$name.pml" >/dev/null
    gcc -O2 -w -DSAFETY -DCOLLAPSE -DNOREDUCE -DVECTORSZ=4096 -o pan pan.c
    ./pan -m200000 -w24 | sed -n 's/.*errors: \([0-9]*\).*/\1/p'
}

bad=0
expect() {
    local want=$1 name=$2 flags=${3:-} errors
    errors=$(check "$name" "$flags")
    if [ "$want" = holds ] && [ "$errors" = 0 ]; then
        echo "$name${flags:+ $flags}: holds"
    elif [ "$want" = fails ] && [ "$errors" != 0 ]; then
        echo "$name $flags: found out"
    else
        echo "$name $flags: should be: $want, errors: $errors" >&2
        bad=1
    fi
}

expect holds doorbell
expect holds doorbell -DPARTS
expect fails doorbell -DNO_COUNT
expect fails doorbell -DNO_LOOK
expect holds reclaim
expect fails reclaim -DSLOT_FIRST
expect fails reclaim -DNO_WITHDRAW
expect fails reclaim -DNO_RECOVER
expect holds holders
expect fails holders -DCOUNT
expect holds shared
expect fails shared -DNO_LOANER
expect fails shared -DLATE_LOANER
expect fails shared -DNO_LOANS
exit $bad
