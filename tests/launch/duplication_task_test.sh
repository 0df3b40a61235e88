#!/usr/bin/env bash
# The model learns the duplication task (paper, section 5), shortened to 256 tokens: over 99% of the
# second half predicted. Minutes, not seconds. Usage: duplication_task_test.sh PROGRAM CONFIGS_DIRECTORY
set -euo pipefail

program=$1
configs=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$program" train "$configs/duplication.txtpb" --run-dir "$work/run" \
  --set data.length=256 --set model.lsh.chunk_length=32 --set training.batch=8 \
  --set training.schedule.warmup=500 --set training.steps=5000 --stop-at 1000
accuracy=$("$program" eval "$work/run" --set evaluation.sequences=64 |
  sed -n 's/.*accuracy \([0-9.]*\)%.*/\1/p')
echo "accuracy $accuracy%"
awk -v accuracy="$accuracy" 'BEGIN { exit !(accuracy > 99) }'
