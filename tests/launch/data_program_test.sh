#!/usr/bin/env bash
# Runs the `reformer` program on every kind of data that is a file: tokenizing, training, evaluating,
# and input that does not fit. Usage: data_program_test.sh PROGRAM CONFIGS_DIRECTORY TRAIN_TOKENIZER
set -u

program=$1
configs=$2
train_tokenizer=$3
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
make_tiny "$configs"

# Tokens: written once, then trained on; the checkpoint brings its tokenizer along.
head -c 200000 "$configs/persuasion.txt" >novel.txt
"$train_tokenizer" novel.txt m.model 400 || exit 1
expect_success "tokenize" "$program" tokenize --model m.model novel.txt text.txt tokens \
  --shard-tokens 40000
check "says how much" grep -Eq "wrote tokens: [0-9]+ tokens for model.vocabulary 400" out.txt
check "in several shards" [ -s tokens/tokens-00001.bin ]
sed 's/path: "text.txt"/source: TOKENS path: "tokens"/; s/width: 32/vocabulary: 400 width: 32/' \
  tiny.txtpb >tokens.txtpb
expect_success "train on tokens" "$program" train tokens.txtpb --run-dir of_tokens --stop-at 4
check "bits are those of a token" grep -q "bits/token" of_tokens/train.log
expect_success "resume" "$program" train tokens.txtpb --run-dir of_tokens
expect_success "eval" "$program" eval of_tokens
check "all tokens are one stream" grep -q "tokens of .*/tokens: training" out.txt

rm -rf moved && mv tokens moved
expect_success "generate without the data" "$program" generate of_tokens --prompt "Anne" --tokens 20
check "with the tokenizer of the checkpoint" grep -q "sentencepiece model of 400 pieces" err.txt
head -c 3000 text.txt >excerpt.txt
expect_success "eval of a file" "$program" eval of_tokens --file excerpt.txt
check "in bits per byte, too" grep -Eq "^[0-9.]+ bits/byte over (29[0-9]{2}|3000) bytes$" out.txt
expect_success "inspect without the data" "$program" inspect of_tokens
check "the tokenizer is in the checkpoint" \
  grep -q "^tokenizer: sentencepiece model of 400 pieces" out.txt
mv moved tokens

expect_error "the folder is there already" 3 "tokens: is there already" \
  "$program" tokenize --model m.model novel.txt tokens
expect_error "no model" 3 "text.txt: is no model of sentencepiece" \
  "$program" tokenize --model text.txt novel.txt other
expect_error "no input" 3 "absent.txt: No such file" \
  "$program" tokenize --model m.model novel.txt absent.txt other
limited() { bash -c "ulimit -f 20; exec '$program' tokenize --model m.model novel.txt other"; }
expect_error "the disk is full" 3 "cannot write other.partial.*File too large" limited
mkfifo pipe
exec 9<>pipe  # it has a writer, who has no more to say
timeout --foreground --signal=KILL 60 \
  "$program" tokenize --model m.model pipe other >out.txt 2>err.txt 9>&- &
pid=$!
head -c 5000000 /dev/zero | tr '\0' 'a' >&9
kill -TERM $pid
wait $pid
check "a signal stops it with 8, even where it waits for a pipe" [ $? = 8 ]
exec 9>&-
check "nothing was left" [ -z "$(ls -d other* 2>/dev/null)" ]
expect_status "no folder named" 2 "$program" tokenize --model m.model novel.txt
expect_error "vocabulary too small" 2 "model.vocabulary 399 .*TOKENS, legal: at least 400" \
  "$program" train tokens.txtpb --run-dir small --set model.vocabulary=399
"$train_tokenizer" text.txt n.model 400 || exit 1
"$program" tokenize --model n.model novel.txt others >out.txt || exit 1
expect_error "resume on another tokenizer" 4 "another tokenizer" \
  "$program" train tokens.txtpb --run-dir of_tokens --set data.path=others --set training.steps=20
expect_error "eval on another tokenizer" 4 "another tokenizer" \
  "$program" eval of_tokens --set data.path="$work/others"
printf 'X' | dd of=tokens/tokens-00001.bin bs=1 seek=30000 conv=notrunc status=none
expect_error "a damaged shard" 3 "tokens-00001.bin: block 0 is damaged" \
  "$program" train tokens.txtpb --run-dir damaged --set data.validation_share=0.9

# Characters of a small alphabet: DNA in a FASTA file.
{
  echo ">chromosome of a test"
  head -c 20000 "$configs/persuasion.txt" | od -An -v -tu1 -w60 |
    awk '{ for (i = 1; i <= NF; ++i) printf "%s", substr("ACGTacgtN", $i % 9 + 1, 1); print "" }'
} >dna.fa
sed 's/path: "text.txt"/source: CHARACTERS path: "dna.fa" alphabet: "ACGTN" fold_case: true/;
     s/width: 32/vocabulary: 5 width: 32/' tiny.txtpb >dna.txtpb
expect_success "train on characters" "$program" train dna.txtpb --run-dir of_characters
check "bits are those of a character" grep -q "bits/character" of_characters/train.log
expect_success "generate characters" "$program" generate of_characters --prompt ACGT --tokens 30
check "of the alphabet" grep -Eq "^[ACGTN]{30}$" out.txt
expect_error "a prompt of others" 3 "prompt 1: .*line 1, column 3: 'x'" \
  "$program" generate of_characters --prompt ACxT
expect_error "eval of a text of others" 3 "novel.txt: .*line 1, column 1" \
  "$program" eval of_characters --file novel.txt
expect_error "a character that is not in the alphabet" 3 "dna.fa: line 2, column [0-9]+: '[acgt]'" \
  "$program" train dna.txtpb --run-dir other --set data.fold_case=false
other='"ACGTN", data.fold_case true; here: .* "TGCAN"'
expect_error "resume with tokens of another meaning" 4 "$other" "$program" train dna.txtpb \
  --run-dir of_characters --set data.alphabet=TGCAN --set training.steps=20
expect_error "eval with them" 4 "$other" "$program" eval of_characters --set data.alphabet=TGCAN
expect_error "and on a text of its own" 4 "$other" \
  "$program" eval of_characters --file dna.fa --set data.alphabet=TGCAN
expect_success "other parts may be held out" \
  "$program" eval of_characters --set data.validation_share=0.2

# Records: images.
head -c 19200 "$configs/persuasion.txt" >images.bin
sed 's/path: "text.txt" length: 128/source: RECORDS path: "images.bin" length: 192/;
     s/dropout: 0.1/positions { shape: [8, 8, 3] widths: [8, 8, 16] }/' tiny.txtpb >images.txtpb
expect_success "train on records" "$program" train images.txtpb --run-dir of_records
check "100 records, the last 10 held out" \
  grep -q "training \[0, 90), held-out \[90, 100), of which 4" of_records/train.log
expect_success "generate a whole record from nothing" \
  "$program" generate of_records --prompt "" --tokens 192 --json
check "of 192 bytes" [ "$(grep -o '"tokens":\[[0-9,]*\]' out.txt | tr ',' '\n' | wc -l)" = 192 ]
expect_success "eval of the records of a file" "$program" eval of_records --file images.bin
check "all of them" grep -q "over 19200 tokens" out.txt
head -c 19201 "$configs/persuasion.txt" >images.bin
expect_error "eval of a part of a record" 3 "19201 bytes are no multiple" \
  "$program" eval of_records --file images.bin
expect_error "a part of a record" 3 "19201 bytes are no multiple .*192: 100 records and 1 bytes" \
  "$program" train images.txtpb --run-dir other

finish
