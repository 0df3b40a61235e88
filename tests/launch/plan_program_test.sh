#!/usr/bin/env bash
# `reformer plan` as a user would call it: its tables, what it says of training, what fits, and bad
# input. Usage: plan_program_test.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
make_tiny "$configs"

# What it says of one rank is what training finds.
expect_success "plan" "$program" plan tiny.txtpb
for part in parameters gradients "optimizer state" "residual streams" "inside one block" batch \
  rotations "checkpoint, a tensor at a time" linear attention_backward "LSH STRICT" "1 rank: 1 × data"; do
  check "tells $part" grep -q "$part" out.txt
done
planned=$(sed -n '/^memory/,/^  all/s/^  all *//p' out.txt)
expect_success "train" "$program" train tiny.txtpb --run-dir run --stop-at 1
check "training takes that" grep -qF "$planned planned:" run/train.log

# Ranks that are not there.
expect_success "plan for ranks" "$program" plan tiny.txtpb --ranks 4 --json plan.json \
  --set data.length=1024
check "the work is shared" grep -q "4 ranks: 2 × data, 2 × sequence" out.txt
check "heads are exchanged" grep -Eq "^  attention heads out +[0-9.]+ [KM]iB" out.txt
check "beside the formula" grep -q "shared heads, 9 U" out.txt
check "JSON has it all" python3 -c '
import json
plan = json.load(open("plan.json"))
assert plan["mesh"] == {"ranks": 4, "data": 2, "sequence": 2, "heads": 2, "buckets": 1}, plan["mesh"]
rank = plan["ranks"][0]
assert sum(rank["memory"].values()) == rank["arena_bytes"], rank
assert rank["sent"]["gradients"] > rank["sent"]["parameters"] > 0
assert sum(rank["flops"].values()) > 0'
expect_success "hundreds of ranks" "$program" plan "$configs/enwik8_64k.txtpb" --ranks 512
check "each with some tokens" grep -q "64 × sequence (8 × heads, 8 × buckets), 1024 tokens each" out.txt
check "buckets are exchanged" grep -q "shared buckets, spread evenly" out.txt
expect_success "a model that fits nowhere" "$program" plan tiny.txtpb --set model.width=32768

# What fits.
expect_success "fit" "$program" plan tiny.txtpb --fit --memory 8MiB --json fit.json
check "the longest" grep -Eq "longest data.length on 1 ranks: [0-9]+, [78].[0-9] MiB a rank \(with [0-9]+: a rank takes" out.txt
check "the fewest" grep -q "fewest ranks for data.length 128: 1," out.txt
longest=$(python3 -c 'import json; print(json.load(open("fit.json"))["fits"]["longest"]["value"])')
expect_success "what fits can be planned" "$program" plan tiny.txtpb --set data.length=$longest
expect_success "fit of what is here" "$program" plan tiny.txtpb --fit
expect_success "too little memory" "$program" plan tiny.txtpb --fit --memory 1KiB
check "no length" grep -q "longest data.length on 1 ranks: none" out.txt
check "no count" grep -q "fewest ranks for data.length 128: none" out.txt
expect_success "records have their length" "$program" plan "$configs/imagenet64.txtpb" --fit --memory 64GiB
check "no other is looked for" [ "$(grep -c 'longest' out.txt)" = 0 ]

# Bad input.
expect_error "configuration missing" 2 "absent.txtpb" "$program" plan absent.txtpb
expect_error "ranks that cannot share" 2 "3 ranks cannot share sequences by 2.*legal: 1" \
  "$program" plan tiny.txtpb --ranks 3 --set data.length=1024 --set parallel.sequence=2
expect_error "no folder for the JSON" 3 "absent/plan.json" \
  "$program" plan tiny.txtpb --json absent/plan.json
expect_status "no ranks" 2 "$program" plan tiny.txtpb --ranks 0 && check "names it" grep -q ranks err.txt
expect_status "too many ranks" 2 "$program" plan tiny.txtpb --ranks 1000 &&
  check "names the most" grep -q 512 err.txt
expect_status "memory of no size" 2 "$program" plan tiny.txtpb --fit --memory much &&
  check "names it" grep -q memory err.txt
expect_status "memory for nothing" 2 "$program" plan tiny.txtpb --memory 8MiB &&
  check "names what it is for" grep -q -- --fit err.txt

finish
