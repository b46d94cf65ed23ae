#!/usr/bin/env bash
# Everything that needs a real NVIDIA card: wakers, deaths, leases, hosts, results, with two
# cards what crosses between them, and with a second word
# "sanitize" the same under compute-sanitizer. Skipped with the reason where there is no card.
# usage: tools/cuda_test.sh [FOLDER OF THE BUILD] [sanitize]
set -uo pipefail
build=${1:-$(dirname "$0")/../build/release}
tests=$build/tests
failed=0
run() {
    local name=$1
    shift
    echo "== $name"
    timeout 240 "$@"
    local rc=$?
    case $rc in
    0) echo "== $name: passed" ;;
    77) echo "== $name: skipped" ;;
    *) echo "== $name: FAILED ($rc)"; failed=1 ;;
    esac
}
for program in card_work card_quant card_stream card_pipeline card_wakers card_death card_slab card_host \
    card_peer; do
    run "$program" "$tests/$program"
done
run quant_kernels bash "$(dirname "$0")/../tests/system/test_quant_kernels.sh"
if [ "${2:-}" = sanitize ]; then
    if command -v compute-sanitizer >/dev/null; then
        run "card_work under memcheck" env TRIBUS_CARD_ITEMS=2000 \
            compute-sanitizer --tool memcheck --error-exitcode 1 "$tests/card_work"
        run "card_work under racecheck" env TRIBUS_CARD_ITEMS=200 \
            compute-sanitizer --tool racecheck --error-exitcode 1 "$tests/card_work"
    else
        echo "== compute-sanitizer is not installed: skipped"
    fi
fi
exit $failed
