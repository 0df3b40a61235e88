#!/usr/bin/env bash
# Runs the `reformer` program as a user would: a short training run, stop and resume, a signal, and
# every kind of bad input. Usage: program_test.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
make_tiny "$configs"

# The whole way, and what it leaves behind.
expect_success "train" "$program" train tiny.txtpb --run-dir whole
check "one metrics line a step" [ "$(grep -c '"gradient_norm"' whole/metrics.jsonl)" = 12 ]
for file in config.txtpb train.log checkpoints; do check "whole/$file exists" [ -e "whole/$file" ]; done
check "only the newest checkpoints are kept" [ "$(ls whole/checkpoints | wc -l)" = 2 ]
check "one event file for TensorBoard" [ "$(ls whole/tensorboard | grep -c '^events.out.tfevents.')" = 1 ]
check "the attention of each layer is printed" grep -q "LSH STRICT" whole/train.log
expect_success "eval" "$program" eval whole
check "eval reports bits per byte" grep -q "bits/byte" out.txt
check "LSH was looked at during training" grep -q '"lsh":\[{"layer":1,"head":0,"found_mass":' whole/metrics.jsonl
expect_success "eval with overlap" "$program" eval whole --set evaluation.stride=32 \
  --set evaluation.sequences=0
check "tells of it" grep -q "32 bytes apart" out.txt
head -c 3000 "$configs/persuasion.txt" | tail -c 1000 >other.txt
expect_success "eval of a file" "$program" eval whole --file other.txt
check "the whole of it" grep -q "over 999 tokens" out.txt
expect_error "of which no part can be asked for" 2 "sequences=2: has no effect with --file" \
  "$program" eval whole --file other.txt --set evaluation.sequences=2
expect_error "eval of a file that is missing" 3 "absent.txt" "$program" eval whole --file absent.txt
expect_success "eval token by token" "$program" eval whole --decoded --set evaluation.sequences=1
decoded=$(sed -n 's/held-out loss \([0-9.]*\),.*/\1/p' out.txt)
expect_success "eval at once" "$program" eval whole --set evaluation.sequences=1
check "gives the same" grep -q "held-out loss ${decoded%?}" out.txt
expect_success "eval of the hash" "$program" eval whole --lsh-queries 8
check "each head has a line" [ "$(grep -c '^ *1 .*%.*%.*%.* x$' out.txt)" = 2 ]
expect_success "eval with other rounds" "$program" eval whole --rounds 1,2,4,full --seeds 2
check "each number of rounds has a line" [ "$(grep -Ec '^ *(1|2|4|full) .*%$' out.txt)" = 4 ]
expect_error "no such number of rounds" 2 "rounds 0.*1 to 64" "$program" eval whole --rounds 0
expect_error "no number of rounds" 2 "rounds many.*1 to 64" "$program" eval whole --rounds many
expect_success "inspect" "$program" inspect whole
check "inspect lists parameters" grep -q "query_key" out.txt
expect_success "export as safetensors" "$program" export whole weights.safetensors --format safetensors
check "the file is there" [ -s weights.safetensors ]
expect_error "STRICT has no counterpart at Hugging Face" 2 "STRICT attention \(layer 1\)" \
  "$program" export whole exported
check "nothing was written" [ ! -e exported ]
expect_success "train CHUNKED" "$program" train tiny.txtpb --run-dir chunked --set model.lsh.mode=CHUNKED
expect_success "export for Hugging Face" "$program" export chunked exported
check "both files are there" [ -s exported/config.json -a -s exported/model.safetensors ]
expect_error "export of nothing" 4 "absent" "$program" export absent exported
expect_error "export into a file" 3 "text.txt" "$program" export chunked text.txt
expect_success "training a finished run again does nothing" "$program" train tiny.txtpb --run-dir whole
expect_success "the resolved configuration trains as it is" \
  "$program" train whole/config.txtpb --run-dir again
check "and gives the same losses" [ "$(losses whole)" = "$(losses again)" ]

# Stopped and resumed, with other threads and micro-batches: the same losses, the same parameters.
expect_success "train --stop-at" "$program" train tiny.txtpb --run-dir parts --stop-at 4
check "stopped at the step asked for" [ "$(grep -c '"gradient_norm"' parts/metrics.jsonl)" = 4 ]
expect_success "resume" "$program" train tiny.txtpb --run-dir parts \
  --set execution.threads=1 --set training.micro_batch=1
