#!/usr/bin/env bash
# Imports weights of Hugging Face's Reformer, goes on with them, and refuses what it must.
# Usage: import_test.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
torch=$(cd "$(dirname "${BASH_SOURCE[0]}")/../torch" && pwd)
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
head -c 20000 "$configs/persuasion.txt" >text.txt

# What a library wrote, with pytorch_model.bin.
settings=(--set data.path=text.txt --set training.steps=3 --set training.schedule.warmup=0
  --set evaluation.sequences=4 --set checkpoint.keep=9 --set execution.threads=1)
expect_success "import of pytorch_model.bin" "$program" import --from hf "$torch/model" run "${settings[@]}"
check "it says where training goes on" grep -q "reformer train run/config.txtpb" out.txt
check "and keeps that in the log" grep -q "7386 parameters from .*/pytorch_model.bin" run/train.log
check "the overrides are in the configuration" grep -q "steps: 3" run/config.txtpb
check "relative data begin where the program was started" grep -q "path: \"$PWD/text.txt\"" run/config.txtpb
expect_success "inspect" "$program" inspect run
check "LSH layers are CHUNKED" grep -q "layer 1: LSH CHUNKED, 2 rounds, 8 buckets (2 x 4), chunk 16" out.txt
check "it is of step 0" grep -q "step 0 of 3" out.txt
imported=$(digest run)
expect_success "eval" "$program" eval run
before=$(grep -o 'held-out loss [0-9.]*' out.txt)

check "more tokens than bytes are said" grep -q "of the model's 258 tokens, .* data.byte_offset=2" run/train.log
expect_success "import with bytes from token 2 on" \
  "$program" import --from hf "$torch/model" shifted "${settings[@]}" --set data.byte_offset=2
check "which is then not said" bash -c "! grep byte_offset out.txt"
expect_success "eval" "$program" eval shifted
check "has another loss" [ "$before" != "$(grep -o 'held-out loss [0-9.]*' out.txt)" ]

# Out and in again: nothing changes.
expect_success "export" "$program" export run exported
expect_success "import of model.safetensors" "$program" import --from hf exported back "${settings[@]}"
check "has the same parameters" [ "$imported" = "$(digest back)" ]
check "and the same configuration" cmp run/config.txtpb back/config.txtpb
expect_success "export again" "$program" export back again
for file in config.json model.safetensors; do check "the same $file" cmp "exported/$file" "again/$file"; done

# The run goes on in its own directory.
expect_success "train goes on" "$program" train run/config.txtpb
check "after step 0" grep -q "resumed after step 0" out.txt
check "in the directory of its configuration" [ ! -e runs ]
check "for three steps" [ "$(losses run | wc -l)" = 3 ]
check "which change the parameters" [ "$imported" != "$(digest run)" ]
expect_success "eval after training" "$program" eval run
check "and the loss" [ "$before" != "$(grep -o 'held-out loss [0-9.]*' out.txt)" ]
expect_success "train where the configuration lies" bash -c "cd back && '$program' train config.txtpb"
check "gives the same losses" [ "$(losses run)" = "$(losses back)" ]

# The same weights in strictly causal attention.
expect_success "import as STRICT" \
  "$program" import --from hf "$torch/model" strict "${settings[@]}" --set model.lsh.mode=STRICT
check "has the same parameters" [ "$imported" = "$(digest strict)" ]
expect_success "train it" "$program" train strict/config.txtpb
check "as STRICT" grep -q "layer 1: LSH STRICT" strict/train.log

# Refusals leave nothing behind.
expect_error "a run that has begun" 4 "run/checkpoints: has checkpoints already" \
  "$program" import --from hf "$torch/model" run "${settings[@]}"
expect_error "no folder" 3 "absent/config.json: No such file" "$program" import --from hf absent new
mkdir empty && cp "$torch/model/config.json" empty
expect_error "no weights" 3 "empty: has neither model.safetensors nor pytorch_model.bin" \
  "$program" import --from hf empty new "${settings[@]}"
echo '{}' >empty/pytorch_model.bin.index.json
expect_error "weights in several files" 3 "pytorch_model.bin.index.json: weights in several files" \
  "$program" import --from hf empty new "${settings[@]}"
cp "$torch/command.bin" empty/pytorch_model.bin
expect_error "a pickle with a command" 3 "wants Python's posix system" \
  "$program" import --from hf empty new "${settings[@]}"
head -c 30000 "$torch/model/pytorch_model.bin" >empty/pytorch_model.bin
expect_error "weights cut off" 3 "pytorch_model.bin: is a damaged archive, or cut off" \
  "$program" import --from hf empty new "${settings[@]}"
expect_error "no data" 2 "data.path is missing" "$program" import --from hf "$torch/model" new
expect_error "another shape" 3 "dense.weight has the shape \[8, 8\] and the model needs \[16, 8\]" \
  "$program" import --from hf "$torch/model" new "${settings[@]}" --set model.ff_width=16
expect_error "more layers" 3 "has no tensor reformer.encoder.layers.2" \
  "$program" import --from hf "$torch/model" new "${settings[@]}" --set model.layers=3
sed 's/"relu"/"tanh"/' "$torch/model/config.json" >empty/config.json
expect_error "a setting that is not computed" 2 'empty/config.json: hidden_act "tanh": .*legal: "relu"' \
  "$program" import --from hf empty new "${settings[@]}"
expect_error "a bad --set" 2 "model.heads=0" \
  "$program" import --from hf "$torch/model" new "${settings[@]}" --set model.heads=0
expect_error "no tokenizer where the data should be" 3 "absent/tokenizer.model: No such file" \
  "$program" import --from hf "$torch/model" new "${settings[@]}" \
  --set data.source=TOKENS --set data.path="$work/absent"
check "nothing was begun" [ ! -e new ]
limited() { bash -c 'trap "" XFSZ; ulimit -f 20; exec "$@"' limited "$@"; }
expect_error "the disk is full" 4 "checkpoint: .*File too large" \
  limited "$program" import --from hf "$torch/model" full "${settings[@]}"
check "nothing is left that would train" [ ! -e full/config.txtpb ]
expect_success "with room it is begun" \
  "$program" import --from hf "$torch/model" full "${settings[@]}"
check "with the same parameters" [ "$imported" = "$(digest full)" ]
expect_status "another format" 2 "$program" import --from tf "$torch/model" new
check "is named" grep -q "tf not in {hf}" err.txt

finish
