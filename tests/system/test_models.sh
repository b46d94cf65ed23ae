#!/usr/bin/env bash
# The spin models hold, and each change that should break one is found out.
set -euo pipefail
cd "${TRIBUS_SOURCE:-$(dirname "$0")/../..}"
exec tools/check_models.sh
