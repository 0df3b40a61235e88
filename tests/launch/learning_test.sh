#!/usr/bin/env bash
# A model learns a task: `eval` gives at least ACCURACY percent after training. Usage:
# learning_test.sh PROGRAM CONFIGURATION ACCURACY [ARGUMENTS OF TRAIN…]
set -euo pipefail

program=$1
configuration=$2
least=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$program" train "$configuration" --run-dir "$work/run" "$@"
accuracy=$("$program" eval "$work/run" --set evaluation.sequences=64 |
  sed -n 's/.*accuracy \([0-9.]*\)%.*/\1/p')
echo "accuracy $accuracy%, expected at least $least%"
awk -v accuracy="$accuracy" -v least="$least" 'BEGIN { exit !(accuracy >= least) }'
