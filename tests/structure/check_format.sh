#!/usr/bin/env bash
# Fails on a source file that clang-format would change. Where clang-format is missing it says so and
# exits with 77, which CTest is told to take for skipped (SKIP_RETURN_CODE).
set -euo pipefail
cd "${1:-"$(dirname "${BASH_SOURCE[0]}")/../.."}"

if ! command -v clang-format >/dev/null; then
  printf 'skipped: clang-format is not installed\n'
  exit 77
fi
clang-format --version
find . \( -path './.*' -o -path ./build -o -path ./data -o -path ./runs \) -prune -o \
  -type f \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 clang-format --dry-run -Werror
printf 'all sources are formatted\n'
