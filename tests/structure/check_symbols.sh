#!/usr/bin/env bash
# Fails when a program shows symbols of the Protobuf library to the libraries that it loads, or takes
# them from there: libsentencepiece has another version inside, and a mixture crashes.
#
#   tests/structure/check_symbols.sh PROGRAM…
set -euo pipefail

status=0
for program in "$@"; do
  symbols=$(nm -D "$program")
  if [ -z "$symbols" ]; then
    echo "$program: no symbols to look at"
    status=1
  elif grep -q 6google8protobuf <<<"$symbols"; then
    echo "$program: shares symbols of Protobuf, such as"
    grep 6google8protobuf <<<"$symbols" | c++filt | head -5
    status=1
  fi
done
exit $status
