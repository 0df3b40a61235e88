#!/usr/bin/env bash
# A program that PTX_COVERAGE is set for leaves a file that names its kernels.
#
#   tests/ptx/runtime/programs/coverage.sh PROGRAM
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
PTX_COVERAGE="$folder/made" "$1"
files=("$folder"/made/*)
[ ${#files[@]} -eq 1 ]
grep -q sum_warps "${files[0]}"
