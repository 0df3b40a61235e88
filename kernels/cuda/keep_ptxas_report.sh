#!/usr/bin/env bash
# Runs the compiler command $@ and keeps what ptxas says of registers and memory in OBJECT.ptxas, for
# tests/cuda/resources_test.sh. Everything else that the compiler says is passed on.
set -uo pipefail

object=
for ((i = 1; i < $#; ++i)); do
  [[ ${!i} != -o ]] || {
    next=$((i + 1))
    object=${!next}
  }
done
[[ $object == *.o ]] || exec "$@"

messages=$("$@" 2>&1)
status=$?
printf '%s\n' "$messages" | grep -E '^ptxas info|bytes stack frame' >"$object.ptxas"
printf '%s\n' "$messages" |
  grep -vE '^ptxas info|bytes stack frame|bytes cumulative stack|^ *$' >&2
exit "$status"
