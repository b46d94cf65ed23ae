#!/usr/bin/env bash
# The fabric compiles for arm64 and its tests pass under qemu-user.
set -euo pipefail
cd "${TRIBUS_SOURCE:-$(dirname "$0")/../..}"
exec tools/check_arm64.sh "${TRIBUS_BUILD:-build/release}/arm64"
