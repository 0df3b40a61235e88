#!/usr/bin/env bash
# Trains with the `reformer` program on ranks that share sequences, under mpirun: the results of one
# rank on every layout, resuming on another layout, evaluation on any of them, and layouts that cannot
# be.
# Usage: sequences_program_test.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"

# Eight leaves, the last one not full.
cat >long.txtpb <<'CONFIG'
model { width: 32 ff_width: 64 heads: 4 layers: 3 attention_pattern: [LSH, LOCAL, LSH] dropout: 0.1
        lsh { chunk_length: 32 } local { chunk_length: 32 } }
data { path: "text.txt" length: 1000 }
training { steps: 6 batch: 2 micro_batch: 1 schedule { rate: 0.003 warmup: 2 } }
evaluation { every: 3 sequences: 3 }
checkpoint { every: 0 }
execution { leaf_tokens: 128 threads: 1 }
CONFIG
head -c 30000 "$configs/persuasion.txt" >text.txt
expect_success "one rank" "$program" train long.txtpb --run-dir one

# The same losses, held-out losses and parameters. What is known of the hash is the same where each
# rank has heads whole, and absent where it has not.
expect_same_run() {  # expect_same_run NAME RUN
  check "$1: the losses of one rank" [ "$(losses "$2")" = "$(losses one)" ]
  check "$1: the parameters of one rank" [ "$(digest "$2")" = "$(digest one)" ]
}
health() { grep -o '"lsh":.*' "$1/metrics.jsonl"; }

# ranks, then what is asked for, then the line that tells what it became
while read -r ranks asked line; do
  run=$(echo "$ranks$asked" | tr -c 'a-z0-9\n' _)
  # shellcheck disable=SC2046  # several words
  expect_success "$ranks ranks, $asked" on "$ranks" train long.txtpb --run-dir "$run" \
    $(echo "$asked" | tr ',' '\n' | sed -n 's/^\([a-z]\)/--set parallel.\1/p')
  expect_same_run "$ranks ranks, $asked" "$run"
  check "$ranks ranks, $asked: the log tells the layout" grep -qF "$ranks ranks: $line" "$run/train.log"
  if [[ $line == *" 1 × buckets"* ]]; then
    check "$ranks ranks, $asked: the health of the hash is that of one rank" \
      [ "$(health "$run")" = "$(health one)" ]
  elif [[ $line == *buckets* ]]; then
    check "$ranks ranks, $asked: the health of the hash is left out" [ -z "$(health "$run")" ]
    check "$ranks ranks, $asked: and why" grep -q "note: .*share the buckets" "$run/train.log"
  fi
done <<'LAYOUTS'
2 - 2 × data
2 data=1 1 × data, 2 × sequence (2 × heads, 1 × buckets), 488 to 512 tokens each
2 data=1,heads=1 1 × data, 2 × sequence (1 × heads, 2 × buckets), 488 to 512 tokens each
3 - 1 × data, 3 × sequence (3 × heads, 1 × buckets), 256 to 384 tokens each
3 heads=1 1 × data, 3 × sequence (1 × heads, 3 × buckets), 256 to 384 tokens each
4 - 2 × data, 2 × sequence (2 × heads, 1 × buckets), 488 to 512 tokens each
4 sequence=4,heads=2 1 × data, 4 × sequence (2 × heads, 2 × buckets), 232 to 256 tokens each
8 - 2 × data, 4 × sequence (4 × heads, 1 × buckets), 232 to 256 tokens each
8 sequence=8 1 × data, 8 × sequence (4 × heads, 2 × buckets), 104 to 128 tokens each
8 data=1,heads=1 1 × data, 8 × sequence (1 × heads, 8 × buckets), 104 to 128 tokens each
LAYOUTS

# The layout is asked of a start, not of the run.
check "the run does not keep it" [ "$(grep -c 'sequence: 0' 2data_1/config.txtpb)" = 1 ]
expect_success "four ranks on a sequence" on 4 train long.txtpb --run-dir resumed --stop-at 2 \
  --set parallel.sequence=4
expect_success "then two" on 2 train resumed/config.txtpb --stop-at 4 --set parallel.sequence=2 \
  --set parallel.heads=1
expect_success "then one" "$program" train resumed/config.txtpb
expect_same_run "resumed on other layouts" resumed

# Evaluation gives the same digits.
expect_success "eval on one rank" "$program" eval one
tail -1 out.txt >expected.txt
for asked in parallel.data=4 parallel.sequence=4 parallel.heads=1; do
  expect_success "eval on four ranks, $asked" on 4 eval one --set $asked
  check "$asked: the held-out loss of one rank" [ "$(tail -1 out.txt)" = "$(cat expected.txt)" ]
  check "$asked: said once" [ "$(grep -c 'held-out loss' out.txt)" = 1 ]
done
expect_success "rounds on one rank" "$program" eval one --rounds 1,full --seeds 1
cp out.txt expected.txt
expect_success "rounds on four" on 4 eval one --rounds 1,full --seeds 1 --set parallel.sequence=4
check "give the same table" [ "$(tail -3 out.txt)" = "$(tail -3 expected.txt)" ]
expect_success "the hash on one rank" "$program" eval one --lsh-queries 4
cp out.txt expected.txt
expect_success "the hash on four" on 4 eval one --lsh-queries 4 --set parallel.sequence=4
check "gives the same table" [ "$(tail -8 out.txt)" = "$(tail -8 expected.txt)" ]

# What cannot be is said once, with what can.
expect_failure "a count that does not divide" 2 \
  "\[parallel\] 3 ranks cannot share sequences by 2 .*, legal: 1, 3$" \
  on 3 train long.txtpb --set parallel.sequence=2
expect_failure "more ranks than leaves" 2 "cannot be shared by 9 ranks .*at most 8" \
  on 2 train long.txtpb --set parallel.sequence=9
expect_failure "ranks that ask for different layouts" 2 "rank 1 has another configuration.*sequence" \
  on 1 train long.txtpb --run-dir different : -n 1 "$program" train long.txtpb --run-dir different \
  --set parallel.sequence=2
expect_failure "token by token on several ranks" 2 "--decoded: .*legal: one rank" \
  on 2 eval one --decoded
expect_failure "the hash where buckets are shared" 2 "--lsh-queries: .*share the buckets" \
  on 2 eval one --lsh-queries 4 --set parallel.data=1 --set parallel.heads=1
expect_failure "all keys for more ranks than heads" 2 "--rounds full: 8 ranks" \
  on 8 eval one --rounds full --set parallel.sequence=8

finish
