#!/usr/bin/env bash
# Runs `reformer generate` as a user would. Usage: generate_program_test.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
make_tiny "$configs"
expect_success "train" "$program" train tiny.txtpb --run-dir run

expect_success "generate" "$program" generate run --prompt "Anne" --tokens 40
check "the text alone is on standard output" [ "$(wc -c <out.txt)" = 41 ]
check "the rate is on standard error" grep -q "40 tokens in .* tokens/s" err.txt
cp out.txt first.txt
expect_success "generate again" "$program" generate run --prompt "Anne" --tokens 40
check "equal seeds give equal texts" cmp -s out.txt first.txt
expect_success "with another seed" "$program" generate run --prompt "Anne" --tokens 40 --seed 7
check "another seed gives another text" bash -c "! cmp -s out.txt first.txt"
expect_success "with the prompt" "$program" generate run --prompt "Anne" --tokens 40 --echo
check "--echo shows the prompt first" cmp -s out.txt <(printf Anne; cat first.txt)

printf 'Anne' >prompt.txt
expect_success "from a file" "$program" generate run --prompt-file prompt.txt --tokens 40
check "gives the same" cmp -s out.txt first.txt
"$program" generate run --tokens 40 <prompt.txt >out.txt 2>err.txt
report $? "from standard input" "$(cat err.txt)"
check "gives the same" cmp -s out.txt first.txt

expect_success "sampling options" "$program" generate run --prompt "Anne" --tokens 40 \
  --temperature 0.8 --top-k 40 --top-p 0.95 --repetition-penalty 1.2 --repetition-window 64
expect_success "the most likely tokens" "$program" generate run --prompt "Anne" --temperature 0
cp out.txt greedy.txt
expect_success "whatever the seed" "$program" generate run --prompt "Anne" --temperature 0 --seed 9
check "are the same" cmp -s out.txt greedy.txt

stop=$(head -c 12 first.txt | tail -c 2 | tr -d '\0')
expect_success "a stop sequence" "$program" generate run --prompt "Anne" --tokens 40 --stop "$stop"
check "ends the text" [ "$(wc -c <out.txt)" -le 11 ]

expect_success "many texts" "$program" generate run --prompt "Anne" --prompt "Captain Wentworth" \
  --samples 2 --tokens 20
check "each under its name" [ "$(grep -c '^== prompt [12], sample [12]$' out.txt)" = 4 ]
expect_success "as JSON" "$program" generate run --prompt "Anne" --prompt "Captain Wentworth" \
  --samples 2 --tokens 20 --json
check "one object on a line" [ "$(grep -c '^{"prompt":[12],"sample":[12],"text":".*"tokens":\[.*\],"stopped":false}$' out.txt)" = 4 ]

# Bad input.
: >empty.txt
expect_error "an empty prompt" 3 "empty" "$program" generate run --prompt-file empty.txt
expect_error "nothing on standard input" 3 "empty" "$program" generate run
expect_error "a prompt file that is missing" 3 "absent.txt" \
  "$program" generate run --prompt-file absent.txt
expect_error "a prompt file that is a directory" 3 "run" "$program" generate run --prompt-file run
expect_error "a prompt that is too long" 3 "20000 tokens.*at most 128" \
  "$program" generate run --prompt-file text.txt
expect_error "too many tokens" 2 "--tokens 200.*128.*at most 125" \
  "$program" generate run --prompt Anne --tokens 200
expect_success "as many as there can be" "$program" generate run --prompt Anne --tokens 125
head -c 128 text.txt >long.txt
expect_success "a prompt as long as the model" "$program" generate run --prompt-file long.txt
check "leaves room for one token" [ "$(wc -c <out.txt)" = 2 ]
check "which is said" grep -q "note: prompt 1 leaves room for 1 more," err.txt
expect_error "no run" 4 "absent" "$program" generate absent --prompt Anne
expect_status "top-p out of range" 2 "$program" generate run --prompt Anne --top-p 1.5
expect_status "no number" 2 "$program" generate run --prompt Anne --temperature nan
expect_status "negative temperature" 2 "$program" generate run --prompt Anne --temperature -1
expect_success "train on a task" "$program" train tiny.txtpb --run-dir task --stop-at 1 \
  --set data.path= --set data.source=DUPLICATION --set data.symbols=20
expect_error "a model that knows no text" 2 "DUPLICATION" "$program" generate task --prompt Anne
expect_success "train a bidirectional model" "$program" train tiny.txtpb --run-dir both --stop-at 1 \
  --set model.lsh.bidirectional=true --set model.lsh.mode=CHUNKED
expect_error "a bidirectional model" 2 "bidirectional" "$program" generate both --prompt Anne
expect_error "nor is it evaluated token by token" 2 "--decoded: .*bidirectional" \
  "$program" eval both --decoded

finish
