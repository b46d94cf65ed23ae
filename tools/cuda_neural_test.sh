#!/usr/bin/env bash
# Models and Monte-Carlo on a real card: agreement with double arithmetic, then, with the word
# "bench", times as JSON lines on stdout; with "sanitize" the checks under compute-sanitizer.
# Skipped with the reason where there is no card. Needs nvcc, and python3 with numpy and onnx 1.13.
# usage: tools/cuda_neural_test.sh [FOLDER OF THE BUILD] [bench|sanitize]
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build/release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

"$build/tests/card_model" --probe
case $? in
0) ;;
77) exit 77 ;;
*) exit 1 ;;
esac
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[ -x "$nvcc" ] || { echo "skip: no nvcc for tools/cuda_neural_bench.cu"; exit 77; }
"$nvcc" -O3 -arch=sm_90 -I"$root/include" -I"$root/src" -o "$work/bench" \
    "$root/tools/cuda_neural_bench.cu" || exit 1
mkdir "$work/cases"
python3 "$root/tools/cuda_neural_test.py" "$build/tests/card_model" "$work/cases" || failed=1
if [ "${2:-}" = sanitize ]; then
    for tool in memcheck racecheck; do
        compute-sanitizer --tool $tool --report-api-errors no --error-exitcode 1 \
            "$build/tests/card_model" "$work/cases" >"$work/log" || { tail "$work/log"; failed=1; }
        compute-sanitizer --tool $tool --report-api-errors no --error-exitcode 1 "$work/bench" mc --check || failed=1
    done
elif [ "${2:-}" = bench ]; then
    "$work/bench" all || failed=1
    "$build/tests/card_model" --risk "$root/models/forecast.onnx" 439 100000 2000 || failed=1
else
    "$work/bench" all --check >/dev/null || failed=1
fi
exit $failed
