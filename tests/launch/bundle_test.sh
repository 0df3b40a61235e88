#!/usr/bin/env bash
# A bundle has few libraries, needs no library of this machine but those that it may, and works.
#
#   tests/launch/bundle_test.sh PROGRAM CUDA_LIBRARIES    the folder of cudart, cublasLt and NCCL, or
#                                                         "" in builds without CUDA
set -euo pipefail
program=$1
cuda_libraries=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bundle=$scratch/bundle
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

"$root/launch/bundle.sh" "$bundle" "$program"
# The program's PTX is not compressed, so that it can be executed here: it is not counted.
megabytes=$(du -cm "$bundle"/lib/lib* | tail -1 | cut -f1)
((megabytes < 60)) || fail "the libraries of the bundle have $megabytes MB"
! "$root/launch/bundle.sh" "$bundle" "$program" 2>"$scratch/again" || fail 'an old folder was overwritten'
grep -q 'is there already' "$scratch/again" || fail "$(cat "$scratch/again")"

# Moved, without an environment.
mv "$bundle" "$scratch/elsewhere"
bundle=$scratch/elsewhere
run() {
  env -i PATH=/usr/bin:/bin LD_LIBRARY_PATH="$cuda_libraries" "$@"
}
strangers=$(run sh -c "LD_LIBRARY_PATH=$bundle/lib:\$LD_LIBRARY_PATH ldd $bundle/lib/reformer" |
  awk '$2 == "=>" { print $1, $3 }' | grep -vE " ($bundle|$cuda_libraries)/" |
  grep -vE '^(ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|libutil)\.so' || true)
[[ -z $strangers ]] || fail "not in the bundle: $strangers"
run "$bundle/reformer" check | tee "$scratch/check"
[[ $(grep -c '^ok' "$scratch/check") -eq 4 ]] || fail 'not all checks held'
if [[ -n $cuda_libraries ]]; then
  run "$bundle/reformer" check --device cuda --small --json "$scratch/results.json" |
    tee "$scratch/check"
  ! grep -q '^FAILED' "$scratch/check" || fail 'a check of the device failed'
  grep -q '"op": "attention_backward"' "$scratch/results.json" || fail 'no times in the JSON file'
else
  ! run "$bundle/reformer" check --device cuda 2>"$scratch/refusal" || fail 'there is no CUDA here'
  grep -q 'built without CUDA' "$scratch/refusal" || fail "$(cat "$scratch/refusal")"
fi
