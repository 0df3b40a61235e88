#!/usr/bin/env bash
# The program on GPUs that are interpreted: one rank and several train to the same bits, a run goes on
# on another number of ranks, and what cannot work is refused.
#
#   tests/cuda/program_test.sh PROGRAM      needs PTX_DEVICES=4
set -euo pipefail
program=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

cat >"$scratch/tiny.txtpb" <<'CONFIG'
data { source: DUPLICATION length: 96 symbols: 20 }
model {
  vocabulary: 32 width: 64 ff_width: 64 heads: 2 layers: 3 dropout: 0.1
  attention_pattern: [LSH, LOCAL, FULL]
  lsh { chunk_length: 16 rounds: 2 } local { chunk_length: 16 }
}
training { batch: 4 steps: 3 schedule { rate: 0.003 warmup: 1 } }
evaluation { sequences: 4 lsh_queries: 1 }
execution { device: CUDA leaf_tokens: 128 timeout_seconds: 120 }
CONFIG

# train RANKS NAME ARGUMENTS…
train() {
  local ranks=$1 name=$2
  shift 2
  local command=("$program" train "$scratch/tiny.txtpb" --run-dir "$scratch/$name" "$@")
  if [[ $ranks -gt 1 ]]; then
    "$root/tests/comm/mpirun.sh" "$ranks" "${command[@]}"
  else
    "${command[@]}"
  fi
}
digest() {
  "$program" inspect "$scratch/$1" | grep '^parameter digest'
}

for compute in FLOAT32 BFLOAT16; do
  train 1 "$compute-1" --set execution.compute=$compute --set training.micro_batch=2 |
    tee "$scratch/log"
  grep -q 'CUDA device 0: PTX interpreter' "$scratch/log" || fail 'not on the device'
  grep -q 'workspace of the kernels' "$scratch/log" || fail 'no workspace was planned'
  train 2 "$compute-2" --set execution.compute=$compute >"$scratch/log" ||
    fail "$(cat "$scratch/log")"
  grep -q NCCL "$scratch/log" || fail 'two ranks without NCCL'
  # How well the hash works does not depend on the dtype.
  found=$(grep -oE 'LSH finds [0-9]+' "$scratch/log" | grep -oE '[0-9]+$')
  ((found >= 45)) || fail "$compute: LSH finds $found% of the attention"
  [[ $(digest "$compute-1") == "$(digest "$compute-2")" ]] || fail "$compute: two ranks, other bits"
done
train 4 four --set execution.compute=BFLOAT16 >"$scratch/log" || fail "$(cat "$scratch/log")"
[[ $(digest BFLOAT16-1) == "$(digest four)" ]] || fail 'four ranks, other bits'
train 1 stopped --set execution.compute=BFLOAT16 --stop-at 1 >/dev/null
train 2 stopped --set execution.compute=BFLOAT16 >/dev/null
[[ $(digest BFLOAT16-1) == "$(digest stopped)" ]] || fail 'resumed on two ranks, other bits'
printf 'ok: the same bits on 1, 2 and 4 ranks\n'

# What was trained on the GPU is evaluated and continued there, and on the CPU.
"$program" eval "$scratch/BFLOAT16-1"
"$program" eval "$scratch/BFLOAT16-1" --set execution.device=CPU --set execution.compute=FLOAT32
if "$program" eval "$scratch/BFLOAT16-1" --set execution.device=CPU 2>"$scratch/log"; then
  fail 'BFLOAT16 on the CPU'
fi
grep -q 'does not compute in BFLOAT16' "$scratch/log" || fail "$(cat "$scratch/log")"

# refuse CODE TEXT COMMAND…
refuse() {
  local code=$1 text=$2 status=0
  shift 2
  "$@" >"$scratch/log" 2>&1 || status=$?
  [[ $status -eq $code ]] || fail "exit status $status instead of $code: $(cat "$scratch/log")"
  grep -q "$text" "$scratch/log" || fail "$(cat "$scratch/log")"
}
PTX_DEVICES=1 refuse 5 'two ranks on one GPU' train 2 shared
PTX_DEVICES=0 refuse 5 'no CUDA device' train 1 none
PTX_MEMORY=1M refuse 5 'are available' train 1 large
printf 'ok: refusals\n'
