#!/usr/bin/env bash
# Draws runs, and refuses what cannot be drawn; exits with 77 where gnuplot is missing.
# Usage: plot_test.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
if ! command -v gnuplot >/dev/null; then
  echo 'skipped: no gnuplot here (Debian package gnuplot-nox)'
  exit 77
fi
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
make_tiny "$configs"
curves() { grep -c '<title>gnuplot_plot_' "$1"; }

run="the run's 1st"  # a name that wants to be quoted
expect_success "train" "$program" train tiny.txtpb --run-dir "$run"
expect_success "plot" "$program" plot "$run"
check "it is in the run directory" [ -s "$run/plot.svg" ]
for title in "the run.*s 1st" "loss (nats per token)" "held-out bits/byte" "gradient norm" "tokens/s" \
  "each step" "held-out" "step"; do
  check "it has '$title'" grep -q "<text>.*$title.*</text>" "$run/plot.svg"
done
check "and a curve for each number, two for the loss, three of the hash" [ "$(curves "$run/plot.svg")" = 8 ]
check "gnuplot had nothing to say" [ ! -s err.txt ]
expect_success "plot as PNG" "$program" plot "$run" picture.png
check "it is one" [ "$(head -c 4 picture.png | tail -c 3)" = PNG ]
expect_success "plot over another" "$program" plot "$run" picture.png
check "nothing is left beside it" [ "$(ls | grep -c picture)" = 1 ]

# Other numbers of rounds as a figure.
expect_success "plot of rounds" "$program" eval "$run" --rounds 1,2,full --seeds 2 --plot rounds.svg
check "has a curve and a line" [ "$(curves rounds.svg)" = 2 ]
check "and says what it is of" grep -q "<text>.*held-out bits/byte.*</text>" rounds.svg
expect_error "a picture in another format" 2 "rounds.gif: .*NAME.svg" \
  "$program" eval "$run" --rounds 1 --plot rounds.gif
expect_status "a plot without rounds" 2 "$program" eval "$run" --plot rounds.svg

# A run of many steps, one of a single step, and one without finite numbers.
mkdir long one bad empty
for step in $(seq 500); do
  sed -n "1s/{\"step\":1,/{\"step\":$step,/p" "$run/metrics.jsonl"
done >long/metrics.jsonl
expect_success "plot many steps" "$program" plot long
check "with running means" [ "$(grep -c 'mean of 12 steps' long/plot.svg)" = 1 ]
check "of loss, gradient norm and speed; the empty panel counts too" [ "$(curves long/plot.svg)" = 7 ]
head -1 "$run/metrics.jsonl" >one/metrics.jsonl
expect_success "plot one step" "$program" plot one
check "without an evaluation" grep -q "nothing yet" one/plot.svg
sed 's/:[0-9.e+-]*\([,}]\)/:null\1/g; s/"step":null/"step":1/' one/metrics.jsonl >bad/metrics.jsonl
expect_success "plot without finite numbers" "$program" plot bad
check "of which nothing is drawn" [ "$(grep -c 'nothing yet' bad/plot.svg)" = 4 ]

# What cannot be drawn.
expect_error "no run" 3 "absent/metrics.jsonl: No such file" "$program" plot absent
: >empty/metrics.jsonl
expect_error "no step" 3 "empty/metrics.jsonl: has no step yet" "$program" plot empty
echo nonsense >>one/metrics.jsonl
expect_error "other text" 3 "one/metrics.jsonl:2: is no line of metrics" "$program" plot one
expect_error "another format" 2 "picture.jpg: .*NAME.svg, NAME.png" "$program" plot "$run" picture.jpg
expect_error "a folder that is not there" 3 "absent/picture.png: cannot be written" \
  "$program" plot "$run" absent/picture.png
mkdir taken.png
expect_error "a folder in the way" 3 "taken.png: cannot be written" "$program" plot "$run" taken.png
check "nothing is left beside that" [ ! -e taken.png.partial ]
mkdir nothing
expect_error "no gnuplot for the plot of rounds, found before the work" 2 "gnuplot is not installed" \
  env PATH="$work/nothing" "$(realpath "$program")" eval "$run" --rounds 1 --plot rounds.svg
check "nothing was evaluated" [ ! -s out.txt ]
expect_error "no gnuplot" 2 "gnuplot is not installed; .*gnuplot-nox" \
  env PATH="$work/nothing" "$(realpath "$program")" plot "$run"
printf '#!/bin/sh\necho >&2; echo "no fonts here" >&2; exit 3\n' >nothing/gnuplot
chmod +x nothing/gnuplot
expect_error "gnuplot fails" 3 "gnuplot failed: no fonts here" \
  env PATH="$work/nothing" "$(realpath "$program")" plot "$run" other.svg
check "no picture comes of it" [ ! -e other.svg ]

finish
