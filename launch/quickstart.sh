#!/usr/bin/env bash
# Builds the trainer, trains the demo (configs/demo.txtpb) on all cores, with two ranks where there
# are two, and compares how well it predicts the held-out text with what gzip makes of it. Started
# again, it goes on where it was.
#
#   launch/quickstart.sh [option of `reformer train` …]      such as --set training.steps=200
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/setup.sh

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,6s/^# \{0,1\}//p' launch/quickstart.sh
  exit 0
fi

run=runs/demo
reformer=build/release/launch/reformer

require_build "${build_packages[@]}"
build_preset release --target reformer

# A step of the demo has two sequences; cores beyond two become threads of the two ranks.
ranks=$(nproc)
[[ $ranks -le 2 ]] || ranks=2
run_ranks "$ranks" "$reformer" train configs/demo.txtpb --run-dir "$run" "$@"

# All of the held-out text, so that both numbers are about the same bytes.
evaluation=$("$reformer" eval "$run" --set evaluation.sequences=0)

# The evaluation says "bytes of FILE: training […), held-out [BEGIN, END), …".
range_pattern='bytes of (.+): training .*held-out \[([0-9]+), ([0-9]+)\)'
[[ $evaluation =~ $range_pattern ]] || die "no held-out range in: $evaluation"
text=${BASH_REMATCH[1]} begin=${BASH_REMATCH[2]} end=${BASH_REMATCH[3]}
bytes=$((end - begin))
compressed=$(tail -c "+$((begin + 1))" "$text" | head -c "$bytes" | gzip -9 | wc -c)

printf '\n%s\n' "$evaluation"
awk -v bytes="$bytes" -v compressed="$compressed" 'BEGIN {
  printf "gzip -9 of the same %d bytes: %.4f bits/byte\n", bytes, 8 * compressed / bytes
}'
cat <<END

  program      $reformer --help
  settings     $run/config.txtpb
  log          $run/train.log
  metrics      $run/metrics.jsonl
  checkpoints  $run/checkpoints
END
