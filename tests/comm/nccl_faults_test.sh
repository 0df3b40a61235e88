#!/usr/bin/env bash
# Two ranks over NCCL's stand-in, one of which has a fault: both end in time, with a report that names
# the rank and the operation.
#
#   tests/comm/nccl_faults_test.sh PROGRAM FAULT     FAULT is a name of the list below
#
# "In time" is 2 s after the deadline of 2 s that the program sets.
set -euo pipefail
program=$1
fault=$2

# What to inject, into rank 1 alone for most, the program's own fault, where it shows, and what the report says.
inject="" own="" at=step-3
step='rank [01] on [^ ]+: all-reduce #[0-9]+ of 1000 float32 \(step 3\)'
case $fault in
  init-hangs)  inject=init-hangs at=meeting text='rank [01] on [^ ]+: the meeting of all ranks has waited 2 s' ;;
  split-hangs) inject=split-hangs at=split text='rank [01] on [^ ]+: split #[0-9]+ \(groups\) has waited 2 s' ;;
  # NCCL does not say which operation an error is of: it is laid to the first that is not complete.
  async-error) inject=async-error@5 step='rank [01] on [^ ]+: [a-z-]+ #[4-6] of [0-9]+ float32 \([a-z]+( [23])?\)'
               text="$step: NCCL reports: .*injected" ;;
  stuck)       inject=stuck@5 text="$step has waited 2 s for the other ranks" ;;
  late)        inject=late@5:20000 text="$step has waited 2 s for the other ranks" ;;
  call-hangs)  inject=call-hangs@5 text="$step: NCCL has not returned for 2 s" ;;
  abort-hangs) inject=stuck@5,abort-hangs text="$step has waited 2 s .*ncclCommAbort does not return" ;;
  miscount)    inject=miscount@5 text="$step: NCCL reports: .*rank 1 called all-reduce of 1001 float32" ;;
  swap)        own=swap text='rank [01] on [^ ]+: .*rank 1 called broadcast of 10 float32 with root 0' ;;
  sleep)       own=sleep text="$step has waited 2 s for the other ranks" ;;
  busy)        inject=stuck@5 own=busy text="$step has waited 2 s for the other ranks" ;;
  forget)      inject=stuck@5 own=forget text='rank [01] on [^ ]+: all-reduce .*was given up' ;;
  shared-gpu)  at=pid text='two ranks on one GPU: [^ ]+ shows 1 device .* to ranks 0, 1' ;;
  none)        ;;
  *) echo "no such fault: $fault"; exit 2 ;;
esac

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export PTX_DEVICES=2 NCCL_STANDIN_FAULT=$inject NCCL_STANDIN_FAULT_RANK=1
[ "$fault" != shared-gpu ] || PTX_DEVICES=1
# What would never show in rank 1 alone, as the other one ends both first.
[[ "$fault" != @(abort|call)-hangs ]] || unset NCCL_STANDIN_FAULT_RANK
[ -n "$inject" ] || unset NCCL_STANDIN_FAULT

# True while a rank lives. A dead one may still be waiting for mpirun to notice.
lives() {
  local state
  state=$(sed -n 's/^State:\s*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 1
  [ -n "$state" ] && [ "$state" != Z ]
}

timeout 60 "$(dirname "$0")/mpirun.sh" 2 "$program" "$folder" $own >"$folder/output" 2>&1 &
mpirun=$!
pids=
for _ in {1..300}; do
  pids=$(sed -n 's/^pid \([0-9]*\) .*/\1/p' "$folder"/rank-? 2>/dev/null || true)
  [ "$(wc -w <<<"$pids")" -lt 2 ] || break
  sleep 0.05
done
for pid in $pids; do
  while lives "$pid"; do sleep 0.02; done
done
end=$(date +%s%3N)

# mpirun itself may hang when ranks end at the moment of an abort, which is not ours to find.
for _ in {1..100}; do
  kill -0 $mpirun 2>/dev/null || break
  sleep 0.05
done
kill $mpirun 2>/dev/null || true
status=0
wait $mpirun || status=$?

cat "$folder"/rank-? "$folder/output"
if [ "$fault" = none ]; then
  exit $status
fi
begin=$(awk -v at="$at" '$1 == at { print $NF }' "$folder"/rank-? | sort -n | head -1)
echo "ended with $status, $((end - begin)) ms after $at"
[ $status -ne 0 ] || { echo "the exit status is 0"; exit 1; }
grep -qE -- "$text" "$folder/output" || { echo "no report says: $text"; exit 1; }
if [[ $fault == @(stuck|late|sleep|miscount) ]]; then
  # Whatever was started after the operation that failed, that one is the last in the flight record.
  last=$(grep "^rank [01] record: " "$folder/output" | tail -1)
  grep -qE "all-reduce .*\(step 3\).* not finished$" <<<"$last" || { echo "last record: $last"; exit 1; }
fi
[ $((end - begin)) -le 4300 ] || { echo "too late"; exit 1; }
