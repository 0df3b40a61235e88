#!/usr/bin/env bash
# `reformer plan --scaling` and `--measure` as a user would call them: the tables of predictions,
# this machine measured by one rank and by two, and bad input.
# Usage: scaling_program_test.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
make_tiny "$configs"

# Predictions: a table for the batch shared by all ranks, and one for a batch that grows with them.
cat >machine.txtpb <<'MACHINE'
name: "two nodes of paper"
rate { flops_per_second: 1e12 bytes_per_second: 1e11 }
ranks_per_node: 4
within_node { latency_seconds: 1e-6 bytes_per_second: 1e10 }
between_nodes { latency_seconds: 1e-5 bytes_per_second: 1e9 }
MACHINE
expect_success "predict" "$program" plan tiny.txtpb --scaling machine.txtpb --set data.length=1024
check "says that it predicts" grep -q "^Predicted, not measured, for two nodes of paper" out.txt
check "1, 2, 4, … 512 ranks" [ "$(grep -Eo '^ +[0-9]+  ' out.txt | sort -nu | tr -d ' \n')" = 1248163264128256512 ]
check "twice" [ "$(grep -Ec '^ +[0-9]+  ' out.txt)" = 20 ]
check "one rank is the measure" [ "$(grep -Ec '^ +1  +1 × +1 × +1 .* 100.0% ' out.txt)" = 2 ]
check "sequences are shared" grep -Eq '^ +8  +2 × +2 × +2 ' out.txt
check "a head as wide as its lines" python3 -c '
import re
lines = open("out.txt").read().split("\n")
heads = [i for i, line in enumerate(lines) if line.startswith("ranks")]
assert len(heads) == 2
for head in heads:
    columns = re.split("  +", lines[head].strip())
    assert columns[1:6] == ["heads × buckets", "a rank", "a rank", "ms", "efficiency"], columns
    for name in ("heads × buckets", "efficiency", "cation ms"):
        end = lines[head].index(name) + len(name)
        assert re.match(r"\S ", lines[head + 1][end - 1 :]), (name, lines[head + 1])'
expect_success "ranks that cannot share" "$program" plan tiny.txtpb --scaling machine.txtpb \
  --set data.length=1024 --set parallel.sequence=4
check "are told what could" grep -Eq '^ +2  .*cannot share sequences by 4 .parallel.sequence., legal: 1, 2' out.txt
sed /between_nodes/d machine.txtpb >node.txtpb
expect_success "a node alone" "$program" plan tiny.txtpb --scaling node.txtpb
check "has no more ranks" [ "$(grep -Ec '^ +[0-9]+  ' out.txt)" = 6 ]

# Bad machines and arguments.
expect_error "no such machine" 2 "abacus.txtpb: no such file, legal: .*h100.txtpb" \
  "$program" plan tiny.txtpb --scaling abacus.txtpb
sed 's/ranks_per_node/ranks_per_rack/' machine.txtpb >unknown.txtpb
expect_error "unknown field" 2 "unknown.txtpb:3: ranks_per_rack: .*did you mean ranks_per_node.*legal: name, " \
  "$program" plan tiny.txtpb --scaling unknown.txtpb
sed 's/1e-6/-1/' machine.txtpb >negative.txtpb
expect_error "a number that cannot be" 2 \
  "negative.txtpb: within_node.latency_seconds: -1 is out of range, legal: numbers from 0" \
  "$program" plan tiny.txtpb --scaling negative.txtpb
expect_status "steps of nothing" 2 "$program" plan tiny.txtpb --steps 3 &&
  check "names what they are for" grep -q -- --measure err.txt
expect_status "ranks of a plan" 2 "$program" plan tiny.txtpb --scaling machine.txtpb --ranks 4 &&
  check "names both" grep -q -- "--scaling.*--ranks\|--ranks.*--scaling" err.txt
expect_error "no folder for the machine" 3 "absent/here.txtpb" \
  "$program" plan tiny.txtpb --measure absent/here.txtpb

# This machine, as one rank and as two see it.
expect_success "measure" "$program" plan tiny.txtpb --measure one.txtpb --steps 2
check "shows each step" grep -q "^step 2 of 2: alone [0-9.]* s$" out.txt
check "writes rates" grep -q "op: \"attention_backward\"" one.txtpb
expect_success "measure two ranks" on 2 plan tiny.txtpb --measure two.txtpb --steps 2
check "shows both" grep -q "^step 2 of 2: alone [0-9.]* s, together [0-9.]* s$" out.txt
check "lays the prediction beside" grep -Eq "^step, s +[0-9.]+ +[0-9.]+ +[0-9.]+$" out.txt
check "finds a link" grep -q "within_node" two.txtpb
expect_success "shared sequences" on 2 plan tiny.txtpb --measure two.txtpb --steps 1 \
  --set parallel.sequence=2 --set data.length=256
check "are measured too" grep -q "2 × sequence" out.txt
expect_success "predict this machine" "$program" plan tiny.txtpb --scaling two.txtpb
check "as far as it goes" [ "$(grep -Ec '^ +[0-9]+  ' out.txt)" = 4 ]

finish
