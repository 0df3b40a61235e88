#!/usr/bin/env bash
# Trains, exports, and has Hugging Face's library load the result; exits with 77 where there is none.
# Usage: check_export.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import torch, transformers, safetensors' 2>/dev/null; then
  echo 'skipped: no PyTorch, transformers and safetensors here (PYTHON names another interpreter)'
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source "$tests/launch/testing.sh"
cd "$work" || exit 1
make_tiny "$configs"

# Local attention draws nothing at random, so the held-out loss must be the same.
expect_success "train a LOCAL model" "$program" train tiny.txtpb --run-dir local \
  --set 'model.attention_pattern=[LOCAL]' --set model.lsh=
expect_success "export it" "$program" export local exported-local
expect_success "evaluate it" "$program" eval local --set evaluation.sequences=0
range=$(sed -n 's/.*held-out \[\([0-9]*\), \([0-9]*\)).*/\1 \2/p' out.txt)
loss=$(sed -n 's/.*held-out loss \([0-9.]*\),.*/\1/p' out.txt)
expect_success "the library finds the same loss" \
  "$python" "$tests/golden/check_export.py" exported-local text.txt $range 128 "$loss"
cat out.txt

expect_success "train a CHUNKED model" "$program" train tiny.txtpb --run-dir chunked \
  --set model.lsh.mode=CHUNKED --set model.lsh.rounds=4
expect_success "export it" "$program" export chunked exported-chunked
expect_success "the library loads it" "$python" "$tests/golden/check_export.py" exported-chunked

finish
