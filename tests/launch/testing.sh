# shellcheck shell=bash
# Sourced by the tests of the `reformer` program: counts of what passed and failed, and a model small
# enough to train in a second. From then on the test is in a folder of its own, "$work", which goes when
# it ends; "$tests" is the folder of all tests.

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

passed=0
failed=0

report() {  # report OK NAME [DETAIL]
  if [ "$1" = 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $2"
    [ $# -lt 3 ] || printf '%s\n' "$3"
  fi
}

# expect_status NAME EXIT_CODE COMMAND…: out.txt and err.txt are what it wrote. Reports failure alone.
expect_status() {
  local name=$1 code=$2 status
  shift 2
  "$@" >out.txt 2>err.txt </dev/null
  status=$?
  [ "$status" = "$code" ] && return
  report 1 "$name: exit code $status, expected $code" "$(cat err.txt)"
  return 1
}

# expect_error NAME EXIT_CODE PATTERN COMMAND…: one line on stderr, which matches PATTERN.
expect_error() {
  local name=$1 code=$2 pattern=$3
  shift 3
  expect_status "$name" "$code" "$@" || return
  if [ "$(wc -l <err.txt)" != 1 ]; then
    report 1 "$name: $(wc -l <err.txt) lines on stderr, expected 1" "$(cat err.txt)"
  elif ! grep -Eq -- "$pattern" err.txt; then
    report 1 "$name: the message does not match '$pattern'" "$(cat err.txt)"
  else
    report 0 "$name"
  fi
}

# expect_failure NAME EXIT_CODE PATTERN COMMAND…: like expect_error, but mpirun adds lines of its own,
# and exactly one line of ours matches.
expect_failure() {
  local name=$1 code=$2 pattern=$3
  shift 3
  expect_status "$name" "$code" "$@" || return
  [ "$(grep -Ec -- "reformer: .*error: .*$pattern" err.txt)" = 1 ]
  report $? "$name: one error that matches '$pattern'" "$(cat err.txt)"
}

expect_success() {  # expect_success NAME COMMAND…
  local name=$1
  shift
  "$@" >out.txt 2>err.txt </dev/null
  report $? "$name" "$(tail -5 out.txt | tr -d '\0'; cat err.txt)"
}

check() {  # check NAME CONDITION…
  local name=$1
  shift
  "$@"
  report $? "$name"
}

await_lines() {  # await_lines RUN N: waits until the metrics of a run have N lines
  for _ in $(seq 300); do
    [ "$(cat "$1/metrics.jsonl" 2>/dev/null | wc -l)" -ge "$2" ] && return
    sleep 0.1
  done
}

# on RANKS ARGUMENT…: runs the program on so many ranks. Needs $program, and $tests, this folder's
# parent.
on() {
  local ranks=$1
  shift
  "$tests/comm/mpirun.sh" "$ranks" "$program" "$@"
}

# What a run directory tells of its training. They need $program.
losses() { sed -n 's/.*"loss":\([^,}]*\).*/\1/p' "$1/metrics.jsonl"; }
digest() { "$program" inspect "$1" | grep -i digest; }

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}

# Writes tiny.txtpb and text.txt into the current directory. Usage: make_tiny CONFIGS_DIRECTORY
make_tiny() {
  cat >tiny.txtpb <<'CONFIG'
model { width: 32 ff_width: 64 heads: 2 layers: 2 attention_pattern: [LOCAL, LSH] dropout: 0.1
        lsh { chunk_length: 16 } local { chunk_length: 16 } }
data { path: "text.txt" length: 128 }
training { steps: 12 batch: 2 schedule { rate: 0.003 warmup: 2 } }
evaluation { every: 6 sequences: 4 }
checkpoint { every: 5 keep: 2 }
execution { leaf_tokens: 128 threads: 2 }
CONFIG
  head -c 20000 "$1/persuasion.txt" >text.txt
}
