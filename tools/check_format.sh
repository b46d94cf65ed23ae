#!/bin/sh
# Fail when a C file is not as clang-format 14 would write it. `make format` mends it.
set -eu
format=clang-format
command -v clang-format-14 >/dev/null && format=clang-format-14
command -v "$format" >/dev/null || { echo "clang-format is missing: run make deps" >&2; exit 1; }
git ls-files '*.c' '*.h' | xargs -d '\n' "$format" --dry-run -Werror
