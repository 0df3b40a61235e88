#!/usr/bin/env bash
# Trains, exports, and has Hugging Face's library load the result; imports what that library wrote. Exits
# with 77 where there is none.
# Usage: check_export.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
python=${PYTHON:-python3}
if ! "$python" -c 'import torch, transformers, safetensors' 2>/dev/null; then
  echo 'skipped: no PyTorch, transformers and safetensors here (PYTHON names another interpreter)'
  exit 77
fi
source "$(dirname "${BASH_SOURCE[0]}")/../launch/testing.sh"
make_tiny "$configs"

# expect_same_loss RUN FOLDER [BYTE_OFFSET]: of all held-out text, by our evaluation and by the library's model.
expect_same_loss() {
  local range loss
  expect_success "evaluate $1" "$program" eval "$1" --set evaluation.sequences=0
  range=$(sed -n 's/.*held-out \[\([0-9]*\), \([0-9]*\)).*/\1 \2/p' out.txt)
  loss=$(sed -n 's/.*held-out loss \([0-9.]*\),.*/\1/p' out.txt)
  expect_success "the library finds the same loss with $2" \
    "$python" "$tests/golden/check_export.py" "$2" text.txt $range 128 "$loss" "${3:-0}"
  cat out.txt
}

# Local attention draws nothing at random, so the held-out loss must be the same.
expect_success "train a LOCAL model" "$program" train tiny.txtpb --run-dir local \
  --set 'model.attention_pattern=[LOCAL]' --set model.lsh=
expect_success "export it" "$program" export local exported-local
expect_same_loss local exported-local

expect_success "train a CHUNKED model" "$program" train tiny.txtpb --run-dir chunked \
  --set model.lsh.mode=CHUNKED --set model.lsh.rounds=4
expect_success "export it" "$program" export chunked exported-chunked
expect_success "the library loads it" "$python" "$tests/golden/check_export.py" exported-chunked

for form in safetensors bin old float16; do
  expect_success "a LOCAL model of the library, $form" \
    "$python" "$tests/golden/make_reformer.py" "theirs-$form" local,local "$form"
  expect_success "import it" "$program" import --from hf "theirs-$form" "ours-$form" --set data.path=text.txt
  expect_same_loss "ours-$form" "theirs-$form"
done
expect_success "bytes begin at token 2, as in google/reformer-enwik8" \
  "$program" import --from hf theirs-bin shifted --set data.path=text.txt --set data.byte_offset=2
expect_same_loss shifted theirs-bin 2

# Eight rounds of random rotations find nearly the same neighbours here and there.
expect_success "a model with both kinds of layers" \
  "$python" "$tests/golden/make_reformer.py" theirs-mixed local,lsh,local,lsh bin
expect_success "import it" "$program" import --from hf theirs-mixed ours-mixed --set data.path=text.txt
TOLERANCE=0.02 expect_same_loss ours-mixed theirs-mixed

finish
