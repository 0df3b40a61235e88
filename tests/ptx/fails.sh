#!/usr/bin/env bash
# Succeeds when a program fails, be it by a signal, and says why: prints a text on stdout or stderr.
#
#   tests/ptx/fails.sh TEXT PROGRAM [ARGUMENT…]
set -uo pipefail

text=$1
shift
output=$("$@" 2>&1)
status=$?
printf '%s\n' "$output"
if [ $status -eq 0 ]; then
  echo "did not fail"
  exit 1
fi
if ! grep -qF -- "$text" <<<"$output"; then
  echo "failed with $status, without the text \"$text\""
  exit 1
fi
