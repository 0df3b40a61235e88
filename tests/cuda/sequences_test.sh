#!/usr/bin/env bash
# Ranks that share sequences, with a GPU each, all of them interpreted: the losses, the parameters and
# the held-out loss of one rank, whether they share heads, buckets or both.
#
#   tests/cuda/sequences_test.sh PROGRAM      needs PTX_DEVICES=4
set -u

program=$1
source "$(dirname "${BASH_SOURCE[0]}")/../launch/testing.sh"

# Four leaves, the last one not full. Tensor cores take heads of 32 in BFLOAT16.
cat >long.txtpb <<'CONFIG'
data { source: DUPLICATION length: 400 symbols: 20 }
model {
  vocabulary: 32 width: 128 ff_width: 32 heads: 4 layers: 3 dropout: 0.1 attention_dropout: 0.1
  attention_pattern: [LSH, LOCAL, FULL]
  lsh { chunk_length: 32 rounds: 2 } local { chunk_length: 32 }
}
training { batch: 1 steps: 2 schedule { rate: 0.003 warmup: 1 } }
evaluation { sequences: 1 lsh_queries: 1 }
execution { device: CUDA leaf_tokens: 128 timeout_seconds: 600 }
CONFIG

# train RUN RANKS SETTING…
train() {
  local run=$1 ranks=$2
  shift 2
  expect_success "$run" on "$ranks" train long.txtpb --run-dir "$run" --stop-at 1 "${@/#/--set=}"
}

# A model, its layouts as heads × buckets, and what is set. The first step changes the parameters.
while read -r model layouts settings; do
  # shellcheck disable=SC2086  # several words
  train "$model" 1 $settings
  for layout in ${layouts//,/ }; do
    heads=${layout%x*} ranks=$((heads * ${layout#*x}))
    run=$model-$layout
    # shellcheck disable=SC2086
    train "$run" "$ranks" $settings parallel.sequence=$ranks parallel.heads="$heads"
    check "$run: over NCCL" grep -q NCCL out.txt
    check "$run: the losses of one rank" [ "$(losses "$run")" = "$(losses "$model")" ]
    check "$run: the parameters of one rank" [ "$(digest "$run")" = "$(digest "$model")" ]
  done
done <<'MODELS'
strict 2x1,1x2,2x2 execution.compute=FLOAT32
strict_bfloat16 2x1,1x2,2x2 execution.compute=BFLOAT16
chunked 2x1,1x2,2x2 execution.compute=FLOAT32 model.lsh.mode=CHUNKED
chunked_bfloat16 2x1,1x2,2x2 execution.compute=BFLOAT16 model.lsh.mode=CHUNKED model.lsh.correct_duplicates=true
MODELS

expect_success "eval on one rank" "$program" eval strict_bfloat16
tail -1 out.txt >expected.txt
expect_success "eval on two" on 2 eval strict_bfloat16 --set parallel.sequence=2 \
  --set parallel.heads=1
check "the held-out loss of one rank" [ "$(tail -1 out.txt)" = "$(cat expected.txt)" ]

finish
