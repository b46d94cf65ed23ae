#!/usr/bin/env bash
# Every kernel header of src/quant compiles as CUDA C++ as well as C11; skipped without nvcc.
set -euo pipefail
cd "$(dirname "$0")/../.."
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
[ -n "$nvcc" ] || { echo "skip: nvcc is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/kernels.cu" <<'CUDA'
#include "quant/flow.h"
#include "quant/mc.h"
#include "quant/sweep.h"

extern "C" __global__ void paths(const float *loading, unsigned assets, float nu, float *out)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;

    out[i] = tribus_mc_path(loading, assets, 0.0f, nu, i, 1);
}

extern "C" __global__ void flow(const float *a, const float *b, float *out)
{
    out[0] = tribus_flow_vpin(a, b, 50u, 1.0f) + tribus_flow_buy_share(a[0], b[0]);
    out[1] = tribus_flow_imbalance(a, 10u) + tribus_flow_micro_offset(a) + tribus_flow_ofi(a, b);
}

extern "C" __global__ void sweep(const float *a, const float *b, tribus_sweep_result *out)
{
    out[threadIdx.x] = tribus_sweep_pair(a, b, a, b, 0u, 100u, 0.0f);
}
CUDA
"$nvcc" -arch=sm_90 --fmad=false -Werror all-warnings -I src -c "$work/kernels.cu" -o "$work/kernels.o"
echo "kernels compile as CUDA C++"
