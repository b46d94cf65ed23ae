#!/usr/bin/env bash
# Every kernel header of src/quant compiles as CUDA C++ as well as C11, and where there is a card
# gives there what it gives on the host (tests/cuda/quant_kernels.cu); skipped without nvcc.
# usage: test_quant_kernels.sh [PROGRAM TO BUILD]   only builds it
set -euo pipefail
cd "$(dirname "$0")/../.."
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
[ -n "$nvcc" ] || { echo "skip: nvcc is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program=${1:-$work/quant_kernels}
for kernel in $(grep -ho 'TRIBUS_FN [a-z_0-9]* [a-z_0-9]*(' src/quant/{philox,normal,mc,flow,sweep}.h | sed 's/.* //; s/(//'); do
    grep -q "$kernel(" tests/cuda/quant_kernels.cu src/quant/{normal,mc,flow}.h ||
        { echo "$kernel is not in tests/cuda/quant_kernels.cu"; exit 1; }
done
"$nvcc" -arch=sm_90 --fmad=false -Xcompiler -ffp-contract=off -Werror all-warnings -I src \
    tests/cuda/quant_kernels.cu -o "$program"
echo "kernels compile as CUDA C++"
[ $# -eq 0 ] || exit 0
"$program" || [ $? -eq 77 ]
