#!/usr/bin/env bash
# The program starts with the vendor's libraries where there is no GPU, and says so in one line.
#
#   tests/cuda/no_gpu_test.sh PROGRAM
set -uo pipefail
program=$1

[[ ! -e /dev/nvidiactl ]] || {
  printf 'skipped: there is a GPU\n'
  exit 77
}
said=$("$program" check --device cuda 2>&1)
status=$?
printf '%s\n' "$said"
[[ $status -eq 5 ]] || {
  printf 'FAILED: exit status %d\n' "$status"
  exit 1
}
[[ $said == 'reformer: error: there is no CUDA device: '* && $(wc -l <<<"$said") -eq 1 ]] || {
  printf 'FAILED: not the line that was expected\n'
  exit 1
}