check "stopping and resuming changes no loss" [ "$(losses whole)" = "$(losses parts)" ]
check "each start has its event file" [ "$(ls parts/tensorboard | wc -l)" = 2 ]
check "inspect prints a digest" [ -n "$(digest whole)" ]
check "nor any parameter" [ "$(digest whole)" = "$(digest parts)" ]

# A signal finishes the step, saves, and has its own exit code.
"$program" train tiny.txtpb --run-dir signalled --set training.steps=100000 \
  --set checkpoint.every=0 >out.txt 2>err.txt &
pid=$!
await_lines signalled 1
expect_error "a second process in the same run directory" 3 "another process" \
  "$program" train tiny.txtpb --run-dir signalled
kill -TERM $pid
wait $pid
check "SIGTERM exits with 8" [ $? = 8 ]
check "SIGTERM saves" [ -n "$(ls signalled/checkpoints)" ]

# The program on this machine.
expect_success "check" "$program" check
check "four checks hold" [ "$(grep -c '^ok ' out.txt)" = 4 ]

# Bad input.
expect_error "no subcommand" 2 "" bash -c "'$program' 2>&1 | head -1 >&2; exit \${PIPESTATUS[0]}"
expect_error "configuration missing" 2 "absent.txtpb" "$program" train absent.txtpb
expect_error "configuration is a directory" 2 "." "$program" train .
sed 's/width: 32/widht: 32/' tiny.txtpb >typo.txtpb
expect_error "unknown field" 2 "typo.txtpb:1.*widht.*width" "$program" train typo.txtpb
expect_error "unknown field in --set" 2 "model.leyers.*layers" \
  "$program" train tiny.txtpb --set model.leyers=4
expect_error "wrong type" 2 "model.layers" "$program" train tiny.txtpb --set model.layers=many
expect_error "out of range" 2 "model.layers.*1" "$program" train tiny.txtpb --set model.layers=0
expect_error "heads do not divide the width" 2 "heads" "$program" train tiny.txtpb --set model.heads=3
expect_error "data missing" 3 "absent.txt" "$program" train tiny.txtpb --set data.path=absent.txt
: >empty.txt
expect_error "data empty" 3 "empty.txt.*empty" "$program" train tiny.txtpb --set data.path=empty.txt
head -c 100 text.txt >short.txt
expect_error "data too short" 3 "short.txt.*100" "$program" train tiny.txtpb --set data.path=short.txt
expect_error "data is a directory" 3 "directory" "$program" train tiny.txtpb --set data.path=whole
expect_error "too much memory" 5 "memory" "$program" train tiny.txtpb --run-dir huge \
  --set model.width=65536 --set model.heads=64 --set model.ff_width=262144
check "nothing was begun" [ ! -e huge/checkpoints ]
expect_error "checkpoint of another shape" 4 "layers|model" \
  "$program" train tiny.txtpb --run-dir parts --set model.layers=3 --set training.steps=20
expect_error "eval without a run" 4 "absent" "$program" eval absent

# A full disk at the save: the error names the file, and the older checkpoint still loads.
expect_success "train before the disk fills" "$program" train tiny.txtpb --run-dir full --stop-at 3
ulimit_train() { bash -c "ulimit -f 40; exec '$program' train tiny.txtpb --run-dir full"; }
expect_error "disk full at save" 4 "checkpoint" ulimit_train
check "the older checkpoint is still there" [ -d full/checkpoints/step-00000003 ]
expect_success "and training goes on from it" "$program" train tiny.txtpb --run-dir full

# Damage is found, and the checkpoint before is used.
newest=$(ls -d whole/checkpoints/step-* | tail -1)
largest=$(ls -S "$newest"/* | head -1)
printf 'X' | dd of="$largest" bs=1 seek=3000 conv=notrunc status=none
expect_success "a damaged checkpoint is passed over" "$program" train tiny.txtpb --run-dir whole
check "and named" grep -q "$(basename "$newest")" out.txt
check "the repeated steps give the same losses" [ "$(losses whole)" = "$(losses again)" ]

finish
