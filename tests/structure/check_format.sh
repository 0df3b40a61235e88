#!/usr/bin/env bash
# Fails on a source file that clang-format would change. Exits with 77, which CTest takes as skipped,
# where there is no clang-format.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v clang-format >/dev/null; then
  printf 'skipped: clang-format is not installed\n'
  exit 77
fi
clang-format --version
find . \( -path './.*' -o -path ./build -o -path ./data -o -path ./runs \) -prune -o \
  -type f \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 clang-format --dry-run -Werror
printf 'all sources are formatted\n'
